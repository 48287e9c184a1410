"""What lies under a reply: bodies that are none, bytes, statuses, connections, lists of models."""

from __future__ import annotations

import itertools
import json
from email.utils import formatdate
from typing import Any

from aiohttp import web

from tests.endpoints.server import (
    Answer,
    compressed,
    drop,
    endless,
    filled,
    hang,
    refuses,
    reply,
    slowly,
    swelling,
    torn,
)
from tests.endpoints.shapes import ANSWER, AWAY, CALLED, GOOD, LOST, RIGHT, Shape, body, calling, error

HTTP = "RFC 9110"
PROXY = "proxies and load balancers"
DONE = body(ANSWER)
TEXT = json.dumps(DONE)
GEMINI = "Gemini, OpenAI compatibility"
TWICE = TEXT.replace('"content": "$answer"', '"content": "0", "content": "$answer"')
PAGE = "<html><style>x{}</style><body>Bad <b>gateway</b></body></html>"


def named(**numbers: str) -> str:
    """A whole reply with numbers that JSON does not have, or that no float holds."""
    return TEXT[:-1] + "".join(f', "{name}": {number}' for name, number in numbers.items()) + "}"


def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    """A piece of a stream."""
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}


def part(**fields: Any) -> dict[str, Any]:
    """A piece of a call in a stream."""
    return chunk({"tool_calls": [{"index": 0, **fields}]})


def stream(*data: Any, content_type: str = "text/event-stream", before: str = "") -> Answer:
    """A stream of events."""
    events = (piece if isinstance(piece, str) else json.dumps(piece) for piece in data)
    return reply(before + "".join(f"data: {event}\n\n" for event in events), 200, content_type)


STREAMING = "proxies that always stream"
SAYS, ENDS = chunk({"role": "assistant", **ANSWER}), chunk({}, "stop")
STREAMS = [
    Shape("a stream that nobody asked for", STREAMING, stream(SAYS, ENDS, "[DONE]")),
    Shape("a stream under the name of JSON", STREAMING, stream(SAYS, ENDS, "[DONE]", content_type="application/json")),
    Shape("a stream with comments", "OpenRouter, streaming: comments while a request waits",
          stream(SAYS, ENDS, "[DONE]", before=": OPENROUTER PROCESSING\n\n")),
    Shape("a stream of a call", STREAMING,
          stream(part(id="c1", type="function", function={"name": "$tool", "arguments": ""}),
                 part(function={"arguments": '{"a": $a, '}), part(function={"arguments": '"b": $b}'}),
                 chunk({}, "tool_calls"), "[DONE]"), CALLED, calling("c1")),
    Shape("a stream that breaks off", STREAMING, stream(SAYS), LOST),
    Shape("a stream with an error", "openrouter.ai/docs/api/errors", stream(SAYS, error("upstream", code=502)), AWAY,
          said="upstream"),
]  # fmt: skip

BODIES = [
    Shape("HTML", "a captive portal, a login page", reply("<html>hello</html>", 200, "text/html"), LOST,
          said="not the answer"),
    Shape("a text", "a health page under the wrong path", reply("OK", 200, "text/plain"), LOST, said="not the answer"),
    Shape("nothing", PROXY, reply(""), LOST, said="not the answer"),
    Shape("no content", HTTP + ", 204", reply("", 204), LOST),
    Shape("null", "proxies of one's own", reply("null"), LOST, said="not the answer"),
    Shape("a list", "proxies of one's own", reply([]), LOST, said="not the answer"),
    Shape("JSON that is cut short", PROXY + " with a limit of bytes", reply(TEXT[:-20]), LOST, said="not the answer"),
    Shape("two replies in one", "nobody known", reply(TEXT + TEXT), LOST, said="not the answer"),
    Shape("JSON that is too deep", "nobody known", reply("[" * 100_000), LOST, said="not the answer"),
    Shape("a byte order mark", ".NET's UTF8Encoding", reply("\ufeff" + TEXT)),
    Shape("blank lines before the reply", "DeepSeek, rate limit: empty lines keep a request alive",
          slowly("\n", "\n", "\n", DONE)),
    Shape("NaN", "Python's json.dumps", reply(named(score="NaN", best="Infinity"))),
    Shape("numbers without end", "nobody known", reply(named(created="1" + "0" * 400, score="1e999"))),
    Shape("a key twice", "RFC 8259, section 4", reply(TWICE)),
    Shape("escapes of half characters", "JavaScript's JSON.stringify since ES2019",
          reply(TEXT[:-1] + r', "note": "\ud83d"}')),
]  # fmt: skip

BYTES = [
    Shape("the wrong content type", PROXY, reply(DONE, 200, "text/plain")),
    Shape("no content type that anybody knows", PROXY, reply(DONE, 200, "application/octet-stream")),
    Shape("gzip", HTTP, compressed(DONE, web.ContentCoding.gzip)),
    Shape("deflate", HTTP, compressed(DONE, web.ContentCoding.deflate)),
    Shape("Latin-1, and it says so", HTTP,
          reply(json.dumps({**DONE, "note": "é"}, ensure_ascii=False), encoding="latin-1")),
    Shape("in chunks", "RFC 9112", slowly(TEXT[:30], TEXT[30:])),
]  # fmt: skip


def moved(status: int, to: str = "/v1/chat/completions?moved=1") -> Answer:
    """A redirect."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "moved" in request.query:
            return await GOOD(request)
        return web.Response(status=status, headers={"Location": to})

    return answer


def busy(status: int, **headers: str) -> Shape:
    """A server that takes a request at the second try: no attempt is lost."""
    name = f"{status}, then fine" + "".join(f", {name.replace('_', '-')} {value}" for name, value in headers.items())
    answers = (refuses("later", status) if not headers else reply(error("later"), status, **headers), GOOD)
    return Shape(name, HTTP + "; OpenAI's and Anthropic's clients", answers, policy={"max_retries": 2})


STATUSES = [
    *(busy(status) for status in (408, 409, 425, 429, 500, 502, 503, 504, 529)),
    busy(429, retry_after="0"),
    busy(429, retry_after="0.01"),
    busy(429, retry_after_ms="10"),
    Shape("429, then fine, retry-after a date", HTTP + ", Retry-After",
          (reply(error("later"), 429, retry_after=formatdate(usegmt=True)), GOOD), policy={"max_retries": 2}),
    Shape("429, then fine, retry-after that is none", "proxies of one's own",
          (reply(error("later"), 429, retry_after="soon"), GOOD), policy={"max_retries": 2}),
    Shape("502 as HTML, then fine", "nginx", (reply(PAGE, 502, "text/html"), GOOD), policy={"max_retries": 2}),
    Shape("a connection that drops, then fine", PROXY, (drop, GOOD), policy={"max_retries": 2}),
    Shape("a connection that drops in the middle, then fine", PROXY, (torn(DONE, drop), GOOD),
          policy={"max_retries": 2}),
    Shape("408", HTTP, refuses("too slow", 408), AWAY, said="HTTP 408: too slow"),
    Shape("409", HTTP, refuses("a lock", 409), AWAY, said="HTTP 409: a lock"),
    Shape("425", "RFC 8470", refuses("too early", 425), AWAY, said="HTTP 425: too early"),
    Shape("429", "OpenAI, error codes", refuses("slow down", 429), AWAY, said="HTTP 429: slow down"),
    Shape("429, a long wait", "Groq, rate limits", reply(error("slow down"), 429, retry_after="3600"), AWAY,
          said="it asks to wait 3600 s", policy={"max_retries": 2}),
    Shape("429, no money", "OpenAI, error codes: insufficient_quota",
          refuses("You exceeded your current quota, please check your plan", 429, code="insufficient_quota"), AWAY,
          said="exceeded your current quota"),
    Shape("402", "DeepSeek and OpenRouter, error codes", refuses("Insufficient Balance", 402), AWAY,
          said="HTTP 402: Insufficient Balance"),
    Shape("500", "OpenAI, error codes", refuses("boom", 500), AWAY, said="HTTP 500: boom"),
    Shape("500, empty", PROXY, reply("", 500), AWAY, said="HTTP 500: no words"),
    Shape("502 as HTML", "nginx", reply(PAGE, 502, "text/html"), AWAY, said="HTTP 502: Bad gateway"),
    Shape("503, the model is loading", "Hugging Face inference, llama.cpp",
          reply({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, 503), AWAY,
          said="Loading model"),
    Shape("529", "Anthropic, errors",
          reply({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, 529), AWAY,
          said="HTTP 529: Overloaded"),
    Shape("401", "OpenAI, error codes", refuses("Incorrect API key provided", 401), LOST,
          said="HTTP 401: Incorrect API key provided"),
    Shape("403", "OpenAI, error codes", refuses("Country, region, or territory not supported", 403), LOST,
          said="HTTP 403: Country"),
    Shape("404, the model", "OpenAI, error codes", refuses("The model `m` does not exist", 404, code="model_not_found"),
          LOST, said="The model `m` does not exist (model_not_found)"),
    Shape("404, the path", "Starlette", reply({"detail": "Not Found"}, 404), LOST, said="HTTP 404: Not Found"),
    Shape("404 as text", "Go's net/http: Ollama", reply("404 page not found", 404, "text/plain"), LOST,
          said="HTTP 404: 404 page not found"),
    Shape("405", "a base_url without /v1", reply({"detail": "Method Not Allowed"}, 405), LOST, said="HTTP 405"),
    Shape("413 of a proxy", "nginx, client_max_body_size",
          reply("<html><h1>413 Request Entity Too Large</h1></html>", 413, "text/html"), LOST,
          said="413 Request Entity Too Large"),
    Shape("418, and nothing known", "nobody known", reply({"why": "no"}, 418), LOST, said='HTTP 418: {"why": "no"}'),
    Shape("307", HTTP, moved(307)),
    Shape("308", HTTP, moved(308)),
    Shape("302 to a page", "a login page, a captive portal", moved(302, "/v1/models"), LOST),
    Shape("304 for a request", "a cache that is set up wrong", reply("", 304), LOST),
]  # fmt: skip

CONNECTIONS = [
    Shape("a connection that drops", PROXY, drop, AWAY),
    Shape("a connection that drops in the middle", PROXY, torn(DONE, drop), AWAY),
    Shape("a server that hangs", PROXY, hang, AWAY),
    Shape("a server that hangs in the middle", PROXY, torn(DONE, hang), AWAY),
    Shape("blank lines for ever", "DeepSeek, rate limit: empty lines keep a request alive", endless("\n", 0.1), AWAY),
    Shape("a body without end", "a file in place of an answer", endless(" " * (1 << 20), 0), LOST, said="64 MiB",
          policy={"timeout": 30.0}),
    Shape("a small body that unpacks to a large one", "CWE-409", swelling(1 << 27), LOST, said="64 MiB",
          policy={"timeout": 30.0}),
]  # fmt: skip


def told(status: int, before: str = "Incorrect API key provided: ") -> Answer:
    """An error that repeats the key."""

    async def answer(request: web.Request) -> web.StreamResponse:
        key = request.headers["Authorization"].removeprefix("Bearer ")
        return web.json_response(error(f"{before}{key}."), status=status)

    return answer


def replaced() -> Answer:
    """A server behind which the model changes, as the second conversation sees it."""
    names = itertools.chain(["m-2026-01-01"], itertools.repeat("m-2026-09-09"))

    async def answer(request: web.Request) -> web.StreamResponse:
        text = filled(json.dumps({**DONE, "model": next(names)}), await request.json())
        return web.Response(text=text, content_type="application/json")

    return answer


KEYS = [
    Shape("the key repeated in a 401", "OpenAI (which masks most of it), LiteLLM", told(401), LOST, said="Incorrect"),
    Shape("the key repeated in a 500", "proxies in debug mode", told(500), AWAY, said="Incorrect"),
    Shape("the key repeated in a 200", "proxies in debug mode", told(200), LOST, said="Incorrect"),
    Shape("the key repeated where a message is cut", "proxies in debug mode", told(401, "x" * 490), LOST, said="xxx"),
]  # fmt: skip

NAMES = [
    Shape("the model is called otherwise in replies", "OpenAI, aliases: gpt-4o",
          reply({**DONE, "model": "m-2026-01-01"})),
    Shape("no model in replies", "proxies of one's own", reply({"choices": DONE["choices"]})),
    Shape("the model changes", "OpenRouter, fallbacks; a server started anew", replaced(), logged="m-2026-09-09"),
    *(
        Shape(f"listed: {what}", source, GOOD, RIGHT, model=model, models=reply(models, status))
        for what, source, model, models, status in [
            ("M:latest", "Ollama", "m", {"data": [{"id": "m:latest"}]}, 200),
            ("M, asked for as M:latest", "Ollama", "m:latest", {"data": [{"id": "m"}]}, 200),
            ("models/M", GEMINI, "m", {"data": [{"id": "models/m"}]}, 200),
            ("M, asked for as models/M", GEMINI, "models/m", {"data": [{"id": "m"}]}, 200),
            ("M, asked for as M:free", "OpenRouter, variants", "m:free", {"data": [{"id": "m"}]}, 200),
            ("in no object", "Together API reference", "m", [{"id": "m"}], 200),
            ("an empty list", "proxies of one's own", "m", [], 200),
            ("an empty object", "proxies of one's own", "m", {}, 200),
            ("nothing", "proxies that pass on all names", "m", {"data": []}, 200),
            ("null", "Ollama without models", "m", {"data": None}, 200),
            ("rows without ids", "proxies of one's own", "m", {"data": [{"name": "m"}, None, "m"]}, 200),
            ("404", "Azure, Perplexity", "m", {}, 404),
            ("403", "OpenAI, keys with few scopes", "m", error("Missing scopes: api.model.read"), 403),
            ("405", "proxies of one's own", "m", {}, 405),
        ]
    ),
]  # fmt: skip

TRANSPORT = [*STREAMS, *BODIES, *BYTES, *STATUSES, *CONNECTIONS, *KEYS, *NAMES]
