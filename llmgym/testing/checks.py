"""Checks of what Gymnasium asks for, and of results that depend on seeds and actions alone."""

from __future__ import annotations

import contextlib
import io
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from llmgym.env import ToolEnv, contract
from llmgym.errors import AuthorError
from llmgym.messages import assistant, tool_call
from llmgym.testing.playing import STEPS, Result, expect_same, record, ruin, same, within
from llmgym.testing.report import Fault, Skip
from llmgym.testing.subject import Env, Subject, TimeBox

_SEEDED = "draw randomness from self.np_random alone, and keep clocks, ids and object addresses out of results"


def gymnasium_rules(subject: Subject) -> None:
    """Gymnasium's own checker, with warnings as errors."""
    env, core = subject.make(), subject.make_core()
    # Warnings are recorded: one that was raised inside a tool would become the tool's answer.
    with warnings.catch_warnings(record=True) as seen, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ResourceWarning)  # may come from anywhere
        check_env(core)
        within(record(env, subject.seed), subject.box())
    if seen:
        raise Fault(f"{len(seen)} warnings, the first is {seen[0].category.__name__}: {seen[0].message}")


def names(subject: Subject) -> None:
    """A class is looked at when it is defined; here what was put into it, or into an instance, later."""
    core = subject.make_core()
    for _ in _episode(record(core, subject.seed), subject.box(1 / 4)):
        pass
    try:
        contract.check_class(type(core), ToolEnv)
    except AuthorError as error:
        raise Fault(str(error)) from error
    for name in vars(core):
        if name in contract.OWN and not name.startswith("_np_random"):  # which Gymnasium sets
            raise Fault(f"{type(core).__name__}: self.{name} hides ToolEnv's own: {contract.instead(name)}")


def determinism(subject: Subject) -> None:
    """Equal seeds and actions give equal episodes."""
    subject.expect_repeatable()
    for seed in range(subject.seed, subject.seed + 3):
        runs = record(subject.make(), seed), record(subject.make(), seed)
        expect_same(subject, *runs, _SEEDED, subject.box(1 / 3))


def isolation(subject: Subject) -> None:
    """Other instances, and what callers do with results, do not matter."""
    subject.expect_repeatable()
    seed = subject.seed
    alone = within(record(subject.make(), seed), subject.box(1 / 3))
    if len(alone) < STEPS:
        subject.cut(f"{len(alone)} of {STEPS} results compared")
    pairs = zip(record(subject.make(), seed), record(subject.make(), seed + 1), strict=True)
    beside = (result for result, _ in pairs)
    what_to_do = "keep the state of an episode on self, made anew by setup, never on the class"
    expect_same(subject, iter(alone), beside, what_to_do, subject.box(1 / 3))
    spoiled = record(subject.make(), seed, spoil=True)
    what_to_do = "give out fresh objects: what a caller does to them must not matter"
    expect_same(subject, iter(alone), spoiled, what_to_do, subject.box(1 / 3))


def reuse(subject: Subject) -> None:
    """Two episodes on one instance equal two on two instances."""
    subject.expect_repeatable()
    seed, used = subject.seed, subject.make()
    within(record(used, seed + 1), subject.box(1 / 3))
    what_to_do = "an instance serves one episode after another: make all state of an episode in setup, not in __init__"
    expect_same(subject, record(subject.make(), seed), record(used, seed), what_to_do, subject.box(2 / 3))


def mutation(subject: Subject) -> None:
    """What an episode does to its task does not reach the next episode."""
    subject.expect_repeatable()
    seed, core = subject.seed, subject.make_core()
    # One that no other check has played: whoever keeps the data of tasks keeps that of the first episode.
    task_id = core.tasks.plan(core.tasks.splits[-1], seed + 1_000_003, 0).id
    options = {"task_id": task_id}
    content = core.tasks.get(task_id).content_hash
    before = list(_episode(record(core, seed, options=options), subject.box(1 / 2)))
    what_to_do = "take a copy of what an episode changes in its task, and keep none of it for the next episode"
    if core.tasks.get(task_id).content_hash != content:
        raise Fault(f"task {task_id} is another one after its episode; {what_to_do}")
    assert core.task is not None
    for part in (core.task.prompt, core.task.answer, core.task.metadata):
        ruin(part)
    expect_same(subject, iter(before), record(core, seed, options=options), what_to_do, subject.box(1 / 2))


def _episode(results: Iterator[Result], box: TimeBox) -> Iterator[Result]:
    """The results of the first episode, which is still the instance's when they end."""
    for result in results:
        yield result
        if len(result) == 5 and (result[2] or result[3] or box.over):
            return


def vectors(subject: Subject) -> None:
    """Vectors do what single instances do."""
    subject.expect_repeatable()
    # Gymnasium's own vectors reset so by default; ours does where it is told to.
    spec = subject.core.spec
    modes = ("sync", "async", "vector_entry_point") if spec and spec.vector_entry_point else ("sync", "async")
    for mode in modes:
        more: dict[str, Any] = {"autoreset_mode": "NextStep"} if mode == "vector_entry_point" else {}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
            vector = gymnasium.make_vec(subject.env_id, num_envs=2, vectorization_mode=mode, **(subject.kwargs | more))
        try:
            steps = _compare_vector(subject, vector, mode, 1 / len(modes))
            if steps < STEPS:
                subject.cut(f"{steps} of {STEPS} steps compared in the vector {mode!r}")
        finally:
            vector.close()


def _compare_vector(subject: Subject, vector: Any, mode: str, share: float) -> int:
    """How many steps were compared."""
    envs, seed = [subject.make() for _ in range(2)], subject.seed
    vector.single_action_space.seed(seed)
    observations, infos = vector.reset(seed=seed)
    rewards: Any = np.zeros(len(envs))
    terminations: Any = rewards
    truncations: Any = rewards
    expected: list[Result] = [(observation, 0.0, False, False, info) for observation, info in _resets(envs, seed)]
    box = subject.box(share)  # processes have started
    for step in range(STEPS):
        batch = zip(observations, rewards, terminations, truncations, infos["task_id"], strict=True)
        for got, (observation, reward, terminated, truncated, info) in zip(batch, expected, strict=True):
            in_vector = (got[0], float(got[1]), bool(got[2]), bool(got[3]), got[4])
            alone = (observation, float(reward), terminated, truncated, info["task_id"])
            if not all(map(same, in_vector, alone)):
                raise Fault(f"step {step} is {in_vector!r:.300} in a {mode} vector and {alone!r:.300} alone")
        if box.over and step:
            return step + 1
        actions = [vector.single_action_space.sample() for _ in envs]
        observations, rewards, terminations, truncations, infos = vector.step(actions)
        expected = [_advance(env, action, was) for env, action, was in zip(envs, actions, expected, strict=True)]
    return STEPS


def _resets(envs: list[Env], seed: int) -> list[tuple[Any, dict[str, Any]]]:
    return [env.reset(seed=seed + index) for index, env in enumerate(envs)]


def _advance(env: Env, action: Any, was: Result) -> Result:
    """A step as vectors take it by default: an episode that has ended is followed by a reset."""
    if not (was[2] or was[3]):
        return env.step(action)
    observation, info = env.reset()
    return observation, 0.0, False, False, info


def pickling(subject: Subject) -> None:
    """A running episode can be pickled, where anything needs that, and goes on."""
    core = subject.make_core()
    core.reset(seed=subject.seed)
    core.action_space.seed(subject.seed)
    actions = [core.action_space.sample() for _ in range(20)]
    core.step(next((action for action in actions if "tool_calls" in action), actions[0]))  # text may end the episode
    try:
        copy = pickle.loads(pickle.dumps(core))
    except Exception as error:
        raise _stuck(core, error) from error
    subject.expect_repeatable()
    if not same(core.transcript, copy.transcript):
        raise Fault("the copy of a running episode has another transcript")
    what_to_do = "state that is not on self is lost when an environment is pickled"
    expect_same(subject, _record_on(core), _record_on(copy), what_to_do, subject.box())


def _stuck(core: ToolEnv, error: Exception) -> Fault | Skip:
    """What cannot be pickled, and who needs it to be; nothing of llmgym does where no process verifies."""
    stuck = {name: value for name, value in vars(core).items() if not name.startswith("_ToolEnv__") and _sticks(value)}
    culprits = [f"self.{name} ({type(value).__name__})" for name, value in stuck.items()]
    said = f"{', '.join(culprits) or 'it'} cannot be pickled: {type(error).__name__}: {error}"
    way = "leave such handles out in __getstate__, and make them again in __setstate__"
    if "tasks" in stuck:
        way = "give TaskSet.generated a function of a module, not a lambda or one inside of another"
    if core.verify_in == "process":
        return Fault(f"{said}; verify_in = 'process' sends the environment to another process with each verdict: {way}")
    return Skip(f"{said}; only verify_in = 'process' and checkpoints of your own need it: for these, {way}")


def _sticks(value: Any) -> bool:
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:  # noqa: BLE001 -- any says so
        return True
    return False


def _record_on(env: Env) -> Iterator[Result]:
    """Go on with an episode that has begun, then into the next one."""
    env.action_space.seed(1)
    for _ in range(STEPS):
        try:
            yield env.step(env.action_space.sample())
        except ResetNeeded:
            yield env.reset()


def spec(subject: Subject) -> None:
    """Its spec survives JSON."""
    env = subject.make()
    if env.spec is None:
        raise Fault("the environment has no spec; register it and make it by its id")
    try:
        again = subject.keep(gymnasium.make(EnvSpec.from_json(env.spec.to_json())))
    except Exception as error:
        what_to_do = "register strings and JSON values, paths rather than rows"
        raise Fault(f"{type(error).__name__}: {error}; {what_to_do}") from error
    if again.spec != env.spec:
        raise Fault(f"the spec came back as {again.spec}")
    if subject.repeatable:
        runs = record(env, subject.seed), record(again, subject.seed)
        expect_same(subject, *runs, "register all that the results depend on", subject.box())


def limit(subject: Subject) -> None:
    """An episode that a limit cuts off is verified."""
    env = subject.make(max_turns=1)
    if env.spec is not None and env.spec.max_episode_steps is not None:
        raise Fault(
            "registered with max_episode_steps, which cuts an episode off unverified; "
            "register kwargs={'max_turns': ...}"
        )
    env.reset(seed=subject.seed)
    *_, truncated, info = env.step(assistant("", tool_call("no_such_tool")))
    if not truncated or "reward_parts" not in info:
        raise Fault("make(id, max_turns=1) does not end an episode at its first turn, verified; leave that to ToolEnv")


def tools(subject: Subject) -> None:
    """Every tool is described."""
    for name, tool in subject.core.tools.items():
        if not tool.schema["function"]["description"]:
            raise Fault(f"the tool {name} has no description; write a docstring")
