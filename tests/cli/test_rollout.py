"""`llmgym rollout` in processes of its own: what it keeps, how it fails, and how it is stopped."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmgym.cli.rollout import _seconds
from tests.command import environ, llmgym
from tests.rollouts import LETTERS, PLAIN, ROOT


def rollout(script: str, output: Path | None, *args: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return llmgym(*command(script, output, *args), **options)


def command(script: str, output: Path | None, *args: object) -> list[object]:
    where = ["--output", output] if output else []
    return ["rollout", "--env", PLAIN, "--policy", f"script:tests.rollouts.{script}", *where, *args]


def ids(folder: Path) -> Counter[str]:
    return Counter(orjson.loads(line)["id"] for line in (folder / "rollouts.jsonl").read_bytes().splitlines())


def whole(num_repeats: int = 1) -> Counter[str]:
    return Counter(f"{LETTERS}/{chr(c)}/{r}" for c in range(ord("a"), ord("z") + 1) for r in range(num_repeats))


# --- collecting ---------------------------------------------------------------------------------


def test_a_run_with_its_summary(tmp_path: Path) -> None:
    done = rollout("call_tools", tmp_path / "run", "--num-repeats", 2, "--temperature", 0.5)
    assert done.returncode == 0
    for part in ("52 of 52 episodes finished", "1.250", "pass@1", "completed 52", "failed  none"):
        assert part in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert re.fullmatch(r"\d\d:\d\d:\d\d episodes 52/52 .*reward 1\.250\n", done.stderr)
    run = orjson.loads((tmp_path / "run" / "run.json").read_bytes())
    assert run["identity"]["responses_create_params"]["temperature"] == 0.5
    again = rollout("call_tools", tmp_path / "run", "--num-repeats", 2, "--temperature", 0.5, "--json")
    assert json.loads(again.stdout)["finished"] == 52
    other = rollout("call_tools", tmp_path / "run", "--temperature", 0.7)
    assert other.returncode == 2
    assert "holds another run (responses_create_params.temperature was 0.5, is 0.7)" in other.stderr


def test_settings_come_from_file_then_set_then_flags(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        f"env_ids: [{PLAIN}]\npolicy: script:tests.rollouts.answer\nnum_tasks: 9\nnum_repeats: 9\nseed: 9\n"
        "responses_create_params: {temperature: 0.2, top_p: 0.9}\n"
    )
    flags = ["--set", "num_repeats=2", "--set", "seed=2", "--seed", "1", "--num-tasks", 3, "--temperature", 0.3]
    done = llmgym("rollout", "--config", tmp_path / "c.yaml", "--output", tmp_path / "run", *flags)
    assert done.returncode == 0, done.stderr
    config = orjson.loads((tmp_path / "run" / "run.json").read_bytes())["config"]
    assert (config["num_tasks"], config["num_repeats"], config["seed"]) == (3, 2, 1)
    params = config["responses_create_params"]
    assert (params["temperature"], params["top_p"], params["max_output_tokens"]) == (0.3, 0.9, 256)


def test_each_agent_has_its_player(tmp_path: Path) -> None:
    game = ("rollout", "--env", "llmgym/Leduc-v0", "--policy", "random", "--num-tasks", 3)
    done = llmgym(*game, "--seat", "player_0=train", "--seat", "player_1=script", "--seat", "player_1=frozen",
                  "--output", tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [orjson.loads(line) for line in (tmp_path / "rollouts.jsonl").read_bytes().splitlines()]
    assert len(rows) == 6
    assert {row["policy"] for row in rows} <= {"train", "script", "frozen"}
    assert sum(row["trainable"] for row in rows) == 3
    for agents, said in (
        (["player_0"], "--seat takes AGENT=PLAYER, such as player_1=script, not 'player_0'"),
        (["player_0=train"], "policies: nobody plays player_1 of llmgym/Leduc-v0; give it 'train', 'frozen'"),
        (["player=train", "judge=script"], "policies: llmgym/Leduc-v0 has no 'judge'; there is player_0, player_1"),
    ):
        refused = llmgym(*game, *(part for agent in agents for part in ("--seat", agent)))
        assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr


def test_failures_are_shown(tmp_path: Path) -> None:
    done = rollout("broken", None, "--num-tasks", 2, "--set", "max_attempts=1")
    assert "0 of 2 episodes finished" in done.stdout
    assert done.returncode == 3  # nothing finished
    assert "failed  policy 2" in done.stdout
    assert "2 episodes failed; with --output DIR the same command runs them again" in done.stderr
    done = rollout("moody", tmp_path / "run", "--num-tasks", 26, "--set", "max_attempts=1")
    assert done.returncode == 1
    assert re.search(r"\d+ episodes failed; the same command runs them again\n", done.stderr)
    assert "RuntimeError: no idea" in done.stdout


def test_what_a_model_says_controls_no_terminal(tmp_path: Path) -> None:
    done = rollout("bold", tmp_path / "run", "--num-tasks", 2, "--set", "max_attempts=1")
    assert (done.returncode, ids(tmp_path / "run").total()) == (1, 1)
    assert "error     PolicyError: script:tests.rollouts.bold: ValueError: \\x1b[1mno" in done.stdout
    assert "[assistant] \\x1b[1m" in llmgym("show", tmp_path / "run").stdout


def test_a_failure_that_a_spare_stood_in_for_is_not_owed(tmp_path: Path) -> None:
    args = ["--num-tasks", 1, "--num-repeats", 2, "--num-samples-in-parallel", 1]
    sets = ["--set", "num_spare_repeats=1", "--set", "max_attempts=1"]
    done = rollout("clumsy", tmp_path / "run", *args, *sets)
    assert "2 of 2 episodes finished" in done.stdout
    assert "failed  policy 1" in done.stdout
    assert (done.returncode, "runs them again" in done.stderr) == (0, False)
    assert rollout("clumsy", tmp_path / "run", *args, *sets).returncode == 0


@pytest.mark.parametrize("stream", [0, 1, 2])
def test_a_run_needs_no_streams(stream: int, tmp_path: Path) -> None:
    done = rollout("answer", tmp_path / "run", limit=lambda: os.close(stream))
    assert (done.returncode, ids(tmp_path / "run")) == (0, whole())


def test_a_full_disk(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    done = rollout("call_tools", tmp_path / "run", "--num-repeats", 2, limit=limit)
    assert done.returncode == 1
    assert "error: cannot write" in done.stderr
    assert "File too large; what was written before is safe" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "rollouts.jsonl").read_bytes().endswith(b"\n")
    kept = ids(tmp_path / "run")
    assert 0 < len(kept) < 52
    done = rollout("call_tools", tmp_path / "run", "--num-repeats", 2)
    assert done.returncode == 0
    assert ids(tmp_path / "run") == whole(2)


# --- being stopped ------------------------------------------------------------------------------


def start(args: list[object], **extra: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "llmgym", *map(str, args)],
        env=environ(**extra), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for_lines(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    file = folder / "rollouts.jsonl"
    deadline = time.monotonic() + 30
    while not file.exists() or file.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_has_finished(number: signal.Signals, tmp_path: Path) -> None:
    process = start(command("stuck", tmp_path, "--num-samples-in-parallel", 26))
    wait_for_lines(tmp_path, 9, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "9 of 26 episodes finished" in out
    assert "stopping; Ctrl-C again stops at once" in err
    assert f"stopped with 9 episodes finished; the same command goes on with {tmp_path}" in err
    assert "Traceback" not in err
    assert orjson.loads((tmp_path / "summary.json").read_bytes())["finished"] == 9
    first = (tmp_path / "rollouts.jsonl").read_bytes()

    # The model of a script is its name, so the folder has to believe that "answer" is "stuck".
    run = tmp_path / "run.json"
    run.write_bytes(run.read_bytes().replace(b"tests.rollouts.stuck", b"tests.rollouts.answer"))
    assert rollout("answer", tmp_path).returncode == 0
    assert (tmp_path / "rollouts.jsonl").read_bytes().startswith(first)
    assert ids(tmp_path) == whole()


@pytest.mark.parametrize("script", ["stubborn", "blocked"])
def test_a_second_ctrl_c_stops_at_once(script: str, tmp_path: Path) -> None:
    marker = tmp_path / "blocked"
    process = start(command(script, tmp_path / "run", "--num-samples-in-parallel", 26), BLOCKED=str(marker))
    if script == "stubborn":
        wait_for_lines(tmp_path / "run", 1, process)
    else:
        deadline = time.monotonic() + 30
        while not marker.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    while "stopping" not in (line := process.stderr.readline()):
        assert line, process.poll()
    time.sleep(0.1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    process.communicate()
    assert set(ids(tmp_path / "run").values()) <= {1}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["thread", "task"])
@pytest.mark.parametrize("stopped", [False, True])
def test_work_that_nothing_can_end_does_not_hold_the_process(how: str, stopped: bool, tmp_path: Path) -> None:
    process = start(command(f"call_{how}", tmp_path, "--num-tasks", 4, "--max-turns", 2))
    if stopped:
        wait_for_lines(tmp_path, 1, process)
        process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode in ((0, 143, -signal.SIGTERM) if stopped else (0,)), err  # it may have been at its end
    assert stopped or "4 of 4 episodes finished" in out
    if how == "thread" and not stopped:
        assert "threads that do not end: asyncio_0" in err


def test_a_run_that_never_waits_hears_a_signal(tmp_path: Path) -> None:
    instant = ["--env", "llmgym/Calculator-mental-v0", "--policy", "oracle", "--num-tasks", 10**7]
    process = start(["rollout", *instant, "--output", tmp_path])
    wait_for_lines(tmp_path, 1, process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "stopped with" in err


def test_a_scheduler_may_send_sigterm_again_and_again(tmp_path: Path) -> None:
    process = start(command("stuck", tmp_path, "--num-samples-in-parallel", 26))
    wait_for_lines(tmp_path, 9, process)
    for _ in range(20):
        process.send_signal(signal.SIGTERM)
        if process.poll() is not None:
            break
    _, err = process.communicate(timeout=30)
    # A signal after the end of the run, while Python ends, may kill the process: its status is the same in a shell.
    assert process.returncode in (143, -signal.SIGTERM)
    assert "stopped with 9 episodes finished" in err
    assert orjson.loads((tmp_path / "summary.json").read_bytes())["finished"] == 9


@pytest.mark.slow
def test_kill_at_any_moment(tmp_path: Path) -> None:
    args = command("slow", tmp_path, "--num-repeats", 8, "--num-samples-in-parallel", 8)
    generator = random.Random(4)
    file = tmp_path / "rollouts.jsonl"
    before = b""
    for _ in range(5):
        process = start(args)
        wait_for_lines(tmp_path, before.count(b"\n") + generator.randrange(1, 20), process)
        time.sleep(generator.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        after = file.read_bytes()
        assert after.startswith(before)
        before = after[: after.rfind(b"\n") + 1]
        with file.open("ab") as end:  # what a kill in the middle of a write leaves
            end.write(b'{"id":"test/Lett'[: generator.randrange(16)])
    assert llmgym(*args, cwd=ROOT).returncode == 0
    assert ids(tmp_path) == whole(8)
    assert orjson.loads((tmp_path / "summary.json").read_bytes())["finished"] == 208


def test_two_processes_cannot_share_a_folder(tmp_path: Path) -> None:
    process = start(command("stuck", tmp_path, "--num-samples-in-parallel", 26))
    try:
        wait_for_lines(tmp_path, 9, process)
        done = rollout("stuck", tmp_path)
        assert done.returncode == 3
        assert "is in use: wait for the other run or choose another folder" in done.stderr
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()


# --- time budgets -------------------------------------------------------------------------------


def test_a_time_budget_ends_a_run_in_order_and_the_same_command_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = rollout("slow", folder, "--time-budget", "0.5s", "--num-samples-in-parallel", 1)
    kept = ids(folder)
    assert first.returncode == 1
    assert 0 < len(kept) < 26
    assert f"{len(kept)} of 26 episodes finished" in first.stdout
    left = f"the time budget ended before {26 - len(kept)} episodes; the same command goes on with them\n"
    assert first.stderr.endswith(left)
    nothing = rollout("slow", folder, "--time-budget", 0.001)  # too little for any
    assert (nothing.returncode, ids(folder)) == (1, kept)
    last = rollout("slow", folder, "--time-budget", "2h")
    assert (last.returncode, ids(folder)) == (0, whole())
    assert "budget" not in last.stderr
    again = rollout("slow", folder, "--time-budget", 0.001)  # nothing is left to start
    assert again.returncode == 0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5", 1.5), ("90m", 5400), ("2h", 7200), ("0.5h", 1800), ("1h30m", 5400),
     ("1h1m1.5s", 3661.5), (" 2m ", 120)],
)  # fmt: skip
def test_a_time(text: str, seconds: float) -> None:
    assert _seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1.2.3", "2d", "m", "30m1h", "-5", "1h 30m", "1h30", "1e3", "0"])
def test_what_is_no_time_is_refused(text: str) -> None:
    done = rollout("answer", None, "--time-budget", text)
    assert done.returncode == 2
    assert done.stderr.startswith("error: flags: time_budget: Expected `float")
    assert f"it is {_seconds(text)!r}" in done.stderr
