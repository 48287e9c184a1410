"""Code by tests: a program is right where its function returns, or it prints, what is right for each input.

It runs in a sandbox, which gets the inputs; what comes out is compared here, with values that never go in. So a program
that ends early, patches what compares, or reads the frames around it can change what it gives, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from llmgym.errors import TaskError
from llmgym.sandbox import Limits, Sandbox, SandboxFailure, run_sync
from llmgym.verifiers.base import MAX_ANSWER, Verdict, correct, graded, too_long, unscored, wrong
from llmgym.verifiers.code.cases import Cases
from llmgym.verifiers.code.programs import program_of
from llmgym.verifiers.code.running import LIMITS, Outcome, Status, run_cases
from llmgym.verifiers.text import without_thoughts

__all__ = ["LIMITS", "Cases", "Outcome", "Score", "Status", "acheck", "check", "program_of", "prove", "run_cases"]

Score = Literal["all", "share"]

_SANDBOX = Sandbox(least="landlock")


async def acheck(
    answer: str,
    reference: Mapping[str, Any],
    *,
    score: Score = "all",
    tolerance: float = 1e-6,
    sandbox: Sandbox = _SANDBOX,
    limits: Limits = LIMITS,
    seconds: float = 30.0,
) -> Verdict:
    """Whether the program of a reply does what is right for each input.

    Args:
        answer: The reply; its program is what `program_of` gives.
        reference: The tests: `inputs` and `outputs`, which are texts of standard input and output, or, with the
            `fn_name` of a function, lists of arguments and returned values.
        score: "all" gives 1 where all tests pass, "share" the share of those that do.
        tolerance: Relative, for numbers whose right value is written with a decimal point or an exponent.
        sandbox: Where it runs. At the level "process" a program can find what is right in the memory of this one.
        limits: What all calls of a function, or each run of a program, may use.
        seconds: That all runs may take together.

    Returns:
        With the metrics `tests`, `passed` (their share), and the number of tests that ended in each other way.

    Raises:
        ValueError: `score` is none that there is.
        SandboxUnavailable: There is no level of the sandbox that will do.
    """
    if score not in get_args(Score):
        raise ValueError(f"unknown score {score!r}; there is {', '.join(get_args(Score))}")
    try:
        cases = Cases.of(reference)
    except ValueError as error:
        return unscored("invalid_reference", str(error))
    said = without_thoughts(answer)
    if len(said) > MAX_ANSWER:
        return too_long(len(said))
    program = program_of(said, cases.function)
    if not program.strip():
        return wrong("there is no program", "no_answer")
    try:
        outcomes = await run_cases(program, cases, sandbox, limits=limits, seconds=seconds, tolerance=tolerance)
    except SandboxFailure as error:
        return unscored("infrastructure", str(error))
    return _verdict(outcomes, score)


def check(
    answer: str,
    reference: Mapping[str, Any],
    *,
    score: Score = "all",
    tolerance: float = 1e-6,
    sandbox: Sandbox = _SANDBOX,
    limits: Limits = LIMITS,
    seconds: float = 30.0,
) -> Verdict:
    """As `acheck`, for callers that are not in an event loop."""
    found = acheck(answer, reference, score=score, tolerance=tolerance, sandbox=sandbox, limits=limits, seconds=seconds)
    return run_sync(found)


def prove(
    reference: Mapping[str, Any],
    solution: str,
    *,
    wrong: Sequence[str] = (),
    tolerance: float = 1e-6,
    sandbox: Sandbox = _SANDBOX,
    limits: Limits = LIMITS,
) -> None:
    """Prove that tests tell right from wrong: that a solution passes, in half the time, and others do not.

    Args:
        reference: The tests.
        solution: A program that is right.
        wrong: Programs that are not.
        tolerance: As in `acheck`.
        sandbox: As there.
        limits: As there.

    Raises:
        TaskError: They are malformed, one output is right for all, the solution fails or is slow, or a wrong program
            passes.
    """
    half = replace(limits, cpu=limits.cpu / 2, wall=limits.wall / 2)
    verdict = check(solution, reference, tolerance=tolerance, sandbox=sandbox, limits=half)
    if not verdict:
        raise TaskError(f"the solution does not pass its tests in half of their time ({verdict.detail})")
    outputs = Cases.of(reference).outputs
    if all(output == outputs[0] for output in outputs):
        raise TaskError(f"a constant passes all {len(outputs)} tests; add some with another output")
    for program in wrong:
        if check(program, reference, tolerance=tolerance, sandbox=sandbox, limits=limits):
            raise TaskError(
                f"a wrong program passes all {len(outputs)} tests, add some that it fails: {program[:200]!r}"
            )


def _verdict(outcomes: Sequence[Outcome], score: Score) -> Verdict:
    counts = Counter(outcome.status for outcome in outcomes)
    share = counts.pop("passed", 0) / len(outcomes)
    metrics = {"tests": float(len(outcomes)), "passed": share, **{name: float(n) for name, n in counts.items()}}
    if share == 1:
        return correct("", **metrics)
    first = next(place for place, outcome in enumerate(outcomes) if outcome.status != "passed")
    failed = outcomes[first]
    said = f"test {first + 1} of {len(outcomes)}: {failed.detail}"
    if failed.status == "syntax_error":
        return wrong(failed.detail, "unparsable", **metrics)
    if score == "share" and share > 0:
        return graded(share, said, **metrics)
    return wrong(said, "timeout" if failed.status == "time_limit" else "wrong", **metrics)
