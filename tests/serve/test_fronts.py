"""What all fronts share: one environment where requests name none, the token, and the bounds of the server."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from llmgym.errors import ConfigError
from llmgym.serve import EnvServer, ServeConfig
from llmgym.serve.fronts import FRONTS
from tests.serve.test_nemo_gym import row_of
from tests.serve.test_rest import ENV, ask, begin

Serve = Callable[..., EnvServer]
BEGINS = {"nemo_gym": "/reset", "nemo_gym_0_5": "/seed_session", "openenv": "/mcp", "ors": "/create_session"}
OPENS: dict[str, Any] = {"jsonrpc": "2.0", "method": "openenv/session/create", "id": 1}


@pytest.mark.parametrize("front", [front for front in FRONTS if front != "ors"])
def test_a_front_whose_requests_name_no_environment_has_one(front: Any) -> None:
    with pytest.raises(ConfigError, match=f"front '{front}' serves one environment"):
        EnvServer(ServeConfig(env_ids=[ENV, "llmgym/Wordle-v0"], front=front))


@pytest.mark.parametrize("front", FRONTS)
def test_a_front_is_served_by_one_process(front: Any) -> None:
    with pytest.raises(ConfigError, match=f"front '{front}' is served by one process"):
        EnvServer(ServeConfig(env_ids=[ENV], front=front, workers=2))


@pytest.mark.parametrize("front", FRONTS)
def test_our_own_protocol_is_there_beside_a_front(serve: Serve, front: str) -> None:
    server = serve(front=front)
    begin(server)
    assert ask(server, "GET", "/health")[0] == 200


@pytest.mark.parametrize("front", FRONTS)
def test_a_token_is_asked_for_in_each_way_that_clients_have(serve: Serve, front: str) -> None:
    server, path = serve(front=front, token="s3cret"), BEGINS[front]
    assert ask(server, "POST", path, {})[0] == 401
    given = base64.b64encode(b"llmgym:s3cret").decode()  # of http://llmgym:s3cret@HOST, the one way for NeMo Gym
    shown = [{"Authorization": "Bearer s3cret"}, {"Authorization": f"Basic {given}"}, {"X_API_Key": "s3cret"}]
    assert all(ask(server, "POST", path, {}, **headers)[0] != 401 for headers in shown)
    assert ask(server, "POST", f"/t/s3cret{path}", {})[0] != 401
    for wrong in ("Basic !", f"Basic {base64.b64encode(b'llmgym:').decode()}", "Basic", "Bearer"):
        assert ask(server, "POST", path, {}, Authorization=wrong)[0] == 401


@pytest.mark.parametrize("front", FRONTS)
def test_bodies_are_bounded(serve: Serve, front: str) -> None:
    server = serve(front=front, body_limit=1000)
    status, told = ask(server, "POST", BEGINS[front], b" " * 1001)
    assert (status, "1000 bytes" in told["detail"]) == (413, True)
    for wrong in (b"[", b"[]", b"\xff", b'{"a": NaN}', b'{"params": %b}' % (b"[" * 400 + b"]" * 400)):
        assert ask(server, "POST", BEGINS[front], wrong)[0] == 400


@pytest.mark.parametrize("front", ["nemo_gym", "openenv"])
def test_sessions_are_bounded_and_end_when_idle(serve: Serve, front: str) -> None:
    server = serve(front=front, sessions=1, idle_s=0.5)
    row = {**row_of(ENV), **OPENS}
    assert ask(server, "POST", BEGINS[front], row)[0] == 200
    status, told = ask(server, "POST", BEGINS[front], row)
    assert (status, "already" in str(told)) == (200 if front == "openenv" else 503, True)
    while len(server.sessions):
        threading.Event().wait(0.05)
    assert ask(server, "POST", BEGINS[front], row)[0] == 200
