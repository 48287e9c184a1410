"""Lines of JSON with file descriptors beside them, over a Unix socket: all that crosses the wall.

Both sides use this module, so it needs nothing but the standard library. Contents (programs, inputs, outputs) are in
files without a name, whose descriptors are passed; nothing is ever unpickled.
"""

from __future__ import annotations

import _socket  # what `socket` adds to it would make every fork dearer
import errno
import json
import os
import struct
import time
from collections.abc import Sequence
from typing import Any

_CHUNK = 1 << 16
_LONGEST = 1 << 20  # bytes of a line
_PATIENCE, _PAUSE = 5.0, 0.001  # seconds, for descriptors on their way to arrive
_INT = struct.calcsize("i")
_RIGHTS = _socket.CMSG_SPACE(16 * _INT)  # bytes that the descriptors of a message take at most
# What `json.loads` and `json.dumps` do besides costs the zygote pages of memory, which every fork makes dearer.
_decode = json.JSONDecoder().raw_decode
_encode = json.JSONEncoder(check_circular=False).encode


class Closed(Exception):
    """The other side is gone, or says what is no message."""


class Channel:
    """One end of a socket: messages in order, each a JSON object with its descriptors."""

    def __init__(self, end: _socket.socket) -> None:
        """Take over an end."""
        self._socket = end
        self._buffer = b""
        self._fds: list[int] = []

    def fileno(self) -> int:
        """The descriptor, to wait for."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close this end, and descriptors that nobody took."""
        self._socket.close()
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send a message; waits while the other side is slow, as long as the socket's timeout.

        Raises:
            Closed: The other side is gone.
        """
        line = _encode({**message, "fds": len(fds)}).encode() + b"\n"
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        try:
            sent = self._send(line, rights)
            self._socket.sendall(line[sent:])
        except OSError as error:
            raise Closed(str(error)) from None

    def _send(self, line: bytes, rights: list[tuple[int, int, bytes]]) -> int:
        """Send the start of a line; waits while more descriptors of this user are on their way than he may have."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return self._socket.sendmsg([line], rights)
            except OSError as error:
                if error.errno != errno.ETOOMANYREFS or time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)

    def receive(self) -> list[tuple[dict[str, Any], list[int]]]:
        """The messages that are whole; waits for the first bytes, as the socket does.

        Raises:
            Closed: The other side is gone.
        """
        try:
            data, rights, _, _ = self._socket.recvmsg(_CHUNK, _RIGHTS)
        except BlockingIOError:
            return []
        except OSError as error:
            raise Closed(str(error)) from None
        for _, _, packed in rights:
            count = len(packed) // _INT
            self._fds += struct.unpack(f"{count}i", packed[: count * _INT])
        return self._parse(data)

    def receive_data(self) -> list[dict[str, Any]]:
        """The same from a side that is not trusted: descriptors that it sends are never taken.

        Raises:
            Closed: The other side is gone, or says what is no message.
        """
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return []
        except OSError as error:
            raise Closed(str(error)) from None
        return [message for message, _ in self._parse(data)]

    def _parse(self, data: bytes) -> list[tuple[dict[str, Any], list[int]]]:
        if not data:
            raise Closed("the other side is gone")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > _LONGEST:
            raise Closed("a message is too long")
        messages = []
        for line in lines:
            try:
                message, end = _decode(line.decode("ascii"))
                count = int(message.pop("fds"))
                if end < len(line):
                    raise ValueError(line)
            except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
                raise Closed("what came is no message") from None
            taken, self._fds = self._fds[:count], self._fds[count:]
            messages.append((message, taken))
        return messages


def blank(content: bytes = b"") -> int:
    """A file without a name, in memory where the system has such, at its start.

    It appends, so that several writers never overwrite each other.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("llmgym", os.MFD_CLOEXEC)
    else:
        import tempfile  # which makes every fork dearer

        with tempfile.TemporaryFile(buffering=0) as file:
            fd = os.dup(file.fileno())
    if content:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
    return fd


def read_all(fd: int, limit: int | None = None) -> bytes:
    """What a file holds from its beginning, cut at `limit` bytes."""
    size = os.fstat(fd).st_size
    wanted = size if limit is None else min(size, limit)
    parts: list[bytes] = []
    done = 0
    while done < wanted and (part := os.pread(fd, wanted - done, done)):
        parts.append(part)
        done += len(part)
    return b"".join(parts)
