"""FunctionCalling: wishes that calls of tools grant, the right ones with the right arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.function_calling.operations import OPERATIONS
from llmgym.envs.function_calling.requests import Requests
from llmgym.envs.function_calling.rows import read_row, row_schema
from llmgym.messages import Message, ToolCall, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.tools import Tool
from llmgym.verifiers import tool_calls
from llmgym.verifiers.text import folded, without_thoughts

_NOT_DONE = re.compile(r"not done\W{0,8}?(none|\d+(?:(?:[\s,;&]|and)+\d+)*)\b", re.IGNORECASE)
_CODE = re.compile(r"\b[A-Z]{2}-\d{4}\b")
_ASKING = re.compile(r"\?|please|need|missing|tell me|provide|let me know|specify", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Function:
    """What a tool of the pool does: it is noted, and answers from the things of the task."""

    name: str

    def __call__(self, env: FunctionCalling, /, **arguments: Any) -> Any:
        result = OPERATIONS[self.name].run(env.things, arguments)
        env.made.append(tool_call(self.name, json.dumps(arguments)))
        return {**result, "confirmation": env.confirmations.get(self.name, "ZZ-0000")}


@dataclass(frozen=True, slots=True)
class _Note:
    """What a tool of a row does: the call is noted, and the episode ends with its message."""

    name: str

    def __call__(self, env: FunctionCalling, /, **arguments: Any) -> str:
        env.made.append(tool_call(self.name, json.dumps(arguments)))
        env.finish()
        return "Noted."


_POOL = {name: Tool.of_schema(operation.schema, _Function(name)) for name, operation in OPERATIONS.items()}


class FunctionCalling(ToolEnv):
    """Grant wishes by calls of tools: the right ones, with the right arguments, and no other.

    ## Description

    A user has one wish or several, which calls of some of 216 tools of twelve domains (calendar, travel, bank, health
    ...) grant. Wishes are of four kinds:

    - `single`: one call, whose arguments the wish tells as people do;
    - `chain`: two calls, of which the second takes what the first one answers;
    - `missing`: a call for which something is missing that only the user knows, and tells when asked;
    - `impossible`: no tool that is offered can grant it. There is always another wish beside it.

    ## Actions

    Calls of the tools, any number in a message; a message without calls that asks for what is missing; and a last
    message without calls, which ends the episode. It tells the confirmation code that the last call gave; with several
    wishes instead, it ends in a line such as "Not done: 2" or "Not done: none", with the numbers of those that no tool
    can grant.

    ## Observations

    The wishes, and the schemas of the tools that are offered; what the calls answer; and the user's answer to a
    question. A call with an argument of another type, or of a thing that is not there, is answered with what is wrong,
    does nothing and may be made again.

    ## Rewards

    1 where the calls that were carried out are exactly the right ones, in any order and over any messages, and the last
    message has the confirmation code, or ends in the right line "Not done", and no code of anything else; else 0. Case
    and blanks of names do not count, nor does the order of lists; a parameter with a default may be left out. One call
    too many, even one that only looks, earns 0.

    Metrics: `matched` (the share of the right calls that were made), `calls` (that were carried out), `asked` (1 where
    the user was asked for what was missing), `tool_calls`, `tool_errors`.

    ## Episode End

    Terminates with a message without calls, unless it asks for something that is missing: one that has a question mark
    or says "please", "need" and the like. Truncates after `max_turns` messages.

    ## Arguments

    - `wishes` ([1, 3]): fewest and most wishes, 1 to 6.
    - `kinds` (all four): of what kinds they are.
    - `offer` (8): tools that are offered, or more where so many are needed.
    - `near` (True): whether other tools are mostly about the same kinds of things.
    - `tasks`: a file of rows of NeMo Gym with `expected_action` (`single_step_tool_use_with_argument_comparison`) or
      `expected_answers` (`xlam_fc`), and the tools in `responses_create_params`. Of these the first message is scored:
      its calls against the right ones in any order, text whatever its case and blanks. Where a message is expected,
      any text without a call earns 1, as it does there. Arguments of free prose have to be equal: such rows are
      better left out.

    ## Registered Variants

    - `llmgym/FunctionCalling-v0`: one to three wishes of all kinds, eight tools.
    - `llmgym/FunctionCalling-easy-v0`: one wish that one call grants, three tools.
    - `llmgym/FunctionCalling-hard-v0`: three to five wishes of all kinds, 24 tools.

    ## Version History

    - v0: first version.
    """

    max_turns = 10

    def __init__(
        self,
        *,
        wishes: Sequence[int] = (1, 3),
        kinds: Sequence[str] = ("single", "chain", "missing", "impossible"),
        offer: int = 8,
        near: bool = True,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            wishes: Fewest and most wishes.
            kinds: Of what kinds they are.
            offer: How many tools are offered.
            near: Whether other tools are mostly about the same kinds of things.
            tasks: Other tasks.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        made = Requests((min(wishes), max(wishes)), tuple(kinds), offer, near)
        self.system_prompt = _SYSTEM
        super().__init__(tasks=TaskSet.generated(made) if tasks is None else tasks, **options)

    read_row = staticmethod(read_row)
    row_schema = staticmethod(row_schema)

    def offered(self, task: Task) -> list[Tool]:
        """The tools of the task: names of the pool, or schemas of a row."""
        return [
            _POOL[tool] if isinstance(tool, str) else Tool.of_schema(tool, _Note(tool["function"]["name"]))
            for tool in task.metadata.get("tools", ())
        ]

    def opening(self, task: Task) -> list[Message]:
        """A row brings all of its opening."""
        return super().opening(task) if "things" in task.metadata else task.messages

    def setup(self, task: Task) -> None:
        """Nothing was called yet."""
        self.made: list[ToolCall] = []
        self.things: dict[str, Any] = task.metadata.get("things", {})
        self.confirmations: dict[str, str] = task.metadata.get("confirmations", {})
        self.open_question: dict[str, Any] | None = task.metadata.get("asked")
        if self.open_question is not None:
            self.metrics["asked"] = 0.0

    def respond(self, message: Message) -> str | None:
        """Tell what is missing, where that is asked for."""
        text = without_thoughts(message["content"])[:2000]
        if self.open_question is None or not (_ASKING.search(text) or self.open_question["what"] in text.lower()):
            return None
        reply, self.open_question = self.open_question["reply"], None
        self.count("asked")
        return reply

    def verify(self, episode: Episode) -> Reward:
        """Compare the calls with the right ones, and the line about what was not done."""
        answer = episode.task.answer
        text = episode.final_text
        said = assistant(text, *self.made) if self.made else assistant(text)
        verdict = tool_calls.check(said, answer["calls"], mode="order_free", strings="normalized")
        done = "things" not in episode.task.metadata or self._said_so(folded(without_thoughts(text[-20_000:])), answer)
        metrics = {"calls": float(len(self.made)), "matched": verdict.metrics.get("matched", 0.0)}
        return Reward(correct=None if verdict.score is None else verdict.score * done, metrics=metrics)

    def _said_so(self, text: str, answer: dict[str, Any]) -> bool:
        """Whether the last message has the confirmation code, or says what was not done, and has no other code."""
        known = {code for things in self.things.values() for code in things}
        codes = [code for code in _CODE.findall(text.upper()) if code not in known]
        if not set(codes).issubset(self.confirmations.values()):
            return False
        if answer["not_done"] is None:
            return codes[-1:] == [self.confirmations[answer["calls"][-1]["name"]]]
        return _not_done(text) == set(answer["not_done"])

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Make the calls step by step, ask for what is missing, and say what was not done."""
        if "plan" not in task.metadata:
            yield assistant("I cannot say.", *tool_calls.write_calls(task.answer["calls"]))
            return
        yield from self._carry_out(task.metadata["plan"])
        if asked := task.metadata["asked"]:
            yield f"What is the {asked['what']}?"
            yield from self._carry_out([asked["plan"]])
        not_done = task.answer["not_done"]
        if not_done is None:
            yield json.loads(self.transcript[-1]["content"])["confirmation"]
        else:
            yield f"Not done: {', '.join(map(str, not_done)) or 'none'}"

    def _carry_out(self, plans: Sequence[Sequence[Any]]) -> Iterator[Message]:
        """The first steps of all plans in one message, then the next ones with what those answered."""
        results: list[Any] = [{} for _ in plans]
        for step in range(max(map(len, plans), default=0)):
            going = [at for at, plan in enumerate(plans) if step < len(plan)]
            yield assistant("", *(_filled(plans[at][step], results[at]) for at in going))
            for at, message in zip(going, self.transcript[-len(going) :], strict=True):
                answer = json.loads(message["content"])
                results[at] = answer["found"][0] if "found" in answer else answer


_SYSTEM = (
    "Do what the user asks for with the tools, and make no call that is not needed: one call too many spoils it. What "
    "a call needs and nobody has told you, ask the user for before you make it. A default need not be passed. When you "
    "are through, reply without a call."
)


def _filled(step: Sequence[Any], result: Any) -> ToolCall:
    name, arguments = step
    return tool_call(
        name,
        **{
            key: result[value["$result"]] if isinstance(value, dict) and "$result" in value else value
            for key, value in arguments.items()
        },
    )


def _not_done(text: str) -> set[int] | None:
    """The numbers that the last line names as not done; None where it names none, or an earlier one names others."""
    found = [{int(number) for number in re.findall(r"\d{1,4}", named)} for named in _NOT_DONE.findall(text)]
    last = text.strip().rpartition("\n")[2]
    return found[-1] if found and _NOT_DONE.search(last) and all(one == found[-1] for one in found) else None
