"""A taskset with stateful tools: notes to keep."""

import os

import verifiers as vf
from datasets import Dataset


class Desk(vf.StatefulToolEnv):
    def __init__(self, **options):
        super().__init__(**options)
        self.add_tool(self.keep, args_to_skip=["notes"])
        self.add_tool(self.boom)
        self.add_tool(self.die)

    async def setup_state(self, state):
        state["notes"] = []

    def update_tool_args(self, tool_name, tool_args, messages, state, **kwargs):
        return {**tool_args, "notes": state["notes"]} if tool_name == "keep" else tool_args

    async def keep(self, text: str, notes: list) -> str:
        """Keep a note."""
        notes.append(text)
        print("kept", text)
        return f"{len(notes)} notes"

    async def boom(self) -> str:
        """Fail."""
        raise ValueError("boom")

    async def die(self) -> str:
        """End the process."""
        os._exit(9)


def load_environment(size: int = 8):
    rows = [{"question": f"Keep the note n{number}.", "answer": f"n{number}"} for number in range(size)]

    async def kept(state, answer) -> float:
        return float(answer in state["notes"])

    return Desk(dataset=Dataset.from_list(rows), rubric=vf.Rubric(funcs=[kept]), max_turns=5)
