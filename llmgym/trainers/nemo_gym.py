"""The server that NeMo RL's NeMo Gym integration talks to: `/run` takes a row of a dataset and gives a record.

NeMo Gym starts its servers itself, each from a folder of its own with an `app.py`; ours is two lines:

```python
from llmgym.trainers.nemo_gym import main
main()
```

NeMo RL then trains on the record's tokens: those that its own generation servers took and gave.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson
import yaml

from llmgym.errors import ConfigError, LLMGymError
from llmgym.responses import to_items
from llmgym.rollout.config import ResponsesCreateParams
from llmgym.trainers.common import Episodes, Sample, TaskRef, task_rows
from llmgym.trainers.nemo_rl_policy import GenerationServers
from llmgym.trainers.siblings import Siblings
from llmgym.trajectory import Trajectory

_FIELD = "llmgym"  # of `verifier_metadata`, where a row has its task


class Agent:
    """Runs the episodes that rows ask for.

    Attributes:
        episodes: The environments and their configuration.
        policy: A started token policy.
    """

    def __init__(self, episodes: Episodes, policy: Any) -> None:
        """Join them."""
        self.episodes, self.policy = episodes, policy
        self._siblings = Siblings()
        self._repeat = itertools.count()

    async def run(self, row: Mapping[str, Any]) -> tuple[Sample, float]:
        """Run the episode of a row.

        Returns:
            What may be trained of it, and its reward: for an episode without one, the mean of its siblings', as NeMo RL
            computes a group's baseline from all of its rewards.

        Raises:
            ConfigError: The row names no task, or asks for sampling that makes no sense.
            PolicyError: The policy is dead.
        """
        ref = TaskRef.loads(str(row.get("verifier_metadata", {}).get(_FIELD, "")))
        params = self._params(row.get("responses_create_params", {}))
        run = self.episodes.run(ref, self.policy, repeat=next(self._repeat), params=params)
        trajectory, reward = await self._siblings.reward(ref, run)
        return self.episodes.sample(trajectory), reward

    def _params(self, asked: Mapping[str, Any]) -> ResponsesCreateParams:
        configured = msgspec.to_builtins(self.episodes.config.agent.responses_create_params)
        given = {name: asked[name] for name in configured if asked.get(name) is not None}
        try:
            return msgspec.convert(configured | given, ResponsesCreateParams)
        except msgspec.ValidationError as error:
            raise ConfigError(f"responses_create_params: {error}") from None


def record(row: Mapping[str, Any], sample: Sample, reward: float, model: str, *, tokens: bool = True) -> dict[str, Any]:
    """An episode as NeMo Gym's agents answer `/run`.

    The last item of each assistant message has the tokens of its turn, and the prompt of each such item is what all
    before it took and sampled. Where there are several segments that holds for the one that is trained, and the other
    turns have no tokens; replies of that one which are no turns, such as a summary, are items without text.

    Args:
        row: The row that was asked for.
        sample: What may be trained of the episode.
        reward: Its reward, or what stands for it.
        model: Name of the model.
        tokens: Whether to write the tokens.
    """
    trajectory = sample.trajectory
    turns = _spans(sample)
    # NeMo RL refuses a record without a token; this one is masked then.
    rest = list(sample.spans or [(0, len(sample.completion_ids))]) if tokens else []
    output: list[dict[str, Any]] = []
    number = -1
    for message in trajectory.messages[trajectory.opening :]:
        items = to_items([message])
        if message["role"] == "assistant":
            number += 1
            if tokens and number in turns:
                at = rest.index(turns[number])
                output += [_filler(sample, *span) for span in rest[:at]]
                items[-1] |= _tokens(sample, *rest[at])
                del rest[: at + 1]
        output += items
    output += [_filler(sample, *span) for span in rest]
    masked = not any(sample.loss_mask)
    sampled = trajectory.sampled_tokens
    prompts = sum(turn.start for turn in trajectory.turns)
    return {
        **trajectory.metrics,
        "responses_create_params": {**row.get("responses_create_params", {}), "input": _input(trajectory, row)},
        "response": {
            "id": f"resp_{trajectory.id}",
            "object": "response",
            "created_at": int(time.time()),
            "model": model,
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [{"type": "function", **tool["function"]} for tool in trajectory.tools],
            "usage": {"input_tokens": prompts, "output_tokens": sampled, "total_tokens": prompts + sampled},
        },
        "reward": reward,
        # Where NeMo RL looks depends on its version.
        "mask_sample": masked,
        "instance_config": {"mask_sample": masked},
        "status": trajectory.status,
        "error": trajectory.error,
    }


def _spans(sample: Sample) -> dict[int, tuple[int, int]]:
    """Where in the completion each turn is whose tokens the sample has, by number of the turn."""
    start = len(sample.prompt_ids)
    places = {
        number: (turn.start - start, turn.end - start)
        for number, turn in enumerate(sample.trajectory.turns)
        if turn.segment == sample.segment
    }
    return {number: place for number, place in places.items() if place in sample.spans}


def _tokens(sample: Sample, first: int, end: int) -> dict[str, Any]:
    return {
        "prompt_token_ids": sample.prompt_ids + sample.completion_ids[:first],
        "generation_token_ids": sample.completion_ids[first:end],
        "generation_log_probs": sample.logprobs[first:end],
    }


def _filler(sample: Sample, first: int, end: int) -> dict[str, Any]:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": ""}]}
    return said | _tokens(sample, first, end)


def _input(trajectory: Trajectory, row: Mapping[str, Any]) -> Any:
    items = to_items(trajectory.messages[: trajectory.opening])
    return items or row.get("responses_create_params", {}).get("input", [])


def rows(agent: str = "llmgym", **settings: Any) -> list[dict[str, Any]]:
    """The tasks of a configuration as rows of a NeMo Gym dataset, to be written as JSONL.

    Args:
        agent: Name of the agent in NeMo Gym's configuration.
        **settings: Settings of a run; see `task_rows`.
    """
    return [
        {
            "responses_create_params": {
                "input": [{"role": message["role"], "content": message["content"]} for message in row.messages],
                "tools": [{"type": "function", **tool["function"], "strict": False} for tool in row.tools],
            },
            "agent_ref": {"type": "responses_api_agents", "name": agent},
            "verifier_metadata": {_FIELD: row.ref.dumps()},
        }
        for row in task_rows(**settings)
    ]


def application(agent: Agent) -> Any:
    """The server, as an aiohttp application: `POST /run`, and `GET /` to see that it lives.

    A row that makes no sense is answered with 400, which ends NeMo RL's run. An episode that failed is answered with a
    record: masked, and with its `status` and `error`.
    """
    from aiohttp import web

    async def run(request: Any) -> Any:
        try:
            row = orjson.loads(await request.read())
            sample, reward = await agent.run(row)
        except (LLMGymError, orjson.JSONDecodeError) as error:
            return web.Response(status=400, text=f"{type(error).__name__}: {error}")
        body = orjson.dumps(record(row, sample, reward, agent.policy.model))
        return web.Response(body=body, content_type="application/json")

    async def alive(_: Any) -> Any:
        return web.json_response({"status": "ok"})

    async def stop(_: Any) -> None:
        await agent.policy.close()
        agent.episodes.close()

    app = web.Application(client_max_size=1 << 30)
    app.add_routes([web.post("/run", run), web.get("/", alive)])
    app.on_cleanup.append(stop)
    return app


def main() -> None:
    """Serve as NeMo Gym's configuration says, which it gives its servers in `NEMO_GYM_CONFIG_DICT`.

    Our entry has `host` and `port`, as every server's, and beside them `context_length`, `settings` (those of
    a run) and, where it is not the model, `tokenizer`.

    Raises:
        ConfigError: This process was not started by NeMo Gym, or something is missing there.
    """
    from aiohttp import web
    from transformers import AutoTokenizer

    config, entry = gym_config(os.environ)
    tokenizer = AutoTokenizer.from_pretrained(entry.get("tokenizer") or config["policy_model_name"])
    urls: str | Sequence[str] = config["policy_base_url"]
    policy = GenerationServers(
        [urls] if isinstance(urls, str) else urls, config["policy_model_name"], tokenizer, entry["context_length"]
    )
    agent = Agent(Episodes(tokenizer, **entry.get("settings", {})), policy)
    web.run_app(application(agent), host=entry["host"], port=entry["port"])


def gym_config(environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """NeMo Gym's configuration, and in it that of the server that this process is.

    Raises:
        ConfigError: There is none, or something is missing in it.
    """
    name = environ.get("NEMO_GYM_CONFIG_PATH", "")
    config = yaml.safe_load(environ.get("NEMO_GYM_CONFIG_DICT", "")) or {}
    try:
        (group,) = config[name].values()
        (entry,) = group.values()
    except (KeyError, ValueError, AttributeError):
        raise ConfigError(
            f"NEMO_GYM_CONFIG_DICT has no server {name!r}, which is what NEMO_GYM_CONFIG_PATH says: NeMo Gym sets both "
            "and starts this server, from the folder of its agent"
        ) from None
    for place, keys in (
        (config, ("policy_base_url", "policy_model_name")),
        (entry, ("host", "port", "context_length")),
    ):
        if missing := [key for key in keys if key not in place]:
            raise ConfigError(f"{missing[0]} is missing in NeMo Gym's configuration of {name!r}")
    return config, entry
