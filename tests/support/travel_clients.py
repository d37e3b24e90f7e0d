"""A traveller's client over gRPC and one over JSON, which look the same to whoever uses them.

Requests and answers are dicts as the JSON interface has them; the client over gRPC makes messages
of them and back, by the generated code alone.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import grpc
import httpx2
from deeptravel.common.v1 import options_pb2
from deeptravel.redemption.v1 import access_pb2 as _access  # noqa: F401 - messages of the service
from deeptravel.redemption.v1 import redemption_service_pb2, redemption_service_pb2_grpc
from deeptravel.ticketing.v1 import ticketing_service_pb2, ticketing_service_pb2_grpc
from google.api import annotations_pb2
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.rpc import error_details_pb2, status_pb2

Json = dict[str, Any]
METHODS = {
    method.name: method
    for service in (
        ticketing_service_pb2.DESCRIPTOR.services_by_name["TicketingService"],
        redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"],
    )
    for method in service.methods
}
SECONDS = 30


class RefusedError(Exception):
    """A call that was refused: the reason, its facts, and the fields that were wrong."""

    def __init__(self, reason: str, facts: dict[str, str], fields: list[str], text: str) -> None:
        super().__init__(f"{reason} {facts} {fields}: {text}")
        self.reason = reason
        self.facts = facts
        self.fields = fields


class OverGrpc:
    """Calls over gRPC, with an access token once there is one."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stubs: dict[str, Any] = {
            "TicketingService": ticketing_service_pb2_grpc.TicketingServiceStub(channel),
            "RedemptionService": redemption_service_pb2_grpc.RedemptionServiceStub(channel),
        }
        self.token = ""

    def call(self, name: str, **fields: Any) -> Json:
        """The answer. Raises RefusedError."""
        try:
            return _plain(self._send(name, fields))
        except grpc.RpcError as error:
            raise self._refused(error) from None

    def watch(self, **fields: Any) -> Iterator[Json]:
        """WatchOrder, to its end."""
        for message in self._send("WatchOrder", fields):
            yield _plain(message)

    def _send(self, name: str, fields: Json) -> Any:
        method = METHODS[name]
        request = message_factory.GetMessageClass(method.input_type)()
        json_format.ParseDict(_with_enum_names(method.input_type, fields), request)
        metadata = (("authorization", f"Bearer {self.token}"),) if self.token else ()
        stub = self._stubs[method.containing_service.name]
        return getattr(stub, name)(request, metadata=metadata, timeout=SECONDS)

    @staticmethod
    def _refused(error: Any) -> RefusedError:
        trailers = dict(error.trailing_metadata())
        status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in status.details:
            detail.Unpack(info)
            detail.Unpack(bad)
        fields = [violation.field for violation in bad.field_violations]
        return RefusedError(info.reason, dict(info.metadata), fields, status.message)


class OverJson:
    """Calls over HTTP, by the paths of the contract."""

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http
        self.token = ""

    def call(self, name: str, **fields: Any) -> Json:
        """The answer; a refused scan is one, too. Raises RefusedError."""
        verb, path, rest = self._path(name, fields)
        given: Json = {"params": rest} if verb == "GET" else {"json": rest}
        response = self._http.request(verb, path, headers=self._headers(), timeout=SECONDS, **given)
        content: Json = response.json()
        if response.status_code == 200 or "result" in content:
            return content
        info = next(each for each in content["details"] if "reason" in each)
        facts = info.get("metadata", {k: str(v) for k, v in info.items() if k[0] != "@"})
        named = [
            v["field"] for each in content["details"] for v in each.get("field_violations", ())
        ]
        return _raise(RefusedError(info["reason"], facts, named, content["message"]))

    def watch(self, **fields: Any) -> Iterator[Json]:
        """WatchOrder, to its end."""
        verb, path, rest = self._path("WatchOrder", fields)
        headers = self._headers()
        with self._http.stream(
            verb, path, headers=headers, params=rest, timeout=SECONDS
        ) as response:
            for line in response.iter_lines():
                if line.strip():
                    yield json.loads(line)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @staticmethod
    def _path(name: str, fields: Json) -> tuple[str, str, Json]:
        rule = METHODS[name].GetOptions().Extensions[annotations_pb2.http]
        verb = rule.WhichOneof("pattern")
        path, rest = getattr(rule, verb), dict(fields)
        for part in re.findall(r"\{(\w+)\}", path):
            path = path.replace(f"{{{part}}}", str(rest.pop(part)))
        return verb.upper(), path, rest


Client = OverGrpc | OverJson


def _raise(error: RefusedError) -> Json:
    raise error


def _prefix(enum: EnumDescriptor) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"


def _with_enum_names(kind: Descriptor, fields: Json) -> Json:
    """The same with values of enums as protobuf calls them."""
    found = {}
    for name, value in fields.items():
        field = kind.fields_by_name[name]
        many = value if isinstance(value, list) else [value]
        if field.enum_type:
            many = [_prefix(field.enum_type) + each.upper() for each in many]
        elif field.message_type and "google" not in field.message_type.full_name:
            many = [_with_enum_names(field.message_type, each) for each in many]
        found[name] = many if isinstance(value, list) else many[0]
    return found


def _plain(message: Any) -> Json:
    """A message as the JSON interface shows it."""
    found: Json = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            if not (field.message_type and field.message_type.GetOptions().map_entry):
                found[field.name] = [_value(field, each) for each in value]
        elif not field.has_presence or message.HasField(field.name):
            shown = _value(field, value)
            if not (field.enum_type and value == 0):
                found[field.name] = shown
    return found


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type:
        name = field.enum_type.values_by_number[value].name.removeprefix(_prefix(field.enum_type))
        lower = field.GetOptions().Extensions[options_pb2.json_lower_case]
        return name.lower() if lower else name
    if field.message_type:
        if field.message_type.full_name.startswith("google.protobuf."):
            return json_format.MessageToDict(value)
        return _plain(value)
    if field.cpp_type == FieldDescriptor.CPPTYPE_INT64:
        return str(value)
    return value
