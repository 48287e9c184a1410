"""One episode: exact tokens, limits, and failures that stay data."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np
import pytest

from llmgym.chat import ChatGeneration, Sampling, Usage
from llmgym.concurrency import held
from llmgym.errors import CodecError, ContextLengthExceeded, PolicyError, PolicyUnavailable
from llmgym.messages import assistant, user
from llmgym.policies.base import Generation, VersionSpan
from llmgym.rewards import Part
from llmgym.rollout import ChatSpeaker, Limits, TokenSpeaker, run_episode
from llmgym.tasks import Task
from llmgym.tools import tool
from llmgym.trajectory import Trajectory, Turn
from llmgym.wrappers import ToolWrapper
from tests.rollouts import Letters, Only, Script, WordPolicy, Words, answer, call_faults, call_tools, say, shout_first

LETTER = Task(id="a", prompt="spell a", answer="A")


async def run(
    reply: Any,
    *,
    env: Letters | None = None,
    codec: Words | None = None,
    context: int = 1000,
    max_tokens: int = 50,
    task: Task = LETTER,
    on_turn: Any = None,
    **limits: Any,
) -> tuple[Trajectory, WordPolicy]:
    """Run an episode of `Letters` with a function of words."""
    codec = codec or Words()
    policy = WordPolicy(codec, reply, context)
    sampling = Sampling(max_tokens=max_tokens, stop_token_ids=codec.stop_token_ids)
    speaker = TokenSpeaker(policy, codec, sampling, Limits(**limits), "name")
    trajectory = Trajectory("x/Y-v0", task.id, 0, 1)
    await run_episode(Only(env or Letters()), task, speaker, trajectory, Limits(**limits), on_turn)
    return trajectory, policy


async def test_tokens_are_those_that_the_engine_saw_and_sampled() -> None:
    turns: list[Turn] = []
    codec = Words()
    trajectory, policy = await run(shout_first, codec=codec, on_turn=turns.append)
    assert trajectory.status == "completed"
    assert trajectory.turns == turns
    [segment] = trajectory.segments
    for (prompt, sampling, request_id, session_id), turn, index in zip(policy.requests, turns, range(2), strict=True):
        assert prompt == segment.ids[: turn.start].tolist()
        assert (request_id, session_id) == (f"name/{index}", "name")
        assert sampling == Sampling(max_tokens=50, stop_token_ids=(0,))
        own = segment.logprobs[turn.start : turn.end]
        np.testing.assert_allclose(own, [-0.5 - i for i in range(len(own))])
        assert turn.versions == (VersionSpan(7, 0, turn.end - turn.start),)
        assert turn.cached_tokens == 1
    assert segment.sampled.sum() == trajectory.sampled_tokens == trajectory.metrics["num_sampled_tokens"]
    assert not segment.logprobs[~segment.sampled].any()
    assert trajectory.metrics["num_context_tokens"] == (~segment.sampled).sum()
    assert codec.text(segment.ids).endswith("<tool> A <end> <assistant> A <end>")


async def test_rewards_go_to_their_turns_and_add_up() -> None:
    trajectory, _ = await run(shout_first)
    assert [turn.reward for turn in trajectory.turns] == [0.25, 1.0]
    assert trajectory.reward == 1.25
    assert trajectory.reward_parts == {"correct": Part(1.0), "shape": Part(0.5, 0.0)}
    assert trajectory.metrics["shouted"] == 1
    assert trajectory.metrics["num_turns"] == 2
    assert trajectory.opening == 2
    assert [m["role"] for m in trajectory.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert trajectory.timings["wall_s"] >= trajectory.timings["engine_s"] + trajectory.timings["env_s"]


async def test_rewards_that_add_up_to_no_number_leave_an_episode_unscored() -> None:
    class Rich(Letters):
        @tool
        def shout(self, letter: str) -> str:
            """Pay too much."""
            self.reward(1.5e308)
            return letter.upper()

    trajectory, _ = await run(lambda prompt: shout_first(prompt.partition("<assistant>")[0]), env=Rich(max_turns=2))
    assert [turn.reward for turn in trajectory.turns] == [1.5e308, 1.5e308]
    assert (trajectory.status, trajectory.reward) == ("max_turns", None)


async def test_a_template_that_rewrites_history_forks_into_exact_segments() -> None:
    trajectory, policy = await run(shout_first, codec=Words(rewrites=True))
    assert [turn.segment for turn in trajectory.turns] == [0, 1]
    for (prompt, *_), turn in zip(policy.requests, trajectory.turns, strict=True):
        segment = trajectory.segments[turn.segment]
        assert segment.ids[: turn.start].tolist() == prompt
        assert segment.sampled[turn.start : turn.end].all()
        assert segment.sampled.sum() == turn.end - turn.start


async def test_a_cut_reply_is_verified_and_its_calls_do_not_run() -> None:
    trajectory, _ = await run(lambda _: "A " + shout_first("<user> spell a x"), max_tokens=1)
    assert trajectory.status == "max_tokens"
    assert trajectory.turns[0].finish_reason == "length"
    assert trajectory.reward == 1.0  # of the "A" that was left
    call = '<tool_call>{"name": "shout", "arguments": {"letter": "a"}}</tool_call>'
    trajectory, _ = await run(lambda _: call + " word", max_tokens=5)
    assert trajectory.status == "max_tokens"
    assert trajectory.messages[-1]["role"] == "assistant"
    assert trajectory.metrics["shouted"] == 0
    assert trajectory.reward == 0.0


async def test_an_episode_may_sample_so_many_tokens() -> None:
    whole, _ = await run(shout_first)
    first = whole.turns[0].end - whole.turns[0].start
    trajectory, policy = await run(shout_first, max_episode_tokens=first + 1)
    assert trajectory.status == "max_tokens"
    assert policy.requests[-1][1].max_tokens == 1
    assert trajectory.sampled_tokens == first + 1
    trajectory, policy = await run(shout_first, max_episode_tokens=first)
    assert trajectory.status == "max_tokens"
    assert len(policy.requests) == 1  # no room for a second
    assert trajectory.reward == 0.25
    assert trajectory.turns[-1].reward == 0.25
    assert trajectory.messages[-1]["role"] == "tool"


async def test_what_follows_the_first_prompt_may_be_so_long() -> None:
    whole, _ = await run(shout_first)
    opening, second = whole.turns[0].start, whole.turns[1].start
    trajectory, policy = await run(shout_first, max_completion_length=second - opening + 1)
    assert trajectory.status == "max_tokens"
    assert policy.requests[-1][1].max_tokens == 1
    assert len(trajectory.segments[0].ids) == second + 1
    trajectory, policy = await run(shout_first, max_completion_length=second - opening)
    assert trajectory.status == "max_tokens"
    assert len(policy.requests) == 1  # no room for a second
    assert len(trajectory.segments[0].ids) == whole.turns[0].end  # and nothing after the last reply


async def test_the_context_bounds_a_reply() -> None:
    whole, _ = await run(shout_first)
    second = whole.turns[1].start
    trajectory, policy = await run(shout_first, context=second + 1)
    assert trajectory.status == "context_length"
    assert policy.requests[-1][1].max_tokens == 1
    trajectory, _ = await run(shout_first, context=second)
    assert trajectory.status == "context_length"
    assert len(trajectory.turns) == 1


async def test_a_first_prompt_that_is_too_long_is_verified() -> None:
    trajectory, policy = await run(say, context=3)
    assert (trajectory.status, trajectory.reward, trajectory.error) == ("context_length", 0.0, None)
    assert trajectory.turns == []
    assert trajectory.segments == []
    assert policy.requests == []


async def test_an_engine_may_find_the_prompt_too_long_itself() -> None:
    def refuse(prompt: str) -> Any:
        raise ContextLengthExceeded("too long")

    trajectory, _ = await run(refuse)
    assert (trajectory.status, trajectory.reward) == ("context_length", 0.0)


async def test_turns_run_out() -> None:
    trajectory, _ = await run(lambda _: shout_first("<user> spell b x"), env=Letters(max_turns=3))
    assert trajectory.status == "max_turns"
    assert [turn.reward for turn in trajectory.turns] == [0.25, 0.25, 0.25]
    assert trajectory.segments[0].ids[-1] == 0  # ends with what was sampled


def raises(error: BaseException) -> Any:
    def reply(prompt: str) -> Any:
        raise error

    return reply


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (raises(PolicyError("no")), "PolicyError: no"),
        (raises(PolicyUnavailable("gone")), "PolicyUnavailable: gone"),
        (raises(CodecError("roles")), "CodecError: roles"),
        (raises(RuntimeError("CUDA")), "PolicyError: RuntimeError: CUDA"),
        (raises(TimeoutError("socket")), "PolicyError: TimeoutError: socket"),
        (raises(asyncio.InvalidStateError("odd")), "PolicyError: InvalidStateError: odd"),
        (lambda _: Generation([1, 2], [-1.0], "stop"), "2 tokens came with 1 log-probabilities"),
        (lambda _: Generation([1], [math.nan], "stop"), "a log-probability of nan: the engine computes none"),
        (lambda _: Generation([1], [-math.inf], "stop"), "a log-probability of -inf, which stands for"),
        (lambda _: Generation([1, 2], [-1.0, -9999.0], "stop"), "a log-probability of -9999.0, which stands for"),
        (lambda _: Generation([1], [-3.4e38], "stop"), "a log-probability of -3.4e+38, which stands for"),
        (lambda _: Generation([1], [0.1], "stop"), "a log-probability of 0.1, above 0: are these logits?"),
        (lambda _: Generation([1], [-1.0], "stop", (VersionSpan("v1", 0, 1),)), "are no integers: [0, 'v1', 0, 1]"),
        (lambda _: Generation([1], [-1.0], "stop", cached_tokens=1.0), "are no integers: [1.0]"),
        (lambda _: Generation([1], [-1.0], "abort"), "the engine aborted the request"),
    ],
)
async def test_a_policy_that_fails_is_a_policy_error(reply: Any, said: str) -> None:
    trajectory, _ = await run(reply)
    assert (trajectory.status, trajectory.reward, trajectory.finished) == ("policy_error", None, False)
    assert trajectory.error is not None
    assert said in trajectory.error


async def test_a_policy_that_hangs_runs_into_its_deadline() -> None:
    trajectory, _ = await run(lambda _: asyncio.sleep(3600), generation_timeout=0.02)
    assert trajectory.status == "policy_error"
    assert trajectory.error == "PolicyTimeout: no reply within 0.02 s"


async def test_waiting_for_a_turn_counts_against_no_deadline() -> None:
    async def wait(seconds: float) -> None:
        with held():
            await asyncio.sleep(seconds)

    async def patient(prompt: str) -> str:
        await asyncio.gather(wait(0.1), wait(0.2))
        return say(prompt)

    trajectory, _ = await run(patient, generation_timeout=0.1, episode_timeout=0.15)
    assert (trajectory.status, trajectory.reward) == ("completed", 1.0), trajectory.error


@pytest.mark.parametrize(
    ("limits", "said"),
    [({"generation_timeout": 0.05}, "no reply within 0.05 s"), ({"episode_timeout": 0.05}, "ran past 0.05 s")],
)
async def test_deadlines_go_on_after_a_wait(limits: dict[str, float], said: str) -> None:
    async def slow(prompt: str) -> str:
        with held():
            await asyncio.sleep(0.1)
        await asyncio.sleep(3600)
        return say(prompt)

    trajectory, _ = await run(slow, **limits)
    assert trajectory.error is not None
    assert said in trajectory.error


async def test_an_episode_that_hangs_runs_into_its_deadline() -> None:
    trajectory, _ = await run(lambda _: asyncio.sleep(3600), episode_timeout=0.02)
    assert (trajectory.status, trajectory.reward) == ("timeout", None)
    assert trajectory.error == "the episode ran past 0.02 s"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("setup raise", "Letters.setup: KeyError: 'lost'"),
        ("setup hang", "Letters.setup ran past 0.1 s"),
        ("verify raise", "Letters.verify: KeyError: 'lost'"),
        ("verify hang", "Letters.verify ran past 0.1 s"),
        ("opening raise", "KeyError: 'no opening'"),
    ],
)
async def test_an_environment_that_fails_is_an_environment_error(fault: str, said: str) -> None:
    trajectory, _ = await run(say, env=Letters(faults={"a": fault}))
    assert (trajectory.status, trajectory.reward) == ("env_error", None)
    assert trajectory.error is not None
    assert said in trajectory.error


class Odd(ToolWrapper):
    """Gives what `odd` makes of what the environment gives."""

    odd: Any = None

    def on_reset(self, observation: Any, info: Any) -> Any:
        return self.odd(observation, info) if self.first else (observation, info)

    def on_step(self, action: Any, result: Any) -> Any:
        return result if self.first else self.odd(*result)


@pytest.mark.parametrize(
    ("first", "odd", "said"),
    [
        (True, lambda *_: None, "cannot unpack non-iterable NoneType"),
        (True, lambda seen, info: (None, info), "'NoneType' object is not iterable"),
        (True, lambda seen, info: ("hello", info), "the observation is 'hello', which are no messages"),
        (True, lambda seen, info: (seen, {}), "KeyError: 'tools'"),
        (True, lambda seen, info: (seen, {"tools": [object()]}), "Encoding objects of type object"),
        (False, lambda *_: None, "cannot unpack non-iterable NoneType"),
        (False, lambda seen, *rest: ([3], *rest), r"the observation is [3], which are no messages"),
        (False, lambda seen, reward, *rest: (seen, None, *rest), "must be real number, not NoneType"),
        (False, lambda *result: (*result[:4], None), "'NoneType' is not iterable"),
    ],
)
async def test_what_a_wrapper_gives_is_the_environments_fault(first: bool, odd: Any, said: str) -> None:
    env: Any = Odd(Letters())
    env.odd, env.first = odd, first
    trajectory = Trajectory("x/Y-v0", "a", 0, 1)
    speaker = ChatSpeaker(Script(call_tools), Sampling(), Limits(), "n")
    await run_episode(Only(env), LETTER, speaker, trajectory, Limits())
    assert (trajectory.status, trajectory.reward) == ("env_error", None)
    assert trajectory.failure is not None
    assert trajectory.failure.stage == "wrapper"
    assert said in str(trajectory.error)


async def test_an_environment_serves_again_after_each_failure() -> None:
    env = Letters(faults={"a": "verify raise"}, once=True)
    assert (await run(say, env=env))[0].status == "env_error"
    for reply in (raises(PolicyError("no")), raises(RuntimeError("no"))):
        assert (await run(reply, env=env))[0].status == "policy_error"
    assert (await run(lambda _: asyncio.sleep(3600), env=env, episode_timeout=0.01))[0].status == "timeout"
    trajectory, _ = await run(say, env=env)
    assert (trajectory.status, trajectory.reward) == ("completed", 1.0)


@pytest.mark.parametrize("fault", ["verify unscored", "verify infinite"])
async def test_unscored_is_finished_and_has_no_reward(fault: str) -> None:
    trajectory, _ = await run(shout_first, env=Letters(faults={"a": fault}))
    assert (trajectory.status, trajectory.reward) == ("completed", None)
    assert [turn.reward for turn in trajectory.turns] == [0.25, None]


async def test_cancellation_is_raised() -> None:
    task = asyncio.create_task(run(lambda _: asyncio.sleep(3600)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def chat(script: Any, env: Letters | None = None) -> Trajectory:
    trajectory = Trajectory("x/Y-v0", "a", 0, 1)
    speaker = ChatSpeaker(Script(script), Sampling(), Limits(), "name")
    await run_episode(Only(env or Letters()), LETTER, speaker, trajectory, Limits(generation_timeout=5))
    return trajectory


async def test_a_chat_policy_leaves_messages_and_no_tokens() -> None:
    trajectory = await chat(answer)
    assert (trajectory.status, trajectory.reward, trajectory.segments) == ("completed", 1.0, [])
    assert trajectory.sampled_tokens == 0
    assert trajectory.metrics["num_sampled_tokens"] == 0


async def test_tools_are_held_once_and_no_policy_can_change_them() -> None:
    def spoil(messages: Any, tools: Any) -> Any:
        tools[0]["function"]["parameters"].clear()
        return answer(messages, tools)

    first, second = await chat(spoil), await chat(answer)
    assert first.tools is second.tools
    assert first.tools == [tool.schema for tool in Letters().tools.values()]


async def test_tools_that_fail_are_answered() -> None:
    trajectory = await chat(call_faults)
    assert (trajectory.status, trajectory.reward) == ("completed", 1.0)
    answers = [m["content"] for m in trajectory.messages if m["role"] == "tool"]
    assert answers[0] == "Error: ValueError: no luck"
    assert answers[1] == "Error: fail did not finish in time"
    assert len(answers[2]) < 1_000_000
    assert answers[4].startswith("Error: there is no tool 'nothing'")
    assert trajectory.metrics["tool_calls"] == 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (ChatGeneration(user("hi"), "stop"), "not an assistant message"),
        ("hi", "`chat` gave 'hi', which is no ChatGeneration"),
        (ChatGeneration(assistant("hi"), "tool_calls"), "ended with 'tool_calls'; there is 'stop', 'length', 'abort'"),
        (ChatGeneration(assistant("hi"), "stop", {"input_tokens": 1}), "{'input_tokens': 1}, which is no Usage"),
        (ChatGeneration(assistant("hi"), "stop", Usage(1.5)), "tokens and calls are integers"),
        (ChatGeneration(assistant("hi"), "stop", Usage(cost="1")), "and the cost is a number"),
        (ChatGeneration(assistant("hi"), "stop", model=3), "its model is 3, which is no text"),
    ],
)
async def test_a_chat_policy_that_says_what_no_row_can_hold_fails(given: Any, said: str) -> None:
    class Odd:
        name = model = "odd"

        async def chat(self, *_: Any, **__: Any) -> Any:
            return given

    trajectory = Trajectory("x/Y-v0", "a", 0, 1)
    await run_episode(Only(Letters()), LETTER, ChatSpeaker(Odd(), Sampling(), Limits(), "n"), trajectory, Limits())  # type: ignore[arg-type]
    assert trajectory.status == "policy_error"
    assert said in str(trajectory.error)
