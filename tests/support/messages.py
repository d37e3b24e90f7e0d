"""Random messages of any type."""

from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from tests.support.probe import message_class

_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
_SCALARS = st.none() | st.booleans() | st.integers(-1000, 1000) | _TEXT
_FLAT = _SCALARS | st.lists(_SCALARS, max_size=2) | st.dictionaries(_TEXT, _SCALARS, max_size=2)
_JSON: st.SearchStrategy[Any] = _FLAT | st.lists(_FLAT, max_size=2)


def messages(descriptor: Descriptor, depth: int = 2) -> st.SearchStrategy[Message]:
    """Messages with any of their fields set, to values of any size."""
    return st.composite(_draw_message)(descriptor, depth)


def _draw_message(draw: Any, descriptor: Descriptor, depth: int) -> Any:
    special = _WELL_KNOWN.get(descriptor.full_name)
    message = message_class(descriptor)()
    if special is not None:
        draw(special(message))
        return message
    fields = list(descriptor.fields)
    for field in draw(st.lists(st.sampled_from(fields), unique=True)) if fields else ():
        choice = field.containing_oneof
        if choice is not None and message.WhichOneof(choice.name):
            continue
        if depth or field.message_type is None or field.message_type.full_name in _WELL_KNOWN:
            _draw_field(draw, field, message, depth - 1)
    return message


def _draw_field(draw: Any, field: FieldDescriptor, message: Any, depth: int) -> None:
    kind = field.message_type
    value = _values(field, depth)
    if field.is_repeated and kind is not None and kind.GetOptions().map_entry:
        entry = kind.fields_by_name
        for key in draw(st.lists(_values(entry["key"], 0), max_size=2)):
            item = draw(_values(entry["value"], depth))
            if isinstance(item, Message):
                getattr(message, field.name)[key].CopyFrom(item)
            else:
                getattr(message, field.name)[key] = item
    elif field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(value, max_size=3)))
    elif kind is not None:
        getattr(message, field.name).CopyFrom(draw(value))
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, draw(value))


def _values(field: FieldDescriptor, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type, depth)
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.cpp_type in _RANGES:
        return st.integers(*_RANGES[field.cpp_type])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return st.booleans()
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=8)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _TEXT
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return st.floats(width=32, allow_nan=False)
    return st.floats(allow_nan=False)


def _set(message: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(message, name, value)


def _timestamp(message: Any) -> st.SearchStrategy[None]:
    seconds, nanos = st.integers(-62135596800, 253402300799), st.integers(0, 10**9 - 1)
    return st.builds(lambda s, n: _set(message, seconds=s, nanos=n), seconds, nanos)


def _duration(message: Any) -> st.SearchStrategy[None]:
    seconds, nanos = st.integers(0, 315576000000), st.integers(0, 10**9 - 1)
    return st.builds(lambda s, n: _set(message, seconds=s, nanos=n), seconds, nanos)


def _wrapper(message: Any) -> st.SearchStrategy[None]:
    values = _values(message.DESCRIPTOR.fields_by_name["value"], 0)
    return values.map(lambda value: _set(message, value=value))


def _struct(message: Any) -> st.SearchStrategy[None]:
    return st.dictionaries(_TEXT, _JSON, max_size=2).map(message.update)


def _value(message: Any) -> st.SearchStrategy[None]:
    return _TEXT.map(lambda value: _set(message, string_value=value))


def _mask(message: Any) -> st.SearchStrategy[None]:
    paths = st.lists(
        st.from_regex(r"[a-z]{1,3}(_[a-z]{1,3})?(\.[a-z]{1,3})?", fullmatch=True), max_size=2
    )
    return paths.map(message.paths.extend)


_WELL_KNOWN: dict[str, Any] = {
    "google.protobuf.BoolValue": _wrapper,
    "google.protobuf.Duration": _duration,
    "google.protobuf.FieldMask": _mask,
    "google.protobuf.Int64Value": _wrapper,
    "google.protobuf.StringValue": _wrapper,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Value": _value,
}
