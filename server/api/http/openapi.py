"""The OpenAPI document of the JSON interface, and a page for people made from it."""

import json
import re
from html import escape
from importlib import resources
from typing import Any

Json = dict[str, Any]

MAX_DEPTH = 4  # of objects in objects, as the page shows them
VERBS = ("get", "post", "put", "patch", "delete")
LIMITS = {"maxLength": "characters", "maxItems": "items"}
HEADERS = {
    "access_token": "Authorization: Bearer $ACCESS_TOKEN",
    "partner_key": "X-Api-Key: $API_KEY",
}


def document() -> bytes:
    """The OpenAPI 3.1 document in JSON, as the contract was when the code was generated."""
    return resources.files("deeptravel").joinpath("openapi.json").read_bytes()


def page(document: Json) -> str:
    """What a page shows that lists every endpoint, as HTML."""
    info = document["info"]
    parts = ["<h1>Reference</h1>", _text(info["description"])]
    parts.append("<p><a href='/openapi.json'>openapi.json</a> · <a href='/healthz'>health</a></p>")
    for tag in document["tags"]:
        parts += [f"<h2>{escape(tag['name'])}</h2>", _text(tag["description"])]
        parts += [
            _operation(document, path, verb, item[verb])
            for path, item in document["paths"].items()
            for verb in VERBS
            if tag["name"] in item.get(verb, {}).get("tags", ())
        ]
    return "".join(parts)


def _operation(document: Json, path: str, verb: str, operation: Json) -> str:
    roles = ", ".join(operation["x-roles"]).lower()
    parts = [
        f"<details id='{escape(operation['operationId'])}'><summary>",
        f"<b class='verb {verb}'>{verb.upper()}</b><code>{escape(path)}</code>",
        f"<span>{escape(operation['summary'])}</span></summary><div>",
        _text(operation["description"]),
        f"<p>Callers: {escape(roles)}</p>",
    ]
    if parameters := operation.get("parameters"):
        rows = [
            _row(each["name"], _resolve(document, each["schema"]) | each, required=each["required"])
            for each in parameters
        ]
        parts.append(f"<h3>Parameters</h3><table>{''.join(rows)}</table>")
    for title, schema in _bodies(operation):
        rows = _rows(document, schema)
        parts.append(f"<h3>{escape(title)}</h3><table>{''.join(rows)}</table>")
    parts.append(
        f"<h3>Example</h3><pre><code>{escape(_curl(document, path, verb, operation))}</code></pre>"
    )
    return "".join([*parts, "</div></details>"])


def _bodies(operation: Json) -> list[tuple[str, Json]]:
    bodies = [("Request body", operation.get("requestBody", {}))]
    answers = operation["responses"]
    bodies += [(f"Answer {code}", answers[code]) for code in ("200", "422") if code in answers]
    return [
        (f"{title} · {media}", content["schema"])
        for title, body in bodies
        for media, content in body.get("content", {}).items()
    ]


def _rows(document: Json, schema: Json, prefix: str = "", depth: int = 0) -> list[str]:
    """A table row for each field, those of inner objects after the object's own."""
    whole = _resolve(document, schema)
    rows: list[str] = []
    for name, field in whole.get("properties", {}).items():
        inner = _resolve(document, field)
        is_list = inner.get("type") == "array"
        if is_list:
            inner = _resolve(document, inner["items"])
        path = f"{prefix}{name}{'[]' if is_list else ''}"
        rows.append(_row(path, inner | field, required=name in whole.get("required", ())))
        if "properties" in inner and depth < MAX_DEPTH:
            rows += _rows(document, inner, f"{path}.", depth + 1)
    return rows


def _resolve(document: Json, schema: Json) -> Json:
    if "$ref" not in schema:
        return schema
    resolved: Json = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return resolved


def _row(name: str, schema: Json, *, required: bool) -> str:
    mark = " <em title='always there'>*</em>" if required else ""
    words = _inline(schema.get("description", ""))
    if values := schema.get("enum"):
        listed = " · ".join(f"<code>{escape(value)}</code>" for value in values)
        words = f"{words}<br><small>{listed}</small>"
    return (
        f"<tr><td><code>{escape(name)}</code>{mark}</td>"
        f"<td><small>{_kind(schema)}</small></td><td>{words}</td></tr>"
    )


def _kind(schema: Json) -> str:
    """The type and its limits in a few words, as HTML."""
    if "enum" in schema:
        return "one of"
    kinds = schema.get("type", "any")
    words = [kinds if isinstance(kinds, str) else " or ".join(kinds)]
    words += [schema[key] for key in ("format", "contentEncoding") if key in schema]
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None or high is not None:
        words.append(f"{low if low is not None else ''}–{high if high is not None else ''}")
    words += [f"up to {schema[key]} {unit}" for key, unit in LIMITS.items() if key in schema]
    return ", ".join(escape(str(word)) for word in words)


def _curl(document: Json, path: str, verb: str, operation: Json) -> str:
    """A command that calls the endpoint with what it requires."""
    parts = [f"curl -X {verb.upper()}" if verb not in {"get", "post"} else "curl"]
    parts[0] += f" http://127.0.0.1:8080{path}"
    schemes = {scheme for each in operation["security"] for scheme in each}
    parts += [f'-H "{HEADERS[scheme]}"' for scheme in sorted(schemes)[:1]]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        sample = _sample(document, content["schema"], "body")
        parts.append(f"-H 'Content-Type: {media}' -d '{json.dumps(sample, ensure_ascii=False)}'")
    return " \\\n  ".join(parts)


def _sample(document: Json, schema: Json, name: str) -> Any:
    schema = _resolve(document, schema)
    if "properties" in schema:
        required = schema.get("required", ())
        fields = {each: schema["properties"][each] for each in required}
        return {each: _sample(document, field, each) for each, field in fields.items()}
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "array":
        return [_sample(document, schema["items"], name)]
    plain = {"boolean": True, "integer": max(1, schema.get("minimum", 1)), "object": {}}
    return plain.get(str(schema.get("type")), f"<{name}>")


def _text(markdown: str) -> str:
    return "".join(f"<p>{_inline(part)}</p>" for part in markdown.split("\n\n"))


def _inline(markdown: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(markdown))
