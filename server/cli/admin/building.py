"""The options of a command, one for each field of its request, and the request that they make."""

import argparse
from collections.abc import Iterator
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from server.cli.admin import grammar, values
from server.cli.admin.grammar import AdminCommand
from server.cli.admin.values import UsageError

KIND_NAMES = {
    FieldDescriptor.CPPTYPE_INT32: "NUMBER",
    FieldDescriptor.CPPTYPE_INT64: "NUMBER",
    FieldDescriptor.CPPTYPE_UINT32: "NUMBER",
    FieldDescriptor.CPPTYPE_UINT64: "NUMBER",
    FieldDescriptor.CPPTYPE_BOOL: "yes|no",
    FieldDescriptor.CPPTYPE_STRING: "TEXT",
}

Path = tuple[FieldDescriptor, ...]
"""A field of the request, or one of a message in it."""


def options_of(command: AdminCommand) -> dict[str, Path]:
    """The fields that options set, by the option's name without dashes; those of a message in the
    request each on its own, by its own name where no other has it.
    """
    found: dict[str, Path] = {}
    inner: list[Path] = []
    for field in command.method.input_type.fields:
        if field.name in grammar.MADE_BY_US:
            continue
        if _is_taken_apart(field):
            inner += [(field, each) for each in values.message_of(field).fields]
        else:
            found[values.kebab(field.name)] = (field,)
    for outer, field in inner:
        name = values.kebab(field.name)
        alone = name not in found and sum(each[1].name == field.name for each in inner) == 1
        found[name if alone else f"{values.kebab(outer.name)}-{name}"] = (outer, field)
    return found


def add_options(parser: argparse.ArgumentParser, command: AdminCommand) -> None:
    """Adds the options of a command, with what the contract says of each."""
    positional = command.positional
    for field in positional:
        parser.add_argument(
            f"@{field.name}",
            metavar=values.kebab(field.name).upper(),
            nargs="?",
            help=_help(field, "it may be given as an option too"),
        )
    for name, path in options_of(command).items():
        field = path[-1]
        settings: dict[str, Any] = {"dest": f"field:{name}", "help": _help(field)}
        if field.is_repeated:
            parser.add_argument(f"--{name}", action="append", metavar=_kind(field), **settings)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            parser.add_argument(f"--{name}", nargs="?", const="yes", metavar="yes|no", **settings)
        else:
            parser.add_argument(f"--{name}", metavar=_kind(field), **settings)
    if "update_mask" in command.method.input_type.fields_by_name:
        parser.add_argument(
            "--clear",
            action="append",
            default=[],
            metavar="FIELD",
            help="Empty this field, e.g. a list.",
        )
    if "request_id" in command.method.input_type.fields_by_name:
        parser.add_argument(
            "--request-id",
            metavar="ID",
            help="Of a call whose outcome is unknown, to learn it: a repeat gets the first answer."
            " A new one is made otherwise.",
        )


def request_of(command: AdminCommand, given: argparse.Namespace, zone: ZoneInfo) -> Message:
    """The request that the options make. Raises UsageError."""
    kind = command.method.input_type
    request: Message = GetMessageClass(kind)()
    texts = _texts(command, given)
    for name, text in texts.items():
        _set(request, options_of(command)[name], text, zone)
    if "request_id" in kind.fields_by_name:
        request.request_id = given.request_id or uuid4().hex  # type: ignore[attr-defined]
    if "update_mask" in kind.fields_by_name:
        _set_mask(request, command, texts, given.clear)
    missing = [
        values.option(field)
        for field in kind.fields
        if grammar.is_required(field) and field.name not in grammar.MADE_BY_US
        if not _is_there(request, field, texts)
    ]
    if missing:
        raise UsageError(f"missing: {', '.join(missing)}")
    return request


def _texts(command: AdminCommand, given: argparse.Namespace) -> dict[str, Any]:
    arguments = vars(given)
    texts = {
        name: text
        for name in options_of(command)
        if (text := arguments[f"field:{name}"]) is not None
    }
    for field in command.positional:
        text = arguments[f"@{field.name}"]
        name = values.kebab(field.name)
        if text is None:
            continue
        if name in texts:
            raise UsageError(f"{values.option(field)} is given twice: {texts[name]} and {text}")
        texts[name] = text
    return texts


def _set(request: Message, path: Path, text: Any, zone: ZoneInfo) -> None:
    *outer, field = path
    target: Any = request
    for each in outer:
        target = getattr(target, each.name)
        target.SetInParent()
    if field.is_repeated:
        _extend(target, field, text, zone)
    elif values.is_money(field):
        minor, currency = values.read_money(field, text)
        setattr(target, field.name, minor)
        _set_currency(target, field, currency)
    elif field.message_type is not None:
        value = values.read(field, text, zone)
        if isinstance(value, Message):
            getattr(target, field.name).CopyFrom(value)
        else:
            _parse(field, value, getattr(target, field.name))
    else:
        try:
            setattr(target, field.name, values.read(field, text, zone))
        except ValueError as error:
            raise UsageError(f"{values.option(field)}: {error}") from None


def _extend(target: Any, field: FieldDescriptor, texts: list[str], zone: ZoneInfo) -> None:
    inside = getattr(target, field.name)
    for text in texts:
        if field.message_type is None:
            several = (
                text.split(",") if field.cpp_type != FieldDescriptor.CPPTYPE_STRING else [text]
            )
            inside.extend(values.read(field, each.strip(), zone) for each in several)
            continue
        value = values.read(field, text, zone)
        if field.message_type.GetOptions().map_entry:
            raise UsageError(f"{values.option(field)}: not from the command line")
        if isinstance(value, Message):
            inside.add().CopyFrom(value)
            continue
        for each in value if isinstance(value, list) else [value]:
            _parse(field, each, inside.add())


def _parse(field: FieldDescriptor, value: Any, into: Message) -> None:
    """A message from JSON, in which enums may be written as elsewhere here."""
    try:
        json_format.ParseDict(_long_names(field, value), into)
    except json_format.ParseError as error:
        raise UsageError(f"{values.option(field)}: {error}") from None


def _long_names(field: FieldDescriptor, value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    fields = values.message_of(field).fields_by_name
    names = {*fields, *(each.json_name for each in fields.values())}
    for name in value.keys() - names:
        raise UsageError(
            f"{values.option(field)}: there is no field {name!r}; there are {', '.join(fields)}"
        )
    found = {}
    for name, each in value.items():
        inner = fields.get(name)
        if inner is not None and inner.enum_type is not None and isinstance(each, str):
            for known in inner.enum_type.values:
                if values.short_name(inner.enum_type, known.name) == each.lower():
                    each = known.name  # noqa: PLW2901 - the same, written in full
        found[name] = each
    return found


def _set_currency(target: Any, field: FieldDescriptor, currency: str) -> None:
    """Says the currency beside an amount. Raises UsageError where another is said, or none can be:
    the server could not tell that it is another than the record's.
    """
    if not currency:
        return
    if values.CURRENCY not in target.DESCRIPTOR.fields_by_name:
        digits = values.MINOR_DIGITS.get(currency, 2)
        raise UsageError(
            f"{values.option(field)}: is in the record's own currency, which the call does not"
            f" name; write {getattr(target, field.name)}, the amount in minor units if that is"
            f" {currency} ({digits} decimals)"
        )
    beside = getattr(target, values.CURRENCY)
    if beside and beside != currency:
        raise UsageError(f"{values.option(field)}: is in {currency}, --currency-code says {beside}")
    setattr(target, values.CURRENCY, currency)


def _set_mask(
    request: Any, command: AdminCommand, texts: dict[str, Any], cleared: list[str]
) -> None:
    paths = [path[0].name for name, path in options_of(command).items() if name in texts]
    changed = [name for name in dict.fromkeys(paths) if _may_change(command, name)]
    for name in cleared:
        field = name.replace("-", "_")
        if field not in command.method.input_type.fields_by_name:
            raise UsageError(f"--clear: there is no field {name}")
        request.ClearField(field)
        changed.append(field)
    if not changed:
        options = options_of(command).items()
        free = [name for name, path in options if _may_change(command, path[0].name)]
        raise UsageError(f"says nothing to change; one of: {', '.join(f'--{n}' for n in free)}")
    request.update_mask.paths.extend(changed)


def _may_change(command: AdminCommand, name: str) -> bool:
    """As the server sees it: what is required names the record, the version is only compared."""
    field = command.method.input_type.fields_by_name.get(name)
    return (
        field is not None and not grammar.is_required(field) and name not in {"version", "comment"}
    )


def _is_there(request: Message, field: FieldDescriptor, texts: dict[str, Any]) -> bool:
    if field.is_repeated:
        return bool(getattr(request, field.name))
    if field.has_presence:
        return request.HasField(field.name)
    return values.kebab(field.name) in texts


def _is_taken_apart(field: FieldDescriptor) -> bool:
    kind = field.message_type
    if kind is None or field.is_repeated:
        return False
    return not kind.full_name.startswith("google.")


def _kind(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return (
            "|".join(values.enum_names(field.enum_type))
            if len(field.enum_type.values) < 7
            else (field.enum_type.name.upper())
        )
    if values.is_money(field):
        return "AMOUNT"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "FILE"
    if field.message_type is None:
        return KIND_NAMES.get(field.cpp_type, "VALUE")
    return {"Timestamp": "TIME", "HttpBody": "FILE"}.get(field.message_type.name, "JSON|@FILE")


def _help(field: FieldDescriptor, *more: str) -> str:
    return "; ".join(_sentences(field, more)).replace("%", "%%")


def _sentences(field: FieldDescriptor, more: tuple[str, ...]) -> Iterator[str]:
    yield grammar.comment(field.full_name).rstrip(".") or field.name
    if grammar.is_required(field):
        yield "required"
    if _kind(field) == "JSON|@FILE":
        yield f"an object of {', '.join(each.name for each in values.message_of(field).fields)}"
    if field.is_repeated:
        yield "may be repeated"
    if field.enum_type is not None:
        yield f"one of {', '.join(values.enum_names(field.enum_type))}"
    if values.is_money(field):
        yield "written '12.34 HKD', or as a whole number of minor units"
    yield from more
