#!/usr/bin/env bash
# math-verify takes a capital letter for the small one, and a derivative for the function.
#
# What happens: "C" and "c", "2N+n" and "3n" and, of f, "x'" and "x" are equal to it. One would have expected that what a
# text distinguishes by its letters is different.
# Why it matters: an answer in the wrong variable, or a function in the place of its derivative, earns the full reward.
# Seen with math-verify 0.9.0 and latex2sympy2_extended 1.11.0.
# In llmgym: `llmgym.verifiers.math` says in docs/verifiers.md that case does not count; name the kind `text` where it does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'math-verify[antlr4_13_2]==0.9.0' latex2sympy2_extended==1.11.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from math_verify import parse, verify

pairs = {("C", "c"): True, ("2N+n", "3n"): True, ("x'", "x"): True, ("x", "y"): False}
found = {(gold, said): verify(parse(f"${gold}$"), parse(f"${said}$")) for gold, said in pairs}
for (gold, said), equal in found.items():
    print(f"{gold} and {said}: {equal}")
sys.exit(0 if found == pairs else "this is no longer so")
PYTHON
