"""HTTP/1.1 to a channel by aiohttp: a pool of connections of its own, so that a slow vendor holds
up no other.

Redirects are not followed, proxies of the environment not used, cookies not kept.
"""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from server.channels.wire import WireAnswer, WireRequest

if TYPE_CHECKING:  # loaded for the first call to a channel
    import aiohttp

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""A whole call, the connection included."""
MOST_CONNECTIONS = 8
MOST_BYTES = 8 << 20
"""Of an answer."""
USER_AGENT = "DeepTravel-Channels/1.0"


class NoVendorAnswerError(Exception):
    """There was no whole answer; the text says why.

    Attributes:
        was_sent: whether the vendor may have the request.
    """

    def __init__(self, why: str, *, was_sent: bool) -> None:
        super().__init__(why)
        self.was_sent = was_sent


class HttpPool:
    """The connections to one channel.

    Args:
        base_url: what paths are appended to, without a slash at its end.
    """

    def __init__(self, base_url: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.base_url = base_url
        self._answer_seconds = answer_seconds
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: WireRequest) -> WireAnswer:
        """Sends the request once, and reads the whole answer. Raises NoVendorAnswerError."""
        if self._session is None:
            await asyncio.to_thread(import_module, "aiohttp")  # takes 0.1 s, others are served
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS),
                headers={"user-agent": USER_AGENT, "accept": "application/json"},
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS),
            )
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await self._send(self._session, request)
        except TimeoutError:
            why = f"no answer within {self._answer_seconds:.0f} s"
            raise NoVendorAnswerError(why, was_sent=True) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise NoVendorAnswerError("cannot be connected to", was_sent=False) from None
        except (aiohttp.ClientError, OSError) as error:
            why = f"the connection ended without an answer ({type(error).__name__})"
            raise NoVendorAnswerError(why, was_sent=True) from None

    async def close(self) -> None:
        """Closes them."""
        if self._session is not None:
            await self._session.close()

    async def _send(self, session: "aiohttp.ClientSession", request: WireRequest) -> WireAnswer:
        from yarl import URL

        async with session.request(
            request.method,
            URL(f"{self.base_url}/{request.target}", encoded=True),
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
        ) as answer:
            body = b""
            async for part in answer.content.iter_any():
                body += part
                if len(body) > MOST_BYTES:
                    answer.close()
                    raise NoVendorAnswerError("the answer is too long", was_sent=True)
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return WireAnswer(answer.status, headers, body)
