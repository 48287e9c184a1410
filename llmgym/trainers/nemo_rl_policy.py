"""NeMo RL's generation servers as a token policy.

With `expose_http_server`, NeMo RL serves the model that it trains as `/v1/chat/completions` and `/tokenize`, and
nothing that takes tokens. It does take the tokens with which a prompt must start (`required_prefix_token_ids`): it
renders the messages, cuts the rendering at the end of the last assistant message, and puts those tokens in front of
what follows there. So a request with one empty exchange for messages, and a prompt without its tail for the prefix,
has exactly that prompt; the tail, which ends a message and opens the assistant's turn, is asked for once.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from typing import Any

import orjson

from llmgym.chat import FinishReason, Sampling
from llmgym.errors import ContextLengthExceeded, MissingExtraError, PolicyError, PolicyUnavailable
from llmgym.policies.base import Generation, LogprobsMode

_EXCHANGE = [{"role": "user", "content": "-"}, {"role": "assistant", "content": "-"}]
_TIMEOUT_S = 600.0
_TRIES = 3
_BACKOFF_S = 0.5
_TOKEN = "token_id:"
_FINISHED: dict[str, FinishReason] = {"stop": "stop", "tool_calls": "stop", "length": "length", "abort": "abort"}


class GenerationServers:
    """Samples from NeMo RL's generation servers; the turns of an episode go to one of them, for its prefix cache.

    Attributes:
        name: "nemo_rl".
        model: Model as the servers call it.
        tokenizer: Its tokenizer.
        context_length: Most tokens of prompt and reply together.
        logprobs_mode: "processed": NeMo RL asks vLLM for those.
    """

    def __init__(self, base_urls: Sequence[str], model: str, tokenizer: Any, context_length: int) -> None:
        """Name the servers.

        Args:
            base_urls: Addresses, each with its `/v1`.
            model: Model as they call it.
            tokenizer: Its tokenizer.
            context_length: NeMo RL's `vllm_cfg.max_model_len`.
        """
        self.name, self.model = "nemo_rl", model
        self.tokenizer, self.context_length = tokenizer, int(context_length)
        self.logprobs_mode: LogprobsMode = "processed"
        self._roots = [url.rstrip("/").removesuffix("/v1") for url in base_urls]
        self._http: Any = None
        self._tail: asyncio.Task[list[int]] | None = None

    async def start(self) -> None:
        """Nothing to do: the first request connects."""

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.close()
        self._http = self._tail = None

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        """Sample one reply.

        Raises:
            ContextLengthExceeded: No room for a reply.
            PolicyUnavailable: The server is gone.
            PolicyError: The prompt cannot be forced on the server, or its answer makes no sense.
        """
        root = self._roots[zlib.crc32(session_id.encode()) % len(self._roots)]
        tail = await self._learned(root)
        prompt = list(prompt_ids)
        if prompt[-len(tail) :] != tail or len(prompt) == len(tail):
            raise PolicyError(
                f"a prompt ends with the tokens {prompt[-len(tail) :]}, and those of NeMo RL's server with {tail}: "
                "give the same tokenizer and chat template to both"
            )
        answer = await self._post(
            f"{root}/v1/chat/completions",
            {
                "model": self.model,
                "messages": _EXCHANGE,
                "required_prefix_token_ids": prompt[: -len(tail)],
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "max_tokens": sampling.max_tokens,
                "stop_token_ids": sampling.stop_token_ids,
                "logprobs": True,
                "top_logprobs": 0,
                "return_tokens_as_token_ids": True,
                "skip_special_tokens": False,
                **_unusual(sampling),
            },
        )
        return _read(answer, len(prompt))

    async def _learned(self, root: str) -> list[int]:
        """The tail of every prompt, asked for once."""
        if self._tail is None or (self._tail.done() and (self._tail.cancelled() or self._tail.exception())):
            self._tail = asyncio.create_task(self._ask_tail(root))
        return await asyncio.shield(self._tail)

    async def _ask_tail(self, root: str) -> list[int]:
        special = set(self.tokenizer.all_special_ids)
        mark = [next(token for token in range(len(self.tokenizer)) if token not in special)] * 3
        request = {
            "model": self.model,
            "messages": _EXCHANGE,
            "add_generation_prompt": True,
            "required_prefix_token_ids": mark,
        }
        tokens = (await self._post(f"{root}/tokenize", request)).get("tokens", [])
        if tokens[: len(mark)] != mark or len(tokens) == len(mark):
            raise PolicyError(
                f"{root}/tokenize does not take required_prefix_token_ids: is this a generation server of NeMo RL, "
                "with expose_http_server?"
            )
        return tokens[len(mark) :]

    async def _post(self, url: str, body: dict[str, Any]) -> dict[str, Any]:
        """Post, and again where nobody answered: sampling has no side effect."""
        aiohttp, http = self._session()
        for left in reversed(range(_TRIES)):
            try:
                async with http.post(url, data=orjson.dumps(body)) as response:
                    text = await response.read()
                    if response.ok:
                        return orjson.loads(text)
                    raise _refusal(url, response.status, text[:500].decode(errors="replace"))
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                if not left:
                    raise PolicyUnavailable(f"{url}: {type(error).__name__}: {error}") from error
                await asyncio.sleep(_BACKOFF_S)
            except orjson.JSONDecodeError as error:
                raise PolicyError(f"{url} gave no JSON: {error}") from error
        raise AssertionError("unreachable")

    def _session(self) -> tuple[Any, Any]:
        try:
            import aiohttp
        except ImportError:
            raise MissingExtraError("NeMo RL's generation servers", "server") from None
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
                headers={"Content-Type": "application/json"},
            )
        return aiohttp, self._http


def _unusual(sampling: Sampling) -> dict[str, Any]:
    """What else is asked for; NeMo RL's server has defaults of its own for what is not."""
    names = ("stop", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")
    usual = Sampling()
    return {name: value for name in names if (value := getattr(sampling, name)) != getattr(usual, name)}


def _refusal(url: str, status: int, text: str) -> PolicyError:
    if "context length" in text or "max_model_len" in text:
        return ContextLengthExceeded(text)
    return PolicyError(f"{url} answered {status}: {text}")


def _read(answer: dict[str, Any], prompt_length: int) -> Generation:
    """The reply in a chat completion."""
    try:
        choice = answer["choices"][0]
        seen = answer["usage"]["prompt_tokens"]
        content = choice["logprobs"]["content"] or []
        ids = [int(token["token"].removeprefix(_TOKEN)) for token in content]
        logprobs = [float(token["logprob"]) for token in content]
        finish_reason = _FINISHED[choice["finish_reason"]]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PolicyError(f"a reply has no tokens with log-probabilities: {type(error).__name__}: {error}") from error
    if seen != prompt_length:
        raise PolicyError(f"the server read {seen} prompt tokens; {prompt_length} were sent")
    return Generation(ids, logprobs, finish_reason)
