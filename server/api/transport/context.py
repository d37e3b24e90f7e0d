"""What a handler that is a coroutine is given: the interface of grpc.aio's context, on our core."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import grpc
from typing_extensions import override

from server.api.transport import core
from server.api.transport.exchange import NO_FLAGS, Exchange, Metadata
from server.api.transport.local_exchange import LocalExchange

COMPRESSIONS: Mapping[grpc.Compression, str] = MappingProxyType(
    {
        grpc.Compression.NoCompression: "identity",
        grpc.Compression.Deflate: "deflate",
        grpc.Compression.Gzip: "gzip",
    }
)


class Context(grpc.aio.ServicerContext[Any, Any]):
    """Of one call. Methods do what grpc.aio documents, where nothing else is said.

    A read that was cancelled loses no message, other than in grpc.aio, and a write that finds
    nobody to take it raises CancelledError.
    """

    def __init__(
        self,
        exchange: Exchange | LocalExchange,
        parse: Callable[[bytes], Any] | None,
        serialize: Callable[[Any], bytes] | None,
    ) -> None:
        self.exchange = exchange
        self.aborted: BaseException | None = None
        self._parse = parse
        self._serialize = serialize
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailer: Metadata = ()
        self._flags = NO_FLAGS
        self._callbacks: list[Callable[[Any], None]] = []

    @override
    async def read(self) -> Any:
        self.check()
        content = await self.exchange.receive()
        if content is None:
            return grpc.aio.EOF
        return content if self._parse is None else self._parse(content)

    @override
    async def write(self, message: Any) -> None:
        self.check()
        await self.exchange.send(self.serialized(message), self._take_flags())

    @override
    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        self.check()
        await self.exchange.begin(tuple(initial_metadata))

    @override
    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> NoReturn:
        if self.aborted is not None:
            raise grpc.aio.UsageError("the call was aborted already")
        self.aborted = grpc.aio.AbortError("Locally aborted.")
        self._code, self._details = code, details or self._details
        self._trailer = tuple(trailing_metadata) or self._trailer
        self.end()
        raise self.aborted

    @override
    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        await self.abort(status.code, status.details, status.trailing_metadata)

    @override
    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._trailer = tuple(trailing_metadata)

    @override
    def trailing_metadata(self) -> Any:
        return self._trailer

    @override
    def invocation_metadata(self) -> Any:
        return self.exchange.metadata

    @override
    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    @override
    def code(self) -> Any:
        return self._code

    @override
    def set_details(self, details: str) -> None:
        self._details = details

    @override
    def details(self) -> str:
        return self._details

    @override
    def set_compression(self, compression: grpc.Compression) -> None:
        if self.exchange.has_begun:
            raise RuntimeError("compression is set before the initial metadata are sent")
        self.exchange.compression = COMPRESSIONS[compression]

    @override
    def disable_next_message_compression(self) -> None:
        self._flags = core.NO_COMPRESSION

    @override
    def peer(self) -> str:
        return self.exchange.peer()

    @override
    def peer_identities(self) -> Iterable[bytes] | None:
        return self.exchange.peer_identities()

    @override
    def peer_identity_key(self) -> str | None:
        return self.exchange.peer_identity_key()

    @override
    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return self.exchange.auth_context()

    @override
    def time_remaining(self) -> Any:
        return self.exchange.time_remaining()

    @override
    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._callbacks.append(callback)

    @override
    def cancelled(self) -> bool:
        return self.exchange.is_cancelled

    @override
    def done(self) -> bool:
        return self.exchange.is_answered or self.exchange.is_cancelled

    # for whoever runs the handler

    def check(self) -> None:
        """Raises what `abort` did, for a handler that goes on; UsageError after the answer."""
        if self.aborted is not None:
            raise self.aborted
        if self.exchange.is_answered:
            raise grpc.aio.UsageError("the call is answered")

    def serialized(self, message: Any) -> bytes:
        """The bytes of an answer."""
        content: bytes = message if self._serialize is None else self._serialize(message)
        return content

    def parsed(self, content: bytes) -> Any:
        """The request of its bytes."""
        return content if self._parse is None else self._parse(content)

    async def requests(self) -> AsyncIterator[Any]:
        """The messages of the stream, to its end."""
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    def answer(self, message: Any) -> None:
        """Ends the call with the one answer, or with the status that was set instead."""
        self.check()
        if self._code is None or self._code is grpc.StatusCode.OK:
            self.exchange.answer(self.serialized(message), self._trailer, self._take_flags())
        else:
            self.end()

    def end(self) -> None:
        """Ends the call with its status."""
        code = grpc.StatusCode.OK if self._code is None else self._code
        self.exchange.end(code.value[0], self._details, self._trailer)

    def fail(self, details: str) -> None:
        """Ends the call of a handler that failed."""
        if self._code is None or self._code is grpc.StatusCode.OK:
            self._code = grpc.StatusCode.UNKNOWN
        self._details = details
        self.end()

    def close(self) -> None:
        """Tells those who wait for the end."""
        for callback in self._callbacks:
            callback(self)

    def _take_flags(self) -> int:
        flags, self._flags = self._flags, NO_FLAGS
        return flags
