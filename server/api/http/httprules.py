"""The `google.api.http` annotations of the contract: which request belongs to which RPC and field.

The grammar of paths and the rules of binding are those of google/api/http.proto, with two that
are stricter: what a request gives twice with different values (in the path and in the body) is
refused, and so is every parameter the message does not have.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from google.api import annotations_pb2, http_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from server.api.bounds import Bounds
from server.api.http import protojson
from server.api.http.protojson import Faults, Field

MAX_PARAMETERS = 100
MAX_PATH_CHARACTERS = 16_384
"""A name of a thousand characters is nine thousand, if each is escaped."""
JSON_FOR_WIRE = 8
"""A character of JSON may be escaped, a field has its name beside it: so many times the
message's bytes, and
"""
OTHER_BODY_BYTES = 16_384
"""so many more for white space, a body may have."""
RAW_BODY = "google.api.HttpBody"

# An answer that shows a ticket which the gate would refuse is a look that succeeded.
_LOOKS = frozenset({"ticket_info", "tickets"})
_WILDCARDS = {"**": ".*", "*": "[^/]+"}


class WrongVerbError(Exception):
    """The path exists, but not with this HTTP method."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(self.allowed)


@dataclass(frozen=True, slots=True)
class Variable:
    """A part of the path that is the value of a field; `spans` when it may hold slashes."""

    path: str
    fields: Sequence[Field]
    spans: bool

    def value(self, message: Message) -> Any:
        """The field's value in a request."""
        value: Any = message
        for field in self.fields:
            value = getattr(value, field.name)
        return value

    def unescaped(self, text: str) -> str:
        """The text in the path as a value; where slashes separate, an escaped one stays escaped."""
        if not self.spans:
            return unquote(text, errors="strict")
        return "%2F".join(unquote(part, errors="strict") for part in re.split("%2[Ff]", text))


@dataclass(frozen=True, slots=True)
class Binding:
    """One HTTP rule of a method: where its request is found, how it is called and answered.

    Attributes:
        path: `/package.Service/Method`, as gRPC has it.
        max_body_bytes: no body that its contract allows is longer.
        body: as in google.api.http: empty, `*`, or the name of a field.
        takes_raw_body: whether that is a google.api.HttpBody, which takes any content as it is.
        response_body: the field that is answered alone; empty for the whole message.
        answers_raw_body: whether that is a google.api.HttpBody, answered byte for byte: of a stream
            the parts of one file.
        variables: those of the path, in order.
        refuses: whether an answer is a refusal (HTTP 422).
    """

    path: str
    max_body_bytes: int
    streams: bool
    request_type: type[Message]
    response_type: type[Message]
    body: str
    takes_raw_body: bool
    response_body: str
    answers_raw_body: bool
    variables: Sequence[Variable]
    refuses: Callable[[Message], bool]

    def bind_query(self, query: bytes, message: Any, faults: Faults) -> None:
        """Set the fields named by query parameters; repeated fields take a parameter several
        times.
        """
        if not query:
            return
        try:
            pairs = parse_qsl(
                query.decode(),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_PARAMETERS,
            )
        except UnicodeDecodeError:
            faults.add("query", "is not UTF-8")
            return
        except ValueError:
            faults.add("query", f"has more than {MAX_PARAMETERS} parameters")
            return
        given: dict[str, tuple[list[Field], list[str]]] = {}
        for name, text in pairs:
            fields = None if self.body == "*" else protojson.find(message.DESCRIPTOR, name)
            if fields is None:
                known = protojson.shape(message.DESCRIPTOR)
                wanted = (
                    known.no_such_field(name, faults) if self.body != "*" else "belongs in the body"
                )
                faults.add(name[: protojson.MAX_NAME_CHARACTERS], wanted)
            elif fields[0].name == self.body:
                faults.add(name, "belongs in the body")
            else:
                path = ".".join(field.name for field in fields)
                given.setdefault(path, (fields, []))[1].append(text)
        for fields, texts in given.values():
            protojson.read_text(texts, fields, message, faults)

    def bind_path(self, texts: Sequence[str], message: Message, faults: Faults) -> None:
        """Set the fields named by the path; call it last, to see whether anything else
        contradicts.
        """
        for variable, escaped in zip(self.variables, texts, strict=True):
            before = variable.value(message)
            try:
                text = variable.unescaped(escaped)
            except UnicodeDecodeError:
                faults.add(variable.path, "is not UTF-8")
                continue
            protojson.read_text([text], variable.fields, message, faults)
            if before and before != variable.value(message):
                faults.add(variable.path, "differs from the one in the path")


class Routes:
    """Finds the binding for a request; where several templates match, the most literal one wins.

    Raises:
        ValueError: an annotation that cannot work; the server must not start.
    """

    def __init__(self, services: Iterable[ServiceDescriptor]) -> None:
        self._exact: dict[str, dict[str, Binding]] = {}
        self._templates: list[tuple[re.Pattern[str], str, Binding]] = []
        seen: set[tuple[str, str]] = set()
        for method in (method for service in services for method in service.methods):
            for rule in _rules(method):
                verb, template = _verb_and_template(rule)
                pattern, names = _compile(template)
                if (verb, pattern) in seen:
                    raise ValueError(f"{verb} {template} of {method.full_name} is bound already")
                seen.add((verb, pattern))
                binding = _bind(method, rule, names)
                if "*" in template or names:
                    self._templates.append((re.compile(pattern), verb, binding))
                else:
                    self._exact.setdefault(template, {})[verb] = binding
        self._templates.sort(key=lambda each: _wildness(each[0].pattern))

    def find(self, verb: str, raw_path: str) -> tuple[Binding, Sequence[str]] | None:
        """The binding and the (still escaped) texts of its variables; None if there is no such
        path.

        Raises:
            WrongVerbError: the path has other methods.
        """
        if len(raw_path) > MAX_PATH_CHARACTERS:
            return None
        path = _undo_needless_escapes(raw_path)
        verb = "GET" if verb == "HEAD" else verb
        exact = self._exact.get(path, {})
        if verb in exact:
            return exact[verb], ()
        allowed = set(exact)
        for pattern, offered, binding in self._templates:
            if found := pattern.fullmatch(path):
                if offered == verb:
                    return binding, found.groups()
                allowed.add(offered)
        if allowed:
            raise WrongVerbError(allowed)
        return None


def _rules(method: MethodDescriptor) -> list[http_pb2.HttpRule]:
    options = method.GetOptions()
    if not options.HasExtension(annotations_pb2.http):
        return []
    rule = options.Extensions[annotations_pb2.http]
    return [rule, *rule.additional_bindings]


def _verb_and_template(rule: http_pb2.HttpRule) -> tuple[str, str]:
    kind = rule.WhichOneof("pattern")
    if kind is None:
        raise ValueError("a google.api.http rule names no method and path")
    if kind == "custom":
        return rule.custom.kind, rule.custom.path
    return kind.upper(), getattr(rule, kind)


def _compile(template: str) -> tuple[str, dict[str, bool]]:
    """The regular expression of a path template; its variables, and whether they span segments."""

    def segments(text: str) -> str:
        parts = re.split(r"(\*\*|\*)", text)
        return "".join(_WILDCARDS.get(part) or re.escape(part) for part in parts)

    pattern, names = "", {}
    for literal, name, inner in re.findall(r"([^{]*)(?:\{([^=}]+)(?:=([^}]+))?\})?", template):
        pattern += segments(literal)
        if name:
            names[name] = "/" in inner or "**" in inner
            pattern += f"({segments(inner or '*')})"
    return pattern, names


def _wildness(pattern: str) -> tuple[int, int, int]:
    return pattern.count(".*"), pattern.count("[^/]+"), -len(pattern)


def _undo_needless_escapes(path: str) -> str:
    """`%3A` and its like as the characters they are, so that they match a template's literals."""

    def character(found: re.Match[str]) -> str:
        plain = chr(int(found[1], 16))
        needless = plain.isascii() and (plain.isalnum() or plain in "-._~:@!$&'()*+,;=")
        return plain if needless else found[0]

    return re.sub(r"%([0-9A-Fa-f]{2})", character, path) if "%" in path else path


def _bind(method: MethodDescriptor, rule: http_pb2.HttpRule, names: dict[str, bool]) -> Binding:
    request, response = method.input_type, method.output_type
    variables = [
        Variable(name, protojson.find(request, name) or (), spans) for name, spans in names.items()
    ]
    faults = [
        each.path for each in variables if not each.fields or each.fields[-1].descriptor.is_repeated
    ]
    faults += {rule.body} - {"", "*", *request.fields_by_name}
    faults += {rule.response_body} - {"", *response.fields_by_name}
    if faults:
        raise ValueError(f"{method.full_name} binds what it does not have: {', '.join(faults)}")
    if method.client_streaming or (method.server_streaming and response.full_name == RAW_BODY):
        raise ValueError(f"{method.full_name} streams what cannot be sent as lines of JSON")
    return Binding(
        path=f"/{method.containing_service.full_name}/{method.name}",
        max_body_bytes=JSON_FOR_WIRE * Bounds.of(request).max_bytes + OTHER_BODY_BYTES,
        streams=method.server_streaming,
        request_type=message_factory.GetMessageClass(request),
        response_type=message_factory.GetMessageClass(response),
        body=rule.body,
        takes_raw_body=_body_type(request, rule.body) == RAW_BODY,
        response_body=rule.response_body,
        answers_raw_body=_body_type(response, rule.response_body or "*") == RAW_BODY,
        variables=variables,
        refuses=_refuses(response),
    )


def _body_type(request: Descriptor, body: str) -> str:
    """The full name of the message that the body is; empty if it is none."""
    if body in {"", "*"}:
        return str(request.full_name) if body else ""
    kind = request.fields_by_name[body].message_type
    return "" if kind is None else str(kind.full_name)


def _refuses(response: Descriptor) -> Callable[[Message], bool]:
    """Tells whether an answer of this type is a refusal (DOMAIN, redemption 4)."""
    result = response.fields_by_name.get("result")
    if result is None or result.enum_type is None or result.enum_type.name != "RedemptionResult":
        return lambda _message: False
    values = result.enum_type.values_by_name
    refused = {values[f"REDEMPTION_RESULT_{name}"].number for name in ("REJECT", "WITHHELD")}

    def refuses(message: Any) -> bool:
        return message.result in refused and not any(
            field.name in _LOOKS for field, _ in message.ListFields()
        )

    return refuses
