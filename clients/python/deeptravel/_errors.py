"""A call that failed, as the server explains it, or as gRPC does if the server was not reached."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

DETAILS = "grpc-status-details-bin"
REQUEST_ID = "x-request-id"
DOMAIN = "deeptravel"


@dataclass(frozen=True)
class FieldViolation:
    """What is wrong with one field of a request."""

    field: str
    description: str


class CallError(Exception):
    """A call that failed.

    What the server says comes in a trailer. It does not always arrive: the server was not reached,
    a proxy answered in its place or dropped what it did not know. Then `reason` is empty and
    `code` is all there is.

    Attributes:
        code: the status of gRPC.
        reason: of `deeptravel.Reason`, e.g. SOLD_OUT; empty if the server did not say one. A newer
            server may give reasons that this client does not know.
        message: for a log, in English; not for a program, and it may change.
        metadata: what belongs to the reason, e.g. `available` of SOLD_OUT.
        violations: with INVALID_FIELD, what is wrong with which field.
        retry_seconds: how long the server asks to wait; None if it does not say.
        server_request_id: under which the server's log has the call; empty if it was not reached.
        request_id: that of the request, made by the client if you gave none. If it is unknown
            whether the call was done, call again with the same.
        method: name of the RPC.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
        retry_seconds: float | None = None,
        server_request_id: str = "",
        request_id: str = "",
        method: str = "",
    ) -> None:
        name = " ".join(each for each in (method, code.name, reason) if each)
        super().__init__(f"{name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.violations = violations
        self.retry_seconds = retry_seconds
        self.server_request_id = server_request_id
        self.request_id = request_id
        self.method = method


def call_error(error: grpc.RpcError, *, method: str = "", request_id: str = "") -> CallError:
    """What an error of gRPC says, as far as its details came and can be read."""
    call: Any = error  # a grpc.Call too, and of asyncio an AioRpcError
    # not by dict(): of older versions in asyncio that is a mapping which cannot be copied
    trailers = {key: value for key, value in call.trailing_metadata() or ()}  # noqa: C416
    facts: dict[str, Any] = {"server_request_id": _text(trailers.get(REQUEST_ID, ""))}
    for each in _details(trailers.get(DETAILS, b"")):
        facts |= _read(each)
    message = call.details() or ""
    return CallError(call.code(), message, method=method, request_id=request_id, **facts)


def _details(trailer: Any) -> list[Any]:
    if not isinstance(trailer, bytes):
        return []
    try:
        return list(status_pb2.Status.FromString(trailer).details)
    except DecodeError:
        return []


def _read(detail: Any) -> dict[str, Any]:
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    bad, request = error_details_pb2.BadRequest(), error_details_pb2.RequestInfo()
    try:
        if detail.Unpack(info):
            # another domain's reason is that of a proxy, and means something else
            ours = info.domain in {"", DOMAIN}
            return {"reason": info.reason, "metadata": dict(info.metadata)} if ours else {}
        if detail.Unpack(retry):
            delay = retry.retry_delay
            return {"retry_seconds": delay.seconds + delay.nanos / 1e9}
        if detail.Unpack(bad):
            found = [FieldViolation(each.field, each.description) for each in bad.field_violations]
            return {"violations": tuple(found)}
        if detail.Unpack(request):
            return {"server_request_id": request.request_id}
    except DecodeError:
        pass
    return {}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
