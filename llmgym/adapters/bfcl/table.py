"""The ids of BFCL: wishes of one turn, and of several over eight simulated services."""

from __future__ import annotations

from llmgym.catalogue import EnvRow, TaskOrigin, Variant

_ORIGIN = TaskOrigin(licence="Apache-2.0", origin="BFCL v4 (package bfcl-eval)")
_NONE = "in some tasks no function can do what is asked, and any text without a call is right"
_MADE = "calls that only look may be made once more, and some arguments have no effect"


def rows() -> list[EnvRow]:
    """The rows of the registry."""
    return [_single(), _several()]


def _single() -> EnvRow:
    return EnvRow(
        id="llmgym/BFCL-v0",
        entry_point="llmgym.adapters.bfcl.single:BFCL",
        summary="Call the right functions with the right arguments, or none, from BFCL v4.",
        domains=["tool-use"],
        needs=["bfcl"],
        max_turns=2,
        kwargs={"categories": ["simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance"]},
        allow=dict.fromkeys(
            (
                "blind/blank",
                "blind/constants",
                "blind/best",
                "blind/refusal",
                "blind/noise",
                "blind/claims",
                "blind/echo",
                "blind/skeleton",
                "blind/scaffolds",
                "acting/none",
                "near/list",
                "near/lines",
                "near/other",
            ),
            _NONE,
        ),
        tasks=_ORIGIN,
        variants={
            "live": Variant(
                summary="The same with functions and wishes that users sent, from BFCL v4.",
                kwargs={
                    "categories": [
                        "live_simple",
                        "live_multiple",
                        "live_parallel",
                        "live_parallel_multiple",
                        "live_irrelevance",
                    ]
                },
            )
        },
    )


def _several() -> EnvRow:
    return EnvRow(
        id="llmgym/BFCLTurns-v0",
        entry_point="llmgym.adapters.bfcl.turns:BFCLTurns",
        summary="Grant wishes one after another over simulated services, from BFCL v4.",
        domains=["tool-use", "multi-turn"],
        needs=["bfcl"],
        max_turns=60,
        kwargs={"category": "base"},
        allow=dict.fromkeys(("near/argument", "near/doubled", "near/dropped", "acting/half"), _MADE),
        tasks=_ORIGIN,
        variants={
            "missparam": Variant(
                summary="The same where a wish may lack what the user tells a turn later.",
                kwargs={"category": "miss_param"},
            ),
            "longcontext": Variant(
                summary="The same with services that answer with much that is of no use.",
                kwargs={"category": "long_context"},
            ),
        },
    )
