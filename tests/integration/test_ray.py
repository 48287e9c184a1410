"""Runs on a Ray cluster of this machine: as in one process, whatever becomes of workers and of the driver."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
import pytest

from llmgym import batches
from llmgym.distributed import RayCollector
from llmgym.distributed.engines import EngineSetup
from llmgym.errors import PolicyError, PolicyUnavailable
from llmgym.policies.models import resolve
from llmgym.rollout import Collector, Endless, open_records, read_rollouts
from tests.command import ROOT, environ
from tests.distributed.compared import COMPARED, Waiting
from tests.distributed.engine import model_folder
from tests.distributed.machines import Machines
from tests.distributed.recorded import Letters, Recorded, check_exact, entries
from tests.integration.test_smollm2 import recomputed
from tests.judging import JUDGED
from tests.rollouts import LETTERS, shout_first
from tests.serving import Process, process

__all__ = ["process"]

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
SHOUT = "script:tests.rollouts.call_tools"


@pytest.fixture(scope="module", autouse=True)
def machines() -> Generator[Machines]:
    """A cluster for all tests of this file, since it takes ten seconds to start."""
    ray = pytest.importorskip("ray")
    machines = Machines(nodes=2, num_cpus=4)
    ray.init(address=machines.address, log_to_driver=False, logging_level="ERROR")
    yield machines
    ray.shutdown()
    machines.close()


def settled(run: Path) -> dict[str, Any]:
    """The rows of a run without what no two runs share."""
    rows = [orjson.loads(line) for line in (run / "rollouts.jsonl").read_bytes().splitlines()]
    for row in rows:
        del row["timings"]
        for turn in row["turns"]:
            del turn["engine_s"], turn["env_s"]
        for call in row.get("model_calls", ()):
            del call["seconds"]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: row for row in rows}


async def both(tmp_path: Path, env_ids: list[Any], policy: Any = SHOUT, **settings: Any) -> dict[str, Any]:
    """Run in one process and on two workers; see that they have the same rows, which are given."""
    one = Collector(env_ids, policy, output=tmp_path / "one", **settings)
    two = RayCollector(env_ids, policy, output=tmp_path / "two", num_workers=2, **settings)
    here, there = await one.collect(), await two.collect()
    assert {**here, "timings": 0} == {**there, "timings": 0}
    assert settled(tmp_path / "one") == settled(tmp_path / "two")
    for name in ("planned", "finished", "turns", "tokens", "scored", "reward_sum"):
        assert getattr(one.progress, name) == getattr(two.progress, name)
    return settled(tmp_path / "two")


async def test_a_run_is_the_same_as_in_one_process(tmp_path: Path) -> None:
    rows = await both(tmp_path, [LETTERS, "llmgym/Calculator-v0"], num_tasks=20, num_repeats=3)
    assert len(rows) == 2 * 20 * 3


def play(prompt: str) -> str:
    """Some move."""
    return "raise" if len(prompt) % 2 else "call"


async def test_games_of_several_agents_are_the_same(tmp_path: Path) -> None:
    policy = Recorded(play, tmp_path / "record")
    other = "frozen:script:tests.rollout.test_table.fold"
    seats = {"player_0": "train", "player_1": ["script", "frozen", other]}
    rows = await both(
        tmp_path, ["llmgym/Leduc-v0"], policy, codec=policy.codec, num_tasks=12, num_repeats=2, policies=seats
    )
    assert len(rows) == 12 * 2 * 2
    assert {row["policy"] for row in rows.values()} == {"train", "script", "frozen", other}
    assert check_exact(tmp_path / "two", policy.record) > 0


def judge(prompt: str) -> str:
    """Name a thing, and like what somebody names."""
    return "yes" if "Somebody says" in prompt else "a frog"


async def test_models_in_roles_are_the_same(tmp_path: Path) -> None:
    policy = Recorded(judge, tmp_path / "record")
    models = {"judge": "policy", "user": "script:tests.judging.in_a_hurry"}
    environments = [JUDGED, "llmgym/CustomerServiceLive-v0"]
    rows = await both(tmp_path, environments, policy, codec=policy.codec, num_tasks=6, num_repeats=2, models=models)
    assert {call["role"] for row in rows.values() for call in row["model_calls"]} == {"judge", "user"}
    assert {row["reward"] for row in rows.values() if row["env_id"] == JUDGED} == {1.0}
    assert check_exact(tmp_path / "two", policy.record) > 0


async def test_environments_at_a_server_are_the_same(tmp_path: Path, process: Callable[..., Process]) -> None:
    server = process("llmgym/Calculator-v0", "llmgym/Wordle-v0")
    environments = [
        {"id": "llmgym/Remote-v0", "kwargs": {"url": server.url, "env_id": f"llmgym/{name}-v0"}, "label": name}
        for name in ("Calculator", "Wordle")
    ]
    rows = await both(tmp_path, environments, "oracle", num_tasks=6, num_repeats=2)
    assert len(rows) == 2 * 6 * 2
    assert {row["reward"] for row in rows.values()} == {1.0}


def waiting(run: Path) -> int:
    """How many episodes of a run wait for the others of their groups."""
    return sum(len(file.read_bytes().splitlines()) for file in (run / "waiting").glob("*.jsonl"))


async def test_groups_that_score_each_other_are_the_same_and_lose_nothing(tmp_path: Path) -> None:
    policy = Waiting(tmp_path / "record", tmp_path / "gate", repeats=4)
    settings: dict[str, Any] = {
        "num_tasks": 4, "num_repeats": 4, "num_samples_in_parallel": 16, "codec": policy.codec,
        "models": {"judge": "script:tests.rollouts.answer"},
    }  # fmt: skip
    collector = RayCollector([COMPARED], policy, output=tmp_path / "two", num_workers=2, **settings)
    running = asyncio.create_task(collector.collect())
    while waiting(tmp_path / "two") < 12:  # noqa: ASYNC110 -- they are of other processes
        await asyncio.sleep(0.05)
    os.kill(entries(policy.record)[-1][0], signal.SIGKILL)
    policy.gate.touch()
    await running
    said = entries(policy.record)
    assert Counter(Counter(session for _, session, *_ in said).values()) == {1: 16}
    assert len({pid for pid, *_ in said}) >= 2
    assert not waiting(tmp_path / "two")
    await Collector([COMPARED], policy, output=tmp_path / "one", **settings).collect()
    assert settled(tmp_path / "one") == settled(tmp_path / "two")
    assert {row["reward"] for row in settled(tmp_path / "two").values()} == {1.0, 1.25, 1.5, 1.75}


async def test_a_model_judges_itself_in_a_worker_as_here(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "num_tasks": 1, "num_samples_in_parallel": 1, "models": {"judge": "policy"},
        "responses_create_params": {"temperature": 0.0, "max_output_tokens": 12},
    }  # fmt: skip
    await asyncio.gather(
        Collector([JUDGED], "smollm2", output=tmp_path / "one", **settings).collect(),
        RayCollector([JUDGED], "smollm2", output=tmp_path / "two", num_workers=1, **settings).collect(),
    )
    ((here,), (there,)) = (list(read_rollouts(tmp_path / run)) for run in ("one", "two"))
    assert (here.messages, here.reward, here.usage) == (there.messages, there.reward, there.usage)
    assert [call.reply for call in here.model_calls] == [call.reply for call in there.model_calls]
    ((segment,), (same,)) = (here.segments, there.segments)
    assert segment.ids.tolist() == same.ids.tolist()
    assert np.allclose(segment.logprobs[segment.sampled], same.logprobs[same.sampled], atol=1e-4)


def kill_when(record: Path, number: int, after: int) -> asyncio.Future[int]:
    """Send a signal to the process that spoke last, once there are so many replies; gives the process."""

    def wait() -> int:
        while len(said := entries(record)) < after:
            time.sleep(0.05)
        os.kill(said[-1][0], number)
        return said[-1][0]

    return asyncio.get_running_loop().run_in_executor(None, wait)


def wait_for_end(pid: int) -> None:
    """Wait for a process to be gone; one that was stopped is killed some seconds later."""
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_what_a_lost_worker_had_is_run_again(tmp_path: Path, number: int) -> None:
    record, run = tmp_path / "record", tmp_path / "run"
    policy = Recorded(shout_first, record, 0.2)
    collector = RayCollector(
        [LETTERS], policy, codec=policy.codec, output=run, num_workers=2, patience=5.0, num_repeats=4,
        num_samples_in_parallel=16, num_spare_repeats=1,
    )  # fmt: skip
    killing = kill_when(record, number, 40)
    summary = await collector.collect()
    lost = await killing
    assert (summary["finished"], summary["failed"], summary["reward"]["mean"]) == (104, {}, 1.25)
    assert len({pid for pid, *_ in entries(record)}) >= 3
    await asyncio.to_thread(wait_for_end, lost)
    tasks = Counter(name.rpartition("/")[0] for name in settled(run))
    assert set(tasks.values()) == {4}
    assert check_exact(run, record) > 0


async def shouted(tmp_path: Path) -> dict[str, Any]:
    """The rows of `shout_first` in one process."""
    policy = Recorded(shout_first, tmp_path / "one record")
    await Collector([LETTERS], policy, codec=policy.codec, output=tmp_path / "one", num_repeats=4).collect()
    return settled(tmp_path / "one")


async def replies(record: Path, number: int) -> None:
    """Wait until there are so many."""
    while len(entries(record)) < number:  # noqa: ASYNC110 -- they are of other processes
        await asyncio.sleep(0.05)


# Ray takes a minute to find that a machine stands still.
@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.soak)])
async def test_nodes_that_are_lost_change_nothing(tmp_path: Path, machines: Machines, number: int) -> None:
    record, run = tmp_path / "record", tmp_path / "run"
    policy = Recorded(shout_first, record, 0.2)
    collector = RayCollector(
        [LETTERS], policy, codec=policy.codec, output=run, num_workers=2, patience=5.0, num_repeats=4,
        num_samples_in_parallel=16,
    )  # fmt: skip
    running = asyncio.create_task(collector.collect())
    await replies(record, 40)
    if number == signal.SIGSTOP:
        machines.stop(machines.nodes[0])
    else:
        machines.kill(machines.nodes[0])
        await replies(record, 80)
        machines.kill(machines.nodes[0])  # the head is left, which runs nothing
        await asyncio.sleep(1.0)
        machines.add()
    summary = await running
    assert (summary["finished"], summary["failed"]) == (104, {})
    assert settled(run) == await shouted(tmp_path)
    assert check_exact(run, record) > 0
    if number == signal.SIGSTOP:
        machines.renew()
    else:
        machines.add()


def engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **settings: Any) -> RayCollector:
    """A run with an engine of its own, which answers as `Recorded` does."""
    monkeypatch.setattr("llmgym.distributed.collector.SERVER", "tests.distributed.engine")
    options = {"record": str(tmp_path / "record"), **settings.pop("policy_options", {})}
    return RayCollector(
        [LETTERS], f"vllm:{model_folder(tmp_path / 'model')}", codec=Letters(), num_workers=2, num_engines=1,
        patience=5.0, num_repeats=4, num_samples_in_parallel=16, policy_options=options, **settings,
    )  # fmt: skip


async def test_engines_that_are_lost_are_started_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    record, run = tmp_path / "record", tmp_path / "run"
    collector = engines(monkeypatch, tmp_path, output=run)
    running = asyncio.create_task(collector.collect())
    for number, after in ((signal.SIGKILL, 40), (signal.SIGSTOP, 120)):
        await replies(record, after)
        os.kill(entries(record)[-1][0], number)
    summary = await running
    assert (summary["finished"], summary["failed"], summary["reward"]["mean"]) == (104, {}, 1.25)
    assert len(settled(run)) == 104
    assert check_exact(run, record) > 0
    served = {pid for pid, *_ in entries(record)}
    assert len(served) == 3
    for pid in served:
        await asyncio.to_thread(wait_for_end, pid)


@pytest.mark.parametrize(
    ("options", "seconds", "said"),
    [
        ({"fail": True}, 60.0, r"its server ended; it said last:\sthere is no memory.*it ended with status 1"),
        ({"deaf": True}, 5.0, r"its server did not answer for 5 s; it said last:\sI hear nothing"),
    ],
)
async def test_an_engine_that_does_not_start_ends_the_run_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: dict[str, Any], seconds: float, said: str
) -> None:
    monkeypatch.setattr("llmgym.distributed.collector.EngineSetup", partial(EngineSetup, start_s=seconds))
    collector = engines(monkeypatch, tmp_path, policy_options=options)
    with pytest.raises(PolicyUnavailable, match=rf"(?s)engine \d on .* did not start: {said}"):
        await collector.collect()


def cores_of_engines() -> list[psutil.Process]:
    """The processes of vLLM's engine cores."""
    return [one for one in psutil.process_iter() if one.name() == "VLLM::EngineCore"]


@pytest.mark.vllm
@pytest.mark.timeout(900)
async def test_episodes_are_those_of_an_engine_that_dies_and_is_started_again(tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    run, sampling = tmp_path / "run", {"temperature": 0.8, "top_p": 0.9, "max_output_tokens": 32}
    collector = RayCollector(
        ["llmgym/Calculator-easy-v0"], "vllm:smollm2", output=run, num_workers=1, num_engines=1, num_tasks=8,
        max_turns=2, num_samples_in_parallel=2, responses_create_params=sampling,
        policy_options={"max_model_len": 2048},
    )  # fmt: skip

    def kill() -> None:
        while collector.progress.finished < 2:
            time.sleep(0.05)
        cores_of_engines()[0].kill()

    killing = asyncio.get_running_loop().run_in_executor(None, kill)
    summary = await collector.collect()
    await killing
    assert (summary["finished"], summary["failed"], len(settled(run))) == (8, {}, 8)
    for core in cores_of_engines():
        await asyncio.to_thread(wait_for_end, core.pid)

    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(resolve("smollm2"), dtype=torch.float32)
    for trajectory in read_rollouts(run):
        for segment in trajectory.segments:
            given = segment.logprobs[segment.sampled]
            assert np.allclose(recomputed(model, segment, temperature=0.8, top_p=0.9), given, atol=2e-3)


async def test_programs_play_the_same_episodes_with_exact_tokens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "examples/agent.py", tmp_path)
    monkeypatch.chdir(tmp_path)  # where the run is started, and Ray was not
    policy = Recorded(shout_first, tmp_path / "record")
    rows = await both(
        tmp_path, [LETTERS], policy, codec=policy.codec, num_tasks=3, num_repeats=2, num_samples_in_parallel=2,
        agent_command=f"{shlex.quote(sys.executable)} agent.py",
    )  # fmt: skip
    assert [row["reward"] for row in rows.values()] == [1.25] * 6
    assert check_exact(tmp_path / "two", policy.record) > 0


async def test_groups_and_batches_are_given(tmp_path: Path) -> None:
    policy = Recorded(shout_first, tmp_path / "record")
    collector = RayCollector(
        [LETTERS], policy, codec=policy.codec, num_workers=2, num_repeats=4, num_samples_in_parallel=8
    )
    seen = []
    async with aclosing(collector.stream(Endless())) as groups, aclosing(batches(groups, 8)) as stream:
        async for batch in stream:
            seen.append(batch)
            if len(seen) == 5:
                break
    assert all(len(batch.group_ids) == 32 for batch in seen)
    assert collector.progress.finished >= 5 * 32


async def test_a_policy_that_fails_ends_the_run_as_here(tmp_path: Path) -> None:
    collector = RayCollector(
        [LETTERS], "script:tests.rollouts.broken", output=tmp_path, num_workers=1, max_attempts=1,
        num_samples_in_parallel=4,
    )  # fmt: skip
    with pytest.raises(PolicyError, match=r"episodes in a row failed; the last: .*no idea.*the same command"):
        await collector.collect()
    assert open_records(tmp_path).failed
    assert not open_records(tmp_path).records


def test_a_killed_driver_goes_on_where_it_was(tmp_path: Path, machines: Machines) -> None:
    record, run = tmp_path / "record", tmp_path / "run"
    command = [sys.executable, "-m", "tests.distributed.driver", machines.address, str(run), str(record)]
    first = subprocess.Popen(command, cwd=ROOT, env=environ())
    while len(entries(record)) < 60:
        assert first.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    first.kill()
    first.wait()
    had = len(settled(run))
    assert 0 < had < 104
    subprocess.run(command, cwd=ROOT, env=environ(), check=True, timeout=120)
    assert len(settled(run)) == 104
    assert {row["reward"] for row in settled(run).values()} == {1.25}
    assert check_exact(run, record) > 0
