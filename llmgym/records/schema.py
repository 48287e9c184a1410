"""The JSON Schema of a row, made from the types that decode it."""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from llmgym.records.row import FORMAT, Row


def rollout_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a line of `rollouts.jsonl` and `failures.jsonl`."""
    (made,), types = msgspec.json.schema_components([Row], ref_template="#/$defs/{name}")
    row = types.pop(made["$ref"].rpartition("/")[2])
    params = row["properties"]["responses_create_params"]
    params["required"] = ["input", "tools"]
    params["properties"] = {name: {"type": "array", "items": {"type": "object"}} for name in params["required"]}
    logprobs = types["SegmentRow"]["properties"]["logprobs"]
    logprobs["contentEncoding"] = "base64"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"llmgym:rollout-{FORMAT}",
        "title": f"A rollout of llmgym, format {FORMAT}",
        "description": inspect.cleandoc(row["description"]),
        "type": "object",
        "properties": row["properties"],
        "required": row["required"],
        # Metrics under their own names; a format that comes later adds fields of other types.
        "additionalProperties": True,
        "$defs": types,
    }
