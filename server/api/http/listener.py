"""Takes HTTP connections, no more of them than may be open, in all and from one address.

They are counted from the moment they are there, so that those whose TLS handshake never ends count
too.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import structlog

from server.api.http.failures import whole_answer
from server.identity.rules import login_source
from server.platform.config import Settings
from server.platform.errors import DomainError, Reason
from server.platform.loops import Loop, Loops
from server.platform.metrics import HTTP_CONNECTIONS, HTTP_CONNECTIONS_REFUSED

FULL_SECONDS = 1.0
"""Without a file to spare for a connection the next one is tried after so long."""
NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
NO_SOCKET = (errno.EBADF, errno.EINVAL, errno.ENOTSOCK)
"""The listening socket itself is gone, which trying again at once does not mend."""
RETRY_SECONDS = 1.0
LOG_SECONDS = 10.0

log = structlog.get_logger()

MakeProtocol = Callable[[Callable[[], None]], asyncio.Protocol]
"""Makes the protocol of one connection; what it is given is to be called when that is gone."""


class Listener:
    """Listening sockets and the connections that came of them.

    Args:
        make_protocol: for each connection.
        settings: how many may be open, and whose are not counted by address.
        context: for TLS; None for plaintext.
    """

    def __init__(
        self, make_protocol: MakeProtocol, settings: Settings, context: ssl.SSLContext | None
    ) -> None:
        self._make_protocol = make_protocol
        self._limit = settings.http_connections
        self._limit_per_address = settings.http_connections_per_address
        self._handshake_seconds = settings.http_header_seconds if context else None
        self._proxies = settings.proxies
        self._context = context
        self._by_address: Counter[str] = Counter()
        self._open = 0
        self._accepting: list[Loop] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused = 0
        self._log_after = 0.0

    def start(self, sockets: list[socket.socket], name: str, loops: Loops) -> None:
        """Begins to take connections, in one of the process's `loops` for each socket, named
        after `name`.
        """
        for number, each in enumerate(sockets):
            loop = loops.add(f"accept {name} {number}", partial(self._accept, each))
            self._accepting.append(loop)
            loop.start()

    def close(self) -> None:
        """Takes no more connections, and gives up handshakes under way."""
        for loop in self._accepting:
            loop.cancel_soon()
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> None:
        """Returns when `close` has come about."""
        for loop in self._accepting:
            await loop.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _run(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(work, name="http connection")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                taken, peer = await loop.sock_accept(listening)
            except OSError as error:
                if error.errno in NO_SOCKET:
                    raise
                if error.errno not in NO_FILES:  # it was gone again
                    continue
                log.error("http.not_accepted", error=str(error), remedy="raise `ulimit -n`")
                await asyncio.sleep(FULL_SECONDS)
                continue
            limit = self._limit_reached(address := str(peer[0]))
            if limit:
                self._refuse(taken, address, limit)
            else:
                self._run(self._connect(taken, address))

    def _limit_reached(self, address: str) -> str | None:
        if self._open >= self._limit:
            return "all"
        if not self._limit_per_address or self._proxies.trusts(address):
            return None
        reached = self._by_address[login_source(address)] >= self._limit_per_address
        return "address" if reached else None

    def _refuse(self, taken: socket.socket, address: str, limit: str) -> None:
        HTTP_CONNECTIONS_REFUSED.labels(limit).inc()
        self._refused += 1
        if (now := time.monotonic()) > self._log_after:
            log.warning("http.connections_refused", count=self._refused, address=address, of=limit)
            self._refused, self._log_after = 0, now + LOG_SECONDS
        with taken, contextlib.suppress(OSError):
            if self._context is None:
                words = "too many connections are open; use those you have, or try again later"
                busy = DomainError(Reason.SERVER_BUSY, words, retry_seconds=RETRY_SECONDS)
                taken.setblocking(False)
                taken.send(whole_answer(503, busy, ""))
                taken.shutdown(socket.SHUT_WR)

    async def _connect(self, taken: socket.socket, address: str) -> None:
        source = login_source(address)
        is_counted = True
        self._open += 1
        self._by_address[source] += 1
        HTTP_CONNECTIONS.inc()

        def on_closed() -> None:
            nonlocal is_counted
            if not is_counted:
                return
            is_counted = False
            self._open -= 1
            HTTP_CONNECTIONS.dec()
            self._by_address[source] -= 1
            if not self._by_address[source]:
                del self._by_address[source]

        try:
            taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._make_protocol(on_closed),
                taken,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_seconds,
            )
        except OSError:  # no handshake, as from a health check that only connects
            on_closed()
            taken.close()
        except BaseException:
            on_closed()
            taken.close()
            raise
