"""Episodes that outgrow their context: what the policy is shown, and that its tokens stay exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.batch import TokenBatch
from llmgym.chat import ChatGeneration, Sampling, Usage
from llmgym.codec import ChatCodec, TemplateCodec
from llmgym.env import Episode, ToolEnv
from llmgym.errors import ContextLengthExceeded
from llmgym.messages import Message, assistant, system, tool_call, user
from llmgym.policies import Generation
from llmgym.rollout import Collector, read_rollouts
from llmgym.rollout.config import ContextManagement
from llmgym.rollout.context import Context
from llmgym.tasks import RowTasks, Task
from llmgym.tools import tool
from llmgym.trajectory import Trajectory, Turn
from tests.codec import families
from tests.command import llmgym
from tests.exactness import FuzzPolicy, Recording, prove

STRATEGIES = ["clear_tool_results", "summarize"]
PAGES = 300


class Pages:
    """The one row of `Book`."""

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "book", {"id": "book", "prompt": f"Read all {PAGES} pages in order, then say 'the end'.", "answer": PAGES}

    def __str__(self) -> str:
        return "the book"


class Book(ToolEnv):
    """Three hundred pages, to be read one after the other."""

    tasks = RowTasks(Pages())
    max_turns = PAGES + 1

    async def setup(self, task: Task) -> None:
        self.pages: list[int] = []

    @tool
    def read(self, page: int) -> str:
        """Read a page."""
        self.pages.append(page)
        return f"Page {page}. " + "It was a dark and stormy night, and the rain fell in torrents. " * (1 + page % 5)

    def oracle(self, task: Task) -> list[Message]:
        return [*(assistant("", tool_call("read", page=page)) for page in range(1, PAGES + 1)), assistant("the end")]

    def verify(self, episode: Episode) -> float:
        return float(self.pages == list(range(1, PAGES + 1)) and episode.final_text == "the end")


gymnasium.register("test/Book-v0", entry_point="tests.rollout.test_context:Book")


class Reader:
    """Samples the oracle's replies as tokens, and a summary where it is asked for one."""

    name = model = "reader"
    logprobs_mode = "processed"

    def __init__(self, tokenizer: Any, codec: ChatCodec, context_length: int, summary: str) -> None:
        self.tokenizer, self.context_length, self._summary = tokenizer, context_length, summary
        self._stop = codec.stop_token_ids[0]
        self._replies = [_written(message) for message in Book().oracle(Task(id="book", prompt=""))]

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, **ids: str) -> Generation:
        assert len(prompt_ids) + sampling.max_tokens <= self.context_length
        last = ids["request_id"].rpartition("/")[2]
        text = self._summary if last == "summary" else self._replies[int(last)]
        tokens = [*self.tokenizer.encode(text, add_special_tokens=False), self._stop]
        cut = tokens[: sampling.max_tokens]
        return Generation(cut, [-0.5] * len(cut), "stop" if cut == tokens else "length")


def _written(message: Message) -> str:
    calls = [call["function"] for call in message.get("tool_calls", ())]
    blocks = [f'<tool_call>\n{{"name": "{c["name"]}", "arguments": {c["arguments"]}}}\n</tool_call>' for c in calls]
    return message["content"] + "".join(blocks)


async def read_book(
    tokenizer: Any, output: Path, summary: str = "I have read some pages.", *, context_length: int = 4096, **how: Any
) -> tuple[Trajectory, Recording, ChatCodec]:
    """Have the book read in a small context, and prove every token; gives the trajectory as it was stored too."""
    codec = TemplateCodec(tokenizer)
    policy = Recording(Reader(tokenizer, codec, context_length, summary))
    collector = Collector(["test/Book-v0"], policy, codec=codec, output=output, context_management=how)
    [group] = [group async for group in collector.stream()]
    [trajectory] = group.trajectories
    for one in (trajectory, *read_rollouts(output)):
        prove(one, policy.requests[one.id], codec)
    assert collector.summary is not None
    assert collector.summary["compactions"] == len(trajectory.compactions) == trajectory.metrics["num_compactions"]
    return trajectory, policy, codec


async def prove_long_episode(tokenizer: Any, output: Path, strategy: str) -> None:
    """Three hundred turns in 4,096 tokens: read to the end, exact, and every sampled token trained once."""
    trajectory, policy, codec = await read_book(tokenizer, output, strategy=strategy)
    requests = policy.requests[trajectory.id]
    assert (trajectory.status, trajectory.reward, len(trajectory.turns)) == ("completed", 1.0, PAGES + 1)
    assert max(len(request.prompt_ids) for request in requests) <= 4096
    assert 3 <= len(trajectory.compactions) == len(trajectory.segments) - 1
    summaries = [made.summary for made in trajectory.compactions if made.summary]
    assert len(summaries) == (len(trajectory.compactions) if strategy == "summarize" else 0)
    assert len(requests) == len(trajectory.turns) + len(summaries)
    assert trajectory.sampled_tokens == sum(len(request.generation.token_ids) for request in requests)
    batch = TokenBatch.of([trajectory])
    assert batch.loss_mask.sum() == trajectory.sampled_tokens
    assert (batch.policy_versions[batch.loss_mask] == 0).all()
    assert batch.rewards.sum() == batch.episode_rewards[0] == 1.0
    assert trajectory.usage["agent"].output_tokens == trajectory.sampled_tokens
    # The transcript is whole, and what the policy was shown of it can be told from the trajectory.
    assert len(trajectory.messages) == trajectory.opening + 2 * PAGES + 1
    asked = {turn.segment: number for number, turn in reversed(list(enumerate(trajectory.turns)))}
    for number in asked.values():
        turn = trajectory.turns[number]
        prompt = trajectory.segments[turn.segment].ids[: turn.start].tolist()
        assert codec.open(trajectory.shown(number), trajectory.tools) == prompt


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_three_hundred_turns_in_a_small_context(strategy: str, tmp_path: Path) -> None:
    await prove_long_episode(families.tokenizer("smollm2"), tmp_path / "run", strategy)


async def test_without_management_the_context_ends_the_episode(tmp_path: Path) -> None:
    tokenizer = families.tokenizer("smollm2")
    codec = TemplateCodec(tokenizer)
    collector = Collector(["test/Book-v0"], Reader(tokenizer, codec, 4096, ""), codec=codec, output=tmp_path / "run")
    [group] = [group async for group in collector.stream()]
    [trajectory] = group.trajectories
    assert (trajectory.status, trajectory.compactions) == ("context_length", [])
    assert "num_compactions" not in trajectory.metrics


@pytest.mark.parametrize(
    "summary",
    ["", '<tool_call>\n{"name": "read", "arguments": {"page": 7}}\n</tool_call>', "and so on " * 400],
    ids=["empty", "call", "cut"],
)
async def test_odd_summaries(summary: str, tmp_path: Path) -> None:
    """An empty one says nothing, a call in it is not executed, and one that is cut off is taken as it is."""
    trajectory, *_ = await read_book(families.tokenizer("smollm2"), tmp_path / "run", summary, strategy="summarize")
    assert trajectory.reward == 1.0
    first = trajectory.compactions[0]
    assert first.summary is not None
    assert first.summary.finish_reason == ("length" if "and so on" in summary else "stop")
    assert first.note.startswith("[")
    assert ("and so on and so on" in first.note) == ("and so on" in summary)
    assert "tool_call" not in first.note


async def test_what_cannot_be_made_small_enough_ends_as_before(tmp_path: Path) -> None:
    trajectory, *_ = await read_book(
        families.tokenizer("smollm2"), tmp_path / "run", strategy="summarize", context_length=420
    )
    assert trajectory.status == "context_length"
    assert trajectory.reward == 0.0


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_trigger_and_what_is_kept(strategy: str, tmp_path: Path) -> None:
    trajectory, policy, _ = await read_book(
        families.tokenizer("smollm2"), tmp_path / "run", strategy=strategy, trigger=2000, keep=2
    )
    prompts = [r.prompt_ids for r in policy.requests[trajectory.id]]
    assert max(map(len, prompts)) < 2000 + (300 if strategy == "summarize" else 0)
    for made in trajectory.compactions:
        shown = trajectory.shown(made.turn)
        assert not any("cleared" in message["content"] for message in shown[-4:])
        assert shown[-1] == trajectory.messages[trajectory.messages.index(shown[-1])]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_what_trainers_bound_counts_as_the_context(strategy: str) -> None:
    tokenizer = families.tokenizer("smollm2")
    codec = TemplateCodec(tokenizer)
    collector = Collector(
        ["test/Book-v0"], Reader(tokenizer, codec, 100_000, "Some pages."), codec=codec, max_completion_length=1500,
        context_management={"strategy": strategy},
    )  # fmt: skip
    [group] = [group async for group in collector.stream()]
    batch = TokenBatch.of(group.trajectories)
    assert (group.trajectories[0].reward, len(batch) > 3) == (1.0, True)
    assert batch.completion_ids.shape[1] <= 1500


async def test_a_summary_counts_as_sampled_tokens(tmp_path: Path) -> None:
    tokenizer = families.tokenizer("smollm2")
    codec = TemplateCodec(tokenizer)
    policy = Recording(Reader(tokenizer, codec, 2048, "a summary " * 50))
    collector = Collector(
        ["test/Book-v0"], policy, codec=codec, context_management={"strategy": "summarize"}, max_episode_tokens=900
    )
    [group] = [group async for group in collector.stream()]
    [trajectory] = group.trajectories
    assert trajectory.status == "max_tokens"
    assert trajectory.sampled_tokens == 900
    assert any(made.summary for made in trajectory.compactions)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("family", ["smollm2", "qwen3", "qwen2.5", "llama3.1", "mistral", "gemma"])
async def test_whatever_is_sampled_stays_exact(family: str, strategy: str, tmp_path: Path) -> None:
    tokenizer = families.tokenizer(family)
    codec = TemplateCodec(tokenizer)
    opening = len(codec.open([user("Say 1099511627776, \U0001f642.")], []))
    policy = Recording(FuzzPolicy(tokenizer, codec.stop_token_ids, 11, context_length=opening + 1500))
    collector = Collector(
        ["test/Talk-v0"], policy, codec=codec, output=tmp_path / "run", num_tasks=60, max_turns=30,
        responses_create_params={"max_output_tokens": 60},
        context_management={"strategy": strategy, "trigger": opening + 300, "keep": 1},
    )  # fmt: skip
    found = [group.trajectories[0] async for group in collector.stream()]
    assert sum(len(trajectory.compactions) for trajectory in found) >= 10
    for trajectory in [*found, *read_rollouts(tmp_path / "run")]:
        assert trajectory.finished, trajectory.error
        assert trajectory.status != "template_refused"
        prove(trajectory, policy.requests[trajectory.id], codec)


# --- chats --------------------------------------------------------------------------------------


class Endpoint:
    """A chat model that plays the oracle's part; its context has so many characters."""

    name = model = "endpoint"

    def __init__(self, characters: int) -> None:
        self.characters = characters
        self.asked: list[list[Message]] = []
        self.refused = self.summaries = 0
        self._replies = Book().oracle(Task(id="book", prompt=""))

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def chat(
        self, messages: Sequence[Message], tools: Any, sampling: Sampling, *, request_id: str, session_id: str
    ) -> ChatGeneration:
        size = sum(len(message["content"]) + 60 for message in messages)
        if size > self.characters:
            self.refused += 1
            raise ContextLengthExceeded("too long")
        self.asked.append(list(messages))
        usage = Usage(size, 10, calls=1)
        last = request_id.rpartition("/")[2]
        if last == "summary":
            self.summaries += 1
            assert messages[-1]["role"] == "user"
            return ChatGeneration(assistant("Much was read.", tool_call("read", page=1)), "stop", usage)
        return ChatGeneration(self._replies[int(last)], "stop", usage)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("trigger", [None, 6000])
async def test_a_chat_policy_is_shown_less_too(strategy: str, trigger: int | None) -> None:
    policy = Endpoint(12_000)
    collector = Collector(["test/Book-v0"], policy, context_management={"strategy": strategy, "trigger": trigger})
    [group] = [group async for group in collector.stream()]
    [trajectory] = group.trajectories
    assert (trajectory.status, trajectory.reward) == ("completed", 1.0)
    assert trajectory.compactions
    assert (policy.refused > 0) == (trigger is None)
    assert policy.summaries == sum(made.summary is not None for made in trajectory.compactions)
    assert (policy.summaries > 0) == (strategy == "summarize")
    assert trajectory.timings["engine_s"] == sum(reply.engine_s for reply in trajectory.replies)
    assert trajectory.usage["agent"].calls == len(policy.asked)
    replies = [m for m in policy.asked if m[-1]["role"] == "tool" or len(m) == trajectory.opening]
    assert [trajectory.shown(turn) for turn in range(PAGES + 1)] == replies


async def test_show_says_where_the_context_was_compacted(tmp_path: Path) -> None:
    collector = Collector(
        ["test/Book-v0"], Endpoint(12_000), output=tmp_path / "run", context_management={"strategy": "summarize"}
    )
    await collector.collect()
    shown = llmgym("show", tmp_path / "run").stdout
    assert shown.count("[context] [") == shown.count("Much was read.") == collector.summary["compactions"]  # type: ignore[index]
    assert f"; {collector.summary['compactions']} compactions" in llmgym("summary", tmp_path / "run").stdout  # type: ignore[index]


async def test_an_endpoint_that_takes_nothing_ends_the_episode() -> None:
    collector = Collector(["test/Book-v0"], Endpoint(100), context_management={"strategy": "clear_tool_results"})
    [group] = [group async for group in collector.stream()]
    assert group.trajectories[0].status == "context_length"


# --- what is shown ------------------------------------------------------------------------------

results = st.lists(st.sampled_from(["ok", "a long result " * 20]), min_size=1, max_size=2)


@given(
    turns=st.lists(results, min_size=1, max_size=20),
    keep=st.integers(1, 4),
    opening=st.integers(0, 2),
    moves=st.lists(st.sampled_from(["turn", "shrink", "summarize"]), max_size=25),
)
def test_the_newest_turns_stay(turns: list[list[str]], keep: int, opening: int, moves: list[str]) -> None:
    messages: list[Message] = [system("s"), user("u")][:opening]
    context = Context(ContextManagement("summarize", keep=keep))
    context.open(messages)
    script = iter(turns)
    for move in ["turn", *moves, *["shrink"] * 40]:
        before = len(context.shown(messages))
        if move == "turn" and (said := next(script, None)):
            messages += [assistant("c"), *({"role": "tool", "content": text} for text in said)]
            assert context.shown(messages)[before:] == messages[-1 - len(said) :]
        elif move == "shrink":
            could = context.can_shrink(messages)
            assert context.shrink(messages) == could
        elif move == "summarize" and context.can_shrink(messages):
            context.summarize(messages, "what was", Turn(0.0, "stop", 0.0, 0.0))
            assert "what was" in context.shown(messages)[0 if opening < 2 else 1]["content"]
        shown = context.shown(messages)
        newest = max((at for at, m in enumerate(messages) if m["role"] == "assistant"), default=0)
        assert shown[-(len(messages) - newest) :] == messages[newest:]
        assert len(context.compactions) == len({made.turn for made in context.compactions})
    assert not context.can_shrink(messages)
    assert sum(message["role"] == "assistant" for message in context.shown(messages)) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_turns_in_which_nothing_was_said_are_left_out_too(strategy: Any) -> None:
    messages = [user("go"), *[assistant(""), user("")] * 10]
    context = Context(ContextManagement(strategy))
    context.open(messages[:1])
    for _ in range(10):
        if not context.shrink(messages):
            break
    assert len(context.shown(messages)) == 3
