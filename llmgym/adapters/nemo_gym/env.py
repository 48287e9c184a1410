"""Rows of NeMo Gym, played with the resource server that is theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from llmgym.adapters.mcp import MCPSession
from llmgym.adapters.nemo_gym.rows import read_row, schema
from llmgym.adapters.nemo_gym.session import Routes, Session, info_of
from llmgym.adapters.packages import expect_packages
from llmgym.adapters.schemas import checker
from llmgym.adapters.wire import Server, Watch
from llmgym.env import Episode, ToolEnv
from llmgym.env.dispatch import InvalidArguments
from llmgym.messages import Message, ToolCall, ToolSchema, user
from llmgym.responses import from_tools, to_items
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.tools import Tool, ToolOptions, render_result

TESTED = "0.5 to 0.7"


class NeMoGym(ToolEnv):
    """Rows of NeMo Gym, with the tools and the verifier of their resource server.

    ## Description

    A resource server of NeMo Gym keeps the state of an episode, runs its tools and scores it. It runs by itself, in an
    environment of its own; this one speaks to it over HTTP, in place of NeMo Gym's agent. Many rows need
    none, since an environment of llmgym plays them: see `llmgym.adapters.nemo_gym.rows.route`.

    ## Actions

    Calls of the row's tools, and a last message without calls. A name is sent only where the row offers it and the
    server has a route for it; arguments are checked against the tool's schema first. Calls run one after another. With
    a server of `/reset` and `/step`, each message is a step, with its calls.

    ## Observations

    What the server answers, as its own agent shows it to a model: the body as it is.

    ## Rewards

    The `reward` of `/verify`, or that of each `/step`. An answer with `mask_sample` leaves the episode unscored, as
    does a server that is gone, was started again, has lost the session, or answers what is no answer.

    ## Episode End

    Terminates with a message without calls, or when a step says so. Truncates after `max_turns` messages.

    ## Arguments

    - `url`: that of the resource server, such as "http://127.0.0.1:8000".
    - `tasks`: a file of rows of that server.
    - `headers` (none): sent with each request.
    - `watch` (True): keep a connection open over which nothing is sent, and take its end for the end of the server: its
      sessions are gone then, and it would score what is left as if nothing had been done. Where something in between
      closes idle connections, False.
    """

    max_turns = 16

    def __init__(
        self,
        *,
        url: str,
        tasks: TaskSet | str | Path,
        headers: Mapping[str, str] | None = None,
        watch: bool = True,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            url: Of the resource server.
            tasks: The rows.
            headers: Sent with each request.
            watch: Whether to notice that the server has ended by a connection that stays open.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: The URL is none.
            MissingExtraError: The extra `nemo-gym` is not installed.
        """
        expect_packages(type(self).__name__, "nemo-gym", "aiohttp", "jsonschema")
        self.server = Server("NeMo Gym", TESTED, url, headers)
        self.watch = watch
        self.watched: Watch | None = None
        self.routes: Routes | None = None
        self.session: Session | None = None
        self.mcp: MCPSession | None = None
        super().__init__(tasks=tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row; see `llmgym.adapters.nemo_gym.rows.read_row`."""
        return read_row(row)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row."""
        return schema()

    async def setup(self, task: Task) -> None:
        """Open a session with the row."""
        self.session = self.mcp = None
        self.row: dict[str, Any] = task.metadata["row"]
        watch = await self.server.watch() if self.watch else None
        if self.routes is None or watch is not self.watched:  # a server that was started again may be another one
            self.routes, self.watched = await Routes.of(self.server, seconds=self.hook_timeout), watch
        self.step_taken, self.ending = Step(0, {}, []), 0.0
        self.session = Session(self.server, self.routes, self.row, watch)
        await self.session.open(seconds=self.hook_timeout)
        if not self.row["responses_create_params"].get("tools") and (place := self.session.mcp()):
            self.mcp = await MCPSession.open(place, seconds=self.hook_timeout / 2)

    async def teardown(self) -> None:
        """Close the session."""
        if self.mcp is not None:
            await self.mcp.close()
        if self.session is not None:
            await self.session.close()

    def offered(self, task: Task) -> list[Tool]:
        """The tools of the row, or those that the server has over MCP."""
        if self.mcp is not None:
            return list(self.mcp.tools)
        return list(map(self._tool, from_tools(self.row["responses_create_params"].get("tools") or ())))

    def opening(self, task: Task) -> list[Message]:
        """The row's messages, and what the server says first."""
        assert self.session is not None
        said = self.session.started.get("observation")
        messages = [*super().opening(task), *([user(said)] if isinstance(said, str) and said else [])]
        self.opened = len(messages)
        return messages

    async def respond(self, message: Message) -> Any:
        """Take the step of a message without calls; where there are no steps, it is the last."""
        if self.routes is None or not self.routes.steps:
            return None
        await self._step()
        return self.step_taken.observation or []

    async def verify(self, episode: Episode) -> Reward:
        """Ask the server, unless its steps have told."""
        assert self.session is not None
        assert self.routes is not None
        if self.routes.steps:
            return Reward(last_step=self.ending)
        response = response_of(episode.messages[self.opened :], self.row)
        return await self.session.verify(response, seconds=self.hook_timeout)

    # --- calls and steps --------------------------------------------------------------------------

    def _tool(self, schema: ToolSchema) -> Tool:
        name, parameters = schema["function"]["name"], schema["function"].get("parameters") or {"type": "object"}
        check = checker(f"{self.server}: tool {name!r}", parameters)
        run = self._call_in_step if self.routes is not None and self.routes.steps else self._call

        async def call(env: Any, /, **arguments: Any) -> str:
            if problem := check(arguments):
                raise InvalidArguments(f"invalid arguments for {name}: {problem}")
            return await run(name, arguments)

        shown: Any = {"description": "", **schema["function"], "parameters": parameters}
        # A call that the server does not answer in time may have been made: that fails the episode, where a tool's
        # deadline would be answered to the model.
        options = ToolOptions(serial=True, timeout=math.inf)
        return Tool.of_schema({"type": "function", "function": shown}, call, options)

    async def _call(self, name: str, arguments: dict[str, Any]) -> str:
        assert self.session is not None
        return await self.session.call(name, arguments, seconds=self.tool_timeout)

    async def _call_in_step(self, name: str, arguments: dict[str, Any]) -> str:
        """The answer to one call of a message, which is a step with all its calls."""
        if self.step_taken.turn != len(self.transcript):
            await self._step()
        return self.step_taken.take(name, arguments)

    async def _step(self) -> None:
        assert self.session is not None
        message = self.transcript[-1]
        found = await self.session.step(response_of([message], self.row), seconds=self.hook_timeout)
        self.step_taken = Step(len(self.transcript), found, list(message.get("tool_calls", ())))
        if found.get("terminated") or found.get("truncated"):
            self.ending = float(found["reward"])
            self.finish()
        else:
            self.reward(float(found["reward"]))


class Step:
    """What a server answered to a message.

    Attributes:
        turn: Length of the transcript when it was taken.
        observation: What is said beside the results of calls.
    """

    def __init__(self, turn: int, found: Mapping[str, Any], calls: list[ToolCall]) -> None:
        """Read an answer to `/step`, for the calls of the message."""
        self.turn, self._calls = turn, [(call, _arguments(call)) for call in calls]
        said, outputs = found.get("observation"), info_of(found).get("tool_outputs")
        self.observation = said if isinstance(said, str) else ""
        listed = outputs if isinstance(outputs, list) else []
        self._outputs = {str(each.get("call_id")): each.get("output") for each in listed if isinstance(each, dict)}

    def take(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The result of the first of some calls that are alike, and with the first of all what else is said."""
        for place, (call, given) in enumerate(self._calls):
            if call["function"]["name"] == name and given == arguments:
                del self._calls[place]
                output = self._outputs.get(call.get("id", ""))
                text = "" if output is None else render_result(output)
                said, self.observation = self.observation, ""
                return "\n".join(filter(None, (text, said)))
        return ""


def _arguments(call: ToolCall) -> Any:
    """What a call is made with; None where that is no JSON, and the call is not made."""
    try:
        return orjson.loads(call["function"]["arguments"] or "{}")
    except orjson.JSONDecodeError:
        return None


def response_of(messages: Sequence[Message], row: Mapping[str, Any]) -> dict[str, Any]:
    """Messages as a response of OpenAI's API, with all that NeMo Gym's models of one ask for."""
    return {
        "id": "resp_llmgym",
        "created_at": 0,
        "model": "llmgym",
        "object": "response",
        "output": [_item(number, item) for number, item in enumerate(to_items(messages))],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": row["responses_create_params"].get("tools") or [],
    }


def _item(number: int, item: dict[str, Any]) -> dict[str, Any]:
    if item["type"] == "reasoning":
        return {"id": f"rs_{number}", **item}
    if item["type"] != "message":
        return item
    if item["role"] != "assistant":
        return {"type": "message", "role": item["role"], "content": item["content"][0]["text"]}
    content = [{"annotations": [], **part} for part in item["content"]]
    return {"id": f"msg_{number}", "status": "completed", **item, "content": content}
