"""The adapter in OpenRLHF's own classes, with an engine that answers as its vLLM does."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("openrlhf")
pytest.importorskip("transformers")
pytest.importorskip("torch")

import torch

from llmgym.codec import codec_for
from llmgym.errors import ConfigError, MissingExtraError, PolicyError
from llmgym.messages import assistant, tool_call
from llmgym.policies import Generation, Sampling
from llmgym.rollout.config import EnvConfig
from llmgym.trainers import openrlhf as adapter
from llmgym.trainers.common import Episodes, TaskRef
from tests.exactness import FuzzPolicy, Recording, Request
from tests.rollouts import LETTERS, PLAIN
from tests.trainers.contract import BAD, GOOD, TROUBLE, Row, check, turns_in
from tests.trainers.tiny import tiny_tokenizer

SESSION: ContextVar[str] = ContextVar("SESSION", default="")


class Params:
    """vLLM's parameters, as far as OpenRLHF sets them."""

    def __init__(self, **given: Any) -> None:
        self.temperature, self.top_p, self.max_tokens, self.min_tokens, self.logprobs = 1.0, 1.0, 64, 1, 1
        self.stop_token_ids: list[int] = []
        self.all_stop_token_ids: set[int] = set()
        self.__dict__.update(given)


class Engine:
    """OpenRLHF's rollout worker, as an executor sees it, on one of our policies."""

    def __init__(self, policy: Any, tokenizer: Any, logprobs: bool = True) -> None:
        self.recording, self.tokenizer, self.logprobs = Recording(policy), tokenizer, logprobs

    @property
    def requests(self) -> list[Request]:
        return [request for requests in self.recording.requests.values() for request in requests]

    async def generate(self, prompt_token_ids: list[int], params: Any, multi_modal_data: Any = None) -> Any:
        assert multi_modal_data is None
        await asyncio.sleep(0)
        stops = tuple(params.stop_token_ids) or (self.tokenizer.eos_token_id,)
        assert params.all_stop_token_ids.issuperset(params.stop_token_ids)
        sampling = Sampling(params.temperature, params.top_p, params.max_tokens, stops)
        made = await self.recording.generate(prompt_token_ids, sampling, request_id="", session_id=SESSION.get())
        ids = list(made.token_ids)
        given = self.logprobs and params.logprobs is not None
        tops = [{token: SimpleNamespace(logprob=value)} for token, value in zip(ids, made.logprobs, strict=True)]
        text = self.tokenizer.decode(ids[:-1] if ids and ids[-1] in stops else ids)
        output = SimpleNamespace(
            token_ids=ids, text=text, finish_reason=made.finish_reason, logprobs=tops if given else None
        )
        return SimpleNamespace(outputs=[output])


class Speaker:
    """Says in turn what it is told, in the template's own format."""

    context_length = 4096

    def __init__(self, tokenizer: Any, *said: str) -> None:
        self.tokenizer, self.said, self.turn = tokenizer, said, 0

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, **_: str) -> Generation:
        text = self.said[min(self.turn, len(self.said) - 1)]
        self.turn += 1
        ids = [*self.tokenizer.encode(text, add_special_tokens=False), sampling.stop_token_ids[0]][
            : sampling.max_tokens
        ]
        return Generation(ids, [-0.5] * len(ids), "stop" if ids[-1] in sampling.stop_token_ids else "length")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


def label(task_id: str, env: str = TROUBLE, **kwargs: Any) -> str:
    return TaskRef(EnvConfig(env, kwargs), task_id, 5).dumps()


def load(path: str | Path) -> ModuleType:
    """As OpenRLHF's worker loads an agent."""
    spec = importlib.util.spec_from_file_location("agent_module", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def executor() -> Any:
    from openrlhf.utils.agent import AgentExecutorBase

    module = load(adapter.agent_func_path())
    assert issubclass(module.AgentExecutor, AgentExecutorBase)
    module.AgentExecutor.settings = {"max_attempts": 1, "max_turns": 4}
    return module.AgentExecutor()


async def group(executor: Any, engine: Engine, tokenizer: Any, text: str, size: int = 4, **options: Any) -> list[Any]:
    """The members of a group, all at once, as OpenRLHF's worker runs them."""
    params, length = Params(**options.pop("params", {})), options.pop("max_length", 4096)

    async def member(number: int) -> Any:
        SESSION.set(f"{json.loads(text)['task_id']}/{number}")
        return await executor.execute("unused", text, params, length, tokenizer, engine)

    return await asyncio.gather(*map(member, range(size)))


# --- tokens -------------------------------------------------------------------------------------


def row(output: dict[str, Any], recording: Recording, session: str) -> Row:
    ids: list[int] = output["observation_tokens"]
    requests = recording.requests.get(session, [])
    turns = turns_in(ids, requests)
    start = turns[0][0] if turns else len(ids) - 1
    mask = [0] * len(ids)
    for first, end in output["action_ranges"]:
        mask[first:end] = [1] * (end - first)
    assert not any(mask[:start])
    assert not any(output["rollout_log_probs"][:start])
    return Row(
        session=session,
        group=output["label"],
        prompt_ids=ids[:start],
        completion_ids=ids[start:],
        loss_mask=mask[start:],
        logprobs=output["rollout_log_probs"][start:],
        reward=None if output["extra_logs"]["llmgym/unscored"] else output["reward"],
    )


@pytest.mark.parametrize("seed", range(3))
async def test_rows_are_what_the_engine_took_and_gave(executor: Any, tokenizer: Any, seed: int) -> None:
    engine = Engine(FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed), tokenizer)
    outputs = {task: await group(executor, engine, tokenizer, label(task)) for task in (*GOOD, *BAD)}
    flat = [(f"{task}/{number}", output) for task in outputs for number, output in enumerate(outputs[task])]
    check([row(output, engine.recording, session) for session, output in flat], engine.recording)
    for _, output in flat:
        assert isinstance(output["reward"], float)
        assert output["scores"] == output["reward"]
        assert (output["prompt"], output["images"], output["mm_train_inputs"]) == ("unused", None, None)
        assert output["extra_logs"].keys() == flat[0][1]["extra_logs"].keys()
    assert any(output["action_ranges"] for output in outputs[GOOD[0]])
    for task in BAD:
        assert all(output["extra_logs"]["llmgym/unscored"] for output in outputs[task] if output["action_ranges"] == [])
    for task in ("setup", "unscored"):
        assert not any(output["action_ranges"] for output in outputs[task])


async def test_an_unscored_member_leaves_the_baseline_to_the_others(tokenizer: Any, tmp_path: Path) -> None:
    class Sometimes(FuzzPolicy):
        """Fails for each third episode, and answers rightly or wrongly otherwise."""

        started = 0

        async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, **_: str) -> Generation:
            self.started += 1
            if self.started % 3 == 0:
                raise PolicyError("no engine")
            text = "A" if self.started % 3 == 1 else "B"
            ids = [*self.tokenizer.encode(text), sampling.stop_token_ids[0]]
            return Generation(ids, [-1.0] * len(ids), "stop")

    module = load(adapter.agent_func_path())
    module.AgentExecutor.settings = {"max_attempts": 1}
    engine = Engine(Sometimes(tokenizer, (), 0), tokenizer)
    outputs = await group(module.AgentExecutor(), engine, tokenizer, label("a", PLAIN), size=6)
    assert sorted(output["reward"] for output in outputs) == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
    for output in outputs:
        assert bool(output["action_ranges"]) == (output["reward"] != 0.5)
        assert output["extra_logs"]["llmgym/failed"] == float(output["reward"] == 0.5)


async def test_settings_come_from_a_file_of_the_user(tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "agent.py"
    path.write_text(
        "from llmgym.trainers.openrlhf import AgentExecutor as Base\n\n\n"
        "class AgentExecutor(Base):\n"
        "    settings = {'max_turns': 1, 'responses_create_params': {'max_output_tokens': 9}}\n"
    )
    engine = Engine(Speaker(tokenizer, "hello"), tokenizer)
    executor = load(path).AgentExecutor()
    (output,) = await group(executor, engine, tokenizer, label(GOOD[0]), size=1, params={"max_tokens": None})
    assert output["extra_logs"]["llmgym/turns"] == 1.0
    (request,) = engine.requests
    assert request.sampling.max_tokens == 9


async def test_parameters_of_the_trainer_are_kept_and_not_written_to(executor: Any, tokenizer: Any) -> None:
    engine = Engine(FuzzPolicy(tokenizer, (2,), 3), tokenizer)
    params = Params(temperature=0.25, top_p=0.5, max_tokens=17)
    before = dict(vars(params))
    await executor.execute("", label(GOOD[1]), params, 4096, tokenizer, engine)
    assert vars(params) == before
    for request in engine.requests:
        assert (request.sampling.temperature, request.sampling.top_p) == (0.25, 0.5)
        assert request.sampling.max_tokens <= 17


async def test_log_probabilities_are_given_where_they_are_asked_for(executor: Any, tokenizer: Any) -> None:
    engine = Engine(FuzzPolicy(tokenizer, (2,), 3), tokenizer)
    (output,) = await group(executor, engine, tokenizer, label(GOOD[0]), size=1, params={"logprobs": None})
    assert output["rollout_log_probs"] is None
    assert output["action_ranges"]
    none = Engine(FuzzPolicy(tokenizer, (2,), 3), tokenizer, logprobs=False)
    (output,) = await group(executor, none, tokenizer, label(GOOD[0]), size=1)
    assert output["action_ranges"] == []
    assert output["extra_logs"]["llmgym/failed"] == 1.0


async def test_what_log_probabilities_are_of(executor: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenRLHF's engines give those of what was sampled only where its config asks for log-probabilities."""
    run, said = Episodes.run, list[Any]()

    async def recorded(self: Episodes, *args: Any, **options: Any) -> Any:
        trajectory = await run(self, *args, **options)
        said.append((trajectory.sampling["logprobs_mode"], trajectory.sampling["top_k"]))
        return trajectory

    monkeypatch.setattr(Episodes, "run", recorded)
    engine = Engine(FuzzPolicy(tokenizer, (2,), 3), tokenizer)
    for params in ({"logprobs": None, "top_k": -1}, {"logprobs": 1, "top_k": 5}):
        await group(executor, engine, tokenizer, label(GOOD[0]), size=1, params=params)
    assert said == [("raw", 0), ("processed", 5)]


@pytest.mark.parametrize("spare", [1, 40])
async def test_the_longest_sequence_is_never_exceeded(executor: Any, tokenizer: Any, spare: int) -> None:
    engine = Engine(FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, 1), tokenizer)
    await group(executor, engine, tokenizer, label(GOOD[0]), size=1)
    opening = len(engine.requests[0].prompt_ids)
    outputs = await group(executor, engine, tokenizer, label(GOOD[0]), size=8, max_length=opening + spare)
    trained = [output for output in outputs if output["action_ranges"]]
    assert trained
    assert all(len(output["observation_tokens"]) <= opening + spare for output in trained)
    assert any(output["truncated"] for output in outputs)
    (none,) = await group(executor, engine, tokenizer, label(GOOD[0]), size=1, max_length=opening)
    assert (none["action_ranges"], none["truncated"]) == ([], True)


async def test_an_answer_of_the_engine_that_is_none_fails_the_episode(executor: Any, tokenizer: Any) -> None:
    class Odd(Engine):
        async def generate(self, *args: Any, **kwargs: Any) -> Any:
            made = await super().generate(*args, **kwargs)
            made.outputs[0].finish_reason = "repetition"
            return made

    (output,) = await group(executor, Odd(FuzzPolicy(tokenizer, (2,), 0), tokenizer), tokenizer, label(GOOD[0]), 1)
    assert (output["action_ranges"], output["reward"]) == ([], 0.0)


async def test_a_label_of_someone_else_ends_the_run(executor: Any, tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match="not a task that llmgym wrote"):
        await executor.execute("", "42", Params(), 100, tokenizer, None)


async def test_openrlhf_makes_experiences_of_it(executor: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, 5), tokenizer)
    outputs = [o for task in (GOOD[0], "verify") for o in await group(executor, engine, tokenizer, label(task))]
    for name, attributes in {
        "ray": {},
        "vllm": {"SamplingParams": Params},
        "openrlhf.trainer": {"__path__": [str(openrlhf_folder() / "trainer")]},
        "openrlhf.trainer.ppo_utils": {"__path__": [str(openrlhf_folder() / "trainer/ppo_utils")]},
        "openrlhf.trainer.ray": {},
        "openrlhf.trainer.ray.vllm_engine": {"batch_vllm_engine_call": None},
    }.items():  # what its module imports and this part of it does not use
        module = ModuleType(name)
        module.__dict__.update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator

    make = SamplesGenerator._process_response_into_experience
    for output in outputs:
        made = make(None, output, max_len=4096)
        assert made.sequences[0].tolist() == output["observation_tokens"]
        assert made.action_mask.shape == made.rollout_log_probs.shape
        assert made.action_mask.sum() == sum(end - start for start, end in output["action_ranges"])
        assert math.isfinite(made.rewards.item())
        where = made.action_mask[0].bool()
        if output["action_ranges"]:
            assert not made.rollout_log_probs[0][~where].any()
    for name in [name for name in sys.modules if name.startswith("openrlhf.trainer")]:
        monkeypatch.delitem(sys.modules, name)


def openrlhf_folder() -> Path:
    spec = importlib.util.find_spec("openrlhf")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


# --- text ---------------------------------------------------------------------------------------


def text_executor(**settings: Any) -> Any:
    class Executor(adapter.TextAgentExecutor):
        pass

    Executor.settings = {"max_attempts": 1, **settings}
    return Executor()


async def test_openrlhfs_own_loop_plays_the_same_episode(tokenizer: Any) -> None:
    call = codec_text(tokenizer, assistant("", tool_call("shout", letter="a")))
    found = {}
    for name, executor in (("tokens", load(adapter.agent_func_path()).AgentExecutor()), ("text", text_executor())):
        engine = Engine(Speaker(tokenizer, call, "A"), tokenizer)
        (found[name],) = await group(
            executor, engine, tokenizer, label("a", PLAIN), size=1, params={"max_tokens": None}
        )
    assert found["text"]["reward"] == found["tokens"]["reward"] == 1.25
    assert found["text"]["observation_tokens"] == found["tokens"]["observation_tokens"]
    assert found["text"]["action_ranges"] == found["tokens"]["action_ranges"]
    assert found["text"]["rollout_log_probs"] == found["tokens"]["rollout_log_probs"]
    assert found["text"]["extra_logs"] == {
        "llmgym/reward": 1.25, "llmgym/turns": 2.0, "llmgym/unscored": 0.0, "llmgym/failed": 0.0,
    }  # fmt: skip


def codec_text(tokenizer: Any, message: Any) -> str:
    """An assistant message as the template writes it."""
    codec = codec_for(tokenizer)
    question = {"role": "user", "content": "?"}
    opened = codec.open([question], [])  # type: ignore[list-item]
    text = tokenizer.apply_chat_template([question, _parsed(message)], tokenize=False)
    return text.removeprefix(tokenizer.decode(opened)).partition("<|im_end|>")[0]


def _parsed(message: Any) -> Any:
    calls = [
        {"type": "function", "function": {**c["function"], "arguments": json.loads(c["function"]["arguments"])}}
        for c in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


@pytest.mark.parametrize("fault", ["setup raise", "verify raise", "verify unscored"])
async def test_a_failure_gets_the_mean_of_the_task_so_far(tokenizer: Any, fault: str) -> None:
    executor = text_executor()
    for said, expected in (("A", 1.0), ("B", 0.0)):
        engine = Engine(Speaker(tokenizer, said), tokenizer)
        (output,) = await group(executor, engine, tokenizer, label("a", PLAIN), size=1)
        assert (output["reward"], output["extra_logs"]["llmgym/unscored"]) == (expected, 0.0)
    engine = Engine(Speaker(tokenizer, "A"), tokenizer)
    failing = label("a", PLAIN, faults={"a": fault})
    (output,) = await group(executor, engine, tokenizer, failing, size=1)
    assert (output["reward"], output["extra_logs"]["llmgym/unscored"]) == (0.0, 1.0)  # nothing is known of this task
    executor._episodes.stand_ins.note(TaskRef.loads(failing), 0.75)
    (output,) = await group(executor, engine, tokenizer, failing, size=1)
    assert (output["reward"], output["extra_logs"]["llmgym/unscored"]) == (0.75, 1.0)
    assert output["extra_logs"]["llmgym/failed"] == float(fault != "verify unscored")


async def test_a_template_that_rewrites_history_ends_the_episode(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmgym.trainers.text.TextEpisode.glue", lambda *_: None)
    call = codec_text(tokenizer, assistant("", tool_call("shout", letter="a")))
    engine = Engine(Speaker(tokenizer, call, "A"), tokenizer)
    (output,) = await group(text_executor(), engine, tokenizer, label("a", PLAIN), 1, params={"max_tokens": None})
    assert (len(output["action_ranges"]), output["reward"]) == (1, 0.25)
    assert output["extra_logs"]["llmgym/unscored"] == 0.0
    assert output["action_ranges"][0][1] == len(output["observation_tokens"])


# --- rewards and data ---------------------------------------------------------------------------


async def test_the_reward_function_scores_single_replies(tokenizer: Any) -> None:
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    executor = SingleTurnAgentExecutor(adapter.agent_func_path())
    params = Params(stop_token_ids=[tokenizer.eos_token_id], all_stop_token_ids={tokenizer.eos_token_id})
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "spell a"}], tokenize=False)
    for said, reward in (("A", 1.0), ("B", 0.0)):
        engine = Engine(Speaker(tokenizer, said), tokenizer)
        output = await executor.execute(prompt, label("a", PLAIN), params, 4096, tokenizer, engine)
        assert torch.as_tensor(output["reward"]).tolist() == [reward]
        assert torch.as_tensor(output["scores"]).tolist() == [reward]
        assert output["extra_logs"]["llmgym/unscored"].tolist() == [0.0]
    scored = adapter.reward_func(["pA<|im_end|>", "pA</s>\n", "pB"], ["p", "p", "p"], [label("a", PLAIN)] * 3)
    assert scored["rewards"].tolist() == [1.0, 1.0, 0.0]


def test_the_dataset_is_one_that_openrlhf_reads(tokenizer: Any, tmp_path: Path) -> None:
    from openrlhf.datasets.prompts_dataset import PromptDataset

    path = tmp_path / "tasks.jsonl"
    path.write_text("before")
    (tmp_path / "same").hardlink_to(path)
    assert adapter.write_jsonl(path, env_ids=[PLAIN], num_tasks=3, seed=1) == 3
    assert (tmp_path / "same").read_text() == "before"  # replaced as a whole
    table = [json.loads(line) for line in path.read_text().splitlines()]
    data = SimpleNamespace(input_key="input", label_key="label", apply_chat_template=True, image_key="images")
    strategy = SimpleNamespace(args=SimpleNamespace(data=data), is_rank_0=lambda: False)
    dataset = PromptDataset(table, tokenizer, strategy)
    for number, line in enumerate(table):
        source, prompt, text, images = dataset[number]
        ref = TaskRef.loads(text)
        assert (source, images, ref.env.id) == (LETTERS, None, PLAIN)
        assert f"spell {ref.task_id}" in prompt
        assert line["label"] == text
    assert len({line["label"] for line in table}) == 3


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "0.10.1")
    with pytest.raises(ConfigError, match=r"openrlhf 0.10.1 is installed; .*>=0.11,<0.12"):
        load(adapter.agent_func_path())

    def missing(_: str) -> str:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr("importlib.metadata.version", missing)
    with pytest.raises(MissingExtraError, match=r"llmgym\[openrlhf\]"):
        load(adapter.agent_func_path())
