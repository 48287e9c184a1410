"""Policies of an audit: what each says in an episode, and what it may earn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from llmgym.testing.audit.report import AT, Finding, Row
from llmgym.testing.audit.stage import FEWEST, Solution, Stage
from llmgym.testing.playing import Messages
from llmgym.testing.subject import TimeBox

#: What a policy's rewards are held to.
#:
#: "full": it must earn the ceiling, since it says the same as the oracle in other words.
#: "wrong": it must earn little, and never the ceiling.
#: "doubtful": the same, but a change of that sort may leave a solution right: a few at the ceiling are for a look only.
#: "blind": it must earn nearly nothing.
#: "unfinished": it must never earn the ceiling.
#: "early": the same, but the last step of a solution may be a look at it, so that the ceiling is for a look only.
#: "chance": it must rarely earn the ceiling.
#: "shown": it is held to nothing.
Held = Literal["full", "wrong", "doubtful", "blind", "unfinished", "early", "chance", "shown"]

BLIND, NEAR = 0.05, 0.10  # shares of the ceiling
_PART = 0.99  # less than it is a part of the reward
_GRADES = 3  # different parts that are no accident


@dataclass(frozen=True, slots=True)
class Policy:
    """A way to play.

    Attributes:
        name: Group and name.
        label: What it says or does, in words.
        held: What its rewards are held to.
        script: What it says in the episode of a solution's task; None where it has nothing to say.
    """

    name: str
    label: str
    held: Held
    script: Callable[[Solution], Messages | None]


def measure(stage: Stage, policies: Iterable[Policy], seconds: float) -> list[tuple[Policy, Row]]:
    """Have policies play the tasks that the oracle solved, each in its share of the time."""
    todo, measured = list(policies), list[tuple[Policy, Row]]()
    whole = TimeBox(seconds)
    for place, policy in enumerate(todo):
        box = TimeBox(whole.left / (len(todo) - place))
        plays = []
        for solution in stage.solved if stage.optimal else stage.solutions:
            if box.over and len(plays) >= FEWEST:
                break
            if (messages := policy.script(solution)) is not None:
                plays.append(stage.play(solution, messages))
        if plays:
            measured.append((policy, Row(policy.name, policy.label, tuple(plays), stage.ceiling)))
    return measured


def judge(measured: Iterable[tuple[Policy, Row]], *, optimal: bool) -> list[Finding]:
    """What is wrong with what policies earned."""
    measured = list(measured)
    graded = _graded(row for policy, row in measured if policy.held in ("wrong", "doubtful"))
    return [found for policy, row in measured for found in _judge(policy, row, graded, optimal)]


def _graded(rows: Iterable[Row]) -> bool:
    """Whether solutions that are nearly right earn a part, as much as they have right."""
    between = {round(share, 3) for row in rows for share in row.shares if 0.01 < share < _PART}
    return len(between) >= _GRADES


def _judge(policy: Policy, row: Row, graded: bool, optimal: bool) -> Iterable[Finding]:
    if failed := [play for play in row.plays if play.trouble]:
        text = f"{len(failed)} of {len(row.plays)} episodes failed; answer what a model gets wrong, and score it"
        yield Finding(row.name, f"{text}: {failed[0].trouble}", examples=tuple(failed[:3]))
    elif row.unscored:
        unscored = tuple(play for play in row.plays if play.reward is None)
        text = f"{row.unscored} of {len(row.plays)} episodes were left unscored"
        yield Finding(row.name, text, examples=unscored[:3])
    if not row.shares:
        return
    found = _overpaid(policy, row, graded) if optimal else _as_good(policy, row)
    if found is not None:
        yield found


def _as_good(policy: Policy, row: Row) -> Finding | None:
    """A policy that looks at nothing and earns as much as an oracle that does not claim to earn the most."""
    if policy.held != "blind" or row.share <= _PART:
        return None
    return Finding(row.name, f"{row.label}: it earns as much as the oracle", examples=row.worst())


def _overpaid(policy: Policy, row: Row, graded: bool) -> Finding | None:
    """What is wrong with a policy's rewards, where the oracle earns the most on every task."""
    if policy.held != "full" and max(row.shares) > 1 + 1e-6:
        return Finding(row.name, f"{row.label}: it earns more than the oracle; bound the reward", examples=row.worst())
    at, full = row.at_ceiling, [float(share >= AT) for share in row.shares]
    count = f"{row.label}: {at} of {len(full)} episodes earn the ceiling"
    mean = f"{row.label}: it earns {row.share:.0%} of the ceiling on average"
    match policy.held:
        case "full" if at < len(full):
            text = f"{row.label}: {len(full) - at} of {len(full)} right answers earn less than the ceiling"
            return Finding(row.name, text, examples=row.worst(best=False))
        case "wrong" | "unfinished" if at:
            return Finding(row.name, count, examples=row.paid())
        case "early" if at:
            return Finding(row.name, f"{count}; look whether it is needed", grave=False, examples=row.paid())
        case "doubtful" if at:
            grave = at > NEAR * len(full) and row.exceeds(BLIND, full)
            text = count if grave else f"{count}; look whether these are right"
            return Finding(row.name, text, grave=grave, examples=row.paid())
        case "wrong" | "doubtful" if not graded and row.exceeds(NEAR, row.shares):
            return Finding(row.name, mean, examples=row.worst())
        case "blind" if row.exceeds(BLIND, row.shares):
            return Finding(row.name, mean, examples=row.worst())
        case "chance" if row.exceeds(BLIND, full):
            return Finding(row.name, count, examples=row.paid())
        case _:
            return None
