"""What runs inside of the wall: a function of a program, on one list of arguments after another.

It stands beside the program in one process, so that a program can make of it what it likes; all it gains are other
values, which are compared outside with what never comes in here. Only the standard library is there.
"""

from __future__ import annotations

import json
import os
import sys
import types
import typing
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Read the job from standard input, and tell what each call gave as a line of JSON behind the job's mark."""
    dumps, loads, write, leave = json.dumps, json.loads, os.write, os._exit
    job = loads(sys.stdin.buffer.read())
    channel = os.dup(1)
    os.dup2(2, 1)  # what the program prints

    def tell(said: dict[str, Any]) -> None:
        line = f"\n{job['mark']}{dumps(said)}\n".encode()
        while line:
            line = line[write(channel, line) :]

    try:
        function = _load(job["source"], job["name"])
    except BaseException as error:
        tell({"load": _described(error), "type": type(error).__name__})
        leave(0)
        raise
    for arguments in job["inputs"]:
        try:
            given = function(*loads(arguments))
            said = {"value": _encoded(given)}
            dumps(said)
        except BaseException as error:  # noqa: BLE001 -- the program's own
            said = {"error": _described(error), "type": type(error).__name__}
        tell(said)
    leave(0)


def _load(source: str, name: str) -> Callable[..., Any]:
    module = types.ModuleType("solution")
    sys.modules["solution"] = module  # where dataclasses look for it
    if "class Solution" in source:  # as LeetCode has it: `def f(self, numbers: List[int])`, and no import
        module.__dict__.update({each: getattr(typing, each) for each in typing.__all__ if each[0].isupper()})
    exec(compile(source, "solution.py", "exec", dont_inherit=True), module.__dict__)
    owner = module.__dict__.get("Solution")
    if name not in module.__dict__ and isinstance(owner, type) and hasattr(owner, name):
        return getattr(owner(), name)
    if name not in module.__dict__:
        raise NameError(f"the program has no function {name!r}")
    return module.__dict__[name]


def _encoded(value: Any) -> Any:
    """A value as JSON, in which dicts and sets are told from each other: nothing else is an object there."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_encoded(part) for part in value]
    if isinstance(value, set | frozenset):
        return {"set": [_encoded(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[_key(key), _encoded(part)] for key, part in value.items()]}
    raise TypeError(f"it returns a {type(value).__name__}, not a number, text, list, tuple, set, dict, bool or None")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, int | float):
        return json.dumps(key)
    raise TypeError(f"the keys of the dict it returns are of type {type(key).__name__}, not text or numbers")


def _described(error: BaseException) -> str:
    line, frames = getattr(error, "lineno", None), error.__traceback__
    while frames is not None:
        if frames.tb_frame.f_code.co_filename == "solution.py":
            line = frames.tb_lineno
        frames = frames.tb_next
    try:
        text = f"{type(error).__name__}: {error}"[:300]
    except BaseException:  # noqa: BLE001 -- an error of the program's that cannot say what it is
        text = type(error).__name__
    return f"{text} (line {line})" if line is not None and "(solution.py, line" not in text else text


if __name__ == "__main__":
    main()
