"""Requests that are sent again, and requests that are equal and want two samples."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from llmgym.chat import Sampling
from llmgym.serve.gateway.server import Gateway
from tests.rollouts import WordPolicy, Words

BODY = orjson.dumps({"messages": [{"role": "user", "content": "spell a"}]})


class Client:
    """A connection that asks, and may leave."""

    def __init__(self, gateway: Gateway, path: str, **headers: str) -> None:
        self._asked, self._gone = False, asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        scope = {
            "type": "http", "method": "POST", "path": f"{path}/v1/chat/completions",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        self.serving = asyncio.ensure_future(gateway(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": BODY}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def leave(self) -> None:
        self._gone.set()
        await self.serving

    async def answer(self) -> Any:
        await self.serving
        assert self.sent[0]["status"] == 200
        return orjson.loads(self.sent[1]["body"])


class Engine:
    """A gateway whose policy answers when it is told to."""

    def __init__(self) -> None:
        self.ready, self.asked = asyncio.Event(), 0

        async def reply(prompt: str) -> str:
            self.asked += 1
            number = self.asked
            await self.ready.wait()
            return f"reply {number}"

        policy: Any = WordPolicy(codec := Words(), reply)
        self.gateway = Gateway(policy, codec)  # type: ignore[arg-type]
        self.session = self.gateway.open("e", Sampling(max_tokens=64, stop_token_ids=(0,)))

    def client(self, **headers: str) -> Client:
        return Client(self.gateway, self.session.path, **headers)


async def _settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_equal_requests_at_once_are_two_samples() -> None:
    async def run() -> None:
        engine = Engine()
        clients = [engine.client(), engine.client()]
        await _settled()
        engine.ready.set()
        answers = [await client.answer() for client in clients]
        assert [answer["id"] for answer in answers] == ["chatcmpl-1", "chatcmpl-2"]
        recording = await engine.gateway.close(engine.session)
        assert [node.delivered for node in recording.nodes] == [True, True]

    asyncio.run(run())


def test_a_request_of_a_client_that_left_is_joined_by_its_repetition() -> None:
    async def run() -> None:
        engine = Engine()
        first = engine.client()
        await _settled()
        await first.leave()
        assert first.sent == []
        again = engine.client()
        await _settled()
        engine.ready.set()
        assert (await again.answer())["id"] == "chatcmpl-1"
        recording = await engine.gateway.close(engine.session)
        assert (engine.asked, [node.delivered for node in recording.nodes]) == (1, [True])

    asyncio.run(run())


def test_a_marked_repetition_joins_what_is_under_way() -> None:
    async def run() -> None:
        engine = Engine()
        clients = [engine.client(), engine.client(x_stainless_retry_count="1")]
        await _settled()
        engine.ready.set()
        assert [(await client.answer())["id"] for client in clients] == ["chatcmpl-1", "chatcmpl-1"]
        assert engine.asked == 1
        await engine.gateway.close(engine.session)

    asyncio.run(run())


def test_a_reply_that_nobody_got_is_marked() -> None:
    async def run() -> None:
        engine = Engine()
        client = engine.client()
        await _settled()
        await client.leave()
        engine.ready.set()
        await _settled()
        recording = await engine.gateway.close(engine.session)
        assert [node.delivered for node in recording.nodes] == [False]

    asyncio.run(run())


def test_a_session_that_ends_stops_what_is_under_way() -> None:
    async def run() -> None:
        engine = Engine()
        client = engine.client()
        await _settled()
        recording = await engine.gateway.close(engine.session)
        assert recording.nodes == []
        await client.serving
        assert client.sent[0]["status"] == 400
        assert b"the session has ended" in client.sent[1]["body"]

    asyncio.run(run())


def test_equal_requests_all_end_with_their_session_and_are_joined_one_each() -> None:
    async def run() -> None:
        engine = Engine()
        clients = [engine.client(), engine.client(), engine.client()]
        await _settled()
        for client in clients[:2]:
            await client.leave()
        again = [engine.client(), engine.client()]
        await _settled()
        assert engine.asked == 3
        before = asyncio.all_tasks()
        recording = await engine.gateway.close(engine.session)
        for client in (clients[2], *again):
            await client.serving
        await _settled()
        assert recording.nodes == []
        assert len(asyncio.all_tasks()) == 1 < len(before)

    asyncio.run(run())
