"""The collector: many episodes at once, groups as they finish, every one stored exactly once."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing, suppress
from pathlib import Path
from typing import Any

import msgspec

from llmgym.codec.base import ChatCodec
from llmgym.errors import ConfigError, StoreError
from llmgym.policies import Policy, TokenPolicy, make_policy
from llmgym.rollout.config import EnvConfig, RolloutConfig, parse_config
from llmgym.rollout.groups import Group
from llmgym.rollout.instances import Instances
from llmgym.rollout.order import Plan, TaskOrder
from llmgym.rollout.progress import Progress
from llmgym.rollout.session import Session
from llmgym.rollout.store import RunStore
from llmgym.rollout.summary import summarize

# With Python's defaults, thousands of live episodes spend a third of their time in the cycle collector, which goes
# through all of them again and again and finds next to nothing.
_GC_THRESHOLD = (50_000, 20, 20)


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
        policy: Policy | str = "smollm2",
        *,
        output: str | Path | None = None,
        codec: ChatCodec | str = "auto",
        **settings: Any,
    ) -> None:
        """Configure a run; nothing is loaded yet.

        Args:
            env_ids: Environments.
            policy: A policy, or its short form.
            output: Run folder, to start or to resume; None keeps nothing.
            codec: Codec for the policy's tokens, or the kind of it.
            **settings: Other fields of `RolloutConfig`.

        Raises:
            ConfigError: A setting is unknown or makes no sense.
        """
        name = policy if isinstance(policy, str) else policy.name
        data = {"env_ids": msgspec.to_builtins(env_ids or []), "policy": name, **settings}
        if isinstance(codec, str):
            data["codec"] = codec
        self.config: RolloutConfig = parse_config(data).check()
        if not self.config.env_ids:
            raise ConfigError("env_ids is empty; name an environment, such as llmgym/Calculator-v0")
        self._policy = policy
        self._codec = None if isinstance(codec, str) else codec
        self._output = Path(output) if output is not None else None
        self.progress = Progress()
        self.summary: dict[str, Any] | None = None

    @classmethod
    def from_config(cls, config: RolloutConfig, output: str | Path | None = None) -> Collector:
        """Configure a run from a whole configuration."""
        fields = {name: getattr(config, name) for name in config.__struct_fields__}
        env_ids, policy = fields.pop("env_ids"), fields.pop("policy")
        fields["responses_create_params"] = msgspec.to_builtins(fields["responses_create_params"])
        return cls(env_ids, policy, output=output, **fields)

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
            stack.callback(gc.set_threshold, *gc.get_threshold())
            gc.set_threshold(*_GC_THRESHOLD)
            environments: list[Instances] = []
            for env in config.environments:
                environments.append(Instances(env, max_turns=config.max_turns, split=config.split))
                stack.push_async_callback(environments[-1].aclose)
            tasks = order.size([env.source for env in environments], config)
            policy = self._policy
            if isinstance(policy, str):
                policy = make_policy(policy, **config.policy_options)
                stack.push_async_callback(policy.close)
            await policy.start()
            codec = self._codec_of(policy)
            store = None
            if self._output is not None:
                identity = _identity(config, policy, codec)
                store = RunStore(self._output, identity, msgspec.to_builtins(config), config.fsync_seconds)
                stack.callback(store.close)
                store.confirm({}, None if tasks is None else tasks * config.num_repeats)
            self.progress = Progress(planned=None if tasks is None else tasks * config.num_repeats)
            session = Session(config, policy, codec, store, self.progress, keep=keep)
            try:
                async with aclosing(session.groups(order, environments)) as groups:
                    async for group in groups:
                        yield group
            except BaseException:
                with suppress(StoreError):  # the error that ended the run says more
                    self._conclude(session, store)
                raise
            self._conclude(session, store)

    def _conclude(self, session: Session, store: RunStore | None) -> None:
        """Summarise what is there, finished or not; what has no end and is stored nowhere is not remembered."""
        if store is None and self.progress.planned is None:
            return
        everything = session.records if store is None else list(store.records.values())
        failed = session.failed if store is None else store.failed
        progress = self.progress
        planned = max(progress.planned or 0, len(everything))  # the folder may hold more than was asked for this time
        self.summary = summarize(everything, failed, planned, self.config, progress.seconds)
        if store is not None:
            store.write_summary(self.summary)

    def _codec_of(self, policy: Policy) -> ChatCodec | None:
        if not isinstance(policy, TokenPolicy):
            return None
        if self._codec is None:
            from llmgym.codec import codec_for

            self._codec = codec_for(policy.tokenizer, self.config.codec)
        return self._codec


def _identity(config: RolloutConfig, policy: Policy, codec: ChatCodec | None) -> dict[str, Any]:
    """What makes two runs the same; ports, concurrency, deadlines and sizes do not."""
    environments = msgspec.to_builtins(config.environments)
    for env in environments:  # runs from before there were wrappers can be resumed
        if not env["wrappers"]:
            del env["wrappers"]
    return {
        "environments": environments,
        "split": config.split,
        "seed": config.seed,
        "model": policy.model,
        # Weights that were updated are another model than the one of that name.
        **({"weights": version} if (version := getattr(policy, "version", 0)) else {}),
        "logprobs_mode": policy.logprobs_mode if isinstance(policy, TokenPolicy) else None,
        "codec": codec.fingerprint if codec else None,
        "responses_create_params": msgspec.to_builtins(config.responses_create_params),
        "max_turns": config.max_turns,
        "max_episode_tokens": config.max_episode_tokens,
        **({"max_completion_length": length} if (length := config.max_completion_length) is not None else {}),
    }
