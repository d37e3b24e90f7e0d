"""How a method's handler is run: the four kinds of grpc.aio as coroutines, and unary ones as plain
functions.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

import grpc
import structlog

from server.api.transport.context import Context
from server.api.transport.exchange import Metadata

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]

log = structlog.get_logger()


class UnaryCall(Protocol):
    """What a plain function is given of a call: all that it needs of whatever transport serves it.

    Attributes:
        path: of the method.
        metadata: what the client sent with the call.
        is_cancelled: nobody waits for an answer any more.
        when_cancelled: is called once when that happens.
    """

    metadata: Metadata
    is_cancelled: bool
    when_cancelled: Callable[[], object] | None

    @property
    def path(self) -> str: ...  # noqa: D102 - above

    def peer(self) -> str:
        """Where the call comes from, as gRPC writes it."""

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; None without one."""

    def answer(self, content: bytes, trailer: Metadata = ()) -> None:
        """Ends the call with an answer, which nobody may have waited for."""

    def end(self, code: int, details: str, trailer: Metadata = ()) -> None:
        """Ends the call with a status, likewise."""


Direct = Callable[[UnaryCall, bytes], bool]
"""Serves a call, its request in bytes, and sees to it that it is ended, then or later.

It must not wait, nor raise. False: it did nothing, and the coroutine has to serve this call.
"""


class DirectHandler(grpc.RpcMethodHandler):  # type: ignore[type-arg] # not generic when it runs
    """The handler of a unary method which has a plain function besides: a transport that knows
    `direct` calls it for each call whose request has come.
    """

    def __init__(self, handler: "Handler", direct: Direct) -> None:
        self.direct = direct
        self.request_streaming = handler.request_streaming
        self.response_streaming = handler.response_streaming
        self.request_deserializer = handler.request_deserializer
        self.response_serializer = handler.response_serializer
        self.unary_unary = handler.unary_unary
        self.unary_stream = handler.unary_stream
        self.stream_unary = handler.stream_unary
        self.stream_stream = handler.stream_stream


async def run(handler: "Handler", context: Context, path: str) -> None:
    """Serves a call with the handler's coroutine or generator, to its end."""
    try:
        await _serve(handler, context)
    except grpc.aio.AbortError as error:
        if error is not context.aborted:
            log.exception("transport.fault", path=path)
            context.fail("a fault of the server")
    except asyncio.CancelledError:
        # by the client or the stop, when nobody hears of it; else by the handler itself
        context.exchange.end(grpc.StatusCode.CANCELLED.value[0], "cancelled")
        raise
    except Exception:
        log.exception("transport.fault", path=path)
        context.fail("a fault of the server")
    finally:
        context.close()
        context.aborted = None  # with its traceback, which knows the context


async def _serve(handler: "Handler", context: Context) -> None:
    request: Any = context.requests()
    if not handler.request_streaming:
        content = await context.exchange.receive()
        if content is None:
            context.exchange.end(grpc.StatusCode.INTERNAL.value[0], "the call has no request")
            return
        request = context.parsed(content)
    behavior = _behavior(handler)
    served: Awaitable[Any] | AsyncIterator[Any] = behavior(request, context)
    if not handler.response_streaming:
        assert isinstance(served, Awaitable), "a handler without await: grpc.aio's threads are none"
        context.answer(await served)
        return
    if isinstance(served, Awaitable):
        await served  # it wrote its answers
    else:
        async with aclosing(served) as answers:  # type: ignore[type-var]
            async for answer in answers:
                await context.write(answer)
    context.check()
    context.end()


def _behavior(handler: "Handler") -> Callable[[Any, Context], Any]:
    if handler.request_streaming:
        found: Any = handler.stream_stream if handler.response_streaming else handler.stream_unary
    else:
        found = handler.unary_stream if handler.response_streaming else handler.unary_unary
    behavior: Callable[[Any, Context], Any] = found
    return behavior
