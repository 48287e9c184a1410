"""What is made is closed: whatever fails, and when."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import gymnasium
import pytest
from gymnasium.error import ClosedEnvironmentError

from llmgym.env import Episode, ToolEnv
from llmgym.errors import AuthorError, EnvironmentFailure, RegistryError, VectorError
from llmgym.messages import Message, assistant, tool_call
from llmgym.tasks import Task
from llmgym.vector import TextVectorEnv
from llmgym.wrappers.base import ToolWrapper
from tests.environments import Adder, Chat, SuspendingAdder, Workshop

CALL = assistant("", tool_call("add", a=1))


class Port(Adder):
    """Takes a port when it is made, of which there are few, and may fail to give it back."""

    free: ClassVar[int]
    open: ClassVar[list[int]] = []
    stuck: ClassVar[set[int]] = set()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if len(self.open) >= self.free:
            raise OSError("no port is free")
        self.port = len(self.open)
        self.open.append(self.port)

    def aclose(self) -> None:
        self.open.remove(self.port)
        if self.port in self.stuck:
            raise OSError(f"port {self.port} is stuck")


class SuspendingPort(Port):
    """The same in an event loop."""

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        Port.aclose.__wrapped__(self)  # type: ignore[attr-defined]


@pytest.fixture(params=[Port, SuspendingPort])
def port(request: pytest.FixtureRequest) -> type[Port]:
    Port.free, Port.stuck = 9, set()
    Port.open.clear()
    return request.param  # type: ignore[no-any-return]


def told(error: BaseException) -> str:
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


# --- making -------------------------------------------------------------------------------------


def test_a_constructor_that_fails_half_way_leaves_nothing_open(port: type[Port]) -> None:
    Port.free = 3
    with pytest.raises(OSError, match="no port is free") as caught:
        TextVectorEnv(port, 5)
    assert port.open == []
    assert not hasattr(caught.value, "__notes__")
    TextVectorEnv(port, 3).close()
    assert port.open == []


def test_all_errors_are_told_where_closing_fails_too(port: type[Port]) -> None:
    Port.free, Port.stuck = 3, {0, 2}
    with pytest.raises(OSError, match="no port is free") as caught:
        TextVectorEnv(port, 5)
    assert port.open == []
    assert "slot 0 did not close: OSError: port 0 is stuck" in told(caught.value)
    assert "slot 2 did not close: OSError: port 2 is stuck" in told(caught.value)


def test_a_registered_id_that_fails_half_way(port: type[Port]) -> None:
    gymnasium.register("test/Port-v0", entry_point=port, vector_entry_point="llmgym.vector:test/Port-v0")
    try:
        Port.free = 2
        with pytest.raises(RegistryError, match="no port is free"):
            gymnasium.make_vec("test/Port-v0", num_envs=3)
        assert port.open == []
    finally:
        gymnasium.registry.pop("test/Port-v0")


def test_an_interrupt_while_making_closes_too(port: type[Port]) -> None:
    def make() -> Port:
        if len(port.open) == 2:
            raise KeyboardInterrupt
        return port()

    with pytest.raises(KeyboardInterrupt):
        TextVectorEnv(make, 3)
    assert port.open == []


def alternate(*classes: Callable[[], Any]) -> Callable[[], Any]:
    makes = iter(classes)
    return lambda: next(makes)()  # noqa: PLW0108 -- another each time


def test_slots_of_different_environments_are_refused_by_name(port: type[Port]) -> None:
    for other in (Workshop, Chat):  # the tools of one are others, those of the other the same
        with pytest.raises(VectorError, match=rf"slot 1 is {other.__name__}, the first is {port.__name__}"):
            TextVectorEnv(alternate(port, other), 2)
    with pytest.raises(VectorError, match=f"slot 2 is {port.__name__}, the first is Adder"):
        TextVectorEnv(alternate(Adder, Adder, port), 3)
    ids = ("test/Adder-v0", "test/Chat-v0")
    with pytest.raises(VectorError, match="slot 1 is test/Chat-v0, the first is test/Adder-v0"):
        TextVectorEnv(alternate(*(lambda i=i: gymnasium.make(i, disable_env_checker=True).unwrapped for i in ids)), 2)
    assert port.open == []


class Kit(Port):
    """Has the tools that it is told."""

    def __init__(self, tools: tuple[str, ...]) -> None:
        super().__init__(tools=tools)


def test_slots_with_different_spaces_are_refused() -> None:
    Port.free, Port.stuck = 9, set()
    Port.open.clear()
    TextVectorEnv(alternate(lambda: Kit(("add",)), lambda: Kit(("add",))), 2).close()
    with pytest.raises(VectorError, match=r"action_space of slot 1 is AssistantSpace\(\[\]\).*first.*'add'.*Kit"):
        TextVectorEnv(alternate(lambda: Kit(("add",)), lambda: Kit(())), 2)
    assert Port.open == []

    class Other(Adder):
        """Observes something else."""

        def __init__(self, space: Any) -> None:
            super().__init__()
            self.observation_space = space

    with pytest.raises(VectorError, match=r"observation_space of slot 1 is Discrete\(3\).*Discrete\(2\)"):
        TextVectorEnv(alternate(*(lambda n=n: Other(gymnasium.spaces.Discrete(n)) for n in (2, 3))), 2)


def test_what_is_no_tool_env_is_refused_and_closed() -> None:
    closed: list[int] = []

    class Plain(gymnasium.Env[Any, Any]):
        def close(self) -> None:
            closed.append(1)
            if len(closed) == 2:
                raise OSError("stuck")

    with pytest.raises(AuthorError, match="a slot is a ToolEnv"):
        TextVectorEnv(Plain, 2)  # type: ignore[arg-type]
    with pytest.raises(AuthorError, match="a slot is a ToolEnv") as caught:
        TextVectorEnv(Plain, 2)  # type: ignore[arg-type]
    assert "OSError: stuck" in told(caught.value)
    assert len(closed) == 2
    with pytest.raises(AuthorError, match="Adder"):
        TextVectorEnv(lambda: gymnasium.make("test/Adder-v0"))  # type: ignore[arg-type, return-value]
    with pytest.raises(VectorError, match="None"):
        TextVectorEnv(None)  # type: ignore[arg-type]


# --- closing ------------------------------------------------------------------------------------


def test_one_that_does_not_close_leaves_none_open(port: type[Port]) -> None:
    Port.stuck = {0, 3}
    vector = TextVectorEnv(port, 5)
    vector.reset(seed=0)
    with pytest.raises(EnvironmentFailure) as caught:
        vector.close()
    assert port.open == []
    assert "slot 0: OSError: port 0 is stuck" in told(caught.value)
    assert "slot 3: OSError: port 3 is stuck" in told(caught.value)
    assert caught.value.stage == "teardown"
    assert vector.closed
    vector.close()  # is once


def test_wrappers_are_closed_through(port: type[Port]) -> None:
    class Layer(ToolWrapper):
        """Ends with what it wraps."""

        ended: ClassVar[list[Any]] = []

        async def aclose(self) -> None:
            self.ended.append(self)
            await super().aclose()

    vector = TextVectorEnv(lambda: Layer(port()), 2)
    vector.close()
    assert len(Layer.ended) == 2
    assert port.open == []


class Boxed(SuspendingAdder):
    """Holds a box in each episode, which takes a while to free."""

    boxes: ClassVar[set[Any]] = set()
    ended: ClassVar[list[Any]] = []
    begun: ClassVar[threading.Event] = threading.Event()

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.boxes.add(self)

    async def respond(self, message: Message) -> Any:
        self.begun.set()
        await asyncio.sleep(30)

    async def teardown(self) -> None:
        await asyncio.sleep(0.1)
        self.boxes.remove(self)

    async def aclose(self) -> None:
        assert self not in self.boxes
        self.ended.append(self)


@pytest.fixture
def boxed() -> TextVectorEnv:
    Boxed.boxes.clear()
    Boxed.ended.clear()
    Boxed.begun.clear()
    vector = TextVectorEnv(Boxed, 3)
    vector.reset(seed=0)
    return vector


def test_closing_waits_until_what_was_pending_is_torn_down(boxed: TextVectorEnv) -> None:
    boxed.send(["wait", "wait"], [0, 2])
    assert Boxed.begun.wait(10)
    boxed.close()
    assert Boxed.boxes == set()
    assert len(Boxed.ended) == 3
    assert not boxed._tasks


def test_a_step_of_another_thread_ends_when_the_vector_is_closed(boxed: TextVectorEnv) -> None:
    with ThreadPoolExecutor(1) as pool:
        step = pool.submit(boxed.step, ["wait"] * 3)
        assert Boxed.begun.wait(10)
        boxed.close()
        assert (Boxed.boxes, len(Boxed.ended)) == (set(), 3)
        with pytest.raises(ClosedEnvironmentError):
            step.result(10)


def interrupt() -> None:
    """Press Ctrl-C."""
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, signal.SIGINT)


class Interrupting(Boxed):
    """Interrupts the program, which waits for it."""

    sudden: ClassVar[bool] = False
    pressed: ClassVar[bool] = False

    async def setup(self, task: Task) -> None:  # type: ignore[override]
        super().setup(task)
        if self.sudden:
            if not self.pressed:  # a second time would interrupt the teardown
                Interrupting.pressed = True
                interrupt()
            await asyncio.sleep(30)

    async def respond(self, message: Message) -> Any:
        if message["content"] == "^C":
            interrupt()
        await asyncio.sleep(0.3 if message["content"] == "soon" else 30)
        return "well"


def test_an_interrupt_ends_what_it_interrupts_and_nothing_else() -> None:
    Boxed.boxes.clear()
    vector = TextVectorEnv(Interrupting, 3)
    vector.reset(seed=0)
    with pytest.raises(KeyboardInterrupt):
        vector.step(["wait", "^C", "wait"])
    assert Boxed.boxes == set()  # all is torn down by then
    assert vector.step([CALL] * 3)[3].tolist() == [True] * 3
    assert len(Boxed.boxes) == 3
    vector.send(["soon"], [1])
    Interrupting.sudden = True
    with pytest.raises(KeyboardInterrupt):
        vector.reset(options={"reset_mask": [True, False, True]})
    Interrupting.sudden = False
    assert len(Boxed.boxes) == 1
    observations, *_, ids = vector.recv()
    assert (observations[0][0]["content"], ids.tolist()) == ("well", [1])
    vector.close()
    assert Boxed.boxes == set()


def test_closing_waits_for_a_step_that_is_taken_at_once() -> None:
    inside, go_on = threading.Event(), threading.Event()

    class Slow(Adder):
        """Verifies in the caller's thread."""

        ended: ClassVar[list[int]] = []

        def verify(self, episode: Episode) -> float:  # type: ignore[override]
            inside.set()
            go_on.wait(10)
            assert not self.ended
            return 1.0

        def aclose(self) -> None:
            self.ended.append(1)

    vector = TextVectorEnv(Slow, 2)
    vector.reset(seed=0)
    with ThreadPoolExecutor(2) as pool:
        step = pool.submit(vector.step, ["end", "end"])
        assert inside.wait(10)
        closing = pool.submit(vector.close)
        while not vector.closed:
            time.sleep(0.01)
        go_on.set()
        closing.result(10)
        assert step.result(10)[1].tolist() == [1.0, 1.0]
    assert len(Slow.ended) == 2


def test_what_does_not_end_is_told_and_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgym.vector.factory._SLACK_S", 0.2)

    class Endless(SuspendingAdder):
        """Its wrapper never closes."""

        hook_timeout = 0.05

    class Never(ToolWrapper):
        async def aclose(self) -> None:
            await asyncio.sleep(3600)

    layers: list[Callable[[ToolEnv], Any]] = [Never, lambda env: env, Never]
    vector = TextVectorEnv(alternate(*(lambda layer=layer: layer(Endless()) for layer in layers)), 3)
    with pytest.raises(EnvironmentFailure, match=r"slot 0: TimeoutError: .*; slot 2: TimeoutError"):
        vector.close()


def test_closing_by_a_step_itself_does_not_wait_for_it() -> None:
    """As a handler of a signal would."""

    class Closing(Adder):
        """Closes the vector that it is in."""

        vector: ClassVar[TextVectorEnv]

        def verify(self, episode: Episode) -> float:  # type: ignore[override]
            self.vector.close()
            return 1.0

    Closing.vector = TextVectorEnv(Closing, 1, autoreset_mode="Disabled")
    Closing.vector.reset(seed=0)
    assert Closing.vector.step(["end"])[1].tolist() == [1.0]
    with pytest.raises(ClosedEnvironmentError):
        Closing.vector.step(["end"])
