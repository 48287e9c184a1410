"""Episodes that a program plays, through the collector: scored, with exact tokens; what fails is no reward."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("mcp")

from llmgym.errors import ConfigError, PolicyUnavailable, StoreError
from llmgym.rollout import Collector, Endless, read_rollouts
from llmgym.trajectory import Trajectory
from tests.command import environ
from tests.rollouts import LETTERS, WordPolicy, Words, shout_first, trajectories
from tests.snippets import ROOT

PYTHON = shlex.quote(sys.executable)
PROGRAM = f"{PYTHON} {shlex.quote(str(ROOT / 'examples/agent.py'))}"


def played(
    command: str, reply: Any = shout_first, env: Any = LETTERS, **settings: Any
) -> tuple[list[Trajectory], WordPolicy]:
    """Episodes of a program whose policy calls the tool, then says what it said."""
    codec: Any = Words()
    policy = WordPolicy(codec, reply)
    collector = Collector(
        [env],
        policy,
        codec=codec,
        agent_command=command,
        **{"num_tasks": 3, "max_attempts": 1, **settings},  # type: ignore[arg-type]
    )
    return [*asyncio.run(trajectories(collector)).values()], policy


def test_a_program_is_scored_and_its_tokens_are_the_engines(tmp_path: Path) -> None:
    found, policy = played(PROGRAM, output=tmp_path)
    assert [(t.status, t.reward) for t in found] == [("completed", 1.25)] * 3  # the tool pays 0.25
    given = {tuple(request[0]) for request in policy.requests}
    for trajectory in found:
        (segment,) = trajectory.segments
        assert len(trajectory.turns) == 2
        assert [turn.reward for turn in trajectory.turns] == [0.0, 1.25]
        for start, _ in segment.spans:
            assert tuple(segment.ids[:start].tolist()) in given
        assert trajectory.metrics["tool_calls"] == 1
    assert sorted(t.id for t in read_rollouts(tmp_path)) == sorted(t.id for t in found)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program", "cannot run 'no-such-program'"),
        (f"{PYTHON} -c 'import sys; sys.exit(\"no way\")'", "status 1: no way"),
        (f"{PYTHON} -c pass", "without a question to the policy"),
    ],
)
def test_a_program_that_fails_leaves_its_episode_unscored(command: str, said: str) -> None:
    found, _ = played(command, num_tasks=1)
    assert found[0].reward is None
    assert said in (found[0].error or "")


def test_a_task_that_is_no_variable_is_on_the_standard_input() -> None:
    found, _ = played(PROGRAM, lambda prompt: "fine", "tests.serve.environments:Prompted-v0", num_tasks=8)
    assert {(t.status, t.reward, t.error) for t in found} == {("completed", 1.0, None)}
    asked = {t.messages[0]["content"] for t in found}
    assert {len(text) > 1 << 17 for text in asked} == {True, False}
    assert any("\0" in text for text in asked)


def test_a_policy_that_fails_leaves_the_episode_unscored_whatever_the_program_does() -> None:
    def gone(prompt: str) -> str:
        raise PolicyUnavailable("the engine is gone")

    found, _ = played(f"{PROGRAM} || true", gone, num_tasks=1)
    assert (found[0].status, found[0].reward) == ("policy_error", None)
    assert "the engine is gone" in (found[0].error or "")


def test_a_program_that_never_ends_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"sleep 1000 & echo $! > {pid}; wait"
    found, _ = played(f"sh -c {shlex.quote(script)}", num_tasks=1, episode_timeout=1.0)
    assert (found[0].status, found[0].reward) == ("timeout", None)
    assert not _runs(int(pid.read_text()))


_RUN = """
import asyncio
from tests.rollouts import LETTERS, WordPolicy, Words, trajectories, shout_first
from llmgym.rollout import Collector
codec = Words()
collector = Collector([LETTERS], WordPolicy(codec, shout_first), codec=codec, agent_command={command!r}, num_tasks=1)
asyncio.run(trajectories(collector))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs signals of pipes, which Linux has")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_programs_end_with_the_script_that_runs_them_however_it_ends(tmp_path: Path, number: signal.Signals) -> None:
    pids = tmp_path / "pids"
    program = f"sleep 1000 & echo $$ $! > {pids}.new; mv {pids}.new {pids}; wait"
    script = _RUN.format(command=f"sh -c {shlex.quote(program)}")
    with subprocess.Popen([sys.executable, "-c", script], env=environ(), cwd=ROOT) as running:
        while not pids.exists():  # the test's timeout bounds it
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(number)
    assert running.returncode == -number
    for pid in map(int, pids.read_text().split()):
        while _runs(pid):
            time.sleep(0.05)


def _runs(pid: int) -> bool:
    """Whether a process goes on; one that has ended may wait for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_run_goes_on_and_repeats_are_a_group(tmp_path: Path) -> None:
    first, policy = played(PROGRAM, num_tasks=2, num_repeats=2, output=tmp_path)
    assert {t.group_id for t in first} == {f"{LETTERS}/{t.task_id}" for t in first}
    assert len(policy.requests) == 8
    _, policy = played(PROGRAM, num_tasks=2, num_repeats=3, output=tmp_path)
    assert len(policy.requests) == 4  # of the repeats that were not there
    assert len({t.id for t in read_rollouts(tmp_path)}) == 6
    _, policy = played(PROGRAM, num_tasks=2, num_repeats=3, output=tmp_path)
    assert not policy.requests
    with pytest.raises(StoreError, match="agent_command was"):
        played(f"{PROGRAM} --other", num_tasks=2, num_repeats=3, output=tmp_path)


def test_an_environment_at_a_server_is_played_as_here(serve: Any) -> None:
    here = {"id": "llmgym/Calculator-easy-v0", "label": "calculator"}
    remote = {**here, "id": "llmgym/Remote-v0", "kwargs": {"url": serve(here["id"]).url}}
    command = f"{PYTHON} {shlex.quote(str(ROOT / 'tests/serve/branching.py'))}"

    def add(prompt: str) -> str:
        _, called, result = prompt.rpartition("<tool> ")
        call = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>'
        return result.split(" ")[0] if called else call

    def seen(env: Any) -> list[Any]:
        found, _ = played(command, add, env, seed=3)
        found.sort(key=lambda one: one.id)
        return [(t.id, t.seed, t.status, t.reward, t.environment, t.messages, t.metrics) for t in found]

    there = seen(remote)
    assert [row[2] for row in there] == ["completed"] * 3
    assert [row[4].messages[-1]["content"] for row in there] == ["3"] * 3
    assert there == seen(here)


@pytest.mark.slow
def test_a_stream_may_be_closed_before_its_end() -> None:
    async def first() -> float | None:
        codec: Any = Words()
        policy: Any = WordPolicy(codec, shout_first)
        collector = Collector([LETTERS], policy, codec=codec, agent_command=PROGRAM)
        async with aclosing(collector.stream(Endless())) as groups:
            async for group in groups:
                return group.rewards[0]
        return None

    assert asyncio.run(first()) == 1.25


def test_a_policy_without_tokens_is_refused() -> None:
    with pytest.raises(ConfigError, match="agent_command needs a policy with tokens"):
        asyncio.run(Collector([LETTERS], "script:tests.rollouts.answer", num_tasks=1, agent_command=PROGRAM).collect())
    with pytest.raises(ConfigError, match="leave policies out"):
        Collector([LETTERS], agent_command=PROGRAM, policies={"agent": "train"})


ESCAPES = """
import os, socket, sys
assert sys.stdin.read() == os.environ["LLMGYM_TASK"]
assert "SECRET" not in os.environ
for address in (("127.0.0.1", {port}), ("1.1.1.1", 80)):
    try:
        socket.create_connection(address, timeout=2)
        sys.exit(f"reached {{address}}")
    except OSError:
        pass
open("mine", "w").close()
open("/tmp/mine", "w").close()
for path in ({outside!r}, "/etc/mine", os.path.expanduser("~/../mine")):
    try:
        open(path, "w")
        assert path.startswith(os.path.dirname(os.getcwd())), "wrote " + path
    except OSError:
        pass
if os.fork() == 0:
    os.setsid()
    while True:
        pass
"""


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")
def test_a_program_behind_a_wall_reaches_the_gateway_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "x")
    with socket.create_server(("127.0.0.1", 0)) as other:
        outside = tmp_path / "mine"
        escapes, script = tmp_path / "escapes.py", tmp_path / "agent.sh"
        escapes.write_text(ESCAPES.format(port=other.getsockname()[1], outside=str(outside)))
        script.write_text(f'{PYTHON} "$1" && exec {PYTHON} "$2"')
        command = f"sh {script} {escapes} {ROOT / 'examples/agent.py'}"
        found, _ = played(command, num_tasks=1, agent_sandbox="bubblewrap")
    assert [(t.status, t.reward, t.error) for t in found] == [("completed", 1.25, None)]
    assert not outside.exists()
    running = [Path(f"/proc/{pid}/cmdline") for pid in os.listdir("/proc") if pid.isdigit()]
    assert not any(str(escapes).encode() in line.read_bytes() for line in running if line.exists())
    found, _ = played("no-such-program", num_tasks=1, agent_sandbox="bubblewrap")
    assert "cannot run 'no-such-program'" in (found[0].error or "")


def test_a_wall_that_is_not_there_is_said_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="bwrap is not installed: apt-get install bubblewrap"):
        played(PROGRAM, num_tasks=1, agent_sandbox="bubblewrap")
