"""The whole path with a real model: SmolLM2 plays real environments, and every token is accounted for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmgym.policies import make_policy
from llmgym.policies.models import resolve
from llmgym.rollout import Collector, read_rollouts
from llmgym.trajectory import Segment, Trajectory
from tests.exactness import Brief, Recording, prove
from tests.judging import check_judge_away, check_judge_of_itself
from tests.rollout.test_context import STRATEGIES, prove_long_episode

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ENVS = ["llmgym/Calculator-easy-v0", "llmgym/Wordle-easy-v0", "test/Talk-v0"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Trajectory], Recording, Any, Path]:
    """Episodes of several environments, the engine's record of them, and the codec."""
    folder = tmp_path_factory.mktemp("smollm2") / "run"
    policy = Recording(make_policy("smollm2"))
    collector = Collector(
        ENVS, policy, output=folder, num_tasks=2, num_repeats=2, max_turns=3,
        # Room for half of the replies to end of themselves: where all are cut, no episode has a second turn.
        responses_create_params={"temperature": 0.8, "top_p": 0.9, "max_output_tokens": 96},
    )  # fmt: skip

    async def collect() -> list[Trajectory]:
        found = [trajectory async for group in collector.stream() for trajectory in group.trajectories]
        await policy.close()
        return found

    return asyncio.run(collect()), policy, collector._codec, folder


def test_every_trajectory_is_what_the_engine_consumed_and_sampled(run: Any) -> None:
    found, policy, codec, folder = run
    assert len(found) == 4 * len(ENVS)
    for trajectory in [*found, *read_rollouts(folder)]:
        prove(trajectory, policy.requests[trajectory.id], codec)
        assert trajectory.reward is not None


def test_logprobs_are_those_of_a_plain_forward_pass(run: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    found, *_ = run
    model = AutoModelForCausalLM.from_pretrained(resolve("smollm2"), dtype=torch.float32)
    longest = max((segment for trajectory in found for segment in trajectory.segments), key=lambda s: len(s.ids))
    assert np.allclose(recomputed(model, longest, 0.8, 0.9), longest.logprobs[longest.sampled], atol=2e-3)


def test_episodes_with_stop_strings_are_exact(tmp_path: Path) -> None:
    policy, stop = Recording(make_policy("smollm2")), ("the", "\n", "1")
    params = {"max_output_tokens": 40, "stop": list(stop), "top_k": 40, "min_p": 0.01, "repetition_penalty": 1.1}
    collector = Collector(
        ENVS, policy, output=tmp_path / "run", num_tasks=2, max_turns=3, responses_create_params=params
    )

    async def collect() -> Any:
        found = [trajectory async for group in collector.stream() for trajectory in group.trajectories]
        await policy.close()
        return found

    stopped = 0
    for trajectory in [*asyncio.run(collect()), *read_rollouts(tmp_path / "run")]:
        prove(trajectory, policy.requests[trajectory.id], collector._codec, policy.tokenizer)
        for message in trajectory.messages[trajectory.opening :]:
            assert message["role"] != "assistant" or not any(string in message["content"] for string in stop)
        for turn in trajectory.turns:
            ids = trajectory.segments[turn.segment].ids[turn.start : turn.end]
            stopped += any(string in policy.tokenizer.decode(ids) for string in stop)
    assert stopped  # how often is up to the model


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_three_hundred_turns_in_a_small_context(strategy: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    asyncio.run(prove_long_episode(AutoTokenizer.from_pretrained(resolve("smollm2")), tmp_path / "run", strategy))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_model_whose_context_is_managed(strategy: str) -> None:
    policy = Recording(Brief(make_policy("smollm2")))

    async def collect() -> tuple[list[Trajectory], Any]:
        collector = Collector(
            ["test/Talk-v0"], policy, num_tasks=2, max_turns=8, responses_create_params={"max_output_tokens": 12},
            context_management={"strategy": strategy, "trigger": 250, "keep": 1},
        )  # fmt: skip
        found = [trajectory async for group in collector.stream() for trajectory in group.trajectories]
        await policy.close()
        return found, collector._codec

    found, codec = asyncio.run(collect())
    for trajectory in found:
        assert (len(trajectory.turns), trajectory.status) == (8, "max_turns")
        assert len(trajectory.compactions) >= 2
        prove(trajectory, policy.requests[trajectory.id], codec)


def test_a_model_that_judges_itself() -> None:
    policy = make_policy("smollm2")

    async def scenario() -> None:
        await check_judge_of_itself(policy)
        await check_judge_away(policy)
        await policy.close()

    asyncio.run(scenario())


def recomputed(model: Any, segment: Segment, temperature: float, top_p: float) -> np.ndarray:
    """Log-probabilities of a segment's sampled tokens under temperature and top-p, by one forward pass."""
    import torch

    ids = torch.tensor(segment.ids, dtype=torch.long)
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(ids[None]).logits[0].double() / temperature, -1)
    places = np.flatnonzero(segment.sampled)
    rows = logprobs[places - 1]
    ordered, order = rows.sort(-1, descending=True)
    before = ordered.exp().cumsum(-1) - ordered.exp()
    kept = torch.zeros_like(rows, dtype=torch.bool).scatter(1, order, before < top_p)
    nucleus = rows.masked_fill(~kept, -torch.inf)
    normal = nucleus - nucleus.logsumexp(-1, keepdim=True)
    return normal[torch.arange(len(places)), ids[places]].numpy()
