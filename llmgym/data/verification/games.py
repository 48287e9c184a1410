"""A stored game of several agents, played again: each agent says what is recorded of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from llmgym.data.verification.differences import Difference, of_messages
from llmgym.data.verification.replay import Replay, exchanges
from llmgym.messages import Message, ToolSchema
from llmgym.rollout.config import Limits
from llmgym.rollout.instances import Instances
from llmgym.rollout.speakers import OracleSpeaker, Reply
from llmgym.rollout.stop import LimitReached, Stop
from llmgym.rollout.table import Seat, run_game
from llmgym.tasks import Task
from llmgym.trajectory import Status, Trajectory


class RecordedSpeaker(OracleSpeaker):
    """Speaks for an agent by what it said when the episode ran.

    Attributes:
        short: Whether more was asked of it than is recorded.
    """

    def __init__(self, was: Trajectory) -> None:
        """Take the agent's share of the episode."""
        super().__init__()
        self.short = False
        self._status: Status = was.status
        said = [message for message in was.messages if message["role"] == "assistant"]
        self._rest = iter(list(zip_longest(said, was.turns[: len(said)])))

    def open(self, messages: list[Message], tools: list[ToolSchema]) -> None:
        """Nothing to do."""

    async def reply(self, messages: list[Message]) -> Reply:
        """The next message that is recorded; where there is none, what ended the agent's game ends it again."""
        message, turn = next(self._rest, (None, None))
        if message is None:
            self.short = self._status == "completed"
            raise LimitReached("max_turns" if self.short else self._status)
        return Reply(message, "stop" if turn is None else turn.finish_reason, self._status, {})


async def replay_game(instances: Instances, stored: Sequence[Trajectory], task: Task) -> list[Replay]:
    """Play the recorded messages of all agents of an episode on their game.

    What fails is in the trajectories; only cancellation is raised.

    Args:
        instances: Where it happens.
        stored: The episode, by agent.
        task: Its task.

    Returns:
        What came of it for each agent, in the same order.
    """
    speakers = [RecordedSpeaker(was) for was in stored]
    seats = {
        was.agent: Seat(
            Trajectory(
                instances.id, was.task_id, was.repeat, was.seed, agent=was.agent, agents=was.agents, policy=was.policy,
                trainable=was.trainable,
            ),
            speaker,
        )
        for was, speaker in zip(stored, speakers, strict=True)
    }  # fmt: skip
    await run_game(instances, task, seats, Limits(), None, Stop())
    made = [Replay(was, seats[was.agent].trajectory) for was in stored]
    for one, speaker in zip(made, speakers, strict=True):
        if one.failure is None:
            one.differences += _differences(one.was, one.now, short=speaker.short)
    return made


def _differences(was: Trajectory, now: Trajectory, *, short: bool) -> Iterator[Difference]:
    if found := of_messages(was.messages[: was.opening], now.messages[: now.opening]):
        yield Difference(was.id, "opening", *found)
    before, after = list(exchanges(was)), list(exchanges(now))
    if short:
        yield Difference(was.id, "ending", was.status, "it goes on", len(before) - 1)
    elif len(after) < len(before):
        ended = f"over after {len(after)} of {len(before)} turns"
        yield Difference(was.id, "ending", was.status, ended, len(after) - 1)
    last = min(len(before), len(after)) - 1
    for turn, ((_, told), (_, tells)) in enumerate(zip(before, after, strict=False)):
        # Behind the last message, an agent that a limit ended may have been told what it was not asked about.
        if (turn < last or was.status == "completed") and (found := of_messages(told, tells)):
            yield Difference(was.id, "observation", *found, turn)
