"""One game of several agents: those whose turn it is are asked at once, and each has a trajectory of its own."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmgym.concurrency import is_outside, watched
from llmgym.env.boundary import failure
from llmgym.errors import CodecError, EnvironmentFailure, PolicyError
from llmgym.failures import Kind, Stage
from llmgym.messages import Message, ToolSchema, as_assistant, assistant
from llmgym.multiagent import SoloGame, TextGame
from llmgym.rewards import Part
from llmgym.rollout.config import Limits, ResponsesCreateParams
from llmgym.rollout.driver import mark_failed
from llmgym.rollout.episode import take_tokens
from llmgym.rollout.instances import Instances
from llmgym.rollout.runner import Voice, request_name, retried
from llmgym.rollout.seats import Player, Players, Seats
from llmgym.rollout.speakers import OracleSpeaker, PolicyInvalid, Reply, Speaker
from llmgym.rollout.stop import LimitReached, PolicyTimeout, Stop
from llmgym.tasks import Task
from llmgym.trajectory import Trajectory, Turn
from llmgym.wrappers import AnyToolEnv

Note = Callable[[Turn], None]


class GameRunner:
    """Runs single games; `EpisodeRunner` does so for environments of one agent."""

    def __init__(
        self, seats: Seats, players: Players, limits: Limits, params: ResponsesCreateParams, on_turn: Note | None = None
    ) -> None:
        """Take what all games have in common.

        Args:
            seats: Who plays which agent.
            players: The policies, which have started.
            limits: What ends an episode.
            params: How replies are sampled.
            on_turn: Called after each turn.
        """
        self._seats, self._players, self._limits, self._params = seats, players, limits, params
        self._on_turn = on_turn
        self._voices: dict[int, Voice] = {}

    async def run(
        self, instances: Instances, task: Task, repeat: int, *, seed: int, stop: Stop | None = None
    ) -> list[Trajectory]:
        """Run a game, again where it or a policy failed and that may help; gives a trajectory for each agent."""
        stop = stop or Stop()
        cast = self._seats.cast(task)

        async def once(attempt: int) -> list[Trajectory]:
            seats = {agent: self._seat(instances, task, repeat, seed, attempt, agent, cast) for agent in cast}
            await run_game(instances, task, seats, self._limits, self._on_turn, stop)
            return [seat.trajectory for seat in seats.values()]

        return await retried(once, lambda found: found[0].status, self._limits.max_attempts, stop)

    def _seat(
        self, instances: Instances, task: Task, repeat: int, seed: int, attempt: int, agent: str,
        cast: Mapping[str, Player],
    ) -> Seat:  # fmt: skip
        player = cast[agent]
        trajectory = Trajectory(
            instances.id, task.id, repeat, seed, attempts=attempt, agent=agent, agents=len(cast), policy=player.name,
            trainable=player.trainable,
        )  # fmt: skip
        if player.policy is None:
            return Seat(trajectory, ScriptSpeaker(agent))
        voice = self._voices.get(id(player.policy))
        if voice is None:
            codec = self._players.codec(player.policy)
            voice = self._voices[id(player.policy)] = Voice(player.policy, codec, self._params, self._limits)
        trajectory.sampling = voice.params
        return Seat(trajectory, voice.speaker(request_name(trajectory)))


class ScriptSpeaker(OracleSpeaker):
    """Speaks for the game's own player of an agent, which looks at the game as an oracle does."""

    def __init__(self, agent: str) -> None:
        """Name the agent."""
        super().__init__()
        self._agent = agent

    def open(self, messages: list[Message], tools: list[ToolSchema]) -> None:
        """Nothing to do."""

    async def reply(self, messages: list[Message]) -> Reply:
        """What the script says."""
        core: Any = None if self._env is None else self._env.unwrapped
        return Reply(assistant(core.game.script(self._agent)), "stop", "max_tokens", {})


@dataclass(frozen=True, slots=True)
class Seat:
    """An agent of a running game.

    Attributes:
        trajectory: Its share of the episode; names the agent.
        speaker: Who speaks for it.
    """

    trajectory: Trajectory
    speaker: Speaker


async def run_game(
    instances: Instances, task: Task, seats: Mapping[str, Seat], limits: Limits, on_turn: Note | None, stop: Stop
) -> None:
    """Run one game and fill in the trajectories of its agents.

    A failure of the game, or of any agent's policy, leaves the episode unscored for all of them; only cancellation is
    raised. An agent that reaches a limit cannot go on, and the game ends without it.

    Args:
        instances: Where it happens.
        task: The task.
        seats: Who plays, by agent.
        limits: What ends the episode.
        on_turn: Called after each turn.
        stop: Ends it from outside.
    """
    table = _Table(instances, task, seats, limits, on_turn, stop)
    deadline = stop.bound_episode(limits.episode_timeout)
    try:
        async with deadline:
            with watched(stop):
                await table.play()
    except TimeoutError:
        if not deadline.expired():
            raise
        table.fail(TimeoutError(f"the episode ran past {limits.episode_timeout} s"), "episode_timeout")
    finally:
        stop.close()
        await table.close()


class _Table:
    """A game with its seats, while it is played."""

    def __init__(
        self, instances: Instances, task: Task, seats: Mapping[str, Seat], limits: Limits, on_turn: Note | None,
        stop: Stop,
    ) -> None:  # fmt: skip
        self._instances, self._task, self._seats = instances, task, seats
        self._limits, self._on_turn, self._stop = limits, on_turn, stop
        self._env: AnyToolEnv | None = None
        self._failed, self._asked = False, ""
        self._began = time.perf_counter()

    async def play(self) -> None:
        """Play the game to its end, or to that of somebody who cannot go on."""
        stage: Stage = "setup"
        try:
            game = await self._open()
            stage = "respond"
            while not game.over:
                await self._ask(game, game.waiting)
            stage = "verify"
            self._score(game)
        except LimitReached as limit:  # nobody's doing: the episode is no longer wanted
            for seat in self._seats.values():
                seat.trajectory.status, seat.trajectory.reward = limit.status, None
        except PolicyInvalid as error:
            self.fail(error, "policy_invalid", self._asked)
        except PolicyTimeout as error:
            self.fail(error, "policy_timeout", self._asked)
        except (PolicyError, CodecError) as error:
            self.fail(error, None, self._asked)
        except BaseException as error:  # whatever a game raises
            if is_outside(error):
                raise
            self.fail(error if isinstance(error, EnvironmentFailure) else failure(error, self._instances.id, stage))

    async def _open(self) -> TextGame:
        self._env = await self._instances.acquire()
        core = self._env.unwrapped
        assert isinstance(core, SoloGame)
        for seat in self._seats.values():
            seat.trajectory.task = self._task
            seat.speaker.begin(self._env)
        core.game.begin(self._task)
        return core.game

    async def _ask(self, game: TextGame, agents: Sequence[str]) -> None:
        """Have the agents whose turn it is speak, all of them at once, or see that they cannot."""
        assert self._env is not None
        for agent in agents:
            if len(self._seats[agent].trajectory.turns) >= self._env.max_turns:
                self._quit(game, agent, LimitReached("max_turns"))
                return
        for agent in agents:
            self._asked = agent
            try:
                await self._tell(game, agent, self._seats[agent])
            except LimitReached as limit:
                self._quit(game, agent, limit)
                return
        self._asked = ", ".join(agents)
        seconds = self._limits.generation_timeout
        replies = await self._stop.bounded(lambda: self._replies(agents), seconds)
        for agent, (reply, took) in zip(agents, replies, strict=True):
            self._take(game, agent, reply, took)

    async def _replies(self, agents: Sequence[str]) -> list[tuple[Reply | LimitReached, float]]:
        """What each agent says, or the limit that keeps it from that, and how many seconds it took."""
        if len(agents) == 1:
            return [await self._reply(agents[0])]
        tasks = [asyncio.ensure_future(self._reply(agent)) for agent in agents]
        try:
            return await asyncio.gather(*tasks)
        finally:  # where one fails, the others are not wanted
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _reply(self, agent: str) -> tuple[Reply | LimitReached, float]:
        seat, asked = self._seats[agent], time.perf_counter()
        try:
            said: Reply | LimitReached = await seat.speaker.reply(seat.trajectory.messages)
        except LimitReached as limit:
            said = limit
        except Exception:
            self._asked = agent
            raise
        return said, time.perf_counter() - asked

    def _take(self, game: TextGame, agent: str, reply: Reply | LimitReached, took: float) -> None:
        """Record what an agent says, and play it."""
        if isinstance(reply, LimitReached):
            self._quit(game, agent, reply)
            return
        trajectory = self._seats[agent].trajectory
        turn = Turn(0.0, reply.finish_reason, took, 0.0, **reply.origin)
        trajectory.messages.append(_said(reply.message))
        trajectory.turns.append(turn)
        if reply.finish_reason == "length":
            self._quit(game, agent, LimitReached(reply.bound))
            return
        began = time.perf_counter()
        if not game.over:  # as it may be by an agent that spoke at the same time
            game.say(agent, trajectory.messages[-1]["content"])
        turn.env_s = time.perf_counter() - began
        if self._on_turn is not None:
            self._on_turn(turn)

    def _quit(self, game: TextGame, agent: str, limit: LimitReached) -> None:
        """End the game since an agent cannot go on; raises where that is nobody's doing."""
        if limit.status == "straggler":
            raise limit
        self._seats[agent].trajectory.status = limit.status
        game.quit(agent)

    async def _tell(self, game: TextGame, agent: str, seat: Seat) -> None:
        """Tell an agent what is new to it, and give it room for a reply."""
        trajectory, speaker = seat.trajectory, seat.speaker
        new = list(game.news(agent))
        trajectory.messages += new
        if not trajectory.turns:
            trajectory.opening, trajectory.reward = len(new), 0.0
            speaker.open(trajectory.messages, [])
            return
        try:
            speaker.hear(new, trajectory.messages)
        except CodecError as error:  # some templates refuse what a policy can bring a conversation to
            trajectory.error = str(error)
            raise LimitReached("template_refused") from error
        if speaker.crowded:
            seconds = self._limits.generation_timeout
            await self._stop.bounded(lambda: speaker.make_room(trajectory.messages), seconds)

    def _score(self, game: TextGame) -> None:
        """Give each agent what it has earned, and the last that it is told."""
        scores = {agent: game.earned(agent) for agent in self._seats}
        for agent, seat in self._seats.items():
            trajectory, reward = seat.trajectory, scores[agent].value
            if reward is not None and not math.isfinite(reward):
                reward = None
            new = list(game.news(agent))
            trajectory.messages += new
            if not trajectory.turns:
                trajectory.opening = len(trajectory.messages)
            elif reward is None or reward:
                trajectory.turns[-1].reward = reward
            trajectory.reward, trajectory.reward_parts = reward, {"score": Part(reward)}
            trajectory.metrics = {**scores[agent].metrics, "quit": float(game.quitter == agent)}

    def fail(self, error: Exception, kind: Kind | None = None, agent: str = "") -> None:
        """Leave the episode unscored for all agents."""
        self._failed = True
        for seat in self._seats.values():
            mark_failed(seat.trajectory, error, kind, "none")
            if agent:
                seat.trajectory.error = f"{agent}: {seat.trajectory.error}"

    async def close(self) -> None:
        """Record what the agents have kept, and give the instance back."""
        env, self._env = self._env, None
        if env is not None:
            await (self._instances.discard(env) if self._failed else self._instances.release(env))
        wall = time.perf_counter() - self._began
        for seat in self._seats.values():
            trajectory = seat.trajectory
            trajectory.timings["wall_s"] = wall
            trajectory.timings["engine_s"] = sum(turn.engine_s for turn in trajectory.turns)
            trajectory.timings["env_s"] = sum(turn.env_s for turn in trajectory.turns)
            take_tokens(trajectory, seat.speaker, self._limits)


def _said(message: Message) -> Message:
    """A message as it is kept: games have no tools, so that calls are nothing."""
    said = as_assistant(message)
    said.pop("tool_calls", None)
    return said
