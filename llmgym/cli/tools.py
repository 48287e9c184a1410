"""How a tool is shown to a person."""

from __future__ import annotations

from llmgym.messages import ToolSchema
from llmgym.policies.human import type_name, usage


def tool_lines(tool: ToolSchema) -> list[str]:
    """How to call a tool, what it does, and each parameter with its type and what it means.

    Args:
        tool: Its schema.

    Returns:
        Lines, those of parameters indented by four.
    """
    function = tool["function"]
    parameters = function["parameters"]
    lines = [usage(tool)]
    if function["description"]:
        lines.append(f"  {function['description']}")
    for name, schema in parameters.get("properties", {}).items():
        kind = type_name(schema)
        if name not in parameters.get("required", ()):
            kind += f", {schema['default']!r} where left out" if schema.get("default") is not None else ", optional"
        about = schema.get("description", "")
        lines.append(f"    {name}: {kind}{'. ' if about else ''}{about}")
    return lines
