"""Policies that act without a plan, or stop short of the end."""

from __future__ import annotations

import itertools
import zlib

from llmgym.messages import Message, assistant, tool_call
from llmgym.spaces import AssistantSpace
from llmgym.testing.audit.policies import Policy
from llmgym.testing.audit.stage import Solution
from llmgym.testing.playing import Messages


def acting() -> list[Policy]:
    """Policies by what they do."""
    return [
        Policy("acting/nothing", "does nothing", "unfinished", lambda solution: lambda core: []),
        Policy("acting/half", "stops half-way", "unfinished", _half),
        Policy("acting/unfinished", "leaves the last step out", "early", _unfinished),
        Policy("acting/tools", "calls every tool once", "chance", _tools),
        Policy("acting/loop", "makes one call for ever", "chance", _loop),
        Policy("acting/answer", "gives the answer, and does nothing for it", "shown", _answer),
    ]


def _unfinished(solution: Solution) -> Messages | None:
    """The solution without what it does last; where the text at the end matters, that is known to cost something."""
    steps = _steps(solution)
    return _without(solution, steps[-1:]) if steps else None


def _half(solution: Solution) -> Messages | None:
    """The solution without the second half of what it does."""
    steps = _steps(solution)
    return _without(solution, steps[len(steps) // 2 :]) if len(steps) > 1 else None


def _steps(solution: Solution) -> list[int]:
    """Which messages do something, where it is not the text at the end that counts."""
    return [] if solution.speaks else [at for at, message in enumerate(solution.said) if message.get("tool_calls")]


def _without(solution: Solution, left_out: list[int]) -> Messages:
    said = [message for at, message in enumerate(solution.said) if at not in left_out]
    return lambda core: said


def _sampled(solution: Solution) -> list[Message]:
    """A call of each tool, with arguments that fit its schema."""
    found = list[Message]()
    for tool in solution.tools:
        space = AssistantSpace([tool], seed=zlib.crc32(solution.task.id.encode()))
        samples = (space.sample().get("tool_calls", ()) for _ in range(20))  # some of which are text
        calls = next((calls for calls in samples if calls), [tool_call(tool["function"]["name"])])
        found.append(assistant("", calls[0]))
    return found


def _tools(solution: Solution) -> Messages | None:
    said = [*_sampled(solution), assistant("Done.")]
    return (lambda core: said) if len(said) > 1 else None


def _loop(solution: Solution) -> Messages | None:
    calls = _sampled(solution)
    if not calls:
        return None
    call = calls[zlib.crc32(solution.task.id.encode()) % len(calls)]
    return lambda core: itertools.repeat(call)


def _answer(solution: Solution) -> Messages | None:
    alone = [solution.said[-1]]
    return (lambda core: alone) if solution.speaks and solution.calls else None
