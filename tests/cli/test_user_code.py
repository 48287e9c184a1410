"""The user's own code in the working directory: where it is looked for, and what is said where it breaks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import environ, llmgym
from tests.rollouts import PLAIN

OWN = '''
import sys
import numpy as np
from llmgym import Task, TaskSet, ToolEnv, tool
from llmgym.wrappers import ToolWrapper

class Good(ToolEnv):
    """Say the number."""
    tasks = TaskSet.generated(lambda rng: Task(prompt=str(n := int(rng.integers(10**6))), answer=str(n)))
    def verify(self, episode):
        return float(episode.final_text == episode.task.answer)
    def oracle(self, task):
        return [task.answer]

class Constructor(Good):
    """Cannot be made."""
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        raise RuntimeError("no luck")  # line: constructor

class Leaving(Good):
    """Ends the process."""
    def __init__(self, **kwargs):
        sys.exit(7)  # line: leaving

class Generator(Good):
    """Has no tasks."""
    tasks = TaskSet.generated(lambda rng: 1 // 0)  # line: generator

class Quitting(Good):
    """Ends the process when it makes a task."""
    tasks = TaskSet.generated(lambda rng: sys.exit(7))  # line: quitting

class Opening(Good):
    """Cannot begin."""
    def opening(self, task):
        raise KeyError("lost")  # line: opening

class Cheat(ToolWrapper):
    def __init__(self, env):
        super().__init__(env)
        raise LookupError("nothing")  # line: cheat

def predicate(task):
    return task.nothing  # line: predicate

def answer(messages, tools):
    return messages[-1]["content"]

def broken(messages, tools):
    raise ValueError("no idea")  # line: broken
'''


def line(name: str) -> str:
    """Place in the module of the line that a comment names."""
    return f"own.py:{next(n for n, text in enumerate(OWN.splitlines(), 1) if text.endswith(f'# line: {name}'))}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with modules, and a registry file for what is in them."""
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "torn.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "leaver.py").write_text("import sys\nsys.exit(7)\n")
    points = ["own:Good", "own:Constructor", "own:Leaving", "own:Generator", "own:Quitting", "own:Opening"]
    points += ["torn:Torn", "leaver:Leaver", "absent:Absent", "own:Missing"]
    rows = [
        {
            "id": f"mine/{point.partition(':')[2]}-v0", "entry_point": point, "summary": "Mine.", "domains": ["mine"],
            "max_turns": 3, "tasks": {"licence": "CC0-1.0", "origin": "here"},
        }
        for point in points
    ]  # fmt: skip
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({"environments": rows}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: object, **extra: str) -> subprocess.CompletedProcess[str]:
    """The command line as it is installed: Python puts no folder of the user's on its path."""
    code = "import sys; sys.argv[0] = 'llmgym'; from llmgym.cli import main; main()"
    command = [sys.executable, "-P", "-c", code, *map(str, args)]
    return subprocess.run(command, env=environ(**extra), capture_output=True, text=True, timeout=60, check=False)


def rollout(*args: object) -> subprocess.CompletedProcess[str]:
    return run("rollout", "--registry", "r.yaml", "--num-tasks", 2, "--set", "max_attempts=1", *args)


# --- where it is looked for ---------------------------------------------------------------------


@pytest.mark.slow
def test_scripts_and_environments_of_the_working_directory_are_found() -> None:
    done = rollout("--env", "mine/Good-v0", "--policy", "script:own.answer", "--json")
    assert (done.returncode, json.loads(done.stdout)["reward"]["mean"]) == (0, 1.0), done.stderr
    for verb in (["info", "mine/Good-v0"], ["play", "mine/Good-v0", "--oracle"], ["list", "--domain", "mine"]):
        done = run(*verb, "--registry", "r.yaml")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("as_module", [False, True])
def test_files_of_the_working_directory_are_no_libraries(as_module: bool, folder: Path) -> None:
    # `python -m` itself imports the package with the working directory first, and the command line without.
    for name in ("rich", "typer", *(() if as_module else ("difflib", "textwrap", "signal"))):
        (folder / f"{name}.py").write_text(f"raise SystemExit('the file {name}.py was run')")
    start = llmgym if as_module else run
    for verb in (["list"], ["info", "llmgym/Calculator-v0"]):
        done = start(*verb)
        assert (done.returncode, done.stderr) == (0, "")
    done = rollout("--env", "mine/Good-v0", "--policy", "script:own.answer")
    assert done.returncode == 0, done.stderr


def test_verbs_that_need_no_user_code_do_not_look_for_it(folder: Path) -> None:
    """A finder that is asked for a name that nobody has shows what is on the path."""
    code = (
        "import sys; sys.argv[0] = 'llmgym'; import llmgym.cli as cli\n"
        "try: cli.main()\nfinally: print('on the path:', sys.path.index(sys.argv[-1]) == len(sys.path) - 1 "
        "if sys.argv[-1] in sys.path else None)"
    )
    for verb, where in ((["list", "--registry", "r.yaml", "--domain"], None), (["info"], True)):
        argument = "mine" if verb[0] == "list" else "mine/Good-v0"
        command = [sys.executable, "-P", "-c", code.replace("sys.argv[-1]", repr(str(folder)))]
        done = subprocess.run(
            [*command, *verb, argument, *(["--registry", "r.yaml"] if verb[0] == "info" else [])],
            env=environ(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == f"on the path: {where}", done.stderr


# --- what is said where it breaks ---------------------------------------------------------------

CASES: list[tuple[list[str], str, str]] = [
    (["info", "mine/Constructor-v0"], "make mine/Constructor-v0: RuntimeError: no luck", line("constructor")),
    (["check", "mine/Constructor-v0"], "cannot make mine/Constructor-v0: RuntimeError: no luck", line("constructor")),
    (["play", "mine/Constructor-v0"], "RuntimeError: no luck", line("constructor")),
    (["rollout", "--policy", "oracle", "--env", "mine/Constructor-v0"], "RuntimeError: no luck", line("constructor")),
    (["rollout", "--policy", "random", "--env", "mine/Leaving-v0"], "it called sys.exit(7)", line("leaving")),
    (["info", "mine/Leaving-v0"], "it called sys.exit(7)", line("leaving")),
    (["info", "mine/Torn-v0"], "cannot import torn: SyntaxError: invalid syntax", "torn.py:2"),
    (["check", "mine/Torn-v0"], "SyntaxError: invalid syntax", "torn.py:2"),
    (["play", "mine/Torn-v0"], "SyntaxError: invalid syntax", "torn.py:2"),
    (["rollout", "--policy", "random", "--env", "mine/Torn-v0"], "SyntaxError: invalid syntax", "torn.py:2"),
    (["info", "mine/Leaver-v0"], "cannot import leaver: it called sys.exit(7)", "leaver.py:2"),
    (["info", "mine/Missing-v0"], "own.py has no 'Missing'", "own.py"),
    (["info", "mine/Absent-v0"], "there is no module 'absent'; it is looked for in the working directory", ""),
    (["play", "mine/Opening-v0"], "KeyError: 'lost'", line("opening")),
    (["play", "mine/Generator-v0"], "ZeroDivisionError", line("generator")),
    (["play", "mine/Quitting-v0"], "it called sys.exit(7)", line("quitting")),
    (["rollout", "--policy", "random", "--env", "mine/Generator-v0", "--num-tasks", "2"], "ZeroDivisionError",
     line("generator")),
    (["rollout", "--policy", "script:torn.f", "--env", PLAIN], "script 'torn.f': cannot import torn", "torn.py:2"),
    (["rollout", "--policy", "script:leaver.f", "--env", PLAIN], "it called sys.exit(7)", "leaver.py:2"),
    (["rollout", "--policy", "random", "--config", "predicate.yaml"], "predicate failed for task", line("predicate")),
    (["rollout", "--policy", "random", "--config", "cheat.yaml"], "wrapper own:Cheat: LookupError", line("cheat")),
    (["rollout", "--policy", "random", "--config", "torn.yaml"], "wrapper 'torn:Torn': cannot import", "torn.py:2"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "said", "place"), CASES)
def test_what_breaks_is_said_in_a_line_with_its_place(args: list[str], said: str, place: str, folder: Path) -> None:
    wrappers = {
        "predicate": {"name": "FilterTasks", "kwargs": {"predicate": "own.predicate"}},
        "cheat": {"name": "own:Cheat"},
        "torn": {"name": "torn:Torn"},
    }
    for name, wrapper in wrappers.items():
        config = {"env_ids": [{"id": "mine/Good-v0", "wrappers": [wrapper]}], "num_tasks": 2}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    done = run(*args, "--registry", "r.yaml")
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last
    assert place in last
    assert done.stderr.count("error: ") == 1
    assert "Traceback" not in done.stderr


def test_a_script_that_raises_is_a_failed_episode() -> None:
    done = rollout("--env", "mine/Good-v0", "--policy", "script:own.broken")
    assert done.returncode == 3
    assert f"{line('broken')}\n" in done.stdout
    assert "Traceback" not in done.stderr


def test_info_tells_what_it_can() -> None:
    done = run("info", "mine/Generator-v0", "--registry", "r.yaml")
    assert done.returncode == 0
    assert "ZeroDivisionError: integer division or modulo by zero, at " in done.stdout
    assert "  example  none: " in done.stdout
    assert line("generator") in done.stdout
    assert "Has no tasks." in done.stdout


@pytest.mark.parametrize(
    ("before", "after", "extra"),
    [(["--traceback"], [], {}), ([], ["--traceback"], {}), ([], [], {"LLMGYM_TRACEBACK": "1"})],
)
def test_the_whole_traceback_can_be_had(before: list[str], after: list[str], extra: dict[str, str]) -> None:
    for env_id in ("mine/Constructor-v0", "mine/Opening-v0"):
        done = run(*before, "play", env_id, "--registry", "r.yaml", *after, **extra)
        assert done.returncode == 2
        assert "Traceback (most recent call last)" in done.stderr
        assert 'own.py", line' in done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in run("play", "mine/Opening-v0", "--registry", "r.yaml", LLMGYM_TRACEBACK="0").stderr


def test_a_defect_of_llmgym_keeps_its_traceback() -> None:
    code = (
        "import sys; sys.argv[0] = 'llmgym'; from llmgym.cli import main, list as verb\n"
        "import llmgym.registry as registry; del registry._entries['llmgym/Calculator-v0'].__class__.domains; main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "list"],
        env=environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "error: " not in done.stderr


def test_environments_that_cannot_be_made_do_not_keep_others_from_their_checks() -> None:
    done = run("check", "mine/Constructor-v0", "mine/Good-v0", "--registry", "r.yaml", "--num-tasks", 2, "--json")
    assert done.returncode == 2
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["mine/Constructor-v0"] == []
    assert len(report["mine/Good-v0"]) > 10
    assert done.stderr.count("error: ") == 1


def test_all_unknown_environments_are_named_before_any_is_checked() -> None:
    done = run("check", "mine/God-v0", "mine/Good-v0", "mine/Lost-v0", "--registry", "r.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("error: there is no environment") == 2
    assert "did you mean mine/Good-v0" in done.stderr
