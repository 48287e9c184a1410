"""An audit from its beginning to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from llmgym.errors import ConformanceError
from llmgym.registry import known
from llmgym.testing.audit.acting import acting
from llmgym.testing.audit.blind import blind
from llmgym.testing.audit.difficulty import played_by, variants
from llmgym.testing.audit.figures import figures
from llmgym.testing.audit.near import NearMisses
from llmgym.testing.audit.paraphrases import paraphrases
from llmgym.testing.audit.policies import Policy, judge, measure
from llmgym.testing.audit.report import AuditReport, Finding, Row
from llmgym.testing.audit.stage import Stage
from llmgym.testing.audit.verdicts import hostile, stable
from llmgym.testing.subject import TimeBox

#: Shares of the time.
_SHARES = {
    "oracle": 0.1, "ceiling": 0.1, "near": 0.25, "blind": 0.25, "acting": 0.1, "verifier": 0.1, "tasks": 0.05,
    "difficulty": 0.05,
}  # fmt: skip

Progress = Callable[[str], None]


def audit_env(
    env_id: str,
    *,
    num_tasks: int = 20,
    seed: int = 0,
    seconds: float = 60.0,
    allow: Mapping[str, str] | None = None,
    policy: str | None = None,
    progress: Progress = lambda group: None,
    **kwargs: Any,
) -> AuditReport:
    """Look for ways in which the rewards of an environment are not true.

    Args:
        env_id: A registered id, or `module:id`.
        num_tasks: How many tasks of each split are played.
        seed: Seed of tasks and sampled actions.
        seconds: Time for all, of which each group of checks has a share; it does less where that ends.
        allow: Why findings are no faults here, by name, beside what the registry says.
        policy: Short form of a policy, such as "smollm2", that plays the tasks too; for which no time is set.
        progress: Is told which group begins.
        **kwargs: Arguments of the environment.

    Raises:
        ConfigError: The environment cannot be made.
        ConformanceError: No task was solved, so that there is nothing to compare with.
    """
    entry = known(env_id)
    allowed = {**(entry.allow if entry else {}), **(allow or {})}
    stage = Stage(env_id, num_tasks, seed, kwargs)
    try:
        if entry is not None and entry.no_oracle:
            note = f"there is no oracle, so that rewards cannot be compared: {entry.no_oracle}"
            return AuditReport(env_id, None, {}, notes=(note,))
        report = _audit(stage, seconds, progress)
        if policy is not None:
            progress(policy)
            report = replace(report, facts={**report.facts, **played_by(policy, stage)})
    finally:
        stage.close()
    return replace(
        report, findings=tuple(replace(found, allowed=allowed.get(found.name, "")) for found in report.findings)
    )


def _audit(stage: Stage, seconds: float, progress: Progress) -> AuditReport:
    times = {group: share * seconds for group, share in _SHARES.items()}
    progress("oracle")
    stage.solve(TimeBox(times["oracle"]))
    if not stage.solutions:
        raise ConformanceError(
            f"{stage.env_id}: the oracle solves nothing: {stage.unsolved[0].trouble or 'its episodes are unscored'}"
        )
    stage.look(TimeBox(times["oracle"]))
    misses = NearMisses(stage)
    measured = _measure(stage, misses, times, progress)
    progress("verifier")
    unstable = stable(stage, TimeBox(times["verifier"] / 2))
    hostile_row, broken = hostile(stage, misses.answers, TimeBox(times["verifier"] / 2))
    progress("tasks")
    facts, spread = figures(stage, misses.answers, TimeBox(times["tasks"]))
    progress("difficulty")
    difficulty = () if stage.kwargs else variants(stage.env_id, stage.seed, TimeBox(times["difficulty"]))
    oracle = Row("ceiling/oracle", "the oracle", tuple(s.play for s in stage.solutions), stage.ceiling)
    findings = [*_ceiling(stage), *judge(measured, optimal=stage.optimal), *unstable, *broken, *spread]
    return AuditReport(
        stage.env_id,
        stage.ceiling,
        dict(Counter(solution.split for solution in stage.solutions)),
        tuple(_highest([oracle, *(row for _, row in measured), hostile_row])),
        tuple(_graver(findings)),
        facts,
        difficulty,
        stage.notes,
    )


def _measure(
    stage: Stage, misses: NearMisses, times: Mapping[str, float], progress: Progress
) -> list[tuple[Policy, Row]]:
    """Have all policies play; with an oracle that is a reference, none that says what it says in another way."""
    groups: list[tuple[str, Iterable[Policy]]] = [
        ("ceiling", paraphrases(misses.answers) if stage.optimal else ()),
        ("near", misses.policies() if stage.optimal else ()),
        ("blind", blind(stage, misses.answers)),
        ("acting", acting()),
    ]
    measured = list[tuple[Policy, Row]]()
    for group, policies in groups:
        progress(group)
        measured += measure(stage, policies, times[group])
    return measured


def _highest(rows: Sequence[Row]) -> list[Row]:
    """Of the rows of one name, the one that earned the most."""
    found = dict[str, Row]()
    for row in rows:
        known = found.setdefault(row.name, row)
        if row.mean > known.mean:
            found[row.name] = row
    return list(found.values())


def _graver(findings: Iterable[Finding]) -> list[Finding]:
    """Of the findings of one name, the first that is a fault, or the first."""
    found = dict[str, Finding]()
    for finding in findings:
        known = found.setdefault(finding.name, finding)
        if finding.grave and not known.grave:
            found[finding.name] = finding
    return list(found.values())


def _ceiling(stage: Stage) -> Iterable[Finding]:
    """What is wrong with the oracle."""
    if stage.unsolved:
        text = f"{len(stage.unsolved)} episodes of the oracle failed: {stage.unsolved[0].trouble or 'unscored'}"
        yield Finding("ceiling/oracle", text, examples=tuple(stage.unsolved[:3]))
    if stage.optimal:
        if stage.ceiling <= 0:
            yield Finding("ceiling/oracle", f"the oracle earns {stage.ceiling:g}; a solution must earn something")
        elif low := [s.play for s in stage.solutions if not stage.full(s.play)]:
            text = f"the oracle earns less than {stage.ceiling:g} on {len(low)} of {len(stage.solutions)} tasks"
            yield Finding("ceiling/oracle", text, examples=tuple(low[:3]))
