"""The one contract of all trainers' adapters: what they receive, how an episode is run, and what they must return.

A trainer's dataset names an environment and a task (`TaskRef`). An adapter runs that episode with whatever the trainer
samples with (`TrainerPolicy`, `Episodes.run`) and returns what came of it (`Sample`):

- Prompt and completion are the engine's own ids, and the mask is 1 on exactly those that were sampled.
- Log-probabilities stand at the tokens that they belong to, and step rewards at the last token of their turn.
- A row ends with a sampled token and is never empty.
- An episode that failed, or was not scored, has `reward` None, and none of its tokens is trained. It is never worth 0.
- Episodes of one task share their task and seed, and differ only in what is sampled.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from llmgym.chat import Sampling
from llmgym.codec import codec_for
from llmgym.codec.base import ChatCodec
from llmgym.concurrency import drive_in_background
from llmgym.errors import ConfigError, EnvironmentFailure
from llmgym.messages import Message, ToolSchema, read_reply
from llmgym.policies.base import Generation, LogprobsMode, TokenPolicy
from llmgym.rollout.config import EnvConfig, ResponsesCreateParams, RolloutConfig, SessionSettings, parse_config
from llmgym.rollout.driver import Driver
from llmgym.rollout.instances import Instances
from llmgym.rollout.order import Plan
from llmgym.rollout.reference import TaskRef
from llmgym.rollout.roles import OWN
from llmgym.rollout.runner import episode_seed, running
from llmgym.trajectory import Status, Trajectory

_log = logging.getLogger("llmgym.trainers")


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as a trainer's dataset needs it.

    Attributes:
        ref: Names it.
        messages: Opening messages.
        tools: Schemas of the tools.
        answer: What the verifier compares with, for tables; may be None.
    """

    ref: TaskRef
    messages: list[Message]
    tools: list[ToolSchema]
    answer: Any


@dataclass(frozen=True, slots=True)
class Sample:
    """One row for a trainer: a prompt, and a completion that may hold several turns.

    Attributes:
        prompt_ids: Tokens before the first that was sampled.
        completion_ids: The rest; never empty.
        loss_mask: 1 on sampled tokens, 0 on others; all 0 where nothing may be trained.
        logprobs: Log-probability (nats) of each sampled token, 0.0 elsewhere.
        rewards: Each turn's reward, on its last token, else 0.0.
        reward: Reward of the episode; None where it failed or was not scored.
        trajectory: The episode.
        spans: Where each reply's sampled tokens are in the completion, as [start, end), trained or not.
        segment: Which of the episode's segments it is; None of an episode in which nothing was sampled.
    """

    prompt_ids: list[int]
    completion_ids: list[int]
    loss_mask: list[int]
    logprobs: list[float]
    rewards: list[float]
    reward: float | None
    trajectory: Trajectory
    spans: Sequence[tuple[int, int]] = ()
    segment: int | None = None


class Generate(Protocol):
    """How a trainer samples; as `TokenPolicy.generate`."""

    async def __call__(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        """Sample one reply."""
        ...


class TrainerPolicy:
    """A `TokenPolicy` over whatever a trainer samples with; the trainer starts and ends it."""

    def __init__(
        self,
        name: str,
        generate: Generate,
        tokenizer: Any,
        context_length: int,
        logprobs_mode: LogprobsMode = "processed",
    ) -> None:
        """Take the trainer's way to sample.

        Args:
            name: Name of the trainer.
            generate: Samples one reply.
            tokenizer: The engine's.
            context_length: Most tokens of prompt and reply together.
            logprobs_mode: What the log-probabilities are of.
        """
        self.name = self.model = name
        self.generate = generate
        self.tokenizer, self.context_length = tokenizer, context_length
        self.logprobs_mode: LogprobsMode = logprobs_mode

    async def start(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""


class Episodes:
    """Runs the episodes that a trainer asks for; one for a process, in one event loop at a time.

    Attributes:
        config: Limits, deadlines and sampling.
        codec: Codec of the trainer's tokenizer; None where the adapter speaks text.
        games: Whether games of several agents are among them.
    """

    games: ClassVar[bool] = False

    def __init__(self, tokenizer: Any = None, **settings: Any) -> None:
        """Configure them.

        Args:
            tokenizer: The tokenizer of the trainer's model; None where no tokens are needed.
            **settings: Settings of a run that are of tasks, agents, limits or groups.

        Raises:
            ConfigError: A setting is unknown or makes no sense.
            CodecError: The tokenizer's chat template cannot be used.
        """
        if runs := SessionSettings.among(settings):
            raise ConfigError(
                f"{next(iter(runs))} is a setting of runs: how many episodes run, and when, is the trainer's"
            )
        self.config: RolloutConfig = parse_config(settings, "settings")
        if self.config.agent.policies and not self.games:
            raise ConfigError(
                "policies: this way to train takes episodes of one agent; games of several are trained by TRL's "
                "rollout_func, or from the groups of `Collector.stream`"
            )
        if own := [role for role, model in self.config.agent.models.items() if model == OWN]:
            raise ConfigError(
                f"models: {own[0]} is {OWN!r}, which is the trainer's here and plays no role; name a model, such as "
                "openai:MODEL or http://HOST:PORT"
            )
        self._tokenizer = tokenizer
        self.codec: ChatCodec | None = None if tokenizer is None else codec_for(tokenizer, self.config.agent.codec)
        self._instances: dict[bytes, Instances] = {}

    def instances(self, env: EnvConfig) -> Instances:
        """The instances of an environment, made when first asked for."""
        key = msgspec.json.encode(env, order="deterministic")
        if key not in self._instances:
            config = self.config
            made = Instances(
                env, max_turns=config.limits.max_turns, split=config.tasks.split, models=config.agent.models,
                several=bool(config.agent.policies),
            )  # fmt: skip
            if made.verifies_groups:
                made.close()
                raise ConfigError(
                    f"{env.id} scores the repeats of a task beside each other, which an adapter that runs single "
                    "episodes cannot do: train on the groups of `Collector.stream`"
                )
            self._instances[key] = made
        return self._instances[key]

    def refs(self) -> Iterator[TaskRef]:
        """The tasks of the configuration (`env_ids`, `split`, `seed`, `num_tasks`), the environments by turns.

        Raises:
            ConfigError: `env_ids` is empty, or `num_tasks` does not fit.
        """
        envs = {env.name: env for env in self.config.tasks.environments}
        sources = [self.instances(env).source for env in envs.values()]
        tasks = self.config.tasks
        for source, index, _ in Plan().visits(sources, self.config):
            env, task = envs[source.id], source.plan(tasks.split, tasks.seed, index)
            yield TaskRef(env, task.id, episode_seed(tasks.seed, source.scope, task.id))

    async def rows(self) -> list[TaskRow]:
        """The same with their opening messages and tools, each from a reset of its environment."""
        return [await self.row(ref) for ref in self.refs()]

    async def row(self, ref: TaskRef) -> TaskRow:
        """Reset an environment to a task and see how it opens.

        Raises:
            TaskError: There is no such task.
            EnvironmentFailure: The environment failed to open it.
        """
        driver = self.driver(ref)
        opened = await driver.open()
        await driver.close()
        trajectory = driver.trajectory
        if not opened:
            raise EnvironmentFailure(f"{trajectory.env_id}, task {ref.task_id}: {trajectory.error}")
        assert trajectory.task is not None
        return TaskRow(ref, trajectory.messages, trajectory.tools, trajectory.task.answer)

    def check_sampled_elsewhere(self) -> None:
        """See that nothing is asked for that whoever samples has to do.

        Raises:
            ConfigError: It is.
        """
        if self.config.limits.context_management is not None:
            raise ConfigError(
                "context_management is for episodes that llmgym samples; here the trainer decides what the policy is "
                "shown: leave it out, or take the way of this trainer that samples with llmgym"
            )
        if self.config.agent.agent_command is not None:
            raise ConfigError(
                "agent_command: here the trainer asks the policy, and no program can; take the way of this trainer "
                "that samples with llmgym"
            )

    def driver(self, ref: TaskRef, repeat: int = 0) -> Driver:
        """An episode for somebody who finds its messages himself.

        Raises:
            ConfigError: There is no such environment.
            TaskError: There is no such task.
        """
        instances = self.instances(ref.env)
        task = instances.source.tasks.get(ref.task_id)
        return Driver(instances, task, Trajectory(instances.id, task.id, repeat, ref.seed))

    async def run(
        self,
        ref: TaskRef,
        policy: TrainerPolicy | TokenPolicy,
        *,
        repeat: int = 0,
        params: ResponsesCreateParams | None = None,
    ) -> Trajectory:
        """Run an episode; a failure is a status and a warning in the log, never an exception.

        Args:
            ref: Which.
            policy: Samples.
            repeat: Number of the episode in its group.
            params: How replies are sampled, where not as configured.

        Raises:
            ConfigError: There is no such environment.
            TaskError: There is no such task.
        """
        assert self.codec is not None, "give Episodes the tokenizer"
        instances = self.instances(ref.env)
        params = params or self.config.agent.responses_create_params
        async with running(self.config.agent, policy, self.codec, self.config.limits, params) as runner:
            trajectory = await runner.run(instances, instances.source.tasks.get(ref.task_id), repeat, seed=ref.seed)
        self.warn(trajectory)
        return trajectory

    @staticmethod
    def warn(trajectory: Trajectory) -> None:
        """Log what an episode failed of, if it did."""
        if trajectory.error is not None:
            _log.warning("%s: %s: %s", trajectory.id, trajectory.status, trajectory.error)

    def prompt_ids(self, trajectory: Trajectory) -> list[int]:
        """The opening of an episode, rendered; nothing without a tokenizer, or where the setup failed."""
        opening = trajectory.messages[: trajectory.opening]
        return self.codec.open(opening, trajectory.tools) if self.codec is not None and opening else []

    def read(self, reply: str, prompt_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Message:
        """Read a reply that came as text: as rollouts read its tokens, where the tokenizer is known.

        Args:
            reply: The text, with its control tokens where there are any.
            prompt_ids: The prompt that it follows, or its end.
            tools: What the model was offered.
        """
        if self.codec is None:
            return read_reply(reply)
        return self.codec.parse(self._tokenizer.encode(reply, add_special_tokens=False), prompt_ids, tools)

    def samples(self, trajectory: Trajectory) -> list[Sample]:
        """All rows of an episode: one for each segment, since a template may have rewritten history between turns.

        Contexts beside the agent's own, and replies that reached nobody, give none. An episode in which nothing was
        sampled gives one row that trains nothing.
        """
        rewards = trajectory.token_rewards()
        rows = [_sample(trajectory, at, rewards[at]) for at, one in enumerate(trajectory.segments) if one.trained]
        return rows or [self._blank(trajectory)]

    def sample(self, trajectory: Trajectory) -> Sample:
        """The row of an episode for trainers that take one: the segment in which most was sampled.

        What turns of other segments have earned is on its last token, so that its rewards sum to the episode's.
        """
        samples = self.samples(trajectory)
        chosen = max(samples, key=lambda sample: sum(sample.loss_mask))
        missing = sum(sum(sample.rewards) for sample in samples if sample is not chosen)
        return replace(chosen, rewards=[*chosen.rewards[:-1], chosen.rewards[-1] + missing]) if missing else chosen

    def _blank(self, trajectory: Trajectory) -> Sample:
        """A row for an episode without tokens, for trainers that must have one."""
        assert self.codec is not None
        token, reward = self.codec.stop_token_ids[0], trajectory.reward  # which counts for the others of its group
        prompt = self.prompt_ids(trajectory) or [token]
        return Sample(prompt, [token], [0], [0.0], [reward or 0.0], reward, trajectory)

    def close(self) -> None:
        """Close the environments."""
        for instances in self._instances.values():
            instances.close()
        self._instances.clear()


def _sample(trajectory: Trajectory, number: int, token_rewards: NDArray[np.float64]) -> Sample:
    # Not those of the turns: a reply in whose step the environment failed has none.
    segment = trajectory.segments[number]
    spans = segment.spans
    start, end = spans[0][0], spans[-1][1]  # an empty reply at the end leaves the context before it
    ids: list[int] = segment.ids[:end].tolist()
    trained = trajectory.reward is not None
    return Sample(
        prompt_ids=ids[:start],
        completion_ids=ids[start:],
        loss_mask=segment.sampled[start:end].astype(int).tolist() if trained else [0] * (end - start),
        logprobs=segment.logprobs[start:end].tolist(),
        rewards=token_rewards[start:end].tolist(),
        reward=trajectory.reward,
        trajectory=trajectory,
        spans=[(first - start, last - start) for first, last in spans],
        segment=number,
    )


def task_rows(kind: type[Episodes] = Episodes, /, **settings: Any) -> list[TaskRow]:
    """The tasks of a configuration for a trainer's dataset, for synchronous callers.

    Args:
        kind: What the adapter makes episodes with.
        **settings: Settings of a run: `env_ids`, `num_tasks`, `split`, `seed`.

    Raises:
        ConfigError: A setting is wrong.
        EnvironmentFailure: The setup of an environment failed.
    """
    episodes = kind(**settings)
    try:
        return drive_in_background(episodes.rows())
    finally:
        episodes.close()


def metrics(trajectories: Iterable[Trajectory]) -> dict[str, float]:
    """What a trainer should log about a batch of episodes: shares by status, lengths, rows that it did not get.

    The names are the same for every batch, or means over batches and ranks would leave out those where a share is 0.
    """
    episodes = list(trajectories)
    if not episodes:
        return {}
    statuses = Counter(episode.status for episode in episodes)
    counted = {
        "unscored": sum(episode.reward is None for episode in episodes),
        "turns": sum(len(episode.turns) for episode in episodes),
        "sampled_tokens": sum(episode.sampled_tokens for episode in episodes),
        "segments": sum(len(episode.segments) for episode in episodes),
        "compactions": sum(len(episode.compactions) for episode in episodes),
        **{f"status/{status}": statuses[status] for status in get_args(Status)},
    }
    return {f"llmgym/{name}": total / len(episodes) for name, total in counted.items()}
