"""What failed in an episode, in words that can be grouped: a closed vocabulary of kinds and stages.

A failure says nothing about the policy's answer, so its episode has no reward. NeMo Gym has a like vocabulary, which
`NEMO_GYM` maps ours to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: Whose fault it is, and of what sort.
#:
#: Of the environment: "environment" (its code raised), "infrastructure" (a backend, the disk, memory, a thread or a
#: process), "timeout" (a hook ran past its deadline), "abandoned" (work past its deadline still holds what is needed),
#: "invalid" (it gave what is no message, reward or task), "model_role" (a model that it uses cannot be reached),
#: "verdict" (a judge's answer cannot be read).
#: Of the policy: "policy" (it raised), "policy_unavailable", "policy_timeout", "policy_invalid" (its reply makes no
#: sense), "codec" (messages cannot be rendered).
#: Of the run: "episode_timeout", "unstorable".
Kind = Literal[
    "environment",
    "infrastructure",
    "timeout",
    "abandoned",
    "invalid",
    "model_role",
    "verdict",
    "policy",
    "policy_unavailable",
    "policy_timeout",
    "policy_invalid",
    "codec",
    "episode_timeout",
    "unstorable",
]

#: Where in an episode.
Stage = Literal[
    "construct",
    "setup",
    "opening",
    "tool",
    "respond",
    "verify",
    "teardown",
    "wrapper",
    "policy",
    "codec",
    "episode",
    "store",
]

#: Whether the episode may have changed anything outside: no call of a tool had begun, one was under way, one had ended.
#: An episode of "none" can be tried again without a second thought.
Outside = Literal["none", "possible", "done"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an episode has no result.

    Attributes:
        kind: Whose fault, of what sort.
        stage: Where.
        outside: Whether anything may have been done outside.
        error: Name of the exception's type.
    """

    kind: Kind
    stage: Stage
    outside: Outside
    error: str


#: NeMo Gym 0.7's `failure_kind` for each of ours.
NEMO_GYM: Final[dict[Kind, str]] = {
    "environment": "agent_run_error",
    "infrastructure": "agent_run_error",
    "timeout": "agent_timeout",
    "abandoned": "agent_run_error",
    "invalid": "verifier_error",
    "model_role": "verifier_error",
    "verdict": "verifier_error",
    "policy": "agent_run_error",
    "policy_unavailable": "agent_run_error",
    "policy_timeout": "agent_timeout",
    "policy_invalid": "agent_run_error",
    "codec": "agent_run_error",
    "episode_timeout": "agent_timeout",
    "unstorable": "agent_run_error",
}
