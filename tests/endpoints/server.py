"""A small real endpoint that answers as it is told, and policies that talk to it.

Where a request asks a problem of Calculator, "$answer" in an answer is its answer, and "$tool", "$a" and "$b" are the
call that finds it.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from llmgym.chat import ChatGeneration, Sampling
from llmgym.messages import user
from llmgym.policies.openai import OpenAIPolicy

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
TOOL: Any = {"type": "function", "function": {"name": "add", "description": "", "parameters": {}}}


class Server:
    """Offers the model "m"; gives its answers one after the other, the last one for ever."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answers: list[Answer] = []
        self.models: Answer = reply({"object": "list", "data": [{"id": "m", "object": "model"}]})
        self.port = 0

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    async def model_list(self, request: web.Request) -> web.StreamResponse:
        return await self.models(request)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def policy(self, model: str = "m", **options: Any) -> OpenAIPolicy:
        return OpenAIPolicy(
            model, **{"base_url": self.url, "api_key": "key", "timeout": 5.0, "max_retries": 0, **options}
        )


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[Server]:
    server = Server()
    server.answers = list(answers)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_post("/v1/responses", server.chat)
    app.router.add_get("/v1/models", server.model_list)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def started(policy: OpenAIPolicy) -> AsyncIterator[OpenAIPolicy]:
    await policy.start()
    try:
        yield policy
    finally:
        await policy.close()


async def ask(policy: OpenAIPolicy, tools: Any = (TOOL,), messages: Any = (), **sampling: Any) -> ChatGeneration:
    messages = messages or [user("hi")]
    return await policy.chat(messages, tools, Sampling(**sampling), request_id="r", session_id="s")


def filled(text: str, asked: Any) -> str:
    """The text with what is asked for in it; `asked` is anything that holds the prompt."""
    problem = re.search(r"(\d+) ([-−+]) (\d+)", json.dumps(asked, ensure_ascii=False))
    if problem is None:
        return text
    a, sign, b = int(problem[1]), problem[2], int(problem[3])
    found = {"answer": a + b if sign == "+" else a - b, "tool": "add" if sign == "+" else "subtract", "a": a, "b": b}
    return re.sub(r"\$(answer|tool|a|b)\b", lambda name: str(found[name[1]]), text)


async def heard(request: web.Request) -> Any:
    """What a request asks for."""
    return await request.json() if request.method == "POST" else None


def reply(
    body: Any, status: int = 200, content_type: str = "application/json", encoding: str = "utf-8", **headers: str
) -> Answer:
    """Answers with JSON, or with a text as it stands."""

    async def answer(request: web.Request) -> web.StreamResponse:
        text = filled(body if isinstance(body, str) else json.dumps(body), await heard(request))
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = f"{content_type}; charset={encoding}"
        return web.Response(body=text.encode(encoding), status=status, headers={"Content-Type": given, **named})

    return answer


def completion(message: dict[str, Any] | None, finish_reason: Any = "stop", **extra: Any) -> dict[str, Any]:
    message = message and {"role": "assistant", **message}
    choice = {"index": 0, "finish_reason": finish_reason, "message": message}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **extra}


def says(message: dict[str, Any], finish_reason: Any = "stop", **extra: Any) -> Answer:
    return reply(completion(message, finish_reason, **extra))


def refuses(message: Any, status: int = 400, **extra: Any) -> Answer:
    return reply({"error": {"message": message, **extra}}, status)


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3600)
    return web.Response()


async def drop(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def torn(body: Any, then: Answer) -> Answer:
    """Half of an answer, and then it drops or hangs."""

    async def answer(request: web.Request) -> web.StreamResponse:
        data = filled(json.dumps(body), await request.json()).encode()
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        await then(request)
        return response

    return answer


def slowly(*pieces: Any) -> Answer:
    """An answer in pieces of which nobody knows how many there are."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in pieces:
            text = filled(piece if isinstance(piece, str) else json.dumps(piece), await request.json())
            await response.write(text.encode())
        return response

    return answer


def endless(piece: str, seconds: float) -> Answer:
    """An answer that goes on for ever, a piece at a time."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(piece.encode())
                await asyncio.sleep(seconds)
        return response

    return answer


def swelling(size: int) -> Answer:
    """A small answer that unpacks to so many bytes."""
    packed = functools.cache(lambda: gzip.compress(bytes(size), 1))

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=packed(), headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})

    return answer


def compressed(body: Any, how: web.ContentCoding) -> Answer:
    """An answer that is compressed."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.Response(text=filled(json.dumps(body), await request.json()), content_type="application/json")
        response.enable_compression(how)
        return response

    return answer
