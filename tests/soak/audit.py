"""What a run that is over must hold, computed from the plans, and compared with its files as they are."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from typing import Any

import orjson

from llmgym.concurrency.processes import PROCESSES
from llmgym.concurrency.threads import THREADS
from llmgym.rollout import open_records, read_rollouts
from tests.soak.chaos import ANSWERED, BREAKS, IDS, Outcome, outcome, plan, read_ledger
from tests.soak.sessions import ATTEMPTS, PARALLEL, REPEATS, Run

MARK = re.compile(r"[LP]\d{4}#\d+")
# What a busy machine may add to the plan, without ever a score: a deadline, and no thread left for a call.
UNPLANNED = {"abandoned", "episode_timeout", "timeout"}
Row = dict[str, Any]


def audit(run: Run, num_tasks: int) -> dict[str, Any]:
    """See that nothing is lost, doubled, contaminated, or scored for a failure; gives figures."""
    rows = [orjson.loads(line) for line in (run.out / "rollouts.jsonl").read_bytes().splitlines()]
    failures = [orjson.loads(line) for line in (run.out / "failures.jsonl").read_bytes().splitlines()]
    marks = [check_row(row) for row in rows]
    assert len(set(marks)) == len(marks), "two rows are of one start"
    _check_whole(run, rows, num_tasks)
    unplanned = sum(check_failure(row) for row in failures)
    starts, missed = _check_sessions(run, set(marks))
    assert unplanned + missed <= 0.05 * starts, "the plan does not say what comes of starts"
    return {
        "rows": len(rows), "failures": len(failures), "starts": starts, "unplanned": unplanned,
        "sessions": Counter(session.how for session in run.sessions),
        "kills": sum(session.killed for session in run.sessions),
        "torn by themselves": sum(session.killed for session in run.sessions if "write" in session.how),
    }  # fmt: skip


def _check_whole(run: Run, rows: list[Row], num_tasks: int) -> None:
    groups = Counter(row["group_id"] for row in rows)
    assert Counter(group.rpartition("/")[0] for group in groups) == dict.fromkeys(IDS.values(), num_tasks)
    assert Counter(row["episode_id"] for row in rows) == {f"{g}/{n}": 1 for g in groups for n in range(REPEATS)}
    records = open_records(run.out)
    assert len(records.records) == len(rows)
    assert not records.failed
    assert sum(1 for _ in read_rollouts(run.out)) == len(rows)
    summary = orjson.loads((run.out / "summary.json").read_bytes())
    assert (summary["finished"], summary["planned"], summary["failed"]) == (len(rows), len(rows), {})
    scores = [row["reward"] for row in rows if row["reward"] is not None]
    assert math.isclose(summary["reward"]["mean"], math.fsum(scores) / len(scores))


def check_row(row: Row) -> str:
    """See that a row is what its start was to bring, and holds nothing of another; gives its mark."""
    task = row["group_id"].rpartition("/")[2]
    mark = row["responses_create_params"]["input"][0]["content"].removeprefix("start ")
    assert IDS[mark[0]] == row["env_id"]
    assert mark[1:].partition("#")[0] == task
    assert set(MARK.findall(orjson.dumps(row).decode())) == {mark}, f"{row['id']} holds something of another episode"
    assert outcome(mark) == Outcome(row["reward"]), (mark, plan(mark), row["reward"])
    assert (row["status"], row["failure"], row["error"]) == ("completed", None, None)
    calls = [item for item in row["output"] if item["type"] == "function_call"]
    answers = {i["call_id"]: i["output"] for i in row["output"] if i["type"] == "function_call_output"}
    kinds = [kind for turn in plan(mark).turns for kind in turn]
    assert len(calls) == len(answers) == len(kinds)
    for call, kind in zip(calls, kinds, strict=True):
        arguments = orjson.loads(call["arguments"])
        assert f"{call['name']} {arguments.get('how', '')}".strip() == kind
        said = answers[call["call_id"]]
        assert said == f"{mark} {mark}" if not ANSWERED[kind] else ANSWERED[kind] in said, (kind, said)
    assert row["tool_errors"].keys() <= {"PastDeadline", "ToolError", "KeyError", "SystemExit", "WorkerError"}
    assert sum(row["tool_errors"].values()) == sum(bool(ANSWERED[kind]) for kind in kinds)
    return mark


def check_failure(row: Row) -> bool:
    """See that a failure is unscored, and of its own start; gives whether it was not planned."""
    assert row["reward"] is None, row["id"]
    assert row["status"] in ("env_error", "policy_error", "timeout"), row["id"]
    assert 1 <= row["attempts"] <= ATTEMPTS
    found = set(MARK.findall(orjson.dumps(row).decode()))
    failure = row["failure"]
    if not found:  # `setup` hung, and the row has nothing that it said
        assert (failure["kind"], failure["stage"]) == ("timeout", "setup"), failure
        return False
    (mark,) = found
    assert mark[1:].partition("#")[0] == row["group_id"].rpartition("/")[2]
    planned = outcome(mark)
    if failure["stage"] != planned.fails:
        assert failure["kind"] in UNPLANNED, (mark, plan(mark), failure, row["error"])
        return True
    if failure["stage"] == "tool" and failure["kind"] not in UNPLANNED:
        may = {BREAKS[kind] for turn in plan(mark).turns for kind in turn if kind in BREAKS} | {"ExceptionGroup"}
        assert failure["error"] in may, (mark, failure)
    return False


def _check_sessions(run: Run, scored: set[str]) -> tuple[int, int]:
    """See that what each session started is what it wrote; gives how many starts, and how many came out worse."""
    begun: defaultdict[str, list[str]] = defaultdict(list)
    ended: defaultdict[str, Counter[str]] = defaultdict(Counter)
    census: dict[str, list[int]] = {}
    for what, *said, pid in read_ledger(run.folder):
        if what == "start":
            begun[pid].append(said[0])
        elif what == "end":
            ended[pid][said[0]] += 1
        else:
            census[pid] = [int(number) for number in said]
    starts = [mark for marks in begun.values() for mark in marks]
    assert len(set(starts)) == len(starts)
    assert scored <= set(starts)
    missed = 0
    for session in run.sessions:
        mine = begun[str(session.pid)]
        written = sum(orjson.loads(line)["attempts"] for lines in session.lines.values() for line in lines)
        if session.complete:
            assert len(mine) == written, f"{session.how}: {len(mine)} starts, {written} attempts written"
            missed += sum(not outcome(mark).fails and mark not in scored for mark in mine)
            _check_census(census[str(session.pid)])
        else:
            assert 0 <= len(mine) - written <= PARALLEL * ATTEMPTS, session.how
        if session.killed:
            assert ended[str(session.pid)] <= Counter(mine)
        else:
            assert ended[str(session.pid)] == Counter(mine), "each start is torn down once"
    return len(starts), missed


def _check_census(more: list[int]) -> None:
    """Workers stay for the next run of the process, and threads that hang until they end."""
    files, threads, children = more
    assert children <= PROCESSES.limit + 1, more  # multiprocessing has a process of its own
    assert files <= 4 * PROCESSES.limit + 4, more
    assert threads <= THREADS.limit, more
