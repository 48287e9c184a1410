"""The OpenAPI document of our own protocol, made of the forms that requests are decoded by."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from llmgym.adapters.remote.protocol import Failed
from llmgym.serve.rest import OPERATIONS, Operation

_REF = "#/components/schemas/{name}"


@functools.lru_cache(1)
def document() -> bytes:
    """The document, as JSON."""
    from llmgym import __version__

    forms = [form for each in OPERATIONS for form in (each.takes, each.gives) if form is not None]
    schemas, components = msgspec.json.schema_components([*forms, Failed], ref_template=_REF)
    found = iter(schemas)
    paths: dict[str, Any] = {}
    for each in OPERATIONS:
        takes = None if each.takes is None else next(found)
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, takes, next(found))
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "llmgym environments", "version": __version__},
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
            "security": [{"token": []}],
        }
    )


def _operation(each: Operation, takes: Any, gives: Any) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "query", "required": name in ("env", "id"), "schema": {"type": kind}}
        for name, kind in each.query
    ]
    if "{session}" in each.path:
        parameters.append({"name": "session", "in": "path", "required": True, "schema": {"type": "string"}})
    failed = {"content": {"application/json": {"schema": {"$ref": _REF.format(name="Failed")}}}}
    described: dict[str, Any] = {
        "summary": each.summary,
        "parameters": parameters,
        "responses": {
            "200": {"description": "It was done.", "content": {"application/json": {"schema": gives}}},
            "default": {"description": "It was not.", **failed},
        },
    }
    if takes is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": takes}}}
    return described
