"""How many calls are worked on at once, of all and of each address, and how long one may wait
for its message.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import grpc

from server.api.transport.local_exchange import LOCAL_PEER
from server.platform.errors import STATUS_BY_REASON, DomainError, Reason
from server.platform.proxies import Proxies

BUSY_RETRY_SECONDS = 0.5
FIRST_MESSAGE_SECONDS = 20.0
HURRIED_SECONDS = 1.0
"""What is left to calls without a message when the server stops."""

Metadata = Mapping[str, str | bytes]
if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]


class Peer(Protocol):
    """Whoever has a call at its other end."""

    def peer(self) -> str:
        """Its address as gRPC writes it."""


class Origin(NamedTuple):
    """Where a call comes from: the caller's address, and whether it came over HTTP, by the
    gateway.
    """

    address: str
    of_gateway: bool


def peer_address(peer: str) -> str:
    """The address in gRPC's text for the peer, such as `ipv4:192.0.2.1:4711` or
    `ipv6:%5B2001:db8::7%5D:4711`.
    """
    address = peer.split(":", 1)[1].rpartition(":")[0] if ":" in peer else peer
    return address.replace("%5B", "").replace("%5D", "").strip("[]")


class Admission:
    """The calls of this process: how many there are, and which still wait for their message.

    Attributes:
        in_flight: calls being worked on.
    """

    def __init__(
        self,
        *,
        max_calls: int,
        max_calls_per_address: int = 0,
        first_message_seconds: float = FIRST_MESSAGE_SECONDS,
        proxies: Proxies | None = None,
    ) -> None:
        self.in_flight = 0
        self._max_calls = max_calls
        self._max_per_address = max_calls_per_address
        self._seconds = first_message_seconds
        self._of_address: Counter[str] = Counter()
        self._waiting: set[asyncio.Timeout] = set()
        self._proxies = proxies or Proxies()

    def origin(
        self, peer: Peer, metadata: Metadata, sent: Iterable[tuple[str, str | bytes]]
    ) -> Origin:
        """Where a call comes from; where a proxy that is trusted says so, from another than the
        peer. `metadata` are those `sent`, the last of each name.
        """
        name = peer.peer()
        address, header = peer_address(name), self._proxies.header
        if name.startswith(LOCAL_PEER):  # the gateway has read the header, and says who calls
            return Origin(address, of_gateway=True)
        if header not in metadata:
            return Origin(self._proxies.caller(address, ()), of_gateway=False)
        said = [str(value) for key, value in sent if key == header]
        return Origin(self._proxies.caller(address, said), of_gateway=False)

    def enter(self, address: str) -> None:
        """Counts a call; `leave` has to follow."""
        self.in_flight += 1
        self._count(address)

    def leave(self, address: str) -> None:
        """Counts a call no more."""
        self.in_flight -= 1
        self._uncount(address)

    def check(self, address: str) -> None:
        """Raises SERVER_BUSY when there are more calls than are taken, of all or from this
        address.
        """
        if self.in_flight > self._max_calls:
            raise _busy(f"{self._max_calls} calls are in flight; try again later")
        self._check_address(address)

    async def first_message(self, read: Awaitable[Any]) -> Any:
        """What `read` gives. Raises DEADLINE_EXCEEDED if it does not come in time, INVALID_FIELD
        at the stream's end.
        """
        try:
            async with asyncio.timeout(self._seconds) as wait:
                self._waiting.add(wait)
                try:
                    message = await read
                finally:
                    self._waiting.discard(wait)
        except TimeoutError:
            raise DomainError(
                Reason.DEADLINE_EXCEEDED,
                f"no request came within {self._seconds:g} seconds; send it with the call",
            ) from None
        if message is grpc.aio.EOF:
            await asyncio.sleep(0)  # lets a cancellation arrive, whose end looks the same
            raise DomainError(Reason.INVALID_FIELD, "the call came without a request; send one")
        return message

    def hurry(self) -> None:
        """Leaves calls that wait for their message a second from now on."""
        for wait in self._waiting:
            wait.reschedule(asyncio.get_running_loop().time() + HURRIED_SECONDS)

    def bounded(self, handler: Any) -> "Handler":
        """A library's own handler (health, reflection) under the same bounds, but counted by
        address alone.

        Such calls are answered also when all others are refused, and no stop waits for them.
        """
        parse, serialize = handler.request_deserializer, handler.response_serializer

        async def unary(_messages: Any, context: Any) -> Any:
            async with self._of_library(context):
                content = await self.first_message(context.read())
                return await handler.unary_unary(parse(content), context)

        async def answers(_messages: Any, context: Any) -> None:
            async with self._of_library(context):
                content = await self.first_message(context.read())
                await handler.unary_stream(parse(content), context)

        async def stream(messages: Any, context: Any) -> AsyncIterator[Any]:
            async with self._of_library(context):
                async for answer in handler.stream_stream(self._stream(messages), context):
                    yield answer

        if inspect.iscoroutinefunction(handler.unary_unary):
            return grpc.stream_unary_rpc_method_handler(unary, None, serialize)
        if inspect.iscoroutinefunction(handler.unary_stream):
            return grpc.stream_stream_rpc_method_handler(answers, None, serialize)
        if inspect.isasyncgenfunction(handler.stream_stream):
            return grpc.stream_stream_rpc_method_handler(stream, parse, serialize)
        return handler  # type: ignore[no-any-return]

    async def _stream(self, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        yield await self.first_message(anext(messages))
        async for message in messages:
            yield message

    @asynccontextmanager
    async def _of_library(self, context: Any) -> AsyncIterator[None]:
        sent = context.invocation_metadata()
        address = self.origin(context, dict(sent), sent).address
        self._count(address)
        try:
            self._check_address(address)
            yield
        except DomainError as error:
            await context.abort(grpc.StatusCode[STATUS_BY_REASON[error.reason]], error.message)
        finally:
            self._uncount(address)

    def _count(self, address: str) -> None:
        self._of_address[address] += 1

    def _uncount(self, address: str) -> None:
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]

    def _check_address(self, address: str) -> None:
        too_many = 0 < self._max_per_address < self._of_address[address]
        if too_many and not self._proxies.trusts(address):
            raise _busy(
                f"{self._max_per_address} calls from this address are in flight; try again later"
            )


def _busy(words: str) -> DomainError:
    return DomainError(Reason.SERVER_BUSY, words, retry_seconds=BUSY_RETRY_SECONDS)
