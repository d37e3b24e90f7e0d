"""A partner's receiver of webhooks: keeps what comes, and answers as it is asked to."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from tests.support.waiting import WAIT_SECONDS


class Received(NamedTuple):
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.body)
        return found

    @property
    def type(self) -> str:
        return str(self.message["type"])


@dataclass
class Receiver:
    """Where webhooks come.

    Attributes:
        answer: the status, or None for no answer at all, of each request; headers after it.
        received: what came, in order.
    """

    port: int
    received: list[Received] = field(default_factory=list)
    answer: Callable[[Received], int | None] = lambda _: 200
    extra_headers: str = ""
    hung: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    open_writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?partner=CP"

    async def until(self, count: int, *, seconds: float = WAIT_SECONDS) -> list[Received]:
        """Waits until so many have come. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while len(self.received) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_writers.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_writers.discard(writer)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        request = Received(first.split(" ")[1], headers, body)
        status = self.answer(request)
        self.received.append(request)
        self.changed.set()
        if status is None:
            await self.hung.wait()
            return False
        said = b"taken" if status < 300 else b"no"
        writer.write(
            f"HTTP/1.1 {status} X\r\ncontent-length: {len(said)}\r\n{self.extra_headers}"
            "\r\n".encode()
            + said
        )
        await writer.drain()
        return True


@asynccontextmanager
async def a_receiver(port: int = 0) -> AsyncIterator[Receiver]:
    """One on a port, or a free one."""
    receiver = Receiver(port)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        receiver.hung.set()
        server.close()
        for writer in list(receiver.open_writers):
            writer.close()
        while receiver.open_writers:  # noqa: ASYNC110 - until those that read have heard it
            await asyncio.sleep(0.001)
