"""Stored games of several agents are played again: each agent says what is recorded of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmgym.data import Dataset
from llmgym.data.verification import Report, verify
from llmgym.multiagent.games.debate import DebateGame
from llmgym.multiagent.games.leduc import LeducGame
from llmgym.rollout import Collector


def call(messages: Any, tools: Any) -> str:
    return "call"


def silly(messages: Any, tools: Any) -> str:
    return "call" if len(messages) < 4 else "I would rather not."


async def run(folder: Path, env: str, policies: dict[str, Any], policy: Any = call, **settings: Any) -> Path:
    await Collector([env], policy, policies=policies, output=folder, **({"num_tasks": 6} | settings)).collect()
    return folder


async def verified(folder: Path, keep: Callable[[bytes], None] | None = None) -> Report:
    return await verify(Dataset.open([folder]), keep=keep)


def changed(folder: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    path = folder / "rollouts.jsonl"
    rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    change(rows)
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))


@pytest.mark.parametrize(("env", "policies"), [
    ("llmgym/Leduc-v0", {"player": "train"}), ("llmgym/Leduc-v0", {"player": [silly, "script"]}),
    ("llmgym/Debate-v0", {"debater": "script", "judge": "script"}),
    ("llmgym/Secret-v0", {"attacker": "script", "defender": "train"}),
])  # fmt: skip
async def test_what_is_the_same(env: str, policies: dict[str, Any], tmp_path: Path) -> None:
    await run(tmp_path, env, policies, num_repeats=2)
    lines: list[bytes] = []
    report = await verified(tmp_path, lines.append)
    assert report.differences == []
    assert (report.total.verified, report.total.same) == (len(lines), len(lines))
    assert b"".join(lines) == (tmp_path / "rollouts.jsonl").read_bytes()


@pytest.mark.parametrize("limit", [{"max_turns": 2}, {"max_turns": 1}])
async def test_an_agent_that_a_limit_ended(limit: dict[str, Any], tmp_path: Path) -> None:
    await run(tmp_path, "llmgym/Leduc-v0", {"player_0": "train", "player_1": "script"}, **limit)
    report = await verified(tmp_path)
    assert report.differences == []
    assert report.total.same == 12


async def test_rules_that_have_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await run(tmp_path, "llmgym/Leduc-single-v0", {"player": "train"})
    monkeypatch.setattr(LeducGame, "rewards", lambda self: dict.fromkeys(self.agents, 0.25))
    rows: list[bytes] = []
    report = await verified(tmp_path, rows.append)
    assert set(report.kinds) == {"reward", "part"}
    assert [orjson.loads(row)["reward"] for row in rows] == [0.25] * 12


async def test_what_agents_are_told_differently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await run(tmp_path, "llmgym/Debate-v0", {"debater": "script", "judge": "script"}, num_tasks=1)
    brief = DebateGame.brief
    monkeypatch.setattr(DebateGame, "brief", lambda self, agent: brief(self, agent) + "!" * (agent == "judge_0"))
    report = await verified(tmp_path)
    assert [(found.id[-7:], found.kind) for found in report.differences] == [("judge_0", "opening")]
    assert report.total.same == 2


async def test_another_move_and_a_missing_one(tmp_path: Path) -> None:
    await run(tmp_path, "llmgym/Leduc-single-v0", {"player": "train"}, num_tasks=1)
    whole = (tmp_path / "rollouts.jsonl").read_bytes()

    def raises(rows: list[dict[str, Any]]) -> None:
        said = next(item for item in rows[0]["output"] if item.get("role") == "assistant")
        said["content"][0]["text"] = "raise"

    changed(tmp_path, raises)
    report = await verified(tmp_path)
    assert {"observation"} <= set(report.kinds)
    (tmp_path / "rollouts.jsonl").write_bytes(whole.splitlines(keepends=True)[0])
    report = await verified(tmp_path)
    assert report.skipped == {"the rows of its other agents are not there": 1}


async def test_a_game_that_fails_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await run(tmp_path, "llmgym/Leduc-single-v0", {"player": "train"}, num_tasks=2)

    def broken(self: Any, agent: str, move: str) -> None:
        raise RuntimeError("the table is gone")

    monkeypatch.setattr(LeducGame, "play", broken)
    report = await verified(tmp_path)
    assert (report.total.failed, report.total.verified) == (4, 0)
