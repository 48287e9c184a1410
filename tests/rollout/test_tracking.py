"""Trackers are told how a run goes, and whatever becomes of them, the run goes on."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import threading
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from llmgym.errors import ConfigError
from llmgym.records import record_of
from llmgym.rollout import Collector, GroupSettings, Progress, collector, summarize, tracking
from llmgym.rollout.config import TrackConfig, parse_config
from llmgym.rollout.trackers import PrometheusTracker, TrackedRun, make_tracker
from llmgym.rollout.tracking import Scoreboard
from llmgym.serve.metrics import Metrics
from llmgym.trajectory import Trajectory
from tests.rollouts import LETTERS, ROOT, Script, answer, letters, moody


class Listener:
    """A tracker that keeps what it is told."""

    def __init__(self, run: TrackedRun, options: Mapping[str, Any]) -> None:
        self.run, self.options = run, options
        self.told: list[tuple[int, Mapping[str, float]]] = []
        self.closed = False

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.told.append((step, values))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def listeners(monkeypatch: pytest.MonkeyPatch) -> list[Listener]:
    made: list[Listener] = []

    def make(config: TrackConfig, run: TrackedRun) -> Callable[[], Listener]:
        def begin() -> Listener:
            made.append(Listener(run, config.options))
            return made[-1]

        return begin

    monkeypatch.setattr(collector, "make_tracker", make)
    return made


async def test_a_tracker_is_told_the_numbers_of_the_summary(listeners: list[Listener], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"num_tasks": 26, "num_repeats": 2, "max_attempts": 1, "output": tmp_path / "run"}
    track: Any = ["wandb", {"name": "mlflow", "options": {"experiment": "mine"}}]
    run = letters(**settings, track=track)(policy=Script(moody))
    summary = await run.collect()
    first, second = listeners
    assert (first.run.name, second.options) == ("run", {"experiment": "mine"})
    assert first.run.config["num_tasks"] == 26
    (step, values), closed = first.told[-1], first.closed
    assert closed
    assert (step, values["episodes/finished"]) == (24, 24)
    assert values["episodes/failed"] == values["failures/policy"] == 28
    assert values[f"reward/{LETTERS}"] == values["reward/all"] == summary["reward"]["mean"]
    assert [values["pass_at_1/all"], values["pass_at_2/all"]] == [one["value"] for one in summary["pass_at_k"]]


async def test_a_resumed_run_goes_on_from_where_it_was(listeners: list[Listener], tmp_path: Path) -> None:
    for number in (2, 4):
        run = letters(num_tasks=number, output=tmp_path / "run", track=["wandb"])
        await run(policy=Script(answer)).collect()
    assert [listener.told[-1][0] for listener in listeners] == [2, 4]
    assert listeners[1].told[-1][1]["reward/all"] == 1.0


async def test_a_game_counts_once_in_later_sessions_too(listeners: list[Listener], tmp_path: Path) -> None:
    seats = {"player_0": "script", "player_1": "train"}
    for _ in range(2):
        run = Collector(["llmgym/Leduc-v0"], "random", policies=seats, num_tasks=8, track=["wandb"], output=tmp_path)
        await run.collect()
    (step, first), (again, second) = (listener.told[-1] for listener in listeners)
    assert (step, again) == (8, 8)
    assert first["reward/all"] < 0  # of the trained one; what both earned adds up to nothing
    for name in ("episodes/finished", "reward/all", "pass_at_1/all"):
        assert first[name] == second[name]


async def test_it_is_told_while_the_run_goes_on(listeners: list[Listener], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_EVERY_S", 0.01)
    gate, told = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def log(self: Listener, values: Mapping[str, float], step: int) -> None:
        self.told.append((step, values))
        if len(self.told) == 3:
            loop.call_soon_threadsafe(told.set)

    monkeypatch.setattr(Listener, "log", log)

    async def wait(messages: Any, tools: Any) -> str:
        await gate.wait()
        return answer(messages, tools)

    running = asyncio.create_task(letters(num_tasks=1, track=["wandb"])(policy=Script(wait)).collect())
    async with asyncio.timeout(30):
        await told.wait()
    gate.set()
    await running
    assert listeners[0].told[0][1]["episodes/live"] == 1
    assert listeners[0].told[-1][0] == 1


@pytest.mark.parametrize("where", ["init", "log", "close", "hang", "exit"])
async def test_a_tracker_that_fails_ends_no_run(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    release = threading.Event()

    class Broken(Listener):
        def __init__(self) -> None:
            if where == "init":
                raise ConnectionError("no\nroute")
            if where == "exit":
                raise SystemExit(1)
            self.told = []

        def log(self, values: Mapping[str, float], step: int) -> None:
            if where == "hang":
                release.wait()
            if where == "log":
                raise ConnectionError("no\nroute")

        def close(self) -> None:
            if where == "close":
                raise ConnectionError("no\nroute")

    monkeypatch.setattr(collector, "make_tracker", lambda config, run: Broken)
    monkeypatch.setattr(tracking, "_PATIENCE_S", 0.2)
    with caplog.at_level(logging.WARNING, "llmgym.rollout"):
        summary = await letters(num_tasks=3, track=["wandb"])(policy=Script(answer)).collect()
    release.set()
    assert summary["finished"] == 3
    (message,) = [record.getMessage() for record in caplog.records]
    assert "wandb" in message
    assert ("did not end" if where == "hang" else "the run goes on") in message


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from([None, 0.0, 0.5, 1.0]))))
def test_the_scoreboard_is_the_summary(episodes: list[tuple[str, str, float | None]]) -> None:
    settings = GroupSettings(num_repeats=3)
    board = Scoreboard(settings, Progress())
    made = [
        Trajectory(env, task, repeat, 0, reward=reward) for repeat, (env, task, reward) in enumerate(episodes)
    ]  # fmt: skip
    for trajectory in made:
        board.take([trajectory])
    records = [record_of(trajectory) for trajectory in made]
    summary = summarize(records, [], None, settings, None)
    values = board.values()
    assert values["episodes/unscored"] == summary["unscored"]
    assert values.get("reward/all") == pytest.approx(summary["reward"]["mean"])
    for one in summary["pass_at_k"]:
        assert values.get(f"pass_at_{one['k']}/all") == pytest.approx(one["value"])
    again = Scoreboard(settings, Progress())
    again.take_records(records)
    assert again.values().keys() == values.keys()


def test_a_tracker_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no tracker 'wanb'; there is wandb"):
        parse_config({"track": ["wanb"]})
    with pytest.raises(ConfigError, match="unknown setting 'option'"):
        parse_config({"track": [{"name": "wandb", "option": {}}]})


def test_a_package_that_is_not_there_is_said_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install trackio"):
        make_tracker(TrackConfig("trackio"), TrackedRun("run", None, {}))


async def test_a_run_that_cannot_be_tracked_does_not_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="wandb is not installed"):
        await Collector([LETTERS], Script(answer), track=["wandb"], output=tmp_path / "run").collect()
    assert not (tmp_path / "run").exists()


def test_prometheus_can_scrape_a_run() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    board = Scoreboard(GroupSettings(), Progress())
    for task in "xy":
        board.take([Trajectory(f"e{task}/1", task, 0, 0, reward=float(task == "x"), timings={"engine_s": 2.0})])
    run = TrackedRun("run", None, {})
    tracker = make_tracker(TrackConfig("prometheus", {"port": port}), run)()
    tracker.log(board.values(), 2)
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    tracker.close()
    found = {
        (sample.name, *sample.labels.items()): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert found["llmgym_run_reward", ("env", "all")] == 0.5
    assert found["llmgym_run_reward", ("env", "ex/1")] == 1.0
    assert found["llmgym_run_pass_at_1", ("env", "ey/1")] == 0.0
    assert found["llmgym_run_episodes_finished",] == 2
    assert found["llmgym_run_seconds_engine",] == 4.0
    assert {name for _, *labels in found for name, _ in labels} == {"env"}


def test_the_dashboard_asks_for_what_there_is() -> None:
    board = Scoreboard(GroupSettings(num_repeats=2), Progress())
    board.take([Trajectory("e", "x", 0, 0, reward=1.0)])
    board.take([Trajectory("e", "x", 1, 0, status="env_error")])
    tracker = object.__new__(PrometheusTracker)
    tracker.log(board.values(), 1)
    served = Metrics()
    served.failed("e", "timeout")
    served.stepped("e", 0.1, True)
    there = {family.name for family in tracker.collect()}
    there |= {
        sample.name for family in text_string_to_metric_families(served.page().decode()) for sample in family.samples
    }
    panels = json.loads((ROOT / "examples/grafana.json").read_text("utf-8"))["panels"]
    asked = {
        name for panel in panels for one in panel.get("targets", ()) for name in re.findall(r"llmgym_\w+", one["expr"])
    }
    assert asked <= there
    assert {name for name in there if name.startswith("llmgym_run_")} - asked == {"llmgym_run_tokens_sampled"}
