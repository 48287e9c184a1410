"""Any OpenAI-compatible chat endpoint: for evaluation, SFT and DPO data; it gives no tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from llmgym.chat import ChatGeneration, Sampling, Usage
from llmgym.errors import ContextLengthExceeded, MissingExtraError, PolicyError, PolicyUnavailable
from llmgym.messages import Message, ToolSchema, as_assistant

T = TypeVar("T")


_PROBE_S = 20.0


class OpenAIPolicy:
    """Chat completions of an OpenAI-compatible server.

    Trajectories made with it hold messages and no tokens, so they are no use to a policy-gradient
    trainer; `TokenPolicy` says what is.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 600.0,
        max_retries: int = 3,
    ) -> None:
        """Name the model and the server.

        Args:
            model: Model that the server offers.
            base_url: Such as "http://localhost:8000/v1"; by default `OPENAI_BASE_URL`, else OpenAI's.
            api_key: By default `OPENAI_API_KEY`. Never written to a run folder.
            timeout: Seconds for one request.
            max_retries: Tries after the first, where the server is overloaded or away.
        """
        self.name = f"openai:{model}"
        self.model = model
        self._options: dict[str, Any] = {"base_url": base_url, "timeout": timeout, "max_retries": max_retries}
        self._api_key = api_key
        self._client: Any = None

    async def start(self) -> None:
        """Make the client and ask the server whether it offers the model.

        Raises:
            MissingExtraError: The `openai` package is not installed.
            PolicyUnavailable: The server cannot be reached or refuses the key.
            PolicyError: The server does not offer the model.
        """
        if self._client is not None:
            return
        try:
            import openai
        except ImportError:
            raise MissingExtraError("OpenAIPolicy", "openai") from None
        try:
            client = openai.AsyncOpenAI(api_key=self._api_key, **self._options)
        except openai.OpenAIError as error:
            raise PolicyUnavailable(f"{self.name}: {error}") from error
        try:
            # A server that hangs is found here, in seconds.
            probe = client.with_options(timeout=min(_PROBE_S, self._options["timeout"]), max_retries=1)
            response = await probe.models.with_raw_response.list()
            offered = [model.id for model in _decode(response.text, _Models).data]
        except openai.NotFoundError:
            offered = []  # a server need not list its models
        except (openai.OpenAIError, ValueError) as error:
            await client.close()
            raise PolicyUnavailable(f"{self.name} at {client.base_url}: {_said(error)}") from error
        if offered and self.model not in offered:
            await client.close()
            raise PolicyError(f"{client.base_url} does not offer {self.model!r}; it offers {', '.join(offered[:20])}")
        self._client = client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        sampling: Sampling,
        *,
        request_id: str,
        session_id: str,
    ) -> ChatGeneration:
        """Ask for one completion; see `ChatPolicy.chat`."""
        import openai

        request: dict[str, Any] = {
            "model": self.model,
            "messages": list(messages),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_completion_tokens": sampling.max_tokens,
        }
        if tools:
            request["tools"] = list(tools)
        if sampling.seed is not None:
            request["seed"] = sampling.seed
        try:
            response = await self._client.chat.completions.with_raw_response.create(**request)
        except (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError) as error:
            raise PolicyUnavailable(f"{self.name}: {_said(error)}") from error
        except openai.BadRequestError as error:
            kind = ContextLengthExceeded if "context" in str(error).lower() else PolicyError
            raise kind(f"{self.name}: {_said(error)}") from error
        except openai.OpenAIError as error:
            raise PolicyError(f"{self.name}: {_said(error)}") from error
        try:
            completion = _decode(response.text, _Completion)
            if not completion.choices:
                raise ValueError("the reply has no choices")
            choice = completion.choices[0]
            kept = {name: choice.message.get(name) for name in ("content", "tool_calls", "reasoning_content")}
            message = as_assistant({"role": "assistant", **kept})
        except ValueError as error:
            raise PolicyError(f"{self.name}: {error}") from error
        reason = "length" if choice.finish_reason == "length" else "stop"
        took = completion.usage or _Usage()
        return ChatGeneration(message, reason, Usage(took.prompt_tokens, took.completion_tokens, calls=1))


# The answers of a server as far as llmgym reads them. The client's own models let anything through.


class _Choice(msgspec.Struct):
    message: dict[str, Any]
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model] = []


def _decode(text: str, kind: type[T]) -> T:
    """Read an answer; `json` takes lone surrogates, which stricter decoders refuse."""
    try:
        return msgspec.convert(json.loads(text), kind)
    except ValueError as error:
        raise ValueError(f"not the answer of a chat endpoint: {error}; got {text[:200]!r}") from None


def _said(error: Exception) -> str:
    """The error and, where it only says that the connection failed, why."""
    return f"{error} ({error.__cause__})" if error.__cause__ and str(error.__cause__) else str(error)
