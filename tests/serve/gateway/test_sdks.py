"""The SDKs of OpenAI and Anthropic against a gateway, whole and as streams: they read what the policy said."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from llmgym.chat import Sampling
from llmgym.serve.gateway import server
from llmgym.serve.gateway.recording import Recording
from llmgym.serve.gateway.server import Gateway
from tests.rollouts import WordPolicy, Words, shout_first

openai = pytest.importorskip("openai")
anthropic = pytest.importorskip("anthropic")
httpx = pytest.importorskip("httpx")
httpx2 = pytest.importorskip("httpx2")

PARAMETERS = {"type": "object", "properties": {"letter": {"type": "string"}}, "required": ["letter"]}


class Session:
    """A session of a gateway, whose policy calls the tool, then says what it said."""

    def __init__(self, reply: Any = shout_first) -> None:
        policy: Any = WordPolicy(codec := Words(), reply)
        self.policy, self.gateway = policy, Gateway(policy, codec)  # type: ignore[arg-type]
        self.session = self.gateway.open("e", Sampling(max_tokens=64, stop_token_ids=(0,)))

    def http(self, package: Any) -> Any:
        return package.AsyncClient(transport=package.ASGITransport(app=self.gateway))

    def openai(self) -> Any:
        return openai.AsyncOpenAI(
            base_url=f"http://x{self.session.path}/v1", api_key="none", http_client=self.http(httpx), max_retries=0
        )

    def anthropic(self) -> Any:
        return anthropic.AsyncAnthropic(
            base_url=f"http://x{self.session.path}", api_key="none", http_client=self.http(httpx2), max_retries=0
        )

    def recorded(self) -> Recording:
        """See that the second call went on from the first, and end the session."""
        recording = asyncio.run(self.gateway.close(self.session))
        assert [None if node.parent is None else node.parent.number for node in recording.nodes] == [None, 1]
        assert self.policy.requests[1][0] == recording.nodes[1].ids()[: recording.nodes[1].start]
        assert recording.nodes[1].message["content"] == "A"
        return recording


@pytest.mark.parametrize("stream", [False, True])
def test_chat_completions(stream: bool) -> None:
    async def run(session: Session) -> None:
        client = session.openai()
        tools = [{"type": "function", "function": {"name": "shout", "description": "", "parameters": PARAMETERS}}]
        history: list[Any] = [{"role": "user", "content": "spell a"}]

        async def ask() -> Any:
            if not stream:
                return (
                    (await client.chat.completions.create(model="m", messages=history, tools=tools)).choices[0].message
                )
            async with client.chat.completions.stream(model="m", messages=history, tools=tools) as events:
                return (await events.get_final_completion()).choices[0].message

        said = await ask()
        assert said.tool_calls[0].function.name == "shout"
        history += [
            said.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "A"},
        ]
        assert (await ask()).content == "A"

    session = Session()
    asyncio.run(run(session))
    session.recorded()


@pytest.mark.parametrize("stream", [False, True])
def test_responses(stream: bool) -> None:
    async def run(session: Session) -> None:
        client = session.openai()
        tools = [{"type": "function", "name": "shout", "description": "", "parameters": PARAMETERS, "strict": False}]
        history: list[Any] = [{"role": "user", "content": "spell a"}]

        async def ask() -> Any:
            if not stream:
                return await client.responses.create(model="m", input=history, tools=tools)
            async with client.responses.stream(model="m", input=history, tools=tools) as events:
                async for _ in events:
                    pass
                return await events.get_final_response()

        said = await ask()
        call = next(item for item in said.output if item.type == "function_call")
        assert call.name == "shout"
        history += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in said.output]
        history.append({"type": "function_call_output", "call_id": call.call_id, "output": "A"})
        assert (await ask()).output_text == "A"

    session = Session()
    asyncio.run(run(session))
    session.recorded()


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_messages(stream: bool) -> None:
    async def run(session: Session) -> None:
        client = session.anthropic()
        tools = [{"name": "shout", "description": "", "input_schema": PARAMETERS}]
        history: list[Any] = [{"role": "user", "content": "spell a"}]

        async def ask() -> Any:
            asked: dict[str, Any] = {"model": "m", "max_tokens": 100, "messages": history, "tools": tools}
            if not stream:
                return await client.messages.create(**asked)
            async with client.messages.stream(**asked) as events:
                return await events.get_final_message()

        said = await ask()
        call = next(block for block in said.content if block.type == "tool_use")
        assert (call.name, call.input, said.stop_reason) == ("shout", {"letter": "a"}, "tool_use")
        history.append(
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in said.content]}
        )
        result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "A"}]}
        history.append({"role": "user", "content": [result]})
        assert (await ask()).content[0].text == "A"

    session = Session()
    asyncio.run(run(session))
    session.recorded()


def test_what_a_gateway_does_not_do_is_refused_by_name() -> None:
    async def run(session: Session) -> None:
        client = session.openai()
        history: list[Any] = [{"role": "user", "content": "spell a"}]
        for asked in ({"n": 2}, {"tool_choice": "required"}, {"response_format": {"type": "json_object"}}):
            with pytest.raises(openai.BadRequestError, match=next(iter(asked))):
                await client.chat.completions.create(model="m", messages=history, **asked)
        with pytest.raises(openai.BadRequestError, match="previous_response_id"):
            await client.responses.create(model="m", input=history, previous_response_id="resp_1")

    session = Session()
    asyncio.run(run(session))
    assert asyncio.run(session.gateway.close(session.session)).nodes == []


@pytest.mark.parametrize("protocol", ["chat", "responses", "anthropic"])
def test_a_stream_whose_reply_takes_long_is_kept_open(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_QUIET_S", 0.01)

    async def late(prompt: str) -> str:
        await asyncio.sleep(0.1)
        return "late"

    async def run(session: Session) -> str:
        history: Any = [{"role": "user", "content": "spell a"}]
        if protocol == "chat":
            async with session.openai().chat.completions.stream(model="m", messages=history) as events:
                return (await events.get_final_completion()).choices[0].message.content
        if protocol == "responses":
            async with session.openai().responses.stream(model="m", input=history) as events:
                return (await events.get_final_response()).output_text
        async with session.anthropic().messages.stream(model="m", max_tokens=9, messages=history) as events:
            return (await events.get_final_message()).content[0].text

    assert asyncio.run(run(Session(late))) == "late"


@pytest.mark.parametrize("stream", [False, True])
def test_tools_in_namespaces_are_called_in_them(stream: bool) -> None:
    async def run(session: Session) -> None:
        async with session.http(httpx) as client:
            url = f"http://x{session.session.path}/v1/responses"
            inside = {"type": "function", "name": "shout", "description": "", "parameters": PARAMETERS}
            tools = [{"type": "namespace", "name": "mcp__x", "tools": [inside]}, {"type": "web_search"}]
            items: list[Any] = [{"role": "user", "content": "spell a"}]
            asked = {"model": "m", "input": items, "tools": tools, "stream": stream}
            said = await client.post(url, json=asked)
            call = {"namespace": "mcp__x", "name": "shout", "arguments": '{"letter": "a"}'}
            for key, value in call.items():
                assert f'"{key}":{orjson.dumps(value).decode()}' in said.text
            items += [
                {"type": "function_call", "call_id": "call_1_0", **call},
                {"type": "function_call_output", "call_id": "call_1_0", "output": "A"},
            ]
            await client.post(url, json=asked)
            refused = await client.post(url, json={**asked, "tools": [{"type": "code_interpreter"}]})
            assert refused.status_code == 400
            assert "code_interpreter" in refused.text

    def reply(prompt: str) -> str:
        return shout_first(prompt).replace('"shout"', '"mcp__x__shout"')

    session = Session(reply)
    asyncio.run(run(session))
    session.recorded()
