"""The agent loop: one episode for each sample that verl asks for."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import uuid4

import orjson
from verl.experimental.agent_loop.agent_loop import (  # pyright: ignore[reportMissingImports]
    AgentLoopBase,
    AgentLoopMetrics,
    AgentLoopOutput,
    register,
)

from llmgym.chat import FinishReason, Sampling
from llmgym.errors import ConfigError
from llmgym.policies.base import Generation
from llmgym.rollout.thresholds import reaches
from llmgym.trainers.common import Episodes, Sample, TrainerPolicy
from llmgym.trainers.parameters import asked_of
from llmgym.trainers.verl import versions
from llmgym.trainers.verl.data import loop_settings, task_of
from llmgym.trajectory import Trajectory


@functools.cache  # verl makes an agent loop for each sample; its workers have one tokenizer
def _episodes(tokenizer: Any, settings: bytes, max_output_tokens: int, response_length: int) -> Episodes:
    given = loop_settings(orjson.loads(settings), max_output_tokens)
    return Episodes(tokenizer, max_completion_length=response_length, **given)


@register("llmgym")  # pyright: ignore[reportUntypedClassDecorator] -- verl is not installed for checks
class LLMGymAgentLoop(AgentLoopBase):  # pyright: ignore[reportUntypedBaseClass]
    """Runs the episode that a row of the dataset names, and gives verl its exact tokens.

    The episode ends with the environment, or with the room of `rollout.prompt_length + rollout.response_length`
    tokens. An episode that failed or was not scored trains nothing: it has a reward of 0.0, since verl would ask its
    reward loop for one otherwise, with a mask of zeros and `llmgym_unscored` set in `reward_extra_info`.
    """

    # The newest weights that this process saw, for episodes that end before anything is sampled: verl computes with
    # the number of every row.
    newest: ClassVar[int | None] = None

    def __init__(
        self,
        *args: Any,
        max_output_tokens: int | None = None,
        drop_failed: bool = False,
        settings: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the fields of the agent loop's YAML, and what verl gives to all agent loops.

        Args:
            *args: verl's.
            max_output_tokens: Most tokens of one reply; None for what the episode has left.
            drop_failed: Leave failed and unscored episodes out, instead of handing over rows that train nothing.
            settings: Further settings of a run.
            **kwargs: verl's.

        Raises:
            ConfigError: A setting is wrong, or verl's to say.
        """
        super().__init__(*args, **kwargs)
        rollout = self.config.actor_rollout_ref.rollout
        self._prompt_length, self._response_length = int(rollout.prompt_length), int(rollout.response_length)
        room = self._prompt_length + self._response_length
        self._context_length = min(room, rollout.get("max_model_len") or room)
        self._drop_failed = drop_failed
        self._episodes = _episodes(
            self.tokenizer,
            orjson.dumps(dict(settings or {}), option=orjson.OPT_SORT_KEYS),
            self._response_length if max_output_tokens is None else max_output_tokens,
            self._response_length,
        )

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> Any:
        """Run one episode.

        Args:
            sampling_params: verl's: `temperature`, `top_p`, `top_k`, `repetition_penalty`, `logprobs`; others in
                validation than in training.
            **kwargs: The row of the dataset.

        Returns:
            An `AgentLoopOutput`: of the segment in which most was sampled, where the template rewrote history between
            turns. A list of one for each segment in the TransferQueue trainer.

        Raises:
            ConfigError: The dataset is not ours, or log-probabilities were asked for and the server gives none.
        """
        ref = task_of(kwargs["extra_info"].get("tools_kwargs"))
        session = versions.session_of(kwargs)
        if self._drop_failed and session is None:
            raise ConfigError("drop_failed: only the TransferQueue trainer (trainer.use_v1=true) can leave rows out")
        server = _Server(self.server_manager, sampling_params)
        policy = TrainerPolicy("verl", server.generate, self.tokenizer, self._context_length)
        configured = self._episodes.config.agent.responses_create_params
        params = asked_of(sampling_params, configured.max_output_tokens)
        trajectory = await self._episodes.run(ref, policy, repeat=session or 0, params=params)
        if server.misconfigured is not None:
            raise server.misconfigured
        if self._drop_failed and trajectory.reward is None:
            return []
        samples = [self._episodes.sample(trajectory)] if session is None else self._episodes.samples(trajectory)
        first, last = self._weights(samples, server, kwargs.get("global_steps"))
        fields = {"min_global_steps": first, "max_global_steps": last, "turn_scores": _turn_scores(trajectory)}
        outputs = [self._output(sample, server, fields) for sample in samples]
        return outputs[0] if session is None else outputs

    def _weights(self, samples: Sequence[Sample], server: _Server, step: Any) -> tuple[int | None, int | None]:
        """Oldest and newest weights that sampled what is trained; where nothing is, those that would have."""
        segments, replies = {sample.segment for sample in samples}, samples[0].trajectory.trained_replies
        used = [span.version for reply in replies if reply.segment in segments for span in reply.versions]
        used = used or server.weights  # the trajectory has no turn for a step that failed
        if used:
            LLMGymAgentLoop.newest = max(used)
            return min(used), max(used)
        current = self.newest if step is None else int(step) - 1  # a step trains on what the one before it left
        return current, current

    def _output(self, sample: Sample, server: _Server, fields: dict[str, Any]) -> Any:
        """A row in verl's shape, with at most `prompt_length` tokens of prompt and `response_length` of response.

        A longer prompt (of a segment after the first) goes on in the response, untrained. Only a row in which nothing
        was sampled can be longer than both together; it is cut.
        """
        trajectory = sample.trajectory
        ids = sample.prompt_ids + sample.completion_ids
        split = min(len(sample.prompt_ids), self._prompt_length)
        moved, end = len(sample.prompt_ids) - split, self._response_length
        return AgentLoopOutput(
            prompt_ids=ids[:split],
            response_ids=ids[split:][:end],
            response_mask=([0] * moved + sample.loss_mask)[:end],
            response_logprobs=([0.0] * moved + sample.logprobs)[:end] if server.logprobs else None,
            reward_score=0.0 if sample.reward is None else sample.reward,
            num_turns=len(trajectory.messages),
            metrics=AgentLoopMetrics(
                generate_sequences=trajectory.timings["engine_s"],
                tool_calls=trajectory.timings["env_s"],
                num_preempted=server.preempted,
            ),
            extra_fields={**fields, "reward_extra_info": self._info(trajectory)},
        )

    def _info(self, trajectory: Trajectory) -> dict[str, float]:
        """What verl logs in validation and writes with its rollouts; the same names on every row, as it demands."""
        reward, ended = trajectory.reward, trajectory.status
        return {
            "acc": float(reward is not None and reaches(reward, self._episodes.config.groups.success_threshold)),
            "llmgym_unscored": float(reward is None),
            "llmgym_failed": float(not trajectory.finished),
            "llmgym_truncated": float(trajectory.finished and ended != "completed"),
            "llmgym_segments": float(len(trajectory.segments)),
            "llmgym_tool_calls": trajectory.metrics.get("tool_calls", 0.0),
            "llmgym_tool_errors": trajectory.metrics.get("tool_errors", 0.0),
        }


class _Server:
    """What one episode samples with: verl's client, and the sampling parameters of the batch.

    Attributes:
        logprobs: Whether log-probabilities are asked for.
        preempted: How often its requests were put back for want of room; -1 where nobody said, as verl has it.
        weights: The weights that sampled its replies.
        misconfigured: What no other try would mend.
    """

    def __init__(self, client: Any, sampling_params: Mapping[str, Any]) -> None:
        self._client, self._params = client, sampling_params
        self._name = uuid4().hex
        self.logprobs = bool(sampling_params.get("logprobs"))
        self.preempted = -1
        self.weights: list[int] = []
        self.misconfigured: ConfigError | None = None

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        """Sample one reply; see `TokenPolicy.generate`."""
        output = await self._client.generate(
            # verl sends what has one id to one server, for its prefix cache. Episodes of a group must not share it.
            request_id=f"{session_id}/{self._name}",
            prompt_ids=list(prompt_ids),
            sampling_params={  # its servers take this dictionary apart
                **self._params,
                "max_tokens": sampling.max_tokens,
                "stop_token_ids": list(sampling.stop_token_ids),
            },
        )
        ids: list[int] = list(output.token_ids)
        reason = _finish_reason(ids, output.stop_reason, sampling)
        if self.logprobs and output.log_probs is None and reason != "abort":
            self.misconfigured = ConfigError(
                "verl asked for log-probabilities (actor_rollout_ref.rollout.calculate_log_probs) and its server gives "
                "none: without them, what was sampled cannot be compared with what is trained"
            )
            raise self.misconfigured
        if (preempted := versions.preempted(output)) is not None:
            self.preempted = max(self.preempted, 0) + preempted
        spans = versions.weights_of(output)
        self.weights += [span.version for span in spans]
        return Generation(
            ids,
            [float(value) for value in output.log_probs] if self.logprobs and output.log_probs else [0.0] * len(ids),
            reason,
            spans,
            versions.cached_tokens(output),
        )


def _finish_reason(ids: Sequence[int], said: str | None, sampling: Sampling) -> FinishReason:
    """Why a reply ended. vLLM's "stop" and "length" are both "completed" in verl, so the last token has to tell.

    A reply shorter than it might have been ended with a token that the engine stops at, one of ours or not.
    """
    if said in ("aborted", "abort") or not ids:
        return "abort"
    full = said == "length" or len(ids) >= sampling.max_tokens
    return "length" if full and ids[-1] not in sampling.stop_token_ids else "stop"


def _turn_scores(trajectory: Trajectory) -> list[float]:
    return [turn.reward or 0.0 for turn in trajectory.turns]
