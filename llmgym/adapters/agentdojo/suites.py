"""The suites of AgentDojo: their worlds, tools, wishes and attacks, as the package has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any, Final

import yaml

from llmgym.adapters.packages import unchanged
from llmgym.adapters.splitting import split_of

VERSION = "v1.2.2"

#: Wishes that are left out, since the package pays for doing nothing.
PAID_FOR_NOTHING: Final = {
    ("banking", "user_task_5"): "a transaction of the amount is there from the beginning",
    ("banking", "user_task_6"): "a scheduled transaction with the name and the amount is there from the beginning",
    ("banking", "user_task_8"): "its check is `return True`",
    ("banking", "user_task_9"): "nothing may be changed, and nothing need be said",
    ("banking", "user_task_10"): "nothing may be changed, and nothing need be said",
}

#: The package's attacks that are one text around the goal of an injection, and know nothing of the model.
ATTACKS: Final = ("important_instructions_no_names", "direct", "ignore_previous", "system_message", "injecagent")


@cache
def suite(name: str) -> Any:
    """A suite of the package."""
    with unchanged():  # what it imports seeds generators, filters warnings and adds handlers of logs
        from agentdojo.task_suite.load_suites import get_suites  # pyright: ignore[reportMissingImports]

        return get_suites(VERSION)[name]


def rows(name: str, attack: str | None) -> Iterator[dict[str, Any]]:
    """The wishes of a suite; with an attack each with each goal of an injection that its gold calls would meet."""
    found = suite(name)
    for number, wish in found.user_tasks.items():
        if (name, number) in PAID_FOR_NOTHING:
            continue
        row = {"prompt": wish.PROMPT, "split": split_of(name, wish.PROMPT), "wish": number}
        if attack is None:
            yield row | {"id": f"{name}-{number}"}
        elif places := _places(name, number):
            for goal in found.injection_tasks:
                yield row | {"id": f"{name}-{number}-{goal}", "goal": goal, "places": places}


def injections(name: str, attack: str, row: Mapping[str, Any]) -> dict[str, str]:
    """The texts of an attack by place, for the wish, the goal and the places of a row."""
    found, around = suite(name), _attack(name, attack)
    wish, goal = found.user_tasks[row["wish"]], found.injection_tasks[row["goal"]]
    text = around.jailbreak.format(
        goal=goal.GOAL, user=around.user_name, model=around.model_name, task=around.summarize_task(wish)
    )
    return {str(place): text for place in row["places"]}


def world(name: str, injected: Mapping[str, str]) -> Any:
    """A world of a suite, with texts in some of its places; not to be changed."""
    return _world(name, tuple(sorted(injected.items())))


@cache
def runtime(name: str) -> Any:
    """What runs the tools of a suite; it has no state."""
    from agentdojo.functions_runtime import FunctionsRuntime  # pyright: ignore[reportMissingImports]

    return FunctionsRuntime(suite(name).tools)


@cache
def _defaults(name: str) -> dict[str, str]:
    return suite(name).get_injection_vector_defaults()


@cache
def _attack(name: str, attack: str) -> Any:
    with unchanged():
        from agentdojo.attacks.attack_registry import load_attack  # pyright: ignore[reportMissingImports]
        from agentdojo.models import MODEL_NAMES  # pyright: ignore[reportMissingImports]

        pipeline: Any = SimpleNamespace(name=next(iter(MODEL_NAMES)))
        return load_attack(attack, suite(name), pipeline)


@lru_cache(256)
def _world(name: str, injected: tuple[tuple[str, str], ...]) -> Any:
    text = _template(name).format(**(_defaults(name) | dict(injected)))
    # As the package does, but for the parser, which is ten times as fast.
    return suite(name).environment_type.model_validate(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


@cache
def _template(name: str) -> str:
    """The file of a world, which the package reads and writes anew for each."""
    from agentdojo.task_suite.task_suite import read_suite_file  # pyright: ignore[reportMissingImports]

    return read_suite_file(name, "environment.yaml", None)


def _places(name: str, number: str) -> list[str]:
    """The places of a world that the gold calls of a wish bring to the eyes of a policy, as the package finds them."""
    from agentdojo.agent_pipeline.ground_truth_pipeline import GroundTruthPipeline  # pyright: ignore[reportMissingImports]
    from agentdojo.types import get_text_content_as_str  # pyright: ignore[reportMissingImports]

    found, marks = suite(name), {place: f"<CANARY---{place}--->" for place in _defaults(name)}
    gold = GroundTruthPipeline(found.user_tasks[number])
    *_, said, _ = gold.query("", runtime(name), world(name, marks).model_copy(deep=True))
    texts = [get_text_content_as_str(message["content"]) for message in said if message["content"] is not None]
    return [place for place, mark in marks.items() if any(mark in text for text in texts)]
