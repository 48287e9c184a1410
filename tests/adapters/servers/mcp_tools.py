"""An MCP server for tests, over standard input and output or over HTTP: `mcp_tools.py [PORT]`."""

import asyncio
import os
import sys
from pathlib import Path

from mcp.server.mcpserver import Image, MCPServer

server = MCPServer("desk")
seen: list[str] = []


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers.

    They are whole ones.
    """
    return a + b


@server.tool(name="notes.keep")
def keep(text: str) -> str:
    """Keep a note, and tell how many there are."""
    seen.append(text)
    return str(len(seen))


@server.tool()
def boom() -> str:
    """Fail."""
    raise ValueError("secret detail")


@server.tool()
def die() -> str:
    """End the server."""
    os._exit(3)


@server.tool()
async def slow(marker: str) -> str:
    """Wait for long, and leave a mark where that is cancelled."""
    mark = Path(marker).write_text
    try:
        mark("began")
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        mark("cancelled")
        raise
    return "done"


@server.tool()
def huge(characters: int) -> str:
    """Say much."""
    return "x" * characters


@server.tool()
def picture() -> Image:
    """Show a picture."""
    return Image(data=b"\x89PNG" + b"0" * 296, format="png")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        print("the server begins", file=sys.stderr)
        server.run("stdio")
