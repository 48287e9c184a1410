"""The adapter in verl's own workers, managers and queue, over a server that samples noise."""

from __future__ import annotations

import asyncio
import copy
import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("verl")

import numpy as np
import ray
import torch
import verl
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from verl.experimental.agent_loop.agent_loop import AgentLoopManager, AgentLoopOutput, AgentLoopWorker, DictConfigWrap
from verl.protocol import DataProto
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage
from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn
from verl.utils.import_utils import load_extern_object

from llmgym.errors import ConfigError
from llmgym.policies import Generation, Sampling, VersionSpan
from llmgym.rollout.config import EnvConfig
from llmgym.trainers import verl as adapter
from llmgym.trainers.common import TaskRef
from llmgym.trajectory import Segment, Trajectory, Turn, segment_of
from tests.codec.families import template
from tests.trainers.contract import BAD, GOOD, TROUBLE, check
from tests.trainers.tiny import save, tiny_tokenizer
from tests.trainers.verl_servers import STEP, Server, client, fuzz, logprobs_of, ray_client, rows_of

pytestmark = [
    pytest.mark.integration,
    pytest.mark.verl,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # sockets that Ray leaves behind
]

ROOT = Path(__file__).parents[2]
TALK = "tests.exactness:test/Talk-v0"
PROMPT, RESPONSE = 512, 768
SAMPLING = {"temperature": 0.7, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.0, "logprobs": True}
INFO = {
    "acc", "llmgym_unscored", "llmgym_failed", "llmgym_truncated", "llmgym_segments", "llmgym_tool_calls",
    "llmgym_tool_errors",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a dataset and the agent loop's YAML."""
    made = save(tmp_path_factory.mktemp("verl"))
    adapter.write_parquet(made / "train.parquet", [TALK], num_tasks=8)
    (made / "agent_loop.yaml").write_text(adapter.agent_loop_config(max_output_tokens=24, max_attempts=1))
    (made / "tools.yaml").write_text(adapter.tool_config(TALK))
    return made


def configure(folder: Path, *overrides: str) -> Any:
    """verl's whole configuration, from its own defaults."""
    return copy.deepcopy(_configured(folder, *overrides))


@functools.cache
def _configured(folder: Path, *overrides: str) -> Any:
    ours = [
        f"actor_rollout_ref.model.path={folder}", "actor_rollout_ref.rollout.name=vllm",
        f"actor_rollout_ref.rollout.prompt_length={PROMPT}", f"actor_rollout_ref.rollout.response_length={RESPONSE}",
        "actor_rollout_ref.rollout.n=3", "actor_rollout_ref.rollout.agent.num_workers=2",
        "actor_rollout_ref.rollout.val_kwargs.n=1", "actor_rollout_ref.rollout.val_kwargs.top_p=0.5",
        f"actor_rollout_ref.rollout.agent.agent_loop_config_path={folder}/agent_loop.yaml",
        "actor_rollout_ref.rollout.calculate_log_probs=True", f"data.train_files={folder}/train.parquet",
        f"data.val_files={folder}/train.parquet", "data.return_raw_chat=True", f"data.max_prompt_length={PROMPT}",
    ]  # fmt: skip
    with initialize_config_dir(str(Path(verl.__file__).parent / "trainer/config"), version_base=None):
        return compose("ppo_trainer", overrides=[*ours, *overrides])


def dataset(folder: Path) -> RLHFDataset:
    data = OmegaConf.create(
        {"max_prompt_length": PROMPT, "return_raw_chat": True, "filter_overlong_prompts_workers": 1,
         "cache_dir": str(folder / "cache")}
    )  # fmt: skip
    return RLHFDataset(str(folder / "train.parquet"), tiny_tokenizer(), data)


def row(task: str, env: str = TROUBLE, seed: int = 0) -> dict[str, Any]:
    """What an agent loop is given of a row."""
    ref = TaskRef(EnvConfig(env), task, seed)
    kwargs = {"llmgym": ref.dumps()}
    prompt = [{"role": "user", "content": f"Say {task}, \U0001f642."}]
    return {"raw_prompt": prompt, "extra_info": {"tools_kwargs": kwargs}, "tools_kwargs": kwargs, "data_source": env}


def make_loop(
    folder: Path,
    server: Server,
    *overrides: str,
    tokenizer: Any = None,
    **fields: Any,
) -> Any:
    config = configure(folder, *overrides)
    fields = {"max_output_tokens": 24, "settings": {"max_attempts": 1}} | fields
    return adapter.LLMGymAgentLoop(
        trainer_config=DictConfigWrap(config),
        server_manager=client(config, server)[0],
        tokenizer=tiny_tokenizer() if tokenizer is None else tokenizer,
        processor=None,
        dataset_cls=RLHFDataset,
        data_config=DictConfigWrap(config.data),
        **fields,
    )


def scripted(*replies: str | list[int] | Generation, tokenizer: Any = None) -> Server:
    """A server that says one thing after another; each text ends with the stop token where there is room."""
    tokenizer = tokenizer or tiny_tokenizer()
    left = list(replies)

    def sample(prompt_ids: list[int], sampling: Sampling) -> Generation:
        said = left.pop(0)
        if isinstance(said, Generation):
            return said
        ids = said if isinstance(said, list) else [*tokenizer.encode(said), tokenizer.eos_token_id]
        ids = ids[: sampling.max_tokens]
        return Generation(ids, logprobs_of(prompt_ids, ids), "stop")

    return Server(lambda: sample)


# --- the agent loop by itself -------------------------------------------------------------------


async def test_an_episode_is_what_the_server_sampled(folder: Path) -> None:
    call = '<tool_call>\n{"name": "echo", "arguments": {"text": "a"}}\n</tool_call>'
    server = scripted(call, "well", call)
    loop = make_loop(folder, server, settings={"max_turns": 3, "success_threshold": 2.0})
    output: AgentLoopOutput = await loop.run(SAMPLING, **row("good-0"))
    first, second, third = server.asked
    assert output.prompt_ids == list(first.prompt_ids)
    assert output.prompt_ids + output.response_ids == [*third.prompt_ids, *third.answer.token_ids]
    assert output.prompt_ids + output.response_ids[: len(second.prompt_ids) - len(first.prompt_ids)] == list(
        second.prompt_ids
    )
    sampled = [token for asked in server.asked for token in asked.answer.token_ids]
    assert [token for token, mask in zip(output.response_ids, output.response_mask, strict=True) if mask] == sampled
    assert output.reward_score == 0.25 + 0.125 + 0.25 + 2.0
    assert output.extra_fields["turn_scores"] == [0.25, 0.125, 2.25]
    assert output.extra_fields["reward_extra_info"] == {
        "acc": 1.0, "llmgym_unscored": 0.0, "llmgym_failed": 0.0, "llmgym_truncated": 1.0, "llmgym_segments": 1.0,
        "llmgym_tool_calls": 2.0, "llmgym_tool_errors": 0.0,
    }  # fmt: skip
    assert output.num_turns == 7  # user, three replies, two results, one answer of the user
    assert output.metrics.num_preempted == 3
    assert (output.extra_fields["min_global_steps"], output.extra_fields["max_global_steps"]) == (STEP, STEP)


async def test_requests_are_sampled_as_verl_says(folder: Path) -> None:
    server = scripted("one", "two")
    loop = make_loop(folder, server, settings={"max_turns": 2})
    await loop.run(SAMPLING, **row("good-0"))
    for asked in server.asked:
        params = asked.params
        assert {name: params[name] for name in SAMPLING} == SAMPLING
        assert params["max_tokens"] == 24
        assert params["stop_token_ids"] == [tiny_tokenizer().eos_token_id]


async def test_an_episode_stays_on_one_server_and_its_group_need_not(folder: Path) -> None:
    server = Server(fuzz)
    config = configure(folder)
    manager, balancer = client(config, server)
    loop = make_loop(folder, server)
    loop.server_manager = manager
    await asyncio.gather(*(loop.run(SAMPLING, **row("good-0")) for _ in range(4)))
    assert len(balancer._request_id_to_server) == 4
    assert balancer.get_inflight_count("one") == 0


@pytest.mark.parametrize("task", BAD)
@pytest.mark.parametrize("queued", [False, True])
async def test_what_failed_or_was_not_scored_trains_nothing(task: str, queued: bool, folder: Path) -> None:
    loop = make_loop(folder, scripted("well", "well", "well"), settings={"max_attempts": 1, "max_turns": 3})
    said = await loop.run(SAMPLING, **row(task), **({"session_id": 0, "global_steps": 9} if queued else {}))
    for output in said if queued else [said]:
        assert output.reward_score == 0.0  # None would go to verl's reward loop
        assert output.response_ids
        assert not any(output.response_mask)
        info = output.extra_fields["reward_extra_info"]
        assert info.keys() == INFO
        assert info["llmgym_unscored"] == 1.0
        assert info["llmgym_failed"] == float(task != "unscored")
        assert info["acc"] == 0.0
        if queued:  # verl computes with these numbers: None would end the training
            expected = 8 if task == "setup" else STEP
            assert output.extra_fields["min_global_steps"] == output.extra_fields["max_global_steps"] == expected


async def test_failed_episodes_are_left_out_on_demand(folder: Path) -> None:
    loop = make_loop(folder, scripted("well"), drop_failed=True)
    assert await loop.run(SAMPLING, **row("respond"), session_id=1, global_steps=1) == []
    with pytest.raises(ConfigError, match="use_v1"):
        await loop.run(SAMPLING, **row("respond"))


async def test_the_last_token_tells_whether_a_reply_was_cut_off(folder: Path) -> None:
    stop = tiny_tokenizer().eos_token_id
    whole = await make_loop(
        folder, scripted([9] * 23 + [stop], "bye"), settings={"max_turns": 2}
    ).run(SAMPLING, **row("good-0"))  # fmt: skip
    assert len(whole.extra_fields["turn_scores"]) == 2
    cut = await make_loop(folder, scripted([9] * 24, "bye"), settings={"max_turns": 2}).run(
        SAMPLING, **row("good-0")
    )  # fmt: skip
    assert len(cut.extra_fields["turn_scores"]) == 1
    assert cut.response_ids == [9] * 24
    # The engine may know stop tokens of its own, such as those of a model's generation_config.json.
    other = await make_loop(folder, scripted([9, 10], "bye"), settings={"max_turns": 2}).run(
        SAMPLING, **row("good-0")
    )  # fmt: skip
    assert len(other.extra_fields["turn_scores"]) == 2


@pytest.mark.parametrize("reply", [Generation([], [], "stop"), Generation([9, 9], [-1.0, -1.0], "abort")])
async def test_an_empty_or_aborted_reply_is_a_failure(reply: Generation, folder: Path) -> None:
    loop = make_loop(folder, scripted(reply, "well"), settings={"max_attempts": 1, "max_turns": 1})
    output = await loop.run(SAMPLING, **row("good-0"))
    assert not any(output.response_mask)
    assert output.extra_fields["reward_extra_info"]["llmgym_failed"] == 1.0


async def test_a_failure_that_passes_is_tried_again(folder: Path) -> None:
    server = scripted(Generation([], [], "abort"), "well")
    output = await make_loop(folder, server, settings={"max_attempts": 2, "max_turns": 1}).run(
        SAMPLING, **row("good-0")
    )
    assert output.reward_score == 0.125
    assert all(output.response_mask)


async def test_log_probabilities_that_were_not_asked_for(folder: Path) -> None:
    loop = make_loop(folder, scripted("well"), settings={"max_turns": 1})
    output = await loop.run({**SAMPLING, "logprobs": False}, **row("good-0"))
    assert output.response_logprobs is None
    assert any(output.response_mask)


async def test_log_probabilities_that_a_server_does_not_give(folder: Path) -> None:
    class Mute(Server):
        async def generate(self, *args: Any, **kwargs: Any) -> Any:
            said = await super().generate(*args, **kwargs)
            said.log_probs = None
            return said

    server = Mute(lambda: lambda prompt_ids, sampling: Generation([9], [-1.0], "stop"))
    with pytest.raises(ConfigError, match="calculate_log_probs"):
        await make_loop(folder, server).run(SAMPLING, **row("good-0"))


@pytest.mark.parametrize("response", [1, 7, 60, 200])
async def test_a_response_is_no_longer_than_configured(response: int, folder: Path) -> None:
    loop = make_loop(folder, Server(fuzz), f"actor_rollout_ref.rollout.response_length={response}")
    for _ in range(8):
        output = await loop.run(SAMPLING, **row("good-1"))
        assert 0 < len(output.response_ids) <= response
        assert output.response_mask[-1]  # verl puts the reward on the last token


@pytest.mark.parametrize("prompt", [1, 20])
async def test_a_prompt_that_is_too_long_goes_on_in_the_response_untrained(prompt: int, folder: Path) -> None:
    server = scripted("well", "well")
    loop = make_loop(folder, server, f"actor_rollout_ref.rollout.prompt_length={prompt}", settings={"max_turns": 2})
    output = await loop.run(SAMPLING, **row("good-1"))
    asked = server.asked[-1]
    assert len(output.prompt_ids) == prompt
    assert output.prompt_ids + output.response_ids == [*asked.prompt_ids, *asked.answer.token_ids]
    moved = len(server.asked[0].prompt_ids) - prompt
    assert not any(output.response_mask[:moved])
    assert not any(output.response_logprobs[:moved])
    assert output.response_mask[moved]
    assert len(output.response_mask) == len(output.response_logprobs) == len(output.response_ids)


@pytest.mark.parametrize(("prompt", "response", "context"), [(10, 5, "null"), (300, 300, "100")])
async def test_a_prompt_without_room_for_a_reply(prompt: int, response: int, context: str, folder: Path) -> None:
    sizes = {"prompt_length": prompt, "response_length": response, "max_model_len": context}
    server = scripted("well")
    loop = make_loop(folder, server, *(f"actor_rollout_ref.rollout.{name}={size}" for name, size in sizes.items()))
    output = await loop.run(SAMPLING, **row("good-1"))
    assert server.asked == []
    assert 0 < len(output.prompt_ids) <= prompt
    assert 0 < len(output.response_ids) <= response
    assert not any(output.response_mask)
    info = output.extra_fields["reward_extra_info"]
    assert (info["llmgym_failed"], info["llmgym_truncated"]) == (0.0, 1.0)


async def test_history_that_a_template_rewrites_makes_several_rows(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template("qwen3")
    replies = ["<think>\nwell\n</think>\n\nyes", "<think>\nhm\n</think>\n\nno and no again"]
    settings = {"max_turns": 2}
    server = scripted(*replies, tokenizer=tokenizer)
    loop = make_loop(folder, server, tokenizer=tokenizer, settings=settings, max_output_tokens=200)
    rows = await loop.run(SAMPLING, **row("good-0"), session_id=0, global_steps=1)
    assert len(rows) == 2
    for output, asked in zip(rows, server.asked, strict=True):
        assert output.prompt_ids == list(asked.prompt_ids)
        assert output.response_ids == asked.answer.token_ids
        assert all(output.response_mask)
        assert output.reward_score == 0.25
    one = await make_loop(
        folder, scripted(*replies, tokenizer=tokenizer), tokenizer=tokenizer, settings=settings, max_output_tokens=200
    ).run(SAMPLING, **row("good-0"))
    assert one.response_ids == max((a.answer.token_ids for a in server.asked), key=len)


async def test_branches_are_rows_and_what_is_beside_the_agent_is_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def segment(start: int, *spans: tuple[int, int], **more: Any) -> Segment:
        """Ids from `start` on, of which those in spans were sampled."""
        logprobs = [-float(at) for first, last in spans for at in range(first, last)]
        return segment_of(range(start, start + spans[-1][1]), spans, logprobs, **more)

    def turn(number: int, start: int, end: int, version: int, reward: float) -> Turn:
        return Turn(reward, "stop", 0.0, 0.0, number, start, end, versions=(VersionSpan(version, 0, end - start),))

    made = Trajectory(
        "env", "t", 0, 7, reward=1.0, timings={"engine_s": 1.0, "env_s": 1.0, "wall_s": 2.0},
        turns=[turn(0, 2, 5, 4, 0.0), turn(0, 7, 9, 5, 1.0)],
        branches=[turn(number, 3, end, number, 0.0) for number, end in ((1, 5), (2, 8), (3, 9), (4, 9))],
        segments=[
            segment(100, (2, 5), (7, 9)), segment(200, (3, 5)), segment(300, (3, 8), role="auxiliary"),
            segment(400, (3, 9), role="abandoned"), segment(500, (3, 9), delivered=False),
        ],
    )  # fmt: skip
    loop = make_loop(folder, scripted())

    async def run(*_: Any, **__: Any) -> Trajectory:
        return made

    monkeypatch.setattr(loop._episodes, "run", run)
    one = await loop.run(SAMPLING, **row("good-0"))
    several = await loop.run(SAMPLING, **row("good-0"), session_id=0, global_steps=9)
    for outputs, expected, versions in (([one], [100], (4, 5)), (several, [100, 200], (1, 5))):
        assert [output.prompt_ids[0] for output in outputs] == expected
        for output in outputs:
            (was,) = (segment for segment in made.segments if segment.ids[0] == output.prompt_ids[0])
            assert output.prompt_ids + output.response_ids == was.ids.tolist()
            assert [0] * len(output.prompt_ids) + output.response_mask == was.sampled.tolist()
            assert [0.0] * len(output.prompt_ids) + output.response_logprobs == was.logprobs.tolist()
            assert output.reward_score == 1.0
            assert (output.extra_fields["min_global_steps"], output.extra_fields["max_global_steps"]) == versions


async def test_interrupted_replies_count_as_stale(folder: Path) -> None:
    class Resumed(Server):
        async def generate(self, *args: Any, **kwargs: Any) -> Any:
            said = await super().generate(*args, **kwargs)
            first = STEP + len(self.asked)
            said.extra_fields |= {"min_global_steps": first, "max_global_steps": first + 1}
            return said

    server = Resumed(fuzz)
    output = await make_loop(folder, server).run(SAMPLING, **row("good-0"))
    assert output.extra_fields["min_global_steps"] == STEP + 1
    assert output.extra_fields["max_global_steps"] == STEP + len(server.asked) + 1


def test_environments_are_made_once_in_a_process(folder: Path) -> None:
    tokenizer = tiny_tokenizer()
    loops = [make_loop(folder, scripted(), tokenizer=tokenizer) for _ in range(2)]
    other = make_loop(folder, scripted(), tokenizer=tokenizer, settings={"max_turns": 3})
    assert loops[0]._episodes is loops[1]._episodes
    assert loops[0]._episodes is not other._episodes


async def test_a_dataset_of_another_kind(folder: Path) -> None:
    with pytest.raises(ConfigError, match="export verl-data"):
        await make_loop(folder, scripted()).run(SAMPLING, raw_prompt=[], extra_info={"index": 0})


@pytest.mark.parametrize("settings", [{"num_repeats": 4}, {"max_turn": 3}, {"max_turns": 0}])
def test_a_setting_that_makes_no_sense(settings: dict[str, Any], folder: Path) -> None:
    with pytest.raises(ConfigError):
        make_loop(folder, scripted(), settings=settings)


# --- verl's workers, managers and queue ---------------------------------------------------------


def batch_of(folder: Path, repeats: int, tasks: Sequence[str] = (*GOOD, *BAD)) -> DataProto:
    """A batch as verl's trainer makes it, of tasks that go well and tasks that fail."""
    rows = dataset(folder)
    batch = DataProto.from_single_dict(collate_fn([rows[i] | row(task) for i, task in enumerate(tasks)]))
    batch.non_tensor_batch["uid"] = np.array(list(tasks), dtype=object)
    batch.non_tensor_batch["agent_name"] = np.array(["llmgym"] * len(tasks), dtype=object)
    batch = batch.repeat(repeat_times=repeats, interleave=True)
    batch.meta_info = {"validate": False, "global_steps": 1}
    return batch


def check_batch(out: DataProto, uids: Sequence[str], asked: Sequence[Any]) -> None:
    """Check a batch that verl would train on."""
    batch, info = out.batch, out.non_tensor_batch
    assert set(info) >= INFO
    mask, width = batch["response_mask"], batch["responses"].shape[1]
    attended = batch["attention_mask"]
    rewards = batch["rm_scores"]
    for i in range(len(out)):
        if rewards[i].any():
            assert rewards[i].nonzero().tolist() == [[int(attended[i, -width:].sum()) - 1]]
    columns = [[], [], [], [], []]
    for i in range(len(out)):
        prompt, response = attended[i, :-width].bool(), attended[i, -width:].bool()
        scored = not info["llmgym_unscored"][i]
        fields = (
            batch["prompts"][i][prompt].tolist(),
            batch["responses"][i][response].tolist(),
            mask[i][response].tolist(),
            batch["rollout_log_probs"][i][response].tolist(),
            float(rewards[i].sum()) if scored else None,
        )
        for column, value in zip(columns, fields, strict=True):
            column.append(value)
        assert scored == (uids[i] in GOOD)
        assert bool(mask[i].any()) == scored
    rows, recording = rows_of(uids, *columns, asked)
    check(rows, recording)
    assert len(recording.requests) >= sum(uid in GOOD for uid in uids)
    # GRPO: groups by task, nothing trained of what failed.
    advantages, _ = compute_grpo_outcome_advantage(rewards.clone(), mask, index=np.array(uids, dtype=object))
    failed = torch.tensor([uid in BAD for uid in uids])
    assert not advantages[failed].any()
    assert advantages[~failed].any()


async def test_in_a_worker(folder: Path) -> None:
    config, server = configure(folder), Server(fuzz)
    batch = batch_of(folder, repeats=3)
    out = await AgentLoopWorker(config, client(config, server)[0]).generate_sequences(batch)
    assert out.batch["responses"].shape == (24, RESPONSE)
    check_batch(out, list(batch.non_tensor_batch["uid"]), server.asked)
    assert {asked.params["top_p"] for asked in server.asked} == {1.0}


async def test_validation_samples_as_configured_for_it(folder: Path) -> None:
    config, server = configure(folder), Server(fuzz)
    batch = batch_of(folder, repeats=1)
    batch.meta_info["validate"] = True
    await AgentLoopWorker(config, client(config, server)[0]).generate_sequences(batch)
    assert {asked.params["top_p"] for asked in server.asked} == {0.5}
    assert {asked.params["temperature"] for asked in server.asked} == {0}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    variables = {"PYTHONPATH": paths, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    # More processors than there may be: verl's actors ask for one each, and do little.
    ray.init("local", num_cpus=16, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": variables})
    yield
    ray.shutdown()


def test_in_workers_on_ray(folder: Path, cluster: None) -> None:
    config = configure(folder)
    manager_of, server = ray_client(config, fuzz)
    batch = batch_of(folder, repeats=4)
    out = AgentLoopManager.create(config, manager_of).generate_sequences(batch)
    check_batch(out, list(batch.non_tensor_batch["uid"]), ray.get(server.record.remote()))
    assert "agent_loop/generate_sequences/mean" in out.meta_info["timing"]


def test_in_the_transfer_queue(folder: Path, cluster: None) -> None:
    tq = pytest.importorskip("transfer_queue")
    import verl.utils.tensordict_utils as tu
    from verl.trainer.ppo.v1 import AgentLoopManagerTQ

    config = configure(folder, "actor_rollout_ref.rollout.agent.num_workers=1")
    config.transfer_queue.backend.SimpleStorage.num_data_storage_units = 1
    tq.init(config.transfer_queue)
    try:
        _queued(folder, config, tq, tu, AgentLoopManagerTQ)
    finally:
        tq.close()


def _queued(folder: Path, config: Any, tq: Any, tu: Any, manager: Any) -> None:
    tasks = (*GOOD, *BAD)
    rows = dataset(folder)
    batch = collate_fn([rows[i] | row(task) | {"agent_name": "llmgym"} for i, task in enumerate(tasks)])
    batch["uid"] = np.array(list(tasks), dtype=object)
    data = tu.get_tensordict(batch)
    tu.assign_non_tensor_data(data, "global_steps", 9)
    tags = [{"is_prompt": True, "status": "pending", "global_steps": 9}] * len(tasks)
    tq.kv_batch_put(keys=list(tasks), partition_id="train", tags=tags)
    manager_of, server = ray_client(config, fuzz)
    workers = manager.create(config, manager_of)  # Ray ends them with this name
    workers.generate_sequences(data)
    info = _wait(lambda: tq.kv_list(partition_id="train")["train"], len(tasks))
    assert {key for key, tag in info.items() if tag["status"] == "finished"} == set(tasks)
    keys = sorted(key for key, tag in info.items() if tag["status"] == "success")
    assert {key.rpartition("_")[0] for key in keys} == {f"{task}_{i}" for task in tasks for i in range(3)}
    for key in keys:
        setup = key.startswith("setup")  # never sampled: the weights that step 9 samples with
        assert info[key]["min_global_steps"] == info[key]["max_global_steps"] == (8 if setup else STEP)
    got = tq.kv_batch_get(keys=keys, partition_id="train")
    uids = [key.split("_")[0] for key in keys]
    masks, scores = got["response_mask"].unbind(), got["rm_scores"].unbind()
    for mask, score, uid in zip(masks, scores, uids, strict=True):
        assert bool(mask.any()) == (uid in GOOD)
        assert not score[:-1].any()
        assert uid in GOOD or not score.any()
    found, recording = rows_of(
        uids,
        *([t.tolist() for t in got[name].unbind()] for name in ("prompts", "responses")),
        [t.tolist() for t in masks],
        [t.tolist() for t in got["rollout_log_probs"].unbind()],
        [float(score[-1]) if uid in GOOD else None for score, uid in zip(scores, uids, strict=True)],
        ray.get(server.record.remote()),
    )
    check(found, recording)


def _wait(read: Callable[[], dict[str, dict[str, Any]]], prompts: int) -> dict[str, dict[str, Any]]:
    while True:
        info = read()
        if sum(tag.get("status") in ("finished", "failure") for tag in info.values()) == prompts:
            return info
        time.sleep(0.2)


# --- the dataset, verl's own loops and its reward function --------------------------------------


def test_the_dataset_in_verls_loader(folder: Path) -> None:
    rows = dataset(folder)
    assert len(rows) == 8
    first = rows[0]
    assert first["agent_name"] == "llmgym"
    assert first["data_source"] == "test/Talk-v0"
    assert first["raw_prompt"][-1]["content"].startswith("Say ")
    ref = TaskRef.loads(first["tools_kwargs"]["llmgym"])
    assert ref.env.id == TALK
    assert len({rows[i]["extra_info"]["task_id"] for i in range(8)}) == 8


async def test_rows_of_the_dataset_run(folder: Path) -> None:
    rows, server = dataset(folder), Server(fuzz)
    loop = make_loop(folder, server)
    for i in range(4):
        await loop.run(SAMPLING, **rows[i])
        start = len(server.asked)
        opening = tiny_tokenizer().decode(server.asked[start - 1].prompt_ids)
        assert rows[i]["raw_prompt"][-1]["content"] in opening
        assert '"name": "echo"' in opening  # the tools are there, which the dataset does not show


async def test_tools_and_reward_function_in_verls_tool_agent(folder: Path) -> None:
    from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager

    config = configure(
        folder,
        f"actor_rollout_ref.rollout.multi_turn.tool_config_path={folder}/tools.yaml",
        "actor_rollout_ref.rollout.multi_turn.format=hermes",
        "actor_rollout_ref.rollout.agent.default_agent_loop=tool_agent",
    )
    call = '<tool_call>\n{"name": "echo", "arguments": {"text": "a"}}\n</tool_call>'
    bad = '<tool_call>\n{"name": "echo", "arguments": {"word": "a"}}\n</tool_call>'
    tokenizer = tiny_tokenizer()
    left = [call, bad, "well"]

    def sample(prompt_ids: list[int], sampling: Sampling) -> Generation:
        ids = [*tokenizer.encode(left.pop(0)), tokenizer.eos_token_id]
        return Generation(ids, logprobs_of(prompt_ids, ids), "stop")

    class Lenient(Server):
        async def generate(self, prompt_ids: Any, sampling_params: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            given = {"max_tokens": 64, "stop_token_ids": [], **sampling_params}
            return await super().generate(prompt_ids, given, *args, **kwargs)

    worker = AgentLoopWorker(config, client(config, Lenient(lambda: sample))[0])
    batch = batch_of(folder, repeats=1, tasks=["good-0"])
    del batch.non_tensor_batch["agent_name"]
    out = await worker.generate_sequences(batch)
    text = tokenizer.decode(out.batch["responses"][0][out.batch["attention_mask"][0, -RESPONSE:].bool()])
    assert text.count("<tool_response>") == 2
    assert "a" in text.partition("<tool_response>\n")[2][:2]
    assert "invalid arguments for echo" in text
    assert out.non_tensor_batch["tool_rewards"][0] == [0.25, 0.0]
    extras = out.non_tensor_batch["extras"][0]
    assert [m["role"] for m in extras["llmgym"]][-5:] == ["assistant", "tool", "assistant", "tool", "assistant"]

    scorer = load_extern_object("pkg://llmgym.trainers.verl", "compute_score")
    out.non_tensor_batch |= {
        "reward_model": np.array([{"ground_truth": ""}], dtype=object),
        "data_source": np.array(["x"], dtype=object),
        "extra_info": batch.non_tensor_batch["extra_info"],
        "tool_extra_fields": np.array([{"extras": extras}], dtype=object),
    }
    result = await NaiveRewardManager(config, tokenizer, scorer).run_single(out)
    # The whole conversation is judged: 0.25 for the call that worked, 0.125 for talking, 2 for two calls.
    assert result["reward_score"] == 2.375
    assert result["reward_extra_info"]["llmgym_unscored"] == 0.0


# --- the example --------------------------------------------------------------------------------


def leaves(config: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{name}.")
        else:
            yield path + name


async def test_the_example_is_a_configuration_of_this_verl(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = ROOT / "examples/verl"
    written = yaml.safe_load((example / "config.yaml").read_text())
    del written["hydra"], written["defaults"]
    known = configure(folder)
    missing = object()
    for name in leaves(written):
        assert OmegaConf.select(known, name, default=missing) is not missing, f"verl has no {name}"
    monkeypatch.chdir(folder)
    (folder / "data").mkdir()
    (folder / "data/agent_loop.yaml").write_text(adapter.agent_loop_config(max_output_tokens=24))
    with initialize_config_dir(str(example), version_base=None):
        config = compose("config", overrides=[f"actor_rollout_ref.model.path={folder}"])
    assert config.trainer.use_v1  # verl's default is underneath
    batch = batch_of(folder, repeats=2, tasks=GOOD)
    del batch.non_tensor_batch["agent_name"]  # the configuration has a default
    out = await AgentLoopWorker(config, client(config, Server(fuzz))[0]).generate_sequences(batch)
    assert out.batch["responses"].shape == (8, 3072)
    assert out.batch["response_mask"].any(dim=1).all()
