"""The tables of NeMo Gym's workplace_assistant, where these are installed or given, and how they are compared."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from llmgym.errors import EnvironmentFailure, ToolError
from llmgym.verifiers import state
from llmgym.verifiers.base import Verdict

Row = dict[str, Any]
_FILES = {
    "emails": ("email_id", "emails.csv"),
    "events": ("event_id", "calendar_events.csv"),
    "tasks": ("task_id", "project_tasks.csv"),
    "customers": ("customer_id", "customer_relationship_manager_data.csv"),
}
_EXACT = ("status", "list_name", "board")
_CHOICES = {
    "status": ("Qualified", "Won", "Lost", "Lead", "Proposal"),
    "product_interest": ("Software", "Hardware", "Services", "Consulting", "Training"),
    "list_name": ("Backlog", "In Progress", "In Review", "Completed"),
    "board": ("Back end", "Front end", "Design"),
}


@dataclass(frozen=True)
class Folder:
    """What the CSV files hold."""

    rows: Mapping[str, Mapping[str, Row]]
    visits: list[Row]
    addresses: list[str]


def find_folder() -> Path:
    """Where the tables of an installed NeMo Gym are.

    Raises:
        EnvironmentFailure: There is none.
    """
    try:
        found = importlib.util.find_spec("resources_servers.workplace_assistant")
    except ModuleNotFoundError:
        found = None
    for place in (found and found.submodule_search_locations) or ():
        if (folder := Path(place) / "csv_data").is_dir():
            return folder
    raise EnvironmentFailure(
        "rows of NeMo Gym's workplace_assistant need its tables: install nemo-gym, or pass `nemo_gym_tables`, the "
        "folder csv_data of that server",
        kind="environment",
    )


@lru_cache(4)
def load(folder: Path) -> Folder:
    """Read the CSV files of a folder.

    Raises:
        OSError: One cannot be read.
    """

    def rows_of(name: str) -> list[Row]:
        with (folder / "processed" / name).open(newline="", encoding="utf-8") as file:
            return [{column: value or None for column, value in row.items()} for row in csv.DictReader(file)]

    tables = {name: {row[key]: row for row in rows_of(file)} for name, (key, file) in _FILES.items()}
    addresses = (folder / "raw" / "email_addresses.csv").read_text(encoding="utf-8").split()
    return Folder({**tables, "plots": {}}, rows_of("analytics_data.csv"), addresses)


class NemoTables:
    """The tables of an episode."""

    def __init__(self, folder: Folder) -> None:
        """Begin with the tables of a folder."""
        self.folder = folder
        self.rows = {name: dict(table) for name, table in folder.rows.items()}
        self.journal: list[str] = []

    def call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Call a tool.

        Raises:
            ToolError: It refuses the arguments.
        """
        given = {key: value for key, value in arguments.items() if value is not None}
        for key, value in given.items():
            whole = key in ("page", "page_size")
            if isinstance(value, bool) or not isinstance(value, int if whole else str):
                raise ToolError(f"{key} must be {'a whole number' if whole else 'a text'}")
        try:
            return getattr(self, f"_{name}")(**given)
        except TypeError as error:
            raise ToolError(f"invalid arguments for {name}: {str(error).partition(') ')[2] or error}") from None

    def judge(self, calls: Iterable[Mapping[str, Any]]) -> Verdict:
        """Compare the tables with those that some calls make of what was there."""
        right = type(self)(self.folder)
        for call in calls:
            try:
                right.call(call["name"], call["arguments"])
            except ToolError:
                continue  # as the server does
        changed = {
            (name, key)
            for side in (self, right)
            for name, table in self.folder.rows.items()
            for key in table.keys() | side.rows[name].keys()
            if side.rows[name].get(key) is not table.get(key)
        }
        sides = [self._view(rows, changed) for rows in (self.rows, right.rows, self.folder.rows)]
        columns = {column for view in sides for table in view.values() for row in _rows(table) for column in row}
        rules: dict[str, state.Rule] = {column: _lower for column in columns if column not in _EXACT}
        return state.check(sides[0], sides[1], before=sides[2], rules=rules)

    def _view(self, rows: Mapping[str, Mapping[str, Row]], keys: set[tuple[str, str]]) -> dict[str, Any]:
        view: dict[str, Any] = {}
        for table, key in sorted(keys):
            if (row := rows[table].get(key)) is None:
                continue
            if key in self.folder.rows[table]:
                view.setdefault(table, {})[key] = row
            else:
                own = _FILES[table][0] if table in _FILES else ""
                view.setdefault(f"new {table}", []).append({name: row[name] for name in row if name != own})
        return view

    def _add(self, table: str, key: str, row: Row) -> None:
        self.journal.append(key)
        if len(self.journal) > 200:
            raise ToolError("nothing was written: 200 changes are the most that one request may take")
        self.rows[table][key] = row

    def _new_id(self, table: str) -> str:
        return f"{max(map(int, self.rows[table]), default=0) + 1:08d}"

    def _get(self, table: str, key: str) -> Row:
        if key not in self.rows[table]:
            raise ToolError(f"{table[:-1].capitalize()} not found.")
        return self.rows[table][key]

    def _field(self, table: str, key: str, field: str) -> Row:
        row = self._get(table, key)
        if field not in row:
            raise ToolError(f"Field {field[:40]!r} not found. Available fields: {', '.join(row)}")
        return {field: row[field]}

    def _update(self, table: str, key: str, field: str, value: str) -> str:
        row = self._get(table, key)
        if field not in row or field == _FILES[table][0]:
            raise ToolError(f"Field not valid. Available fields: {', '.join(list(row)[1:])}")
        if not value:
            raise ToolError("New value not provided.")
        self._add(table, key, {**row, field: self._checked(table, field, value)})
        return f"{table[:-1].capitalize()} updated successfully."

    def _checked(self, table: str, field: str, value: str) -> str:
        if field in _CHOICES and value not in _CHOICES[field]:
            raise ToolError(f"{field} not valid. Please choose from: {', '.join(_CHOICES[field])}")
        if field == "event_start":
            read_time(value)
        if field == "duration" and not (value.isdecimal() and int(value[:9]) > 0):
            raise ToolError("Duration must be a positive number of minutes.")
        if not field.endswith("_email"):
            return value
        value = value.lower()
        if table == "tasks" and value not in {row["assigned_to_email"].lower() for row in self.rows[table].values()}:
            raise ToolError("Assignee email not valid. Please choose from the list of team members.")
        return value

    def _delete(self, table: str, key: str) -> str:
        self._get(table, key)
        self.journal.append(key)
        del self.rows[table][key]
        return f"{table[:-1].capitalize()} deleted successfully."

    def _create(self, table: str, row: Row, required: Iterable[str]) -> str:
        if missing := [name for name in required if not row[name]]:
            raise ToolError(f"{missing[0]} not provided.")
        key = self._new_id(table)
        checked = {name: value and self._checked(table, name, value) for name, value in row.items()}
        self._add(table, key, {_FILES[table][0]: key, **checked})
        return key


def has(row: Row, column: str, text: str) -> bool:
    """Whether a column has a text, in whatever case."""
    return not text or text.lower() in (row[column] or "").lower()


def read_time(text: str) -> str:
    """A date, with a time or not, in a form that sorts.

    Raises:
        ToolError: It is none.
    """
    try:
        return str(datetime.fromisoformat(text.strip()))
    except ValueError:
        raise ToolError(f"{text[:40]!r} is no date or time; write YYYY-MM-DD or YYYY-MM-DD HH:MM:SS") from None


def paged(name: str, rows: list[Row], page: int, size: int) -> Row:
    """A page of some rows."""
    if not rows:
        raise ToolError(f"No {name} found.")
    size = max(1, size)
    pages = -(-len(rows) // size)
    page = max(1, min(page, pages))
    pagination = {f"total_{name}": len(rows), "page": page, "page_size": size, "total_pages": pages}
    return {name: rows[(page - 1) * size : page * size], "pagination": pagination}


def _rows(table: Any) -> Iterable[Row]:
    return table.values() if isinstance(table, Mapping) else table


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
