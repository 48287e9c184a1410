"""Episodes for trainers that speak text: rewards, stand-ins for them, and environments that are given back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmgym.errors import ConfigError, TaskError
from llmgym.messages import assistant, tool_call
from llmgym.rollout.config import EnvConfig
from llmgym.trainers import siblings
from llmgym.trainers.common import TaskRef
from llmgym.trainers.siblings import StandIns
from llmgym.trainers.text import TextEpisode, TextEpisodes, TextStep
from tests.rollouts import PLAIN

SHOUT = assistant("", tool_call("shout", letter="a"))


def ref(task_id: str = "a", **kwargs: Any) -> TaskRef:
    return TaskRef(EnvConfig(PLAIN, kwargs), task_id, 5)


async def play(episodes: TextEpisodes, *said: Any, fault: str = "", task_id: str = "a") -> TextEpisode:
    episode = await episodes.open(ref(task_id))
    env: Any = episode._driver._env
    env.faults = {task_id: fault} if fault else {}
    for message in said:
        await episode.step(message)
    return episode


async def test_a_step_has_what_is_new_its_reward_and_whether_it_is_the_last() -> None:
    episode = await TextEpisodes().open(ref())
    assert [message["role"] for message in episode.messages] == ["system", "user"]
    assert [tool["function"]["name"] for tool in episode.tools] == ["shout", "fail"]
    step = await episode.step(SHOUT)
    assert ([message["content"] for message in step.messages], step.reward, step.done) == (["A"], 0.25, False)
    assert await episode.step("A") == TextStep([], 1.0, True)
    assert (episode.reward, episode.turns, episode.done, episode.unscored) == (1.25, 2, True, False)


def test_what_only_llmgym_can_do_where_it_samples_is_refused() -> None:
    with pytest.raises(ConfigError, match="context_management is for episodes that llmgym samples"):
        TextEpisodes(context_management={"strategy": "summarize"})


async def test_what_leads_to_the_next_turn_follows_the_templates_own_end() -> None:
    """GLM ends a turn of calls with the role that follows, and stops at others too."""
    pytest.importorskip("trl")
    from tests.codec import families

    episode = await TextEpisodes(families.tokenizer("glm4moe")).open(ref())
    said = "<tool_call>shout\n<arg_key>letter</arg_key>\n<arg_value>a</arg_value>\n</tool_call>"
    step = await episode.step(SHOUT)
    glue = episode.glue(said, step.messages)
    assert glue == "\n<tool_response>\nA\n</tool_response><|assistant|>"
    episode.close()


@pytest.mark.parametrize("fault", ["verify raise", "verify unscored", "verify infinite"])
async def test_a_stand_in_is_the_mean_of_the_task_so_far(fault: str) -> None:
    episodes = TextEpisodes()
    for said in ("A", "B", "A"):
        await play(episodes, said)
    await play(episodes, "B", task_id="b")
    failed = await play(episodes, SHOUT, "A", fault=fault)
    assert failed.reward == pytest.approx(2 / 3)
    assert (failed.done, failed.unscored, failed.error is None) == (True, True, fault != "verify raise")
    other = await play(episodes, "C", fault=fault, task_id="c")
    assert (other.reward, other.unscored) == (0.0, True)
    again = await play(episodes, "A", fault=fault)
    assert again.reward == pytest.approx(2 / 3), "a stand-in is no reward to stand in for others"


def test_stand_ins_of_the_latest_tasks_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siblings, "_REMEMBERED", 2)
    found = StandIns()
    for task_id, reward in (("a", 1.0), ("b", 1.0), ("a", 0.0), ("c", 1.0)):
        found.note(ref(task_id), reward)
    assert [found.of(ref(task_id)) for task_id in "abc"] == [0.5, 0.0, 1.0]


async def test_a_limit_of_the_trainer_ends_and_scores_an_episode() -> None:
    episodes = TextEpisodes()
    episode = await play(episodes, SHOUT)
    assert await episode.finish() == TextStep([], 0.0, True)
    assert (episode.reward, episode.turns, episode.unscored) == (0.25, 1, False)
    assert episodes.stand_ins.of(ref()) == 0.25


async def test_a_setup_that_passes_later_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    episodes = TextEpisodes(max_attempts=2)
    passing = await episodes.open(ref(faults={"a": "setup raise"}, once=True))
    assert passing.error is None
    assert (await passing.step("A")).reward == 1.0
    failing = await episodes.open(ref(faults={"a": "setup raise"}))
    assert "lost" in (failing.error or "")
    assert (failing.messages, failing.tools) == ([], [])
    assert not caplog.records
    assert (await failing.step("A")).done
    assert [record.getMessage() for record in caplog.records] == [f"test/Letters-v0, task a: {failing.error}"]
    assert failing.metrics() == {
        "llmgym/reward": 0.0, "llmgym/turns": 1.0, "llmgym/unscored": 1.0, "llmgym/failed": 1.0,
    }  # fmt: skip


async def test_environments_are_given_back_once() -> None:
    episodes = TextEpisodes()
    pool = episodes.episodes.instances(ref().env)
    used = set()
    for said in ("A", "B", SHOUT):
        episode = await episodes.open(ref())
        used.add(id(episode._driver._env))
        await episode.step(said)
        episode.close()
        episode.close()
        while not pool._idle:  # noqa: ASYNC110 -- given back from another thread
            await asyncio.sleep(0.01)
    assert len(used) == len(pool._idle) == 1


async def test_a_task_that_is_not_there_is_an_error_of_the_caller() -> None:
    with pytest.raises(TaskError, match="nowhere"):
        await TextEpisodes().open(ref("nowhere"))
