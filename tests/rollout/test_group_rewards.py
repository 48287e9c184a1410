"""Rewards that the repeats of a task give each other: given once, stored once, and lost by no crash."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import orjson
import pytest

from llmgym.chat import ChatGeneration, Sampling, Usage
from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError, EnvironmentFailure
from llmgym.messages import assistant, user
from llmgym.policies import ScriptedPolicy
from llmgym.rewards import Part, Reward
from llmgym.rollout import Collector, Group
from llmgym.rollout.folder import read_rollouts
from llmgym.tasks import RowTasks
from llmgym.trainers.common import Episodes
from tests.rollouts import Alphabet

RANKED = "test/Ranked-v0"
#: What tests tell the environment, and what it tells them.
state: dict[str, Any] = {}


class Ranked(ToolEnv):
    """Say something long: it is right in itself, and beside the others by its rank in length."""

    tasks = RowTasks(Alphabet())
    roles = ("judge",)

    def verify(self, episode: Episode) -> Reward | None:
        """Short texts are unscored."""
        text = episode.final_text
        if text == "fail":
            raise KeyError("lost")
        return None if text == "?" else Reward(correct=1.0, metrics={"length": len(text)})

    async def group_verify(self, episodes: Sequence[Episode | None]) -> list[Reward | None] | Any:
        """Rank them."""
        state["groups"].append([episode and episode.final_text for episode in episodes])
        if state.get("broken"):
            raise EnvironmentFailure("the judge is away", kind="model_role")
        if "gives" in state:
            return state["gives"](episodes)
        await self.models["judge"].chat([user("who is longest?")])
        lengths = [0 if episode is None else len(episode.final_text) for episode in episodes]
        for episode in episodes:
            assert episode is None or (episode.reward is not None and episode.reward.parts["correct"] == Part(1.0))
        return [
            episode and Reward(rank=Part(sorted(lengths).index(length) / len(lengths), 0.5), metrics={"group": 1})
            for episode, length in zip(episodes, lengths, strict=True)
        ]


gymnasium.register(RANKED, entry_point=Ranked)


class Judge(ScriptedPolicy):
    """A judge whose calls have a price."""

    def __init__(self) -> None:
        super().__init__(lambda messages, tools: "B")

    async def chat(self, *args: Any, **kwargs: Any) -> ChatGeneration:
        return ChatGeneration(assistant("B"), "stop", Usage(3, 1, calls=1))


class Says:
    """A policy that says, in each repeat, what it was given for it."""

    name = model = "says"

    def __init__(self, *texts: str, hangs: int | None = None) -> None:
        self.texts, self.hangs, self.asked = list(texts), hangs, list[int]()
        self.hanging = asyncio.Event()

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def chat(
        self, messages: Any, tools: Any, sampling: Sampling, *, request_id: str, session_id: str
    ) -> ChatGeneration:
        repeat = int(session_id.split("/")[3])
        self.asked.append(repeat)
        await asyncio.sleep(0)
        if repeat == self.hangs:
            self.hanging.set()
            await asyncio.sleep(3600)
        return ChatGeneration(assistant(self.texts[repeat]), "stop")


@pytest.fixture(autouse=True)
def _clean() -> None:
    state.clear()
    state["groups"] = []


def collector(policy: Says, output: Path | None = None, **settings: Any) -> Collector:
    defaults = {"num_repeats": 3, "num_tasks": 1, "num_samples_in_parallel": 4, "max_attempts": 1, "fsync_seconds": 0.0}
    return Collector([RANKED], policy, models={"judge": Judge()}, output=output, **(defaults | settings))


async def groups(made: Collector) -> list[Group]:
    return [group async for group in made.stream()]


def waiting(folder: Path) -> list[Path]:
    return list((folder / "waiting").glob("*")) if (folder / "waiting").exists() else []


def rows(folder: Path) -> dict[int, Any]:
    found = {t.repeat: t for t in read_rollouts(folder)}
    assert len(found) == len((folder / "rollouts.jsonl").read_bytes().splitlines()), "a row is there twice"
    return found


async def test_a_group_is_scored_once_its_last_episode_has_ended(tmp_path: Path) -> None:
    made = collector(Says("xx", "x", "xxx"), tmp_path / "run")
    [group] = await groups(made)
    assert state["groups"] == [["xx", "x", "xxx"]]
    assert group.rewards == [pytest.approx(1 + rank / 6) for rank in (1, 0, 2)]
    first = group.trajectories[0]
    assert first.reward_parts == {"correct": Part(1.0), "rank": Part(1 / 3, 0.5)}
    assert (first.metrics["group"], first.metrics["length"]) == (1, 2)
    assert first.turns[-1].reward == first.reward
    assert [len(t.model_calls) for t in group.trajectories] == [1, 0, 0]
    assert first.usage["judge"] == Usage(3, 1, calls=1)
    assert [t.reward for _, t in sorted(rows(tmp_path / "run").items())] == group.rewards
    assert not waiting(tmp_path / "run")
    assert (made.progress.finished, made.summary and made.summary["finished"]) == (3, 3)
    again = await groups(collector(Says(), tmp_path / "run"))
    assert (again[0].rewards, len(state["groups"])) == (group.rewards, 1)


async def test_without_a_folder_it_is_the_same() -> None:
    made = collector(Says("xx", "x", "xxx"), num_tasks=2)
    found = await groups(made)
    assert [group.rewards for group in found] == [[pytest.approx(1 + rank / 6) for rank in (1, 0, 2)]] * 2
    assert made.summary is not None
    assert made.summary["reward"]["mean"] == pytest.approx(1 + 1 / 6)
    assert (await collector(Says("xx", "x", "xxx")).collect())["reward"]["mean"] == pytest.approx(1 + 1 / 6)


async def test_failed_and_unscored_members_are_none(tmp_path: Path) -> None:
    [group] = await groups(collector(Says("fail", "x", "?", "xxx"), tmp_path / "run", num_repeats=4))
    assert state["groups"] == [[None, "x", None, "xxx"]]
    assert group.rewards == [None, 1 + 0.5 * 2 / 4, None, 1 + 0.5 * 3 / 4]
    assert sorted(rows(tmp_path / "run")) == [1, 2, 3]
    assert not waiting(tmp_path / "run")


async def test_members_may_fail_where_nobody_reads_the_groups(tmp_path: Path) -> None:
    for output in (None, tmp_path / "run"):
        summary = await collector(Says("fail", "x", "xxx"), output).collect()
        assert (summary["finished"], summary["failed"]) == (2, {"environment": 1})
        assert summary["reward"]["mean"] == pytest.approx(1 + 0.5 * (1 + 2) / 3 / 2)
    assert state["groups"] == [[None, "x", "xxx"]] * 2


@pytest.mark.parametrize("texts", [("x", "fail"), ("x", "?"), ("fail", "fail")])
async def test_one_that_is_alone_keeps_its_own_reward(texts: tuple[str, str], tmp_path: Path) -> None:
    [group] = await groups(collector(Says(*texts), tmp_path / "run", num_repeats=2))
    assert state["groups"] == []
    assert group.rewards == [1.0 if text == "x" else None for text in texts]
    assert not waiting(tmp_path / "run")


async def test_what_has_ended_waits_for_the_rest_of_its_group_in_the_next_session(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    policy = Says("xx", "x", "xxx", hangs=2)
    session = asyncio.create_task(groups(collector(policy, folder, num_samples_in_parallel=1)))
    await policy.hanging.wait()
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
    assert (rows(folder), state["groups"]) == ({}, [])
    [file] = waiting(folder)
    with file.open("ab") as torn:  # what a crash left half written
        torn.write(file.read_bytes()[:50])
    policy = Says("xx", "x", "xxx")
    [group] = await groups(collector(policy, folder))
    assert policy.asked == [2]
    assert state["groups"] == [["xx", "x", "xxx"]]
    assert group.rewards == [pytest.approx(1 + rank / 6) for rank in (1, 0, 2)]
    assert sorted(rows(folder)) == [0, 1, 2]
    assert not waiting(folder)


async def test_a_crash_while_a_group_is_stored_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("llmgym.rollout.waiting.Waiting.drop", lambda *_: None)
        [group] = await groups(collector(Says("xx", "x", "xxx"), folder))
    assert waiting(folder)
    lines = (folder / "rollouts.jsonl").read_bytes().splitlines(keepends=True)
    for kept in (3, 1):
        (folder / "rollouts.jsonl").write_bytes(b"".join(lines[:kept]))
        state["groups"].clear()
        policy = Says()
        [again] = await groups(collector(policy, folder))
        assert (policy.asked, again.rewards) == ([], group.rewards)
        assert sorted(rows(folder)) == [0, 1, 2]
        assert len(state["groups"]) == (kept < 3)


async def test_a_group_that_cannot_be_scored_waits_for_the_next_session(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    state["broken"] = True
    made = collector(Says("xx", "x", "xxx"), folder, max_attempts=2)
    [group] = await groups(made)
    assert len(state["groups"]) == 2
    assert group.rewards == [None] * 3
    assert {t.status for t in group.trajectories} == {"env_error"}
    failure = group.trajectories[0].failure
    assert failure is not None
    assert (failure.kind, failure.stage) == ("model_role", "verify")
    assert (made.progress.finished, made.progress.failed) == (0, 3)
    assert made.summary is not None
    assert made.summary["failed"] == {"model_role": 3}
    assert rows(folder) == {}
    state["broken"] = False
    policy = Says()
    again = collector(policy, folder)
    [group] = await groups(again)
    assert policy.asked == []
    assert group.rewards == [pytest.approx(1 + rank / 6) for rank in (1, 0, 2)]
    assert again.summary is not None
    assert (again.summary["finished"], again.summary["failed"]) == (3, {})
    assert not waiting(folder)


async def test_a_repeat_that_is_made_up_for_is_scored_beside_the_stored_ones(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    [before] = await groups(collector(Says("xx", "x", "fail"), folder))
    [after] = await groups(collector(Says("xx", "x", "xxx"), folder))
    assert state["groups"] == [["xx", "x", None], ["xx", "x", "xxx"]]
    assert after.rewards == [*before.rewards[:2], 1 + 0.5 * 2 / 3]


async def test_spares_and_stragglers_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    made = collector(Says("xx", "x", "xxx", hangs=1), folder, num_repeats=2, num_spare_repeats=1)
    [group] = await groups(made)
    assert state["groups"] == [["xx", "xxx"]]
    assert [t.repeat for t in group.trajectories] == [0, 2]
    assert sorted(rows(folder)) == [0, 2]
    assert not waiting(folder)


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda episodes: None, "a list with a reward for each of 3 episodes"),
        (lambda episodes: [1.0], "a list with a reward for each of 3 episodes"),
        (lambda episodes: [float("inf")] * 3, "finite number"),
        (lambda episodes: ["1", 1, 1], "a reward is a number"),
    ],
)
async def test_what_is_no_rewards_is_a_failure(gives: Any, said: str) -> None:
    state["gives"] = gives
    [group] = await groups(collector(Says("xx", "x", "xxx")))
    assert group.rewards == [None] * 3
    failure = group.trajectories[0].failure
    assert failure is not None
    assert failure.kind == "invalid"
    assert said in (group.trajectories[0].error or "")


async def test_parts_take_the_place_of_those_of_their_names(tmp_path: Path) -> None:
    state["gives"] = lambda episodes: [0.25, Reward(correct=None), None]
    [group] = await groups(collector(Says("xx", "x", "xxx"), tmp_path / "run"))
    assert group.rewards == [0.25, None, 1.0]
    assert [row["reward"] for row in map(orjson.loads, (tmp_path / "run/rollouts.jsonl").open("rb"))] == group.rewards


def test_an_adapter_that_runs_single_episodes_says_that_it_cannot() -> None:
    episodes = Episodes(env_ids=[RANKED], models={"judge": f"script:{__name__}.Judge"})
    with pytest.raises(ConfigError, match="scores the repeats of a task beside each other"):
        list(episodes.refs())
