"""An MCP server that knows the prices of a shop; any other takes its place by its command or URL."""

from mcp.server.mcpserver import MCPServer

PRICES = {"lamp": 12, "chair": 45, "desk": 130, "rug": 80}
server = MCPServer("shop")


@server.tool()
def price(item: str) -> int:
    """The price of one item, in euros."""
    return PRICES[item]


if __name__ == "__main__":
    server.run("stdio")
