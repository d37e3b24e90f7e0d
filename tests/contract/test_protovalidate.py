"""What the server refuses is what `protovalidate`, the library of the rules in our contract,
refuses: the same requests, for the same fields, of every request type.

A partner who checks with the library of his language before he calls is of one mind with us then.
Two differences are meant, and both are accounted for here. What people type is judged as the server
reads it, which the field's `text` says; what cannot be read, say a telephone number that there
cannot be, only the server refuses. And a list has one violation, whichever of its items is wrong.
"""

import functools
import re
from collections.abc import Iterator
from typing import Any

import protovalidate
import pytest
from buf.validate import validate_pb2
from deeptravel.admin.v1 import admin_service_pb2
from deeptravel.common.v1 import options_pb2
from deeptravel.ota.v1 import ota_service_pb2
from deeptravel.redemption.v1 import redemption_service_pb2
from deeptravel.ticketing.v1 import ticketing_service_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.api.field_rules import UnknownRuleError
from server.api.fields import READERS, Checker
from tests.support import probe

SERVICES = [
    service
    for module in (
        admin_service_pb2,
        ota_service_pb2,
        redemption_service_pb2,
        ticketing_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
]
REQUESTS: dict[str, Descriptor] = {
    method.input_type.full_name: method.input_type
    for service in SERVICES
    for method in service.methods
}
STRING, ENUM, MESSAGE = (
    FieldDescriptor.TYPE_STRING,
    FieldDescriptor.TYPE_ENUM,
    FieldDescriptor.TYPE_MESSAGE,
)
INTEGERS = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
}
VALIDATOR = protovalidate.Validator()


@functools.cache
def rules(field: FieldDescriptor) -> Any:
    return field.GetOptions().Extensions[validate_pb2.field]


def text_kind(field: FieldDescriptor) -> int:
    return int(field.GetOptions().Extensions[options_pb2.text])


# Requests: each value is often at, just inside or just outside what its field takes.


@functools.cache
def requests(descriptor: Descriptor) -> st.SearchStrategy[Message]:
    return st.composite(_draw)(descriptor)


def _draw(draw: Any, descriptor: Descriptor) -> Any:
    message = probe.message_class(descriptor)()
    if descriptor.full_name.startswith("google."):
        return message
    # Of a request with all that it needs one wrong value is seen alone.
    whole = draw(st.booleans())
    for field in descriptor.fields:
        if not (whole and rules(field).required) and draw(st.booleans()):
            continue
        drawn = draw(_of(field))
        if field.is_repeated:
            getattr(message, field.name).extend(drawn)
        elif field.type == MESSAGE:
            getattr(message, field.name).CopyFrom(drawn)
            getattr(message, field.name).SetInParent()
        else:
            setattr(message, field.name, drawn)
    return message


@functools.cache
def _of(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Made once: to make it costs more than to draw from it."""
    if field.is_repeated:
        return _items(field)
    return requests(_type(field)) if field.type == MESSAGE else _values(field, rules(field))


def _type(field: FieldDescriptor) -> Descriptor:
    assert field.message_type is not None
    return field.message_type


def _items(field: FieldDescriptor) -> st.SearchStrategy[list[Any]]:
    limit = rules(field).repeated.max_items
    if field.type == MESSAGE:
        inner = requests(_type(field))
        empty = st.just(probe.message_class(_type(field))())
        return st.lists(inner, max_size=2) | empty.map(lambda each: [each] * (limit + 1))
    item = _values(field, rules(field).repeated.items)
    lengths = st.sampled_from([limit, limit + 1])
    return st.lists(item, max_size=3) | st.builds(lambda each, n: [each] * n, item, lengths)


def _values(field: FieldDescriptor, of_value: Any) -> st.SearchStrategy[Any]:
    if field.type == STRING:
        return _texts(text_kind(field), of_value.string)
    if field.type == ENUM:
        assert field.enum_type is not None
        return st.sampled_from([*field.enum_type.values_by_number, -1, 99])
    if field.type in INTEGERS:
        integers = of_value.int32 if field.type == FieldDescriptor.TYPE_INT32 else of_value.int64
        least, limit = INTEGERS[field.type]
        ends = {0, 1, integers.gte - 1, integers.gte, integers.lte, integers.lte + 1, least, limit}
        return st.sampled_from(sorted(each for each in ends if least <= each <= limit))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=3)
    assert field.type == FieldDescriptor.TYPE_BOOL, field.full_name
    return st.booleans()


EXAMPLES: dict[int, list[str]] = {
    options_pb2.TEXT_NAME: ["Wang Wei", "　Ｗａｎｇ 三\u200b ", "a\nb", "\u200b", " "],
    options_pb2.TEXT_COMMENT: ["a\r\nb ", "a\x07", " "],
    options_pb2.TEXT_TYPED_CODE: ["autumn-10 ", "ＸＭＡＳ", "- -"],
    options_pb2.TEXT_TICKET_CODE: ["dir dt 20261121 000001", "OTA-CP-20251103-000001", "x"],
    options_pb2.TEXT_PHONE_NUMBER: ["+852 9123 4567", "9123 4567", "12", "+1"],
    options_pb2.TEXT_SCANNED: ["]Q1dtqr1:ABC ", "\x00", "a\x00b"],
}


def _texts(kind: int, of_text: Any) -> st.SearchStrategy[str]:
    letters = st.sampled_from(["a", "A", "0", "é", "😀", "\u3000", "-"])
    length = of_text.max_len or 64
    lengths = st.sampled_from([1, length - 1, length, length + 1, 5 * length])
    found = [
        st.sampled_from(["", "\0", "a\0", "x", "X\n", *EXAMPLES.get(kind, ())]),
        st.builds(lambda letter, n: letter * n, letters, lengths),
        st.text(st.characters(codec="utf-8"), max_size=8),
    ]
    if of_text.pattern:
        matching = st.from_regex(of_text.pattern, fullmatch=True)
        found += [matching, matching, matching.map(lambda text: f"{text}\n"), st.just("a" * 2000)]
    return st.one_of(found)


# What the library says, in our terms.


def library_violations(message: Message) -> set[str]:
    """Paths of the fields which the library finds wrong; an item's is its list's."""
    found = set()
    for violation in VALIDATOR.collect_violations(message):
        parts: list[str] = []
        assert violation.proto.field is not None
        for element in violation.proto.field.elements:
            parts.append(element.field_name)
            if element.subscript is not None:
                parts[-1] += f"[{element.subscript.value}]"
        found.add(re.sub(r"\[\d+\]$", "", ".".join(parts)))
    return found


def outermost(paths: set[str]) -> set[str]:
    """The paths without those inside a list which is wrong itself: nothing in it is looked at."""
    return {
        path
        for path in paths
        if not any(path[: item.start()] in paths for item in re.finditer(r"\[\d+\]", path))
    }


def unreadable(message: Message, path: str = "") -> Iterator[str]:
    """Paths of the fields with a text that its reader refuses; an empty one is none, also where
    its field has presence.
    """
    for field, value in message.ListFields():
        here = f"{path}{field.name}"
        if field.type == MESSAGE:
            items = enumerate(value) if field.is_repeated else [(None, value)]
            for index, each in items:
                yield from unreadable(
                    each, f"{here}[{index}]." if field.is_repeated else f"{here}."
                )
        elif read := READERS.get(text_kind(field)):
            for each in value if field.is_repeated else filter(None, [value]):
                try:
                    read(each)
                except ValueError:
                    yield here


def own_violations(name: str, message: Message) -> set[str]:
    """Paths of the fields which the server finds wrong; its texts are put as they are read."""
    return {path for path, _ in Checker.of(REQUESTS[name]).violations(message, "")}


@pytest.mark.parametrize("name", REQUESTS)
@settings(max_examples=8, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
def test_the_server_and_the_library_are_of_one_mind(name: str, data: st.DataObject) -> None:
    """Seen red with `gte` unread, with a list's length compared by `<`, with an enum that takes
    what there is not, and with a pattern that is searched for instead of matched.
    """
    message = data.draw(requests(REQUESTS[name]))
    refused = set(unreadable(message))
    found = own_violations(name, message)
    assert found == outermost(library_violations(message) | refused)


def sent() -> Iterator[FieldDescriptor]:
    """The fields of all that callers send."""
    seen: set[str] = set()

    def fields(descriptor: Descriptor) -> Iterator[FieldDescriptor]:
        if descriptor.full_name in seen or descriptor.full_name.startswith("google."):
            return
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            yield field
            if field.message_type:
                yield from fields(field.message_type)

    for descriptor in REQUESTS.values():
        yield from fields(descriptor)


SENT = {field.full_name: field for field in sent()}


def test_every_field_has_the_bounds_of_its_kind() -> None:
    """So that nothing is bounded by the server alone: seen red without any one of them."""
    without = [name for name, field in SENT.items() if not _is_bounded(field)]
    assert without == []
    assert len(SENT) > 400


def _is_bounded(field: FieldDescriptor) -> bool:
    found = rules(field)
    values = found.repeated.items if field.is_repeated else found
    bounded = not field.is_repeated or found.repeated.max_items > 0
    if field.type == STRING:
        scanned = text_kind(field) == options_pb2.TEXT_SCANNED
        pattern = values.string.pattern
        without_nul = values.string.not_contains == "\0" or (
            pattern and not re.match(pattern, "\0")
        )
        bounded &= bool(values.string.max_len or pattern) and (scanned or bool(without_nul))
    elif field.type in INTEGERS and not field.is_repeated:
        integers = values.int32 if field.type == FieldDescriptor.TYPE_INT32 else values.int64
        bounded &= integers.HasField("gte")
    elif field.type == ENUM:
        bounded &= values.enum.defined_only
    return bounded


@pytest.mark.parametrize(
    "name", [name for name, field in SENT.items() if rules(field).string.pattern]
)
def test_a_pattern_bounds_the_length(name: str) -> None:
    """Of a text that says no length; the server takes no more than DEFAULT_MAX_LENGTH of it."""
    string = rules(SENT[name]).string
    repeats = re.sub(r"\[[^\]]*\]|\\.", "x", string.pattern)
    assert string.max_len or not re.search(r"[*+]|,\}", repeats)


UNKNOWN = """
syntax = "proto3";
package deeptravel.unknown{number}.v1;
import "buf/validate/validate.proto";
message Probe {{ {body} }}
service Unknown {{ rpc Ask(Probe) returns (Probe); }}
"""
BODIES = [
    "string a = 1 [(buf.validate.field).string.email = true];",
    'string a = 1 [(buf.validate.field).string.prefix = "a"];',
    "string a = 1 [(buf.validate.field).string.min_len = 2];",
    'string a = 1 [(buf.validate.field).string.not_contains = "a"];',
    'string a = 1 [(buf.validate.field).string.pattern = "a"];',
    "string a = 1 [(buf.validate.field).ignore = IGNORE_ALWAYS];",
    "string a = 1 [(buf.validate.field).cel_expression = \"this == 'a'\"];",
    "int32 a = 1 [(buf.validate.field).int32.gt = 3];",
    "uint32 a = 1 [(buf.validate.field).uint32.gte = 3];",
    "double a = 1 [(buf.validate.field).double.gte = 3];",
    "bytes a = 1 [(buf.validate.field).bytes.max_len = 3];",
    "repeated string a = 1 [(buf.validate.field).repeated.unique = true];",
    "repeated string a = 1 [(buf.validate.field).repeated.max_items = 3];",
    "repeated int32 a = 1 [(buf.validate.field).repeated.items.int32.gte = 3];",
    "map<string, string> a = 1 [(buf.validate.field).map.max_pairs = 3];",
    "option (buf.validate.message).cel_expression = \"this.a == 'a'\"; string a = 1;",
    "oneof one { option (buf.validate.oneof).required = true; string a = 1; string b = 2; }",
]


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_a_rule_that_is_not_known_is_refused_at_the_start(number: int) -> None:
    """A checker is made of every request type when the server starts. Seen red without the
    refusal: the rule was passed over.
    """
    source = UNKNOWN.format(number=number, body=BODIES[number])
    descriptor = probe.service(source, f"unknown{number}.proto").methods[0].input_type
    with pytest.raises(UnknownRuleError, match=r"deeptravel\.unknown"):
        Checker.of(descriptor)
