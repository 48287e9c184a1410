"""What a run is made of: the fields of a configuration file, of the CLI's flags and of `Collector`."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

import msgspec

from llmgym.chat import Sampling
from llmgym.errors import ConfigError
from llmgym.files import read_yaml


class WrapperConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wrapper, by its name in `llmgym.wrappers.WRAPPERS` or as "module:Class", with its arguments."""

    name: str
    kwargs: dict[str, Any] = {}


class EnvConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An environment id with arguments for its class, and wrappers to put around it, the first innermost."""

    id: str
    kwargs: dict[str, Any] = {}
    wrappers: list[WrapperConfig] = []


class ResponsesCreateParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How replies are sampled, under OpenAI's names.

    Attributes:
        temperature: Softmax temperature; 0 takes the likeliest token.
        top_p: Nucleus mass in (0, 1].
        max_output_tokens: Most tokens of one reply.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_output_tokens: int = 256

    def sampling(self, stop_token_ids: tuple[int, ...]) -> Sampling:
        """The same for a policy."""
        return Sampling(self.temperature, self.top_p, self.max_output_tokens, stop_token_ids)


class RolloutConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Configuration of a run.

    Attributes:
        env_ids: Environments, as ids or as `{id, kwargs, wrappers}`.
        policy: Short form of a policy, such as "smollm2" or "http://localhost:8000".
        policy_options: Arguments of the policy's class.
        models: Models for the roles that environments have, such as a judge: role to short form of a policy, or
            "policy" for the run's own.
        codec: "renderer" (hand-written for the model), "template" (any chat template), or "auto".
        split: Split of the tasks.
        seed: Picks the tasks and seeds the environments.
        num_tasks: Tasks of each environment; None takes a whole finite split.
        num_repeats: Episodes of each task: a group.
        num_spare_repeats: Episodes of each task that are started beyond these; a group is whole with the first
            `num_repeats` that finish, and the others are its stragglers.
        stragglers: "drop" forgets them; "keep" ends them where they are, verifies what is there and leaves
            them in the group.
        num_samples_in_parallel: Episodes that run at once; "auto" finds as many as keep the engine busy.
        responses_create_params: How replies are sampled.
        max_turns: Assistant messages per episode; None takes the environment's.
        max_episode_tokens: Tokens that an episode may sample; None for no limit besides the context.
        max_completion_length: Tokens of a segment after its first prompt, sampled or not, as trainers bound them.
        generation_timeout: Seconds for one reply.
        episode_timeout: Seconds for one episode.
        time_budget: Seconds after which no episode is started that would not end in time; None for no end. What has
            run so far says how long episodes take.
        max_attempts: Tries of an episode whose policy or environment failed.
        success_threshold: Reward from which an episode counts as solved in pass@k.
        min_reward_threshold: Where set, the summary counts the episodes that reach it (SFT data).
        min_quality_difference: Where set, the summary counts the groups whose best and worst rewards
            are at least this far apart (DPO pairs).
        fsync_seconds: Finished episodes are on the disk, and not only with the operating system,
            after this long; 0 for each at once.
    """

    env_ids: list[str | EnvConfig] = []
    policy: str = "smollm2"
    policy_options: dict[str, Any] = {}
    models: dict[str, str] = {}
    codec: Literal["auto", "renderer", "template"] = "auto"
    split: str = "train"
    seed: int = 0
    num_tasks: int | None = None
    num_repeats: int = 1
    num_spare_repeats: int = 0
    stragglers: Literal["drop", "keep"] = "drop"
    num_samples_in_parallel: int | Literal["auto"] = 64
    responses_create_params: ResponsesCreateParams = ResponsesCreateParams()
    max_turns: int | None = None
    max_episode_tokens: int | None = None
    max_completion_length: int | None = None
    generation_timeout: float = 600.0
    episode_timeout: float = 3600.0
    time_budget: float | None = None
    max_attempts: int = 3
    success_threshold: float = 1.0
    min_reward_threshold: float | None = None
    min_quality_difference: float | None = None
    fsync_seconds: float = 1.0

    @property
    def environments(self) -> list[EnvConfig]:
        """The environments, each with its arguments."""
        return [EnvConfig(env) if isinstance(env, str) else env for env in self.env_ids]

    def check(self) -> RolloutConfig:
        """Give the same configuration if its values make sense.

        Raises:
            ConfigError: Names the value that does not.
        """
        params = self.responses_create_params
        ids = [env.id.rpartition(":")[2] for env in self.environments]
        rules = {
            "seed": (self.seed, self.seed >= 0, "at least 0"),
            "num_tasks": (self.num_tasks, self.num_tasks is None or self.num_tasks > 0, "at least 1"),
            "num_repeats": (self.num_repeats, self.num_repeats > 0, "at least 1"),
            "num_spare_repeats": (self.num_spare_repeats, self.num_spare_repeats >= 0, "at least 0"),
            "num_samples_in_parallel": (
                self.num_samples_in_parallel,
                self.num_samples_in_parallel == "auto" or self.num_samples_in_parallel > 0,
                'at least 1, or "auto"',
            ),
            "max_turns": (self.max_turns, self.max_turns is None or self.max_turns > 0, "at least 1"),
            "max_episode_tokens": (
                self.max_episode_tokens, self.max_episode_tokens is None or self.max_episode_tokens > 0, "at least 1",
            ),
            "max_completion_length": (
                self.max_completion_length, self.max_completion_length is None or self.max_completion_length > 0,
                "at least 1",
            ),
            "max_attempts": (self.max_attempts, self.max_attempts > 0, "at least 1"),
            "generation_timeout": (self.generation_timeout, self.generation_timeout > 0, "above 0"),
            "episode_timeout": (self.episode_timeout, self.episode_timeout > 0, "above 0"),
            "time_budget": (self.time_budget, self.time_budget is None or self.time_budget > 0, "above 0"),
            "fsync_seconds": (self.fsync_seconds, self.fsync_seconds >= 0, "at least 0"),
            "temperature": (params.temperature, params.temperature >= 0, "at least 0"),
            "top_p": (params.top_p, 0 < params.top_p <= 1, "in (0, 1]"),
            "max_output_tokens": (params.max_output_tokens, params.max_output_tokens > 0, "at least 1"),
            "env_ids": (ids, len(set(ids)) == len(ids), "ids of which none comes twice"),
        }  # fmt: skip
        for name, (value, good, rule) in rules.items():
            if not good:
                raise ConfigError(f"{name} must be {rule}; it is {value!r}")
        return self


def parse_config(data: dict[str, Any], source: str = "configuration") -> RolloutConfig:
    """Read a configuration from plain data.

    Raises:
        ConfigError: Names the source and the key that is wrong.
    """
    if unknown := data.keys() - set(RolloutConfig.__struct_fields__):
        name = sorted(map(str, unknown))[0]
        near = difflib.get_close_matches(name, RolloutConfig.__struct_fields__, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there is {', '.join(RolloutConfig.__struct_fields__)}"
        raise ConfigError(f"{source}: unknown setting {name!r}{hint}")
    try:
        return msgspec.convert(data, RolloutConfig)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        raise ConfigError(f"{source}: {where.strip('`').removeprefix('$.')}: {what}") from None


def load_config(path: Path) -> dict[str, Any]:
    """Read a YAML configuration file as plain data, for flags to be laid over.

    Raises:
        ConfigError: The file cannot be read or is not a YAML mapping; names file and line.
    """
    data, _ = read_yaml(path)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a configuration is a mapping, this is a {type(data).__name__}")
    return data
