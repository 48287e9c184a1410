"""Runs, rows and exports on the Hugging Face Hub, on S3 and wherever else fsspec reaches: pushed, and pulled back."""

from __future__ import annotations

from llmgym.data.remote.attempts import RemoteError
from llmgym.data.remote.pulling import pull
from llmgym.data.remote.pushing import push

__all__ = ["RemoteError", "pull", "push"]
