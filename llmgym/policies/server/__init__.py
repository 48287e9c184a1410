"""One or many `vllm serve` addresses as a policy: token ids in, token ids out, over HTTP."""

from llmgym.policies.server.policy import ServerPolicy

__all__ = ["ServerPolicy"]
