"""What fails in a slot, and what comes after it, touches no other slot."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

from llmgym.env import Episode, Observation, StepResult, ToolEnv
from llmgym.messages import assistant, tool_call
from llmgym.tasks import Task
from llmgym.tools import tool
from llmgym.vector import TextVectorEnv
from llmgym.wrappers.base import ToolWrapper
from tests.environments import Adder, Faulty

MODES = ["NextStep", "SameStep", "Disabled"]
CALL = assistant("", tool_call("add", a=1))
HANG = assistant("", tool_call("hang"))


class Moody(Adder):
    """Fails as its policy, or its class, says."""

    setups_that_fail = 0

    def setup(self, task: Task) -> None:
        super().setup(task)
        if self.setups_that_fail:
            self.setups_that_fail -= 1
            raise RuntimeError("no episode today")

    def verify(self, episode: Episode) -> float:  # type: ignore[override]
        if episode.final_text == "break":
            raise RuntimeError("the verifier broke")
        return 1.0


class SuspendingMoody(Moody):
    """The same in an event loop."""

    @tool
    async def wait(self) -> None:
        """Wait."""
        await asyncio.sleep(0)


@pytest.mark.parametrize("cls", [Moody, SuspendingMoody])
@pytest.mark.parametrize("mode", MODES)
def test_a_failure_stays_in_its_slot(cls: type[ToolEnv], mode: str) -> None:
    vector = TextVectorEnv(cls, 3, autoreset_mode=mode)
    vector.reset(seed=0)
    observations, rewards, terminations, truncations, infos = vector.step([CALL, "break", "end"])
    assert terminations.tolist() == [False, False, True]
    assert truncations.tolist() == [False, True, False]
    assert np.isnan(rewards).tolist() == [False, True, False]
    assert rewards[2] == 1.0
    assert infos["error"][1].startswith(f"{cls.__name__}.verify: RuntimeError: the verifier broke, at {__file__}:")
    assert infos["_error"].tolist() == [False, True, False]
    if mode == "SameStep":
        assert infos["final_obs"][1] == ()
        assert infos["final_info"]["error"][1] == infos["error"][1]
        assert observations[1][-1]["role"] == "user"
    elif mode == "NextStep":
        vector.step([CALL, None, None])
    else:
        vector.reset(options={"reset_mask": truncations | terminations})
    *_, infos = vector.step([CALL] * 3)
    assert "error" not in infos


@pytest.mark.parametrize("mode", MODES)
def test_an_episode_that_cannot_begin_is_truncated_at_its_first_step(mode: str) -> None:
    vector = TextVectorEnv(Moody, 2, autoreset_mode=mode)
    vector.envs[1].setups_that_fail = 1  # type: ignore[union-attr]
    observations, infos = vector.reset(seed=0)
    assert observations[0]
    assert observations[1] == ()
    assert infos["error"][0] is None
    assert infos["error"][1].startswith("Moody.setup: RuntimeError: no episode today, at ")
    _, rewards, _, truncations, infos = vector.step([CALL, None])
    assert (math.isnan(rewards[1]), truncations.tolist()) == (True, [False, True])
    assert "no episode today" in infos["error"][1]
    if mode == "SameStep":
        vector.envs[1].setups_that_fail = 1  # type: ignore[union-attr]
        observations, *_, infos = vector.step([CALL, "end"])
        assert observations[1] == ()
        assert "error" not in infos["final_info"]
        assert "no episode today" in infos["error"][1]
        observations, _, _, truncations, infos = vector.step([CALL, CALL])
        assert truncations[1]
        assert observations[1]


def test_every_way_to_fail_is_isolated() -> None:
    for how in ("raise", "hang", "exit", "cancelled"):
        vector = TextVectorEnv(Faulty, 2, where="verify", how=how)
        vector.reset(seed=0)
        vector.envs[0].how = "none"  # type: ignore[union-attr]
        _, _, _, truncations, infos = vector.step(["break", "break"])
        assert truncations.tolist() == [True, True]
        assert infos["error"].all()
        vector.close()


class Rude(ToolWrapper):
    """Fails outside of the environment's own boundary."""

    def on_reset(self, observation: Observation, info: dict[str, Any]) -> tuple[Observation, dict[str, Any]]:
        if self.split == "test":
            raise SystemExit(3)
        return observation, info

    def on_step(self, action: Any, result: StepResult) -> StepResult:
        if action in ("KeyError", "SystemExit"):
            raise KeyError("lost") if action == "KeyError" else SystemExit(3)
        return result


@pytest.mark.parametrize("cls", [Moody, SuspendingMoody])
@pytest.mark.parametrize("how", ["KeyError", "SystemExit"])
def test_a_wrapper_that_fails_is_a_failure_of_its_slot(cls: type[ToolEnv], how: str) -> None:
    vector = TextVectorEnv(lambda: Rude(cls()), 2)
    vector.reset(seed=0)
    _, rewards, _, truncations, infos = vector.step([how, "end"])
    assert (np.isnan(rewards).tolist(), truncations.tolist()) == ([True, False], [True, False])
    assert infos["error"][0].startswith(how)
    vector.envs[1].unwrapped.split = "test"  # type: ignore[attr-defined]
    *_, infos = vector.step(["end", "end"])
    assert infos["error"].tolist()[1].startswith("SystemExit")
    assert vector.step([CALL, CALL])[3].tolist() == [False, True]


def test_a_slot_that_cannot_draw_a_task_fails_alone() -> None:
    class Picky(Adder):
        """Its tasks run out."""

    vector = TextVectorEnv(Picky, 2)
    vector.reset(seed=0)
    old, tasks = vector.envs[0].task, vector.envs[0].tasks
    assert old is not None

    class Empty(type(tasks)):  # type: ignore[misc]
        def draw(self, *args: Any, **kwargs: Any) -> Task:
            raise RuntimeError("no more")

    vector.envs[0].unwrapped.draw_from(Empty(lambda rng: Task()))  # type: ignore[attr-defined]
    *_, infos = vector.step(["end", "end"])
    assert infos["error"].tolist() == ["RuntimeError: no more", None]
    assert infos["task_id"][0] is None  # of an episode that never began
    *_, infos = vector.step([CALL, CALL])
    assert infos["final_info"]["task_id"].tolist() == [None, None]
    assert infos["final_info"]["error"].tolist() == ["RuntimeError: no more", None]


def test_an_interrupt_goes_on_and_leaves_all_slots_usable() -> None:
    class Interrupted(Adder):
        """Interrupts as it is told."""

        def verify(self, episode: Episode) -> float:  # type: ignore[override]
            if episode.final_text == "^C":
                raise KeyboardInterrupt
            return 1.0

    vector = TextVectorEnv(Interrupted, 3)
    vector.reset(seed=0)
    with pytest.raises(KeyboardInterrupt):
        vector.step([CALL, "^C", CALL])
    assert vector.step([CALL] * 3)[3].tolist() == [False, True, False]
    with pytest.raises(KeyboardInterrupt):
        vector.send([CALL, "^C", CALL])
    assert vector.recv(3)[-1].tolist() == [0]
    vector.send([CALL] * 3, range(3))
    assert vector.recv(3)[3].tolist() == [False, True, False]


# --- spoiled environments -----------------------------------------------------------------------


class Hanging(Adder):
    """A tool that hangs in a thread until it is let go; counts its instances."""

    gate: ClassVar[threading.Event]
    made: ClassVar[list[ToolEnv]] = []
    freed: ClassVar[list[ToolEnv]] = []
    setups: ClassVar[list[tuple[ToolEnv, str, float]]] = []
    broken: ClassVar[bool] = False
    tool_timeout = 0.05

    def __init__(self, **kwargs: Any) -> None:
        if self.broken:
            raise OSError("no port is free")
        super().__init__(**kwargs)
        self.made.append(self)

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.setups.append((self, task.id, self.np_random.random()))

    @tool(blocking=True)
    def hang(self) -> None:
        """Hang."""
        self.gate.wait(30)
        self.lookups += 1

    async def aclose(self) -> None:
        self.freed.append(self)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    Hanging.gate, Hanging.broken = threading.Event(), False
    for kept in (Hanging.made, Hanging.freed, Hanging.setups):
        kept.clear()
    yield Hanging.gate
    Hanging.gate.set()


def task_ids(vector: TextVectorEnv, mode: str, words: list[list[Any]]) -> list[list[str]]:
    """The tasks of the episodes of each slot, while the policy says these words."""
    _, infos = vector.reset(seed=[7, 7, 8])
    met = [infos["task_id"].tolist()]
    for said in words:
        _, _, terminations, truncations, infos = vector.step(said)
        over = terminations | truncations
        if mode == "NextStep" and over.any():
            *_, infos = vector.step([CALL] * 3)
        if mode == "Disabled" and over.any():
            _, infos = vector.reset(options={"reset_mask": over})
        met.append(infos["task_id"].tolist())
    return met


@pytest.mark.parametrize("mode", MODES)
def test_a_spoiled_environment_is_never_reset_and_its_stream_goes_on(mode: str, gate: threading.Event) -> None:
    vector = TextVectorEnv(Hanging, 3, autoreset_mode=mode)
    words: list[list[Any]] = [[HANG, CALL, CALL], ["end"] * 3, ["end"] * 3, [CALL] * 3, ["end"] * 3]
    met = task_ids(vector, mode, words)
    first, *others = Hanging.made[:3]
    assert vector.envs[0] is Hanging.made[3]
    assert vector.envs[1:] == others
    assert Hanging.freed == [first]
    assert [env for env, *_ in Hanging.setups].count(first) == 1
    undisturbed = TextVectorEnv(Hanging, 3, autoreset_mode=mode)
    assert met == task_ids(undisturbed, mode, [["end" if w == "end" else CALL for w in said] for said in words])
    assert [ids[0] for ids in met] == [ids[1] for ids in met]  # the group stays one
    numbers = [number for env, _, number in Hanging.setups if env is vector.envs[0]]
    assert len(set(numbers)) == len(numbers) > 1
    gate.set()
    vector.close()
    assert sorted(map(id, Hanging.freed)) == sorted(map(id, [first, Hanging.made[3], *others]))
    undisturbed.close()


def test_a_seed_or_a_task_of_the_callers_goes_before_the_stream(gate: threading.Event) -> None:
    vector = TextVectorEnv(Hanging, 1)
    _, infos = vector.reset(seed=1)
    first = infos["task_id"][0]
    vector.step([HANG])
    _, infos = vector.reset(options={"task_id": "train-00c0ffee00c0ffee"})
    assert infos["task_id"][0] == "train-00c0ffee00c0ffee"
    assert len(Hanging.made) == 2
    vector.step([HANG])
    _, infos = vector.reset(seed=1)
    assert infos["task_id"][0] == first
    assert len(Hanging.made) == 3
    third = vector.step(["end"])[-1]["task_id"][0]
    gate.set()
    other = TextVectorEnv(Hanging, 1)
    other.reset(seed=1)
    assert other.step(["end"])[-1]["task_id"][0] == third
    vector.close()
    other.close()


def test_a_stream_that_nobody_seeded_goes_on_too(gate: threading.Event) -> None:
    vector = TextVectorEnv(Hanging, 1)
    vector.reset()
    seed = vector.envs[0].np_random_seed
    vector.step([HANG])
    second = vector.step(["end"])[-1]["task_id"][0]
    third = vector.step(["end"])[-1]["task_id"][0]
    gate.set()
    other = TextVectorEnv(Hanging, 1)
    other.reset(seed=seed)
    assert [other.step(["end"])[-1]["task_id"][0] for _ in range(2)] == [second, third]
    vector.close()
    other.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_constructor_that_fails_then_is_a_failure_of_the_slot_until_it_works(
    mode: str, gate: threading.Event
) -> None:
    vector = TextVectorEnv(Hanging, 2, autoreset_mode=mode)
    vector.reset(seed=0)
    vector.step([HANG, CALL])
    Hanging.broken = True

    def end() -> dict[str, Any]:
        _, _, terminations, truncations, infos = vector.step(["end", CALL])
        if mode == "NextStep":
            *_, infos = vector.step([CALL, CALL])
        if mode == "Disabled":
            _, infos = vector.reset(options={"reset_mask": terminations | truncations})
        return infos

    assert end()["error"].tolist() == ["OSError: no port is free", None]
    gate.set()  # the work has ended, and yet what was closed is not used again
    while vector.envs[0].spoiled:
        pass
    assert end()["error"].tolist() == ["OSError: no port is free", None]
    assert Hanging.freed == Hanging.made[:1]
    Hanging.broken = False
    infos = end()
    assert "error" not in infos or infos["error"][0] is None or mode == "SameStep"
    assert vector.step([CALL, CALL])[3].tolist() == [False, False]
    assert vector.envs[0] is Hanging.made[2]
    vector.close()
    assert len(Hanging.freed) == 3


def test_work_that_has_ended_by_the_next_reset_spoils_nothing(gate: threading.Event) -> None:
    vector = TextVectorEnv(Hanging, 1)
    vector.reset(seed=0)
    vector.step([HANG])
    gate.set()
    while vector.envs[0].spoiled:
        pass
    vector.step(["end"])
    assert vector.envs == Hanging.made
    vector.close()


def test_another_kind_of_environment_is_no_replacement(gate: threading.Event) -> None:
    makes = iter([Hanging, Hanging, Adder])

    def make() -> ToolEnv:
        return next(makes)()

    vector = TextVectorEnv(make, 2)
    vector.reset(seed=0)
    vector.step([HANG, CALL])
    *_, infos = vector.step(["end", CALL])
    assert "slot 0 is Adder, the first is Hanging" in infos["error"][0]
    assert "error" in vector.step([CALL, CALL])[-1]["final_info"]
    vector.close()


class Untidy(Adder):
    """Cannot be torn down."""

    def teardown(self) -> None:
        raise OSError("the box is gone")


def test_an_environment_that_was_not_torn_down_is_replaced() -> None:
    vector = TextVectorEnv(Untidy, 2)
    vector.reset(seed=0)
    before = vector.envs
    _, rewards, *_ = vector.step([CALL, "end"])
    assert not math.isnan(rewards[1])
    assert (vector.envs[0] is before[0], vector.envs[1] is before[1]) == (True, False)
    vector.close()
