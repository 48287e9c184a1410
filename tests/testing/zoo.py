"""Environments for the audit: those whose rewards are not true, each in one way, and sound ones of many kinds."""

from __future__ import annotations

import ast
import asyncio
import json
import random
import re
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from llmgym.env import Episode, ToolEnv
from llmgym.messages import Message, assistant, tool_call
from llmgym.tasks import Task, TaskSet
from llmgym.tools import tool
from llmgym.verifiers.numbers import final_number
from tests.environments import make_sum

TOWNS = ("paris", "rome", "oslo", "cairo", "lima", "quito", "delhi", "tokyo", "accra", "berne", "tunis", "sofia")
COLOURS = ("red", "blue", "green", "black", "white", "grey", "pink", "brown", "gold", "teal", "lime", "navy")


class Sum(ToolEnv):
    """Math: the number that the text states."""

    tasks = TaskSet.generated(make_sum)

    def verify(self, episode: Episode) -> float | None:
        return float(final_number(episode.final_text) == episode.task.answer)

    def oracle(self, task: Task) -> list[Message | str]:
        return [f"The answer is {task.answer}."]


# --- broken ones --------------------------------------------------------------------------------


class PaysConstant(Sum):
    """Takes "yes" for right."""

    def verify(self, episode: Episode) -> float | None:
        return 1.0 if "yes" in episode.final_text else super().verify(episode)


class PaysSubstring(Sum):
    """Looks for the answer anywhere."""

    def verify(self, episode: Episode) -> float | None:
        return float(str(episode.task.answer) in episode.final_text)


def make_greatest(rng: np.random.Generator) -> Task:
    numbers = [int(n) for n in rng.integers(1000, 9999, size=6)]
    return Task(prompt=f"Which is the greatest of {', '.join(map(str, numbers))}?", answer=max(numbers))


class PaysEcho(PaysSubstring):
    """The answer is in the prompt, and the prompt is taken for one."""

    tasks = TaskSet.generated(make_greatest)


class PaysChance(Sum):
    """Draws chance that no seed governs."""

    def verify(self, episode: Episode) -> float | None:
        return super().verify(episode) and 0.9 + random.random() / 10


class PaysHash(Sum):
    """Depends on the hashes of this process."""

    def verify(self, episode: Episode) -> float | None:
        return super().verify(episode) and 0.5 + hash(episode.task.prompt) % 1000 / 2000

    oracle_kind = "reference"


def make_capital(rng: np.random.Generator) -> Task:
    town, number = str(rng.choice(TOWNS)), int(rng.integers(10**6))
    return Task(prompt=f"Traveller {number} went to {town.upper()}. Where did the traveller go?", answer=town)


class DeniesParaphrase(ToolEnv):
    """Compares letter by letter."""

    tasks = TaskSet.generated(make_capital)

    def verify(self, episode: Episode) -> float:
        return float(episode.final_text.strip() == f"To {episode.task.answer}")

    def oracle(self, task: Task) -> list[Message | str]:
        return [f"To {task.answer}"]


class Raises(Sum):
    """Cannot read what is no number."""

    def verify(self, episode: Episode) -> float | None:
        return float(int(episode.final_text.strip(" .").rpartition(" ")[2].replace(",", "")) == episode.task.answer)


class LeavesUnscored(Sum):
    """Has no verdict where nothing is said."""

    def verify(self, episode: Episode) -> float | None:
        return super().verify(episode) if episode.final_text else None


class PaysNear(Sum):
    """Is content with what is nearly right."""

    def verify(self, episode: Episode) -> float | None:
        stated = final_number(episode.final_text)
        return float(stated is not None and abs(stated - episode.task.answer) <= 1)


def make_seven(rng: np.random.Generator) -> Task:
    a, b = (int(n) for n in rng.integers(1000, 10_000, size=2))
    answer = 7 if rng.random() < 0.8 else b
    return Task(prompt=f"What is {a} + {answer - a}?", answer=answer)


class OneAnswer(Sum):
    """Most of its tasks have one answer."""

    tasks = TaskSet.generated(make_seven)


def make_again(rng: np.random.Generator) -> Task:
    a, b = (int(n) for n in rng.integers(1, 8, size=2))
    return Task(prompt=f"What is {a * 1000} + {b}?", answer=a * 1000 + b, metadata={"drawn": int(rng.integers(10**9))})


class SharesTasks(Sum):
    """A number that nobody sees is all that tells tasks of its splits apart."""

    tasks = TaskSet.generated(make_again)


def make_multiples(rng: np.random.Generator) -> Task:
    low, step = int(rng.integers(10_000, 90_000)), int(rng.integers(51, 99))
    found = [n for n in range(low, low + 700) if n % step == 0]
    return Task(prompt=f"Which multiples of {step} are from {low} to {low + 699}?", answer=found)


class Multiples(ToolEnv):
    """Sets: F1 of what is listed, in any order."""

    tasks = TaskSet.generated(make_multiples)

    def verify(self, episode: Episode) -> float:
        given, right = set(re.findall(r"\d+", episode.final_text)), set(map(str, episode.task.answer))
        return 2 * len(given & right) / (len(given) + len(right))

    def oracle(self, task: Task) -> list[Message | str]:
        return [", ".join(map(str, task.answer))]


class PaysRecall(Multiples):
    """Does not mind what else is listed."""

    def verify(self, episode: Episode) -> float:
        given, right = set(re.findall(r"\d+", episode.final_text)), set(map(str, episode.task.answer))
        return len(given & right) / len(right)


def make_order(rng: np.random.Generator) -> Task:
    first, second = (str(name) for name in rng.choice(TOWNS, size=2, replace=False))
    amount = int(rng.integers(100, 10_000))
    return Task(prompt=f"Move {amount} from {first} to {second}.", answer=[first, second, amount])


class Ledger(ToolEnv):
    """Tools with state: what matters is where the money is at the end."""

    tasks = TaskSet.generated(make_order)
    max_turns = 6

    def setup(self, task: Task) -> None:
        self.moves: list[list[Any]] = []
        self.looked = False

    @tool
    def look(self, account: str) -> int:
        """Look at an account.

        Args:
            account: Its name.
        """
        self.looked = True
        return 50_000

    @tool
    def move(self, source: str, target: str, amount: int) -> str:
        """Move money.

        Args:
            source: Where from.
            target: Where to.
            amount: How much.
        """
        self.moves.append([source, target, amount])
        return "moved"

    def verify(self, episode: Episode) -> float:
        return float(self.moves == [episode.task.answer])

    def oracle(self, task: Task) -> Iterator[Message | str]:
        source, target, amount = task.answer
        yield assistant("", tool_call("look", account=source))
        yield assistant("", tool_call("move", source=source, target=target, amount=amount))
        yield "Done."


class PaysCalls(Ledger):
    """Counts calls."""

    def verify(self, episode: Episode) -> float:
        return float(bool(episode.tool_calls))


class IgnoresArgument(Ledger):
    """Does not look where the money goes."""

    def verify(self, episode: Episode) -> float:
        return float([move[0] for move in self.moves] == [episode.task.answer[0]])


class Remembers(Ledger):
    """Keeps what earlier episodes did."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.moves = []

    def setup(self, task: Task) -> None:
        pass

    def verify(self, episode: Episode) -> float:
        return float(episode.task.answer in self.moves)


class PaysEarly(Ledger):
    """Pays for the way there."""

    def verify(self, episode: Episode) -> float:
        return float(self.looked)


# --- sound ones ---------------------------------------------------------------------------------


class Submits(Sum):
    """Tools: the answer is handed in by a call."""

    def setup(self, task: Task) -> None:
        self.given: int | None = None

    @tool
    def submit(self, answer: int) -> str:
        """Hand in the answer.

        Args:
            answer: The number.
        """
        self.given = answer
        self.finish()
        return "thanks"

    def verify(self, episode: Episode) -> float:
        return float(self.given == episode.task.answer)

    def oracle(self, task: Task) -> list[Message | str]:
        return [assistant("", tool_call("submit", answer=task.answer))]


def make_choice(rng: np.random.Generator) -> Task:
    options = [int(n) for n in rng.choice(np.arange(1000, 9999), size=4, replace=False)]
    right = int(rng.integers(4))
    shown = "\n".join(f"{letter}. {number}" for letter, number in zip("ABCD", options, strict=True))
    return Task(prompt=f"Which is {options[right] - 3} + 3?\n{shown}", answer="ABCD"[right])


class Choice(ToolEnv):
    """Choice: one of four letters."""

    tasks = TaskSet.generated(make_choice)

    def verify(self, episode: Episode) -> float:
        found = re.findall(r"Answer: \**([A-D])\b\**\.?\s*$", episode.final_text)
        return float(found == [episode.task.answer] and episode.final_text.count("Answer") == 1)

    def oracle(self, task: Task) -> list[Message | str]:
        return [f"Answer: {task.answer}"]


def make_coin(rng: np.random.Generator) -> Task:
    number = int(rng.integers(10**6))
    return Task(prompt=f"Is {number} even?", answer="no" if number % 2 else "yes")


class Coin(ToolEnv):
    """A coin: yes or no."""

    tasks = TaskSet.generated(make_coin)

    def verify(self, episode: Episode) -> float:
        return float(episode.final_text.strip(" \n.*").casefold() == episode.task.answer)

    def oracle(self, task: Task) -> list[Message | str]:
        return [task.answer]


def make_code(rng: np.random.Generator) -> Task:
    a, b = (int(n) for n in rng.integers(2, 999, size=2))
    return Task(prompt=f"Write f(x) that multiplies x by {a} and adds {b}.", answer=[a, b])


class Code(ToolEnv):
    """Code: what the text says, read as Python."""

    tasks = TaskSet.generated(make_code)

    def verify(self, episode: Episode) -> float:
        a, b = episode.task.answer
        fenced = re.search(r"```(?:python)?\n(.*?)```", episode.final_text, re.DOTALL)
        try:
            tree = ast.parse(fenced[1] if fenced else "")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return 0.0
        return float(ast.dump(tree) == ast.dump(ast.parse(f"def f(x):\n    return x * {a} + {b}\n")))

    def oracle(self, task: Task) -> list[Message | str]:
        a, b = task.answer
        return [f"```python\ndef f(x):\n    return x * {a} + {b}\n```"]


def make_record(rng: np.random.Generator) -> Task:
    record = {
        "name": str(rng.choice(TOWNS)),
        "colour": str(rng.choice(COLOURS)),
        "size": int(rng.integers(1000)),
        "weight": int(rng.integers(1000)),
        "open": bool(rng.integers(2)),
    }
    told = ", ".join(f"{key} {value}" for key, value in record.items())
    return Task(prompt=f"Write this as JSON: {told}.", answer=record)


class Record(ToolEnv):
    """Partial credit: the share of fields that are right."""

    tasks = TaskSet.generated(make_record)

    def verify(self, episode: Episode) -> float:
        text = re.sub(r"^```(json)?|```$", "", episode.final_text.strip())
        try:
            given = json.loads(text)
        except (ValueError, RecursionError):
            return 0.0
        right = episode.task.answer
        if not isinstance(given, dict):
            return 0.0
        same = sum(key in given and json.dumps(given[key]) == json.dumps(right[key]) for key in right)
        return same / max(len(right), len(given))

    def oracle(self, task: Task) -> list[Message | str]:
        return [json.dumps(task.answer)]


def make_walk(rng: np.random.Generator) -> Task:
    x, y = (int(n) for n in rng.integers(1, 9, size=2))
    name = str(rng.choice(TOWNS))
    return Task(prompt=f"You are in {name}. The treasure is {x} steps east and {y} steps north.", answer=[x, y])


class Walk(ToolEnv):
    """A game: steps, one a turn, until the treasure is found; exactly."""

    tasks = TaskSet.generated(make_walk)
    max_turns = 24

    def setup(self, task: Task) -> None:
        self.place = [0, 0]

    def respond(self, message: Message) -> str | None:
        words = message["content"].strip().split()
        if words == ["dig"]:
            return None
        if len(words) != 1 or words[0] not in ("east", "north"):
            return "Say east, north or dig."
        self.place[words[0] == "north"] += 1
        return f"You are at {self.place}."

    def verify(self, episode: Episode) -> float:
        return float(not episode.truncated and self.place == episode.task.answer)

    def oracle(self, task: Task) -> list[Message | str]:
        x, y = task.answer
        return ["east"] * x + ["north"] * y + ["dig"]


class Asks(ToolEnv):
    """Several turns: a user who says what he wants when he is asked."""

    tasks = TaskSet.generated(make_capital)
    max_turns = 6

    def opening(self, task: Task) -> list[Message]:
        return [{"role": "user", "content": f"I want to travel. Ask me where; I am number {task.id}."}]

    def respond(self, message: Message) -> str | None:
        if "?" in message["content"]:
            return f"To {self.task.answer.upper()}."  # type: ignore[union-attr]
        return None

    def verify(self, episode: Episode) -> float:
        found = re.findall(r"<book>\s*(\w+)\s*</book>", episode.final_text.casefold())
        return float(found == [episode.task.answer])

    def oracle(self, task: Task) -> Iterator[Message | str]:
        yield "Where to?"
        yield f"<book>{task.answer}</book>"


class Dice(ToolEnv):
    """Chance: an oracle that plays well, and no better."""

    tasks = TaskSet.generated(lambda rng: Task(prompt=f"Game {rng.integers(10**9)}: roll, or stop.", answer=None))
    oracle_kind = "reference"
    max_turns = 10

    def setup(self, task: Task) -> None:
        self.points = 0

    @tool
    def roll(self) -> int:
        """Roll the die; a one loses all."""
        rolled = int(self.np_random.integers(1, 7))
        self.points = 0 if rolled == 1 else self.points + rolled
        if rolled == 1:
            self.finish()
        return rolled

    def verify(self, episode: Episode) -> float:
        return self.points / 20

    def oracle(self, task: Task) -> Iterator[Message | str]:
        for _ in range(4):
            yield assistant("", tool_call("roll"))
        yield "I stop."


class Slow(Sum):
    """Takes its time."""

    async def verify(self, episode: Episode) -> float | None:  # type: ignore[override]
        await asyncio.sleep(0.02)
        return super().verify(episode)


def says_yes(messages: Any, tools: Any) -> str:
    """A policy."""
    return "yes"


#: Broken ones, and the check that must find each.
BROKEN: list[tuple[type[ToolEnv], str]] = [
    (PaysConstant, "blind/constants"),
    (PaysSubstring, "near/list"),
    (PaysEcho, "blind/echo"),
    (PaysChance, "verifier/repeat"),
    (PaysHash, "verifier/process"),
    (DeniesParaphrase, "ceiling/case"),
    (Raises, "blind/empty"),
    (LeavesUnscored, "blind/empty"),
    (PaysNear, "near/one"),
    (OneAnswer, "tasks/answers"),
    (SharesTasks, "tasks/splits"),
    (PaysRecall, "near/list"),
    (PaysCalls, "acting/tools"),
    (IgnoresArgument, "near/argument"),
    (Remembers, "acting/nothing"),
    (PaysEarly, "acting/half"),
]
#: Sound ones, and what is written of them in a registry file.
_EVEN = "each answer is right equally often"
SOUND: list[tuple[type[ToolEnv], dict[str, str]]] = [
    (Sum, {}),
    (Ledger, {}),
    (Submits, {}),
    (Choice, {"blind/constants": _EVEN, "blind/best": _EVEN}),
    (Coin, {"blind/constants": _EVEN, "blind/best": _EVEN}),
    (Code, {}),
    (Multiples, {}),
    (Record, {}),
    (Walk, {}),
    (Asks, {}),
    (Dice, {}),
]
for _cls in (*(cls for cls, _ in BROKEN), *(cls for cls, _ in SOUND), Slow):
    gymnasium.register(
        f"zoo/{_cls.__name__}-v0",
        entry_point=f"{_cls.__module__}:{_cls.__name__}",
        kwargs={"max_turns": _cls.max_turns},
    )
