"""TLS in front of a server on this machine that has none, as the wheel's Valkey."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.certificates import issue

CHUNK_BYTES = 65_536


class Authority:
    """A certificate authority of a test's own, and a certificate for 127.0.0.1.

    Attributes:
        certificate: the authority's, a PEM file.
    """

    def __init__(self, folder: Path) -> None:
        authority = issue("authority of a test")
        server = issue("127.0.0.1", authority)
        self.certificate = folder / "authority.pem"
        self.certificate.write_bytes(authority.pem)
        chain = folder / "server.pem"
        chain.write_bytes(server.pem + server.key_pem)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain)

    @contextlib.contextmanager
    def before(self, *ports: int) -> Iterator[list[int]]:
        """For each port of 127.0.0.1 another, which takes TLS and passes on what comes."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        servers = [
            asyncio.run_coroutine_threadsafe(self._serve(port), loop).result(10) for port in ports
        ]
        try:
            yield [server.sockets[0].getsockname()[1] for server in servers]
        finally:
            asyncio.run_coroutine_threadsafe(_end(servers), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _serve(self, port: int) -> asyncio.Server:
        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers = [writer]
            # a task of a connection that is cancelled is logged as an error
            with contextlib.suppress(OSError, asyncio.CancelledError):
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
                writers.append(inner_writer)
                ways = (_copy(reader, inner_writer), _copy(inner_reader, writer))
                await asyncio.wait(
                    [asyncio.ensure_future(way) for way in ways],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            for each in writers:
                each.transport.abort()

        return await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=self._context)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()


async def _end(servers: list[asyncio.Server]) -> None:
    for server in servers:
        server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # the connections that were aborted are closed
