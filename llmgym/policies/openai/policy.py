"""The policy of chat endpoints: which model is asked, what it costs, and which trouble is which error."""

from __future__ import annotations

import functools
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Literal, cast

import msgspec

from llmgym.chat import ChatGeneration, Sampling, Usage
from llmgym.errors import ConfigError, ContextLengthExceeded, PolicyError, PolicyUnavailable
from llmgym.messages import Message, ToolSchema
from llmgym.policies.openai import chat_completions, responses
from llmgym.policies.openai.address import Address
from llmgym.policies.openai.client import Client
from llmgym.policies.openai.connection import Answer
from llmgym.policies.openai.conversation import Conversations
from llmgym.policies.openai.history import Kept
from llmgym.policies.openai.refusals import consequence, otherwise
from llmgym.policies.openai.reply import Completion
from llmgym.policies.openai.trouble import Trouble, reply_alone_too_long, too_long

Api = Literal["chat", "responses"]

# Each of these has a PATH, and the functions `write`, `request` and `read`.
_APIS: dict[Api, ModuleType] = {"chat": chat_completions, "responses": responses}
_LISTS_NOTHING = (403, 404, 405, 501)  # servers without a list of models, and keys that may chat but not list
_log = logging.getLogger("llmgym.policies.openai")


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Dollars per million tokens of prompt and of reply."""

    input: float
    output: float

    def cost(self, tokens: tuple[int, int]) -> float:
        """Dollars for tokens of prompt and reply."""
        return (tokens[0] * self.input + tokens[1] * self.output) / 1e6


class OpenAIPolicy:
    """Replies of an OpenAI-compatible server, by its Chat Completions API or its Responses API.

    A server that limits the run slows it down: its requests wait their turn, and that counts against no deadline.
    Trajectories made with it hold messages and no tokens, so they are no use to a policy-gradient
    trainer; `TokenPolicy` says what is.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        api: Api = "chat",
        timeout: float = 600.0,
        unavailable_timeout: float = 300.0,
        max_retries: int = 3,
        prices: Mapping[str, float] | None = None,
    ) -> None:
        """Name the model and the server.

        Args:
            model: Model that the server offers.
            base_url: Such as "http://localhost:8000/v1"; by default `OPENAI_BASE_URL`, else OpenAI's. A password in it
                is shown nowhere.
            api_key: By default `OPENAI_API_KEY`. Shown nowhere.
            api: "chat" (`POST /chat/completions`) or "responses" (`POST /responses`).
            timeout: Seconds for one try of a request.
            unavailable_timeout: Seconds to wait for a server that limits the run and answers none of its requests.
            max_retries: Tries after the first, where the server fails or is away. With 0, being limited is one too.
            prices: `input` and `output`, in dollars per million tokens, where the server does not say what a reply
                costs.

        Raises:
            ConfigError: `base_url` is no address, there is no such `api`, or a number makes no sense.
        """
        if not (0 < timeout < math.inf and 0 <= unavailable_timeout < math.inf and max_retries >= 0):
            raise ConfigError(f"{timeout=} must be above 0, {unavailable_timeout=} and {max_retries=} at least 0")
        if api not in _APIS:
            raise ConfigError(f"api={api!r} must be one of {', '.join(_APIS)}")
        self.name = f"openai:{model}"
        self.model = model
        self._address = Address(base_url, api_key)
        self._prices = _prices(prices)
        self.api: Api = api
        self._timeouts, self._max_retries = (timeout, unavailable_timeout), max_retries
        self._conversations = Conversations(_APIS[api].write)
        self._refused: frozenset[str] = frozenset()
        self._answered_as: str | None = None
        self._said_model = False
        self._client: Client | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What decides the replies beside the model, without secrets; for the identity of a run."""
        return {"base_url": self._address.identity, "api": self.api}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r}, base_url={self._address.shown!r})"

    async def start(self) -> None:
        """Make the client and ask the server whether it offers the model.

        Raises:
            MissingExtraError: aiohttp is not installed.
            PolicyUnavailable: The server cannot be reached or refuses the key, or there is none.
            PolicyError: The server does not offer the model.
        """
        if self._client is not None:
            return
        client, where = Client(self.name, self._address, *self._timeouts, self._max_retries), self._address.shown
        offered = await client.models(self._read_models)
        if isinstance(offered, Trouble):
            await client.aclose()
            raise PolicyUnavailable(self._address.hide(f"{self.name} at {where}: {offered.text}"))
        if offered and not _offers(offered, self.model) and not self._address.azure:
            await client.aclose()
            listed = ", ".join(offered[:20])
            raise PolicyError(f"{where} does not offer {self.model!r}; it offers {listed}")
        self._client = client

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
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
        make = functools.partial(self._request, session_id, messages, tools, sampling)
        refused = self._refused
        request = make(refused)
        while isinstance(outcome := await self._ask(request), Trouble):
            again, refused = otherwise(outcome, request, refused, make)
            if again == request:
                raise self._error(outcome, sampling)
            request = again
        self._learn(refused)
        model = "" if outcome.model == self.model else outcome.model
        if outcome.model:
            self._note_model(outcome.model)
        if outcome.kept:
            self._conversations.keep(session_id, len(messages), Kept(outcome.message, outcome.kept))
        cost = outcome.cost
        if cost is None and self._prices is not None and outcome.tokens is not None:
            cost = self._prices.cost(outcome.tokens)
        usage = Usage(*(outcome.tokens or (0, 0)), cost=cost, calls=1)
        return ChatGeneration(outcome.message, outcome.finish_reason, usage, model)

    def _request(
        self,
        session_id: str,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        sampling: Sampling,
        refused: frozenset[str],
    ) -> dict[str, Any]:
        names = frozenset(tool["function"]["name"] for tool in tools)
        parts = self._conversations.parts(session_id, list(messages), names, refused)
        return _APIS[self.api].request(self.model, parts, tools, sampling, refused)

    async def _ask(self, request: dict[str, Any]) -> Completion | Trouble:
        if self._client is None:
            raise PolicyError(f"{self.name} is not started, or is closed")
        try:
            body = msgspec.json.encode(request)
        except (TypeError, ValueError) as error:
            return Trouble(f"the request is no JSON: {error}")
        return await self._client.ask(_APIS[self.api].PATH, body, self._read)

    def _read(self, answer: Answer) -> Completion | Trouble:
        if answer.status >= 300:
            return chat_completions.read_broken_call(answer.data) or answer.read_as_trouble(self._address)
        read = _APIS[self.api].read
        outcome = read(answer.data)
        if isinstance(outcome, Completion):
            return outcome
        hidden = self._address.hide(answer.data.decode("utf-8-sig", "replace"))
        return read(hidden.encode())

    def _read_models(self, answer: Answer) -> list[str] | Trouble:
        """Names of the models that a server lists, in any of the usual forms; none where it does not list them."""
        if answer.status in _LISTS_NOTHING:
            return []
        if answer.status >= 300:
            return answer.read_as_trouble(self._address)
        try:
            body = json.loads(answer.data)
        except (ValueError, RecursionError) as error:
            return Trouble(f"not a list of models: {error}; got {answer.data[:200].decode(errors='replace')!r}")
        if isinstance(body, dict) and cast("dict[str, Any]", body).get("error"):
            return answer.read_as_trouble(self._address)
        rows = cast("dict[str, Any]", body).get("data") if isinstance(body, dict) else body
        models = cast("list[Any]", rows) if isinstance(rows, list) else []
        cards = [cast("dict[str, Any]", model) for model in models if isinstance(model, dict)]
        names = [name for card in cards for name in (card.get("id"), *_aliases(card))]
        return [name for name in names if isinstance(name, str)]

    def _note_model(self, model: str) -> None:
        """Say once that another model answers than did before, as of a router, or of a server that was started anew."""
        before, self._answered_as = self._answered_as or model, model
        if model != before and not self._said_model:
            self._said_model = True
            _log.warning("%s: %s answers now, and %s did before; turns say who answered", self.name, model, before)

    def _learn(self, refused: frozenset[str]) -> None:
        """Keep what a server refused, now that it took the request without."""
        for refusal in sorted(refused - self._refused):
            _log.warning("%s", consequence(refusal, self.name))
        self._refused |= refused

    def _error(self, trouble: Trouble, sampling: Sampling) -> PolicyError:
        """The trouble as an error that holds no secret, not even in what caused it."""
        said = self._address.hide(f"{self.name}: {trouble.text}")
        if too_long(trouble):
            if reply_alone_too_long(trouble, sampling.max_tokens):
                return PolicyError(f"{said}; {sampling.max_tokens} tokens of reply do not fit: lower max_output_tokens")
            return ContextLengthExceeded(said)
        return PolicyUnavailable(said) if trouble.passing else PolicyError(said)


def _aliases(card: dict[str, Any]) -> list[Any]:
    """Other names of a model (Mistral, llama.cpp)."""
    aliases = card.get("aliases")
    return cast("list[Any]", aliases) if isinstance(aliases, list) else []


def _offers(offered: list[str], model: str) -> bool:
    """Whether a model is among them.

    Gemini lists "models/M", Ollama "M:latest", OpenRouter "M" for "M:free", LM Studio "M" for "M@q8_0".
    """

    def plain(name: str) -> str:
        return name.removeprefix("models/").removesuffix(":latest")

    return plain(model) in map(plain, offered) or re.sub("[:@][^:@]*$", "", model) in offered


def _prices(given: Mapping[str, float] | None) -> Prices | None:
    if given is None:
        return None
    try:
        prices = msgspec.convert(dict(given), Prices)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise ConfigError(f"prices {given!r}: {error}; give input and output, in dollars per million tokens") from None
    if not (0 <= prices.input < math.inf and 0 <= prices.output < math.inf):
        raise ConfigError(f"prices {given!r}: a price is a number of dollars, 0 or more")
    return prices
