"""What every call has in common: context, caller and rights, field checks, errors, repeats,
pages, log, metrics.
"""

import asyncio
import inspect
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import grpc
import structlog
from google.protobuf import empty_pb2
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError

from server.api.admission import Admission, Origin, Peer
from server.api.calls import (
    Call,
    Caller,
    Later,
    Metadata,
    current,
    current_call,
    trace_id_of,
    usable_request_id,
)
from server.api.methods import Method, methods
from server.api.shares import CallShares
from server.api.statuses import error_status
from server.api.streams import StreamRights
from server.api.transport.handlers import Direct, DirectHandler, UnaryCall
from server.platform import logs
from server.platform.errors import STATUS_BY_REASON, DomainError, Reason
from server.platform.loops import Loops
from server.platform.metrics import IN_FLIGHT
from server.platform.ratelimit import Allowance

SHUTDOWN_RETRY_SECONDS = 1.0
STREAM_OPEN = (("x-stream-open", "1"),)
"""Initial metadata of a stream that is granted and may have nothing to say for a while: its
reader need not wait.
"""

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]

log = structlog.get_logger()
T = TypeVar("T")


class Guards(Protocol):
    """What the interceptor needs from higher rooms; app.py gives it."""

    async def authenticate(self, metadata: Metadata, address: str) -> Caller | None:
        """The caller by credentials; None without any. Raises UNAUTHENTICATED,
        ADDRESS_NOT_ALLOWED.
        """

    def recall(self, caller: Any, metadata: Metadata, address: str) -> Caller | None:
        """The caller of a stream as it is now, if that is remembered. Raises UNAUTHENTICATED,
        ADDRESS_NOT_ALLOWED.
        """

    async def recheck(self, caller: Any, metadata: Metadata, address: str) -> Caller:
        """The caller of a stream as it is now. Raises UNAUTHENTICATED, ADDRESS_NOT_ALLOWED."""

    async def allowance(self, caller: Caller) -> Allowance | None:
        """Counts the call against the caller's limit; None where there is none."""

    # The same without waiting, for plain functions:

    def remembered(self, metadata: Metadata, address: str) -> Caller | None:
        """`authenticate` for a caller that is remembered; None for one that is not."""

    def is_counted_here(self, caller: Any) -> bool:
        """Whether `local_allowance` counts this caller's calls."""

    def local_allowance(self, caller: Any) -> Allowance | None:
        """`allowance` of a caller that is counted in this process."""


class Simulates(Protocol):
    """What happens to calls of sandboxes that ask for it."""

    async def unary(self, call: Call, request: Any, serve: Callable[[], Awaitable[Any]]) -> Any:
        """Serves a call, as it asks. Raises what it asks for."""

    async def stream(self, call: Call) -> None:
        """Raises what a stream asks for."""


class Interceptor(grpc.aio.ServerInterceptor):
    """The one place that lets calls in, turns errors into statuses, logs and counts."""

    def __init__(
        self,
        services: Iterable[ServiceDescriptor],
        guards: Guards,
        admission: Admission,
        loops: Loops | None = None,
        shares: CallShares | None = None,
        *,
        simulation: Simulates | None = None,
        trace_id: Callable[[], str] | None = None,
    ) -> None:
        self._trace_id = trace_id  # of the call that is served, if calls are traced
        self._methods = methods(services)
        self._guards = guards
        self._admission = admission
        self._shares = shares or CallShares()
        self._simulation = simulation
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
        """From now on new calls get SHUTTING_DOWN, but not the gateway's, which finishes its
        requests.

        `finished` is set when the calls that are being worked on have ended; `refused` counts those
        that come too late.
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
        """Wraps each method's handler once; of what is not ours (health, reflection) only the
        bounds are kept.
        """
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

    def _wrap(self, method: Method, handler: Any) -> "Handler":
        serialize = handler.response_serializer
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._streamed(method, handler.stream_stream), method.parse, serialize
            )
        # Single requests are read by us, in bytes: so the call is counted before its message comes,
        # who calls is known before it is looked at, and it is not waited for without end.
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._streamed(method, handler.unary_stream, single=True), None, serialize
            )
        wrapped: Handler = grpc.stream_unary_rpc_method_handler(
            self._unary(method, handler.unary_unary), None, serialize
        )
        if not getattr(handler.unary_unary, "is_plain", False):
            return wrapped
        return DirectHandler(wrapped, self._plain(method, handler.unary_unary, serialize))

    def _unary(self, method: Method, behavior: Callable[..., Awaitable[Any]]) -> Any:
        async def unary(_messages: Any, context: Any) -> Any:
            call = self._enter(method, context)
            try:
                await self._authorize(call, method)
                request = method.read(await self._admission.first_message(context.read()))
                if call.caller is None or call.caller.role != "PARTNER":
                    response = await behavior(request, context)
                else:
                    async with self._shares.share(call.caller.key) as call.share:
                        serve = partial(behavior, request, context)
                        if (simulation := self._simulation_of(call)) is not None:
                            response = await simulation.unary(call, request, serve)
                        else:
                            response = await serve()
                context.set_trailing_metadata(self._trailer(call))
                return response
            except BaseException as error:  # noqa: BLE001 - every fault is answered here
                await self._fail(call, context, error)
            finally:
                self._leave(call, method)

        return unary

    def _simulation_of(self, call: Call) -> Simulates | None:
        """For calls of sandboxes; None for all others."""
        return self._simulation if getattr(call.caller, "is_test", False) else None

    def _plain(self, method: Method, behavior: Callable[..., Any], serialize: Any) -> Direct:
        """The same as a plain function, for callers that are remembered.

        Whoever is not, or may not call, is left to the coroutine, before the call is counted.
        """
        guards = self._guards

        def serve(exchange: UnaryCall, content: bytes) -> bool:
            call = self._call(method, exchange, exchange.metadata)
            try:
                call.caller = guards.remembered(call.metadata, call.address)
            except DomainError:
                return False
            if call.caller is None or not guards.is_counted_here(call.caller):
                return False
            token = current_call.set(call)
            try:
                self._begin(call)
                self._check(call)
                require_role(call.caller, method)
                self._limit(call, guards.local_allowance(call.caller))
                answer = behavior(method.read(content), None)
                if not isinstance(answer, Later):
                    answer = Later(asyncio.ensure_future(answer), _same)
                wait(exchange, call, answer)
            except Exception as error:  # noqa: BLE001 - every fault is answered here
                self._refuse(exchange, call, method, error)
            finally:
                current_call.reset(token)
            return True

        def wait(exchange: UnaryCall, call: Call, answer: Later[Any, Any]) -> None:
            exchange.when_cancelled = answer.future.cancel
            # in the context of this call
            answer.future.add_done_callback(partial(finish, exchange, call, answer.message))

        def finish(
            exchange: UnaryCall, call: Call, message: Callable[[Any], Any], done: Any
        ) -> None:
            try:
                answer = message(done.result())
                if isinstance(answer, Later):
                    wait(exchange, call, answer)
                    return
                content = serialize(answer)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - as above
                self._refuse(exchange, call, method, error)
                return
            exchange.answer(content, self._trailer(call))
            self._leave(call, method)

        return serve

    def _refuse(
        self, exchange: UnaryCall, call: Call, method: Method, error: BaseException
    ) -> None:
        """Ends the call of a plain function with the error's status."""
        if isinstance(error, asyncio.CancelledError):
            call.code = _cancelled_code(exchange.time_remaining())
            exchange.end(grpc.StatusCode[call.code].value[0], "")
        else:
            message, trailer = self._failure(call, error)
            exchange.end(grpc.StatusCode[call.code].value[0], message, trailer)
        self._leave(call, method)

    def _streamed(
        self, method: Method, behavior: Callable[..., Any], *, single: bool = False
    ) -> Any:
        """With a `single` request, or the stream of them: how long that may be quiet is for its
        method to say.
        """
        generates = inspect.isasyncgenfunction(behavior)

        async def streamed(request: Any, context: Any) -> None:
            call = self._enter(method, context)
            try:
                await self._authorize(call, method)
                if single:
                    request = method.read(await self._admission.first_message(context.read()))
                if (simulation := self._simulation_of(call)) is not None:
                    await simulation.stream(call)
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

    def _enter(self, method: Method, context: Any) -> Call:
        call = self._call(method, context, context.invocation_metadata())
        current_call.set(call)
        self._begin(call)
        return call

    def _call(self, method: Method, peer: Peer, sent: Iterable[tuple[str, str | bytes]]) -> Call:
        metadata = dict(sent)
        request_id = usable_request_id(metadata) or os.urandom(8).hex()
        return Call(method.name, request_id, metadata, self._admission.origin(peer, metadata, sent))

    def _begin(self, call: Call) -> None:
        """Counts the call; `_leave` has to follow."""
        self._admission.enter(call.address)
        IN_FLIGHT.inc()

    def _check(self, call: Call) -> None:
        """Raises SHUTTING_DOWN, SERVER_BUSY."""
        if call.began > self._refuse_after and not call.of_gateway:
            self.refused += 1
            raise DomainError(
                Reason.SHUTTING_DOWN,
                "the server is stopping; call again",
                retry_seconds=SHUTDOWN_RETRY_SECONDS,
            )
        self._admission.check(call.address)

    async def _authorize(self, call: Call, method: Method) -> None:
        self._check(call)
        await self._identify(call, method)
        if call.caller is None:
            return
        self._limit(call, await self._guards.allowance(call.caller))

    @staticmethod
    def _limit(call: Call, allowance: Allowance | None) -> None:
        """Raises RATE_LIMITED."""
        call.allowance = allowance
        if call.allowance and not call.allowance.allowed:
            raise DomainError(
                Reason.RATE_LIMITED,
                f"{call.allowance.limit} requests a minute are used up",
                retry_seconds=call.allowance.reset_seconds,
            )

    async def _identify(self, call: Call, method: Method) -> None:
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
        require_role(caller, method)

    async def admit(self, path: str, metadata: Metadata, address: str) -> None:
        """Whether a caller of the gateway, at `address`, may make a call, before the gateway reads
        what it is to say.

        Raises as the call would, which is then logged and counted as one.
        """
        method = self._methods[path]
        origin = Origin(address, of_gateway=True)
        call = Call(method.name, usable_request_id(metadata) or "", metadata, origin)
        try:
            await self._identify(call, method)
        except DomainError as error:
            call.code, call.reason = STATUS_BY_REASON[error.reason], error.reason
            self._record(call, method)
            raise

    def _held(self, call: Call, method: Method) -> AbstractAsyncContextManager[None]:
        """For as long as the caller has the right to the stream; its rights in `call` are those
        it has now.
        """

        def remembered() -> bool:
            caller = self._guards.recall(call.caller, call.metadata, call.address)
            return caller is not None and take(caller)

        async def recheck() -> None:
            take(await self._guards.recheck(call.caller, call.metadata, call.address))

        def take(caller: Caller) -> bool:
            require_role(caller, method)
            call.caller = caller
            return True

        return self._rights.hold(remembered, recheck) if call.caller else nullcontext()

    async def serve(
        self, method: Method, metadata: Metadata, address: str, work: Callable[[], Awaitable[T]]
    ) -> T:
        """Serves a call of another protocol than ours, from a caller at `address`: let in, limited,
        logged and counted as every call is.

        Raises what `work` raises, and what keeps the call out.
        """
        request_id = usable_request_id(metadata) or os.urandom(8).hex()
        call = Call(method.name, request_id, metadata, Origin(address, of_gateway=True))
        current_call.set(call)
        self._begin(call)
        try:
            await self._authorize(call, method)
            assert call.caller is not None, "such a method is for named roles"
            async with self._shares.share(call.caller.key) as call.share:
                if (simulation := self._simulation_of(call)) is not None:
                    answer: T = await simulation.unary(call, empty_pb2.Empty(), work)
                    return answer
                return await work()
        except Exception as error:
            self._failure(call, error)
            raise
        except asyncio.CancelledError:
            call.code = "CANCELLED"
            raise
        finally:
            self._leave(call, method)

    async def _fail(self, call: Call, context: Any, error: BaseException) -> NoReturn:
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            call.code = _cancelled_code(context.time_remaining())
            raise error
        if isinstance(error, grpc.aio.AbortError):
            raise error
        message, trailer = self._failure(call, error)
        context.set_trailing_metadata(trailer)
        await context.abort(grpc.StatusCode[call.code], message)
        raise AssertionError("abort raises")

    def _failure(
        self, call: Call, error: BaseException
    ) -> tuple[str, Sequence[tuple[str, str | bytes]]]:
        """What the caller hears of an error: text and trailing metadata; its code is the call's
        from now on.
        """
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
        return status.message, (*self._trailer(call), ("grpc-status-details-bin", details))

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

    def _leave(self, call: Call, method: Method) -> None:
        self._admission.leave(call.address)
        if call.began <= self._refuse_after < math.inf:
            self._finish(1)
        IN_FLIGHT.dec()
        self._record(call, method)

    def _record(self, call: Call, method: Method) -> None:
        record(call, method, **self._trace(call))

    def _trace(self, call: Call) -> dict[str, str]:
        """The trace that a call belongs to, for its line in the log."""
        trace_id = trace_id_of(call.metadata) or (self._trace_id() if self._trace_id else None)
        return {"trace_id": trace_id} if trace_id else {}


def require_role(caller: Caller, method: Method) -> None:
    """Raises ROLE_NOT_ALLOWED, SECOND_FACTOR_REQUIRED, TEST_MODE_ONLY for who may not call it."""
    if caller.role not in method.roles:
        raise DomainError(
            Reason.ROLE_NOT_ALLOWED,
            f"{caller.role} may not call {method.name}; allowed: {', '.join(sorted(method.roles))}",
            role=caller.role,
            allowed=",".join(sorted(method.roles)),
        )
    if caller.role == "ADMIN":
        _require_admin_role(caller, method)
    if method.test_mode_only and not getattr(caller, "is_test", False):
        raise DomainError(
            Reason.TEST_MODE_ONLY,
            f"{method.name} is for keys of test mode, which begin with dtk_test_",
        )


def _require_admin_role(caller: Any, method: Method) -> None:
    if caller.admin_roles.isdisjoint(method.admin_roles):
        own = ",".join(sorted(caller.admin_roles)) or "none"
        allowed = ",".join(sorted(method.admin_roles))
        raise DomainError(
            Reason.ROLE_NOT_ALLOWED,
            f"an administrator of {own} may not call {method.name}; allowed: {allowed}",
            role=own,
            allowed=allowed,
        )
    if caller.must_enrol and not method.before_second_factor:
        raise DomainError(
            Reason.SECOND_FACTOR_REQUIRED,
            "administrators need a second factor here: enrol one (AdminService/EnrolSecondFactor)",
        )


def record(call: Call, method: Method, **trace: str) -> None:
    """Logs and counts a call that has ended."""
    seconds = time.perf_counter() - call.began
    method.metrics.count(call.code, seconds)
    logs.call(
        request_id=call.request_id,
        caller=call.caller.key if call.caller else None,
        method=call.method,
        code=call.code,
        reason=call.reason,
        ms=round(seconds * 1000, 2),
        **trace,
    )


def _cancelled_code(seconds_remaining: float | None) -> str:
    late = seconds_remaining is not None and seconds_remaining <= 0
    return "DEADLINE_EXCEEDED" if late else "CANCELLED"


def _same(answer: Any) -> Any:
    return answer


def log_fault(error: BaseException) -> None:
    """Logs a fault of ours under the current call's request id."""
    call = current()
    log.error("call.fault", request_id=call.request_id, method=call.method, exc_info=error)
