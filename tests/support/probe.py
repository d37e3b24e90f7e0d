"""A contract that uses every kind of HTTP binding, and a server which answers calls as a test
says.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import grpc
import httpx2
from deeptravel.redemption.v1 import redemption_pb2
from google.api import annotations_pb2, httpbody_pb2
from google.protobuf import (
    descriptor_pool,
    duration_pb2,
    field_mask_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from grpc_tools import protoc  # type: ignore[import-untyped]
from starlette.types import ASGIApp

from server.api.calls import Metadata
from server.api.health import Report
from server.api.http.application import gateway
from server.api.transport.in_process import InProcessServer
from server.platform.errors import DomainError

PROTOS = Path(__file__).resolve().parent.parent.parent / "protos"
MAX_BODY_BYTES = 100_000

IMPORTED = [  # the pool knows a file from the moment its module is imported
    annotations_pb2,
    duration_pb2,
    field_mask_pb2,
    httpbody_pb2,
    redemption_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
]

PROBE = """
syntax = "proto3";
package deeptravel.probe.v1;
import "deeptravel/common/v1/options.proto";
import "deeptravel/redemption/v1/redemption.proto";
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";

enum ColourKind { COLOUR_KIND_UNSPECIFIED = 0; COLOUR_KIND_RED = 1; COLOUR_KIND_DARK_BLUE = 2; }
enum Bare { NONE = 0; SOME = 1; }

message Inner { string text = 1; int32 number = 2; Inner inner = 3; repeated string tags = 4; }

message Everything {
  bool truth = 1;
  int32 small = 2;
  int64 large = 3;
  uint32 small_count = 4;
  uint64 large_count = 5;
  sint64 signed_large = 6;
  fixed32 fixed_small = 7;
  float rough = 8;
  double fine = 9;
  string some_text = 10;
  bytes raw = 11;
  ColourKind colour = 12;
  ColourKind soft_colour = 13 [(deeptravel.common.v1.json_lower_case) = true];
  Bare bare = 14;
  Inner inner = 15;
  repeated int32 numbers = 16;
  repeated string texts = 17;
  repeated Inner many = 18;
  repeated ColourKind colours = 19;
  map<string, int32> counts = 20;
  map<int32, Inner> by_number = 21;
  map<bool, string> by_truth = 22;
  optional int32 maybe = 23;
  optional ColourKind maybe_colour = 24;
  oneof choice { string chosen_text = 25; Inner chosen_inner = 26; bool chosen_truth = 27; }
  google.protobuf.Timestamp at_time = 28;
  google.protobuf.Duration span = 29;
  google.protobuf.StringValue wrapped_text = 30;
  google.protobuf.Int64Value wrapped_large = 31;
  google.protobuf.BoolValue wrapped_truth = 32;
  google.protobuf.Struct anything = 33;
  google.protobuf.FieldMask mask = 34;
  google.protobuf.Value value = 35;
  map<string, ColourKind> colour_of = 36;
}

message Upload { string name = 1; google.api.HttpBody file = 2; string note = 3; }

message Judgement { deeptravel.redemption.v1.RedemptionResult result = 1; string note = 2; }

service Probe {
  rpc Echo(Everything) returns (Everything) {
    option (google.api.http) = {post: "/probe/echo" body: "*"};
  }
  rpc Look(Everything) returns (Everything) {
    option (google.api.http) = {get: "/probe/look"};
  }
  rpc Name(Inner) returns (Inner) {
    option (google.api.http) = {
      get: "/probe/{text=shelves/*/books/*}/pages/{number}"
      additional_bindings {get: "/probe/deep/{inner.inner.text}"}
      additional_bindings {get: "/probe/all/{text=**}"}
      additional_bindings {post: "/probe/{text}:turn" body: "*"}
      additional_bindings {post: "/probe/{text}" body: "*"}
      additional_bindings {post: "/probe/fixed" body: "*"}
      additional_bindings {custom: {kind: "REPORT" path: "/probe/fixed"}}
    };
  }
  rpc Part(Everything) returns (Everything) {
    option (google.api.http) = {
      put: "/probe/part/{small}" body: "inner" response_body: "inner"
      additional_bindings {put: "/probe/parts" body: "many" response_body: "many"}
      additional_bindings {put: "/probe/texts" body: "some_text" response_body: "some_text"}
    };
  }
  rpc Watch(Inner) returns (stream Inner) {
    option (google.api.http) = {get: "/probe/watch"};
  }
  rpc Hook(google.api.HttpBody) returns (google.api.HttpBody) {
    option (google.api.http) = {post: "/probe/hook" body: "*"};
  }
  rpc Send(Upload) returns (Upload) {
    option (google.api.http) = {post: "/probe/files/{name}" body: "file" response_body: "file"};
  }
  rpc Judge(Inner) returns (Judgement) {
    option (google.api.http) = {post: "/probe/judge" body: "*"};
  }
  rpc Hidden(Inner) returns (Inner);
}
"""


def compiled(source: str, name: str) -> FileDescriptorSet:
    """The descriptors of a proto file given as text, and of all it imports."""
    google = str(distribution("googleapis-common-protos").locate_file(""))
    well_known = str(distribution("grpcio-tools").locate_file("grpc_tools/_proto"))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(source)
        output = Path(folder) / "set.binpb"
        paths = [f"-I{path}" for path in (folder, PROTOS, google, well_known)]
        arguments = ["--include_imports", "--include_source_info", f"--descriptor_set_out={output}"]
        assert protoc.main(["protoc", *paths, *arguments, str(Path(folder) / name)]) == 0
        return FileDescriptorSet.FromString(output.read_bytes())


def service(source: str, name: str) -> ServiceDescriptor:
    """The first service of a proto file given as text, known to the process under the file's
    name.
    """
    pool = descriptor_pool.Default()
    try:
        file = pool.FindFileByName(name)
    except KeyError:
        pool.AddSerializedFile(compiled(source, name).file[-1].SerializeToString())
        file = pool.FindFileByName(name)
    return next(iter(file.services_by_name.values()))


def load() -> ServiceDescriptor:
    """The service of `PROBE`."""
    return service(PROBE, "probe.proto")


def message_class(descriptor: Descriptor) -> type[Any]:
    """The class of a message type; its attributes are not known to a type checker."""
    return message_factory.GetMessageClass(descriptor)


Answer = Callable[[Any, Any], Awaitable[Any]]


class Backend(grpc.GenericRpcHandler):
    """Answers every method of some services, by default with its own request or nothing, and
    notes calls.
    """

    def __init__(self, services: Iterable[ServiceDescriptor]) -> None:
        self.methods: dict[str, MethodDescriptor] = {
            f"/{each.full_name}/{method.name}": method
            for each in services
            for method in each.methods
        }
        self.answers: dict[str, Answer] = {}
        self.calls: list[tuple[str, Message, dict[str, Any]]] = []
        self.peer = ""
        self.cancelled = asyncio.Event()
        self.began = asyncio.Event()

    def service(self, handler_call_details: Any) -> Any:
        method = self.methods.get(handler_call_details.method)
        if method is None:
            return None
        make = (
            grpc.unary_stream_rpc_method_handler
            if method.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return make(
            self._behavior(method),
            request_deserializer=message_class(method.input_type).FromString,
            response_serializer=message_class(method.output_type).SerializeToString,
        )

    def _behavior(self, method: MethodDescriptor) -> Any:
        async def call(request: Any, context: Any) -> Any:
            self.calls.append((method.name, request, dict(context.invocation_metadata())))
            self.peer = context.peer()
            self.began.set()
            try:
                if method.name in self.answers:
                    return await self.answers[method.name](request, context)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            same = method.input_type is method.output_type
            return request if same else message_class(method.output_type)()

        return call

    @property
    def last(self) -> Any:
        """The request of the last call."""
        return self.calls[-1][1]

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the last call."""
        return self.calls[-1][2]


class Setup:
    """A gateway before a backend, and a client which calls it without a socket in between."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.degraded: list[str] = []
        self.refused: DomainError | None = None
        self.app: ASGIApp
        self.client: httpx2.AsyncClient

    async def admit(self, _path: str, _metadata: Metadata, _address: str) -> None:
        """Refuses every caller with `refused`, if that is set."""
        if self.refused:
            raise self.refused

    def health(self) -> Report:
        """What the server says of itself."""
        return Report("database" not in self.degraded, self.degraded)


@asynccontextmanager
async def running(*services: ServiceDescriptor) -> AsyncIterator[Setup]:
    """Start both, and stop them at the end."""
    setup = Setup(Backend(services))
    server = InProcessServer()
    server.add_generic_rpc_handlers((setup.backend,))
    await server.start()
    try:
        setup.app = gateway(
            services,
            server,
            max_body_bytes=MAX_BODY_BYTES,
            admit=setup.admit,
            health=setup.health,
        )
        transport = httpx2.ASGITransport(setup.app, client=("192.0.2.7", 5000))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://gateway.test"
        ) as setup.client:
            yield setup
    finally:
        await server.stop()
