"""Files of tasks on their way into a run: each row to the environment that will play it, and read as that reads it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import yaml

from llmgym.data.output import replacing_all
from llmgym.errors import RegistryError, TaskError
from llmgym.files import naming
from llmgym.registry import check_id, list_envs, make_core
from llmgym.tasks import Problem, Reading, file_source
from llmgym.tasks.sources import Placed

#: The column that names a row's environment.
COLUMN = "env_id"


class Router:
    """Which environment a row is for."""

    def __init__(
        self, column: str = COLUMN, routes: Mapping[str, str] | None = None, env_id: str | None = None
    ) -> None:
        """Route by a column, or all rows to one environment.

        Args:
            column: The column; a dotted name goes inside, as `agent_ref.name` of NeMo Gym's rows.
            routes: Environment of each value that is no id.
            env_id: Environment of all rows.

        Raises:
            RegistryError: An environment is not registered.
        """
        self.column, self._routes, self._env_id = column, dict(routes or {}), env_id
        for name in (*self._routes.values(), *([env_id] if env_id else [])):
            check_id(name.rpartition(":")[2])

    def route(self, row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The environment of a row, and the row as that is to read it: without the column.

        Raises:
            TaskError: It is for none.
        """
        if self._env_id is not None:
            return self._env_id, row
        value: Any = row
        for name in self.column.split("."):
            value = cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else None
        if value is None:
            there = ", ".join(row) or "nothing"
            raise TaskError(f"it has no {self.column!r} that says which environment it is for; it has {there}")
        env_id = self._routes.get(value, value) if isinstance(value, str) else None
        if env_id is None or (env_id == value and not self._is_known(env_id)):
            raise TaskError(f"{self.column} is {value!r:.100}, and {self._advice(str(value))}")
        return env_id, {name: one for name, one in row.items() if name != self.column}

    def _is_known(self, env_id: str) -> bool:
        try:
            check_id(env_id.rpartition(":")[2])
        except RegistryError:
            return False
        return True

    def _advice(self, value: str) -> str:
        near = difflib.get_close_matches(value, [*self._routes, *(entry.id for entry in list_envs())], n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        return f"there is no such environment; {meant}--route {value}=ID says which one that is"


class _Rows(msgspec.Struct, frozen=True):
    """Rows of an environment, from one file or several."""

    placed: list[Placed]
    named: str

    def rows(self) -> Iterator[Placed]:
        """Yield the rows."""
        yield from self.placed

    def __str__(self) -> str:
        return self.named


class Prepared(msgspec.Struct):
    """Rows of an environment, read as it reads them.

    Attributes:
        env_id: The environment.
        rows: How many rows are for it.
        bad: What is wrong with some of them.
        splits: Tasks of each split.
        duplicates: Rows that hold the same as an earlier one.
        good: The rows that are tasks.
    """

    env_id: str
    rows: int
    bad: list[Problem]
    splits: dict[str, int]
    duplicates: int
    good: list[dict[str, Any]]

    def report(self) -> dict[str, Any]:
        """The same as JSON data, without the rows themselves."""
        bad = [problem._asdict() for problem in self.bad]
        return {"rows": self.rows, "bad": bad, "splits": self.splits, "duplicates": self.duplicates}


def prepare(
    paths: Sequence[Path], router: Router, *, drop_duplicates: bool = False
) -> tuple[list[Prepared], list[Problem]]:
    """Read files of tasks as the environments that will play them.

    Args:
        paths: Files as `llmgym.tasks.file_source` reads them.
        router: Which row is for which environment.
        drop_duplicates: Leave out rows that hold the same as an earlier one.

    Returns:
        The rows by environment, and what is wrong with those that are for none.

    Raises:
        TaskError: A file cannot be read at all.
        RegistryError: An environment cannot be made.
    """
    routed: dict[str, list[Placed]] = {}
    lost: list[Problem] = []
    for path in dict.fromkeys(paths):
        for place, row in file_source(path).rows():
            try:
                if isinstance(row, TaskError):
                    raise row
                env_id, row = router.route(row)
                routed.setdefault(env_id, []).append((place, row))
            except TaskError as error:
                lost.append(Problem(place, str(error)))
    if not routed and not lost:
        raise TaskError(f"{', '.join(map(str, paths))}: there are no rows")
    named = ", ".join(map(str, paths))
    return [_read(env_id, _Rows(rows, named), drop_duplicates) for env_id, rows in routed.items()], lost


def _read(env_id: str, source: _Rows, drop_duplicates: bool) -> Prepared:
    core = make_core(env_id)
    try:
        reading = Reading(source, core.read_row, "drop" if drop_duplicates else "keep")
        bad = list(reading.problems())
        splits = {split: len(tasks) for split, tasks in reading.table().splits.items()}
    finally:
        core.close()
    kept = set(reading.places)
    good = [cast("dict[str, Any]", row) for place, row in source.placed if place in kept]
    return Prepared(env_id, reading.seen, bad, splits, reading.duplicates, good)


def _line(row: dict[str, Any]) -> bytes:
    """A row as a line; whole numbers keep all their digits."""
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # text that was cut within a character
        return json.dumps(row).encode() + b"\n"


def write_tasks(
    found: Iterable[Prepared], folder: Path, *, force: bool = False, inputs: Iterable[Path] = ()
) -> list[Path]:
    """Write a file of tasks for each environment, and `run.yaml`, which a run of them takes as its configuration.

    Args:
        found: The rows.
        folder: Where to write.
        force: Whether files that are there may be replaced.
        inputs: The files that the rows are from, which are not replaced.

    Raises:
        ConfigError: A file is there already, is one of those that are read, or cannot be written.
    """
    found = [one for one in found if one.good]
    paths = [folder / f"{one.env_id.replace('/', '-').replace(':', '-')}.jsonl" for one in found]
    config = folder / "run.yaml"
    envs = [
        {"id": one.env_id, "kwargs": {"tasks": str(path.absolute())}} for one, path in zip(found, paths, strict=True)
    ]
    with replacing_all([*paths, config], force=force, inputs=inputs) as (*temporaries, config_path):
        for one, path, temporary in zip(found, paths, temporaries, strict=True):
            with naming(path), temporary.open("wb") as file:
                file.writelines(_line(row) for row in one.good)
        with naming(config):
            text = yaml.safe_dump({"env_ids": envs}, sort_keys=False, allow_unicode=True)
            config_path.write_text(text, encoding="utf-8")
    return [*paths, config]
