"""Connections that say nothing, or half of what they began, are ended; uvicorn leaves them open for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def bounded_protocol(seconds: float) -> type[HttpToolsProtocol]:
    """Uvicorn's protocol of HTTP, for connections that have so long for the headers of a request.

    Args:
        seconds: Time from the connection, or from the first byte of a request, to the end of its headers.
    """

    class Bounded(HttpToolsProtocol):
        """Ends a connection whose headers do not come in time."""

        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            """Wait for the first request."""
            super().connection_made(transport)
            self._waiting = self.loop.call_later(seconds, self._give_up)

        def on_message_begin(self) -> None:
            """Wait for the rest of the headers."""
            super().on_message_begin()
            if self._waiting is None:
                self._waiting = self.loop.call_later(seconds, self._give_up)

        def on_headers_complete(self) -> None:
            """Wait no more."""
            self._stop_waiting()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            """Wait no more."""
            self._stop_waiting()
            super().connection_lost(exc)

        def _stop_waiting(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

        def _give_up(self) -> None:
            if not self.transport.is_closing():
                self.transport.close()

    return Bounded
