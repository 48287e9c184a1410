"""All checks of an environment, in their order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import gymnasium

from llmgym.env import ToolEnv
from llmgym.errors import ConformanceError
from llmgym.registry import known
from llmgym.testing import checks, degenerate, lifecycle, tasksets, transcripts
from llmgym.testing.report import CheckResult, Report
from llmgym.testing.subject import Check, Subject

CHECKS: tuple[Check, ...] = (
    Check("gymnasium", "Gymnasium's own checker finds nothing to say", checks.gymnasium_rules),
    Check("names", "nothing of ToolEnv is hidden", checks.names),
    Check("determinism", "the same seed and actions give the same observations, rewards and infos", checks.determinism),
    Check("isolation", "other instances, and what callers do with results, do not matter", checks.isolation),
    Check("reuse", "an episode does not depend on those that its instance served before", checks.reuse),
    Check("mutation", "what an episode does to its task does not reach the next one", checks.mutation),
    Check("vectors", "make, and make_vec in one process or several, agree step by step", checks.vectors),
    Check("pickling", "a running episode can be pickled and goes on as it would have", checks.pickling),
    Check("lifecycle", "teardown runs once for each episode, however it ended, and aclose once", lifecycle.lifecycle),
    Check("threads", "no thread or task goes on when the episodes are over", lifecycle.threads),
    Check("spec", "its spec survives JSON", checks.spec),
    Check("limit", "an episode that a limit cuts off is verified", checks.limit),
    Check("transcripts", "a stored transcript earns what its episode did", transcripts.transcripts),
    Check("tools", "every tool is described", checks.tools),
    Check("tasks", "splits share no task, ids name them", tasksets.tasks),
    Check("variety", "slots meet different tasks, each in an order of its own", tasksets.variety),
    Check("oracle", "the oracle earns the same, the most, on tasks of every split", degenerate.oracle),
    Check("silent", "a policy that says nothing earns less than the oracle", degenerate.silent),
    Check("echo", "a policy that repeats what it is told earns less than the oracle", degenerate.echo),
    Check("constant", "a policy that gives one answer to every task earns less than the oracle", degenerate.constant),
    Check("random", "a policy of random valid tool calls earns less than the oracle", degenerate.random),
    Check("malformed", "a policy of broken tool calls earns less than the oracle", degenerate.malformed),
    Check("injection", "a policy that claims to be right earns less than the oracle", degenerate.injection),
)
"""All checks, in the order that they run in."""

SECONDS = 5.0


def check_text_env(
    env_id: str, /, *, num_tasks: int = 50, seed: int = 0, seconds: float = SECONDS, **kwargs: Any
) -> Report:
    """Check that an environment keeps to all that llmgym promises of one.

    Args:
        env_id: A registered id, or `module:id`.
        num_tasks: How many tasks of each split the oracle solves, and how many each degenerate policy meets.
        seed: Seed of tasks and sampled actions.
        seconds: Time of one check, after which it does less than it would, and says so.
        **kwargs: Arguments of the environment.

    Returns:
        What was checked, and how it came out.

    Raises:
        ConformanceError: Names every check that failed, what is wrong and what to do.
    """
    report = Report(env_id, tuple(run_checks(env_id, num_tasks=num_tasks, seed=seed, seconds=seconds, **kwargs)))
    if failures := report.failures:
        lines = [f"  {failure.name}: {failure.detail}" for failure in failures]
        raise ConformanceError("\n".join([f"{env_id} fails {len(lines)} of {len(report.results)} checks:", *lines]))
    return report


def run_checks(
    env_id: str, /, *, num_tasks: int = 50, seed: int = 0, seconds: float = SECONDS, **kwargs: Any
) -> Iterator[CheckResult]:
    """Run the checks of `check_text_env` one after another; `CHECKS` names them in this order.

    Args:
        env_id: A registered id, or `module:id`.
        num_tasks: How many tasks of each split the oracle solves, and how many each degenerate policy meets.
        seed: Seed of tasks and sampled actions.
        seconds: Time of one check, after which it does less than it would, and says so.
        **kwargs: Arguments of the environment.

    Yields:
        How each came out, as soon as it has.

    Raises:
        ConformanceError: The environment cannot be made, or is no `ToolEnv`.
    """
    try:
        core = gymnasium.make(env_id, **kwargs).unwrapped
    except Exception as error:  # whatever its constructor raises
        raise ConformanceError(f"{env_id} cannot be made: {type(error).__name__}: {error}") from error
    if not isinstance(core, ToolEnv):
        raise ConformanceError(f"{env_id} is a {type(core).__name__}; the checks are for subclasses of llmgym.ToolEnv")
    entry = known(env_id)
    no_oracle, allow = (entry.no_oracle, entry.allow) if entry else ("", {})
    subject = Subject(env_id, core, num_tasks, seed, seconds, kwargs, no_oracle, allow)
    try:
        yield from map(subject.run, CHECKS)
    finally:
        with contextlib.suppress(Exception):  # `lifecycle` says what closing does
            core.close()
