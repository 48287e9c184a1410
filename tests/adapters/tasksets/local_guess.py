"""A taskset of several turns: a number to guess."""

import verifiers as vf
from datasets import Dataset


class Guess(vf.MultiTurnEnv):
    async def env_response(self, messages, state, **kwargs):
        text, secret = messages[-1].content or "", int(state["answer"])
        guess = int(text) if text.strip().isdigit() else -1
        if guess == secret:
            state["won"] = True
            state["final_env_response"] = [vf.UserMessage(content="Right.")]
            return state["final_env_response"]
        return [vf.UserMessage(content="Higher." if guess < secret else "Lower.")]


def load_environment(size: int = 8):
    def rows(first):
        numbers = range(first, first + size)
        return Dataset.from_list([{"question": f"Guess, {n} to {n + 9}.", "answer": str(n + n % 7)} for n in numbers])

    def won(state) -> float:
        return float(state.get("won", False))

    return Guess(dataset=rows(0), eval_dataset=rows(100), rubric=vf.Rubric(funcs=[won]), max_turns=6)
