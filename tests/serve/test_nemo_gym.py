"""The front for NeMo Gym, spoken by hand: what its stock agents do not do, or a model makes them do."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from llmgym.rollout.config import EnvConfig
from llmgym.rollout.reference import TaskRef
from llmgym.serve import EnvServer
from tests.serve.test_rest import ask

Serve = Callable[..., EnvServer]
SAID = {"output": [{"type": "message", "role": "assistant", "content": "7"}]}
BROKEN = "tests.serve.environments:Broken-v0"
UNSCORED = "tests.serve.environments:Unscored-v0"


def row_of(env_id: str) -> dict[str, Any]:
    """A row of ours."""
    ref = TaskRef(EnvConfig(env_id), "train-00c0ffee00c0ffee", 1)
    return {"verifier_metadata": {"llmgym": ref.dumps()}, "responses_create_params": {"input": []}}


ROW = row_of("llmgym/Calculator-v0")


class Client:
    """A client with a cookie, or without."""

    def __init__(self, server: EnvServer) -> None:
        self._address, self.cookie, self.sent = server.url.partition("//")[2], "", ""

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        headers = {"Cookie": f"other=1; llmgym_session={self.cookie}"} if self.cookie else {}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        said = answer.read().decode()
        self.sent = (answer.headers["set-cookie"] or "").partition("=")[2].partition(";")[0]
        self.cookie = self.sent or self.cookie
        connection.close()
        return answer.status, json.loads(said) if answer.headers["content-type"] == "application/json" else said


def seeded(serve: Serve, *env_ids: str, front: str = "nemo_gym", row: Any = ROW) -> Client:
    client = Client(serve(*env_ids, front=front))
    assert client.post("/seed_session", row) == (200, {})
    return client


def test_sessions_are_their_clients_own(serve: Serve) -> None:
    client = seeded(serve)
    other = Client(serve(front="nemo_gym"))
    for cookie in (
        "",
        "eyJzZXNzaW9uX2lkIjogIjEifQ==.aaaa.bbbb",
        client.cookie,
    ):  # also NeMo Gym's, and another server's
        other.cookie = cookie
        status, told = other.post("/verify", {**ROW, "response": SAID})
        assert (status, "session" in told["detail"]) == (404, True)
    assert client.post("/add", {"a": 1, "b": 2}) == (200, "3")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("verify", {"response": {"output": 3}}),
        ("verify", {"response": {"output": [3]}}),
        ("verify", {"response": {"output": [{"type": "picture"}]}}),
        ("verify", {"response": 3}),
        ("seed_session", ROW),
        ("reset", ROW),
        ("step", {"response": SAID}),
        ("close", {}),
        ("close_session", {"resources_session_id": "x", "episode_id": {}}),
        ("close_session", {}),
        ("aggregate_metrics", {"verify_responses": []}),
        ("v1/sessions", {"env": "llmgym/Calculator-v0"}),
        ("v1/batch", {}),
        ("", {}),
    ],
)
def test_no_call_of_a_model_ends_its_episode_or_begins_another(serve: Serve, name: str, arguments: Any) -> None:
    server = serve(front="nemo_gym")
    client = Client(server)
    client.post("/seed_session", ROW)
    cookie = client.cookie
    client.post(f"/{name}", arguments)
    assert (client.cookie, len(server.sessions)) == (cookie, 1)
    status, found = client.post("/verify", {**ROW, "response": SAID})
    assert (status, found["reward"], "mask_sample" in found) == (200, 0.0, False)


def test_the_first_verdict_is_the_only_one(serve: Serve) -> None:
    client = seeded(serve)
    first = client.post("/verify", {**ROW, "response": SAID})
    assert first[1]["reward"] == 0.0
    assert client.post("/verify", {**ROW, "response": {"output": []}}) == first
    assert client.post("/seed_session", ROW)[0] == 200  # a client that keeps its cookies begins anew


def test_what_was_not_finished_is_scored_as_it_is(serve: Serve) -> None:
    for response in (
        {"output": []},
        {**SAID, "status": "incomplete"},
        {"output": [{"type": "function_call", "name": "x"}]},
    ):
        client = seeded(serve)
        status, found = client.post("/verify", {**ROW, "response": response})
        assert (status, found["reward"]) == (200, 0.0)


def test_each_answer_has_the_cookie(serve: Serve) -> None:
    client = seeded(serve)
    first = client.cookie
    for path, body in (
        ("/add", {"a": 1, "b": 2}),
        ("/add", [1]),
        ("/none", {}),
        ("/verify", {**ROW, "response": SAID}),
    ):
        client.post(path, body)
        assert client.sent == client.cookie == first


@pytest.mark.parametrize(("env_id", "kind"), [(BROKEN, "agent_run_error"), (UNSCORED, "verifier_error")])
def test_a_failure_is_masked_and_no_reward_to_clients_that_do_not_know_masks(
    serve: Serve, env_id: str, kind: str
) -> None:
    row = row_of(env_id)
    status, found = seeded(serve, env_id, row=row).post("/verify", {**row, "response": SAID})
    assert (status, found["mask_sample"], found["failure_kind"]) == (200, True, kind)
    assert found["failure_reason"]
    status, told = seeded(serve, env_id, front="nemo_gym_0_5", row=row).post("/verify", {**row, "response": SAID})
    assert (status, list(told)) == (500, ["detail"])
    client = Client(serve(env_id, front="nemo_gym"))
    assert client.post("/reset", row)[0] == 200
    assert client.post("/step", {**row, "response": SAID})[0] == 500


def test_a_failure_of_a_tool_is_told_at_once_and_in_the_verdict(serve: Serve) -> None:
    row = row_of(BROKEN)
    client = seeded(serve, BROKEN, row=row)
    status, told = client.post("/lose", {})
    assert (status, "disk" in told["detail"]) == (500, True)
    status, found = client.post("/verify", {**row, "response": SAID})
    assert (status, found["mask_sample"], "disk" in found["failure_reason"]) == (200, True, True)


def test_sessions_by_a_name_of_the_clients(serve: Serve) -> None:
    client = Client(serve(front="nemo_gym"))
    named = {"resources_session_id": "r-1", "episode_id": {"rollout_id": "x", "attempt": 0}}
    seed = {
        **named,
        "task_id": {"taskset": "t", "task_id": "1"},
        "task_data": {"verifier_metadata": ROW["verifier_metadata"]},
    }
    assert client.post("/seed_session", seed) == (200, {"resources_session_id": "r-1"})
    first, client.cookie = client.cookie, ""
    assert client.post("/seed_session", seed)[0] == 200  # its answer was lost
    assert client.cookie == first
    client.cookie = ""
    for _ in range(2):
        assert client.post("/close_session", named) == (200, {"resources_session_id": "r-1"})
    assert client.post("/seed_session", seed)[0] == 404  # it comes after its close


def test_steps_are_taken_once(serve: Serve) -> None:
    client = Client(serve(front="nemo_gym"))
    status, told = client.post("/reset", ROW)
    assert (status, told["info"]["supports_step_idempotency"]) == (200, True)
    assert "number" in told["observation"] or "?" in told["observation"]  # the row has no input, so it is said here
    call = {"output": [{"type": "function_call", "call_id": "c", "name": "add", "arguments": '{"a": 1, "b": 2}'}]}
    step = {**ROW, "response": call, "_ng_step_request_id": "s1"}
    first = client.post("/ng-rollout/3-1/step", step)
    assert first[1]["info"]["tool_outputs"] == [{"call_id": "c", "output": "3"}]
    assert client.post("/step", step) == first
    _, last = client.post("/step", {**ROW, "response": SAID, "_ng_step_request_id": "s2"})
    assert (last["terminated"], last["info"]["metrics"]["tool_calls"]) == (True, 1.0)
    assert client.post("/add", {"a": 1, "b": 2})[0] == 400
    assert client.post("/close", {}) == (200, {})


def test_rows_are_those_of_the_trainers_and_of_this_environment(serve: Serve) -> None:
    from llmgym.trainers.nemo_gym import rows

    server = serve(front="nemo_gym")
    with urllib.request.urlopen(f"{server.url}/rows?split=test&seed=3&count=2") as answer:
        served = [json.loads(line) for line in answer.read().splitlines()]
    made = rows(env_ids=["llmgym/Calculator-v0"], split="test", seed=3, num_tasks=2)
    refs = [TaskRef.loads(row["verifier_metadata"]["llmgym"]) for row in served]
    assert [ref.task_id for ref in refs] == [TaskRef.loads(row["verifier_metadata"]["llmgym"]).task_id for row in made]
    for row, other in zip(served, made, strict=True):
        assert row["responses_create_params"]["input"] == other["responses_create_params"]["input"]
        for each in (row, other):
            client = Client(server)
            assert client.post("/seed_session", each) == (200, {})
    status, told = Client(server).post("/seed_session", row_of("llmgym/Wordle-v0"))
    assert (status, "Wordle" in told["detail"]) == (400, True)


def test_rows_of_nemo_gym_are_read_as_the_environment_reads_them(serve: Serve) -> None:
    row = {
        "responses_create_params": {"input": [{"role": "user", "content": "A: 4\nB: 5\nWhat is 2 + 2? Box it."}]},
        "options": [{"A": "4"}, {"B": "5"}],
        "expected_answer": "A",
        "grading_mode": "strict_single_letter_boxed",
    }
    right = {"output": [{"type": "message", "role": "assistant", "content": "\\boxed{A}"}]}
    client = seeded(serve, "llmgym/MultipleChoice-v0", row=row)
    assert client.post("/verify", {**row, "response": right})[1]["reward"] == 1.0
    status, told = Client(serve("llmgym/MultipleChoice-v0", front="nemo_gym")).post("/seed_session", {"options": 3})
    assert (status, "/rows" in told["detail"]) == (400, True)


@pytest.mark.parametrize("level", [3, None, [["#"]], [{}], {"a": 1}])
def test_rows_that_a_reader_trips_over_are_refused(serve: Serve, level: Any) -> None:
    status, told = Client(serve("llmgym/Sokoban-v0", front="nemo_gym")).post("/seed_session", {"level": level})
    assert (status, "cannot read this row" in told["detail"]) == (400, True)


@pytest.mark.parametrize("params", [3, "x", [], {"input": 3}, {"input": [3]}, {"input": [{"type": "picture"}]}])
def test_rows_that_are_none_begin_nothing(serve: Serve, params: Any) -> None:
    server = serve(front="nemo_gym")
    status, _ = Client(server).post("/reset", {**ROW, "responses_create_params": params})
    assert (status, len(server.sessions)) == (400, 0)


@pytest.mark.parametrize("query", ["seed=-1", "start=-1", "seed=x", "split=none"])
def test_rows_that_there_are_not_are_refused(serve: Serve, query: str) -> None:
    assert ask(serve(front="nemo_gym"), "GET", f"/rows?{query}")[0] == 400


def test_the_mean_of_a_run_leaves_out_what_is_masked(serve: Serve) -> None:
    client = Client(serve(front="nemo_gym"))
    given = [{"reward": 1.0}, {"reward": 0.5}, {"reward": 0.0, "mask_sample": True}, {}]
    _, found = client.post("/aggregate_metrics", {"verify_responses": given})
    assert found["agent_metrics"] == found["key_metrics"] == {"mean/reward": 0.75}
    assert client.post("/aggregate_metrics", {"verify_responses": []})[1]["agent_metrics"] == {}
