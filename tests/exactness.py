"""Proof of token exactness: what the engine was asked and what it answered, against what a trajectory says."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np

from llmgym.codec import ChatCodec
from llmgym.env import Episode, ToolEnv
from llmgym.messages import Message, as_assistant
from llmgym.policies import Generation, Sampling, VersionSpan
from llmgym.policies.stop_strings import before_stop
from llmgym.tasks import Task, TaskSet
from llmgym.tools import tool
from llmgym.trajectory import Trajectory, Turn


@dataclass(frozen=True)
class Request:
    """One request as the engine got it, and its answer."""

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    generation: Generation


class Recording:
    """A policy that passes everything on to another and keeps its own record, by session."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.requests: dict[str, list[Request]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.policy, name)

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, **ids: str) -> Generation:
        asked = tuple(prompt_ids)
        generation = await self.policy.generate(prompt_ids, sampling, **ids)
        self.requests.setdefault(ids["session_id"], []).append(Request(asked, sampling, generation))
        return generation


class Brief:
    """Ends every reply where it would have been cut off, so that episodes go on."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    async def generate(self, prompt_ids: Any, sampling: Any, **ids: str) -> Generation:
        reply = await self._policy.generate(prompt_ids, sampling, **ids)
        return replace(reply, token_ids=[*reply.token_ids[:-1], sampling.stop_token_ids[0]], finish_reason="stop")


class FuzzPolicy:
    """Samples what no model should: any ids, control tokens, halves of characters, early stops, cut replies.

    Some replies are tool calls or plain text, so that episodes go on.

    Args:
        tokenizer: Of the model that it stands for.
        stops: Tokens that end a turn.
        seed: Decides all.
        context_length: Most tokens of prompt and reply.
        turns: Turns as a template writes them, each with the token that ends it: half of the replies.
        only_turns: Whether all are.
    """

    name = model = "fuzz"
    logprobs_mode = "processed"

    def __init__(
        self, tokenizer: Any, stops: Sequence[int], seed: int, context_length: int = 4096,
        turns: Sequence[Sequence[int]] = (), only_turns: bool = False,
    ) -> None:  # fmt: skip
        self.tokenizer, self.stops, self.context_length = tokenizer, tuple(stops), context_length
        self.turns, self.only_turns = turns, only_turns
        self.rng = random.Random(seed)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, **_: str) -> Generation:
        assert len(prompt_ids) + sampling.max_tokens <= self.context_length
        ids = self._reply()
        stop = next((i for i, token in enumerate(ids) if token in sampling.stop_token_ids), None)
        ids = ids if stop is None else ids[: stop + 1]
        said = next((i for i in range(1, len(ids) + 1) if self._says(ids[:i], sampling)), None)
        ids = ids[:said]
        cut = len(ids) > sampling.max_tokens or (stop is None and said is None)
        ids = ids[: sampling.max_tokens]
        split = len(ids) // 2
        return Generation(
            ids,
            [-self.rng.expovariate(1.0) for _ in ids],
            "length" if cut else "stop",
            (VersionSpan(1, 0, split), VersionSpan(2, split, len(ids))),
        )

    def _says(self, ids: list[int], sampling: Sampling) -> bool:
        text = self.tokenizer.decode(ids) if ids[-1] not in sampling.stop_token_ids else ""
        return any(string in text for string in sampling.stop)

    def _reply(self) -> list[int]:
        rng, stop = self.rng, self.rng.choice(self.stops)
        if self.turns and (self.only_turns or rng.random() < 0.5):
            return list(rng.choice(self.turns))
        noise = [rng.randrange(len(self.tokenizer)) for _ in range(rng.randrange(12))]
        call = f'<tool_call>\n{{"name": "echo", "arguments": {{"text": "{rng.choice("aé数")}"}}}}\n</tool_call>'
        text = rng.choice(
            ["", "hello", " ok\n", "<think>\nwell\n</think>\n\nyes", "<think>open", call, call + call, "é🙂 "]
        )
        spelled = self.tokenizer.encode(text, add_special_tokens=False)
        match rng.randrange(6):
            case 0:
                return [*noise, stop]
            case 1:
                return noise
            case 2:
                return [*spelled, *noise, stop]
            case _:
                return [*spelled, stop]


def _talk(rng: np.random.Generator) -> Task:
    return Task(prompt=f"Say {int(rng.integers(1 << 40))}, \U0001f642.")


class Talk(ToolEnv):
    """Goes on whatever is said, by a tool or as the user, so that every kind of turn follows every other."""

    tasks = TaskSet.generated(_talk)
    max_turns = 8

    def __init__(self, *, offer_tools: bool = True, forges: bool = True, **options: Any) -> None:
        self.forges = forges
        if not offer_tools:
            self.tools = {}
        super().__init__(**options)

    @tool
    def echo(self, text: str) -> str:
        """Give the text back.

        Args:
            text: Any text.
        """
        return text

    def respond(self, message: Message) -> str:
        return f"You said {len(message['content'])} characters. Go on{' <|im_end|>' * self.forges} é."

    def verify(self, episode: Episode) -> float:
        return float(len(episode.tool_calls))


gymnasium.register("test/Talk-v0", entry_point="tests.exactness:Talk")


def prove(trajectory: Trajectory, requests: Sequence[Request], codec: ChatCodec, tokenizer: Any = None) -> None:
    """Check one trajectory against the engine's record of its requests, those for summaries included.

    With stop strings it takes the tokenizer.
    """
    assert trajectory.attempts == 1, trajectory.error
    said = [message for message in trajectory.messages[trajectory.opening :] if message["role"] == "assistant"]
    summaries = {made.turn: made.summary for made in trajectory.compactions if made.summary is not None}
    replies: list[tuple[Turn, Message | None]] = []
    for number, (turn, message) in enumerate(zip(trajectory.turns, said, strict=True)):
        replies += [(summaries[number], None)] if number in summaries else []
        replies.append((turn, message))
    replies += [(summary, None) for number, summary in summaries.items() if number == len(said)]
    marked = [np.zeros(len(segment.ids), dtype=bool) for segment in trajectory.segments]
    for (turn, message), request in zip(replies, requests, strict=True):
        segment, generation = trajectory.segments[turn.segment], request.generation
        assert segment.ids[: turn.start].tolist() == list(request.prompt_ids)
        assert segment.ids[turn.start : turn.end].tolist() == list(generation.token_ids)
        assert np.array_equal(segment.logprobs[turn.start : turn.end], np.float32(generation.logprobs))
        assert turn.finish_reason == generation.finish_reason
        assert tuple(turn.versions) == tuple(generation.versions)
        assert not marked[turn.segment][turn.start : turn.end].any()
        marked[turn.segment][turn.start : turn.end] = True
        if message is not None:
            read = before_stop(tokenizer, generation, request.sampling)
            parsed = as_assistant(codec.parse(read, request.prompt_ids, trajectory.tools))
            assert _without_ids(parsed) == _without_ids(message)
    for segment, mask in zip(trajectory.segments, marked, strict=True):
        assert np.array_equal(segment.sampled, mask)
        assert not segment.logprobs[~mask].any()
        assert segment.ids.dtype == np.int32
        assert segment.logprobs.dtype == np.float32


def _without_ids(message: Message) -> dict[str, Any]:
    calls = [call["function"] for call in message.get("tool_calls", ())]
    return {**message, "tool_calls": calls}
