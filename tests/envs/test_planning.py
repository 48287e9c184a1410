from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from itertools import permutations, product
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from llmgym.env import ToolEnv
from llmgym.envs.planning import Planning, schedules, tours
from llmgym.envs.planning.plans import Unreadable, read_reply
from llmgym.envs.planning.problems import KINDS, passes
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import assistant, tool_call
from llmgym.tasks import Task
from tests.envs.checks import DEGENERATE, oracle_rewards, policy_reward

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"level": "easy"},
    "tools": {"mode": "tools", "max_turns": 12},
    "hard": {"level": "hard"},
}
CAFE: dict[str, Any] = {
    "kind": "schedule",
    "theme": "open a cafe",
    "workers": ["Ada", "Bruno"],
    "jobs": [
        {"name": "menu", "hours": 2, "by": ["Ada"], "after": [], "from": 0},
        {"name": "oven", "hours": 3, "by": ["Ada", "Bruno"], "after": [], "from": 1},
        {"name": "tasting", "hours": 1, "by": ["Bruno"], "after": ["menu", "oven"], "from": 0},
    ],
    "goal": 5,
}
DAY: dict[str, Any] = {
    "kind": "tour",
    "town": "Oakhurst",
    "places": [
        {"name": "zoo", "opens": 0, "closes": 120, "stay": 60, "price": 5, "worth": 10},
        {"name": "park", "opens": 60, "closes": 300, "stay": 30, "price": 0, "worth": 4},
        {"name": "tower", "opens": 0, "closes": 300, "stay": 60, "price": 8, "worth": 7},
    ],
    "travel": [[0, 20, 30, 40], [20, 0, 10, 30], [30, 10, 0, 20], [40, 30, 20, 0]],
    "end": 260,
    "budget": 10,
    "goal": None,
}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(Planning(**arguments, split=split)) == [1.0] * 20


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_nothing(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(Planning(**arguments), DEGENERATE[policy]) < 0.05


def test_tasks_are_many_and_splits_are_apart(arguments: dict[str, Any]) -> None:
    env = Planning(**arguments)
    train = {env.tasks.draw("train", seed, 0).content_hash for seed in range(300)}
    assert len(train) == 300
    assert not train & {env.tasks.draw("test", seed, 0).content_hash for seed in range(40)}


def _blind(problem: Mapping[str, Any]) -> list[str]:
    """What one might reply without having planned anything."""
    goal = problem["goal"] or 10
    worse = 1 if problem["kind"] == "schedule" else -1
    found = [json.dumps({"impossible": True, "best": goal + worse * step}) for step in range(8)]
    found += [json.dumps({"plan": plan}) for plan in KINDS[problem["kind"]].careless(problem)]
    if problem["kind"] == "tour":
        names = [place["name"] for place in problem["places"]]
        found += [json.dumps({"plan": names[::-1]}), json.dumps({"plan": names[:2]}), json.dumps({"plan": names[:3]})]
    else:
        at_once = [{"job": job["name"], "worker": job["by"][0], "start": 0} for job in problem["jobs"]]
        found.append(json.dumps({"plan": at_once}))
    return found


@pytest.mark.parametrize("name", ["base", "easy", "hard"])
def test_blind_plans_earn_little(name: str) -> None:
    env, won = Planning(**VARIANTS[name]), Counter[tuple[int, str]]()
    tasks = [env.tasks.draw("train", seed, 0) for seed in range(200)]
    for task in tasks:
        problem = task.metadata["problem"]
        for index, reply in enumerate(_blind(problem)):
            with suppress(Unreadable):
                won[index, problem["kind"]] += passes(problem, read_reply(reply, problem), task.answer["best"])
    assert max(won.values()) <= 0.05 * 100, won
    assert 10 < sum(task.answer["plan"] is None for task in tasks) < 40


def _reward(env: ToolEnv, task: Task, reply: str) -> float:
    env.reset(options={"task": task})
    return float(env.step(reply)[1])


def test_near_misses_earn_nothing() -> None:
    env = Planning()
    missed = 0
    for seed in range(60):
        task = env.tasks.draw("train", seed, 0)
        other = env.tasks.draw("train", seed + 1000, 0)
        assert _reward(env, task, json.dumps({"plan": other.answer["plan"], "best": other.answer["best"]})) == 0
        plan = task.answer["plan"]
        if plan is None:
            for best in (task.answer["best"] + 1, task.answer["best"] - 1, task.metadata["problem"]["goal"]):
                assert _reward(env, task, json.dumps({"impossible": True, "best": best})) == 0
            continue
        assert _reward(env, task, json.dumps({"impossible": True, "best": task.answer["best"]})) == 0
        assert _reward(env, task, json.dumps({"plan": [*plan, plan[-1]]})) == 0
        missed += _reward(env, task, json.dumps({"plan": plan[:-1]})) == 0
        if task.metadata["problem"]["kind"] == "schedule":
            late = [{**step, "start": step["start"] + 2} for step in plan]
            early = [{**step, "start": max(0, step["start"] - 1)} for step in plan]
            assert _reward(env, task, json.dumps({"plan": late})) == 0
            assert _reward(env, task, json.dumps({"plan": early})) == 0
    assert missed >= 45


def _slow_search(problem: Mapping[str, Any]) -> int:
    """The earliest end by trying all orders and all people."""
    jobs = problem["jobs"]
    best = 10**9
    for order in permutations(range(len(jobs))):
        for people in product(*(jobs[i]["by"] for i in order)):
            ends: dict[str, int] = {}
            free = dict.fromkeys(problem["workers"], 0)
            for i, worker in zip(order, people, strict=True):
                job = jobs[i]
                if any(earlier not in ends for earlier in job["after"]):
                    break
                start = max([free[worker], job["from"], *(ends[earlier] for earlier in job["after"])])
                ends[job["name"]] = free[worker] = start + job["hours"]
            else:
                best = min(best, *[max(ends.values())])
    return best


def test_the_best_schedule_is_the_best() -> None:
    env = Planning(kinds=["schedule"])
    for seed in range(40):
        task = env.tasks.draw("train", seed, 0)
        problem = task.metadata["problem"]
        if len(problem["jobs"]) == 5:
            assert _slow_search(problem) == task.answer["best"]
        assert schedules.judge(problem, schedules.search(problem)[1])[0] == task.answer["best"]


def test_the_best_tour_is_the_best() -> None:
    env = Planning(kinds=["tour"])
    for seed in range(40):
        task = env.tasks.draw("train", seed, 0)
        problem = task.metadata["problem"]
        names = [place["name"] for place in problem["places"]]
        every = (list(order) for size in range(len(names) + 1) for order in permutations(names, size))
        assert max(tours.judge(problem, order)[0] or 0 for order in every) == task.answer["best"]


def _task(problem: dict[str, Any]) -> Task:
    return Planning.read_row({"metadata": {"problem": problem}})


PLAN: list[dict[str, Any]] = [
    {"job": "menu", "worker": "Ada", "start": 0},
    {"job": "oven", "worker": "Bruno", "start": 1},
    {"job": "tasting", "worker": "Bruno", "start": 4},
]


@pytest.mark.parametrize(
    "reply",
    [
        json.dumps({"plan": PLAN}),
        json.dumps(PLAN),
        json.dumps({"schedule": PLAN}),
        f"Here it is:\n```json\n{json.dumps({'plan': PLAN}, indent=2)}\n```\nAll is done by hour 5.",
        f"<think>[1, 2]</think>{json.dumps({'plan': PLAN})}.",
        f"First I thought of {json.dumps({'plan': PLAN[:2]})}. Better: {json.dumps({'plan': PLAN})}",
        json.dumps({"plan": [{"Task": s["job"].upper(), "by": "the ada" if s["worker"] == "Ada" else s["worker"],
                              "start": f"hour {s['start']}"} for s in PLAN]}).replace("the ada", "ADA"),
        json.dumps({"plan": [[s["job"], s["worker"], float(s["start"])] for s in PLAN]}),
        "1. **menu**: Ada, hour 0\n2. **oven**: Bruno, hour 1\n3. **tasting**: Bruno, hour 4",
        "| job | who | start |\n|---|---|---|\n| Menu | Ada | 0 |\n| Oven | Bruno | 1 |\n| Tasting | Bruno | 4 |",
        "The plan is as follows.\nAda starts the menu at 0 and ends at 2.\nBruno does the oven from 1 to 4.\n"
        "Bruno does the tasting from 4 to 5.",
    ],
)  # fmt: skip
def test_a_schedule_is_read_however_it_is_written(reply: str) -> None:
    assert _reward(Planning(), _task(CAFE), reply) == 1


@pytest.mark.parametrize(
    "plan",
    [
        PLAN[:2],
        [*PLAN, PLAN[0]],
        [PLAN[0], {**PLAN[1], "start": 0}, PLAN[2]],
        [PLAN[0], {**PLAN[1], "worker": "Ada"}, PLAN[2]],
        [{**PLAN[0], "worker": "Bruno"}, *PLAN[1:]],
        [*PLAN[:2], {**PLAN[2], "start": 3}],
        [*PLAN[:2], {**PLAN[2], "start": 5}],
        [*PLAN[:2], {**PLAN[2], "start": -4}],
        [*PLAN[:2], {**PLAN[2], "start": None}],
        [*PLAN[:2], {**PLAN[2], "start": 1e308}],
        [*PLAN[:2], {**PLAN[2], "job": "dance"}],
        [*PLAN[:2], ["tasting"]],
        [],
        "none",
        None,
    ],
)
def test_a_schedule_that_breaks_a_rule_earns_nothing(plan: Any) -> None:
    assert _reward(Planning(), _task(CAFE), json.dumps({"plan": plan})) == 0


@pytest.mark.parametrize(
    ("reply", "reward"),
    [
        ('{"plan": ["zoo", "park"]}', 1),
        ('["Zoo", "the park"]', 1),
        ('{"plan": [{"place": "zoo"}, {"place": "park"}]}', 1),
        ("The best tour: zoo -> park", 1),
        ("1. zoo\n2. park", 1),
        ("Visit the zoo, then the park (at minute 90).", 1),
        ('{"plan": ["park", "zoo"]}', 0),
        ('{"plan": ["zoo"]}', 0),
        ('{"plan": ["zoo", "park", "tower"]}', 0),
        ('{"plan": ["zoo", "park", "zoo"]}', 0),
        ('{"plan": ["zoo", "moon"]}', 0),
        ("", 0),
        ('{"impossible": true, "best": 14}', 0),
    ],
)
def test_tours(reply: str, reward: float) -> None:
    assert _reward(Planning(), _task(DAY), reply) == reward


@pytest.mark.parametrize(
    ("reply", "reward"),
    [
        ('{"impossible": true, "best": 5}', 1),
        ('{"plan": null, "best": "5"}', 1),
        ("No plan does that: it is impossible. The earliest hour is 5.", 1),
        ('{"impossible": true, "best": 6}', 0),
        ('{"impossible": true}', 0),
        ('{"impossible": false, "best": 5}', 0),
        ("It is impossible.", 0),
        (json.dumps({"plan": PLAN}), 0),
    ],
)
def test_what_cannot_be_done(reply: str, reward: float) -> None:
    assert _reward(Planning(), _task({**CAFE, "goal": 4}), reply) == reward


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "reply",
    ["[" * 19_000, "{" * 19_000, '{"plan": ' * 2_000, "zoo " * 5_000, "9" * 19_999, "x" * 200_000, "[1e999]", "\x00"],
)
def test_hostile_replies_earn_nothing(reply: str) -> None:
    assert _reward(Planning(), _task(DAY), reply) == 0
    assert _reward(Planning(), _task(CAFE), reply) == 0


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (PLAN, "It works: all is done at hour 5."),
        (PLAN[:2], "It does not work: tasting is missing."),
        ([{**PLAN[0], "start": 9}, *PLAN[1:]], "It does not work: tasting starts before menu is done."),
        ([[1]], "Error: a step is not of the form"),
        ([], "Error: a step is not of the form"),
        ("menu", "Error: invalid arguments"),
        ([PLAN] * 1000, "Error: a step is not of the form"),
    ],
)
def test_the_tool(plan: Any, says: str) -> None:
    env = Planning(mode="tools", max_turns=3)
    env.reset(options={"task": _task(CAFE)})
    content = env.step(assistant("", tool_call("check_plan", plan=plan)))[0][0]["content"]
    assert content.startswith(says)


def test_own_tasks(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    rows = [{"metadata": {"problem": CAFE}}, {"prompt": "Plan this.", "metadata": {"problem": DAY}}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    env = gymnasium.make("llmgym/Planning-v0", tasks=str(path)).unwrapped
    assert isinstance(env, ToolEnv)
    assert oracle_rewards(env, 2) == [1.0, 1.0]
    for bad in ({}, {"kind": "war"}, {**CAFE, "jobs": None}, {**CAFE, "jobs": CAFE["jobs"] * 9}, {**DAY, "end": 1}):
        path.write_text(json.dumps({"metadata": {"problem": bad}}))
        with pytest.raises(TaskError, match=r"mine\.jsonl:1"):
            Planning(tasks=path).reset(seed=0)


def test_a_problem_says_all_that_counts() -> None:
    text = str(_task(CAFE).prompt)
    assert "- oven: 3 hours, by Ada or Bruno, not before hour 1" in text
    assert "- tasting: 1 hour, by Bruno, after menu and oven are done" in text
    assert "by hour 5" in text


def test_wrong_arguments_are_refused() -> None:
    for arguments in ({"level": "harder"}, {"kinds": []}, {"kinds": ["war"]}, {"mode": "voice"}):
        with pytest.raises(ConfigError):
            Planning(**arguments)  # type: ignore[arg-type]


def test_tasks_travel_to_other_processes() -> None:
    tasks = Planning().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
