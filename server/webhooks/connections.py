"""HTTP/1.1 connections to one endpoint: POST and read the answer, one request at a time on each,
kept for the next.

No library of HTTP clients: what one of those does for a request (a pool for all hosts, redirects,
cookies, a parser in Python) costs several times what is needed here, which is measured in
docs/benchmarks.md. Answers are read by httptools, the parser of Node.js.

The host is resolved anew for each connection, every address it has must be public, and the
connection is made to such an address itself: what the name says a moment later changes nothing.
"""

import asyncio
import socket
import ssl
import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools
from typing_extensions import override

from server.webhooks.addresses import is_public

CONNECT_SECONDS = 5.0
KEPT_BYTES = 500
"""Of an answer's body."""
READ_BYTES = 65_536
"""An answer that is longer costs its connection."""
IDLE_SECONDS = 20.0
"""A connection that nothing is sent over is closed."""
USER_AGENT = "DeepTravel-Webhooks/1.0"


class BlockedAddressError(OSError):
    """A host has an address that is not public."""


class NoHttpAnswerError(Exception):
    """There was no answer of HTTP; the text says why."""


class _ClosedError(NoHttpAnswerError):
    """The connection was closed before anything was answered."""


class HttpAnswer(NamedTuple):
    """An answer: the beginning of its body, and the header `Retry-After`."""

    status: int
    kept: bytes
    retry_after: bytes


class _Target(NamedTuple):
    """Where a URL leads, and how each request to it begins."""

    is_tls: bool
    host: str
    port: int
    head: bytes

    @classmethod
    def of(cls, url: str) -> "_Target":
        parts = urlsplit(url)
        is_tls = parts.scheme == "https"
        where = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = (
            f"POST {where} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
            f"user-agent: {USER_AGENT}\r\n"
        )
        port = parts.port or (443 if is_tls else 80)
        return cls(is_tls, parts.hostname or "", port, head.encode())


class _Connection(asyncio.Protocol):
    """One connection. httptools calls the methods `on_…`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[HttpAnswer] | None = None
        self._begin()
        self.idle_since = 0.0

    def _begin(self) -> None:
        self._read = 0
        self._kept = b""
        self._retry_after = b""
        self._has_head = False
        self._ends_by_close = True

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def post(self, request: bytes) -> HttpAnswer:
        """Sends a request and reads its answer. Raises NoHttpAnswerError, _ClosedError."""
        if self._transport is None or self._transport.is_closing():
            raise _ClosedError("the connection was closed without an answer")
        self._begin()
        self._answer = self._loop.create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Closes it; what waits for an answer has to be cancelled."""
        self._answer = None
        if self._transport is not None:
            self._transport.abort()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def data_received(self, data: bytes) -> None:
        if self._answer is None:  # nothing was asked
            self.close()
            return
        self._read += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(NoHttpAnswerError("what was answered is not HTTP/1.1"))
            return
        if self._read > READ_BYTES:
            if self._has_head:
                self._end(is_kept=False)
            else:
                self._fail(NoHttpAnswerError(f"the answer's headers are over {READ_BYTES} bytes"))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None:
            if self._has_head and self._ends_by_close and exc is None:
                self._end(is_kept=False)
            elif self._read:
                self._fail(NoHttpAnswerError("the connection was closed within the answer"))
            else:
                self._fail(_ClosedError("the connection was closed without an answer"))

    def on_message_begin(self) -> None:
        if self._answer is None:  # more than the answer
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"retry-after":
            self._retry_after = value
        elif name in (b"content-length", b"transfer-encoding"):
            self._ends_by_close = False

    def on_headers_complete(self) -> None:
        self._has_head = self._parser.get_status_code() >= 200

    def on_body(self, body: bytes) -> None:
        self._kept += body[: KEPT_BYTES - len(self._kept)]

    def on_message_complete(self) -> None:
        if not self._has_head:  # an interim answer, such as 103: the one that counts follows
            self._retry_after, self._ends_by_close = b"", True
        elif self._answer is not None:
            self._end(is_kept=self._parser.should_keep_alive())
        else:
            self.close()

    def _end(self, *, is_kept: bool) -> None:
        waiting, self._answer = self._answer, None
        if waiting is not None and not waiting.done():
            status = self._parser.get_status_code()
            waiting.set_result(HttpAnswer(status, self._kept, self._retry_after))
        if not is_kept:
            self.close()

    def _fail(self, error: NoHttpAnswerError) -> None:
        waiting, self._answer = self._answer, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
        self.close()


class Connections:
    """The connections to one endpoint, as many as there are requests under way."""

    def __init__(self, tls: ssl.SSLContext, *, allow_private: bool) -> None:
        self._tls = tls
        self._allow_private = allow_private
        self._url = ""
        self._target = _Target.of("")
        self._idle: deque[_Connection] = deque()

    async def post(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> HttpAnswer:
        """Sends a request with these headers, beside its length and type, and reads the answer.

        A kept connection that turns out to be closed is replaced once; so a request may come
        twice. Raises NoHttpAnswerError, OSError.
        """
        if url != self._url:
            self.close()
            self._url, self._target = url, _Target.of(url)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        end = f"content-length: {len(body)}\r\n{lines}\r\n".encode()
        request = self._target.head + end + body
        kept = self._kept_one()
        if kept is not None:
            try:
                return await self._post(kept, request)
            except _ClosedError:
                pass
        return await self._post(await self._connected(self._target), request)

    def close(self) -> None:
        """Closes those that nothing is sent over."""
        while self._idle:
            self._idle.pop().close()

    async def _post(self, connection: _Connection, request: bytes) -> HttpAnswer:
        url = self._url
        try:
            answer = await connection.post(request)
        except BaseException:
            connection.close()
            raise
        if connection.is_open:
            if url == self._url:
                connection.idle_since = time.monotonic()
                self._idle.append(connection)
            else:
                connection.close()
        return answer

    def _kept_one(self) -> _Connection | None:
        """The one that was used last; those that were not for long are closed."""
        long_ago = time.monotonic() - IDLE_SECONDS
        while self._idle and self._idle[0].idle_since < long_ago:
            self._idle.popleft().close()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def _connected(self, target: _Target) -> _Connection:
        loop = asyncio.get_running_loop()
        why = "its host has no address"
        for address in await self._addresses(target):
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    _, connection = await loop.create_connection(
                        _Connection,
                        address,
                        target.port,
                        ssl=self._tls if target.is_tls else None,
                        server_hostname=target.host if target.is_tls else None,
                    )
            except OSError as error:  # a time-out is one
                why = str(error) or f"not within {CONNECT_SECONDS:.0f} s"
            else:
                return connection
        raise NoHttpAnswerError(f"cannot be connected to: {why}")

    async def _addresses(self, target: _Target) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise NoHttpAnswerError(f"{target.host} was not resolved in time") from None
        except (OSError, UnicodeError) as error:
            raise NoHttpAnswerError(f"{target.host} cannot be found: {error}") from error
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if not self._allow_private:
            for address in addresses:
                if not is_public(address):
                    raise BlockedAddressError(f"{target.host} is {address}, which is not public")
        return addresses
