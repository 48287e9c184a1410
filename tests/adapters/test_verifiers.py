"""Workers of verifiers' tasksets, with a stand-in for the package; the package itself is in the integration tests."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import pickle
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from llmgym.adapters.verifiers.env import Verifiers
from llmgym.adapters.verifiers.workers import Taskset
from llmgym.errors import ConfigError, EnvironmentFailure
from llmgym.messages import assistant, tool_call
from llmgym.policies import ScriptedPolicy
from llmgym.registry import make_core
from llmgym.rollout import Collector
from llmgym.testing import check_text_env
from llmgym.vector import TextVectorEnv

FOLDER = Path(__file__).parent / "worker"
HERE: dict[str, Any] = {"python": sys.executable, "path": str(FOLDER), "taskset": "troubles"}


def made(**options: Any) -> Verifiers:
    env = make_core("llmgym/Verifiers-v0", **{**HERE, **options})
    assert isinstance(env, Verifiers)
    return env


async def called(env: Verifiers, *calls: Any) -> list[str]:
    answers, *_ = await env.astep(assistant("", *calls))
    return [answer["content"] for answer in answers]


def test_an_episode() -> None:
    env = made()
    (opening,), info = env.reset(seed=0)
    assert opening["content"] == f"Say {env.task.answer}."
    assert [schema["function"]["name"] for schema in info["tools"]][:2] == ["keep", "die"]
    answers, *_ = env.step(assistant("", tool_call("keep", text="a"), tool_call("keep", text="a")))
    assert [answer["content"] for answer in answers] == ["1", "2"]
    _, reward, done, _, info = env.step(env.task.answer)
    assert (reward, done, info["reward_parts"], info["metrics"]["length"]) == (1.0, True, {"right": 1.0}, 2.0)
    env.close()


def test_tasks_are_the_rows_in_the_splits_of_the_taskset_or_in_two() -> None:
    env = made(args={"size": 10})
    assert (env.tasks.size("train"), env.tasks.size("test")) == (8, 2)
    env = made(args={"size": 10, "test": 3})
    assert (env.tasks.size("train"), env.tasks.size("test")) == (7, 3)
    assert env.tasks.get("test-2").answer == "2"
    assert env.tasks.get("train-2").metadata == {"info": 5}


def test_what_the_taskset_prints_is_no_answer_and_it_can_read_nothing() -> None:
    env = made()
    env.reset(seed=0)
    (answer,), *_ = env.step(assistant("", tool_call("read")))
    assert answer["content"] == "nothing"
    env.step(assistant("", tool_call("keep", text="a")))
    assert env.step(env.task.answer)[1] == 1.0


def test_calls_that_are_refused_here_are_none_there() -> None:
    env = made()
    env.reset(seed=0)
    said, *_ = env.step(assistant("", tool_call("nope"), tool_call("keep", txt=1), tool_call("keep", "{")))
    assert all(message["content"].startswith("Error: ") for message in said)
    calls = [tool_call("nope"), tool_call("keep", None, "one", text="a"), tool_call("process", None, "one")]
    said, *_ = env.step(assistant("", *calls))
    assert said[1]["content"] == "1"
    assert int(said[2]["content"]) > 0
    *_, info = env.step(env.task.answer)
    assert info["metrics"]["length"] == 2.0
    assert info["tool_errors"] == {"UnknownTool": 2, "InvalidArguments": 2}


def test_calls_of_a_message_that_a_trainer_runs_one_by_one() -> None:
    async def run() -> list[str]:
        env = made()
        await env.areset(seed=0)
        said = [await env.acall(tool_call("keep", text="a"), same=same) for same in (False, True, True)]
        return [answers[0]["content"] for answers, *_ in said]

    assert asyncio.run(run()) == ["1", "2", "3"]


@pytest.mark.parametrize("said", ["raise", "nan"])
def test_what_cannot_be_scored_is_unscored(said: str) -> None:
    env = made()
    env.reset(seed=0)
    if said == "nan":
        assert math.isnan(env.step(said)[1])
        return
    with pytest.raises(EnvironmentFailure, match="the reward function 'right' failed: RuntimeError: no key") as failure:
        env.step(said)
    assert (failure.value.kind, failure.value.stage) == ("environment", "verify")


def test_a_limit_of_ours_ends_the_rollout_and_scores_it() -> None:
    env = made(max_turns=1)
    env.reset(seed=0)
    _, reward, done, truncated, _ = env.step(assistant("", tool_call("keep", text="a")))
    assert (reward, done, truncated) == (0.0, False, True)


def test_a_worker_that_dies_leaves_its_episodes_unscored_and_the_next_has_another() -> None:
    async def run() -> None:
        envs = [made(args={"size": 41}) for _ in range(3)]
        for seed, env in enumerate(envs):
            await env.areset(seed=seed)
        (before,) = await called(envs[0], tool_call("process"))
        waiting = asyncio.create_task(called(envs[1], tool_call("wait", seconds=60)))
        await asyncio.sleep(0.1)
        with pytest.raises(EnvironmentFailure, match=r"(?s)has died; it wrote: .*no more memory") as dead:
            await called(envs[0], tool_call("die"))
        assert (dead.value.kind, dead.value.stage) == ("infrastructure", "tool")
        with pytest.raises(EnvironmentFailure, match="has died"):
            await waiting
        with pytest.raises(EnvironmentFailure, match="has died"):
            await envs[2].astep("0")
        for env in envs:
            await env.areset(seed=0)
        after = {(await called(env, tool_call("process")))[0] for env in envs}
        assert len(after) == 1
        assert before not in after

    asyncio.run(run())


def test_a_taskset_that_cannot_be_loaded_again(tmp_path: Path) -> None:
    env = made(args={"fails": f"again:{tmp_path / 'once'}"})
    env.reset(seed=0)
    with pytest.raises(EnvironmentFailure, match="has died"):
        env.step(assistant("", tool_call("die")))
    with pytest.raises(EnvironmentFailure, match="KeyError: 'not again'") as failure:
        env.reset(seed=0)
    assert failure.value.stage == "setup"


def test_a_call_past_its_deadline_ends_its_episode_and_no_other() -> None:
    async def run() -> None:
        slow, other = made(tool_timeout=0.5), made()
        await slow.areset(seed=0)
        await other.areset(seed=1)
        with pytest.raises(EnvironmentFailure, match="did not answer 'say' within") as late:
            await called(slow, tool_call("wait", seconds=60))
        assert (late.value.kind, late.value.stage) == ("timeout", "tool")
        assert await called(other, tool_call("keep", text="a")) == ["1"]
        await slow.areset(seed=0)
        assert await called(slow, tool_call("keep", text="a")) == ["1"]

    asyncio.run(run())


def test_a_worker_that_is_stuck_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgym.adapters.verifiers.workers._PONG_S", 0.3)

    async def run() -> None:
        env, other = made(tool_timeout=0.5, args={"size": 42}), made(args={"size": 42})
        await env.areset(seed=0)
        await other.areset(seed=1)
        with pytest.raises(EnvironmentFailure, match="did not answer"):
            await called(env, tool_call("block", seconds=60))
        with pytest.raises(EnvironmentFailure, match="has died"):
            await called(other, tool_call("process"))
        await other.areset(seed=1)
        assert await called(other, tool_call("keep", text="a")) == ["1"]

    asyncio.run(run())


def test_answers_are_bounded() -> None:
    env = made(args={"size": 43})
    env.reset(seed=0)
    (answer,), *_ = env.step(assistant("", tool_call("huge", characters=1_000_000)))
    assert "characters left out" in answer["content"]
    with pytest.raises(EnvironmentFailure, match=r"an answer has \d+ bytes"):
        env.step(assistant("", tool_call("huge", characters=40_000_000)))


def test_many_episodes_of_one_process_share_a_worker() -> None:
    async def episode(seed: int) -> str:
        env = made()
        await env.areset(seed=seed)
        first, second = await called(env, tool_call("process"), tool_call("keep", text="a"))
        assert second == "1"
        *_, info = await env.astep(env.task.answer if env.task else "")
        assert info["reward_parts"] == {"right": 1.0}
        await env.aclose()
        return first

    async def run() -> set[str]:
        return set(await asyncio.gather(*map(episode, range(50))))

    assert len(asyncio.run(run())) == 1


async def test_the_collector() -> None:
    env = {"id": "llmgym/Verifiers-v0", "kwargs": HERE}
    policy = ScriptedPolicy(lambda messages, tools: messages[-1]["content"][4:-1])
    summary = await Collector([env], policy, num_tasks=5, num_repeats=2).collect()
    assert (summary["scored"], summary["reward"]["mean"]) == (10, 1.0)


def test_the_vector() -> None:
    with contextlib.closing(TextVectorEnv("llmgym/Verifiers-v0", 3, **HERE)) as envs:
        envs.reset(seed=0)
        _, rewards, done, _, _ = envs.step(["0", "1", "2"])
        assert done.all()
        assert set(rewards) <= {0.0, 1.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"taskset": ""}, "name a taskset and an interpreter"),
        ({"python": "/no/such/python"}, r"there is no Python at '/no/such/python': .*pip install verifiers=="),
        ({"python": "/bin/cat"}, "has died; it wrote"),
        ({"taskset": "no-such-taskset"}, "no taskset 'no-such-taskset', nor in .*: install its package there"),
        ({"args": {"fails": "download"}}, "wants to download something.*ConnectionError: cannot reach the Hub"),
        ({"args": {"fails": "exit"}}, "cannot be loaded: SystemExit: 3"),
        ({"args": {"fails": "die"}}, "has died; it wrote: importing says this"),
        ({"args": {"fails": "raise"}}, "cannot be loaded: KeyError: 'no such level'"),
        ({"args": {"fails": "group"}}, "cannot be adapted: it has rewards of whole groups"),
        ({"args": {"fails": {1, 2}}}, "`args` of a taskset are JSON data"),
    ],
)
def test_a_taskset_that_cannot_be_loaded(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        made(**options)


@pytest.mark.parametrize("version", ["", "0.1.9", "0.1.15", "7.0"])
def test_a_version_that_was_not_tested(version: str, tmp_path: Path) -> None:
    if version:
        folder = tmp_path / f"verifiers-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: verifiers\nVersion: {version}\n")
    said = f"has verifiers {version}; llmgym was tested with 0.1.14 to below" if version else "has no verifiers: "
    with pytest.raises(ConfigError, match=said):
        made(path=str(tmp_path))


def test_nothing_of_the_package_is_in_this_process() -> None:
    before, numbers = set(sys.modules), random.getstate()
    env = made()
    env.reset(seed=0)
    env.step("1")
    assert "verifiers" not in sys.modules
    assert not [name for name in set(sys.modules) - before if name.startswith(("inside", "troubles"))]
    assert random.getstate() == numbers


def test_a_worker_ends_with_its_process() -> None:
    code = (
        "from llmgym.registry import make_core; import os, sys\n"
        f"env = make_core('llmgym/Verifiers-v0', **{HERE!r})\n"
        "print(env.kit.worker._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9) if sys.argv[1] == 'kill' else None"
    )
    for how in ("kill", "end"):
        pid = int(asyncio.run(_output(code, how)))
        for _ in range(100):
            if not _runs(pid):
                break
            asyncio.run(asyncio.sleep(0.1))
        assert not _runs(pid)


async def _output(*args: str) -> bytes:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", *args, stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "State:\tZ" not in status.read_text()


def test_it_conforms() -> None:
    check_text_env("llmgym/Verifiers-v0", num_tasks=3, seconds=1, **HERE)


def test_a_taskset_that_is_installed_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("from troubles import load_environment")
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    options = {"taskset": "late", "path": str(tmp_path)}
    (tmp_path / "late.py").rename(tmp_path / "early.py")
    with pytest.raises(ConfigError, match="no taskset 'late'"):
        made(**options)
    (tmp_path / "early.py").rename(tmp_path / "late.py")
    assert made(**options).tasks.size("train") == 32


def test_a_taskset_can_be_sent_to_another_process() -> None:
    kit = Taskset("troubles", sys.executable, "{}", str(FOLDER))
    assert pickle.loads(pickle.dumps(kit)) == kit
