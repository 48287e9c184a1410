"""The index of a file of rows: their scalars and where they stand, in Parquet beside it.

It is built once, extended where the file has grown, and built anew where the file is another one. Everything that asks
for rows by their numbers asks it, and no engine ever reads the wide rows.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from llmgym import __version__
from llmgym.data import lines
from llmgym.data.lines import Span, lines_of, read_blocks, starts_of
from llmgym.data.memory import steady_columns
from llmgym.data.output import replacing
from llmgym.data.problems import BAD, Problem, ProblemKind, UnreadableError
from llmgym.data.scalars import COUNTED, PLACES, column_of
from llmgym.data.shapes import BY_NAME, Shape, rollouts, shape_of
from llmgym.data.shards import Rows, Shard, have_unique_ids, merged, read_shard
from llmgym.data.strictness import encoding_flaw, explained, is_utf8
from llmgym.data.unpacking import is_packed, unpack
from llmgym.errors import LLMGymError
from llmgym.policies.models import cache_dir

VERSION = f"2 {__version__}"  # shapes may be read otherwise by another
_SHARD = 100_000  # rows
_HELD = 256  # rows, before they are columns; more would not stay in the cache
_SMALL = 8  # shards that are not full, before they are made one
_OPEN, _CLOSE = b"{}"
_HEAD = 4096  # bytes by which a file is known again
_STRAY = "it ends without a line end: it is torn, or still being written"
_BAD = (*BAD, LLMGymError)
_CHANGED = "it is not the file that was indexed, it has been replaced or written over: run the command again"
_LINES = "lines.jsonl"  # of a file that is packed

#: Told how many bytes of how many have been read.
Progress = Callable[[int, int], None]

#: Line, kind and reason of a problem.
Found = tuple[int, ProblemKind, str]


class Meta(msgspec.Struct):
    """What is known of an index.

    Attributes:
        version: Of its form, and of llmgym.
        packed: Marks of the file, where its lines were unpacked.
        shape: Name of the rows' shape.
        size: Bytes of the lines that are in it.
        lines: How many lines these are.
        marks: Hashes of their first and their last bytes.
        stamp: Size of the file that has them when they were read, and when it was written last, in nanoseconds.
        shards: Its files.
        unique: Whether each id is there once.
        metrics: Column of each metric.
        problems: Lines that hold no row.
    """

    version: str = VERSION
    packed: str = ""
    shape: str = ""
    size: int = 0
    lines: int = 0
    marks: str = ""
    stamp: tuple[int, int] = (0, 0)
    shards: list[Shard] = []
    unique: bool = True
    metrics: dict[str, str] = {}
    problems: list[Found] = []

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(shard.rows for shard in self.shards)


class Index:
    """The index of a file.

    Attributes:
        path: The file.
        folder: Where the index is.
        meta: What is known of it.
        shape: Of the rows.
        lines_path: The file that has the lines: `path`, or what was unpacked of it.
    """

    def __init__(self, path: Path, folder: Path, meta: Meta, torn: Found | None = None) -> None:
        """Take what `of` found."""
        self.path, self.folder, self.meta, self._torn = path, folder, meta, torn
        self.shape: Shape = BY_NAME[meta.shape]
        self.lines_path = folder / _LINES if meta.packed else path

    @classmethod
    def of(cls, path: Path, progress: Progress | None = None) -> Index:
        """The index of a file, made or extended where it has to be.

        Raises:
            UnreadableError: The file cannot be read, or holds rows of no shape that is known.
        """
        try:
            beside = path.absolute().parent / f".{path.name}.index"
            elsewhere = _elsewhere(path)
            for folder in (beside, elsewhere):
                meta = _stored(path, folder)
                if meta.shape and meta.size == (folder / _LINES if meta.packed else path).stat().st_size:
                    return cls(path, folder, meta)
            with _locked(beside, elsewhere) as folder:
                builder = _Builder(path, folder, _stored(path, folder))
                with steady_columns():
                    torn = builder.build(progress)
        except OSError as error:
            raise UnreadableError(path, error.strerror or str(error)) from error
        return cls(path, folder, builder.meta, torn)

    @property
    def problems(self) -> list[Problem]:
        """Lines that hold no row."""
        found = self.meta.problems + ([self._torn] if self._torn else [])
        return [Problem(str(self.path), *one) for one in found]

    @property
    def files(self) -> list[str]:
        """The Parquet files."""
        return [str(self.folder / shard.name) for shard in self.meta.shards]

    def fetch(self, spans: Iterable[Span]) -> Iterator[bytes]:
        """Lines by where they stand.

        Raises:
            UnreadableError: The file is another one by now.
        """
        self._check()
        return lines.fetch(self.lines_path, spans)

    def copy(self, spans: Iterable[Span], target: IO[bytes]) -> None:
        """Write lines as they are, each with one end.

        Raises:
            UnreadableError: The file is another one by now.
        """
        self._check()
        lines.copy(self.lines_path, spans, target)

    def place(self, span: Span) -> str:
        """The file and line of a row, as errors name it."""
        positions, numbers = self._places
        return f"{self.path}:{numbers[positions.searchsorted(span.position)]}"

    @cached_property
    def _places(self) -> list[NDArray[np.int64]]:
        """Where the rows start, and the lines that they are."""
        columns = ["byte_position", "line"]
        read = [read_shard(Path(file), columns) for file in self.files]
        return [np.concatenate([table[name].to_numpy() for table in read]) for name in columns]

    def _check(self) -> None:
        try:
            same = _begins(self.lines_path, self.meta)
        except OSError as error:
            raise UnreadableError(self.path, error.strerror or str(error)) from error
        if not same:
            raise UnreadableError(self.path, _CHANGED)


# --- where it is, and whose ----------------------------------------------------------------------


def _elsewhere(path: Path) -> Path:
    """Where the index of a file is kept that has nothing written beside it."""
    return cache_dir().with_name("indexes") / hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]


@contextmanager
def _locked(beside: Path, elsewhere: Path) -> Generator[Path]:
    """The folder that can be written, for this process alone."""
    try:
        folder, file = beside, _opened(beside)
    except OSError:
        folder, file = elsewhere, _opened(elsewhere)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(file)


def _opened(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)


def _stored(path: Path, folder: Path) -> Meta:
    """What there is of an index; an empty one where it is not that of this file."""
    try:
        meta = msgspec.json.decode((folder / "index.json").read_bytes(), type=Meta)
    except (OSError, msgspec.DecodeError):
        return Meta()
    if meta.version != VERSION or meta.shape not in BY_NAME:
        return Meta()
    if not all((folder / shard.name).exists() for shard in meta.shards):
        return Meta()
    if meta.packed != (_packed(path) if is_packed(path) else ""):
        return Meta()
    lines_path = folder / _LINES if meta.packed else path
    return meta if lines_path.exists() and _continues(lines_path, meta) else Meta()


def _begins(path: Path, meta: Meta) -> bool:
    """Whether a file begins with what was indexed.

    One that was written to since and has not grown was changed somewhere, which its first and last bytes need not tell.
    """
    size, written = _stamp(path)
    if size < meta.size or (size == meta.stamp[0] and written != meta.stamp[1]):
        return False
    return _marks(path, meta.size) == meta.marks


def _continues(path: Path, meta: Meta) -> bool:
    """Whether a file is the indexed one, or that with more lines behind it."""
    if not _begins(path, meta):
        return False
    if meta.size in (0, path.stat().st_size):
        return True
    with path.open("rb") as file:  # a last line that had no end may have grown
        return os.pread(file.fileno(), 1, meta.size - 1) == b"\n"


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _packed(path: Path) -> str:
    """What tells a packed file from another one."""
    size, written = _stamp(path)
    return f"{_marks(path, size)}-{written}"


def _marks(path: Path, size: int) -> str:
    """Hash of the first and the last of so many bytes."""
    with path.open("rb", buffering=0) as file:
        head = os.pread(file.fileno(), min(_HEAD, size), 0)
        tail = os.pread(file.fileno(), min(_HEAD, size), max(0, size - _HEAD))
    return f"{size}-{hashlib.sha256(head + tail).hexdigest()}"


# --- building ------------------------------------------------------------------------------------


class _Builder:
    """Reads the lines that are not in an index yet, and writes a shard for every so many rows."""

    def __init__(self, path: Path, folder: Path, meta: Meta) -> None:
        self.path, self.folder, self.meta = path, folder, meta
        self._rows = Rows()
        self._lines = rollouts.Lines()
        self._held: list[Any] = []
        self._places: list[NDArray[np.int64]] = []  # of those that are held: three rows, as `PLACES` has them

    def build(self, progress: Progress | None) -> Found | None:
        """Take in the lines that are there; what is torn at the end is told, and read again the next time."""
        meta = self.meta
        if not meta.shards:
            for file in self.folder.glob("*.parquet"):  # of another file
                file.unlink()
        lines_path = self._unpacked()
        size, _ = meta.stamp = _stamp(lines_path)
        shape = BY_NAME[meta.shape] if meta.rows else shape_of(lines_path, self.path)
        meta.shape, torn, before = shape.NAME, None, len(meta.shards)
        for position, block in read_blocks(lines_path, meta.size):
            if position >= size:
                break  # written since
            if not self._take_whole(block, position, shape):
                torn = self._take_apart(block, position, shape)
            if len(self._rows) >= _SHARD:
                self._write()
            if progress:
                progress(meta.size, size)
        self._write()
        if len(meta.shards) > before:
            meta.shards = merged(self.folder, meta.shards, _SHARD, _SMALL)
            meta.unique = have_unique_ids(self.folder, meta.shards)
        meta.marks = _marks(lines_path, meta.size)
        with replacing(self.folder / "index.json", force=True) as temporary:
            temporary.write_bytes(msgspec.json.encode(meta))
        return torn

    def _unpacked(self) -> Path:
        """The file that has the lines."""
        if not is_packed(self.path):
            return self.path
        lines_path = self.folder / _LINES
        if not self.meta.packed:
            for file in self.folder.glob(f".{_LINES}.*"):  # of a process that was killed
                file.unlink()
            unpack(self.path, lines_path)
            self.meta.packed = _packed(self.path)
        return lines_path

    def _take_whole(self, block: bytearray, position: int, shape: Shape) -> bool:
        """Take in lines that are all rows, as they mostly are; False where one of them is not."""
        if not block.endswith(b"\n") or not is_utf8(block):
            return False
        starts = np.array(starts_of(block))
        try:
            rows = self._decoded(block, starts, shape)
        except _BAD:
            return False
        numbers = np.arange(len(rows)) + self.meta.lines + 1
        self._add(rows, np.stack([numbers, position + starts[:-1], np.diff(starts) - 1]))
        self.meta.size, self.meta.lines = position + len(block), self.meta.lines + len(rows)
        return True

    def _decoded(self, block: bytearray, starts: NDArray[np.int64], shape: Shape) -> list[Any]:
        """The rows of whole lines.

        Raises:
            ValueError: One of them is none, among others.
        """
        # An object that begins or ends within a line would leave one that does not begin or end with a brace.
        characters = np.frombuffer(block, np.uint8)
        braces = (characters[starts[:-1]] == _OPEN).all() and (characters[starts[1:] - 2] == _CLOSE).all()
        if shape is rollouts and braces:
            rows = self._lines.decode(block)
            if len(rows) != len(starts) - 1:
                raise ValueError("a line has two rows")
            return rows
        return [shape.decode(block[start:end]) for start, end in pairwise(starts.tolist())]

    def _take_apart(self, block: bytearray, position: int, shape: Shape) -> Found | None:
        """Take in those lines that are rows, and note the others; gives what is torn."""
        for line in lines_of(block, position, self.meta.lines + 1):
            if line.data and not line.data.isspace():
                try:
                    row, reason = shape.decode(line.data), encoding_flaw(line.data)
                except _BAD as error:
                    row, reason = None, explained(line.data) or f"no row of {shape.NAME}: {_said(error)}"
                if reason is None:
                    self._add([row], np.array([[line.number], [line.position], [len(line.data)]]))
                elif not line.whole:
                    return line.number, "torn", _STRAY
                else:
                    self.meta.problems.append((line.number, "invalid", reason))
            self.meta.size, self.meta.lines = line.position + len(line.data) + line.whole, line.number
        return None

    def _add(self, rows: Sequence[Any], places: NDArray[np.int64]) -> None:
        """Hold rows and where they stand until there are enough of them to be turned into columns."""
        self._held.extend(rows)
        self._places.append(places)
        if len(self._held) >= _HELD:
            self._take()

    def _take(self) -> None:
        """Turn the rows that are held into columns."""
        rows, shape = self._held, BY_NAME[self.meta.shape]
        if not rows:
            return
        places = dict(zip(PLACES, np.concatenate(self._places, axis=1), strict=True))
        columns = shape.columns(rows)
        if "" in columns["id"]:
            columns["id"] = [name or f"line {at}" for name, at in zip(columns["id"], places["line"], strict=True)]
        if "" in columns["episode_id"]:
            columns["episode_id"] = [
                own or name for own, name in zip(columns["episode_id"], columns["id"], strict=True)
            ]
        metrics = {name: values for name, values in shape.metrics(rows).items() if name not in COUNTED}
        self._rows.add(columns | places, {column_of(name, self.meta.metrics): made for name, made in metrics.items()})
        self._held, self._places = [], []

    def _write(self) -> None:
        """Write a shard of the rows that were taken in."""
        self._take()
        if len(self._rows):
            shard = Shard(f"{secrets.token_hex(6)}.parquet", len(self._rows))
            self._rows.write(self.folder / shard.name)
            self.meta.shards.append(shard)
            self._rows = Rows()


def _said(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"the field {error} is missing"
    return " ".join(str(error).replace(" - at `$.", " - at `").split()) or type(error).__name__
