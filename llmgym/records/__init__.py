"""Record format 1: trajectories as lines of JSON, and back.

`dump_row` and `load_row` are inverse. `EpisodeRecord` is the start of a line, which is all that a resumed run and a
summary read. `rollout_schema` is the format as a JSON Schema.
"""

from __future__ import annotations

from llmgym.records.reading import is_trainable, load_row, read_failure, read_record, read_records
from llmgym.records.row import FORMAT, REST, Counts, EpisodeRecord, FailureRecord, Timings
from llmgym.records.schema import rollout_schema
from llmgym.records.writing import UnstorableError, dump_row, dump_with_record, failure_of, record_of

__all__ = [
    "FORMAT",
    "REST",
    "Counts",
    "EpisodeRecord",
    "FailureRecord",
    "Timings",
    "UnstorableError",
    "dump_row",
    "dump_with_record",
    "failure_of",
    "is_trainable",
    "load_row",
    "read_failure",
    "read_record",
    "read_records",
    "record_of",
    "rollout_schema",
]
