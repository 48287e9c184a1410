"""Tools of an environment for verl's own `tool_agent` loop.

That loop makes its own tokens and knows no environments; where there is a choice, take the `llmgym` agent loop.
"""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

import msgspec
import orjson
from verl.tools.base_tool import BaseTool  # pyright: ignore[reportMissingImports]
from verl.tools.schemas import (  # pyright: ignore[reportMissingImports]
    OpenAIFunctionToolSchema,
    ToolResponse,
)

from llmgym.errors import ConfigError
from llmgym.messages import ToolCall, ToolSchema
from llmgym.rollout.config import EnvConfig
from llmgym.rollout.driver import Driver
from llmgym.trainers.verl.data import task_of, tools_of
from llmgym.trainers.verl.reward import episodes


class LLMGymTool(BaseTool):  # pyright: ignore[reportUntypedBaseClass] -- verl is not installed for checks
    """A tool of an environment, as `tool_config` names it.

    verl calls `create`, `execute` and `release` for every call. The environment is that of the row's task, and all
    calls of a conversation act on the same one; those of one message are a turn.
    """

    def get_openai_tool_schema(self) -> Any:
        """The tool's schema, as verl knows schemas: types, descriptions and enumerations of flat arguments.

        Raises:
            ConfigError: An argument is something else, or there is no such tool.
        """
        schema = _schema(msgspec.convert(self.config["env"], EnvConfig), self.config["tool"])
        function = {**schema["function"], "parameters": _flat(schema["function"]["parameters"])}
        try:
            return OpenAIFunctionToolSchema.model_validate({"type": "function", "function": function})
        except ValueError as error:
            raise ConfigError(
                f"verl's tools cannot describe the arguments of {function['name']}: use the llmgym agent loop instead "
                f"of tool_agent ({error})"
            ) from None

    async def execute(self, instance_id: str, parameters: dict[str, Any], **kwargs: Any) -> tuple[Any, float, Any]:
        """Call the tool.

        Args:
            instance_id: Not used.
            parameters: Arguments.
            **kwargs: `agent_data`, verl's record of the conversation.

        Returns:
            What the tool answered, the reward of the step, and no metrics.
        """
        agent_data = kwargs["agent_data"]
        conversation = _CONVERSATIONS.get(agent_data)
        if conversation is None:
            conversation = _CONVERSATIONS[agent_data] = _Conversation()
            # verl hands this on to the reward function, with all that is said until then.
            agent_data.extra_fields["extras"] = {"llmgym": agent_data.messages}
        async with conversation.lock:  # verl runs the calls of a message at once
            text, reward = await conversation.call(agent_data, self.name, parameters)
        return ToolResponse(text=text), reward, {}


class _Conversation:
    """One of verl's conversations, and the environment that its tools act on."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self._driver: Driver | None = None
        self._said = 0  # assistant messages of which a call was taken

    async def call(self, agent_data: Any, name: str, arguments: Any) -> tuple[str, float]:
        driver = self._driver or await self._open(agent_data)
        if driver.done:
            return "Error: the episode is over", 0.0
        text = orjson.dumps(arguments).decode()  # as text, which the environment checks
        said = sum(message["role"] == "assistant" for message in agent_data.messages)
        same, self._said = said == self._said, said
        before = driver.trajectory.reward or 0.0
        call: ToolCall = {"type": "function", "function": {"name": name, "arguments": text}}
        answers = await driver.call(call, same=same)
        return "\n".join(answer["content"] for answer in answers), (driver.trajectory.reward or before) - before

    async def _open(self, agent_data: Any) -> Driver:
        driver = self._driver = episodes(None).driver(task_of(agent_data.tools_kwargs))
        # verl does not say when a conversation ends.
        weakref.finalize(agent_data, _end, driver, asyncio.get_running_loop())
        await driver.open()
        return driver


def _end(driver: Driver, loop: asyncio.AbstractEventLoop) -> None:
    """Give the environment of a conversation that nobody goes on with back, in the loop that it lives in."""
    if not driver.done and not loop.is_closed():
        loop.call_soon_threadsafe(lambda: loop.create_task(driver.close()))


def _flat(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters with one of several plain types as a list of types, the only form of it that verl has."""
    properties: dict[str, Any] = {}
    for name, argument in parameters["properties"].items():
        choices = argument.get("anyOf", [])
        plain = choices and all(choice.keys() == {"type"} for choice in choices)
        properties[name] = {**argument, "type": [choice["type"] for choice in choices]} if plain else argument
    return {**parameters, "properties": properties}


_CONVERSATIONS: weakref.WeakKeyDictionary[Any, _Conversation] = weakref.WeakKeyDictionary()


def _schema(env: EnvConfig, tool: str) -> ToolSchema:
    schemas = tools_of(episodes(None), env)
    for schema in schemas:
        if schema["function"]["name"] == tool:
            return schema
    raise ConfigError(f"{env.id} has no tool {tool!r}")
