"""The HTTP server: uvicorn as a part of this process, which has the signals and says when to
stop.
"""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from typing import Any

import structlog
import uvicorn

from server.api.http.connections import HttpConnection
from server.api.http.listener import Listener
from server.api.tls import Certificates
from server.platform.config import Settings
from server.platform.loops import Loops

KEEPALIVE_SECONDS = 75
"""Longer than the minute for which load balancers usually keep a connection."""
CUT_OFF_SECONDS = 10.0
"""So long those whose clients were hung up on have to end."""
DATE_SECONDS = 1.0
"""So long an answer may say the same Date."""
OTHER_FILES = 1024
"""That this process may have open besides HTTP connections."""

log = structlog.get_logger()


class HttpServer(uvicorn.Server):
    """Serves an ASGI application on sockets that listen.

    Args:
        application: what answers.
        settings: limits of connections and times.
        certificates: for TLS; None for plaintext.
        loops: of the process, where those that take connections belong.
        name: of these, among the loops.
    """

    def __init__(
        self,
        application: Any,
        settings: Settings,
        certificates: Certificates | None = None,
        *,
        loops: Loops | None = None,
        name: str = "http",
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEPALIVE_SECONDS,
            )
        )
        self._settings = settings
        self._certificates = certificates
        self._loops = loops or Loops()
        self._name = name
        self._listening = asyncio.Event()
        self._exit = asyncio.Event()
        self._served: asyncio.Task[None]

    async def start(self, sockets: list[socket.socket]) -> None:
        """Begins to take requests. Raises what keeps it from that."""
        _allow_files(self._settings.http_connections + OTHER_FILES)
        self._served = asyncio.create_task(self.serve(sockets), name="http")
        listening = asyncio.create_task(self._listening.wait())
        await asyncio.wait({self._served, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if not self._listening.is_set():
            await self._served

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn, whose own would take connections without counting them."""
        context = self._certificates.ssl_context() if self._certificates else None
        listener = Listener(
            lambda on_closed: HttpConnection(
                self._settings,
                on_closed,
                config=self.config,
                server_state=self.server_state,
                app_state={},
            ),
            self._settings,
            context,
        )
        listener.start(sockets or [], self._name, self._loops)
        self.servers: list[Any] = [listener]
        self.started = True
        self._listening.set()

    async def main_loop(self) -> None:
        """Called by uvicorn, whose own looks ten times a second whether it is to end."""
        while not await self.on_tick(0):  # writes the Date header anew
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_SECONDS):
                    await self._exit.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn, whose own waits for connections even if there are none."""
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
            await server.wait_closed()
        for each in sockets or []:
            each.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Called by uvicorn: the signals are this process's."""
        yield

    def _end(self) -> None:
        self.should_exit = True
        self._exit.set()

    async def finish(self) -> None:
        """Takes no more requests, and waits for those under way."""
        self._end()
        await asyncio.shield(self._served)

    async def cut_off(self) -> None:
        """Hangs up on whoever is still there, which cancels their calls; who does not end then
        is left.
        """
        self._end()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        done, _ = await asyncio.wait({self._served}, timeout=CUT_OFF_SECONDS)
        if not done:
            log.error("http.not_ended", requests=len(self.server_state.tasks))
            self.force_exit = True
        await self._served


def _allow_files(wanted: int) -> None:
    """Raises what this process may have open towards `wanted`, as far as its user may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.warning(
            "http.few_files",
            allowed=allowed,
            wanted=wanted,
            remedy="raise `ulimit -Hn` or lower DEEPTRAVEL_HTTP_CONNECTIONS",
        )
