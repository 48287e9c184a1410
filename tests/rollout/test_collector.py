"""Many episodes at once: each exactly once, whatever fails, and whoever reads them."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmgym.errors import ConfigError, PolicyError, PolicyUnavailable, RegistryError, StoreError, TaskError
from llmgym.rollout import Collector, read_rollouts
from llmgym.rollout import store as store_module
from llmgym.rollout.folder import open_records, summarize_folder
from llmgym.trajectory import Trajectory
from tests import environments  # noqa: F401 -- registers test/Adder-v0
from tests.rollouts import (
    LETTERS,
    Script,
    WordPolicy,
    Words,
    answer,
    broken,
    call_faults,
    call_tools,
    letters,
    say,
    shout_first,
    trajectories,
)

ALPHABET = set("abcdefghijklmnopqrstuvwxyz")


def ids(folder: Path, file: str = "rollouts.jsonl") -> Counter[str]:
    return Counter(orjson.loads(line)["id"] for line in (folder / file).read_bytes().splitlines())


def whole(num_repeats: int = 1, tasks: set[str] = ALPHABET) -> Counter[str]:
    return Counter(f"{LETTERS}/{task}/{repeat}" for task in tasks for repeat in range(num_repeats))


# --- a run --------------------------------------------------------------------------------------


async def test_a_run_holds_each_repeat_of_each_task_once(tmp_path: Path) -> None:
    collector = letters(num_repeats=3)(policy=Script(call_tools), output=tmp_path / "a" / "run")
    summary = await collector.collect()
    assert ids(tmp_path / "a" / "run") == whole(3)
    assert (summary["planned"], summary["finished"], summary["scored"]) == (78, 78, 78)
    assert summary["reward"]["mean"] == 1.25
    assert orjson.loads((tmp_path / "a" / "run" / "summary.json").read_bytes()) == summary
    run = orjson.loads((tmp_path / "a" / "run" / "run.json").read_bytes())
    assert run["confirmed"]["model"] == "script"
    assert run["config"]["num_repeats"] == 3
    assert {"python", "llmgym", "gymnasium"} <= run["versions"].keys()
    assert collector.progress.finished == 78
    assert collector.progress.live == 0


async def test_a_run_without_a_folder_is_summarised_too() -> None:
    summary = await letters(num_tasks=5)(policy=Script(answer)).collect()
    assert (summary["finished"], summary["reward"]["mean"]) == (5, 1.0)


async def test_tokens_are_read_back_as_they_were_collected(tmp_path: Path) -> None:
    codec = Words()
    collector = letters(num_tasks=6)(policy=WordPolicy(codec, shout_first), codec=codec, output=tmp_path)
    found = await trajectories(collector)
    for trajectory in read_rollouts(tmp_path):
        one = found[trajectory.task_id]
        assert trajectory.turns == [
            replace(t, engine_s=round(t.engine_s, 6), env_s=round(t.env_s, 6)) for t in one.turns
        ]
        assert [s.ids.tolist() for s in trajectory.segments] == [s.ids.tolist() for s in one.segments]
        assert [s.logprobs.tolist() for s in trajectory.segments] == [s.logprobs.tolist() for s in one.segments]
    assert collector.progress.tokens == sum(t.sampled_tokens for t in found.values()) > 0
    assert collector.summary is not None
    assert collector.summary["tokens"]["sampled"] == collector.progress.tokens
    assert {t.sampling["max_output_tokens"] for t in found.values()} == {256}


async def test_repeats_start_alike_and_tasks_do_not() -> None:
    found = await trajectories(letters(num_tasks=3, num_repeats=2)(policy=Script(answer)))
    seeds = {name: t.seed for name, t in found.items()}
    assert len(set(seeds.values())) == 3
    assert all(seed == seeds[f"{name[0]}/0"] for name, seed in seeds.items())


async def test_the_plan_depends_on_the_seed_only() -> None:
    async def order(seed: int, parallel: int) -> list[str]:
        collector = letters(num_tasks=9, seed=seed, num_samples_in_parallel=parallel)(policy=Script(answer))
        return sorted([group.id async for group in collector.stream()])

    assert await order(0, 1) == await order(0, 7)
    assert await order(0, 1) != await order(1, 1)


async def test_environments_take_turns() -> None:
    order: list[str] = []

    def note(messages: Any, tools: Any) -> str:
        order.append("add" if tools[0]["function"]["name"] == "add" else "letters")
        return "?"

    collector = Collector([LETTERS, "test/Adder-v0"], Script(note), num_tasks=3, num_samples_in_parallel=1)
    summary = await collector.collect()
    assert order == ["letters", "add"] * 3
    assert summary["environments"].keys() == {LETTERS, "test/Adder-v0"}


async def test_settings_reach_the_environment() -> None:
    found = await trajectories(letters(num_tasks=1, split="test", max_turns=1)(policy=Script(call_tools)))
    assert found["A"].status == "max_turns"


# --- what fails ---------------------------------------------------------------------------------


async def test_what_fails_does_not_touch_the_others(tmp_path: Path) -> None:
    faults = {
        "a": "setup raise", "b": "setup hang", "c": "verify raise", "d": "verify hang", "e": "verify metric",
        "f": "opening raise", "g": "verify surrogate", "h": "verify unscored",
    }  # fmt: skip
    collector = letters(faults=faults, max_attempts=2, num_samples_in_parallel=26)(
        policy=Script(call_faults), output=tmp_path
    )
    found = await trajectories(collector)
    assert {name for name, t in found.items() if t.status == "env_error"} == set("abcdefg")
    assert all(found[name].reward is None and found[name].error for name in "abcdefg")
    assert found["h"].finished
    assert found["h"].reward is None
    assert all(found[name].reward == 1.0 for name in ALPHABET - set("abcdefgh"))
    assert {found[name].attempts for name in "abcdfg"} == {2}

    assert ids(tmp_path) == whole(tasks=ALPHABET - set("abcdefg"))
    assert ids(tmp_path, "failures.jsonl") == whole(tasks=set("abcdefg"))
    failures = [orjson.loads(line) for line in (tmp_path / "failures.jsonl").read_bytes().splitlines()]
    assert all(row["reward"] is None and row["status"] == "env_error" for row in failures)
    assert collector.summary is not None
    assert collector.summary["failed"] == {"environment": 3, "infrastructure": 1, "timeout": 2, "invalid": 1}
    assert (collector.summary["scored"], collector.summary["unscored"]) == (18, 1)
    assert "Letters.verify: TypeError" in str(found["e"].error)

    # The same command tries those again.
    again = letters(faults=faults, max_attempts=1)(policy=Script(call_faults), output=tmp_path)
    assert (await again.collect())["failed"] == {"environment": 3, "infrastructure": 1, "timeout": 2, "invalid": 1}
    assert again.progress.resumed == 19


async def test_what_fails_once_is_tried_again() -> None:
    found = await trajectories(
        letters(faults={"a": "verify raise"}, once=True, num_samples_in_parallel=1)(policy=Script(answer))
    )
    assert (found["a"].status, found["a"].attempts, found["a"].reward, found["a"].error) == ("completed", 2, 1.0, None)
    tries: Counter[str] = Counter()

    def stumble(prompt: str) -> str:
        tries[say(prompt)] += 1
        if say(prompt) == "B" and tries["B"] < 3:
            raise PolicyUnavailable("down")
        return say(prompt)

    codec = Words()
    policy = WordPolicy(codec, stumble)
    found = await trajectories(letters()(policy=policy, codec=codec))
    assert (found["b"].status, found["b"].attempts) == ("completed", 3)
    assert [session for *_, session in policy.requests if "/b/" in session] == [
        f"{LETTERS}/b/0", f"{LETTERS}/b/0/2", f"{LETTERS}/b/0/3",
    ]  # fmt: skip


async def test_a_hung_episode_is_not_tried_again() -> None:
    codec = Words()
    hang = WordPolicy(codec, lambda prompt: asyncio.sleep(3600) if say(prompt) == "A" else say(prompt))
    found = await trajectories(letters(episode_timeout=0.05)(policy=hang, codec=codec))
    assert (found["a"].status, found["a"].attempts) == ("timeout", 1)
    assert sum(t.finished for t in found.values()) == 25


def dies_after(replies: int, error: PolicyError) -> Callable[[str], str]:
    left = [replies]

    def reply(prompt: str) -> str:
        if left[0] == 0:
            raise error
        left[0] -= 1
        return say(prompt)

    return reply


async def test_many_failures_in_a_row_end_the_run_and_keep_what_finished(tmp_path: Path) -> None:
    codec = Words()
    die = dies_after(4, PolicyUnavailable("connection refused"))
    collector = letters(max_attempts=1, num_samples_in_parallel=2)(
        policy=WordPolicy(codec, die), codec=codec, output=tmp_path
    )
    with pytest.raises(PolicyError, match=r"16 episodes in a row failed; the last: .*connection refused; .* kept"):
        await collector.collect()
    assert orjson.loads((tmp_path / "summary.json").read_bytes())["finished"] == len(ids(tmp_path))
    healthy = letters(num_samples_in_parallel=2)(policy=WordPolicy(codec, say), codec=codec, output=tmp_path)
    await healthy.collect()
    assert ids(tmp_path) == whole()


async def test_a_policy_that_always_fails_gives_failures() -> None:
    collector = letters(num_tasks=3, max_attempts=2)(policy=Script(broken))
    summary = await collector.collect()
    assert (summary["finished"], summary["failed"]) == (0, {"policy": 3})
    assert "RuntimeError: no idea" in str(collector.progress.last_error)


async def test_a_policy_that_cannot_start_leaves_a_folder_that_any_run_may_have(tmp_path: Path) -> None:
    class Away(Script):
        def __init__(self) -> None:
            super().__init__(answer)
            self.start = self._start

        async def _start(self) -> None:
            raise PolicyUnavailable("no route")

    with pytest.raises(PolicyUnavailable, match="no route"):
        await letters()(policy=Away(), output=tmp_path / "run").collect()
    summary = await letters(seed=5)(policy=Script(answer), output=tmp_path / "run").collect()
    assert summary["finished"] == 26


@pytest.mark.parametrize(
    ("env_ids", "run", "kind", "said"),
    [
        (["test/Nothing-v0"], {}, RegistryError, "there is no environment 'test/Nothing-v0'"),
        (["no_such_module:test/X-v0"], {}, RegistryError, "no_such_module"),
        (["CartPole-v1"], {}, RegistryError, "not an llmgym.ToolEnv|cannot make CartPole-v1"),
        ([{"id": LETTERS, "kwargs": {"size": 3}}], {}, RegistryError, "unexpected keyword argument 'size'"),
        ([LETTERS], {"split": "dev"}, TaskError, "unknown split 'dev'; there is train, test"),
        ([LETTERS], {"num_tasks": 27}, ConfigError, "num_tasks is 27, but the split 'train' .* has 26 tasks; raise"),
        (["test/Adder-v0"], {}, ConfigError, "makes tasks without end: set num_tasks"),
        ([LETTERS], {"policy": "gpt"}, ConfigError, "unknown policy 'gpt'; there is smollm2"),
        ([LETTERS], {"policy": "script"}, ConfigError, "unknown policy 'script'"),
        ([LETTERS], {"policy": "smollm2:x"}, ConfigError, "unknown policy 'smollm2:x'"),
        ([LETTERS], {"policy": "human", "policy_options": {"eyes": 2}}, ConfigError, "policy 'human': "),
    ],
)
async def test_what_does_not_fit_is_said_before_anything_runs(
    env_ids: Any, run: Any, kind: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=said):
        await Collector(env_ids, **{"policy": "human", **run}, output=tmp_path / "run").collect()
    summary = await letters(seed=5)(policy=Script(answer), output=tmp_path / "run").collect()
    assert summary["finished"] == 26


# --- going on -----------------------------------------------------------------------------------


def counting() -> tuple[Script, list[str]]:
    asked: list[str] = []

    def script(messages: Any, tools: Any) -> str:
        asked.append(answer(messages, tools))
        return asked[-1]

    return Script(script), asked


async def test_a_run_is_extended_with_tasks_and_repeats(tmp_path: Path) -> None:
    first = await letters(num_tasks=4)(policy=Script(answer), output=tmp_path).collect()
    assert first["finished"] == 4
    policy, asked = counting()
    assert (await letters(num_tasks=4)(policy=policy, output=tmp_path).collect())["finished"] == 4
    assert asked == []
    await letters(num_tasks=10, num_repeats=3)(policy=policy, output=tmp_path).collect()
    assert len(asked) == 26
    tasks = {name.split("/")[-2] for name in ids(tmp_path)}
    assert len(tasks) == 10
    assert ids(tmp_path) == whole(3, tasks)


def test_a_run_folder_is_no_url() -> None:
    with pytest.raises(ConfigError, match=r"output 's3://mine/runs' is a URL.* `llmgym data push` it there"):
        letters()(output="s3://mine/runs")


async def test_a_run_may_be_asked_for_less(tmp_path: Path) -> None:
    await letters(num_tasks=8, num_repeats=2)(policy=Script(answer), output=tmp_path).collect()
    policy, asked = counting()
    less = letters(num_tasks=3)(policy=policy, output=tmp_path)
    assert len(await trajectories(less)) == 3
    assert less.summary is not None
    assert (less.summary["planned"], less.summary["finished"]) == (16, 16)
    assert summarize_folder(open_records(tmp_path)) == less.summary
    assert asked == []
    assert len(ids(tmp_path)) == 16


async def test_earlier_episodes_are_streamed_with_their_group(tmp_path: Path) -> None:
    codec = Words()

    def failing(prompt: str) -> str:
        if say(prompt) in "BD":
            raise PolicyError("not now")
        return say(prompt)

    first = letters(num_repeats=2, max_attempts=1)(policy=WordPolicy(codec, failing), codec=codec, output=tmp_path)
    await first.collect()
    second = letters(num_repeats=2)(policy=WordPolicy(codec, say), codec=codec, output=tmp_path)
    groups = [group async for group in second.stream()]
    assert len(groups) == 26
    for group in groups:
        assert [t.repeat for t in group.trajectories] == [0, 1]
        assert group.rewards == [1.0, 1.0]
        assert all(t.segments for t in group.trajectories)
    assert (second.progress.resumed, second.progress.finished) == (48, 4)


async def test_environments_may_be_wrapped_by_name(tmp_path: Path) -> None:
    def collector(*wrappers: dict[str, Any], **settings: Any) -> Collector:
        env = {"id": LETTERS, "wrappers": list(wrappers)}
        return Collector([env], Script(call_tools), output=tmp_path / "run", num_tasks=4, **settings)  # type: ignore[list-item]

    penalty = {"name": "ToolPenalty", "kwargs": {"per_call": 0.125}}
    transcripts = {"name": "RecordTranscript", "kwargs": {"path": str(tmp_path / "transcripts.jsonl")}}
    run = collector(
        {"name": "FilterTasks", "kwargs": {"metadata": {}}}, penalty, transcripts, {"name": "EpisodeStatistics"}
    )
    groups = [group async for group in run.stream()]
    plain = [group async for group in letters(num_tasks=4)(policy=Script(call_tools)).stream()]
    assert {group.id for group in groups} == {group.id for group in plain}
    for group in groups:
        (trajectory,) = group.trajectories
        assert trajectory.reward_parts["tool_penalty"].value == -0.125 * trajectory.metrics["tool_calls"] < 0
        assert trajectory.reward == 1.25 + trajectory.reward_parts["tool_penalty"].value
        assert trajectory.metrics["seconds"] > 0
    assert len((tmp_path / "transcripts.jsonl").read_text().splitlines()) == 4
    with pytest.raises(StoreError, match=r"environments\[0\]\.wrappers.* was"):
        await collector(penalty).collect()
    with pytest.raises(ConfigError, match="there is no wrapper 'Penalty'"):
        await collector({"name": "Penalty"}).collect()


async def test_another_run_is_refused(tmp_path: Path) -> None:
    await letters(num_tasks=2)(policy=Script(answer), output=tmp_path).collect()
    with pytest.raises(StoreError, match=r"seed was 0, is 1"):
        await letters(num_tasks=2, seed=1)(policy=Script(answer), output=tmp_path).collect()
    with pytest.raises(StoreError, match=r"responses_create_params.temperature was 1.0, is 0.5"):
        await letters(num_tasks=2, responses_create_params={"temperature": 0.5})(
            policy=Script(answer), output=tmp_path
        ).collect()
    with pytest.raises(StoreError, match=r"environments\[0\]\.kwargs\.faults was .*split was 'train', is 'test'"):
        await letters(faults={"z": "x"}, split="test")(policy=Script(answer), output=tmp_path).collect()
    # What does not matter to the episodes may change.
    await letters(num_tasks=2, num_samples_in_parallel=9, episode_timeout=7.0)(
        policy=Script(answer), output=tmp_path
    ).collect()


async def test_two_collectors_cannot_share_a_folder(tmp_path: Path) -> None:
    async with aclosing(letters()(policy=Script(answer), output=tmp_path).stream()) as groups:
        await anext(groups)
        with pytest.raises(StoreError, match="is in use"):
            await letters()(policy=Script(answer), output=tmp_path).collect()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(0, 16_000))
def test_a_run_cut_off_at_any_byte_is_made_whole(tmp_path: Path, size: int) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    asyncio.run(letters(num_tasks=4, num_repeats=2)(policy=Script(call_tools), output=folder).collect())
    file = folder / "rollouts.jsonl"
    before, wanted = file.read_bytes(), ids(folder)
    size = min(size, len(before))
    os.truncate(file, size)
    summary = asyncio.run(letters(num_tasks=4, num_repeats=2)(policy=Script(call_tools), output=folder).collect())
    assert ids(folder) == wanted
    assert summary["finished"] == 8
    assert file.read_bytes().startswith(before[: before.rfind(b"\n", 0, size) + 1])


async def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = os.write, [20_000]

    def limited(fd: int, data: Any) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = bytes(data)[: left[0]]
        left[0] -= len(part)
        return write(fd, part)

    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, "write", limited)
        with pytest.raises(StoreError, match="No space left on device"):
            await letters(num_repeats=2)(policy=Script(call_tools), output=tmp_path).collect()
    assert (tmp_path / "rollouts.jsonl").read_bytes().endswith(b"\n")
    done = len(ids(tmp_path))
    assert 0 < done < 52
    again = letters(num_repeats=2)(policy=Script(call_tools), output=tmp_path)
    await again.collect()
    assert ids(tmp_path) == whole(2)
    assert again.progress.resumed == done


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("parallel", [1, 2, 5, 64])
async def test_groups_come_whole_however_slow_the_reader(parallel: int) -> None:
    names: list[str] = []
    async for group in letters(num_repeats=3, num_samples_in_parallel=parallel)(policy=Script(answer)).stream():
        assert [t.repeat for t in group.trajectories] == [0, 1, 2]
        assert {t.group_id for t in group.trajectories} == {group.id}
        names.append(group.id)
        for _ in range(50):
            await asyncio.sleep(0)
    assert Counter(names) == Counter(f"{LETTERS}/{task}" for task in ALPHABET)


async def test_a_slow_reader_holds_the_episodes_back() -> None:
    collector = letters(num_samples_in_parallel=3)(policy=Script(answer))
    read = 0
    async for _ in collector.stream():
        read += 1
        for _ in range(200):
            await asyncio.sleep(0)
        assert collector.progress.finished <= read + 2 * 3


async def pending() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[operator]


async def test_runs_that_overlap_leave_the_cycle_collector_as_it_was() -> None:
    before = gc.get_threshold()
    first, second = (letters()(policy=Script(answer)).stream() for _ in range(2))
    await anext(first)
    await anext(second)
    await first.aclose()
    assert gc.get_threshold() != before, "the second goes on"
    await second.aclose()
    assert gc.get_threshold() == before


async def test_stopping_early_cancels_what_runs() -> None:
    cancelled: list[str] = []

    async def wait(messages: Any, tools: Any) -> str:
        if answer(messages, tools) != "A":
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancelled.append(answer(messages, tools))
                raise
        return "A"

    collector = letters(num_samples_in_parallel=26)(policy=Script(wait))
    async with aclosing(collector.stream()) as groups:
        group = await anext(groups)
        assert group.id == f"{LETTERS}/a"
    assert len(cancelled) == 25
    assert await pending() == set()
    assert collector.progress.live == 0
    assert collector.summary is not None
    assert collector.summary["finished"] == 1


async def test_an_error_of_the_reader_passes_through(tmp_path: Path) -> None:
    async def read() -> None:
        async with aclosing(letters()(policy=Script(answer), output=tmp_path).stream()) as groups:
            async for _ in groups:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await read()
    assert await pending() == set()
    assert orjson.loads((tmp_path / "summary.json").read_bytes())["finished"] == len(ids(tmp_path)) > 0
    await letters()(policy=Script(answer), output=tmp_path).collect()
    assert ids(tmp_path) == whole()


async def test_groups_that_are_ready_are_read_before_an_error() -> None:
    codec = Words()
    die = dies_after(5, PolicyError("gone"))
    collector = letters(max_attempts=1, num_samples_in_parallel=2)(policy=WordPolicy(codec, die), codec=codec)
    seen: list[Trajectory] = []

    async def read() -> None:
        async for group in collector.stream():
            seen.extend(group.trajectories)

    with pytest.raises(PolicyError, match="in a row"):
        await read()
    assert sum(t.finished for t in seen) == collector.progress.finished == 5
    assert await pending() == set()


async def test_cancelling_a_run_leaves_nothing_behind(tmp_path: Path) -> None:
    async def wait(messages: Any, tools: Any) -> str:
        if answer(messages, tools) != "A":
            await asyncio.sleep(3600)
        return "A"

    collector = letters(num_samples_in_parallel=26)(policy=Script(wait), output=tmp_path)
    task = asyncio.create_task(collector.collect())
    while not collector.progress.finished:  # noqa: ASYNC110 -- there is nothing to wait for
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pending() == set()
    assert orjson.loads((tmp_path / "summary.json").read_bytes())["finished"] == 1
    assert ids(tmp_path) == whole(tasks={"a"})


def test_a_run_needs_an_environment() -> None:
    with pytest.raises(ConfigError, match="env_ids is empty; name an environment"):
        Collector([])
