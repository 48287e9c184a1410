"""OpenRLHF: episodes behind its agent executors, and as a reward function.

OpenRLHF loads an agent from the path of a file, in each of its rollout workers. This module is such a file:

```bash
--train.agent_func_path $(python -c "from llmgym.trainers.openrlhf import agent_func_path; print(agent_func_path())")
```

A file of your own sets limits: it imports `AgentExecutor` under another name, and defines an `AgentExecutor` derived
from it whose `settings` are those of a run.
"""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import orjson

from llmgym.chat import FinishReason, Sampling
from llmgym.concurrency import drive_in_background
from llmgym.errors import PolicyError
from llmgym.messages import Message, opens_reasoning, read_reply
from llmgym.policies.base import Generation, LogprobsMode
from llmgym.rollout.config import ResponsesCreateParams
from llmgym.trainers.common import Episodes, TaskRef, TrainerPolicy, metrics, task_rows
from llmgym.trainers.compatibility import check_version
from llmgym.trainers.parameters import asked_of
from llmgym.trainers.siblings import Siblings
from llmgym.trainers.text import TextEpisode, TextEpisodes
from llmgym.trajectory import Status

check_version("openrlhf")
_agent: Any = importlib.import_module("openrlhf.utils.agent")

_CUT: frozenset[Status] = frozenset({"max_tokens", "context_length"})


def agent_func_path() -> str:
    """Path for `--train.agent_func_path`, and for `--reward.remote_url`."""
    return str(Path(__file__).resolve())


def write_jsonl(path: str | Path, **settings: Any) -> int:
    """Write the tasks of a configuration as a dataset.

    Its columns are `input` (opening messages), `label` (the task) and `datasource` (the environment), for
    `--data.input_key input --data.label_key label --data.apply_chat_template`.

    Args:
        path: File to write.
        **settings: Settings of a run; see `task_rows`.

    Returns:
        Number of rows.

    Raises:
        ConfigError: A setting is wrong, or the file cannot be written.
        EnvironmentFailure: An environment's setup failed.
    """
    from llmgym.data.output import replacing  # which training has no use for

    rows = task_rows(**settings)
    table = [{"input": row.messages, "label": row.ref.dumps(), "datasource": row.ref.env.name} for row in rows]
    with replacing(path, force=True) as file:
        file.write_bytes(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in table))
    return len(table)


class AgentExecutor(_agent.AgentExecutorBase):
    """Runs the episode that a label names, with the tokens that the engine took and gave.

    The prompt of the dataset is not used: the environment's opening messages and tools are rendered here.

    Attributes:
        settings: Settings of a run. Temperature and the like come from OpenRLHF; `max_output_tokens` counts
            where `--rollout.max_new_tokens` is not given.
    """

    settings: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self._episodes: Episodes | None = None
        self._siblings = Siblings()
        self._repeat = itertools.count()

    async def execute(
        self,
        prompt: Any,
        label: str,
        sampling_params: Any,
        max_length: int,
        hf_tokenizer: Any,
        llm_engine: Any,
        images: Any = None,
    ) -> dict[str, Any]:
        """Run one episode; OpenRLHF calls this for each of the `n_samples_per_prompt` members of a group at once.

        An episode without a reward trains no token. OpenRLHF computes a group's baseline from all of its rewards, so
        that one gets the mean of the others.

        Args:
            prompt: Given back as it is.
            label: The task.
            sampling_params: vLLM's.
            max_length: Most tokens of the whole episode.
            hf_tokenizer: The model's.
            llm_engine: Samples.
            images: Not used.

        Raises:
            ConfigError: The label is none of ours.
            PolicyError: The engine is dead.
        """
        if self._episodes is None:
            self._episodes = Episodes(hf_tokenizer, **self.settings)
        episodes, ref = self._episodes, TaskRef.loads(label)
        params = _params(sampling_params, episodes.config.agent.responses_create_params)
        generate = functools.partial(_generate, llm_engine, sampling_params)
        # Those of what was sampled where it asks for them, else those that vLLM gives by itself.
        mode: LogprobsMode = "raw" if sampling_params.logprobs is None else "processed"
        policy = TrainerPolicy("openrlhf", generate, hf_tokenizer, max_length, mode)
        run = episodes.run(ref, policy, repeat=next(self._repeat), params=params)
        trajectory, reward = await self._siblings.reward(ref, run)
        sample = episodes.sample(trajectory)
        start = len(sample.prompt_ids)
        trained = sample.spans if sample.reward is not None else ()
        return {
            "prompt": prompt,
            "label": label,
            "images": images,
            "mm_train_inputs": None,
            "observation_tokens": sample.prompt_ids + sample.completion_ids,
            "action_ranges": [(start + first, start + end) for first, end in trained],
            "rollout_log_probs": None if sampling_params.logprobs is None else [0.0] * start + sample.logprobs,
            "reward": reward,
            "scores": reward,
            "truncated": trajectory.status in _CUT,
            "extra_logs": metrics([trajectory]) | {"llmgym/failed": float(not trajectory.finished)},
        }


def _params(given: Any, configured: ResponsesCreateParams) -> ResponsesCreateParams:
    """How replies are sampled, in our words."""
    asked = {name: getattr(given, name, None) for name in ResponsesCreateParams.__struct_fields__}
    return asked_of(asked, given.max_tokens or configured.max_output_tokens)


async def _generate(
    engine: Any, params: Any, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
) -> Generation:
    """Sample one reply with OpenRLHF's engine and parameters."""
    params = deepcopy(params)
    params.max_tokens = sampling.max_tokens
    params.stop_token_ids = list(sampling.stop_token_ids)
    params.all_stop_token_ids.update(sampling.stop_token_ids)  # what `min_tokens` keeps from being sampled
    if params.logprobs is None:
        params.logprobs = 0  # of the sampled tokens: a trajectory has them, even where OpenRLHF has no use for them
    reply = (await engine.generate(list(prompt_ids), params, multi_modal_data=None)).outputs[0]
    ids = list(reply.token_ids)
    if reply.logprobs is None:
        raise PolicyError("the engine gave no log-probabilities")
    return Generation(
        ids, [given[token].logprob for token, given in zip(ids, reply.logprobs, strict=True)], _finish(reply)
    )


def _finish(reply: Any) -> FinishReason:
    if reply.finish_reason not in ("stop", "length", "abort"):
        raise PolicyError(f"the engine ended a reply with {reply.finish_reason!r}")
    return reply.finish_reason


class AgentInstance(_agent.AgentInstanceBase):
    """The environment's side of an episode, for OpenRLHF's own loop: text in, text out.

    `AgentExecutor` is the better one. OpenRLHF's loop gives a reply all tokens that are left, does not tell where it
    was cut off, and makes tokens of the environment's text, in which a control token counts as one.
    """

    def __init__(self, episodes: TextEpisodes) -> None:
        self._episodes = episodes
        self._episode: TextEpisode | None = None

    async def reset(self, states: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Start the episode that the label names, and render how it opens."""
        self._episode = await self._episodes.open(TaskRef.loads(states["label"]))
        if not self._episode.prompt_ids:  # the setup failed; the first step says so
            return {"observation": states["observation"]}
        opening = self._episodes.tokenizer.decode(self._episode.prompt_ids, skip_special_tokens=False)
        return {"observation": opening}

    async def step(self, state_dict: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Take what was sampled, and give the text that leads to the next turn."""
        import torch

        episode, said = self._episode, state_dict["action_text"]
        assert episode is not None
        step = await episode.step(said)
        reward = step.reward
        glue = "" if step.done else episode.glue(said, step.messages)
        if glue is None:  # the template rewrites history, which a loop of text cannot follow
            reward += (await episode.finish()).reward
        return {
            "rewards": torch.tensor(reward),
            "scores": episode.reward,
            "environment_feedback": glue or "",
            "done": episode.done,
            "sampling_params": None,
            "extra_logs": episode.metrics(),
        }


class TextAgentExecutor(_agent.MultiTurnAgentExecutor):
    """OpenRLHF's own loop over `AgentInstance`; to use it, derive an `AgentExecutor` from it in a file of your own.

    Attributes:
        settings: Settings of a run.
    """

    settings: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__(AgentInstance)
        self._episodes: TextEpisodes | None = None

    async def execute(
        self,
        prompt: Any,
        label: str,
        sampling_params: Any,
        max_length: int,
        hf_tokenizer: Any,
        llm_engine: Any,
        images: Any = None,
    ) -> dict[str, Any]:
        """Run one episode; see `AgentExecutor.execute`."""
        if self._episodes is None:
            self._episodes = TextEpisodes(hf_tokenizer, **self.settings)
            self.agent_instance_cls = functools.partial(AgentInstance, self._episodes)
        # The loop writes to the parameters, which the members of a group share.
        return await super().execute(
            prompt, label, deepcopy(sampling_params), max_length, hf_tokenizer, llm_engine, images
        )


@functools.cache
def _scorer() -> TextEpisodes:
    return TextEpisodes()


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """Score single replies, for `--reward.remote_url`: where a task takes one, and calls no tool.

    Args:
        queries: Prompt and reply as text, control tokens included.
        prompts: The prompts alone.
        labels: The tasks.

    Returns:
        `rewards` and `scores` as float32[n], and `extra_logs`.

    Raises:
        ConfigError: A label is none of ours.
    """
    import torch

    said = [
        read_reply(query.removeprefix(prompt), opens_reasoning(prompt))
        for query, prompt in zip(queries, prompts, strict=True)
    ]
    scored = [
        drive_in_background(_score(reply, TaskRef.loads(label))) for reply, label in zip(said, labels, strict=True)
    ]
    rewards = torch.tensor([episode.reward for episode in scored])
    logs = [episode.metrics() for episode in scored]
    return {
        "rewards": rewards,
        "scores": rewards,
        "extra_logs": {name: torch.tensor([log[name] for log in logs]) for name in logs[0]},
    }


async def _score(reply: Message, ref: TaskRef) -> TextEpisode:
    episode = await _scorer().open(ref)
    if not (await episode.step(reply)).done:
        await episode.finish()
    return episode
