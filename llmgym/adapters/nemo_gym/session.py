"""A session with a resource server of NeMo Gym: what the server offers, its cookie, and how its answers are read."""

from __future__ import annotations

import base64
import builtins
import math
import re
import uuid
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson

from llmgym.adapters.wire import Answer, Server, Watch
from llmgym.env.boundary import INFRASTRUCTURE
from llmgym.errors import EnvironmentFailure, ToolError
from llmgym.rewards import Reward

_RESERVED = frozenset(
    {"seed_session", "verify", "close_session", "aggregate_metrics", "reverify_mode", "reset", "step", "close", "mcp"}
)
_ROUTE = re.compile(r"/([A-Za-z0-9_-]+)")
_ANY_ROUTE = re.compile(r"/\{\w+\}")
_BY_ID = "ResourcesSeedSessionRequest"  # the body of 0.7's sessions
_RAISED = re.compile(r'"(\w+)\(')  # how the server says what a tool raised
_ANSWERS = frozenset({400, 409, 413, 422})  # to a call that makes no sense
_OF_ROW = frozenset({"responses_create_params", "response", "reward", "mask_sample"})
_CLOSING_S = 5.0


class Routes(NamedTuple):
    """What a server does, by its own description.

    Attributes:
        steps: Whether it is one of `/reset` and `/step`, in place of tools and `/verify`.
        tools: The tools that it runs.
        any_tool: Whether it takes any name for a tool.
        by_id: Whether it opens sessions by an id that the caller gives.
        closes: Whether it closes sessions.
    """

    steps: bool
    tools: frozenset[str]
    any_tool: bool
    by_id: bool
    closes: bool

    @classmethod
    async def of(cls, server: Server, *, seconds: float) -> Routes:
        """Ask a server.

        Raises:
            EnvironmentFailure: It is none of NeMo Gym's.
        """
        path = "/openapi.json"
        described = server.read(path, await server.ask(path, seconds=seconds))
        paths = described.get("paths")
        if not isinstance(paths, dict):
            paths = {}
        posts = {each for each, ways in paths.items() if isinstance(ways, dict) and "post" in ways}
        tools = {"/seed_session", "/verify"} <= posts
        if not tools and not {"/reset", "/step"} <= posts:
            raise server.fault("has neither /seed_session and /verify nor /reset and /step", "invalid")
        names = {match[1] for each in posts if (match := _ROUTE.fullmatch(each))}
        return cls(
            steps=not tools,
            tools=frozenset(names - _RESERVED),
            any_tool=any(_ANY_ROUTE.fullmatch(each) for each in posts),
            by_id=_BY_ID.encode() in orjson.dumps(paths.get("/seed_session")),
            closes="/close_session" in posts,
        )

    def runs(self, name: str) -> bool:
        """Whether a name is that of a tool, and so may be a path."""
        return name in self.tools or (
            self.any_tool and name not in _RESERVED and _ROUTE.fullmatch(f"/{name}") is not None
        )


class Session:
    """The session of one episode.

    Attributes:
        started: What the server said at the start.
    """

    def __init__(self, server: Server, routes: Routes, row: dict[str, Any], watch: Watch | None) -> None:
        """Nothing is sent yet; see `open`."""
        self._server, self._routes, self._row, self._watch = server, routes, row, watch
        self._cookies: dict[str, str] = {}
        self._known = ""
        self._ids = {"resources_session_id": f"llmgym-{uuid.uuid4().hex}", "episode_id": _episode_id()}
        self._open = self._must_close = False
        self.started: dict[str, Any] = {}

    async def open(self, *, seconds: float) -> None:
        """Begin, with the row.

        Raises:
            EnvironmentFailure: The server refuses.
        """
        self._open = True  # even where the answer is lost
        if self._routes.steps:
            self.started = await self._object("/reset", self._row, seconds)
            self._must_close = info_of(self.started).get("supports_explicit_close") is True
        elif self._routes.by_id:
            data = {name: value for name, value in self._row.items() if name != "responses_create_params"}
            task_id = {"taskset": "llmgym", "task_id": str(self._row.get("id", "row"))}
            self.started = await self._object(
                "/seed_session", {**self._ids, "task_id": task_id, "task_data": data}, seconds
            )
        else:
            self.started = await self._object("/seed_session", self._row, seconds)
        self._known = self._session_ids()

    def mcp(self) -> dict[str, Any] | None:
        """Where the tools are by MCP, where the server says so."""
        told = self.started.get("mcp") or self.started.get("resources_tools")
        if not told:
            return None
        path, headers = (told.get("url_path"), told.get("headers")) if isinstance(told, dict) else (None, None)
        if (
            not isinstance(path, str)
            or not isinstance(headers, Mapping)
            or not all(isinstance(text, str) for text in headers.values())
        ):
            raise self._server.fault(f"answered /seed_session with {told!r:.200} for MCP", "invalid")
        return {"url": f"{self._server.url}/{path.lstrip('/')}", "headers": dict(headers)}

    async def call(self, name: str, arguments: Mapping[str, Any], *, seconds: float) -> str:
        """Call a tool.

        Raises:
            ToolError: The server has no such tool, or says that the call makes no sense, or that the tool failed.
            EnvironmentFailure: The server is gone, or the session with it.
        """
        if not self._routes.runs(name):  # nothing else becomes a path
            raise ToolError(f"the server runs no tool {name!r}")
        answer = await self._post(f"/{name}", arguments, seconds)
        if answer.good:
            return answer.text
        if answer.status in _ANSWERS and b"ession not " not in answer.data:
            raise ToolError(answer.text)
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR and _is_of_the_tool(answer.text):
            raise ToolError(orjson.loads(answer.data))
        raise self._server.fault(f"answered /{name} with HTTP {answer.status}: {answer.text:.300}")

    async def step(self, response: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        """Take a response of the policy.

        Raises:
            EnvironmentFailure: The server refuses, or answers what is no step.
        """
        found = await self._object("/step", {**self._row, "response": response}, seconds)
        self._expect_number(found, "/step")
        if found.get("terminated") or found.get("truncated"):
            self._open = self._must_close
        return found

    async def verify(self, response: Mapping[str, Any], *, seconds: float) -> Reward:
        """What the server says of a whole response.

        Raises:
            EnvironmentFailure: It says that the reward does not count, or what is no reward.
        """
        found = await self._object("/verify", {**self._row, "response": response}, seconds)
        reward = self._expect_number(found, "/verify")
        if found.get("mask_sample") or found.get("_ng_failure_class"):
            kind = found.get("failure_kind") or found.get("_ng_failure_class") or "no kind"
            why = found.get("failure_reason") or found.get("_ng_failure_judge_error") or "no reason"
            judge = str(kind).startswith("judge")
            raise self._server.fault(
                f"says that its reward does not count ({kind}): {why!s:.300}", "model_role" if judge else "environment"
            )
        parts = found.get("reward_components")
        named = {f"component_{name}": part for name, part in parts.items()} if isinstance(parts, dict) else {}
        numbers = {
            name: float(value)
            for name, value in (found | named).items()
            if _is_number(value) and name not in self._row and name not in _OF_ROW
        }
        return Reward(metrics=numbers, correct=reward)

    async def close(self) -> None:
        """End it where the server takes that; a server that does not answer ends it by itself."""
        if not self._open or (self._watch is not None and self._watch.ended):
            return
        self._open = False
        try:
            if self._must_close:
                await self._post("/close", {}, _CLOSING_S)
            elif self._routes.closes:
                await self._post("/close_session", self._ids, _CLOSING_S)
        except EnvironmentFailure:
            pass

    # --- within -----------------------------------------------------------------------------------

    async def _object(self, path: str, body: Any, seconds: float) -> dict[str, Any]:
        return self._server.read(path, await self._post(path, body, seconds))

    async def _post(self, path: str, body: Any, seconds: float) -> Answer:
        answer = await self._server.ask(path, body, seconds=seconds, cookies=self._cookies)
        if self._watch is not None and self._watch.ended:
            raise self._server.fault("has ended or was started again, and the session with it")
        if answer.cookies:
            self._cookies |= answer.cookies
            if self._known and self._session_ids() != self._known:
                raise self._server.fault(f"answered {path} with another session: it has lost this one")
        return answer

    def _session_ids(self) -> str:
        return "".join(_session_id(cookie.strip('"').partition(".")[0]) for cookie in self._cookies.values())

    def _expect_number(self, found: Mapping[str, Any], path: str) -> float:
        reward = found.get("reward")
        if not _is_number(reward) or isinstance(reward, bool):
            raise self._server.fault(f"answered {path} with the reward {reward!r:.100}", "invalid")
        return float(reward)  # type: ignore[arg-type]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def info_of(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `info` of an answer, where there is any."""
    info = found.get("info")
    return info if isinstance(info, Mapping) else {}


def _episode_id() -> dict[str, Any]:
    return {"rollout_id": uuid.uuid4().hex, "attempt": 0}


@lru_cache(4096)
def _session_id(content: str) -> str:
    """The id of a session in what its cookie holds; the cookie's signature and time are new in each answer."""
    try:
        return str(orjson.loads(base64.b64decode(content))["session_id"])
    except (ValueError, KeyError, TypeError):
        return ""


def _is_of_the_tool(text: str) -> bool:
    """Whether a server error is what a tool raised, and none that says that something is broken."""
    named = _RAISED.match(text)
    raised = getattr(builtins, named[1], None) if named else None
    return isinstance(raised, type) and issubclass(raised, Exception) and not issubclass(raised, INFRASTRUCTURE)
