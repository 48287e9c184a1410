"""What goes over the wire: the two ways in which `vllm serve` takes tokens and gives tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec
import orjson

from llmgym.chat import FinishReason, Sampling
from llmgym.policies.base import Generation, VersionSpan, wrong_logprob

Api = Literal["generate", "completions"]

#: Where each API lives, the better one first: "generate" needs no detokenizing and labels tokens with their weights.
PATHS: dict[Api, str] = {"generate": "/inference/v1/generate", "completions": "/v1/completions"}

_NO_WEIGHT_LABEL = "default"  # of weights that were never updated


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        model: Model as the server calls it.
        prompt: Whole prompt.
        sampling: How to sample.
        request_id: Unique per request.
        session_id: The same for all turns of an episode.
        probing: Ask for more than a reply: the prompt as the server read it and the likeliest token.
    """

    model: str
    prompt: Sequence[int]
    sampling: Sampling
    request_id: str
    session_id: str
    probing: bool = False


def encode(api: Api, call: Call) -> bytes:
    """Write a request; what a server's `generation_config.json` would fill in is stated, so that nothing is."""
    sampling = call.sampling
    params: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or -1,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "max_tokens": sampling.max_tokens,
        "stop_token_ids": sampling.stop_token_ids,
        "ignore_eos": True,  # the stop tokens are those of the request and no others
        "skip_special_tokens": False,
        # 0 is that of the sampled token alone. To `generate`, it is the first of the N; so 2, for the likeliest.
        "logprobs": 2 if call.probing else 0,
    }
    if sampling.stop:
        params["stop"] = sampling.stop
    if sampling.seed is not None:
        params["seed"] = sampling.seed & (1 << 63) - 1  # to vLLM, -1 is no seed and 2**63 an error
    prompt = call.prompt if isinstance(call.prompt, list) else list(call.prompt)
    if api == "generate":
        # The prompt comes back only where it is needed: it can be a hundred times longer than the reply.
        body: dict[str, Any] = {
            "token_ids": prompt,
            "sampling_params": params | {"detokenize": bool(sampling.stop)},
            "return_token_ids": call.probing,
        }
    else:
        body = params | {
            "prompt": prompt,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "session_id": call.session_id,
        }
    body |= {"model": call.model, "request_id": call.request_id}
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of either API, checked.

    Attributes:
        generation: What was sampled.
        likeliest: Log-probability of the likeliest first token, where it was asked for and is known.
    """

    generation: Generation
    likeliest: float | None


def decode(api: Api, call: Call, body: bytes) -> Reply:
    """Read a reply and check that it answers the request.

    Raises:
        ValueError: It does not; the message says why, as what "the reply ..." does.
    """
    try:
        read = _read_generate(body) if api == "generate" else _read_completion(body)
    except msgspec.MsgspecError as error:
        raise ValueError(f"is not that of {PATHS[api]}: {error}; it begins {body[:100]!r}") from None
    _check_prompt(read, call)
    ids, logprobs = _check_tokens(read)
    finish_reason = _check_end(ids, read, call.sampling)
    versions = _versions(read.versions, len(ids))
    generation = Generation(ids, logprobs, finish_reason, versions, read.cached_tokens or 0)
    return Reply(generation, max(read.top, default=None))


@dataclass(slots=True)
class _Read:
    """A reply as it came."""

    ids: list[int] | None
    logprobs: list[float | None] | None
    finish_reason: str | None
    stop_reason: int | str | None
    versions: list[_Span]
    prompt: list[int] | None
    prompt_tokens: int | None
    cached_tokens: int | None
    top: list[float]


def _check_prompt(read: _Read, call: Call) -> None:
    if read.prompt_tokens is not None and read.prompt_tokens != len(call.prompt):
        raise ValueError(f"counts {read.prompt_tokens} prompt tokens; {len(call.prompt)} were sent")
    if read.prompt is not None and read.prompt != list(call.prompt):
        raise ValueError("holds another prompt than was sent")


def _check_tokens(read: _Read) -> tuple[list[int], list[float]]:
    if read.ids is None:
        raise ValueError("has no token ids; llmgym needs a server that takes `return_token_ids`, as vLLM does")
    if read.logprobs is None:
        raise ValueError("has no log-probabilities; llmgym needs a server that gives `logprobs`")
    if len(read.logprobs) != len(read.ids):
        raise ValueError(f"has {len(read.ids)} token ids and {len(read.logprobs)} log-probabilities")
    if wrong := wrong_logprob(read.logprobs):
        raise ValueError(f"has {wrong}")
    return read.ids, cast("list[float]", read.logprobs)


def _check_end(ids: list[int], read: _Read, sampling: Sampling) -> FinishReason:
    finish_reason = read.finish_reason
    if finish_reason == "abort":
        return "abort"
    if finish_reason not in ("stop", "length"):
        raise ValueError(f"has the finish reason {finish_reason!r}, which llmgym does not know")
    if not 0 < len(ids) <= sampling.max_tokens:
        raise ValueError(f"has {len(ids)} tokens; 1 to {sampling.max_tokens} were asked for")
    stops = sampling.stop_token_ids
    ended = finish_reason == "stop" and read.stop_reason not in sampling.stop  # else a string has ended it
    if ended and ids[-1] not in stops:
        raise ValueError(f"stopped at token {ids[-1]}, which is not among the stop tokens {list(stops)}")
    before = ids[:-1] if ended else ids
    if not set(stops).isdisjoint(before):
        raise ValueError(f"goes on after a stop token; they are {list(stops)}")
    return finish_reason


def _versions(spans: list[_Span], length: int) -> tuple[VersionSpan, ...]:
    """The spans of a reply, none where the weights were never updated."""
    if all(span.version == _NO_WEIGHT_LABEL for span in spans):
        return ()
    end = 0
    versions: list[VersionSpan] = []
    for span in spans:
        label = "0" if span.version == _NO_WEIGHT_LABEL else span.version
        if not label.isdecimal():
            raise ValueError(f"names its weights {label!r}; llmgym needs an integer as `weight_version`")
        if span.start != end or span.end <= span.start:
            raise ValueError(f"has a weight span [{span.start}, {span.end}) after token {end}")
        versions.append(VersionSpan(int(label), span.start, span.end))
        end = span.end
    if end != length:
        raise ValueError(f"has {length} tokens, of which {end} are labelled with their weights")
    return tuple(versions)


# --- /inference/v1/generate ---------------------------------------------------------------------


class _Span(msgspec.Struct):
    version: str
    start: int
    end: int


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    prompt_tokens_details: _Details | None = None

    @property
    def cached_tokens(self) -> int | None:
        return self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else None


class _Candidate(msgspec.Struct):
    token_id: int
    logprob: float | None = None


class _Place(msgspec.Struct):
    token_id: int
    logprob: float | None = None
    top_logprobs: list[_Candidate] = []


class _Places(msgspec.Struct):
    content: list[_Place] | None = None


class _GenerateChoice(msgspec.Struct):
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    token_ids: list[int] | None = None
    logprobs: _Places | None = None
    weight_versions: list[_Span] | None = None


class _GenerateReply(msgspec.Struct):
    choices: tuple[_GenerateChoice]
    prompt_token_ids: list[int] | None = None
    usage: _Usage | None = None


_generate_reply = msgspec.json.Decoder(_GenerateReply)


def _read_generate(body: bytes) -> _Read:
    reply = _generate_reply.decode(body)
    choice, usage = reply.choices[0], reply.usage or _Usage()
    places = choice.logprobs.content if choice.logprobs else None
    if places is not None and choice.token_ids is not None and len(places) == len(choice.token_ids):
        for place, token in zip(places, choice.token_ids, strict=True):
            if place.token_id != token:
                raise ValueError(f"has the log-probability of token {place.token_id} where it has token {token}")
    top = places[0].top_logprobs if places else []
    return _Read(
        ids=choice.token_ids,
        logprobs=None if places is None else [place.logprob for place in places],
        finish_reason=choice.finish_reason,
        stop_reason=choice.stop_reason,
        versions=choice.weight_versions or [],
        prompt=reply.prompt_token_ids,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        top=[candidate.logprob for candidate in top if candidate.logprob is not None],
    )


# --- /v1/completions ----------------------------------------------------------------------------


class _Logprobs(msgspec.Struct):
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float | None] | None] | None = None


class _CompletionChoice(msgspec.Struct):
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None
    logprobs: _Logprobs | None = None


class _CompletionReply(msgspec.Struct):
    choices: tuple[_CompletionChoice]
    usage: _Usage | None = None


_completion_reply = msgspec.json.Decoder(_CompletionReply)


def _read_completion(body: bytes) -> _Read:
    reply = _completion_reply.decode(body)
    choice, usage = reply.choices[0], reply.usage or _Usage()
    logprobs = choice.logprobs or _Logprobs()
    top = (logprobs.top_logprobs or [None])[0] or {}
    return _Read(
        ids=choice.token_ids,
        logprobs=logprobs.token_logprobs,
        finish_reason=choice.finish_reason,
        stop_reason=choice.stop_reason,
        versions=[],
        prompt=choice.prompt_token_ids,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        top=[value for value in top.values() if value is not None],
    )
