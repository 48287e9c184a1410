"""Files that people keep rows in: JSON lines, JSON, CSV, Parquet and Arrow, told apart by their names."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec

from llmgym.errors import MissingExtraError, TaskError
from llmgym.tasks.sources import JSONLSource, Placed, RowSource, from_arrow, read_slowly

_LONGEST = 2**31 - 1  # characters of a cell; Python's own limit is shorter than many a document


def file_source(path: str | Path) -> RowSource:
    """The rows of a file.

    Args:
        path: A file whose name ends in `.json` (a list of rows), `.csv`, `.parquet` or `.arrow`; every other has a row
            in each line, as JSON.
    """
    path = Path(path)
    kind = _KINDS.get(path.suffix.lower())
    return JSONLSource(path) if kind is None else kind(path)


class _File(msgspec.Struct, frozen=True):
    path: Path

    def __str__(self) -> str:
        return str(self.path)


class JSONSource(_File, frozen=True):
    """Rows of a JSON file: a list of objects, or an object in each line."""

    def rows(self) -> Iterator[Placed]:
        """Yield "file, row number" or "file:line" and the row."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise TaskError(f"cannot read tasks: {error}") from None
        try:
            found = msgspec.json.decode(data)
        except (ValueError, RecursionError):
            if not data.lstrip().startswith(b"["):
                yield from JSONLSource(self.path).rows()
                return
            try:
                found = read_slowly(data, "the file")
            except TaskError as error:
                raise TaskError(f"{self.path}: {error}") from None
        for number, row in enumerate(found if isinstance(found, list) else [found], 1):
            said = TaskError(f"a row is a JSON object, this is {row!r:.100}")
            yield f"{self.path}, row {number}", row if isinstance(row, dict) else said


class CSVSource(_File, frozen=True):
    """Rows of a CSV file whose first line names the columns. All cells are text, and empty ones null."""

    def rows(self) -> Iterator[Placed]:
        """Yield "file:line", of the last line of a row, and the row."""
        csv.field_size_limit(_LONGEST)
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                yield from self._rows(file)
        except OSError as error:
            raise TaskError(f"cannot read tasks: {error}") from None
        except UnicodeDecodeError as error:
            raise TaskError(f"{self.path} is not UTF-8, at byte {error.start + 1}: save the file as UTF-8") from None

    def _rows(self, file: TextIO) -> Iterator[Placed]:
        reader = csv.DictReader(file, strict=True)
        try:
            names = reader.fieldnames or ()
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise TaskError(f"{self.path}:1: the column {twice!r} comes twice")
            for cells in reader:
                yield f"{self.path}:{reader.line_num}", _cells(cells)
        except csv.Error as error:
            raise TaskError(f"{self.path}:{reader.line_num}: not CSV: {error}") from None


def _cells(cells: dict[str | None, Any]) -> dict[str, Any] | TaskError:
    if None in cells:
        return TaskError(f"it has more cells than there are columns: {', '.join(cells.pop(None))}; quote commas")
    return {str(name): cell or None for name, cell in cells.items()}


class ArrowSource(_File, frozen=True):
    """Rows of a Parquet file or of an Arrow file."""

    def rows(self) -> Iterator[Placed]:
        """Yield "file, row number" and the row, as the JSON that it was made of."""
        try:
            import pyarrow as pa
            from pyarrow import ipc, parquet
        except ImportError:
            raise MissingExtraError(f"the file {self.path}", "data") from None
        number = 0
        try:
            with pa.OSFile(str(self.path)) as file:
                if self.path.suffix.lower() == ".parquet":
                    batches: Any = parquet.ParquetFile(file).iter_batches(1000)
                elif file.read(6) == b"ARROW1":
                    table = ipc.open_file(file)
                    batches = (table.get_batch(index) for index in range(table.num_record_batches))
                else:  # as `datasets` saves them
                    file.seek(0)
                    batches = ipc.open_stream(file)
                for batch in batches:
                    for row in batch.to_pylist():
                        number += 1
                        yield f"{self.path}, row {number}", {name: from_arrow(row[name]) for name in row}
        except (OSError, pa.ArrowException) as error:
            raise TaskError(f"cannot read tasks of {self.path}: {error}") from None


_KINDS: dict[str, type[JSONSource | CSVSource | ArrowSource]] = {
    ".json": JSONSource,
    ".csv": CSVSource,
    ".parquet": ArrowSource,
    ".arrow": ArrowSource,
}
