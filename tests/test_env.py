"""ToolEnv: one meaning through every way of running it, and faults that stay where they belong."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import math
import multiprocessing
import pickle
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from hypothesis import given
from hypothesis import strategies as st

from llmgym.env import Episode, ToolEnv
from llmgym.errors import AuthorError, EnvironmentFailure, TaskError
from llmgym.messages import assistant, parse_tool_calls, tool_call, user
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.tools import tool
from llmgym.wrappers import FilterTasks
from tests.environments import (
    Adder,
    BlockingAdder,
    Chat,
    Faulty,
    Kitchen,
    ProcessVerified,
    SuspendingAdder,
    ThreadVerified,
    Workshop,
)

ADDERS = ["Adder", "SuspendingAdder", "BlockingAdder", "ProcessAdder"]
PIECES = ["<tool_call>", "</tool_call>", "{", '"name":', '"add"', "}", "\ud800", "é"]
IDS = [f"test/{name}-v0" for name in (*ADDERS, "Chat")]


@contextlib.contextmanager
def every_warning_an_error() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
        yield


def solve(env: ToolEnv) -> list[Any]:
    """Play the oracle; the results of its steps."""
    assert env.task is not None
    return [env.step(message) for message in env.oracle(env.task)]  # type: ignore[union-attr]


def play(env: gymnasium.Env[Any, Any], steps: int = 30, seed: int = 0) -> list[Any]:
    """Random actions; all that came back."""
    env.action_space.seed(seed)
    results: list[Any] = [env.reset(seed=seed)]
    for _ in range(steps):
        results.append(env.step(env.action_space.sample()))
        if results[-1][2] or results[-1][3]:
            results.append(env.reset())
    return results


# --- Gymnasium ----------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_finds_nothing_to_say(env_id: str) -> None:
    with every_warning_an_error():
        env = gymnasium.make(env_id)
        check_env(env.unwrapped)
        play(env)
        env.close()


@pytest.mark.parametrize("env_id", IDS)
def test_same_seed_and_actions_give_the_same_everything(env_id: str) -> None:
    first, second = play(gymnasium.make(env_id)), play(gymnasium.make(env_id))
    assert data_equivalence(first, second)
    assert not data_equivalence(first, play(gymnasium.make(env_id), seed=1))


@pytest.mark.parametrize("mode", ["sync", "async", "vector_entry_point"])
@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_vectors_agree_with_single_environments(env_id: str, mode: str) -> None:
    """With Gymnasium's defaults: next-step autoreset, and shared memory where they are processes."""
    n, seed = 3, 11
    more = {"autoreset_mode": "NextStep"} if mode == "vector_entry_point" else {}
    vector = gymnasium.make_vec(env_id, num_envs=n, vectorization_mode=mode, **more)
    singles = [gymnasium.make(env_id) for _ in range(n)]
    vector.single_action_space.seed(seed)
    over = [False] * n
    try:
        observations, infos = vector.reset(seed=seed)
        expected = [env.reset(seed=seed + i) for i, env in enumerate(singles)]
        assert observations == tuple(observation for observation, _ in expected)
        assert list(infos["task_id"]) == [info["task_id"] for _, info in expected]
        for _ in range(12):
            actions = [vector.single_action_space.sample() for _ in range(n)]
            observations, rewards, terminations, truncations, infos = vector.step(actions)
            results = [
                (*env.reset(), 0.0, False, False) if over[i] else env.step(actions[i]) for i, env in enumerate(singles)
            ]
            results = [(r[0], *r[2:], r[1]) if over[i] else r for i, r in enumerate(results)]
            over = [result[2] or result[3] for result in results]
            assert observations == tuple(result[0] for result in results)
            assert rewards.tolist() == [result[1] for result in results]
            assert terminations.tolist() == [result[2] for result in results]
            assert truncations.tolist() == [result[3] for result in results]
            assert list(infos["task_id"]) == [result[4]["task_id"] for result in results]
    finally:
        vector.close()


@pytest.mark.parametrize("env_id", IDS)
def test_a_running_episode_can_be_pickled_and_copied(env_id: str) -> None:
    env = gymnasium.make(env_id).unwrapped
    env.reset(seed=4)
    env.step(assistant("", tool_call("add", a=1, b=2)))
    for other in (pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        for action in (assistant("", tool_call("add", a=3)), "7"):
            assert data_equivalence(copy.deepcopy(env).step(action), copy.deepcopy(other).step(action))
        assert other.reset(seed=9)[1] == gymnasium.make(env_id).reset(seed=9)[1]


def test_the_spec_survives_json() -> None:
    env = gymnasium.make("test/Adder-v0", max_turns=3, split="test")
    assert env.spec is not None
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.spec == env.spec
    assert again.unwrapped.max_turns == 3
    assert data_equivalence(play(env), play(again))


def test_the_transcript_is_rendered(capsys: pytest.CaptureFixture[str]) -> None:
    env = gymnasium.make("test/Adder-v0", render_mode="ansi")
    env.reset(seed=0)
    env.step(assistant("let me see", tool_call("add", a=1, b=2)))
    text = env.render()
    assert isinstance(text, str)
    for part in ("[system] Use the tool.", "[user] What is", "let me see", "-> add({", "[tool] 3"):
        assert part in text
    human = gymnasium.make("test/Adder-v0", render_mode="human")
    human.reset(seed=0)
    human.step(assistant("let me see", tool_call("add", a=1, b=2)))
    assert capsys.readouterr().out.strip() == text
    assert human.render() is None


# --- episodes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Adder, SuspendingAdder, BlockingAdder, ThreadVerified, ProcessVerified])
def test_the_oracle_is_right_and_silence_is_not(cls: type[ToolEnv]) -> None:
    env = cls()
    env.reset(seed=1)
    *_, (_, reward, terminated, truncated, info) = solve(env)
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["reward_parts"] == {"correct": 1.0}
    assert info["metrics"]["tool_calls"] == 1
    env.reset()
    assert env.step("")[1] == 0.0


def test_observations_are_what_is_new_and_share_nothing() -> None:
    env = Adder()
    opening, info = env.reset(seed=0)
    assert [message["role"] for message in opening] == ["system", "user"]
    assert info["tools"][0]["function"]["name"] == "add"
    action = assistant("", tool_call("add", a=1), tool_call("add", a=2))
    new, *_ = env.step(action)
    assert [message["content"] for message in new] == ["1", "2"]
    assert [m["tool_call_id"] for m in new] == [call["id"] for call in env.transcript[2]["tool_calls"]]
    before = copy.deepcopy(env.transcript)
    for message in (*opening, *new, action):
        message["content"] = "changed"
    info["tools"].clear()
    assert env.transcript == before
    assert env.reset(seed=0)[1]["tools"]


def test_call_ids_are_kept_and_empty_ones_filled() -> None:
    env = Adder()
    env.reset(seed=0)
    calls = [{"id": given, **tool_call("add", a=1)} for given in ("mine", "")]
    new, *_ = env.step({"role": "assistant", "content": "", "tool_calls": calls})
    assert new[0]["tool_call_id"] == "mine"
    assert new[1]["tool_call_id"]


def test_the_same_seed_gives_the_same_tasks_and_another_gives_others() -> None:
    def tasks(seed: int) -> list[str]:
        env = Adder()
        return [env.reset(seed=seed)[1]["task_id"], *(env.reset()[1]["task_id"] for _ in range(5))]

    assert tasks(3) == tasks(3)
    assert len(set(tasks(3))) == 6
    assert set(tasks(3)).isdisjoint(tasks(4))


def test_a_task_is_picked_by_id_and_options_are_left_alone() -> None:
    env, options = Adder(), {"task_id": "test-00c0ffee00c0ffee"}
    assert env.reset(options=options)[1]["task_id"] == "test-00c0ffee00c0ffee"
    assert options == {"task_id": "test-00c0ffee00c0ffee"}
    assert env.reset(seed=2, options=options)[0] == env.reset(seed=3, options=options)[0]
    with pytest.raises(TaskError, match="unknown reset option 'tusk'"):
        env.reset(options={"tusk": 3})
    with pytest.raises(TaskError, match="unknown task"):
        env.reset(options={"task_id": "x"})


def test_a_task_may_be_given_and_is_not_changed() -> None:
    class Careless(Adder):
        def setup(self, task: Task) -> None:
            super().setup(task)
            task.metadata["numbers"].clear()

    task = Task(id="mine", prompt="What is 1 + 2?", answer=3, metadata={"numbers": [1, 2]})
    observation, info = Careless().reset(options={"task": task})
    assert observation[-1] == user("What is 1 + 2?")
    assert info["task_id"] == "mine"
    assert task.metadata == {"numbers": [1, 2]}
    with pytest.raises(TaskError, match="takes a Task, not 'mine'"):
        Adder().reset(options={"task": "mine"})


class Uncopied:
    """What nobody has looked at."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        raise AssertionError("it is copied")


class Bank(TaskSet):
    """A set of somebody's own, which gives what it holds."""

    splits = ("train",)

    def __init__(self) -> None:
        self.database = {"accounts": {str(n): {"owner": "Ada", "moves": [n]} for n in range(1000)}, "log": [Uncopied()]}

    def size(self, split: str) -> int:
        return 1

    def draw(self, split: str, seed: int, episode: int, *, scope: str = "") -> Task:
        return Task(id="1", prompt="What is 1 + 2?", answer=3, metadata={"numbers": [1, 2], "bank": self.database})

    def plan(self, split: str, seed: int, index: int, *, scope: str = "") -> Task:
        return self.draw(split, seed, index)

    def get(self, task_id: str) -> Task:
        return self.draw("train", 0, 0)


class Teller(Adder):
    tasks = Bank()

    def setup(self, task: Task) -> None:
        super().setup(task)
        account = task.metadata["bank"]["accounts"]["7"]
        assert account == {"owner": "Ada", "moves": [7]}
        account["moves"].append(100)


@pytest.mark.parametrize("options", [{}, {"task_id": "1"}])
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_episode_copies_what_it_touches_of_the_task_of_any_set(options: dict[str, Any], wrapped: bool) -> None:
    core = Teller()
    env = FilterTasks(core, metadata={"numbers": [[1, 2]]}) if wrapped else core
    bank: Any = Teller.tasks
    for _ in range(3):
        env.reset(seed=0, options=options)
        assert core.task is not None
        held = dict.__getitem__(core.task.metadata, "bank")
        assert dict.__getitem__(held, "log") is bank.database["log"]
        accounts = dict.__getitem__(held, "accounts")
        assert [key for key in accounts if dict.__getitem__(accounts, key) is not bank.database["accounts"][key]] == [
            "7"
        ]
        assert core.task.metadata["bank"]["accounts"]["7"]["moves"] == [7, 100]
    assert bank.database["accounts"]["7"] == {"owner": "Ada", "moves": [7]}


def test_a_set_that_gives_no_task_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bank, "draw", lambda self, *args, **options: {"prompt": "p"})
    with pytest.raises(TaskError, match=r"^\{'prompt': 'p'\} is not a Task"):
        Teller().reset()


def test_tasks_come_from_the_split() -> None:
    for split in ("train", "test"):
        assert Adder(split=split).reset(seed=0)[1]["task_id"].startswith(split)
    with pytest.raises(TaskError, match="unknown split 'dev'"):
        Adder(split="dev").reset(seed=0)


def test_a_user_may_answer_and_each_step_has_its_reward() -> None:
    env = Chat()
    env.reset(seed=0)
    assert env.task is not None
    steps = [env.step(text) for text in ("a", "b", str(env.task.answer))]
    assert [[m["content"] for m in step[0]] for step in steps] == [["go on"], ["and", "on"], []]
    assert [step[1] for step in steps] == [0.25, 0.25, 1.25]
    assert [step[2] for step in steps] == [False, False, True]


def test_a_tool_may_reward_and_end_the_episode() -> None:
    env = Workshop()
    env.reset(seed=0)
    new, reward, terminated, truncated, info = env.step(assistant("", tool_call("stop")))
    assert (new[0]["content"], reward, terminated, truncated) == ("over", 1.5, True, False)
    assert "reward_parts" in info


def test_unscored_is_nan_and_says_so() -> None:
    env = Kitchen()
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step("done")
    assert math.isnan(reward)
    assert terminated
    assert info["reward_parts"] == {"correct": None}


def test_a_step_after_the_end_needs_a_reset() -> None:
    env = Adder()
    with pytest.raises(ResetNeeded):
        env.step("before")
    env.reset(seed=0)
    env.step("end")
    with pytest.raises(ResetNeeded):
        env.step("after")
    env.reset()
    env.step("again")


def test_an_action_that_is_no_message_leaves_the_episode_as_it_was() -> None:
    env = Adder()
    env.reset(seed=0)
    before = copy.deepcopy(env.transcript)
    with pytest.raises(ValueError, match="not an assistant message"):
        env.step(user("I am the user"))
    assert env.transcript == before
    assert solve(env)[-1][1] == 1.0


def test_the_verifier_sees_the_whole_episode() -> None:
    seen: list[Episode] = []

    class Watched(Adder):
        def verify(self, episode: Episode) -> Reward:
            seen.append(episode)
            return Reward(correct=1, metrics={"mine": 3})

    env = Watched()
    env.reset(seed=0)
    env.step(assistant("thinking", tool_call("add", a=1)))
    *_, info = env.step("the end")
    (episode,) = seen
    assert [message["role"] for message in episode.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert episode.final_text == "the end"
    assert [call["function"]["name"] for call in episode.tool_calls] == ["add"]
    assert not episode.truncated
    assert info["metrics"] == {"tool_calls": 1.0, "tool_errors": 0.0, "mine": 3.0}


# --- limits -------------------------------------------------------------------------------------


def rounds(env: gymnasium.Env[Any, Any]) -> tuple[int, Any]:
    """Call a tool until the episode ends; how many turns that took, and the last result."""
    env.reset(seed=0)
    for turn in range(1, 100):
        result = env.step(assistant("", tool_call("add", a=1)))
        if result[2] or result[3]:
            return turn, result
    raise AssertionError("the episode goes on for ever")


@pytest.mark.parametrize(
    ("options", "turns"),
    [
        ({}, 6),
        ({"max_turns": 2}, 2),
        ({"max_turns": 9}, 9),
    ],
)
def test_a_truncated_episode_is_verified(options: dict[str, Any], turns: int) -> None:
    for env in (gymnasium.make("test/Adder-v0", **options), gymnasium.make("test/Adder-v0", **options).unwrapped):
        turn, (_, reward, terminated, truncated, info) = rounds(env)
        assert (turn, reward, terminated, truncated) == (turns, 0.0, False, True)
        assert info["reward_parts"] == {"correct": 0.0}


def test_a_vector_takes_the_limit_too() -> None:
    vector = gymnasium.make_vec("test/Adder-v0", num_envs=2, max_turns=2, autoreset_mode="NextStep")
    vector.reset(seed=0)
    action = assistant("", tool_call("add", a=1))
    vector.step([action, action])
    *_, truncations, infos = vector.step([action, action])
    assert truncations.all()
    assert "reward_parts" in infos


def test_a_class_has_a_limit_without_registration() -> None:
    assert rounds(Adder(max_turns=2))[0] == 2
    assert rounds(Adder())[0] == 16


def test_the_limit_does_not_undo_a_correct_end() -> None:
    env = Adder(max_turns=2)
    env.reset(seed=0)
    *_, (_, reward, terminated, truncated, _) = solve(env)
    assert (reward, terminated, truncated) == (1.0, True, False)


async def test_a_driver_may_end_an_episode_at_a_limit_of_its_own() -> None:
    env = Adder()
    for cut in (None, assistant("cut o", tool_call("add", a=1))):
        await env.areset(seed=0)
        new, reward, terminated, truncated, info = await env.aend(cut)
        assert (new, reward, terminated, truncated) == ((), 0.0, False, True)
        assert info["metrics"]["tool_calls"] == 0
        assert (env.transcript[-1]["content"] == "cut o") == (cut is not None)
        with pytest.raises(ResetNeeded):
            await env.aend()


# --- tools that fail ----------------------------------------------------------------------------


@pytest.fixture
def workshop() -> Workshop:
    env = Workshop()
    env.reset(seed=0)
    return env


def answer(env: ToolEnv, *calls: Any) -> list[str]:
    """What calls are answered; the episode goes on and all that came back can be stored."""
    new, reward, terminated, truncated, info = env.step(assistant("", *calls))
    assert (reward, terminated, truncated) == (0.0, False, False)
    json.dumps([new, info], ensure_ascii=False).encode()
    return [message["content"] for message in new]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("raise", "Error: ValueError: no luck"),
        ("exit", "Error: SystemExit: 3"),
        ("hang", "Error: fail did not finish in time"),
        ("not json", "Error: the tool returned a object that is not JSON"),
        ("circular", "Error: the tool returned a list that is not JSON"),
    ],
)
def test_a_tool_that_fails_is_answered(workshop: Workshop, how: str, why: str) -> None:
    for calls in (1, 2):
        answers = answer(workshop, *[tool_call("fail", how=how)] * calls)
        assert len(answers) == calls
        assert all(text.startswith(why) for text in answers)
    assert workshop.metrics == {"tool_calls": 3, "tool_errors": 3}
    assert answer(workshop, tool_call("fail", how="not")) == ["null"]


@pytest.mark.parametrize(
    ("how", "text"),
    [("surrogate", "a\ufffdb"), ("surrogate inside", '"a\ufffdb"'), ("large integer", str(2**100))],
)
def test_odd_results_are_given_as_they_can_be(workshop: Workshop, how: str, text: str) -> None:
    assert text in answer(workshop, tool_call("fail", how=how))[0]
    assert workshop.metrics["tool_errors"] == 0


def test_fifty_megabytes_are_cut(workshop: Workshop) -> None:
    (text,) = answer(workshop, tool_call("fail", how="big"))
    assert len(text) < 25_000
    assert "characters left out" in text


def test_blocking_tools_that_fail_are_answered(workshop: Workshop) -> None:
    texts = answer(workshop, tool_call("hang"), tool_call("leave"))
    assert texts == ["Error: hang did not finish in time", "Error: SystemExit: 3"]


class Interrupting(Adder):
    """Tools that raise what Ctrl-C raises, as code that they run may."""

    @tool
    def interrupt(self) -> None:
        raise KeyboardInterrupt

    @tool
    async def interrupt_later(self) -> None:
        await asyncio.sleep(0)
        raise KeyboardInterrupt


@pytest.mark.timeout(20)
def test_an_interrupt_of_a_tool_leaves_the_event_loop_running() -> None:
    env = Interrupting()
    env.reset(seed=0)
    for name in ("interrupt", "interrupt_later"):
        assert answer(env, tool_call(name))[0].startswith("Error: ")
    assert env.metrics["tool_errors"] == 2


class Places(Adder):
    """Tools that say which task they run in."""

    @tool(timeout=math.inf)
    async def with_its_own_deadlines(self) -> int:
        """Run without one."""
        return id(asyncio.current_task())

    @tool
    async def with_the_usual_deadline(self) -> int:
        """Run with one."""
        return id(asyncio.current_task())


async def test_a_tool_that_keeps_deadlines_of_its_own_is_awaited_in_place() -> None:
    env = Places()
    await env.areset(seed=0)
    calls = tool_call("with_its_own_deadlines"), tool_call("with_the_usual_deadline")
    said = [(await env.astep(assistant("", call)))[0][0]["content"] for call in calls]
    assert [text == str(id(asyncio.current_task())) for text in said] == [True, False]


def test_a_tool_may_have_a_deadline_of_its_own(workshop: Workshop) -> None:
    assert answer(workshop, tool_call("patient")) == ["gave up"]
    assert answer(workshop, *[tool_call("patient")] * 3) == ["gave up"] * 3


async def test_cancelling_the_episode_is_no_fault_of_the_tool() -> None:
    env = Workshop(tool_timeout=3600)
    await env.areset(seed=0)
    for calls in (1, 2):
        step = asyncio.create_task(env.astep(assistant("", *[tool_call("fail", how="hang")] * calls)))
        await asyncio.sleep(0.01)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        with pytest.raises(ResetNeeded):
            await env.astep("half of a step was lost")
        await env.areset()


# --- replies that are broken --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("<tool_call>{broken</tool_call>", "Error: not a tool call; write"),
        ('<tool_call>{"name": "subtract"}</tool_call>', "Error: there is no tool 'subtract'; there is add"),
        ('<tool_call>{"name": "add", "arguments": "{"}</tool_call>', "Error: arguments of add are not valid JSON"),
        ('<tool_call>{"name": "add", "arguments": {"a": "x"}}', "Error: invalid arguments for add"),
        ('<tool_call>{"name": "add", "arguments": {}}</tool_call>', "Error: invalid arguments for add"),
        (assistant("", tool_call("n" * 100_000)), "Error: there is no tool 'nnn"),
        (assistant("", tool_call("add", a="9" * 100_000)), "Error: invalid arguments for add"),
        (assistant("\ud800", {"function": {"name": "\ud800", "arguments": "\ud800"}}), "Error: there is no tool"),
        (assistant("", {"function": {"name": "add", "arguments": "\ud800"}}), "Error: arguments of add"),
        (assistant("", {"function": {"name": "add", "arguments": "[" * 100_000}}), "Error: "),
    ],
)
def test_a_broken_call_is_answered_and_counted(reply: Any, why: str) -> None:
    env = Adder()
    env.reset(seed=0)
    new, reward, terminated, _, _ = env.step(reply)
    assert new[0]["content"].startswith(why)
    assert len(new[0]["content"]) < 1000
    assert (reward, terminated) == (0.0, False)
    assert env.metrics == {"tool_calls": 1, "tool_errors": 1}
    json.dumps(env.transcript, ensure_ascii=False).encode()
    assert solve(env)[-1][1] == 1.0


@pytest.mark.parametrize("cls", [Adder, SuspendingAdder, BlockingAdder])
def test_twenty_calls_are_answered_in_order(cls: type[ToolEnv]) -> None:
    env = cls()
    env.reset(seed=0)
    calls = [tool_call("add", a=n) if n % 5 else tool_call("unknown") for n in range(20)]
    new, *_ = env.step(assistant("", *calls))
    assert [m["content"] for m in new if m["name"] == "add"] == [str(n) for n in range(20) if n % 5]
    assert [m["tool_call_id"] for m in new] == [call["id"] for call in env.transcript[2]["tool_calls"]]
    assert len({m["tool_call_id"] for m in new}) == 20
    assert env.metrics == {"tool_calls": 20, "tool_errors": 4}


@given(st.text(st.characters(exclude_categories=())) | st.lists(st.sampled_from(PIECES)).map("".join))
def test_no_text_breaks_an_episode(text: str) -> None:
    env = Adder()
    env.reset(seed=0)
    new, _, terminated, truncated, info = env.step(text)
    json.dumps([env.transcript, new, info], ensure_ascii=False).encode()
    assert not truncated
    assert terminated == (not parse_tool_calls(text)[1])


# --- concurrent and serial ----------------------------------------------------------------------


def test_calls_run_beside_one_another_unless_one_is_serial() -> None:
    env = Kitchen()
    env.reset(seed=0)
    env.step(assistant("", tool_call("slow", name="a"), tool_call("slow", name="b")))
    assert env.log == ["+a", "+b", "-a", "-b"]
    env.log.clear()
    env.step(assistant("", tool_call("slow", name="a"), tool_call("alone", name="b")))
    assert env.log == ["+a", "-a", "+b", "-b"]


# --- hooks that fail ----------------------------------------------------------------------------


def begin_and_say(env: ToolEnv, text: str) -> None:
    env.reset(seed=0)
    env.step(text)


@pytest.mark.parametrize("how", ["raise", "hang", "exit", "cancelled"])
@pytest.mark.parametrize("where", ["setup", "respond", "verify"])
def test_a_hook_that_fails_is_a_failure_of_the_environment(where: str, how: str) -> None:
    env = Faulty(where=where, how=how)
    why = {
        "raise": "KeyError: 'lost'",
        "hang": "ran past 0.2 s",
        "exit": "SystemExit: 3",
        "cancelled": "CancelledError",
    }
    with pytest.raises(EnvironmentFailure, match=f"Faulty.{where}.*{why[how]}"):
        begin_and_say(env, "hello")
    with pytest.raises(ResetNeeded):
        env.step("again")
    env.where = "nowhere"
    env.reset()
    assert env.step("hello")[1] == 1.0, "the event loop has survived"


@pytest.mark.parametrize("where", ["respond", "verify"])
def test_a_hook_that_returns_nonsense_is_a_failure_too(where: str) -> None:
    env = Faulty(where=where, how="nonsense")
    env.reset(seed=0)
    with pytest.raises(EnvironmentFailure, match=f"Faulty.{where}: TypeError"):
        env.step("hello")


def test_a_reset_that_fails_leaves_no_episode_of_before() -> None:
    env = Faulty(where="nowhere", how="raise")
    env.reset(seed=0)
    env.where = "setup"
    with pytest.raises(EnvironmentFailure):
        env.reset()
    with pytest.raises(ResetNeeded):
        env.step("to whom?")


# --- verifying elsewhere ------------------------------------------------------------------------


async def verified_at_once(cls: type[ToolEnv], deadline: float) -> list[float]:
    """The rewards of 64 correct answers that are verified at the same time."""
    envs = [cls(hook_timeout=deadline) for _ in range(64)]
    for seed, env in enumerate(envs):
        await env.areset(seed=seed)
    steps = await asyncio.gather(*(env.astep(str(env.task.answer)) for env in envs))  # type: ignore[union-attr]
    return [reward for _, reward, *_ in steps]


@pytest.mark.slow
@pytest.mark.parametrize("cls", [ThreadVerified, ProcessVerified])
async def test_a_verifier_that_queues_is_not_late(cls: type[ToolEnv]) -> None:
    assert await verified_at_once(cls, 1.0) == [1.0] * 64


def test_a_verifier_in_a_process_may_hang_die_or_raise() -> None:
    env = ProcessVerified(hook_timeout=0.5)
    for text, why, kind in (
        ("hang", "ran past 0.5 s", "timeout"),
        ("die", "worker process died", "infrastructure"),
        ("raise", "ProcessVerified.verify: FileNotFoundError: no such proof", "infrastructure"),
        ("verdict", "no grade", "verdict"),
        ("text", "a reward is a number", "invalid"),
    ):
        env.reset(seed=0)
        with pytest.raises(EnvironmentFailure, match=why) as raised:
            env.step(text)
        assert (raised.value.kind, raised.value.stage) == (kind, "verify")
    env.hook_timeout = 60
    env.reset(seed=0)
    assert env.task is not None
    assert env.step(str(env.task.answer))[1] == 1.0


# --- callers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Adder, SuspendingAdder, BlockingAdder])
def test_a_notebook_may_step_inside_its_event_loop(cls: type[ToolEnv]) -> None:
    async def cell() -> float:
        env = cls()
        env.reset(seed=0)
        return float(solve(env)[-1][1])

    assert asyncio.run(cell()) == 1.0


def test_what_cannot_suspend_needs_no_background_loop() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_threads_of_an_episode, args=(theirs,), daemon=True)
    child.start()
    assert ours.poll(60)
    names = ours.recv()
    child.join()
    assert not [name for name in names if name.startswith("llmgym")]


def _threads_of_an_episode(connection: Any) -> None:
    env = Adder()
    env.reset(seed=0)
    solve(env)
    connection.send([thread.name for thread in threading.enumerate()])


async def test_many_episodes_share_a_loop() -> None:
    async def episode(seed: int) -> float:
        env = SuspendingAdder()
        await env.areset(seed=seed)
        assert env.task is not None
        reward = 0.0
        for message in env.oracle(env.task):  # type: ignore[union-attr]
            reward = (await env.astep(message))[1]
        return reward

    assert await asyncio.gather(*map(episode, range(50))) == [1.0] * 50


def test_an_undefined_verifier_is_named() -> None:
    class Unfinished(ToolEnv):
        tasks = Adder.tasks

    env = Unfinished()
    env.reset(seed=0)
    with pytest.raises(EnvironmentFailure, match="Unfinished needs a verify method"):
        env.step("a")
    with pytest.raises(NotImplementedError, match="Unfinished needs an oracle method"):
        env.oracle(Task())


@pytest.mark.parametrize("name", ["tasks", "tools", "roles", "spec"])
def test_what_an_instance_is_made_with_cannot_be_replaced_by_an_authors_own(name: str) -> None:
    env = type("Taker", (Adder,), {"setup": lambda self, task: setattr(self, name, ["axe"])})()
    with pytest.raises(EnvironmentFailure, match=f"Taker: self.{name} is .*: (a list|that|those) of "):
        env.reset(seed=0)


def test_a_class_does_not_list_its_tools() -> None:
    with pytest.raises(AuthorError, match=r"Taker\.tools is what a model may call, the methods marked @tool"):
        type("Taker", (Adder,), {"tools": ["axe"]})


@pytest.mark.parametrize(
    "name", ["reset", "step", "count", "reward", "finish", "task", "transcript", "close", "models"]
)
def test_a_name_of_the_base_class_cannot_be_taken(name: str) -> None:
    with pytest.raises(AuthorError, match=f"Taker: '{name}' is ToolEnv's own: (call yours|write|`setup`|name)"):
        type("Taker", (Adder,), {name: None})
    mixin = type("Mixin", (), {name: None})
    with pytest.raises(AuthorError, match=name):
        type("Taker", (mixin, Adder), {})

    def called(self: Any, text: str) -> str:
        """Do it."""
        return text

    with pytest.raises(AuthorError, match=f"a tool cannot be called '{name}'"):
        type("Taker", (Adder,), {name: tool(called)})
