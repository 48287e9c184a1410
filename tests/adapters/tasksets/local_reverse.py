"""A taskset of one turn: a word to reverse, in a tag."""

import verifiers as vf
from datasets import Dataset

print("importing says this")


def load_environment(size: int = 20, fails: bool = False):
    words = [f"word{number}" for number in range(size)]
    rows = [{"question": f"Reverse: {word}", "answer": word[::-1]} for word in words]
    parser = vf.XMLParser(["reversed_text"], answer_field="reversed_text")

    async def exact(completion, answer) -> float:
        print("scoring says this")
        if fails:
            raise RuntimeError("no key for the judge")
        return float((parser.parse_answer(completion) or "") == answer)

    def count(completion) -> dict:
        return {"messages": len(completion)}  # which is no number

    rubric = vf.Rubric([exact, parser.get_format_reward_func(), count], [1.0, 0.2, 0.0], parser=parser)
    system = "Answer in <reversed_text> tags."
    return vf.SingleTurnEnv(dataset=Dataset.from_list(rows), system_prompt=system, parser=parser, rubric=rubric)
