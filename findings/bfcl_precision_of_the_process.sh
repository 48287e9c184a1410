#!/usr/bin/env bash
# BFCL's mathematics: a model that asks for a logarithm of 2 digits makes the whole process compute with 2 digits.
#
# What happens: `logarithm` and `square_root` of BFCL's simulated service set the precision of mpmath for the whole process
# and that of decimal for the whole thread to what the call asked for, and leave it so. One would have expected that a
# simulated service keeps its state to itself, as BFCL's checker, which compares the state of services, takes for granted.
# Why it matters: whoever scores other answers in that process, by mpmath or decimal, takes wrong ones for right.
# Seen with bfcl-eval 2026.3.23, mpmath 1.3.0.
# In llmgym: the adapter puts both precisions back after each call (llmgym/adapters/bfcl/services.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-deps bfcl-eval==2026.3.23 mpmath==1.3.0
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from decimal import Decimal

import mpmath
from bfcl_eval.eval_checker.multi_turn_eval.func_source_code.math_api import MathAPI


def verdicts():
    """Whether 0.3333 passes for a third, and 1.4 for 1.44."""
    return mpmath.mpf(1) / 3 == mpmath.mpf("0.3333"), Decimal("1.2") * Decimal("1.2") == Decimal("1.4")


before = verdicts()
service = MathAPI()
service.logarithm(value=100.0, base=10.0, precision=2)
service.square_root(number=2.0, precision=2)
after = verdicts()
print("before: ", *before)
print("after:  ", *after)
print("digits: ", mpmath.mp.dps)
sys.exit(0 if (before, after, mpmath.mp.dps) == ((False, False), (True, True), 2) else "this is no longer so")
PYTHON
