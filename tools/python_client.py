"""Write the generated half of the Python client: the messages under private names, and for each
service a class with a typed method for each RPC, once for threads and once for asyncio.

The messages are compiled by an older protoc than the server's, since generated code runs with its
own version of the protobuf runtime and with later ones, up to the next major, and no earlier.
"""

import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools.openapi import RULES, Contract

PACKAGE = "deeptravel._generated"
COLUMNS = 100
SCALARS = {
    FieldDescriptor.CPPTYPE_INT32: ("int", "0"),
    FieldDescriptor.CPPTYPE_UINT32: ("int", "0"),
    FieldDescriptor.CPPTYPE_INT64: ("int", "0"),
    FieldDescriptor.CPPTYPE_UINT64: ("int", "0"),
    FieldDescriptor.CPPTYPE_FLOAT: ("float", "0.0"),
    FieldDescriptor.CPPTYPE_DOUBLE: ("float", "0.0"),
    FieldDescriptor.CPPTYPE_BOOL: ("bool", "False"),
    FieldDescriptor.CPPTYPE_STRING: ("str", '""'),
}
WELL_KNOWN = {
    "google.protobuf.Timestamp": "Moment",
    "google.protobuf.FieldMask": "FieldMask",
    "google.protobuf.Duration": "Duration",
    "google.protobuf.Struct": "Struct",
}
RAW_BODY = "google.api.HttpBody"
REASONS = "deeptravel.common.v1.ErrorReason"
SAFE_REPEATS = {"REPEAT_READS", "REPEAT_NO_FURTHER_EFFECT"}
OWN_ARGUMENTS = {"self", "timeout", "requests"}
CHOOSER = '''\
"""The rules of `buf.validate`: those of another package of this process, if there is one.

A file of the contract can be registered once in a process; the library `protovalidate` of some
versions, or code of your own, brings the same one.
"""

try:
    from buf.validate import validate_pb2
except ImportError:
    from deeptravel._generated.buf.validate import validate_pb2  # type: ignore[no-redef]

__all__ = ["validate_pb2"]
'''


def write_python_client(protos: Path, described: FileDescriptorSet, target: Path) -> None:
    """Write the whole folder `_generated`.

    Raises:
        subprocess.CalledProcessError: protoc refused; it has said why.
    """
    _write_messages(protos, target)
    contract = Contract(described)
    _write_exports(described, target)
    (target / "validate.py").write_text(CHOOSER)
    (target / "reasons.py").write_text(_reasons(contract, described))
    for service in contract.services:
        noun = service.full_name.split(".")[1]
        (target / noun / "service.py").write_text(Module(contract, service).text())
    (target / "services.py").write_text(_services(contract.services))


def _write_messages(protos: Path, target: Path) -> None:
    sources = sorted(protos.rglob("*.proto"))
    google = distribution("googleapis-common-protos").locate_file("")
    binaries = Path(sys.executable).parent
    compiled = target / "compiled"
    compiled.mkdir(parents=True)
    command: list[str | Path] = [binaries / "protoc"]
    command += [f"--proto_path={protos}", f"--proto_path={google}"]
    command += [f"--plugin={binaries / 'protoc-gen-mypy'}"]
    command += [f"--python_out={compiled}", f"--mypy_out=quiet:{compiled}"]
    subprocess.run([*command, *sources], check=True)
    for each in (*compiled.rglob("*.py"), *compiled.rglob("*.pyi")):
        name = each.relative_to(compiled)
        inside = name.relative_to("deeptravel") if name.parts[0] == "deeptravel" else name
        place = target / inside
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(_private(each.read_text()))
    shutil.rmtree(compiled)
    for folder in {parent for each in target.rglob("*.py") for parent in each.parents}:
        if target in (folder, *folder.parents):
            (folder / "__init__.py").touch()


def _private(text: str) -> str:
    """The same module under private names; the names of the contract inside it stay."""
    text = re.sub(r"^from deeptravel\.", f"from {PACKAGE}.", text, flags=re.MULTILINE)
    text = re.sub(
        r"^from buf\.validate import", f"from {PACKAGE}.validate import", text, flags=re.MULTILINE
    )
    builds = r"(BuildTopDescriptorsAndMessages\(DESCRIPTOR, ')(deeptravel\.)?"
    return re.sub(builds, rf"\g<1>{PACKAGE}.", text)


def _nouns(described: FileDescriptorSet) -> dict[str, list[str]]:
    """The modules of each noun, e.g. ota: ota_service_pb2."""
    nouns: dict[str, list[str]] = {}
    for file in described.file:
        if file.package.startswith("deeptravel."):
            stem = file.name.rpartition("/")[2].removesuffix(".proto")
            nouns.setdefault(file.package.split(".")[1], []).append(stem)
    return nouns


def _write_exports(described: FileDescriptorSet, target: Path) -> None:
    """`deeptravel.ota` and its like: every message and enum of a package, by its own name."""
    for noun, stems in _nouns(described).items():
        lines = [f'"""Messages and enums of `deeptravel.{noun}.v1`."""', ""]
        names = []
        for file in described.file:
            stem = file.name.rpartition("/")[2].removesuffix(".proto")
            if file.package != f"deeptravel.{noun}.v1" or stem not in stems:
                continue
            exported = [each.name for each in file.message_type]
            for enum in file.enum_type:
                exported += [enum.name, *(value.name for value in enum.value)]
            names += exported
            if exported:
                lines.append(f"from {PACKAGE}.{noun}.v1.{stem}_pb2 import (")
                lines += [f"    {name}," for name in sorted(exported)]
                lines.append(")")
        lines += ["", "__all__ = [", *(f'    "{name}",' for name in sorted(names)), "]", ""]
        (target / noun / "__init__.py").write_text("\n".join(lines))


def _reasons(contract: Contract, described: FileDescriptorSet) -> str:
    lines = [
        '"""Why a call failed, as the contract names it."""',
        *("", "from enum import StrEnum", "", ""),
        *("class Reason(StrEnum):", '    """The `reason` of a CallError; a newer server may'),
        "    name others, which compare as text.",
        *('    """', ""),
    ]
    for file in described.file:
        for enum in file.enum_type:
            if f"{file.package}.{enum.name}" != REASONS:
                continue
            for value in enum.value[1:]:
                name = value.name.removeprefix("ERROR_REASON_")
                comment = contract.comment(f"{REASONS}.{value.name}")
                lines += [f'    {name} = "{name}"', *_docstring(comment, "    ")]
    return "\n".join([*lines, ""])


def _services(services: list[ServiceDescriptor]) -> str:
    lines = ['"""All services: for threads, and for asyncio."""', ""]
    names = []
    for service in services:
        noun = service.full_name.split(".")[1]
        both = sorted([f"Async{service.name}", service.name])
        names += both
        lines.append(f"from {PACKAGE}.{noun}.service import {', '.join(both)}")
    lines += ["", "__all__ = [", *(f'    "{name}",' for name in sorted(names)), "]", ""]
    return "\n".join(lines)


def _docstring(comment: str, indent: str) -> list[str]:
    width = COLUMNS - len(indent)
    blocks = [textwrap.wrap(block, width) for block in comment.replace("\\", "").split("\n\n")]
    lines: list[str] = []
    for block in blocks:
        lines += [*([""] if lines else []), *(indent + line for line in block)]
    if not lines:
        return []
    lines[0] = f'{indent}"""{lines[0].strip()}'
    if len(lines) == 1 and len(lines[0]) + 3 <= COLUMNS and not lines[0].endswith('"'):
        return [f'{lines[0]}"""']
    return [*lines, f'{indent}"""']


def snake(name: str) -> str:
    """`BulkGenerateTickets` -> `bulk_generate_tickets`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@dataclass(frozen=True)
class Argument:
    """A field of a request as an argument of a method."""

    name: str
    kind: str
    default: str
    sent: str

    @property
    def text(self) -> str:
        """As it stands in the signature."""
        return f"{self.name}: {self.kind}" + (f" = {self.default}" if self.default else "")


class Module:
    """The classes of one service."""

    def __init__(self, contract: Contract, service: ServiceDescriptor) -> None:
        self._contract = contract
        self._service = service
        self._nouns: set[str] = set()
        self._methods = [each for each in service.methods if not is_webhook(each)]

    def text(self) -> str:
        """The module."""
        specs = [line for each in self._methods for line in self._spec(each)]
        plain = list(self._class(prefix="", wait=False))
        waiting = list(self._class(prefix="Async", wait=True))
        return "\n".join(
            [*self._head(), *specs, "", "", *plain, "", *waiting],
        )

    def _head(self) -> list[str]:
        nouns = ", ".join(sorted(self._nouns))
        return [
            f'"""Methods of {self._service.full_name}."""',
            *("", "from __future__ import annotations", ""),
            "from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping",
            "",
            f"from {PACKAGE} import {nouns}",
            "from deeptravel._async_calls import AsyncCalls",
            "from deeptravel._calls import Calls",
            "from deeptravel._fields import Duration, FieldMask, Moment, Struct, timestamp",
            "from deeptravel._method import Method",
            "",
        ]

    def _spec(self, method: MethodDescriptor) -> Iterator[str]:
        name = f"_{snake(method.name).upper()}"
        yield f"{name} = Method("
        yield f'    "/{self._service.full_name}/{method.name}",'
        yield f"    {self._named(method.input_type)},"
        yield f"    {self._named(method.output_type)},"
        yield f"    safe={self._is_safe(method)},"
        if resume := _resume(method):
            yield f'    resume=("{resume[0]}", "{resume[1]}"),'
        if items := paged(method):
            yield f'    items="{items.name}",'
        yield ")"

    def _is_safe(self, method: MethodDescriptor) -> bool:
        """Whether a repeat does no harm without a request id."""
        number = self._contract.option(method, "deeptravel.common.v1.repeat")
        repeat = self._contract.repeat_name(number)
        reads = self._contract.option(method, "google.api.http").WhichOneof("pattern") == "get"
        return repeat in SAFE_REPEATS or (reads and repeat == "REPEAT_UNSPECIFIED")

    def _class(self, *, prefix: str, wait: bool) -> Iterator[str]:
        yield f"class {prefix}{self._service.name}:"
        yield from _docstring(self._contract.comment(self._service.full_name), "    ")
        yield ""
        calls = "AsyncCalls" if wait else "Calls"
        yield f"    def __init__(self, calls: {calls}) -> None:"
        yield "        self._calls = calls"
        for method in self._methods:
            yield ""
            yield from self._method(method, wait=wait)
            if paged(method):
                yield ""
                yield from self._pages(method, wait=wait)
        yield ""

    def _method(self, method: MethodDescriptor, *, wait: bool) -> Iterator[str]:
        spec = f"_{snake(method.name).upper()}"
        answer = self._named(method.output_type)
        many = "AsyncIterator" if wait else "Iterator"
        returned = f"{many}[{answer}]" if method.server_streaming else answer
        if method.client_streaming:
            kind = "AsyncIterable" if wait else "Iterable"
            given = [f"requests: {kind}[{self._named(method.input_type)}]"]
            sent, call = "requests", "scan"
        else:
            arguments = self._arguments(method.input_type)
            given = ["*", *(each.text for each in arguments)]
            sent = self._request(method.input_type, arguments)
            call = "stream" if method.server_streaming else "unary"
        verb = "async def" if wait and not method.server_streaming else "def"
        await_ = "await " if wait and not method.server_streaming else ""
        yield from _signature(
            f"{verb} {snake(method.name)}",
            ["self", *given, *(["*"] if method.client_streaming else []), TIMEOUT],
            returned,
        )
        yield from _docstring(self._contract.comment(method.full_name), "        ")
        yield f"        return {await_}self._calls.{call}({spec}, {sent}, timeout)"

    def _pages(self, method: MethodDescriptor, *, wait: bool) -> Iterator[str]:
        items = paged(method)
        assert items is not None
        spec = f"_{snake(method.name).upper()}"
        name = iterator(method.name, items.name)
        kind = self._value(items)
        many = "AsyncIterator" if wait else "Iterator"
        arguments = [
            each for each in self._arguments(method.input_type) if each.name != "page_token"
        ]
        given = ["self", "*", *(each.text for each in arguments), TIMEOUT]
        yield from _signature(f"def {name}", given, f"{many}[{kind}]")
        yield f'        """All `{items.name}` of {snake(method.name)}, page after page."""'
        sent = self._request(method.input_type, arguments)
        yield f"        return self._calls.pages({spec}, {sent}, timeout)"

    def _request(self, message: Descriptor, arguments: list[Argument]) -> str:
        sent = ", ".join(f"{each.name}={each.sent}" for each in arguments)
        return f"{self._named(message)}({sent})"

    def _arguments(self, message: Descriptor) -> list[Argument]:
        found = [self._argument(field) for field in message.fields]
        clash = OWN_ARGUMENTS & {each.name for each in found}
        assert not clash, f"{message.full_name}: {clash} is an argument of the client's own"
        return sorted(found, key=lambda each: each.default != "")

    def _argument(self, field: FieldDescriptor) -> Argument:
        name = field.name
        rules = self._contract.option(field, RULES)
        required = bool(rules.required) and name != "request_id"
        kind = self._value(field)
        entry = field.message_type
        if field.is_repeated and entry is not None and entry.GetOptions().map_entry:
            key, value = (self._value(entry.fields_by_name[each]) for each in ("key", "value"))
            return Argument(name, f"Mapping[{key}, {value}] | None", "None", name)
        if field.is_repeated:
            return Argument(name, f"Iterable[{kind}]", "" if required else "()", name)
        if field.message_type is not None:
            sent = f"timestamp({name})" if kind == "Moment" else name
            return Argument(
                name, kind if required else f"{kind} | None", "" if required else "None", sent
            )
        if required:
            return Argument(name, kind, "", name)
        if field.has_presence:
            return Argument(name, f"{kind} | None", "None", name)
        if field.enum_type is not None:
            return Argument(name, kind, self._first(field.enum_type), name)
        return Argument(name, kind, _scalar(field)[1], name)

    def _value(self, field: FieldDescriptor) -> str:
        if field.message_type is not None:
            known = WELL_KNOWN.get(field.message_type.full_name)
            return known or self._named(field.message_type)
        if field.enum_type is not None:
            return f"{self._named(field.enum_type)}.ValueType"
        return _scalar(field)[0]

    def _first(self, enum: EnumDescriptor) -> str:
        """The value of an enum's field that is not sent."""
        inside = self._named(enum).rpartition(".")[0]
        return f"{inside}.{enum.values[0].name}"

    def _named(self, descriptor: Descriptor | EnumDescriptor) -> str:
        if known := WELL_KNOWN.get(descriptor.full_name):
            return known
        _, noun, _, *names = descriptor.full_name.split(".")
        self._nouns.add(noun)
        return ".".join([noun, *names])


TIMEOUT = "timeout: float | None = None"


def _scalar(field: FieldDescriptor) -> tuple[str, str]:
    return ("bytes", 'b""') if field.type == FieldDescriptor.TYPE_BYTES else SCALARS[field.cpp_type]


def _signature(start: str, arguments: list[str], returned: str) -> list[str]:
    lines = [f"    {start}("]
    lines += [f"        {each}," for each in arguments]
    return [*lines, f"    ) -> {returned}:"]


def is_webhook(method: MethodDescriptor) -> bool:
    """Whether another server calls it, with a body of its own making."""
    return any(
        field.message_type is not None and field.message_type.full_name == RAW_BODY
        for field in method.input_type.fields
    )


def _resume(method: MethodDescriptor) -> tuple[str, str] | None:
    """A stream's request field `after_x`, and the field `x` or `last_x` of what comes, if any."""
    if not method.server_streaming or method.client_streaming:
        return None
    answers = method.output_type.fields_by_name
    for field in method.input_type.fields:
        name = field.name.removeprefix("after_")
        for found in (name, f"last_{name}"):
            if name != field.name and found in answers:
                return field.name, found
    return None


def iterator(method: str, items: str) -> str:
    """`ListTickets` -> `iter_tickets`, `SearchOffers` -> `iter_search_offers`; of something that
    has pages, `GetStatement` -> `iter_statement_lines`.
    """
    verb, _, noun = snake(method).partition("_")
    names = {"list": noun, "search": f"search_{noun}"}
    return "iter_" + names.get(verb, f"{noun}_{items}")


def paged(method: MethodDescriptor) -> FieldDescriptor | None:
    """The repeated field of a method's pages; None if it has no pages."""
    has_pages = "page_token" in method.input_type.fields_by_name
    if not has_pages or "next_page_token" not in method.output_type.fields_by_name:
        return None
    repeated = [field for field in method.output_type.fields if field.is_repeated]
    return repeated[0] if repeated else None
