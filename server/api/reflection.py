"""Server reflection under both names that clients ask for: v1, and v1alpha, the only one that
grpcio-reflection serves.

The messages of both are the same on the wire (grpc/reflection/v1/reflection.proto says so); only
the package differs.
"""

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection, reflection_pb2

ALPHA = reflection_pb2.DESCRIPTOR.package
STABLE = "grpc.reflection.v1"
METHOD = "ServerReflectionInfo"


def serve(server: grpc.aio.Server, services: Sequence[str]) -> list[str]:
    """Adds reflection over `services` (full names) and itself; returns the full names of what
    was added.
    """
    names = [f"{package}.ServerReflection" for package in (STABLE, ALPHA)]
    _describe_stable()
    symbols: Any = _Symbols()
    servicer = reflection.aio.ReflectionServicer([*services, *names], pool=symbols)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(name, {METHOD: handler}) for name in names]
    )
    return names


def _describe_stable() -> None:
    """Puts v1's file into the pool of descriptors, so that a client can ask for it too."""
    pool: Any = descriptor_pool.Default()
    file = FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = "grpc/reflection/v1/reflection.proto", STABLE
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(f".{ALPHA}.", f".{STABLE}.")
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(f".{ALPHA}.", f".{STABLE}.")
        method.output_type = method.output_type.replace(f".{ALPHA}.", f".{STABLE}.")
    pool.AddSerializedFile(file.SerializeToString())


class _Symbols:
    """What reflection knows: all that is imported, and methods by name, which the library does
    not find.
    """

    def __init__(self) -> None:
        self._pool: Any = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802 - the pool's name
        """The file. Raises KeyError."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file
