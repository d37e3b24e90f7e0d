"""What every call has in common: context, caller and rights, field checks, errors, repeats, pages, log, metrics."""

import asyncio
import base64
import functools
import hashlib
import hmac
import inspect
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import grpc
import orjson
import structlog
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from deeptravel.common.v1 import options_pb2
from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.ext.asyncio import AsyncConnection

from server import idempotency, logs
from server.admission import Admission, Origin, of_gateway
from server.bounds import Bounds
from server.db import Database, be_patient
from server.errors import STATUS_BY_REASON, DomainError, Reason
from server.fields import Checker
from server.loops import Loops
from server.metrics import CALLS, IN_FLIGHT, LATENCY
from server.ratelimit import Allowance
from server.statuses import error_status
from server.streams import StreamRights

DEFAULT_PAGE_SIZE = 50
SHUTDOWN_RETRY_SECONDS = 1.0
MAX_REQUEST_ID_LENGTH = 64
STREAM_OPEN = (("x-stream-open", "1"),)
"""Initial metadata of a stream that is granted and may have nothing to say for a while: its reader need not wait."""

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
Metadata = Mapping[str, str | bytes]

log = structlog.get_logger()


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


_current: ContextVar[Call] = ContextVar("call")


def current() -> Call:
    """The call being worked on."""
    return _current.get()


def caller() -> Any:
    """Who calls; the server has checked that the caller's role may."""
    return _current.get().caller


def usable_request_id(metadata: Metadata) -> str | None:
    """The caller's own id for the call, cut to length; None if a trailer could not give it back: printable ASCII only."""
    given = metadata.get("x-request-id", "")
    if not isinstance(given, str) or not given.isascii() or not given.isprintable():
        return None
    return given[:MAX_REQUEST_ID_LENGTH] or None


class Guards(Protocol):
    """What the interceptor needs from higher rooms; app.py gives it."""

    async def authenticate(self, metadata: Metadata, address: str) -> Caller | None:
        """The caller by credentials; None without any. Raises UNAUTHENTICATED, ADDRESS_NOT_ALLOWED."""

    def recall(self, caller: Any, metadata: Metadata, address: str) -> Caller | None:
        """The caller of a stream as it is now, if that is remembered. Raises UNAUTHENTICATED, ADDRESS_NOT_ALLOWED."""

    async def recheck(self, caller: Any, metadata: Metadata, address: str) -> Caller:
        """The caller of a stream as it is now. Raises UNAUTHENTICATED, ADDRESS_NOT_ALLOWED."""

    async def allowance(self, caller: Caller) -> Allowance | None:
        """Counts the call against the caller's limit; None where there is none."""


class _Method:
    def __init__(self, name: str, roles: frozenset[str], request: Descriptor) -> None:
        self.name = name
        self.roles = roles
        self.request = request
        self._bounds = Bounds.of(request)
        self._parse = GetMessageClass(request).FromString
        self._checker = Checker.of(request)
        self.latency = LATENCY.labels(name)
        self.ok = CALLS.labels(name, "OK")

    def parse(self, content: bytes) -> Any:
        """A request from its bytes, unchecked. Raises INVALID_FIELD for more than it can hold, DecodeError."""
        self._bounds.check(content)
        return self._parse(content)

    def read(self, content: bytes) -> Any:
        """A request from its bytes. Raises INVALID_FIELD for what is not as annotated, DecodeError."""
        request = self.parse(content)
        self._checker.check(request)
        return request


def methods(services: Iterable[ServiceDescriptor]) -> dict[str, _Method]:
    """Every method by its path. Raises ValueError for a method without `access` option: the server must not start."""
    found = {}
    for service in services:
        for method in service.methods:
            access = method.GetOptions().Extensions[options_pb2.access]
            roles = frozenset(options_pb2.Role.Name(r).removeprefix("ROLE_") for r in access.roles)
            if not roles or "UNSPECIFIED" in roles:
                raise ValueError(f"{method.full_name} does not say who may call it (access option)")
            path = f"/{service.full_name}/{method.name}"
            found[path] = _Method(f"{service.name}/{method.name}", roles, method.input_type)
    return found


class Interceptor(grpc.aio.ServerInterceptor):
    """The one place that lets calls in, turns errors into statuses, logs and counts."""

    def __init__(
        self,
        services: Iterable[ServiceDescriptor],
        guards: Guards,
        admission: Admission,
        loops: Loops | None = None,
    ) -> None:
        self._methods = methods(services)
        self._guards = guards
        self._admission = admission
        self._refuse_after = math.inf
        self._unfinished = 0
        self.finished = asyncio.Event()
        self.refused = 0
        self._handlers: dict[str, Handler] = {}
        self._rights = StreamRights(loops)

    async def close(self) -> None:
        """Ends what looks at open streams."""
        await self._rights.close()

    def refuse(self) -> None:
        """From now on new calls get SHUTTING_DOWN, but not the gateway's, which finishes its requests.

        `finished` is set when the calls that are being worked on have ended; `refused` counts those that come too late.
        """
        self._refuse_after = time.perf_counter()
        self._unfinished = self._admission.in_flight
        self._admission.hurry()
        self._finish(0)

    def _finish(self, calls: int) -> None:
        self._unfinished -= calls
        if not self._unfinished:
            self.finished.set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Wraps each method's handler once; of what is not ours (health, reflection) only the bounds are kept."""
        path: str = handler_call_details.method
        wrapped = self._handlers.get(path)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        method = self._methods.get(path)
        if handler is None:
            return None
        wrapped = self._wrap(method, handler) if method else self._admission.bounded(handler)
        self._handlers[path] = wrapped
        return wrapped

    def _wrap(self, method: _Method, handler: Any) -> "Handler":
        serialize = handler.response_serializer
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._streamed(method, handler.stream_stream), method.parse, serialize
            )
        # Single requests are read by us, in bytes: so the call is counted before its message comes, who calls is known
        # before it is looked at, and it is not waited for without end.
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._streamed(method, handler.unary_stream, single=True), None, serialize
            )
        return grpc.stream_unary_rpc_method_handler(
            self._unary(method, handler.unary_unary), None, serialize
        )

    def _unary(self, method: _Method, behavior: Callable[..., Awaitable[Any]]) -> Any:
        async def unary(_messages: Any, context: Any) -> Any:
            call = self._enter(method, context)
            try:
                await self._authorize(call, method)
                request = method.read(await self._admission.first_message(context.read()))
                response = await behavior(request, context)
                context.set_trailing_metadata(self._trailer(call))
                return response
            except BaseException as error:  # noqa: BLE001 - every fault is answered here
                await self._fail(call, context, error)
            finally:
                self._leave(call, method)

        return unary

    def _streamed(
        self, method: _Method, behavior: Callable[..., Any], *, single: bool = False
    ) -> Any:
        """With a `single` request, or the stream of them: how long that may be quiet is for its method to say."""
        generates = inspect.isasyncgenfunction(behavior)

        async def streamed(request: Any, context: Any) -> None:
            call = self._enter(method, context)
            try:
                await self._authorize(call, method)
                if single:
                    request = method.read(await self._admission.first_message(context.read()))
                async with self._held(call, method):
                    if generates:
                        async with aclosing(behavior(request, context)) as responses:
                            async for response in responses:
                                await context.write(response)
                    else:
                        await behavior(request, context)
                context.set_trailing_metadata(self._trailer(call))
            except BaseException as error:  # noqa: BLE001 - every fault is answered here
                await self._fail(call, context, error)
            finally:
                self._leave(call, method)

        return streamed

    def _enter(self, method: _Method, context: Any) -> Call:
        metadata = dict(context.invocation_metadata())
        request_id = usable_request_id(metadata) or os.urandom(8).hex()
        call = Call(method.name, request_id, metadata, self._admission.origin(context, metadata))
        _current.set(call)
        self._admission.enter(call.address)
        IN_FLIGHT.inc()
        return call

    async def _authorize(self, call: Call, method: _Method) -> None:
        if call.began > self._refuse_after and not call.of_gateway:
            self.refused += 1
            raise DomainError(
                Reason.SHUTTING_DOWN,
                "the server is stopping; call again",
                retry_seconds=SHUTDOWN_RETRY_SECONDS,
            )
        self._admission.check(call.address)
        await self._identify(call, method)
        if call.caller is None:
            return
        call.allowance = await self._guards.allowance(call.caller)
        if call.allowance and not call.allowance.allowed:
            raise DomainError(
                Reason.RATE_LIMITED,
                f"{call.allowance.limit} requests a minute are used up",
                retry_seconds=call.allowance.reset_seconds,
            )

    async def _identify(self, call: Call, method: _Method) -> None:
        """Finds out who calls, unless anybody may; raises for who may not."""
        if "ANYONE" in method.roles:
            return
        caller = await self._guards.authenticate(call.metadata, call.address)
        if caller is None:
            raise DomainError(
                Reason.UNAUTHENTICATED,
                "credentials are missing: send x-api-key, or authorization: Bearer <access token>",
            )
        call.caller = caller
        _require_role(caller, method)

    async def admit(self, path: str, metadata: Metadata) -> None:
        """Whether a caller of the gateway may make a call, before the gateway reads what it is to say.

        Raises as the call would, which is then logged and counted as one.
        """
        method = self._methods[path]
        call = Call(method.name, usable_request_id(metadata) or "", metadata, of_gateway(metadata))
        try:
            await self._identify(call, method)
        except DomainError as error:
            call.code, call.reason = STATUS_BY_REASON[error.reason], error.reason
            self._record(call, method)
            raise

    def _held(self, call: Call, method: _Method) -> AbstractAsyncContextManager[None]:
        """For as long as the caller has the right to the stream; its rights in `call` are those it has now."""

        def remembered() -> bool:
            caller = self._guards.recall(call.caller, call.metadata, call.address)
            return caller is not None and take(caller)

        async def recheck() -> None:
            take(await self._guards.recheck(call.caller, call.metadata, call.address))

        def take(caller: Caller) -> bool:
            _require_role(caller, method)
            call.caller = caller
            return True

        return self._rights.hold(remembered, recheck) if call.caller else nullcontext()

    async def _fail(self, call: Call, context: Any, error: BaseException) -> NoReturn:
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            remaining = context.time_remaining()
            late = remaining is not None and remaining <= 0
            call.code = "DEADLINE_EXCEEDED" if late else "CANCELLED"
            raise error
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if isinstance(error, DecodeError):
            error = DomainError(
                Reason.INVALID_FIELD,
                f"the bytes sent are no request of {call.method}; send the message of its contract",
            )
        if not isinstance(error, DomainError):
            log_fault(error)
            error = DomainError(
                Reason.INTERNAL, f"a fault of the server, logged as request {call.request_id}"
            )
        call.code, call.reason = STATUS_BY_REASON[error.reason], error.reason
        status = error_status(error, call.request_id)
        details: bytes = status.SerializeToString()
        context.set_trailing_metadata((*self._trailer(call), ("grpc-status-details-bin", details)))
        await context.abort(grpc.StatusCode[call.code], status.message)
        raise AssertionError("abort raises")

    @staticmethod
    def _trailer(call: Call) -> list[tuple[str, str | bytes]]:
        trailer: list[tuple[str, str | bytes]] = [("x-request-id", call.request_id)]
        if call.allowance:
            trailer += [
                ("x-ratelimit-limit", str(call.allowance.limit)),
                ("x-ratelimit-remaining", str(call.allowance.remaining)),
                ("x-ratelimit-reset", str(call.allowance.reset_seconds)),
            ]
        return trailer

    def _leave(self, call: Call, method: _Method) -> None:
        self._admission.leave(call.address)
        if call.began <= self._refuse_after < math.inf:
            self._finish(1)
        IN_FLIGHT.dec()
        self._record(call, method)

    @staticmethod
    def _record(call: Call, method: _Method) -> None:
        """Logs and counts a call that has ended."""
        seconds = time.perf_counter() - call.began
        method.latency.observe(seconds)
        (method.ok if call.code == "OK" else CALLS.labels(call.method, call.code)).inc()
        logs.call(
            request_id=call.request_id,
            caller=call.caller.key if call.caller else None,
            method=call.method,
            code=call.code,
            reason=call.reason,
            ms=round(seconds * 1000, 2),
        )


def _require_role(caller: Caller, method: _Method) -> None:
    if caller.role not in method.roles:
        raise DomainError(
            Reason.ROLE_NOT_ALLOWED,
            f"{caller.role} may not call {method.name}; allowed: {', '.join(sorted(method.roles))}",
            role=caller.role,
            allowed=",".join(sorted(method.roles)),
        )


def log_fault(error: BaseException) -> None:
    """Logs a fault of ours under the current call's request id."""
    call = current()
    log.error("call.fault", request_id=call.request_id, method=call.method, exc_info=error)


class Repeats:
    """Gives a repeated call its first answer (see server.idempotency).

    Answers that carry secrets are stored encrypted; what identifies a request's content is a keyed hash, so that a
    password in it cannot be guessed from the table.
    """

    def __init__(self, db: Database, secret_key: bytes) -> None:
        self._db = db
        self._hash_key = hmac.digest(secret_key, b"deeptravel request content", "sha256")
        self._cipher = AESGCM(hmac.digest(secret_key, b"deeptravel stored answers", "sha256"))

    def content_hash(self, request: Message) -> bytes:
        """A keyed hash of the request's content."""
        return hmac.digest(self._hash_key, request.SerializeToString(deterministic=True), "sha256")

    async def once(
        self,
        request: Any,
        response_type: type[Response],
        work: Callable[[AsyncConnection], Awaitable[Response]],
        *,
        patience_seconds: int | None = None,
    ) -> Response:
        """Runs `work` in a transaction, or gives the answer of the first call with this `request_id`.

        Without a request_id every call does the work. `patience_seconds` is for work that takes long: how long its
        statements may take, and a repeat waits for the first, instead of what the settings say. Raises
        IDEMPOTENCY_MISMATCH, and what `work` raises: a call that failed did nothing and is not remembered.
        """
        if not request.request_id:
            return await self._db.in_transaction(work)
        call = current()
        assert call.caller is not None, "repeats are told apart by caller"
        key = (call.caller.key, call.method, request.request_id)
        content_hash = self.content_hash(request)
        secret = _carries_secrets(response_type.DESCRIPTOR)

        async def attempt(tx: AsyncConnection) -> Response:
            if patience_seconds:
                await be_patient(tx, seconds=patience_seconds)
            stored = await idempotency.begin(
                tx, key, content_hash, now=now(), is_patient=patience_seconds is not None
            )
            if stored is not None:
                return response_type.FromString(self._open(stored) if secret else stored)
            response = await work(tx)
            answer = response.SerializeToString()
            await idempotency.finish(tx, key, self._seal(answer) if secret else answer)
            return response

        return await self._db.in_transaction(attempt)

    async def stored(self, request: Any, response_type: type[Response]) -> Response | None:
        """The answer of the first call with this `request_id`, for work that needs more than one transaction.

        None if there is none: then do the work, such that it may be done again, and store its answer by `once`. Raises
        IDEMPOTENCY_MISMATCH.
        """
        call = current()
        if not request.request_id or call.caller is None:
            return None
        key = (call.caller.key, call.method, request.request_id)
        async with self._db.transaction() as tx:
            stored = await idempotency.find(tx, key, self.content_hash(request))
        if stored is None:
            return None
        secret = _carries_secrets(response_type.DESCRIPTOR)
        return response_type.FromString(self._open(stored) if secret else stored)

    def _seal(self, answer: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, answer, None)

    def _open(self, stored: bytes) -> bytes:
        return self._cipher.decrypt(stored[:12], stored[12:], None)


@functools.cache
def _carries_secrets(descriptor: Any, around: tuple[Any, ...] = ()) -> bool:
    """Whether a field of it, or of what is in it, is secret; `around` are the messages it was found in."""
    inside = (*around, descriptor)  # a message may hold itself, as google.protobuf.Struct does
    return any(
        field.GetOptions().debug_redact
        or (
            field.message_type is not None
            and field.message_type not in inside
            and _carries_secrets(field.message_type, inside)
        )
        for field in descriptor.fields
    )


class PageTokens:
    """Opaque page tokens, bound to the caller and to every filter of the request (AIP-158)."""

    def __init__(self, secret_key: bytes) -> None:
        self._key = hmac.digest(secret_key, b"deeptravel page tokens", "sha256")

    def encode(self, request: Any, cursor: Sequence[int | str]) -> str:
        """The token of the page behind `cursor`, for requests with the filters of `request`."""
        body = orjson.dumps(list(cursor))
        return base64.urlsafe_b64encode(self._mac(request, body) + body).decode().rstrip("=")

    def decode(self, request: Any) -> list[Any] | None:
        """The cursor of the request's token; None for the first page. Raises PAGE_TOKEN_INVALID."""
        token: str = request.page_token
        if not token:
            return None
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except ValueError:
            raw = b""
        mac, body = raw[:16], raw[16:]
        if not hmac.compare_digest(mac, self._mac(request, body)):
            raise DomainError(
                Reason.PAGE_TOKEN_INVALID,
                "page_token: is not one for these filters; ask for the first page again",
                violations=[("page_token", "is not one for these filters")],
            )
        cursor: list[Any] = orjson.loads(body)
        return cursor

    def _mac(self, request: Any, body: bytes) -> bytes:
        filters = type(request)()
        filters.CopyFrom(request)
        filters.ClearField("page_token")
        filters.ClearField("page_size")
        who = current().caller
        bound = (who.key if who else "").encode() + b"\0" + type(request).DESCRIPTOR.name.encode()
        content = bound + b"\0" + filters.SerializeToString(deterministic=True) + b"\0" + body
        return hmac.digest(self._key, hashlib.sha256(content).digest(), "sha256")[:16]


def page_size(request: Any) -> int:
    """The request's page size, or the default; its greatest value stands in the contract."""
    return int(request.page_size) or DEFAULT_PAGE_SIZE


def now() -> datetime:
    """The time of the call, UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A protobuf timestamp; None stays unset."""
    if moment is None:
        return None
    result = Timestamp()
    result.FromDatetime(moment)
    return result


def moment(request: Any, field: str) -> datetime | None:
    """The time in a field of the request, UTC; None if unset. Raises INVALID_FIELD beyond years 1 to 9999."""
    if not request.HasField(field):
        return None
    try:
        return getattr(request, field).ToDatetime(tzinfo=UTC)  # type: ignore[no-any-return]
    except (ValueError, OverflowError):
        raise DomainError(
            Reason.INVALID_FIELD,
            f"{field}: is not a time",
            violations=[(field, "is not a time between the years 1 and 9999")],
        ) from None


def enum_numbers(enum: Any) -> dict[str, Any]:
    """The numbers of an enum by the names the domain uses: without prefix, UNSPECIFIED as the empty name."""
    prefix = os.path.commonprefix(enum.keys())
    prefix = prefix[: prefix.rindex("_") + 1]
    return {
        "" if name == prefix + "UNSPECIFIED" else name.removeprefix(prefix): number
        for name, number in enum.items()
    }


def enum_names(enum: Any) -> dict[int, str]:
    """The names the domain uses, by number."""
    return {number: name for name, number in enum_numbers(enum).items()}
