"""Tools for the tasks of projects."""

from __future__ import annotations

from typing import Literal

from llmgym.envs.office.dates import read_date
from llmgym.envs.office.mailing import Address, Mailing, read_address
from llmgym.envs.office.scheduling import Text
from llmgym.envs.office.searching import found, words
from llmgym.envs.office.tables import Row
from llmgym.errors import ToolError
from llmgym.tools import tool

Board = Literal["Website", "Mobile app", "Back office"]
Stage = Literal["backlog", "in progress", "in review", "done"]


class Planning(Mailing):
    """Tools for the tasks of projects."""

    @tool
    def search_tasks(
        self,
        text: str | None = None,
        assignee: Address | None = None,
        board: Board | None = None,
        stage: Stage | None = None,
        due_since: str | None = None,
        due_until: str | None = None,
    ) -> Row:
        """Search tasks. Those due first come first; read_task shows the note on one.

        Args:
            text: Words that the title must have, all of them.
            assignee: Address of the colleague who does them.
            board: Only those on this board.
            stage: Only those in this stage.
            due_since: First date that they may be due on, such as 2026-03-02.
            due_until: Last date that they may be due on, such as 2026-03-02.
        """
        low, high = due_since and read_date(due_since), due_until and read_date(due_until)
        who, wanted = assignee and read_address(assignee), words(text)

        def fits(row: Row) -> bool:
            return (
                (not who or row["assignee"] == who)
                and (board is None or row["board"] == board)
                and (stage is None or row["stage"] == stage)
                and (not low or row["due"] >= low)
                and (not high or row["due"] <= high)
                and (not wanted or all(word in row["title"].casefold() for word in wanted))
            )

        columns = ("id", "title", "assignee", "board", "stage", "due")
        return found(self.office.rows["tasks"].values(), fits, "due", columns, last=False)

    @tool
    def read_task(self, task_id: str) -> Row:
        """Show all that is known of a task, with the note.

        Args:
            task_id: Its id, such as task-123.
        """
        return self.office.get("tasks", task_id)

    @tool
    def create_task(self, title: Text, assignee: Address, board: Board, due: str, stage: Stage = "backlog") -> Row:
        """Put a new task on a board.

        Args:
            title: Title.
            assignee: Address of the colleague who does it.
            board: Where it belongs.
            due: Date by which it must be done, such as 2026-03-02.
            stage: Where it stands.
        """
        row = self.office.add(
            "tasks",
            title=title,
            assignee=self.read_colleague(assignee),
            board=board,
            stage=stage,
            due=read_date(due),
            note="",
        )
        return {"created": row["id"]}

    @tool
    def update_task(
        self,
        task_id: str,
        title: Text | None = None,
        assignee: Address | None = None,
        board: Board | None = None,
        stage: Stage | None = None,
        due: str | None = None,
    ) -> Row:
        """Change a task; what is left out stays as it is.

        Args:
            task_id: Id of the task.
            title: New title.
            assignee: Address of the colleague who does it from now on.
            board: New board.
            stage: New stage.
            due: New date by which it must be done, such as 2026-03-02.
        """
        given = {
            "title": title,
            "assignee": assignee and self.read_colleague(assignee),
            "board": board,
            "stage": stage,
            "due": due and read_date(due),
        }
        changes = {name: value for name, value in given.items() if value}
        if not changes:
            raise ToolError("nothing was changed: give a title, assignee, board, stage or due")
        self.office.change("tasks", task_id, **changes)
        return {"changed": task_id, **changes}

    @tool
    def delete_task(self, task_id: str) -> Row:
        """Delete a task.

        Args:
            task_id: Id of the task.
        """
        self.office.remove("tasks", task_id)
        return {"deleted": task_id}
