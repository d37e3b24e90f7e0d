"""A place webhooks are sent to: keeps what came, answers what the test wants."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from tests.support.waiting import WAIT_SECONDS


@dataclass(frozen=True)
class Delivery:
    """One request as it came; names of headers in lower case."""

    headers: dict[str, str]
    body: bytes


class Webhook:
    """An HTTP server on a free loopback port; `async with` starts and stops it.

    Args:
        answer: status for a delivery; 204 for each if not given.
    """

    def __init__(self, answer: Callable[[Delivery], int] = lambda _: 204) -> None:
        self.deliveries: list[Delivery] = []
        self._answer = answer
        self._more = asyncio.Condition()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def wait_for(self, count: int, *, seconds: float = WAIT_SECONDS) -> list[Delivery]:
        """The deliveries, once there are so many. Raises TimeoutError."""
        async with asyncio.timeout(seconds), self._more:
            await self._more.wait_for(lambda: len(self.deliveries) >= count)
        return self.deliveries

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        await asyncio.sleep(0.01)  # who was accepted just before is served by now
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            _, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            delivery = Delivery(headers, body)
            self.deliveries.append(delivery)
            status = self._answer(delivery)
            writer.write(f"HTTP/1.1 {status} -\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            async with self._more:
                self._more.notify_all()
        finally:
            writer.close()
            await writer.wait_closed()
