"""The call that is served now: who calls, from where, until when."""

import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

from server.api.admission import Origin
from server.platform.ratelimit import Allowance

MAX_REQUEST_ID_LENGTH = 64


Request = TypeVar("Request", bound=Message)


Response = TypeVar("Response", bound=Message)


Metadata = Mapping[str, str | bytes]


class Caller(Protocol):
    """Who calls: a role of the contract and a key, e.g. `partner:CP`, for log and repeats."""

    @property
    def role(self) -> str: ...  # noqa: D102
    @property
    def key(self) -> str: ...  # noqa: D102


class Call:
    """One call while it is worked on."""

    __slots__ = (
        "address",
        "allowance",
        "began",
        "caller",
        "code",
        "metadata",
        "method",
        "of_gateway",
        "reason",
        "request_id",
    )

    def __init__(self, method: str, request_id: str, metadata: Metadata, origin: Origin) -> None:
        self.method = method
        self.request_id = request_id
        self.metadata = metadata
        self.address = origin.address
        self.of_gateway = origin.of_gateway
        self.began = time.perf_counter()
        self.caller: Caller | None = None
        self.allowance: Allowance | None = None
        self.code = "OK"
        self.reason: str | None = None


current_call: ContextVar[Call] = ContextVar("call")


def current() -> Call:
    """The call being worked on."""
    return current_call.get()


def caller() -> Any:
    """Who calls; the server has checked that the caller's role may."""
    return current_call.get().caller


def usable_request_id(metadata: Metadata) -> str | None:
    """The caller's own id for the call, cut to length; None if a trailer could not give it back: printable ASCII only."""
    given = metadata.get("x-request-id", "")
    if not isinstance(given, str) or not given.isascii() or not given.isprintable():
        return None
    return given[:MAX_REQUEST_ID_LENGTH] or None
