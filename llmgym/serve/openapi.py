"""The OpenAPI document of our own protocol, made of the forms that requests are decoded by."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from llmgym.adapters.remote.protocol import STATUS, Failed
from llmgym.serve.rest import OPERATIONS, Operation

_WRONG = {status: [wrong for wrong in STATUS if STATUS[wrong] == status] for status in sorted(set(STATUS.values()))}
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
        takes = None if each.takes is None else _body(next(found), components)
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


def _body(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema of a body: of a single request, which its route tells apart, so that it needs no `op`."""
    if "$ref" not in schema:
        return schema
    form = components[schema["$ref"].rpartition("/")[2]]
    return {**form, "required": [name for name in form["required"] if name != "op"]}


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
            **{str(status): {"description": ", ".join(wrong), **failed} for status, wrong in _WRONG.items()},
        },
    }
    if takes is not None:
        needed = bool(takes.get("required")) or takes.get("type") == "array"
        described["requestBody"] = {"required": needed, "content": {"application/json": {"schema": takes}}}
    return described
