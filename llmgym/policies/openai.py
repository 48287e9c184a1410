"""Any OpenAI-compatible chat endpoint: for evaluation, SFT and DPO data; it gives no tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmgym.errors import ContextLengthExceeded, MissingExtraError, PolicyError, PolicyUnavailable
from llmgym.messages import Message, ToolSchema, as_assistant
from llmgym.policies.base import ChatGeneration, Sampling


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
            offered = [model.id async for model in client.models.list()]
        except openai.NotFoundError:
            offered = []  # a server need not list its models
        except openai.OpenAIError as error:
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
            "max_tokens": sampling.max_tokens,
        }
        if tools:
            request["tools"] = list(tools)
        if sampling.seed is not None:
            request["seed"] = sampling.seed
        try:
            completion = await self._client.chat.completions.create(**request)
        except (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError) as error:
            raise PolicyUnavailable(f"{self.name}: {_said(error)}") from error
        except openai.BadRequestError as error:
            kind = ContextLengthExceeded if "context" in str(error).lower() else PolicyError
            raise kind(f"{self.name}: {_said(error)}") from error
        except openai.OpenAIError as error:
            raise PolicyError(f"{self.name}: {_said(error)}") from error
        if not completion.choices:
            raise PolicyError(f"{self.name}: the reply has no choices")
        choice = completion.choices[0]
        usage = completion.usage
        counts = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens} if usage else {}
        reason = "length" if choice.finish_reason == "length" else "stop"
        return ChatGeneration(_message(choice.message.model_dump(exclude_none=True)), reason, counts)


def _message(reply: dict[str, Any]) -> Message:
    """The fields that llmgym keeps; servers add their own."""
    kept = {key: reply[key] for key in ("content", "tool_calls", "reasoning_content") if key in reply}
    try:
        return as_assistant({"role": "assistant", **kept})
    except ValueError as error:
        raise PolicyError(str(error)) from error


def _said(error: Exception) -> str:
    """The error and, where it only says that the connection failed, why."""
    return f"{error} ({error.__cause__})" if error.__cause__ and str(error.__cause__) else str(error)
