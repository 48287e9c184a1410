"""A server of several processes: each has sessions and an address of its own, and all answer at one that they share.

A session that begins is told where it is, so no request has to be handed on. A process that dies, or that is killed
because its event loop stands still, is started again at its address, without its sessions; connections wait meanwhile,
since its socket is held here.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from llmgym.errors import ConfigError, LLMGymError
from llmgym.serve.listening import address, bound, run
from llmgym.serve.server import EnvServer, ServeConfig

_log = logging.getLogger("llmgym.serve")
_ENDS = (signal.SIGTERM, signal.SIGINT)
_AGAIN_S = 1.0  # before a process that did not come to listen is started again
_BEAT_S = 1.0  # between signs of life
_CLOSING_S = 60.0  # for the ends of environments, after the grace of requests
_IMPORTED = ("starlette.routing", "uvloop", "llmgym.serve.mcp")  # else by each process, for a second; if installed
_fork = multiprocessing.get_context("fork")  # with all that is registered here, and the sockets


@dataclass(slots=True)
class _Worker:
    """A process, or the place of one.

    Attributes:
        listener: Its own socket.
        process: The process.
        word: Gives None once it listens, and as a sign of life ever after; or what is wrong.
        listens: Whether it listens.
        silent_s: How long it has given no sign of life, of the time that this process has watched.
        due: When it is to be started.
    """

    listener: socket.socket
    process: Any = None
    word: Any = None
    listens: bool = False
    silent_s: float = 0.0
    due: float = 0.0


class Workers:
    """The processes of a server; for a process without other threads."""

    def __init__(self, config: ServeConfig) -> None:
        """Listen, and start nothing yet.

        Raises:
            ConfigError: The port is taken.
        """
        self._config, self._ending = config, 0  # or the signal
        self._shared = bound(config.host, config.port)
        self._workers = [_Worker(bound(config.host, 0)) for _ in range(config.workers)]
        self._life, self._held = os.pipe()  # ends in all processes when this one does
        self._watched = time.monotonic()

    def serve(self, listening: Callable[[str], None]) -> None:
        """Serve until SIGTERM or Ctrl-C; then have all processes end as one does.

        Args:
            listening: Called with the shared address once all listen.

        Raises:
            ConfigError: A process cannot serve what is asked for.
        """
        for name in _IMPORTED:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        with self._ended_by_signals():
            told = False
            while not self._ending or any(worker.process for worker in self._workers):
                for worker in self._workers:
                    if worker.process is None and not self._ending and time.monotonic() >= worker.due:
                        self._start(worker)
                self._watch(first=not told)
                if not told and all(worker.listens for worker in self._workers):
                    listening(address(self._shared))
                    told = True

    # --- processes --------------------------------------------------------------------------------

    def _start(self, worker: _Worker) -> None:
        worker.word, word = _fork.Pipe(duplex=False)
        others = [each.listener for each in self._workers if each is not worker]
        ports = [each.getsockname()[1] for each in (worker.listener, *others)]
        worker.process = _fork.Process(target=self._work, args=(worker.listener, others, ports, word))
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)  # until the new process has handlers of its own
        try:
            worker.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
        word.close()
        worker.listens = False

    def _work(self, own: socket.socket, others: Sequence[socket.socket], ports: list[int], word: Connection) -> None:
        """The life of a process."""
        os.setpgrp()  # Ctrl-C is for the first process, which tells the others
        for number in (*_ENDS, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
        os.close(self._held)
        for other in others:
            other.close()
        try:
            server = EnvServer(self._config)
        except LLMGymError as error:
            word.send(str(error))
            return
        server.workers = ports
        threading.Thread(target=self._end_with_parent, daemon=True).start()
        run(self._serve(server, [own, self._shared], word))

    async def _serve(self, server: EnvServer, listeners: Sequence[socket.socket], word: Connection) -> None:
        beats: list[asyncio.Task[None]] = []
        await server.serve(lambda _: beats.append(asyncio.create_task(_beat(word))), listeners)

    def _end_with_parent(self) -> None:
        os.read(self._life, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    def _watch(self, *, first: bool) -> None:
        """Wait until a process says something, ends, or is silent, or one is to be started."""
        running = [worker.process.sentinel for worker in self._workers if worker.process is not None]
        saying = [worker.word for worker in self._workers if worker.word is not None]
        due = [worker.due for worker in self._workers if worker.process is None and not self._ending]
        ready = wait([*running, *saying], max(0.0, min([_BEAT_S, *(at - time.monotonic() for at in due)])))
        before, self._watched = self._watched, time.monotonic()
        passed = min(self._watched - before, _BEAT_S)  # when this process stood still, others may have too
        for worker in self._workers:
            worker.silent_s += passed
            ended = worker.process is not None and worker.process.sentinel in ready
            if worker.word is not None and (ended or worker.word in ready):
                self._hear(worker, first=first)
            if ended:
                self._bury(worker, first=first)
            elif worker.process is not None and worker.listens and 0 < self._config.frozen_s < worker.silent_s:
                _log.error("worker %s has given no sign of life for %g s: it is killed",
                           address(worker.listener), self._config.frozen_s)  # fmt: skip
                worker.silent_s = 0.0
                worker.process.kill()

    def _hear(self, worker: _Worker, *, first: bool) -> None:
        try:
            wrong = worker.word.recv()
        except EOFError:  # its end is yet to be seen
            worker.word.close()
            worker.word = None
            return
        worker.listens, worker.silent_s = wrong is None, 0.0
        if wrong is not None and first:
            raise ConfigError(wrong)
        if wrong is not None:
            _log.error("a worker cannot serve: %s", wrong)

    def _bury(self, worker: _Worker, *, first: bool) -> None:
        process, worker.process = worker.process, None
        process.join()
        if worker.word is not None:
            worker.word.close()
            worker.word = None
        if self._ending:
            return
        if first and not worker.listens:
            raise ConfigError(f"a worker ended with status {process.exitcode} before it listened; its output says why")
        _log.error("worker %s has ended with status %s, and its sessions with it: it is started again",
                   address(worker.listener), process.exitcode)  # fmt: skip
        worker.due = time.monotonic() + (0.0 if worker.listens else _AGAIN_S)

    # --- the end ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _ended_by_signals(self) -> Generator[None]:
        handlers = {number: signal.signal(number, self._end) for number in (*_ENDS, signal.SIGALRM)}
        try:
            yield
        finally:
            for worker in self._workers:
                if worker.process is not None:
                    worker.process.kill()
                    worker.process.join()
            signal.alarm(0)
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if self._ending:
            signal.raise_signal(self._ending)  # as a process does that handles none

    def _end(self, number: int, _: Any) -> None:
        """Have all processes end; where they do not, or are told to again, kill them."""
        again, self._ending = self._ending, number
        for worker in self._workers:
            if worker.process is not None:
                (worker.process.kill if again else worker.process.terminate)()
        signal.alarm(int(self._config.grace_s + _CLOSING_S))


async def _beat(word: Connection) -> None:
    """Say that this event loop runs, for as long as it does."""
    os.set_blocking(word.fileno(), False)
    while True:
        with contextlib.suppress(OSError):  # nobody listens: full, or closed
            word.send(None)
        await asyncio.sleep(_BEAT_S)
