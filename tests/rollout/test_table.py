"""Games in the collector: a policy for each agent, and for each its own tokens, trajectory, reward and group."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmgym.batch import TokenBatch
from llmgym.codec import TemplateCodec
from llmgym.data.dataset import Dataset
from llmgym.data.export import transform_rollouts
from llmgym.errors import ConfigError, PolicyUnavailable, StoreError
from llmgym.messages import Message
from llmgym.policies import ScriptedPolicy
from llmgym.policies.base import Generation
from llmgym.rollout import Collector, Group, GroupFilter, batches, read_rollouts
from llmgym.rollout.seats import Players, Seats
from llmgym.tasks import Task
from llmgym.trajectory import Trajectory
from tests.codec import families
from tests.exactness import FuzzPolicy, Recording, prove

LEDUC = "llmgym/Leduc-v0"
SELF_PLAY = {"player": "train"}
SEATS = ("player_0", "player_1")


def call(messages: Sequence[Message], tools: Any) -> str:
    return "call"


def fold(messages: Sequence[Message], tools: Any) -> str:
    return "fold" if "raises" in messages[-1]["content"] else "call"


def collector(policy: Any = call, policies: Any = None, **settings: Any) -> Collector:
    defaults: dict[str, Any] = {"num_tasks": 4, "num_samples_in_parallel": 4, "fsync_seconds": 0.0}
    return Collector([settings.pop("env", LEDUC)], policy, policies=policies or SELF_PLAY, **(defaults | settings))


async def collected(made: Collector) -> list[Group]:
    return [group async for group in made.stream()]


class Textual(TemplateCodec):
    """Reads messages as a game does, which has no tools."""

    def parse(self, *args: Any, **kwargs: Any) -> Message:
        message = super().parse(*args, **kwargs)
        message.pop("tool_calls", None)
        return message


class Words:
    """Says the words that it is given, by turns, in tokens; keeps who asked."""

    name = model = "words"
    logprobs_mode = "processed"
    context_length = 4096

    def __init__(self, tokenizer: Any, *words: str) -> None:
        self.tokenizer, self._words = tokenizer, itertools.cycle(words)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def generate(self, prompt_ids: Any, sampling: Any, **_: str) -> Generation:
        ids = [*self.tokenizer.encode(next(self._words), add_special_tokens=False), sampling.stop_token_ids[0]]
        cut = ids[: sampling.max_tokens]
        return Generation(cut, [-0.5] * len(cut), "stop" if cut == ids else "length")


def talker(*words: str) -> tuple[Words, TemplateCodec]:
    tokenizer = families.tokenizer("qwen2.5")
    return Words(tokenizer, *(words or ("call", "raise"))), TemplateCodec(tokenizer)


@pytest.mark.parametrize("env", [f"llmgym/{name}-v0" for name in ("Leduc", "Negotiation", "Taboo", "Debate", "Secret")])
async def test_tokens_of_every_agent_are_exact(env: str, tmp_path: Path) -> None:
    """Two policies, each sampling what no model should, and what is a legal move now and then."""
    tokenizer = families.tokenizer("qwen2.5")
    codec = Textual(tokenizer)
    moves = (
        "call",
        "raise",
        "<offer>1 book</offer>",
        "<accept/>",
        "round",
        "<verdict>x</verdict>",
        "<quote>1</quote> x",
    )
    turns = [[*tokenizer.encode(text, add_special_tokens=False), codec.stop_token_ids[0]] for text in moves]
    one, other = (Recording(FuzzPolicy(tokenizer, codec.stop_token_ids, seed, turns=turns)) for seed in (1, 2))
    roles = {"Leduc": "player", "Negotiation": "player", "Taboo": "giver guesser", "Debate": "debater judge",
             "Secret": "attacker defender"}[env[7:-3]].split()  # fmt: skip
    policies = (
        dict(zip(roles, ["train", other], strict=False)) if len(roles) > 1 else {"player_0": "train", "player_1": other}
    )
    made = Collector(
        [env], one, policies=policies, codec=codec, output=tmp_path / "run", num_tasks=12, num_repeats=2,
        responses_create_params={"max_output_tokens": 24}, num_samples_in_parallel=8,
    )  # fmt: skip
    seen = Counter[str]()
    for group in await collected(made):
        for trajectory in group.trajectories:
            assert trajectory.finished, trajectory.error
            asked = one if trajectory.trainable else other
            assert trajectory.policy == ("train" if trajectory.trainable else "frozen:fuzz")
            prove(trajectory, asked.requests.get(trajectory.id, []), codec, tokenizer)
            assert not (other if trajectory.trainable else one).requests.get(trajectory.id)
            seen[trajectory.agent] += len(trajectory.turns)
    assert min(seen.values()) > 0
    for stored in read_rollouts(tmp_path / "run"):
        asked = one if stored.trainable else other
        prove(stored, asked.requests.get(stored.id, []), codec, tokenizer)


async def test_an_agent_sees_what_it_is_told_and_no_more() -> None:
    policy, codec = talker()
    groups = await collected(collector(policy, codec=codec))
    by_agent: dict[tuple[str, int], dict[str, Trajectory]] = defaultdict(dict)
    for group in groups:
        for trajectory in group.trajectories:
            assert (group.agent, trajectory.agents) == (trajectory.agent, 2)
            by_agent[trajectory.task_id, trajectory.repeat][trajectory.agent] = trajectory
            [segment] = trajectory.segments
            text = policy.tokenizer.decode(segment.ids)
            assert f"You are {trajectory.agent}" in text
            roles = [message["role"] for message in trajectory.messages]
            assert roles[:2] == ["system", "user"]
            assert roles[2::2] == ["assistant"] * len(trajectory.turns)
            assert "wins" in trajectory.messages[-1]["content"] or "Nobody" in trajectory.messages[-1]["content"]
    for pair in by_agent.values():
        assert sum(trajectory.reward or 0 for trajectory in pair.values()) == pytest.approx(0)
        assert {t.episode_id for t in pair.values()} == {next(iter(pair.values())).episode_id}


async def test_groups_are_of_one_task_and_one_agent() -> None:
    policy, codec = talker()
    made = collector(policy, codec=codec, num_repeats=3)
    groups = await collected(made)
    assert made.progress.turns == sum(len(t.turns) for group in groups for t in group.trajectories)
    assert len(groups) == 8
    assert {len(group.trajectories) for group in groups} == {3}
    assert len({(group.id, group.agent) for group in groups}) == 8
    batch = TokenBatch.of(t for group in groups for t in group.trajectories)
    assert len(set(batch.group_ids.tolist())) == 8
    assert len(set(batch.episode_ids.tolist())) == len(batch) == 24
    assert batch.rewards.sum(axis=1) == pytest.approx(batch.episode_rewards)


async def test_opponents_are_not_trained_on(tmp_path: Path) -> None:
    policy, codec = talker()
    opponent, _ = talker("raise")
    made = collector(
        policy, {"player_0": "train", "player_1": opponent}, codec=codec, num_tasks=12, output=tmp_path / "run"
    )
    groups = await collected(made)
    assert Counter(group.trainable for group in groups) == {True: 12, False: 12}
    assert len(TokenBatch.of(t for group in groups for t in group.trajectories)) == 12
    keep = GroupFilter()
    assert [keep.keeps(group) for group in groups] == [group.trainable for group in groups]
    assert keep.unscored == 12
    trained = [group.agent for group in groups if group.trainable]
    assert set(trained) == set(SEATS)  # seats rotate
    for row in map(orjson.loads, (tmp_path / "run" / "rollouts.jsonl").read_bytes().splitlines()):
        assert row["policy"] == ("train" if row["trainable"] else "frozen:words")
    assert made.summary is not None
    assert made.summary["finished"] == 12
    assert set(made.summary["agents"]) == set(SEATS)

    async def stream() -> Any:
        for group in groups:
            yield group

    assert [len(batch) async for batch in batches(stream(), 5)] == [5, 5, 2]


def test_seats_rotate_and_opponents_are_drawn_by_the_task() -> None:
    own = ScriptedPolicy(call)
    pool = [ScriptedPolicy(fold), "script"]
    players = Players({"player_0": "train", "player_1": pool}, own)
    tasks = [Task(id=str(number), metadata={"deals": [str(number)]}) for number in range(200)]
    seats = Seats(LEDUC, SEATS, players.assigned, 3)
    casts = [{agent: player.name for agent, player in seats.cast(task).items()} for task in tasks]
    counts = Counter(tuple(cast.values()) for cast in casts)
    assert len(counts) == 4
    assert min(counts.values()) > 25
    again = Seats(LEDUC, SEATS, Players({"player_0": "train", "player_1": pool}, own).assigned, 3)
    assert casts == [{agent: player.name for agent, player in again.cast(task).items()} for task in tasks]
    other = Seats(LEDUC, SEATS, players.assigned, 4)
    assert casts != [{agent: player.name for agent, player in other.cast(task).items()} for task in tasks]


async def test_a_script_plays_the_rest() -> None:
    made = collector(call, {"player_0": "train", "player_1": "script"}, num_tasks=6)
    for group in await collected(made):
        for trajectory in group.trajectories:
            assert trajectory.reward is not None
            assert trajectory.policy == ("train" if group.trainable else "script")
            said = {m["content"] for m in trajectory.messages if m["role"] == "assistant"}
            assert said == {"call"} if group.trainable else said <= {"call", "raise", "fold"}
    judged = collector(call, {"debater": "frozen", "judge": "script"}, env="llmgym/Debate-v0")
    groups = await collected(judged)
    assert {(group.agent, group.trajectories[0].policy) for group in groups} == {
        ("debater_0", "frozen"), ("debater_1", "frozen"), ("judge_0", "script"),
    }  # fmt: skip
    assert not any(group.trainable for group in groups)


async def test_a_failed_policy_of_any_seat_leaves_all_unscored(tmp_path: Path) -> None:
    def dies(messages: Sequence[Message], tools: Any) -> str:
        raise PolicyUnavailable("gone")

    made = collector(
        call, {"player_0": "train", "player_1": ScriptedPolicy(dies)}, output=tmp_path / "run", max_attempts=2
    )
    groups = await collected(made)
    for trajectory in (t for group in groups for t in group.trajectories):
        assert (trajectory.status, trajectory.reward, trajectory.attempts) == ("policy_error", None, 2)
        assert trajectory.error is not None
        assert "gone" in trajectory.error
        assert trajectory.error.startswith("player_")
    assert made.progress.failed == 4
    assert (tmp_path / "run" / "rollouts.jsonl").read_bytes() == b""
    assert made.summary is not None
    assert made.summary["finished"] == 0


async def test_agents_that_move_at_once_are_asked_at_once() -> None:
    both, asked = asyncio.Event(), list[str]()

    async def speaks(messages: Sequence[Message], tools: Any) -> str:
        agent = messages[0]["content"].split()[2].rstrip(",.")
        asked.append(agent)
        if len(asked) == 2:
            both.set()
        await asyncio.wait_for(both.wait(), 20)  # no reply before two are waited for
        return "It is so."

    debate = collector(speaks, {"debater": "train", "judge": "script"}, env="llmgym/Debate-v0", num_tasks=1)
    groups = await collected(debate)
    assert {group.trajectories[0].status for group in groups} == {"completed"}
    assert len(asked) >= 2


async def test_one_of_two_replies_that_fails_ends_the_other() -> None:
    ended = list[str]()

    async def waits(messages: Sequence[Message], tools: Any) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("waits")
            raise
        return ""

    async def dies(messages: Sequence[Message], tools: Any) -> str:
        await asyncio.sleep(0.05)
        raise PolicyUnavailable("gone")

    policies = {"debater_0": ScriptedPolicy(waits), "debater_1": ScriptedPolicy(dies), "judge": "script"}
    made = collector(call, policies, env="llmgym/Debate-v0", num_tasks=1, max_attempts=1)
    groups = await collected(made)
    assert ended == ["waits"]
    errors = {trajectory.error for group in groups for trajectory in group.trajectories}
    assert len(errors) == 1
    assert "gone" in str(errors)
    assert str(errors).startswith("{'debater_")
    assert ", " not in str(errors).partition(":")[0]


async def test_a_broken_game_is_nobodys_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(self: Any, agent: str, move: Any) -> None:
        raise RuntimeError("the deck is gone")

    monkeypatch.setattr("llmgym.multiagent.games.leduc.LeducGame.play", breaks)
    for group in await collected(collector(call, num_tasks=2, max_attempts=1)):
        for trajectory in group.trajectories:
            assert (trajectory.status, trajectory.reward) == ("env_error", None)
            assert trajectory.failure is not None
            assert (trajectory.failure.kind, trajectory.failure.stage) == ("environment", "respond")


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
async def test_what_is_no_reward_is_unscored(monkeypatch: pytest.MonkeyPatch, value: float | None) -> None:
    monkeypatch.setattr(
        "llmgym.multiagent.games.leduc.LeducGame.rewards", lambda self: {"player_0": 1, "player_1": value}
    )
    for group in await collected(collector(call, num_tasks=1, max_attempts=1)):
        for trajectory in group.trajectories:
            assert trajectory.status == "completed"
            assert trajectory.reward == trajectory.turns[-1].reward == (1.0 if trajectory.agent == "player_0" else None)


@pytest.mark.parametrize("part", ["rewards", "metrics"])
async def test_a_text_is_no_number(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setattr(f"llmgym.multiagent.games.leduc.LeducGame.{part}", lambda self: dict.fromkeys(SEATS, "much"))
    (group, _) = await collected(collector(call, num_tasks=1, max_attempts=1))
    (trajectory,) = group.trajectories
    assert (trajectory.status, trajectory.reward) == ("env_error", None)
    assert "much" in str(trajectory.error)


async def test_limits_cost_the_one_who_reaches_them() -> None:
    policy, codec = talker()
    long, _ = talker("I raise, and I will tell you at length why it is so")
    made = collector(
        policy, {"player_0": "train", "player_1": long}, codec=codec, num_tasks=6,
        responses_create_params={"max_output_tokens": 8},
    )  # fmt: skip
    for group in await collected(made):
        for trajectory in group.trajectories:
            assert (trajectory.status, trajectory.reward) == (
                ("completed", 1) if group.trainable else ("max_tokens", -1)
            )
            assert trajectory.metrics["quit"] == (not group.trainable)
    made = collector(call, max_turns=2, num_tasks=2)
    statuses = [{t.status for t in group.trajectories} for group in await collected(made)]
    assert {"max_turns"} in statuses


async def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    policy, codec = talker()
    first = await collected(collector(policy, codec=codec, output=tmp_path / "run", num_repeats=2))
    policy, codec = talker("fold")
    made = collector(policy, codec=codec, output=tmp_path / "run", num_repeats=2, num_tasks=6)
    again = await collected(made)
    assert made.progress.resumed == 8
    before = {(t.id, t.reward) for group in first for t in group.trajectories}
    assert before < {(t.id, t.reward) for group in again for t in group.trajectories}
    assert len(again) == 12
    rows = list(read_rollouts(tmp_path / "run"))
    assert Counter(row.agent for row in rows) == {"player_0": 12, "player_1": 12}
    with pytest.raises(StoreError, match=r"policies\.player was 'train'"):
        await collector(policy, {"player": "frozen"}, codec=codec, output=tmp_path / "run").collect()
    torn = tmp_path / "run" / "rollouts.jsonl"
    lines = torn.read_bytes().splitlines(keepends=True)
    torn.write_bytes(b"".join(lines[:-1]))  # the last episode lost an agent
    made = collector(policy, codec=codec, output=tmp_path / "run", num_repeats=2, num_tasks=6)
    await made.collect()
    assert made.progress.resumed == 11
    assert made.summary is not None
    assert (made.summary["planned"], made.summary["finished"]) == (12, 12)


async def test_two_opponents_of_one_name_are_not_taken_for_one() -> None:
    def play(messages: Any, tools: Any) -> str:
        return "call"

    other = lambda messages, tools: "fold"  # noqa: E731
    other.__qualname__ = play.__qualname__
    with pytest.raises(
        ConfigError, match=r"'player_1': another policy is called '.*play', too; give one of them a `name`"
    ):
        await collector(call, {"player_0": "train", "player_1": [play, other]}).collect()
    assert (await collector(call, {"player_0": play, "player_1": [play, play]}).collect())["finished"] == 4
    named = ScriptedPolicy(other)
    named.name = "other"
    made = collector(call, {"player_0": play, "player_1": named})
    assert {t.policy for group in await collected(made) for t in group.trajectories} == {
        f"frozen:{ScriptedPolicy(play).name}",
        "frozen:other",
    }


@pytest.mark.parametrize(("policies", "said"), [
    ({"player_0": "train"}, "nobody plays player_1"),
    ({"player": "trian"}, "'player' cannot be 'trian'; give"),
    ({"player": "openai:gpt-5"}, "cannot be 'openai:gpt-5'; give 'train', 'frozen', 'frozen:POLICY' or 'script'"),
    ({"player": []}, "'player' has an empty list"),
    ({"player": "train", "judge": "script"}, "has no 'judge'; there is player_0, player_1"),
    ({"player": "frozen:oracle"}, "the oracle plays no games"),
])  # fmt: skip
async def test_players_that_make_no_sense(policies: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        await collector(call, policies).collect()


async def test_environments_that_are_no_games() -> None:
    with pytest.raises(ConfigError, match="Calculator-v0 is no game for several agents"):
        await collector(call, env="llmgym/Calculator-v0").collect()
    with pytest.raises(ConfigError, match="wrappers are for one agent"):
        await collector(call, env={"id": LEDUC, "wrappers": [{"name": "ToolPenalty"}]}).collect()


async def test_exports_are_of_those_who_are_trained(tmp_path: Path) -> None:
    policy, codec = talker()
    opponent, _ = talker("raise")
    made = collector(
        policy, {"player_0": "train", "player_1": opponent}, codec=codec, output=tmp_path / "run", num_tasks=6
    )
    trained = [t for group in await collected(made) if group.trainable for t in group.trajectories]
    rows = [orjson.loads(line) for line in (tmp_path / "run" / "rollouts.jsonl").read_bytes().splitlines()]
    exact = transform_rollouts(rows, "verl", "sft", form="tokens")
    assert sorted(list(map(int, row["input_ids"])) for row in exact) == sorted(
        t.segments[0].ids.tolist() for t in trained
    )
    groups = list(Dataset.open([tmp_path / "run"]).groups())
    assert len({(group.group_id, group.agent) for group in groups}) == len(groups) == 12
