"""Every trajectory says exactly what the engine consumed and sampled, whatever it sampled, for every family."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from llmgym.codec import ChatCodec, RendererCodec, TemplateCodec, codec_for
from llmgym.records import dump_row, load_row
from llmgym.rollout import Collector, read_rollouts
from llmgym.trajectory import SegmentBuilder, Trajectory
from tests.codec import families
from tests.exactness import FuzzPolicy, Recording, prove

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # as for a script that is run from there

import exactness

TEMPLATES = ["smollm2", "qwen2.5", "qwen3", "qwen3-training", "llama3.1", "mistral", "gemma", "phi3", "deepseek-r1"]


def renderer_codec(family: str) -> ChatCodec:
    from renderers import Llama3RendererConfig, Qwen3RendererConfig

    config = {"qwen3": Qwen3RendererConfig, "llama3.1": Llama3RendererConfig}[family]()
    return RendererCodec(families.tokenizer(family), config)


async def fuzz(
    codec: ChatCodec, tokenizer: Any, output: Path, seed: int, stop: Sequence[str] = (), **settings: Any
) -> list[Trajectory]:
    """Collect with the fuzzing policy and prove every trajectory, as given and as stored."""
    policy = Recording(FuzzPolicy(tokenizer, codec.stop_token_ids, seed))
    collector = Collector(
        ["test/Talk-v0"], policy, codec=codec, output=output, num_tasks=30, num_repeats=2, seed=seed,
        responses_create_params={"max_output_tokens": 24, "stop": list(stop)}, **settings,
    )  # fmt: skip
    found = [trajectory async for group in collector.stream() for trajectory in group.trajectories]
    assert len(found) == 60
    for trajectory in found:
        assert trajectory.finished, trajectory.error
        prove(trajectory, policy.requests[trajectory.id], codec, tokenizer)
    for stored in read_rollouts(output):
        prove(stored, policy.requests[stored.id], codec, tokenizer)
    return found


@pytest.mark.parametrize("family", TEMPLATES)
async def test_template_codec_is_exact(family: str, tmp_path: Path) -> None:
    tokenizer = families.tokenizer(family)
    found = await fuzz(TemplateCodec(tokenizer), tokenizer, tmp_path / "run", seed=1)
    assert max(len(trajectory.turns) for trajectory in found) >= 5
    statuses = {trajectory.status for trajectory in found}
    assert "max_tokens" in statuses


@pytest.mark.parametrize("family", ["qwen3", "llama3.1"])
async def test_renderer_codec_is_exact(family: str, tmp_path: Path) -> None:
    found = await fuzz(renderer_codec(family), families.tokenizer(family), tmp_path / "run", seed=2)
    assert max(len(trajectory.turns) for trajectory in found) >= 5


async def test_history_that_is_rewritten_starts_a_segment(tmp_path: Path) -> None:
    tokenizer = families.tokenizer("qwen3")
    found = await fuzz(TemplateCodec(tokenizer), tokenizer, tmp_path / "run", seed=3)
    forked = [trajectory for trajectory in found if len(trajectory.segments) > 1]
    assert forked
    for trajectory in forked:
        total = sum(int(segment.sampled.sum()) for segment in trajectory.segments)
        assert total == trajectory.sampled_tokens  # each sampled token is in one loss mask


@pytest.mark.parametrize("family", ["smollm2", "qwen3", "llama3.1", "glm4moe"])
async def test_stop_strings_leave_trajectories_exact(family: str, tmp_path: Path) -> None:
    """Tokens are as they were sampled; the message ends before the string; the turn is closed as one that was cut."""
    tokenizer = families.tokenizer(family)
    codec = codec_for(tokenizer)
    stop = ("ell", "es", "🙂", "}}\n</tool", ">op")
    found = await fuzz(codec, tokenizer, tmp_path / "run", seed=7, stop=stop)
    ends = codec.stop_token_ids
    stopped = 0
    for trajectory in found:
        assert (trajectory.sampling["stop"], trajectory.sampling["logprobs_mode"]) == (stop, "processed")
        for message in trajectory.messages[trajectory.opening :]:
            assert message["role"] != "assistant" or not any(string in message["content"] for string in stop)
        for turn, after in pairwise(trajectory.turns):
            ids = trajectory.segments[turn.segment].ids.tolist()
            if turn.finish_reason == "stop" and ids[turn.end - 1] not in ends:
                stopped += 1
                text = tokenizer.decode(ids[turn.start : turn.end])
                assert any(string in text for string in stop)
                if after.segment == turn.segment:
                    closing = ids[turn.end : turn.end + 2]
                    assert not {*ends}.isdisjoint(closing), "the template's end follows"
    assert stopped >= 10


@pytest.mark.parametrize("limit", [{"max_episode_tokens": 20}, {"max_turns": 2}])
async def test_limits_leave_trajectories_exact(limit: dict[str, int], tmp_path: Path) -> None:
    tokenizer = families.tokenizer("smollm2")
    found = await fuzz(TemplateCodec(tokenizer), tokenizer, tmp_path / "run", seed=4, **limit)
    if "max_turns" in limit:
        assert max(len(trajectory.turns) for trajectory in found) == 2
    else:
        assert max(trajectory.sampled_tokens for trajectory in found) <= 20


async def test_a_small_context_ends_episodes_and_leaves_them_exact() -> None:
    tokenizer = families.tokenizer("smollm2")
    codec = TemplateCodec(tokenizer)
    policy = Recording(FuzzPolicy(tokenizer, codec.stop_token_ids, 5, context_length=600))
    settings: dict[str, Any] = {"num_tasks": 40, "responses_create_params": {"max_output_tokens": 64}}
    collector = Collector(["test/Talk-v0"], policy, codec=codec, **settings)
    found = [group.trajectories[0] async for group in collector.stream()]
    for trajectory in found:
        prove(trajectory, policy.requests.get(trajectory.id, []), codec)
        assert trajectory.reward is not None
    assert "context_length" in {trajectory.status for trajectory in found}


async def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    tokenizer = families.tokenizer("qwen3")
    for trajectory in await fuzz(TemplateCodec(tokenizer), tokenizer, tmp_path / "run", seed=6):
        line = dump_row(trajectory)
        assert dump_row(load_row(line)) == line


@pytest.mark.parametrize("family", ["smollm2", "qwen3", "glm4moe", "gemma4-v4", "lfm2.5", "gpt-oss"])
def test_the_audit_of_a_family(family: str) -> None:
    """The short form of `benchmarks/exactness.py`."""
    found = exactness.audit(family, 16, seed=1)
    assert found is not None
    assert found["exact"] == found["episodes"] == 16
    assert found["rendered"] == found["prompts"] > 0


def test_the_audit_finds_what_is_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SegmentBuilder.add_context
    monkeypatch.setattr(SegmentBuilder, "add_context", lambda segment, ids: whole(segment, ids[:-1]))
    found = exactness.audit("qwen2.5", 16, seed=1)
    assert found is not None
    assert found["rendered"] < found["prompts"]
