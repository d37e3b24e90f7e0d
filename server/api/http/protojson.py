"""The JSON form of protobuf messages as our HTTP interface speaks it.

The proto3 JSON mapping with these decisions: names are written in snake_case (lowerCamelCase is
read too); enum values are written without their prefix, in lower case where the field carries
`json_lower_case`, and an unspecified one without presence is left out; they are read in any case,
with or without the prefix, and by number. Stricter than the mapping where a fault would otherwise
pass in silence: keys given twice, unknown fields, unknown enum numbers.

Everything is compiled once per message type. What is wrong with an input is collected by field
path, as in the request (`activations[1].payment.amount_minor`), and never repeats a value, which
may be a secret.
"""

import base64
import binascii
import difflib
import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

from deeptravel.common.v1 import options_pb2
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from server.api.field_rules import max_items
from server.platform.errors import MAX_VIOLATIONS

MAX_DEPTH = 64  # messages in messages; protobuf itself stops at 100
MAX_NAME_CHARACTERS = 100
MAX_VALUES = 100_000
"""Of one body, counted by what stands before each; the greatest list of the contract makes less
than half of it.
"""
MAX_HINTS = 3
"""Unknown names for which a field that may be meant is looked for: each is compared with all
there are.
"""
MAX_HINTED_CHARACTERS = 40
MAX_TOKEN_CHARACTERS = 100
"""Of a number, time or span in a text; the digits of none go further."""
MAX_MASK_CHARACTERS = 10_000

_INTEGER_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_INTEGERS_AS_TEXT = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
_GREATEST_NUMBERS = {
    # what rounds to the greatest: as text that is a little more, 3.4028235e+38
    FieldDescriptor.CPPTYPE_FLOAT: math.nextafter((2 - 2**-24) * 2.0**127, 0.0),
    FieldDescriptor.CPPTYPE_DOUBLE: sys.float_info.max,
}
_INTEGER_TEXT = re.compile(r"-?(0|[1-9][0-9]{0,19})")
_NUMBER_TEXT = re.compile(r"-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,400})?([eE][-+]?[0-9]{1,4})?")
_MASK_TEXT = re.compile(r"[a-zA-Z0-9_., ]*")
_NOT_FINITE = {"NaN", "Infinity", "-Infinity"}

# Messages whose JSON is not an object of their fields, and what is answered to a wrong one.
_WRAPPED = {
    "google.protobuf.BoolValue": "true or false",
    "google.protobuf.BytesValue": "text in base64",
    "google.protobuf.DoubleValue": "a number",
    "google.protobuf.FloatValue": "a number",
    "google.protobuf.Int32Value": "a whole number, written in digits alone such as 100",
    "google.protobuf.Int64Value": "a whole number, written in digits alone such as 100",
    "google.protobuf.StringValue": "a string",
    "google.protobuf.UInt32Value": "a whole number, 0 or more, written in digits alone such as 100",
    "google.protobuf.UInt64Value": "a whole number, 0 or more, written in digits alone such as 100",
}
_TEXTUAL = {
    "google.protobuf.Duration": (
        "a span in seconds such as 3.5s, with at most nine digits after the point"
    ),
    "google.protobuf.FieldMask": "names of fields, separated by commas",
    "google.protobuf.Timestamp": (
        "a time such as 2025-11-03T08:00:00Z, from 00:00:00 to 23:59:59,"
        " with at most nine digits of a fraction"
    ),
}
_FREE_FORM = {
    "google.protobuf.Any": "an object with @type",
    "google.protobuf.ListValue": "a list",
    "google.protobuf.Struct": "an object",
    "google.protobuf.Value": "a JSON value",
}
_FORMS = {
    "google.protobuf.Duration": re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,9})?s"),
} | {
    f"google.protobuf.{name}Value": _INTEGER_TEXT for name in ("Int32", "Int64", "UInt32", "UInt64")
}
"""Of texts in which the reference reads more than that, such as `1e2`, or drops digits."""
_LONG_TEXTS = {f"google.protobuf.{name}Value" for name in ("Bytes", "String")} | set(_FREE_FORM)
_WELL_KNOWN = _WRAPPED | _TEXTUAL | _FREE_FORM


class MalformedJsonError(ValueError):
    """The text is not JSON; the message says why and where, without quoting it."""


class EnoughFaultsError(Exception):
    """There are as many faults as are reported: the request is read no further."""


class Faults(list[tuple[str, str]]):
    """What is wrong with a request: (field path, description) of the first MAX_VIOLATIONS
    faults.
    """

    depth = 0
    hints = 0

    def add(self, path: str, description: str) -> None:
        """Notes one fault; `path` is made fit for an answer, whatever the client sent. Raises
        EnoughFaultsError.
        """
        self.append((path.encode("utf-8", "replace").decode(), description))
        if len(self) >= MAX_VIOLATIONS:
            raise EnoughFaultsError


class RepeatedKeys(dict[str, Any]):
    """A JSON object in which the keys `repeated` stood more than once."""

    repeated: frozenset[str]


Convert = Callable[[Any, str, Faults], Any]
"""JSON value, its path, faults inside it -> field value; ValueError says what is wanted instead."""

Emit = Callable[[Any], Any]
"""Field value -> JSON value."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message type, ready to be read and written."""

    name: str
    descriptor: FieldDescriptor
    read: Callable[[Any, Message, str, Faults], None]
    write: Callable[[Message, dict[str, Any]], None]

    @property
    def message_name(self) -> str:
        """Full name of the message type the field holds; empty for scalars and enums."""
        kind = self.descriptor.message_type
        return kind.full_name if kind else ""

    @property
    def fits_parameter(self) -> bool:
        """Whether a value can be written as the text of a path or query parameter."""
        kind = self.message_name
        return not kind or kind in _TEXTUAL or kind in _WRAPPED


@dataclass(frozen=True, slots=True)
class Shape:
    """A message type: its fields in order, and by every name they may be sent under."""

    name: str
    fields: tuple[Field, ...]
    by_name: Mapping[str, Field]

    def no_such_field(self, name: str, faults: Faults) -> str:
        """What to say of a name that is no field, with the field it may have meant."""
        near: list[str] = []
        if len(name) <= MAX_HINTED_CHARACTERS and faults.hints < MAX_HINTS:
            faults.hints += 1
            near = difflib.get_close_matches(name, self.by_name, n=1)
        hint = f"; did you mean {self.by_name[near[0]].name}?" if near else ""
        return f"there is no such field{hint}"


def loads(body: bytes) -> Any:
    """Parse JSON; objects in which a key is given twice come as `RepeatedKeys`.

    Raises:
        MalformedJsonError: not UTF-8, not JSON, nested too deeply, a number of thousands of
            digits, too many values.
    """
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise MalformedJsonError(f"has more than {MAX_VALUES} values")
    try:
        return _decoder.decode(body.decode("utf-8-sig"))  # some clients begin with a mark
    except UnicodeDecodeError as error:
        raise MalformedJsonError(f"is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedJsonError(f"is not valid JSON at {where}: {error.msg}") from None
    except RecursionError:
        raise MalformedJsonError("is nested too deeply") from None
    except MalformedJsonError:
        raise
    except ValueError:
        raise MalformedJsonError("holds a number of too many digits") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    repeated: set[str] = set()
    seen: set[str] = set()
    for name, _ in pairs:
        (repeated if name in seen else seen).add(name)
    marked = RepeatedKeys(plain)
    marked.repeated = frozenset(repeated)
    return marked


def _no_constant(_name: str) -> NoReturn:
    raise MalformedJsonError("is not valid JSON: NaN and Infinity are no JSON numbers")


# orjson is quicker, but keeps the last of repeated keys and says nothing.
_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)


def read(value: Any, message: Message, faults: Faults, path: str = "") -> None:
    """Fill `message` from a JSON object that stands at `path`; what does not fit goes to
    `faults`.
    """
    if not isinstance(value, dict):
        faults.add(path or "body", "must be a JSON object")
        return
    if faults.depth >= MAX_DEPTH:
        faults.add(path, "is nested too deeply")
        return
    prefix = f"{path}." if path else ""
    if isinstance(value, RepeatedKeys):
        for name in value.repeated:
            faults.add(prefix + name[:MAX_NAME_CHARACTERS], "is given twice")
    known = shape(message.DESCRIPTOR)
    faults.depth += 1
    seen: set[str] = set()
    for name, item in value.items():
        field = known.by_name.get(name)
        if field is None:
            faults.add(prefix + name[:MAX_NAME_CHARACTERS], known.no_such_field(name, faults))
        elif field.name in seen:
            faults.add(prefix + field.name, "is given twice, in snake_case and in lowerCamelCase")
        else:
            seen.add(field.name)
            if item is not None or field.message_name == "google.protobuf.Value":
                read_field(item, field, message, faults, prefix)
    faults.depth -= 1


def read_field(
    value: Any, field: Field, message: Message, faults: Faults, prefix: str = ""
) -> None:
    """Set one field of `message` from a JSON value; `prefix` is the message's path with its dot."""
    choice = field.descriptor.containing_oneof
    if choice is not None and (other := message.WhichOneof(choice.name)) not in {None, field.name}:
        faults.add(prefix + field.name, f"cannot be set together with {prefix}{other}")
    else:
        field.read(value, message, prefix + field.name, faults)


def find(descriptor: Descriptor, dotted: str) -> list[Field] | None:
    """The fields along a path such as `activation.customer.name`, for a path or query parameter.

    None if there is no such field, or its value cannot be written as a parameter's text.
    """
    fields: list[Field] = []
    for name in dotted.split(".", MAX_DEPTH):
        if fields:
            outer = fields[-1].descriptor
            if outer.is_repeated or fields[-1].message_name in {"", *_WELL_KNOWN}:
                return None
            assert outer.message_type is not None
            descriptor = outer.message_type
        field = shape(descriptor).by_name.get(name)
        if field is None:
            return None
        fields.append(field)
    return fields if fields[-1].fits_parameter else None


def read_text(
    texts: Sequence[str], fields: Sequence[Field], message: Message, faults: Faults
) -> None:
    """Set the field at the end of `fields`, as `find` gave them, from the texts of a parameter."""
    *outer, field = fields
    for each in outer:
        message = getattr(message, each.name)
    prefix = "".join(f"{each.name}." for each in outer)
    is_bool = (
        field.descriptor.type == FieldDescriptor.TYPE_BOOL
        or field.message_name == "google.protobuf.BoolValue"
    )
    words = {"true": True, "false": False} if is_bool else {}
    values: list[Any] = [words.get(text, text) for text in texts]
    if field.descriptor.is_repeated:
        read_field(values, field, message, faults, prefix)
    elif len(values) > 1:
        faults.add(prefix + field.name, "is given twice")
    else:
        read_field(values[0], field, message, faults, prefix)


def write(message: Message) -> dict[str, Any]:
    """The message as a JSON object: fields without presence always, others where they are set."""
    written: dict[str, Any] = {}
    for field in shape(message.DESCRIPTOR).fields:
        field.write(message, written)
    return written


def write_field(message: Message, name: str) -> Any:
    """The JSON value of one field; None if it is not set."""
    written: dict[str, Any] = {}
    shape(message.DESCRIPTOR).by_name[name].write(message, written)
    return written.get(name)


@cache
def shape(descriptor: Descriptor) -> Shape:
    """The compiled form of a message type."""
    fields = tuple(_field(each) for each in descriptor.fields)
    by_name = {each.descriptor.json_name: each for each in fields}
    by_name |= {each.name: each for each in fields}
    return Shape(descriptor.name, fields, by_name)


def _field(descriptor: FieldDescriptor) -> Field:
    kind = descriptor.message_type
    if descriptor.is_repeated and kind is not None and kind.GetOptions().map_entry:
        return _map_field(descriptor, kind)
    if descriptor.is_repeated:
        return _list_field(descriptor)
    return _single_field(descriptor)


def _single_field(descriptor: FieldDescriptor) -> Field:
    name, (convert, emit) = descriptor.name, _codec(descriptor)
    is_message = descriptor.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE
    is_enum = descriptor.cpp_type == FieldDescriptor.CPPTYPE_ENUM
    has_presence = descriptor.has_presence

    def read(value: Any, message: Message, path: str, faults: Faults) -> None:
        try:
            converted = convert(value, path, faults)
        except ValueError as error:
            faults.add(path, str(error))
            return
        if is_message:
            part = getattr(message, name)
            part.CopyFrom(converted)
            part.SetInParent()
        else:
            setattr(message, name, converted)

    def write(message: Message, written: dict[str, Any]) -> None:
        if has_presence and not message.HasField(name):
            return
        value = getattr(message, name)
        if value or has_presence or not is_enum:
            written[name] = emit(value)

    return Field(name, descriptor, read, write)


def _list_field(descriptor: FieldDescriptor) -> Field:
    name, (convert, emit) = descriptor.name, _codec(descriptor)
    limit = max_items(descriptor)

    def read(value: Any, message: Message, path: str, faults: Faults) -> None:
        if not isinstance(value, list):
            faults.add(path, "must be a list")
            return
        if len(value) > limit:
            faults.add(path, f"has {len(value)} items, at most {limit} are taken")
            return
        items = getattr(message, name)
        for index, item in enumerate(value):
            at = f"{path}[{index}]"
            try:
                items.append(convert(item, at, faults))
            except ValueError as error:
                faults.add(at, str(error))

    def write(message: Message, written: dict[str, Any]) -> None:
        written[name] = [emit(item) for item in getattr(message, name)]

    return Field(name, descriptor, read, write)


def _map_field(descriptor: FieldDescriptor, kind: Descriptor) -> Field:
    name, entry, limit = descriptor.name, kind.fields_by_name, max_items(descriptor)
    convert_key, emit_key = _codec(entry["key"])
    convert, emit = _codec(entry["value"])
    words = {"true": True, "false": False} if entry["key"].type == entry["key"].TYPE_BOOL else {}

    def read(value: Any, message: Message, path: str, faults: Faults) -> None:
        if not isinstance(value, dict):
            faults.add(path, "must be a JSON object")
            return
        if len(value) > limit:
            faults.add(path, f"has {len(value)} items, at most {limit} are taken")
            return
        if isinstance(value, RepeatedKeys):
            faults.add(path, "has a key that is given twice")
        items = getattr(message, name)
        for key, item in value.items():
            at = f"{path}[{key[:MAX_NAME_CHARACTERS]}]"
            try:
                converted_key = convert_key(words.get(key, key), at, faults)
                converted = convert(item, at, faults)
            except ValueError as error:
                faults.add(at, str(error))
                continue
            if isinstance(converted, Message):
                items[converted_key].CopyFrom(converted)
            else:
                items[converted_key] = converted

    def write(message: Message, written: dict[str, Any]) -> None:
        items = getattr(message, name)
        written[name] = {
            ("true" if key else "false") if words else str(emit_key(key)): emit(items[key])
            for key in items
        }

    return Field(name, descriptor, read, write)


def _codec(descriptor: FieldDescriptor) -> tuple[Convert, Emit]:
    """How one value of the field is read and written."""
    kind = descriptor.cpp_type
    if descriptor.message_type is not None:
        return _message_codec(descriptor.message_type)
    if descriptor.enum_type is not None:
        lower = descriptor.GetOptions().Extensions[options_pb2.json_lower_case]
        return _enum_codec(descriptor.enum_type, lower=lower)
    if kind in _INTEGER_RANGES:
        return _integer(*_INTEGER_RANGES[kind]), str if kind in _INTEGERS_AS_TEXT else int
    if kind in _GREATEST_NUMBERS:
        return _number(_GREATEST_NUMBERS[kind]), _emit_number
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return _convert_bool, bool
    if descriptor.type == FieldDescriptor.TYPE_BYTES:
        return _convert_bytes, lambda value: base64.b64encode(value).decode()
    return _convert_string, str


def _message_codec(descriptor: Descriptor) -> tuple[Convert, Emit]:
    if descriptor.full_name == "google.protobuf.FieldMask":
        return _convert_mask, lambda mask: ",".join(mask.paths)
    make = message_factory.GetMessageClass(descriptor)
    wanted = _WELL_KNOWN.get(descriptor.full_name)
    if wanted is None:

        def convert(value: Any, path: str, faults: Faults) -> Message:
            message = make()
            read(value, message, faults, path)
            return message

        return convert, write

    longest = sys.maxsize if descriptor.full_name in _LONG_TEXTS else MAX_TOKEN_CHARACTERS
    form = _FORMS.get(descriptor.full_name)

    def convert_well_known(value: Any, _path: str, _faults: Faults) -> Message:
        if isinstance(value, str) and (
            len(value) > longest or (form and not form.fullmatch(value))
        ):
            raise ValueError(f"must be {wanted}")
        try:
            return json_format.ParseDict(value, make())
        except (json_format.ParseError, ValueError, TypeError, AttributeError, OverflowError):
            raise ValueError(f"must be {wanted}") from None

    def emit_well_known(message: Message) -> Any:
        return json_format.MessageToDict(message, preserving_proto_field_name=True)

    return convert_well_known, emit_well_known


def _convert_mask(value: Any, _path: str, _faults: Faults) -> FieldMask:
    """Names in snake_case too, as they are everywhere else; the mapping has lowerCamelCase
    alone.
    """
    if (
        not isinstance(value, str)
        or len(value) > MAX_MASK_CHARACTERS
        or not _MASK_TEXT.fullmatch(value)
    ):
        raise ValueError("must be names of fields, separated by commas")
    snake = re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", value)
    return FieldMask(paths=[name.strip() for name in snake.split(",") if name.strip()])


def enum_prefix(descriptor: EnumDescriptor) -> str:
    """What the names of the enum's values begin with, e.g. `TICKET_STATE_`; empty if they
    differ.
    """
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", descriptor.name).upper() + "_"
    return prefix if all(value.name.startswith(prefix) for value in descriptor.values) else ""


def _enum_codec(descriptor: EnumDescriptor, *, lower: bool) -> tuple[Convert, Emit]:
    prefix = enum_prefix(descriptor)
    short = {value.number: value.name.removeprefix(prefix) for value in descriptor.values}
    numbers = {value.name.upper(): value.number for value in descriptor.values}
    numbers |= {
        value.name.removeprefix(prefix).upper(): value.number for value in descriptor.values
    }
    names = {number: name.lower() if lower else name for number, name in short.items()}
    wanted = f"must be one of {', '.join(name for number, name in names.items() if number)}"

    def convert(value: Any, _path: str, _faults: Faults) -> int:
        if isinstance(value, str):
            if (number := numbers.get(value.upper())) is not None:
                return number
            value = int(value) if _INTEGER_TEXT.fullmatch(value) else None
        if type(value) is not int or value not in names:
            raise ValueError(wanted)
        return value

    return convert, lambda value: names.get(value, value)


def _integer(least: int, greatest: int) -> Convert:
    def convert(value: Any, _path: str, _faults: Faults) -> int:
        is_whole = isinstance(value, float) and value.is_integer()
        if is_whole or (isinstance(value, str) and _INTEGER_TEXT.fullmatch(value)):
            value = int(value)
        if type(value) is not int:
            raise ValueError("must be a whole number, written in digits alone such as 100")
        if not least <= value <= greatest:
            raise ValueError(f"must be from {least} to {greatest}")
        return value

    return convert


def _number(greatest: float) -> Convert:
    def convert(value: Any, _path: str, _faults: Faults) -> float:
        if isinstance(value, str):
            if value in _NOT_FINITE:
                return float(value)
            value = float(value) if _NUMBER_TEXT.fullmatch(value) else None
        if type(value) not in {int, float}:
            raise ValueError("must be a number")
        if not -greatest <= value <= greatest:
            raise ValueError("is too large a number")
        return float(value)

    return convert


def _emit_number(value: float) -> float | str:
    if value - value == 0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124


def _convert_bool(value: Any, _path: str, _faults: Faults) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _convert_string(value: Any, _path: str, _faults: Faults) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which is no character") from None
    return value


def _convert_bytes(value: Any, _path: str, _faults: Faults) -> bytes:
    if not isinstance(value, str):
        raise ValueError("must be text in base64")
    plain = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("must be text in base64") from None
