"""Whether the rewards of llmgym's own environments are true.

The oracle of every id and variant solves 500 tasks of each split, and every environment is audited: what blind policies
and near misses earn at most, as a share of what the oracle earns. With `--output FILE` the table of the docs is made of
what is found. The last line printed is one JSON object; exits with 1 where an audit finds a fault, or an oracle earns
less than the maximum, unless it is a mere reference.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from llmgym.catalogue import EnvEntry
from llmgym.concurrency.threads import CORES
from llmgym.registry import list_envs, make_core
from llmgym.testing.audit import AuditReport, audit_env
from llmgym.testing.audit.stage import Stage
from llmgym.testing.subject import TimeBox

_OUTSIDE = {"judge", "network"}


def solve(env_id: str, num_tasks: int, seconds: float) -> tuple[int, int]:
    """How many tasks the oracle solves, and how many it was given."""
    stage = Stage(env_id, num_tasks, 0)
    try:
        stage.solve(TimeBox(seconds))
        return len(stage.solved), len(stage.solutions) + len(stage.unsolved)
    finally:
        stage.close()


def row(entry: EnvEntry, num_tasks: int, seconds: float) -> dict[str, Any]:
    """What is found of an environment and its variants."""
    logging.getLogger("llmgym").setLevel(logging.ERROR)
    counts = {variant.id: solve(variant.id, num_tasks, seconds) for variant in list_envs() if variant.base == entry.id}
    report = audit_env(entry.id, num_tasks=num_tasks, seconds=seconds)
    return {
        "oracle": make_core(entry.id).oracle_kind,
        "tasks": sum(tried for _, tried in counts.values()),
        "solved": sum(solved for solved, _ in counts.values()),
        **{group: _most(report, group) for group in ("blind", "near", "acting")},
        "faults": [finding.name for finding in report.faults],
        "allowed": {finding.name: finding.allowed for finding in report.findings if finding.status == "allowed"},
    }


def _most(report: AuditReport, group: str) -> float:
    """The greatest mean share of the ceiling of a group's policies."""
    rows = [
        row for row in report.rows if row.name.startswith(f"{group}/") and row.shares and row.name != "acting/answer"
    ]
    return round(max((row.share for row in rows), default=0.0), 4)


def main() -> None:
    """Audit them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-tasks", type=int, default=500, help="tasks of each split that oracles solve")
    parser.add_argument("--seconds", type=float, default=120.0, help="for each oracle, and for each audit")
    parser.add_argument("--output", type=Path, help="write what is found for docs/tables.py")
    given = parser.parse_args()
    entries = [entry for entry in list_envs() if entry.id == entry.base and not _OUTSIDE.intersection(entry.needs)]
    found = dict[str, dict[str, Any]]()
    work = functools.partial(row, num_tasks=given.num_tasks, seconds=given.seconds)
    with ProcessPoolExecutor(CORES, mp_context=multiprocessing.get_context("spawn")) as pool:
        for entry, what in zip(entries, pool.map(work, entries), strict=True):
            found[entry.id] = what
            print(entry.id, what, flush=True)
    if given.output is not None:
        given.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    short = [env_id for env_id, row in found.items() if row["oracle"] == "optimal" and row["solved"] < row["tasks"]]
    bad = [env_id for env_id, row in found.items() if row["faults"] or env_id in short]
    tasks, solved = (sum(row[key] for row in found.values()) for key in ("tasks", "solved"))
    figures = {"environments": len(found), "tasks": tasks, "solved": solved, "with_faults": bad}
    print(json.dumps({"benchmark": "audit", "python": sys.version.split()[0], **figures}))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
