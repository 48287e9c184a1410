"""Rows of NeMo Gym's workplace_assistant on tables in its shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmgym.envs.workplace import Workplace
from llmgym.envs.workplace.nemo_gym import NAMES, NemoOffice
from llmgym.envs.workplace.nemo_tables import load
from llmgym.errors import EnvironmentFailure, TaskError, ToolError
from llmgym.messages import assistant, tool_call
from llmgym.verifiers.structured.schemas import find_faults
from tests.envs.checks import play

TABLES = {
    "processed/emails.csv": """email_id,inbox/outbox,sender/recipient,subject,sent_datetime,body
00000001,inbox,ann.lee@firm.example,Budget,2023-11-01 10:00:00,"Sam,

the numbers."
00000002,inbox,bo.kim@firm.example,Budget,2023-11-20 10:00:00,Later.
00000003,outbox,bo.kim@firm.example,Travel,2023-11-02 10:00:00,Soon.
""",
    "processed/calendar_events.csv": """event_id,event_name,participant_email,event_start,duration
00000001,Standup,ann.lee@firm.example,2023-12-01 09:00:00,30
00000002,Review,bo.kim@firm.example,2023-12-01 15:30:00,60
""",
    "processed/project_tasks.csv": """task_id,task_name,assigned_to_email,list_name,due_date,board
00000001,Add a button,ann.lee@firm.example,Backlog,2023-11-27,Front end
00000002,Add a table,bo.kim@firm.example,Completed,2023-12-27,Back end
""",
    "processed/customer_relationship_manager_data.csv": (
        "customer_id,assigned_to_email,customer_name,customer_email,customer_phone,last_contact_date,product_interest,"
        "status,follow_up_by,notes\n"
        "00000001,ann.lee@firm.example,Jo Ray,jo@ray,,2023-11-30 23:59:00,Software,Lead,2023-12-22 23:59:00,Call.\n"
        "00000002,ann.lee@firm.example,Al May,al@may,,2023-10-30 23:59:00,Hardware,Won,,\n"
    ),
    "processed/analytics_data.csv": (
        "date_of_visit,visitor_id,page_views,session_duration_seconds,traffic_source,user_engaged\n"
        "2023-11-22,4426,3,12,direct,True\n"
        "2023-11-22,4427,1,4,referral,False\n"
        "2023-11-21,4428,1,5,direct,False\n"
    ),
    "raw/email_addresses.csv": "ann.lee@firm.example\nbo.kim@firm.example\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in TABLES.items():
        path = tmp_path / "csv_data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "csv_data"


@pytest.fixture
def office(folder: Path) -> NemoOffice:
    return NemoOffice(load(folder))


def schema(name: str, *arguments: str) -> dict[str, Any]:
    properties = {argument: {"type": "string"} for argument in arguments}
    parameters = {"type": "object", "properties": properties, "required": [], "additionalProperties": False}
    return {"type": "function", "name": name, "description": name, "parameters": parameters, "strict": False}


def row(*calls: tuple[str, dict[str, str]]) -> dict[str, Any]:
    return {
        "id": 0,
        "responses_create_params": {
            "input": [
                {"role": "system", "content": "Today's date is Thursday, 2023-11-30."},
                {"role": "user", "content": "Reply to Bo's last email with 'Fine.'"},
            ],
            "tools": [
                schema("email_search_emails", "query"),
                schema("email_reply_email", "email_id", "body"),
                schema("email_send_email", "recipient", "subject", "body"),
                schema("email_delete_email", "email_id"),
            ],
        },
        "ground_truth": [{"name": name, "arguments": json.dumps(arguments)} for name, arguments in calls],
        "category": "workplace_assistant_email",
        "environment_name": "workplace_assistant",
    }


REPLY = ("email_reply_email", {"email_id": "00000002", "body": "Fine."})


def made(tmp_path: Path, given: dict[str, Any], folder: Path | None) -> Any:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(given))
    return Workplace(tasks=path, nemo_gym_tables=folder)


def test_a_row_is_played_with_its_own_tools(tmp_path: Path, folder: Path) -> None:
    assert not find_faults(row(REPLY), Workplace.row_schema())
    env = made(tmp_path, row(REPLY), folder)
    observation, info = env.reset(seed=0)
    assert [message["role"] for message in observation] == ["system", "user"]
    assert info["tools"][0]["function"]["name"] == "email_search_emails"
    assert play(env, env.oracle(env.task)) == 1
    env.reset(seed=0)
    answer = env.step(assistant("", tool_call("email_search_emails", query="bo.kim")))[0][-1]["content"]
    assert [mail["email_id"] for mail in json.loads(answer)["emails"]] == ["00000002", "00000003"]
    refused = env.step(assistant("", tool_call("email_delete_email", email_id="9")))[0][-1]["content"]
    assert "not found" in refused
    assert play(env, [assistant("", tool_call(REPLY[0], **{**REPLY[1], "body": "FINE."})), "Done."]) == 1


@pytest.mark.parametrize(
    "calls",
    [
        [],
        [("email_reply_email", {"email_id": "00000001", "body": "Fine."})],
        [("email_reply_email", {"email_id": "00000002", "body": "Fine!"})],
        [REPLY, REPLY],
        [REPLY, ("email_delete_email", {"email_id": "00000001"})],
    ],
)
def test_near_misses_earn_nothing(tmp_path: Path, folder: Path, calls: list[tuple[str, dict[str, str]]]) -> None:
    env = made(tmp_path, row(REPLY), folder)
    env.reset(seed=0)
    messages = [assistant("", tool_call(name, **arguments)) for name, arguments in calls]
    assert play(env, [*messages, "Done."]) == 0


def test_calls_in_another_order_are_right(office: NemoOffice) -> None:
    calls = [
        {"name": "email_send_email", "arguments": {"recipient": "a@b.example", "subject": subject, "body": "x"}}
        for subject in ("One", "Two")
    ]
    for call in reversed(calls):
        office.call(call["name"], call["arguments"])
    assert office.judge(calls)
    assert not office.judge(calls[:1])


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("company_directory_find_email_address", {"name": "ANN"}, ["ann.lee@firm.example"]),
        ("email_get_email_information_by_id", {"email_id": "00000001", "field": "subject"}, {"subject": "Budget"}),
        ("calendar_create_event",
         {"event_name": "A", "participant_email": "X@Y.example", "event_start": "2023-12-01", "duration": "30"},
         "00000003"),
        ("project_management_create_task",
         {"task_name": "A", "assigned_to_email": "ann.lee@firm.example", "list_name": "Backlog",
          "due_date": "2023-12-01", "board": "Design"}, "00000003"),
        ("customer_relationship_manager_add_customer",
         {"customer_name": "A", "assigned_to_email": "ann.lee@firm.example", "status": "Lead"}, "00000003"),
        ("analytics_total_visits_count", {}, {"2023-11-21": 1, "2023-11-22": 2}),
        ("analytics_engaged_users_count", {"time_min": "2023-11-22"}, {"2023-11-22": 1}),
        ("analytics_traffic_source_count", {"traffic_source": "direct"}, {"2023-11-21": 1, "2023-11-22": 1}),
        ("analytics_get_average_session_duration", {"time_max": "2023-11-22"}, {"2023-11-21": 5.0, "2023-11-22": 8.0}),
        ("analytics_create_plot",
         {"time_min": "a", "time_max": "b", "value_to_plot": "total_visits", "plot_type": "bar"},
         "plots/a_b_total_visits_bar.png"),
    ],
)  # fmt: skip
def test_tools_answer_as_the_server_does(office: NemoOffice, name: str, arguments: dict[str, Any], answer: Any) -> None:
    assert office.call(name, arguments) == answer


@pytest.mark.parametrize(
    ("name", "arguments", "found"),
    [
        ("project_management_search_tasks", {"task_name": "ADD", "board": "front"}, ["00000001"]),
        ("customer_relationship_manager_search_customers", {"status": "won"}, ["00000002"]),
        ("customer_relationship_manager_search_customers", {"follow_up_by_min": "2023-01-01"}, ["00000001"]),
        ("customer_relationship_manager_search_customers", {"last_contact_date_max": "2023-11-01"}, ["00000002"]),
        ("calendar_search_events", {"time_min": "2023-12-01 10:00"}, ["00000002"]),
        ("email_search_emails", {"query": "budget", "date_max": "2023-11-01"}, ["00000001"]),
        ("email_search_emails", {"page": 2, "page_size": 2}, ["00000001"]),
    ],
)
def test_searches(office: NemoOffice, name: str, arguments: dict[str, Any], found: list[str]) -> None:
    answer = office.call(name, arguments)
    rows = answer if isinstance(answer, list) else next(iter(answer.values()))
    assert [next(value for key, value in row.items() if key.endswith("_id")) for row in rows] == found


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("email_send_email", {"recipient": "nobody", "subject": "x", "body": "x"}),
        ("email_send_email", {"recipient": "a@b.example"}),
        ("email_reply_email", {"email_id": ["1"], "body": "x"}),
        ("email_search_emails", {"date_min": "soon"}),
        ("email_search_emails", {"page": "1"}),
        ("email_search_emails", {"colour": "red"}),
        ("calendar_update_event", {"event_id": "00000001", "field": "duration", "new_value": "-5"}),
        ("calendar_update_event", {"event_id": "00000001", "field": "event_id", "new_value": "5"}),
        ("project_management_update_task", {"task_id": "00000001", "field": "board", "new_value": "Kitchen"}),
        ("project_management_update_task", {"task_id": "1", "field": "assigned_to_email", "new_value": "x@y.example"}),
        ("customer_relationship_manager_search_customers", {}),
        ("customer_relationship_manager_search_customers", {"shoe_size": "9"}),
        ("analytics_create_plot", {"time_min": "a", "time_max": "b", "value_to_plot": "x", "plot_type": "bar"}),
    ],
)
def test_mistakes_are_answered_and_change_nothing(office: NemoOffice, name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ToolError):
        office.call(name, arguments)
    assert office.judge([])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ground_truth": "delete it"}, "a list of calls"),
        ({"ground_truth": [{"name": "fly", "arguments": "{}"}]}, "fly"),
        ({"ground_truth": [{"name": "email_delete_email", "arguments": "{"}]}, ""),
    ],
)
def test_malformed_rows(tmp_path: Path, folder: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=rf"rows\.jsonl:1: .*{said}"):
        made(tmp_path, {**row(REPLY), **change}, folder).reset(seed=0)


def test_without_its_tables_a_row_is_no_episode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnvironmentFailure, match="nemo_gym_tables"):
        made(tmp_path, row(REPLY), None).reset(seed=0)


def test_all_of_its_tools_are_there() -> None:
    assert len(NAMES) == 27
