"""A server of bytes for what holds of a transport whatever is served: all four kinds of methods,
and what became of each call.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc

from server.api.transport.choice import Transport, new_server
from server.api.transport.handlers import DirectHandler, UnaryCall
from tests.support.waiting import WAIT_SECONDS

SERVICE = "test.Echo"


class Echo:
    """The handlers, and how calls ended: `OK`, `CancelledError` or what else was raised.

    Attributes:
        open: until it is set, `hold` and `plain` with `later` do not answer.
        ended: what became of each call of `hold`, `both`, `write` and `plain`.
        context: of the call that was served last.
        written: messages of `write`.
        direct: calls that `plain` served.
        answered: calls of `unary`.
    """

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.began: asyncio.Queue[str] = asyncio.Queue()
        self.context: Any = None
        self.written = 0
        self.direct = 0
        self.answered = 0

    async def unary(self, request: bytes, context: Any) -> bytes:
        """The request."""
        self.context = context
        self.answered += 1
        return request

    async def hold(self, request: bytes, context: Any) -> bytes:
        """The request, once it is open."""
        self.context = context
        async with self._noted("hold"):
            await self.open.wait()
        return request

    async def split(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Each byte of the request."""
        self.context = context
        for byte in request:
            yield bytes([byte])

    async def join(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        """All requests as one."""
        self.context = context
        return b"".join([request async for request in requests])

    async def both(self, _requests: Any, context: Any) -> None:
        """Each request as it comes."""
        self.context = context
        async with self._noted("both"):
            while (request := await context.read()) is not grpc.aio.EOF:
                await context.write(request)

    async def write(self, request: bytes, context: Any) -> None:
        """The request, again and again."""
        async with self._noted("write"):
            while True:
                await context.write(request)
                self.written += 1

    def plain(self, call: UnaryCall, request: bytes) -> bool:
        """As a plain function: the request, `later` when it is open; `task` is left to the
        coroutine.
        """
        if request == b"task":
            return False
        self.direct += 1
        if request == b"later":
            future = asyncio.ensure_future(self.open.wait())
            call.when_cancelled = future.cancel
            future.add_done_callback(lambda done: self._answer(call, request, done))
        elif request == b"refused":
            call.end(grpc.StatusCode.NOT_FOUND.value[0], "nothing", (("key", "value"),))
        else:
            call.answer(request, (("key", "value"),))
        return True

    def _answer(self, call: UnaryCall, request: bytes, done: asyncio.Future[Any]) -> None:
        self.ended.put_nowait("CancelledError" if done.cancelled() else "OK")
        call.answer(request)

    @asynccontextmanager
    async def _noted(self, name: str) -> AsyncIterator[None]:
        self.began.put_nowait(name)
        try:
            yield
        except BaseException as error:
            self.ended.put_nowait(type(error).__name__)
            raise
        self.ended.put_nowait("OK")

    @property
    def handlers(self) -> dict[str, Any]:
        """By the names of the methods."""
        coroutine: Any = grpc.unary_unary_rpc_method_handler(self.unary)
        return {
            "Unary": coroutine,
            "Hold": grpc.unary_unary_rpc_method_handler(self.hold),
            "Split": grpc.unary_stream_rpc_method_handler(self.split),
            "Join": grpc.stream_unary_rpc_method_handler(self.join),
            "Both": grpc.stream_stream_rpc_method_handler(self.both),
            "Write": grpc.unary_stream_rpc_method_handler(self.write),
            "Plain": DirectHandler(coroutine, self.plain),
        }


class Client:
    """Calls of the methods, over one channel to the target."""

    def __init__(self, channel: grpc.aio.Channel, target: str = "") -> None:
        self.channel = channel
        self.target = target

    def unary(self, method: str) -> Any:
        return self.channel.unary_unary(f"/{SERVICE}/{method}")

    def split(self, method: str = "Split") -> Any:
        return self.channel.unary_stream(f"/{SERVICE}/{method}")

    def join(self) -> Any:
        return self.channel.stream_unary(f"/{SERVICE}/Join")

    def both(self) -> Any:
        return self.channel.stream_stream(f"/{SERVICE}/Both")


@asynccontextmanager
async def serving(
    transport: Transport,
    echo: Echo,
    *,
    options: Sequence[tuple[str, Any]] = (),
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    address: str = "127.0.0.1:0",
    client_options: Sequence[tuple[str, Any]] = (),
    credentials: tuple[grpc.ServerCredentials, grpc.ChannelCredentials] | None = None,
    add: Callable[[Any], None] = lambda _: None,
) -> AsyncIterator[tuple[Any, Client]]:
    """The server, started, and a client; `credentials` are those of both, `add` adds services."""
    server: Any = new_server(transport, options=options, interceptors=interceptors)
    server.add_registered_method_handlers(SERVICE, echo.handlers)
    add(server)
    port = (
        server.add_secure_port(address, credentials[0])
        if credentials
        else server.add_insecure_port(address)
    )
    await server.start()
    target = address if address.startswith("unix:") else f"127.0.0.1:{port}"
    made = (
        grpc.aio.secure_channel(target, credentials[1], options=client_options)
        if credentials
        else grpc.aio.insecure_channel(target, options=client_options)
    )
    try:
        async with made as channel:
            yield server, Client(channel, target)
    finally:
        echo.open.set()
        async with asyncio.timeout(WAIT_SECONDS):
            await server.stop(None)
