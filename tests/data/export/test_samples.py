"""What is trained on of episodes, and what is left out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("duckdb")

from llmgym.data.export.losses import LeftOut, Losses
from llmgym.data.export.pairs import pairs_of
from llmgym.data.export.recipe import Recipe
from llmgym.data.export.samples import Sample, chat, of_episode, of_pair
from llmgym.messages import assistant, tool_call, user
from llmgym.trajectory import Compaction, Segment, Trajectory
from tests import records
from tests.data.rows import episode

SFT = Recipe("sft", "trl", form="messages")
DPO = Recipe("dpo", "trl")


def samples(made: Trajectory, recipe: Recipe) -> tuple[list[Sample], list[dict[str, Any]]]:
    losses = Losses()
    return list(of_episode(made, recipe, losses)), losses.report()


def result(call_id: str, content: str = "no") -> Any:
    return {"role": "tool", "tool_call_id": call_id, "name": "look", "content": content}


def look(call_id: str, text: str = '{"at": 1}') -> Any:
    return assistant("", tool_call("look", text, call_id))


def talk(*messages: Any, reward: float = 1.0, **more: Any) -> Trajectory:
    return episode(reward=reward, messages=[user("say a"), *messages], segments=[], **more)


def test_arguments_become_objects_and_what_no_reply_follows_is_cut_off() -> None:
    made = talk(look("1"), result("1"), assistant("yes"), user("Thanks, that is all."))
    ((sample,), lost) = samples(made, SFT)
    assert not lost
    assert sample.prompt == [{"role": "user", "content": "say a"}]
    assert sample.completion[0]["tool_calls"][0]["function"] == {"name": "look", "arguments": {"at": 1}}
    assert sample.completion[-1] == {"role": "assistant", "content": "yes"}
    assert made.messages[1]["tool_calls"][0]["function"]["arguments"] == '{"at": 1}'  # the episode stays as it was


@pytest.mark.parametrize("text", ["{bad json", "[1]", "null", '{"a": NaN}', "", "[" * 100_000])
def test_malformed_calls_are_dropped_or_text(text: str) -> None:
    made = talk(assistant("So.", tool_call("look", at=1), tool_call("look", text)), assistant("yes"))
    kept, lost = samples(made, SFT)
    assert not kept
    assert "a call is malformed" in lost[0]["reason"]
    said = chat(made.messages, "text")[1]
    assert [call["function"]["arguments"] for call in said["tool_calls"]] == [{"at": 1}]
    assert said["content"] == f'So.\n<tool_call>\n{{"name": "look", "arguments": {text}}}\n</tool_call>'


def test_a_call_without_a_name_is_the_text_that_was_written() -> None:
    (said,) = chat([assistant("", tool_call("", "{bad"))], "text")
    assert said == {"role": "assistant", "content": "<tool_call>\n{bad\n</tool_call>"}


def test_tokens_are_labelled_where_they_were_sampled_in_every_context() -> None:
    first = episode(turns=2)
    title = dataclasses.replace(first.segments[0], role="title")
    empty = Segment(np.arange(3, dtype=np.int32), np.zeros(3, np.bool_), np.zeros(3, np.float32))
    made = dataclasses.replace(first, segments=[first.segments[0], title, empty, first.segments[0]])
    found, lost = samples(made, Recipe("sft", "trl"))
    assert [sample.length for sample in found] == [len(first.segments[0].ids)] * 2
    assert {one["reason"]: one["count"] for one in lost} == {
        "a context beside the agent's own": 1, "a context in which nothing was sampled": 1,
    }  # fmt: skip


def test_what_has_no_tokens_or_failed_is_left_out() -> None:
    assert samples(talk(assistant("a")), Recipe("sft", "verl"))[1][0]["reason"].startswith("no tokens were recorded")
    assert samples(episode(status="env_error"), SFT)[1][0]["reason"] == "the episode failed"
    assert samples(talk(user("hm")), SFT)[1][0]["reason"] == "the policy said nothing"


def test_a_compacted_conversation_is_no_conversation_but_its_replies_have_contexts() -> None:
    made = talk(
        look("1"), result("1", "x" * 100), look("2"), result("2"), assistant("yes"),
        compactions=[Compaction(turn=2, start=3, cleared=0, note="Earlier: looked.")],
    )  # fmt: skip
    assert "compacted" in samples(made, SFT)[1][0]["reason"]
    replies, lost = samples(made, Recipe("kto", "trl"))
    assert not lost
    assert [len(sample.prompt) for sample in replies] == [1, 3, 3]
    assert replies[2].prompt[0]["content"] == "say a\n\nEarlier: looked."
    (last,), _ = samples(made, Recipe("kto", "trl", turns="last"))
    assert last == replies[2]


def test_replies_are_desirable_by_the_reward_of_the_episode() -> None:
    for reward, threshold, desirable in ((1.0, 1.0, True), (0.5, 1.0, False), (0.5, 0.5, True)):
        (sample,), _ = samples(talk(assistant("a"), reward=reward), Recipe("kto", "trl", threshold=threshold))
        assert sample.desirable is desirable
    assert samples(talk(assistant("a"), reward=None), Recipe("kto", "trl"))[1][0]["reason"] == "unscored"  # type: ignore[arg-type]


def test_pairs_part_at_the_first_reply_that_differs_whatever_the_ids_of_calls() -> None:
    better = talk(look("call-1"), result("call-1"), assistant("yes"))
    worse = talk(look("call-9"), result("call-9"), assistant("no"), user("Wrong."), assistant("yes"), reward=0.0)
    sample = of_pair(better, worse, DPO)
    assert [message["role"] for message in sample.prompt] == ["user", "assistant", "tool"]
    assert sample.completion == [{"role": "assistant", "content": "yes"}]
    assert sample.rejected == [{"role": "assistant", "content": "no"}]
    whole = of_pair(better, worse, Recipe("reward-model", "trl"))
    assert [len(part) for part in (whole.prompt, whole.completion, whole.rejected)] == [1, 3, 5]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ([look("9"), result("9"), assistant("yes")], "are the same"),
        ([look("9"), result("9")], "one the start of the other"),
        ([look("9"), result("9", "other"), assistant("no")], "the environment answered"),
        ([look("9", "{bad"), result("9"), assistant("no")], "malformed"),
    ],
)
def test_what_cannot_be_compared_is_no_pair(other: list[Any], reason: str) -> None:
    better = talk(look("1"), result("1"), assistant("yes"))
    with pytest.raises(LeftOut, match=reason):
        of_pair(better, talk(*other, reward=0.0), DPO)


def test_episodes_whose_task_or_context_differs_are_no_pair() -> None:
    better = talk(look("1"), result("1"), assistant("yes"))
    other = talk(look("1"), result("1"), assistant("no"), reward=0.0)
    other.messages[0] = user("say b")
    with pytest.raises(LeftOut, match="begin otherwise"):
        of_pair(better, other, DPO)
    compacted = talk(look("1"), result("1"), assistant("no"), reward=0.0, compactions=[Compaction(1, 3, 0, "Shorter.")])
    with pytest.raises(LeftOut, match="compacted otherwise"):
        of_pair(better, compacted, DPO)


rewards = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=8)


@given(rewards, st.sampled_from([0.0, 0.25, 0.6]))
def test_pairs_are_all_that_are_far_enough_apart(earned: list[float], difference: float) -> None:
    found = list(pairs_of(earned, difference))
    least = max(difference, 0.01)
    every = {(i, j) for i, a in enumerate(earned) for j, b in enumerate(earned) if a - b >= least}
    assert len(found) == len(set(found))
    assert set(found) == every
    if found:
        assert earned[found[0][0]] - earned[found[0][1]] == max(earned) - min(earned)


@given(records.trajectories())
def test_no_episode_breaks_an_export(made: Trajectory) -> None:
    made.tools = []
    for recipe in (SFT, Recipe("sft", "trl"), Recipe("kto", "trl"), Recipe("grpo", "generic")):
        found, lost = samples(made, recipe)
        assert found or lost or recipe.tokens
        for sample in found:
            assert sample.segment is not None or sample.completion[-1]["role"] == "assistant"
