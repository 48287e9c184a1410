"""What to train on, in the forms that `GRPOTrainer` takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import msgspec

from llmgym.codec import ChatCodec, codec_for
from llmgym.errors import ConfigError, PolicyError
from llmgym.messages import Message
from llmgym.rollout.config import EnvConfig
from llmgym.trainers.common import TaskRef, TrainerPolicy, metrics, task_rows
from llmgym.trainers.compatibility import check_version
from llmgym.trainers.games import GameEpisodes
from llmgym.trainers.trl import sampling
from llmgym.trainers.trl.environment import Play, ToolEnvironment, environment_class
from llmgym.trainers.trl.prompts import Prompt, prompt_of, ref_of
from llmgym.trajectory import Trajectory


def spec(env_ids: Sequence[str | EnvConfig], *, max_output_tokens: int | None = None, **settings: Any) -> Spec:
    """Describe what to train on; its parts are arguments of `GRPOTrainer`.

    Args:
        env_ids: Environments, as ids or as `{id, kwargs, wrappers, label}`.
        max_output_tokens: Most tokens of one reply; None for what the episode has left.
        **settings: Further settings of a run, such as `num_tasks`, `split`, `seed` and `max_turns`.

    Raises:
        MissingExtraError: TRL is not installed.
        ConfigError: TRL has a version that this was not tested with, or a setting is wrong or the trainer's to say.
    """
    check_version("trl")
    sampling.check_settings(settings)
    return Spec(max_output_tokens, {"env_ids": list(env_ids), **settings})


class Spec:
    """Environments in the forms that TRL takes; made by `spec`."""

    def __init__(self, max_output_tokens: int | None, settings: dict[str, Any]) -> None:
        self._max_output_tokens, self._settings = max_output_tokens, settings
        self._episodes = GameEpisodes(**settings)  # for all that needs no tokens
        self._trained: tuple[Any, GameEpisodes] | None = None
        self._codec: tuple[Any, ChatCodec] | None = None
        self._players: dict[str, Play] = {}
        self._calls = 0

    @cached_property
    def train_dataset(self) -> Any:
        """A `datasets.Dataset` with a row for each task: its opening messages, and the id of its environment."""
        return self.dataset()

    def dataset(self, **changes: Any) -> Any:
        """The same with other settings, such as `split="test"`, for evaluation by the same trainer."""
        from datasets import Dataset, Features, Json, List, Value

        rows = [
            {"prompt": prompt_of(row.messages, row.ref), "environment": row.ref.env.name}
            for row in task_rows(GameEpisodes, **self._settings | changes)
        ]
        # As JSON: Arrow would give each message the fields of all others, as nulls.
        return Dataset.from_list(rows, features=Features({"prompt": List(Json()), "environment": Value("string")}))

    def rollout_func(self, prompts: Sequence[Prompt], trainer: Any) -> dict[str, Any]:
        """Run an episode for each prompt; for `GRPOTrainer(rollout_func=...)`.

        Limits and sampling come from the trainer's config. Reward functions get the episodes, as `episodes`.

        Args:
            prompts: Of the dataset, each as often as its group has members.
            trainer: The trainer.

        Returns:
            `prompt_ids`, `completion_ids`, `logprobs` (nats), `env_mask` and `episodes`, with a row for each prompt.

        Raises:
            ConfigError: The trainer is configured in a way that rollouts cannot follow.
            PolicyError: Not one episode got a reply out of the engine.
        """
        runs = self._episodes_for(trainer)
        self._calls += 1
        salt = (trainer.args.seed, trainer.accelerator.process_index, trainer.state.global_step, self._calls)

        rows = list(_numbered(map(ref_of, prompts)))
        due = {_episode_of(*row): row for row in rows}  # a game once for all of its agents

        def episodes(policy: TrainerPolicy) -> Sequence[sampling.Episode]:
            policy.generate = sampling.seeded(policy.generate, salt)
            return [runs.run_all(ref, policy, repeat=repeat) for ref, repeat in due.values()]

        found = dict(zip(due, sampling.sample(trainer, episodes), strict=True))
        trajectories = [_of_agent(found[_episode_of(*row)], row[0].agent) for row in rows]
        if all(trajectory.status == "policy_error" for trajectory in trajectories):
            raise PolicyError(f"no episode of the batch got a reply; the first: {trajectories[0].error}")
        samples = [runs.sample(trajectory) for trajectory in trajectories]
        return {
            "prompt_ids": [sample.prompt_ids for sample in samples],
            "completion_ids": [sample.completion_ids for sample in samples],
            "logprobs": [sample.logprobs for sample in samples],
            # TRL's own option looks at the last token, and misses episodes that were cut off after a whole turn.
            "env_mask": [
                [0] * len(sample.loss_mask)
                if trainer.mask_truncated_completions and sample.trajectory.status != "completed"
                else sample.loss_mask
                for sample in samples
            ],
            "episodes": trajectories,
        }

    @cached_property
    def environment_factory(self) -> dict[str, type[ToolEnvironment]]:
        """A class for each environment, for `GRPOTrainer(environment_factory=...)`: TRL runs the tools, turn by turn.

        Raises:
            ConfigError: TRL's loop cannot run an environment, or not with these settings.
        """
        self._episodes.check_sampled_elsewhere()
        self._check_one_agent()
        found = map(self._episodes.instances, self._episodes.config.tasks.environments)
        return {instances.id: environment_class(self._episodes, instances) for instances in found}

    @property
    def reward_funcs(self) -> list[Callable[..., list[float | None]]]:
        """The environments' own verifiers, for each way to sample: `rollout_func`, `environment_factory` or neither."""
        return [self.episode_reward]

    def episode_reward(
        self,
        prompts: Sequence[Prompt],
        completions: Sequence[Sequence[dict[str, Any]]],
        *,
        log_metric: Callable[[str, float], None],
        completion_ids: Sequence[Sequence[int]] | None = None,
        episodes: Sequence[Trajectory] | None = None,
        environments: Sequence[ToolEnvironment] | None = None,
        **_: Any,
    ) -> list[float | None]:
        """Score episodes, and log what became of them.

        Args:
            prompts: Of the dataset.
            completions: Messages of each completion.
            log_metric: Logs a number; a method of the trainer, whose tokenizer reads completions that TRL has not.
            completion_ids: Tokens of each completion.
            episodes: What `rollout_func` ran.
            environments: What TRL's tool loop ran. With neither, each completion is taken for a whole episode.
            **_: Whatever else TRL has to say.

        Returns:
            A reward for each; None, on which TRL does not train, for what failed or was not scored.
        """
        if environments is not None:
            ended = zip(environments, completions, strict=True)
            episodes = [environment.play.end(completion) for environment, completion in ended]
        elif episodes is None:
            self._check_one_agent()
            said = self._read(getattr(log_metric, "__self__", None), prompts, completion_ids)
            episodes = [self._play(*row) for row in zip(prompts, completions, said, strict=True)]
        for name, value in metrics(episodes).items():
            log_metric(name, value)
        # An agent whose game was over before it spoke has nothing that could be compared.
        return [None if episode.agents > 1 and not episode.turns else episode.reward for episode in episodes]

    def _check_one_agent(self) -> None:
        if self._episodes.config.agent.policies:
            raise ConfigError("policies: TRL's own sampling knows one agent; give GRPOTrainer rollout_func")

    def _play(self, prompt: Prompt, completion: Sequence[dict[str, Any]], said: Message | None) -> Trajectory:
        """An episode of one message."""
        play = self._player(prompt)
        play.reset(prompt)
        return play.end(completion, said)

    def _player(self, prompt: Prompt) -> Play:
        instances = self._episodes.instances(ref_of(prompt).env)
        return self._players.setdefault(instances.id, Play(self._episodes, instances))

    def _read(
        self, trainer: Any, prompts: Sequence[Prompt], completion_ids: Sequence[Sequence[int]] | None
    ) -> Sequence[Message | None]:
        """Single messages as their tokens read; None where no trainer says what its tokenizer is."""
        if trainer is None or completion_ids is None:
            return [None] * len(prompts)
        tokenizer = sampling.tokenizer_of(trainer)
        if self._codec is None or self._codec[0] is not tokenizer:
            self._codec = tokenizer, codec_for(tokenizer, self._episodes.config.agent.codec)
        variables = {"chat_template": trainer.chat_template, **(trainer.chat_template_kwargs or {})}
        said: list[Message | None] = []
        for prompt, ids in zip(prompts, completion_ids, strict=True):
            text = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False, **variables)
            tools = [tool.schema for tool in self._player(prompt).tools]
            said.append(self._codec[1].parse(ids, tokenizer.encode(text, add_special_tokens=False), tools))
        return said

    def _episodes_for(self, trainer: Any) -> GameEpisodes:
        """Episodes with a trainer's limits and tokenizer, made once."""
        if self._trained is None or self._trained[0] is not trainer:
            sampling.check_trainer(trainer)
            limit = trainer.max_completion_length
            params = sampling.asked(trainer, self._max_output_tokens)
            settings = self._settings | {"max_completion_length": limit, "responses_create_params": params}
            episodes = GameEpisodes(sampling.tokenizer_of(trainer), **settings)
            sampling.check_ends(trainer, episodes.codec)
            self._trained = trainer, episodes
        return self._trained[1]


def _numbered(refs: Iterable[TaskRef]) -> Iterator[tuple[TaskRef, int]]:
    """Tasks, each with how often it was there before."""
    seen = Counter[str]()
    for ref in refs:
        name = ref.dumps()
        yield ref, seen[name]
        seen[name] += 1


def _episode_of(ref: TaskRef, repeat: int) -> tuple[str, int]:
    """What the rows of one episode share."""
    return msgspec.structs.replace(ref, agent="").dumps(), repeat


def _of_agent(agents: Sequence[Trajectory], agent: str) -> Trajectory:
    """The trajectory of an agent, or of the only one."""
    return next((trajectory for trajectory in agents if trajectory.agent == agent), agents[0])
