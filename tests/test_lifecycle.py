"""What ends with an episode, what never reaches the next one, and whose fault an error is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import gymnasium
import pytest

from llmgym.env import Episode, ToolEnv
from llmgym.errors import AuthorError, ConfigError, EnvironmentFailure, TaskError, ToolError
from llmgym.messages import Message, assistant, tool_call, user
from llmgym.policies.scripted import ScriptedPolicy
from llmgym.rewards import Reward
from llmgym.rollout import Collector, EnvConfig, Instances
from llmgym.rollout.config import WrapperConfig
from llmgym.tasks import Task, TaskSet
from llmgym.tools import Tool, tool
from llmgym.trajectory import Trajectory


def numbered(rng: Any) -> Task:
    return Task(prompt=f"Say {int(rng.integers(10**9))}.")


def register(cls: type[ToolEnv]) -> str:
    name = f"test/{cls.__name__}-v0"
    gymnasium.registry.pop(name, None)
    gymnasium.register(name, entry_point=cls)
    return name


async def collect(cls: type[ToolEnv], script: Callable[..., Any], **settings: Any) -> list[Trajectory]:
    settings = {"num_tasks": 1, "max_attempts": 1} | settings
    collector = Collector([register(cls)], ScriptedPolicy(script), **settings)
    return [t async for group in collector.stream() for t in group.trajectories]


def calls_then(name: str, **arguments: Any) -> Callable[..., Any]:
    """Call a tool once, then answer."""

    def script(messages: list[Message], tools: Any) -> Any:
        return "done" if messages[-1]["role"] == "tool" else assistant("", tool_call(name, **arguments))

    return script


# --- whose fault --------------------------------------------------------------------------------


class Lookup(ToolEnv):
    """Fails in its tool as it is told."""

    tasks = TaskSet.generated(numbered)
    raising: BaseException

    @tool
    async def plainly(self) -> str:
        """Fail."""
        raise self.raising

    @tool(blocking=True)
    def in_a_thread(self) -> str:
        """Fail."""
        raise self.raising

    @tool(fails_on=LookupError, answers=(FileNotFoundError, IndexError))
    def declared(self) -> str:
        """Fail."""
        raise self.raising

    def verify(self, episode: Episode) -> float:
        return 0.0


class Client(Exception):
    """Looks like a class of httpx."""


Client.__module__, Client.__name__ = "httpx", "TransportError"

BROKEN = [
    (EnvironmentFailure("index is down"), "environment"),
    (EnvironmentFailure("no verdict", kind="verdict"), "verdict"),
    (ConnectionError("refused"), "infrastructure"),
    (FileNotFoundError("index"), "infrastructure"),
    (TimeoutError("of a socket"), "infrastructure"),
    (MemoryError(), "infrastructure"),
    (RuntimeError("can't start new thread"), "infrastructure"),
    (ExceptionGroup("tasks", [ValueError("x"), ConnectionError("refused")]), "infrastructure"),
    (Client("no route"), "infrastructure"),
]


@pytest.mark.parametrize("name", ["plainly", "in_a_thread"])
@pytest.mark.parametrize(("error", "kind"), BROKEN)
async def test_a_broken_tool_leaves_the_episode_unscored(error: Exception, kind: str, name: str) -> None:
    Lookup.raising = error
    (episode,) = await collect(Lookup, calls_then(name))
    assert (episode.status, episode.reward) == ("env_error", None)
    assert episode.failure is not None
    assert (episode.failure.kind, episode.failure.stage, episode.failure.outside) == (kind, "tool", "possible")
    assert "refused" in str(episode.error) if isinstance(error, ExceptionGroup) else str(error) in str(episode.error)


@pytest.mark.parametrize("name", ["plainly", "in_a_thread"])
@pytest.mark.parametrize(
    "error",
    [ToolError("no"), KeyError("x"), ValueError("x"), ZeroDivisionError(), NotImplementedError(), SystemExit(1)],
)
async def test_what_a_tools_logic_raises_is_answered_and_counted_by_type(error: BaseException, name: str) -> None:
    Lookup.raising = error
    (episode,) = await collect(Lookup, calls_then(name))
    assert (episode.status, episode.reward, episode.failure) == ("completed", 0.0, None)
    assert episode.tool_errors == {type(error).__name__: 1}
    assert episode.messages[-2]["content"].startswith("Error: ")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyError("x"), "env_error"), (IndexError("x"), "completed"), (LookupError("x"), "env_error"),
        (FileNotFoundError("x"), "completed"), (PermissionError("x"), "env_error"), (ValueError("x"), "completed"),
    ],
)  # fmt: skip
async def test_an_author_may_say_which_is_which(error: Exception, status: str) -> None:
    Lookup.raising = error
    (episode,) = await collect(Lookup, calls_then("declared"))
    assert episode.status == status


def test_options_of_tools_that_make_no_sense_are_refused() -> None:
    for options in ({"timeout": -1}, {"timeout": 0}, {"fails_on": "OSError"}, {"answers": (3,)},
                    {"fails_on": KeyError, "answers": KeyError}):  # fmt: skip
        with pytest.raises(AuthorError):
            tool(**options)  # type: ignore[call-overload]


async def test_one_broken_call_ends_the_calls_beside_it() -> None:
    class Pair(ToolEnv):
        """Two calls at once."""

        tasks = TaskSet.generated(numbered)
        ended: list[str] = []

        @tool
        async def slow(self) -> str:
            """Wait."""
            try:
                await asyncio.sleep(3600)
            finally:
                Pair.ended.append("slow")
            return ""

        @tool
        async def broken(self) -> str:
            """Fail."""
            raise ConnectionError("refused")

        def verify(self, episode: Episode) -> float:
            return 0.0

    (episode,) = await collect(Pair, lambda messages, tools: assistant("", tool_call("slow"), tool_call("broken")))
    assert episode.failure is not None
    assert (episode.failure.stage, episode.failure.error) == ("tool", "ConnectionError")
    assert Pair.ended == ["slow"]


@pytest.mark.parametrize("where", ["setup", "opening", "respond", "verify", "offered"])
async def test_whatever_a_hook_raises_is_a_failure_that_says_where(where: str) -> None:
    class Hooks(ToolEnv):
        """Fails in a hook."""

        tasks = TaskSet.generated(numbered)

        def offered(self, task: Task) -> Any:
            return self._fail("offered") or super().offered(task)

        def _fail(self, name: str) -> None:
            if name == where:
                raise KeyError("lost")

        def setup(self, task: Task) -> None:
            self._fail("setup")

        def opening(self, task: Task) -> list[Message]:
            self._fail("opening")
            return super().opening(task)

        def respond(self, message: Message) -> str | None:
            self._fail("respond")
            return None

        def verify(self, episode: Episode) -> float:
            self._fail("verify")
            return 1.0

    (episode,) = await collect(Hooks, lambda messages, tools: "hi")
    assert (episode.status, episode.reward) == ("env_error", None)
    assert episode.failure is not None
    assert (episode.failure.kind, episode.failure.stage) == ("environment", "setup" if where == "offered" else where)
    assert "KeyError: 'lost'" in str(episode.error)


@pytest.mark.parametrize(
    "opening", [None, "hi", [{"role": "user"}], [{"role": "bot", "content": "x"}], [3], [user("x"), None]]
)
async def test_an_opening_that_is_none_costs_its_episode_only(opening: Any) -> None:
    class Opens(ToolEnv):
        """Opens badly."""

        tasks = TaskSet.generated(numbered)

        def opening(self, task: Task) -> Any:
            return opening

        def verify(self, episode: Episode) -> float:
            return 1.0

    (episode,) = await collect(Opens, lambda messages, tools: "hi")
    assert episode.failure is not None
    assert (episode.failure.kind, episode.failure.stage) == ("invalid", "opening")


@pytest.mark.parametrize("result", ["1.0", Reward(a=float("inf"), b=float("-inf")), [1.0], {"a": 1}])
async def test_a_reward_that_is_none_is_a_failure(result: Any) -> None:
    class Judges(ToolEnv):
        """Judges badly."""

        tasks = TaskSet.generated(numbered)

        def verify(self, episode: Episode) -> Any:
            return result

    (episode,) = await collect(Judges, lambda messages, tools: "hi")
    assert episode.failure is not None
    assert (episode.failure.kind, episode.failure.stage, episode.reward) == ("invalid", "verify", None)


async def test_a_constructor_that_fails_costs_its_episode() -> None:
    class Made(ToolEnv):
        """Can be made three times."""

        tasks = TaskSet.generated(numbered)
        made = 0

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            Made.made += 1
            if Made.made > 3:
                raise OSError(28, "No space left on device")

        async def respond(self, message: Message) -> None:
            await asyncio.sleep(0.02)

        def verify(self, episode: Episode) -> float:
            return 1.0

    found = await collect(Made, lambda messages, tools: "hi", num_tasks=12, num_samples_in_parallel=6)
    assert Counter(t.status for t in found).keys() == {"completed", "env_error"}
    assert {t.failure.stage for t in found if t.failure} == {"construct"}
    assert {t.failure.outside for t in found if t.failure} == {"none"}
    assert {t.reward for t in found if t.failure is None} == {1.0}


# --- lifetimes ----------------------------------------------------------------------------------


class Boxes(ToolEnv):
    """Opens a box for each episode."""

    tasks = TaskSet.generated(numbered)
    opened: Counter[str] = Counter()
    hook_timeout = 0.2
    how = ""

    async def setup(self, task: Task) -> None:
        Boxes.opened["now"] += 1
        Boxes.opened["ever"] += 1
        if self.how == "setup":
            raise KeyError("half-way")

    async def teardown(self) -> None:
        await asyncio.sleep(0)
        Boxes.opened["now"] -= 1
        if self.how == "teardown":
            raise KeyError("stuck")

    @tool
    async def wait(self, seconds: float) -> str:
        """Wait."""
        await asyncio.sleep(seconds)
        return ""

    async def verify(self, episode: Episode) -> float:
        if self.how == "verify":
            await asyncio.sleep(3600)
        return 1.0

    async def aclose(self) -> None:
        Boxes.opened["closed"] += 1


@pytest.fixture(autouse=True)
def empty() -> None:
    Boxes.opened = Counter()
    Boxes.how = ""


@pytest.mark.parametrize("how", ["", "setup", "verify", "teardown", "policy", "cut"])
async def test_two_hundred_episodes_leave_no_box_open(how: str) -> None:
    Boxes.how = how

    def script(messages: list[Message], tools: Any) -> Any:
        if how == "policy":
            raise ValueError("no idea")
        return "done"

    many, policy = 20 if how == "verify" else 200, ScriptedPolicy(script)
    settings: dict[str, Any] = {"num_tasks": many, "max_attempts": 1, "num_samples_in_parallel": many}
    if how == "cut":
        policy, settings["episode_timeout"] = ScriptedPolicy(calls_then("wait", seconds=3600)), 0.01
    collector = Collector([register(Boxes)], policy, **settings)
    try:
        await collector.collect()
    except Exception as error:  # noqa: BLE001 -- too many failures in a row
        assert "in a row" in str(error)  # noqa: PT017
    assert Boxes.opened["ever"] > 0
    assert Boxes.opened["now"] == 0
    assert Boxes.opened["closed"] > 0


class Untidy(ToolEnv):
    """Ends badly, as it is told."""

    tasks = TaskSet.generated(numbered)
    where, ending = "", lambda: None

    def end(self, where: str) -> None:
        if where == self.where:
            type(self).ending()

    async def setup(self, task: Task) -> None:
        self.pulse = asyncio.create_task(asyncio.sleep(3600))

    def verify(self, episode: Episode) -> float:
        return 1.0

    async def teardown(self) -> None:
        self.pulse.cancel()
        if self.where == "pulse":
            await self.pulse
        await asyncio.gather(self.pulse, return_exceptions=True)
        self.end("teardown")

    def aclose(self) -> None:
        self.end("aclose")


class UntidyAtOnce(Untidy):
    """The same with a plain teardown."""

    async def setup(self, task: Task) -> None:
        """Nothing."""

    def teardown(self) -> None:  # type: ignore[override]
        self.end("teardown")


def is_gone() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("cls", [Untidy, UntidyAtOnce])
@pytest.mark.parametrize("where", ["pulse", "teardown", "aclose"])
@pytest.mark.parametrize("ending", [sys.exit, is_gone])
async def test_no_end_of_an_environment_costs_an_episode(
    cls: type[Untidy], where: str, ending: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cls, "where", where)
    monkeypatch.setattr(cls, "ending", ending)
    episodes = await collect(cls, lambda messages, tools: "done", num_tasks=3, num_samples_in_parallel=1)
    assert [(episode.status, episode.reward) for episode in episodes] == [("completed", 1.0)] * 3


class Repeats(ToolEnv):
    """Says one message of its own again and again."""

    tasks = TaskSet.generated(numbered)

    def setup(self, task: Task) -> None:
        self.said: Any = {"role": "user", "content": "again", "times": [0]}

    def respond(self, message: Message) -> Any:
        self.said["times"][0] += 1
        return self.said

    def verify(self, episode: Episode) -> float:
        return 1.0


async def test_what_an_environment_does_to_a_message_that_it_gave_changes_no_transcript() -> None:
    env = Repeats(max_turns=3)
    await env.areset(seed=0)
    seen = [(await env.astep("more"))[0][0] for _ in range(3)]
    assert [message["times"] for message in seen] == [[1], [2], [3]]  # type: ignore[typeddict-item]
    seen[0]["times"].append("mine")  # type: ignore[typeddict-item]
    assert env.transcript[2::2] == [seen[0] | {"times": [1]}, *seen[1:]]


async def test_a_cancellation_of_the_policys_own_is_a_failure_of_it() -> None:
    async def script(messages: list[Message], tools: Any) -> str:
        lost = asyncio.create_task(asyncio.sleep(3600))
        lost.cancel()
        await lost
        return "done"

    episodes = await collect(Untidy, script, num_tasks=3, num_samples_in_parallel=1)
    assert [(episode.status, episode.reward) for episode in episodes] == [("policy_error", None)] * 3


async def test_an_episode_ends_in_time_though_its_policy_swallowed_a_deadline() -> None:
    async def script(messages: list[Message], tools: Any) -> Any:
        if messages[-1]["role"] != "tool":
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return assistant("", tool_call("wait", seconds=3600))
        return "done"

    (episode,) = await collect(Boxes, script, generation_timeout=0.01, episode_timeout=0.1)
    assert (episode.status, episode.reward) == ("timeout", None)


@pytest.mark.parametrize("settings", [{"roles": ["judge"]}, {"wrappers": [{"name": "FilterTasks"}]}])
def test_an_instance_that_a_run_cannot_use_is_closed(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Boxes, "roles", settings.get("roles", ()))
    wrappers = [WrapperConfig("FilterTasks", {"metadata": 3})] if "wrappers" in settings else []
    with pytest.raises(ConfigError, match=r"role 'judge'|FilterTasks"):
        Instances(EnvConfig(register(Boxes), wrappers=wrappers))
    assert Boxes.opened["closed"] == 1


async def test_a_run_that_is_cancelled_closes_what_is_open() -> None:
    collector = Collector(
        [register(Boxes)], ScriptedPolicy(calls_then("wait", seconds=3600)), num_tasks=50, num_samples_in_parallel=50
    )
    task = asyncio.create_task(collector.collect())
    while Boxes.opened["now"] < 50:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert Boxes.opened["now"] == 0
    assert Boxes.opened["closed"] == 50


def test_gymnasiums_surface_ends_episodes_too() -> None:
    env = gymnasium.make(register(Boxes))
    env.reset(seed=0)
    assert Boxes.opened["now"] == 1
    env.reset()
    assert Boxes.opened["now"] == 1
    env.step("done")
    assert Boxes.opened["now"] == 0
    env.reset()
    env.close()
    env.close()
    assert Boxes.opened == Counter(now=0, ever=3, closed=1)


def test_what_is_open_when_the_interpreter_ends_is_closed() -> None:
    code = (
        "from tests.test_lifecycle import Boxes\n"
        "class Loud(Boxes):\n"
        "    async def teardown(self): print('torn down')\n"
        "    def aclose(self): print('closed')\n"
        "made = Loud()\n"
        "env = Loud(); env.reset(seed=0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert sorted(done.stdout.split("\n")) == ["", "closed", "closed", "torn down"]


async def test_what_a_base_class_opened_is_freed_too() -> None:
    class Chest(Boxes):
        async def aclose(self) -> None:
            Boxes.opened["chest"] += 1
            await super().aclose()

    env = Chest()
    await env.areset(seed=0)
    await env.aclose()
    await env.aclose()
    assert (Boxes.opened["chest"], Boxes.opened["closed"], Boxes.opened["now"]) == (1, 1, 0)


class Shop(ToolEnv):
    """Sells, in a thread that may be late."""

    tasks = TaskSet.generated(numbered)
    tool_timeout = 0.1
    release = threading.Event()

    def setup(self, task: Task) -> None:
        self.till = 0.0

    @tool(blocking=True)
    def sell(self, amount: float) -> str:
        """Sell."""
        Shop.release.wait(10)
        self.till += amount
        self.reward(amount)
        return "sold"

    @tool
    async def wait(self) -> str:
        """Wait for the late seller."""
        Shop.release.set()
        await asyncio.sleep(0.3)
        return "ok"

    def verify(self, episode: Episode) -> float:
        return self.till


async def test_late_work_never_reaches_another_episode() -> None:
    Shop.release.clear()
    names = iter(["sell", "wait"])

    def script(messages: list[Message], tools: Any) -> Any:
        if messages[-1]["role"] == "tool":
            return "done"
        name = next(names)
        return assistant("", tool_call("sell", amount=100) if name == "sell" else tool_call("wait"))

    found = await collect(Shop, script, num_tasks=2, num_samples_in_parallel=1)
    assert [t.reward for t in found] == [0.0, 0.0]
    assert found[0].tool_errors == {"PastDeadline": 1}


def test_late_work_earns_nothing_in_its_own_episode() -> None:
    Shop.release.clear()
    env = Shop()
    env.reset(seed=0)
    answers, *_ = env.step(assistant("", tool_call("sell", amount=100)))
    assert answers[0]["content"] == "Error: sell did not finish in time"
    assert env.spoiled
    with pytest.raises(EnvironmentFailure, match="still runs on this Shop"):
        env.reset()
    Shop.release.set()
    while env.spoiled:
        time.sleep(0.01)
    _, info = env.reset()
    assert env.step("done")[1] == 0.0
    assert info["task_id"]


@pytest.mark.slow
async def test_the_deadline_of_an_episode_holds_whatever_a_tool_swallows() -> None:
    class Stubborn(ToolEnv):
        """Swallows its cancellation."""

        tasks = TaskSet.generated(numbered)
        tool_timeout = 0.05

        @tool
        async def refuse(self) -> str:
            """Refuse to end."""
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    continue

        def verify(self, episode: Episode) -> float:
            return 1.0

    began = time.perf_counter()
    (episode,) = await collect(Stubborn, calls_then("refuse"))
    assert (episode.status, episode.reward, episode.tool_errors) == ("completed", 1.0, {"PastDeadline": 1})
    (episode,) = await collect(Stubborn, calls_then("refuse"), episode_timeout=0.01)
    assert (episode.status, episode.reward) == ("timeout", None)
    assert time.perf_counter() - began < 20


async def test_plain_code_that_holds_the_loop_is_named_with_its_time(caplog: pytest.LogCaptureFixture) -> None:
    class Holding(ToolEnv):
        """Blocks."""

        tasks = TaskSet.generated(numbered)

        @tool
        def block(self) -> str:
            """Block."""
            time.sleep(0.15)
            return ""

        def verify(self, episode: Episode) -> float:
            return 1.0

    (episode,) = await collect(Holding, calls_then("block"))
    assert episode.timings["held_s"] >= 0.15
    assert "Holding.block is plain and held the event loop" in caplog.text


# --- the author's names --------------------------------------------------------------------------


class Names(ToolEnv):
    """Has names of its own."""

    tasks = TaskSet.generated(numbered)
    max_turns = 3

    def setup(self, task: Task) -> None:
        self._turn = 0
        self._seed = 5
        self._finished = True
        self._open = False
        self._running = {}
        self.board = [1, 2]

    @tool
    def look(self) -> str:
        """Look."""
        self._turn = 0
        return "nothing"

    def verify(self, episode: Episode) -> float:
        return float(episode.truncated)


def test_private_names_are_the_authors() -> None:
    env = Names()
    assert env.reset(seed=5)[0] != env.reset(seed=6)[0]
    env.reset(seed=5)
    *_, truncated, _ = [env.step(assistant("", tool_call("look"))) for _ in range(3)][-1]
    assert truncated


@pytest.mark.parametrize("name", ["task", "tasks", "count", "reward", "transcript", "finish", "reset", "models"])
def test_public_names_that_are_taken_are_refused_when_they_are_set(name: str) -> None:
    class Sets(Names):
        def setup(self, task: Task) -> None:
            setattr(self, name, [])

    with pytest.raises(EnvironmentFailure, match=rf"self\.{name} is .*(call yours|`setup`|write|self\.todo|roles)"):
        Sets().reset()


def test_mistakes_of_authors_are_one_line() -> None:
    class Bare(ToolEnv):
        """Has no tasks."""

    with pytest.raises(AuthorError, match="Bare has no tasks"):
        Bare()

    class Forgot(Names):
        def __init__(self) -> None:
            self.x = 1

    with pytest.raises(AuthorError, match="does not call super"):
        Forgot().reset()
    with pytest.raises(AuthorError, match="verify_in must be"):
        type("Typo", (Names,), {"verify_in": "processes"})
    with pytest.raises(AuthorError, match="max_turns"):
        type("Typo", (Names,), {"max_turns": 0})
    for wrong in ({"max_turns": 0}, {"max_turns": "many"}, {"tool_timeout": -1}, {"hook_timeout": "abc"},
                  {"render_mode": "bogus"}, {"tasks": 3}):  # fmt: skip
        with pytest.raises(ConfigError):
            Names(**wrong)

    class Static(Names):
        @staticmethod
        def inner(x: int) -> int:
            """Do it."""
            return x

    for mark in (lambda f: tool(staticmethod(f)), lambda f: staticmethod(tool(f)), lambda f: classmethod(tool(f))):
        with pytest.raises(AuthorError, match="make it a plain method"):
            type("Static", (Names,), {"inner": mark(Static.__dict__["inner"].__func__)})


# --- tools and options of a task ------------------------------------------------------------------


class Shelf(ToolEnv):
    """Offers what its task says."""

    tasks = TaskSet.generated(numbered)

    def setup(self, task: Task, level: int = 1) -> None:
        self.level = level

    async def offered(self, task: Task) -> Any:
        schema: Any = {
            "type": "function",
            "function": {
                "name": "fetch",
                "description": "Fetch.",
                "parameters": {
                    "type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"],
                    "additionalProperties": False,
                },
            },
        }  # fmt: skip
        return ["look", Tool.of_schema(schema, fetch)] if self.level > 1 else ["look"]

    @tool
    def look(self) -> str:
        """Look."""
        return f"level {self.level}"

    def verify(self, episode: Episode) -> float:
        return 1.0


async def fetch(env: Shelf, what: str) -> str:
    await asyncio.sleep(0)
    return f"{what} of level {env.level}"


def test_tools_and_options_may_differ_by_episode() -> None:
    env = Shelf()
    _, info = env.reset(seed=0)
    assert [tool["function"]["name"] for tool in info["tools"]] == ["look"]
    answers, *_ = env.step(assistant("", tool_call("fetch", what="tea")))
    assert "there is no tool 'fetch'" in answers[0]["content"]
    _, info = env.reset(options={"level": 3})
    assert [tool["function"]["name"] for tool in info["tools"]] == ["look", "fetch"]
    answers, *_ = env.step(assistant("", tool_call("fetch", what="tea"), tool_call("fetch"), tool_call("fetch", x=1)))
    assert answers[0]["content"] == "tea of level 3"
    assert "'what' is missing" in answers[1]["content"]
    with pytest.raises(TaskError, match="unknown reset option 'lvl'; there is 'task_id', 'task', 'level'"):
        env.reset(options={"lvl": 3})
    with pytest.raises(TaskError, match="'task_id' takes text"):
        env.reset(options={"task_id": 5})


def test_async_tools_are_offered_by_an_async_hook() -> None:
    class Plain(Shelf):
        """Offers an async tool, and has nothing else that needs an event loop."""

        def offered(self, task: Task) -> Any:
            return asyncio.run(super().offered(task))

    env = Plain()
    env.reset(seed=0)
    with pytest.raises(EnvironmentFailure, match=r"the offered tool 'fetch' is async, .*: write `async def offered`"):
        env.reset(options={"level": 3})


# --- models in roles --------------------------------------------------------------------------------


class Essay(ToolEnv):
    """Is judged by a model."""

    tasks = TaskSet.generated(numbered)
    roles = ("judge",)

    async def verify(self, episode: Episode) -> float:
        verdict = await self.models["judge"].chat([user(f"Rate this: {episode.final_text}")])
        try:
            return float(verdict["content"])
        except ValueError:
            raise EnvironmentFailure(f"no verdict: {verdict['content']!r}", kind="verdict") from None


async def judged(judge: Any) -> Trajectory:
    policy = ScriptedPolicy(lambda messages, tools: "fine")
    collector = Collector([register(Essay)], policy, models={"judge": judge}, num_tasks=1, max_attempts=1)
    (episode,) = [t async for group in collector.stream() for t in group.trajectories]
    return episode


async def test_a_judge_is_asked_and_recorded_apart() -> None:
    episode = await judged(ScriptedPolicy(lambda messages, tools: "0.5"))
    assert episode.reward == 0.5
    (call,) = episode.model_calls
    assert (call.role, call.reply["content"], call.messages) == ("judge", "0.5", [user("Rate this: fine")])
    assert len(episode.messages) == 2


async def test_a_judge_that_is_away_or_unreadable_leaves_it_unscored() -> None:
    def away(messages: Any, tools: Any) -> str:
        raise ConnectionError("refused")

    for judge, kind in ((away, "model_role"), (lambda m, t: "good", "verdict")):
        episode = await judged(ScriptedPolicy(judge))
        assert episode.failure is not None
        assert (episode.reward, episode.failure.kind, episode.failure.stage) == (None, kind, "verify")


async def test_the_policy_may_judge_itself_and_a_role_must_be_filled() -> None:
    policy = ScriptedPolicy(lambda messages, tools: "1" if "Rate" in messages[-1]["content"] else "fine")
    collector = Collector([register(Essay)], policy, models={"judge": "policy"}, num_tasks=1)
    assert (await collector.collect())["reward"]["mean"] == 1.0
    with pytest.raises(ConfigError, match="needs a model for the role 'judge'"):
        await Collector([register(Essay)], policy, num_tasks=1).collect()
    env = gymnasium.make(register(Essay), models={"judge": policy})
    env.reset(seed=0)
    assert env.step("fine")[1] == 1.0
    with pytest.raises(ConfigError, match="has no role 'judge'"):
        gymnasium.make(register(Names), models={"judge": policy})


# --- policies and the transcript ------------------------------------------------------------------


async def test_a_policy_cannot_touch_the_transcript() -> None:
    def vandal(messages: list[Message], tools: Any) -> str:
        messages[0]["content"] = "What is 1 + 1?"
        messages.append(user("Think."))
        messages.clear()
        return "hi"

    (episode,) = await collect(Names, vandal)
    assert [message["role"] for message in episode.messages] == ["user", "assistant"]
    assert episode.messages[0]["content"].startswith("Say ")
