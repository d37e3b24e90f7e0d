"""A channel to the server: deadlines, request ids, errors with their reasons, and safe repeats."""

import random
import time
import uuid
from collections.abc import Iterator
from copy import copy
from typing import Any, Self, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2

Request = TypeVar("Request")
Response = TypeVar("Response")

CALL_SECONDS = 15.0
ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 5.0
"""A server that asks for a longer one is not waited for: the caller knows better what to do."""
TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,  # down, or going down
    grpc.StatusCode.DEADLINE_EXCEEDED,  # the answer may be lost, and the work done
    grpc.StatusCode.ABORTED,  # a race that was lost
    grpc.StatusCode.RESOURCE_EXHAUSTED,  # too many calls; it says how long to wait
}


class CallError(Exception):
    """A call that failed, as the server explains it.

    Attributes:
        code: the status of gRPC.
        reason: of deeptravel.common.v1.ErrorReason, e.g. SOLD_OUT; empty if the server was not
            reached.
        details: what belongs to the reason, such as `field` or `resource`.
        request_id: under which the server's log has the call.
        retry_seconds: how long the server asks to wait; None if it does not say.
    """

    def __init__(self, error: grpc.RpcError) -> None:
        call: Any = error
        self.code: grpc.StatusCode = call.code()
        self.reason, self.request_id = "", ""
        self.details: dict[str, str] = {}
        self.retry_seconds: float | None = None
        trailers = dict(call.trailing_metadata() or ())
        status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
        for each in status.details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if each.Unpack(info):
                self.reason, self.details = info.reason, dict(info.metadata)
            elif each.Unpack(retry):
                self.retry_seconds = retry.retry_delay.ToMilliseconds() / 1000
        self.request_id = str(trailers.get("x-request-id", ""))
        name = f"{self.code.name} {self.reason}".rstrip()
        super().__init__(f"{name}: {call.details()}")


class Connection:
    """Calls over one channel, which threads and clients may share; close `channel` in the end.

    Args:
        target: host and port of the gRPC port.
        root_certificates: PEM of the authority to trust; None for plaintext.
        call_seconds: deadline of each attempt.
    """

    def __init__(
        self,
        target: str,
        *,
        root_certificates: bytes | None = None,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        if root_certificates is None:
            self.channel = grpc.insecure_channel(target)
        else:
            credentials = grpc.ssl_channel_credentials(root_certificates)
            self.channel = grpc.secure_channel(target, credentials)
        self._call_seconds = call_seconds
        self._metadata: tuple[tuple[str, str], ...] = ()

    def authorized(self, name: str, secret: str) -> Self:
        """The same channel for calls of one caller, who shows `secret` in the metadata `name`."""
        mine = copy(self)
        vars(mine)["_metadata"] = ((name, secret),)
        return mine

    def call(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        *,
        reads: bool = False,
    ) -> Response:
        """Calls, up to ATTEMPTS times if a repeat is safe. Raises CallError.

        It is if the request has a `request_id`, by which the server gives the first answer again,
        or if the method `reads` only, or says in the contract that a repeat does no harm.
        """
        attempts = ATTEMPTS if reads or bool(getattr(request, "request_id", "")) else 1
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return method(request, timeout=self._call_seconds, metadata=self._metadata)
            except grpc.RpcError as error:
                attempts -= 1
                found = CallError(error)
                wait = found.retry_seconds or pause * random.uniform(0.5, 1.0)
                if attempts < 1 or found.code not in TRANSIENT or wait > MAX_PAUSE_SECONDS:
                    raise found from error
            time.sleep(wait)
            pause *= 2

    def stream(
        self,
        method: "grpc.UnaryStreamMultiCallable[Request, Response]",
        request: Request,
    ) -> Iterator[Response]:
        """What comes until the server ends the stream, without a deadline. Raises CallError."""
        try:
            yield from method(request, metadata=self._metadata)
        except grpc.RpcError as error:
            raise CallError(error) from error


def new_request_id() -> str:
    """Keep it with what you are about to do: the same id again, a day later too, does it once."""
    return uuid.uuid4().hex
