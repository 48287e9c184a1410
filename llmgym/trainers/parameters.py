"""How a trainer that samples by itself has replies sampled, in our names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llmgym.errors import ConfigError
from llmgym.rollout.config import ResponsesCreateParams


def asked_of(given: Mapping[str, Any], max_output_tokens: int) -> ResponsesCreateParams:
    """How a trainer has replies sampled, for the record of its episodes and for where their messages end.

    Args:
        given: The trainer's settings, under vLLM's names; others among them are left aside.
        max_output_tokens: Most tokens of one reply.

    Raises:
        ConfigError: One makes no sense.
    """
    known = {name: given[name] for name in ResponsesCreateParams.__struct_fields__ if given.get(name) is not None}
    known |= {"max_output_tokens": max_output_tokens, "top_k": max(known.get("top_k", 0), 0)}  # -1 is also all
    if isinstance(stop := known.get("stop"), str):
        known["stop"] = [stop]
    try:
        return msgspec.convert(known, ResponsesCreateParams)
    except msgspec.ValidationError as error:
        raise ConfigError(f"the trainer's sampling: {error}") from None
