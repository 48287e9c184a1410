"""The index of a `rollouts.jsonl`: a record of each episode and where it stands, from the start of each line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from io import BytesIO
from pathlib import Path

from llmgym.errors import StoreError
from llmgym.records import REST, EpisodeRecord, read_record, read_records
from llmgym.rollout.lines import damaged_lines, whole_lines
from llmgym.rollout.retired import Key
from llmgym.trajectory import FINISHED

_BLOCK = 1 << 18  # stays in the processor's cache
_OPEN, _CLOSE = b"{}"

#: A record and the offset of its line.
Entry = tuple[EpisodeRecord, int]


class Index:
    """The episodes of a file, in the order of their lines.

    Attributes:
        records: Those that count, by id.
        offsets: Where their lines start.
        retired: Those that do not, the last of each key.
        missing: Keys of which fewer episodes are there than are retired, and how many.
        size: Bytes up to the end of the last whole episode.
    """

    def __init__(self, path: Path, retired: Counter[Key], env_ids: Collection[str] | None = None) -> None:
        """Begin with nothing.

        Args:
            path: The file, for errors.
            retired: How many episodes of each key do not count.
            env_ids: Environments of the run; None where they are not known.
        """
        self.path = path
        self.records: dict[str, EpisodeRecord] = {}
        self.offsets: dict[str, int] = {}
        self.retired: dict[Key, list[Entry]] = {}
        self.missing = Counter(retired)
        self.size = 0
        self._env_ids = None if env_ids is None else frozenset(env_ids)
        self._pending: list[Entry] = []

    def read(self) -> None:
        """Read the file, but for a torn last line and the lines of a last episode that has not all of its agents.

        Raises:
            StoreError: It cannot be read, or a line does not belong there; names it.
        """
        number = 1
        for block, end, start in _blocks(self.path):
            with damaged_lines():
                number = self._read_block(block, end, start, number)
        if self._pending:
            self.size = self._pending[0][1]
            self._pending = []

    def _read_block(self, block: bytearray, length: int, start: int, number: int) -> int:
        """Read whole lines; gives the number of the line after them."""
        whole = block[:length]
        if not whole.isascii():
            self._check_text(whole, number)
        starts, offsets = _cut(block, length)
        records = read_records(starts) if starts else None
        starts.clear()  # which hold the buffer
        if records is None:
            self._read_lines(bytes(whole), start, number)
            self.size = start + length
            return number + whole.count(b"\n")
        simple, env_ids, known, places = not self.missing, self._env_ids, self.records, self.offsets
        for place, (record, offset) in enumerate(zip(records, offsets, strict=True), number):
            row = record.id
            if (
                simple and record.agents == 1 and record.status in FINISHED and row not in known
                and (env_ids is None or record.env_id in env_ids) and not self._pending
            ):  # fmt: skip
                known[row], places[row] = record, start + offset
            else:
                self._take(record, start + offset, f"{self.path}:{place}")
        self.size = start + length
        return number + len(records)

    def _check_text(self, block: bytearray, number: int) -> None:
        try:
            block.decode()
        except UnicodeDecodeError as error:
            number += block.count(b"\n", 0, error.start)
            raise StoreError(f"{self.path}:{number}: not UTF-8: the file was damaged") from None

    def _read_lines(self, block: bytes, start: int, number: int) -> None:
        """Read lines one by one, of which some are not as we write them."""
        for line in whole_lines(BytesIO(block), number, start):
            place = f"{self.path}:{line.number}"
            if not line.data.endswith(b"}"):
                raise StoreError(f"{place}: not a rollout: the line does not end in }}")
            self._take(read_record(line.data, place), line.offset, place)

    def _take(self, record: EpisodeRecord, offset: int, place: str) -> None:
        """Take a line, and with the last of an episode the episode."""
        self._check(record, place)
        before = self._pending
        first = before[0][0] if before else record
        if (first.episode_id, first.agents, first.task_hash) != (record.episode_id, record.agents, record.task_hash):
            raise StoreError(
                f"{place}: {record.id} comes after {len(before)} of {first.agents} agents of {first.episode_id}: "
                "lines are missing"
            )
        if any(record.id == other.id for other, _ in before):
            raise StoreError(f"{place}: {record.id} is there twice")
        before.append((record, offset))
        if len(before) < record.agents:
            return
        self._pending = []
        key = before[0][0].episode_id, before[0][0].task_hash
        if self.missing[key] > 0:
            self.missing[key] -= 1
            self.missing = +self.missing
            self.retired[key] = before
        else:
            self._refuse_known(before, place)
            self.add(before)

    def _check(self, record: EpisodeRecord, place: str) -> None:
        """See that a line may be there."""
        if record.status not in FINISHED:
            raise StoreError(f"{place}: {record.id} ended as {record.status}: a failure has no place here")
        if self._env_ids is not None and record.env_id not in self._env_ids:
            raise StoreError(f"{place}: {record.id} is of another environment than those of the run")
        if record.agents < 1 or (record.agents > 1 and not record.id.endswith(f"/{record.agent}")):
            raise StoreError(f"{place}: {record.id} does not name {record.agent!r}, one of {record.agents} agents")

    def check_new(self, record: EpisodeRecord, place: str) -> None:
        """See that a line may be appended.

        Raises:
            StoreError: It may not, or is there already.
        """
        self._check(record, place)
        if record.id in self.records:
            raise StoreError(f"{place}: {record.id} is there already")

    def _refuse_known(self, episode: list[Entry], place: str) -> None:
        for record, _ in episode:
            if record.id in self.records:
                raise StoreError(f"{place}: {record.id} is there twice")

    def take_line(self, line: bytes, offset: int, place: str) -> EpisodeRecord:
        """Take a line that is to be written; gives its record.

        Raises:
            StoreError: It is no row, or may not be there.
        """
        if line.find(b"\n") != len(line) - 1 or not line.endswith(b"}\n"):
            raise StoreError(f"{place}: a row is one line, which ends in }} and a newline")
        if not line.isascii():
            try:
                line.decode()
            except UnicodeDecodeError:
                raise StoreError(f"{place}: not UTF-8") from None
        record = read_record(line, place)
        self._take(record, offset, place)
        return record

    def check_whole(self, place: str) -> None:
        """See that the last episode has all of its agents.

        Raises:
            StoreError: It has not.
        """
        if self._pending:
            first = self._pending[0][0]
            raise StoreError(f"{place}: {first.episode_id} has {len(self._pending)} of {first.agents} agents")

    def add(self, entries: list[Entry]) -> None:
        """Take lines that were checked."""
        for record, offset in entries:
            self.records[record.id], self.offsets[record.id] = record, offset

    def keys(self, ids: Iterable[str]) -> list[Key]:
        """The keys of the episodes of rows.

        Raises:
            StoreError: A row is not there.
        """
        keys: dict[Key, None] = {}
        for row in ids:
            if row not in self.records:
                raise StoreError(f"{self.path} has no {row}")
            keys[self.records[row].episode_id, self.records[row].task_hash] = None
        return list(keys)

    def retire(self, keys: list[Key]) -> None:
        """Leave episodes out, with all of their agents."""
        rows = {episode: [episode] for episode, _ in keys if episode in self.records}
        if len(rows) < len(keys):  # some have several agents
            rows = {episode: [] for episode, _ in keys}
            for row, record in self.records.items():
                if record.episode_id in rows:
                    rows[record.episode_id].append(row)
        for key in keys:
            self.retired[key] = [(self.records.pop(row), self.offsets.pop(row)) for row in rows[key[0]]]

    def check_restorable(self, keys: list[Key]) -> None:
        """See that episodes that were left out can count again.

        Raises:
            StoreError: One was not left out, or another of its id is there.
        """
        for episode, task_hash in keys:
            if (episode, task_hash) not in self.retired:
                raise StoreError(f"{self.path} has no retired {episode} of a task with the hash {task_hash!r}")
            for record, _ in self.retired[episode, task_hash]:
                if record.id in self.records:
                    raise StoreError(f"{self.path} has another {record.id}: retire that first")

    def restore(self, keys: list[Key]) -> None:
        """Have episodes count again that were left out."""
        for key in keys:
            self.add(self.retired.pop(key))


def _cut(block: bytearray, length: int) -> tuple[list[bytes | memoryview], list[int]]:
    """The starts of lines, before `REST`, and where they are; none where a line is not as we write them.

    A line without `REST` is cut in the next one, and is then no JSON, or begins with another byte.
    """
    starts: list[bytes | memoryview] = []
    offsets: list[int] = []
    begin, find, view = 0, block.find, memoryview(block)
    while begin < length:
        cut = find(REST, begin, length)
        end = find(b"\n", cut, length)
        if cut < 0 or block[begin] != _OPEN or block[end - 1] != _CLOSE:
            return [], []
        starts.append(view[begin:cut])
        offsets.append(begin)
        begin = end + 1
    return starts, offsets


def _blocks(path: Path) -> Iterator[tuple[bytearray, int, int]]:
    """The whole lines of a file in blocks; a torn last line is left out.

    Yields a buffer, which is used again, how much of it there is, and its offset in the file.

    Raises:
        StoreError: It cannot be read.
    """
    buffer = bytearray(_BLOCK)
    offset = kept = 0
    try:
        with path.open("rb", buffering=0) as file:
            while True:
                with memoryview(buffer) as view:
                    got = file.readinto(view[kept:])
                if not got:
                    return
                there = kept + got
                end = buffer.rfind(b"\n", kept, there) + 1
                if end:
                    yield buffer, end, offset
                    offset += end
                    buffer[: there - end] = buffer[end:there]
                kept = there - end
                if kept == len(buffer):  # a line that is longer
                    buffer = buffer + bytearray(len(buffer))
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
