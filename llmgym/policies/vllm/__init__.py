"""A policy on vLLM's `AsyncLLM`, in this process and the engine processes that vLLM starts from it.

- `policy` is what an episode sees. It checks a request, hands it to the engine and waits, on any event loop.
- `engine` owns an `AsyncLLM` and the event loop that it lives in, and ends every process that it started.
- `weights` turns new weights into files that the engine's processes can read, whatever device they compute on.
- `worker` is imported by those processes: it loads such files, and ends them when the process that owns them dies.
"""

from llmgym.policies.vllm.policy import VLLMPolicy

__all__ = ["VLLMPolicy"]
