"""How often llmgym's tool calls are right where BFCL's are: references of BFCL, its rule for text, calls in any order.

BFCL is not installed beside llmgym: it requires the packages of every vendor, and none is used here. In a virtual
environment of its own:

    python -m venv parity && parity/bin/pip install .
    parity/bin/pip install --no-deps bfcl-eval==2026.3.23
    parity/bin/python benchmarks/bfcl_parity.py --cases 20000

Cases are of one and of two calls of a function in Python, half of them right or nearly. Prints, as its last line, JSON
of how many agree, and of why the others do not.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import types
from collections import Counter

from llmgym.messages import assistant, tool_call
from llmgym.verifiers import tool_calls

VALUES = {
    "integer": [1, 2, 15],
    "float": [1.5, 2.0, 3],
    "string": ["Paris", "paris, FR", "1.5", "15", "a-b"],
    "boolean": [True, False],
    "array": [["a", "B"], ["b"], []],
    "dict": [{"x": 1}, {"x": 2}, {"x": 1, "y": "q"}],
}
STRAY = [1, "x", True, 1.0, None, "", []]


def accepted(kind: str, value: object, rng: random.Random) -> object:
    """A value as BFCL's references have it: those of an object are lists again."""
    if isinstance(value, dict):
        return {key: [one, *([""] if rng.random() < 0.3 else [])] for key, one in value.items()}
    return value


def made_case(rng: random.Random) -> tuple[dict, list[dict], list[dict]]:
    """A function, its right calls, and the calls that a model makes."""
    kinds = {f"p{number}": rng.choice(list(VALUES)) for number in range(rng.randint(1, 3))}
    required = [name for name in kinds if rng.random() < 0.7]
    properties = {
        name: {"type": kind, "items": {"type": "string"}} if kind == "array" else {"type": kind}
        for name, kind in kinds.items()
    }
    function = {"name": "f", "parameters": {"type": "dict", "properties": properties, "required": required}}
    gold, calls = [], []
    for _ in range(rng.randint(1, 2)):
        picked = {name: rng.sample(VALUES[kind], rng.randint(1, 2)) for name, kind in kinds.items()}
        optional = {name for name in kinds if name not in required and rng.random() < 0.8}
        gold.append(
            {
                name: [accepted(kinds[name], one, rng) for one in values] + ([""] if name in optional else [])
                for name, values in picked.items()
            }
        )
        call = {
            name: rng.choice(values) for name, values in picked.items() if name not in optional or rng.random() < 0.5
        }
        if rng.random() < 0.5:
            name = rng.choice(list(kinds))
            call[name] = rng.choice([*VALUES[kinds[name]], *STRAY])
        if rng.random() < 0.05:
            call["unknown"] = 1
        calls.append(call)
    rng.shuffle(calls)
    return function, gold, calls[:1] if rng.random() < 0.05 else calls


def original():
    """BFCL's checker; its import asks for every vendor's models, which are not used."""
    stub = types.ModuleType("bfcl_eval.constants.model_config")
    stub.MODEL_CONFIG_MAPPING = {}
    sys.modules[stub.__name__] = stub
    from bfcl_eval.constants.enums import Language
    from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

    def right(function: dict, gold: list[dict], calls: list[dict]) -> bool:
        kind = "parallel" if len(gold) > 1 else "simple"
        named = [[{"f": one} for one in some] for some in (calls, gold)]
        return ast_checker([function], *named, Language.PYTHON, kind, "none")["valid"]

    return right


def cause(right, function: dict, gold: list[dict], calls: list[dict], ours: bool) -> str:
    """Why the two differ."""
    if ours and right(function, gold[::-1], calls):
        return "greedy pairs"
    if ours and right(function, gold, calls[::-1]):
        return "greedy pairs"
    values = [value for call in calls for value in call.values()]
    if ours and any(isinstance(value, float) and value == int(value) for value in values):
        return "1.0 is no integer"
    return "[] for an optional list" if not ours and [] in values else "other"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, right = random.Random(options.seed), original()
    found = {1: Counter(), 2: Counter()}
    causes: Counter[str] = Counter()
    for _ in range(options.cases):
        function, gold, calls = made_case(rng)
        theirs = right(function, gold, calls)
        message = assistant("", *(tool_call("f", json.dumps(call)) for call in calls))
        reference = tool_calls.from_bfcl([{"f": one} for one in gold])
        ours = bool(tool_calls.check(message, reference, mode="order_free", strings="bfcl"))
        found[len(gold)].update(cases=1, agree=ours == theirs, right=theirs)
        if ours != theirs:
            causes[cause(right, function, gold, calls, ours)] += 1
    table = {f"{number}_calls": dict(row) for number, row in found.items()}
    print(json.dumps({"seed": options.seed, **table, "differ_by": dict(causes)}))


if __name__ == "__main__":
    main()
