"""The domains of tau2-bench: their tasks, worlds and rules, as the package has them."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Iterator
from functools import cache
from typing import Any

from llmgym.adapters.packages import unchanged

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
    state, databases = task.initial_state, {name: pickle.loads(blob) for name, blob in _databases(domain).items()}
    made = _module(domain).get_environment(**databases, solo_mode=domain == "telecom")
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
        RewardType.DB: lambda: float(_hashes(played) == _gold_hashes(domain, task.id)),
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
def _databases(domain: str) -> dict[str, bytes]:
    """What the package loads for each world anew, which takes ten times as long as to read a pickle of it."""
    made = _module(domain).get_environment()
    found = {"db": made.tools.db} | ({"user_db": made.user_tools.db} if domain == "telecom" else {})
    return {name: pickle.dumps(database, pickle.HIGHEST_PROTOCOL) for name, database in found.items()}


def _hashes(made: Any) -> tuple[Any, Any]:
    return made.get_db_hash(), made.get_user_db_hash()


@cache
def _gold_hashes(domain: str, task_id: str) -> tuple[Any, Any]:
    return _hashes(_after_gold(domain, tasks(domain)[task_id]))


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
