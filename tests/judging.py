"""A model that is judged by a model: the environment, and what has to be true of its episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium

from llmgym.chat import Usage
from llmgym.env import Episode, ToolEnv
from llmgym.errors import PolicyUnavailable
from llmgym.messages import Message, ToolSchema, user
from llmgym.rollout import Collector
from llmgym.tasks import Task, TaskSet
from llmgym.trajectory import Trajectory
from tests.exactness import Recording, prove

JUDGED = "test/Judged-v0"


class Judged(ToolEnv):
    """Name a thing of a colour; a judge says whether it is one."""

    tasks = TaskSet.generated(lambda rng: Task(prompt=f"Name something {['red', 'blue', 'green'][rng.integers(3)]}."))
    roles = ("judge",)

    async def verify(self, episode: Episode) -> float:
        """Ask the judge."""
        asked = f"{episode.task.prompt}\nSomebody says: {episode.final_text}\nIs that good? Answer yes or no."
        verdict = await self.models["judge"].chat([user(asked)], max_tokens=12)
        return float("yes" in verdict["content"].lower())


def in_a_hurry(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
    """A customer who leaves after the second message."""
    return "Never mind. END" if len(messages) > 3 else "Cancel my order, please."


gymnasium.register(JUDGED, entry_point="tests.judging:Judged", kwargs={"max_turns": 2})


class Away:
    """Another policy whose engine cannot be reached."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    async def generate(self, *args: Any, **kwargs: Any) -> Any:
        raise PolicyUnavailable("no connection")


async def episodes(policy: Any, judge: Any, **settings: Any) -> tuple[list[Trajectory], Any]:
    collector = Collector(
        [JUDGED], policy, models={"judge": judge}, num_tasks=2, num_repeats=2, max_attempts=1,
        responses_create_params={"temperature": 0.8, "max_output_tokens": 12}, **settings,
    )  # fmt: skip
    found = [trajectory async for group in collector.stream() for trajectory in group.trajectories]
    assert len(found) == 4
    return found, collector._codec


async def check_judge_of_itself(policy: Any) -> None:
    """A policy that judges itself: what it says as a judge is recorded, apart from what it says as itself."""
    recording = Recording(policy)
    found, codec = await episodes(recording, "policy")
    of_judge = [asked for name, asked in recording.requests.items() if name not in {t.id for t in found}]
    for trajectory in found:
        requests = recording.requests[trajectory.id]
        prove(trajectory, requests, codec)
        (call,) = trajectory.model_calls
        assert (call.role, call.model) == ("judge", policy.model)
        said = next(m["content"] for m in reversed(trajectory.messages) if m["role"] == "assistant")
        assert f"Somebody says: {said.strip()}" in call.messages[-1]["content"]
        prompt = tuple(codec.open(call.messages, []))
        (asked,) = next(asked for asked in of_judge if asked[0].prompt_ids == prompt)
        ids = asked.generation.token_ids
        assert codec.parse(ids, prompt, [])["content"] == call.reply["content"]
        assert asked.sampling.stop_token_ids == codec.stop_token_ids
        assert trajectory.reward == float("yes" in call.reply["content"].lower())
        assert trajectory.usage["judge"] == call.usage == Usage(len(prompt), len(ids), calls=1)
        agent = trajectory.usage["agent"]
        assert (agent.calls, agent.output_tokens) == (len(requests), trajectory.sampled_tokens)
    assert len(of_judge) == 4
    await recording.generate([5, 6], asked.sampling, request_id="a", session_id="a")  # nobody closed it


async def check_judge_away(policy: Any) -> None:
    """A judge that cannot be reached leaves episodes unscored, with the policy's own tokens."""
    recording = Recording(policy)
    found, _ = await episodes(recording, Away(policy))
    for trajectory in found:
        assert (trajectory.status, trajectory.reward) == ("env_error", None)
        assert trajectory.failure is not None
        assert (trajectory.failure.kind, trajectory.failure.stage) == ("model_role", "verify")
        assert "the judge gave no reply: no connection" in (trajectory.error or "")
        assert (trajectory.model_calls, list(trajectory.usage)) == ([], ["agent"])
        [request] = recording.requests[trajectory.id]
        assert trajectory.usage["agent"].output_tokens == len(request.generation.token_ids)
