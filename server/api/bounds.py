"""How large a request can be by its contract, found out before its bytes are parsed.

Two bytes on the wire make an empty item of a list, and some fifty in memory: a message that gRPC
lets through could be half a million of them. So what a message may hold at most is worked out
from the rules of its fields, and its bytes are searched for more than that: items of each list,
fields in all, length of each message in it. The search ends at the first excess, and passes in one
step whatever holds no list.
"""

import re
from typing import ClassVar, NamedTuple

from deeptravel.common.v1 import options_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from server.api.field_rules import field_rules
from server.api.fields import TYPED_FOR_KEPT
from server.platform.errors import invalid

UNSEARCHED_BYTES = 4096
"""A message of no more is parsed as it is: it holds at most two thousand items."""
OTHER_FIELDS = 100
OTHER_BYTES = 512
"""Room in every message for fields of a later contract, which this server does not know."""
MASK_PATHS = 200
MASK_PATH_CHARACTERS = 128
CHARACTER_BYTES = 4
NUMBER_BYTES = 10
HEAD_BYTES = 8
"""Of each field: its number and length."""
UNLIMITED_BYTES = 1 << 62
ANY_CONTENT = "google.api.HttpBody"
"""As long as gRPC takes it; whoever reads it says how much is too much."""

_VARINT, _FIXED64, _LENGTH, _BEGIN_GROUP, _END_GROUP, _FIXED32 = range(6)
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BYTES = re.compile(rb"[\x80-\xff]{0,9}[\x00-\x7f]")  # of NUMBER_BYTES at the most
_ALL_FIELDS = 0  # no field has this number

Counts = dict[tuple[str, int], int]
"""How often a field, by its message's path and its number, was found; all fields of a message
under `_ALL_FIELDS`.
"""


class _Field(NamedTuple):
    """A list, or a message: at most `limit` of it; `inner` are the bounds of each, if it is a
    message.

    `packed_bytes` is the greatest length of a list of numbers in one piece; 0 for a list of
    anything else.
    """

    name: str
    number: int
    limit: int
    is_list: bool
    packed_bytes: int
    inner: "Bounds | None"


class Bounds:
    """What a message of one type can hold.

    Attributes:
        max_bytes: no message that the contract allows is longer on the wire.
        max_fields: nor has more fields and items; each item counts, what is inside it does not.
        has_lists: whether anything in it is a list.
    """

    _worked_out: ClassVar[dict[str, "Bounds"]] = {}

    def __init__(self, descriptor: Descriptor) -> None:
        self.max_bytes, self.max_fields, self.has_lists = UNLIMITED_BYTES, OTHER_FIELDS, False
        self._worked_out[descriptor.full_name] = self  # a message may hold itself
        self._name = descriptor.name
        self._fields: dict[int, _Field] = {}
        max_bytes = OTHER_BYTES
        for field in descriptor.fields:
            limit, item_bytes = _limits(field)
            inner = Bounds.of(field.message_type) if field.message_type else None
            max_bytes += limit * (HEAD_BYTES + (inner.max_bytes if inner else item_bytes))
            self.max_fields += limit
            self.has_lists |= field.is_repeated or (inner is not None and inner.has_lists)
            if field.is_repeated or inner:
                packed = limit * NUMBER_BYTES if field.is_repeated and _is_number(field) else 0
                self._fields[field.number] = _Field(
                    field.name, field.number, limit, field.is_repeated, packed, inner
                )
        if descriptor.full_name != ANY_CONTENT:
            self.max_bytes = min(max_bytes, UNLIMITED_BYTES)

    @classmethod
    def of(cls, descriptor: Descriptor) -> "Bounds":
        """The bounds of a message type."""
        return cls._worked_out.get(descriptor.full_name) or cls(descriptor)

    def check(self, content: bytes) -> None:
        """Searches the bytes of a message before they are parsed.

        Raises INVALID_FIELD for more than the contract allows, DecodeError for bytes that are no
        message.
        """
        if len(content) <= UNSEARCHED_BYTES:
            return
        try:
            self.check_length(len(content), "")
            self.search(content, 0, len(content), "", {})
        except IndexError:
            raise DecodeError("the message ends within a field") from None

    def check_length(self, length: int, path: str) -> None:
        """Raises INVALID_FIELD for a message at `path` of more bytes than there can be."""
        if length > self.max_bytes:
            fault = f"has {length} bytes; {self._name} has at most {self.max_bytes}"
            raise invalid(path or "request", fault)

    def search(self, content: bytes, at: int, end: int, path: str, counts: Counts) -> None:
        """Searches the message that stands from `at` to `end`, and what is in it; raises as `check`
        does.

        `path` is the message's, with a dot; one that is given in several parts is one, and so are
        its lists.
        """
        seen, groups = counts.get((path, _ALL_FIELDS), 0), 0
        while at < end:
            seen += 1
            if seen > self.max_fields:
                fault = f"has more than the {self.max_fields} fields that {self._name} can have"
                raise invalid(path[:-1] or "request", fault)
            tag, at = _varint(content, at)
            kind = tag & 7
            if kind == _LENGTH:
                length, begin = _varint(content, at)
                at = begin + length
                if at > end:
                    raise DecodeError("a field is longer than the message it is in")
                field = self._fields.get(tag >> 3)
                if field and not groups:
                    key = path, field.number
                    counts[key] = number = counts.get(key, 0) + 1
                    _look_into(field, number, (content, begin, at), path, counts)
            elif kind == _VARINT:
                at = _end_of_varint(content, at)
            elif kind in _FIXED_BYTES:
                at += _FIXED_BYTES[kind]
            elif kind == _BEGIN_GROUP:  # a contract in proto3 has none: all in it is unknown
                groups += 1
            elif kind == _END_GROUP:
                groups -= 1
            else:
                raise DecodeError("a field is of no kind there is")
        counts[path, _ALL_FIELDS] = seen


def _look_into(
    field: _Field, number: int, place: tuple[bytes, int, int], path: str, counts: Counts
) -> None:
    """Checks the `number`-th value of a field, which stands at `place`: in these bytes, from
    here to there.
    """
    content, begin, end = place
    too_many = number > field.limit or (field.packed_bytes and end - begin > field.packed_bytes)
    if field.is_list and too_many:
        raise invalid(path + field.name, f"has more items than the {field.limit} that are taken")
    inner = field.inner
    if inner and (end - begin > inner.max_bytes or inner.has_lists):
        part = f"{path}{field.name}[{number - 1}]" if field.is_list else path + field.name
        inner.check_length(end - begin, part)
        inner.search(content, begin, end, part + ".", counts)


def _limits(field: FieldDescriptor) -> tuple[int, int]:
    """How many of a field a message can hold, and the greatest bytes of each, unless it is a
    message.
    """
    rules = field_rules(field)
    limit, length = rules.max_items, rules.max_length
    around = field.containing_type
    if around and around.full_name == "google.protobuf.FieldMask":
        limit, length = MASK_PATHS, MASK_PATH_CHARACTERS
    if not field.is_repeated:
        limit = 1
    if _is_number(field):
        return limit, NUMBER_BYTES
    typed = rules.text not in (options_pb2.TEXT_UNSPECIFIED, options_pb2.TEXT_SCANNED)
    return limit, length * CHARACTER_BYTES * (TYPED_FOR_KEPT if typed else 1)


def _is_number(field: FieldDescriptor) -> bool:
    text = field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
    return not text and field.message_type is None


def _end_of_varint(content: bytes, at: int) -> int:
    """Where a number of variable length ends; quicker than to read it."""
    number = _VARINT_BYTES.match(content, at)
    if not number:
        raise DecodeError("a number has no end within ten bytes")
    return number.end()


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of variable length and where it ends."""
    value = content[at]
    if value < 128:
        return value, at + 1
    value &= 127
    for shift in range(7, 7 * NUMBER_BYTES, 7):
        at += 1
        byte = content[at]
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at + 1
    raise DecodeError("a number has more than ten bytes")
