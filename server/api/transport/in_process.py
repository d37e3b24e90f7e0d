"""A server for callers in the same process, as the JSON gateway: no socket, no wire, no copy of
the handlers.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc

from server.api.transport.context import Context
from server.api.transport.exchange import Metadata
from server.api.transport.handlers import DirectHandler, run
from server.api.transport.local_exchange import LocalExchange
from server.api.transport.methods import Methods

UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED.value[0]
NOBODY = "127.0.0.1"
"""Where a caller is of whom nothing is known."""

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]


class InProcessServer:
    """Serves handlers made for `grpc.aio` to whoever has it, with the differences of `CoreServer`.

    What interceptors see of a call is what they see of one from a connection.
    """

    def __init__(self, interceptors: Sequence[grpc.aio.ServerInterceptor] = ()) -> None:
        self._methods = Methods(interceptors)
        self._handlers: dict[str, Handler] = {}
        self._open: set[LocalExchange] = set()
        self._serving: set[asyncio.Task[None]] = set()

    # as generated code needs them

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Handlers that say themselves which methods are theirs."""
        self._methods.add_generic(handlers)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, "Handler"]
    ) -> None:
        """The handlers of a service by the names of its methods."""
        self._methods.add_registered(service_name, method_handlers)

    async def start(self) -> None:
        """Makes the handlers ready; before that no method is served that was added by name."""
        self._handlers = await self._methods.registered()

    async def stop(self) -> None:
        """Cancels the calls that are left, and returns when their handlers have ended."""
        for exchange in [*self._open]:
            exchange.cancel()
        while self._serving:
            await asyncio.wait(self._serving)

    def call(
        self,
        path: str,
        request: bytes,
        metadata: Metadata = (),
        *,
        address: str | None = None,
        timeout: float | None = None,
    ) -> LocalExchange:
        """Begins a call of a method with one request.

        Args:
            path: `/package.Service/Method`.
            request: in bytes, as on the wire.
            metadata: of the call, names in small letters.
            address: where the caller is.
            timeout: seconds until the call is over, answered or not.
        """
        exchange = LocalExchange(
            path,
            request,
            metadata,
            address=address or NOBODY,
            timeout=timeout,
            when_over=self._open.discard,
        )
        self._open.add(exchange)
        handler = self._handlers.get(path)
        if isinstance(handler, DirectHandler) and handler.direct(exchange, request):
            return exchange
        self._start_task(exchange, self._run(exchange, handler))
        return exchange

    def _start_task(self, exchange: LocalExchange, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine, name=exchange.path)
        exchange.when_cancelled = task.cancel
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _run(self, exchange: LocalExchange, handler: "Handler | None") -> None:
        if handler is None:
            found = self._methods.find_generic(exchange.path, exchange.metadata)
            if found is None:
                exchange.end(UNIMPLEMENTED, "Method not found!")
                return
            handler = await self._methods.intercepted(exchange.path, found)
            self._handlers[exchange.path] = handler
        context = Context(exchange, handler.request_deserializer, handler.response_serializer)
        await run(handler, context, exchange.path)
