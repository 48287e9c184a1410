"""Python programs and cells as Python itself would run them, in a process that was forked for them.

What is run here may do to these functions what it likes: their word counts for nothing outside but as what it printed.
"""

from __future__ import annotations

import ast
import atexit
import builtins
import io
import linecache
import os
import site
import sys
import traceback
import types
from typing import Any

#: How a program that ran out of memory ends, if it says so.
NO_MEMORY = 213

_NAME = "program.py"


def open_streams() -> None:
    """Have Python's standard streams be the descriptors 0 to 2, whatever those are later on.

    The zygote does it once for all its children, for whom opening them would be half of what a small program costs.
    """
    raw = io.BufferedReader(io.FileIO(0, closefd=False))
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(raw, "utf-8", "surrogateescape")
    sys.stdout = sys.__stdout__ = _writer(1, "surrogateescape")
    sys.stderr = sys.__stderr__ = _writer(2, "backslashreplace")


def _writer(fd: int, errors: str) -> io.TextIOWrapper:
    raw = io.BufferedWriter(io.FileIO(fd, "w", closefd=False))
    return io.TextIOWrapper(raw, "utf-8", errors, newline="\n", line_buffering=fd == 2)


def new_main() -> dict[str, Any]:
    """A `__main__` with nothing in it; its names."""
    module = types.ModuleType("__main__")
    module.__dict__.update(__builtins__=builtins, __file__=_NAME)
    sys.modules["__main__"] = module
    return module.__dict__


def run_program(source: bytes, argv: list[str]) -> int:
    """Run a program to its end, with what it left for its end, and give its exit code."""
    sys.argv = [_NAME, *argv]
    names = sys.modules["__main__"].__dict__
    code = attempt(lambda: exec(compile_named(source, _NAME), names))
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]  # there is no other way
    except BaseException:  # noqa: BLE001 -- the program's own
        traceback.print_exc()
    return flush() or code


def show_lines(source: bytes, name: str) -> None:
    """Have tracebacks and `inspect` find the lines of a source that is in no file, once they look for them."""
    linecache.cache[name] = (lambda: source.decode("utf-8", "replace"),)


def compile_named(source: bytes, name: str) -> types.CodeType:
    """Compile a program."""
    show_lines(source, name)
    return compile(source, name, "exec", dont_inherit=True)


def attempt(action: Any) -> int:
    """Do something of the program's and give its exit code; what it raises is shown as Python shows it."""
    try:
        action()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        sys.stderr.write(f"{end.code}\n")
    except BaseException as error:  # noqa: BLE001 -- told to the program's author
        _show(error)
        return NO_MEMORY if isinstance(error, MemoryError) else 1
    else:
        return 0
    return 1


def _show(error: BaseException) -> None:
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") == __name__:
        frames = frames.tb_next
    try:
        traceback.print_exception(type(error), error, frames)
    except BaseException:  # noqa: BLE001 -- such as no memory, or a class whose text raises
        os.write(2, f"{type(error).__name__}\n".encode())


def flush() -> int:
    """Write out what is buffered; 1 where that fails, as Python has it."""
    failed = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: BLE001 -- closed, or past the limit of output
            failed = 1
    return failed


def run_cell(source: bytes, name: str, names: dict[str, Any]) -> int:
    """Run a cell of a session: as a program, and a value at its end is shown as at Python's prompt."""

    def run() -> None:
        show_lines(source, name)
        tree = ast.parse(source, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), names)
        if isinstance(last, ast.Expr):
            sys.displayhook(eval(compile(ast.Expression(last.value), name, "eval"), names))

    return attempt(run)


_USUAL = (b"x = [n * n for n in range(9)]\nprint(x, f'{sum(x):.2f}')", b"def f():\n    return {}['a']\nf()")


def warm() -> None:
    """Run what every program needs once, so that the children find it done; what it prints goes nowhere."""
    site.setquit()  # without `site`, Python has no `exit`
    open_streams()
    names: dict[str, Any] = {}
    for source in _USUAL * 16:  # the interpreter learns from the first times
        attempt(lambda code=source: exec(compile_named(code, _NAME), new_main()))
        run_cell(source, "cell", names)
        flush()
    linecache.cache.clear()
    open_streams()
    new_main()
