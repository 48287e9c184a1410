"""The adapter in real trainers of TRL: optimisation steps on a CPU, with a random model or what no model should say."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import asyncio
import importlib.metadata
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("trl")
pytest.importorskip("transformers")

import gymnasium
import numpy as np
import torch
from trl import GRPOConfig, GRPOTrainer

from llmgym.codec import codec_for
from llmgym.concurrency import drive_in_background
from llmgym.env import ToolEnv
from llmgym.errors import ConfigError, MissingExtraError, PolicyError
from llmgym.policies import Generation, Sampling
from llmgym.rollout.instances import Instances
from llmgym.tools import tool
from llmgym.trainers import trl
from llmgym.trainers.trl import environment, prompts, sampling, spec
from tests.exactness import FuzzPolicy, Recording
from tests.trainers.contract import BAD, GOOD, TROUBLE, Row, calm, check, hindered
from tests.trainers.tiny import save, tiny_model, tiny_tokenizer

ROOT = Path(__file__).parents[2]
LETTERS = "tests.rollouts:test/Letters-v0"


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


def troubles(**settings: Any) -> trl.Spec:
    """All tasks of `Trouble`, the four that end well first in each round."""
    described = spec([TROUBLE], **({"max_output_tokens": 24, "max_attempts": 1} | settings))
    with calm():
        assert len(described.train_dataset) == len(GOOD) + len(BAD)
    return described


class Seen:
    """What a trainer got of a spec, and what reached its loss."""

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.outputs: list[dict[str, Any]] = []
        self.inputs: list[dict[str, Any]] = []
        rollout, loss = trainer.rollout_func, trainer._compute_loss

        def rollout_func(prompts: Any, trainer: Any) -> dict[str, Any]:
            self.outputs.append(rollout(prompts, trainer))
            return dict(self.outputs[-1])  # TRL takes some of it away

        def compute_loss(model: Any, inputs: dict[str, Any]) -> Any:
            self.inputs.append({name: value.clone() for name, value in inputs.items() if torch.is_tensor(value)})
            return loss(model, inputs)

        if rollout is not None:
            trainer.rollout_func = rollout_func
        trainer._compute_loss = compute_loss

    @property
    def log(self) -> dict[str, Any]:
        return next(entry for entry in self.trainer.state.log_history if "llmgym/turns" in entry)

    def rows(self, group: int) -> list[Row]:
        """What the trainer got, in groups by place as TRL has them."""
        rows: list[Row] = []
        for output in self.outputs:
            columns = [output[name] for name in ("prompt_ids", "completion_ids", "env_mask", "logprobs", "episodes")]
            for prompt_ids, completion_ids, mask, logprobs, episode in zip(*columns, strict=True):
                place = len(rows) // group
                rows.append(Row(episode.id, place, prompt_ids, completion_ids, mask, logprobs, episode.reward))
        return rows

    def trained(self) -> list[list[int]]:
        """The ids that bear on the loss, for each row of the first batch."""
        inputs = self.inputs[0]
        mask = (inputs["completion_mask"] * inputs.get("tool_mask", 1)).bool()
        return [row[chosen].tolist() for row, chosen in zip(inputs["completion_ids"], mask, strict=True)]


def trainer_of(
    described: trl.Spec, tokenizer: Any, folder: Path, *, tools: bool = False, peft_config: Any = None, **config: Any
) -> Seen:
    """A trainer of a random model, over `rollout_func` or, with `tools`, over `environment_factory`."""
    settings: dict[str, Any] = {
        "max_steps": 1,
        "per_device_train_batch_size": 8,
        "num_generations": 2,
        "max_completion_length": 120,
        "learning_rate": 1e-3,
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "shuffle_dataset": False,
    }
    way: dict[str, Any] = {"rollout_func": described.rollout_func}
    if tools:
        way = {"environment_factory": described.environment_factory}
    trainer = GRPOTrainer(
        model=tiny_model(tokenizer),
        args=GRPOConfig(str(folder), **settings | config),
        processing_class=tokenizer,
        reward_funcs=described.reward_funcs,
        train_dataset=described.train_dataset,
        peft_config=peft_config,
        **way,
    )
    return Seen(trainer)


def sample_with(policy: Any, monkeypatch: pytest.MonkeyPatch) -> Recording:
    """Let trainers sample with a policy, and record what it is asked."""
    recording = Recording(policy)

    class InItsPlace:
        def __init__(self, model: Any, *, tokenizer: Any) -> None:
            assert not model.training

        def __getattr__(self, name: str) -> Any:
            return getattr(recording, name)

    monkeypatch.setattr(sampling, "TransformersPolicy", InItsPlace)
    return recording


# --- rollout_func -------------------------------------------------------------------------------


def test_the_contract_holds_for_whatever_is_sampled(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = codec_for(tokenizer).stop_token_ids
    recording = sample_with(FuzzPolicy(tokenizer, stops, seed=3), monkeypatch)
    seen = trainer_of(troubles(), tokenizer, tmp_path, per_device_train_batch_size=32, num_generations=4)
    seen.trainer.train()
    rows = seen.rows(group=4)
    assert len(rows) == 32
    check(rows, recording)
    rewards = {row.session.split("/")[2]: row.reward for row in rows}
    assert {task for task, reward in rewards.items() if reward is None} == set(BAD)
    assert {task for task, reward in rewards.items() if reward is not None} == set(GOOD)
    assert all(len(row.completion_ids) <= 120 for row in rows)


def test_what_is_trained_is_what_was_sampled(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = sample_with(FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed=2), monkeypatch)
    seen = trainer_of(troubles(), tokenizer, tmp_path, per_device_train_batch_size=16)
    before = [weight.detach().clone() for weight in seen.trainer.model.parameters()]
    seen.trainer.train()
    rows = {(*row.prompt_ids, *row.completion_ids): row for row in seen.rows(group=2)}
    for ids, trained in zip(_unpadded(seen.inputs[0]), seen.trained(), strict=True):
        row = rows[ids]  # TRL shuffles
        said = [token for request in recording.requests.get(row.session, []) for token in request.generation.token_ids]
        assert trained == (said if row.reward is not None else [])
    assert any(not torch.equal(a, b) for a, b in zip(before, seen.trainer.model.parameters(), strict=True))


def _unpadded(inputs: dict[str, Any]) -> list[tuple[int, ...]]:
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1).bool()
    return [tuple(row[real].tolist()) for row, real in zip(ids, mask, strict=True)]


def test_a_failed_episode_moves_nothing_but_the_metrics(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed=3)
    sample_with(hindered(policy, lambda request: request.startswith("test/Trouble-v0/good-0/1/")), monkeypatch)
    seen = trainer_of(troubles(), tokenizer, tmp_path, per_device_train_batch_size=32, num_generations=4)
    seen.trainer.train()
    failed = [row.session for row in seen.rows(group=4) if row.reward is None]
    assert [session for session in failed if "good" in session] == ["test/Trouble-v0/good-0/1"]
    statuses = [episode.status for episode in seen.outputs[0]["episodes"]]
    advantages = {
        ids: float(value) for ids, value in zip(_unpadded(seen.inputs[0]), seen.inputs[0]["advantages"], strict=True)
    }
    groups: dict[Any, list[tuple[float | None, float]]] = {}
    for row in seen.rows(group=4):
        advantage = advantages[(*row.prompt_ids, *row.completion_ids)]
        groups.setdefault(row.group, []).append((row.reward, advantage))
    for members in groups.values():
        rewards = np.array([reward for reward, _ in members if reward is not None])
        for reward, advantage in members:  # the baseline is that of those with a reward, however few
            expected = 0.0 if reward is None else (reward - rewards.mean()) / (rewards.std(ddof=1) + 1e-4)
            assert advantage == pytest.approx(expected, abs=1e-4)
    assert seen.log["llmgym/unscored"] == pytest.approx(len(failed) / 32)
    assert seen.log["llmgym/status/policy_error"] == pytest.approx(1 / 32)
    assert seen.log["llmgym/status/env_error"] == pytest.approx(statuses.count("env_error") / 32)
    assert statuses.count("env_error") >= 8
    assert seen.log["llmgym/status/timeout"] == 0


def test_a_batch_without_any_reward_leaves_the_weights_alone(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_with(FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed=4), monkeypatch)
    described = spec([TROUBLE], max_attempts=1)
    with calm():
        dataset = described.train_dataset
    described.train_dataset = dataset.filter(lambda row: row["prompt"][-1]["content"].split()[1][:-1] in BAD)
    assert len(described.train_dataset) == len(BAD)
    seen = trainer_of(described, tokenizer, tmp_path, weight_decay=0.0)
    before = [weight.detach().clone() for weight in seen.trainer.model.parameters()]
    seen.trainer.train()
    assert all(torch.equal(a, b) for a, b in zip(before, seen.trainer.model.parameters(), strict=True))
    assert seen.log["llmgym/unscored"] == 1


def test_an_engine_that_never_answers_ends_the_training(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed=5)
    sample_with(hindered(policy, lambda request: True), monkeypatch)
    described = spec([LETTERS], num_tasks=4, max_attempts=1)
    with pytest.raises(PolicyError, match="no episode of the batch got a reply; the first: PolicyError: no engine"):
        trainer_of(described, tokenizer, tmp_path).trainer.train()


def test_a_policy_without_logprobs_is_named(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mute(FuzzPolicy):
        async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, **ids: str) -> Generation:
            return Generation([5, self.stops[0]], [], "stop")

    sample_with(Mute(tokenizer, codec_for(tokenizer).stop_token_ids, seed=0), monkeypatch)
    described = spec([LETTERS], num_tasks=4, max_attempts=1)
    with pytest.raises(PolicyError, match="2 tokens came with 0 log-probabilities"):
        trainer_of(described, tokenizer, tmp_path).trainer.train()


def furthest(model: Any, rows: Sequence[Row]) -> float:
    """Largest difference, in nats, between the log-probabilities of rows and a model's."""
    gaps: list[float] = []
    for row in rows:
        ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
        with torch.no_grad():
            logprobs = model(ids).logits[0, :-1].float().log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
        gap = logprobs[len(row.prompt_ids) - 1 :] - torch.tensor(row.logprobs)
        gaps.append(float((gap * torch.tensor(row.loss_mask)).abs().max()))
    return max(gaps)


PRECISIONS = pytest.mark.parametrize(("bf16", "error"), [(False, 1e-4), (True, 0.1)])  # True is what TRL does untold


@PRECISIONS
def test_the_trainers_own_model_samples_and_learns(tokenizer: Any, tmp_path: Path, bf16: bool, error: float) -> None:
    described = spec([LETTERS], num_tasks=8, max_output_tokens=20)
    seen = trainer_of(described, tokenizer, tmp_path, max_steps=2, bf16=bf16)
    seen.trainer.train()
    rows = seen.rows(group=2)
    assert len(rows) == 16
    assert seen.log["llmgym/unscored"] == 0
    assert seen.trainer.model.training
    # The first batch was sampled with the weights that the model had then.
    assert furthest(tiny_model(tokenizer), rows[:8]) < error


@PRECISIONS
def test_adapters_of_peft_sample_too(tokenizer: Any, tmp_path: Path, bf16: bool, error: float) -> None:
    peft = pytest.importorskip("peft")
    lora = peft.LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    described = spec([LETTERS], num_tasks=4, max_output_tokens=20)
    seen = trainer_of(described, tokenizer, tmp_path, bf16=bf16, learning_rate=0.0, peft_config=lora)
    seen.trainer.train()
    model = seen.trainer.model.eval()
    assert furthest(model, seen.rows(group=2)) < error
    with model.disable_adapter():
        assert furthest(model, seen.rows(group=2)) > 2 * error


def test_a_seed_gives_the_same_rollouts_and_members_differ(tokenizer: Any, tmp_path: Path) -> None:
    def rows(seed: int) -> list[list[int]]:
        seen = trainer_of(spec([LETTERS], num_tasks=4, max_output_tokens=8), tokenizer, tmp_path, seed=seed)
        seen.trainer.train()
        return sorted(list(row.completion_ids) for row in seen.rows(group=2))

    first = rows(1)
    assert rows(1) == first
    assert rows(2) != first
    assert len({tuple(row) for row in first}) == len(first)


def test_limits_come_from_the_trainer(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = sample_with(FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed=6), monkeypatch)
    seen = trainer_of(
        troubles(max_output_tokens=None), tokenizer, tmp_path,
        temperature=0.7, top_p=0.9, max_completion_length=40, mask_truncated_completions=True,
    )  # fmt: skip
    seen.trainer.train()
    asked = [request.sampling for requests in recording.requests.values() for request in requests]
    assert {(sampling.temperature, sampling.top_p) for sampling in asked} == {(0.7, 0.9)}
    assert max(sampling.max_tokens for sampling in asked) == 40
    rows = seen.rows(group=2)
    assert all(len(row.completion_ids) <= 40 for row in rows)
    statuses = [episode.status for output in seen.outputs for episode in output["episodes"]]
    assert "max_tokens" in statuses
    assert all(not any(row.loss_mask) for row, status in zip(rows, statuses, strict=True) if status != "completed")


def test_no_room_for_a_reply(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An opening that fills the context: scored, since the environment is well, and nothing of it is trained."""
    policy = FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed=7, context_length=20)
    recording = sample_with(policy, monkeypatch)
    seen = trainer_of(spec([LETTERS], num_tasks=4), tokenizer, tmp_path)
    seen.trainer.train()
    assert not recording.requests
    assert seen.log["llmgym/status/context_length"] == 1
    assert not any(any(row.loss_mask) for row in seen.rows(group=2))
    assert all(row.completion_ids for row in seen.rows(group=2))


def test_rollouts_sample_as_the_config_says(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = sample_with(FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed=8), monkeypatch)
    config = {"temperature": 0.7, "top_p": 0.9, "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.2}
    seen = trainer_of(spec([LETTERS], num_tasks=4), tokenizer, tmp_path, **config)
    seen.trainer.train()
    asked = [request.sampling for requests in recording.requests.values() for request in requests]
    assert asked
    assert all({name: getattr(sampling, name) for name in config} == config for sampling in asked)


def test_sharded_weights_and_tools_of_the_trainer_are_refused() -> None:
    sampling.check_trainer(SimpleNamespace(tools=[], is_fsdp_enabled=False, use_vllm=False))
    with pytest.raises(ConfigError, match="use_vllm=True"):
        sampling.check_trainer(SimpleNamespace(tools=[], is_fsdp_enabled=True, use_vllm=False))
    with pytest.raises(ConfigError, match="give GRPOTrainer no tools"):
        sampling.check_trainer(SimpleNamespace(tools=[print], is_fsdp_enabled=False, use_vllm=False))


def test_ends_of_turns_that_trl_would_take_for_cuts(tokenizer: Any) -> None:
    codec = codec_for(tokenizer)
    masked = SimpleNamespace(mask_truncated_completions=True, eos_token_ids=[codec.stop_token_ids[0] + 1])
    with pytest.raises(ConfigError, match=r"add them to the model's generation_config\.eos_token_id"):
        sampling.check_ends(masked, codec)
    sampling.check_ends(SimpleNamespace(mask_truncated_completions=True, eos_token_ids=[*codec.stop_token_ids]), codec)
    sampling.check_ends(SimpleNamespace(mask_truncated_completions=False, eos_token_ids=[]), codec)


def test_prompts_of_another_dataset_are_refused(tokenizer: Any, tmp_path: Path) -> None:
    described = spec([LETTERS], num_tasks=4)
    with pytest.raises(ConfigError, match="names no task"):
        described.rollout_func(
            [[{"role": "user", "content": "hi"}]], trainer_of(described, tokenizer, tmp_path).trainer
        )


# --- datasets and settings ----------------------------------------------------------------------


def test_datasets_of_several_environments_by_turns() -> None:
    described = spec(["llmgym/Calculator-easy-v0", "llmgym/Wordle-easy-v0"], num_tasks=3)
    rows = list(described.train_dataset)
    assert [row["environment"] for row in rows] == ["llmgym/Calculator-easy-v0", "llmgym/Wordle-easy-v0"] * 3
    assert [message["role"] for message in rows[0]["prompt"]] == ["system", "user"]
    # A prompt may hold calls and results; templates want the arguments as objects.
    calls = [call for message in rows[1]["prompt"] for call in message.get("tool_calls", ())]
    assert all(isinstance(call["function"]["arguments"], dict) for call in calls)
    ref = prompts.ref_of(rows[0]["prompt"])
    assert ref.env.id == "llmgym/Calculator-easy-v0"
    held_out = list(described.dataset(split="test", num_tasks=2))
    assert len(held_out) == 4
    assert not {row["prompt"][-1]["llmgym"] for row in rows} & {row["prompt"][-1]["llmgym"] for row in held_out}


def test_settings_of_the_trainer_are_not_ours() -> None:
    with pytest.raises(ConfigError, match="num_repeats is the trainer's to say: set num_generations"):
        spec([LETTERS], num_repeats=4)
    with pytest.raises(ConfigError, match="max_completion_length is the trainer's to say"):
        trl.RolloutWorker([LETTERS], async_config(), None, policy=None, max_completion_length=9)
    with pytest.raises(ConfigError, match="unknown setting 'tasks'"):
        spec([LETTERS], tasks=4)


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "trl":
            return "1.10.0"
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(ConfigError, match=r"trl 1\.10\.0 is installed; .* works with trl>=1\.16,<1\.17"):
        spec([LETTERS])

    def missing(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(MissingExtraError, match=r"llmgym\[trl\]"):
        spec([LETTERS])


# --- environment_factory ------------------------------------------------------------------------


class Spoken:
    """Makes TRL's generation say what a script says, token for token."""

    def __init__(self, trainer: Any, tokenizer: Any, script: Callable[[str], str]) -> None:
        self.prompts: list[list[int]] = []

        def generate(prompt_ids: list[list[int]], *_: Any, **__: Any) -> tuple[list[list[int]], None]:
            self.prompts += [list(ids) for ids in prompt_ids]
            said = [script(tokenizer.decode(ids)) + "<|im_end|>" for ids in prompt_ids]
            return [tokenizer.encode(text, add_special_tokens=False) for text in said], None

        trainer._generate_single_turn = generate


def shout_then_say(prompt: str) -> str:
    """For `Letters`: call the tool, then say what it said."""
    letter = prompt.partition("spell ")[2][0]
    if "<tool_response>" in prompt.partition("spell ")[2]:
        return letter.upper()
    return f'<tool_call>\n{{"name": "shout", "arguments": {{"letter": "{letter}"}}}}\n</tool_call>'


def test_the_tool_loop_of_trl_runs_an_environment(tokenizer: Any, tmp_path: Path) -> None:
    described = spec([LETTERS], num_tasks=4)
    seen = trainer_of(
        described, tokenizer, tmp_path, tools=True, max_completion_length=256, max_tool_calling_iterations=3
    )
    spoken = Spoken(seen.trainer, tokenizer, shout_then_say)
    seen.trainer.train()
    assert seen.log["rewards/episode_reward/mean"] == 1.25  # of the call, and of the answer
    assert seen.log["tools/call_frequency"] == 1
    assert seen.log["tools/failure_frequency"] == 0
    assert seen.log["llmgym/status/completed"] == 1
    # The model sees what it sees in rollouts: the same schemas, in the same words.
    codec = codec_for(tokenizer)
    episodes = [described._episodes.instances(prompts.ref_of(row["prompt"]).env) for row in described.train_dataset]
    opened = []
    for pool, row in zip(episodes, described.train_dataset, strict=True):
        env = pool.sample
        messages, info = env.reset(options={"task_id": prompts.ref_of(row["prompt"]).task_id})
        tools = sorted(info["tools"], key=lambda schema: schema["function"]["name"])  # TRL sorts them
        opened.append(codec.open(messages, tools))
    assert {tuple(ids) for ids in spoken.prompts[:8]} == {tuple(ids) for ids in opened}
    # Results of tools are not trained.
    for ids in seen.trained():
        assert "<tool_response>" not in tokenizer.decode(ids)
        assert tokenizer.decode(ids).count("<|im_end|>") == 2


def test_the_calls_of_one_message_are_one_turn(tokenizer: Any, tmp_path: Path) -> None:
    described = spec([{"id": LETTERS, "kwargs": {"max_turns": 2}}], num_tasks=4)  # type: ignore[list-item]
    seen = trainer_of(
        described, tokenizer, tmp_path, tools=True, max_completion_length=400, max_tool_calling_iterations=3
    )

    def shout_often_then_say(prompt: str) -> str:
        said = shout_then_say(prompt)
        return "\n".join([said] * 3) if said.startswith("<tool_call>") else said

    Spoken(seen.trainer, tokenizer, shout_often_then_say)
    seen.trainer.train()
    assert seen.log["tools/call_frequency"] == 3
    assert seen.log["rewards/episode_reward/mean"] == 1.75  # of three calls, and of the answer
    assert seen.log["llmgym/status/completed"] == 1


def test_calls_after_the_end_fail_and_count_for_nothing(tokenizer: Any, tmp_path: Path) -> None:
    """TRL asks once more however an episode ended; `Letters` with one turn is over with the first call."""
    described = spec([{"id": LETTERS, "kwargs": {"max_turns": 1}}], num_tasks=4)  # type: ignore[list-item]
    seen = trainer_of(
        described, tokenizer, tmp_path, tools=True, max_completion_length=400, max_tool_calling_iterations=3
    )
    call = '<tool_call>\n{"name": "shout", "arguments": {"letter": "a"}}\n</tool_call>'
    Spoken(seen.trainer, tokenizer, lambda prompt: call)
    seen.trainer.train()
    assert seen.log["tools/failure_frequency"] == pytest.approx(2 / 3)
    assert seen.log["rewards/episode_reward/mean"] == 0.25
    assert seen.log["llmgym/status/max_turns"] == 1


def test_a_failure_in_the_tool_loop_is_no_reward(tokenizer: Any, tmp_path: Path) -> None:
    faults = dict(zip("abcdefghijklmnopqrstuvwxyz", ["verify raise", "verify unscored"] * 13, strict=True))
    faults |= dict.fromkeys("mnop", "setup raise")
    described = spec([{"id": LETTERS, "kwargs": {"faults": faults}}], num_tasks=26)  # type: ignore[list-item]
    with pytest.raises(Exception, match="setup"):
        _ = described.train_dataset
    pool = described._episodes.instances(described._episodes.config.tasks.environments[0])
    made = environment.environment_class(described._episodes, pool)()
    for letter, error in (("m", "setup"), ("a", "verify"), ("b", None)):
        ref = trl_ref(pool, letter)
        made.reset(prompt=prompts.prompt_of([{"role": "user", "content": "x"}], ref))
        ended = made.play.end([{"role": "assistant", "content": letter.upper()}])
        assert ended.reward is None
        assert (error or "") in (ended.error or "")
        assert ended.status == ("completed" if error is None else "env_error")


def trl_ref(pool: Any, task_id: str) -> Any:
    from llmgym.trainers.common import TaskRef

    return TaskRef(pool.config, task_id, 0)


def test_environments_that_the_tool_loop_cannot_run() -> None:
    with pytest.raises(ConfigError, match="answers messages without tool calls"):
        _ = spec([TROUBLE]).environment_factory
    with pytest.raises(ConfigError, match="context_management is for episodes that llmgym samples"):
        _ = spec(["llmgym/Calculator-v0"], context_management={"strategy": "summarize"}).environment_factory
    with pytest.raises(ConfigError, match="cannot take a method 'reset' for a tool"):
        _ = spec(["tests.trainers.test_trl:test/Named-v0"]).environment_factory


class Named(ToolEnv):
    """Has a tool of a name that TRL gives a meaning."""

    from tests.rollouts import Letters as _Letters

    tasks = _Letters.tasks

    @tool
    def look(self) -> str:
        """Look."""
        return ""


class Lingering(Named):
    """Takes a while to tear an episode down."""

    async def teardown(self) -> None:
        await asyncio.sleep(0.1)


gymnasium.register("test/Lingering-v0", entry_point="tests.trainers.test_trl:Lingering")
Named.tools = {"reset": Named.tools["look"]}
gymnasium.register("test/Named-v0", entry_point="tests.trainers.test_trl:Named")


def test_completions_of_trls_own_are_verified(tokenizer: Any, tmp_path: Path) -> None:
    """Neither rollout_func nor tools: the whole episode is one message that TRL sampled."""
    described = spec([LETTERS], num_tasks=4)
    seen = trainer_of(described, tokenizer, tmp_path)
    seen.trainer.rollout_func = None
    letters: list[str] = []

    def answer(prompt: str) -> str:
        letters.append(prompt.partition("spell ")[2][0])
        return letters[-1].upper() if len(letters) % 2 else "?"

    Spoken(seen.trainer, tokenizer, answer)
    seen.trainer.train()
    assert seen.log["rewards/episode_reward/mean"] == 0.5
    assert seen.log["llmgym/status/completed"] == 1


# --- TRL's vLLM -----------------------------------------------------------------------------------


class VLLM:
    """What `trainer.vllm_generation` is to us: one function, which answers a batch and notes it."""

    def __init__(self, fuzz: FuzzPolicy, limit: int, logprobs: bool = True) -> None:
        self.fuzz, self.limit, self.logprobs = fuzz, limit, logprobs
        self.calls: list[list[list[int]]] = []
        self.threads: set[int] = set()
        self.llm = SimpleNamespace(get_tokenizer=lambda: fuzz.tokenizer)

    def sync_weights(self) -> None: ...

    def generate(self, prompts: list[list[int]], images: None, num_generations: int) -> tuple[Any, ...]:
        assert num_generations == 1
        self.calls.append(prompts)
        self.threads.add(threading.get_ident())
        # It knows nothing of our limits, and stops at the trainer's stop tokens only.
        stop = Sampling(max_tokens=self.limit, stop_token_ids=self.fuzz.stops)
        said = [drive_in_background(self.fuzz.generate(prompt, stop)) for prompt in prompts]
        logprobs = [[[value, -9.0] for value in generation.logprobs] for generation in said]
        ids = [list(generation.token_ids) for generation in said]
        return prompts, ids, logprobs if self.logprobs else None, None


def with_vllm(described: trl.Spec, tokenizer: Any, folder: Path, **config: Any) -> tuple[Any, VLLM]:
    """A trainer that has TRL's vLLM, as far as anyone can see."""
    trainer: Any = trainer_of(described, tokenizer, folder, **config).trainer
    fuzz = FuzzPolicy(tokenizer, trainer.eos_token_ids, seed=8)
    trainer.use_vllm, trainer.vllm_mode = True, "colocate"
    trainer.vllm_generation = VLLM(fuzz, trainer.max_completion_length)
    return trainer, trainer.vllm_generation


def test_vllm_answers_in_rounds(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    described = troubles(max_output_tokens=16)
    trainer, vllm = with_vllm(described, tokenizer, tmp_path)
    recordings: list[Recording] = []

    class Recorded(sampling.LockStep):
        def __init__(self, trainer: Any) -> None:
            super().__init__(trainer)
            recordings.append(Recording(SimpleNamespace(generate=super().generate)))
            self.generate = recordings[0].generate

    monkeypatch.setattr(sampling, "LockStep", Recorded)
    chosen = [row["prompt"] for row in described.train_dataset for _ in range(2)]
    output = described.rollout_func(chosen, trainer)
    columns = [output[name] for name in ("prompt_ids", "completion_ids", "env_mask", "logprobs", "episodes")]
    rows = [Row(e.id, e.group_id, p, c, m, lp, e.reward) for p, c, m, lp, e in zip(*columns, strict=True)]
    check(rows, recordings[0])
    assert all(len(r.generation.token_ids) <= 16 for rs in recordings[0].requests.values() for r in rs)
    assert vllm.threads == {threading.get_ident()}
    turns = [len(requests) for requests in recordings[0].requests.values()]
    assert len(vllm.calls) == max(turns)  # all episodes that wait are asked for at once
    assert sum(map(len, vllm.calls)) == sum(turns)


def test_every_rank_makes_the_same_calls(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other rank has three prompts in each of twelve rounds: more than this one, and longer."""
    import accelerate.utils

    described = spec([LETTERS], num_tasks=2, max_output_tokens=16, max_attempts=1)
    trainer, vllm = with_vllm(described, tokenizer, tmp_path, max_completion_length=400)
    rounds: list[int] = []

    def gather_object(mine: list[int]) -> list[int]:
        rounds.append(mine[0])
        return [*mine, 3 if len(rounds) <= 12 else 0]

    monkeypatch.setattr(accelerate.utils, "gather_object", gather_object)
    described.rollout_func([row["prompt"] for row in described.train_dataset], trainer)
    assert len(vllm.calls) == 12
    assert {len(prompts) for prompts in vllm.calls} == {3}
    assert rounds[0] == 2
    assert rounds[-1] == 0
    assert vllm.calls[-1] == [[trainer.eos_token_ids[0]]] * 3


def test_a_vllm_that_fails_ends_the_training(tokenizer: Any, tmp_path: Path) -> None:
    described = spec([LETTERS], num_tasks=2)
    trainer, vllm = with_vllm(described, tokenizer, tmp_path)

    def generate(**_: Any) -> None:
        raise RuntimeError("out of memory")

    vllm.generate = generate  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="out of memory"):
        described.rollout_func([row["prompt"] for row in described.train_dataset], trainer)


def test_a_vllm_without_logprobs_is_named(tokenizer: Any, tmp_path: Path) -> None:
    described = spec([LETTERS], num_tasks=2, max_attempts=1)
    trainer, vllm = with_vllm(described, tokenizer, tmp_path)
    vllm.logprobs = False
    with pytest.raises(PolicyError, match="tokens came with 0 log-probabilities"):
        described.rollout_func([row["prompt"] for row in described.train_dataset], trainer)


def test_a_vllm_with_another_vocabulary_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    described = spec([LETTERS], num_tasks=2)
    trainer, vllm = with_vllm(described, tokenizer, tmp_path)
    other = tiny_tokenizer()
    other.chat_template = "{{ messages }}"  # of no account: the engine is given ids
    vllm.llm.get_tokenizer = lambda: other
    sampling.check_trainer(trainer)
    other.add_tokens(["surplus"])
    with pytest.raises(ConfigError, match="is not the engine's"):
        sampling.check_trainer(trainer)


# --- the asynchronous trainer -----------------------------------------------------------------------


def async_config(**config: Any) -> Any:
    fields = {
        "temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": None, "repetition_penalty": 1.0,
        "max_completion_length": 120, "num_generations": 4, "queue_maxsize": 64,
        "max_inflight_tasks": 8, "vllm_server_base_url": "http://localhost:1",
    }  # fmt: skip
    return SimpleNamespace(**fields | config)


def take(worker: trl.RolloutWorker, count: int) -> list[Any]:
    return [worker.rollout_buffer.get(timeout=60) for _ in range(count)]


def test_the_rollout_worker_keeps_the_contract(tokenizer: Any) -> None:
    recording = Recording(FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed=17))
    settings: dict[str, Any] = {"policy": recording, "max_output_tokens": 24, "max_attempts": 1}
    worker = trl.RolloutWorker([TROUBLE], async_config(), tokenizer, **settings)
    worker.update_model_version(7)
    worker.start()
    try:
        samples = take(worker, 40)
        worker.check_health(60)
    finally:
        worker.stop()
    groups: dict[int, list[Any]] = {}
    for sample in samples:
        groups.setdefault(sample.group_id, []).append(sample)
        ids, mask = sample.input_ids.tolist(), sample.completion_mask.astype(bool)
        matching = [
            session
            for session, requests in recording.requests.items()
            if any([*request.prompt_ids, *request.generation.token_ids] == ids for request in requests)
        ]
        assert len(matching) == 1
        requests = recording.requests[matching[0]]
        start = int(mask.argmax())
        completion = (ids[start:], mask[start:].astype(int).tolist(), sample.old_log_probs[start:].tolist())
        check([Row(matching[0], sample.group_id, ids[:start], *completion, sample.metrics["reward"])], recording)
        assert not sample.old_log_probs[:start].any()
        assert sample.model_version == 7
        assert requests
        assert sample.prompt[0]["role"] == "user"
    assert len(groups) > 2
    for members in list(groups.values())[:-1]:  # the last may not be whole
        episodes = {(member.metrics["reward"], member.advantage) for member in members}
        assert len({advantage for _, advantage in episodes}) == len({reward for reward, _ in episodes})
        assert sorted(episodes) == sorted(episodes, key=lambda pair: pair[1])
    logged = worker.metrics_queue.get_nowait()
    assert logged["llmgym/status/max_turns"][1] == 4


def test_rows_of_the_worker_go_through_the_trainers_own_batches(tokenizer: Any) -> None:
    """All of TRL's asynchronous path that runs without a GPU."""
    from trl.experimental.async_grpo import async_grpo_trainer as theirs

    policy = FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed=10)
    worker = trl.RolloutWorker([TROUBLE], async_config(), tokenizer, policy=policy, max_attempts=1)
    worker.start()
    try:
        metrics: Any = theirs.defaultdict(list)
        rows = theirs.RolloutQueueDataset(worker.rollout_buffer, lambda: 0, worker.check_health, 60, metrics)
        batch = next(iter(theirs.FixedCountBatcher(rows, num_processes=1, microbatch_size=8)))
    finally:
        worker.stop()
    assert sum(len(row.samples) for row in batch) == 8


def test_a_worker_that_starves_or_dies_says_so(tokenizer: Any) -> None:
    policy = FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed=11)
    worker = trl.RolloutWorker(
        [TROUBLE], async_config(), tokenizer, policy=hindered(policy, lambda _: True), max_attempts=1
    )
    worker.start()
    try:
        logged = worker.metrics_queue.get(timeout=60)
        assert logged["llmgym/unscored"] == (4, 4)
        with pytest.raises(PolicyError, match="no episode was scored"):
            worker.check_health(0)
        worker.check_health(600)
    finally:
        worker.stop()

    def die(*_: Any) -> Any:
        raise ZeroDivisionError

    worker = trl.RolloutWorker([LETTERS], async_config(), tokenizer, policy=policy)
    worker._rows = die  # type: ignore[method-assign]
    worker.start()
    try:
        with pytest.raises(ExceptionGroup):
            worker._run.result(60)  # type: ignore[union-attr]
        with pytest.raises(PolicyError, match=r"the rollout worker died of .*ZeroDivisionError"):
            worker.check_health(600)
    finally:
        worker.stop()


def test_a_worker_that_stops_ends_the_instances_of_episodes_that_run(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    ended: list[Any] = []
    make, discard = Instances._make, Instances.discard
    monkeypatch.setattr(Instances, "_make", lambda self: made.append(make(self)) or made[-1])

    async def noted(self: Instances, env: Any) -> None:
        ended.append(env)
        await discard(self, env)

    monkeypatch.setattr(Instances, "discard", noted)
    asked = threading.Event()

    async def hang(*_: Any, **__: Any) -> Any:
        asked.set()
        await asyncio.sleep(3600)

    policy = FuzzPolicy(tokenizer, codec_for(tokenizer).stop_token_ids, seed=12)
    monkeypatch.setattr(policy, "generate", hang)
    worker = trl.RolloutWorker(["test/Lingering-v0"], async_config(), tokenizer, policy=policy)
    worker.start()
    assert asked.wait(60)
    worker.stop()
    assert len(made) == 8
    assert {*map(id, ended)} == {*map(id, made)}


def test_the_engine_of_a_worker_must_have_its_vocabulary(tokenizer: Any) -> None:
    other = tiny_tokenizer()
    other.add_tokens(["surplus"])
    policy = FuzzPolicy(other, codec_for(other).stop_token_ids, seed=12)
    worker = trl.RolloutWorker([LETTERS], async_config(), tokenizer, policy=policy)
    with pytest.raises(ConfigError, match="is not the engine's"):
        worker.start()
    worker.stop()


# --- the example ------------------------------------------------------------------------------------


def run_example(folder: Path, *launcher: str, **options: Any) -> subprocess.CompletedProcess[str]:
    small = {
        "demonstrations": 60, "sft-steps": 2, "steps": 2, "tasks": 2, "repeats": 2, "hidden": 32, "layers": 1,
        "eval-tasks": 8, "eval-steps": 2, "threads": 1, "output": folder,
    }  # fmt: skip
    words = [word for name, value in (small | options).items() for word in (f"--{name}", str(value))]
    command = [sys.executable, *launcher, "examples/train_trl.py", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def check_example(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert "held-out tasks: " in done.stdout
    rows = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "train" in row] == [1, 2]
    assert [row["step"] for row in rows if "held_out" in row] == [0, 2]
    assert not any(row["unscored"] for row in rows if "train" in row)
    assert (folder / "grpo" / "model.safetensors").is_file()


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_the_example(tmp_path: Path) -> None:
    """A tiny model, and then a model that exists: the one that the first run leaves."""
    made, trained = tmp_path / "made", tmp_path / "trained"
    check_example(made, run_example(made))
    given = {"model": made / "sft", "sft-steps": 0, "train-layers": 1, "batch": 2}
    check_example(trained, run_example(trained, **given))
    assert "does not divide the 4 episodes" in run_example(trained, **given | {"batch": 3}).stderr


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_the_example_in_two_processes(tmp_path: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    check_example(tmp_path, run_example(tmp_path, *launcher))


# --- what the tests stand on ------------------------------------------------------------------------


def test_the_tiny_model_can_be_saved_and_loaded(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = save(tmp_path)
    assert codec_for(AutoTokenizer.from_pretrained(folder)).fingerprint == codec_for(tokenizer).fingerprint
    ids = torch.tensor([[5, 6, 7]])
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(loaded(ids).logits, tiny_model(tokenizer)(ids).logits)
