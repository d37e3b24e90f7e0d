"""One call whose caller is in this process: what passes between the two, without a wire."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import grpc

from server.api.transport.exchange import NO_FLAGS, Metadata

LOCAL_PEER = "inproc:"
"""How the peer of such a call begins; no connection has one like it."""
MESSAGES_AHEAD = 4
"""So many may be written that nobody has read yet."""
NO_METADATA: Metadata = ()


class Metadatum(NamedTuple):
    """A key and its value, as the core gives them; OpenTelemetry's interceptor wants the names."""

    key: str
    value: str | bytes


class LocalExchange:
    """For the handler an `Exchange`; for the caller what becomes of the call.

    Attributes:
        path, metadata, is_cancelled, is_answered, has_begun, when_cancelled, compression: as of an
            `Exchange`.
        initial: the initial metadata, once they have come.
        trailer: the trailing metadata, once the call has ended.
    """

    is_cancelled = False
    is_answered = False
    has_begun = False
    when_cancelled: Callable[[], object] | None = None
    compression: str | None = None
    initial: Metadata = NO_METADATA
    trailer: Metadata = NO_METADATA
    _code = grpc.StatusCode.OK
    _details = ""
    _is_late = False
    _caller: asyncio.Future[None] | None = None
    _sender: asyncio.Future[None] | None = None

    def __init__(
        self,
        path: str,
        request: bytes,
        metadata: Metadata,
        *,
        address: str,
        timeout: float | None,
        when_over: Callable[["LocalExchange"], object],
    ) -> None:
        """A call of somebody at `address`, which is over after `timeout` seconds; `when_over` is
        called once when it has ended for either side.
        """
        self.path = path
        self.metadata: Metadata = [Metadatum(*each) for each in metadata]
        self._address = address
        self._request: bytes | None = request
        self._answers: deque[bytes] = deque()
        self._when_over = when_over
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        if timeout is not None:
            self._deadline = self._loop.time() + timeout
            self._timer = self._loop.call_later(timeout, self._expire)

    # the caller's side

    def cancel(self) -> None:
        """Nobody waits for an answer any more."""
        self._break_off(grpc.StatusCode.CANCELLED, "cancelled")

    async def opened(self) -> Metadata:
        """The initial metadata, when they, a message or the end have come."""
        while not (self.has_begun or self._is_over):
            await self._wait()
        return self.initial

    async def read(self) -> Any:
        """The next message; EOF at the end. Raises AioRpcError if that is none of OK."""
        while not self._answers:
            if self._is_over:
                self._raise_failure()
                return grpc.aio.EOF
            await self._wait()
        if self._sender is not None and not self._sender.done():
            self._sender.set_result(None)
        return self._answers.popleft()

    async def answered(self) -> bytes:
        """The one answer. Raises AioRpcError."""
        while not self._is_over:
            await self._wait()
        self._raise_failure()
        return self._answers.popleft()

    @property
    def _is_over(self) -> bool:
        return self.is_answered or self.is_cancelled

    async def _wait(self) -> None:
        """Until something has happened; one at a time."""
        assert self._caller is None, "two wait for the same call"
        self._caller = self._loop.create_future()
        try:
            await self._caller
        finally:
            self._caller = None

    def _wake(self) -> None:
        if self._caller is not None and not self._caller.done():
            self._caller.set_result(None)

    def _raise_failure(self) -> None:
        if self._code is not grpc.StatusCode.OK:
            initial = grpc.aio.Metadata(*self.initial)
            trailer = grpc.aio.Metadata(*self.trailer)
            raise grpc.aio.AioRpcError(self._code, initial, trailer, self._details)

    def _expire(self) -> None:
        self._is_late = True
        self._break_off(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")

    def _break_off(self, code: grpc.StatusCode, details: str) -> None:
        if self._is_over:
            return
        self.is_cancelled = True
        self._code, self._details = code, details
        if self.when_cancelled is not None:
            self.when_cancelled()
        self._close()

    def _close(self) -> None:
        self.when_cancelled = None
        if self._timer is not None:
            self._timer.cancel()
        self._wake()
        self._when_over(self)

    # the handler's side, as of an Exchange

    def peer(self) -> str:
        """Where the caller is: `inproc:192.0.2.1:0`, `inproc:[2001:db8::7]:0`."""
        return f"{LOCAL_PEER}{f'[{self._address}]' if ':' in self._address else self._address}:0"

    def peer_identities(self) -> None:
        """None: the caller has shown no certificate to us."""

    def peer_identity_key(self) -> None:
        """None, as of `peer_identities`."""

    def auth_context(self) -> Mapping[str, Any]:
        """Empty, as of `peer_identities`."""
        return {}

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, none of them negative; None without a deadline."""
        if self._timer is None:
            return None
        return 0 if self._is_late else max(self._deadline - self._loop.time(), 0)

    async def receive(self) -> bytes | None:
        """The request, once; then None."""
        request, self._request = self._request, None
        return request

    async def begin(self, metadata: Metadata) -> None:
        """Gives the initial metadata. Raises UsageError if they are given."""
        if self.has_begun:
            raise grpc.aio.UsageError("the initial metadata are sent already")
        self._check()
        self.has_begun, self.initial = True, metadata
        self._wake()

    async def send(self, content: bytes, flags: int = NO_FLAGS) -> None:  # noqa: ARG002
        """Gives a message, and returns when there is room for another.

        Raises CancelledError if nobody takes it any more, UsageError while another sends.
        """
        self._check()
        if self._sender is not None:
            raise grpc.aio.UsageError("another sends on this call")
        self.has_begun = True
        self._answers.append(content)
        self._wake()
        while len(self._answers) > MESSAGES_AHEAD and not self.is_cancelled:
            self._sender = self._loop.create_future()
            try:
                await self._sender
            finally:
                self._sender = None

    def _check(self) -> None:
        if self.is_cancelled:
            raise asyncio.CancelledError

    def answer(
        self,
        content: bytes,
        trailer: Metadata = NO_METADATA,
        flags: int = NO_FLAGS,  # noqa: ARG002
    ) -> None:
        """Ends a call with one message and OK."""
        if not self._is_over:
            self._answers.append(content)
            self._finish(grpc.StatusCode.OK, "", trailer)

    def end(self, code: int, details: str, trailer: Metadata = NO_METADATA) -> None:
        """Ends a call with a status: a refusal, or the last of a stream."""
        if not self._is_over:
            self._finish(STATUSES[code], details, trailer)

    def _finish(self, code: grpc.StatusCode, details: str, trailer: Metadata) -> None:
        self.is_answered = True
        self._code, self._details, self.trailer = code, details, trailer
        self._close()


STATUSES = {status.value[0]: status for status in grpc.StatusCode}
