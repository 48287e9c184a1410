from __future__ import annotations

import itertools
import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from llmgym.env import ToolEnv
from llmgym.envs.detective import Detective
from llmgym.envs.detective.cases import Case, Statement, everything, investigate, suspicions
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import assistant, tool_call
from tests.envs.checks import DEGENERATE, oracle_rewards, play, policy_reward

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"level": "easy", "max_turns": 20},
    "hard": {"level": "hard", "max_turns": 60},
}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(Detective(**arguments, split=split), 20) == [1.0] * 20


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_nothing(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(Detective(**arguments), DEGENERATE[policy]) < 0.05


def test_tasks_are_many_and_splits_are_apart(arguments: dict[str, Any]) -> None:
    env = Detective(**arguments)
    train = {env.tasks.draw("train", seed, 0).content_hash for seed in range(200)}
    assert len(train) == 200
    assert not train & {env.tasks.draw("test", seed, 0).content_hash for seed in range(30)}


def _case(env: ToolEnv, seed: int) -> Case:
    return Case.of(env.tasks.draw("train", seed, 0).metadata["case"])


def _agrees(case: Case, said: list[Statement], thief: int, hour: int) -> bool:
    """Whether each suspect has a walk that agrees with what has been said, if a suspicion is true."""
    trusted = [one for one in said if (one.suspect, one.hour) != (thief, hour)]
    if any(one.there is not None and one.there != (one.hour < hour) for one in trusted):
        return False
    if len(trusted) < len(said) and any(one.room == case.scene for one in said if one not in trusted):
        return False

    def allowed(suspect: int, at: int, room: int) -> bool:
        if at == hour and (room == case.scene) != (suspect == thief):
            return False
        if suspect == thief and at == hour + 1 and room == case.scene:
            return False
        return all((suspect == s.suspect or suspect in s.others) == (room == s.room) for s in trusted if s.hour == at)

    def walks(suspect: int) -> bool:
        rooms = set(range(len(case.rooms)))
        now = {room for room in rooms if allowed(suspect, 0, room)}
        for at in range(1, case.hours):
            near = {other for room in now for other in (room, *case.doors[room])}
            now = {room for room in near if allowed(suspect, at, room)}
        return bool(now)

    return all(map(walks, range(len(case.suspects))))


def test_all_statements_leave_one_thief_and_one_hour(arguments: dict[str, Any]) -> None:
    env = Detective(**arguments)
    for seed in range(30):
        case = _case(env, seed)
        said = everything(case)
        every = itertools.product(range(len(case.suspects)), range(case.hours - 1))
        assert [each for each in every if _agrees(case, said, *each)] == [(case.thief, case.hour)]


def test_suspicions_are_those_that_agree() -> None:
    env = Detective()
    for seed in range(15):
        case = _case(env, seed)
        said: list[Statement] = []
        for one in investigate(case, case.statement):
            said.append(one)
            every = itertools.product(range(len(case.suspects)), range(case.hours - 1))
            assert suspicions(case, said) == [each for each in every if _agrees(case, said, *each)]
        assert len(said) <= case.budget


def test_walks_keep_the_rules_that_are_told() -> None:
    env = Detective(level="hard")
    for seed in range(30):
        case = _case(env, seed)
        for path in case.paths:
            assert all(b == a or b in case.doors[a] for a, b in itertools.pairwise(path))
        assert [i for i, path in enumerate(case.paths) if path[case.hour] == case.scene] == [case.thief]
        assert case.stash != case.scene != case.lie
        assert case.budget <= 0.8 * len(case.suspects) * case.hours
        seen = [one for one in everything(case) if one.there is not None]
        assert all(one.there == (one.hour < case.hour) for one in seen)


def test_who_guesses_earns_little(arguments: dict[str, Any]) -> None:
    env = Detective(**arguments)
    won: Counter[str] = Counter()
    for seed in range(300):
        task = env.tasks.draw("train", seed, 0)
        case = Case.of(task.metadata["case"])
        rooms = [case.rooms[other] for other in case.doors[case.scene]]
        for hour in ("7 pm", "8 pm", "9 pm"):
            for room, which in ((rooms[0], "first"), (rooms[-1], "last")):
                guess = {"suspect": case.suspects[0], "hour": hour, "room": room}
                won[f"{hour} {which}"] += guess == task.answer
    assert max(won.values()) / 300 < 0.06


def test_near_misses_earn_nothing() -> None:
    env = Detective()
    for seed in range(20):
        case = _case(env, seed)
        answer = env.tasks.draw("train", seed, 0).answer
        wrong = [{**answer, "suspect": name} for name in case.suspects if name != answer["suspect"]]
        wrong += [{**answer, "room": room} for room in case.rooms if room != answer["room"]]
        wrong += [{**answer, "hour": f"{hour} pm"} for hour in range(6, 11) if f"{hour} pm" != answer["hour"]]
        for accusation in wrong:
            env.reset(options={"task": env.tasks.draw("train", seed, 0)})
            assert play(env, [assistant("", tool_call("accuse", **accusation))]) == 0
        env.reset(options={"task": env.tasks.draw("train", seed, 0)})
        several = [tool_call("accuse", **each) for each in (wrong[0], answer)]
        assert play(env, [assistant("", *several)]) == 0


CASE: dict[str, Any] = {
    "rooms": ["hall", "study", "attic"],
    "doors": [[1, 2], [0], [0]],
    "suspects": ["Ada", "Bruno", "Clara"],
    "thing": "map",
    "scene": 1,
    "paths": [[0, 1, 0, 2], [1, 0, 0, 1], [2, 0, 2, 2]],
    "thief": 0,
    "hour": 1,
    "lie": 0,
    "budget": 3,
}


def _opened(**options: Any) -> ToolEnv:
    env = Detective(**options)
    env.reset(options={"task": Detective.read_row({"metadata": {"case": CASE}})})
    return env


@pytest.mark.parametrize(
    ("suspect", "hour", "says"),
    [
        ("Ada", "6 pm", "Ada says: At 6 pm I was in the hall, alone. (2 questions left.)"),
        ("ada.", 7, "Ada says: At 7 pm I was in the hall, alone."),
        ("Bruno", "8:00 PM", "At 8 pm I was in the hall, with Ada."),
        ("Bruno", "21:00", "At 9 pm I was in the study, alone. The map was gone."),
        ("Clara", 20, "At 8 pm I was in the attic, alone."),
        ("Clara", "at 7pm", "At 7 pm I was in the hall, with Bruno."),
        ("Dora", "8 pm", "Error: there is no suspect 'Dora'; there is Ada, Bruno, Clara"),
        ("Ada", "noon", "Error: there is no hour 'noon'; there is 6 pm, 7 pm, 8 pm, 9 pm"),
        ("Ada", "10 pm", "Error: there is no hour"),
        ("Ada", -1, "Error: there is no hour"),
        ("Ada", 10**30, "Error: "),
        ("x" * 10_000, "8 pm", "Error: there is no suspect"),
        (None, "8 pm", "Error: invalid arguments"),
        ("Ada", [8], "Error: invalid arguments"),
    ],
)
def test_questions(suspect: Any, hour: Any, says: str) -> None:
    content = _opened().step(assistant("", tool_call("ask", suspect=suspect, hour=hour)))[0][0]["content"]
    assert says in content
    assert len(content) < 300


def test_questions_run_out_and_old_ones_are_free() -> None:
    env = _opened()
    asked = [("Ada", 6), ("Ada", 6), ("Ada", 7), ("Ada", 8), ("Ada", 9), ("Ada", 6)]
    said = [env.step(assistant("", tool_call("ask", suspect=s, hour=h)))[0][0]["content"] for s, h in asked]
    assert ["left" in text for text in said] == [True, True, True, True, True, True]
    assert "no questions left; call `accuse`" in said[4]
    assert said[5].startswith("Ada says")
    assert env.metrics["questions"] == 3


@pytest.mark.parametrize(
    ("accusation", "reward"),
    [
        ({"suspect": "Ada", "hour": "7 pm", "room": "hall"}, 1),
        ({"suspect": "ADA", "hour": 19, "room": "the Hall"}, 1),
        ({"suspect": "Ada", "hour": "7 pm", "room": "attic"}, 0),
        ({"suspect": "Ada", "hour": "8 pm", "room": "hall"}, 0),
        ({"suspect": "Clara", "hour": "7 pm", "room": "hall"}, 0),
    ],
)
def test_accusations(accusation: dict[str, Any], reward: float) -> None:
    env = _opened()
    _, earned, terminated, _, info = env.step(assistant("", tool_call("accuse", **accusation)))
    assert (earned, terminated) == (reward, True)
    assert info["metrics"]["thief"] == float(str(accusation["suspect"]).lower() == "ada")


def test_talk_and_mistakes_cost_a_turn_and_no_more() -> None:
    env = _opened()
    observation, _, terminated, _, _ = env.step("I accuse Ada!")
    assert "Call `ask`" in observation[0]["content"]
    assert not terminated
    wrong = assistant("", tool_call("accuse", suspect="Ada", hour="7 pm", room="moon"))
    assert "there is no room 'moon'; there is hall, study, attic" in env.step(wrong)[0][0]["content"]
    assert play(env, [assistant("", tool_call("accuse", suspect="Ada", hour="7 pm", room="hall"))]) == 1


def test_own_tasks(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"metadata": {"case": CASE}}))
    env = gymnasium.make("llmgym/Detective-v0", tasks=str(path), max_turns=40).unwrapped
    assert isinstance(env, ToolEnv)
    env.reset(seed=0)
    assert env.task is not None
    assert "- attic: doors to the hall" in str(env.task.prompt)
    for change, says in (({"paths": None}, "not like those"), ({"thief": 2}, "leave"), ({"lie": 1}, "leave")):
        path.write_text(json.dumps({"metadata": {"case": {**CASE, **change}}}))
        with pytest.raises(TaskError, match=says):
            Detective(tasks=path).reset(seed=0)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ConfigError):
        Detective(level="harder")  # type: ignore[arg-type]


def test_tasks_travel_to_other_processes() -> None:
    tasks = Detective().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
