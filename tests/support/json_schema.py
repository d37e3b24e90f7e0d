"""What of a JSON value is not as a JSON Schema says, for the few words of it that ours use."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": int | Decimal,
    "null": type(None),
}
KNOWN = {
    *("$schema", "$id", "$defs", "title", "description", "format"),
    *("$ref", "type", "const", "enum", "pattern", "minimum", "anyOf"),
    *("properties", "required", "additionalProperties", "items"),
}


def faults(value: Any, schema: Any, root: Any, where: str = "$") -> Iterator[str]:
    """Where and how; nothing if it is as the schema says."""
    assert set(schema) <= KNOWN, schema.keys() - KNOWN
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        yield from faults(value, root["$defs"][name], root, where)
    if "anyOf" in schema and all(any(faults(value, each, root)) for each in schema["anyOf"]):
        yield f"{where} is none of anyOf"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    is_odd = isinstance(value, bool) and "boolean" not in kinds
    if kinds and (is_odd or not any(isinstance(value, TYPES[each]) for each in kinds)):
        yield f"{where} is no {kinds}"
        return
    yield from _of_value(value, schema, where)
    if isinstance(value, dict) and "properties" in schema:
        known = schema["properties"]
        if odd := set(schema["required"]) - set(value) | set(value) - set(known):
            yield f"{where} has or lacks {sorted(odd)}"
        for name in value.keys() & known.keys():
            yield from faults(value[name], known[name], root, f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for index, each in enumerate(value):
            yield from faults(each, schema["items"], root, f"{where}[{index}]")


def _of_value(value: Any, schema: Any, where: str) -> Iterator[str]:
    if value != schema.get("const", value) or value not in schema.get("enum", [value]):
        yield f"{where} is {value!r}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{where} is {value!r}"
    if value is not None and "minimum" in schema and value < schema["minimum"]:
        yield f"{where} is {value!r}"
