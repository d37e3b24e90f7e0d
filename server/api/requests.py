"""Fields of requests as plain values: what an update changes, what a list filters."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Protocol, cast

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from server.api.field_rules import is_required
from server.audit.records import refuse
from server.platform.errors import invalid

OF_PAGES = frozenset({"page_size", "page_token"})


class UpdateRequest(Protocol):
    """A request to change what `update_mask` names."""

    @property
    def update_mask(self) -> FieldMask: ...  # noqa: D102


def optional(message: Message, field: str, default: int) -> int:
    """The number in a field with presence, or the default."""
    return int(getattr(message, field)) if message.HasField(field) else default


def filters(request: Message) -> dict[str, object]:
    """The fields of a request for a list that are not about its pages; enums as the domain's
    names.
    """
    return {
        field.name: _plain(field, getattr(request, field.name))
        for field in _fields(request)
        if field.name not in OF_PAGES
    }


def changes(
    request: Message,
    read: Mapping[str, Callable[..., object]] | None = None,
    *,
    besides: Collection[str] = (),
    may_lack: Collection[str] = (),
) -> dict[str, object]:
    """The fields of an update request that its mask names.

    `read` makes plain values of those that are messages. What a request requires names the record
    and cannot be changed, nor can the fields `besides`; all else can. A record has none any more of
    those it `may_lack` and the request does. Raises INVALID_FIELD for a mask that names nothing, or
    anything else, or any other field without a value; lists may be empty.
    """
    fields = {
        field.name: field
        for field in _fields(request)
        if not is_required(field) and field.name not in besides
    }
    paths = list(cast("UpdateRequest", request).update_mask.paths)
    choice = ", ".join(fields)
    if not paths:
        raise invalid("update_mask", f"names no field; name what to change: {choice}")
    faults = []
    for path in paths:
        field = fields.get(path)
        if field is None:
            faults.append(("update_mask", f"{path} cannot be changed; these can: {choice}"))
        elif not field.is_repeated and path not in may_lack and not _is_set(request, field):
            faults.append((path, "is named by update_mask and needs a value"))
    refuse(faults)
    return {
        path: _value(fields[path], getattr(request, path), read or {})
        if path not in may_lack or _is_set(request, fields[path])
        else None
        for path in paths
    }


def _fields(message: Message) -> Sequence[FieldDescriptor]:
    return cast("Sequence[FieldDescriptor]", message.DESCRIPTOR.fields)


def _value(
    field: FieldDescriptor, value: object, read: Mapping[str, Callable[..., object]]
) -> object:
    return read[field.name](value) if field.name in read else _plain(field, value)


def _plain(field: FieldDescriptor, value: object) -> object:
    if field.is_repeated:
        return list(cast("Iterable[object]", value))
    if field.enum_type:
        return _enum_names(field.enum_type)[cast("int", value)]
    return value


def _is_set(request: Message, field: FieldDescriptor) -> bool:
    return bool(
        request.HasField(field.name) if field.has_presence else getattr(request, field.name)
    )


@cache
def _enum_names(enum: EnumDescriptor) -> dict[int, str]:
    """The names the domain uses, by number: without prefix, UNSPECIFIED as the empty name."""
    prefix = enum.values[0].name.removesuffix("UNSPECIFIED")
    return {
        value.number: value.name.removeprefix(prefix) if value.number else ""
        for value in enum.values
    }
