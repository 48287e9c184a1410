"""From episodes to what is trained on, before it takes the form of a trainer.

Messages are what the policy was shown when it answered (`Trajectory.shown`), so that a compacted context is none that
never was. A pair is taken at the first reply in which its episodes differ, with what they have in common as the prompt:
completions of several messages would have the results of tools trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from llmgym.codec.formats import HERMES, arguments_of, inline_calls, template_call
from llmgym.data.export.losses import LeftOut, Losses
from llmgym.data.export.recipe import MalformedCalls, Recipe
from llmgym.messages import Message
from llmgym.rollout.config import EnvConfig
from llmgym.rollout.reference import TaskRef
from llmgym.rollout.thresholds import reaches
from llmgym.trajectory import Segment, Trajectory

#: A message as chat templates take it: the arguments of its calls are objects.
Chat = list[dict[str, Any]]

_CHARS = 4  # of a token, about, where no tokens are recorded


@dataclass(frozen=True, slots=True)
class Sample:
    """What a row is made of.

    Attributes:
        episode: Where it is from; of a pair, the better one.
        length: Tokens of the row.
        counted: Whether these were counted, or are guessed from its characters.
        prompt: What the policy was shown.
        completion: What it answered, or all that follows.
        rejected: The same of the worse episode of a pair.
        other: That episode.
        segment: Exact tokens, where these are trained.
        desirable: Whether the answer is to become likelier.
        rewards: Of the repeats of a task.
        number: Which of the tasks.
        ref: The task as adapters of llmgym run it; None where the run does not say what its environment is.
    """

    episode: Trajectory
    length: int
    counted: bool
    prompt: Chat = field(default_factory=list)
    completion: Chat = field(default_factory=list)
    rejected: Chat = field(default_factory=list)
    other: Trajectory | None = None
    segment: Segment | None = None
    desirable: bool = True
    rewards: Sequence[float] = ()
    number: int = 0
    ref: TaskRef | None = None


def of_episode(episode: Trajectory, recipe: Recipe, losses: Losses) -> Iterator[Sample]:
    """What there is to train on of one episode."""
    try:
        if episode.failure is not None or not episode.finished:
            raise LeftOut("the episode failed")
        _expect_trainable(episode)
        if recipe.tokens:
            yield from _segments(episode, losses)
            return
        trained = episode.trained_replies
        if beside := sum(reply in trained for reply in episode.branches):
            losses.add("a reply in another context of the agent", episode.id, beside)
        if recipe.kind == "sft":
            yield _conversation(episode, recipe)
        elif recipe.kind == "kto":
            yield from _replies(episode, recipe, losses)
        else:
            yield _whole(episode, recipe)
    except LeftOut as left:
        losses.add(str(left), episode.id)


def of_pair(better: Trajectory, worse: Trajectory, recipe: Recipe) -> Sample:
    """What two episodes of a task are when they are compared.

    Raises:
        LeftOut: They cannot be; says why.
    """
    _expect_trainable(better)
    _expect_trainable(worse)
    opening = better.opening
    if _bare(better.messages[:opening]) != _bare(worse.messages[: worse.opening]):
        raise LeftOut("the episodes of a pair begin otherwise: the task has changed")
    at = _parting(better, worse)
    if recipe.kind == "reward-model":
        chats = [chat(_until_last_reply(one), recipe.malformed_calls) for one in (better, worse)]
        lengths = [_length_of(one) for one in (better, worse)]
        prompt, chosen, rejected = chats[0][:opening], chats[0][opening:], chats[1][opening:]
    else:
        turn = sum(message["role"] == "assistant" for message in better.messages[opening:at])
        shown = better.shown(turn)
        if _bare(shown) != _bare(worse.shown(turn)):
            raise LeftOut("the contexts of a pair were compacted otherwise")
        prompt = chat(shown, recipe.malformed_calls)
        chosen, rejected = (chat([one.messages[at]], recipe.malformed_calls) for one in (better, worse))
        lengths = [_length_at(one, turn) for one in (better, worse)]
    length, counted = max(n for n, _ in lengths), all(known for _, known in lengths)
    return Sample(better, length, counted, prompt, chosen, rejected, other=worse)


def of_game(repeats: Iterable[Trajectory]) -> Trajectory:
    """The repeat of a game that has the agent's prompt, which is one only where no other agent has a part in it.

    Args:
        repeats: All of them, of one agent.

    Raises:
        LeftOut: It was never the agent's turn, or each game brought it another prompt.
    """
    found: Trajectory | None = None
    for episode in repeats:
        if len(episode.messages) == episode.opening:
            continue  # what came of the game stands in it
        found = found or episode
        if _bare(episode.messages[: episode.opening]) != _bare(found.messages[: found.opening]):
            raise LeftOut("its prompt has what other agents did, which is not the same in its repeats")
    if found is None:
        raise LeftOut("the game was over before it was the agent's turn")
    return found


def of_group(
    episode: Trajectory, rewards: Sequence[float], number: int, environments: Mapping[str, EnvConfig], recipe: Recipe
) -> Sample:
    """The task of a group, to be answered anew.

    Args:
        episode: One of the group.
        rewards: Those that are known.
        number: Which group it is.
        environments: What the run calls each.
        recipe: How episodes become rows.

    Raises:
        LeftOut: It has no prompt, or one that cannot be rendered.
    """
    _expect_trainable(episode)
    seen = episode.environment
    prompt = seen.messages[: seen.opening]
    if not prompt:
        raise LeftOut("it has no prompt")
    length, counted = _guess(prompt, seen.tools), False
    if episode.segments and episode.turns and episode.played is None:
        length, counted = episode.turns[0].start, True
    env = environments.get(episode.env_id)
    agent = episode.agent if episode.agents > 1 else ""
    ref = None if env is None else TaskRef(env, episode.task_id, episode.seed, agent=agent)
    return Sample(
        episode, length, counted, chat(prompt, recipe.malformed_calls), rewards=rewards, number=number, ref=ref
    )


def _expect_trainable(episode: Trajectory) -> None:
    if not episode.trainable:
        raise LeftOut("it is an opponent's")


def chat(messages: Sequence[Message], malformed: MalformedCalls) -> Chat:
    """Messages as templates take them.

    Raises:
        LeftOut: One has a call that is malformed, and these are to be dropped.
    """
    return [_templated(message, malformed) for message in messages]


def _templated(message: Message, malformed: MalformedCalls) -> dict[str, Any]:
    if "tool_calls" not in message:
        return {**message}
    if malformed == "drop" and any(arguments_of(call) is None for call in message["tool_calls"]):
        raise LeftOut("a call is malformed: --malformed-calls text keeps it as text")
    said = cast("dict[str, Any]", {**inline_calls(message, HERMES.write)})
    said["tool_calls"] = [template_call(call) for call in said["tool_calls"]]
    if not said["tool_calls"]:
        del said["tool_calls"]
    return said


# --- parts of an episode ------------------------------------------------------------------------


def _segments(episode: Trajectory, losses: Losses) -> Iterator[Sample]:
    """Each context with the tokens that were sampled in it; every one of these is in one row, and once."""
    if not episode.segments:
        raise LeftOut("no tokens were recorded: --form messages")
    for segment in episode.segments:
        if segment.role == "abandoned":
            losses.add("a reply that was dropped for another", episode.id)
        elif segment.role != "agent":
            losses.add("a context beside the agent's own", f"{episode.id} ({segment.role})")
        elif not segment.delivered:
            losses.add("a reply that reached nobody", episode.id)
        elif segment.trained:
            yield Sample(episode, len(segment.ids), counted=True, segment=segment)
        else:
            losses.add("a context in which nothing was sampled", episode.id)


def _conversation(episode: Trajectory, recipe: Recipe) -> Sample:
    if episode.compactions:
        raise LeftOut("the context was compacted, so that nobody saw the whole conversation: --form tokens")
    return _whole(episode, recipe)


def _whole(episode: Trajectory, recipe: Recipe) -> Sample:
    messages = chat(_until_last_reply(episode), recipe.malformed_calls)
    length, counted = _length_of(episode)
    return Sample(episode, length, counted, messages[: episode.opening], messages[episode.opening :])


def _replies(episode: Trajectory, recipe: Recipe, losses: Losses) -> Iterator[Sample]:
    """Replies, each with what the policy was shown before it; all have the reward of the episode."""
    if episode.reward is None:
        raise LeftOut("unscored")
    said = [m for m in episode.messages[episode.opening :] if m["role"] == "assistant"]
    if not said:
        raise LeftOut("the policy said nothing")
    for turn in range(len(said) - 1 if recipe.turns == "last" else 0, len(said)):
        try:
            prompt, completion = (chat(part, recipe.malformed_calls) for part in (episode.shown(turn), [said[turn]]))
        except LeftOut as left:
            losses.add(f"a reply: {left}", episode.id)
            continue
        length, counted = _length_at(episode, turn)
        desirable = reaches(episode.reward, recipe.threshold)
        yield Sample(episode, length, counted, prompt, completion, desirable=desirable)


def _until_last_reply(episode: Trajectory) -> list[Message]:
    """The transcript without what no reply follows, such as the last observation.

    Raises:
        LeftOut: There is no reply.
    """
    for end in range(len(episode.messages), episode.opening, -1):
        if episode.messages[end - 1]["role"] == "assistant":
            return episode.messages[:end]
    raise LeftOut("the policy said nothing")


# --- two episodes -------------------------------------------------------------------------------


def _parting(better: Trajectory, worse: Trajectory) -> int:
    """Which message of both is the first reply that differs.

    Raises:
        LeftOut: There is none.
    """
    ours, theirs = _bare(better.messages), _bare(worse.messages)
    both = min(len(ours), len(theirs))
    at = next((at for at in range(better.opening, both) if ours[at] != theirs[at]), None)
    if at is None:
        same = "the same" if len(ours) == len(theirs) else "one the start of the other"
        raise LeftOut(f"the episodes of a pair are {same}")
    if ours[at]["role"] != "assistant" or theirs[at]["role"] != "assistant":
        raise LeftOut("the environment answered the same reply of a pair otherwise")
    return at


def _bare(messages: Sequence[Message]) -> list[Mapping[str, Any]]:
    """Messages without the ids of calls, which are drawn anew for each."""
    bare: list[Mapping[str, Any]] = []
    for message in messages:
        said = {key: value for key, value in message.items() if key != "tool_call_id"}
        if "tool_calls" in message:
            said["tool_calls"] = [call["function"] for call in message["tool_calls"]]
        bare.append(said)
    return bare


# --- lengths ------------------------------------------------------------------------------------


def _length_at(episode: Trajectory, turn: int) -> tuple[int, bool]:
    """Tokens of a reply and of what came before it."""
    if episode.segments and turn < len(episode.turns):
        return episode.turns[turn].end, True
    return _guess(episode.shown(turn + 1), episode.tools), False


def _length_of(episode: Trajectory) -> tuple[int, bool]:
    if len(episode.segments) == 1:
        return len(episode.segments[0].ids), True
    return _guess(episode.messages, episode.tools), False


def _guess(messages: Sequence[Message], tools: Sequence[Any]) -> int:
    characters = sum(
        len(message["content"]) + len(message.get("reasoning_content", "")) + 16
        + sum(len(call["function"]["name"] + call["function"]["arguments"]) for call in message.get("tool_calls", ()))
        for message in messages
    )  # fmt: skip
    return (characters + (len(str(tools)) if tools else 0)) // _CHARS + 1
