"""HTTP/1.1 to endpoints, by aiohttp: POST and read the answer, over connections that are kept.

Of the libraries of HTTP clients aiohttp: it lets us resolve names and make sockets, and takes a
quarter of httpcore2's CPU for a POST (docs/benchmarks.md).

The host is resolved anew for each connection, every address it has must be public, and the
connection is made to such an address itself: what the name says a moment later changes nothing.
Redirects are not followed, proxies of the environment not used, cookies not kept, and answers not
decompressed, as a small one may become large.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from typing_extensions import override
from yarl import URL

from server.webhooks.addresses import is_public

CONNECT_SECONDS = 5.0
KEPT_BYTES = 500
"""Of an answer's body."""
READ_BYTES = 65_536
"""An answer whose body is longer costs its connection."""
MOST_BYTES = 2 * READ_BYTES
"""That are taken for one request, whatever they are."""
IDLE_SECONDS = 20.0
"""A connection that nothing is sent over is closed."""
USER_AGENT = "DeepTravel-Webhooks/1.0"


class BlockedAddressError(OSError):
    """A host has an address that is not public."""


class NoHttpAnswerError(Exception):
    """There was no answer of HTTP; the text says why."""


class HttpAnswer(NamedTuple):
    """An answer: the beginning of its body, and the header `Retry-After`."""

    status: int
    kept: bytes
    retry_after: str


class _Resolver(AbstractResolver):
    """All addresses of a host, if all are public. aiohttp asks it for names, once a connection."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
        except TimeoutError:
            raise OSError(f"{host} was not resolved in time") from None
        except (OSError, UnicodeError) as error:
            raise OSError(f"{host} cannot be found: {error}") from error
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        for address in addresses:
            if not self._allow_private and not is_public(address):
                raise BlockedAddressError(f"{host} is {address}, which is not public")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    def socket_to(self, where: tuple[Any, ...]) -> socket.socket:
        """A socket for what `getaddrinfo` calls an address.

        Each connection gets its socket here, so also one to an address that the URL itself names,
        which aiohttp resolves no further.
        """
        family, kind, protocol, _, (address, *_) = where
        try:
            is_allowed = self._allow_private or is_public(address)
        except ValueError:  # not an address: it would be resolved once more
            is_allowed = False
        if not is_allowed:
            raise BlockedAddressError(f"{address} is not public")
        return socket.socket(family, kind, protocol)

    @override
    async def close(self) -> None:
        """Holds nothing."""


class _Handler(ResponseHandler):
    """aiohttp's reader of a connection, which ends one over which too much comes: aiohttp limits
    the parts of an answer, not all that comes for one request.
    """

    _taken = 0

    @override
    def set_response_params(self, **options: Any) -> None:
        self._taken = 0
        super().set_response_params(**options)

    @override
    def data_received(self, data: bytes) -> None:
        room = max(0, MOST_BYTES - self._taken)
        self._taken += len(data)
        super().data_received(data[:room])
        if self._taken > MOST_BYTES and self.transport is not None:
            self.transport.abort()


class _Connector(aiohttp.TCPConnector):
    """aiohttp's, with our reader."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        handler: type[ResponseHandler] = _Handler
        self._factory = partial(handler, loop=self._loop)


class Connections:
    """The connections to all endpoints, as many as there are requests under way."""

    def __init__(self, *, allow_private: bool, tls: ssl.SSLContext | Literal[True] = True) -> None:
        """`tls` is True for the certificates that this machine trusts."""
        resolver = _Resolver(allow_private=allow_private)
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_note_kept)
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                ssl=tls,
                resolver=resolver,
                socket_factory=resolver.socket_to,
                use_dns_cache=False,
                limit=0,
                keepalive_timeout=IDLE_SECONDS,
            ),
            headers={"content-type": "application/json", "user-agent": USER_AGENT},
            skip_auto_headers=("accept", "accept-encoding"),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS),
            trace_configs=[tracing],
        )

    async def post(self, url: str, headers: Iterable[tuple[str, str]], body: bytes) -> HttpAnswer:
        """Sends a request with these headers, beside its length and type, and reads the answer.

        A kept connection that turns out to be closed is replaced once; so a request may come
        twice. Raises NoHttpAnswerError.
        """
        where = URL(url, encoded=True)  # as the partner wrote it
        kept: list[bool] = []
        try:
            try:
                return await self._post(where, headers, body, kept)
            except aiohttp.ClientConnectionError:  # aiohttp tries again itself, but not with POST
                if not kept:
                    raise
                return await self._post(where, headers, body, [])
        except aiohttp.ClientError as error:
            raise NoHttpAnswerError(_why(error)) from error

    async def close(self) -> None:
        """Closes all of them."""
        await self._session.close()

    async def _post(
        self, url: URL, headers: Iterable[tuple[str, str]], body: bytes, kept: list[bool]
    ) -> HttpAnswer:
        async with self._session.post(
            url, headers=headers, data=body, allow_redirects=False, trace_request_ctx=kept
        ) as answer:
            beginning, read = b"", 0
            async for part in answer.content.iter_any():
                beginning += part[: KEPT_BYTES - len(beginning)]
                read += len(part)
                if read > READ_BYTES:
                    answer.close()
                    break
            return HttpAnswer(answer.status, beginning, answer.headers.get("retry-after", ""))


async def _note_kept(_session: object, context: SimpleNamespace, _params: object) -> None:
    """Called by aiohttp for a request over a kept connection."""
    context.trace_request_ctx.append(True)


def _why(error: aiohttp.ClientError) -> str:
    """In words of our own: texts of aiohttp's may repeat what was answered."""
    match error:
        case aiohttp.ClientConnectorError():
            return f"cannot be connected to: {error.__cause__}"
        case aiohttp.ConnectionTimeoutError():
            return f"cannot be connected to: not within {CONNECT_SECONDS:.0f} s"
        case aiohttp.ClientConnectionError():
            return "the connection was closed without an answer"
        case aiohttp.ClientPayloadError():
            return "the connection was closed within the answer"
        case aiohttp.ClientResponseError():
            return "what was answered is not HTTP/1.1, or its headers are too long"
        case aiohttp.InvalidURL():
            return "its URL has no host that could be called"
        case _:
            return type(error).__name__
