"""State of tables: what counts as the same, and what is said of the rest."""

from __future__ import annotations

import copy
import datetime
import random
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from llmgym.verifiers import state

BEFORE: dict[str, Any] = {
    "mails": [
        {"id": 1, "to": "ann@x.org", "subject": "Lunch", "tags": ["new", "food"], "sent_at": "2024-01-05 10:00"},
        {"id": 2, "to": "bob@x.org", "subject": "Report", "tags": [], "sent_at": "2024-01-06 10:00"},
    ],
    "events": [{"id": "e1", "start": 9, "people": ["ann", "bob"]}],
    "settings": {"zone": "UTC", "limit": 3},
}
AFTER = copy.deepcopy(BEFORE)
AFTER["mails"] = [*AFTER["mails"][:1], {"id": 3, "to": "cy@x.org", "subject": "Hi  There", "tags": [], "sent_at": "x"}]
AFTER["events"][0]["start"] = 10


def changed(path: str, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(AFTER)
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = made
    for step in way:
        place = place[step]
    place[last] = value
    return made


def test_the_same_state_is_right_in_any_order_of_rows() -> None:
    shuffled = copy.deepcopy(AFTER)
    shuffled["mails"].reverse()
    verdict = state.check(shuffled, AFTER, before=BEFORE)
    assert verdict
    assert verdict.metrics == {"share": 1, "missing": 0, "extra": 0, "changed": 0}
    state.prove(AFTER, before=BEFORE)


@pytest.mark.parametrize(
    ("found", "detail", "share", "metrics"),
    [
        (
            BEFORE,
            "mails: 1 missing; mails: 1 that should not be there (2); events: 'e1' differs in start",
            0,
            (1, 1, 1),
        ),
        ({**AFTER, "events": BEFORE["events"]}, "events: 'e1' differs in start", 2 / 3, (0, 0, 1)),
        (
            {**AFTER, "mails": BEFORE["mails"]},
            "mails: 1 missing; mails: 1 that should not be there (2)",
            1 / 3,
            (1, 1, 0),
        ),
        (changed("mails.0.tags", ["new"]), "mails: 1 differs in tags", 3 / 4, (0, 0, 1)),
        (changed("settings.limit", 4), "settings differs in limit", 3 / 4, (0, 0, 1)),
        ({**AFTER, "events": []}, "events: 1 missing", 2 / 3, (1, 0, 0)),
        ({**AFTER, "notes": [{"id": 7}]}, "notes: 1 that should not be there (7)", 3 / 4, (0, 1, 0)),
        ({name: table for name, table in AFTER.items() if name != "events"}, "events: 1 missing", 2 / 3, (1, 0, 0)),
    ],
)
def test_what_differs_is_counted_and_named(
    found: dict[str, Any], detail: str, share: float, metrics: tuple[int, int, int]
) -> None:
    verdict = state.check(found, AFTER, before=BEFORE)
    assert (verdict.score, verdict.reason, verdict.detail) == (0, "wrong", detail)
    assert verdict.metrics["share"] == pytest.approx(share)
    assert tuple(verdict.metrics[name] for name in ("missing", "extra", "changed")) == metrics


def test_details_do_not_tell_what_is_right() -> None:
    secret = changed("mails.1.to", "secret@x.org")
    for found in (BEFORE, AFTER, {}, {"mails": [{"id": 3}]}):
        verdict = state.check(found, secret)
        assert verdict.score == 0
        assert "secret" not in verdict.detail


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, True),
        (0.1 + 0.2, 0.3, True),
        (1, "1", False),
        (None, "", False),
        (None, 0, False),
        (float("nan"), float("nan"), True),
        (2**70, 2**70 + 1, False),
        ("a", "a ", False),
        ("a", b"a", False),
        ([1, 2], (1, 2.0), True),
        ([1, 2], [2, 1], False),
        ({"a": 1, "b": None}, {"b": None, "a": 1.0}, True),
        ({"a": 1, "b": None}, {"a": 1}, False),
        (datetime.date(2024, 1, 5), "2024-01-05", True),
        (datetime.datetime(2024, 1, 5, 10), "2024-01-05 10:00:00", True),
    ],
)
@pytest.mark.parametrize("key", ["id", "none"])
def test_values_are_equal_by_value(one: Any, other: Any, same: bool, key: str) -> None:
    left, right = ({"t": [{"id": 1, "v": value}]} for value in (one, other))
    assert bool(state.check(left, right, keys=key)) is same
    assert bool(state.check(right, left, keys=key)) is same
    assert bool(state.check({"t": one}, {"t": other})) is same


def test_columns_that_are_made_by_chance_do_not_count() -> None:
    found = changed("mails.1.sent_at", "now")
    assert not state.check(found, AFTER)
    assert state.check(found, AFTER, ignore=["sent_at"])
    assert state.check(found, AFTER, ignore=["mails.sent_at"])
    assert not state.check(found, AFTER, ignore=["events.sent_at"])


def test_rows_without_a_key_are_a_bag() -> None:
    found = changed("mails.1.id", 99)
    assert not state.check(found, AFTER)
    assert state.check(found, AFTER, ignore=["mails.id"])
    twice = {**AFTER, "mails": [*AFTER["mails"], {**AFTER["mails"][1], "id": 4}]}
    verdict = state.check(twice, AFTER, before=BEFORE, ignore=["mails.id"])
    assert (verdict.score, verdict.detail) == (0, "mails: 1 that should not be there")
    assert verdict.metrics == {"share": 3 / 4, "missing": 0, "extra": 1, "changed": 0}


def test_a_key_that_is_there_twice_is_one_row_too_many() -> None:
    twice = {**AFTER, "events": AFTER["events"] * 2}
    verdict = state.check(twice, AFTER)
    assert (verdict.score, verdict.detail) == (0, "events: 1 that should not be there")
    assert state.check(twice, twice)


def test_columns_have_rules() -> None:
    found = changed("mails.1.subject", "hi there ")
    found["events"][0]["people"] = ["bob", "ann"]
    assert not state.check(found, AFTER)
    rules: dict[str, state.Rule] = {"mails.subject": "text", "people": "unordered"}
    assert state.check(found, AFTER, rules=rules)
    found["events"][0]["people"] = ["bob", "ann", "ann"]
    assert not state.check(found, AFTER, rules=rules)
    assert state.check({"t": [{"id": 1, "d": "5.1.24"}]}, {"t": [{"id": 1, "d": "05.01.24"}]}, rules={"d": _day})
    assert not state.check({"t": [{"id": 1, "d": "tomorrow"}]}, {"t": [{"id": 1, "d": "05.01.24"}]}, rules={"d": _day})


def _day(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def test_databases_are_states() -> None:
    made = []
    for mail in ("Hi", "Hi", "Ho"):
        connection = sqlite3.connect(":memory:")
        connection.execute("create table mails(id integer primary key autoincrement, subject text)")
        connection.execute("insert into mails(subject) values (?)", [mail])
        made.append(connection)
    same, right, other = made
    assert state.check(same, right, before={"mails": []})
    assert state.check(same, {"mails": [{"id": 1, "subject": "Hi"}]})
    assert state.check(other, right).detail == "mails: 1 differs in subject"
    for connection in made:
        connection.close()
    assert state.check(same, {}).reason == "infrastructure"


@pytest.mark.parametrize("found", [None, 5, "mails", [1, 2], b"\x00"])
def test_what_is_no_state_is_wrong(found: Any) -> None:
    assert state.check(found, AFTER).reason == "unparsable"
    assert state.check(AFTER, found).reason == "invalid_reference"


def test_states_are_bounded() -> None:
    assert state.check({"t": [{}] * 100_001}, AFTER).reason == "too_long"
    deep: list[Any] = []
    deep.append(deep)
    assert state.check({"t": [{"id": 1, "v": deep}]}, {"t": [{"id": 1, "v": 1}]}).reason == "unparsable"


@pytest.mark.parametrize(
    ("reference", "options", "said"),
    [
        (BEFORE, {}, "who does nothing is right"),
        (AFTER, {"ignore": ["send_at"]}, "there is no column 'send_at'"),
        (AFTER, {"ignore": ["mail.id"]}, "there is no column 'mail.id'"),
        (AFTER, {"rules": {"events.peeple": "unordered"}}, "there is no column 'events.peeple'"),
        (None, {}, "a state is tables by name"),
    ],
)
def test_tasks_that_say_nothing_are_found(reference: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=said):
        state.prove(reference, before=BEFORE, **options)


CELLS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=2), inner, max_size=2)),
    max_leaves=4,
)
TABLES = st.dictionaries(
    st.sampled_from("tuv"),
    st.lists(st.dictionaries(st.sampled_from(["id", "a", "b"]), CELLS), max_size=4),
)


@given(TABLES, TABLES)
def test_the_comparison_is_symmetric_and_finds_what_is_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert state.check(one, one, before=other)
    assert bool(state.check(one, other)) == bool(state.check(other, one))


@given(TABLES, TABLES, st.randoms(use_true_random=False))
def test_shares_are_shares(one: dict[str, Any], other: dict[str, Any], rng: random.Random) -> None:
    for table in one.values():
        rng.shuffle(table)
    verdict = state.check(one, other, before={"t": [{"id": 1}]})
    assert 0 <= verdict.metrics["share"] <= 1
    assert (verdict.metrics["share"] == 1) >= (verdict.score == 1)
    idle = state.check(other, one, before=other)
    assert idle or idle.metrics["share"] < 1


@given(st.one_of(CELLS, st.dictionaries(st.text(max_size=2), CELLS)))
def test_no_answer_raises(answer: Any) -> None:
    assert state.check(answer, AFTER).score == 0
