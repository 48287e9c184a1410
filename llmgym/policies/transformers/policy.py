"""The asyncio side: checks requests, hands them to the worker and waits."""

from __future__ import annotations

import asyncio
import random
import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmgym.chat import Sampling
from llmgym.errors import ConfigError, PolicyError
from llmgym.policies.base import Generation, LogprobsMode, room_for_reply
from llmgym.policies.stop_strings import Watch
from llmgym.policies.transformers.loading import Dtype, check_loaded, context_of, load, prove
from llmgym.policies.transformers.request import Request
from llmgym.policies.transformers.runner import Runner
from llmgym.policies.transformers.worker import Worker

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TransformersPolicy:
    """Samples from any causal language model of transformers that keeps keys and values for all of its layers.

    Requests are batched continuously: each joins the running batch when there is room and leaves when it is done.
    Prompt tokens whose keys and values are known, from earlier turns of the episode or from another episode with the
    same opening, are not computed again. With a seed, a request gives the same tokens whatever runs beside it, as far
    as floating point allows: sums in another order may tip a close choice.

    Log-probabilities are "processed": those of the distribution that was sampled, after penalties, temperature, min-p,
    top-k and top-p, in vLLM's order. At temperature 0 nothing is sampled, and they are the model's own, but for
    penalties.

    A policy serves any number of event loops, at once or in turn. It computes with as many threads as
    `torch.set_num_threads` allows when it is started. One that is never closed ends with the interpreter.

    A model that is loaded already, such as the one that a trainer trains, is used as it is. Its weights must not change
    between `start` and `close`: what is kept of earlier requests is of the weights that computed it.

    Attributes:
        name: Short name for tables and run folders.
        model: The model as it was asked for; of one that was loaded already, its folder, Hub id or class.
        tokenizer: Tokenizer of the model, None before `start` unless given.
        context_length: Most tokens of prompt and reply together, 0 before `start` unless given.
        logprobs_mode: Always "processed".
    """

    logprobs_mode: LogprobsMode = "processed"

    def __init__(
        self,
        model: str | PreTrainedModel = "smollm2",
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        device: str | None = None,
        dtype: Dtype = "auto",
        max_batch: int = 32,
        max_batch_tokens: int = 65_536,
        cache_bytes: int = 2 << 30,
        context_length: int | None = None,
    ) -> None:
        """Describe the policy; `start` loads it.

        Args:
            model: Short name, local folder or Hub id; or a loaded model in evaluation mode, with its `tokenizer`.
            tokenizer: Tokenizer of a loaded model; others bring their own.
            device: Such as "cpu" or "cuda:1"; None takes the GPU if there is one.
            dtype: Type to compute in; "auto" is float32 on a CPU, few of which are fast at anything else, and the
                checkpoint's own type on a GPU.
            max_batch: Most requests that run at once; others wait.
            max_batch_tokens: Most cells of the running batch, which is its rows times its longest prompt and reply;
                bounds the memory for keys and values. A request that exceeds it runs alone.
            cache_bytes: Most memory for keys and values of earlier requests; 0 keeps none.
            context_length: Most tokens of prompt and reply together; None takes what the model was made for.
        """
        for option, value, least in (
            ("max_batch", max_batch, 1),
            ("max_batch_tokens", max_batch_tokens, 1),
            ("cache_bytes", cache_bytes, 0),
            ("context_length", context_length, 16),
        ):
            if value is not None and value < least:
                raise ConfigError(f"{option}={value} is too small; give at least {least}")
        if isinstance(model, str) != (tokenizer is None):
            raise ConfigError("a loaded model comes with its `tokenizer`, and a name without: the folder has one")
        self._loaded = None if isinstance(model, str) else model
        self.model: str = model if isinstance(model, str) else model.name_or_path or type(model).__name__
        self.name = self.model.rstrip("/").rpartition("/")[2]
        self.tokenizer: Any = tokenizer
        self.context_length = context_length or 0
        self._device = device
        self._dtype: Dtype = dtype
        self._max_batch = max_batch
        self._max_batch_tokens = max_batch_tokens
        self._cache_bytes = cache_bytes
        self._vocabulary = 0
        self._worker: Worker | None = None
        self._lifecycle = threading.Lock()

    async def start(self) -> None:
        """Load the model in a thread; calling it again does nothing.

        Raises:
            MissingExtraError: torch or transformers is not installed.
            PolicyError: The model cannot be loaded, or has an architecture that cannot be batched here.
            ConfigError: A model that was loaded already is in training mode, or lacks tokens of its tokenizer.
        """
        await asyncio.to_thread(self._start)

    async def close(self) -> None:
        """End the worker and free the model; pending requests end with `PolicyError`."""
        await asyncio.to_thread(self._close)

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        """Sample one reply; cancelling the awaiting task frees its place in the batch at the next step.

        Raises:
            ContextLengthExceeded: No room for a reply.
            PolicyError: The request is malformed, the policy is not started, was closed, or its worker died.
        """
        worker = self._worker
        if worker is None:
            raise PolicyError(f"{self.name} is not running; await its start() first")
        request = self._request(prompt_ids, sampling, request_id, session_id)
        worker.submit(request)
        try:
            return await request.future
        finally:
            request.withdrawn = True  # nobody waits any more, whether there was a reply or not

    def _request(self, prompt_ids: Sequence[int], sampling: Sampling, request_id: str, session_id: str) -> Request:
        """Check a request, and copy its prompt: the caller's list goes on growing."""
        prompt = np.array(prompt_ids, np.int64)
        unknown = prompt[(prompt < 0) | (prompt >= self._vocabulary)]
        if prompt.ndim != 1 or not len(prompt) or len(unknown):
            known = f"one or more ids from 0 to {self._vocabulary - 1}"
            found = f"it has {unknown[0]}" if len(unknown) else f"its shape is {list(prompt.shape)}"
            raise PolicyError(f"request {request_id}: the prompt must be a list of {known}, but {found}")
        sampling.check(request_id)
        room = room_for_reply(self, prompt_ids, request_id, "choose a model with a longer context")
        loop = asyncio.get_running_loop()
        return Request(
            prompt=prompt,
            limit=min(sampling.max_tokens, room),
            sampling=sampling,
            request_id=request_id,
            session_id=session_id,
            loop=loop,
            future=loop.create_future(),
            random=random.Random(sampling.seed),
            watch=Watch(self.tokenizer, sampling.stop) if sampling.stop else None,
        )

    def _start(self) -> None:
        with self._lifecycle:
            if self._worker is not None:
                return
            if self._loaded is None:
                model, tokenizer = load(self.model, self._device, self._dtype)
            else:
                model, tokenizer = check_loaded(self._loaded, self.tokenizer), self.tokenizer
            context_length = context_of(model, self.model, self.context_length)
            runner = Runner(model, context_length, self._max_batch_tokens)
            prove(runner, self.model)
            worker = Worker(self.name, runner, self._max_batch, self._max_batch_tokens, self._cache_bytes)
            self.tokenizer, self.context_length, self._vocabulary = tokenizer, context_length, runner.vocabulary
            self._worker = worker
            # A policy that is dropped unclosed must not keep its thread and its model for ever.
            self._dropped = weakref.finalize(self, worker.stop, wait=False)
            self._dropped.atexit = False

    def _close(self) -> None:
        with self._lifecycle:
            if self._worker is not None:
                self._dropped.detach()
                self._worker.stop()
            self._worker = None
