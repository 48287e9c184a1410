"""SkyRL: any environment behind a generator, with exact tokens, or as a `BaseTextEnv` of skyrl-gym.

Rows for its dataset come from `rows()`. With `LLMGymGenerator` SkyRL trains on the exact tokens; with `LLMGymTextEnv`
its own generator samples, and `register()` is called in its process.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from llmgym.chat import Sampling
from llmgym.codec.formats import with_tools
from llmgym.concurrency import drive_in_background
from llmgym.errors import PolicyError
from llmgym.messages import Message
from llmgym.policies.base import Generation
from llmgym.trainers.common import Episodes, Sample, TaskRef, TrainerPolicy, metrics, task_rows
from llmgym.trainers.compatibility import check_version
from llmgym.trainers.parameters import asked_of
from llmgym.trainers.text import TextEpisode, TextEpisodes
from llmgym.trajectory import Trajectory

check_version("skyrl")
_skyrl_gym: Any = importlib.import_module("skyrl_gym")
_text_env: Any = importlib.import_module("skyrl_gym.envs.base_text_env")

ENV_CLASS = "llmgym"


def register(**settings: Any) -> None:
    """Register the environment class "llmgym", in the process in which SkyRL's generator runs.

    Args:
        **settings: Settings of a run; `max_turns` is the generator's where it is less.

    Raises:
        ConfigError: A setting is wrong.
    """
    _skyrl_gym.registry.pop(ENV_CLASS, None)
    # A class, since SkyRL asks it for `aggregate_metrics`, and copies the arguments that it is registered with.
    env = type("LLMGymTextEnv", (LLMGymTextEnv,), {"episodes": TextEpisodes(**settings)})
    _skyrl_gym.register(id=ENV_CLASS, entry_point=env)


def rows(**settings: Any) -> list[dict[str, Any]]:
    """The tasks of a configuration as rows of SkyRL's dataset, to be written as Parquet.

    Args:
        **settings: Settings of a run; see `task_rows`.

    Returns:
        `data_source`, `prompt` (messages, with the tools in the system message), `env_class`, and the extra `task`.
    """
    return [
        {
            "data_source": row.ref.env.name,
            "prompt": with_tools(row.messages, row.tools),
            "env_class": ENV_CLASS,
            "task": row.ref.dumps(),
        }
        for row in task_rows(**settings)
    ]


class LLMGymTextEnv(_text_env.BaseTextEnv):
    """An episode as SkyRL's generator plays it: text in, messages out.

    Attributes:
        episodes: Set by `register`.
    """

    episodes: ClassVar[TextEpisodes]

    def __init__(self, env_config: Any = None, extras: dict[str, Any] | None = None) -> None:
        """Name the episode.

        Args:
            env_config: Not used; it is for a whole class of environments.
            extras: Further columns of the row: `task`, and `max_turns`, which the generator adds.

        Raises:
            ConfigError: `task` is none of ours.
        """
        super().__init__()
        extras = extras or {}
        self.max_turns = extras.get("max_turns") or 1 << 30
        self._ref = TaskRef.loads(extras.get("task", ""))
        self._episode: TextEpisode | None = None

    def init(self, prompt: list[Message]) -> tuple[list[Message], dict[str, Any]]:
        """Start the episode.

        Args:
            prompt: The row's; used where the setup fails, which the first step says.
        """
        self._episode = drive_in_background(self.episodes.open(self._ref))
        return with_tools(self._episode.messages, self._episode.tools) or prompt, {}

    def step(self, action: str) -> dict[str, Any]:
        """Take what was sampled."""
        episode = self._episode
        assert episode is not None, "call init first"
        self.turns += 1
        step = drive_in_background(episode.step(action))
        # Plain, since SkyRL renders new messages alone, and templates want a call before the message of a tool.
        reward, observations = step.reward, with_tools(step.messages, [])
        if not step.done and self.turns >= self.max_turns:
            reward += drive_in_background(episode.finish()).reward
            observations = []
        return {
            "observations": observations,
            "reward": reward,
            "done": episode.done,
            "metadata": {"error": episode.error} if episode.error else {},
            "postprocessed_action": None,
        }

    def get_metrics(self) -> dict[str, float]:
        """Numbers of the episode, which SkyRL averages."""
        return self._episode.metrics() if self._episode is not None else {}

    def close(self) -> None:
        """Give the environment back."""
        if self._episode is not None:
            self._episode.close()


class LLMGymGenerator:
    """A SkyRL generator (`GeneratorInterface`) of any environments, for `BasePPOExp.get_generator`.

    SkyRL's inference client samples; what it took and gave is what is trained, and each turn's reward is on its last
    token. The prompts of the dataset are not used: environments open their episodes, with the model's chat template.

    Attributes:
        episodes: Run the episodes.
    """

    def __init__(self, generator_cfg: Any, inference_engine_client: Any, tokenizer: Any, **settings: Any) -> None:
        """Take what SkyRL makes generators of.

        Args:
            generator_cfg: Its `generator`: `max_turns`, `max_input_length`, `step_wise_trajectories` and
                `sampling_params` count here.
            inference_engine_client: Samples.
            tokenizer: The model's.
            **settings: Further settings of a run.

        Raises:
            ConfigError: A setting is wrong.
            CodecError: The tokenizer's chat template cannot be used.
        """
        self._config, self._client, self._tokenizer = generator_cfg, inference_engine_client, tokenizer
        self.episodes = Episodes(tokenizer, **{"max_turns": generator_cfg.max_turns} | settings)

    async def generate(self, input_batch: Mapping[str, Any], disable_tqdm: bool = False) -> dict[str, Any]:
        """Run the episodes of a batch at once; one that fails trains nothing.

        Args:
            input_batch: SkyRL's `GeneratorInput`.
            disable_tqdm: Not used.

        Returns:
            Its `GeneratorOutput`, in the same order; see `to_generator_output`.

        Raises:
            ConfigError: A row is none of ours.
            PolicyError: No episode got a reply, or the engine gives no log-probabilities.
        """
        refs = [TaskRef.loads(extras.get("task", "")) for extras in input_batch["env_extras"]]
        ids = input_batch.get("trajectory_ids")
        repeats = range(len(refs)) if ids is None else [name.repetition_id for name in ids]
        most = self._config.sampling_params.max_generate_length
        given = {"max_tokens": most} | (input_batch.get("sampling_params") or {})  # vLLM's names
        params = asked_of(given, given["max_tokens"])
        policy = TrainerPolicy(
            "skyrl",
            functools.partial(self._sample, given),
            self._tokenizer,
            self._config.max_input_length + given["max_tokens"],  # as far as SkyRL's own generator goes
        )
        found = await asyncio.gather(
            *(self.episodes.run(ref, policy, repeat=n, params=params) for ref, n in zip(refs, repeats, strict=True))
        )
        if all(trajectory.status == "policy_error" for trajectory in found):
            raise PolicyError(f"none of {len(found)} episodes got a reply, the last: {found[-1].error}")
        return to_generator_output(found, self.episodes, ids, step_wise=self._config.step_wise_trajectories)

    async def _sample(
        self, given: dict[str, Any], prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        """Sample one reply; see `TokenPolicy.generate`."""
        params = {
            **given,
            "max_tokens": sampling.max_tokens,
            "stop_token_ids": list(sampling.stop_token_ids),
            "logprobs": given.get("logprobs") or 0,  # 0 is for those of the sampled tokens
        }
        batch = {"prompts": None, "prompt_token_ids": [list(prompt_ids)], "session_ids": [session_id]}
        output = await self._client.generate(batch | {"sampling_params": params})
        (ids,), (reason,) = output["response_ids"], output["stop_reasons"]
        (logprobs,) = output.get("response_logprobs") or [None]
        if ids and logprobs is None:
            raise PolicyError("the engine gave no log-probabilities")
        return Generation(list(ids), list(logprobs or ()), reason if reason in ("stop", "length") else "abort")


def to_generator_output(
    trajectories: Sequence[Trajectory],
    episodes: Episodes,
    trajectory_ids: Sequence[Any] | None = None,
    *,
    step_wise: bool = False,
) -> dict[str, Any]:
    """Trajectories as SkyRL's `GeneratorOutput`, with the reward of each turn on its last token.

    An episode without a reward trains no token. SkyRL computes baselines from all rewards, so that its last token has
    the mean of its group.

    Args:
        trajectories: In the order of the generator's input.
        episodes: Whose tokenizer fills the rows of episodes without tokens.
        trajectory_ids: The input's, one for each.
        step_wise: Give every segment of an episode as a row of its own, for `step_wise_trajectories`; else the one in
            which most was sampled.

    Returns:
        The fields of `GeneratorOutput`; those that llmgym does not know are left out.
    """
    means = _means(trajectories)
    found = [episodes.samples(t) if step_wise else [episodes.sample(t)] for t in trajectories]
    samples = [sample for of_one in found for sample in of_one]
    ids = None
    if trajectory_ids is not None:
        ids = [name for name, of_one in zip(trajectory_ids, found, strict=True) for _ in of_one]
    last = [number == len(of_one) - 1 for of_one in found for number in range(len(of_one))]
    return {
        "prompt_token_ids": [sample.prompt_ids for sample in samples],
        "response_ids": [sample.completion_ids for sample in samples],
        "rewards": [_rewards(sample, means, end) for sample, end in zip(samples, last, strict=True)],
        "loss_masks": [sample.loss_mask for sample in samples],
        "stop_reasons": [
            "length" if s.trajectory.status in ("max_tokens", "context_length") else "stop" for s in samples
        ],
        "rollout_metrics": metrics(trajectories),
        "rollout_logprobs": [sample.logprobs for sample in samples],
        "trajectory_ids": ids,
        "is_last_step": last if step_wise else None,
    }


def _means(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Mean reward of the scored episodes of each group that has any."""
    groups: dict[str, list[float]] = {}
    for trajectory in trajectories:
        if trajectory.reward is not None:
            groups.setdefault(trajectory.group_id, []).append(trajectory.reward)
    return {name: sum(rewards) / len(rewards) for name, rewards in groups.items()}


def _rewards(sample: Sample, means: dict[str, float], last: bool) -> list[float]:
    if sample.reward is not None:
        return sample.rewards
    stand_in = means.get(sample.trajectory.group_id, 0.0) if last else 0.0
    return [*[0.0] * (len(sample.completion_ids) - 1), stand_in]
