"""What one HTTP connection may take: of headers, of time, and of what comes after an answer.

Uvicorn serves the gateway with httptools, the parser of Node.js. No server that was looked at does
all that ours must: certificates that are renewed while it runs, several processes on one port, a
bounded number of connections. So uvicorn stays, and four things that it does not bound are bounded
here:

- httptools skips the body of a request that offers an upgrade, as Java's HttpClient and `curl
  --http2` do with `h2c`. We upgrade to nothing, and RFC 9110 (7.8) lets a server ignore an offer:
  so it is taken out of the headers, as proxies do with all that concerns one connection, before the
  parser sees them.
- It keeps whatever comes as headers, trailers or chunk extensions: beyond MAX_HEAD_BYTES the
  request is refused.
- It waits for ever for headers: HTTP_HEADER_SECONDS is all they get, however many bytes they come
  in.
- It closes as soon as it has answered, and what the client is still sending is answered by a
  reset that can overtake the answer; or it goes on, and takes the next request for the rest of a
  body that the client no longer sends. So the answer says that it is the last, and the rest is read
  and dropped for a while.
"""

import asyncio
import contextlib
import functools
import os
import random
import re
from collections.abc import Callable
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from server.api.http.failures import whole_answer
from server.platform.config import Settings
from server.platform.errors import DomainError, Reason, invalid
from server.platform.metrics import HTTP_REFUSED

MAX_HEAD_BYTES = 64 * 1024
"""Of request line and headers together; also of all that is neither headers nor body, such as
trailers.
"""
MAX_HEADERS = 256
CHUNK_BYTES = 32
"""What a chunk may take besides its content: its length in at most sixteen digits, and the ends
of its lines.
"""
DROPPED_BYTES = 64 << 20
"""Of a request's rest after its answer; a client that sends more may lose the answer by a reset."""
DROP_SECONDS = 30.0
"""For all of that rest, and how long nothing of it may come: as nginx waits for a client to
notice.
"""
DROP_IDLE_SECONDS = 5.0
EARLY_BYTES, EARLY_SECONDS = 64 * 1024, 0.5
"""As much of a body is waited for so long before an answer that does not need it."""
AGE_JITTER = 0.1
"""By this part ages differ, as gRPC's do, so that connections made together do not end together."""

HEAD_END = b"\r\n\r\n"
UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*", re.IGNORECASE)
TOO_LARGE = (
    f"are larger than {MAX_HEAD_BYTES} bytes together with the request line, or more than"
    f" {MAX_HEADERS}, the most this server takes"
)

log = structlog.get_logger()


class HttpConnection(HttpToolsProtocol):
    """One connection of a client, from the handshake on.

    Args:
        given: what uvicorn gives a protocol.
        settings: how long it waits and lives.
        on_closed: called once when it is gone.
    """

    def __init__(self, settings: Settings, on_closed: Callable[[], None], **given: Any) -> None:
        super().__init__(**given)
        self._settings = settings
        self._on_closed = on_closed
        self._head = bytearray()  # what has come of the next request's, while it is not whole
        self._between = True  # of a request nothing has come, or it is in `_head`
        self._in_head = False  # the parser has begun with headers that are not whole
        self._head_bytes = 0
        self._overhead = 0  # bytes of the request that are neither body nor what chunks need
        self._refusal: tuple[int, DomainError] | None = None
        self._dropping = False
        self._dropped = 0
        self._is_old = False
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # ------------------------------------------------------------------------------- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by the transport."""
        super().connection_made(transport)
        self._await_head()
        if age := self._settings.connection_age_seconds:
            jitter = random.uniform(1 - AGE_JITTER, 1 + AGE_JITTER)  # noqa: S311 - no secret
            self._after("age", age * jitter, self._grow_old)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._on_closed()

    def _after(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        self._forget(name)
        self._timers[name] = self.loop.call_later(seconds, then)

    def _forget(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()

    def _is_busy(self) -> bool:
        return self._is_answering() or not self._between or bool(self._head)

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _grow_old(self) -> None:
        """It takes no more requests; the answer under way, if there is one, is its last."""
        self._is_old = True
        if not self._is_busy():
            self.transport.close()
            return
        if self._is_answering():
            self.cycle.keep_alive = False
        grace = self._settings.connection_age_grace_seconds
        self._after("age", grace, self.transport.close)

    # ------------------------------------------------------------------------------------- headers

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        if self._dropping:
            self._drop(len(data))
            return
        if self._between:
            self._unset_keepalive_if_required()
            self._head += data
            end = self._head.find(HEAD_END, max(0, len(self._head) - len(data) - len(HEAD_END)))
            if end < 0:
                if "head" not in self._timers:
                    self._await_head()
                if len(self._head) > MAX_HEAD_BYTES:
                    self._refuse(431, invalid("headers", TOO_LARGE))
                return
            data = _without_offers(bytes(self._head), end)
            self._head.clear()
            self._overhead = 0
        self._overhead += len(data)
        super().data_received(data)
        self._look_at_what_was_parsed()

    def _look_at_what_was_parsed(self) -> None:
        if self._dropping:
            return
        if self._in_head and "head" not in self._timers:
            self._await_head()
        if self._overhead > MAX_HEAD_BYTES:
            self._refuse(431, invalid("headers", TOO_LARGE))

    def _await_head(self) -> None:
        self._after("head", self._settings.http_header_seconds, self._give_up)

    def _give_up(self) -> None:
        self._forget("head")
        if not self._head and not self._in_head:
            self.transport.close()  # nobody asked anything
            return
        seconds = self._settings.http_header_seconds
        words = f"the request's headers did not arrive within {seconds} seconds"
        self._refuse(408, DomainError(Reason.DEADLINE_EXCEEDED, words))

    # -------------------------------------------------------------------------- called by the
    # parser

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._between, self._in_head = False, True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        super().on_url(url)
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or after the body a trailer, which nobody of ours reads."""
        if not self._in_head:
            return
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            self._refusal = 431, invalid("headers", TOO_LARGE)
            raise ValueError("refused")

    def on_headers_complete(self) -> None:
        """The headers are whole: the request is worked on from now."""
        self._forget("head")
        self._in_head = False
        self._overhead = 0
        if (
            self.parser.should_upgrade()
        ):  # CONNECT, or an offer in a request sent ahead of an answer
            words = "neither CONNECT nor an upgrade is offered here; send the request without"
            self._refusal = 400, invalid("request", words)
            raise ValueError("refused")
        super().on_headers_complete()
        if self._is_old:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._overhead = max(0, self._overhead - len(body))
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        """The end of a chunk."""
        self._overhead = max(0, self._overhead - CHUNK_BYTES)

    def on_message_complete(self) -> None:
        """The end of a request."""
        super().on_message_complete()
        self._between = True
        self._overhead = 0

    # -------------------------------------------------------------------------------------- answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, functools.partial(_answer, app, cycle))

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are not ours
        """Called by uvicorn for what the parser does not take."""
        words = "is not HTTP/1.1 as RFC 9112 has it"
        self._refuse(*(self._refusal or (400, invalid("request", words))))

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: an offer that is not taken up is no fault."""

    def _refuse(self, http_status: int, error: DomainError) -> None:
        """Answers for what becomes no request, and ends the connection when the client has had
        time to read that.
        """
        if self.transport.is_closing():
            return
        under_way = self._is_answering()
        of_another = self._between or self._in_head or bool(self.pipeline)
        if under_way and (self.cycle.response_started or of_another):
            self.transport.close()  # another answer is due first, or has begun
            return
        if under_way:
            self.cycle.disconnected = True  # its application hears no more, and is not heard
            self.cycle.message_event.set()
        request_id = os.urandom(8).hex()
        HTTP_REFUSED.labels(str(http_status)).inc()
        log.info("http.refused", request_id=request_id, status=http_status, why=error.message)
        self._dropping = True
        self._forget("head")
        self._head.clear()
        self._unset_keepalive_if_required()
        self.transport.write(whole_answer(http_status, error, request_id))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._after("drop", DROP_SECONDS, self.transport.close)
        self._drop(0)

    def _drop(self, size: int) -> None:
        self._dropped += size
        if self._dropped > DROPPED_BYTES:
            self.transport.close()
        else:
            self._after("idle", DROP_IDLE_SECONDS, self.transport.close)


def _without_offers(data: bytes, end: int) -> bytes:
    """The bytes that have come, without the offers to upgrade in the headers, which end at
    `end`.
    """
    if b"pgrade" not in data[:end] and b"PGRADE" not in data[:end]:
        return data
    return UPGRADE.sub(b"", data[:end]) + data[end:]


async def _answer(
    application: ASGIApp,
    cycle: RequestResponseCycle,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Calls the application; where it answers before the request is whole, the connection ends
    after the answer.

    Some clients, Java's among them, then keep the rest of the body to themselves and send their
    next request on the same connection, which would be taken for that rest. What is short and on
    its way is waited for instead.
    """

    async def sending(message: Message) -> None:
        if cycle.more_body and message["type"] == "http.response.start":
            waits = cycle.waiting_for_100_continue
            if waits or not await _drop_rest(receive, EARLY_BYTES, EARLY_SECONDS):
                cycle.keep_alive = False
        elif cycle.more_body and not message.get("more_body"):
            await send({**message, "more_body": True})
            await _drop_rest(receive, DROPPED_BYTES, DROP_SECONDS)
            message = {"type": "http.response.body"}
        await send(message)

    await application(scope, receive, sending)


async def _drop_rest(receive: Receive, limit: int, seconds: float) -> bool:
    """Whether the rest of the request has come, in as many bytes and seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while limit > 0:
                message = await asyncio.wait_for(receive(), DROP_IDLE_SECONDS)
                limit -= len(message.get("body", b""))
                if not message.get("more_body"):
                    return bool(message["type"] == "http.request")
    return False
