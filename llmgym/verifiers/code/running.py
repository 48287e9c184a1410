"""Running a program's tests inside the wall, and comparing outside of it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from llmgym.sandbox import Limits, Result, Sandbox
from llmgym.verifiers.code.cases import Cases
from llmgym.verifiers.code.comparing import same_output, same_value

#: How a test ended, as the program's own doing.
Status = Literal[
    "passed", "wrong_answer", "runtime_error", "syntax_error", "time_limit", "memory_limit", "output_limit"
]

#: Of all calls of a function, or of each run of a program.
LIMITS = Limits(output=4 << 20)

_RUNNER = files("llmgym.verifiers.code").joinpath("runner.py").read_text("utf-8")
_KINDS: dict[str, Status] = {"timeout": "time_limit", "cpu": "time_limit", "memory": "memory_limit"}
_SAID: dict[Status, str] = {
    "time_limit": "it does not end in time",
    "memory_limit": "it takes more memory than it may",
    "output_limit": "it prints more than it may",
}
_SYNTAX = ("SyntaxError", "IndentationError", "TabError")
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a test ended.

    Attributes:
        status: How.
        detail: What the program did wrong; never what is right.
        given: What it returned, as far as JSON can say, or printed; for people.
    """

    status: Status
    detail: str = ""
    given: Any = _NOTHING

    @property
    def shown(self) -> str:
        """What it gave, for whoever wrote the program."""
        return self.detail if self.given is _NOTHING else f"it gives {self.given!r}"


async def run_cases(
    program: str,
    cases: Cases,
    sandbox: Sandbox,
    *,
    limits: Limits = LIMITS,
    seconds: float = 30.0,
    tolerance: float = 1e-6,
) -> list[Outcome]:
    """Run a program's tests, one after another; past its time all that are left fail.

    Args:
        program: Its source.
        cases: The tests.
        sandbox: Where it runs.
        limits: Of all calls of a function, or of each run of a program.
        seconds: That all runs may take together.
        tolerance: Relative, for floats.

    Raises:
        SandboxFailure: The sandbox failed.
        SandboxUnavailable: There is none that will do.
    """
    found, used = list[Outcome](), 0.0
    while (done := len(found)) < len(cases.inputs):
        if used >= seconds:
            found.append(Outcome("time_limit", _SAID["time_limit"]))
        if found and found[-1].status in ("time_limit", "syntax_error"):
            return found + found[-1:] * (len(cases.inputs) - len(found))
        if cases.function is None:
            result = await sandbox.run(program, stdin=cases.inputs[done], limits=limits)
            found.append(_printed(result, cases.outputs[done], tolerance))
        else:
            mark = secrets.token_hex(16)
            inputs = [json.dumps(arguments) for arguments in cases.inputs[done:]]
            job = {"mark": mark, "source": program, "name": cases.function, "inputs": inputs}
            result = await sandbox.run(_RUNNER, stdin=json.dumps(job), limits=limits)
            found += _returned(result, mark, cases.outputs[done:], tolerance)
        used += result.wall_s
    return found


def _printed(result: Result, right: str, tolerance: float) -> Outcome:
    if not result.ok:
        return _ended(result)
    if same_output(result.stdout, right, tolerance):
        return Outcome("passed", given=result.stdout)
    return Outcome("wrong_answer", "it prints something else", result.stdout)


def _ended(result: Result) -> Outcome:
    """What became of a process that did not come to its end."""
    status: Status = _KINDS.get(result.status, "output_limit" if result.status == "output" else "runtime_error")
    if status != "runtime_error":
        return Outcome(status, _SAID[status])
    said = result.stderr.strip().rsplit("\n", 1)[-1][:300] or f"it ends with exit code {result.exit_code}"
    return Outcome("syntax_error" if said.startswith(_SYNTAX) else status, said)


def _returned(result: Result, mark: str, outputs: tuple[Any, ...], tolerance: float) -> list[Outcome]:
    """How the tests ended up to the one that ended the process, or all of them."""
    found = list[Outcome]()
    for record in _records(result.stdout, mark):
        if len(found) == len(outputs):
            break
        if "load" in record:
            outcome = Outcome(_blamed(record, loads=True), str(record["load"]))
            return [*found, *[outcome] * (len(outputs) - len(found))]
        if "value" not in record:
            found.append(Outcome(_blamed(record, loads=False), str(record.get("error"))))
        elif same_value(record["value"], outputs[len(found)], tolerance):
            found.append(Outcome("passed", given=_plain(record["value"])))
        else:
            found.append(Outcome("wrong_answer", "it returns something else", _plain(record["value"])))
    if len(found) < len(outputs):
        found.append(_ended(result))
    return found


def _records(printed: str, mark: str) -> Iterator[dict[str, Any]]:
    for line in printed.split("\n"):
        if line.startswith(mark):
            try:
                record = json.loads(line.removeprefix(mark))
            except (ValueError, RecursionError):  # cut off, too deep, or a number of too many digits
                record = {"error": "it returns a value that is too large"}
            if isinstance(record, dict):
                yield record


def _blamed(record: dict[str, Any], *, loads: bool) -> Status:
    if record.get("type") == "MemoryError":
        return "memory_limit"
    return "syntax_error" if loads and record.get("type") in _SYNTAX else "runtime_error"


def _plain(value: Any) -> Any:
    """A value as it was before the runner encoded it, as far as JSON has it."""
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        pairs = value.get("dict")
        return [_plain(part) for part in value["set"]] if pairs is None else {key: _plain(part) for key, part in pairs}
    return value
