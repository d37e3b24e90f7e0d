"""The contract as its sources have it, with comments, which the generated code leaves out."""

import functools
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple

from buf.validate import validate_pb2
from deeptravel.common.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).resolve().parent.parent.parent
PROTOS = ROOT / "protos"


SECRET = re.compile(
    r"(\w+_)?(password|secret|(api|aes)_key|(access|refresh|qr)_token|encrypted_data|packed_chunk"
    r"|code_shares)"
)
"""Names of fields that hold secrets."""


class Element(NamedTuple):
    """A part of the contract: its descriptor, what it is called, and what its comment says, on
    one line.
    """

    kind: str
    name: str
    parent: str
    comment: str
    proto: Any


@functools.cache
def elements() -> tuple[Element, ...]:
    """Every service, method, message, field, choice, enum, enum value and extension of ours."""
    return tuple(element for file in files() for element in _elements(file))


def of_kind(kind: str) -> list[Element]:
    """The elements of one kind, which is the name of the descriptor's type without
    `DescriptorProto`.
    """
    return [element for element in elements() if element.kind == kind]


def values(enum: str) -> dict[str, Element]:
    """The values of an enum by the names the domain uses, in order, without the unspecified one."""
    found = [element for element in of_kind("EnumValue") if element.parent == enum]
    prefix = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.rpartition(".")[2]).upper() + "_"
    assert found, f"there is no enum {enum}"
    assert found[0].proto.name == prefix + "UNSPECIFIED"
    assert all(value.proto.name.startswith(prefix) for value in found)
    return {value.proto.name.removeprefix(prefix): value for value in found[1:]}


def messages() -> dict[str, Any]:
    """The messages by full name."""
    return {element.name: element.proto for element in of_kind("")}


def roles(method: Any) -> list[str]:
    """Who may call a method."""
    named = method.options.Extensions[options_pb2.access].roles
    return [options_pb2.Role.Name(role).removeprefix("ROLE_") for role in named]


def repeat(method: Any) -> str:
    """What the contract says of a repeat of a method without request_id, as READS; empty if
    nothing.
    """
    said = options_pb2.Repeat.Name(method.options.Extensions[options_pb2.repeat])
    return "" if said == "REPEAT_UNSPECIFIED" else said.removeprefix("REPEAT_")


def http(method: Any) -> tuple[str, str]:
    """Verb and path of a method in JSON over HTTP; empty without one."""
    rule = method.options.Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    return (verb.upper(), getattr(rule, verb)) if verb else ("", "")


def is_required(field: Any) -> bool:
    """Whether a request without the field is refused."""
    return bool(rules(field).required)


def rules(field: Any) -> Any:
    """Its rules of `buf.validate`: what values it takes."""
    return field.options.Extensions[validate_pb2.field]


def text(field: Any) -> int:
    """What kind of text it is, as the server reads it."""
    return int(field.options.Extensions[options_pb2.text])


@functools.cache
def files() -> list[FileDescriptorProto]:
    """The sources, compiled, with their comments."""
    google = distribution("googleapis-common-protos").locate_file("")
    with tempfile.NamedTemporaryFile() as target:
        command: list[Any] = [sys.executable, "-m", "grpc_tools.protoc", "--include_source_info"]
        command += [f"--proto_path={PROTOS}", f"--proto_path={google}"]
        ours = sorted((PROTOS / "deeptravel").rglob("*.proto"))
        command += [f"--descriptor_set_out={target.name}", *ours]
        subprocess.run(command, check=True)
        return list(FileDescriptorSet.FromString(Path(target.name).read_bytes()).file)


# Field name and number of what a descriptor holds; the numbers are those of descriptor.proto, the
# steps of a path.
_HELD = {
    "FileDescriptorProto": {"message_type": 4, "enum_type": 5, "service": 6, "extension": 7},
    "DescriptorProto": {"field": 2, "nested_type": 3, "enum_type": 4, "oneof_decl": 8},
    "EnumDescriptorProto": {"value": 2},
    "ServiceDescriptorProto": {"method": 2},
}


def _elements(file: FileDescriptorProto) -> Iterator[Element]:
    comments = {
        tuple(location.path): " ".join(location.leading_comments.split())
        for location in file.source_code_info.location
    }

    def held(owner: Any, name: str, path: tuple[int, ...]) -> Iterator[Element]:
        for field, number in _HELD.get(type(owner).__name__, {}).items():
            for index, proto in enumerate(getattr(owner, field)):
                if field == "oneof_decl" and proto.name.startswith("_"):
                    continue  # protoc's own, of a field that is `optional`
                at, full_name = (*path, number, index), f"{name}.{proto.name}"
                kind = type(proto).__name__.removesuffix("DescriptorProto")
                yield Element(kind, full_name, name, comments.get(at, ""), proto)
                yield from held(proto, full_name, at)

    yield from held(file, file.package, ())
