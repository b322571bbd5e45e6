"""The OpenAPI 3.1 document of the HTTP API, made from the types that the API itself reads with.

What an operation takes and gives is declared once (fleet.web.api_base.Operation); msgspec writes
the schemas. Nothing here is kept by hand but the words around it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from fleet.web.api_base import BASE, CODES, Number, Operation, Problem

_EVERYWHERE: Final = ("malformed", "unauthorized", "scope", "too-many", "failed", "busy")
_OF_BODY: Final = ("too-slow", "too-large", "media-type", "invalid", "individual-number")
_OF_QUERY: Final = ("invalid",)
_OF_PATH: Final = ("individual-number", "not-found", "invalid")
_PARTS: Final[Mapping[str, dict[str, Any]]] = {
    "month": {"type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"},
    "webhook": {"type": "integer", "format": "int64", "minimum": 1},
}
"""Parts of paths that are no registration number."""
_ABOUT: Final = (
    "For the city’s other systems: one client, one programme, one token. Registration numbers name "
    "members; no answer holds a credential, and no field takes a 12-digit individual number. "
    "docs/api.md has examples."
)


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the whole document, as plain data."""
    structs = _structs(operations)
    schemas, components = msgspec.json.schema_components(
        structs, ref_template="#/components/schemas/{name}"
    )
    refs = dict(zip(structs, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, refs, components)
    queries = {one.query.__name__ for one in operations if one.query is not None}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kazasu",
            "version": "1",
            "description": _ABOUT,
            "license": {"name": "EUPL-1.2", "identifier": "EUPL-1.2"},
        },
        "servers": [{"url": BASE, "description": "office_port of fleet.toml, behind a TLS proxy"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {name: one for name, one in components.items() if name not in queries},
        },
    }


def _structs(operations: Iterable[Operation]) -> list[Any]:
    found: dict[Any, None] = {Problem: None, Number: None}
    for one in operations:
        for kind in (one.query, one.body, *one.answers.values()):
            if kind is not None and kind is not bytes:
                found[kind] = None
    return list(found)


def _operation(
    one: Operation, refs: Mapping[Any, Any], components: Mapping[str, Any]
) -> dict[str, Any]:
    parameters = [_part(name, refs) for name in re.findall(r"{(\w+)}", one.path)]
    if one.query is not None:
        parameters += _query(components[one.query.__name__])
    if one.tagged and one.method != "GET":
        about = "The ETag of what is to be overwritten; left out when a member is enrolled."
        parameters.append(
            {"name": "If-Match", "in": "header", "description": about, "schema": {"type": "string"}}
        )
    found: dict[str, Any] = {
        "operationId": one.name,
        "summary": one.summary,
        "description": f"Scope {one.scope}.",
        "parameters": parameters,
        "responses": _responses(one, refs),
    }
    if one.body is not None:
        content = {"application/json": {"schema": refs[one.body]}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _part(name: str, refs: Mapping[Any, Any]) -> dict[str, Any]:
    schema = refs[Number] if name == "number" else _PARTS[name]
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query(component: Mapping[str, Any]) -> list[dict[str, Any]]:
    required = component.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _once(schema)}
        for name, schema in component["properties"].items()
    ]


def _once(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter: one that may be null is left out instead."""
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return dict(choices[0]) if choices else dict(schema)


def _responses(one: Operation, refs: Mapping[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, kind in one.answers.items():
        answer: dict[str, Any] = {"description": one.summary}
        if kind is bytes:
            answer["content"] = {"text/csv": {"schema": {"type": "string"}}}
        elif kind is not None:
            answer["content"] = {"application/json": {"schema": refs[kind]}}
        if one.tagged:
            about = "Names this state; send it back as If-Match."
            answer["headers"] = {"ETag": {"description": about, "schema": {"type": "string"}}}
        found[str(status)] = answer
    for status, codes in _problems(one).items():
        content = {"application/problem+json": {"schema": refs[Problem]}}
        found[str(status)] = {"description": f"code {' or '.join(codes)}", "content": content}
    return dict(sorted(found.items()))


def _problems(one: Operation) -> dict[int, list[str]]:
    """Return the codes that may come, by status."""
    codes = [*_EVERYWHERE, *one.problems]
    codes += _OF_BODY if one.body is not None else ()
    codes += _OF_PATH if "{" in one.path else ()
    codes += _OF_QUERY  # an unknown parameter
    found: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        found.setdefault(CODES[code], []).append(code)
    return found
