"""The benchmarks on a real vLLM measure what they say: equal work on both sides, and what the cache served."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("vllm")

FOLDER = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(FOLDER))  # as for a script that is run from there

import _engine  # noqa: E402
import prefix_cache  # noqa: E402
import saturation  # noqa: E402

from llmgym.codec import codec_for  # noqa: E402
from llmgym.policies.vllm import VLLMPolicy  # noqa: E402

pytestmark = [
    pytest.mark.integration,
    pytest.mark.vllm,
    pytest.mark.timeout(600),
    # vLLM leaves a zmq context for the garbage collector when it shuts down.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def policy() -> Iterator[VLLMPolicy]:
    parser = ArgumentParser()
    _engine.model_options(parser)
    options = parser.parse_args(
        ["--model", "qwen3-tiny", "--engine", "block_size=32", "--engine", f"kv_cache_memory_bytes={256 << 20}"]
    )
    with _engine.policy_of(options.model, options.engine, max_model_len=4096) as made:
        asyncio.run(made.start())
        yield made
        asyncio.run(made.close())


@pytest.mark.parametrize("turns", [1, 4])
def test_both_sides_do_the_same_work(policy: VLLMPolicy, turns: int) -> None:
    load = saturation.Load(turns, episodes=4, concurrency=2, max_tokens=64)
    rounds = asyncio.run(saturation.compare(policy, codec_for(policy.tokenizer), load, rounds=2))
    assert len(rounds) == 2
    for each in rounds:
        assert 4 * turns * 32 <= each.collector.tokens <= 4 * turns * 64
        assert each.collector.tokens == each.raw.tokens
        # What of the system prompt the first episodes find cached may be a matter of chance.
        assert abs(each.collector.cached_tokens - each.raw.cached_tokens) <= 0.1 * each.raw.cached_tokens
        assert each.collector.ended > each.collector.began
    told = saturation.figures("multi_turn", load, rounds)
    assert told["ratio_multi_turn"] > 0
    assert (told["multi_turn_turns"], told["multi_turn_episodes"]) == (turns, 4)


def test_a_script_is_what_the_engine_was_sent(policy: VLLMPolicy) -> None:
    codec = codec_for(policy.tokenizer)
    load = saturation.Load(4, episodes=2, concurrency=2, max_tokens=64)
    scripts: dict[str, _engine.Script] = {}
    sampled, _ = asyncio.run(saturation.collect(policy, codec, load, scripts))
    assert len(scripts) == 2
    assert sum(sum(script.lengths) for script in scripts.values()) == sampled
    for script in scripts.values():
        assert [len(script.heard), len(script.lengths), len(script.tails)] == [4, 4, 4]
        said = policy.tokenizer.decode(script.heard[0])
        assert "read books" in said
        assert "begins so" in said
        assert all("tool_response" in policy.tokenizer.decode(heard) for heard in script.heard[1:])
        assert all(codec.parse(tail)["tool_calls"] for tail in script.tails[:3])
        assert script.tails[3] == [codec.stop_token_ids[0]]


def test_closing_a_reply() -> None:
    assert _engine.closed([5, 2, 7, 8, 9], [6, 2], frozenset({0, 2})) == [5, 1, 7, 6, 2]
    assert _engine.closed([5, 6], [2], frozenset({2})) == [5, 2]


def test_what_is_sent_again_is_cached(policy: VLLMPolicy) -> None:
    found = asyncio.run(prefix_cache.measure(policy, episodes=4, concurrency=2, max_tokens=64))
    assert found["block_size"] == 32
    assert found["turns"] == 8
    assert 0.9 <= found["cached_share"] <= found["possible_share"] <= found["possible_share_16"] < 1
    assert found["resent_tokens"] > 4 * 7 * 200
