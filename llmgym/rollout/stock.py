"""What a resumed run has and owes: its stored episodes, measured against the tasks as they are now."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from llmgym.errors import TaskError
from llmgym.records import EpisodeRecord
from llmgym.rollout.config import RolloutConfig
from llmgym.rollout.instances import TaskSource
from llmgym.rollout.order import TaskOrder, Visit
from llmgym.rollout.store import RunStore

_CHANGED, _REMOVED = "the task was changed", "the task was removed"


def take_stock(store: RunStore, order: TaskOrder, sources: Sequence[TaskSource], config: RolloutConfig) -> int:
    """Leave out the episodes of tasks that were changed or removed, take back those of tasks that are as they were.

    Args:
        store: The run folder.
        order: An order that ends.
        sources: Where its tasks come from.
        config: Its configuration.

    Returns:
        How many episodes are owed.
    """
    planned: dict[str, str] = {}
    owed = 0
    # Tasks are made until all are found of which something is stored: the others owe all, whatever they are.
    sought = {record.episode_id for record in store.records.values()} | {name for name, _ in store.retired_keys}
    visits = order.visits(sources, config)
    assert isinstance(visits, Iterator), "an order that ends knows all of its tasks"
    for source, index, before in visits:
        if not sought:
            owed += config.groups.num_repeats
            continue
        task = source.plan(config.tasks.split, config.tasks.seed, index)
        group = f"{source.id}/{task.id}"
        planned[group] = task.content_hash
        first = before * config.groups.num_started
        names = [f"{group}/{first + n}" for n in range(config.groups.num_started)]
        sought.difference_update(names)
        have = settle(store, names, task.content_hash, source.agents)
        owed += max(0, config.groups.num_repeats - len(have))
    by_id = {source.id: source for source in sources}
    rest = store.records.values()  # repeats that are not planned this time, too
    changed = [record.id for record in rest if planned.get(record.group_id, record.task_hash) != record.task_hash]
    gone = [
        record.id
        for record in rest
        if record.group_id not in planned and not _is_there(by_id.get(record.env_id), record)
    ]
    for rows, why in ((changed, _CHANGED), (gone, _REMOVED)):
        if rows:
            store.retire(rows, why)
    return owed


def settle(store: RunStore, names: Sequence[str], task_hash: str, agents: Sequence[str]) -> list[str]:
    """Which of some episodes of a task are stored and count, now that its content is what it is."""
    rows = {name: row_id(name, agents, agents[0]) for name in names}  # an episode has the rows of all agents or none
    records = store.records
    changed = [row for row in rows.values() if row in records and records[row].task_hash != task_hash]
    if changed:
        store.retire(changed, _CHANGED)
    retired = store.retired_keys
    back = [(name, task_hash) for name, row in rows.items() if row not in records and (name, task_hash) in retired]
    if back:
        store.restore(back)
    return [name for name, row in rows.items() if row in records]


def row_id(episode: str, agents: Sequence[str], agent: str) -> str:
    """Id of the row of an agent of an episode; see `Trajectory.id`."""
    return episode if len(agents) == 1 else f"{episode}/{agent}"


def by_budget(
    visits: Iterator[Visit] | AsyncIterator[Visit], config: RolloutConfig, store: RunStore | None, size: int | None
) -> Iterator[Visit] | AsyncIterator[Visit]:
    """The tasks of an order, the longest first where their time has a bound and the order an end.

    Args:
        visits: The tasks.
        config: The configuration of the run.
        store: Says how long they took; None where nothing does.
        size: None where the order has no end.
    """
    if config.session.time_budget is None or size is None or store is None or not store.records:
        return visits
    assert isinstance(visits, Iterator), "an order that ends knows all of its tasks"
    return iter(_longest_first(list(visits), config, store.records))


def _longest_first(visits: Sequence[Visit], config: RolloutConfig, records: Mapping[str, EpisodeRecord]) -> list[Visit]:
    """Tasks by how long their episodes have taken so far, those of which nothing is known as their environment's."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for record in records.values():
        for name in (record.group_id, record.env_id):
            seconds[name].append(record.timings.wall_s)
    expected = {name: sum(values) / len(values) for name, values in seconds.items()}
    # Tasks are made only until all are found of which episodes are owed: to make each may take longer than the budget.
    repeats = Counter(record.group_id for record in records.values())
    sought = {group for group, count in repeats.items() if count < config.groups.num_started}

    def of(visit: Visit) -> float:
        source, index, _ = visit
        known = expected.get(source.id, 0.0)
        if not sought:
            return known
        group = f"{source.id}/{source.plan(config.tasks.split, config.tasks.seed, index).id}"
        sought.discard(group)
        return expected.get(group, known)

    return sorted(visits, key=of, reverse=True)


def _is_there(source: TaskSource | None, record: EpisodeRecord) -> bool:
    """Whether a task that is not planned this time is still what it was."""
    if source is None:
        return False
    try:
        task = source.tasks.get(record.group_id.removeprefix(f"{source.id}/"))
    except TaskError:
        return False
    return task.content_hash == record.task_hash
