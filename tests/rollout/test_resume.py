"""What a resumed run goes on with: the same tasks, the same identity, and no model where nothing is owed."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import orjson
import pytest

from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError, PolicyUnavailable, StoreError
from llmgym.messages import user
from llmgym.policies.fingerprint import fingerprint
from llmgym.policies.scripted import ScriptedPolicy
from llmgym.rewards import Reward
from llmgym.rollout import Collector, Endless, open_records, read_rollouts
from llmgym.rollout.budget import Budget
from llmgym.rollout.config import EnvConfig
from llmgym.tasks import Task, TaskSet
from tests.rollouts import LETTERS, Script, answer

KNOWN = {"What is 2 + 2?": "4", "What is 1 + 1?": "2", "What is 3 + 3?": "6"}


def say(messages: Any, tools: Any) -> str:
    return f"The answer is {KNOWN[messages[-1]['content']]}."


class Sums:
    """Rows in a file, and runs over them."""

    def __init__(self, folder: Path) -> None:
        self.file, self.run = folder / "tasks.jsonl", folder / "run"

    def write(self, **answers: tuple[str, int]) -> None:
        rows = [{"id": key, "prompt": prompt, "answer": value} for key, (prompt, value) in answers.items()]
        self.file.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))

    def collector(self, policy: Any = None, **settings: Any) -> Collector:
        env: Any = {"id": "llmgym/Calculator-mental-v0", "kwargs": {"tasks": str(self.file)}}
        return Collector([env], policy or ScriptedPolicy(say), output=self.run, **settings)

    async def collect(self, **settings: Any) -> tuple[float, int]:
        summary = await self.collector(**settings).collect()
        return summary["reward"]["mean"], summary["finished"]


@pytest.fixture
def sums(tmp_path: Path) -> Sums:
    return Sums(tmp_path)


async def test_tasks_that_were_mended_or_removed_leave_no_stale_reward(sums: Sums) -> None:
    one, two, three = ("What is 2 + 2?", 4), ("What is 1 + 1?", 2), ("What is 3 + 3?", 6)
    wrong = ("What is 2 + 2?", 5)
    sums.write(q1=wrong, q2=two)
    assert await sums.collect() == (0.5, 2)
    sums.write(q1=one, q2=two)
    assert await sums.collect() == (1.0, 2)
    assert len(list(read_rollouts(sums.run))) == 2
    sums.write(q2=two, q3=three)
    assert await sums.collect() == (1.0, 2)
    sums.write(q1=wrong, q2=two)  # what is again what it was counts again
    assert await sums.collect() == (0.5, 2)
    assert len((sums.run / "rollouts.jsonl").read_bytes().splitlines()) == 4
    assert sorted(open_records(sums.run).records) == [f"llmgym/Calculator-mental-v0/{q}/0" for q in ("q1", "q2")]


async def test_a_task_that_was_mended_takes_all_of_its_repeats_with_it(sums: Sums) -> None:
    sums.write(q1=("What is 2 + 2?", 5))
    assert await sums.collect(num_repeats=3) == (0.0, 3)
    sums.write(q1=("What is 2 + 2?", 4))
    assert await sums.collect(num_repeats=1) == (1.0, 1)  # fewer of them this time


async def test_a_complete_run_is_summarised_without_its_policy(sums: Sums) -> None:
    sums.write(q1=("What is 2 + 2?", 4))
    await sums.collect()

    async def start() -> None:
        raise PolicyUnavailable("no route")

    away = ScriptedPolicy(say)
    away.start = start  # type: ignore[method-assign]
    collector = sums.collector(away)
    assert (await collector.collect())["finished"] == 1
    sums.write(q1=("What is 2 + 2?", 4), q2=("What is 1 + 1?", 2))
    with pytest.raises(PolicyUnavailable):
        await sums.collector(away).collect()
    assert len(open_records(sums.run).records) == 1


async def run(folder: Path, order: Any = None, policy: Any = None, **settings: Any) -> None:
    collector = Collector([LETTERS], policy or Script(answer), output=folder, **settings)
    if order is None:
        await collector.collect()
        return
    async with aclosing(collector.stream(order)) as groups:
        for _ in range(3):
            await anext(groups)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({"max_completion_length": 9}, {}, "max_completion_length was 9, is None"),
        ({}, {"max_completion_length": 9}, "max_completion_length was None, is 9"),
        ({}, {"context_management": {"strategy": "summarize"}}, "context_management was None, is "),
        ({}, {"seed": 1}, "seed was 0, is 1"),
        ({}, {"responses_create_params": {"top_p": 0.5}}, "top_p was 1.0, is 0.5"),
        ({}, {"responses_create_params": {"top_k": 5}}, "top_k was 0, is 5"),
        ({"responses_create_params": {"stop": ["b"]}}, {}, r"stop was \['b'\], is \[\]"),
        ({}, {"max_turns": 2}, "max_turns"),
    ],
)
async def test_whatever_decides_results_is_compared_both_ways(
    before: dict[str, Any], after: dict[str, Any], said: str, tmp_path: Path
) -> None:
    await run(tmp_path / "run", num_tasks=2, **before)
    with pytest.raises(StoreError, match=said):
        await run(tmp_path / "run", num_tasks=3, **after)
    await run(tmp_path / "run", num_tasks=3, num_repeats=2, num_samples_in_parallel=2, **before)  # extended


async def test_weights_are_compared_both_ways(tmp_path: Path) -> None:
    def of(version: int) -> Any:
        policy: Any = Script(answer)
        policy.version = version
        return policy

    await run(tmp_path / "run", policy=of(7), num_tasks=2)
    with pytest.raises(StoreError, match="weights was 7, is 0"):
        await run(tmp_path / "run", policy=of(0), num_tasks=3)


async def test_an_order_without_end_is_resumed_with_the_same_groups(tmp_path: Path) -> None:
    await run(tmp_path / "run", Endless(), num_repeats=2)
    await run(tmp_path / "run", Endless(), num_repeats=2)
    with pytest.raises(StoreError, match=r"order.num_repeats was 2, is 3"):
        await run(tmp_path / "run", Endless(), num_repeats=3)
    with pytest.raises(StoreError, match=r"order"):
        await run(tmp_path / "run", num_repeats=2)


def test_the_folder_is_compared_before_a_model_is_loaded(tmp_path: Path) -> None:
    asyncio.run(run(tmp_path / "run", num_tasks=2))

    class Heavy(Script):
        loaded = False

        async def start(self) -> None:
            Heavy.loaded = True

    with pytest.raises(StoreError):
        asyncio.run(run(tmp_path / "run", policy=Heavy(answer), num_tasks=2, seed=3))
    assert not Heavy.loaded


def test_arguments_of_the_registration_are_part_of_a_run(tmp_path: Path) -> None:
    name = "test/Registered-v0"

    def register(**kwargs: Any) -> None:
        gymnasium.registry.pop(name, None)
        gymnasium.register(name, entry_point="tests.rollouts:Letters", kwargs=kwargs)

    register(max_turns=6)
    collect = lambda number: Collector([name], Script(answer), output=tmp_path / "run", num_tasks=number).collect()  # noqa: E731
    asyncio.run(collect(2))
    register(max_turns=3)
    with pytest.raises(StoreError, match=r"kwargs\.max_turns was 6, is 3"):
        asyncio.run(collect(3))


async def test_a_split_of_the_registration_is_that_of_the_run() -> None:
    name = "test/Registered-v0"
    gymnasium.registry.pop(name, None)
    gymnasium.register(name, entry_point="tests.rollouts:Letters", kwargs={"split": "test"})
    with pytest.raises(ConfigError, match=f"{name} is registered with split='test', and the run draws from 'train'"):
        await Collector([name], Script(answer)).collect()
    assert (await Collector([name], Script(answer), split="test").collect())["finished"] == 1


def test_secrets_are_never_written(tmp_path: Path) -> None:
    options = {"api_key": "sk-SECRET", "base_url": "http://name:SECRET@127.0.0.1:9/v1", "max_retries": 0}
    collector = Collector([LETTERS], "openai:m", policy_options=options, num_tasks=1, output=tmp_path / "run")
    with pytest.raises(PolicyUnavailable) as error:
        asyncio.run(collector.collect())
    assert "SECRET" not in str(error.value)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"SECRET" not in written


def test_a_lost_description_is_refused(tmp_path: Path) -> None:
    asyncio.run(run(tmp_path / "run", num_tasks=2))
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(StoreError, match=r"no run\.json"):
        asyncio.run(run(tmp_path / "run", num_tasks=2))
    with pytest.raises(StoreError, match="no name"):
        asyncio.run(run(Path(), num_tasks=2))


async def test_a_time_budget_ends_in_order_and_the_rest_is_owed(tmp_path: Path) -> None:
    async def slow(messages: Any, tools: Any) -> str:
        await asyncio.sleep(0.05)
        return answer(messages, tools)

    collector = Collector(
        [LETTERS], Script(slow), output=tmp_path / "run", time_budget=0.2, num_samples_in_parallel=2, max_attempts=1
    )
    began = time.perf_counter()
    summary = await collector.collect()
    assert 0 < summary["finished"] < 26
    assert summary["planned"] == 26
    assert summary["failed"] == {}
    assert time.perf_counter() - began < 10
    summary = await Collector([LETTERS], Script(answer), output=tmp_path / "run").collect()
    assert summary["finished"] == 26
    with pytest.raises(ConfigError, match="time_budget: Expected"):
        Collector([LETTERS], Script(answer), time_budget=0)


@pytest.mark.slow
async def test_a_budget_is_for_episodes_however_many_tasks_there_are(tmp_path: Path) -> None:
    for before in (0, 1):  # to make all of the tasks takes minutes
        summary = await Collector(
            ["llmgym/Calculator-v0"], "oracle", output=tmp_path, num_tasks=400_000 if before else 5, time_budget=3
        ).collect()
        assert summary["finished"] > 5 * before


@pytest.mark.parametrize("order", [None, Endless()])
async def test_a_budget_that_is_spent_starts_nothing_and_passes_on_what_is_there(order: Any, tmp_path: Path) -> None:
    first: list[str] = []
    collector = Collector([LETTERS], Script(answer), output=tmp_path, num_tasks=5, num_samples_in_parallel=3)
    async with aclosing(collector.stream(order)) as groups:
        async for group in groups:
            first.append(group.id)
            if len(first) == 5:
                break
    again = Collector(
        [LETTERS], Script(answer), output=tmp_path, num_tasks=9, num_samples_in_parallel=3, time_budget=1e-9
    )
    found = [group.id async for group in again.stream(order)]
    assert (again.progress.finished, again.progress.resumed) == (0, len(found))
    assert set(first) <= set(found)
    assert again.progress.left == (4 if order is None else 0)


def test_a_budget_keeps_a_margin_that_the_episodes_tell() -> None:
    budget = Budget(100.0, ())
    assert not budget.is_spent()
    for seconds in [1.0] * 10 + [500.0] * 10:
        budget.note(seconds)
    assert budget.margin_s == 500.0
    assert budget.is_spent()
    assert not Budget(None, ()).is_spent()


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_checkpoint_that_is_overwritten_has_another_fingerprint(suffix: str, tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    rng = numpy.random.default_rng(0)
    tensors = {f"layer.{i}": rng.standard_normal((64, 64)).astype("float32") for i in range(8)}

    def save(folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("{}")
        if suffix == "bin":
            (folder / "model.bin").write_bytes(b"".join(tensor.tobytes() for tensor in tensors.values()))
            return
        pytest.importorskip("safetensors.numpy").save_file(tensors, folder / "model.safetensors")

    save(tmp_path / "a")
    save(tmp_path / "b")
    first = fingerprint(tmp_path / "a")
    assert first == fingerprint(tmp_path / "b") is not None
    tensors["layer.7"] += 1e-3  # the others are frozen
    save(tmp_path / "a")
    assert fingerprint(tmp_path / "a") != first
    assert fingerprint(tmp_path / "nowhere") is None


def verdict_one(messages: Any, tools: Any) -> str:
    return "1"


def verdict_zero(messages: Any, tools: Any) -> str:
    return "0"


class Graded(ToolEnv):
    """A judge grades it; takes a word from a list of words in each episode."""

    tasks = TaskSet.generated(lambda rng: Task(prompt=f"say {rng.integers(10**9)}"))
    roles = ("judge",)

    def __init__(self, words: Any = ("a",), **options: Any) -> None:
        super().__init__(**options)
        self.words = words

    async def verify(self, episode: Episode) -> Reward:
        verdict = await self.models["judge"].chat([user("Grade it.")])
        if isinstance(self.words, list):
            self.words.append("seen")
        return Reward(correct=float(verdict["content"]), metrics={"words": len(self.words)})


gymnasium.register("test/Graded-v0", entry_point=Graded)


def graded(folder: Path, judge: str, num_tasks: int = 2, **settings: Any) -> Collector:
    env: Any = {"id": "test/Graded-v0", "kwargs": settings.pop("kwargs", {})}
    models: Any = {"judge": f"script:{__name__}.{judge}"}
    policy = settings.pop("policy", ScriptedPolicy(say_a))
    return Collector([env], policy, models=models, output=folder, num_tasks=num_tasks, **settings)


def say_a(messages: Any, tools: Any) -> str:
    return "a"


async def test_another_judge_is_another_run(tmp_path: Path) -> None:
    assert (await graded(tmp_path, "verdict_one").collect())["reward"]["mean"] == 1.0
    with pytest.raises(StoreError, match=r"models\.judge\.model was .*verdict_one', is .*verdict_zero'"):
        await graded(tmp_path, "verdict_zero", 4).collect()
    assert (await graded(tmp_path, "verdict_one", 4).collect())["finished"] == 4


async def test_numbers_beyond_64_bits_name_a_run_as_any_others_do(tmp_path: Path) -> None:
    huge: Any = {"kwargs": {"words": ["a", 10**30]}, "seed": 10**25}
    await graded(tmp_path, "verdict_one", **huge).collect()
    assert (await graded(tmp_path, "verdict_one", 3, **huge).collect())["finished"] == 3
    with pytest.raises(StoreError, match="seed was 1"):
        await graded(tmp_path, "verdict_one", **huge | {"seed": 10**25 + 1}).collect()


async def test_arguments_of_environments_may_be_objects(sums: Sums) -> None:
    sums.write(q1=("What is 2 + 2?", 4), q2=("What is 1 + 1?", 2))

    def collector(most: int) -> Collector:
        kwargs = {"tasks": sums.file, "max_operand": np.int64(most)}
        env = EnvConfig("llmgym/Calculator-mental-v0", kwargs)
        return Collector.from_config(Collector([env], ScriptedPolicy(say)).config, sums.run)

    assert (await collector(50).collect())["finished"] == 2
    [known] = orjson.loads((sums.run / "run.json").read_bytes())["config"]["env_ids"]
    assert known["kwargs"] == {"tasks": str(sums.file), "max_operand": 50}
    with pytest.raises(StoreError, match="max_operand was 50, is 60"):
        await collector(60).collect()


async def test_what_an_instance_does_to_its_arguments_no_other_sees(tmp_path: Path) -> None:
    words, together = ["a"], asyncio.Barrier(8)  # else an instance has ended an episode before another is needed

    async def say(messages: Any, tools: Any) -> str:
        await together.wait()
        return "a"

    collector = graded(tmp_path, "verdict_one", 8, kwargs={"words": words}, policy=Script(say))
    episodes = [t async for group in collector.stream() for t in group.trajectories]
    assert [t.metrics["words"] for t in episodes] == [2] * 8  # an instance each
    assert words == ["a"]
    assert collector.config.tasks.environments[0].kwargs == {"words": ["a"]}
