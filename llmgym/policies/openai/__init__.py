"""Any OpenAI-compatible chat endpoint: for evaluation, SFT and DPO data; it gives no tokens."""

from __future__ import annotations

from llmgym.policies.openai.policy import OpenAIPolicy

__all__ = ["OpenAIPolicy"]
