"""Tools of an environment for verl's own `tool_agent` loop.

That loop makes its own tokens and knows no environments; where there is a choice, take the `llmgym` agent loop.
"""

from __future__ import annotations

import asyncio
import math
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
from llmgym.messages import ToolSchema, assistant
from llmgym.rollout.config import EnvConfig
from llmgym.trainers.verl.data import task_of, tools_of
from llmgym.trainers.verl.reward import episodes
from llmgym.wrappers import AnyToolEnv


class LLMGymTool(BaseTool):  # pyright: ignore[reportUntypedBaseClass] -- verl is not installed for checks
    """A tool of an environment, as `tool_config` names it.

    verl calls `create`, `execute` and `release` for every call. The environment is that of the row's task, and all
    calls of a conversation act on the same one; each is a turn to it.
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
        self._env: AnyToolEnv | None = None
        self._over = False

    async def call(self, agent_data: Any, name: str, arguments: Any) -> tuple[str, float]:
        if self._over:
            return "Error: the episode is over", 0.0
        env = self._env or await self._open(agent_data)
        message = assistant("")
        text = orjson.dumps(arguments).decode()  # as text, which the environment checks
        message["tool_calls"] = [{"type": "function", "function": {"name": name, "arguments": text}}]
        answers, reward, terminated, truncated, _ = await env.astep(message)
        self._over = terminated or truncated
        return "\n".join(answer["content"] for answer in answers), reward if math.isfinite(reward) else 0.0

    async def _open(self, agent_data: Any) -> AnyToolEnv:
        ref = task_of(agent_data.tools_kwargs)
        pool = episodes().pool(ref.env)
        env = self._env = pool.take()
        weakref.finalize(agent_data, pool.give, env)  # verl does not say when a conversation ends
        await env.areset(seed=ref.seed, options={"task": pool.tasks.get(ref.task_id)})
        return env


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
    schemas = tools_of(episodes(), env)
    for schema in schemas:
        if schema["function"]["name"] == tool:
            return schema
    raise ConfigError(f"{env.id} has no tool {tool!r}")
