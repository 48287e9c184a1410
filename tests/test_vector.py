"""TextVectorEnv: it means what Gymnasium's vectors mean, and no step is lost or taken twice."""

from __future__ import annotations

import asyncio
import functools
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError, ResetNeeded
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics
from hypothesis import given, settings
from hypothesis import strategies as st

import llmgym
from llmgym.env import Episode, ToolEnv
from llmgym.errors import RegistryError, TaskError
from llmgym.messages import Message, assistant, tool_call, user
from llmgym.tasks import Task
from llmgym.tools import tool
from llmgym.vector import TextVectorEnv
from tests.environments import Adder, Faulty, SuspendingAdder

MODES = ["NextStep", "SameStep", "Disabled"]
CALL = assistant("", tool_call("add", a=1))
N = 3


def same(a: Any, b: Any) -> bool:
    """Equal, types included, where NaN is equal to itself."""
    if isinstance(a, np.ndarray) and a.dtype == np.float64:
        return isinstance(b, np.ndarray) and b.dtype == a.dtype and np.array_equal(a, b, equal_nan=True)
    if isinstance(a, np.ndarray) and a.dtype == object:
        return isinstance(b, np.ndarray) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return bool(data_equivalence(a, b))


# --- Gymnasium ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["Adder", "SuspendingAdder", "BlockingAdder", "Chat"])
def test_it_means_what_gymnasiums_vector_means(name: str, mode: str) -> None:
    env_id = f"test/{name}-v0"
    ours = gymnasium.make_vec(env_id, num_envs=N, autoreset_mode=mode)
    theirs = SyncVectorEnv([functools.partial(gymnasium.make, env_id)] * N, autoreset_mode=mode)
    assert isinstance(ours, TextVectorEnv)
    assert ours.metadata == theirs.metadata
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    theirs.action_space.seed(5)
    options: dict[str, Any] = {"task_id": "test-00c0ffee00c0ffee"}
    assert same(ours.reset(seed=[1, 2, 3], options=options), theirs.reset(seed=[1, 2, 3], options=options))
    assert same(ours.reset(seed=7), theirs.reset(seed=7))
    ends = 0
    for _ in range(30):
        actions = theirs.action_space.sample()
        results = ours.step(actions), theirs.step(actions)
        assert same(*results)
        assert results[0][0] in ours.observation_space
        over = results[0][2] | results[0][3]
        ends += over.sum()
        if mode == "Disabled" and over.any():
            options = {"reset_mask": over}
            assert same(ours.reset(options=options), theirs.reset(options=options.copy()))
            assert list(options) == ["reset_mask"]
    assert ends > 3
    ours.close()


@pytest.mark.parametrize("env_id", [entry.id for entry in llmgym.list_envs()])
def test_every_registered_id_has_an_entry_point_of_its_own(env_id: str) -> None:
    vector = gymnasium.make_vec(env_id, num_envs=2, max_turns=2)
    assert isinstance(vector, TextVectorEnv)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert vector.get_attr("scope") == (env_id,) * 2
    assert vector.get_attr("max_turns") == (2, 2)
    assert vector.spec is not None
    again = gymnasium.make_vec(EnvSpec.from_json(vector.spec.to_json()))
    assert again.spec == vector.spec
    assert again.num_envs == 2
    assert same(vector.reset(seed=0), again.reset(seed=0))


def test_an_enum_is_a_mode_too_and_nonsense_is_refused() -> None:
    assert TextVectorEnv(Adder, autoreset_mode=AutoresetMode.DISABLED).metadata["autoreset_mode"].value == "Disabled"
    with pytest.raises(ValueError, match="Sometimes"):
        TextVectorEnv(Adder, autoreset_mode="Sometimes")
    with pytest.raises(ValueError, match="at least 1"):
        TextVectorEnv(Adder, 0)
    with pytest.raises(ValueError, match="max_turns"):
        gymnasium.make_vec("test/Adder-v0", max_episode_steps=3)
    with pytest.raises(RegistryError, match="unexpected keyword argument 'size'"):
        gymnasium.make_vec("test/Adder-v0", size=3)
    with pytest.raises(TypeError, match="a slot is a ToolEnv"):
        TextVectorEnv(functools.partial(gymnasium.make, "test/Adder-v0"))  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="no attribute 'test/None-v0'"):
        getattr(llmgym.vector, "test/None-v0")


def test_groups_by_repeated_seeds() -> None:
    vector = TextVectorEnv(Adder, 4)
    _, infos = vector.reset(seed=[1, 1, 2, 2])
    for _ in range(3):
        a, b, c, d = infos["task_id"]
        assert a == b != c == d
        *_, infos = vector.step(["end"] * 4)


def test_a_task_for_each_slot_and_options_are_left_alone() -> None:
    vector = TextVectorEnv(Adder, 3)
    ids = ["train-00c0ffee00c0ffee", None, "test-00c0ffee00c0ffee"]
    options = {"task_id": ids}
    _, infos = vector.reset(seed=4, options=options)
    assert options == {"task_id": ids}
    assert infos["task_id"].tolist()[::2] == ids[::2]
    task = Task(id="mine", prompt="1 + 1?", answer=2)
    _, infos = vector.reset(options={"task": [task, task, None]})
    assert infos["task_id"].tolist()[:2] == ["mine", "mine"]
    for broken, why in [({"task_id": ["x"]}, "1 values of 'task_id' for 3"), ({"reset_mask": [True]}, "3 booleans")]:
        with pytest.raises(ValueError, match=why):
            vector.reset(options=broken)
    with pytest.raises(ValueError, match="2 seeds for 3"):
        vector.reset(seed=[1, 2])
    with pytest.raises(TaskError, match="unknown task"):
        vector.reset(options={"task_id": ["x", None, None]})


def test_only_masked_slots_are_reset() -> None:
    vector = TextVectorEnv(Adder, 3, autoreset_mode="Disabled")
    vector.reset(seed=0)
    before, *_ = vector.step([CALL, CALL, "end"])
    with pytest.raises(ResetNeeded, match="slot 2"):
        vector.step([CALL] * 3)
    after, infos = vector.reset(options={"reset_mask": np.array([False, False, True])})
    assert after[:2] == before[:2]
    assert after[0][0] is not before[0][0]
    assert infos["_task_id"].tolist() == [False, False, True]
    assert [len(env.transcript) for env in vector.envs] == [4, 4, 2]


def test_a_slot_that_is_over_needs_no_action() -> None:
    vector = TextVectorEnv(Adder, 2, autoreset_mode="NextStep")
    vector.reset(seed=0)
    vector.step(["end", CALL])
    observations, rewards, terminations, _, _ = vector.step([None, CALL])
    assert [message["role"] for message in observations[0]] == ["system", "user"]
    assert (rewards.tolist(), terminations.tolist()) == ([0, 0], [False, False])
    with pytest.raises(ValueError, match="not an assistant message"):
        vector.step([None, CALL])


@pytest.mark.parametrize("actions", [[CALL, user("hi")], [CALL], "text", [CALL, {"role": "assistant", "content": 3}]])
def test_a_batch_with_an_action_that_is_none_changes_nothing(actions: Any) -> None:
    vector = TextVectorEnv(Adder, 2)
    with pytest.raises(ResetNeeded):
        vector.step([CALL, CALL])
    vector.reset(seed=0)
    for act in (vector.step, vector.send):
        with pytest.raises(ValueError, match=r"not an assistant message|one action for each of 2"):
            act(actions)
    assert [len(env.transcript) for env in vector.envs] == [2, 2]


def test_gymnasiums_vector_wrappers() -> None:
    vector = DictInfoToList(RecordEpisodeStatistics(TextVectorEnv(Adder, 2, autoreset_mode="Disabled")))
    vector.reset(seed=0)
    vector.step([CALL, CALL])
    *_, infos = vector.step(["end", CALL])
    assert infos[0]["episode"]["l"] == 2
    assert "episode" not in infos[1]
    vector.reset(options={"reset_mask": np.array([True, False])})
    *_, infos = vector.step([CALL, "end"])
    assert infos[1]["episode"]["l"] == 3  # its own vectors forget those that are not reset


# --- failures -----------------------------------------------------------------------------------


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
    assert infos["error"][1] == "Moody.verify: RuntimeError: the verifier broke".replace("Moody", cls.__name__)
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
    assert infos["error"].tolist() == [None, "Moody.setup: RuntimeError: no episode today"]
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


# --- send and recv ------------------------------------------------------------------------------


class Counting(Adder):
    """Answers with how often it was asked; nothing in it suspends."""

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.asked: list[str] = []

    def respond(self, message: Message) -> Any:
        self.asked.append(message["content"])
        return f"{message['content']} {len(self.asked)}"


class SlowCounting(Counting):
    """The same, after some turns of the event loop."""

    async def respond(self, message: Message) -> Any:
        for _ in range(int(message["content"]) % 4):
            await asyncio.sleep(0)
        return Counting.respond(self, message)


class Sleepy(Counting):
    """Takes as long as it is told."""

    async def respond(self, message: Message) -> Any:
        await asyncio.sleep(float(message["content"]))
        return Counting.respond(self, message)


@pytest.fixture
def sleepy() -> Iterator[TextVectorEnv]:
    vector = TextVectorEnv(Sleepy, 4, max_turns=100)
    vector.reset(seed=0)
    yield vector
    vector.close()


SENDS = st.tuples(st.just("send"), st.sets(st.integers(0, 3), min_size=1), st.integers(0, 9))
RECEIVES = st.tuples(
    st.just("recv"), st.tuples(st.integers(1, 4), st.integers(1, 4)), st.sampled_from([None, 0.0, 1e-4])
)


@settings(max_examples=80, deadline=None)
@given(script=st.lists(SENDS | RECEIVES, max_size=16), cls=st.sampled_from([Counting, SlowCounting]))
def test_no_interleaving_loses_or_doubles_a_step(script: list[Any], cls: type[Counting]) -> None:
    n = 4
    vector = TextVectorEnv(cls, n, max_turns=10_000)
    vector.reset(seed=0)
    idle, sent, answered = set(range(n)), Counter[int](), Counter[int]()
    said: dict[int, str] = {}

    def receive(least: int, most: int, timeout: float | None) -> None:
        observations, *_, infos, ids = vector.recv(least, most, timeout)
        assert len(observations) == len(infos) == len(ids) <= most
        if timeout is None:
            assert len(ids) >= min(least, n - len(idle))
        for i, observation in zip(ids.tolist(), observations, strict=True):
            answered[i] += 1
            assert observation == (user(f"{said[i]} {answered[i]}"),)
            assert i not in idle
            idle.add(i)

    for what, whom, how in script:
        if what == "recv" and len(idle) < n:
            receive(min(whom), max(whom), how)
        elif what == "recv":
            with pytest.raises(NoAsyncCallError):
                vector.recv()
        elif whom <= idle:
            said |= {i: str(how + i) for i in whom}
            vector.send([said[i] for i in whom], list(whom))
            sent.update(whom)
            idle -= whom
        else:
            with pytest.raises(AlreadyPendingCallError):
                vector.send(["0"] * len(whom), list(whom))
    while len(idle) < n:
        receive(1, n, None)
    assert sent == answered
    assert [len(env.asked) for env in vector.envs] == [sent[i] for i in range(n)]  # type: ignore[union-attr]
    vector.step(["1"] * n)
    vector.close()


def test_the_first_to_finish_come_first(sleepy: TextVectorEnv) -> None:
    sleepy.send(["0.2", "0", "0.1", "0"])
    assert sorted(sleepy.recv(2, 2)[-1].tolist()) == [1, 3]
    sleepy.send(["0", "0"])  # to those that were received
    assert sorted(sleepy.recv(3)[-1].tolist()) == [1, 2, 3]
    assert sleepy.recv()[-1].tolist() == [0]


def test_a_timeout_gives_what_is_there_and_leaves_the_rest_in_step(sleepy: TextVectorEnv) -> None:
    sleepy.send(["0.3", "0"], [2, 0])
    assert sleepy.recv(2, timeout=0.1)[-1].tolist() == [0]
    observations, rewards, *_, infos, ids = sleepy.recv(timeout=0.0)
    assert (observations, rewards.shape, infos, ids.shape) == ((), (0,), [], (0,))
    observations, *_, ids = sleepy.recv(4)
    assert (observations, ids.tolist()) == (((user("0.3 1"),),), [2])
    sleepy.send(["0"], ids)
    assert sleepy.recv()[0] == ((user("0 2"),),)


@pytest.mark.parametrize("cls", [Counting, SlowCounting])
def test_misuse_is_refused_and_changes_nothing(cls: type[ToolEnv]) -> None:
    vector = TextVectorEnv(cls, 2)
    with pytest.raises(ResetNeeded):
        vector.send(["1", "1"])
    vector.reset(seed=0)
    with pytest.raises(NoAsyncCallError):
        vector.recv()
    vector.send(["1"], [0])
    for misuse in (lambda: vector.step(["1", "1"]), vector.reset, lambda: vector.send(["1", "1"], [1, 0])):
        with pytest.raises(AlreadyPendingCallError):
            misuse()
    with pytest.raises(AlreadyPendingCallError, match="twice"):
        vector.send(["1", "1"], [1, 1])
    with pytest.raises(ValueError, match="no slot 2"):
        vector.send(["1"], [2])
    with pytest.raises(ValueError, match="min_batch"):
        vector.recv(3, 2)
    vector.reset(options={"reset_mask": np.array([False, True])})
    assert vector.recv(2)[-1].tolist() == [0]
    assert [len(env.asked) for env in vector.envs] == [1, 0]  # type: ignore[union-attr]
    vector.close()
    for misuse in (lambda: vector.step(["1", "1"]), vector.reset, lambda: vector.send([], []), vector.recv):
        with pytest.raises(ClosedEnvironmentError):
            misuse()


def test_episodes_end_and_begin_in_send_and_recv() -> None:
    vector = TextVectorEnv(SuspendingAdder, 2)
    vector.reset(seed=0)
    vector.send(["end", CALL])
    for _ in range(2):
        (observation,), _, (terminated,), _, (info,), (i,) = vector.recv(max_batch=1)
        assert terminated == (i == 0) == ("final_info" in info)
        assert observation[-1]["role"] == ("user" if terminated else "tool")
    vector.close()


def test_closing_cancels_what_is_pending_and_wakes_who_waits(sleepy: TextVectorEnv) -> None:
    sleepy.send(["30", "30"], [0, 1])
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            sleepy.recv()
        except ClosedEnvironmentError as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    started = time.monotonic()
    while not sleepy._tasks and time.monotonic() - started < 5:
        time.sleep(0.01)
    sleepy.close()
    thread.join(5)
    assert raised
    assert not sleepy._tasks
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("cls", [Counting, SlowCounting])
def test_threads_may_share_it(cls: type[ToolEnv]) -> None:
    """Inference beside the environments: a thread for each slot sends, another receives."""
    rounds, n = 50, 8
    vector = TextVectorEnv(cls, n, max_turns=1000)
    vector.reset(seed=0)
    turn = [threading.Semaphore() for _ in range(n)]
    done: Counter[int] = Counter()

    def talk(i: int) -> None:
        for k in range(rounds):
            assert turn[i].acquire(timeout=10)
            vector.send([str(k)], [i])

    threads = [threading.Thread(target=talk, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    while done.total() < n * rounds:
        try:
            ids = vector.recv(2, timeout=1.0)[-1].tolist()
        except NoAsyncCallError:
            continue
        done.update(ids)
        for i in ids:
            turn[i].release()
    for thread in threads:
        thread.join()
    assert done == dict.fromkeys(range(n), rounds)
    assert [len(env.asked) for env in vector.envs] == [rounds] * n  # type: ignore[union-attr]
    vector.close()


async def test_it_works_inside_a_running_loop() -> None:
    vector = TextVectorEnv(SuspendingAdder, 2)
    vector.reset(seed=0)
    assert vector.step([CALL, CALL])[0][0][0]["content"] == "1"
    vector.close()
