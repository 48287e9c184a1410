"""The index of a file of rows: their scalars and where they stand, in Parquet beside it.

It is built once, extended where the file has grown, and built anew where the file is another one. Everything that asks
for rows by their numbers asks it, and no engine ever reads the wide rows.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from llmgym.data.lines import Line, read_lines
from llmgym.data.problems import Problem, UnreadableError
from llmgym.data.scalars import COLUMNS, FLOATS, TEXTS, Scalars
from llmgym.data.shapes import SHAPES, Shape, shape_of
from llmgym.errors import LLMGymError

VERSION = 1
_SHARD = 100_000  # rows
_HEAD = 4096  # bytes by which a file is known again
_PLACES = ("line", "byte_position", "byte_length")
_STRAY = "it ends without a line end: it is torn, or still being written"

#: Told how many bytes of how many have been read.
Progress = Callable[[int, int], None]


class Meta(msgspec.Struct):
    """What is known of an index.

    Attributes:
        version: Of its form.
        shape: Name of the rows' shape.
        size: Bytes of the file that are in it.
        lines: How many lines these are.
        head: Hash of the first bytes.
        tail: Hash of the last bytes of `size`.
        shards: Names of its files.
        rows: How many rows they hold.
        metrics: Column of each metric.
        problems: Lines that hold no row.
    """

    version: int = VERSION
    shape: str = ""
    size: int = 0
    lines: int = 0
    head: str = ""
    tail: str = ""
    shards: list[str] = []
    rows: int = 0
    metrics: dict[str, str] = {}
    problems: list[Problem] = []


class Index:
    """The index of a file.

    Attributes:
        path: The file.
        shape: Of its rows.
        folder: Where the index is.
        meta: What is known of it.
    """

    def __init__(self, path: Path, folder: Path, shape: Shape, meta: Meta, torn: Problem | None) -> None:
        """Take what `of` found."""
        self.path, self.folder, self.shape, self.meta, self._torn = path, folder, shape, meta, torn

    @classmethod
    def of(cls, path: Path, progress: Progress | None = None) -> Index:
        """The index of a file, made or extended where it has to be.

        Raises:
            UnreadableError: The file cannot be read, or holds rows of no shape that is known.
        """
        try:
            size = path.stat().st_size
            folder = _folder(path)
            meta = _stored(path, folder, size)
            shape = next((shape for shape in SHAPES if meta.shape == shape.NAME), None) or shape_of(path)
            meta.shape = shape.NAME
            torn = _Builder(path, folder, shape, meta).extend(size, progress)
        except OSError as error:
            raise UnreadableError(path, error.strerror or str(error)) from error
        return cls(path, folder, shape, meta, torn)

    @property
    def problems(self) -> list[Problem]:
        """Lines that hold no row."""
        return self.meta.problems + ([self._torn] if self._torn else [])

    @property
    def files(self) -> list[str]:
        """The Parquet files."""
        return [str(self.folder / name) for name in self.meta.shards]


def _folder(path: Path) -> Path:
    """Where the index of a file is kept: beside it, or where it cannot be written, among temporary files."""
    beside = path.parent / f".{path.name}.index"
    if beside.is_dir() or os.access(path.parent, os.W_OK):
        return beside
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"llmgym-index-{os.getuid()}" / name


def _stored(path: Path, folder: Path, size: int) -> Meta:
    """What there is of an index; an empty one where it is not that of this file."""
    try:
        meta = msgspec.json.decode((folder / "index.json").read_bytes(), type=Meta)
    except (OSError, msgspec.DecodeError):
        return Meta()
    there = all((folder / name).exists() for name in meta.shards)
    same = meta.version == VERSION and there and meta.size <= size and (meta.head, meta.tail) == _marks(path, meta.size)
    return meta if same else Meta()


def _marks(path: Path, size: int) -> tuple[str, str]:
    """Hashes of the first and the last bytes of what is indexed."""
    with path.open("rb", buffering=0) as file:
        head = os.pread(file.fileno(), min(_HEAD, size), 0)
        tail = os.pread(file.fileno(), min(_HEAD, size), max(0, size - _HEAD))
    return hashlib.sha256(head).hexdigest(), hashlib.sha256(tail).hexdigest()


class _Builder:
    """Reads lines, and writes a shard for every so many rows."""

    def __init__(self, path: Path, folder: Path, shape: Shape, meta: Meta) -> None:
        self.path, self.folder, self.shape, self.meta = path, folder, shape, meta
        self.rows: list[Scalars] = []
        self.places: list[tuple[int, int, int]] = []

    def extend(self, size: int, progress: Progress | None) -> Problem | None:
        """Take in the lines up to a byte; what is torn at the end is told, and read again the next time."""
        if self.meta.size == size:
            return None
        if not self.meta.shards:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        torn = None
        for line in read_lines(self.path, self.meta.size, self.meta.lines + 1):
            if line.position >= size:
                break  # written since
            if not self._take(line):
                torn = Problem(str(self.path), line.number, "torn", _STRAY)
                break
            self.meta.size = line.position + len(line.data) + line.whole
            self.meta.lines = line.number
            if len(self.rows) == _SHARD:
                self._write()
                if progress:
                    progress(self.meta.size, size)
        self._write()
        self.meta.size = self._end(size) if torn is None else self.meta.size
        self.meta.head, self.meta.tail = _marks(self.path, self.meta.size)
        _replace(self.folder / "index.json", msgspec.json.encode(self.meta))
        return torn

    def _end(self, size: int) -> int:
        """Where the last line ends, blank ones included."""
        return max(self.meta.size, size) if size else 0

    def _take(self, line: Line) -> bool:
        """Take in a line; False where it is torn."""
        try:
            self.rows.append(self.shape.scalars(line.data))
        except (ValueError, KeyError, TypeError, UnicodeDecodeError, RecursionError, LLMGymError) as error:
            if not line.whole:
                return False
            reason = f"no row of {self.shape.NAME}: {_said(error)}"
            self.meta.problems.append(Problem(str(self.path), line.number, "invalid", reason))
            return True
        self.places.append((line.number, line.position, len(line.data)))
        return True

    def _write(self) -> None:
        """Write a shard of the rows that were taken in."""
        if not self.rows:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = dict(zip(COLUMNS, zip(*map(_fixed, self.rows), strict=True), strict=True))
        arrays: dict[str, Any] = {name: pa.array(values, _type(name)) for name, values in columns.items()}
        for name, values in zip(_PLACES, zip(*self.places, strict=True), strict=True):
            arrays[name] = pa.array(values, pa.int64())
        metrics = [row.metrics for row in self.rows]
        for name in {name: None for row in metrics for name in row}:
            arrays[self._column(name)] = pa.array([row.get(name) for row in metrics], pa.float64())
        shard = f"{len(self.meta.shards):05}.parquet"
        pq.write_table(pa.table(arrays), self.folder / shard, compression="zstd")
        self.meta.shards.append(shard)
        self.meta.rows += len(self.rows)
        self.rows, self.places = [], []

    def _column(self, metric: str) -> str:
        """The column of a metric: its name, unless a column has it, whatever its case."""
        known = self.meta.metrics
        if metric not in known:
            taken = {name.lower() for name in (*COLUMNS, *_PLACES, "source", *known.values())}
            name = metric
            while name.lower() in taken:
                name = f"metric_{name}"
            known[metric] = name
        return known[metric]


def _fixed(row: Scalars) -> tuple[Any, ...]:
    return msgspec.structs.astuple(row)[: len(COLUMNS)]


def _type(name: str) -> Any:
    import pyarrow as pa

    return pa.string() if name in TEXTS else pa.float64() if name in FLOATS else pa.int64()


def _said(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"the field {error} is missing"
    return " ".join(str(error).split()) or type(error).__name__


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def merged_metrics(indexes: Sequence[Index]) -> list[str]:
    """The columns of metrics of several indexes, each once."""
    return list({column: None for index in indexes for column in index.meta.metrics.values()})
