from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llmgym.envs.error_recovery import ErrorRecovery
from llmgym.envs.error_recovery.problems import TROUBLES, Problems
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import Message, assistant, tool_call
from llmgym.registry import list_envs, register_envs
from llmgym.tasks import Task
from tests.envs.checks import DEGENERATE, distinct_share, oracle_rewards, play, policy_reward

register_envs()
VARIANTS: dict[str, dict[str, Any]] = {
    entry.id.split("/")[1]: {**entry.kwargs, "max_turns": entry.max_turns}
    for entry in list_envs()
    if entry.base == "llmgym/ErrorRecovery-v0"
}
EVERYTHING = {"troubles": (6, 6), "entries": (9, 16), "balance": False, "max_turns": 64}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(ErrorRecovery(**arguments, split=split), 20) == [1.0] * 20


@pytest.mark.parametrize("kind", ["count", "book"])
def test_the_oracle_copes_with_everything_at_once(kind: str) -> None:
    assert oracle_rewards(ErrorRecovery(**EVERYTHING, kinds=[kind]), 20) == [1.0] * 20


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_little(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(ErrorRecovery(**arguments), DEGENERATE[policy], 25) < 0.05


Asked = Callable[..., Any]


def played(env: ErrorRecovery, task: Task, act: Callable[[Task, Asked], Any]) -> float:
    """The reward of who calls tools by a function, which gives what is answered, or None for an error."""
    env.reset(options={"task": task})
    ended: list[float] = []

    def ask(called: str, /, **arguments: Any) -> Any:
        messages, reward, _, truncated, _ = env.step(assistant("", tool_call(called, **arguments)))
        if truncated:
            ended.append(reward)
            raise EOFError
        text = messages[-1]["content"]
        return json.loads(text) if text.startswith(("{", "[")) else None

    try:
        said = act(task, ask)
    except EOFError:
        return ended[0]
    return float(env.step(f"{said}")[1])


def insist(ask: Asked, called: str, /, **arguments: Any) -> Any:
    for _ in range(5):
        if (answer := ask(called, **arguments)) is not None:
            return answer
    return None


def codes(task: Task, ask: Asked) -> Iterator[str]:
    for one in task.metadata["wanted"]:
        found = insist(ask, "find_item", name=one["name"])
        yield next(item["item_id"] for item in found if item["town"] == one["town"])


def believes_the_report(task: Task, ask: Asked) -> int:
    reports = [insist(ask, "stock_report", item_id=code) for code in codes(task, ask)]
    return sum(report["quantity"] for report in reports if report)


def reads_one_page(task: Task, ask: Asked) -> int:
    pages = [insist(ask, "ledger", item_id=code, page="start") or insist(ask, "ledger", item_id=code, page=1)
             for code in codes(task, ask)]  # fmt: skip
    return sum(page["entries"][-1].get("balance", 0) for page in pages if page)


def gives_up(task: Task, ask: Asked) -> str:
    found = ask("find_item", name=task.metadata["wanted"][0]["name"])
    return (
        "It cannot be found out." if found is None or ask("ledger", item_id=found[0]["item_id"]) is None else "Sorry."
    )


def repeats_for_ever(task: Task, ask: Asked) -> int:
    while True:
        ask("find_item", name="nothing of the kind")


@pytest.mark.parametrize("act", [believes_the_report, gives_up, repeats_for_ever])
def test_who_believes_gives_up_or_repeats_earns_nothing(arguments: dict[str, Any], act: Any) -> None:
    env = ErrorRecovery(**arguments)
    assert sum(played(env, env.tasks.plan("train", 1, index), act) for index in range(30)) == 0


def test_who_reads_one_page_earns_nothing() -> None:
    env = ErrorRecovery(entries=(6, 12))
    assert sum(played(env, env.tasks.plan("train", 1, index), reads_one_page) for index in range(30)) == 0


def books(task: Task, ask: Asked, times: int) -> int:
    """Book so often as no answer comes, and state the right number all the same."""
    for _, change, reference in task.answer["booked"]:
        code = next(code for code, units, _ in task.answer["booked"] if units == change)
        for _ in range(times):
            if ask("book", item_id=code, change=change, reference=reference):
                break
    return task.answer["number"]


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_who_does_not_look_whether_it_was_booked_earns_nothing(times: int) -> None:
    env = ErrorRecovery(kinds=["book"])
    for index in range(20):
        task = env.tasks.plan("train", 2, index)
        assert played(env, task, lambda task, ask: books(task, ask, times)) == 0
        assert env.metrics["booked"] == {0: 0, 1: 1}.get(times, 3)


def test_near_misses_earn_nothing(arguments: dict[str, Any]) -> None:
    env = ErrorRecovery(**arguments)
    for index in range(15):
        task = env.tasks.plan("train", 3, index)
        env.reset(options={"task": task})
        said: list[Message | str] = []
        for message in env.oracle(task):
            said.append(message)
            env.step(message)
        number = task.answer["number"]
        for last, reward in (
            (f"**{number}**", 1), (f"There are {number} units.", 1), (f"{number + 1}", 0),
            (f"{round(number * 1.05)}", 0),
            ("It was found out.", 0), (f"{number} or {number + 5}", 0), ("reward: 1", 0),
        ):  # fmt: skip
            env.reset(options={"task": task})
            assert play(env, [*said[:-1], last]) == reward


def test_what_the_service_says() -> None:
    item: dict[str, Any] = {
        "id": "A1", "name": "lamp", "town": "Whitby",
        "report": {"item_id": "A1", "quantity": 300, "as_of": "2025-01-01"},
        "entries": [{"day": f"2025-01-0{at}", "change": 12, "reference": f"AB-000{at}"} for at in range(1, 7)],
    }  # fmt: skip
    troubles = {
        "fails": {"find_item": 1}, "gone": ["stock_report"], "tokens": ["t1", "t2"], "tokens_from": 2, "dozens": True,
        "timeouts": {"A1": False},
    }  # fmt: skip
    metadata = {"items": [item], "troubles": troubles, "balance": False, "wanted": []}
    env = ErrorRecovery()
    env.reset(options={"task": Task(prompt="?", answer={"number": 72, "booked": []}, metadata=metadata)})

    def ask(called: str, /, **arguments: Any) -> str:
        return env.step(assistant("", tool_call(called, **arguments)))[0][-1]["content"]

    assert "503" in ask("find_item", name="lamp")
    assert '"item_id":"A1"' in ask("find_item", name=" LAMP ")
    assert "no item is called" in ask("find_item", name="x" * 100_000)
    assert "switched off" in ask("stock_report", item_id="A1")
    assert "there is no item" in ask("ledger", item_id="Z9")
    assert '"pages":2' in ask("ledger", item_id="a1")
    assert "has changed" in ask("ledger", item_id="A1", page=2)
    assert '"next":"t1"' in ask("ledger", item_id="A1", page="start")
    last = ask("ledger", item_id="A1", page="t1")
    assert '"next":null' in last
    assert '"change_in_dozens":1' in last
    assert "has changed" in ask("ledger", item_id="A1", page="t2")
    assert "not 0" in ask("book", item_id="A1", change=0, reference="R")
    assert "timeout" in ask("book", item_id="A1", change=5, reference="R")
    assert env.service.booked == []
    assert "written" in ask("book", item_id="A1", change=5, reference="R")
    assert env.service.booked == [("A1", 5, "R")]
    assert "Error" in ask("book", item_id={"a": [1] * 1000}, change="many", reference=None)
    assert env.metrics["failures"] == 8
    assert env.metrics["retries"] == 1


def test_every_trouble_occurs_and_reports_are_always_wrong() -> None:
    seen = dict.fromkeys(TROUBLES, 0)
    env = ErrorRecovery(**{**EVERYTHING, "troubles": (1, 3)})
    for index in range(200):
        metadata = env.tasks.plan("train", 1, index).metadata
        troubles = metadata["troubles"]
        seen["find_fails"] += "find_item" in troubles["fails"]
        seen["ledger_fails"] += "ledger" in troubles["fails"]
        seen["report_gone"] += "gone" in troubles
        seen["tokens"] += "tokens" in troubles
        seen["dozens"] += "dozens" in troubles
        seen["towns"] += len(metadata["items"]) > len(metadata["wanted"])
        for item in metadata["items"]:
            changes = [entry["change"] for entry in item["entries"]]
            assert item["report"]["quantity"] != sum(changes)
            assert all(sum(changes[:at]) > 0 for at in range(1, len(changes)))
        assert len({item["id"] for item in metadata["items"]}) == len(metadata["items"])
        lost = list(troubles.get("timeouts", {}).values())
        assert sorted(lost) in ([], [False, True])
    assert min(seen.values()) > 30


def test_rows(tmp_path: Path) -> None:
    task = ErrorRecovery().tasks.plan("train", 1, 1)
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": task.prompt, "answer": task.answer, "metadata": task.metadata}))
    assert oracle_rewards(ErrorRecovery(tasks=path), 1) == [1.0]
    path.write_text(json.dumps({"prompt": "How many?", "answer": 7}))
    with pytest.raises(TaskError, match=r"rows\.jsonl:1: the metadata has no 'items'"):
        ErrorRecovery(tasks=path).reset(seed=0)


@pytest.mark.parametrize(
    "arguments", [{"kinds": ["x"]}, {"kinds": []}, {"troubles": (0, 1)}, {"troubles": (1, 7)}, {"entries": (1, 9)}]
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ErrorRecovery(**arguments)


def test_tasks_are_many() -> None:
    env = pickle.loads(pickle.dumps(ErrorRecovery(**VARIANTS["ErrorRecovery-easy-v0"])))
    assert pickle.loads(pickle.dumps(Problems(("count",), (1, 1), (2, 4), True))) == Problems(
        ("count",), (1, 1), (2, 4), True
    )
    assert distinct_share(env) >= 0.99
