"""What llmgym uses of verifiers 0.1.14, for tests of the worker where the package cannot be."""

import importlib
import inspect
import json
from types import SimpleNamespace


class Error(Exception):
    pass


class ToolError(Error):
    pass


class OverlongPromptError(Error):
    pass


class Client:
    def __init__(self, config):
        self.config = config


class Rubric:
    has_group_rewards = False

    def __init__(self, funcs, weights=None):
        self.funcs, self.weights = list(funcs), list(weights or [1.0] * len(funcs))

    def _get_reward_func_names(self):
        return [function.__name__ for function in self.funcs]

    def _get_reward_weights(self):
        return self.weights

    async def score_rollout(self, state):
        scores = []
        for function in self.funcs:
            try:
                found = {name: state[name] for name in inspect.signature(function).parameters}
                scores.append(float(await function(**found)))
            except Exception:
                scores.append(0.0)  # as the package does
        state["reward"] = sum(score * weight for score, weight in zip(scores, self.weights, strict=True))
        state["metrics"] = dict(zip(self._get_reward_func_names(), scores, strict=True))

    async def cleanup(self, state):
        pass


class Environment:
    def __init__(self, dataset, rubric, tools=(), eval_dataset=None, setup=None):
        self.dataset, self.eval_dataset, self.rubric, self.setup = dataset, eval_dataset, rubric, setup
        self.tools = {tool.__name__: tool for tool in tools}

    def build_dataset(self):
        return self.dataset

    def build_eval_dataset(self):
        return self.eval_dataset

    async def rollout(self, row, client, model, sampling_args):
        state = {**row, "said": [], "error": None}
        prompt = list(row["prompt"])
        if self.setup is not None:
            await self.setup(state)
        schemas = [SimpleNamespace(name=name, description="", parameters=_schema(t)) for name, t in self.tools.items()]
        while True:
            try:
                response = await client.get_response(
                    prompt=prompt, model=model, sampling_args=sampling_args, tools=schemas or None, state=state
                )
            except OverlongPromptError:
                return state
            state["said"].append(response.message.content)
            if not response.message.tool_calls:
                return state
            prompt = [*prompt, response.message]
            for call in response.message.tool_calls:
                text = await self.tools[call["name"]](state, **json.loads(call["arguments"]))
                prompt.append({"role": "tool", "tool_call_id": call["id"], "content": text})


def _schema(tool):
    names = list(inspect.signature(tool).parameters)[1:]
    return {"type": "object", "properties": {name: {} for name in names}, "required": names}


def load_environment(name, **args):
    module = name.replace("-", "_")
    try:
        return importlib.import_module(module).load_environment(**args)
    except ImportError as error:
        raise ValueError(f"Could not import {name!r}") from error
    except Exception as error:
        raise RuntimeError(f"Failed to load environment {name!r}") from error
