"""Where a server listens, whom it lets in, and within which bounds."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from llmgym.concurrency.descriptors import allow_descriptors
from llmgym.errors import ConfigError

_LOCAL = ("127.0.0.1", "localhost", "::1")
Seconds = Annotated[float, Meta(gt=0)]
Positive = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]


class Door(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the configurations of servers have in common.

    Attributes:
        host: Address to listen at.
        port: Port to listen at; 0 for any.
        token: What clients have to show; None for nothing, which only a server for this machine may do.
        sessions: Most sessions at once.
        idle_s: Seconds after which a session that is asked for nothing is ended.
        body_limit: Most bytes of a request, and of a frame of a WebSocket.
        body_s: Seconds that a body has to arrive.
        header_s: Seconds that a connection has for the headers of a request.
        connections: Most connections at once.
        grace_s: Seconds that requests under way have at the end of the server.
    """

    host: str = "127.0.0.1"
    port: Port = 8300
    token: str | None = None
    sessions: Positive = 10_000
    idle_s: Seconds = 1800.0
    body_limit: Positive = 4 << 20
    body_s: Seconds = 30.0
    header_s: Seconds = 10.0
    connections: Positive = 12_000
    grace_s: Seconds = 30.0

    @property
    def local(self) -> bool:
        """Whether only this machine is served."""
        return self.host in _LOCAL

    def check(self) -> None:
        """See that it is not open to all.

        Raises:
            ConfigError: It is.
        """
        if self.token is None and not self.local:
            raise ConfigError(f"host {self.host!r} lets others in, so a token is needed: --token-file, or LLMGYM_TOKEN")

    def raise_descriptors(self) -> None:
        """Allow as many open files as there may be connections, as far as this process may."""
        allow_descriptors(self.connections + 512)
