"""Programs and commands: what they are given, what they leave, how they end, and that ordinary Python works."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap

import pytest

from llmgym.errors import ConfigError
from llmgym.sandbox import Limits, Sandbox

QUICK = Limits(wall=0.5, memory=64 << 20)


async def test_a_program_reads_and_writes(box: Sandbox) -> None:
    program = """
        import sys
        print(sys.argv[1:], input(), sys.stdin.read())
        print(open("data/in.txt").read(), file=sys.stderr)
        open("out.txt", "w").write("öut")
    """
    result = await box.run(
        textwrap.dedent(program),
        stdin="one\ntwo\n",
        argv=["a", "b c"],
        files={"data/in.txt": b"given"},
        outputs=["out.txt", "no/such.txt"],
    )
    assert result.ok
    assert (result.stdout, result.stderr) == ("['a', 'b c'] one two\n\n", "given\n")
    assert result.files == {"out.txt": "öut".encode()}
    assert (result.exit_code, result.level) == (0, box.level)
    assert result.cpu_s > 0
    assert result.wall_s > 0
    assert result.peak_memory > 1 << 20


@pytest.mark.parametrize(
    ("program", "status", "code"),
    [
        ("raise SystemExit", "ok", 0),
        ("raise SystemExit(3)", "error", 3),
        ("import sys; sys.exit('why')", "error", 1),
        ("import os; os._exit(7)", "error", 7),
        ("1 / 0", "error", 1),
        ("def f(:", "error", 1),
        ("x = '\udc80'", "error", 1),
        ("a\0b", "error", 1),
        ("import ctypes; ctypes.string_at(0)", "error", -11),
        ("raise MemoryError", "memory", 1),
        ("a = []\nwhile True: a.append(bytearray(10_000_000))", "memory", 1),
        ("try:\n  bytearray(2**30)\nexcept MemoryError: print('caught')", "ok", 0),
        ("while True: print('x' * 1000)", "output", 1),
        ("print('x' * 2_000_000)", "output", 0),
        ("import time; time.sleep(60)", "timeout", -9),
        ("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)", "timeout", -9),
        ("while True: pass", "timeout", -9),
    ],
)
async def test_ends(box: Sandbox, program: str, status: str, code: int) -> None:
    result = await box.run(program, limits=QUICK)
    assert (result.status, result.exit_code) == (status, code), result
    assert len(result.stdout) <= QUICK.output


async def test_seconds_of_a_processor(box: Sandbox) -> None:
    result = await box.run("while True: pass", limits=Limits(cpu=0.5, wall=30))
    assert result.status == "cpu"


async def test_a_traceback_shows_the_program_and_nothing_else(box: Sandbox) -> None:
    result = await box.run("def f():\n    return {}['key']\n\nf()\n")
    said = result.stderr.splitlines()
    assert said[0] == "Traceback (most recent call last):"
    assert said[-1] == "KeyError: 'key'"
    assert "    f()" in said
    assert all('"program.py"' in line for line in said if line.lstrip().startswith("File"))


async def test_what_a_program_left_for_its_end_is_done(box: Sandbox) -> None:
    program = """
        import atexit, threading, time
        atexit.register(print, "at exit")
        def late():
            time.sleep(0.05)
            print("thread")
        threading.Thread(target=late).start()
        print("main", end=" ")
    """
    result = await box.run(textwrap.dedent(program))
    assert result.stdout == "main thread\nat exit\n"


async def test_ordinary_python_works(box: Sandbox) -> None:
    program = """
        import asyncio, collections, csv, dataclasses, datetime, decimal, fractions, hashlib, inspect, io, itertools
        import json, logging, pathlib, pickle, queue, random, re, shutil, sqlite3, statistics, tempfile, threading, time
        import typing, unittest, uuid, zlib, zoneinfo

        async def twice(): await asyncio.sleep(0); return 2
        assert asyncio.run(twice()) == 2
        @dataclasses.dataclass
        class Point:
            x: int
        assert pickle.loads(pickle.dumps(Point(1))) == Point(1)
        assert "class Point" in inspect.getsource(Point)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "a")
            path.write_text("x")
            shutil.copy2(path, path.with_name("b"))
        with open("here", "w") as file: file.write("y")
        assert sqlite3.connect(":memory:").execute("select 1").fetchone() == (1,)
        assert random.random() != random.random() and uuid.uuid4().version == 4
        assert "é".encode("idna") and __name__ == "__main__"
        exit()
    """
    result = await box.run(textwrap.dedent(program))
    assert result.ok, result.stderr


async def test_runs_are_random_each_in_its_way_and_sets_alike(box: Sandbox) -> None:
    rolls = [await box.run("import random; print(random.random())") for _ in range(3)]
    assert len({roll.stdout for roll in rolls}) == 3
    program = "print(hash('a'))"
    assert (await box.run(program)).stdout == fixed(program)  # in whatever zygote


def fixed(program: str) -> str:
    command, variables = [sys.executable, "-c", program], {"PYTHONHASHSEED": "0"}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout


async def test_commands(box: Sandbox) -> None:
    result = await box.command("tr a-z A-Z | head -c 3; exit 4", stdin="abcdef")
    assert (result.status, result.exit_code, result.stdout) == ("error", 4, "ABC")
    result = await box.command(["echo", "$HOME; *"], outputs=["made"])
    assert (result.stdout, result.files) == ("$HOME; *\n", {})
    assert (await box.command(["no-such-program"])).exit_code == 127
    assert (await box.command("echo x > made", outputs=["made"])).files == {"made": b"x\n"}
    assert (await box.command("python3 -c 'print(1)'")).stdout == "1\n"
    assert (await box.command(["echo", "\ud800"])).status == "error"
    assert (await box.command("yes", limits=Limits(processes=4, disk=1 << 20))).status == "output"


async def test_what_is_left_is_a_regular_file_of_a_size(box: Sandbox) -> None:
    left = {
        "import os; os.symlink('/etc/hostname', 'out')": "files",
        "import os; os.mkdir('out')": "files",
        "import os; os.mkfifo('out')": "files",
        "import os; os.symlink('.', 'd'); open('out', 'w')": "ok",
    }
    for program, status in left.items():
        assert (await box.run(program, outputs=["out"])).status == status, program
    assert (await box.run("import os; os.symlink('.', 'd'); open('out', 'w')", outputs=["d/out"])).files == {}
    program = "for name in 'ab': open(name, 'wb').write(bytes(40_000))"
    assert (await box.run(program, outputs=["a", "b"], limits=Limits(disk=1 << 17))).ok
    assert (await box.run(program, outputs=["a", "a", "b"], limits=Limits(disk=1 << 17))).ok


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../up", "a/../../up", "nul\0", "."])
async def test_names_that_leave_the_folder(name: str) -> None:
    box = Sandbox()
    with pytest.raises(ConfigError, match="must name a file in the run's folder"):
        await box.run("", files={name: b""})
    with pytest.raises(ConfigError, match="must name a file in the run's folder"):
        await box.run("", outputs=[name])


async def test_arguments_that_make_no_sense() -> None:
    box = Sandbox()
    with pytest.raises(ConfigError, match="NUL"):
        await box.command(["echo", "a\0b"])
    with pytest.raises(ConfigError, match="hand it over as stdin"):
        await box.command("echo " + "a" * 200_000)
    with pytest.raises(ConfigError, match=r"raise Limits\(disk=\)"):
        await box.run("", files={"big": bytes(1 << 18)}, limits=Limits(disk=1 << 17))


async def test_modules_that_are_there_from_the_start(box: Sandbox) -> None:
    pytest.importorskip("numpy")
    loaded = Sandbox(level=box.level, imports=["numpy"])
    result = await loaded.run("import sys; print('numpy' in sys.modules); import numpy; print(numpy.arange(3).sum())")
    assert result.stdout == "True\n3\n", result.stderr
    assert (await box.run("import numpy")).stderr.endswith("No module named 'numpy'\n")


async def test_many_at_once_do_not_meet(box: Sandbox) -> None:
    async def own(number: int) -> str:
        program = f"import os; open('mine', 'x').write('{number}'); print(open('mine').read(), os.listdir('.'))"
        return (await box.run(program)).stdout

    said = await asyncio.gather(*map(own, range(20)))
    assert said == [f"{number} ['mine']\n" for number in range(20)]
