from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.office import Desk
from llmgym.envs.office.dates import next_weekday
from llmgym.envs.office.tables import MAX_TEXT, MAX_WRITES, PREFIXES, Tables
from llmgym.envs.office.world import SIZES, make_office
from llmgym.envs.workplace import Workplace
from llmgym.envs.workplace.requests import AREAS, KINDS, Requests
from llmgym.errors import ConfigError, TaskError, ToolError
from llmgym.messages import assistant, tool_call
from llmgym.verifiers.structured.schemas import find_faults
from tests.envs.checks import DEGENERATE, oracle_rewards, play, policy_reward

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"size": "small", "goals": [1, 1], "conditional": 0, "simple": True, "all_tools": False},
    "hard": {"size": "large", "goals": [3, 3], "conditional": 0.7, "max_turns": 48},
}
Calls = list[dict[str, Any]]


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_finds_with_the_tools_what_the_answer_was_picked_from(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(Workplace(**arguments, split=split), 20) == [1.0] * 20


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_next_to_nothing(policy: str) -> None:
    assert policy_reward(Workplace(max_turns=4), DEGENERATE[policy], 25) <= 0.05


def test_tasks_are_many(arguments: dict[str, Any]) -> None:
    env = Workplace(**arguments)
    assert len({env.tasks.draw("train", 0, i).content_hash for i in range(100)}) == 100


def drawn(arguments: dict[str, Any], count: int = 40) -> list[Workplace]:
    envs = []
    for seed in range(count):
        env = Workplace(**arguments)
        env.reset(seed=seed)
        envs.append(env)
    return envs


def reward_of(env: Workplace, calls: Calls) -> float:
    return play(env, [*(assistant("", tool_call(call["name"], **call["arguments"])) for call in calls), "Done."])


def test_the_order_of_goals_does_not_matter_and_none_disturbs_another() -> None:
    assert [reward_of(env, env.task.answer[::-1]) for env in drawn(VARIANTS["hard"], 30) if env.task] == [1.0] * 30


def without_the_last(calls: Calls) -> Calls:
    return calls[:-1]


def twice(calls: Calls) -> Calls:
    return [
        *calls,
        {"name": "create_plot", "arguments": {"figure": "visits", "since": "2026-01-01", "until": "2026-01-02"}},
    ]


def with_another_value(calls: Calls) -> Calls:
    *rest, last = calls
    given = dict(last["arguments"])
    for name, other in {
        "body": "No.", "due": "2030-01-01", "owner": "", "assignee": "", "stage": "in progress", "title": "Nothing",
        "start": "2030-01-01 10:00", "status": "qualified", "note": "No.", "until": "2030-01-01", "folder": "spam",
        "to": "nobody@else.example", "participant": "nobody@else.example", "email": "nobody@else.example",
    }.items():  # fmt: skip
        if name in given and given[name] != other and other:
            return [*rest, {"name": last["name"], "arguments": {**given, name: other}}]
    return rest


@pytest.mark.parametrize("change", [without_the_last, twice, with_another_value])
def test_near_misses_earn_nothing(change: Callable[[Calls], Calls]) -> None:
    envs = [env for env in drawn({}) if env.task and env.task.answer]
    assert [reward_of(env, change(list(env.task.answer))) for env in envs if env.task] == [0.0] * len(envs)


def test_another_row_of_the_same_kind_earns_nothing() -> None:
    tried = 0
    for env in drawn({}):
        assert env.task is not None
        calls = json.loads(json.dumps(list(env.task.answer)))
        key = next((name for call in calls[-1:] for name in call["arguments"] if name.endswith("_id")), None)
        if key is None:
            continue
        rows = env.office.rows[f"{key.removesuffix('_id')}s"]
        calls[-1]["arguments"][key] = next(each for each in rows if each != calls[-1]["arguments"][key])
        tried += 1
        assert reward_of(env, calls) == 0
    assert tried > 10


def test_texts_count_as_a_person_would_count_them() -> None:
    office = make_office(3, "small")
    mail = next(iter(office.rows["mails"]))
    right = Desk(office.fresh()).carry_out(
        [{"name": "reply_mail", "arguments": {"mail_id": mail, "body": "It is fine, thanks."}}]
    )
    for body, same in {
        "It is fine, thanks": True, "it is FINE, thanks.": True, '"It is fine, thanks."': True,
        "It is  fine,\nthanks.": True,
        "It is fine.": False, "It is not fine, thanks.": False, "Hello!\nIt is fine, thanks.": False,
    }.items():  # fmt: skip
        made = Desk(office.fresh()).carry_out([{"name": "reply_mail", "arguments": {"mail_id": mail, "body": body}}])
        assert bool(made.compare(right)) == same, body


_EVENT = {"title": "Tea", "start": "2026-03-02 10:00", "minutes": 30, "participants": []}


def test_a_place_may_have_an_article() -> None:
    office = make_office(3, "small")
    made = [
        Desk(office.fresh()).carry_out([{"name": "create_event", "arguments": {**_EVENT, "place": place}}])
        for place in ("Studio", "the studio", "Room 1")
    ]
    assert [bool(each.compare(made[0])) for each in made] == [True, True, False]


def test_what_is_undone_does_not_count() -> None:
    office = make_office(3, "small")
    tables = office.fresh()
    desk, task = Desk(tables), next(iter(tables.rows["tasks"]))
    due = tables.rows["tasks"][task]["due"]
    desk.update_task(task, due="2030-01-01")
    assert not tables.compare(office.fresh())
    desk.update_task(task, due=due)
    desk.cancel_event(desk.create_event("Mistake", "2030-01-01 10:00", 30, [])["created"])
    assert tables.compare(office.fresh())


def test_episodes_share_no_writes() -> None:
    first, second = make_office(9, "small").fresh(), make_office(9, "small").fresh()
    key = next(iter(first.rows["mails"]))
    Desk(first).delete_mail(key)
    assert key in second.rows["mails"]
    assert key in make_office(9, "small").rows["mails"]


@pytest.mark.parametrize("size", SIZES)
def test_offices_are_sound(size: str) -> None:
    for seed in range(20):
        office = make_office(seed, size)
        given = [row["name"].split()[0] for row in office.people.values()]
        assert len(set(given)) == len(given) == SIZES[size][0]
        assert len({row["start"] for row in office.rows["events"].values()}) == SIZES[size][2]
        assert all(row["sent"] < office.now for row in office.rows["mails"].values())
        assert all(row["assignee"] in office.people for row in office.rows["tasks"].values())
    assert make_office(1, size).before == make_office.__wrapped__(1, size).before


@pytest.mark.parametrize(
    ("variant", "digest"),
    [("easy", "199ae289249b14a9"), ("hard", "8f031e3b0eb84b76")],
)
def test_a_seed_makes_the_same_office_and_task_in_every_release(variant: str, digest: str) -> None:
    env, made = Workplace(**VARIANTS[variant]), hashlib.sha256()
    for index in range(10):
        task = env.tasks.draw("train", 0, index)
        office = make_office(task.metadata["office"], task.metadata["size"])
        tables = [office.before[name] for name in PREFIXES]
        made.update(orjson.dumps([task.prompt, task.answer, tables, office.visits, office.people, office.now]))
    assert made.hexdigest()[:16] == digest


def test_every_kind_comes_up() -> None:
    import numpy as np

    made = Requests("medium", (1, 1), 0.0, False)
    tasks = [made(np.random.default_rng(seed)) for seed in range(250)]
    assert {task.metadata["plan"][0][0] for task in tasks} == set(KINDS)
    idle = Requests("medium", (1, 2), 1.0, False)
    share = sum(not idle(np.random.default_rng(seed)).answer for seed in range(200)) / 200
    assert 0 < share < 0.1


def test_next_weeks_days() -> None:
    assert next_weekday("2026-03-02", 0) == "2026-03-09"
    assert next_weekday("2026-03-06", 4) == "2026-03-13"
    assert next_weekday("2026-03-08", 0) == "2026-03-09"


def test_easy_tasks_offer_the_tools_that_they_need() -> None:
    env = Workplace(**VARIANTS["easy"])
    for seed in range(10):
        _, info = env.reset(seed=seed)
        assert 5 <= len(info["tools"]) <= 8
    assert len(Workplace.tools) == 28


@pytest.fixture
def desk() -> Desk:
    return Desk(make_office(5, "small").fresh())


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("read_mail", {"mail_id": "mail-9" * 50}, "search for it to see its id"),
        ("reply_mail", {"mail_id": "task-1", "body": "x"}, "no mail with the id"),
        ("send_mail", {"to": "Ada, Bob", "subject": "x", "body": "x"}, "is not one address"),
        ("send_mail", {"to": "a@b.example", "subject": "x", "body": " \n"}, "body is empty"),
        ("send_mail", {"to": "a@b.example", "subject": "x", "body": "x" * (MAX_TEXT + 1)}, "longer than"),
        ("create_event", {"title": "x", "start": "tomorrow", "minutes": 5, "participants": []}, "2026-03-02 14:30"),
        ("create_event", {"title": "x", "start": "2026-03-02", "minutes": 5, "participants": []}, "a time"),
        (
            "create_event",
            {"title": "x", "start": "2026-03-02 10:00", "minutes": 5, "participants": ["a@b.c"] * 51},
            "50",
        ),
        ("update_event", {"event_id": "event-1"}, "nothing was changed"),
        ("search_tasks", {"due_until": "32 May"}, "no date"),
        (
            "create_task",
            {"title": "x", "assignee": "a@b.example", "board": "Website", "due": "2026-03-02"},
            "colleague",
        ),
        ("count_visits", {"since": "\0", "until": "2026-03-02"}, "no date"),
    ],
)
def test_mistakes_are_answered_with_the_next_step(desk: Desk, name: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolError, match=said):
        getattr(desk, name)(**arguments)
    assert not desk.office.journal


def test_an_empty_argument_is_one_that_is_left_out(desk: Desk) -> None:
    assert desk.search_tasks(text="", assignee="", due_since="") == desk.search_tasks()
    assert desk.search_customers(owner="") == desk.search_customers()
    assert desk.search_events(participant="") == desk.search_events()
    assert desk.search_mails(sender="", recipient="") == desk.search_mails()
    key = next(iter(desk.office.rows["tasks"]))
    assert desk.update_task(key, assignee="", due="", stage="done") == {"changed": key, "stage": "done"}


def test_quotes_around_words_are_not_searched_for(desk: Desk) -> None:
    subject = next(iter(desk.office.rows["mails"].values()))["subject"]
    assert desk.search_mails(text=f'"{subject}"') == desk.search_mails(text=subject) != {"found": 0, "rows": []}


def test_writes_end_somewhere(desk: Desk) -> None:
    for _ in range(MAX_WRITES):
        desk.create_plot("visits", "2026-03-02", "2026-03-03")
    with pytest.raises(ToolError, match="200 changes"):
        desk.create_plot("visits", "2026-03-02", "2026-03-03")


def test_times_are_read_as_people_write_them(desk: Desk) -> None:
    for start in ("2026-03-02 14:30", "2026-03-02T14:30", "2026-03-02T14:30:00", " 2026-03-02 14:30:00 "):
        assert desk.create_event("x", start, 30, [])["start"] == "2026-03-02 14:30"


def test_a_search_says_how_many_there_are() -> None:
    found = Desk(make_office(5, "large").fresh()).search_mails()
    assert (found["found"], len(found["rows"])) == (200, 25)
    assert found["rows"][0]["sent"] >= found["rows"][1]["sent"]
    assert "25" in found["note"]


@given(st.text(max_size=60))
def test_any_text_is_searched_for(text: str) -> None:
    desk = Desk(make_office(5, "small").fresh())
    for search in (
        desk.find_people,
        lambda text: desk.search_mails(text=text),
        lambda text: desk.search_tasks(text=text),
    ):
        assert search(text)["found"] >= 0


ROW: dict[str, Any] = {
    "prompt": "Delete the mail from Bo.",
    "now": "2026-03-02 09:30",
    "tables": {
        "people": [
            {"name": "Ann Lee", "email": "ann@firm.example", "team": "Sales"},
            {"name": "Bo Kim", "email": "bo@firm.example", "team": "Sales"},
        ],
        "mails": [
            {"id": "mail-1001", "folder": "inbox", "sender": "bo@firm.example", "to": "ann@firm.example",
             "subject": "Hello", "sent": "2026-03-01 10:00", "body": "Hello!"},
        ],
    },
    "answer": [{"name": "delete_mail", "arguments": {"mail_id": "mail-1001"}}],
}  # fmt: skip


def own(tmp_path: Path, row: dict[str, Any]) -> Any:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    return Workplace(tasks=path)


def test_rows_with_tables_of_their_own(tmp_path: Path) -> None:
    assert not find_faults(ROW, Workplace.row_schema())
    env = own(tmp_path, ROW)
    observation, info = env.reset(seed=0)
    assert "Ann Lee" in observation[0]["content"]
    assert len(info["tools"]) == 28
    assert play(env, env.oracle(env.task)) == 1
    env.reset(seed=0)
    found = env.step(assistant("", tool_call("search_mails", sender="bo@firm.example")))[0][-1]
    assert json.loads(found["content"])["rows"][0]["subject"] == "Hello"
    assert play(env, ["Done."]) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": [{"name": "delete_mail", "arguments": {"mail_id": "mail-2"}}]}, "no mail with the id"),
        ({"answer": [{"name": "fly", "arguments": {}}]}, "fly"),
        ({"answer": [{"name": "delete_mail", "arguments": {"mail": "mail-1001"}}]}, "mail"),
        ({"answer": "delete it"}, "answer"),
        ({"now": "today"}, "now"),
        ({"tables": {"people": []}}, "people"),
        ({"ground_truth": [{"name": "email_delete_email", "arguments": "{}"}]}, "no tools"),
    ],
)
def test_malformed_rows(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=rf"rows\.jsonl:1: .*{said}"):
        own(tmp_path, {**ROW, **change}).reset(seed=0)


@pytest.mark.parametrize(
    "arguments", [{"size": "huge"}, {"goals": [2, 1]}, {"goals": [0, 1]}, {"goals": [4, 4]}, {"conditional": 2}]
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is"):
        Workplace(**arguments)


def test_areas_are_enough_for_the_most_goals() -> None:
    env = Workplace(goals=[3, 3], conditional=1)
    assert oracle_rewards(env, 20) == [1.0] * 20
    assert len(AREAS) == 5
    assert isinstance(make_office(1, "small"), Tables)
