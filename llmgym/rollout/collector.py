"""The collector: many episodes at once, groups as they finish, every one stored exactly once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import gymnasium

from llmgym.chat import ChatPolicy, Policy
from llmgym.codec.base import ChatCodec
from llmgym.concurrency import calm_collection
from llmgym.errors import ConfigError, StoreError
from llmgym.policies import as_policy
from llmgym.policies.base import gives_tokens
from llmgym.records import EpisodeRecord, FailureRecord
from llmgym.rollout.config import EnvConfig, RolloutConfig, as_data, parse_config
from llmgym.rollout.description import as_json
from llmgym.rollout.groups import Group
from llmgym.rollout.identity import known_after, known_before
from llmgym.rollout.instances import Instances
from llmgym.rollout.order import Plan, TaskOrder
from llmgym.rollout.progress import Progress
from llmgym.rollout.roles import OWN, cast_roles
from llmgym.rollout.runner import running
from llmgym.rollout.seats import Players, Seats, name_of
from llmgym.rollout.session import Session
from llmgym.rollout.spans import EpisodeSpans
from llmgym.rollout.stock import take_stock
from llmgym.rollout.store import RunStore
from llmgym.rollout.summary import summarize
from llmgym.rollout.table import GameRunner
from llmgym.rollout.trackers import TrackedRun, Tracker, make_tracker
from llmgym.rollout.tracking import Scoreboard, tracked
from llmgym.trajectory import Turn


@dataclass(slots=True)
class Cast:
    """All that takes part in a run.

    Attributes:
        policy: The policy.
        models: The models of roles.
        players: Who plays the agents of games.
        environments: The environments.
        games: What runs them, where all agents of their games are played.
        spans: What makes spans of episodes, where that is wanted.
        codec: Codec of the policy, once it has started, where it gives tokens.
        started: Whether it has.
    """

    policy: Policy
    models: Mapping[str, ChatPolicy]
    players: Players
    environments: list[Instances]
    games: dict[str, GameRunner]
    spans: EpisodeSpans | None = None
    codec: ChatCodec | None = None
    started: bool = False


class Running(Protocol):
    """Runs the episodes of a run; a `Session` does it here.

    Attributes:
        records: Finished episodes, where no store has them and the order ends.
        failed: Episodes without a result, where no store has them and the order ends.
    """

    records: list[EpisodeRecord]
    failed: list[FailureRecord]

    def groups(self, order: TaskOrder, environments: list[Instances]) -> AsyncGenerator[Group]:
        """Run the tasks of an order and give each group once it is whole."""
        ...


class Collector:
    """Runs episodes of environments with a policy.

    ```python
    collector = Collector(["llmgym/Calculator-v0"], "smollm2", num_tasks=8, num_repeats=4, output="runs/first")
    async for group in collector.stream():
        print(group.id, group.rewards)
    ```

    Attributes:
        config: The configuration.
        progress: How far the run is.
        summary: What the run amounted to, once it has ended; None for a stream without end that is not stored.
    """

    def __init__(
        self,
        env_ids: list[str | EnvConfig] | None = None,
        policy: Policy | Callable[..., Any] | str = "smollm2",
        *,
        models: Mapping[str, Policy | str] | None = None,
        policies: Mapping[str, Any] | None = None,
        output: str | Path | None = None,
        codec: ChatCodec | str = "auto",
        **settings: Any,
    ) -> None:
        """Configure a run; nothing is loaded yet.

        Args:
            env_ids: Environments.
            policy: A policy, its short form, or a function of the messages and the tools.
            models: Who plays the roles of environments, such as a judge: policies or short forms; "policy" for the
                policy of the run.
            policies: Who plays the agents of games, by agent or role: as a configuration has it, or policies, which are
                not trained, or lists of these.
            output: Run folder, to start or to resume; None keeps nothing.
            codec: Codec for the policy's tokens, or the kind of it.
            **settings: Other settings of a run, as a configuration file has them.

        Raises:
            ConfigError: A setting is unknown or makes no sense.
        """
        given = policy if isinstance(policy, str) else as_policy(policy)
        named = {role: model if isinstance(model, str) else model.name for role, model in (models or {}).items()}
        data = {
            "env_ids": [_env_id(env) for env in env_ids] if isinstance(env_ids, list) else env_ids or [],
            "policy": given if isinstance(given, str) else given.name,
            "models": named,
            "policies": {who: name_of(given) for who, given in (policies or {}).items()},
            **settings,
        }
        if isinstance(codec, str):
            data["codec"] = codec
        self.config: RolloutConfig = parse_config(data)
        if not self.config.tasks.env_ids:
            raise ConfigError("env_ids is empty; name an environment, such as llmgym/Calculator-v0")
        self._policy, self._models, self._policies = given, dict(models or {}), dict(policies or {})
        self._codec = None if isinstance(codec, str) else codec
        if "://" in str(output):  # as a path it would be a folder here, of an odd name
            raise ConfigError(
                f"output {str(output)!r} is a URL, and a run folder is on this machine: name a folder, and `llmgym "
                "data push` it there"
            )
        self._output = Path(output) if output is not None else None
        self.progress = Progress()
        self.summary: dict[str, Any] | None = None

    @classmethod
    def from_config(cls, config: RolloutConfig, output: str | Path | None = None) -> Collector:
        """Configure a run from a whole configuration."""
        return cls(output=output, **config.settings)

    async def collect(self) -> dict[str, Any]:
        """Run it all and give the summary; groups that earlier sessions finished are not read again.

        Raises:
            ConfigError: An environment or a setting does not fit; `RegistryError` is one.
            TaskError: The tasks cannot be read.
            PolicyError: The policy cannot be started, or too many episodes in a row failed.
            StoreError: The run folder cannot be used, or is full.
        """
        async with aclosing(self._run(Plan(), keep=False)) as groups:
            async for _ in groups:
                pass
        assert self.summary is not None
        return self.summary

    async def stream(self, order: TaskOrder | None = None) -> AsyncGenerator[Group]:
        """Give each group once it is whole; episodes of earlier sessions included.

        Raises as `collect` does. Stopping early cancels the episodes that are running; close the
        iterator (`contextlib.aclosing`) to have that done at once.

        Args:
            order: Which task comes next, such as `Endless()` or `Curriculum()`; None for `num_tasks` of each
                environment, once.
        """
        async with aclosing(self._run(order or Plan(), keep=True)) as groups:
            async for group in groups:
                yield group

    async def _run(self, order: TaskOrder, *, keep: bool) -> AsyncGenerator[Group]:
        config = self.config
        async with AsyncExitStack() as stack:
            stack.enter_context(calm_collection())
            trackers = self._trackers()
            cast = self._cast(stack)
            sources = [instances.source for instances in cast.environments]
            tasks = order.size(sources, config)
            planned = None if tasks is None else tasks * config.groups.num_repeats
            store = self._open(
                known_before(config, order, cast.environments, cast.policy, cast.models, cast.players.others)
            )
            owed = planned
            if store is not None:
                stack.callback(store.close)
                if planned is not None and store.has_history:
                    owed = take_stock(store, order, sources, config)
            known = None
            if owed != 0:  # a run that is complete needs no model to be summarised again
                try:
                    known = await self._start(stack, cast)
                except BaseException:
                    if store is not None:
                        store.forget()  # what cannot start leaves a new folder free
                    raise
            if store is not None:
                store.confirm(known, planned)
            self.progress = Progress(planned=planned)
            board = await stack.enter_async_context(self._scoreboard(trackers, store))
            session = await self._session(stack, cast, store, board, keep=keep)
            try:
                async with aclosing(session.groups(order, cast.environments)) as groups:
                    async for group in groups:
                        yield group
            except BaseException:
                with suppress(StoreError):  # the error that ended the run says more
                    self._conclude(session, store)
                raise
            self._conclude(session, store)

    def _cast(self, stack: AsyncExitStack) -> Cast:
        """Make all that takes part; nothing is loaded yet."""
        config = self.config
        policy = as_policy(self._policy, **config.agent.policy_options)
        if isinstance(self._policy, str):
            stack.push_async_callback(policy.close)
        models = cast_roles(self._models, policy, self._codec or config.agent.codec)
        for role, model in models.items():
            if isinstance(self._models[role], str) and self._models[role] != OWN:
                stack.push_async_callback(model.close)
        players = Players(self._policies, policy)
        stack.push_async_callback(players.close)
        environments: list[Instances] = []
        for env in config.tasks.environments:
            environments.append(self._instances(env, models))
            stack.push_async_callback(environments[-1].aclose)
        _expect_roles(models, environments)
        games = self._games(environments, players)
        return Cast(policy, models, players, environments, games, self._spans(policy))

    async def _session(
        self, stack: AsyncExitStack, cast: Cast, store: RunStore | None, board: Scoreboard | None, *, keep: bool
    ) -> Running:
        """What runs the episodes."""
        config = self.config
        notes = [] if board is None else [board.take]
        if cast.spans is not None:
            stack.push_async_callback(asyncio.to_thread, cast.spans.close)
            notes.append(cast.spans.take)
        if not cast.started:  # nothing is served for programs that nobody begins, and there is no engine to look at
            config = config.with_settings(agent_command=None, num_samples_in_parallel=1)
        agent = config.agent
        params, count = agent.responses_create_params, self.progress.count_turn
        runner = await stack.enter_async_context(running(agent, cast.policy, cast.codec, config.limits, params, count))
        return Session(config, cast.policy, runner, cast.games, store, self.progress, keep=keep, notes=notes)

    def _instances(self, env: EnvConfig, models: Mapping[str, ChatPolicy]) -> Instances:
        tasks, most = self.config.tasks, self.config.limits.max_turns
        made = Instances(env, max_turns=most, split=tasks.split, models=models, several=bool(self._policies))
        registered = (gymnasium.spec(env.env_id).kwargs | env.kwargs).get("split", tasks.split)
        if registered != tasks.split:
            made.close()
            raise ConfigError(
                f"{env.id} is registered with split={registered!r}, and the run draws from {tasks.split!r}: say "
                f"split={registered!r}, or --split {registered}"
            )
        return made

    def _games(self, environments: list[Instances], players: Players) -> dict[str, GameRunner]:
        """What runs the environments, where all agents of their games are played."""
        if not players.assigned:
            return {}
        limits, params, seed = self.config.limits, self.config.agent.responses_create_params, self.config.tasks.seed

        def count(turn: Turn) -> None:  # the progress is another one by the time that the run starts
            self.progress.count_turn(turn)

        return {
            env.id: GameRunner(Seats(env.id, env.source.agents, players.assigned, seed), players, limits, params, count)
            for env in environments
        }

    def _trackers(self) -> list[tuple[str, Callable[[], Tracker]]]:
        """Who is told how the run goes; what is missing for that is said before anything is loaded."""
        config = self.config
        name = self._output.name if self._output else ", ".join(env.name for env in config.tasks.environments)
        run = TrackedRun(name, self._output, as_json(config.settings))
        return [(tracker.name, make_tracker(tracker, run)) for tracker in config.session.trackers]

    def _spans(self, policy: Policy) -> EpisodeSpans | None:
        """What makes spans of episodes, where that is wanted; what is missing for it is said here, too."""
        share = self.config.session.trace
        return EpisodeSpans(share, policy.name) if share else None

    @asynccontextmanager
    async def _scoreboard(
        self, trackers: list[tuple[str, Callable[[], Tracker]]], store: RunStore | None
    ) -> AsyncGenerator[Scoreboard | None]:
        """What the trackers are told of; None where there are none."""
        if not trackers:
            yield None
            return
        board = Scoreboard(self.config.groups, self.progress)
        if store is not None:
            board.take_records(store.counted())
        async with tracked(trackers, board):
            yield board

    def _open(self, identity: dict[str, Any]) -> RunStore | None:
        """Lock the run folder and see that it is this run's, before anything is loaded."""
        if self._output is None:
            return None
        return RunStore(self._output, identity, self.config.settings, self.config.session.fsync_seconds)

    def _conclude(self, session: Running, store: RunStore | None) -> None:
        """Summarise what is there, finished or not; what has no end and is stored nowhere is not remembered."""
        if store is None and self.progress.planned is None:
            return
        everything = session.records if store is None else list(store.records.values())
        failed = session.failed if store is None else store.failed
        progress = self.progress
        self.summary = summarize(everything, failed, progress.planned, self.config.groups, progress.seconds)
        if store is not None:
            store.write_summary(self.summary)

    async def _start(self, stack: AsyncExitStack, cast: Cast) -> dict[str, Any]:
        """Start the policies, and say what of the run is known only then."""
        policy = cast.policy
        await policy.start()
        cast.codec = self._codec_of(policy, self._codec)
        self._codec = cast.codec or self._codec
        await cast.players.start(cast.codec, self._codec_of)
        cast.started = True
        return known_after(policy, cast.codec)

    def _codec_of(self, policy: Policy, given: ChatCodec | None = None) -> ChatCodec | None:
        if not gives_tokens(policy):
            return None
        if absent := [name for name in ("tokenizer", "context_length", "logprobs_mode") if not hasattr(policy, name)]:
            raise ConfigError(f"the policy {policy.name} has no {' and no '.join(absent)}; see docs/policies.md")
        if given is not None:
            return given
        from llmgym.codec import codec_for

        return codec_for(policy.tokenizer, self.config.agent.codec)


def _expect_roles(models: Mapping[str, ChatPolicy], environments: Sequence[Instances]) -> None:
    """See that each model has a role: a judge whose name is misspelt would judge nothing."""
    known = dict.fromkeys(role for instances in environments for role in instances.sample.roles)
    if unknown := [role for role in models if role not in known]:
        there_is = f"there is {', '.join(known)}" if known else "they use no models"
        raise ConfigError(f"models: no environment of the run has the role {unknown[0]!r}; {there_is}")


def _env_id(env: Any) -> Any:
    """An environment as a configuration names it."""
    if isinstance(env, EnvConfig):
        return as_data(env)
    if isinstance(env, str | dict):
        return env
    what = env.__name__ if isinstance(env, type) else type(env).__name__
    raise ConfigError(
        f"{what} is no environment id: register the class, gymnasium.register('mine/{what}-v0', entry_point={what}), "
        f"and give 'mine/{what}-v0'"
    )
