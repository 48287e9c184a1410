"""The thread that owns the model."""

from __future__ import annotations

import atexit
import math
import threading
import traceback
from collections import deque
from collections.abc import Iterable

from llmgym.errors import PolicyError
from llmgym.policies.transformers.admission import Limits
from llmgym.policies.transformers.kept import Kept
from llmgym.policies.transformers.request import Request
from llmgym.policies.transformers.runner import PASS_TOKENS, Runner
from llmgym.policies.transformers.sampling import penalised, sample


class Worker:
    """Owns the model: admits requests to the batch, steps it, hands out replies, until stopped."""

    def __init__(self, name: str, runner: Runner, max_batch: int, max_batch_tokens: int, cache_bytes: int) -> None:
        self._name = name
        self._runner = runner
        self._limits = Limits(max_batch, max_batch_tokens)
        self._kept = Kept(cache_bytes)
        self._rows: list[Request] = []
        self._waiting: deque[Request] = deque()
        self._inbox: deque[Request] = deque()
        self._changed = threading.Condition()  # guards the inbox and what follows
        self._stopping = False
        self._ended: tuple[str, BaseException | None] | None = None
        # A daemon, or the interpreter would wait for it for ever; but one that is inside torch when the interpreter
        # goes away crashes the process, so it is stopped just before.
        self._thread = threading.Thread(target=self._run, name=f"llmgym-{name}", daemon=True)
        atexit.register(self.stop)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queue a request.

        Raises:
            PolicyError: The thread has ended.
        """
        with self._changed:
            if self._ended is not None:
                raise self._failure()
            self._inbox.append(request)
            self._changed.notify()

    def stop(self, wait: bool = True) -> None:
        """End the thread after its current step, and wait for that."""
        if not self._thread.is_alive():  # nor after a fork, when the lock may be held by a thread that is not there
            return
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if wait:
            self._thread.join()

    def _run(self) -> None:
        """Step until stopped; whatever ends the thread, nobody is left waiting and nothing holds the model."""
        ended: tuple[str, BaseException | None] = (f"{self._name} was closed", None)
        try:
            import torch

            with torch.inference_mode():
                while self._collect():
                    self._step()
        except BaseException as error:  # noqa: BLE001  a thread has nobody else to tell
            traceback.clear_frames(error.__traceback__)  # they hold the model, and callers may hold the error
            ended = (f"the worker thread of {self._name} died of {error!r}; close and start the policy again", error)
        with self._changed:
            self._ended = ended
            pending = [*self._rows, *self._waiting, *self._inbox]
        for request in pending:
            request.fail(self._failure())
        del self._runner, self._kept, self._rows, self._waiting, self._inbox
        atexit.unregister(self.stop)

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
        self._waiting = deque(request for request in self._waiting if not request.abandoned)
        self._release([row for row, request in enumerate(self._rows) if request.abandoned])
        if not self._admit():
            return
        if self._rows:
            self._decode()
        else:
            self._runner.store.clear()

    def _admit(self) -> bool:
        """Prefill one group of waiting requests into rows after the running ones; False if that was cut short."""
        group = self._limits.admit(self._waiting, self._rows, self._kept)
        if not group:
            return True
        first, store = len(self._rows), self._runner.store
        for admission in group:
            self._waiting.remove(admission.request)
            self._rows.append(admission.request)  # before anything can fail, so that a failure finds it
        store.reserve(len(self._rows), max(request.reach for request in self._rows))
        for row, admission in enumerate(group, first):
            request, source = admission.request, admission.source
            if isinstance(source, int):
                store.move(source, row, admission.shared)
            elif source is not None:
                store.put(row, source.cells, admission.shared)
                self._kept.drop(request.session_id)  # the row has it now, and more of it when it leaves
            request.filled = request.cached = admission.shared
        return self._prefill(first)

    def _prefill(self, first: int) -> bool:
        """Compute what the prompts from row `first` on lack; False where all are withdrawn or the end is near."""
        requests = self._rows[first:]
        while any(len(request.unfilled) for request in requests):
            if self._stopping or all(request.abandoned for request in requests):
                return False
            chunks = [request.unfilled[:PASS_TOKENS] for request in requests]
            self._runner.prefill(first, chunks, [request.filled for request in requests])
            for request, chunk in zip(requests, chunks, strict=True):
                request.filled += len(chunk)
        return True

    def _decode(self) -> None:
        """Sample one token for every row."""
        rows, leaving = self._rows, list[int]()
        logits = self._runner.logits([request.last for request in rows], [request.filled for request in rows])
        punished = [row for row, request in enumerate(rows) if request.sampling.penalises]
        if punished:
            logits = logits.float()
        for row in punished:
            request = rows[row]
            logits[row] = penalised(logits[row], request.sampling, request.prompt, request.sampled)
        draws = [request.random.random() for request in rows]
        tokens, logprobs = sample(logits, [request.sampling for request in rows], draws)
        for row, (request, token, logprob) in enumerate(zip(rows, tokens, logprobs, strict=True)):
            if math.isnan(logprob):
                request.fail(PolicyError(f"the model gives NaN for request {request.request_id}; try dtype='float32'"))
                request.filled = 0
                self._runner.store.wipe(row)  # or it would spread to the row's next request
                leaving.append(row)
                continue
            request.append(token, logprob)
            if request.done:
                request.succeed()
                leaving.append(row)
        self._release(leaving)

    def _release(self, leaving: Iterable[int]) -> None:
        """Take rows out of the batch; keep their keys and values, close the gaps with the last rows."""
        store = self._runner.store
        for row in sorted(leaving, reverse=True):
            request, last = self._rows[row], self._rows.pop()
            if last is not request:
                self._rows[row] = last  # before anything can fail, so that a failure finds it
            self._kept.keep(request, store, row)
            if last is not request:
                store.move(len(self._rows), row, last.filled)
