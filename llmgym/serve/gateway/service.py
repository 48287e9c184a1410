"""A gateway of its own, for those who have a loop round an agent: they begin sessions, and end them with a reward."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from llmgym.codec import codec_for
from llmgym.codec.base import ChatCodec
from llmgym.errors import ConfigError, EnvironmentFailure, PolicyError, StoreError
from llmgym.loading import expect_modules
from llmgym.policies import make_policy
from llmgym.policies.base import TokenPolicy, gives_tokens
from llmgym.records import dump_row
from llmgym.rollout.config import ResponsesCreateParams
from llmgym.rollout.driver import mark_failed
from llmgym.rollout.store import RunStore
from llmgym.serve.bodies import read_body, respond
from llmgym.serve.door import Door, Port, Seconds
from llmgym.serve.gateway.recording import pay
from llmgym.serve.gateway.server import Gateway, Session
from llmgym.serve.guard import Guard
from llmgym.serve.listening import address, bound, server
from llmgym.serve.session import refused
from llmgym.serve.trouble import ServeError
from llmgym.trajectory import Trajectory

_ENDED = 100  # sessions whose row can be had again
_Name = Annotated[str, Meta(min_length=1, max_length=200)]


class GatewayConfig(Door, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What answers, and where it is kept.

    Attributes:
        policy: The policy, in its short form; one with tokens.
        policy_options: Arguments of its class.
        codec: Kind of its codec: "auto", "renderer" or "template".
        responses_create_params: How replies are sampled, whatever programs say.
        output: Run folder that finished sessions are written to; None for none.
        reply_s: Seconds for one reply.
    """

    policy: str = "smollm2"
    policy_options: dict[str, Any] = {}
    codec: str = "auto"
    responses_create_params: ResponsesCreateParams = ResponsesCreateParams()
    output: str | None = None
    reply_s: Seconds = 600.0
    port: Port = 8400
    body_limit: Annotated[int, Meta(ge=1)] = 32 << 20


class Begin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a session is of: `env_id/task_id/repeat` is its name in a run, and has to be a new one."""

    task_id: _Name
    repeat: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0
    env_id: _Name = "gateway"

    def trajectory(self) -> Trajectory:
        """Its trajectory, before anything was said."""
        return Trajectory(self.env_id, self.task_id, self.repeat, 0)


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What came of a session.

    Attributes:
        reward: What it earned; None for unscored.
        metrics: Numbers that do not count.
        error: What failed in the program or around it: then it is no finished episode, and unscored.
    """

    reward: float | None = None
    metrics: dict[str, float] = {}
    error: str | None = None


@dataclass(slots=True)
class _Live:
    session: Session
    what: Begin
    began: float


class GatewayServer:
    """Serves a policy to agent programs.

    Attributes:
        config: Its configuration.
        url: Where it is, once it listens.
    """

    def __init__(self, config: GatewayConfig) -> None:
        """Name the policy; nothing is loaded yet.

        Raises:
            ConfigError: There is no such policy, it has no tokens, or the server would be open to all.
        """
        expect_modules("llmgym serve gateway", "serve", "uvicorn", "httptools")
        config.check()
        policy = make_policy(config.policy, **config.policy_options)
        if not gives_tokens(policy):
            raise ConfigError(f"a gateway needs a policy with tokens, and {policy.name} has none: see docs/policies.md")
        self.config, self.url = config, ""
        self._policy: TokenPolicy = policy
        self._live: dict[str, _Live] = {}
        self._ended: OrderedDict[str, bytes] = OrderedDict()
        self._uvicorn: Any = None

    async def serve(self, listening: Any = None) -> None:
        """Serve until SIGTERM, Ctrl-C or `stop`; sessions that were not ended by then are failures.

        Args:
            listening: Called with the address once programs can come.

        Raises:
            ConfigError: The port is taken.
            StoreError: The run folder holds another run, or cannot be written.
            PolicyError: The policy cannot start.
        """
        config = self.config
        config.raise_descriptors()
        with bound(config.host, config.port) as listener, contextlib.ExitStack() as signals:
            async with self._running():
                self._uvicorn = serving = server(
                    self,
                    header_s=config.header_s,
                    body_s=config.body_s,
                    connections=config.connections,
                    ws="none",
                    lifespan="off",
                    timeout_graceful_shutdown=int(config.grace_s),
                )
                self.url = address(listener)
                if listening is not None:
                    listening(self.url)
                # Uvicorn sends this process the signal that ended it again: once all sessions are written, no sooner.
                signals.enter_context(serving.capture_signals())
                serving.capture_signals = contextlib.nullcontext
                await serving.serve(sockets=[listener])

    def stop(self) -> None:
        """End `serve`, from any thread."""
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncGenerator[None]:
        """The time in which there is a policy, and sessions that nobody asks for anything are ended."""
        config, policy = self.config, self._policy
        async with contextlib.AsyncExitStack() as stack:
            self._store = self._open()
            if self._store is not None:
                stack.callback(self._store.close)
            stack.push_async_callback(policy.close)
            await policy.start()
            codec: ChatCodec = codec_for(policy.tokenizer, config.codec)
            if self._store is not None:
                self._store.confirm({"model": policy.model, "codec": codec.fingerprint})
            self._params = msgspec.to_builtins(config.responses_create_params) | {"logprobs_mode": policy.logprobs_mode}
            self._sampling = config.responses_create_params.sampling(codec.stop_token_ids)
            self._gateway = Gateway(policy, codec, reply_s=config.reply_s, body_limit=config.body_limit)
            # Paths of the gateway have a token of their own.
            self._front = Guard(self._manage, config.token, local=config.local)
            reaping = asyncio.create_task(self._reap())
            try:
                yield
            finally:
                reaping.cancel()
                for token in [*self._live]:
                    await self._end(token, End(error="the gateway was stopped"))

    def _open(self) -> RunStore | None:
        if self.config.output is None:
            return None
        settings = msgspec.to_builtins(self.config) | {"token": None}
        identity = {name: settings[name] for name in ("policy", "policy_options", "responses_create_params")}
        return RunStore(self.config.output, {"environments": [], **identity}, settings, fsync_seconds=1.0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] == "http" and scope["path"].startswith("/s/"):
            await self._gateway(scope, receive, send)
        else:
            await self._front(scope, receive, send)

    async def _manage(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request of who has the loop."""
        if scope["type"] != "http":
            return
        try:
            match scope["method"], scope["path"].strip("/").split("/"):
                case "GET", ["health" | "ready"]:
                    answer = b'{"status":"ok"}'
                case "POST", ["sessions"]:
                    begin = msgspec.json.decode(await self._read(receive), type=Begin)
                    answer = self._begin(begin, self._reached(scope))
                case "POST", ["sessions", token, "end"]:
                    told = await self._read(receive)
                    answer = await self._end(token, msgspec.json.decode(told or b"{}", type=End))
                case method, _:
                    raise ServeError(
                        "bad_request",
                        f"there is no {method} {scope['path']!r:.200} here, but POST /sessions and "
                        "POST /sessions/SESSION/end",
                    )
        except Exception as error:  # noqa: BLE001 -- whatever it is, the client is told
            await respond(send, *refused(error))
        else:
            await respond(send, 200, answer)

    async def _read(self, receive: Any) -> bytes:
        return await read_body(receive, self.config.body_limit)

    def _reached(self, scope: Any) -> str:
        """Where the client of a request finds this server: an address such as 0.0.0.0 is none for others."""
        host = dict(scope["headers"]).get(b"host")
        return f"{scope['scheme']}://{host.decode('latin-1')}" if host else self.url

    def _begin(self, begin: Begin, url: str) -> bytes:
        name = begin.trajectory().id
        if len(self._live) >= self.config.sessions:
            raise ServeError("overloaded", f"there are {len(self._live)} sessions: end some, or raise --sessions")
        known = self._store.records if self._store is not None else ()
        if name in known or any(live.session.recording.name == name for live in self._live.values()):
            raise ServeError("bad_request", f"there is a session {name} already: give another `repeat`")
        session = self._gateway.open(name, self._sampling)
        self._live[session.token] = _Live(session, begin, time.perf_counter())
        base = f"{url}{session.path}"
        return msgspec.json.encode(
            {
                "session": session.token,
                "model": self._policy.model,
                "openai_base_url": f"{base}/v1",
                "anthropic_base_url": base,
            }
        )

    async def _end(self, token: str, end: End) -> bytes:
        """End a session, and give its row."""
        if token in self._ended:  # the answer was lost on its way
            return self._ended[token]
        if (live := self._live.get(token)) is None:
            raise ServeError("unknown_session", "there is no such session: it has ended, or never was")
        recording = await self._gateway.close(live.session)
        if token in self._ended:  # by another request, while this one waited for replies to stop
            return self._ended[token]
        trajectory = live.what.trajectory()
        trajectory.sampling = self._params
        recording.fill(trajectory)
        _conclude(trajectory, live.session.trouble, end, time.perf_counter() - live.began)
        row = dump_row(trajectory)
        if self._store is not None:
            self._store.append(trajectory)  # where that fails, it can be ended again
        del self._live[token]
        self._ended[token] = row
        if len(self._ended) > _ENDED:
            self._ended.popitem(last=False)
        return row

    async def _reap(self) -> None:
        """End sessions that are idle, for ever."""
        idle = self.config.idle_s
        while True:
            await asyncio.sleep(min(idle / 4, 30.0))
            for token, live in [*self._live.items()]:
                if live.session.idle_s > idle:
                    with contextlib.suppress(StoreError):  # told to who ends the next one
                        await self._end(token, End(error=f"the session was asked for nothing in {idle:g} s"))


def _conclude(trajectory: Trajectory, trouble: PolicyError | None, end: End, seconds: float) -> None:
    """Write what came of a session into its trajectory."""
    trajectory.timings = {"wall_s": seconds, "engine_s": sum(reply.engine_s for reply in trajectory.replies)}
    trajectory.metrics = {**end.metrics, "num_turns": len(trajectory.turns)}
    failed = trouble or (None if end.error is None else EnvironmentFailure(end.error))
    if failed is None and not trajectory.turns:
        failed = PolicyError("the session ended without a question to the policy")
    if failed is not None:
        mark_failed(trajectory, failed, None, "done")
        return
    trajectory.reward = end.reward
    pay(trajectory.turns, end.reward)
