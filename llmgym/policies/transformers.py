"""A policy inside this process with nothing but transformers: the embedded default, on a CPU or one GPU.

transformers has a continuous-batching manager of its own, but whether to sample, and the seed, are set for all of its
requests together, and on a CPU it took four times the processor time of this module. So the loop is here:

- `TransformersPolicy` is the asyncio side. It checks a request and waits for its future.
- `_Worker` is the thread that owns the model. It decides which requests run, and is the only one to touch tensors.
- `_Runner` makes forward passes over rows of different lengths, `_Store` holds their keys and values.

Row `i` of the batch is row `i` of the store, and the token at position `p` of a row is at cell `p`, so rows need no
alignment: one may join, leave or be longer than another without moving the rest. A prompt is prefilled except for its
last token, which goes through the model with the last tokens of all other rows: logits are computed in one place, for
the positions that are sampled and no others.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmgym.errors import ConfigError, ContextLengthExceeded, LLMGymError, MissingExtraError, PolicyError
from llmgym.policies.base import Generation, LogprobsMode, Sampling
from llmgym.policies.models import resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    _Ids = NDArray[np.int64]
    _Rows = dict[int, tuple[Tensor, Tensor]]  # keys and values by layer, each [rows, cells, heads, dim]

Dtype = Literal["auto", "float32", "bfloat16", "float16"]

_PREFILL_TOKENS = 2048  # most tokens of one prefill pass, padding included: bounds its memory and the others' wait
_PREFILL_SLACK = 256  # padding that a prefill pass may always have, beside a quarter of its real tokens
_WORTH_WAITING = 32  # a prompt waits a step when another then saves it this many tokens of prefill
_LENGTH_STEP = 256  # cells are allocated in multiples of this
_TOP_P_CANDIDATES = 1024  # a nucleus is looked for among this many tokens before the whole vocabulary is sorted


class TransformersPolicy:
    """Samples from any causal language model of transformers that keeps keys and values for all of its layers.

    Requests are batched continuously: each joins the running batch when there is room and leaves when it is done.
    Prompt tokens whose keys and values are known, from earlier turns of the episode or from another episode with the
    same opening, are not computed again. With a seed, a request gives the same tokens whatever runs beside it, as far
    as floating point allows: sums in another order may tip a close choice.

    Log-probabilities are "processed": those of the distribution that was sampled, after temperature and after top-p
    renormalisation. At temperature 0 nothing is sampled, and they are the model's own (temperature 1, no top-p).

    Attributes:
        name: Short name for tables and run folders.
        model: The model as it was asked for.
        tokenizer: Tokenizer of the model, None before `start`.
        context_length: Most tokens of prompt and reply together, 0 before `start` unless given.
        logprobs_mode: Always "processed".
    """

    logprobs_mode: LogprobsMode = "processed"

    def __init__(
        self,
        model: str = "smollm2",
        *,
        device: str | None = None,
        dtype: Dtype = "auto",
        max_batch: int = 32,
        max_batch_tokens: int = 65_536,
        cache_bytes: int = 2 << 30,
        context_length: int | None = None,
    ) -> None:
        """Describe the policy; `start` loads it.

        Args:
            model: Short name, local folder or Hub id.
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
        self.name = model.rstrip("/").rpartition("/")[2]
        self.model = model
        self.tokenizer: Any = None
        self.context_length = context_length or 0
        self._device = device
        self._dtype: Dtype = dtype
        self._max_batch = max_batch
        self._max_batch_tokens = max_batch_tokens
        self._cache_bytes = cache_bytes
        self._vocabulary = 0
        self._worker: _Worker | None = None
        self._lifecycle = threading.Lock()

    async def start(self) -> None:
        """Load the model in a thread; calling it again does nothing.

        Raises:
            MissingExtraError: torch or transformers is not installed.
            PolicyError: The model cannot be loaded, or has an architecture that cannot be batched here.
        """
        await asyncio.to_thread(self._start)

    async def close(self) -> None:
        """End the thread and free the model; pending requests end with `PolicyError`."""
        await asyncio.to_thread(self._close)

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        """Sample one reply; cancelling the awaiting task frees its place in the batch at the next step.

        Raises:
            ContextLengthExceeded: No room for a reply.
            PolicyError: The request is malformed, the policy is not started, was closed, or its thread died.
        """
        worker = self._worker
        if worker is None:
            raise PolicyError(f"{self.name} is not running; await its start() first")
        request = self._request(prompt_ids, sampling, request_id, session_id)
        worker.submit(request)
        try:
            return await request.future
        except asyncio.CancelledError:
            request.cancelled = True
            raise

    def _request(self, prompt_ids: Sequence[int], sampling: Sampling, request_id: str, session_id: str) -> _Request:
        ids = [int(token) for token in prompt_ids]
        if not ids or min(ids) < 0 or max(ids) >= self._vocabulary:
            known = f"ids from 0 to {self._vocabulary - 1}"
            raise PolicyError(f"request {request_id}: the prompt must be one or more {known}, not {ids}")
        if not (0 <= sampling.temperature < math.inf and 0 < sampling.top_p <= 1 and sampling.max_tokens >= 1):
            valid = "temperature >= 0, 0 < top_p <= 1 and max_tokens >= 1"
            raise PolicyError(f"request {request_id}: {sampling} must have {valid}")
        room = self.context_length - len(ids)
        if room < 1:
            raise ContextLengthExceeded(
                f"request {request_id}: a prompt of {len(ids)} tokens leaves no room in the {self.context_length} of "
                f"{self.name}; shorten the episode or choose a model with a longer context"
            )
        loop = asyncio.get_running_loop()
        return _Request(
            ids=ids,
            prompt_length=len(ids),
            limit=min(sampling.max_tokens, room),
            sampling=sampling,
            request_id=request_id,
            session_id=session_id,
            loop=loop,
            future=loop.create_future(),
            random=random.Random(sampling.seed),
        )

    def _start(self) -> None:
        with self._lifecycle:
            if self._worker is not None:
                return
            model, self.tokenizer = _load(self.model, self._device, self._dtype)
            config = model.config.get_text_config()
            made_for = getattr(config, "max_position_embeddings", None) or self.context_length
            if not made_for:
                raise PolicyError(f"{self.model} does not say how long its context is; give context_length")
            if self.context_length > made_for:
                raise ConfigError(f"context_length={self.context_length}, but {self.model} is made for {made_for}")
            self.context_length = self.context_length or made_for
            runner = _Runner(model, self.context_length)
            self._vocabulary = runner.vocabulary
            _prove(runner, self.model)
            self._worker = _Worker(self.name, runner, self._max_batch, self._max_batch_tokens, self._cache_bytes)
            self._worker.start()

    def _close(self) -> None:
        with self._lifecycle:
            if self._worker is not None:
                self._worker.stop()
            self._worker = None


def _load(name: str, device: str | None, dtype: Dtype) -> tuple[Any, Any]:
    """Load a model in evaluation mode, and its tokenizer."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError("TransformersPolicy", "transformers") from error
    hf: Any = transformers  # partly typed
    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    wanted = "float32" if dtype == "auto" and target.type == "cpu" else dtype
    try:
        folder = resolve(name)
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        model = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=wanted)
        return model.to(target).eval(), tokenizer
    except LLMGymError:
        raise
    except Exception as error:  # a wrong name, a broken checkpoint, no memory: all end the start
        raise PolicyError(f"cannot load {name!r} with transformers on {target}: {error}") from error


def _prove(runner: _Runner, name: str) -> None:
    """Compare a little ragged batch with plain forward passes.

    Models that ignore the mask or the positions they are given, or that keep a state other than keys and values,
    would sample from a wrong distribution without a word.
    """
    import torch

    first, second = ([(7 * i + 3) % runner.vocabulary for i in range(length)] for length in (9, 4))
    try:
        with torch.inference_mode():
            runner.store.reserve(2, 10)
            runner.prefill(0, [first[:-1], second[:-1]], [0, 0])
            found = runner.logits([first[-1], second[-1]], [8, 3]).float().softmax(-1)
            expected = torch.stack([runner.plain_logits(ids) for ids in (first, second)]).float().softmax(-1)
        runner.store.clear()
        error = float((found - expected).abs().sum(-1).max() / 2)
    except Exception as cause:  # whatever an unexpected cache makes of a model's code
        raise PolicyError(_UNFIT.format(name=name, cause=repr(cause))) from cause
    if not error < 0.05:
        raise PolicyError(_UNFIT.format(name=name, cause=f"probabilities are off by {error:.3f}"))


_UNFIT = "the architecture of {name} cannot be batched by TransformersPolicy ({cause}); serve it with vllm:{name}"


@dataclass(eq=False, slots=True)
class _Request:
    """A request and how far it has come.

    Attributes:
        ids: Prompt and what was sampled.
        limit: Most tokens to sample.
        filled: How many of `ids` have their keys and values in the store.
        cached: How many of them were copied there.
    """

    ids: list[int]
    prompt_length: int
    limit: int
    sampling: Sampling
    request_id: str
    session_id: str
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Generation]
    random: random.Random
    logprobs: list[float] = field(default_factory=list[float])
    filled: int = 0
    cached: int = 0
    cancelled: bool = False

    @property
    def reach(self) -> int:
        """Most tokens that prompt and reply can come to."""
        return self.prompt_length + self.limit

    @property
    def to_prefill(self) -> int:
        return self.prompt_length - 1 - self.filled

    @property
    def stopped(self) -> bool:
        return self.ids[-1] in self.sampling.stop_token_ids

    @property
    def done(self) -> bool:
        return self.stopped or len(self.logprobs) >= self.limit

    def succeed(self) -> None:
        """Hand the reply to the event loop that waits for it."""
        reply = Generation(
            token_ids=self.ids[self.prompt_length :],
            logprobs=self.logprobs,
            finish_reason="stop" if self.stopped else "length",
            cached_tokens=self.cached,
        )
        self._settle(lambda: self.future.done() or self.future.set_result(reply))

    def fail(self, error: PolicyError) -> None:
        """Hand an error to the event loop that waits."""
        self._settle(lambda: self.future.done() or self.future.set_exception(error))

    def _settle(self, callback: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(callback)


class _Worker(threading.Thread):
    """Owns the model: admits requests to the batch, steps it, hands out replies."""

    def __init__(self, name: str, runner: _Runner, max_batch: int, max_batch_tokens: int, cache_bytes: int) -> None:
        super().__init__(name=f"llmgym-{name}", daemon=True)
        self._policy = name
        self._runner = runner
        self._max_batch = max_batch
        self._max_batch_tokens = max_batch_tokens
        self._kept = _Kept(cache_bytes)
        self._rows: list[_Request] = []
        self._waiting: deque[_Request] = deque()
        self._inbox: deque[_Request] = deque()
        self._changed = threading.Condition()  # guards the inbox and what follows
        self._stopping = False
        self._ended: tuple[str, BaseException | None] | None = None

    def submit(self, request: _Request) -> None:
        """Queue a request.

        Raises:
            PolicyError: The thread has ended.
        """
        with self._changed:
            if self._ended is not None:
                raise self._failure()
            self._inbox.append(request)
            self._changed.notify()

    def stop(self) -> None:
        """End the thread after its current step, and wait for it."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self.join()

    def run(self) -> None:
        """Step until stopped; whatever ends the thread, nobody is left waiting."""
        ended: tuple[str, BaseException | None] = (f"{self._policy} was closed", None)
        try:
            import torch

            with torch.inference_mode():
                while self._collect():
                    self._step()
        except BaseException as error:  # a thread has nobody else to tell
            ended = (f"the worker thread of {self._policy} died of {error!r}; close and start the policy again", error)
        with self._changed:
            self._ended = ended
            pending = [*self._rows, *self._waiting, *self._inbox]
            self._inbox.clear()
        self._rows.clear()
        self._waiting.clear()
        self._kept.clear()
        self._runner.store.clear()
        for request in pending:
            request.fail(self._failure())

    def _failure(self) -> PolicyError:
        assert self._ended is not None
        message, cause = self._ended
        error = PolicyError(message)
        error.__cause__ = cause
        return error

    def _collect(self) -> bool:
        """Take in new requests, sleeping while there is nothing to do; False when it is time to end."""
        with self._changed:
            while not (self._stopping or self._inbox or self._waiting or self._rows):
                self._changed.wait()
            self._waiting.extend(self._inbox)
            self._inbox.clear()
            return not self._stopping

    def _step(self) -> None:
        self._waiting = deque(request for request in self._waiting if not request.cancelled)
        self._release([row for row, request in enumerate(self._rows) if request.cancelled])
        self._admit()
        if self._rows:
            self._decode()
        else:
            self._runner.store.clear()

    def _admit(self) -> None:
        """Prefill one group of waiting requests into rows after the running ones."""
        group = self._next_group()
        if not group:
            return
        first, store, requests = len(self._rows), self._runner.store, [request for request, _ in group]
        self._rows.extend(requests)  # before anything can fail, so that a failure finds them
        store.reserve(len(self._rows), max(request.reach for request in requests))
        for row, (request, source) in enumerate(group, first):
            if isinstance(source, int):
                store.move(source, row, request.filled)
            elif source is not None:
                store.put(row, source.cells, request.filled)
                self._kept.drop(request.session_id)  # the row has it now, and more of it when it leaves
        self._runner.prefill(
            first, [request.ids[request.filled : -1] for request in requests], [request.filled for request in requests]
        )
        for request in requests:
            request.filled = request.prompt_length - 1

    def _next_group(self) -> list[tuple[_Request, int | _Entry | None]]:
        """Choose waiting requests that fit, are about equally long to prefill, and cannot spare each other work.

        The first in the queue is always chosen when it fits, so none starves.
        """
        group: list[tuple[_Request, int | _Entry | None]] = []
        prompts: list[_Ids] = []
        real = widest = 0
        reach = max((request.reach for request in self._rows), default=0)
        sources = self._sources() if self._waiting and len(self._rows) < self._max_batch else []
        for request in list(islice(self._waiting, self._max_batch - len(self._rows))):
            rows = len(self._rows) + len(group) + 1
            if rows > 1 and rows * max(reach, request.reach) > self._max_batch_tokens:
                break
            prompt = np.array(request.ids[:-1], np.int64)
            request.filled, source = _longest_prefix(prompt, sources)
            if any(_common(prompt, other) >= request.filled + _WORTH_WAITING for other in prompts):
                continue
            padded = (len(group) + 1) * max(widest, request.to_prefill)
            if group and padded > min(_PREFILL_TOKENS, 1.25 * (real + request.to_prefill) + _PREFILL_SLACK):
                continue
            request.cached = request.filled
            real, widest = real + request.to_prefill, max(widest, request.to_prefill)
            reach = max(reach, request.reach)
            group.append((request, source))
            prompts.append(prompt)
        for request, _ in group:
            self._waiting.remove(request)
        return group

    def _sources(self) -> list[tuple[_Ids, int | _Entry]]:
        """Ids whose keys and values are known, and the row or kept entry that has them."""
        running = [(np.array(request.ids[: request.filled], np.int64), row) for row, request in enumerate(self._rows)]
        return [*running, *((entry.ids, entry) for entry in self._kept.entries())]

    def _decode(self) -> None:
        """Sample one token for every row."""
        rows = self._rows
        logits = self._runner.logits([request.ids[-1] for request in rows], [request.filled for request in rows])
        tokens, logprobs = _sample(logits, rows)
        for request, token, logprob in zip(rows, tokens, logprobs, strict=True):
            if math.isnan(logprob):
                raise PolicyError(f"the model gives NaN for request {request.request_id}; try dtype='float32'")
            request.filled += 1
            request.ids.append(token)
            request.logprobs.append(logprob)
        self._release([row for row, request in enumerate(rows) if request.done])

    def _release(self, leaving: Iterable[int]) -> None:
        """Take rows out of the batch; keep their keys and values, close the gaps with the last rows."""
        store = self._runner.store
        for row in sorted(leaving, reverse=True):
            request, last = self._rows[row], self._rows.pop()
            if last is not request:
                self._rows[row] = last
            if not request.cancelled:
                request.succeed()
            self._kept.keep(request, store, row)
            if last is not request:
                store.move(len(self._rows), row, last.filled)


@dataclass(eq=False, slots=True)
class _Entry:
    """Keys and values of one finished request, and the ids that they belong to."""

    ids: _Ids
    cells: _Rows
    size: int


class _Kept:
    """Keys and values of finished requests, one entry a session, the least recently finished dropped first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        self._sessions: OrderedDict[str, _Entry] = OrderedDict()

    def entries(self) -> Iterable[_Entry]:
        return self._sessions.values()

    def keep(self, request: _Request, store: _Store, row: int) -> None:
        """Copy a row, unless it alone is too large."""
        self.drop(request.session_id)
        size = store.bytes_per_cell * request.filled
        if not 0 < size <= self._capacity:
            return
        while self._size + size > self._capacity:
            self.drop(next(iter(self._sessions)))
        ids = np.array(request.ids[: request.filled], np.int64)
        self._sessions[request.session_id] = _Entry(ids, store.get(row, request.filled), size)
        self._size += size

    def drop(self, session_id: str) -> None:
        entry = self._sessions.pop(session_id, None)
        self._size -= entry.size if entry else 0

    def clear(self) -> None:
        self._sessions.clear()
        self._size = 0


def _longest_prefix(prompt: _Ids, sources: Iterable[tuple[_Ids, int | _Entry]]) -> tuple[int, int | _Entry | None]:
    """Find who shares the longest opening with a prompt, and how long that is."""
    best, found = 0, None
    for ids, source in sources:
        shared = _common(prompt, ids)
        if shared > best:
            best, found = shared, source
    return best, found


def _common(one: _Ids, other: _Ids) -> int:
    length = min(len(one), len(other))
    differs = one[:length] != other[:length]
    return int(differs.argmax()) if differs.any() else length


class _Runner:
    """Forward passes over consecutive rows of the store, each row from its own position on."""

    def __init__(self, model: Any, context_length: int) -> None:
        self._model = model
        self._config = model.config.get_text_config()
        self.vocabulary = int(self._config.vocab_size)
        self.store = _Store(context_length)

    def prefill(self, first: int, chunks: Sequence[Sequence[int]], starts: Sequence[int]) -> None:
        """Compute keys and values of a chunk of ids for each row from `first` on; chunks may be empty."""
        width = max(map(len, chunks))
        for begin in range(0, width, _PREFILL_TOKENS):
            pieces = [chunk[begin : begin + _PREFILL_TOKENS] for chunk in chunks]
            inputs = self._inputs(first, pieces, [start + begin for start in starts])
            self._model.base_model(**inputs)  # without the head: nothing is sampled here

    def logits(self, tokens: Sequence[int], starts: Sequence[int]) -> Tensor:
        """Append one token to each row from 0 on, and return the next token's logits [rows, vocabulary]."""
        return self._model(**self._inputs(0, [[token] for token in tokens], starts)).logits[:, -1]

    def plain_logits(self, ids: Sequence[int]) -> Tensor:
        """Return the next token's logits [vocabulary] without any of this module's batching."""
        import torch

        return self._model(torch.tensor([list(ids)], device=self._model.device)).logits[0, -1]

    def _inputs(self, first: int, chunks: Sequence[Sequence[int]], starts: Sequence[int]) -> dict[str, Any]:
        """Pad chunks on the right.

        Padding writes rubbish to cells after its row's end, which the mask hides until real tokens overwrite it.
        """
        import torch

        width = max(map(len, chunks))
        ids = np.zeros((len(chunks), width), np.int64)
        for row, chunk in enumerate(chunks):
            ids[row, : len(chunk)] = chunk
        cells = np.minimum(np.array(starts)[:, None] + np.arange(width), self.store.length - 1)
        end = max(start + len(chunk) for start, chunk in zip(starts, chunks, strict=True))
        device = self._model.device
        positions = torch.as_tensor(cells, device=device)
        self.store.aim(first, positions, end)
        return {
            "input_ids": torch.as_tensor(ids, device=device),
            "position_ids": positions,
            "attention_mask": self._masks(positions, end),
            "past_key_values": self.store,
            "use_cache": True,
        }

    def _masks(self, positions: Tensor, end: int) -> Any:
        """Build the masks as `transformers.masking_utils.create_masks_for_generate` does, for ragged rows."""
        layer_types = getattr(self._config, "layer_types", None)
        if layer_types:
            return {kind: self._mask(kind, positions, end) for kind in set(layer_types)}
        if getattr(self._config, "sliding_window", None):
            return self._mask("sliding_attention", positions, end)
        if getattr(self._config, "attention_chunk_size", None):
            return self._mask("chunked_attention", positions, end)
        return self._mask("full_attention", positions, end)

    def _mask(self, kind: str, positions: Tensor, end: int) -> Tensor:
        """Say which cells each position attends to, [rows, 1, width, end]."""
        import torch

        here = positions[:, None, :, None]
        cells = torch.arange(end, device=positions.device)
        seen = cells <= here
        if kind == "sliding_attention":
            seen &= cells > here - self._config.sliding_window
        elif kind == "chunked_attention":
            size = self._config.attention_chunk_size
            seen &= cells // size == here // size
        elif kind != "full_attention":
            raise PolicyError(f"layers of kind {kind!r} keep a state that is not keys and values")
        if self._config._attn_implementation == "sdpa":
            return seen
        dtype = self._model.dtype
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, torch.finfo(dtype).min)


class _Store:
    """Keys and values of all rows; models take it for a `transformers.Cache`.

    Attributes:
        length: Cells that each row has room for.
        bytes_per_cell: Memory of one token, known after the first pass.
    """

    is_compileable = False

    def __init__(self, context_length: int) -> None:
        self._context_length = context_length
        self._layers: _Rows = {}
        self._capacity = 0
        self.length = 0
        self.bytes_per_cell = 0

    def reserve(self, rows: int, length: int) -> None:
        """Make room, keeping what is there."""
        if rows <= self._capacity and length <= self.length:
            return
        if rows > self._capacity:
            self._capacity = max(rows, min(2 * self._capacity, rows + 8))
        rounded = -(-length // _LENGTH_STEP) * _LENGTH_STEP
        self.length = max(self.length, min(rounded, self._context_length))
        for layer, (keys, values) in self._layers.items():
            self._layers[layer] = self._grown(keys), self._grown(values)

    def clear(self) -> None:
        """Free everything."""
        self._layers = {}
        self._capacity = self.length = 0

    def move(self, source: int, target: int, cells: int) -> None:
        """Copy the first cells of one row to another."""
        for pair in self._layers.values():
            for tensor in pair:
                tensor[target, :cells] = tensor[source, :cells]

    def get(self, row: int, cells: int) -> _Rows:
        """Return a copy of the first cells of a row."""
        return {
            layer: (keys[row : row + 1, :cells].clone(), values[row : row + 1, :cells].clone())
            for layer, (keys, values) in self._layers.items()
        }

    def put(self, row: int, source: _Rows, cells: int) -> None:
        """Write the first cells of a copy to a row."""
        for layer, pair in source.items():
            for tensor, copy in zip(self._layer(layer, *pair), pair, strict=True):
                tensor[row, :cells] = copy[0, :cells]

    def aim(self, first: int, positions: Tensor, end: int) -> None:
        """Set the cells that the next pass writes, [rows, width] from row `first` on, and where its reading ends."""
        import torch

        last = first + positions.shape[0]
        self._write = torch.arange(first, last, device=positions.device)[:, None], positions
        self._read = slice(first, last), slice(end)

    def update(
        self, keys: Tensor, values: Tensor, layer_idx: int, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write what a layer computed, [rows, heads, width, dim], and return all it attends to; models call it."""
        new = keys.transpose(1, 2), values.transpose(1, 2)
        stored = self._layer(layer_idx, *new)
        for tensor, cells in zip(stored, new, strict=True):
            tensor[self._write] = cells
        return stored[0][self._read].transpose(1, 2), stored[1][self._read].transpose(1, 2)

    def get_seq_length(self, _layer_idx: int = 0) -> int:
        """Return how many cells the pass reads; some models call it."""
        return self._read[1].stop

    def _layer(self, layer: int, *like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tensors of a layer, allocated when first needed for cells shaped like these."""
        if layer not in self._layers:
            keys, values = like
            self._layers[layer] = self._empty(keys), self._empty(values)
            self.bytes_per_cell = sum(
                tensor[0, 0].numel() * tensor.element_size() for pair in self._layers.values() for tensor in pair
            )
        return self._layers[layer]

    def _empty(self, like: Tensor) -> Tensor:
        # Zeros, because rubbish in a masked cell may be NaN, and NaN times zero attention is NaN.
        return like.new_zeros(self._capacity, self.length, *like.shape[2:])

    def _grown(self, old: Tensor) -> Tensor:
        new = self._empty(old)
        new[: old.shape[0], : old.shape[1]] = old
        return new


def _sample(logits: Tensor, requests: Sequence[_Request]) -> tuple[list[int], list[float]]:
    """Sample one token a row, and give its log-probability under the distribution that was sampled.

    Each row's own generator gives a number that picks a token by the cumulative distribution over the vocabulary in
    its natural order: the same number gives the same token on every device.
    """
    import torch

    device = logits.device
    greedy = [request.sampling.temperature == 0 for request in requests]
    temperatures = torch.tensor([request.sampling.temperature or 1.0 for request in requests], device=device)
    logprobs = (logits.float() / temperatures[:, None]).log_softmax(-1)
    narrowed = [row for row, request in enumerate(requests) if request.sampling.top_p < 1 and not greedy[row]]
    if narrowed:
        top_p = torch.tensor([requests[row].sampling.top_p for row in narrowed], device=device)
        logprobs[narrowed] = _nucleus(logprobs[narrowed], top_p, _TOP_P_CANDIDATES)
    tokens = logprobs.argmax(-1)
    if not all(greedy):
        # A draw in (0, 1] times the total never lands past the end, nor on a token of probability 0.
        draws = [1.0 - request.random.random() for request in requests]
        cumulative = logprobs.exp().cumsum(-1, dtype=torch.float64)
        wanted = cumulative[:, -1] * torch.tensor(draws, dtype=torch.float64, device=device)
        drawn = torch.searchsorted(cumulative, wanted[:, None])[:, 0]
        tokens = torch.where(torch.tensor(greedy, device=device), tokens, drawn)
    sampled: tuple[Any, Any] = tokens, logprobs.gather(1, tokens[:, None])[:, 0]  # Tensor.tolist is untyped
    return sampled[0].tolist(), sampled[1].tolist()


def _nucleus(logprobs: Tensor, top_p: Tensor, candidates: int) -> Tensor:
    """Renormalise each row to the fewest likeliest tokens whose mass reaches its `top_p`."""
    vocabulary = logprobs.shape[-1]
    top, tokens = logprobs.topk(min(candidates, vocabulary))
    mass = top.exp().cumsum(-1)
    outside = mass - top.exp() >= top_p[:, None]
    top = top.masked_fill(outside, -math.inf).log_softmax(-1)
    result = logprobs.new_full(logprobs.shape, -math.inf).scatter_(1, tokens, top)
    short = (mass[:, -1] < top_p).nonzero()[:, 0]
    if candidates < vocabulary and len(short):
        result[short] = _nucleus(logprobs[short], top_p[short], vocabulary)
    return result
