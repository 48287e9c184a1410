"""Replies as models write them, and as they should not: thoughts, calls and tags in any order."""

from __future__ import annotations

import json

from hypothesis import strategies as st

CALL = '<tool_call>\n{"name": "look", "arguments": {"where":"x"}}\n</tool_call>'
_WRITES = json.dumps({"name": "write", "arguments": {"text": "</think> <tool_call> </tool_call>"}})
_PIECES = [
    "<think>", "</think>", "<think>\n", "\n</think>\n\n", "Answer: A", "B", " ", "\n", CALL,
    f"<tool_call>{_WRITES}</tool_call>", "<tool_call>",
    "</tool_call>", '{"name": "look"}', "{'name': 'look'}", "é🙂", "</s", "<|", "[",
]  # fmt: skip
REPLIES = st.lists(st.sampled_from(_PIECES), max_size=6).map("".join)
