"""Every consumer of episodes that branch trains each token that is to be trained, once, and no other."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmgym.advantages import estimate
from llmgym.batch import TokenBatch
from llmgym.data.shapes import atif
from llmgym.errors import PolicyError
from llmgym.messages import user
from llmgym.records import dump_row, load_row
from llmgym.rollout import Group, GroupFilter, batches
from llmgym.trajectory import Trajectory
from tests.branches import due, episodes, groups, masked, sampled_in, total

tried = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def runner() -> Iterator[Any]:
    """The episodes of the trainers' adapters, which make rows."""
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    from llmgym.trainers.common import Episodes
    from tests.trainers.tiny import tiny_tokenizer

    made = Episodes(tiny_tokenizer())
    yield made
    made.close()


# --- the record -----------------------------------------------------------------------------------


@tried
@given(episodes())
def test_each_token_is_sampled_in_one_segment(made: Trajectory) -> None:
    everything = Counter(sampled_in(made, range(len(made.segments))))
    assert set(everything.values()) <= {1}
    assert everything.total() == made.sampled_tokens
    for reply in made.replies:
        assert made.segments[reply.segment].sampled[reply.start : reply.end].all()
    rewards = made.token_rewards()
    if made.trained:
        where = [one for one, segment in zip(rewards, made.segments, strict=True) if segment.trained]
        assert sum(map(np.sum, where)) == made.reward
    if made.turns:
        assert all(turn.segment < len(made.segments) for turn in made.turns)
        said = [m for m in made.messages[made.opening :] if m["role"] == "assistant"]
        assert len(said) == len(made.turns)


@tried
@given(episodes())
def test_rows_and_other_forms_keep_it(made: Trajectory) -> None:
    line = dump_row(made)
    assert dump_row(load_row(line)) == line
    assert due(load_row(line)) == due(made)
    document = atif.dump(line.rstrip())
    assert atif.row_of(document) == line.rstrip()
    steps = json.loads(document)["steps"]
    assert atif.conversation_of(steps) == made.messages
    said = Counter(i for step in steps for i in step.get("metrics", {}).get("completion_token_ids", ()))
    assert said == Counter(
        int(i) for turn in made.turns for i in made.segments[turn.segment].ids[turn.start : turn.end]
    )


@tried
@given(episodes())
def test_quality_is_measured_of_what_is_trained(made: Trajectory) -> None:
    pytest.importorskip("duckdb")
    from llmgym.data.quality.excerpts import excerpt
    from llmgym.data.quality.measures import measures
    from llmgym.data.shapes import rollouts

    found = measures(excerpt(rollouts, dump_row(made), "here"), "")
    assert found["capture_mismatch"] is None
    trained = [value for one in made.segments if one.trained for value in one.logprobs[one.sampled]]
    assert found.get("mean_logprob") == (pytest.approx(np.mean(trained)) if trained else None)
    if trained:
        assert found["turn_tokens"] == [turn.end - turn.start for turn in made.turns]


def test_parquet_keeps_it(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    import pyarrow.parquet as pq

    from llmgym.data import Dataset
    from llmgym.data.converting import convert, restore

    @settings(max_examples=15)
    @given(groups())
    def check(made: list[Trajectory]) -> None:
        lines = [dump_row(one) for one in made]
        (tmp_path / "rows.jsonl").write_bytes(b"".join(lines))
        convert(Dataset.open([tmp_path / "rows.jsonl"]), tmp_path / "rows.parquet", force=True)
        assert "segments" not in str(pq.read_table(tmp_path / "rows.parquet")["rest"].to_pylist())
        restore([tmp_path / "rows.parquet"], tmp_path / "back.jsonl", force=True)
        assert (tmp_path / "back.jsonl").read_bytes() == b"".join(lines)

    check()


def test_runs_are_compared_by_the_agents_turns_and_all_that_was_sampled(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    from llmgym.data import Dataset
    from llmgym.data.comparison import compare
    from tests.data.rows import run_of

    @settings(max_examples=15)
    @given(st.tuples(groups(), groups()))
    def check(runs: Sequence[list[Trajectory]]) -> None:
        folders = [run_of(tmp_path / str(n), map(dump_row, made)) for n, made in enumerate(runs)]
        (contrast,) = compare(Dataset.open(folders)).contrasts
        found = {measure.name: (measure.first, measure.second) for measure in contrast.measures}
        scored = [[[t for t in made if t.task_id == task and t.reward is not None] for task in "ab"] for made in runs]
        both = [at for at in range(2) if scored[0][at] and scored[1][at]]
        assert contrast.tasks == len(both)
        for name, value in {"turns": lambda t: len(t.turns), "tokens": lambda t: t.sampled_tokens}.items():
            means = [[np.mean([value(t) for t in made[at]]) for at in both] for made in scored]
            if name in found:
                assert found[name] == pytest.approx([np.mean(each) for each in means])
            else:
                assert not both or not np.all(means)

    check()


# --- batches --------------------------------------------------------------------------------------


@tried
@given(groups())
def test_batches_train_it_once(made: list[Trajectory]) -> None:
    if not any(one.trained for one in made):
        with pytest.raises(ValueError, match="no trajectory to train on"):
            TokenBatch.of(made)
        return
    batch = TokenBatch.of(made)
    trained = Counter(batch.completion_ids[batch.loss_mask].tolist())
    assert trained == total(map(due, made))
    assert (batch.policy_versions[batch.loss_mask] == 3).all()
    assert not batch.loss_mask[~batch.attention_mask[:, batch.prompt_ids.shape[1] :]].any()
    kept = [one for one in made if one.trained]
    for number, one in enumerate(kept):
        assert batch.rewards[batch.episode_ids == number].sum() == one.reward
    # Advantages are those of the episodes, whatever rows these have.
    rewards, tasks = [one.reward or 0.0 for one in kept], [one.task_id for one in kept]
    for estimator in ("grpo", "dr_grpo", "rloo"):
        names = np.unique(tasks, return_inverse=True)[1]
        once = estimate(estimator, rewards, names, range(len(kept)), np.ones(len(kept)))
        assert batch.advantages(estimator).tolist() == once[batch.episode_ids].tolist()


@tried
@given(groups())
def test_filtered_groups_train_it_once(made: list[Trajectory]) -> None:
    by_task = [[one for one in made if one.task_id == task] for task in "ab"]

    async def stream() -> AsyncIterator[Group]:
        for members in by_task:
            yield Group(members[0].group_id, members)

    async def trained() -> list[int]:
        keep = GroupFilter(drop_equal=True, max_staleness=0)
        found = [batch async for batch in batches(stream(), 1, keep=keep)]
        assert keep.stale == 0
        return [i for batch in found for i in batch.completion_ids[batch.loss_mask].tolist()]

    worth = [group for group in by_task if len({one.reward for one in group if one.trained}) > 1]
    assert Counter(asyncio.run(trained())) == total(due(one) for group in worth for one in group)


# --- trainers -------------------------------------------------------------------------------------


def trained_by(rows: Iterable[Any]) -> Counter[int]:
    """What rows of the adapters train."""
    return Counter(i for row in rows for i in masked(row.completion_ids, row.loss_mask))


@tried
@given(made=groups())
def test_adapters_with_a_row_for_each_segment_train_it_once(runner: Any, made: list[Trajectory]) -> None:
    for one in made:
        rows = runner.samples(one)
        assert trained_by(rows) == due(one)
        assert len({row.segment for row in rows}) == len(rows)
        if one.trained:
            assert sum(sum(row.rewards) for row in rows) == one.reward
            assert all(row.completion_ids and row.prompt_ids and row.loss_mask[-1] for row in rows)


@tried
@given(made=groups())
def test_adapters_with_a_row_for_each_episode_train_one_segment_once(runner: Any, made: list[Trajectory]) -> None:
    from llmgym.trainers import nemo_rl
    from llmgym.trainers.nemo_gym import record
    from tests.trainers.nemo_rl_contract import message_log_of

    for one in made:
        row = runner.sample(one)
        trained = masked(row.completion_ids, row.loss_mask)
        if one.trained:
            assert row.segment is not None
            assert trained == sampled_in(one, [row.segment])
            assert sum(row.rewards) == one.reward
            assert len(trained) == max(len(sampled_in(one, [at])) for at, s in enumerate(one.segments) if s.trained)
        else:
            assert not trained
        reward = one.reward or 0.0
        said = record({"responses_create_params": {"input": [{}]}}, row, reward, "m")
        own = nemo_rl.message_log(row, Texts())
        assert said["mask_sample"] == said["instance_config"]["mask_sample"] == (not trained)
        for log in (message_log_of(said), own):
            found = [int(i) for part in log if "generation_logprobs" in part for i in part["token_ids"]]
            assert said["mask_sample"] or found == trained
            whole = [int(i) for part in log for i in part["token_ids"]]
            assert whole == row.prompt_ids + row.completion_ids


class Texts:
    """A tokenizer for which texts do not matter."""

    def decode(self, ids: Any) -> str:
        return str(list(ids))


@tried
@given(made=groups())
def test_skyrl_trains_it_once(runner: Any, made: list[Trajectory]) -> None:
    pytest.importorskip("skyrl_gym")
    from llmgym.trainers.skyrl import to_generator_output

    for step_wise in (True, False):
        output = to_generator_output(made, runner, list(range(len(made))), step_wise=step_wise)
        pairs = zip(output["response_ids"], output["loss_masks"], strict=True)
        trained = Counter(i for ids, mask in pairs for i in masked(ids, mask))
        wanted = total(map(due, made)) if step_wise else total(trained_by([runner.sample(one)]) for one in made)
        assert trained == wanted
        for number, one in enumerate(made):
            rows = zip(output["trajectory_ids"], output["rewards"], strict=True)
            assert one.reward is None or sum(sum(rewards) for at, rewards in rows if at == number) == one.reward
        if step_wise:
            last = [at for at, ends in zip(output["trajectory_ids"], output["is_last_step"], strict=True) if ends]
            assert last == list(range(len(made)))


@tried
@given(made=groups())
def test_openrlhf_trains_one_segment_once(runner: Any, made: list[Trajectory]) -> None:
    module = pytest.importorskip("llmgym.trainers.openrlhf", exc_type=ImportError)
    from llmgym.rollout.config import EnvConfig
    from llmgym.trainers.common import TaskRef
    from tests.trainers.test_openrlhf import Params

    class Played(type(runner)):  # type: ignore[misc]
        """Gives episodes that have been played."""

        def __init__(self) -> None:
            self.__dict__.update(runner.__dict__)
            self.rest = iter(made)

        async def run(self, *_: Any, **__: Any) -> Trajectory:
            return next(self.rest)

    async def execute() -> list[dict[str, Any]]:
        executor = module.AgentExecutor()
        executor._episodes = Played()
        label = TaskRef(EnvConfig("env"), "t", 0).dumps()
        return [await executor.execute("", label, Params(), 4096, None, None) for _ in made]

    for one, row in zip(made, asyncio.run(execute()), strict=True):
        ids = row["observation_tokens"]
        trained = [i for start, end in row["action_ranges"] for i in ids[start:end]]
        assert trained == (masked(runner.sample(one).completion_ids, runner.sample(one).loss_mask))
        assert len(row["rollout_log_probs"]) == len(ids)


@tried
@given(made=groups())
def test_trl_trains_it_once_with_the_advantage_of_the_episode(runner: Any, made: list[Trajectory]) -> None:
    worker = pytest.importorskip("llmgym.trainers.trl.worker", exc_type=ImportError)
    pytest.importorskip("trl.experimental.async_grpo.async_rollout_worker")
    supply = object.__new__(worker.RolloutWorker)
    supply._episodes = runner
    members = [one for one in made if one.task_id == "a"]
    rows = list(supply._rows(members, 0, 0))
    trained = Counter(i for row in rows for i in masked(row.input_ids, row.completion_mask))
    assert trained == total(map(due, members))
    rewards = [one.reward for one in members if one.reward is not None]
    for row in rows:
        expected = (row.metrics["reward"] - np.mean(rewards)) / (np.std(rewards) + 1e-8)
        assert row.advantage == pytest.approx(expected)


@tried
@given(made=groups())
def test_trls_rollouts_train_one_segment_once(runner: Any, made: list[Trajectory]) -> None:
    pytest.importorskip("trl")
    from llmgym.rollout.config import EnvConfig
    from llmgym.trainers.common import TaskRef
    from llmgym.trainers.trl import sampling, spec
    from llmgym.trainers.trl.prompts import prompt_of

    trainer: Any = SimpleNamespace(
        args=SimpleNamespace(seed=0), accelerator=SimpleNamespace(process_index=0),
        state=SimpleNamespace(global_step=0), mask_truncated_completions=False,
    )  # fmt: skip
    described: Any = spec(["llmgym/Calculator-v0"])
    described._trained = trainer, runner
    prompts = [prompt_of([user("go")], TaskRef(EnvConfig("env"), one.task_id, 0)) for one in made]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "sample", lambda *_: [[one] for one in made])
        if all(one.status == "policy_error" for one in made):
            with pytest.raises(PolicyError, match="no episode of the batch"):
                described.rollout_func(prompts, trainer)
            return
        found = described.rollout_func(prompts, trainer)
    assert found["episodes"] == made
    for number, one in enumerate(made):
        prompt, ids, mask, logprobs = (
            found[name][number] for name in ("prompt_ids", "completion_ids", "env_mask", "logprobs")
        )
        assert len(ids) == len(mask) == len(logprobs)
        trained = masked(ids, mask)
        assert not Counter(trained) - due(one)
        assert bool(trained) == one.trained
        whole = [segment.ids[: len(prompt) + len(ids)].tolist() for segment in one.segments if segment.trained]
        assert not trained or [*prompt, *ids] in whole
    assert described.episode_reward(prompts, [], log_metric=lambda *_: None, episodes=made) == [
        one.reward for one in made
    ]


# --- exports --------------------------------------------------------------------------------------


@tried
@given(groups())
def test_exports_of_tokens_train_it_once(made: list[Trajectory]) -> None:
    pytest.importorskip("duckdb")
    from llmgym.data.export import transform_rollouts

    rows = [json.loads(dump_row(one)) for one in made]
    kept = [one for one in made if one.finished]
    wanted = total(Counter(sampled_in(one, (at for at, s in enumerate(one.segments) if s.trained))) for one in kept)
    labels = transform_rollouts(rows, "trl", "sft")
    assert Counter(int(i) for row in labels for i in row["labels"] if i != -100) == wanted
    masks = transform_rollouts(rows, "verl", "sft")
    assert Counter(i for row in masks for i in masked(row["input_ids"], row["loss_mask"])) == wanted


@tried
@given(groups())
def test_exports_of_messages_have_the_agents_conversation_once(made: list[Trajectory]) -> None:
    pytest.importorskip("duckdb")
    from llmgym.data.export import transform_rollouts

    rows = [json.loads(dump_row(one)) for one in made]
    talked = {one.id: said_in(one) for one in made if said_in(one)}
    found = transform_rollouts(rows, "trl", "sft", form="messages")
    assert {row["id"] for row in found} == talked.keys()
    for row in found:
        replies = [m["content"] for m in row["messages"] if m["role"] == "assistant"]
        assert replies[-len(talked[row["id"]]) :] == talked[row["id"]]
    replies = transform_rollouts(rows, "trl", "kto")
    assert Counter(row["completion"][0]["content"] for row in replies) == Counter(
        text for one in made if one.reward is not None for text in said_in(one)
    )
    for row in transform_rollouts(rows, "trl", "grpo"):
        assert [message["content"] for message in row["prompt"]] == ["Be brief.", f"spell {row['task_id']}"]
        scored = [one.reward for one in made if one.task_id == row["task_id"] and one.reward is not None]
        assert row["episodes"] == len(scored)


@pytest.mark.parametrize("kind", ["dpo", "reward-model"])
def test_exports_of_pairs_compare_the_agents_conversations(kind: Any) -> None:
    pytest.importorskip("duckdb")
    from llmgym.data.export import transform_rollouts

    compared = 0

    @given(groups())
    def check(made: list[Trajectory]) -> None:
        nonlocal compared
        for one in made:
            if one.turns:
                one.reward = one.turns[-1].reward = float(one.repeat % 2)
        episode_of = {one.id: one for one in made}
        for row in transform_rollouts([json.loads(dump_row(one)) for one in made], "trl", kind):
            compared += 1
            sides = {name: episode_of[row[f"{name}_id"]] for name in ("chosen", "rejected")}
            assert (sides["chosen"].reward or 0) > (sides["rejected"].reward or 0)
            for name, one in sides.items():
                conversation = [message["content"] for message in (*row["prompt"], *row[name])]
                end = len(conversation)
                assert conversation == [message["content"] for message in one.messages[:end]]
                said = [m["content"] for m in one.messages[one.opening : end] if m["role"] == "assistant"]
                if kind == "dpo":
                    (completion,) = row[name]
                    assert (completion["role"], completion["content"]) == ("assistant", said[-1])
                else:
                    assert (len(row["prompt"]), said) == (one.opening, said_in(one))
                assert all(
                    one.segments[turn.segment].trained for turn in one.turns[: len(said)] if turn.end > turn.start
                )

    check()
    assert compared, "no two episodes were compared"


def said_in(made: Trajectory) -> Sequence[str]:
    """What the agent's conversation has of the policy."""
    return [m["content"] for m in made.messages[made.opening :] if m["role"] == "assistant"]
