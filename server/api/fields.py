"""Checks requests against the annotations of their fields, so that contract and check cannot drift.

Read: `buf.validate.field` and `deeptravel.common.v1.text` (`field_rules`). What people type is put
into the form in which it is kept first, in the request itself, so that whoever works on it,
compares a repeat with it or answers it sees that form alone. The checks of a message type are
prepared once; a check of a typical request takes a few microseconds. The verdict, and the fields
it names, are those of the `protovalidate` library on the request as it is read
(tests/contract/test_protovalidate.py).
"""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, ClassVar

from deeptravel.common.v1 import options_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from server.api.field_rules import NUL, FieldRules, field_rules, refuse_rules_of_messages
from server.platform import texts
from server.platform.errors import MAX_VIOLATIONS, invalid_fields
from server.platform.phones import read_phone_number

TYPED_FOR_KEPT = 4
"""So many characters may be typed for one that is kept: spaces, hyphens, accents of their own. What
is longer is refused unread, since to normalise a text takes the square of its length.
"""
TYPED_FOR_KEPT_IN_LISTS = 2
"""Of each text in a list, of which there may be thousands in one request."""

Violation = tuple[str, str]
FieldCheck = Callable[[Message], str | None]

READERS: dict[int, Callable[[str], str]] = {
    options_pb2.TEXT_NAME: texts.read_name,
    options_pb2.TEXT_COMMENT: texts.read_comment,
    options_pb2.TEXT_TYPED_CODE: texts.read_code,
    options_pb2.TEXT_TICKET_CODE: texts.read_ticket_code,
    options_pb2.TEXT_PHONE_NUMBER: read_phone_number,
    options_pb2.TEXT_SCANNED: texts.read_scanned,
}
"""How each kind of text is read; they raise ValueError with what is wrong and the remedy."""

_TEXT = FieldDescriptor.TYPE_STRING
_INTEGERS = {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64}


class Checker:
    """The checks of one message type, those of the messages inside it included.

    Raises UnknownRuleError for a rule of the contract that is not known here.
    """

    _prepared: ClassVar[dict[str, "Checker"]] = {}

    def __init__(self, descriptor: Descriptor) -> None:
        self._checks: list[tuple[str, FieldCheck]] = []
        self._inner: list[tuple[str, int, Checker]] = []
        refuse_rules_of_messages(descriptor)
        for field in descriptor.fields:
            rules = field_rules(field)
            check = _field_check(field, rules)
            if check:
                self._checks.append((field.name, check))
            inner = field.message_type
            if inner and not inner.full_name.startswith("google."):
                checker = Checker.of(inner)
                if not checker.is_empty:
                    limit = rules.max_items if field.is_repeated else 0
                    self._inner.append((field.name, limit, checker))

    @classmethod
    def of(cls, descriptor: Descriptor) -> "Checker":
        """The checker of a message type."""
        checker = cls._prepared.get(descriptor.full_name)
        if checker is None:
            checker = cls._prepared[descriptor.full_name] = cls(descriptor)
        return checker

    def check(self, message: Message) -> None:
        """Raises INVALID_FIELD with one violation for each field that is not as annotated, up to
        MAX_VIOLATIONS.
        """
        violations = list(islice(self.violations(message, ""), MAX_VIOLATIONS))
        if violations:
            raise invalid_fields(violations)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to check."""
        return not self._checks and not self._inner

    def violations(self, message: Message, path: str) -> Iterator[Violation]:
        """Every violation, with field paths below `path`; the items of a list that is too long
        are not looked at.
        """
        for name, check in self._checks:
            fault = check(message)
            if fault:
                yield path + name, fault
        for name, limit, checker in self._inner:
            if limit:
                items = getattr(message, name)
                for index, item in enumerate(items if len(items) <= limit else ()):
                    yield from checker.violations(item, f"{path}{name}[{index}].")
            elif message.HasField(name):
                yield from checker.violations(getattr(message, name), f"{path}{name}.")


def _field_check(field: FieldDescriptor, rules: FieldRules) -> FieldCheck | None:
    if field.is_repeated:
        return _items_check(field, rules)
    if field.type == _TEXT:
        return _text_check(field.name, rules)
    if field.type in _INTEGERS:
        return _integer_check(field, rules)
    if field.enum_type:
        return _enum_check(field, rules)
    if rules.required:
        return _presence_check(field)
    return None


def _items_check(field: FieldDescriptor, rules: FieldRules) -> FieldCheck:
    name, required, limit = field.name, rules.required, rules.max_items
    known = None
    if field.enum_type and rules.defined_only:
        known = {value.number for value in field.enum_type.values}
    texts_fault = _texts_check(rules) if field.type == _TEXT else None

    def check(message: Message) -> str | None:
        items = getattr(message, name)
        if not items:
            return "is required: send at least one" if required else None
        if len(items) > limit:
            return f"has {len(items)} items, at most {limit} are taken"
        if known is not None and not known.issuperset(items):
            return f"items must be of {_enum_names(field)}"
        return texts_fault(items) if texts_fault else None

    return check


def _texts_check(rules: FieldRules) -> Callable[[Any], str | None]:
    """Of the texts in a repeated field."""
    longest, pattern, takes_nul = rules.max_length, rules.pattern, rules.takes_nul
    typed = TYPED_FOR_KEPT_IN_LISTS * longest
    matches = re.compile(pattern).fullmatch if pattern else None
    read = READERS.get(rules.text)

    def check(items: Any) -> str | None:
        if read:
            if max(map(len, items)) > typed:
                return f"items must have 1 to {longest} characters and no NUL"
            try:
                items[:] = [read(item) for item in items]
            except ValueError as error:
                return f"has an item that {error}"
        for item in items:
            if not item or len(item) > longest or (NUL in item and not takes_nul):
                return f"items must have 1 to {longest} characters and no NUL"
            if matches and not matches(item):
                return f"items must match {pattern}"
        return None

    return check


def _text_check(name: str, rules: FieldRules) -> FieldCheck:
    required, longest, takes_nul = rules.required, rules.max_length, rules.takes_nul
    pattern, skips_empty = rules.pattern, rules.skips_zero or not rules.pattern
    matches = re.compile(pattern).fullmatch if pattern else None
    read = READERS.get(rules.text)
    typed = TYPED_FOR_KEPT * longest

    def check(message: Message) -> str | None:
        value: str = getattr(message, name)
        if value and read and len(value) <= typed:
            try:
                value = _put(message, name, read(value))
            except ValueError as error:
                return str(error)
        if not value:
            if required:
                return "is required"
            if skips_empty:
                return None
        if len(value) > longest:
            return f"has {len(value)} characters, at most {longest} are taken"
        if NUL in value and not takes_nul:
            return "must not contain the NUL character"
        if matches and not matches(value):
            return f"must match {pattern}"
        return None

    return check


def _put(message: Message, name: str, value: str) -> str:
    """Puts a text into the message as it was read."""
    if getattr(message, name) != value:
        setattr(message, name, value)
    return value


def _integer_check(field: FieldDescriptor, rules: FieldRules) -> FieldCheck:
    name, minimum, maximum = field.name, rules.least, rules.greatest
    required, skips_zero, presence = rules.required, rules.skips_zero, field.has_presence

    def check(message: Message) -> str | None:
        if presence and not message.HasField(name):
            return "is required" if required else None
        value = getattr(message, name)
        if value == 0 and not presence:
            if required:
                return "is required"
            if skips_zero:
                return None
        if minimum is not None and value < minimum:
            return f"is {value}, must be at least {minimum}"
        if maximum is not None and value > maximum:
            return f"is {value}, must be at most {maximum}"
        return None

    return check


def _presence_check(field: FieldDescriptor) -> FieldCheck:
    name = field.name
    if field.has_presence:
        return lambda message: None if message.HasField(name) else "is required"
    return lambda message: None if getattr(message, name) else "is required"


def _enum_check(field: FieldDescriptor, rules: FieldRules) -> FieldCheck:
    name, required, defined_only = field.name, rules.required, rules.defined_only
    assert field.enum_type is not None
    known = {value.number for value in field.enum_type.values}
    names = _enum_names(field)

    def check(message: Message) -> str | None:
        value = getattr(message, name)
        if value not in known and defined_only:
            return f"is {value}, must be one of {names}"
        if value == 0 and required:
            return f"is required: one of {names}"
        return None

    return check


def _enum_names(field: FieldDescriptor) -> str:
    assert field.enum_type is not None
    first = field.enum_type.values[0].name
    prefix = first[: -len("UNSPECIFIED")] if first.endswith("UNSPECIFIED") else ""
    return ", ".join(v.name.removeprefix(prefix) for v in field.enum_type.values[1:])
