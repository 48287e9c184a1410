"""What Schemathesis is told that no schema says: names of what there is, in half of its requests."""

from __future__ import annotations

import json
import os
import random
import urllib.request
from typing import Any

import schemathesis  # pyright: ignore[reportMissingImports]  # an environment of its own has it

ENV, URL, TOKEN = os.environ["SERVED_ENV"], os.environ["SERVED_URL"], os.environ["SERVED_TOKEN"]
CALL = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}


def session() -> str:
    """A session that has just begun."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(f"{URL}/v1/sessions", json.dumps({"env": ENV}).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["session"]


def named(request: Any) -> None:
    """Name what there is in a request."""
    if isinstance(request, dict) and random.random() < 0.5:
        request.update({"env": ENV} if "env" in request else {})
        request.update({"session": session()} if request.get("session") else {})
        request.update({"action": "The answer is 7."} if "action" in request else {})
        request.update({"call": CALL} if "call" in request else {})


@schemathesis.hook  # pyright: ignore[reportUntypedFunctionDecorator]
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Change a request that is about to be sent."""
    for request in case.body if isinstance(case.body, list) else [case.body]:
        named(request)
    if isinstance(case.query, dict):
        named(case.query)
    if case.path_parameters and case.path_parameters.get("session") and random.random() < 0.5:
        case.path_parameters["session"] = session()


@schemathesis.check  # pyright: ignore[reportUntypedFunctionDecorator]
def environments_alone_may_fail(context: Any, response: Any, case: Any) -> None:
    """An environment may fail with a task of the client's own, and nothing else may."""
    if response.status_code >= 500:
        wrong = response.json()["error"]["wrong"]
        assert wrong in ("environment", "overloaded"), wrong
