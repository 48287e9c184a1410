"""The adapters for NeMo RL, against what it asks of them (tests/trainers/nemo_rl_contract.py)."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("transformers")
pytest.importorskip("torch")

import aiohttp
import torch
from aiohttp.test_utils import TestClient, TestServer

from llmgym.codec import codec_for
from llmgym.errors import ConfigError, ContextLengthExceeded, PolicyError, PolicyUnavailable
from llmgym.policies import Sampling
from llmgym.rollout.config import EnvConfig
from llmgym.trainers import nemo_gym, nemo_rl
from llmgym.trainers.common import Episodes, TaskRef
from llmgym.trainers.nemo_rl_policy import GenerationServers
from tests.command import environ
from tests.exactness import FuzzPolicy, Recording
from tests.rollouts import PLAIN
from tests.trainers.contract import BAD, GOOD, TROUBLE, Row, check, turns_in
from tests.trainers.nemo_rl_contract import TOKENS, Worker, message_log_of, rollout
from tests.trainers.tiny import tiny_tokenizer

ASKED = [{"role": "user", "content": "?"}]
CALL = '<tool_call>\n{"name": "shout", "arguments": {"letter": "a"}}\n</tool_call>'


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


def task(task_id: str, env: str = TROUBLE, **kwargs: Any) -> str:
    return TaskRef(EnvConfig(env, kwargs), task_id, 5).dumps()


def row(task_id: str, env: str = TROUBLE, **kwargs: Any) -> dict[str, Any]:
    return {
        "responses_create_params": {"input": ASKED, "temperature": 1.0, "top_p": 1.0, "max_output_tokens": 40},
        "agent_ref": {"type": "responses_api_agents", "name": "llmgym"},
        "verifier_metadata": {"llmgym": task(task_id, env, **kwargs)},
    }


# --- the environment ----------------------------------------------------------------------------


@pytest.fixture
def environment(tokenizer: Any) -> Iterator[nemo_rl.LLMGymEnvironment]:
    made = nemo_rl.LLMGymEnvironment({"tokenizer": tokenizer, "settings": {"max_attempts": 1}})
    yield made
    made.shutdown()


def datum(tokenizer: Any, text: str) -> dict[str, Any]:
    ref = TaskRef.loads(text)
    episodes = Episodes(tokenizer)
    made = asyncio.run(episodes.row(TaskRef(EnvConfig(ref.env.id), ref.task_id, ref.seed)))
    episodes.close()
    ids = torch.tensor(codec_for(tokenizer).open(made.messages, made.tools))
    return {"message_log": [{"role": "user", "content": "", "token_ids": ids}], "extra_env_info": {"task": text}}


def test_groups_are_played_as_the_template_has_it(environment: Any, tokenizer: Any) -> None:
    given = datum(tokenizer, task("a", PLAIN))
    replies = [[CALL, "A"], ["A"], ["B"], [CALL, CALL, "no"]]
    samples = rollout(environment, [given] * 4, replies, tokenizer)
    assert [sample["reward"] for sample in samples] == [1.25, 1.0, 0.0, 0.5]
    assert all(sample["terminated"] for sample in samples)
    codec = codec_for(tokenizer)
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "spell a"}]
    tools = json.loads(tokenizer_tools(tokenizer))
    played = torch.cat([message["token_ids"] for message in samples[0]["log"]]).tolist()
    call = {"type": "function", "function": {"name": "shout", "arguments": '{"letter": "a"}'}}
    whole = [
        *messages, {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": "shout", "content": "A"},
    ]  # fmt: skip
    opened = codec.open(whole, tools)
    assert played[: len(opened)] == opened
    assert [message["role"] for message in samples[0]["log"]] == [
        "user", "assistant", "environment", "assistant", "environment",
    ]  # fmt: skip
    _, counted = environment.global_post_process_and_metrics({})
    assert counted == {"llmgym/episodes": 4.0, "llmgym/unscored": 0.0, "llmgym/open": 0.0}


def tokenizer_tools(tokenizer: Any) -> str:
    episodes = Episodes(tokenizer)
    made = asyncio.run(episodes.row(TaskRef.loads(task("a", PLAIN))))
    episodes.close()
    return json.dumps(made.tools)


@pytest.mark.parametrize("fault", ["setup raise", "verify raise", "verify unscored"])
def test_a_failure_ends_one_episode_and_is_counted(environment: Any, tokenizer: Any, fault: str) -> None:
    good, bad = task("a", PLAIN), task("a", PLAIN, faults={"a": fault})
    environment._episodes.stand_ins.note(TaskRef.loads(bad), 0.75)
    data = [datum(tokenizer, good), datum(tokenizer, bad), datum(tokenizer, good)]
    samples = rollout(environment, data, [["A"], ["A"], ["B"]], tokenizer)
    assert [sample["reward"] for sample in samples] == [1.0, 0.75, 0.0]
    _, counted = environment.global_post_process_and_metrics({})
    assert counted["llmgym/unscored"] == pytest.approx(1 / 3)


def test_a_template_that_rewrites_history_ends_the_episode(
    environment: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmgym.trainers.text.TextEpisode.glue", lambda *_: None)
    (sample,) = rollout(environment, [datum(tokenizer, task("a", PLAIN))], [[CALL, "A"]], tokenizer)
    assert (sample["reward"], sample["terminated"], len(sample["log"])) == (0.25, True, 3)
    assert environment.global_post_process_and_metrics({})[1]["llmgym/unscored"] == 0.0


def test_episodes_that_nobody_steps_are_ended(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = nemo_rl.LLMGymEnvironment({"tokenizer": tokenizer, "ttl": 60})
    clock = [0.0]
    monkeypatch.setattr(nemo_rl.time, "monotonic", lambda: clock[0])
    given = datum(tokenizer, task("a", PLAIN))
    (late,) = rollout(environment, [given], [[CALL]], tokenizer, max_turns=1)
    assert environment.global_post_process_and_metrics({})[1]["llmgym/open"] == 1.0
    clock[0] = 61.0
    rollout(environment, [given], [["A"]], tokenizer)
    assert environment.global_post_process_and_metrics({})[1]["llmgym/open"] == 0.0
    result = environment.step([[{"role": "assistant", "content": "A"}]], [late["info"]])
    assert (result.rewards.tolist(), result.terminateds.tolist()) == ([0.0], [True])
    assert environment.global_post_process_and_metrics({})[1]["llmgym/unscored"] == 1.0
    environment.shutdown()


def test_data_are_datums_with_exact_prompts(tokenizer: Any) -> None:
    data = nemo_rl.data(tokenizer, env_ids=[PLAIN], num_tasks=3, seed=1)
    codec = codec_for(tokenizer)
    for number, made in enumerate(data):
        (message,) = made["message_log"]
        assert (message["role"], made["idx"], made["task_name"]) == ("user", number, "llmgym")
        assert made["length"] == len(message["token_ids"])
        assert made["loss_multiplier"] == 1.0
        letter = TaskRef.loads(made["extra_env_info"]["task"]).task_id
        opening: list[Any] = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"spell {letter}"},
        ]
        assert message["token_ids"].tolist() == codec.open(opening, json.loads(tokenizer_tools(tokenizer)))


def test_an_environment_needs_a_tokenizer() -> None:
    with pytest.raises(ConfigError, match=r"env\.llmgym\.tokenizer is missing"):
        nemo_rl.LLMGymEnvironment({})


def test_it_registers_with_nemo_rl_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("nemo_rl")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nemo_rl", None)
    with pytest.raises(ConfigError, match="NeMo RL's own environment"):
        nemo_rl.register()
    known: dict[str, str] = {}
    actors: dict[str, str] = {}
    for name, attributes in {
        "nemo_rl": {},
        "nemo_rl.distributed": {},
        "nemo_rl.distributed.ray_actor_environment_registry": {"ACTOR_ENVIRONMENT_REGISTRY": actors},
        "nemo_rl.distributed.virtual_cluster": {"PY_EXECUTABLES": SimpleNamespace(SYSTEM="python")},
        "nemo_rl.environments": {},
        "nemo_rl.environments.utils": {"register_env": known.__setitem__},
    }.items():
        module = ModuleType(name)
        module.__dict__.update(attributes, __path__=[])
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    nemo_rl.register("mine")
    path = "llmgym.trainers.nemo_rl.LLMGymEnvironmentActor"
    assert (known, actors) == ({"mine": path}, {path: "python"})
    ray = ModuleType("ray")
    ray.remote = lambda cls: ("actor", cls)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", ray)
    assert nemo_rl.LLMGymEnvironmentActor == ("actor", nemo_rl.LLMGymEnvironment)
    assert nemo_rl.LLMGymRolloutsActor == ("actor", nemo_rl.LLMGymRollouts)
    with pytest.raises(AttributeError, match="has no attribute 'other'"):
        _ = nemo_rl.other


# --- generation servers -------------------------------------------------------------------------


@asynccontextmanager
async def serving(worker: Worker) -> AsyncIterator[str]:
    server = TestServer(worker.application())
    await server.start_server()
    try:
        yield str(server.make_url("/v1"))
    finally:
        await server.close()


@asynccontextmanager
async def served(policy: Any, tokenizer: Any, **options: Any) -> AsyncIterator[tuple[GenerationServers, Worker]]:
    worker = Worker(policy, tokenizer, **options)
    async with serving(worker) as url:
        servers = GenerationServers([url], "model", tokenizer, 4096)
        try:
            yield servers, worker
        finally:
            await servers.close()


ASK = Sampling(1.0, 1.0, 40, (2,))
IDS = {"request_id": "r", "session_id": "s"}


async def test_a_server_of_messages_is_given_exact_tokens(tokenizer: Any) -> None:
    policy = Recording(FuzzPolicy(tokenizer, (2,), 0))
    async with served(policy, tokenizer) as (servers, _):
        await servers.start()
        for text in ("hi", "é \U0001f642", "<|im_end|>\n", "a" * 500):
            prompt = codec_for(tokenizer).open([{"role": "user", "content": text}], [])
            made = await servers.generate(prompt, ASK, **IDS)
            request = policy.requests[""][-1]
            assert list(request.prompt_ids) == prompt
            assert (made.token_ids, made.finish_reason) == (
                request.generation.token_ids,
                request.generation.finish_reason,
            )
            assert made.logprobs == pytest.approx(request.generation.logprobs)


async def test_prompts_of_another_template_are_refused(tokenizer: Any) -> None:
    async with served(FuzzPolicy(tokenizer, (2,), 0), tokenizer) as (servers, _):
        tail = tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n")
        for prompt in ([5, 6, 7], tail, [*tail, 5]):
            with pytest.raises(PolicyError, match="give the same tokenizer and chat template to both"):
                await servers.generate(prompt, ASK, **IDS)


async def test_answers_that_make_no_sense_are_refused(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = codec_for(tokenizer).open([{"role": "user", "content": "hi"}], [])
    async with served(FuzzPolicy(tokenizer, (2,), 0), tokenizer) as (servers, worker):
        await servers.generate(prompt, ASK, **IDS)
        worker.refuse = [500]
        with pytest.raises(PolicyError, match="answered 500: busy"):
            await servers.generate(prompt, ASK, **IDS)
        for answer in ({}, {"choices": []}, {"choices": [{"finish_reason": "stop", "logprobs": None}], "usage": {}}):
            monkeypatch.setattr(servers, "_post", lambda *_, answer=answer: asyncio.sleep(0, answer))
            with pytest.raises(PolicyError, match="no tokens with log-probabilities"):
                await servers.generate(prompt, ASK, **IDS)
        short = {"choices": [{"finish_reason": "stop", "logprobs": {"content": []}}], "usage": {"prompt_tokens": 1}}
        monkeypatch.setattr(servers, "_post", lambda *_: asyncio.sleep(0, short))
        with pytest.raises(PolicyError, match="read 1 prompt tokens"):
            await servers.generate(prompt, ASK, **IDS)


async def test_a_full_context_and_a_dead_server_are_told_apart(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgym.trainers.nemo_rl_policy._BACKOFF_S", 0.0)
    prompt = codec_for(tokenizer).open([{"role": "user", "content": "hi"}], [])

    class Full(FuzzPolicy):
        async def generate(self, *_: Any, **__: Any) -> Any:
            raise PolicyError("This model's maximum context length is 10 tokens")

    async with served(Full(tokenizer, (2,), 0), tokenizer) as (servers, _):
        with pytest.raises(ContextLengthExceeded, match="maximum context length"):
            await servers.generate(prompt, ASK, **IDS)
    gone = GenerationServers(["http://127.0.0.1:9/v1"], "model", tokenizer, 4096)
    with pytest.raises(PolicyUnavailable, match=r"127\.0\.0\.1:9"):
        await gone.generate(prompt, ASK, **IDS)
    await gone.close()


async def test_a_server_of_someone_else_is_named(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(FuzzPolicy(tokenizer, (2,), 0), tokenizer) as (servers, worker):
        monkeypatch.setattr(worker, "prompt", lambda messages, _: worker.encode(messages, generation=True))
        with pytest.raises(PolicyError, match="does not take required_prefix_token_ids"):
            await servers.generate([1, 2, 3], ASK, **IDS)


# --- records ------------------------------------------------------------------------------------


def sessions(policy: Recording) -> list[Any]:
    return [request for requests in policy.requests.values() for request in requests]


def rows_of(logs: Sequence[Any], names: Sequence[str], masked: Sequence[bool], rewards: Sequence[float]) -> list[Row]:
    """Logs as rows."""
    found: list[Row] = []
    for log, name, mask, reward in zip(logs, names, masked, rewards, strict=True):
        prompt, rest = log[0], log[1:]
        assert prompt["role"] == "user"
        ids = [token for message in rest for token in message["token_ids"].tolist()]
        trained = [int("generation_logprobs" in message and not mask) for message in rest for _ in message["token_ids"]]
        logprobs = [
            value
            for message in rest
            for value in message.get("generation_logprobs", torch.zeros(len(message["token_ids"]))).tolist()
        ]
        group = name.rpartition("/")[0]
        start = prompt["token_ids"].tolist()
        found.append(Row(name, group, start, ids, trained, logprobs, None if mask else reward))
    return found


class Named(nemo_gym.Agent):
    """Remembers what it ran."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ran: dict[str, Any] = {}

    async def run(self, given: Any) -> Any:
        sample, reward = await super().run(given)
        self.ran[sample.trajectory.id] = sample.trajectory
        return sample, reward


@pytest.mark.parametrize("seed", range(3))
async def test_records_are_what_nemo_rl_trains_on(tokenizer: Any, seed: int) -> None:
    policy = Recording(FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed))
    agent = Named(Episodes(tokenizer, max_attempts=1, max_turns=4), policy)
    async with TestClient(TestServer(nemo_gym.application(agent))) as client:
        asked = [row(name) for name in (*GOOD, *BAD) for _ in range(3)]
        answers = await asyncio.gather(*(client.post("/run", json=given) for given in asked))
        assert {answer.status for answer in answers} == {200}
        records = [await answer.json() for answer in answers]
        assert (await client.get("/")).status == 200
    logs = [message_log_of(record) for record in records]
    names = [record["response"]["id"].removeprefix("resp_") for record in records]
    masked = [record["mask_sample"] for record in records]
    check(rows_of(logs, names, masked, [record["reward"] for record in records]), policy)
    for record, name, mask in zip(records, names, masked, strict=True):
        trajectory = agent.ran[name]
        assert mask == (trajectory.reward is None)
        assert mask or record["reward"] == pytest.approx(trajectory.reward)
        assert record["status"] == trajectory.status
        items = record["response"]["output"]
        said = [message for message in trajectory.messages[trajectory.opening :] if message["role"] == "assistant"]
        assert sum(set(TOKENS) <= item.keys() for item in items) <= max(len(said), 1)
        usage = record["response"]["usage"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert not all(masked[: 3 * len(GOOD)])
    assert all(record["mask_sample"] for record, given in zip(records, asked, strict=True) if '"setup"' in str(given))


async def test_the_sampling_of_a_row_counts(tokenizer: Any) -> None:
    policy = Recording(FuzzPolicy(tokenizer, (2,), 0))
    settings = {"responses_create_params": {"max_output_tokens": 33, "temperature": 0.5}}
    agent = nemo_gym.Agent(Episodes(tokenizer, **settings), policy)
    given = row(GOOD[0])
    given["responses_create_params"] = {"input": [], "temperature": 0.25, "max_output_tokens": None, "top_p": None}
    await agent.run(given)
    for request in sessions(policy):
        assert (request.sampling.temperature, request.sampling.top_p) == (0.25, 1.0)
        assert request.sampling.max_tokens <= 33
    agent.episodes.close()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"{", "JSONDecodeError"),
        (b"{}", "not a task that llmgym wrote"),
        (json.dumps(row("nowhere")).encode(), "nowhere"),
        (json.dumps(row("a", "llmgym/Nothing-v0")).encode(), "Nothing"),
        (json.dumps({**row(GOOD[0]), "responses_create_params": {"temperature": "hot"}}).encode(), "temperature|float"),
    ],
)
async def test_a_row_that_makes_no_sense_is_said_to(tokenizer: Any, given: bytes, said: str) -> None:
    agent = nemo_gym.Agent(Episodes(tokenizer), FuzzPolicy(tokenizer, (2,), 0))
    async with TestClient(TestServer(nemo_gym.application(agent))) as client:
        answer = await client.post("/run", data=given)
        assert answer.status == 400
        assert re.search(said, await answer.text())


def test_rows_are_those_of_a_nemo_gym_dataset() -> None:
    rows = nemo_gym.rows("my_agent", env_ids=[PLAIN], num_tasks=3, seed=1)
    for made in rows:
        params = made["responses_create_params"]
        assert [message["role"] for message in params["input"]] == ["system", "user"]
        assert {tool["type"] for tool in params["tools"]} == {"function"}
        assert made["agent_ref"] == {"type": "responses_api_agents", "name": "my_agent"}
        assert TaskRef.loads(made["verifier_metadata"]["llmgym"]).env.id == PLAIN
    assert json.loads(json.dumps(rows)) == rows


def test_the_configuration_is_nemo_gyms() -> None:
    entry = {"entrypoint": "app.py", "host": "h", "port": 7, "context_length": 9}
    config = {
        "mine": {"responses_api_agents": {"llmgym_agent": entry}},
        "policy_base_url": ["http://x/v1"],
        "policy_model_name": "m",
    }
    environ = {"NEMO_GYM_CONFIG_PATH": "mine", "NEMO_GYM_CONFIG_DICT": json.dumps(config)}
    assert nemo_gym.gym_config(environ) == (config, entry)
    with pytest.raises(ConfigError, match="NeMo Gym sets both"):
        nemo_gym.gym_config({})
    with pytest.raises(ConfigError, match="has no server 'other'"):
        nemo_gym.gym_config({**environ, "NEMO_GYM_CONFIG_PATH": "other"})
    del entry["context_length"]
    with pytest.raises(ConfigError, match="context_length is missing"):
        nemo_gym.gym_config({**environ, "NEMO_GYM_CONFIG_DICT": json.dumps(config)})


@pytest.mark.slow
async def test_nemo_gym_starts_the_server(tokenizer: Any, tmp_path: Path, unused_port: int) -> None:
    tokenizer.save_pretrained(tmp_path)
    policy = Recording(FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, 0))
    async with serving(Worker(policy, tokenizer)) as url:
        entry = {"host": "127.0.0.1", "port": unused_port, "context_length": 4096, "settings": {"max_turns": 3}}
        config = {
            "mine": {"responses_api_agents": {"llmgym_agent": entry}},
            "policy_base_url": [url],
            "policy_model_name": str(tmp_path),
        }
        variables = {"NEMO_GYM_CONFIG_PATH": "mine", "NEMO_GYM_CONFIG_DICT": json.dumps(config)}
        command = [sys.executable, "-c", "from llmgym.trainers.nemo_gym import main; main()"]
        server = await asyncio.create_subprocess_exec(*command, env=environ(**variables), cwd=tmp_path)
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_port}") as http:
                while True:
                    assert server.returncode is None
                    try:
                        assert (await http.get("/")).status == 200
                        break
                    except aiohttp.ClientConnectionError:
                        await asyncio.sleep(0.1)
                answer = await http.post("/run", json=row(GOOD[0]))
                assert answer.status == 200
                record = await answer.json()
        finally:
            server.terminate()
            await server.wait()
    log = message_log_of(record)
    ids = torch.cat([message["token_ids"] for message in log]).tolist()
    assert turns_in(ids, sessions(policy))[-1][1] == len(ids)


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# --- the actor ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
async def test_rollouts_on_nemo_rls_own_servers(tokenizer: Any, seed: int) -> None:
    policy = Recording(FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed))
    async with serving(Worker(policy, tokenizer)) as url:
        settings = {"max_attempts": 1, "max_turns": 4}
        actor = nemo_rl.LLMGymRollouts(
            {"base_urls": [url], "model_name": "m", "context_length": 4096, "settings": settings}
        )
        with pytest.raises(ConfigError, match="set_tokenizer"):
            await anext(actor.run_rollouts([], "t"))
        actor.set_tokenizer(tokenizer)
        asked = [{**row(name), "_rowidx": number} for number, name in enumerate([*GOOD, *BAD] * 2)]
        found = [answer async for answer in actor.run_rollouts(asked, "timing/rollout")]
        await actor.shutdown()
        await actor.shutdown()
    assert sorted(index for index, _, _ in found) == list(range(len(asked)))
    assert [timing is None for _, _, timing in found] == [True] * (len(asked) - 1) + [False]
    assert list(found[-1][2] or ()) == ["timing/rollout/await_results"]
    requests = policy.requests.get("", [])
    for index, result, _ in found:
        log, record = result["message_log"], result["full_result"]
        assert result["input_message_log"] == log[:1]
        json.dumps(record)
        assert not any(name in item for item in record["response"]["output"] for name in TOKENS)
        ids = torch.cat([message["token_ids"] for message in log]).tolist()
        assert [message["content"] for message in log] == [tokenizer.decode(m["token_ids"]) for m in log]
        turns = turns_in(ids, requests)
        if turns:
            assert turns[-1][1] == len(ids)
            assert turns[0][0] == len(log[0]["token_ids"])
        else:
            assert record["mask_sample"]
        name = TaskRef.loads(asked[index]["verifier_metadata"]["llmgym"]).task_id
        assert name not in ("setup", "unscored") or record["mask_sample"]
