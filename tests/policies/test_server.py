"""The policy of vLLM servers against small real servers that misbehave; the shapes are those of vLLM 0.32."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from llmgym.errors import ConfigError, ContextLengthExceeded, MissingExtraError, PolicyError, PolicyUnavailable
from llmgym.policies import Generation, Sampling, TokenPolicy, VersionSpan, make_policy
from llmgym.policies.base import EngineLoad, MeasuredPolicy
from llmgym.policies.server import ServerPolicy, endpoint, pool
from llmgym.policies.server import policy as policy_module
from llmgym.policies.server.endpoint import parse_addresses

Answer = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]
STOP = 2
TOKENIZER = object()  # passed through


def sampled(body: dict[str, Any]) -> tuple[list[int], list[float]]:
    """The tokens of this model: a function of prompt and seed, so that tests know them."""
    params = body.get("sampling_params", body)
    prompt = body.get("token_ids", body.get("prompt"))
    rng = random.Random(f"{prompt}{params.get('seed')}")
    length = min(params["max_tokens"], 2 + rng.randrange(7))
    ids = [rng.randrange(10, 1000) for _ in range(length)]
    if length < params["max_tokens"] and params["stop_token_ids"]:
        ids[-1] = params["stop_token_ids"][0]
    elif length < params["max_tokens"]:
        ids += [11] * (params["max_tokens"] - length)
    return ids, [-rng.random() for _ in ids]


class Server:
    """A model server; `faults` are answers to the next requests."""

    def __init__(self, name: str = "", *, api: str = "generate", model: str = "m", length: int | None = 64) -> None:
        self.name, self.api, self.model, self.length = name, api, model, length
        self.root, self.mode, self.host = "/nowhere", "raw", "127.0.0.1"
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Any] = []
        self.faults: list[Answer] = []
        self.spans: list[dict[str, Any]] | None = None
        self.edit: Callable[[dict[str, Any]], object] = lambda reply: None
        self.metrics_text: str | None = None
        self.latency = 0.0
        self.wait: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(self.latency)
        self.live = self.most = self.cancelled = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def models(self, request: web.Request) -> web.StreamResponse:
        card = {
            "id": self.model,
            "object": "model",
            "created": 1,
            "owned_by": "vllm",
            "root": self.root,
            "parent": None,
        }
        return web.json_response({"object": "list", "data": [{**card, "max_model_len": self.length, "permission": []}]})

    async def health(self, request: web.Request) -> web.StreamResponse:
        return web.Response()

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        if self.metrics_text is None:
            raise web.HTTPNotFound
        return web.Response(text=self.metrics_text)

    async def generate(self, request: web.Request) -> web.StreamResponse:
        return await self.answer(request, "generate")

    async def completions(self, request: web.Request) -> web.StreamResponse:
        return await self.answer(request, "completions")

    async def answer(self, request: web.Request, api: str) -> web.StreamResponse:
        if api != self.api and api == "generate":
            return await says(
                403, "Scale-out endpoints are disabled. Restart vllm serve with --enable-scale-out to enable them"
            )(request, {})
        if api != self.api:
            return web.json_response({"detail": "Not Found"}, status=404)
        body = orjson.loads(await request.read())
        if not body["request_id"].startswith("llmgym-probe"):
            self.requests.append(body)
            self.headers.append(request.headers)
            if self.faults:
                return await self.faults.pop(0)(request, body)
        self.live += 1
        self.most = max(self.most, self.live)
        try:
            await self.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.live -= 1
        return web.json_response(body=orjson.dumps(self.reply(api, body)))

    def sample(self, body: dict[str, Any]) -> tuple[list[int], list[float]]:
        return sampled(body)

    def reply(self, api: str, body: dict[str, Any]) -> dict[str, Any]:
        if body["model"] != self.model:
            return {}
        ids, logprobs = self.sample(body)
        params = body.get("sampling_params", body)
        likeliest = -1.0 / params["temperature"] if self.mode == "processed" and params["temperature"] else -1.0
        finish = "stop" if ids[-1] in params["stop_token_ids"] else "length"
        prompt = body.get("token_ids", body.get("prompt"))
        details = {"cached_tokens": len(prompt) // 2, "created_cache_tokens": None, "multimodal_tokens": None}
        usage = {"prompt_tokens": len(prompt), "total_tokens": len(prompt) + len(ids), "completion_tokens": len(ids),
                 "prompt_tokens_details": details, "completion_tokens_details": None}  # fmt: skip
        first = [{"token_id": 1, "logprob": likeliest, "rank": 1}] * (params["logprobs"] > 1)
        top = [[{"token_id": i, "logprob": lp, "rank": 3}, *first] for i, lp in zip(ids, logprobs, strict=True)]
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "stop_reason": None, "token_ids": ids,
                                  "routed_experts": None}  # fmt: skip
        if api == "generate":
            spans = self.spans or [{"version": "default", "start": 0, "end": len(ids)}]
            places = [{"token_id": i, "logprob": lp, "rank": 1, "top_logprobs": t}
                      for i, lp, t in zip(ids, logprobs, top, strict=True)]  # fmt: skip
            choice |= {"sampling_mask": None, "weight_versions": spans, "logprobs": {"content": places}}
            reply = {"request_id": f"generate-tokens-{body['request_id']}", "model": self.model, "usage": usage,
                     "prompt_token_ids": prompt if body["return_token_ids"] else None, "metrics": None,
                     "output_mode": "tokens", "choices": [choice]}  # fmt: skip
        else:
            tops = [{f"token_id:{t['token_id']}": t["logprob"] for t in place} for place in top]
            choice |= {"text": "\ufffd", "prompt_logprobs": None, "prompt_token_ids": prompt,
                       "logprobs": {"text_offset": [0] * len(ids), "token_logprobs": logprobs,
                                    "tokens": [f"token_id:{i}" for i in ids], "top_logprobs": tops}}  # fmt: skip
            reply = {"id": f"cmpl-{body['request_id']}", "object": "text_completion", "model": self.model,
                     "choices": [choice], "usage": usage, "metrics": None}  # fmt: skip
        self.edit(reply)
        return reply

    async def up(self) -> None:
        app = web.Application(client_max_size=1 << 28, handler_args={"handler_cancellation": True})
        app.router.add_get("/health", self.health)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_post("/inference/v1/generate", self.generate)
        app.router.add_post("/v1/completions", self.completions)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, backlog=4096, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Connections break, and none can be made."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"


@asynccontextmanager
async def serving(*servers: Server) -> AsyncIterator[list[Server]]:
    async with AsyncExitStack() as stack:
        for server in servers:
            await server.up()
            stack.push_async_callback(server.down)
        yield list(servers)


def policy_of(*servers: Server, **options: Any) -> ServerPolicy:
    defaults = {"timeout": 5.0, "probe_timeout": 5.0, "unavailable_timeout": 5.0, "tokenizer": TOKENIZER}
    return ServerPolicy([server.address for server in servers], **{**defaults, **options})


@asynccontextmanager
async def running(*servers: Server, **options: Any) -> AsyncIterator[ServerPolicy]:
    async with serving(*servers):
        policy = policy_of(*servers, **options)
        await policy.start()
        try:
            yield policy
        finally:
            await policy.close()


async def ask(policy: ServerPolicy, prompt: Any = (5, 6, 7), session: str = "s", **sampling: Any) -> Generation:
    settings = {"max_tokens": 9, "stop_token_ids": (STOP,), "seed": 1, **sampling}
    return await policy.generate(list(prompt), Sampling(**settings), request_id=f"{session}/0", session_id=session)


def expected(prompt: Any = (5, 6, 7), seed: int = 1, max_tokens: int = 9) -> tuple[list[int], list[float]]:
    return sampled({"token_ids": list(prompt), "sampling_params":
                    {"seed": seed, "max_tokens": max_tokens, "stop_token_ids": [STOP]}})  # fmt: skip


def says(status: int, message: str) -> Answer:
    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        error = {"message": message, "type": "BadRequestError", "param": None, "code": status}
        return web.json_response({"error": error}, status=status)

    return answer


async def hang(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    await asyncio.sleep(3600)
    raise AssertionError


async def silence(request: web.Request) -> web.StreamResponse:
    return await hang(request, {})


async def drop(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"choices": [{"token_ids": [1,')
    assert request.transport is not None
    request.transport.close()
    return response


@pytest.fixture(params=["generate", "completions"])
def api(request: pytest.FixtureRequest) -> str:
    return request.param


# --- one request --------------------------------------------------------------------------------


async def test_a_request_and_its_reply(api: str) -> None:
    server = Server(api=api)
    async with running(server) as policy:
        assert isinstance(policy, TokenPolicy)
        assert (policy.model, policy.context_length, policy.logprobs_mode) == ("m", 64, "raw")
        assert policy.tokenizer is TOKENIZER
        generation = await ask(policy, temperature=0.5, top_p=0.25)
    ids, logprobs = expected()
    assert generation == Generation(ids, logprobs, "stop", (), 1)
    (request,) = server.requests
    assert server.headers[0]["X-Session-ID"] == "s"
    params = {
        "temperature": 0.5, "top_p": 0.25, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0,
        "presence_penalty": 0.0, "frequency_penalty": 0.0, "max_tokens": 9, "stop_token_ids": [STOP], "seed": 1,
        "ignore_eos": True, "skip_special_tokens": False, "logprobs": 0,
    }  # fmt: skip
    if api == "generate":
        params["detokenize"] = False
        extra: dict[str, Any] = {"token_ids": [5, 6, 7], "return_token_ids": False, "sampling_params": params}
    else:
        extra = {"prompt": [5, 6, 7], "return_token_ids": True, "return_tokens_as_token_ids": True,
                 "session_id": "s", **params}  # fmt: skip
    assert request == {"model": "m", "request_id": "s/0", **extra}


async def test_the_better_api_is_taken_where_both_are_offered() -> None:
    class Both(Server):
        async def completions(self, request: web.Request) -> web.StreamResponse:
            raise AssertionError

    async with running(Both()) as policy:
        await ask(policy)


@pytest.mark.parametrize(("seed", "sent"), [(None, None), (-1, 2**63 - 1), (2**64 + 3, 3), (0, 0)])
async def test_seeds_are_those_that_a_server_takes(seed: int | None, sent: int | None) -> None:
    server = Server()
    async with running(server) as policy:
        await ask(policy, seed=seed)
    assert server.requests[0]["sampling_params"].get("seed") == sent


async def test_a_reply_is_kept_within_the_context(api: str) -> None:
    server = Server(api=api)
    async with running(server) as policy:
        generation = await ask(policy, range(10, 72), stop_token_ids=())
        assert (len(generation.token_ids), generation.finish_reason) == (2, "length")
        with pytest.raises(ContextLengthExceeded, match="a prompt of 64 tokens leaves no room in the 64 of m"):
            await ask(policy, range(64))
    assert len(server.requests) == 1


async def test_weight_versions() -> None:
    server = Server()
    async with running(server) as policy:
        length = len(expected()[0])
        server.spans = [{"version": "default", "start": 0, "end": 1}, {"version": "7", "start": 1, "end": length}]
        assert (await ask(policy)).versions == (VersionSpan(0, 0, 1), VersionSpan(7, 1, length))
        for spans, said in (
            ([{"version": "step-1", "start": 0, "end": length}], "names its weights 'step-1'"),
            ([{"version": "1", "start": 0, "end": length - 1}], "of which"),
            ([{"version": "1", "start": 1, "end": length}], "after token 0"),
        ):
            server.spans = spans
            with pytest.raises(PolicyError, match=said):
                await ask(policy)


@pytest.mark.parametrize("usual", [True, False])
async def test_all_of_the_sampling_is_said(api: str, usual: bool) -> None:
    """What is not said, a server fills in from the model's `generation_config.json`."""
    others = {"min_p": 0.1, "repetition_penalty": 1.2, "presence_penalty": 0.5, "frequency_penalty": -0.5}
    given: dict[str, Any] = {} if usual else {"top_k": 20, **others}
    server = Server(api=api)
    async with running(server) as policy:
        await ask(policy, **given)
    params = server.requests[0].get("sampling_params", server.requests[0])
    said = {name: params[name] for name in ("top_k", *others)}
    assert said == (given or {"top_k": -1, "min_p": 0, "repetition_penalty": 1, **dict.fromkeys([*others][2:], 0)})
    assert "stop" not in params


async def test_stop_strings(api: str) -> None:
    server = Server(api=api)
    async with running(server) as policy:
        server.edit = lambda reply: reply["choices"][0].update(finish_reason="stop", stop_reason="x")
        whole = (await ask(policy, stop=("x", "y"), stop_token_ids=())).token_ids
        assert len(whole) == 9
        for reason in ("z", None, 7):
            server.edit = lambda reply, reason=reason: reply["choices"][0].update(
                finish_reason="stop", stop_reason=reason
            )
            with pytest.raises(PolicyError, match="is not among the stop tokens"):
                await ask(policy, stop=("x", "y"), stop_token_ids=())
    params = server.requests[0].get("sampling_params", server.requests[0])
    assert params["stop"] == ["x", "y"]
    assert params["skip_special_tokens"] is False
    if api == "generate":
        assert params["detokenize"] is True


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}, {"max_tokens": 0}, {"stop": ("",)},
        {"top_k": -1}, {"min_p": 1.1}, {"repetition_penalty": 0.0}, {"presence_penalty": 3.0},
        {"frequency_penalty": float("nan")},
    ],
)  # fmt: skip
async def test_senseless_requests_are_not_sent(sampling: dict[str, Any]) -> None:
    server = Server()
    async with running(server) as policy:
        with pytest.raises(PolicyError, match="must have"):
            await ask(policy, **sampling)
        with pytest.raises(PolicyError, match="the prompt is empty"):
            await ask(policy, ())
    assert not server.requests


def shorten(reply: dict[str, Any]) -> None:
    logprobs = reply["choices"][0]["logprobs"]
    logprobs.get("content", logprobs.get("token_logprobs")).pop()


def put(value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(reply: dict[str, Any]) -> None:
        logprobs = reply["choices"][0]["logprobs"]
        if "content" in logprobs:
            logprobs["content"][0]["logprob"] = value
        else:
            logprobs["token_logprobs"][0] = value

    return edit


def setting(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda reply: reply["choices"][0].update({name: value})


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (shorten, "log-probabilities"),
        (put(None), "a log-probability of None"),
        (put(0.5), "above 0: are these logits"),
        (put(-9999.0), "a log-probability of -9999.0, which stands for"),
        (put(-3.4e38), "which stands for minus infinity"),
        (setting("token_ids", None), "no token ids"),
        (setting("logprobs", None), "no log-probabilities"),
        (setting("finish_reason", "tool"), "finish reason 'tool'"),
        (setting("finish_reason", "length"), "goes on after a stop token"),
        (lambda reply: reply["usage"].update(prompt_tokens=4), "counts 4 prompt tokens; 3 were sent"),
        (lambda reply: reply.update(choices=[]), "is not that of"),
        (lambda reply: reply.clear(), "is not that of"),
    ],
)
async def test_replies_that_do_not_answer_the_request(api: str, edit: Any, said: str) -> None:
    server = Server(api=api)
    async with running(server) as policy:
        server.edit = edit
        with pytest.raises(PolicyError, match=said) as error:
            await ask(policy)
        assert type(error.value) is PolicyError
    assert len(server.requests) == 1  # it would say the same again


async def test_another_prompt_or_other_tokens_than_it_says() -> None:
    server = Server(api="completions")
    async with running(server) as policy:
        server.edit = setting("prompt_token_ids", [5, 6, 8])
        with pytest.raises(PolicyError, match="another prompt than was sent"):
            await ask(policy)
    server = Server()
    async with running(server) as policy:
        server.edit = lambda reply: reply["choices"][0]["logprobs"]["content"][0].update(token_id=3)
        with pytest.raises(PolicyError, match="of token 3 where it has token"):
            await ask(policy)


async def test_a_reply_that_ends_where_it_was_not_to(api: str) -> None:
    server = Server(api=api)
    async with running(server) as policy:
        server.edit = setting("finish_reason", "stop")
        with pytest.raises(PolicyError, match=r"stopped at token \d+, which is not among the stop tokens \[\]"):
            await ask(policy, stop_token_ids=())
        server.edit = lambda reply: None
        real, server.reply = server.reply, lambda api, body: real(api, deeper(body))  # type: ignore[method-assign]
        with pytest.raises(PolicyError, match=r"has 9 tokens; 1 to 2 were asked for"):
            await ask(policy, stop_token_ids=(), max_tokens=2)


def deeper(body: dict[str, Any]) -> dict[str, Any]:
    """The request with more tokens than it asks for."""
    params = {**body.get("sampling_params", body), "max_tokens": 9}
    return {**body, "sampling_params": params} if "sampling_params" in body else params


async def test_an_aborted_request_is_passed_on(api: str) -> None:
    server = Server(api=api)
    async with running(server) as policy:
        server.edit = setting("finish_reason", "abort")
        assert (await ask(policy)).finish_reason == "abort"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says(400, "The decoder prompt (length 9) plus the number of requested output tokens (at least 1) is longer "
                   "than the maximum model length of 8."), ContextLengthExceeded),
        (says(400, "This model's maximum context length is 8 tokens. However, your prompt contains 9 input tokens"),
         ContextLengthExceeded),
        (says(400, "Token id 10000000 is out of vocabulary"), PolicyError),
        (says(401, "Unauthorized"), PolicyError),
    ],
)  # fmt: skip
async def test_refusals_are_not_repeated(answer: Answer, kind: type[Exception]) -> None:
    server = Server()
    async with running(server) as policy:
        server.faults = [answer]
        with pytest.raises(kind, match=r"127.0.0.1:\d+/inference/v1/generate: 40") as error:
            await ask(policy)
        assert type(error.value) is kind
        assert policy.servers == {server.address: "up"}
    assert len(server.requests) == 1


# --- faults -------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [says(500, "boom"), says(503, "busy"), says(429, "slow down"), drop, cut])
async def test_a_failed_try_is_repeated(api: str, fault: Answer) -> None:
    server = Server(api=api)
    async with running(server) as policy:
        server.faults = [fault, fault]
        assert (await ask(policy)).token_ids == expected()[0]
    assert [r["request_id"] for r in server.requests] == ["s/0", "s/0~1", "s/0~2"]


async def test_a_try_that_hangs_is_repeated_once_the_server_proves_alive() -> None:
    server = Server()
    async with running(server, timeout=0.3) as policy:
        server.faults = [hang]
        assert (await ask(policy)).token_ids == expected()[0]


@pytest.mark.slow
async def test_a_server_that_falls_silent_is_found_out_before_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_SILENCE_S", 0.2)
    a, b = Server("a"), Server("b")
    async with running(a, b, timeout=60, probe_timeout=0.5) as policy:
        tasks = [asyncio.create_task(ask(policy, session=str(i))) for i in range(20)]
        a.latency = b.latency = 1.0  # longer than the silence, and the servers are alive
        assert all(g.token_ids == expected()[0] for g in await asyncio.gather(*tasks))
        assert len(a.requests) + len(b.requests) == 20
        a.latency, a.models = 60, silence  # type: ignore[method-assign]
        b.latency = 0.0
        a.requests.clear()
        await a.down()
        await a.up()
        replies = await asyncio.gather(*(ask(policy, session=str(i)) for i in range(20)))
        assert all(reply.token_ids == expected()[0] for reply in replies)
        assert a.requests
        assert "no reply within 0.5 s" in policy.servers[a.address]


async def test_tries_are_bounded() -> None:
    server = Server()
    async with running(server, max_retries=1) as policy:
        server.faults = [says(500, "boom")] * 9
        with pytest.raises(PolicyUnavailable, match=r"failed 2 times, the last time with: .*500 boom"):
            await ask(policy)
    assert len(server.requests) == 2


async def test_a_busy_server_costs_time_and_no_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_module, "_BACKOFF_S", 0.0001)
    server, busy = Server(), says(429, "slow down")
    async with running(server, max_retries=1) as policy:
        server.faults = [busy] * 6 + [says(500, "boom")] + [busy] * 3
        assert (await ask(policy)).token_ids == expected()[0]
    async with running(server, max_retries=1, unavailable_timeout=0.1) as policy:
        server.faults = [busy] * 999
        with pytest.raises(PolicyUnavailable, match=r"the last time with: .*429 slow down"):
            await ask(policy)


async def test_a_session_moves_on_when_its_server_fails() -> None:
    a, b = Server("a"), Server("b")
    async with running(a, b) as policy:
        await ask(policy)
        home, other = (a, b) if a.requests else (b, a)
        home.faults = [says(500, "boom")]
        for _ in range(3):
            assert (await ask(policy)).token_ids == expected()[0]
    assert (len(home.requests), len(other.requests)) == (2, 3)


async def test_a_server_that_dies_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    a, b = Server("a"), Server("b")
    async with running(a, b) as policy:
        await a.down()
        results = await asyncio.gather(*(ask(policy, session=str(i)) for i in range(20)))
        assert all(result.token_ids == expected()[0] for result in results)
        assert len(b.requests) == 20
        assert "up" not in policy.servers[a.address]
        with caplog.at_level(logging.WARNING):
            await a.up()
            await until(lambda: policy.servers[a.address] == "up")
        assert "is back" in caplog.text
        await asyncio.gather(*(ask(policy, session=f"new {i}") for i in range(20)))
        assert len(a.requests) > 0


async def test_all_servers_dead_and_one_comes_back_in_time() -> None:
    a, b = Server("a"), Server("b")
    async with running(a, b) as policy:
        await asyncio.gather(a.down(), b.down())
        waiting = [asyncio.create_task(ask(policy, session=str(i))) for i in range(5)]
        await asyncio.sleep(1.0)
        assert not any(task.done() for task in waiting)
        await b.up()
        assert all(g.token_ids == expected()[0] for g in await asyncio.gather(*waiting))


async def test_all_servers_dead_for_too_long() -> None:
    server = Server()
    async with running(server, unavailable_timeout=0.4) as policy:
        await server.down()
        with pytest.raises(PolicyUnavailable, match=r"no server came back within 0.4 s: http://127.0.0.1:\d+: "):
            await ask(policy)


@pytest.mark.slow
async def test_a_server_that_comes_back_as_another_stays_aside() -> None:
    a, b = Server("a"), Server("b")
    async with running(a, b) as policy:
        await a.down()
        await asyncio.gather(*(ask(policy, session=str(i)) for i in range(4)))
        a.model = "n"
        await a.up()
        await until(lambda: "does not offer 'm'; it offers n" in policy.servers[a.address])
        a.model, a.length = "m", 32
        await until(lambda: "allows 32 tokens of context; this run counts on 64" in policy.servers[a.address])
        a.length, a.mode = 64, "processed"
        await until(lambda: "start it with --logprobs-mode raw_logprobs" in policy.servers[a.address])
        a.mode, a.api = "raw", "completions"
        await until(lambda: policy.servers[a.address] == "up")
        await asyncio.gather(*(ask(policy, session=f"new {i}") for i in range(4)))
        assert a.requests


async def test_a_server_that_has_moved_is_probed_at_its_new_address() -> None:
    a, b, moved = Server("a"), Server("b"), Server("moved")
    async with serving(moved), running(a, b) as policy:
        policy.move([a.address, b.address])
        assert set(policy.servers.values()) == {"up"}
        await b.down()
        await asyncio.gather(*(ask(policy, session=f"old {i}") for i in range(4)))
        assert policy.servers[b.address] != "up"  # the next probe of it is due later and later
        policy.move([a.address, moved.address])
        assert "has moved" in policy.servers[moved.address]
        assert (await ask(policy)).token_ids == expected()[0]
        assert a.requests
        await until(lambda: policy.servers[moved.address] == "up")
        await a.down()
        await asyncio.gather(*(ask(policy, session=str(i)) for i in range(4)))
        assert len(moved.requests) == 4


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 -- what is waited for is in a server, which knows no events
            await asyncio.sleep(0.02)


async def test_no_request_is_lost_or_doubled_among_servers_that_fail_at_random() -> None:
    servers = [Server(str(i)) for i in range(3)]
    rng = random.Random(3)
    async with running(*servers, timeout=0.5, max_retries=20) as policy:
        for server in servers:
            server.faults = [rng.choice([drop, cut, hang, says(500, "x"), says(503, "y")]) for _ in range(12)]

        async def one(i: int) -> bool:
            await asyncio.sleep(i * 0.005)
            return (await ask(policy, (i,), session=str(i))).token_ids == expected((i,))[0]

        async def kill() -> None:
            await asyncio.sleep(0.3)
            await servers[0].down()
            await asyncio.sleep(0.5)
            await servers[0].up()

        *right, _ = await asyncio.gather(*(one(i) for i in range(200)), kill())
    assert all(right)


# --- routing, load, cancellation ----------------------------------------------------------------


async def test_sessions_stick_and_new_ones_go_where_the_load_is_least() -> None:
    servers = [Server(str(i)) for i in range(3)]
    for server in servers:
        server.latency = 0.02
    async with running(*servers) as policy:
        for _ in range(4):
            await asyncio.gather(*(ask(policy, session=f"e{i}") for i in range(30)))
    assert [len(server.requests) for server in servers] == [40, 40, 40]
    for server in servers:
        per_session = Counter(headers["X-Session-ID"] for headers in server.headers)
        assert set(per_session.values()) == {4}


async def test_what_is_remembered_of_sessions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_SESSIONS", 3)
    async with running(Server()) as policy:
        for i in range(6):
            await ask(policy, session=str(i))
        assert policy._pool is not None
        assert list(policy._pool._sessions) == ["3", "4", "5"]
        assert list(policy._pool._homes.values()) == [3]


METRICS = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a {b}"} 3.0
vllm:num_requests_running{engine="1",model_name="a {b}"} 2.0
vllm:num_requests_waiting{engine="0",model_name="a {b}"} 7.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 99.0
vllm:kv_cache_usage_perc{engine="0",model_name="a {b}"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="a {b}"} 0.5
vllm:num_preemptions_total{engine="0",model_name="a {b}"} 1.1e+01
vllm:num_preemptions_created{engine="0",model_name="a {b}"} 1.7e+09
process_cpu_seconds_total 12.5
"""


async def test_the_load_of_all_servers() -> None:
    servers = [Server(), Server()]
    servers[0].metrics_text = METRICS
    servers[1].metrics_text = METRICS.replace("0.25", "0.75")
    async with running(*servers) as policy:
        assert isinstance(policy, MeasuredPolicy)
        assert await policy.load() == EngineLoad(running=10, waiting=14, kv_cache_usage=0.75, preemptions=22)
        await servers[0].down()  # one that is away says nothing
        assert await policy.load() == EngineLoad(running=5, waiting=7, kv_cache_usage=0.75, preemptions=11)
        await servers[1].down()
        with pytest.raises(PolicyUnavailable, match="no server could be asked how busy it is"):
            await policy.load()


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "num_requests_running is missing"), (METRICS.replace("7.0", "many"), "could not convert"), (None, "404")],
)
async def test_a_server_without_metrics(text: str | None, said: str) -> None:
    server = Server()
    server.metrics_text = text
    async with running(server) as policy:
        with pytest.raises(PolicyError, match=f"{said}.*give num_samples_in_parallel a number"):
            await policy.load()


async def test_cancelling_ends_the_request_on_the_server() -> None:
    server = Server()
    async with running(server) as policy:
        server.latency = 60
        task = asyncio.create_task(ask(policy))
        await until(lambda: server.live == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.cancelled == 1)
        assert policy._pool is not None
        assert policy._pool.endpoints[0].live == 0
        server.latency = 0
        assert (await ask(policy)).token_ids == expected()[0]


@pytest.mark.slow
async def test_two_thousand_requests_at_once(api: str) -> None:
    server, all_there = Server(api=api), asyncio.Event()

    async def wait() -> None:
        if server.live == 2000:
            all_there.set()
        await all_there.wait()

    async with running(server, timeout=60) as policy:
        server.wait = wait
        replies = await asyncio.gather(*(ask(policy, (i,), session=str(i)) for i in range(2000)))
    assert all(reply.token_ids == expected((i,))[0] for i, reply in enumerate(replies))
    assert server.most == 2000
    assert len(server.requests) == 2000


# --- start and close ----------------------------------------------------------------------------


async def test_starting_twice_closing_twice_and_starting_again() -> None:
    async with serving(Server()) as (server,):
        policy = policy_of(server)
        with pytest.raises(PolicyError, match=r"await its start\(\) first"):
            await ask(policy)
        for _ in range(2):
            await policy.start()
            await policy.start()
            await ask(policy)
            await policy.close()
            await policy.close()
        with pytest.raises(PolicyError, match=r"await its start\(\) first"):
            await ask(policy)


async def test_pending_requests_end_when_the_policy_is_closed() -> None:
    server = Server()
    async with running(server) as policy:
        server.latency = 60
        task = asyncio.create_task(ask(policy))
        await until(lambda: server.live == 1)
        await policy.close()
        with pytest.raises(PolicyError, match="was closed"):
            await task
        server.latency = 0
    async with running(server) as policy:
        await server.down()
        task = asyncio.create_task(ask(policy))
        await asyncio.sleep(0.2)
        await policy.close()
        with pytest.raises(PolicyError, match="was closed"):
            await task


async def test_another_event_loop_is_refused() -> None:
    async with running(Server()) as policy:
        for call in (policy.start, lambda: ask(policy)):
            with pytest.raises(PolicyError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, call())


async def test_a_start_needs_one_server_that_works_and_finds_the_others_later() -> None:
    a, b = Server("a"), Server("b")
    async with serving(a, b):
        await a.down()
        policy = policy_of(a, b)
        await policy.start()
        assert policy.servers[b.address] == "up" != policy.servers[a.address]
        await a.up()
        await until(lambda: policy.servers[a.address] == "up")
        await policy.close()
        await asyncio.gather(a.down(), b.down())
        with pytest.raises(PolicyUnavailable, match=r"no server can be used: .*; "):
            await policy.start()


async def test_the_context_is_what_all_servers_allow() -> None:
    async with running(Server(length=64), Server(length=48)) as policy:
        assert policy.context_length == 48
    async with running(Server(), context_length=32) as policy:
        assert policy.context_length == 32
    async with running(Server(length=None), context_length=32) as policy:
        assert policy.context_length == 32
    for length, options, kind, said in (
        (None, {}, PolicyError, "how long its context is"),
        (64, {"context_length": 65}, ConfigError, "allows 64"),
    ):
        with pytest.raises(kind, match=said):
            async with running(Server(length=length), **options):
                raise AssertionError


async def test_log_probabilities_are_measured(api: str) -> None:
    server = Server(api=api)
    server.mode = "processed"
    async with running(server) as policy:
        assert policy.logprobs_mode == "processed"
    with pytest.raises(PolicyError, match="gives processed log-probabilities instead of raw ones; start it with"):
        async with running(server, logprobs_mode="raw"):
            raise AssertionError


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (setting("token_ids", None), "no token ids; llmgym needs a server that takes `return_token_ids`"),
        (setting("logprobs", None), "no log-probabilities"),
        (shorten, "1 token ids and 0 log-probabilities"),
        (put(4.0), "are these logits"),
    ],
)
async def test_what_a_server_lacks_is_said_at_the_start(api: str, edit: Any, said: str) -> None:
    server = Server(api=api)
    server.edit = edit
    with pytest.raises(PolicyError, match=said):
        async with running(server):
            raise AssertionError


async def test_servers_that_do_not_fit() -> None:
    async with serving(Server(model="m"), Server(model="n"), Server(api="chat")) as (a, b, c):
        for servers, options, said in (
            ((a,), {"model": "x"}, "does not offer 'x'; it offers m"),
            ((a, b), {}, "offers 'n', its siblings 'm'"),
            ((a, b), {"model": "m"}, "does not offer 'm'; it offers n"),
            ((c,), {}, r"neither /inference/v1/generate nor /v1/completions; .*disabled.*: 404 .*Not Found"),
        ):
            with pytest.raises(PolicyError, match=said):
                await policy_of(*servers, **options).start()


async def test_a_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    async with running(server, api_key="k") as policy:
        await ask(policy)
    monkeypatch.setenv("VLLM_API_KEY", "e")
    async with running(server) as policy:
        await ask(policy)
    assert [headers["Authorization"] for headers in server.headers] == ["Bearer k", "Bearer e"]


async def test_a_tokenizer_that_is_not_there() -> None:
    pytest.importorskip("transformers")
    server = Server()
    server.root = "/no/such/folder"
    with pytest.raises(
        PolicyError, match="'/no/such/folder', from which the server loaded its model; give `tokenizer`"
    ):
        async with running(server, tokenizer=None):
            raise AssertionError


@pytest.mark.parametrize("package", ["aiohttp", "tokenizers"])
async def test_without_a_package_the_message_says_how_to_get_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Server()) as (server,):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingExtraError, match=r"pip install 'llmgym\[server\]'"):
            await policy_of(server, tokenizer=None).start()


@pytest.mark.parametrize("family", ["smollm2", "qwen3"])  # a template's codec, and a renderer's
async def test_a_rollout_needs_neither_torch_nor_transformers(family: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tests.codec.families import tokenizer

    server = Server(length=4096)
    server.root = str(tmp_path)
    tokenizer(family).save_pretrained(tmp_path)
    async with serving(server):
        code = (
            "import sys; sys.modules.update(torch=None, transformers=None)\n"
            "from llmgym.cli import main\n"
            f"sys.argv = ['llmgym', 'rollout', '--env', 'llmgym/Calculator-v0', '--policy', {server.address!r}, "
            "'--num-tasks', '2', '--json']\n"
            "main()"
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert orjson.loads(out)["finished"] == 2


# --- forms --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("http://a:8000", ["http://a:8000"]),
        ("http://a:8000/v1/, https://b/prefix/", ["http://a:8000", "https://b/prefix"]),
        (["http://[::1]:8000"], ["http://[::1]:8000"]),
    ],
)
def test_addresses(given: Any, found: list[str]) -> None:
    assert parse_addresses(given) == found
    assert ServerPolicy(given).name == ",".join(found)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "'' is not the address of a server"),
        ("http://", "not the address"),
        ("localhost:8000", "'localhost:8000' is not the address"),
        ("http://a:port", "not the address"),
        ("http://a?x=1", "not the address"),
        ("http://a,", "'' is not"),
        ("http://a,http://a/v1", "http://a is given twice"),
        ("http://me:secret@a", "the address of a holds a password"),
        ([], "give the address of a server"),
    ],
)
def test_addresses_that_are_none(given: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        ServerPolicy(given)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("spec", ["http://a:1", "https://a:1,http://b:2"])
def test_short_forms(spec: str) -> None:
    policy = make_policy(spec, timeout=3.0)
    assert isinstance(policy, ServerPolicy)
    assert policy.name == spec


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"timeout": float("inf")}, {"max_retries": -1}, {"logprobs_mode": "x"}, {"what": 1}]
)
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        make_policy("http://a", **options)


with suppress(ImportError):  # two thousand connections have two ends each, both of them here
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
