"""Runs behind the wall of an agent program: what that sends to a port of its own loopback goes to a socket outside.

A script that needs nothing but Python: SOCKET PORT COMMAND...
"""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def main(path: str, port: int, *command: str) -> int:
    """Run a command to its end; its status.

    Args:
        path: The socket outside.
        port: The port inside.
        *command: A program with its arguments.
    """

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_unix_connection(path)
        await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))

    async with await asyncio.start_server(forward, "127.0.0.1", port):
        try:
            process = await asyncio.create_subprocess_exec(*command)
        except OSError as error:
            print(f"cannot run {command[0]!r}: {error.strerror}", file=sys.stderr)  # noqa: T201 -- a script
            return 127
        status = await process.wait()
    return status if status >= 0 else 128 - status


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])))
