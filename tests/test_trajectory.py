"""Segments and their rewards; who a trajectory belongs to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.policies.base import Generation
from llmgym.rewards import Part
from llmgym.trajectory import SegmentBuilder, Trajectory, parts_of, segment_of


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=6))
def test_a_built_segment_is_what_was_put_in(parts: list[tuple[int, int]]) -> None:
    builder = SegmentBuilder([1, 2, 3])
    ids, sampled, logprobs, end = [1, 2, 3], [False] * 3, [0.0] * 3, 3
    for own, other in parts:
        builder.add_sampled(Generation([7] * own, [-1.5] * own, "stop"))
        ids, sampled, logprobs = ids + [7] * own, sampled + [True] * own, logprobs + [-1.5] * own
        end = len(ids)
        builder.add_context([8] * other)
        ids, sampled, logprobs = ids + [8] * other, sampled + [False] * other, logprobs + [0.0] * other
    segment = builder.build()
    assert segment.ids.tolist() == ids[:end]
    assert segment.sampled.tolist() == sampled[:end]
    assert segment.logprobs.tolist() == logprobs[:end]
    assert (segment.role, segment.delivered, segment.messages) == ("agent", True, None)


def test_a_segment_refuses_log_probabilities_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="cannot assign"):
        segment_of([1, 2, 3], [(1, 3)], [-1.0, -1.0, -1.0])


@given(st.lists(st.booleans(), max_size=12))
def test_spans_are_the_runs_of_sampled_tokens(sampled: list[bool]) -> None:
    spans = [(i, i + 1) for i, own in enumerate(sampled) if own]
    made = segment_of(range(len(sampled)), spans, [-1.0] * len(spans))
    again = segment_of(range(len(sampled)), made.spans, [-1.0] * len(spans))
    np.testing.assert_array_equal(again.sampled, sampled)
    assert all(start < end for start, end in made.spans)
    assert all(one[1] < other[0] for one, other in zip(made.spans, made.spans[1:], strict=False))


def test_an_id_names_the_agent_where_there_are_several() -> None:
    alone = Trajectory("llmgym/X-v0", "t", 2, 1)
    assert alone.id == alone.episode_id == "llmgym/X-v0/t/2"
    one = Trajectory("llmgym/X-v0", "t", 2, 1, agent="white", agents=2)
    assert (one.id, one.episode_id, one.group_id) == ("llmgym/X-v0/t/2/white", "llmgym/X-v0/t/2", "llmgym/X-v0/t")


def test_parts_have_their_weights_where_the_environment_names_them() -> None:
    info = {"reward_parts": {"correct": 1.0, "format": 0.5, "judge": None}, "reward_weights": {"format": 0.1}}
    assert parts_of(info) == {"correct": Part(1.0), "format": Part(0.5, 0.1), "judge": Part(None)}
    assert parts_of({}) == {}
