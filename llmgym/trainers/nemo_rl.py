"""NeMo RL: an environment for its own rollouts, and an actor in the place of its NeMo Gym actor.

- `LLMGymEnvironment` is an `EnvironmentInterface`: NeMo RL samples, and tells it the text of each reply.
- `LLMGymRollouts` runs whole episodes on NeMo RL's generation servers, and gives message logs with exact tokens. It
  needs no NeMo Gym; where there is one, `llmgym.trainers.nemo_gym` is a server for it.

NeMo RL is not on PyPI: both work without importing it, and `register` and `actor` look for it in the process.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, NamedTuple

from llmgym.codec import codec_for
from llmgym.concurrency import drive_in_background
from llmgym.errors import ConfigError
from llmgym.trainers.common import Episodes, Sample, TaskRef, task_rows
from llmgym.trainers.nemo_gym import Agent, record
from llmgym.trainers.nemo_rl_policy import GenerationServers
from llmgym.trainers.text import TextEpisode, TextEpisodes

TASK_NAME = "llmgym"


class EnvironmentReturn(NamedTuple):
    """NeMo RL's, which is a plain tuple of six: a batch of what each step brought."""

    observations: list[dict[str, str]]
    metadata: list[dict[str, Any] | None]
    next_stop_strings: list[None]
    rewards: Any
    terminateds: Any
    answers: list[None]


class LLMGymEnvironment:
    """The environment's side of NeMo RL's own multi-turn rollouts.

    NeMo RL knows no reset: an episode starts with its first step. It makes tokens of what an observation says as it is,
    so that the chat template's part of it is in the text. It never says that it dropped an episode: those that nobody
    steps for `ttl` seconds are ended.
    """

    def __init__(self, cfg: dict[str, Any] | None = None) -> None:
        """Configure it.

        Args:
            cfg: `env.llmgym` of NeMo RL's configuration: `tokenizer` (folder or Hub id of the policy's), `ttl` (3600)
                and `settings` (those of a run).

        Raises:
            ConfigError: A setting is wrong, or there is no tokenizer.
        """
        cfg = cfg or {}
        if not cfg.get("tokenizer"):
            raise ConfigError("env.llmgym.tokenizer is missing: name the policy's tokenizer")
        self._episodes = TextEpisodes(_tokenizer(cfg["tokenizer"]), **cfg.get("settings", {}))
        self._ttl = float(cfg.get("ttl", 3600.0))
        self._live: dict[str, TextEpisode] = {}
        self._touched: dict[str, float] = {}
        self._ended = self._unscored = 0

    def step(self, message_log_batch: Sequence[Sequence[dict[str, Any]]], metadata: Sequence[dict[str, Any]]) -> Any:
        """Take the last message of each log.

        Args:
            message_log_batch: Logs, each ending with what the policy said.
            metadata: `extra_env_info` of each datum, and from its second step on what the step before gave.

        Returns:
            `EnvironmentReturn`.
        """
        import torch

        now = time.monotonic()
        self._sweep(now)
        said = [str(log[-1]["content"]) for log in message_log_batch]
        steps = drive_in_background(_all(self._step(*pair, now) for pair in zip(said, metadata, strict=True)))
        return EnvironmentReturn(
            observations=[{"role": "environment", "content": content} for content, _, _ in steps],
            metadata=[meta for _, _, meta in steps],
            next_stop_strings=[None] * len(steps),
            rewards=torch.tensor([reward for _, reward, _ in steps], dtype=torch.float32),
            terminateds=torch.tensor([meta is None for _, _, meta in steps], dtype=torch.bool),
            answers=[None] * len(steps),
        )

    async def _step(self, said: str, metadata: dict[str, Any], now: float) -> tuple[str, float, dict[str, Any] | None]:
        """What the environment said, the reward, and what to give the next step; None where there is none."""
        # The members of a group share their datum, so the episode gets its name here.
        name: str = metadata.get("episode") or uuid.uuid4().hex
        if name not in self._live:
            if "episode" in metadata:  # it was ended meanwhile; what it earned until then stays
                self._ended, self._unscored = self._ended + 1, self._unscored + 1
                return "", 0.0, None
            self._live[name] = await self._episodes.open(TaskRef.loads(metadata["task"]))
        episode = self._live[name]
        self._touched[name] = now
        step = await episode.step(said)
        reward = step.reward
        glue = None if step.done else episode.glue(said, step.messages)
        if glue is not None:
            return glue, reward, {**metadata, "episode": name}
        if not step.done:  # the template rewrites history, which a growing log cannot follow
            reward += (await episode.finish()).reward
        self._ended += 1
        self._unscored += episode.unscored
        del self._live[name], self._touched[name]
        return "", reward, None

    def _sweep(self, now: float) -> None:
        for name in [name for name, touched in self._touched.items() if now - touched > self._ttl]:
            self._live.pop(name).close()
            del self._touched[name]

    def global_post_process_and_metrics(self, batch: Any) -> tuple[Any, dict[str, float]]:
        """Leave the batch as it is, and count the episodes since the last time."""
        counted = {
            "llmgym/episodes": float(self._ended),
            "llmgym/unscored": self._unscored / max(self._ended, 1),
            "llmgym/open": float(len(self._live)),
        }
        self._ended = self._unscored = 0
        return batch, counted

    def shutdown(self) -> None:
        """Close the environments."""
        for episode in self._live.values():
            episode.close()
        self._live.clear()
        self._touched.clear()
        self._episodes.episodes.close()


def data(tokenizer: Any, **settings: Any) -> list[dict[str, Any]]:
    """The tasks of a configuration as NeMo RL's `DatumSpec`s, for `LLMGymEnvironment`.

    NeMo RL groups by identical prompt tokens: tasks that open alike and differ in what is hidden are one group to it.

    Args:
        tokenizer: The policy's.
        **settings: Settings of a run; see `task_rows`.
    """
    import torch

    codec = codec_for(tokenizer, settings.get("codec", "auto"))
    rows = task_rows(**settings)
    prompts = [torch.tensor(codec.open(row.messages, row.tools)) for row in rows]
    return [
        {
            "message_log": [_message("user", ids, tokenizer)],
            "length": len(ids),
            "extra_env_info": {"task": row.ref.dumps()},
            "loss_multiplier": 1.0,
            "idx": index,
            "task_name": TASK_NAME,
        }
        for index, (row, ids) in enumerate(zip(rows, prompts, strict=True))
    ]


def message_log(sample: Sample, tokenizer: Any) -> list[dict[str, Any]]:
    """A row as a message log: what was sampled is an assistant's, with `generation_logprobs`, and all else a user's.

    NeMo RL trains the messages that have `generation_logprobs`; a row that must not be trained needs a
    `loss_multiplier` of 0 beside this.
    """
    import torch

    ids = torch.tensor(sample.prompt_ids + sample.completion_ids)
    start = len(sample.prompt_ids)
    logprobs = torch.tensor(sample.logprobs)
    log: list[dict[str, Any]] = []
    at = 0
    for first, end in sample.spans or [(0, len(sample.completion_ids))]:
        if start + first > at:
            log.append(_message("user", ids[at : start + first], tokenizer))
        at = start + end
        reply = _message("assistant", ids[start + first : at], tokenizer)
        log.append(reply | {"generation_logprobs": logprobs[first:end]})
    return log


def _message(role: str, ids: Any, tokenizer: Any) -> dict[str, Any]:
    return {"role": role, "content": tokenizer.decode(ids), "token_ids": ids}


class LLMGymRollouts:
    """Episodes on NeMo RL's generation servers: takes and gives what its NeMo Gym actor does.

    `set_tokenizer` once, `run_rollouts` for each batch, `shutdown`.
    """

    def __init__(self, cfg: dict[str, Any]) -> None:
        """Configure it.

        Args:
            cfg: `model_name` and `base_urls`, as NeMo RL has them of its generation; `context_length`; and `settings`
                (those of a run).
        """
        self._cfg = cfg
        self._agent: Agent | None = None

    def set_tokenizer(self, tokenizer: Any) -> None:
        """Take the policy's tokenizer.

        Raises:
            ConfigError: A setting is wrong.
            CodecError: The tokenizer's chat template cannot be used.
        """
        cfg = self._cfg
        policy = GenerationServers(cfg["base_urls"], cfg["model_name"], tokenizer, cfg["context_length"])
        self._agent = Agent(Episodes(tokenizer, **cfg.get("settings", {})), policy)

    async def run_rollouts(
        self, nemo_gym_examples: Sequence[dict[str, Any]], timer_prefix: str, deduplicate_multimodal_data: bool = False
    ) -> AsyncGenerator[tuple[int, dict[str, Any], dict[str, float] | None]]:
        """Run an episode for each row.

        Args:
            nemo_gym_examples: Rows of `llmgym.trainers.nemo_gym.rows`, each with its `_rowidx`.
            timer_prefix: Prefix of names of timings.
            deduplicate_multimodal_data: Not used.

        Yields:
            As episodes end, `_rowidx`, the result and, with the last, seconds by name. A result has `message_log`,
            `input_message_log` and `full_result`, whose `mask_sample` says whether it may be trained.
        """
        agent = self._agent
        if agent is None:
            raise ConfigError("call set_tokenizer before run_rollouts")
        started = time.perf_counter()

        async def run(row: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            sample, reward = await agent.run(row)
            log = message_log(sample, agent.policy.tokenizer)
            full = record(row, sample, reward, agent.policy.model, tokens=False)
            return row["_rowidx"], {"message_log": log, "input_message_log": log[:1], "full_result": full}

        tasks = [asyncio.create_task(run(row)) for row in nemo_gym_examples]
        try:
            for number, task in enumerate(asyncio.as_completed(tasks), 1):
                index, result = await task
                timing = {f"{timer_prefix}/await_results": time.perf_counter() - started}
                yield index, result, timing if number == len(tasks) else None
        finally:
            for task in tasks:
                task.cancel()

    async def shutdown(self) -> None:
        """Close the environments and the connections."""
        if self._agent is not None:
            await self._agent.policy.close()
            self._agent.episodes.close()
            self._agent = None


def register(name: str = TASK_NAME) -> None:
    """Make the environment known to NeMo RL under a name, in the process that sets up training.

    Raises:
        ConfigError: NeMo RL cannot be imported.
    """
    try:
        from nemo_rl.distributed import ray_actor_environment_registry as actors  # pyright: ignore[reportMissingImports]
        from nemo_rl.distributed.virtual_cluster import PY_EXECUTABLES  # pyright: ignore[reportMissingImports]
        from nemo_rl.environments.utils import register_env  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(f"run this in NeMo RL's own environment, which has its source tree: {error}") from None
    path = f"{__name__}.LLMGymEnvironmentActor"
    register_env(name, path)
    actors.ACTOR_ENVIRONMENT_REGISTRY[path] = PY_EXECUTABLES.SYSTEM


def __getattr__(name: str) -> Any:
    """The Ray actors of both classes, made when asked for: NeMo RL finds them by dotted name, and only it needs Ray."""
    actors = {"LLMGymEnvironmentActor": LLMGymEnvironment, "LLMGymRolloutsActor": LLMGymRollouts}
    if name not in actors:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import ray  # pyright: ignore[reportMissingImports]

    return ray.remote(actors[name])


async def _all(steps: Iterable[Any]) -> list[Any]:
    return list(await asyncio.gather(*steps))


def _tokenizer(name: Any) -> Any:
    """Load a tokenizer; one that is loaded is as good."""
    if not isinstance(name, str):
        return name
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name)
