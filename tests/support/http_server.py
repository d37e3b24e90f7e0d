"""The HTTP server of the product before any ASGI application, and a client that writes bytes."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self

import orjson

from server.api.http.serving import HttpServer
from server.api.tls import Certificates
from server.platform import ports
from server.platform.config import load_settings
from server.platform.loops import Loops
from tests.support.waiting import WAIT_SECONDS


@asynccontextmanager
async def listening(application: Any, **settings: Any) -> AsyncIterator[int]:
    """The server on a free port of the loopback."""
    loaded = load_settings(**settings)
    sockets = ports.listen("127.0.0.1", 0, "")
    server = HttpServer(application, loaded, Certificates.of(loaded))
    port = sockets[0].getsockname()[1]
    await server.start(sockets)
    try:
        yield port
    finally:
        while RawClient.open:
            await RawClient.open.pop().close()
        await asyncio.wait({asyncio.create_task(server.finish())}, timeout=1)
        await server.cut_off()


def narrow(loops: Loops) -> None:
    """From now on the connections to the HTTP server of a process hold next to nothing of what is
    sent, instead of some megabytes.
    """
    accepting: Any = loops._loops["accept http 0"]._run
    (listening,) = accepting.args
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


class Answer:
    """An answer as it came.

    Attributes:
        status: of HTTP.
        headers: names in small letters.
        body: as long as its length says.
    """

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return orjson.loads(self.body)

    @property
    def reasons(self) -> list[str]:
        """Of the failure that it tells."""
        assert self.headers["content-type"] == "application/json"
        details = self.json["details"]
        return [detail["reason"] for detail in details if "reason" in detail]


class RawClient:
    """One connection over which a test writes what it wants, and reads answers.

    Attributes:
        open: those not closed yet; `listening` closes them.
    """

    open: ClassVar[list["RawClient"]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.open.append(self)

    @classmethod
    async def to(cls, port: int, **given: Any) -> Self:
        """Connects to the loopback; `given` is for asyncio."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, **given))

    async def send(self, data: bytes) -> None:
        """Writes all of it. Raises ConnectionError if nobody reads it any more."""
        self._writer.write(data)
        async with asyncio.timeout(WAIT_SECONDS):
            await self._writer.drain()

    async def answer(self) -> Answer:
        """The next answer, whole. Raises IncompleteReadError where the connection ends instead."""
        async with asyncio.timeout(WAIT_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.rstrip().split("\r\n")
            headers = {}
            for line in lines:
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            length = int(headers.get("content-length", "0"))
            body = await self._reader.readexactly(length)
        return Answer(int(first.split()[1]), headers, body)

    async def rest(self) -> bytes:
        """What comes until the connection ends; a reset ends it too."""
        found = b""
        async with asyncio.timeout(WAIT_SECONDS):
            try:
                while more := await self._reader.read(65536):
                    found += more
            except ConnectionError:
                pass
        return found

    async def ask(self, data: bytes) -> Answer:
        """Writes all of it, and reads one answer."""
        await self.send(data)
        return await self.answer()

    async def close(self) -> None:
        """Hangs up."""
        if self in self.open:
            self.open.remove(self)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
