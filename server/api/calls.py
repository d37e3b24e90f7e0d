"""The call that is served now: who calls, from where, until when."""

import asyncio
import copy
import re
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar, overload

import grpc
from google.protobuf.message import Message

from server.api.admission import Origin
from server.api.shares import CallShare
from server.audit.origins import NOWHERE, ChangeOrigin, take_from
from server.platform.ratelimit import Allowance

MAX_REQUEST_ID_LENGTH = 64
_TRACE_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)


Request = TypeVar("Request", bound=Message)


Response = TypeVar("Response", bound=Message)


Metadata = Mapping[str, str | bytes]


Context = grpc.aio.ServicerContext
"""Of a servicer method, with its messages: `Context[GetOrderRequest, GetOrderResponse]`."""


Outcome = TypeVar("Outcome")
Answer = TypeVar("Answer")


class Later(Generic[Outcome, Answer]):
    """The answer to a call that others are working on: their future, and what makes the message of
    its outcome, or another `Later` where that has to be waited for first.
    """

    def __init__(
        self,
        future: asyncio.Future[Outcome],
        message: "Callable[[Outcome], Answer | Later[Any, Answer]]",
    ) -> None:
        self.future = future
        self.message = message

    def __await__(self) -> Generator[Any, None, Answer]:
        answer = self.message((yield from self.future))
        if isinstance(answer, Later):
            return (yield from answer.__await__())
        return answer


Function = TypeVar("Function", bound=Callable[..., Awaitable[Any]])


def plain(function: Function) -> Function:
    """Marks a servicer's unary method which is a plain function: from request to `Later`, or to a
    coroutine where it has to wait first. It makes no use of its context, which is none.

    Such a call costs no task, and no coroutine of the layers above.
    """
    function.is_plain = True  # type: ignore[attr-defined]
    return function


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
        "expires_now",
        "metadata",
        "method",
        "of_gateway",
        "reason",
        "request_id",
        "share",
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
        self.share: CallShare | None = None
        # a sandbox asked for what the call makes to expire at once
        self.expires_now = False


current_call: ContextVar[Call] = ContextVar("call")


def _origin() -> ChangeOrigin:
    """Where the current call comes from, for the audit trail."""
    call = current_call.get(None)
    if call is None:
        return NOWHERE
    return ChangeOrigin(
        call.address, getattr(call.caller, "terminal_device_id", ""), call.request_id
    )


take_from(_origin)


def leave_share(*, if_large: bool) -> None:
    """Has the current call not count among its partner's any more if it makes a large batch: that
    waits for a turn of its own, and others need not wait for it.
    """
    if if_large and (share := current().share):
        share.give_back()


def current() -> Call:
    """The call being worked on."""
    return current_call.get()


def begin_part(method: str) -> Call:
    """A call that is part of the current one, a stream, by the same caller; from now on the current
    one of this task.
    """
    part = copy.copy(current())
    part.method, part.began = method, time.perf_counter()
    current_call.set(part)
    return part


A = TypeVar("A")
B = TypeVar("B")
D = TypeVar("D")


@overload
def caller() -> Caller: ...
@overload
def caller(a: type[A], /) -> A: ...
@overload
def caller(a: type[A], b: type[B], /) -> A | B: ...
@overload
def caller(a: type[A], b: type[B], c: type[D], /) -> A | B | D: ...
def caller(*kinds: type) -> object:
    """Who calls, as one of these kinds: those that the method's `access` option lets in.

    The interceptor has refused all others, so another kind is a fault of the method.
    """
    found = current_call.get().caller
    assert found is not None, "a method that anybody may call has no caller"
    assert not kinds or isinstance(found, kinds), f"{found.role} is none of {kinds}"
    return found


def trace_id_of(metadata: Metadata) -> str | None:
    """The trace that the caller says the call belongs to (W3C traceparent); None if it says
    none.
    """
    given = metadata.get("traceparent")
    if not isinstance(given, str):
        return None
    found = _TRACE_PARENT.fullmatch(given)
    return found[1] if found else None


def usable_request_id(metadata: Metadata) -> str | None:
    """The caller's own id for the call, cut to length; None if a trailer could not give it back:
    printable ASCII only.
    """
    given = metadata.get("x-request-id", "")
    if not isinstance(given, str) or not given.isascii() or not given.isprintable():
        return None
    return given[:MAX_REQUEST_ID_LENGTH] or None
