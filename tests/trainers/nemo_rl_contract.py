"""What NeMo RL asks of an environment, of NeMo Gym's records and of its generation servers, written down as code.

NeMo RL is not on PyPI. These follow `nemo_rl/experience/rollouts.py`, `nemo_rl/environments/nemo_gym.py` and
`nemo_rl/models/generation/vllm/vllm_worker_async.py` of its source tree, reduced to what an adapter can break.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from aiohttp import web

from llmgym.errors import PolicyError
from llmgym.policies import Sampling

TOKENS = ("prompt_token_ids", "generation_token_ids", "generation_log_probs")


class Worker:
    """A generation server of NeMo RL on one of our policies: messages in, and the tokens that a prompt starts with."""

    def __init__(self, policy: Any, tokenizer: Any, temperature: float = 1.0, top_p: float = 1.0) -> None:
        self.policy, self.tokenizer = policy, tokenizer
        self.temperature, self.top_p = temperature, top_p
        self.refuse: list[int] = []
        self.sessions = 0

    def prompt(self, messages: list[dict[str, Any]], prefix: list[int] | None) -> list[int]:
        """`_preprocess_chat` and `_replace_prefix_tokens`."""
        rendered = self.encode(messages, generation=True)
        if prefix is None:
            return rendered
        last = max(i for i, message in enumerate(messages) if message["role"] == "assistant")
        before = self.encode(messages[: last + 1], generation=False)
        eos = self.tokenizer.eos_token_id
        assert len(rendered) > len(before), "non-monotonically increasing trajectory"
        kept = prefix[:-1] if prefix[-1] == eos else prefix
        cut = next(place for place in reversed(range(len(before))) if rendered[place] == eos)
        return kept + rendered[cut:]

    def encode(self, messages: list[dict[str, Any]], *, generation: bool) -> list[int]:
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation)
        return self.tokenizer.encode(text, add_special_tokens=False)

    async def complete(self, request: web.Request) -> web.Response:
        if self.refuse:
            return web.Response(status=self.refuse.pop(), text="busy")
        body = json.loads(await request.read())
        assert body.get("top_k") in (None, -1)
        assert body["temperature"] == self.temperature
        assert body["top_p"] == self.top_p
        ids = self.prompt(body["messages"], body.get("required_prefix_token_ids"))
        sampling = Sampling(body["temperature"], body["top_p"], body["max_tokens"], tuple(body["stop_token_ids"]))
        session = request.headers.get("X-Session", "")
        try:
            made = await self.policy.generate(ids, sampling, request_id="", session_id=session)
        except PolicyError as error:
            return web.json_response({"message": str(error)}, status=400)
        content = [
            {"token": f"token_id:{token}", "logprob": value, "top_logprobs": []}
            for token, value in zip(made.token_ids, made.logprobs, strict=True)
        ]
        choice = {"finish_reason": made.finish_reason, "logprobs": {"content": content}, "message": {}}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": len(ids)}})

    async def tokenize(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        return web.json_response({"tokens": self.prompt(body["messages"], body.get("required_prefix_token_ids"))})

    def application(self) -> web.Application:
        app = web.Application(client_max_size=1 << 30)
        app.add_routes([web.post("/v1/chat/completions", self.complete), web.post("/tokenize", self.tokenize)])
        return app


def message_log_of(record: dict[str, Any]) -> list[dict[str, Any]]:
    """`_postprocess_nemo_gym_to_nemo_rl_result`: a record of `/run` as the log that is trained on."""
    log: list[dict[str, Any]] = []
    seen: list[int] = []
    for item in record["response"]["output"]:
        if not item.get("generation_token_ids"):
            continue
        assert seen == item["prompt_token_ids"][: len(seen)], "Non-contiguous messages found!"
        new = item["prompt_token_ids"][len(seen) :]
        log.append({"role": "user", "token_ids": torch.tensor(new)})
        log.append(
            {
                "role": "assistant",
                "token_ids": torch.tensor(item["generation_token_ids"]),
                "generation_logprobs": torch.tensor(item["generation_log_probs"]),
            }
        )
        seen += [*new, *item["generation_token_ids"]]
    assert log, "NeMo Gym returned a result with no generation data."
    assert record["responses_create_params"]["input"]
    float(record["reward"])
    for place in (record, record["instance_config"]):
        assert isinstance(place["mask_sample"], bool)
    return log


def rollout(
    environment: Any,
    data: Sequence[dict[str, Any]],
    replies: Sequence[Sequence[str]],
    tokenizer: Any,
    max_turns: int = 10,
) -> list[dict[str, Any]]:
    """`run_multi_turn_rollout` and `calculate_rewards`; sample `i` says `replies[i]`, one a turn, each with its end."""
    samples = [
        {
            "log": [dict(message) for message in datum["message_log"]],
            "info": dict(datum["extra_env_info"]),
            "reward": 0.0,
            "terminated": False,
        }
        for datum in data
    ]
    active = list(range(len(samples)))
    for turn in range(max_turns):
        if not active:
            break
        for i in active:
            text = replies[i][min(turn, len(replies[i]) - 1)]
            ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
            content = tokenizer.decode(ids, skip_special_tokens=True)
            samples[i]["log"].append({"role": "assistant", "content": content, "token_ids": torch.tensor(ids)})
        logs = [[{key: m[key] for key in ("role", "content")} for m in samples[i]["log"]] for i in active]
        result = environment.step(logs, [samples[i]["info"] for i in active])
        observations, metadata, stops, rewards, terminateds, answers = result
        assert {len(part) for part in result} == {len(active)}
        assert rewards.dtype == torch.float32
        assert terminateds.dtype == torch.bool
        assert list(stops) == list(answers) == [None] * len(active)
        for place, i in enumerate(active):
            content = observations[place]["content"]
            ids = tokenizer(content, return_tensors="pt", add_special_tokens=False).input_ids[0].to(torch.int64)
            samples[i]["log"].append({**observations[place], "token_ids": ids})
            samples[i]["reward"] += float(rewards[place])
            samples[i]["terminated"] = bool(terminateds[place])
            if metadata[place] is not None:
                samples[i]["info"] = metadata[place]
        active = [i for place, i in enumerate(active) if not terminateds[place]]
    return samples
