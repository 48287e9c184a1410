"""What a run is made of: the settings of a configuration file, of the CLI's flags and of `Collector`.

To a user a setting is a name, the same in a file, at the command line and as a keyword. Inside, settings come in parts
by what they are about, each with its rules, and what needs some of them takes their part.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
from msgspec import Meta

from llmgym.chat import Sampling
from llmgym.codec import check_kind
from llmgym.errors import ConfigError
from llmgym.files import read_yaml
from llmgym.rollout.problems import problems, unknown, unwritable

_Natural = Annotated[int, Meta(ge=0)]
_Positive = Annotated[int, Meta(ge=1)]
_Seconds = Annotated[float, Meta(gt=0)]


class WrapperConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wrapper, by its name in `llmgym.wrappers.WRAPPERS` or as "module:Class", with its arguments."""

    name: str
    kwargs: dict[str, Any] = {}


class EnvConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An environment of a run.

    Attributes:
        id: Its id.
        kwargs: Arguments for its class.
        wrappers: Wrappers to put around it, the first innermost.
        label: What the run calls it, in its episodes and in the summary, so that one environment can be there with
            several sets of arguments; the id, without a module before it, where there is none.
    """

    id: str
    kwargs: dict[str, Any] = {}
    wrappers: list[WrapperConfig] = []
    label: str = ""

    @property
    def env_id(self) -> str:
        """The id as Gymnasium has it, without a module before it."""
        return self.id.rpartition(":")[2]

    @property
    def name(self) -> str:
        """The label, or else the id."""
        return self.label or self.env_id


class ResponsesCreateParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How replies are sampled, under OpenAI's names and, where it has none, vLLM's; see `Sampling`.

    Attributes:
        temperature: Softmax temperature; 0 takes the likeliest token.
        top_p: Nucleus mass in (0, 1].
        max_output_tokens: Most tokens of one reply.
        stop: Strings that end a reply. The message ends before the string; the tokens stay as they were sampled.
        top_k: Of how many likeliest tokens to take one; 0 for all.
        min_p: Least probability of a token that may be taken, as a share of the likeliest one's.
        repetition_penalty: For tokens that prompt or reply has; 1 is off.
        presence_penalty: For tokens that the reply has.
        frequency_penalty: For each time that it has them.
    """

    temperature: Annotated[float, Meta(ge=0)] = 1.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    max_output_tokens: _Positive = 256
    stop: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    top_k: _Natural = 0
    min_p: Annotated[float, Meta(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, Meta(gt=0)] = 1.0
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] = 0.0
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] = 0.0

    def sampling(self, stop_token_ids: tuple[int, ...]) -> Sampling:
        """The same for a policy."""
        given = msgspec.structs.asdict(self)
        return Sampling(max_tokens=given.pop("max_output_tokens"), stop_token_ids=stop_token_ids, **given)


def as_data(value: Any) -> Any:
    """Structs as mappings; what else is in them stays as it is, since arguments of environments may be any objects."""
    if isinstance(value, msgspec.Struct):
        return {name: as_data(getattr(value, name)) for name in value.__struct_fields__}
    return [as_data(item) for item in value] if isinstance(value, list) else value


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings that belong together."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Take these from all settings.

        Raises:
            ValidationError: One makes no sense; see `problems`.
        """
        return msgspec.convert(cls.among(settings), cls)

    @classmethod
    def among(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Those that are this part's."""
        return {name: settings[name] for name in cls.__struct_fields__ if name in settings}


class TaskSettings(_Part, frozen=True):
    """Which tasks.

    Attributes:
        env_ids: Environments, as ids or as `{id, kwargs, wrappers, label}`.
        split: Split of the tasks.
        seed: Picks the tasks and seeds the environments.
        num_tasks: Tasks of each environment; None takes a whole finite split.
    """

    env_ids: list[str | EnvConfig] = []
    split: str = "train"
    seed: _Natural = 0
    num_tasks: _Positive | None = None

    def __post_init__(self) -> None:
        """Refuse two environments whose episodes could not be told apart, and one that is to draw from another split.

        An episode's id begins with the name; tasks are drawn for the environments, and not by them.
        """
        for env in self.environments:
            if (split := env.kwargs.get("split", self.split)) != self.split:
                raise ValueError(
                    f"env_ids: {env.name!r} has the argument split={split!r}, and the run draws from {self.split!r}: "
                    "`split` is a setting of the whole run"
                )
        names = [env.name for env in self.environments]
        for name in names:
            if longer := [other for other in names if other.startswith(f"{name}/")]:
                raise ValueError(f"env_ids: {longer[0]!r} begins with {name!r} and a slash; give one another label")
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(
                f"env_ids: {twice[0]!r} is there twice; give one of them a name of its own, "
                f"as in {{id: ..., kwargs: ..., label: mine}}"
            )

    @property
    def environments(self) -> list[EnvConfig]:
        """The environments, each with its arguments."""
        return [EnvConfig(env) if isinstance(env, str) else env for env in self.env_ids]


class AgentSettings(_Part, frozen=True):
    """What answers, and how it is asked.

    Attributes:
        policy: Short form of a policy, such as "smollm2" or "http://localhost:8000".
        policy_options: Arguments of the policy's class.
        models: Models for the roles that environments have, such as a judge: role to short form of a policy, or
            "policy" for the run's own.
        policies: Who plays the agents of a game, by agent or by role ("judge" for all of `judge_0`, ...): "train", the
            run's policy; "frozen", the same without being trained on; "frozen:POLICY", another one; "script", the
            game's own player; or a list of these, of which one is drawn for each task.
        agent_command: A program with its arguments that plays each episode, and asks the policy through a gateway; None
            for the policy alone.
        agent_sandbox: What keeps it from the network, but for the gateway, and from changing files; None for nothing.
        codec: "renderer" (hand-written for the model), "template" (any chat template), "template:FORM" (one whose model
            writes calls in another form than it shows), or "auto".
        responses_create_params: How replies are sampled.
    """

    policy: str = "smollm2"
    policy_options: dict[str, Any] = {}
    models: dict[str, str] = {}
    policies: dict[str, str | list[str]] = {}
    agent_command: str | None = None
    agent_sandbox: Literal["bubblewrap"] | None = None
    codec: str = "auto"
    responses_create_params: ResponsesCreateParams = ResponsesCreateParams()

    def __post_init__(self) -> None:
        """Refuse a codec that there is not, and a command that is none."""
        try:
            check_kind(self.codec)
        except ConfigError as error:
            raise ValueError(f"codec: {error}") from None
        if self.agent_command is None:
            return
        if self.policies:
            raise ValueError("agent_command: a program plays for one agent; leave policies out")
        try:
            words = shlex.split(self.agent_command)
        except ValueError as error:
            raise ValueError(f"agent_command: {error}, in {self.agent_command!r:.200}") from None
        if not (words and words[0]):
            raise ValueError("agent_command: it is empty; name a program, such as 'python agent.py'")


class ContextManagement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the policy is shown less of an episode that outgrows its context.

    Attributes:
        strategy: "clear_tool_results" replaces the results of old turns by a note, and leaves the oldest turns out
            where that is not enough; "summarize" asks the policy for a summary, which takes the place of old turns.
        trigger: Tokens of a prompt from which that is done. None is as late as can be: where there is no room for
            another reply of `max_output_tokens`, or of a quarter of the context if that is less; with a chat policy,
            where its endpoint refuses the prompt.
        keep: Newest turns that stay as they are, as long as the context holds them; the last one always does.
        instructions: What the policy is asked for a summary with.
    """

    strategy: Literal["clear_tool_results", "summarize"]
    trigger: _Positive | None = None
    keep: _Positive = 3
    instructions: str = (
        "Your context is nearly full: most of this conversation will be left out of it. Write a summary for yourself "
        "with all that you need to finish the task: what was asked, what you have done and found out, and what is left "
        "to do. Call no tools now."
    )


class Limits(_Part, frozen=True):
    """What ends an episode besides its environment and its policy.

    Attributes:
        max_turns: Assistant messages; None takes the environment's.
        max_episode_tokens: Tokens that an episode may sample; None for no limit besides the context.
        max_completion_length: Tokens of a segment after its first prompt, sampled or not, as trainers bound them.
        context_management: What is done before the context ends an episode; None for nothing.
        generation_timeout: Seconds for one reply.
        episode_timeout: Seconds for one episode.
        max_attempts: Tries of an episode whose policy or environment failed.
    """

    max_turns: _Positive | None = None
    max_episode_tokens: _Positive | None = None
    max_completion_length: _Positive | None = None
    context_management: ContextManagement | None = None
    generation_timeout: _Seconds = 600.0
    episode_timeout: _Seconds = 3600.0
    max_attempts: _Positive = 3


class GroupSettings(_Part, frozen=True):
    """The episodes of one task: how many there are, and which are counted.

    Attributes:
        num_repeats: Episodes of each task: a group.
        num_spare_repeats: Episodes of each task that are started beyond these; a group is whole with the first
            `num_repeats` that finish, and the others are its stragglers.
        stragglers: "drop" forgets them; "keep" ends them where they are, verifies what is there and leaves
            them in the group.
        success_threshold: Reward from which an episode counts as solved in pass@k.
        min_reward_threshold: Where set, the summary counts the episodes that reach it (SFT data).
        min_quality_difference: Where set, the summary counts the groups whose best and worst rewards
            are at least this far apart (DPO pairs).
    """

    num_repeats: _Positive = 1
    num_spare_repeats: _Natural = 0
    stragglers: Literal["drop", "keep"] = "drop"
    success_threshold: float = 1.0
    min_reward_threshold: float | None = None
    min_quality_difference: float | None = None

    @property
    def num_started(self) -> int:
        """Episodes of each task that are started."""
        return self.num_repeats + self.num_spare_repeats


class TrackConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tracker that is told how a run goes, by its name, with its options; see `llmgym.rollout.trackers`."""

    name: str
    options: dict[str, Any] = {}


_TRACKERS = ("wandb", "mlflow", "tensorboard", "trackio", "prometheus")


class SessionSettings(_Part, frozen=True):
    """How a session goes about it; none of it decides what comes of an episode.

    Attributes:
        num_samples_in_parallel: Episodes that run at once; "auto" finds as many as keep the engine busy.
        time_budget: Seconds after which no episode is started that would not end in time; None for no end. What has
            run so far says how long episodes take.
        fsync_seconds: Finished episodes are on the disk, and not only with the operating system,
            after this long; 0 for each at once.
        track: Trackers that are told how the run goes, as names or as `{name, options}`.
        trace: Of how many episodes OpenTelemetry spans are made, from 0 to 1; see `llmgym.rollout.spans`.
    """

    num_samples_in_parallel: _Positive | Literal["auto"] = 64
    time_budget: _Seconds | None = None
    fsync_seconds: Annotated[float, Meta(ge=0)] = 1.0
    track: list[str | TrackConfig] = []
    trace: Annotated[float, Meta(ge=0, le=1)] = 0.0

    def __post_init__(self) -> None:
        """Refuse trackers that there are not."""
        for tracker in self.trackers:
            if tracker.name not in _TRACKERS:
                raise ValueError(f"track: there is no tracker {tracker.name!r}; there is {', '.join(_TRACKERS)}")

    @property
    def trackers(self) -> list[TrackConfig]:
        """The trackers, each with its options."""
        return [TrackConfig(tracker) if isinstance(tracker, str) else tracker for tracker in self.track]


class RolloutConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Configuration of a run; `parse_config` makes one of settings by name.

    Attributes:
        tasks: Which tasks.
        agent: What answers.
        limits: What ends an episode.
        groups: The episodes of one task.
        session: How a session goes about it.
    """

    tasks: TaskSettings = TaskSettings()
    agent: AgentSettings = AgentSettings()
    limits: Limits = Limits()
    groups: GroupSettings = GroupSettings()
    session: SessionSettings = SessionSettings()

    @property
    def settings(self) -> dict[str, Any]:
        """All settings by name, as plain data, with the objects that were given as arguments of environments."""
        return {name: value for part in as_data(self).values() for name, value in part.items()}

    def with_settings(self, **settings: Any) -> RolloutConfig:
        """The same with other settings."""
        return parse_config(self.settings | settings)


_PARTS = (TaskSettings, AgentSettings, Limits, GroupSettings, SessionSettings)
_NAMES = [name for part in _PARTS for name in part.__struct_fields__]


def parse_config(settings: dict[str, Any], source: str = "configuration") -> RolloutConfig:
    """Read a configuration from settings by name, as plain data.

    Raises:
        ConfigError: Names the source, and the setting that is unknown or makes no sense.
    """
    for problem in config_problems(settings, source):
        raise ConfigError(problem)
    return RolloutConfig(
        tasks=TaskSettings.of(settings),
        agent=AgentSettings.of(settings),
        limits=Limits.of(settings),
        groups=GroupSettings.of(settings),
        session=SessionSettings.of(settings),
    )


def config_problems(settings: dict[str, Any], source: str) -> Iterator[str]:
    """All that `parse_config` would not take, each a line."""
    for name in settings:
        if name in ResponsesCreateParams.__struct_fields__:
            yield f"{source}: unknown setting {name!r}; did you mean responses_create_params.{name}?"
        elif name not in _NAMES:
            yield f"{source}: {unknown(name, _NAMES)}"
    for part in _PARTS:
        yield from (f"{source}: {problem}" for problem in problems(part.among(settings), part))
    yield from (f"{source}: {problem}" for problem in unwritable(settings))


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
