"""The `openai` package as far as it is used: requests out, answers of any kind in, nothing raised and nothing shown.

Its client holds the key, and its errors may repeat it; neither gets past this module.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, NamedTuple

from llmgym.errors import MissingExtraError, PolicyUnavailable
from llmgym.policies.openai.address import Address
from llmgym.policies.openai.trouble import Trouble

_PROBE_S = 20.0


class Answer(NamedTuple):
    """What came from a server.

    Attributes:
        text: The body.
        status: Of HTTP.
        retry_after: The header of that name.
    """

    text: str
    status: int
    retry_after: str | None = None

    @property
    def trouble(self) -> Trouble:
        """Read as no reply."""
        return Trouble.said(self.text, self.status, self.retry_after)


class Client:
    """Connections to one server; an overloaded one is asked again, after the time that it asks for."""

    __slots__ = ("_client", "_timeout")  # no __dict__, in which a dump of attributes would find the key

    def __init__(self, address: Address, timeout: float, max_retries: int) -> None:
        """Make the client; nothing is sent yet.

        Raises:
            MissingExtraError: The `openai` package is not installed.
            PolicyUnavailable: There is no key.
        """
        try:
            import openai
        except ImportError:
            raise MissingExtraError("OpenAIPolicy", "openai") from None
        url, key = address.reveal()
        if key is None:
            raise PolicyUnavailable(
                f"no key for {address.shown}: set OPENAI_API_KEY or give api_key (any word, if it asks for none)"
            )
        self._timeout = timeout
        self._client = openai.AsyncOpenAI(api_key=key, base_url=url, timeout=timeout, max_retries=max_retries)

    async def models(self) -> Answer | Trouble:
        """Ask what the server offers; one that hangs is found in seconds."""
        probe = self._client.with_options(timeout=min(_PROBE_S, self._timeout), max_retries=1)
        return await _answer(probe.models.with_raw_response.list())

    async def complete(self, request: dict[str, Any]) -> Answer | Trouble:
        """Ask for a reply."""
        return await _answer(self._client.chat.completions.with_raw_response.create(**request))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()


async def _answer(asked: Awaitable[Any]) -> Answer | Trouble:
    import openai

    try:
        return Answer((await asked).text, 200)
    except openai.APIStatusError as error:
        return Answer(error.response.text, error.status_code, error.response.headers.get("retry-after"))
    except (openai.OpenAIError, ValueError) as error:
        cause = f" ({error.__cause__})" if error.__cause__ and str(error.__cause__) else ""
        return Trouble(f"{error}{cause}", passing=isinstance(error, openai.APIConnectionError))
