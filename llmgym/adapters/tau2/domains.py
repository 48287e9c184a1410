"""The domains of tau2-bench: their tasks, worlds and rules, as the package has them."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from llmgym.adapters.packages import unchanged
from llmgym.adapters.tau2.tables import changes, copied

#: Tasks whose gold calls write nothing although they mean to, so that doing nothing earns the reward.
_WRITE_NOTHING = {"retail": ("12", "105")}


@cache
def _module(domain: str) -> Any:
    with unchanged():  # it reads a file .env into the environment, and writes to the log
        from loguru import logger  # pyright: ignore[reportMissingImports]

        logger.disable("tau2")
        return importlib.import_module(f"tau2.domains.{domain}.environment")


@cache
def tasks(domain: str) -> dict[str, Any]:
    """The tasks of a domain, by id."""
    return {task.id: task for task in _module(domain).get_tasks()}


def rows(domain: str, told: bool) -> Iterator[dict[str, Any]]:
    """The tasks of a domain in the package's splits; told at once, those that are not granted from the beginning."""
    splits = _module(domain).get_tasks_split()
    for task_id, task in tasks(domain).items():
        if told and _is_granted(domain, task):
            continue
        split = "test" if task_id in splits.get("test", ()) else "train"
        prompt = task.ticket if domain == "telecom" else case(task)
        yield {"id": f"{domain}-{task_id}", "prompt": prompt, "split": split, "tau2": task_id}


def case(task: Any) -> str:
    """What a customer wants and knows, as the package writes it for the model that plays one."""
    return str(task.user_scenario.instructions)


def world(domain: str, task: Any) -> Any:
    """A new world of a domain, as a task finds it."""
    made, state = copy.copy(_origin(domain)), task.initial_state
    for name in _toolkits(made):
        tools = copy.copy(getattr(made, name))
        tools.db = copied(tools.db)
        setattr(made, name, tools)
    made.set_state(
        initialization_data=state and state.initialization_data,
        initialization_actions=state and state.initialization_actions,
        message_history=[],
    )
    return made


def reward(domain: str, task: Any, played: Any, messages: list[Any]) -> dict[str, float]:
    """What the package gives for the end of an episode, by what the task's reward is based on.

    Args:
        domain: The domain.
        task: The task.
        played: The world at the end.
        messages: What the policy said and called, in the package's types.
    """
    from tau2.data_model.tasks import RewardType  # pyright: ignore[reportMissingImports]
    from tau2.evaluator.evaluator_action import ActionEvaluator  # pyright: ignore[reportMissingImports]
    from tau2.evaluator.evaluator_communicate import CommunicateEvaluator  # pyright: ignore[reportMissingImports]

    criteria = task.evaluation_criteria
    ways = {
        RewardType.DB: lambda: float(_changes(domain, played) == _gold_changes(domain, task.id)),
        RewardType.ENV_ASSERTION: lambda: float(
            all(
                played.run_env_assertion(assertion, raise_assertion_error=False)
                for assertion in criteria.env_assertions or ()
            )
        ),
        RewardType.ACTION: lambda: ActionEvaluator.calculate_reward(task, messages).reward,
        RewardType.COMMUNICATE: lambda: CommunicateEvaluator.calculate_reward(task, messages).reward,
    }
    return {basis.value.lower(): ways[basis]() for basis in criteria.reward_basis}


@cache
def schemas(domain: str) -> list[Any]:
    """The schemas of the tools that the policy has."""
    made = _some_world(domain)
    found = made.get_tools() + (made.get_user_tools() if domain == "telecom" else [])
    return [tool.openai_schema for tool in found]


def gold(task: Any) -> list[Any]:
    """The gold calls of a task."""
    return task.evaluation_criteria.actions or []


@cache
def _origin(domain: str) -> Any:
    """What the package makes anew for each world, with a database that it reads; not to be changed."""
    return _module(domain).get_environment(solo_mode=domain == "telecom")


def _toolkits(made: Any) -> list[str]:
    """The names of what has a database: the desk's tools, and the customer's."""
    return [name for name in ("tools", "user_tools") if getattr(made, name) is not None]


def _changes(domain: str, made: Any) -> list[Any]:
    """How a world differs from what it was made of."""
    origin = _origin(domain)
    return [changes(getattr(made, name).db, getattr(origin, name).db) for name in _toolkits(made)]


@cache
def _gold_changes(domain: str, task_id: str) -> list[Any]:
    return _changes(domain, _after_gold(domain, tasks(domain)[task_id]))


def _after_gold(domain: str, task: Any) -> Any:
    """The world after the gold calls, of which some fail, as in the package."""
    made = world(domain, task)
    for action in gold(task):
        make_call(made, action.name, action.arguments)
    return made


def make_call(made: Any, name: str, arguments: dict[str, Any]) -> Any:
    """Call a tool of a world, and give the package's answer."""
    from tau2.data_model.message import ToolCall  # pyright: ignore[reportMissingImports]

    return made.get_response(ToolCall(id="", name=name, arguments=arguments, requestor="assistant"))


def _is_granted(domain: str, task: Any) -> bool:
    """Whether doing and saying nothing earns the reward: nothing is to be said, and no gold call writes."""
    from tau2.environment.toolkit import ToolType  # pyright: ignore[reportMissingImports]

    if task.id in _WRITE_NOTHING.get(domain, ()):
        return True
    if domain == "telecom" or task.evaluation_criteria.communicate_info:
        return False
    kinds = {action.name: _some_world(domain).tools.tool_type(action.name) for action in gold(task)}
    return ToolType.WRITE not in kinds.values()


@cache
def _some_world(domain: str) -> Any:
    return world(domain, next(iter(tasks(domain).values())))
