"""Token batches."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.advantages import Estimator
from llmgym.batch import TokenBatch
from llmgym.policies import VersionSpan
from llmgym.trajectory import Trajectory, Turn, segment_of


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    """Episodes with a few segments, each of a prompt and a few replies with context between them."""
    segments, turns = [], []
    for number in range(draw(st.integers(1, 2))):
        ids = draw(st.lists(st.integers(1, 999), min_size=1, max_size=6))
        spans: list[tuple[int, int]] = []
        for _ in range(draw(st.integers(1, 3))):
            start = len(ids)
            ids += draw(st.lists(st.integers(1, 999), min_size=1, max_size=5))
            spans.append((start, len(ids)))
            size = len(ids) - start
            versions = draw(st.sampled_from([(), (VersionSpan(3, 0, 1), VersionSpan(4, 1, size))]))
            reward = draw(st.sampled_from([0.0, 0.5, 1.0]))
            turns.append(Turn(reward, "stop", 0.0, 0.0, number, start, len(ids), versions=versions))
            ids += draw(st.lists(st.integers(1, 999), min_size=1, max_size=3))
        ids = ids[: spans[-1][1]]
        count = sum(end - start for start, end in spans)
        segments.append(segment_of(ids, spans, [-float(i + 1) for i in range(count)]))
    task = draw(st.sampled_from("ab"))
    made = Trajectory("env", task, draw(st.integers(0, 99)), 0, turns=turns, segments=segments)
    made.reward = sum(turn.reward or 0.0 for turn in turns)
    return made


@given(st.lists(trajectories(), min_size=1, max_size=4))
def test_every_token_is_where_it_belongs(given: list[Trajectory]) -> None:
    batch = TokenBatch.of(given, pad_id=7)
    rows = [(t, number, s) for t in given for number, s in enumerate(t.segments)]
    assert len(batch) == len(rows)
    for i, (trajectory, number, segment) in enumerate(rows):
        real = batch.attention_mask[i]
        assert batch.input_ids[i][real].tolist() == segment.ids.tolist()
        assert (batch.input_ids[i][~real] == 7).all()
        start = int(np.argmax(segment.sampled))
        length = len(segment.ids) - start
        assert batch.loss_mask[i][:length].tolist() == segment.sampled[start:].tolist()
        assert not batch.loss_mask[i][length:].any()
        assert batch.logprobs[i][:length].tolist() == segment.logprobs[start:].tolist()
        turns = [turn for turn in trajectory.turns if turn.segment == number]
        assert batch.rewards[i].sum() == sum(turn.reward or 0.0 for turn in turns)
        assert ((batch.policy_versions[i] >= 0) == batch.loss_mask[i]).all()
        for turn in turns:
            assert batch.rewards[i][turn.end - start - 1] == turn.reward
            for span in turn.versions:
                at = turn.start - start
                assert (batch.policy_versions[i][at + span.start : at + span.end] == span.version).all()
    for episode, trajectory in enumerate(given):
        assert batch.rewards[batch.episode_ids == episode].sum() == pytest.approx(trajectory.reward)
    assert len(set(batch.group_ids.tolist())) == len({t.group_id for t in given})


def episode(task: str, repeat: int, reward: float | None, segments: int = 1) -> Trajectory:
    made = Trajectory("env", task, repeat, 0, reward=reward)
    made.segments = [segment_of([1, 2, 3], [(1, 3)], [-1.0, -1.0]) for _ in range(segments)]
    made.turns = [Turn(reward, "stop", 0.0, 0.0, number, 1, 3) for number in range(segments)]
    return made


def test_advantages_compare_an_episode_with_its_group() -> None:
    batch = TokenBatch.of(
        [episode("a", 0, 1.0, segments=2), episode("a", 1, 0.0), episode("b", 0, 5.0), episode("b", 1, 5.0)]
    )
    assert batch.advantages("dr_grpo").tolist() == [0.5, 0.5, -0.5, 0.0, 0.0]
    assert batch.advantages("rloo").tolist() == [1.0, 1.0, -1.0, 0.0, 0.0]
    deviation = np.std([1.0, 0.0], ddof=1)
    assert batch.advantages().tolist() == pytest.approx([0.5 / deviation, 0.5 / deviation, -0.5 / deviation, 0.0, 0.0])
    tokens = np.repeat([1.0, 1.0, 0.0, 5.0, 5.0], 2)  # each row has two
    expected = ([1.0, 1.0, 0.0, 5.0, 5.0] - tokens.mean()) / tokens.std()
    assert batch.advantages("reinforce++").tolist() == pytest.approx(expected.tolist())


def test_the_reward_of_an_empty_reply_is_not_lost() -> None:
    inside, alone, first = (episode("a", repeat, 1.0) for repeat in range(3))
    inside.turns.append(Turn(0.5, "length", 0.0, 0.0, 0, 3, 3))
    alone.segments.append(segment_of([1, 2], [], []))
    alone.turns.append(Turn(0.5, "length", 0.0, 0.0, 1, 2, 2))
    first.turns.insert(0, Turn(0.5, "length", 0.0, 0.0, 0, 1, 1))
    batch = TokenBatch.of([inside, alone, first])
    assert batch.rewards.tolist() == [[0.0, 1.5], [0.0, 1.5], [0.5, 1.0]]


def test_unscored_episodes_and_those_without_tokens_are_left_out() -> None:
    empty = Trajectory("env", "a", 3, 0, reward=1.0)
    batch = TokenBatch.of([episode("a", 0, None), episode("a", 1, 0.0), empty])
    assert len(batch) == 1
    with pytest.raises(ValueError, match="no trajectory to train on has both"):
        TokenBatch.of([empty, episode("a", 0, None)])


def test_torch_holds_the_same() -> None:
    torch: Any = pytest.importorskip("torch")
    batch = TokenBatch.of([episode("a", 0, 1.0), episode("a", 1, 0.0)])
    tensors = batch.to_torch()
    assert tensors.loss_mask.dtype == torch.bool
    assert tensors.completion_ids.dtype == torch.int64
    assert tensors.input_ids.tolist() == batch.input_ids.tolist()
    for estimator in get_args(Estimator):
        assert tensors.advantages(estimator).tolist() == batch.advantages(estimator).tolist()


@given(st.lists(trajectories(), min_size=2, max_size=5))
def test_rows_can_be_taken_for_micro_batches(given: list[Trajectory]) -> None:
    batch = TokenBatch.of(given)
    order = np.arange(len(batch))[::-1]
    for rows in (slice(0, 1), order, batch.episode_ids == batch.episode_ids[0]):
        part = batch[rows]
        assert len(part) == len(order[rows])
        assert (part.input_ids == batch.input_ids[rows]).all()
        assert (part.advantages("dr_grpo").shape, part.rewards.sum()) == ((len(part),), batch.rewards[rows].sum())
