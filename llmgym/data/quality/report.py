"""What rollouts are worth as data, in numbers: JSON data for people, gates and pages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from llmgym.data.dataset import Dataset
from llmgym.data.index import Progress
from llmgym.data.problems import BadRowsError, Problem
from llmgym.data.quality.degenerate import LOOP
from llmgym.data.quality.duplicates import repeated_answers, repeated_tasks
from llmgym.data.quality.measures import measured_files
from llmgym.data.scalars import MEASURED
from llmgym.rollout.classes import CLASSES, class_of
from llmgym.rollout.summary import pass_at, powers
from llmgym.rollout.thresholds import TOLERANCE

#: What a row may be, as SQL: of its texts, and of how it was recorded (as NeMo Gym's health checks have it).
TEXTS = {
    "looping": f"tail_repeat >= {LOOP}",
    "refusing": "refusal",
    "empty": "num_chars = 0 and num_calls = 0",
    "cut_off": "num_cut_off > 0",
    "truncated": "status in ('max_turns', 'max_tokens', 'context_length')",
    "malformed_calls": "num_malformed_calls > 0",
    "tool_errors": "num_tool_errors > 0",
}
HEALTH = {
    "hollow_turns": "num_hollow > 0",
    "failed_calls": "failure <> '' or attempts > 1",
    "runaway": "runaway",
    "no_counts": "no_counts",
    "capture_mismatch": "capture_mismatch is not null",
}

_BANDS = """
    case when pass_rate = 0 then '0' when pass_rate < 0.2 then '(0, 0.2)' when pass_rate <= 0.8 then '[0.2, 0.8]'
    when pass_rate < 1 then '(0.8, 1)' else '1' end
"""
BANDS = ("0", "(0, 0.2)", "[0.2, 0.8]", "(0.8, 1)", "1")

#: Turns, of which the policy's entropy is told apart.
POSITIONS = ("1", "2", "3 to 4", "5 to 8", "9 on")
_POSITIONS = """
    case when turn = 1 then '1' when turn = 2 then '2' when turn <= 4 then '3 to 4' when turn <= 8 then '5 to 8'
    else '9 on' end
"""

#: Tasks of equal content are one, as in a run's summary.
_TASKS = f"""
    select env_id, count(*) as scored, count_if(reward >= $threshold - {TOLERANCE}) as correct
    from rows where reward is not null
    group by env_id, agent, case when task_hash = '' then group_id else task_hash end
"""
_LENGTHS = ("num_turns", "num_sampled_tokens", "num_context_tokens", "num_chars", "num_calls")
_EXAMPLES = 3


def asks_for_measures(condition: str) -> bool:
    """Whether a condition names a column that `measure` makes."""
    return re.search(rf"\b(?:{'|'.join(MEASURED)})\b", condition, re.IGNORECASE) is not None


def measure(data: Dataset, *, skip_bad: bool = False, progress: Progress | None = None) -> None:
    """Give rows the columns that their texts and tokens say: `llmgym.data.scalars.MEASURED`.

    Args:
        data: The rows.
        skip_bad: Leave these columns empty where a row's texts cannot be read; otherwise that is an error.
        progress: Told how far it is.

    Raises:
        BadRowsError: There are such rows.
        MissingExtraError: What makes signatures of texts is not installed.
    """
    data.attach([measured_files(index, progress) for index in data.indexes])
    found = data.query("select source, line, unreadable from rows where unreadable is not null order by 1, 2")
    problems = [Problem(str(data.indexes[source].path), line, "invalid", reason) for source, line, reason in found]
    if problems and not skip_bad:
        raise BadRowsError(problems)
    data.problems += problems


def quality(data: Dataset, *, duplicates: bool = True) -> dict[str, Any]:
    """Measure rows that `measure` was given.

    Args:
        data: The rows.
        duplicates: Whether to look for tasks and answers that are nearly equal, which reads each task's opening.
    """
    names = [name for (name,) in data.query("select distinct env_id from rows order by 1")]
    all_rows = _of_all(data)
    found = {
        "files": [str(index.path) for index in data.indexes],
        "threshold": data.threshold,
        "bad_rows": dict(Counter(problem.kind for problem in data.problems)),
        **all_rows,
        "texts": _flags(data, TEXTS),
        "tool_errors": _tool_errors(data),
        "health": _health(data),
    }
    if duplicates:
        found["answers"] = repeated_answers(data)
        found["tasks"] = repeated_tasks(data)
    found["environments"] = {name: _of_all(data, name) if len(names) > 1 else all_rows for name in names}
    return found


def _of_all(data: Dataset, env_id: str | None = None) -> dict[str, Any]:
    """What is told of all rows, and of each environment's."""
    where = "true" if env_id is None else "env_id = $env_id"
    names = {} if env_id is None else {"env_id": env_id}
    ((rows, scored, mean, std, least, most),) = data.query(
        "select count(*), count(reward), avg(reward), stddev_pop(reward), min(reward), max(reward) from rows "
        f"where {where}",
        **names,
    )
    return {
        "rows": rows,
        "scored": scored,
        "unscored": rows - scored,
        "statuses": dict(data.query(f"select status, count(*) from rows where {where} group by 1 order by 2 desc, 1",
                                    **names)),
        "reward": {"mean": mean, "std": std, "min": least, "max": most},
        "groups": _classes(data, where, names),
        "pass_rates": _pass_rates(data, where, names),
        "pass_at_k": _pass_at_k(data, where, names),
        "lengths": {name: _length(data, name, where, names) for name in _LENGTHS},
        "entropy": _entropy(data, where, names),
    }  # fmt: skip


def _shares(counts: dict[str, int], names: Sequence[str], what: str) -> dict[str, Any]:
    total = sum(counts.values())
    return {
        name: {what: counts.get(name, 0), "share": counts.get(name, 0) / total if total else None} for name in names
    }


def _classes(data: Dataset, where: str, names: dict[str, str]) -> dict[str, Any]:
    """Kinds of groups, and how far rewards are apart in those with two of them or more."""
    found: Counter[str] = Counter()
    query = f"select least(scored, 2), reward_min, reward_max, count(*) from groups where {where} group by all"
    for scored, least, greatest, number in data.query(query, **names):
        found[class_of(scored, least, greatest, data.threshold)] += number
    ((mean, median, most),) = data.query(
        f"select avg(reward_std), median(reward_std), max(reward_std) from groups where scored > 1 and {where}", **names
    )
    spread = {"mean": mean, "median": median, "max": most}
    return {"number": sum(found.values()), **_shares(found, CLASSES, "groups"), "reward_std": spread}


def _pass_rates(data: Dataset, where: str, names: dict[str, str]) -> dict[str, Any]:
    query = f"select {_BANDS}, count(*) from groups where scored > 0 and {where} group by 1"
    return _shares(dict(data.query(query, **names)), BANDS, "groups")


def _pass_at_k(data: Dataset, where: str, names: dict[str, str]) -> list[dict[str, Any]]:
    query = f"select scored, correct, count(*) from ({_TASKS}) where {where} group by all"
    tasks = {(scored, correct): n for scored, correct, n in data.query(query, threshold=data.threshold, **names)}
    ((most,),) = data.query(f"select max(scored) from groups where {where}", **names)
    return [pass_at(k, tasks) for k in powers(most)] if tasks else []


def _length(data: Dataset, name: str, where: str, names: dict[str, str]) -> dict[str, Any]:
    ((mean, median, high, most),) = data.query(
        f"select avg({name}), median({name}), quantile_cont({name}, 0.95), max({name}) from rows where {where}", **names
    )
    return {"mean": mean, "median": median, "p95": high, "max": most}


def _entropy(data: Dataset, where: str, names: dict[str, str]) -> dict[str, Any]:
    """Mean of -log p over sampled tokens, in nats, by turn: entropy only where it is of what they were drawn from."""
    query = f"""
        select is_entropy, {_POSITIONS}, sum(tokens), -sum(logprob) from (
            select is_entropy, unnest(turn_tokens) as tokens, unnest(turn_logprobs)::double as logprob,
                generate_subscripts(turn_tokens, 1) as turn
            from rows where is_entropy is not null and {where}
        ) group by all
    """
    found: dict[str, Any] = {"entropy": None, "cross_entropy": None}
    rows = data.query(query, **names)
    for name, kind in (("entropy", True), ("cross_entropy", False)):
        by_turn = {turn: (tokens, nats) for is_entropy, turn, tokens, nats in rows if is_entropy is kind and tokens}
        if by_turn:
            tokens, nats = map(sum, zip(*by_turn.values(), strict=True))
            turns = {turn: by_turn[turn][1] / by_turn[turn][0] for turn in POSITIONS if turn in by_turn}
            found[name] = {"mean": nats / tokens, "tokens": tokens, "by_turn": turns}
    return found


def _flags(data: Dataset, flags: dict[str, str]) -> dict[str, Any]:
    """How many rows are so, their share, and the first of them to look at."""
    counted = ", ".join(f"count_if({condition})" for condition in flags.values())
    ((total, *counts),) = data.query(f"select count(*), {counted} from rows")
    return {
        name: {
            "rows": count,
            "share": count / total if total else None,
            "examples": _examples(data, flags[name], count),
        }
        for name, count in zip(flags, counts, strict=True)
    }


def _examples(data: Dataset, condition: str, count: int) -> list[str]:
    if not count:
        return []
    found = data.query(f"select source, line from rows where {condition} order by all limit {_EXAMPLES}")
    return [f"{data.indexes[source].path}:{line}" for source, line in found]


def _tool_errors(data: Dataset) -> dict[str, Any]:
    """Errors that tools answered, by kind."""
    found = data.query(
        "select kind, sum(number), count(*) from (select unnest(map_keys(tool_error_kinds)) as kind, "
        "unnest(map_values(tool_error_kinds)) as number from rows) group by 1 order by 2 desc, 1"
    )
    return {kind: {"count": int(count), "rows": rows} for kind, count, rows in found}


def _health(data: Dataset) -> dict[str, Any]:
    """What is wrong with how rows were recorded, and of how many tasks no row is well."""
    ill = " or ".join(f"({condition})" for condition in HEALTH.values())
    ((tasks, never),) = data.query(
        f"select count(*), count_if(sick) from (select bool_and(coalesce({ill}, false)) as sick from rows "
        "group by source, group_id)"
    )
    return {**_flags(data, HEALTH), "tasks_never_healthy": {"tasks": never, "share": never / tasks if tasks else None}}
