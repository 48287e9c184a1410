"""Where episodes come from: files, or rows that somebody has in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import orjson

from llmgym.data.dataset import Condition, Dataset, Repeat
from llmgym.data.problems import UnreadableError
from llmgym.data.shapes import SHAPES
from llmgym.errors import ConfigError
from llmgym.rollout.config import EnvConfig
from llmgym.rollout.description import read_description
from llmgym.trajectory import Trajectory


class Group(Protocol):
    """The repeats of a task, of one agent."""

    @property
    def rewards(self) -> Sequence[float | None]:
        """Of each."""
        ...

    @property
    def ids(self) -> Sequence[str]:
        """Of each."""
        ...

    def episode(self, number: int) -> Trajectory:
        """One of them, whole."""
        ...


class Source(Protocol):
    """Episodes."""

    @property
    def environments(self) -> Mapping[str, EnvConfig]:
        """What is known of environments, by what episodes call them."""
        ...

    def episodes(self) -> Iterator[Trajectory]:
        """All of them."""
        ...

    def groups(self) -> Iterator[Group]:
        """The same by their tasks."""
        ...


class Files:
    """The episodes of files that fulfil conditions; one group at a time is in memory."""

    def __init__(self, data: Dataset, conditions: Sequence[Condition] = ()) -> None:
        """Take what rows have to fulfil.

        Raises:
            ConfigError: Two runs call different environments by one name.
        """
        self._data, self._conditions = data, conditions
        self.environments = _environments(data)

    def episodes(self) -> Iterator[Trajectory]:
        """Read them one by one."""
        yield from self._data.trajectories(self._data.narrow(self._conditions)[0])

    def groups(self) -> Iterator[Group]:
        """Read what is asked for of each."""
        for repeats in self._data.repeats(self._conditions):
            yield _Stored(self._data, repeats)


class _Stored:
    def __init__(self, data: Dataset, repeats: Sequence[Repeat]) -> None:
        self._data, self._repeats = data, repeats
        self.rewards = [repeat.reward for repeat in repeats]
        self.ids = [repeat.id for repeat in repeats]

    def episode(self, number: int) -> Trajectory:
        return self._data.trajectory(self._repeats[number])


class Rows:
    """Episodes of rows that were read as JSON."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Read them.

        Raises:
            ConfigError: One is no rollout; says which.
        """
        self.environments: Mapping[str, EnvConfig] = {}
        self._episodes = [_read(row, f"rollout {number}") for number, row in enumerate(rows)]

    def episodes(self) -> Iterator[Trajectory]:
        """All of them."""
        yield from self._episodes

    def groups(self) -> Iterator[Group]:
        """By task and agent, in the order in which these come first."""
        found: dict[tuple[str, str], list[Trajectory]] = defaultdict(list)
        for episode in self._episodes:
            found[episode.group_id, episode.agent].append(episode)
        yield from map(_Held, found.values())


class _Held:
    def __init__(self, episodes: Sequence[Trajectory]) -> None:
        self._episodes = episodes
        self.rewards = [episode.reward for episode in episodes]
        self.ids = [episode.id for episode in episodes]

    def episode(self, number: int) -> Trajectory:
        return self._episodes[number]


def _environments(data: Dataset) -> dict[str, EnvConfig]:
    """Environments by their names, as far as files lie in the folders of runs."""
    found: dict[str, EnvConfig] = {}
    for index in data.indexes:
        known = read_description(index.path.parent)
        for given in known.config.get("env_ids", []) if known else ():
            env = EnvConfig(given) if isinstance(given, str) else msgspec.convert(given, EnvConfig)
            if found.setdefault(env.name, env) != env:
                raise ConfigError(
                    f"{index.path}: another run means another environment by {env.name}: export them apart"
                )
    return found


def _read(row: Mapping[str, Any], place: str) -> Trajectory:
    shape = next((shape for shape in SHAPES if shape.fits(row)), None)
    if shape is None:
        known = ", ".join(shape.NAME for shape in SHAPES)
        raise ConfigError(f"{place} has {', '.join(map(str, row))[:200]}; what is read is {known}")
    try:
        return shape.trajectory(orjson.dumps(row), place)
    except (UnreadableError, msgspec.ValidationError, TypeError, ValueError) as error:
        raise ConfigError(f"{place}: {error}") from None
