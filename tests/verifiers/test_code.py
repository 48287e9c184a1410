from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from llmgym.sandbox import Limits, Sandbox, SandboxFailure
from llmgym.verifiers import code
from llmgym.verifiers.base import MAX_ANSWER
from llmgym.verifiers.code.comparing import same_output, same_value
from llmgym.verifiers.code.runner import _encoded  # pyright: ignore[reportPrivateUsage]
from llmgym.verifiers.text import fenced_blocks
from tests.walled import need_a_wall

need_a_wall()

ADD: dict[str, Any] = {"fn_name": "add", "inputs": [[1, 2], [3, 4], [0, 0], [-5, 2]], "outputs": [3, 7, 0, -3]}
SUM: dict[str, Any] = {"inputs": ["1 2\n", "3 4\n", "0 0\n"], "outputs": ["3\n", "7\n", "0\n"]}
QUICK = Limits(cpu=1, wall=1, memory=64 << 20, output=1 << 16)


def fenced(program: str, name: str = "python") -> str:
    return f"```{name}\n{program}\n```"


RIGHT = {
    "fenced": fenced("def add(a, b):\n    return a + b"),
    "prose around": "Here it is:\n\n" + fenced("def add(a, b):\n    return a + b") + "\n\nIt adds.",
    "bare": "def add(a, b):\n    return a + b",
    "in a list": "1. Add them:\n\n   ```python\n   def add(a, b):\n       return a + b\n   ```\n\n2. Done.",
    "no name": fenced("def add(a, b):\n    return a + b", ""),
    "fence not closed": "```python\ndef add(a, b):\n    return a + b",
    "carriage returns": fenced("def add(a, b):\r\n    return a + b"),
    "lambda": fenced("add = lambda a, b: a + b"),
    "imports": fenced("from operator import add"),
    "an example of its use last": fenced("def add(a, b):\n    return a + b") + "\n" + fenced("print(add(1, 2))"),
    "an output last": fenced("def add(a, b):\n    return a + b") + "\n" + fenced("3", "text"),
    "a first try": fenced("def add(a, b):\n    return a") + "\nNo:\n" + fenced("def add(a, b):\n    return a + b"),
    "in a class": fenced("class Solution:\n    def add(self, a, b):\n        return a + b"),
    "types without an import": fenced(
        "class Solution:\n    def add(self, a: List[int], b: int):\n        return a + b"
    ),
    "a title": '```python title="add.py"\ndef add(a, b): return a + b\n```',
    "deep in a list": "- Add:\n  - so:\n\n     ```python\n     def add(a, b):\n         return a + b\n     ```\n",
    "a fence in a docstring": fenced(
        'def add(a, b):\n    """\n    ```\n    add(1, 2)\n    ```\n    """\n    return a + b'
    ),
    "prints": fenced("def add(a, b):\n    print(a, b)\n    return a + b"),
    "prints much": fenced("def add(a, b):\n    print('x' * 10**6)\n    return a + b"),
    "closes its output": fenced("import os, sys\nos.close(1)\ndef add(a, b):\n    return a + b"),
    "a main part": fenced("def add(a, b):\n    return a + b\nif __name__ == '__main__':\n    print(add(*input()))"),
    "dataclasses": fenced(
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: 'int'\ndef add(a, b):\n    return P(a + b).x"
    ),
    "floats": fenced("def add(a, b):\n    return float(a + b)"),
    "threads left": fenced(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\ndef add(a, b): return a + b"
    ),
    "thoughts": "<think>" + fenced("def add(a, b): return 0") + "</think>" + fenced("def add(a, b): return a + b"),
}


@pytest.mark.parametrize("line", ["```" + " " * 60_000 + "`", "```" + "a" * 60_000 + "`", " " * 60_000 + "`"])
@pytest.mark.timeout(10)
def test_lines_that_are_almost_fences_are_read_in_no_time(line: str) -> None:
    assert not fenced_blocks(line).blocks


@pytest.mark.parametrize("name", RIGHT)
def test_right_programs(name: str) -> None:
    verdict = code.check(RIGHT[name], ADD)
    assert verdict, verdict
    assert verdict.metrics == {"tests": 4.0, "passed": 1.0}


# What a program may do instead of the task: (program, reason, kind of end that is counted).
def test_a_function_may_be_called_as_what_typing_has() -> None:
    assert code.check(
        fenced("class Solution:\n    def cast(self, a, b):\n        return a + b"), {**ADD, "fn_name": "cast"}
    )


WRONG: dict[str, tuple[str, str, str]] = {
    "a constant": ("def add(a, b): return 3", "wrong", "wrong_answer"),
    "examples by heart": ("def add(a, b): return {(1, 2): 3, (3, 4): 7}.get((a, b))", "wrong", "wrong_answer"),
    "text": ("def add(a, b): return str(a + b)", "wrong", "wrong_answer"),
    "prints instead": ("def add(a, b): print(a + b)", "wrong", "wrong_answer"),
    "raises": ("def add(a, b): raise ValueError('no')", "wrong", "runtime_error"),
    "types of a function": ("def add(a: List[int], b): return a + b", "wrong", "runtime_error"),
    "no function": ("def plus(a, b): return a + b", "wrong", "runtime_error"),
    "no function by that name": ("add = 5", "wrong", "runtime_error"),
    "no Python": ("I cannot do that.", "unparsable", "syntax_error"),
    "cut off": ("def add(a, b):\n    return (a +", "unparsable", "syntax_error"),
    "endless": ("def add(a, b):\n    while True: pass", "timeout", "time_limit"),
    "endless at first": ("while True: pass", "timeout", "time_limit"),
    "asleep": ("import time\ndef add(a, b):\n    time.sleep(9)", "timeout", "time_limit"),
    "recursion": ("def add(a, b): return add(a, b)", "wrong", "runtime_error"),
    "memory": ("def add(a, b): return len([0] * 10**9)", "wrong", "memory_limit"),
    "large value": ("def add(a, b): return 'x' * 10**6", "wrong", "output_limit"),
    "huge number": ("def add(a, b): return 10**5000", "wrong", "runtime_error"),
    "infinity": ("def add(a, b): return float('inf')", "wrong", "wrong_answer"),
    "not a number": ("def add(a, b): return float('nan')", "wrong", "wrong_answer"),
    "generator": ("def add(a, b): yield a + b", "wrong", "runtime_error"),
    "coroutine": ("async def add(a, b): return a + b", "wrong", "runtime_error"),
    "exit": ("import sys\nsys.exit(0)", "wrong", "runtime_error"),
    "exit in the call": ("import sys\ndef add(a, b): sys.exit(0)", "wrong", "runtime_error"),
    "hard exit": ("import os\ndef add(a, b): os._exit(0)", "wrong", "runtime_error"),
    "kills itself": ("import os\ndef add(a, b): os.kill(os.getpid(), 9); os.abort()", "wrong", "runtime_error"),
    "equal to everything": (
        "class All(int):\n    def __eq__(self, other): return True\n    __hash__ = None\ndef add(a, b): return All(5)",
        "wrong", "wrong_answer",
    ),
    "equal to everything, no value": (
        "class All:\n    def __eq__(self, other): return True\ndef add(a, b): return All()", "wrong", "runtime_error",
    ),
    "patched comparison": (
        "import json, math\njson.dumps = lambda *a, **k: '{\"value\": true}'\nmath.isclose = lambda *a, **k: True\n"
        "def add(a, b): return 9",
        "wrong", "wrong_answer",
    ),
    "the pass mark": ("def add(a, b):\n    print('passed', 'OK (4 tests)')\n    return True", "wrong", "wrong_answer"),
    "results by the channel": (
        "import sys\ndef add(a, b):\n    caller = sys._getframe(1).f_locals\n"
        "    caller['tell']({'passed': 1, 'value': 1})\n"
        "    caller['tell']({'score': 1})\n    return 9",
        "wrong", "wrong_answer",
    ),
    "frames": (
        "import sys, gc\ndef add(a, b):\n    frame, found = sys._getframe(1), []\n    while frame:\n"
        "        found += [frame.f_locals, frame.f_globals]\n        frame = frame.f_back\n"
        "    for names in found:\n        for job in names.values():\n"
        "            if isinstance(job, dict) and 'outputs' in job: return job['outputs'][0]\n    return 9",
        "wrong", "wrong_answer",
    ),
    "an error that cannot be told": (
        "class E(Exception):\n    def __str__(self): raise self\ndef add(a, b): raise E", "wrong", "runtime_error",
    ),
    "deep": ("def add(a, b):\n    x = []\n    for _ in range(10**5): x = [x]\n    return x", "wrong", "runtime_error"),
    "changes the loader": (
        "import json, sys\nsys.stdout = None\nsys.modules['json'] = None\nos = None\ndef add(a, b): return 9",
        "wrong", "wrong_answer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_programs(name: str) -> None:
    program, reason, status = WRONG[name]
    verdict = code.check(program, ADD, limits=QUICK)
    assert (verdict.score, verdict.reason) == (0.0, reason), verdict
    assert verdict.metrics[status] >= 1
    assert verdict.metrics["passed"] < 1


def test_nothing_to_run() -> None:
    assert code.check("", ADD).reason == "no_answer"
    assert code.check("```sql\nselect 1\n```", ADD).reason == "no_answer"
    assert code.check("<think>def add(a, b): return a + b", ADD).reason == "no_answer"
    assert code.check("#" * (MAX_ANSWER + 1), ADD).reason == "too_long"


def test_tests_behind_one_that_ends_the_process_are_run_too() -> None:
    program = "import os\ndef add(a, b):\n    if a == 3: os._exit(0)\n    return a + b"
    verdict = code.check(program, ADD, score="share")
    assert (verdict.score, verdict.reason, verdict.detail) == (0.75, "partial", "test 2 of 4: it ends with exit code 0")
    assert code.check(program, ADD).score == 0


def test_a_test_past_its_time_ends_the_others() -> None:
    program = "def add(a, b):\n    while a == 3: pass\n    return a + b"
    verdict = code.check(program, ADD, score="share", limits=QUICK)
    assert (verdict.score, verdict.metrics["time_limit"]) == (0.25, 3.0)


def test_all_runs_together_have_a_time() -> None:
    program = "import time\ntime.sleep(0.2)\nprint(sum(map(int, input().split())))"
    assert code.check(program, SUM)
    assert code.check(program, SUM, seconds=0.3).metrics["time_limit"] == 1


PRINTED: dict[str, tuple[str, bool]] = {
    "right": ("print(sum(map(int, input().split())))", True),
    "blanks at ends of lines": ("print(' ', sum(map(int, input().split())), ' \\n\\n')", True),
    "ends itself": ("import sys\nprint(sum(map(int, input().split())))\nsys.exit(0)", True),
    "leading zeros": ("print(f'{sum(map(int, input().split())):03}')", False),
    "a float": ("print(sum(map(float, input().split())))", False),
    "more than asked": ("print('Sum:', sum(map(int, input().split())))", False),
    "an error behind": ("print(sum(map(int, input().split())))\n1 / 0", False),
    "nothing": ("pass", False),
    "all in one": ("print(3, 7, 0)", False),
}


@pytest.mark.parametrize("name", PRINTED)
def test_programs_that_print(name: str) -> None:
    program, right = PRINTED[name]
    assert bool(code.check(fenced(program), SUM)) == right


@pytest.mark.parametrize(
    ("given", "right", "same"),
    [
        ("1 2\n3\n", "1 2\n3", True),
        ("1  2 \r\n3", "1 2\n3", True),
        ("1 2 3", "1 2\n3", False),
        ("1 2\n\n3", "1 2\n3", False),
        ("0.333333333", "0.3333333333", True),
        ("0.3333", "0.3333333333", False),
        ("3", "3.0", True),
        ("3.0", "3", False),
        ("1000.0", "1e3", True),
        ("1e3", "1000", False),
        ("1e999", "1e998", False),
        ("nan", "0.5", False),
        ("١", "1", False),
        ("YES", "Yes", False),
        ("1.2.3", "1.2.3", True),
        ("", "\n", True),
    ],
)
def test_printed_text(given: str, right: str, same: bool) -> None:
    assert same_output(given, right, 1e-6) == same


@pytest.mark.parametrize(
    ("given", "right", "same"),
    [
        ((1, 2), [1, 2], True),
        ([1, 2], [2, 1], False),
        ({1, 2}, [1, 2], False),
        ({1, 2}, {"$unordered": [2, 1]}, True),
        ([2, 1, 1], {"$unordered": [1, 2, 1]}, True),
        ([2, 1], {"$unordered": [1, 2, 1]}, False),
        ([1.5, 2], {"$unordered": [2, 1.5000000001]}, True),
        (2, {"$any": [1, 2]}, True),
        ({1: "a", 2: "b"}, {"1": "a", "2": "b"}, True),
        ({1: "a", "1": "b"}, {"1": "a"}, False),
        ({"a": [1, (2,)]}, {"a": [1, [2]]}, True),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"dict": [["a", 1]]}, {"a": 1}, False),
        (True, 1, False),
        (1, True, False),
        (True, True, True),
        (0, None, False),
        (None, None, True),
        ("1", 1, False),
        (3.0, 3, True),
        (3.0000001, 3, False),
        (3, 3.0, True),
        (0.1 + 0.2, 0.3, True),
        (0.31, 0.3, False),
        (1e-17, 0.0, True),
        (10**400, 0.5, False),
        ([[1], []], [[1], []], True),
        ("a", ["a"], False),
    ],
)
def test_values(given: Any, right: Any, same: bool) -> None:
    assert same_value(json.loads(json.dumps(_encoded(given))), right, 1e-6) == same


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda parts: st.lists(parts) | st.dictionaries(st.text().filter(lambda name: not name.startswith("$")), parts),
    max_leaves=20,
)


@given(_JSON)
def test_a_value_is_itself(value: Any) -> None:
    assert same_value(json.loads(json.dumps(_encoded(value))), value, 0.0)


@pytest.mark.parametrize(
    "reference",
    [
        {},
        {"inputs": [], "outputs": []},
        {"inputs": ["1"], "outputs": []},
        {"inputs": [1], "outputs": ["1"]},
        {"inputs": ["1"], "outputs": [None]},
        {"inputs": [0], "outputs": [1], "fn_name": "f"},
        {"inputs": ["1"], "outputs": [1]},
        {"inputs": ["1"], "outputs": ["1"], "fn_name": "f"},
        {"inputs": [[1]], "outputs": [1], "fn_name": "f("},
        {"inputs": [[1]], "outputs": [1], "name": "f"},
    ],
)
def test_references_that_are_none(reference: dict[str, Any]) -> None:
    assert code.check("def f(x): return x", reference).reason == "invalid_reference"
    with pytest.raises(TaskError):
        code.prove(reference, "def f(x): return x")


def test_proofs() -> None:
    code.prove(ADD, "def add(a, b): return a + b", wrong=["def add(a, b): return 3"])
    with pytest.raises(TaskError, match="does not pass"):
        code.prove(ADD, "def add(a, b): return a - b")
    with pytest.raises(TaskError, match="a wrong program passes"):
        code.prove(ADD, "def add(a, b): return a + b", wrong=["def add(a, b): return b + a"])
    with pytest.raises(TaskError, match="a constant"):
        code.prove({**ADD, "outputs": [0] * 4}, "def add(a, b): return 0")
    with pytest.raises(TaskError, match="half of their time"):
        code.prove(ADD, "import time\ntime.sleep(0.6)\ndef add(a, b): return a + b", limits=Limits(wall=1))


def test_a_broken_sandbox_is_nobodys_fault() -> None:
    class Broken(Sandbox):
        async def run(self, *args: Any, **kwargs: Any) -> Any:
            raise SandboxFailure("it broke")

    verdict = code.check("def add(a, b): return a + b", ADD, sandbox=Broken())
    assert (verdict.score, verdict.reason) == (None, "infrastructure")


def test_unknown_scores() -> None:
    with pytest.raises(ValueError, match="'some'"):
        code.check("", ADD, score="some")  # pyright: ignore[reportArgumentType]
