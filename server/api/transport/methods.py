"""What a server serves: the handlers of its methods, as its interceptors make them."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]


@dataclass
class CallDetails:
    """What a generic handler and an interceptor are asked with."""

    method: str
    invocation_metadata: Any


class Methods:
    """Handlers by the paths of their methods.

    Interceptors are asked once for each method, not for each call, without metadata.
    """

    def __init__(self, interceptors: Sequence[grpc.aio.ServerInterceptor]) -> None:
        self._interceptors = tuple(interceptors)
        self._generic: list[grpc.GenericRpcHandler] = []
        self._registered: dict[str, Handler] = {}

    def add_generic(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Handlers that say themselves which methods are theirs."""
        self._generic += handlers

    def add_registered(self, service_name: str, handlers: Mapping[str, "Handler"]) -> None:
        """The handlers of a service by the names of its methods."""
        for name, handler in handlers.items():
            self._registered[f"/{service_name}/{name}"] = handler

    async def registered(self) -> dict[str, "Handler"]:
        """All that were added by name, intercepted."""
        return {
            path: await self.intercepted(path, handler)
            for path, handler in self._registered.items()
        }

    def find_generic(self, path: str, metadata: Any) -> "Handler | None":
        """The handler that a generic one gives for a call."""
        details = CallDetails(path, metadata)
        for generic in self._generic:
            handler = generic.service(details)
            if handler is not None:
                return handler
        return None

    async def intercepted(self, path: str, handler: "Handler") -> "Handler":
        """What the interceptors make of a handler, the first of them outermost."""

        async def ask(details: Any, position: int = 0) -> Any:
            if position == len(self._interceptors):
                return handler
            then: Callable[[Any], Awaitable[Any]] = partial(ask, position=position + 1)
            return await self._interceptors[position].intercept_service(then, details)

        found: Handler | None = await ask(CallDetails(path, ()))
        assert found is not None, f"an interceptor takes {path} away"
        return found
