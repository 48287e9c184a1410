"""`llmgym check`."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import typer

from llmgym.cli.numbers import finite
from llmgym.cli.output import print_json
from llmgym.cli.verb import OK, SOME_FAILED, Several, code_of, complain
from llmgym.concurrency.threads import CORES
from llmgym.errors import ConfigError, LLMGymError, RegistryError
from llmgym.registry import check_id, list_envs, make_core
from llmgym.tasks import Reading, file_source

if TYPE_CHECKING:
    from llmgym.testing import CheckResult

EXAMPLES = """
\b
Examples:
  llmgym check llmgym/Calculator-v0
  llmgym check mine/Shop-v0 --registry registry.yaml --num-tasks 10
  llmgym check llmgym/MultipleChoice-v0 --tasks questions.jsonl
  llmgym check --all --num-tasks 20 --seconds 1
\b
Exits with 0 where all is well, with 1 where a check fails or a row is bad,
and with 2 where an environment is unknown or cannot be made, or the file
cannot be read.
"""

_NUM_TASKS = 50
_SECONDS = 5.0
_OUTSIDE = {"judge", "network"}


def run(
    env_ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", hidden=True),
    ] = None,
    tasks: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Check only the rows of this file: .jsonl, .json, .csv, .parquet or .arrow. Every bad one is named.",
        ),
    ] = None,
    num_tasks: Annotated[
        int | None,
        typer.Option(
            metavar="N", help=f"Tasks that the oracle and the degenerate policies play ({_NUM_TASKS}).", min=1
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            metavar="S", help=f"Time of each check, after which it does less ({_SECONDS:g}).", min=0.1, callback=finite
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Check all that need no model and no network.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check environments, or a file of tasks for one.

    ID is an environment's, such as llmgym/Calculator-v0. It must keep Gymnasium's rules, equal seeds must give equal
    episodes, and rewards must tell good from bad. Of several, each has a line, and one for each check that fails.
    """
    if tasks is not None:
        _expect_alone(tasks, env_ids, num_tasks, seconds)
    wanted = _wanted(env_ids or [], everything=all_)
    _expect_known(wanted)
    if len(wanted) > 1:
        logging.getLogger("llmgym").setLevel(logging.ERROR)  # what they log would stand between the lines
    depth = num_tasks or _NUM_TASKS, seconds or _SECONDS
    if tasks is not None:
        found = _read_each(wanted, tasks, quiet=json)
    elif len(wanted) == 1:
        found = {wanted[0]: _play(wanted[0], *depth, quiet=json)}
    else:
        found = _play_side_by_side(wanted, *depth, quiet=json)
    failed = sum(one.failed for one in found.values())
    if json:
        print_json({env_id: one.report for env_id, one in found.items()})
    elif tasks is None and any(one.report for one in found.values()):
        _conclude(found, failed)
    sys.exit(max(one.code for one in found.values()) or (SOME_FAILED if failed else OK))


class _Found(NamedTuple):
    """What was found of an environment, as JSON has it; how much is wrong; the exit code where it cannot be made."""

    report: Any
    failed: int = 0
    code: int = OK
    took: float = 0.0


def _wanted(env_ids: list[str], *, everything: bool) -> list[str]:
    """The environments that are named, or all.

    Raises:
        ConfigError: None is named, or all and some.
    """
    if bool(env_ids) == everything:
        raise ConfigError("name environments, as in `llmgym check llmgym/Wordle-v0`, or say --all, and not both")
    return env_ids or [entry.id for entry in list_envs() if not _OUTSIDE.intersection(entry.needs)]


def _play(env_id: str, num_tasks: int, seconds: float, *, quiet: bool) -> _Found:
    """Run all checks of an environment, and show each unless that is too much."""
    from llmgym.testing import run_checks

    results: list[CheckResult] = []
    began = time.monotonic()
    try:
        make_core(env_id).close()
        if not quiet:
            print(env_id, flush=True)
        for result in run_checks(env_id, num_tasks=num_tasks, seconds=seconds):
            results.append(result)
            if not quiet:
                print(f"  {result.status:<7}  {result.name}: {result.detail}", flush=True)
    except LLMGymError as error:  # others can be checked all the same
        complain(error)
        return _Found([], code=code_of(error))
    failed = sum(not result.passed for result in results)
    return _Found(msgspec.to_builtins(results), failed, took=time.monotonic() - began)


def _play_side_by_side(env_ids: list[str], num_tasks: int, seconds: float, *, quiet: bool) -> dict[str, _Found]:
    """Run all checks of several environments, one on each core, and show what they come to in order."""
    found: dict[str, _Found] = {}
    watched = sys.stderr.isatty()
    # Forked, so that each has what is registered here; nothing has started a thread or a sandbox yet.
    with ProcessPoolExecutor(
        CORES, multiprocessing.get_context("fork"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_DFL)
    ) as pool:
        running = [pool.submit(_play, env_id, num_tasks, seconds, quiet=True) for env_id in env_ids]
        try:
            for env_id, future in zip(env_ids, running, strict=True):
                if watched:
                    print(
                        f"\r\x1b[K{len(found) + 1} of {len(env_ids)}  {env_id}\r", end="", file=sys.stderr, flush=True
                    )
                found[env_id] = future.result()
                if watched:
                    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
                if not quiet and found[env_id].report:
                    _show(env_id, found[env_id])
        except BaseException:  # nobody waits for the rest
            for process in multiprocessing.active_children():
                process.kill()
            raise
    return found


def _show(env_id: str, found: _Found) -> None:
    """A line, and one for each check that fails."""
    print(f"{'failed' if found.failed else 'passed'}  {found.took:5.1f} s  {env_id}", flush=True)
    for result in found.report:
        if result["status"] == "failed":
            print(f"                 {result['name']}: {result['detail']}", flush=True)


def _conclude(found: dict[str, _Found], failed: int) -> None:
    """A line of what all came to."""
    text = f"{failed} checks failed" if failed else "all checks passed"
    if len(found) > 1:
        text += f", in {sum(bool(one.report) for one in found.values())} of {len(found)} environments"
    print(text)


def _read_each(env_ids: list[str], tasks: str, *, quiet: bool) -> dict[str, _Found]:
    """Read a file of tasks as each environment does."""
    found: dict[str, _Found] = {}
    for env_id in env_ids:
        try:
            core = make_core(env_id)
            core.close()
        except LLMGymError as error:  # others can read it all the same
            complain(error)
            found[env_id] = _Found([], code=code_of(error))
            continue
        if not quiet:
            print(env_id, flush=True)
        bad, report = _read(Reading(file_source(tasks), core.read_row), quiet)
        found[env_id] = _Found(report, bad)
    return found


def _read(reading: Reading, quiet: bool) -> tuple[int, dict[str, Any]]:
    """Read a file as an environment does; how many rows are bad, and what is in it."""
    problems: list[dict[str, str]] = []
    for problem in reading.problems():
        problems.append(problem._asdict())
        if not quiet:
            print(f"  {' '.join(str(problem).split())}", flush=True)
    splits = {split: len(found) for split, found in reading.table().splits.items()}
    if not quiet and reading.seen:
        print(f"  {_counts(reading, splits, len(problems))}")
    report = {"rows": reading.seen, "bad": problems, "splits": splits, "duplicates": reading.duplicates}
    return len(problems), report


def _counts(reading: Reading, splits: dict[str, int], bad: int) -> str:
    if bad:
        return f"bad rows: {bad} of {reading.seen}"
    sizes = ", ".join(f"{split} {size}" for split, size in splits.items())
    return f"tasks: {sum(splits.values())} ({sizes}); duplicates: {reading.duplicates}"


def _expect_alone(tasks: str, env_ids: list[str] | None, num_tasks: int | None, seconds: float | None) -> None:
    """See that what is given beside a file of tasks makes sense.

    Raises:
        ConfigError: It does not, or the file is a number, as that of tasks.
    """
    if not env_ids:
        raise ConfigError(
            "--tasks FILE is read as an environment reads it: name one, as in llmgym check ID --tasks FILE"
        )
    if tasks.isdecimal() and not Path(tasks).exists():
        raise ConfigError(
            f"--tasks takes a file, and there is no file {tasks!r}; for a number of tasks, --num-tasks {tasks}"
        )
    for name, value in (("--num-tasks", num_tasks), ("--seconds", seconds)):
        if value is not None:
            raise ConfigError(
                f"{name} is for checks that play episodes, and with --tasks none is played: leave one out"
            )


def _expect_known(env_ids: list[str]) -> None:
    """See that all environments are registered, before the first of them is played for a minute."""
    problems: list[str] = []
    for env_id in env_ids:
        try:
            check_id(env_id)
        except RegistryError as error:
            problems.append(str(error))
    if problems:
        raise Several(problems)
