"""Files of tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmgym.tasks import RowTasks, Task


def write(path: Path, *rows: Any) -> Path:
    """Rows as JSON, and text as it is."""
    lines = ((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def all_tasks(tasks: RowTasks) -> dict[str, list[Task]]:
    """All tasks by split, by id."""
    return {
        split: sorted((tasks.plan(split, 0, n) for n in range(tasks.size(split))), key=lambda task: task.id)
        for split in tasks.splits
    }
