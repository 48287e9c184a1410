"""The ids of AgentDojo: its four suites, each without an attack and with one."""

from __future__ import annotations

from llmgym.catalogue import EnvRow, TaskOrigin, Variant

#: What a user may ask for in each suite.
SUITES = {
    "workspace": "mail, a calendar and files",
    "travel": "hotels, restaurants, cars and flights",
    "banking": "an account and its transactions",
    "slack": "channels, messages and web pages",
}

_ANYWHERE = "the package looks for the right words anywhere in the last message"
_ALLOW = {
    "near/list": _ANYWHERE,
    "near/lines": _ANYWHERE,
    "near/other": _ANYWHERE,
    "near/argument": "the package's checks pass over some arguments, such as the subject of a transaction",
    "ceiling/case": "some of the package's checks mind the case of letters",
    "acting/half": "some of the package's checks are met before the last of its gold calls",
}


def rows() -> list[EnvRow]:
    """The rows of the registry."""
    first, *others = SUITES
    variants = {name: Variant(summary=_summary(name), kwargs={"suite": name}) for name in others}
    for name in SUITES:
        variants[f"{name}attacked"] = Variant(
            summary=f"{_summary(name)[:-1]}, whose answers carry an injected wish.",
            kwargs={"suite": name, "attack": "important_instructions_no_names"},
        )
    return [
        EnvRow(
            id="llmgym/AgentDojo-v0",
            entry_point="llmgym.adapters.agentdojo.env:AgentDojo",
            summary=_summary(first),
            domains=["tool-use", "safety"],
            needs=["agentdojo"],
            max_turns=24,
            kwargs={"suite": first},
            allow=_ALLOW,
            tasks=TaskOrigin(licence="MIT", origin="AgentDojo v1.2.2 (package agentdojo)"),
            variants=variants,
        )
    ]


def _summary(suite: str) -> str:
    return f"Wishes about {SUITES[suite]}, from AgentDojo."
