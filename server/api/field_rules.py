"""What the contract says of the values of a field: its `buf.validate` rules and its `text`.

Only the rules that the contract uses are known; each is checked as the `protovalidate` library of
any language checks it. With one of another kind the server does not start, since it would take
what a client's library refuses.
"""

from typing import Any, NamedTuple

from buf.validate import validate_pb2
from deeptravel.common.v1 import options_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

DEFAULT_MAX_LENGTH = 1024
"""Of a text with a pattern alone, since no pattern takes more, and of one without rules."""
DEFAULT_MAX_ITEMS = 1000
"""Of a list without rules, as answers have them."""

NUL = "\x00"
_KINDS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_ENUM: "enum",
}
_OF_TEXT = {"max_len", "not_contains", "pattern"}
_OF_INTEGER = {"gte", "lte"}
_OF_KIND = {
    "string": _OF_TEXT,
    "int32": _OF_INTEGER,
    "int64": _OF_INTEGER,
    "enum": {"defined_only"},
}


class UnknownRuleError(ValueError):
    """The contract has a rule which the server does not check."""


class FieldRules(NamedTuple):
    """The rules of one field; of a repeated one, those of its items too.

    Attributes:
        required: a scalar without presence must not be zero, a list not empty, all else be there.
        skips_zero: nothing else holds for a scalar without presence that is zero.
        least: the least integer; None without one.
        greatest: likewise.
        max_length: in characters.
        pattern: what a whole text must match, in RE2's syntax; empty without one.
        takes_nul: whether a text may hold U+0000, which PostgreSQL does not store.
        defined_only: whether an enum must be one of the contract's.
        max_items: of a repeated field.
        text: a value of `options_pb2.Text`: what the text is, and so how it is read.
    """

    required: bool = False
    skips_zero: bool = False
    least: int | None = None
    greatest: int | None = None
    max_length: int = DEFAULT_MAX_LENGTH
    pattern: str = ""
    takes_nul: bool = True
    defined_only: bool = False
    max_items: int = DEFAULT_MAX_ITEMS
    text: int = options_pb2.TEXT_UNSPECIFIED


def field_rules(field: FieldDescriptor) -> FieldRules:
    """The rules of a field. Raises UnknownRuleError for one that the server does not check."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    kind = _KINDS.get(field.type, "")
    known = {"repeated"} if field.is_repeated else {kind}
    _refuse_others(field, rules, {"required", "ignore"} | known)
    if rules.ignore == validate_pb2.IGNORE_ALWAYS:
        raise UnknownRuleError(f"{field.full_name}: its rules are always ignored; leave them out")
    max_items, values = DEFAULT_MAX_ITEMS, rules
    if field.is_repeated:
        values = _item_rules(field, rules.repeated, kind)
        max_items = rules.repeated.max_items or DEFAULT_MAX_ITEMS
    found = FieldRules(
        required=rules.required,
        skips_zero=rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE,
        max_items=max_items,
        text=field.GetOptions().Extensions[options_pb2.text],
    )
    return _of_values(field, found, getattr(values, kind), kind) if kind else found


def refuse_rules_of_messages(descriptor: Descriptor) -> None:
    """Raises UnknownRuleError if a message has rules of its own, or one of its `oneof`s has."""
    for oneof in descriptor.oneofs:
        if oneof.GetOptions().HasExtension(validate_pb2.oneof):
            raise UnknownRuleError(f"{oneof.full_name}: rules of a oneof are not checked")
    if descriptor.GetOptions().HasExtension(validate_pb2.message):
        raise UnknownRuleError(f"{descriptor.full_name}: rules of a message are not checked")


def max_items(field: FieldDescriptor) -> int:
    """The greatest number of items in a repeated field."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    return rules.repeated.max_items or DEFAULT_MAX_ITEMS


def is_required(field: FieldDescriptor) -> bool:
    """Whether a request without the field is refused."""
    return bool(field.GetOptions().Extensions[validate_pb2.field].required)


def _item_rules(field: FieldDescriptor, repeated: Any, kind: str) -> Any:
    _refuse_others(field, repeated, {"max_items", "items"})
    checked = {kind} if kind in {"string", "enum"} else set()
    _refuse_others(field, repeated.items, checked)
    if repeated.max_items and kind == "string" and repeated.items.string.min_len != 1:
        raise UnknownRuleError(f"{field.full_name}: its items need min_len: 1, and no other")
    return repeated.items


def _of_values(field: FieldDescriptor, found: FieldRules, rules: Any, kind: str) -> FieldRules:
    """The rules with those of the field's own kind, of each value in it."""
    in_lists = {"min_len"} if field.is_repeated and kind == "string" else set()
    _refuse_others(field, rules, _OF_KIND[kind] | in_lists)
    if kind == "enum":
        return found._replace(defined_only=rules.defined_only)
    if kind != "string":
        least = rules.gte if rules.HasField("gte") else None
        return found._replace(least=least, greatest=rules.lte if rules.HasField("lte") else None)
    if rules.HasField("not_contains") and rules.not_contains != NUL:
        raise UnknownRuleError(f"{field.full_name}: not_contains is known of U+0000 alone")
    return found._replace(
        max_length=rules.max_len or DEFAULT_MAX_LENGTH,
        takes_nul=not rules.not_contains,
        pattern=_whole(field, rules.pattern),
    )


def _whole(field: FieldDescriptor, pattern: str) -> str:
    """A pattern without its anchors."""
    if not pattern:
        return ""
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise UnknownRuleError(f"{field.full_name}: the pattern {pattern} needs both anchors, ^ $")
    inner = pattern[1:-1]
    grouped = inner.startswith("(?:") and inner.endswith(")")
    return inner[3:-1] if grouped else inner


def _refuse_others(field: FieldDescriptor, rules: Message, known: set[str]) -> None:
    names = [each.name for each, _ in rules.ListFields() if each.name not in known]
    unknown = UnknownFieldSet(rules)
    names += [f"number {unknown[at].field_number}" for at in range(len(unknown))]
    if names:
        raise UnknownRuleError(
            f"{field.full_name}: the server does not check {', '.join(names)} of buf.validate"
        )
