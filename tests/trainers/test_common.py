"""The contract of trainers' adapters: what a dataset holds, how an episode is run, what comes of it."""

from __future__ import annotations

import asyncio
import math
import shlex
import string
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import ConfigError, EnvironmentFailure, PolicyError, TaskError
from llmgym.policies import Generation, Sampling
from llmgym.rollout.config import EnvConfig, ResponsesCreateParams, WrapperConfig
from llmgym.trainers.common import Episodes, TaskRef, TrainerPolicy, metrics, task_rows
from llmgym.trainers.siblings import Siblings
from llmgym.trainers.text import TextEpisodes
from llmgym.trajectory import Status, Trajectory, Turn, segment_of
from tests.exactness import FuzzPolicy, Recording
from tests.rollouts import PLAIN, ROOT
from tests.trainers.contract import BAD, GOOD, TROUBLE, check, hindered, row_of

pytest.importorskip("transformers")
pytest.importorskip("torch")
from tests.trainers.tiny import tiny_tokenizer

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 53), 1 << 53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KWARGS = st.dictionaries(st.text(), JSON, max_size=2)
REFS = st.builds(
    TaskRef,
    st.builds(EnvConfig, st.text(), KWARGS, st.lists(st.builds(WrapperConfig, st.text(), KWARGS), max_size=2)),
    st.text(),
    st.integers(0, (1 << 63) - 1),
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


@pytest.fixture
def episodes(tokenizer: Any) -> Iterator[Episodes]:
    made = Episodes(tokenizer, env_ids=[TROUBLE], max_attempts=1, max_turns=4)
    yield made
    made.close()


def ref(task_id: str, **kwargs: Any) -> TaskRef:
    return TaskRef(EnvConfig(TROUBLE, kwargs), task_id, 5)


def fuzz(episodes: Episodes, tokenizer: Any, seed: int = 0, **options: Any) -> Recording:
    assert episodes.codec is not None
    return Recording(FuzzPolicy(tokenizer, episodes.codec.stop_token_ids, seed, **options))


# --- datasets -----------------------------------------------------------------------------------


@given(REFS)
def test_a_task_survives_its_text(given: TaskRef) -> None:
    assert TaskRef.loads(given.dumps()) == given


@pytest.mark.parametrize("text", ["", "7", "{", '{"env": {"id": "a"}, "task_id": "b"}', '{"other": 1}', None])
def test_a_text_that_is_no_task_is_shown(text: Any) -> None:
    with pytest.raises(ConfigError, match="not a task that llmgym wrote"):
        TaskRef.loads(text)


def test_rows_open_as_the_environment_does() -> None:
    rows = task_rows(env_ids=[PLAIN], num_tasks=26, seed=3)
    assert {row.ref.task_id for row in rows} == set(string.ascii_lowercase)
    for row in rows:
        letter = row.ref.task_id
        assert [message["content"] for message in row.messages] == ["Be brief.", f"spell {letter}"]
        assert [tool["function"]["name"] for tool in row.tools] == ["shout", "fail"]
        assert (row.ref.env, row.answer) == (EnvConfig(PLAIN), letter.upper())
    assert len({row.ref.seed for row in rows}) == len(rows)


def test_a_setup_that_fails_is_said_before_training() -> None:
    with pytest.raises(EnvironmentFailure, match=r"test/Trouble-v0, task setup: .*lost"):
        task_rows(env_ids=[TROUBLE], num_tasks=8)


def test_settings_that_make_no_sense_are_named() -> None:
    with pytest.raises(ConfigError, match=r"'max_turn'.*did you mean max_turns"):
        Episodes(max_turn=3)
    with pytest.raises(ConfigError, match="fsync_seconds is a setting of runs"):
        Episodes(fsync_seconds=1)
    with pytest.raises(ConfigError, match="models: judge is 'policy', which is the trainer's"):
        Episodes(models={"judge": "policy"})
    with pytest.raises(ConfigError, match="num_tasks is 9"):
        task_rows(env_ids=[TROUBLE], num_tasks=9)


# --- episodes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_rows_are_what_the_engine_took_and_gave(episodes: Episodes, tokenizer: Any, seed: int) -> None:
    engine = fuzz(episodes, tokenizer, seed)
    tasks = [(ref(task), repeat) for task in (*GOOD, *BAD) for repeat in range(3)]
    found = await asyncio.gather(*(episodes.run(task, engine, repeat=repeat) for task, repeat in tasks))
    samples = [sample for trajectory in found for sample in episodes.samples(trajectory)]
    check([row_of(sample) for sample in samples], engine)
    check([row_of(episodes.sample(trajectory)) for trajectory in found], engine)
    for sample in samples:
        assert [sample.completion_ids[end - 1] for _, end in sample.spans[-1:]] in ([], [sample.completion_ids[-1]])
        if sample.reward is not None:
            trained = {place for start, end in sample.spans for place in range(start, end)}
            assert sample.loss_mask == [int(place in trained) for place in range(len(sample.loss_mask))]


async def test_an_agent_program_plays_for_a_trainer(tokenizer: Any) -> None:
    pytest.importorskip("uvicorn")
    pytest.importorskip("mcp")
    agent = shlex.join([sys.executable, str(ROOT / "tests/serve/branching.py")])
    episodes = Episodes(tokenizer, env_ids=[TROUBLE], max_attempts=1, agent_command=agent)
    engine = fuzz(episodes, tokenizer, only_turns=True, turns=[tokenizer.encode("So be it.<|im_end|>")])
    found = await asyncio.gather(*(episodes.run(ref(GOOD[0]), engine, repeat=repeat) for repeat in range(3)))
    for trajectory in found:
        assert [segment.role for segment in trajectory.segments] == ["agent", "auxiliary", "abandoned"]
        (sample,) = episodes.samples(trajectory)
        check([row_of(sample)], engine)
        assert sample.segment == 0
    episodes.close()


def test_text_and_tools_of_a_trainer_know_no_program(tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match="agent_command: here the trainer asks the policy"):
        TextEpisodes(tokenizer, env_ids=[TROUBLE], agent_command="agent")


def test_the_row_of_an_episode_is_the_segment_in_which_most_was_sampled(episodes: Episodes) -> None:
    trajectory = Trajectory("env", "task", 0, 0, reward=0.5)
    for number, sampled in enumerate(([(2, 3)], [(1, 3), (5, 6)], [(1, 3)])):
        trajectory.turns += [Turn(0.1, "stop", 0.0, 0.0, number, start, end) for start, end in sampled]
        trajectory.segments.append(segment_of(range(6), sampled, [-1.0] * sum(end - start for start, end in sampled)))
    assert [sum(sample.loss_mask) for sample in episodes.samples(trajectory)] == [1, 3, 2]
    sample = episodes.sample(trajectory)
    assert (sample.prompt_ids, sample.completion_ids) == ([0], [1, 2, 3, 4, 5])
    assert (sample.loss_mask, sample.spans) == ([1, 1, 0, 0, 1], [(0, 2), (4, 5)])
    assert sample.rewards == pytest.approx([0.0, 0.1, 0.0, 0.0, 0.3])  # what the other two turns earned, too


def test_an_empty_reply_at_the_end_leaves_no_context_behind(episodes: Episodes) -> None:
    trajectory = Trajectory("env", "task", 0, 0, reward=1.0)
    trajectory.turns = [Turn(0.5, "stop", 0.0, 0.0, 0, 1, 3), Turn(0.5, "length", 0.0, 0.0, 0, 5, 5)]
    trajectory.segments = [segment_of(range(5), [(1, 3)], [-1.0, -1.0])]
    (sample,) = episodes.samples(trajectory)
    assert (sample.prompt_ids, sample.completion_ids, sample.loss_mask) == ([0], [1, 2], [1, 1])


async def test_failures_are_rows_that_train_nothing(
    episodes: Episodes, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine = fuzz(episodes, tokenizer)
    failing = hindered(engine, lambda request: request.endswith("/0"))
    cases = [
        await episodes.run(ref("setup"), engine),
        await episodes.run(ref("verify"), engine),
        await episodes.run(ref("unscored"), engine),
        await episodes.run(ref(GOOD[0]), failing),
    ]
    assert [case.status for case in cases][:1] == ["env_error"]
    failed = [case for case in cases if case.error is not None]
    assert [record.getMessage() for record in caplog.records] == [f"{c.id}: {c.status}: {c.error}" for c in failed]
    assert len(failed) == 3
    for case in cases:
        assert case.reward is None
        sample = episodes.sample(case)
        assert sample.reward is None
        assert sample.prompt_ids
        assert sample.completion_ids
        assert not any(sample.loss_mask)
    counted = metrics(cases)
    assert counted["llmgym/unscored"] == 1.0
    assert counted["llmgym/status/policy_error"] == 0.25
    assert sum(share for name, share in counted.items() if "/status/" in name) == 1.0


def test_metrics_of_nothing_are_none() -> None:
    assert metrics([]) == {}


async def test_an_overflowing_context_ends_an_episode_and_does_not_fail_it(episodes: Episodes, tokenizer: Any) -> None:
    row = await episodes.row(ref(GOOD[0]))
    assert episodes.codec is not None
    opening = len(episodes.codec.open(row.messages, row.tools))
    engine = fuzz(episodes, tokenizer, context_length=opening + 30)
    found = [await episodes.run(ref(GOOD[0]), engine, repeat=repeat) for repeat in range(12)]
    assert "context_length" in {trajectory.status for trajectory in found}
    for trajectory in found:
        sample = episodes.sample(trajectory)
        assert trajectory.reward is not None
        assert len(sample.prompt_ids) + len(sample.completion_ids) <= opening + 30
    none = fuzz(episodes, tokenizer, context_length=opening)
    trajectory = await episodes.run(ref(GOOD[0]), none)
    assert (trajectory.status, trajectory.turns) == ("context_length", [])
    assert not any(episodes.sample(trajectory).loss_mask)


async def test_sampling_may_differ_from_episode_to_episode(episodes: Episodes, tokenizer: Any) -> None:
    engine = fuzz(episodes, tokenizer)
    await episodes.run(ref(GOOD[0]), engine, params=ResponsesCreateParams(0.5, 0.9, 7))
    (requests,) = engine.requests.values()
    for request in requests:
        assert (request.sampling.temperature, request.sampling.top_p) == (0.5, 0.9)
        assert request.sampling.max_tokens <= 7


@pytest.mark.parametrize("floor", [-9999.0, -math.inf, math.nan])
async def test_no_floor_of_an_engine_reaches_a_trainer(episodes: Episodes, tokenizer: Any, floor: float) -> None:
    """Whatever an adapter takes its log-probabilities from: all of them run their episodes so."""
    engine = fuzz(episodes, tokenizer)

    async def generate(prompt_ids: Any, sampling: Sampling, **ids: str) -> Generation:
        reply = await engine.generate(prompt_ids, sampling, **ids)
        return replace(reply, logprobs=[*reply.logprobs[:-1], floor])

    trajectory = await episodes.run(ref(GOOD[0]), TrainerPolicy("trainer", generate, tokenizer, 4096))
    assert trajectory.status == "policy_error"
    assert f"a log-probability of {floor}" in str(trajectory.error)
    sample = episodes.sample(trajectory)
    assert (sample.reward, sum(sample.loss_mask), set(sample.logprobs)) == (None, 0, {0.0})


async def test_a_task_that_is_not_there_is_an_error_of_the_caller(episodes: Episodes, tokenizer: Any) -> None:
    with pytest.raises(TaskError, match="nowhere"):
        await episodes.run(ref("nowhere"), fuzz(episodes, tokenizer))


async def test_environments_with_other_arguments_are_others(episodes: Episodes) -> None:
    plain, other = episodes.instances(EnvConfig(TROUBLE)), episodes.instances(EnvConfig(TROUBLE, {"max_turns": 3}))
    assert plain is not other
    assert episodes.instances(EnvConfig(TROUBLE)) is plain


# --- stand-ins ----------------------------------------------------------------------------------


async def test_an_episode_without_a_reward_gets_the_mean_of_its_siblings() -> None:
    siblings = Siblings()

    async def episode(seconds: float, reward: float | None) -> Trajectory:
        await asyncio.sleep(seconds)
        return Trajectory("env", "task", 0, 0, reward=reward)

    def run(task: str, *rewards: float | None) -> list[Any]:
        return [siblings.reward(ref(task), episode(0.001 * (i % 3), reward)) for i, reward in enumerate(rewards)]

    found = await asyncio.gather(
        *run("a", None, 1.0, 0.5, None), *run("b", None, None), *run("c", 3.0), *run("d", 0.25, None)
    )
    assert [reward for _, reward in found] == [0.75, 1.0, 0.5, 0.75, 0.0, 0.0, 3.0, 0.25, 0.25]
    assert not siblings._running
    later = await asyncio.gather(*run("a", None, None), *run("b", None))
    assert [reward for _, reward in later] == [0.75, 0.75, 0.0], "of those before, where none at once has one"


async def test_a_sibling_that_is_cancelled_or_fails_keeps_nobody_waiting() -> None:
    siblings = Siblings()

    async def broken() -> Trajectory:
        await asyncio.sleep(0)
        raise ConfigError("no such environment")

    async def endless() -> Trajectory:
        await asyncio.sleep(3600)
        raise AssertionError

    async def unscored() -> Trajectory:
        return Trajectory("env", "task", 0, 0)

    waiting = asyncio.create_task(siblings.reward(ref("a"), unscored()))
    impatient = asyncio.create_task(siblings.reward(ref("a"), unscored()))
    failing = asyncio.create_task(siblings.reward(ref("a"), broken()))
    cancelled = asyncio.create_task(siblings.reward(ref("a"), endless()))
    await asyncio.sleep(0.01)
    impatient.cancel()
    done = [*(await asyncio.gather(failing, impatient, return_exceptions=True))]
    assert [task.done() for task in (waiting, impatient, cancelled)] == [False, True, False]
    cancelled.cancel()
    _, reward = await asyncio.wait_for(waiting, 5)
    assert reward == 0.0
    done += await asyncio.gather(cancelled, return_exceptions=True)
    assert [type(one) for one in done] == [ConfigError, asyncio.CancelledError, asyncio.CancelledError]
    assert not siblings._running


async def test_an_engine_that_never_answers_ends_the_run() -> None:
    siblings = Siblings()

    async def episode(status: Status) -> Trajectory:
        return Trajectory("env", "task", 0, 0, status=status, error="no engine")

    async def run(count: int, status: Status) -> None:
        await asyncio.gather(*(siblings.reward(ref("a"), episode(status)) for _ in range(count)))

    await run(63, "policy_error")
    await run(1, "env_error")
    await run(63, "policy_error")
    with pytest.raises(PolicyError, match="64 episodes on end got no reply, the last: no engine"):
        await run(1, "policy_error")
    assert not siblings._running


# --- trainers -----------------------------------------------------------------------------------


def test_a_policy_of_a_trainer_is_a_token_policy() -> None:
    from llmgym.policies.base import TokenPolicy

    async def generate(*_: Any, **__: Any) -> Any: ...

    policy = TrainerPolicy("trainer", generate, None, 10)
    assert isinstance(policy, TokenPolicy)
    assert (policy.name, policy.model, policy.logprobs_mode) == ("trainer", "trainer", "processed")
