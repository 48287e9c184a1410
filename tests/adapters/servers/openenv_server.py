"""An OpenEnv server: `openenv_server.py KIND PORT [SESSIONS]`, in an environment that has openenv; see `KINDS`."""

from __future__ import annotations

import os
import sys
import time

import uvicorn
from fastmcp import FastMCP
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation
from openenv.core.env_server.types import Action, Observation, State
from pydantic import Field


class Said(Observation):
    text: str = ""
    tries: int | None = None


class Number(Action):
    """Guess a number."""

    number: int = Field(description="From 1 to 9.")


class Text(Action):
    message: str


class Guess(Environment):
    """A number to guess, which the seed tells."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed=None, episode_id=None, **_):
        self.secret, self.tries = seed % 9 + 1, 0
        return Said(text="Which number?")

    def step(self, action, timeout_s=None, **_):
        self.tries += 1
        match action.number:
            case -1:
                raise RuntimeError("the table has fallen over")
            case -2:
                os._exit(3)
            case -3:
                time.sleep(30)
            case -4:
                return Said(text="x" * (20 << 20), reward=0.0)
            case -5:
                return Said(text="over", reward=float("nan"), done=True)
        found = action.number == self.secret
        said = "found" if found else "higher" if action.number < self.secret else "lower"
        return Said(text=said, tries=self.tries, reward=1.0 if found else -0.1, done=found)

    @property
    def state(self):
        return State()


class Repeat(Environment):
    """Say what is asked for."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def reset(self, seed=None, episode_id=None, word="please", **_):
        self.word = word
        return Said(text=f"Say {word}.")

    def step(self, action, timeout_s=None, **_):
        return Said(text="thanks", reward=action.message == self.word, done=True)

    @property
    def state(self):
        return State()


class Shelf(Repeat):
    """The same, with words of its own, listed by the Task API."""

    WORDS = {"train": ["salt", "rice", "tea"], "test": ["oil"]}

    def list_splits(self):
        return list(self.WORDS)

    def num_tasks(self, split):
        return len(self.WORDS[split])

    def get_task(self, split, index):
        return {"letters": len(self.WORDS[split][index])}

    def get_task_range(self, split, start=None, stop=None):
        return [self.get_task(split, index) for index in range(len(self.WORDS[split]))[start:stop]]

    def reset(self, seed=None, episode_id=None, split="train", index=0, **_):
        return super().reset(word=self.WORDS[split][index])


class Desk(MCPEnvironment):
    """Tools, of which one pays."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        server = FastMCP("desk")

        @server.tool
        def add(a: int, b: int) -> int:
            """Add two numbers."""
            return a + b

        @server.tool
        def boom() -> str:
            """Fail."""
            raise ValueError("drawer not found")

        @server.tool
        def submit(answer: int) -> str:
            """Hand in the answer."""
            return "right" if answer == 5 else "wrong"

        super().__init__(server)

    def reset(self, seed=None, episode_id=None, **_):
        return Observation()

    async def step_async(self, action, timeout_s=None, **kwargs):
        seen = await super().step_async(action, timeout_s, **kwargs)
        if isinstance(action, CallToolAction) and action.tool_name == "submit" and seen.error is None:
            seen.reward, seen.done = float(action.arguments["answer"] == 5), True
        return seen

    def _step_impl(self, action, timeout_s=None, **_):
        raise NotImplementedError

    @property
    def state(self):
        return State()


KINDS = {
    "guess": (Guess, Number, Said),
    "repeat": (Repeat, Text, Said),
    "shelf": (Shelf, Text, Said),
    "desk": (Desk, CallToolAction, CallToolObservation),
}
kind, port, *sessions = sys.argv[1:]
app = create_fastapi_app(*KINDS[kind], max_concurrent_envs=int(*sessions or ["64"]))
uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error")
