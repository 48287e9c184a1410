"""Rows of NeMo Gym's workplace_assistant, and its tools.

The tools answer as that server's do, but that text is searched for as it is and not as a pattern, and that a mistake is
an error. What is compared are the final tables, as there without regard to case in most columns, but not the ids of new
rows.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from llmgym.envs.workplace.nemo_tables import NemoTables, Row, has, paged, read_time
from llmgym.errors import ToolError
from llmgym.tasks import Task, task_from_row
from llmgym.tools import Tool

_NOW = "2023-11-30 23:59:00"
_PLOTTED = (
    "total_visits", "session_duration_seconds", "user_engaged", "visits_direct", "visits_referral",
    "visits_search_engine", "visits_social_media",
)  # fmt: skip
_PLOTS = ("bar", "line", "scatter", "histogram")


class NemoOffice(NemoTables):
    """The tools, on the tables of an episode."""

    def _company_directory_find_email_address(self, name: str) -> list[str]:
        return [each for each in self.folder.addresses if name.lower() in each.lower()]

    def _email_get_email_information_by_id(self, email_id: str, field: str) -> Row:
        return self._field("emails", email_id, field)

    def _email_search_emails(
        self, query: str = "", date_min: str = "", date_max: str = "", page: int = 1, page_size: int = 5
    ) -> Row:
        low, high, wanted = (
            date_min and read_time(date_min)[:10],
            date_max and read_time(date_max)[:10],
            query.lower().split(),
        )
        found = [
            row
            for row in self.rows["emails"].values()
            if (not low or row["sent_datetime"][:10] >= low)
            and (not high or row["sent_datetime"][:10] <= high)
            and all(word in f"{row['subject']} {row['body']} {row['sender/recipient']}".lower() for word in wanted)
        ]
        found.sort(key=lambda row: row["sent_datetime"], reverse=True)
        return paged("emails", found, page, page_size)

    def _email_send_email(self, recipient: str, subject: str, body: str) -> str:
        if not (recipient and subject and body):
            raise ToolError("Recipient, subject, or body not provided.")
        if "@" not in recipient or "." not in recipient:
            raise ToolError("Invalid recipient email address.")
        key = self._new_id("emails")
        row = {"email_id": key, "inbox/outbox": "outbox", "sender/recipient": recipient.lower(), "subject": subject}
        self._add("emails", key, {**row, "sent_datetime": _NOW, "body": body})
        return "Email sent successfully."

    def _email_delete_email(self, email_id: str) -> str:
        return self._delete("emails", email_id)

    def _email_forward_email(self, email_id: str, recipient: str) -> str:
        mail = self._get("emails", email_id)
        return self._email_send_email(recipient, f"FW: {mail['subject']}", mail["body"])

    def _email_reply_email(self, email_id: str, body: str) -> str:
        mail = self._get("emails", email_id)
        return self._email_send_email(mail["sender/recipient"], f"RE: {mail['subject']}", body)

    def _calendar_get_event_information_by_id(self, event_id: str, field: str) -> Row:
        return self._field("events", event_id, field)

    def _calendar_search_events(
        self, query: str = "", time_min: str = "", time_max: str = "", page: int = 1, page_size: int = 5
    ) -> Row:
        low, high = time_min and read_time(time_min), time_max and read_time(time_max)
        found = [
            row
            for row in self.rows["events"].values()
            if (has(row, "event_name", query) or has(row, "participant_email", query))
            and (not low or read_time(row["event_start"]) >= low)
            and (not high or read_time(row["event_start"]) <= high)
        ]
        found.sort(key=lambda row: read_time(row["event_start"]), reverse=True)
        return paged("events", found, page, page_size)

    def _calendar_create_event(self, event_name: str, participant_email: str, event_start: str, duration: str) -> str:
        row = {"event_name": event_name, "participant_email": participant_email, "event_start": event_start}
        return self._create("events", {**row, "duration": duration}, required=[*row, "duration"])

    def _calendar_delete_event(self, event_id: str) -> str:
        return self._delete("events", event_id)

    def _calendar_update_event(self, event_id: str, field: str, new_value: str) -> str:
        return self._update("events", event_id, field, new_value)

    def _analytics_get_visitor_information_by_id(self, visitor_id: str) -> list[Row]:
        found = [row for row in self.folder.visits if row["visitor_id"] == visitor_id]
        if not found:
            raise ToolError("Visitor not found.")
        return [{**row, "user_engaged": row["user_engaged"] == "True"} for row in found]

    def _analytics_create_plot(self, time_min: str, time_max: str, value_to_plot: str, plot_type: str) -> str:
        if value_to_plot not in _PLOTTED:
            raise ToolError(f"Value to plot must be one of {', '.join(_PLOTTED)}")
        if plot_type not in _PLOTS:
            raise ToolError(f"Plot type must be one of {', '.join(_PLOTS)}")
        path = f"plots/{time_min}_{time_max}_{value_to_plot}_{plot_type}.png"
        self._add("plots", str(len(self.journal)), {"file_path": path})
        return path

    def _by_day(self, time_min: str, time_max: str) -> dict[str, list[Row]]:
        days: dict[str, list[Row]] = {}
        for row in self.folder.visits:
            if (not time_min or row["date_of_visit"] >= time_min) and (
                not time_max or row["date_of_visit"] <= time_max
            ):
                days.setdefault(row["date_of_visit"], []).append(row)
        return dict(sorted(days.items()))

    def _analytics_total_visits_count(self, time_min: str = "", time_max: str = "") -> Row:
        return {day: len(rows) for day, rows in self._by_day(time_min, time_max).items()}

    def _analytics_engaged_users_count(self, time_min: str = "", time_max: str = "") -> Row:
        days = self._by_day(time_min, time_max)
        return {day: sum(row["user_engaged"] == "True" for row in rows) for day, rows in days.items()}

    def _analytics_traffic_source_count(self, time_min: str = "", time_max: str = "", traffic_source: str = "") -> Row:
        days = self._by_day(time_min, time_max)
        return {
            day: sum(not traffic_source or row["traffic_source"] == traffic_source for row in rows)
            for day, rows in days.items()
        }

    def _analytics_get_average_session_duration(self, time_min: str = "", time_max: str = "") -> Row:
        days = self._by_day(time_min, time_max)
        return {
            day: sum(float(row["session_duration_seconds"]) for row in rows) / len(rows) for day, rows in days.items()
        }

    def _project_management_get_task_information_by_id(self, task_id: str, field: str) -> Row:
        return self._field("tasks", task_id, field)

    def _project_management_search_tasks(
        self, task_name: str = "", assigned_to_email: str = "", list_name: str = "", due_date: str = "", board: str = ""
    ) -> list[Row]:
        wanted = {"task_name": task_name, "list_name": list_name, "due_date": due_date, "board": board}
        who = assigned_to_email.lower()
        if not (who or any(wanted.values())):
            raise ToolError("No search parameters provided.")
        return [
            row
            for row in self.rows["tasks"].values()
            if (not who or row["assigned_to_email"].lower() == who)
            and all(has(row, column, text) for column, text in wanted.items())
        ]

    def _project_management_create_task(
        self, task_name: str, assigned_to_email: str, list_name: str, due_date: str, board: str
    ) -> str:
        row = {"task_name": task_name, "assigned_to_email": assigned_to_email, "list_name": list_name}
        row |= {"due_date": due_date, "board": board}
        return self._create("tasks", row, required=row)

    def _project_management_delete_task(self, task_id: str) -> str:
        return self._delete("tasks", task_id)

    def _project_management_update_task(self, task_id: str, field: str, new_value: str) -> str:
        return self._update("tasks", task_id, field, new_value)

    def _customer_relationship_manager_search_customers(self, page: int = 1, page_size: int = 5, **wanted: str) -> Row:
        columns = ("customer_name", "customer_email", "product_interest", "status", "assigned_to_email")
        ranges = [f"{column}_{end}" for column in ("last_contact_date", "follow_up_by") for end in ("min", "max")]
        if unknown := [name for name in wanted if name not in (*columns, *ranges)]:
            raise ToolError(f"there is no {unknown[0][:40]!r}, but {', '.join((*columns, *ranges))}")
        if not any(wanted.values()):
            raise ToolError("No search parameters provided. Please provide at least one parameter.")

        def fits(row: Row) -> bool:
            for name, text in wanted.items():
                value = row[name.removesuffix("_min").removesuffix("_max")]
                if name in columns and not has(row, name, text):
                    return False
                if text and name.endswith("_min") and (value is None or value < text):
                    return False
                if text and name.endswith("_max") and (value is None or value > text):
                    return False
            return True

        return paged("customers", [row for row in self.rows["customers"].values() if fits(row)], page, page_size)

    def _customer_relationship_manager_update_customer(self, customer_id: str, field: str, new_value: str) -> str:
        return self._update("customers", customer_id, field, new_value)

    def _customer_relationship_manager_add_customer(
        self, customer_name: str, assigned_to_email: str, status: str, **more: str
    ) -> str:
        row: Row = dict.fromkeys(next(iter(self.folder.rows["customers"].values())))
        if unknown := [name for name in more if name not in row or name == "customer_id"]:
            raise ToolError(f"there is no {unknown[0][:40]!r}, but {', '.join(list(row)[1:])}")
        given = {"customer_name": customer_name, "assigned_to_email": assigned_to_email, "status": status}
        del row["customer_id"]
        return self._create("customers", {**row, **given, "notes": "", **more}, required=given)

    def _customer_relationship_manager_delete_customer(self, customer_id: str) -> str:
        return self._delete("customers", customer_id)


#: Names of the tools.
NAMES = frozenset(
    name[1:]
    for name in vars(NemoOffice)
    if name.startswith(("_company_", "_email_", "_calendar_", "_analytics_", "_project_", "_customer_"))
)


def read(row: dict[str, Any]) -> Task:
    """Make the task of a row.

    Raises:
        TypeError, ValueError: It has no calls that can be read.
    """
    calls = row["ground_truth"]
    if not isinstance(calls, list):
        raise TypeError(f"ground_truth is a {type(calls).__name__}; a list of calls is needed")
    answer = [{"name": call["name"], "arguments": json.loads(call["arguments"])} for call in calls]
    if unknown := [call["name"] for call in answer if call["name"] not in NAMES]:
        raise ValueError(f"ground_truth calls {unknown[0]!r}, which is no tool of workplace_assistant")
    left_out = ("ground_truth", "environment_name")
    rest = task_from_row({name: value for name, value in row.items() if name not in left_out})
    if not rest.metadata.get("tools"):
        raise ValueError("the row offers no tools")
    return Task(id=rest.id, prompt=rest.prompt, answer=answer, metadata={**rest.metadata, "nemo_gym": True})


def offered(task: Task) -> list[Tool]:
    """The tools of a row that there are."""
    schemas = [schema for schema in task.metadata["tools"] if schema["function"]["name"] in NAMES]
    return [Tool.of_schema(schema, partial(_run, schema["function"]["name"])) for schema in schemas]


def _run(name: str, env: Any, /, **arguments: Any) -> Any:
    return env.nemo_gym.call(name, arguments)
