"""A resources server of NeMo Gym: sessions by cookie, tools by path and `/verify`; or `/reset`, `/step` and `/close`.

NeMo Gym signs cookies with a key that everybody has; ours hold the name of the session, which nobody can guess. An
agent of NeMo Gym takes the name that a model wrote for a path. So with a cookie every path is a name, looked up among
the session's tools, but for the few of the protocol that no model gains by: it can begin no other episode, close none,
and the first verdict of an episode is its only one.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from llmgym.adapters.remote.protocol import Opened, Reset
from llmgym.loading import described
from llmgym.responses import from_items
from llmgym.rollout.reference import TaskRef
from llmgym.serve.fronts import web
from llmgym.serve.fronts.nemo_gym_episode import Episode, last_words, row_of
from llmgym.serve.fronts.nemo_gym_paths import Endpoint, Named, with_cookie
from llmgym.serve.session import encode
from llmgym.serve.trouble import ServeError

if TYPE_CHECKING:
    from llmgym.serve.server import EnvServer

_BEGINS = ("seed_session", "reset")
_NAMES = 10_000  # of sessions, that clients have given
_ROWS = 1000  # of one answer


def routes(server: EnvServer) -> Sequence[Any]:
    """The routes of the front."""
    front = NeMoGym(server)
    return [
        Named(Endpoint(server, front.serve), _WITHOUT_COOKIE),
        Route("/rows", web.Endpoint(server, front.rows), methods=["GET"]),
    ]


class NeMoGym:
    """The front."""

    def __init__(self, server: EnvServer) -> None:
        """Serve the one environment of a server."""
        self._sessions = server.sessions
        (self._name,) = server.sessions.environments
        self._masks = server.config.front != "nemo_gym_0_5"
        self._by_name: OrderedDict[str, str] = OrderedDict()  # sessions by names of clients'; "" for one that is closed

    async def serve(self, request: Request, body: dict[str, Any]) -> Any:
        """Serve a request of the protocol, or a call of a tool."""
        name, session_id = request.path_params["name"], request.path_params["session"]
        if not session_id:
            return await _WITHOUT_COOKIE[name](self, body)
        episode: Episode | None = self._sessions.find(session_id).notes
        if episode is None or (episode.closed and name in _BEGINS):
            return await _WITHOUT_COOKIE.get(name, NeMoGym.refuse)(self, body)
        if episode.steps:
            return await self._in_steps(episode, name, body)
        if name == "verify" and isinstance(body.get("response"), dict):
            said = last_words(body["response"])  # before anything is done: a model can write this too
            return await episode.once(name, lambda: episode.verify(body, said, masks=self._masks))
        if name == "close_session" and episode.name and body.get("resources_session_id") == episode.name:
            return await self.close(body)
        return Response(await episode.call(name, body), media_type="text/plain")

    async def _in_steps(self, episode: Episode, name: str, body: dict[str, Any]) -> Any:
        if name == "step":
            return await episode.once(body.get("_ng_step_request_id"), lambda: episode.step(body))
        if name == "close":
            return await episode.close()
        raise ServeError("bad_request", f"a session of /reset takes /step and /close, not {name!r:.100}")

    # --- without a session ------------------------------------------------------------------------

    async def seed(self, body: dict[str, Any]) -> Response:
        """Begin an episode of tools: with a row, or as 0.7's environment servers do, with a name and a row's data."""
        name = web.field(body, "resources_session_id", str, "")
        if not name:
            return with_cookie({}, (await self._begin(body))[0].session)
        if name not in self._by_name:
            episode, _ = await self._begin(web.field(body, "task_data", dict), name=name)
            self._remember(name, episode.session.id)
        session = self._sessions.find(self._by_name[name])
        return with_cookie({"resources_session_id": name}, session)

    async def reset(self, body: dict[str, Any]) -> Response:
        """Begin an episode of steps with a row, and say what that does not."""
        params = web.field(body, "responses_create_params", dict, {})
        given = params.get("input")
        items = [] if isinstance(given, str) else from_items(web.field(params, "input", list, []))
        known = [given, *(message["content"] for message in items)]
        episode, opened = await self._begin(body, steps=True)
        said = [message["content"] for message in opened.messages if message["content"] not in known]
        info = {"task_id": opened.task_id, "supports_explicit_close": True, "supports_step_idempotency": True}
        return with_cookie({"observation": "\n".join(said) or None, "info": info}, episode.session)

    async def _begin(self, row: dict[str, Any], **known: Any) -> tuple[Episode, Opened]:
        """Begin with a row of ours, which names a task, or with one that the environment reads."""
        instances = self._sessions.instances(self._name)
        metadata = row.get("verifier_metadata")
        ours = metadata.get("llmgym") if isinstance(metadata, dict) else None
        if isinstance(ours, str):
            ref, served = TaskRef.loads(ours), instances.config
            if (ref.env.env_id, ref.env.kwargs, ref.env.wrappers) != (served.env_id, served.kwargs, served.wrappers):
                raise ServeError("bad_request", f"the row is of {ref.env!r:.500}; this server has {served!r:.500}")
            reset = msgspec.convert({"env": self._name, "task_id": ref.task_id, "seed": ref.seed}, Reset)
        else:
            core: Any = instances.sample.unwrapped
            try:
                reset = Reset(env=self._name, task=core.read_row(row))
            except Exception as error:  # noqa: BLE001 -- the reader may be an author's
                said = f"{self._name} cannot read this row: {described(error)}; GET /rows has some"
                raise ServeError("bad_request", said) from None
        session, opened = await self._sessions.begin(reset)
        session.notes = episode = Episode(self._sessions, session, **known)
        return episode, opened

    async def close(self, body: dict[str, Any]) -> dict[str, Any]:
        """Close what a client has named; a name that comes only then begins nothing any more."""
        name = web.field(body, "resources_session_id", str)
        if session_id := self._by_name.get(name):
            await self._sessions.find(session_id).notes.close()
        self._remember(name, "")
        return {"resources_session_id": name}

    def _remember(self, name: str, session_id: str) -> None:
        self._by_name[name] = session_id
        if len(self._by_name) > _NAMES:
            self._by_name.popitem(last=False)

    async def aggregate(self, body: dict[str, Any]) -> dict[str, Any]:
        """The mean reward of a run, over what is not masked."""
        given = [each for each in web.field(body, "verify_responses", list) if isinstance(each, dict)]
        rewards = [each["reward"] for each in given if not each.get("mask_sample") and "reward" in each]
        found = {"mean/reward": math.fsum(rewards) / len(rewards)} if rewards else {}
        return {"agent_metrics": found, "key_metrics": found}

    async def refuse(self, _: dict[str, Any]) -> Any:
        """Say that it needs a session."""
        raise ServeError("unknown_session", "there is no session without the cookie of /seed_session or /reset")

    async def rows(self, request: Request, _: dict[str, Any]) -> Response:
        """Rows for NeMo Gym's collector: tasks with their opening messages and their tools."""
        asked = {"split": "train", "seed": "0", "start": "0", "count": "1", **request.query_params}
        try:
            seed, start, count = (int(asked[name]) for name in ("seed", "start", "count"))
        except ValueError:
            raise ServeError("bad_request", "seed, start and count are whole numbers") from None
        if min(seed, start) < 0:
            raise ServeError("bad_request", f"seed and start are 0 or more, not {seed} and {start}")
        instances = await self._sessions.loaded(self._name)
        places = range(start, start + min(count, _ROWS))
        tasks = await asyncio.to_thread(
            lambda: [instances.source.plan(asked["split"], seed, place) for place in places]
        )

        rows: list[bytes] = []
        for task in tasks:
            session, opened = await self._sessions.begin(Reset(env=self._name, task_id=task.id, seed=seed))
            await self._sessions.close(session.id)
            rows.append(encode(row_of(opened, TaskRef(instances.config, task.id, seed))))
            await asyncio.sleep(0)  # others come in between
        return Response(b"\n".join([*rows, b""]), media_type="application/jsonl")


_WITHOUT_COOKIE: Final[dict[str, Callable[[NeMoGym, dict[str, Any]], Awaitable[Any]]]] = {
    "seed_session": NeMoGym.seed,
    "reset": NeMoGym.reset,
    "close_session": NeMoGym.close,
    "verify": NeMoGym.refuse,
    "step": NeMoGym.refuse,
    "aggregate_metrics": NeMoGym.aggregate,
}
