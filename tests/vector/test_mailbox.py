"""`send` and `recv`: no step is lost, taken twice or answered by the wrong thread."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError, ResetNeeded
from hypothesis import given
from hypothesis import strategies as st

from llmgym.env import ToolEnv
from llmgym.errors import LLMGymError, VectorError
from llmgym.messages import Message, assistant, tool_call, user
from llmgym.tasks import Task
from llmgym.vector import TextVectorEnv
from tests.environments import Adder, SuspendingAdder

CALL = assistant("", tool_call("add", a=1))


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


# --- who answers --------------------------------------------------------------------------------


class Threads:
    """Threads that each run what they are given, one call at a time."""

    def __init__(self) -> None:
        self._pools: dict[str, ThreadPoolExecutor] = {}

    def __call__(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
        return self._pools.setdefault(name, ThreadPoolExecutor(1)).submit(function, *args).result(10)

    def close(self) -> None:
        for pool in self._pools.values():
            pool.shutdown()


@pytest.fixture
def on() -> Iterator[Threads]:
    threads = Threads()
    yield threads
    threads.close()


def asked(vector: TextVectorEnv) -> list[list[str]]:
    return [env.asked for env in vector.envs]  # type: ignore[union-attr]


@pytest.mark.parametrize("cls", [Counting, SlowCounting])
def test_without_ids_a_thread_answers_what_it_was_shown(cls: type[Counting], on: Threads) -> None:
    vector = TextVectorEnv(cls, 4)
    on("a", lambda: vector.reset(seed=0))
    on("a", vector.send, ["0", "4", "8", "4"])
    first = on("a", vector.recv, 2, 2)[-1].tolist()
    second = on("b", vector.recv, 2, 2)[-1].tolist()
    assert sorted(first + second) == [0, 1, 2, 3]
    on("a", vector.send, ["12", "16"])
    on("b", vector.send, ["20", "24"])
    on("c", vector.recv, 4)
    said = dict(zip(first + second, ["12", "16", "20", "24"], strict=True))
    assert [texts[-1] for texts in asked(vector)] == [said[i] for i in range(4)]
    vector.close()


@pytest.mark.parametrize("cls", [Counting, SlowCounting])
def test_nobody_answers_for_another_thread(cls: type[Counting], on: Threads) -> None:
    vector = TextVectorEnv(cls, 3)
    with pytest.raises(ResetNeeded):
        on("a", vector.send, ["0"])
    on("a", lambda: vector.reset(seed=0))
    with pytest.raises(VectorError, match="this thread has received nothing"):
        on("b", vector.send, ["0", "0", "0"])
    # It was shown all, and one of these has been asked something since: by an id, a step or a reset.
    on("b", vector.send, ["0"], [1])
    with pytest.raises(AlreadyPendingCallError, match="slot 1"):
        on("a", vector.send, ["0", "0", "0"])
    on("b", vector.recv)
    with pytest.raises(VectorError, match="slot 1 has gone on since"):
        on("a", vector.send, ["0", "0", "0"])
    on("b", vector.step, ["0", "0", "0"])
    with pytest.raises(VectorError, match="slot 0 has gone on since"):
        on("a", vector.send, ["0", "0", "0"])
    on("c", lambda: vector.reset(options={"reset_mask": np.array([False, False, True])}))
    with pytest.raises(VectorError, match="slot 2 has gone on since"):
        on("b", vector.send, ["0", "0", "0"])
    assert [len(texts) for texts in asked(vector)] == [1, 2, 0]
    on("c", vector.send, ["4"])
    on("a", vector.send, ["8"], [0])
    assert sorted(on("b", vector.recv, 2)[-1].tolist()) == [0, 2]
    with pytest.raises(VectorError, match="received nothing"):
        on("c", vector.send, ["4"])  # it has answered
    on("b", vector.send, ["12", "12"])
    on("b", vector.recv, 2)
    vector.close()


def test_what_is_refused_leaves_a_thread_its_turn(on: Threads) -> None:
    vector = TextVectorEnv(Counting, 2)
    on("a", lambda: vector.reset(seed=0))
    for wrong in (["0"], "00", None, [None, "0"], [3, 4], {"a": 1, "b": 2}, iter(["0", "0"])):
        with pytest.raises(LLMGymError):
            on("a", vector.send, wrong)
    with pytest.raises(VectorError):
        on("b", vector.step, ["0"])
    with pytest.raises(LLMGymError):
        on("b", lambda: vector.reset(options={"task_id": "x"}))
    assert asked(vector) == [[], []]
    on("a", vector.send, ["0", "0"])
    on("a", vector.recv, 2)
    on("b", lambda: None)


def test_a_batch_that_is_empty_is_answered_by_none(sleepy: TextVectorEnv) -> None:
    sleepy.send(["0.3"], [1])
    assert sleepy.recv(timeout=0)[-1].tolist() == []
    sleepy.send([])
    with pytest.raises(VectorError, match="received nothing"):
        sleepy.send([])
    assert sleepy.recv()[-1].tolist() == [1]


@pytest.mark.parametrize("cls", [Counting, SlowCounting])
def test_threads_that_receive_and_answer_never_mix(cls: type[Counting]) -> None:
    """Each says which slot it means; more receive than there are batches, so that they race for them."""
    n, rounds = 6, 40
    vector = TextVectorEnv(cls, n, max_turns=10_000)
    vector.reset(seed=0)
    vector.send([str(1000 * i) for i in range(n)], range(n))
    turns = Counter[int]()
    errors: list[BaseException] = []
    left = threading.Semaphore(n * rounds)

    def work(least: int) -> None:
        try:
            while left.acquire(blocking=False):
                try:
                    observations, *_, ids = vector.recv(least, 2, 0.05)
                except NoAsyncCallError:
                    continue
                for i, observation in zip(ids.tolist(), observations, strict=True):
                    assert int(observation[0]["content"].split()[0]) // 1000 == i
                    turns[i] += 1
                vector.send([str(1000 * i + turns[i] % 4) for i in ids.tolist()])
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work, args=(1 + k % 2,)) for k in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    vector.recv(n)
    for i, texts in enumerate(asked(vector)):
        assert {int(text) // 1000 for text in texts} == {i}
        assert len(texts) == turns[i] + 1
    vector.close()


@pytest.mark.parametrize("cls", [Counting, SlowCounting])
def test_threads_that_step_at_once_take_turns_or_are_refused(cls: type[Counting]) -> None:
    vector = TextVectorEnv(cls, 3, max_turns=10_000)
    vector.reset(seed=0)
    done, errors = Counter[str](), list[BaseException]()

    def work(name: str) -> None:
        for _ in range(60):
            try:
                vector.step([name] * 3)
                done[name] += 1
            except AlreadyPendingCallError:
                time.sleep(0)
            except BaseException as error:  # noqa: BLE001
                errors.append(error)

    threads = [threading.Thread(target=work, args=(str(k),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert done.total() > 0
    assert [Counter(texts) for texts in asked(vector)] == [done] * 3
    vector.close()


def test_a_receiver_that_others_leave_nothing_is_told(sleepy: TextVectorEnv) -> None:
    """Fewer that are pending are enough for who waits, and none are a misuse."""
    sleepy.send(["0.1", "0.4"], [0, 1])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sleepy.recv, 2)
        while not sleepy._mail._arrived:
            time.sleep(0.01)
        assert sleepy.recv(1)[-1].tolist() == [0]
        assert waiting.result(10)[-1].tolist() == [1]
        sleepy.send(["0.2"], [0])
        waiting = pool.submit(sleepy.recv, 1)
        taken = 0
        for receive in (lambda: sleepy.recv(1), lambda: waiting.result(10)):
            try:
                taken += len(receive()[-1])
            except NoAsyncCallError:
                taken += 10
        assert taken == 11


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"min_batch": 0}, "min_batch must be a whole number, at least 1; it is 0"), ({"min_batch": 1.5}, "1.5"),
        ({"min_batch": True}, "True"), ({"min_batch": "2"}, "'2'"), ({"max_batch": 0}, "max_batch must .* 0"),
        ({"max_batch": 2.0}, "2.0"), ({"min_batch": 3, "max_batch": 2}, "3, 2"), ({"timeout": -1}, "-1"),
        ({"timeout": math.nan}, "nan"), ({"timeout": "1"}, "'1'"), ({"timeout": True}, "True"),
    ],
)  # fmt: skip
def test_numbers_of_recv_that_make_no_sense(arguments: dict[str, Any], said: str) -> None:
    vector = TextVectorEnv(Counting, 2)
    vector.reset(seed=0)
    vector.send(["0", "0"])
    with pytest.raises(VectorError, match=said):
        vector.recv(**arguments)
    assert len(vector.recv(np.int64(2), np.int64(2), math.inf)[-1]) == 2


@pytest.mark.parametrize(
    "ids", [[2], [-1], [0.0], ["0"], [True, False], np.array([True, False]), np.array([0.5]), 0, "0"]
)
def test_ids_that_are_no_slots(ids: Any) -> None:
    vector = TextVectorEnv(Counting, 2)
    vector.reset(seed=0)
    with pytest.raises(VectorError, match="slot"):
        vector.send(["0"] * 2, ids)
    vector.send(["0", "0"], np.array([1, 0]))
    assert vector.recv(2)[-1].tolist() == [1, 0]
