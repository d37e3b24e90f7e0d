"""The greatest messages of a method: all that a caller can put into the bytes that gRPC lets
through, good or bad.

Made from the descriptors, on the wire, since some of it no library would write.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from server.api.bounds import MASK_PATH_CHARACTERS, MASK_PATHS
from server.api.field_rules import DEFAULT_MAX_LENGTH, field_rules, max_items
from server.api.fields import TYPED_FOR_KEPT

VARINT, FIXED64, LENGTH, BEGIN_GROUP, END_GROUP, FIXED32 = range(6)
UNKNOWN = 1999
"""The number of no field."""
LETTERS: dict[str, str] = {
    "letters": "a",
    "blanks": "\u3000 ",
    "accents": "a\u0345\u0301\u0323\u0327\u0340",
    "ligatures": "\ufdfa",
    "digits": "0123456789",
    "hyphens": "a-",
    "phone": "+852 9123 4567",
    "NUL": "\0",
    "fullwidth": "ＯＴＡ－",
    "controls": "\x01",
}
"""What texts are filled with: each is hard for some reader of texts."""


class Greatest(NamedTuple):
    """One message, and what it is full of."""

    what: str
    content: bytes


def of(request: Descriptor, most_bytes: int) -> Iterator[Greatest]:
    """Every greatest message of one request type, none of it longer than `most_bytes`."""
    for path in _paths(request):
        yield from _full_of_one_field(path, most_bytes)
    for name, letters in LETTERS.items():
        for excess in (1, TYPED_FOR_KEPT):
            content = whole(request, letters, excess, most_bytes)
            while len(content) > most_bytes:  # the limits allow more than gRPC does
                content = content[: _last_field(content, most_bytes)]
            yield Greatest(f"every field full of {name}, {excess} times its length", content)


Path = tuple[FieldDescriptor, ...]


def _paths(message: Descriptor, outer: Path = ()) -> Iterator[Path]:
    """Every field of a message and of what is in it, with the fields that lead there."""
    for field in message.fields:
        if field.message_type and any(field.message_type == each.message_type for each in outer):
            continue
        yield (*outer, field)
        if field.message_type:
            yield from _paths(field.message_type, (*outer, field))


def _full_of_one_field(path: Path, most_bytes: int) -> Iterator[Greatest]:
    *outer, field = path
    name = ".".join(each.name for each in path)
    room = most_bytes - 12 * len(path)

    def made(what: str, filling: bytes) -> Greatest:
        for each in reversed(outer):
            filling = delimited(each.number, filling)
        assert len(filling) <= most_bytes
        return Greatest(f"{name}: {what}", filling)

    def again(each: bytes) -> bytes:
        return each * (room // len(each))

    if field.message_type or field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        yield made("empty, again and again", again(delimited(field.number, b"")))
        yield made("one of zeros", delimited(field.number, b"\0" * room))
        yield made("NULs, again and again", again(delimited(field.number, b"\0")))
    else:
        yield made("again and again", again(tag(field.number, VARINT) + b"\x01"))
        yield made("packed", delimited(field.number, b"\x01" * room))
    if field.type == field.TYPE_STRING:
        for letters in ("blanks", "accents", "ligatures"):
            text = LETTERS[letters]
            filling = text.encode() * (room // len(text.encode()))
            yield made(f"one of {letters}", delimited(field.number, filling))
    if field.message_type:
        unknown = again(tag(UNKNOWN, VARINT) + b"\x01")
        yield made("unknown fields", delimited(field.number, unknown))
        yield made("groups in groups", delimited(field.number, again(tag(UNKNOWN, BEGIN_GROUP))))
        yield made(
            "groups",
            delimited(field.number, again(tag(UNKNOWN, BEGIN_GROUP) + tag(UNKNOWN, END_GROUP))),
        )
        yield made("a number without end", delimited(field.number, b"\xff" * room))
    if not outer:
        yield Greatest("unknown fields", again(tag(UNKNOWN, VARINT) + b"\x01"))
        yield Greatest("a number without end", b"\xff" * room)
        yield Greatest("groups in groups", again(tag(UNKNOWN, BEGIN_GROUP)))


def whole(
    message: Descriptor,
    letters: str,
    excess: int,
    most_bytes: int = sys.maxsize,
    outer: Sequence[Descriptor] = (),
) -> bytes:
    """All fields of a message at their limits, its lists full, or of little more than
    `most_bytes`; texts `excess` times as long as they are kept.
    """
    if message.full_name == "google.protobuf.FieldMask":
        return (
            delimited(1, (letters * MASK_PATH_CHARACTERS)[:MASK_PATH_CHARACTERS].encode())
            * MASK_PATHS
        )
    content = b""
    for field in message.fields:
        if field.message_type in outer:
            continue
        count = max_items(field) if field.is_repeated else 1
        if field.message_type:
            inner = whole(field.message_type, letters, excess, most_bytes, (*outer, message))
            item = delimited(field.number, inner)
        elif field.type == field.TYPE_STRING:
            length = excess * field_rules(field).max_length
            text = (letters * length)[:length]
            item = delimited(field.number, text.encode())
        elif field.type == field.TYPE_BYTES:
            item = delimited(field.number, b"\xff" * DEFAULT_MAX_LENGTH)
        else:
            item = tag(field.number, VARINT) + varint(2**63 - 1)
        content += item * min(count, most_bytes // len(item) + 1)
    return content


def _last_field(content: bytes, most_bytes: int) -> int:
    """Where the last whole field ends that begins within the first `most_bytes` bytes, and ends
    there.
    """
    at = last = 0
    while at < most_bytes:
        last = at
        key, at = read_varint(content, at)
        value, at = read_varint(content, at)
        at += value if key & 7 == LENGTH else 0
    return last if at > most_bytes else at


def varint(value: int) -> bytes:
    """A number of variable length."""
    written = b""
    while value > 127:
        written += bytes([value & 127 | 128])
        value >>= 7
    return written + bytes([value])


def read_varint(content: bytes, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    value = shift = 0
    while True:
        value |= (content[at] & 127) << shift
        shift += 7
        at += 1
        if content[at - 1] < 128:
            return value, at


def tag(number: int, kind: int) -> bytes:
    """What a field begins with."""
    return varint(number << 3 | kind)


def delimited(number: int, content: bytes) -> bytes:
    """A field of bytes, a text or a message."""
    return tag(number, LENGTH) + varint(len(content)) + content
