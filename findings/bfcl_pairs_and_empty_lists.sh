#!/usr/bin/env bash
# BFCL's checker of calls: two right calls are wrong in the other order, and an empty list is right for any optional list.
#
# What happens: of two calls that may come in any order, each takes the first reference that fits it; where one fits both
# references and the other only one of them, the verdict depends on which is listed first. And a parameter that may be left
# out counts as left out when it is [], whatever the reference wants, since an empty list is looked for among the values
# as if it were a text. One would have expected that calls are paired so that as many fit as can, and [] is a value.
# Why it matters: the same two calls earn 1 or 0 by the order that they are written in, and an empty list earns the reward.
# Seen with bfcl-eval 2026.3.23.
# In llmgym: `llmgym.verifiers.tool_calls` pairs by maximum matching and compares [] as a value (docs/verifiers.md).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-deps bfcl-eval==2026.3.23
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import types

models = types.ModuleType("bfcl_eval.constants.model_config")  # every vendor's clients, which are not used here
models.MODEL_CONFIG_MAPPING = {}
sys.modules[models.__name__] = models
from bfcl_eval.constants.enums import Language
from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker

CITY = {"type": "string"}
TAGS = {"type": "array", "items": {"type": "string"}}
FUNCTION = {"name": "f", "parameters": {"type": "dict", "properties": {"city": CITY, "tags": TAGS}, "required": ["city"]}}


def right(calls, references):
    kind = "parallel" if len(references) > 1 else "simple"
    return ast_checker(
        [FUNCTION], [{"f": c} for c in calls], [{"f": r} for r in references], Language.PYTHON, kind, "none"
    )["valid"]


wide, narrow = {"city": ["Rome", "Oslo"], "tags": [""]}, {"city": ["Rome"], "tags": [""]}
calls = [{"city": "Rome"}, {"city": "Oslo"}]
found = {
    "narrow reference first": right(calls, [narrow, wide]),
    "wide reference first": right(calls, [wide, narrow]),
    "tags as they should be": right([{"city": "Rome", "tags": ["old"]}], [{"city": ["Rome"], "tags": [["old"], ""]}]),
    "tags empty": right([{"city": "Rome", "tags": []}], [{"city": ["Rome"], "tags": [["old"], ""]}]),
    "tags others": right([{"city": "Rome", "tags": ["new"]}], [{"city": ["Rome"], "tags": [["old"], ""]}]),
}
for name, valid in found.items():
    print(f"{name}: {valid}")
sys.exit(0 if list(found.values()) == [True, False, True, True, False] else "this is no longer so")
PYTHON
