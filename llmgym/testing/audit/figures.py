"""Figures of the tasks: how answers are spread, what repeats, how long prompts are, what tasks cost."""

from __future__ import annotations

import json
import math
import re
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from llmgym.env import ToolEnv
from llmgym.messages import Message
from llmgym.tasks import Task
from llmgym.testing.audit.answers import Answer
from llmgym.testing.audit.report import Finding, chance
from llmgym.testing.audit.stage import FEWEST, Solution, Stage
from llmgym.testing.subject import TimeBox

_DRAWN = 300  # tasks of each split that are compared, where that is quick
_LEAKED = 0.02  # of the tasks of a split, those that another one may have by chance
_SPARSE = 0.01  # chance of a fault where there is none
_GRAM = 8  # words
_NEAR = 0.9  # similarity of prompts that are nearly equal
_LOOKED = 60  # prompts of each split that are compared with all of another


def figures(stage: Stage, answers: Mapping[str, Answer], box: TimeBox) -> tuple[dict[str, str], list[Finding]]:
    """What is to be said of the tasks, and what is wrong with them.

    Args:
        stage: Where they are played.
        answers: The oracle's final texts by task.
        box: Time to draw more of them.
    """
    given = [_given(solution, answers) for solution in stage.solutions]
    facts, findings = _spread(given)
    if not stage.optimal:  # what a reference does is not all that is right
        findings.clear()
    inside = [
        answers[solution.task.id].core.casefold() in solution.prompt.casefold()
        for solution in stage.solutions
        if solution.task.id in answers
    ]
    if inside:
        facts["answer inside the prompt"] = f"{sum(inside) / len(inside):.0%}"
    lengths = [len(solution.prompt) for solution in stage.solutions]
    facts["characters of a prompt"] = _range(lengths)
    facts["turns of the oracle"] = _range([len(solution.said) for solution in stage.solutions])
    drawn, seconds = _draw(stage, box)
    facts["ms to make a task"] = f"{1000 * statistics.median(seconds):.2g} (at most {1000 * max(seconds):.2g})"
    more, found = _repeats(stage, drawn)
    return facts | more, findings + found


def _given(solution: Solution, answers: Mapping[str, Answer]) -> str:
    """What is right, to be counted: the answer, or what is done."""
    if solution.acts or solution.task.id not in answers:
        return solution.deed
    return answers[solution.task.id].core.casefold()


def _spread(given: Sequence[str]) -> tuple[dict[str, str], list[Finding]]:
    """How answers are spread."""
    counts = Counter(given)
    top, most = counts.most_common(1)[0]
    entropy = -math.fsum(n / len(given) * math.log2(n / len(given)) for n in counts.values())
    facts = {
        "different answers": f"{len(counts)} of {len(given)}",
        "entropy of answers": f"{entropy:.1f} bits",
        "most frequent answer": f"{most / len(given):.0%}: {top[:60]}",
    }
    fair = max(0.05, 1.5 / len(counts))
    if len(counts) == 1 < len(given) or (
        most / len(given) > fair and len(counts) * chance(len(given), most, fair) < _SPARSE
    ):
        text = f"{most} of {len(given)} tasks have the answer {top[:60]!r}; draw answers evenly"
        return facts, [Finding("tasks/answers", text)]
    return facts, []


def _range(values: Sequence[int]) -> str:
    return f"{min(values)} to {max(values)}, median {statistics.median(values):g}"


def _draw(stage: Stage, box: TimeBox) -> tuple[dict[str, list[Task]], list[float]]:
    """Tasks of each split, and what they took to make."""
    tasks, seconds = stage.core.tasks, list[float]()
    drawn: dict[str, list[Task]] = {split: [] for split in tasks.splits}
    for index in range(_DRAWN):
        for split in tasks.splits:
            size = tasks.size(split)
            if size is None or index < size:
                began = time.perf_counter()
                drawn[split].append(tasks.plan(split, stage.seed, index))
                seconds.append(time.perf_counter() - began)
        if box.over and index >= FEWEST:
            break
    return drawn, seconds


def _repeats(stage: Stage, drawn: Mapping[str, Sequence[Task]]) -> tuple[dict[str, str], list[Finding]]:
    """What repeats within splits and across them."""
    hidden = bool(stage.core.tools) or type(stage.core).respond is not ToolEnv.respond
    keys = {split: [_key(task, hidden) for task in tasks] for split, tasks in drawn.items()}
    everything = [key for split in keys.values() for key in split]
    facts = {"repeated tasks": f"{1 - len(set(everything)) / len(everything):.1%} of {len(everything)}"}
    findings = list[Finding]()
    for at, split in enumerate(keys):
        for other in list(keys)[:at]:
            both = set(keys[split]) & set(keys[other])
            rarer = min((split, other), key=lambda name: len(set(keys[name])))
            share = len(both) / max(1, len(set(keys[rarer])))
            if len(both) > 1 and share > _LEAKED:
                text = (
                    f"{len(both)} of {len(set(keys[rarer]))} tasks of split {rarer!r} are in {split!r} and {other!r} "
                    "but for what no policy sees; keep ids and the like out of their content"
                )
                findings.append(Finding("tasks/splits", text))
            near = _near(drawn[split], drawn[other])
            facts[f"nearly equal prompts in {other} and {split}"] = f"{near:.0%}"
    return facts, findings


def _key(task: Task, hidden: bool) -> str:
    """What a task is to a policy; where an environment may have more to show, with all that it holds."""
    seen = [_text(task.messages), task.answer, *([task.metadata] if hidden or task.answer is None else [])]
    return " ".join(json.dumps(seen, sort_keys=True, default=str).casefold().split())


def _text(messages: Sequence[Message]) -> str:
    return "\n".join(message["content"] for message in messages)


def _near(tasks: Sequence[Task], others: Sequence[Task]) -> float:
    """The share of prompts that have a nearly equal one among others, by what runs of eight words they share."""
    theirs = [_grams(task) for task in others]
    looked = [_grams(task) for task in tasks[:_LOOKED]]
    near = sum(any(len(own & other) >= _NEAR * len(own | other) for other in theirs) for own in looked)
    return near / max(1, len(looked))


def _grams(task: Task) -> frozenset[tuple[str, ...]]:
    words = re.findall(r"\w+", _text(task.messages).casefold())[:2000]
    return frozenset(tuple(words[at : at + _GRAM]) for at in range(max(1, len(words) - _GRAM + 1)))
