"""What goes wrong in a worker, told to llmgym by kind."""

from __future__ import annotations

from collections.abc import Iterator

# Of huggingface_hub, datasets, requests, httpx and sockets, by name: none of them need be there.
_NO_NETWORK = frozenset(
    {"ConnectionError", "ConnectError", "ConnectTimeout", "LocalEntryNotFoundError", "MaxRetryError",
     "NameResolutionError", "OfflineModeIsEnabled", "gaierror"}
)  # fmt: skip


class Fault(Exception):
    """Something that llmgym is told in words of ours.

    Attributes:
        kind: "missing" (no verifiers), "version", "unknown" (no such taskset), "download" (it wants the network),
            "unfit" (it cannot be adapted), "infrastructure", "environment".
    """

    def __init__(self, kind: str, message: str) -> None:
        """Say what it is."""
        super().__init__(message)
        self.kind = kind


def told(error: BaseException) -> dict[str, str]:
    """An exception as the other side is told it."""
    if isinstance(error, Fault):
        return {"kind": error.kind, "message": str(error)}
    first = list(causes(error))[-1]
    wants_network = any(type(cause).__name__ in _NO_NETWORK for cause in causes(error))
    return {"kind": "download" if wants_network else "environment", "message": f"{type(first).__name__}: {first}"}


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, what it was raised for, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
