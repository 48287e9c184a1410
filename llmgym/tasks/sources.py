"""Where rows come from: JSONL files and data sets of Hugging Face."""

from __future__ import annotations

import codecs
import inspect
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from llmgym.errors import MissingExtraError, TaskError
from llmgym.tasks.json_lines import read_leniently
from llmgym.tasks.plain import MAX_DEPTH, plain

#: The name of a row's place, for error messages, and the row, or why there is none.
Placed = tuple[str, dict[str, Any] | TaskError]


class RowSource(Protocol):
    """Where rows come from; picklable, and `str` of it names it in error messages."""

    def rows(self) -> Iterable[Placed]:
        """Yield the name of each row's place, and the row; or a `TaskError`, where others may still be read."""
        ...


class JSONLSource(msgspec.Struct, frozen=True):
    """Rows of a JSONL file, numbered for error messages."""

    path: Path
    folder: Path | None = None

    def beside(self, owner: type) -> JSONLSource:
        """The same, looked for beside the module of a class first."""
        try:
            return JSONLSource(self.path, Path(inspect.getfile(owner)).parent)
        except (OSError, TypeError):  # a class of an interactive session has no file
            return self

    def rows(self) -> Iterator[Placed]:
        """Yield "file:line" and the row of each line that is not blank."""
        path = self.folder / self.path if self.folder and (self.folder / self.path).exists() else self.path
        try:
            lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
        except OSError as error:
            raise TaskError(f"cannot read tasks: {error}") from None
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"{path}:{number}", _read(line)

    def __str__(self) -> str:
        """The path."""
        return str(self.path)


_decode = msgspec.json.Decoder().decode


def _read(line: bytes) -> dict[str, Any] | TaskError:
    """The row in a line; integers keep all their digits."""
    try:
        try:
            row = _decode(line)
        except (ValueError, RecursionError):
            row = read_slowly(line, "the row")
        if line.count(b"{") + line.count(b"[") > MAX_DEPTH:  # else it cannot be that deep
            row = plain(row, "the row")
    except TaskError as error:
        return error
    if type(row) is dict:
        return row
    return TaskError(f"a row is a JSON object, this is a {type(row).__name__}")


def read_slowly(data: bytes, name: str) -> Any:
    """What is in a line or a file that is no strict JSON.

    Raises:
        TaskError: It is none at all, or has what a task cannot hold; says where.
    """
    try:
        return plain(read_leniently(data), name)
    except RecursionError:
        raise TaskError(f"{name} has more than {MAX_DEPTH} levels: make it flatter, or give parts as text") from None
    except ValueError as error:
        raise TaskError(str(error)) from None


class HuggingFaceSource(msgspec.Struct, frozen=True):
    """Rows of a Hugging Face dataset."""

    path: str
    name: str | None
    splits: tuple[str, ...]
    options: dict[str, Any]

    def rows(self) -> Iterator[Placed]:
        """Yield a name for error messages and the row, with its split.

        Columns that a row does not have are null, as is NaN. Dates, times and decimals are text.
        """
        try:
            import datasets
        except ImportError:
            raise MissingExtraError(f"the dataset {self.path!r}", "data") from None
        for split in self.splits:
            try:
                rows = datasets.load_dataset(self.path, self.name, split=split, **self.options)
            except Exception as error:  # the library raises many kinds
                raise TaskError(f"cannot load split {split!r} of dataset {self.path!r}: {error}") from error
            for number, row in enumerate(cast("Iterable[dict[str, Any]]", rows)):
                yield f"{self.path}/{split}:{number}", {**{name: from_arrow(row[name]) for name in row}, "split": split}

    def __str__(self) -> str:
        """The dataset."""
        return self.path


def from_arrow(value: Any) -> Any:
    """A value of Arrow as the JSON that it was made of: an object has no null for each field that others have."""
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        return {name: from_arrow(field) for name, field in fields.items() if field is not None}
    if isinstance(value, list):
        return [from_arrow(item) for item in cast("list[Any]", value)]
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
