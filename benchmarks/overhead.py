"""What llmgym costs the CPU per turn and per episode, everything on, with a policy that answers at once.

Calculator with 8 tool calls in 9 turns of 200 sampled tokens: codec, exact trace, log-probabilities, verification and
store. The last line printed is one JSON object. Runs on one core.
"""

from __future__ import annotations

import sys
from typing import Any

from _instant import InstantPolicy, call, measure, one_core, qwen3_codec, report, template_codec

from llmgym.codec import ChatCodec

ENV = "llmgym/Calculator-v0"
CALLS = [call("add", a=17 + i, b=25) for i in range(8)]


def per_turn(tokenizer: Any, codec: ChatCodec, episodes: int) -> float:
    """CPU milliseconds of one of the 9 turns of a Calculator episode."""
    policy = InstantPolicy(tokenizer, [*CALLS, "The answer is 42."], 200, codec.stop_token_ids[0])
    measure(ENV, policy, codec, 20, seed=1)
    found = measure(ENV, policy, codec, episodes, max_turns=16)
    assert found["turns"] == 9 * episodes, found
    assert found["sampled_tokens"] == 9 * 200 * episodes, found
    return 1e3 * found["cpu_s"] / found["turns"]


def per_episode(tokenizer: Any, codec: ChatCodec, episodes: int) -> float:
    """CPU milliseconds of a one-turn episode."""
    policy = InstantPolicy(tokenizer, ["Answer: B"], 200, codec.stop_token_ids[0])
    measure("llmgym/MultipleChoice-v0", policy, codec, 20, seed=1)
    return 1e3 * measure("llmgym/MultipleChoice-v0", policy, codec, episodes)["cpu_s"] / episodes


def main() -> None:
    """Measure all three."""
    one_core()
    episodes = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    template, renderer = template_codec(), qwen3_codec()
    figures = {
        "cpu_ms_per_turn": per_turn(*template, episodes),
        "cpu_ms_per_turn_renderer": per_turn(*renderer, episodes),
        "cpu_ms_per_episode_single_turn": per_episode(*template, 4 * episodes),
        "cpu_ms_per_episode_single_turn_renderer": per_episode(*renderer, 4 * episodes),
        "episodes": episodes,
    }
    report("overhead", figures)


if __name__ == "__main__":
    main()
