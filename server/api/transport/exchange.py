"""One call on the core: what came with it, and the operations on it that are under way.

The core takes one operation of a kind at a time (one message being read, one being written), tells
when each is done, and gives the end of the call as an operation too.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import grpc
import structlog

from server.api.transport import core

Metadata = Sequence[tuple[str, str | bytes]]

OK = grpc.StatusCode.OK.value[0]
INTERNAL = grpc.StatusCode.INTERNAL.value[0]
NO_FLAGS = 0
NO_DETAILS = b""
FOREVER = 1e10
"""A deadline later than this, in seconds since 1970, is none."""

log = structlog.get_logger()


class Exchange:
    """A call that is served; used in the event loop's thread only.

    Attributes:
        metadata: what the client sent with the call.
        is_cancelled: the client is gone, or the deadline has passed: nobody waits for an answer.
        is_answered: a status was sent: the call can do no more.
        when_cancelled: called once when the call is cancelled before it is answered.
        compression: of the messages that are sent, from `grpc.Compression`; the channel's default
            if there is none.
    """

    is_cancelled = False
    is_answered = False
    has_begun = False
    when_cancelled: Callable[[], object] | None = None
    compression: str | None = None
    _is_receiving = False
    _receiver: asyncio.Future[bytes | None] | None = None
    _on_first: Callable[["Exchange", bytes | None], object] | None = None
    _is_sending = False
    _sender: asyncio.Future[bool] | None = None
    _peer: str | None = None

    def __init__(self, event: Any) -> None:
        """Of the core's event that a call has come."""
        self.metadata: Metadata = event.invocation_metadata
        self._details = event.call_details
        self._call = event.call
        self._unread: deque[bytes | None] = deque()
        self._call.start_server_batch((core.ReceiveClose(NO_FLAGS),), self._on_close)

    @property
    def path(self) -> str:
        """Of the method, `/package.Service/Method`."""
        path: bytes = self._details.method
        return path.decode(errors="replace")

    @property
    def call(self) -> Any:
        """The core's call. Raises UsageError when it is over."""
        if self._call is None:
            raise grpc.aio.UsageError("the call is over")
        return self._call

    def peer(self) -> str:
        """Where the call comes from, as gRPC writes it: `ipv4:192.0.2.1:4711`, `unix:`."""
        if self._peer is None:
            self._peer = self._call.peer().decode() if self._call is not None else ""
        return self._peer

    def peer_identities(self) -> Iterable[bytes] | None:
        """The names in the client's certificate; None without one."""
        found: Iterable[bytes] | None = core.peer_identities(self.call)
        return found

    def peer_identity_key(self) -> str | None:
        """Which of the certificate's properties names the client; None without one."""
        key: bytes | None = core.peer_identity_key(self.call)
        return None if key is None else key.decode()

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What is known of the connection's security, by name."""
        found: Mapping[bytes, Iterable[bytes]] = core.auth_context(self.call) or {}
        return {key.decode(): value for key, value in found.items()}

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, none of them negative; None without a deadline."""
        deadline: float = self._details.deadline
        return None if deadline > FOREVER else max(deadline - time.time(), 0)

    def _on_close(self, event: Any) -> None:
        """The call is over, for one reason or another."""
        self._call = None
        if event.batch_operations[0].cancelled() and not self.is_answered:
            self.is_cancelled = True
            if self.when_cancelled is not None:
                self.when_cancelled()
        self.when_cancelled = None

    def _start(self, operations: tuple[Any, ...], tag: Callable[[Any], object]) -> None:
        error = self.call.start_server_batch(operations, tag)
        if error:
            raise grpc.aio.InternalError(f"the core refuses {operations}: error {error}")

    # receiving

    def receive_first(self, then: Callable[["Exchange", bytes | None], object]) -> None:
        """Begins to read the first message, and calls `then` with it; None at the stream's end."""
        self._on_first = then
        self._is_receiving = True
        self._call.start_server_batch((core.ReceiveMessage(NO_FLAGS),), self._on_message)

    def wait_no_longer(self) -> None:
        """Leaves the first message to `receive`, which is asked for it instead of `then`."""
        self._on_first = None

    def unread(self, content: bytes | None) -> None:
        """Puts a message back, for the next who receives."""
        self._unread.appendleft(content)

    async def receive(self) -> bytes | None:
        """The next message; None at the end of the stream. Who gives up waiting loses none.

        Raises UsageError while another receives.
        """
        if self._unread:
            content = self._unread[0]
            if content is not None:  # the end stays the end
                self._unread.popleft()
            return content
        if self._receiver is not None:
            raise grpc.aio.UsageError("another receives from this call")
        if not self._is_receiving:
            self._start((core.ReceiveMessage(NO_FLAGS),), self._on_message)
            self._is_receiving = True
        receiver: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._receiver = receiver
        try:
            content = await receiver
        except asyncio.CancelledError:
            if receiver.done() and not receiver.cancelled():
                self.unread(receiver.result())
            raise
        finally:
            self._receiver = None
        return content

    def _on_message(self, event: Any) -> None:
        self._is_receiving = False
        content: bytes | None = event.batch_operations[0].message()
        if self._on_first is not None:
            then, self._on_first = self._on_first, None
            then(self, content)
            return
        if content is None:
            self._unread.append(None)
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(content)
        elif content is not None:
            self._unread.append(content)

    # sending

    async def begin(self, metadata: Metadata) -> None:
        """Sends the initial metadata. Raises UsageError if they are sent."""
        if self.has_begun:
            raise grpc.aio.UsageError("the initial metadata are sent already")
        await self._send((self._initial(metadata),))

    async def send(self, content: bytes, flags: int = NO_FLAGS) -> None:
        """Sends a message, and returns when there is room for another.

        Raises CancelledError if nobody takes it any more, UsageError while another sends.
        """
        message = core.SendMessage(content, flags)
        await self._send((message,) if self.has_begun else (self._initial(()), message))

    async def _send(self, operations: tuple[Any, ...]) -> None:
        if self._sender is not None:
            raise grpc.aio.UsageError("another sends on this call")
        if self._is_sending:  # what was given up by whoever sent it
            await self._sent()
        if self.is_cancelled:
            raise asyncio.CancelledError
        self._start(operations, self._on_sent)
        self._is_sending = self.has_begun = True
        if not await self._sent():
            self.is_cancelled = True  # who sends hears of it here, and not again
            self.when_cancelled = None
            raise asyncio.CancelledError

    async def _sent(self) -> bool:
        sender: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._sender = sender
        try:
            return await sender
        finally:
            self._sender = None

    def _on_sent(self, event: Any) -> None:
        self._is_sending = False
        if self._sender is not None and not self._sender.done():
            self._sender.set_result(event.success)

    def _initial(self, metadata: Metadata) -> Any:
        if self.compression is not None:
            metadata = ((core.COMPRESSION_KEY, self.compression), *metadata)
        return core.SendInitialMetadata(metadata, NO_FLAGS)

    # the end

    def answer(self, content: bytes, trailer: Metadata = (), flags: int = NO_FLAGS) -> None:
        """Ends a call with one message and OK."""
        self._end(
            core.SendMessage(content, flags), core.SendStatus(trailer, OK, NO_DETAILS, NO_FLAGS)
        )

    def end(self, code: int, details: str, trailer: Metadata = ()) -> None:
        """Ends a call with a status: a refusal, or the last of a stream."""
        self._end(core.SendStatus(trailer, code, details, NO_FLAGS))

    def _end(self, *operations: Any) -> None:
        """Nothing is done for a call that is over."""
        call, self._call = self._call, None
        if call is None or self.is_answered:
            return
        self.is_answered = True
        if not self.has_begun:
            operations = (self._initial(()), *operations)
        try:
            error = call.start_server_batch(operations, _nothing)
        except TypeError as fault:  # text where the core takes bytes
            error = fault
        if error:
            log.error("transport.answer_refused", path=self.path, error=error)
            status = core.SendStatus((), INTERNAL, "the answer cannot be sent", NO_FLAGS)
            started = (status,) if self.has_begun else (self._initial(()), status)
            call.start_server_batch(started, _nothing)


def _nothing(_event: Any) -> None:
    """An operation is done that nobody waits for."""
