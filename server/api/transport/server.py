"""A gRPC server on the core: ports, calls that come, and the stop."""

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc
import structlog
from typing_extensions import override

from server.api.transport import core
from server.api.transport.completions import Completions
from server.api.transport.context import Context
from server.api.transport.exchange import Exchange
from server.api.transport.handlers import Direct, DirectHandler, run
from server.api.transport.methods import Methods

CALLS_AWAITED = 64
"""So many calls can come at once before the loop is asked; others wait in the core."""
FIRST_MESSAGE_SECONDS = 0.05
"""A call of a plain function whose request does not come with it is left to the coroutine then,
which says who may wait, and how long.
"""
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED.value[0]

log = structlog.get_logger()

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]


_unstopped: set["CoreServer"] = set()
"""Never freed: a queue that is freed before its server has stopped waits for ever."""


class CoreServer(grpc.aio.Server):
    """Serves handlers made for `grpc.aio`, with these differences.

    Interceptors are asked once for each method (see `Methods`). Handlers must be coroutines or
    asynchronous generators: there are no threads. A `DirectHandler` is called as a plain function.
    `stop` returns when all handlers have ended.
    """

    def __init__(
        self,
        *,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._methods = Methods(interceptors)
        self._completions = Completions()
        self._queue = self._completions.queue
        self._server = core.Server(tuple(options), False)
        self._server.register_completion_queue(self._queue)
        self._openers: dict[bytes, Callable[[Any], object]] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._unsent: dict[Exchange, DirectHandler] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._is_started = False
        self._is_stopping = False
        self._shut_down: asyncio.Future[None] = self._loop.create_future()
        self._stopped: asyncio.Future[None] = self._loop.create_future()

    # what is served

    @override
    def add_generic_rpc_handlers(
        self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]
    ) -> None:
        self._methods.add_generic(generic_rpc_handlers)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, "Handler"]
    ) -> None:
        """As generated code does: the handlers of a service by the names of its methods."""
        self._methods.add_registered(service_name, method_handlers)

    @override
    def add_insecure_port(self, address: str) -> int:
        return self._opened(address, self._server.add_http2_port(address.encode()))

    @override
    def add_secure_port(self, address: str, server_credentials: grpc.ServerCredentials) -> int:
        credentials = core.credentials_of(server_credentials)
        return self._opened(address, self._server.add_http2_port(address.encode(), credentials))

    @staticmethod
    def _opened(address: str, port: int) -> int:
        if not port:
            raise RuntimeError(f"Failed to bind to address {address}")
        return port

    # start and stop

    @override
    async def start(self) -> None:
        if self._is_started:
            return
        for path, handler in (await self._methods.registered()).items():
            self._serve_at(path, handler)
        self._is_started = True
        _unstopped.add(self)
        self._server.start(backup_queue=False)
        self._context.run(self._completions.start)
        for _ in range(CALLS_AWAITED):
            self._request_call()

    @override
    async def stop(self, grace: float | None) -> None:
        if not self._is_started:
            return
        if not self._is_stopping:
            self._is_stopping = True
            self._server.shutdown(self._queue, lambda _: self._shut_down.set_result(None))
            await self._finish(grace)
            self._server.destroy()
            await self._completions.close()
            _unstopped.discard(self)
            self._stopped.set_result(None)
        await asyncio.shield(self._stopped)

    async def _finish(self, grace: float | None) -> None:
        if grace:
            await asyncio.wait((self._shut_down,), timeout=grace)
        self._server.cancel_all_calls()
        await self._shut_down
        if self._serving:
            await asyncio.wait(self._serving)
        if self._sweep:
            self._sweep.cancel()

    @override
    async def wait_for_termination(self, timeout: float | None = None) -> bool:
        done, _ = await asyncio.wait((self._stopped,), timeout=timeout)
        return not done

    # calls

    def _request_call(self) -> None:
        self._server.request_call(self._queue, self._queue, self._on_call)

    def _on_call(self, event: Any) -> None:
        if not event.success:  # the server has stopped
            return
        if not self._is_stopping:
            self._request_call()
        opened = self._openers.get(event.call_details.method)
        if opened is not None:
            opened(event)
        else:
            self._open_unknown(event)

    def _open_unknown(self, event: Any) -> None:
        exchange = Exchange(event)
        handler = self._methods.find_generic(exchange.path, exchange.metadata)
        if handler is None:
            exchange.end(UNIMPLEMENTED, "Method not found!")
        else:
            self._start_task(exchange, self._run_generic(exchange, handler))

    async def _run_generic(self, exchange: Exchange, handler: "Handler") -> None:
        intercepted = await self._methods.intercepted(exchange.path, handler)
        self._serve_at(exchange.path, intercepted)
        await self._run(intercepted, exchange)

    def _serve_at(self, path: str, handler: "Handler") -> None:
        self._openers[path.encode()] = (
            partial(self._open_direct, handler)
            if isinstance(handler, DirectHandler)
            else partial(self._open_task, handler)
        )

    def _open_task(self, handler: "Handler", event: Any) -> None:
        exchange = Exchange(event)
        self._start_task(exchange, self._run(handler, exchange))

    def _run(self, handler: "Handler", exchange: Exchange) -> Any:
        context = Context(exchange, handler.request_deserializer, handler.response_serializer)
        return run(handler, context, exchange.path)

    def _start_task(self, exchange: Exchange, coroutine: Any) -> None:
        task = self._loop.create_task(coroutine, name=exchange.path, context=self._context.copy())
        exchange.when_cancelled = task.cancel
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def _open_direct(self, handler: DirectHandler, event: Any) -> None:
        exchange = Exchange(event)
        self._unsent[exchange] = handler
        exchange.receive_first(partial(self._serve_directly, handler.direct))
        if self._sweep is None:
            self._sweep = self._loop.call_later(FIRST_MESSAGE_SECONDS, self._look_at_unsent)

    def _serve_directly(self, direct: Direct, exchange: Exchange, content: bytes | None) -> None:
        handler = self._unsent.pop(exchange)
        if exchange.is_cancelled or (content is not None and direct(exchange, content)):
            return
        exchange.unread(content)
        self._open_slowly(handler, exchange)

    def _open_slowly(self, handler: DirectHandler, exchange: Exchange) -> None:
        if not exchange.is_cancelled:
            self._start_task(exchange, self._run(handler, exchange))

    def _look_at_unsent(self) -> None:
        """Leaves the calls whose request has not come to their coroutines."""
        self._sweep = None
        unsent, self._unsent = self._unsent, {}
        for exchange, handler in unsent.items():
            exchange.wait_no_longer()
            self._open_slowly(handler, exchange)
