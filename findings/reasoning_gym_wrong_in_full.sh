#!/usr/bin/env bash
# reasoning-gym: three scorers that pay wrong answers in full.
#
# What happens: game_of_life_halting pays any text (a text that is not empty is true), complex_arithmetic pays
# "nan" (the smaller of 1 and nan is 1), number_sorting a list whose numbers are all 0.9 too large (each is taken for
# right that is within 1). One would have expected 0, as other datasets of the package pay.
# Why it matters: a policy that is trained on these datasets, alone or in the package's mixtures, learns such answers.
# Seen with reasoning-gym 0.1.25.
# In llmgym: `llmgym.adapters.reasoning_gym.scoring` replaces these scorers and 19 others; docs/audits.md lists them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet reasoning-gym==0.1.25
"$folder/venv/bin/python" - <<'PYTHON'
import ast
import json
import sys

import reasoning_gym


def paid(name, answer_of):
    """How many of 20 entries pay an answer that is wrong in full."""
    dataset = reasoning_gym.create_dataset(name, size=20, seed=0)
    return sum(dataset.score_answer(answer=answer_of(entry), entry=entry) >= 1.0 for entry in dataset)


found = {
    "game_of_life_halting, 'banana'": paid("game_of_life_halting", lambda entry: "banana"),
    "complex_arithmetic, 'nan'": paid("complex_arithmetic", lambda entry: "nan"),
    "number_sorting, each number 0.9 more": paid(
        "number_sorting", lambda entry: json.dumps([str(float(n) + 0.9) for n in ast.literal_eval(entry["answer"])])
    ),
    "basic_arithmetic, 'banana'": paid("basic_arithmetic", lambda entry: "banana"),
}
for name, count in found.items():
    print(f"{name}: {count} of 20 in full")
sys.exit(0 if list(found.values()) == [20, 20, 20, 0] else "this is no longer so")
PYTHON
