"""Whether verdicts can be relied on: the same again, in any order, in any process, and whatever a model writes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from llmgym.messages import Message, assistant, tool_call
from llmgym.testing.audit.answers import Answer
from llmgym.testing.audit.replay import Elsewhere, Unplayable, digest
from llmgym.testing.audit.report import Finding, Play, Row
from llmgym.testing.audit.stage import Solution, Stage
from llmgym.testing.subject import TimeBox

_SAMPLE = 12  # episodes that are played again in another process
_TASKS = 3  # tasks that hostile text is tried on
_SLOW = 2.0  # seconds

HOSTILE = {
    "200 KB in a word": "9" * 200_000,
    "deep JSON": '{"a":' * 3000 + "[" * 3000,
    "deep brackets": "(" * 20_000 + "\\boxed{" * 5000,
    "control characters": "".join(map(chr, range(32))) + "\x7f\x85\u2028\u202e",
    "null bytes": "\x00" * 1000 + "answer\x00",
    "half a surrogate": "\ud800 answer \udfff",
    "a huge number": "9" * 400 + "e99999999",
    "a tower of powers": "9**9**9**9",
    "no number": "NaN, -Infinity, 1/0",
    "format directives": "%s%n{0}{x!r}${jndi:x}{{7*7}}",
    "what slows patterns": "a" * 30_000 + "!" + " \t" * 10_000 + "\n" * 10_000,
    "markup": "</answer>]]></tool_call>'\"; DROP TABLE tasks; --",
}


def stable(stage: Stage, box: TimeBox) -> list[Finding]:
    """What is wrong with verdicts that should be the same again."""
    return list(_stable(stage, box))


def _stable(stage: Stage, box: TimeBox) -> Iterator[Finding]:
    """Solutions played again, in order and shuffled, here and in a process with other hashes."""
    if stage.core.spec is not None and stage.core.spec.nondeterministic:
        stage.notes.append("verifier: episodes are registered as nondeterministic, and were not compared")
        return
    sample = stage.solved[:_SAMPLE]
    elsewhere: Elsewhere | None = None
    try:
        elsewhere = Elsewhere(stage, sample)
    except Unplayable as error:
        stage.notes.append(f"verifier/process: not looked at, since {error}")
    advice = "draw chance from self.np_random, and keep clocks and the state of other episodes out of it"
    yield from _again(
        stage, stage.solved, box, "verifier/repeat", f"played again, a solution earns another reward; {advice}"
    )
    order = random.Random(stage.seed).sample(stage.solved, len(stage.solved))
    order_advice = "make all state of an episode in setup"
    yield from _again(
        stage, order, box, "verifier/order", f"in another order, a solution earns another reward; {order_advice}"
    )
    if elsewhere is not None:
        yield from _compare(stage, elsewhere, sample)


def _again(stage: Stage, solutions: Sequence[Solution], box: TimeBox, name: str, text: str) -> Iterator[Finding]:
    """See that solutions earn what they did."""
    for count, solution in enumerate(solutions):
        if box.over and count >= _TASKS:
            return
        play = stage.replay(solution, solution.said)
        if not _same(play.reward, solution.play.reward):
            said = f"{text}: {solution.play.reward} and then {play.trouble or play.reward}"
            yield Finding(name, said, examples=(play,))
            return


def _compare(stage: Stage, elsewhere: Elsewhere, sample: Sequence[Solution]) -> Iterator[Finding]:
    name = "verifier/process"
    try:
        results = elsewhere.results()
    except Unplayable as error:
        yield Finding(name, f"in another process it fails: {error}")
        return
    for solution, (reward, opening) in zip(sample, results, strict=True):
        if opening != digest(solution.opening):
            text = "in a process with another PYTHONHASHSEED the task begins differently; sort what comes from sets"
            yield Finding(name, text, examples=(solution.play,))
            return
        if not _same(reward, solution.play.reward):
            text = (
                f"in a process with another PYTHONHASHSEED a solution earns {reward}, not {solution.play.reward}; sort "
                "what comes from sets, and use hashlib rather than hash"
            )
            yield Finding(name, text, examples=(solution.play,))
            return


def _same(one: float | None, other: float | None) -> bool:
    return one == other or (one is not None and other is not None and abs(one - other) < 1e-9)


def hostile(stage: Stage, answers: Mapping[str, Answer], box: TimeBox) -> tuple[Row, list[Finding]]:
    """Text that breaks what reads it, as an answer and as arguments: nothing fails, nothing hangs, all is scored."""
    plays = list[tuple[str, Play]]()
    for solution, (name, text) in itertools.product(stage.solutions[:_TASKS], HOSTILE.items()):
        if box.over and len(plays) >= len(HOSTILE):
            break
        for messages in _written(solution, answers.get(solution.task.id), text):
            plays.append((name, stage.replay(solution, messages)))
    row = Row("verifier/hostile", "text that breaks what reads it", tuple(play for _, play in plays), stage.ceiling)
    checks: list[tuple[str, Callable[[Play], bool]]] = [
        ("an episode fails", lambda play: bool(play.trouble)),
        ("an episode is left unscored", lambda play: play.reward is None),
        (f"it holds all episodes for over {_SLOW:g} s", lambda play: play.held_s > _SLOW),
    ]
    for text, found in checks:
        if bad := [(name, play) for name, play in plays if found(play)]:
            name, play = bad[0]
            said = f"{text} where a model writes {name}; bound what is read, and answer it as any wrong answer"
            return row, [Finding(row.name, f"{said}: {play.trouble}".removesuffix(": "), examples=(play,))]
    return row, []


def _written(solution: Solution, answer: Answer | None, text: str) -> Iterator[list[Message]]:
    yield [assistant(text)]
    if answer is not None:
        yield solution.saying(answer.saying(text))
    for tool in solution.tools[:2]:
        function = tool["function"]
        arguments = dict.fromkeys(function["parameters"].get("properties", {}), text)
        yield [assistant("", tool_call(function["name"], **arguments)), assistant("")]
