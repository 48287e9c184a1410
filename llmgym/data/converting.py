"""Rows from one form into another: lines, compressed lines, Parquet, ATIF trajectories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

from llmgym.data.dataset import Dataset
from llmgym.data.forms import parquet
from llmgym.data.memory import steady_columns
from llmgym.data.output import lines_into, replacing
from llmgym.data.scalars import COUNTED
from llmgym.data.shapes import atif, rollouts
from llmgym.errors import ConfigError, LLMGymError
from llmgym.records import UnstorableError, dump_row

Form = Literal["jsonl", "parquet", "atif"]

#: Told how many rows have been written.
Told = Callable[[int], None]

_BATCH = 4096


def form_of(path: Path) -> Form:
    """The form of a file by its name.

    Raises:
        ConfigError: It says none.
    """
    suffixes = [suffix for suffix in path.suffixes if suffix not in (".gz", ".zst")]
    if suffixes[-1:] == [".parquet"] and path.suffix == ".parquet":
        return "parquet"
    if suffixes[-2:] == [".atif", ".jsonl"]:
        return "atif"
    if suffixes[-1:] == [".jsonl"]:
        return "jsonl"
    raise ConfigError(
        f"{path} says no form; names end in .jsonl, .atif.jsonl (or with .gz or .zst behind), or .parquet"
    )


def convert(data: Dataset, target: Path, *, force: bool = False, told: Told | None = None) -> int:
    """Write the rows of files in the form that a name says.

    Lines and ATIF are of rows of ours, to which the rows of others are turned as far as they can be. Parquet of others
    has the row as JSON, beside what the index knows.

    Args:
        data: The files.
        target: Where to write.
        force: Whether one that is there already may be replaced.
        told: Told how many rows have been written.

    Returns:
        How many rows.

    Raises:
        ConfigError: The file cannot be written, or its name says no form.
    """
    form = form_of(target)
    inputs = [index.path for index in data.indexes]
    with replacing(target, force=force, inputs=inputs) as temporary, steady_columns():
        if form == "parquet":
            return _to_parquet(data, temporary, told)
        rows = (line if form == "jsonl" else atif.dump(line, place) for line, place in _rows(data))
        return _write(rows, temporary, target, told)


def restore(sources: Sequence[Path], target: Path, *, force: bool = False, told: Told | None = None) -> int:
    """Write the rows of Parquet files as lines, as they were.

    Args:
        sources: Files that `convert` wrote.
        target: Where to write.
        force: Whether one that is there already may be replaced.
        told: Told how many rows have been written.

    Returns:
        How many rows.

    Raises:
        UnreadableError: A file is no such Parquet file.
        ConfigError: The file cannot be written, or its name says another form.
    """
    if form_of(target) != "jsonl":
        raise ConfigError(f"Parquet is converted to lines, of which names end in .jsonl; {target} does not")
    with replacing(target, force=force, inputs=sources) as temporary:
        return _write(chain.from_iterable(map(parquet.read, sources)), temporary, target, told)


def _write(rows: Iterable[bytes], path: Path, name: Path, told: Told | None) -> int:
    count = 0
    with lines_into(path, name) as file:
        for count, line in enumerate(rows, 1):
            file.write(line + b"\n")
            if told and not count % _BATCH:
                told(count)
    return count


def _rows(data: Dataset) -> Iterator[tuple[bytes, str]]:
    """Rows of ours, as they stand or made of those of others, and where each stands."""
    seen: set[str] = set()
    for index, spans in zip(data.indexes, data.select().spans, strict=True):
        for span, line in zip(spans, index.fetch(spans), strict=True):
            place = index.place(span)
            if index.shape is rollouts:
                yield line, place
            elif index.shape is atif and (row := atif.row_of(line)) is not None:
                yield row, place
            else:
                made = index.shape.trajectory(line, place)
                while made.id in seen:  # its shape does not say which of the repeats it is
                    made.repeat += 1
                seen.add(made.id)
                try:
                    yield dump_row(made).rstrip(b"\n"), place
                except UnstorableError as error:
                    raise LLMGymError(f"{place}: {error}") from None


def _to_parquet(data: Dataset, path: Path, told: Told | None) -> int:
    lines = data.lines(data.select())
    if all(index.shape is rollouts for index in data.indexes):
        names = {name for index in data.indexes for name in index.meta.metrics}
        return parquet.write(lines, path, sorted(names | COUNTED), told)
    return parquet.write_others(lines, data.tables(_BATCH), path, told)
