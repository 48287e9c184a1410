"""Tasks, and the sets that environments draw them from."""

from llmgym.tasks.files import file_source
from llmgym.tasks.filtered import FilteredTasks
from llmgym.tasks.frozen import frozen
from llmgym.tasks.hashing import stable_hash
from llmgym.tasks.reading import Problem, Reading, validate_rows
from llmgym.tasks.rows import REST_TO_METADATA, one_column, row_schema, schema_of_row, task_from_row
from llmgym.tasks.sets import GeneratedTasks, RowTasks, TaskSet
from llmgym.tasks.sources import HuggingFaceSource, JSONLSource, RowSource
from llmgym.tasks.task import Task, lazy_copy

__all__ = [
    # tasks
    "Task",
    "frozen",
    "lazy_copy",
    "stable_hash",
    # sets
    "FilteredTasks",
    "GeneratedTasks",
    "RowTasks",
    "TaskSet",
    # rows
    "HuggingFaceSource",
    "REST_TO_METADATA",
    "JSONLSource",
    "Problem",
    "Reading",
    "RowSource",
    "file_source",
    "one_column",
    "row_schema",
    "schema_of_row",
    "task_from_row",
    "validate_rows",
]
