"""What a page shows, from runs that may still grow."""

from __future__ import annotations

import base64
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from llmgym.data.problems import Problem
from llmgym.errors import ConfigError
from llmgym.messages import scrub
from llmgym.report.chunks import ROWS, pack
from llmgym.report.columns import Columns
from llmgym.report.failing import grouped
from llmgym.report.sources import Entry, Source
from llmgym.report.statistics import Tally, merged, statistics
from llmgym.report.vocabulary import Vocabulary, vocabulary_of
from llmgym.rollout.config import GroupSettings
from llmgym.trajectory import Trajectory

#: Told what was read and what there is, in bytes.
Progress = Callable[[int, int], None]

#: Takes a pack of rows and its number.
Sink = Callable[[int, bytes], None]

MOST_RUNS = 2


class Report:
    """One run, or two of them side by side.

    Attributes:
        sources: The runs.
        columns: What is known of each row.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        *,
        tokenizer: str | None = None,
        threshold: float | None = None,
        skip_bad: bool = False,
    ) -> None:
        """Name the runs; `update` reads them.

        Args:
            paths: One or two run folders, or files of rows.
            tokenizer: Model, folder or Hub id whose tokenizer gives tokens their texts; None takes that of the run.
            threshold: Reward from which an episode counts as solved; None takes the run's.
            skip_bad: Leave out rows that cannot be used; otherwise they are an error.

        Raises:
            ConfigError: They are too many, or the same.
            UnreadableError: There is no such folder or file.
            LLMGymError: There is no such tokenizer.
        """
        if not 1 <= len(paths) <= MOST_RUNS:
            raise ConfigError(f"a report is of one run, or of two side by side, not of {len(paths)}")
        if len({Path(path).resolve() for path in paths}) < len(paths):
            raise ConfigError(f"{paths[0]} is named twice")
        self._arguments = (list(paths), tokenizer, threshold, skip_bad)
        self._begin()

    def _begin(self) -> None:
        paths, tokenizer, threshold, skip_bad = self._arguments
        self.sources = [Source(path, skip_bad=skip_bad) for path in paths]
        self.columns = Columns()
        self._vocabularies = [
            vocabulary_of(source.description.confirmed if source.description else None, tokenizer)
            for source in self.sources
        ]
        self._threshold = _threshold_of(self.sources) if threshold is None else threshold
        self._tallies: list[dict[str, Tally]] = [{} for _ in paths]
        self._open: list[tuple[int, Trajectory]] = []  # rows of a pack that is not full
        self._failures: list[tuple[int, int, Trajectory]] = []  # run, number and row
        self._lost: set[tuple[int, str]] = set()  # run and id of those that are in no file of results
        self.packs = 0

    @property
    def problems(self) -> list[Problem]:
        """Rows that were left out."""
        return [problem for source in self.sources for problem in source.problems]

    def update(self, sink: Sink, progress: Progress | None = None) -> bool:
        """Read what is new, or everything where rows no longer count.

        Args:
            sink: Takes each pack that has changed.
            progress: Told how far it is.

        Returns:
            Whether there was anything.

        Raises:
            LLMGymError: A row cannot be used; names file and line.
        """
        stale = [source.refresh() for source in self.sources]
        if any(stale):
            self._begin()
        known, before = self.columns, len(self.columns)

        def changed() -> bool:
            return self.columns is not known or len(known) != before

        try:
            self._read(sink, progress)
        finally:  # of what is in the columns, a page shows the rows, though one behind them cannot be used
            if self._open and changed():
                sink(self.packs, self._packed())
        return changed() or not before

    def _read(self, sink: Sink, progress: Progress | None) -> None:
        for run, source in enumerate(self.sources):
            for episode in source.episodes():
                for entry in episode:
                    self._add(run, entry, sink)
                if progress and not len(self.columns) % ROWS:
                    progress(sum(one.done for one in self.sources), sum(one.size for one in self.sources))
        if any(source.made_good for source in self.sources):
            self._begin()
            self._read(sink, progress)
            return
        for run, source in enumerate(self.sources):
            for entry in source.failures():
                if (run, entry.row.id) not in self._lost:
                    self._lost.add((run, entry.row.id))
                    self._add(run, entry, sink)

    def _add(self, run: int, entry: Entry, sink: Sink) -> None:
        tally = self._tallies[run].setdefault(entry.row.env_id, Tally())
        if entry.row.finished:
            tally.add(entry)
        else:
            self._failures.append((run, len(self.columns), entry.row))
        self.columns.append(run, entry)
        self._open.append((run, entry.row))
        if len(self._open) == ROWS:
            sink(self.packs, self._packed())
            self.packs += 1
            self._open = []

    def _packed(self) -> bytes:
        return pack([row for _, row in self._open], [self._vocabularies[run] for run, _ in self._open])

    def summary(self) -> dict[str, Any]:
        """What a page shows before its tables."""
        runs: list[dict[str, Any]] = []
        named = zip(_names(self.sources), self.sources, self._tallies, strict=True)
        for number, (name, source, tallies) in enumerate(named):
            lost = Counter(row.env_id for run, _, row in self._failures if run == number)
            runs.append(
                {
                    "name": name,
                    **_described(source),
                    "failed": dict(lost),
                    "vocabulary": _vocabulary(self._vocabularies[number]),
                    "all": statistics(merged(tallies.values()), self._threshold),
                    "envs": {name: statistics(tallies[name], self._threshold) for name in sorted(tallies)},
                }
            )
        return {
            "runs": runs,
            "threshold": self._threshold,
            "rows": len(self.columns),
            "pack": ROWS,
            "failures": grouped((number, row) for _, number, row in self._failures),
            "problems": [str(problem) for problem in self.problems[:20]],
            "num_problems": len(self.problems),
        }

    def index(self) -> str:
        """The columns, as a page takes them."""
        return encoded(zlib.compress(msgspec.json.encode(self.columns.data()), 6, wbits=31))


def encoded(data: bytes) -> str:
    """Bytes as a script or a page can hold them."""
    return base64.b64encode(data).decode()


def _threshold_of(sources: Sequence[Source]) -> float:
    for source in sources:
        if source.description is not None:
            try:
                return GroupSettings.of(source.description.config).success_threshold
            except msgspec.ValidationError:
                continue  # of a damaged file: the rows can be looked at all the same
    return 1.0


def _vocabulary(vocabulary: Vocabulary) -> dict[str, Any]:
    return {"name": vocabulary.name, "missing": vocabulary.missing}


def _names(sources: Sequence[Source]) -> list[str]:
    """What runs are called: the last part of their paths, or as many as tell them apart."""
    paths = [source.path.resolve() if source.path.is_dir() else source.path.absolute() for source in sources]
    length = 1
    while len({path.parts[-length:] for path in paths}) < len(paths):
        length += 1
    return [scrub(str(Path(*path.parts[-length:]))) for path in paths]


def _described(source: Source) -> dict[str, Any]:
    known = source.description
    said: dict[str, Any] = {"torn": source.torn}
    if known is not None:
        said |= {
            "config": known.config,
            "confirmed": known.confirmed,
            "planned": known.planned,
            "versions": known.versions,
            "sessions": known.sessions,
        }
    return said
