"""Sending one webhook: signed, to an address that was checked, within a time limit.

The host is resolved anew for each connection, every address it has must be public, and the
connection is made to such an address itself: what the name says a moment later changes nothing.
Redirects are not followed, and of an answer the beginning alone is read.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import httpcore2
from typing_extensions import override

from server.platform.faults import fault_text
from server.webhooks import signatures
from server.webhooks.addresses import is_public
from server.webhooks.rules import ATTEMPT_SECONDS

CONNECT_SECONDS = 5.0
KEPT_BYTES = 500
"""Of an answer's body."""
READ_BYTES = 65_536
"""An answer that is longer costs its connection."""
IDLE_SECONDS = 20.0
"""A connection that nothing is sent over is closed."""
USER_AGENT = b"DeepTravel-Webhooks/1.0"

SocketOptions = Iterable[Any]


class BlockedAddressError(OSError):
    """A host has an address that is not public."""


class EndpointAnswer(NamedTuple):
    """What became of an attempt; `http_status` is 0, and `error` says why, if none came."""

    http_status: int
    duration_ms: int
    error: str
    text: str
    retry_after_seconds: int = 0

    @property
    def is_delivered(self) -> bool:
        """Whether the endpoint has taken the event."""
        return 200 <= self.http_status < 300


class _CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were checked."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = httpcore2.AnyIOBackend()

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._addresses(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{host} was not resolved in time") from error
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(str(error)) from error
        failed: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore2.ConnectError(f"{host} has no address")

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if not self._allow_private:
            for address in addresses:
                if not is_public(address):
                    raise BlockedAddressError(f"{host} is {address}, which is not public")
        return addresses


class Sender:
    """The connections to one endpoint, `limit` at the most."""

    def __init__(self, tls: ssl.SSLContext, *, limit: int, allow_private: bool) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limit,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=_CheckedBackend(allow_private=allow_private),
        )
        self.used_at = time.monotonic()

    async def send(
        self, url: str, secrets: Sequence[bytes], message_id: str, seconds: int, body: bytes
    ) -> EndpointAnswer:
        """One attempt; never raises but when it is cancelled. `seconds` is the time of the attempt,
        in whole Unix seconds.
        """
        began = self.used_at = time.monotonic()
        signed = signatures.headers(secrets, message_id, seconds, body)
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                status, text, retry_after = await self._exchange(url, signed, body)
        except TimeoutError:
            return EndpointAnswer(0, _since(began), f"no answer within {ATTEMPT_SECONDS:.0f} s", "")
        except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
            said = str(error) or type(error).__name__
            return EndpointAnswer(0, _since(began), said[:KEPT_BYTES], "")
        # whatever an endpoint answers is a failed attempt
        except Exception as error:  # noqa: BLE001
            return EndpointAnswer(0, _since(began), fault_text(error)[:KEPT_BYTES], "")
        error_text = "" if 200 <= status < 300 else f"HTTP {status}"
        return EndpointAnswer(status, _since(began), error_text, text, retry_after)

    async def close(self) -> None:
        """Closes the connections."""
        await self._pool.aclose()

    async def _exchange(
        self, url: str, signed: Sequence[tuple[str, str]], body: bytes
    ) -> tuple[int, str, int]:
        wait = {"connect": CONNECT_SECONDS, "read": ATTEMPT_SECONDS, "write": ATTEMPT_SECONDS}
        request = [
            (b"content-type", b"application/json"),
            (b"user-agent", USER_AGENT),
            *((name.encode(), value.encode()) for name, value in signed),
        ]
        async with self._pool.stream(
            "POST",
            url,
            headers=request,
            content=body,
            extensions={"timeout": wait},
        ) as response:
            kept, read = b"", 0
            async for chunk in response.aiter_stream():
                kept += chunk[: KEPT_BYTES - len(kept)]
                read += len(chunk)
                if read > READ_BYTES:
                    break
            return response.status, _text(kept), _retry_after(response.headers)


def _text(kept: bytes) -> str:
    return kept.decode(errors="replace").replace("\0", "")


def _retry_after(headers: Sequence[tuple[bytes, bytes]]) -> int:
    for name, value in headers:
        if name.lower() == b"retry-after" and value.isdigit():
            return int(value[:9])
    return 0


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
