from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from llmgym.concurrency import watched
from llmgym.errors import ConfigError
from llmgym.sandbox import Limits, Sandbox, zygotes


async def test_cells_share_their_names(box: Sandbox) -> None:
    async with box.session(files={"in.txt": b"given"}) as session:
        assert (await session.run("import math\nx = math.sqrt(16)")).stdout == ""
        result = await session.run("print('a')\nx + 1")
        assert (result.status, result.stdout, result.level) == ("ok", "a\n5.0\n", box.level)
        assert (await session.run("None")).stdout == ""
        assert (await session.run("def f(): return open('in.txt').read()\nf()")).stdout == "'given'\n"
        assert (await session.run("__name__")).stdout == "'__main__'\n"


async def test_what_a_cell_raises_ends_nothing(box: Sandbox) -> None:
    async with box.session() as session:
        await session.run("x = 1")
        result = await session.run("def g():\n    raise ValueError('no')\ng()")
        assert (result.status, result.exit_code) == ("error", 1)
        assert result.stderr.splitlines()[-1] == "ValueError: no"
        assert 'File "cell 2", line 3, in <module>' in result.stderr
        assert (await session.run("x +")).status == "error"
        assert (await session.run("import sys; sys.exit(4)")).exit_code == 4
        assert (await session.run("raise MemoryError")).status == "memory"
        assert (await session.run("print('y' * 2_000_000)")).status == "output"
        assert (await session.run("import sys; sys.stdout.close(); sys.stderr.close()")).status in ("ok", "error")
        assert (await session.run("x")).stdout == "1\n"


async def test_a_cell_is_interrupted(box: Sandbox) -> None:
    async with box.session() as session:
        result = await session.run("x = 1\nwhile True: x += 1", timeout=0.2)
        assert result.status == "timeout"
        assert result.wall_s < 1
        assert (await session.run("x > 1")).stdout == "True\n"
        assert (await session.run("import time; time.sleep(60)", timeout=0.1)).status == "timeout"
        assert (await session.run("x > 1")).stdout == "True\n"


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("import os; print('last', flush=True); os._exit(5)", 5),
        ("import ctypes; print('last', flush=True); ctypes.string_at(0)", -11),
        ("print('last', flush=True)\nimport time\nwhile True:\n  try: time.sleep(9)\n  except BaseException: pass", -9),
        ("import os; print('last', flush=True); os.closerange(3, 60)", None),
    ],
)
async def test_a_session_is_lost(box: Sandbox, cell: str, code: int | None) -> None:
    async with box.session() as session:
        result = await session.run(cell, timeout=0.5)
        assert (result.status, result.stdout) == ("lost", "last\n")
        assert code in (None, result.exit_code)
        again = await session.run("print(1)")
        assert (again.status, again.stdout, again.exit_code) == ("lost", "", result.exit_code)
    assert (await box.run("print(2)")).stdout == "2\n"


async def test_a_cell_that_nobody_waits_for_ends_the_session(box: Sandbox) -> None:
    async with box.session() as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await session.run("while True: pass")
        assert (await session.run("1")).status == "lost"


async def test_limits_hold_over_the_whole_session(box: Sandbox) -> None:
    async with box.session(limits=Limits(wall=0.5)) as session:
        await asyncio.sleep(0.7)
        assert (await session.run("1")).status == "lost"
    async with box.session(limits=Limits(memory=64 << 20)) as session:
        assert (await session.run("x = bytearray(100 << 20)")).status == "memory"


async def test_files_of_a_session(box: Sandbox) -> None:
    async with box.session(limits=Limits(disk=1 << 16)) as session:
        await session.run("import os; os.mkdir('d'); open('d/f', 'w').write('x'); os.symlink('/etc/hostname', 'l')")
        assert session.read("d/f") == b"x"
        assert session.read("l") is None
        with pytest.raises(FileNotFoundError):
            session.read("no")
        with pytest.raises(ConfigError):
            session.read("../d")
        await session.run("os.makedirs('e/e'); os.symlink('/', 'd/root'); os.mkfifo('p')")
        assert session.names() == ["d/f", "d/root", "l", "p"]
        assert len(session.names(limit=2)) == 2


async def test_sessions_and_runs_are_apart(box: Sandbox) -> None:
    async with box.session() as one, box.session() as other:
        await asyncio.gather(one.run("x = 1; open('f', 'w')"), other.run("x = 2"))
        said = await asyncio.gather(
            one.run("x"), other.run("x, __import__('os').listdir('.')"), box.run("print('x' in globals())")
        )
        assert [result.stdout for result in said] == ["1\n", "(2, [])\n", "False\n"]


async def test_cells_wait_for_each_other(box: Sandbox) -> None:
    async with box.session() as session:
        said = await asyncio.gather(*(session.run(f"import time; time.sleep(0.01); {n}") for n in range(5)))
        assert [result.stdout for result in said] == [f"{n}\n" for n in range(5)]


async def test_nothing_is_left_of_sessions(box: Sandbox) -> None:
    async with box.session() as session:
        await session.run("1")
    before = len(os.listdir("/dev/fd"))
    for cell in ("1", "import os; os._exit(0)", "while True: pass"):
        async with box.session() as session:
            await session.run(cell, timeout=0.05)
    assert len(os.listdir("/dev/fd")) == before


# --- shells -------------------------------------------------------------------------------------


async def test_commands_share_their_folder_and_variables(box: Sandbox) -> None:
    async with box.shell(files={"a/b.txt": b"hello\n"}) as shell:
        assert (await shell.run("cd a; export WHO='the \"world\"'; lost=1")).ok
        assert (await shell.run('cat b.txt; echo "$WHO$lost"; basename "$PWD"')).stdout == 'hello\nthe "world"\na\n'
        result = await shell.run("echo out; echo err >&2; exit 3")
        assert (result.status, result.exit_code, result.stdout, result.stderr) == ("error", 3, "out\n", "err\n")
        assert (await shell.run("basename $PWD; seq 3 | wc -l")).stdout.split() == ["a", "3"]
        assert (await shell.run("if")).status == "error"
        assert (await shell.run("cd ..; rm -r a; mkdir c; cd c; rmdir ../c")).ok
        assert (await shell.run("echo still here")).stdout == "still here\n"


async def test_a_command_is_killed_at_its_time_and_the_shell_stays(box: Sandbox) -> None:
    async with box.shell() as shell:
        await shell.run("export A=1")
        result = await shell.run("trap '' TERM INT; sleep 60", timeout=0.2)
        assert (result.status, result.wall_s < 1) == ("timeout", True)
        assert (await shell.run("echo $A")).stdout == "1\n"
        with pytest.raises(ConfigError, match="NUL"):
            await shell.run("echo \0")


async def test_a_shell_leaves_no_process(box: Sandbox) -> None:
    mark = f"62.{os.getpid()}"
    async with box.shell() as shell:
        await shell.run(f"sleep {mark} & (setsid sleep {mark} &)")
    for _ in range(100):
        if not running(mark):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(running(mark))


def running(mark: str) -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark in read(path)]


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


class Waits:
    """A watch: how many hold it, and whether none does any more."""

    def __init__(self) -> None:
        self.holds, self.over = 0, asyncio.Event()

    def hold(self) -> None:
        self.holds += 1

    def release(self) -> None:
        self.holds -= 1
        self.over.set()


async def test_cells_wait_for_their_turn_and_their_deadlines_with_them(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zygotes, "CORES", 1)
    waits = Waits()
    async with box.session() as session:
        async with contextlib.AsyncExitStack() as places:
            for _ in range(2):
                await places.enter_async_context(zygotes.place(session._level, session._imports))
            with watched(waits):
                cell = asyncio.create_task(session.run("1"))
            await asyncio.wait({cell}, timeout=0.1)
            assert (cell.done(), waits.holds) == (False, 1)
        await waits.over.wait()
        assert (cell.done(), waits.holds) == (False, 0)  # its own time counts
        assert (await cell).stdout == "1\n"
