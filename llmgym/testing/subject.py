"""The environment under test, and what a check of it is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from llmgym.env import ToolEnv
from llmgym.rollout.config import EnvConfig
from llmgym.rollout.instances import Instances
from llmgym.tasks import Task, TaskSet
from llmgym.testing.report import CheckResult, Fault, Skip

Env = gymnasium.Env[Any, Any]
_FEWEST = 2  # tasks of a split that are drawn however long they take to make


class TimeBox:
    """Time that part of a check may take, so that a slow environment is checked in less depth, and not for minutes.

    Args:
        seconds: How long.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self._end - time.monotonic())

    @property
    def over(self) -> bool:
        """Whether it is used up."""
        return not self.left


@dataclass
class Subject:
    """The environment under test.

    Attributes:
        env_id: Its id.
        core: An instance to look at, in which no episode runs.
        count: How many tasks of each split are played.
        seed: Seed of tasks and sampled actions.
        seconds: Time of one check, after which it does less than it would.
        kwargs: Arguments of the environment.
        no_oracle: Why it has no oracle; empty where it has one.
        allow: What the registry allows of an audit's findings, each with its reason.
        solved: What the oracle earned; None until it was asked, and where it failed.
        slots: Hashes of the tasks that slots of a split draw, once a check has drawn them.
    """

    env_id: str
    core: ToolEnv
    count: int
    seed: int
    seconds: float
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    no_oracle: str = ""
    allow: dict[str, str] = field(default_factory=dict[str, str])
    solved: list[Outcome] | None = None
    slots: dict[str, list[list[str]]] = field(default_factory=dict[str, list[list[str]]])
    _drawn: dict[str, list[Task]] = field(default_factory=dict[str, list[Task]])
    _made: list[Env] = field(default_factory=list[Env])
    _instances: list[Instances] = field(default_factory=list[Instances])
    _cuts: list[str] = field(default_factory=list[str])

    def make(self, **more: Any) -> Env:
        """An instance as `gymnasium.make` gives it, closed after the check."""
        return self.keep(gymnasium.make(self.env_id, **(self.kwargs | more)))

    def keep(self, env: Env) -> Env:
        """An instance that was made elsewhere, to be closed after the check."""
        self._made.append(env)
        return env

    def make_core(self) -> ToolEnv:
        """An instance without Gymnasium's wrappers, closed after the check."""
        core = self.make().unwrapped
        assert isinstance(core, ToolEnv)
        return core

    def instances(self) -> Instances:
        """A place for episodes, closed after the check."""
        instances = Instances(EnvConfig(self.env_id, self.kwargs))
        self._instances.append(instances)
        return instances

    @property
    def tasks(self) -> TaskSet:
        """Where it draws tasks."""
        return self.core.tasks

    def sample(self, split: str) -> list[Task]:
        """Tasks of a split, none twice; fewer where they take long to make."""
        if split not in self._drawn:
            box, drawn = self.box(1 / (2 * len(self.tasks.splits))), dict[str, Task]()
            for index in range(self.count):
                if box.over and len(drawn) >= _FEWEST:
                    self.cut(f"{len(drawn)} of {self.count} tasks of split {split!r} drawn")
                    break
                task = self.tasks.plan(split, self.seed, index)
                drawn.setdefault(task.id, task)
            self._drawn[split] = list(drawn.values())
        return self._drawn[split]

    @property
    def home(self) -> str:
        """The split that policies are compared on."""
        return "train" if "train" in self.tasks.splits else self.tasks.splits[0]

    @property
    def repeatable(self) -> bool:
        """Whether equal seeds give equal episodes."""
        spec = self.core.spec
        return spec is None or not spec.nondeterministic

    def expect_repeatable(self) -> None:
        """Skip a check that compares episodes where they need not be equal."""
        if not self.repeatable:
            raise Skip("the environment is registered as nondeterministic")

    def box(self, share: float = 1.0) -> TimeBox:
        """A share of the time of a check, from now on."""
        return TimeBox(self.seconds * share)

    def cut(self, what: str) -> None:
        """Say what was left out for want of time."""
        if what not in self._cuts:
            self._cuts.append(what)

    def run(self, check: Check) -> CheckResult:
        """Run a check, and close what it made."""
        self._cuts.clear()
        try:
            check.run(self)
        except Fault as fault:
            return CheckResult(check.name, "failed", str(fault))
        except Skip as reason:
            return CheckResult(check.name, "skipped", str(reason))
        except Exception as error:  # noqa: BLE001 -- whatever the environment raises is what the check found
            return CheckResult(check.name, "failed", f"{type(error).__name__}: {error}")
        finally:
            self.close()
        said = f"; cut at {self.seconds:g} s: {', '.join(self._cuts)}" if self._cuts else ""
        return CheckResult(check.name, "passed", check.promise + said)

    def close(self) -> None:
        """Close what was made."""
        for env in self._made:
            with contextlib.suppress(Exception):  # `lifecycle` finds what closing does
                env.close()
        for instances in self._instances:
            instances.close()
        self._made.clear()
        self._instances.clear()


@dataclass(frozen=True, slots=True)
class Check:
    """Something that every environment must keep to.

    Attributes:
        name: Its name.
        promise: What it says of an environment that passes.
        run: Returns where the environment passes; raises a `Fault` where not, a `Skip` where it has nothing to say.
    """

    name: str
    promise: str
    run: Callable[[Subject], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an episode ended.

    Attributes:
        task_id: The task.
        reward: Sum of its rewards; NaN where it was left unscored.
        last: Text of the last message of the policy.
    """

    task_id: str
    reward: float
    last: str
