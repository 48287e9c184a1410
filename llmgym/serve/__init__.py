"""Environments for other processes and languages, over HTTP and WebSocket."""

from __future__ import annotations

from llmgym.serve.server import EnvServer, ServeConfig
from llmgym.serve.session import Session
from llmgym.serve.sessions import Sessions
from llmgym.serve.workers import Workers

__all__ = ["EnvServer", "ServeConfig", "Session", "Sessions", "Workers"]
