"""Reading a run folder, without a lock and without a policy, while a run goes on or long after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import orjson

from llmgym.errors import StoreError
from llmgym.records import EpisodeRecord, FailureRecord, load_row, read_failure, read_record
from llmgym.rollout.config import GroupSettings
from llmgym.rollout.description import FILE, Description, read_description
from llmgym.rollout.index import Index
from llmgym.rollout.lines import damaged_lines, whole_lines
from llmgym.rollout.retired import FILE as RETIRED
from llmgym.rollout.retired import read_retired
from llmgym.rollout.summary import summarize
from llmgym.trajectory import Trajectory

ROLLOUTS, FAILURES, SUMMARY = "rollouts.jsonl", "failures.jsonl", "summary.json"

#: What a run is; all else in its folder is made of these.
SOURCES = (ROLLOUTS, FAILURES, RETIRED, FILE)


@dataclass(frozen=True, slots=True)
class RunRecords:
    """What is in a run folder, without the rows themselves.

    Attributes:
        path: The folder.
        description: What the run is.
        records: Finished episodes by id, without those that were retired.
        failed: Episodes without a result, the last failure of each.
        summary: The summary that is there.
    """

    path: Path
    description: Description
    records: dict[str, EpisodeRecord]
    failed: list[FailureRecord]
    summary: dict[str, Any] | None


def open_records(path: str | Path) -> RunRecords:
    """Read what a run folder holds.

    Raises:
        StoreError: It is no run folder, or a line of it does not belong there; names it.
    """
    path = Path(path)
    description = read_description(path)
    if description is None:
        raise StoreError(f"{path} is no run folder: it has no run.json")
    index = Index(path / ROLLOUTS, read_retired(path), description.env_ids)
    if index.path.exists():
        index.read()
    failures = read_failures(path / FAILURES)
    return RunRecords(path, description, index.records, still_failed(failures, index.records), _summary(path))


def read_failures(path: Path) -> dict[str, FailureRecord]:
    """The last failure of each episode, by the episode's id.

    Raises:
        StoreError: The file cannot be read, or a line is no row.
    """
    failures: dict[str, FailureRecord] = {}
    try:
        with path.open("rb") as lines:
            for line in whole_lines(lines):
                with damaged_lines():
                    add_failure(failures, read_failure(line.data, f"{path}:{line.number}"))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    return failures


def add_failure(failures: dict[str, FailureRecord], failure: FailureRecord) -> None:
    """Note a failure; of an episode's agents, the one that says what failed."""
    episode = failure.episode_id
    known = failures.get(episode)
    if failure.agents == 1 or known is None or failure.failure is not None or known.id == failure.id:
        failures[episode] = failure


def still_failed(failures: dict[str, FailureRecord], records: dict[str, EpisodeRecord]) -> list[FailureRecord]:
    """Failures of episodes that have not finished since."""
    several = {record.episode_id for record in records.values() if record.agents > 1}
    return [failure for episode, failure in failures.items() if episode not in records and episode not in several]


def read_rollouts(path: str | Path) -> Iterator[Trajectory]:
    """Read the finished episodes of a run folder, or of a file of such rows, one by one.

    Left out are episodes that were retired, a torn last line, and a last episode that has not all of its agents.

    Raises:
        StoreError: There is no such file, or a line is not a rollout; names file and line.
    """
    path = Path(path)
    file = path / ROLLOUTS if path.is_dir() else path
    retired = read_retired(file.parent) if file.name == ROLLOUTS else Counter[tuple[str, str]]()
    pending: list[tuple[str, bytes]] = []
    try:
        with file.open("rb") as lines:
            for line in whole_lines(lines):
                place = f"{file}:{line.number}"
                record = read_record(line.data, place)
                pending.append((place, line.data))
                if len(pending) < record.agents:
                    continue
                key = record.episode_id, record.task_hash
                whole, pending = pending, []
                if retired[key] > 0:
                    retired[key] -= 1
                    continue
                for place, data in whole:
                    yield load_row(data, place)
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror}") from error


def summarize_folder(run: RunRecords) -> dict[str, Any]:
    """The summary of a run folder, with what only its session knew as far as that was written down.

    Raises:
        StoreError: The configuration in `run.json` is none.
    """
    before = run.summary or {}
    timings = before.get("timings")
    wall_s = timings.get("session_wall_s") if isinstance(timings, dict) else None
    try:
        groups = GroupSettings.of(run.description.config)
    except msgspec.ValidationError as error:
        raise StoreError(f"{run.path / FILE}: its configuration was damaged: {error}") from None
    return summarize(run.records.values(), run.failed, run.description.planned, groups, wall_s)


def _summary(path: Path) -> dict[str, Any] | None:
    try:
        found = orjson.loads((path / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return None  # it is written again from the rows
    return found if isinstance(found, dict) else None
