"""Talks to WeChat for the mini program: the codec's requests, over connections that are kept.

Nothing is sent twice here: what became of a message whose answer is lost, nobody can say.
"""

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING

from server.platform.faults import fault_text
from server.wechat import mini_program
from server.wechat.access_tokens import FetchedToken
from server.wechat.mini_program import WechatAnswer

if TYPE_CHECKING:
    import aiohttp

ANSWER_SECONDS = 8.0
CONNECT_SECONDS = 3.0
MAX_ANSWER_BYTES = 64 * 1024
MAX_CONNECTIONS = 256


class NotSentError(Exception):
    """WeChat has not seen the request: there was no connection, or it answered that it is busy."""


class OutcomeUnknownError(Exception):
    """WeChat may have seen the request; there is no answer that says so."""


class MiniProgramClient:
    """WeChat's calls of one mini program. `url` is where they are, without a path."""

    def __init__(
        self, app_id: str, app_secret: str, url: str, *, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._app_id = app_id
        self._app_secret = app_secret
        self._url = url
        self._answer_seconds = answer_seconds
        self._session: aiohttp.ClientSession | None = None

    async def fetch_token(self, force_refresh: bool) -> FetchedToken:
        """An access token. Raises MiniProgramError, NotSentError, OutcomeUnknownError,
        ContentInvalidError.
        """
        body = mini_program.token_body(self._app_id, self._app_secret, force_refresh=force_refresh)
        token = mini_program.parse_token(await self._post(mini_program.TOKEN_PATH, body))
        return FetchedToken(*token)

    async def send(self, token: str, body: bytes) -> WechatAnswer:
        """What WeChat says to a subscribe message. Raises NotSentError, OutcomeUnknownError,
        ContentInvalidError.
        """
        return mini_program.parse_answer(await self._post(mini_program.send_target(token), body))

    async def close(self) -> None:
        """Ends all connections."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, target: str, body: bytes) -> bytes:
        if self._session is None:
            await asyncio.to_thread(import_module, "aiohttp")  # takes 0.1 s, others are served
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(
                    total=self._answer_seconds, sock_connect=CONNECT_SECONDS
                ),
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                # a simulator beside us, which has no TLS, is behind no proxy of the environment
                trust_env=self._url.startswith("https:"),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.post(
                self._url + target,
                data=body,
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as answer:
                content = await answer.content.read(MAX_ANSWER_BYTES)
                status = answer.status
        except aiohttp.ClientConnectorError as error:
            raise NotSentError(fault_text(error)) from None
        # the text of others may have the target, and with it the token
        except (aiohttp.ClientError, TimeoutError) as error:
            raise OutcomeUnknownError(type(error).__name__) from None
        if status in (429, 503):
            raise NotSentError(f"HTTP {status}")
        if status != 200:
            raise OutcomeUnknownError(f"HTTP {status}")
        return content
