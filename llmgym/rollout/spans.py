"""OpenTelemetry spans of episodes, made when they have ended of the times that they took.

A span costs as much as a part of a turn, so none is made while an episode runs, and then only of a share of them.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from llmgym import __version__
from llmgym.loading import expect_modules
from llmgym.messages import Message
from llmgym.rollout import genai
from llmgym.tasks import stable_hash
from llmgym.trajectory import Trajectory, Turn

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_log = logging.getLogger("llmgym.rollout")
_NS = 1_000_000_000
_QUEUE = 65_536  # spans that wait to be sent; more are lost
_PATIENCE_S = 30.0  # for the last spans to be sent


class EpisodeSpans:
    """Makes spans of a share of the episodes: one for the episode, below it one for each reply and each call of a tool.

    They go where the program that uses llmgym has its tracer provider send them; else by OTLP over HTTP, as the
    variables `OTEL_EXPORTER_OTLP_*` say. What is said is in them where genai.CAPTURE is set to true.
    """

    def __init__(self, share: float, policy: str) -> None:
        """Begin.

        Args:
            share: Of how many episodes, from 0 to 1; which ones is up to their ids, so that all agents of an episode,
                and the same episode of another run, are in it or not.
            policy: Name of the policy.

        Raises:
            MissingExtraError: The extra `telemetry` is not installed.
        """
        expect_modules("trace", "telemetry", "opentelemetry.sdk")
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider

        self._most = int(share * 2**64)
        self._policy = policy
        self._contents = os.environ.get(genai.CAPTURE, "").lower() == "true"
        self._own: TracerProvider | None = None
        provider = trace.get_tracer_provider()
        if not isinstance(provider, TracerProvider):
            provider = self._own = _provider()
        self._tracer = provider.get_tracer("llmgym", __version__)

    def take(self, trajectories: Sequence[Trajectory]) -> None:
        """Make the spans of an episode that has just ended, as its agents have it, if it is one of the share."""
        if stable_hash(trajectories[0].episode_id) < self._most:
            end = time.time_ns()
            for trajectory in trajectories:
                self._write(trajectory, end)

    def close(self) -> None:
        """Send what waits, for half a minute at most."""
        if self._own is None:
            return
        ending = threading.Thread(target=self._own.shutdown, name="llmgym-spans", daemon=True)
        ending.start()  # an exporter that cannot reach its server tries for longer
        ending.join(_PATIENCE_S)
        if ending.is_alive():
            _log.warning("spans were not sent within %.0f s: the last of them are lost", _PATIENCE_S)

    def _write(self, trajectory: Trajectory, end: int) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        model = trajectory.policy or self._policy
        begun = end - int(trajectory.timings.get("wall_s", 0.0) * _NS)
        root = self._tracer.start_span(
            f"{genai.INVOKE_AGENT} {trajectory.env_id}",
            kind=SpanKind.INTERNAL,
            attributes=_of_episode(trajectory, model),
            start_time=begun,
        )
        context = set_span_in_context(root)
        at = end - int(sum(turn.engine_s + turn.env_s for turn in trajectory.turns) * _NS)
        for number, (turn, said) in enumerate(zip(trajectory.turns, _exchanges(trajectory), strict=False)):
            replied = at + int(turn.engine_s * _NS)
            attributes = _of_reply(trajectory, turn, model)
            if self._contents:
                attributes[genai.INPUT_MESSAGES] = _text(trajectory.shown(number))
                attributes[genai.OUTPUT_MESSAGES] = _text(said[:1])
            name = f"{genai.CHAT} {turn.model or model}"
            self._span(name, SpanKind.CLIENT, context, attributes, at, replied)
            at = replied + int(turn.env_s * _NS)
            for tool, called in _calls(said, contents=self._contents):
                self._span(f"{genai.EXECUTE_TOOL} {tool}", SpanKind.INTERNAL, context, called, replied, at)
        self._evaluate(root, trajectory, end)
        if trajectory.failure is not None:
            root.set_attribute(genai.ERROR, trajectory.failure.kind)
            root.set_status(Status(StatusCode.ERROR, trajectory.error if self._contents else None))
        root.end(end)

    def _span(
        self, name: str, kind: Any, context: Context, attributes: Mapping[str, Any], start: int, end: int
    ) -> None:
        span = self._tracer.start_span(name, context, kind, attributes, start_time=start)
        span.end(end)

    def _evaluate(self, root: Span, trajectory: Trajectory, end: int) -> None:
        if trajectory.reward is None:
            return
        scores = {"reward": trajectory.reward} | {name: part.value for name, part in trajectory.reward_parts.items()}
        for name, value in scores.items():
            root.add_event(genai.EVALUATION, {genai.EVALUATION_NAME: name, genai.EVALUATION_SCORE: value}, end)


def _provider() -> TracerProvider:
    """What sends spans by OTLP, from a thread of its own."""
    expect_modules("trace", "telemetry", "opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "llmgym"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), max_queue_size=_QUEUE))
    return provider


def _of_episode(trajectory: Trajectory, model: str) -> dict[str, Any]:
    name = trajectory.env_id if trajectory.agents == 1 else f"{trajectory.env_id}/{trajectory.agent}"
    found: dict[str, Any] = {
        genai.OPERATION: genai.INVOKE_AGENT,
        genai.AGENT: name,
        genai.CONVERSATION: trajectory.episode_id,
        genai.REQUEST_MODEL: model,
        genai.TASK: trajectory.task_id,
        genai.REPEAT: trajectory.repeat,
        genai.ATTEMPTS: trajectory.attempts,
        genai.STATUS: trajectory.status,
    }
    if trajectory.reward is not None:
        found[genai.REWARD] = trajectory.reward
    return found


def _of_reply(trajectory: Trajectory, turn: Turn, model: str) -> dict[str, Any]:
    asked = trajectory.sampling
    wanted = {
        genai.TEMPERATURE: asked.get("temperature"),
        genai.TOP_P: asked.get("top_p"),
        genai.MAX_TOKENS: asked.get("max_output_tokens"),
        genai.RESPONSE_MODEL: turn.model or None,
    }
    found: dict[str, Any] = {
        genai.OPERATION: genai.CHAT,
        genai.PROVIDER: "llmgym",
        genai.REQUEST_MODEL: model,
        genai.FINISH_REASONS: [turn.finish_reason],
    }
    if trajectory.segments:
        found[genai.INPUT_TOKENS] = turn.start
        found[genai.OUTPUT_TOKENS] = turn.end - turn.start
        found[genai.CACHED_TOKENS] = turn.cached_tokens
    return found | {name: value for name, value in wanted.items() if value is not None}


def _exchanges(trajectory: Trajectory) -> Iterator[list[Message]]:
    """Each reply with what followed it."""
    messages = trajectory.messages
    starts = [at for at, one in enumerate(messages) if at >= trajectory.opening and one["role"] == "assistant"]
    for start, end in pairwise([*starts, len(messages)]):
        yield messages[start:end]


def _calls(said: Sequence[Message], *, contents: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The calls of a reply that were answered; all have the time of the step, which is not known of each."""
    calls = said[0].get("tool_calls", [])
    results = [message for message in said[1:] if message["role"] == "tool"]
    for call, result in zip(calls, results, strict=False):
        name = call["function"]["name"]
        found = {genai.OPERATION: genai.EXECUTE_TOOL, genai.TOOL: name}
        if identity := call.get("id") or result.get("tool_call_id"):
            found[genai.TOOL_CALL] = identity
        if contents:
            found[genai.TOOL_ARGUMENTS] = call["function"]["arguments"]
            found[genai.TOOL_RESULT] = result["content"]
        yield name, found


def _text(messages: Sequence[Message]) -> str:
    """Messages in the form of the conventions: JSON of roles with parts."""
    return json.dumps([{"role": one["role"], "parts": list(_parts(one))} for one in messages], ensure_ascii=False)


def _parts(message: Message) -> Iterator[dict[str, Any]]:
    if thought := message.get("reasoning_content"):
        yield {"type": "reasoning", "content": thought}
    if message["role"] == "tool":
        yield {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": message["content"]}
    elif message["content"]:
        yield {"type": "text", "content": message["content"]}
    for call in message.get("tool_calls", ()):
        function = call["function"]
        yield {"type": "tool_call", "id": call.get("id"), "name": function["name"], "arguments": function["arguments"]}
