"""What people write on the command line, as values of the contract's fields; and back, as they read
them.
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from google.api import httpbody_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

NO_DECIMALS, THREE_DECIMALS = (
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    "BHD IQD JOD KWD LYD OMR TND",
)
MINOR_DIGITS = dict.fromkeys(NO_DECIMALS.split(), 0) | dict.fromkeys(THREE_DECIMALS.split(), 3)
"""Of ISO 4217 where they are not 2."""
_MONEY = re.compile(r"(?:([A-Z]{3}) ?)?(-?[\d,]+)(?:\.(\d+))?(?: ?([A-Z]{3}))?")
_INTEGERS = {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}
_INTEGERS |= {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
CURRENCY = "currency_code"


class UsageError(Exception):
    """What was written cannot be meant; the text says what to write instead."""


def read(field: FieldDescriptor, text: str, zone: ZoneInfo) -> Any:
    """One value of a field. Raises UsageError."""
    message = field.message_type
    if message is not None:
        if message.full_name == Timestamp.DESCRIPTOR.full_name:
            return read_time(field.name, text, zone)
        if message.full_name == httpbody_pb2.HttpBody.DESCRIPTOR.full_name:
            return _file(text)
        return _from_json(field, text)
    if field.enum_type is not None:
        return _enum(field, text)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _bool(field, text)
    if field.cpp_type in _INTEGERS:
        return _integer(field, text)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _path(text).read_bytes()
    return _path(text).read_text().rstrip("\r\n") if text.startswith("@") else text


def read_money(field: FieldDescriptor, text: str) -> tuple[int, str]:
    """Minor units, and the currency if one was said: `12.34 HKD`, or 1234. Raises UsageError."""
    match = _MONEY.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{option(field)}: {text!r} is no amount; write '12.34 HKD'")
    before, whole, fraction, after = match.groups()
    currency = before or after
    if currency is None:
        if fraction is not None:
            raise UsageError(
                f"{option(field)}: write the currency too, '{text} HKD'; without it the number is"
                " of minor units, without a point"
            )
        return int(whole.replace(",", "")), ""
    digits = MINOR_DIGITS.get(currency, 2)
    if len(fraction or "") not in {0, digits}:
        raise UsageError(f"{option(field)}: {currency} has {digits} decimals, {text!r} has others")
    minor = int(whole.replace(",", "") + (fraction or "0" * digits))
    return minor, currency


def read_time(name: str, text: str, zone: ZoneInfo) -> Timestamp:
    """A moment: ISO 8601, in the house's zone where it says none. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--{kebab(name)}: {text!r} is no time; write 2026-12-04, '2026-12-04 07:00' (clocks of"
            f" {zone}) or 2026-12-04T07:00:00+08:00"
        ) from None
    found = Timestamp()
    found.FromDatetime((moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC))
    return found


def show(field: FieldDescriptor, message: Message, zone: ZoneInfo, currency: str = "") -> str:
    """The value of a field, for a cell of a table; `currency` is that of amounts with none beside
    them.
    """
    currency = currency_of(message) or currency
    value = getattr(message, field.name)
    if field.is_repeated:
        if _is_map(field):
            return ", ".join(f"{key}={each}" for key, each in value.items())
        return ", ".join(_one(field, each, currency, zone) for each in value)
    if field.has_presence and not message.HasField(field.name):
        return ""
    return _one(field, value, currency, zone)


def enum_names(enum: EnumDescriptor) -> list[str]:
    """The names of an enum's values as they are written here: small, without what they share, and
    without the first, which is never given.
    """
    return [short_name(enum, value.name) for value in enum.values if value.number]


def short_name(enum: EnumDescriptor, name: str) -> str:
    """A value's name without its enum's."""
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
    return name.removeprefix(prefix).lower()


def kebab(name: str) -> str:
    """A field's name as an option has it."""
    return name.replace("_", "-")


def option(field: FieldDescriptor) -> str:
    """The option of a field."""
    return f"--{kebab(field.name)}"


def enum_of(field: FieldDescriptor) -> EnumDescriptor:
    """The enum of a field that has one."""
    assert field.enum_type is not None
    return field.enum_type


def message_of(field: FieldDescriptor) -> Descriptor:
    """The message of a field that has one."""
    assert field.message_type is not None
    return field.message_type


def is_money(field: FieldDescriptor) -> bool:
    """Whether a field is of minor units."""
    return field.name.endswith("_minor") and field.cpp_type in _INTEGERS and not field.is_repeated


def currency_of(message: Message) -> str:
    """The currency that stands beside an amount; empty where none does."""
    return getattr(message, CURRENCY, "")


def amount(minor: int, currency: str) -> str:
    """Minor units as people write them."""
    digits = MINOR_DIGITS.get(currency, 2)
    sign, text = "-" if minor < 0 else "", str(abs(minor)).rjust(digits + 1, "0")
    whole, fraction = (text[:-digits], text[-digits:]) if digits else (text, "")
    return f"{sign}{whole}{'.' if digits else ''}{fraction} {currency}"


def _one(field: FieldDescriptor, value: Any, currency: str, zone: ZoneInfo) -> str:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return (short_name(field.enum_type, known.name) if known else str(value)) if value else ""
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M")
    if isinstance(value, Message):
        shown: Any = json_format.MessageToDict(value, preserving_proto_field_name=True)
        return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    if isinstance(value, bool):
        return "yes" if value else ""
    if is_money(field) and currency:
        return amount(value, currency)
    return str(value)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _enum(field: FieldDescriptor, text: str) -> int:
    enum = enum_of(field)
    wanted = text.strip().lower().replace("-", "_")
    for value in enum.values:
        if wanted in {value.name.lower(), short_name(enum, value.name)}:
            return int(value.number)
    raise UsageError(f"{option(field)}: {text!r} is none of {', '.join(enum_names(enum))}")


def _bool(field: FieldDescriptor, text: str) -> bool:
    if text.lower() in {"true", "yes", "1"}:
        return True
    if text.lower() in {"false", "no", "0"}:
        return False
    raise UsageError(f"{option(field)}: {text!r} is neither yes nor no")


def _integer(field: FieldDescriptor, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{option(field)}: {text!r} is no whole number") from None


def _from_json(field: FieldDescriptor, text: str) -> Any:
    if text.startswith("@"):
        text = _path(text).read_text()
    try:
        value = json.loads(text)
    except ValueError as error:
        example = '{"' + message_of(field).fields[0].name + '": …}'
        raise UsageError(
            f"{option(field)}: is no JSON ({error}); write {example} or @FILE"
        ) from None
    return value


def _file(text: str) -> httpbody_pb2.HttpBody:
    path = _path(text)
    kinds = {".yaml": "application/yaml", ".yml": "application/yaml", ".csv": "text/csv"}
    kinds |= {".zip": "application/zip", ".json": "application/json"}
    kind = kinds.get(path.suffix.lower(), "")
    return httpbody_pb2.HttpBody(content_type=kind, data=path.read_bytes())


def _path(text: str) -> Path:
    path = Path(text.removeprefix("@"))
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    return path
