"""StructuredOutput: what a text says, as data that fits a schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.structured_output.extractions import Extractions
from llmgym.envs.structured_output.rows import read_row, row_schema
from llmgym.envs.structured_output.writing import write
from llmgym.errors import TaskError, ToolError
from llmgym.loading import expect_modules
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.tools import Tool
from llmgym.verifiers import structured
from llmgym.verifiers.base import Verdict, wrong


@dataclass(frozen=True, slots=True)
class _Keeper:
    """What a tool does: it keeps data that fits its parameters, and the episode ends."""

    name: str
    parameters: dict[str, Any]

    def __call__(self, env: StructuredOutput, /, **arguments: Any) -> str:
        verdict = structured.check(json.dumps(arguments), {"schema": self.parameters})
        if verdict.score == 0:
            raise ToolError(
                f"nothing was kept, since the arguments do not fit: {verdict.detail}; call {self.name} again"
            )
        env.kept.append((self.name, arguments))
        env.finish()
        return "Kept."


class StructuredOutput(ToolEnv):
    """Say what a text tells as data that fits a schema, and with the right values.

    ## Description

    A text tells of one to four records of a kind (bookings, invoices, shipments ...), in sentences; for CSV up to six.
    One of them, or some for CSV, is to be given as JSON, YAML, TOML, XML or CSV by a JSON schema, or to a tool whose
    parameters are the schema, among tools for other kinds of records. Dates, times, numbers in words, enumerations and
    booleans are told as people tell them. Optional properties may be missing in the text, and then belong in no answer.

    ## Actions

    One message: the data, alone or in one fenced block. Or a call of the right tool, where there are tools. A call
    whose arguments do not fit the parameters is answered with what is wrong and can be made again.

    ## Observations

    The text, what is asked for and the schema; in the form `tool` the schemas of the tools instead. "Kept." after a
    call.

    ## Rewards

    1 where the data fits the schema and has exactly the right values, else 0. Case and blanks of texts, and the order
    of lists, do not count; 4.50 is 4.5. A missing or an invented property, prose around the data, a second call or a
    call of another tool earn 0. Rows that have no values are scored by their shape alone: any filler that fits the
    schema earns 1 there, as it does in NeMo Gym.

    Metrics: `leaves` (the share of the values that are right), and how often each kind of fault occurs: `parse`,
    `missing`, `extra`, `type`, `enum`, `format`, `limit`.

    ## Episode End

    Terminates with a message without calls, or with a call that is kept; truncates after `max_turns` messages.

    ## Arguments

    - `fields` ([4, 7]): fewest and most fields of a record, besides its code; 2 to 10.
    - `depth` (2): 1 for records of single values, 2 with objects and lists of values, 3 with lists of objects. CSV is
      always flat.
    - `others` (1): most further records that the text tells of; it also tells up to two fields that no one asks for.
    - `optional` (2): most properties that may be absent.
    - `distractors` (3): tools for other kinds of records, in the form `tool`; 0 to 7.
    - `forms` (all): of "json", "yaml", "toml", "xml", "csv" and "tool".
    - `tasks`: a file of rows with `schema_str`, `schema_type` and perhaps `value`, with a `prompt` or NeMo Gym's
      `responses_create_params`, and with its `response_mode`, `tool_name` and `tool_payload_key`.

    ## Registered Variants

    - `llmgym/StructuredOutput-v0`: 4 to 7 fields, two levels, all forms.
    - `llmgym/StructuredOutput-easy-v0`: 2 or 3 plain fields of one record, as JSON.
    - `llmgym/StructuredOutput-hard-v0`: 7 to 10 fields, three levels, up to three other records and seven other tools.

    ## Version History

    - v0: first version.
    """

    max_turns = 3

    def __init__(
        self,
        *,
        fields: Sequence[int] = (4, 7),
        depth: int = 2,
        others: int = 1,
        optional: int = 2,
        distractors: int = 3,
        forms: Sequence[str] = ("json", "yaml", "toml", "xml", "csv", "tool"),
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            fields: Fewest and most fields of a record.
            depth: Levels of a record.
            others: Most other records that the text tells of.
            optional: Most fields that may be absent.
            distractors: Tools for other kinds of records.
            forms: Syntaxes, or "tool".
            tasks: Other tasks.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        made = Extractions((min(fields), max(fields)), depth, others, optional, distractors, tuple(forms))
        expect_modules("StructuredOutput", "verifiers", "jsonschema_rs")
        super().__init__(tasks=TaskSet.generated(made) if tasks is None else tasks, **options)

    read_row = staticmethod(read_row)
    row_schema = staticmethod(row_schema)

    def offered(self, task: Task) -> list[Tool]:
        """The tools of the task."""
        schemas = [schema["function"] for schema in task.metadata.get("tools", [])]
        return [
            Tool.of_schema({"type": "function", "function": one}, _Keeper(one["name"], one["parameters"]))
            for one in schemas
        ]

    def setup(self, task: Task) -> None:
        """Nothing is kept yet."""
        self.kept: list[tuple[str, dict[str, Any]]] = []

    def verify(self, episode: Episode) -> Reward:
        """Compare the data with what is right."""
        return self._verdict(episode).reward

    def _verdict(self, episode: Episode) -> Verdict:
        task = episode.task
        form: Any = {"strict": "value" not in task.answer, "ordered": False, "strings": "normalized"}
        if syntax := task.metadata.get("syntax"):
            return structured.check(episode.final_text, task.answer, syntax=syntax, **form)
        if len(self.kept) != 1:
            return wrong(
                "no call fits" if not self.kept else "more than one call", "no_answer" if not self.kept else "wrong"
            )
        ((name, arguments),) = self.kept
        if name != (task.metadata.get("tool") or name):
            return wrong("a call of another tool")
        key = task.metadata.get("key")
        return structured.check(json.dumps(arguments if key is None else arguments.get(key)), task.answer, **form)

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Write the right values, or call the right tool with them."""
        if "value" not in task.answer:
            raise TaskError("this row has a schema and no `value`: nothing is known to be right")
        value = task.answer["value"]
        if syntax := task.metadata.get("syntax"):
            yield write(value, syntax)
        else:
            key = task.metadata.get("key")
            yield assistant("", tool_call(task.metadata["tool"], **(value if key is None else {key: value})))
