"""Examples for the description of the API, made from its schemas, so that none is forgotten or out of date."""

from collections.abc import Mapping
from typing import Any

FORMATS = {
    "uuid": "5f0f7b0e-2f5c-4c57-9c0b-1f2c3a4b5d6e",
    "date-time": "2026-12-24T18:00:00.000000Z",
    "date": "2026-12-24",
    "time": "18:00:00",
}
# Where a schema has no example of its own.
NAMES: dict[str, object] = {
    "access_token": "tk_3f9c2a",
    "arguments": {"title": "Buy groceries"},
    "content": "Done: I added “Buy groceries”.",
    "delta": "Done: I added ",
    "detail": "There is no such task.",
    "display_name": "Built-in assistant",
    "email": "ada@example.com",
    "message": "Check your mail.",
    "password": "correct horse battery staple",
    "reason": "A request of the person.",
    "snippet": "Add “Buy groceries” to my list",
    "text": "Add “Buy groceries” to my list",
    "time_zone": "Europe/Berlin",
    "title": "Buy groceries",
    "version": "1.0.0",
}
DEEPEST = 8

Schema = Mapping[str, Any]


def example_of(schema: Schema, schemas: Schema, *, name: str = "", depth: int = 0) -> Any:
    """Return a value that a schema allows; `schemas` are those that it may refer to by their names."""
    if depth > DEEPEST:
        return None
    if reference := schema.get("$ref"):
        return example_of(schemas[reference.rpartition("/")[2]], schemas, name=name, depth=depth + 1)
    if schema.get("examples"):
        return schema["examples"][0]
    for key in ("const", "default"):
        if schema.get(key) is not None:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if options:
        return example_of(options[0], schemas, name=name, depth=depth + 1)
    return _of_type(schema, schemas, name, depth)


def _of_type(schema: Schema, schemas: Schema, name: str, depth: int) -> Any:
    match schema.get("type"):
        case "object":
            properties: Schema = schema.get("properties", {})
            return {key: example_of(value, schemas, name=key, depth=depth + 1) for key, value in properties.items()}
        case "array" if "prefixItems" in schema:
            return [example_of(each, schemas, depth=depth + 1) for each in schema["prefixItems"]]
        case "array":
            item = example_of(schema.get("items", {}), schemas, name=name, depth=depth + 1)
            return [] if item is None else [item]
        case "string":
            return FORMATS.get(schema.get("format", "")) or NAMES.get(name, "")
        case "integer" | "number":
            return max(schema.get("minimum", 1), 1)
        case "boolean":
            return False
    return NAMES.get(name)
