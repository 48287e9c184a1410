"""What verbs print at a terminal of some width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from llmgym.registry import list_envs
from tests.command import environ
from tests.rollouts import PLAIN

IDS = [entry.id for entry in list_envs() if entry.id == entry.base]
BOTH = ["--env", "llmgym/MultipleChoice-easy-v0", "--env", "llmgym/MultipleChoice-hard-v0"]


def shown(width: int, *args: object, codes: tuple[int, ...] = (0,)) -> list[str]:
    """The lines that a verb prints at a terminal, without the codes of its styles."""
    return written(width, args, codes, stderr=False).replace("\r", "").split("\n")


def written(width: int, args: tuple[object, ...], codes: tuple[int, ...] = (0,), *, stderr: bool) -> str:
    """What a verb writes to a terminal, without the codes of its styles and of the cursor."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    env = {name: value for name, value in environ(TERM="xterm").items() if name not in ("COLUMNS", "NO_COLOR")}
    command = [sys.executable, "-m", "llmgym", *map(str, args)]
    process = subprocess.Popen(
        command, env=env, stdin=slave, stdout=slave, stderr=slave if stderr else subprocess.DEVNULL
    )
    os.close(slave)
    data = b""
    while True:
        try:
            part = os.read(master, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        data += part
    os.close(master)
    assert process.wait(timeout=60) in codes
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", data.decode())


@pytest.mark.parametrize("width", [120, 80, 40])
def test_ids_are_never_cut(width: int) -> None:
    lines = shown(width, "list")
    assert set(IDS) <= {line.split(" ")[0] for line in lines if line}
    if width >= 80:
        assert max(map(len, lines)) <= width


def test_the_table_of_a_rollout_fits() -> None:
    lines = shown(80, "rollout", *BOTH, "--policy", "random", "--num-tasks", 8, "--num-repeats", 8)
    assert max(map(len, lines)) <= 80
    for env_id in BOTH[1::2]:
        assert sum(line.startswith(f"{env_id} ") for line in lines) == 2  # scores, and pass@k
    [header] = [line for line in lines if "pass@1" in line]
    assert header.split() == ["environment", "tasks", "pass@1", "pass@2", "pass@4", "pass@8"]
    assert not any("…" in line for line in lines)


def test_documentation_is_set_for_the_terminal() -> None:
    lines = shown(60, "info", "llmgym/Calculator-v0")
    assert max(map(len, lines)) <= 60
    text = "\n".join(line.rstrip() for line in lines)
    assert "## " not in text  # Markdown is set, not printed
    assert "\nRewards\n" in text
    for part in ("Add two numbers.", "    a: integer or number or string.", "example  task train-", "(the oracle's"):
        assert part in text
    words = " ".join(text.split())
    assert 'The last \\boxed{}, "the answer is' in words


def test_check_shows_whole_ids() -> None:
    assert "llmgym/MultipleChoice-easy-v0" in shown(
        30, "check", "llmgym/MultipleChoice-easy-v0", "--num-tasks", 1, codes=(0, 1)
    )


@pytest.mark.parametrize("width", [120, 80, 60, 40])
def test_progress_is_one_line_that_fits(width: int) -> None:
    args = ("rollout", "--env", PLAIN, "--policy", "script:tests.rollouts.slow", "--num-repeats", 8)
    lines = re.split(r"[\r\n]+", written(width, (*args, "--num-samples-in-parallel", 4), stderr=True))
    bars = [line for line in lines if "episodes" in line and "finished" not in line]
    assert len(bars) > 1
    for line in bars:
        assert len(line) <= width
        assert "…" not in line
        assert re.fullmatch(rf"[━╸╺]{{{width // 4}}} episodes \d+/208(  .*)?", line.rstrip())
    assert "episodes 208/208" in bars[-1]
    assert ("reward 1.000" in bars[-1]) == (width >= 60)
