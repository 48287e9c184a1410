"""verl's client and load balancer as they are, over a server that samples without an engine and keeps a record.

The module can be imported by Ray's workers.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import ray
from verl.workers.rollout.llm_server import GlobalRequestLoadBalancer, LLMServerClient
from verl.workers.rollout.replica import TokenOutput

from llmgym.concurrency import drive
from llmgym.policies import Generation, Sampling
from tests.exactness import FuzzPolicy, Recording, Request
from tests.trainers.contract import Row, turns_in
from tests.trainers.tiny import tiny_tokenizer

Sample = Callable[[list[int], Sampling], Generation]

#: The weights that the server says it samples with.
STEP = 5


@dataclass(frozen=True)
class Asked:
    """A request as the server got it, and what it answered."""

    prompt_ids: tuple[int, ...]
    params: dict[str, Any]
    answer: TokenOutput


class Server:
    """What verl starts for each replica of its rollout engine."""

    def __init__(self, make: Callable[[], Sample]) -> None:
        self._sample, self.asked = make(), list[Asked]()

    async def generate(
        self,
        prompt_ids: list[int],
        sampling_params: dict[str, Any],
        request_id: str,
        image_data: Any = None,
        video_data: Any = None,
        priority: int = 0,
    ) -> TokenOutput:
        params = dict(sampling_params)
        # As verl's server for vLLM, which fails for a name that vLLM does not know.
        sampling = Sampling(
            temperature=params.pop("temperature"),
            top_p=params.pop("top_p"),
            max_tokens=params.pop("max_tokens"),
            stop_token_ids=tuple(params.pop("stop_token_ids")),
        )
        assert params.keys() == {"top_k", "repetition_penalty", "logprobs"}
        await asyncio.sleep(0)
        said = self._sample(prompt_ids, sampling)
        answer = TokenOutput(
            token_ids=list(said.token_ids),
            log_probs=list(said.logprobs) if params["logprobs"] else None,
            stop_reason="aborted" if said.finish_reason == "abort" else "completed",
            num_preempted=1,
            extra_fields={"global_steps": STEP, "num_cached_tokens": 3},
        )
        self.asked.append(Asked(tuple(prompt_ids), sampling_params, answer))
        return answer

    def record(self) -> list[Asked]:
        return self.asked


class Actor:
    """Calls an object as Ray calls an actor, but in this process."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace(remote=lambda *args, **kwargs: self._call(getattr(self._target, name)(*args, **kwargs)))

    @staticmethod
    def _call(result: Any) -> asyncio.Future[Any]:
        if inspect.isawaitable(result):
            return asyncio.ensure_future(result)
        future = asyncio.get_running_loop().create_future()
        future.set_result(result)
        return future


def client(config: Any, server: Server) -> tuple[LLMServerClient, GlobalRequestLoadBalancer]:
    """verl's client of one server in this process, and its balancer."""
    balancer = GlobalRequestLoadBalancer(servers={"one": Actor(server)})
    return LLMServerClient(config, load_balancer_handle=Actor(balancer)), balancer


def ray_client(config: Any, make: Callable[[], Sample]) -> tuple[LLMServerClient, Any]:
    """verl's client of one server that is an actor, and the server."""
    server = ray.remote(Server).options(max_concurrency=64).remote(make)
    balancer = ray.remote(GlobalRequestLoadBalancer).remote(servers={"one": server})
    return LLMServerClient(config, load_balancer_handle=balancer), server


def fuzz(seed: int = 1) -> Sample:
    """Samples whatever a model may; log-probabilities depend on the place, so that no two are confused."""
    tokenizer = tiny_tokenizer()
    policy = FuzzPolicy(tokenizer, [tokenizer.eos_token_id], seed)

    def sample(prompt_ids: list[int], sampling: Sampling) -> Generation:
        said = drive(policy.generate(prompt_ids, sampling))
        ids = list(said.token_ids) or [tokenizer.eos_token_id]  # an engine gives at least one
        return Generation(ids, logprobs_of(prompt_ids, ids), said.finish_reason)

    return sample


def logprobs_of(prompt_ids: Sequence[int], ids: Sequence[int]) -> list[float]:
    """Something below zero for each token, by its place and itself."""
    return [-((len(prompt_ids) + place) * 31 + token % 97) / 1000 for place, token in enumerate(ids)]


def rows_of(
    groups: Sequence[Any],
    prompts: Sequence[list[int]],
    responses: Sequence[list[int]],
    masks: Sequence[list[int]],
    logprobs: Sequence[list[float]],
    rewards: Sequence[float | None],
    asked: Sequence[Asked],
) -> tuple[list[Row], Recording]:
    """The rows that verl got, and the record of the server by row, since it is told of no sessions."""
    requests = [
        Request(a.prompt_ids, Sampling(), Generation(a.answer.token_ids, a.answer.log_probs or [], "stop"))
        for a in asked
    ]
    recording = Recording(None)
    rows: list[Row] = []
    for number, columns in enumerate(zip(groups, prompts, responses, masks, logprobs, rewards, strict=True)):
        row = Row(str(number), *columns)
        found = {start: request for start, _, request in turns_in([*row.prompt_ids, *row.completion_ids], requests)}
        if found:  # replies of several episodes that begin alike are one and the same here
            recording.requests[row.session] = [found[start] for start in sorted(found)]
        rows.append(row)
    return rows, recording
