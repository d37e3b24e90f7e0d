"""The feed of channels that fetch: `GET /channel-feed/v1/{channel_code}` with the channel's key,
and its schema at `GET /channel-feed/v1/schema.json`, which needs none.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from server.channels.feed_service import FeedAnswer, FeedRequest
from server.platform.errors import DomainError

PREFIX = "/channel-feed/"
VERSION = "v1/"
SCHEMA = Path(__file__).with_name("channel_feed.schema.json").read_bytes()
MOST_AT_ONCE = 8
"""Feeds written at once in a process; others are asked to come again."""
BEARER = re.compile(r"[Bb]earer +([!-~]{1,1024})")

Answer = Callable[[FeedRequest], Awaitable[FeedAnswer]]


class ChannelFeedDoor:
    """The ASGI application."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._free = asyncio.Semaphore(MOST_AT_ONCE)

    @staticmethod
    def has(path: str) -> bool:
        """Whether a path is here."""
        return path.startswith(PREFIX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if self._free.locked():
            busy = _refused(503, "too many feeds are fetched at once", {"retry-after": "1"})
            await busy(scope, receive, send)
            return
        async with self._free:
            response = await self._respond(Request(scope, receive))
            await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        path = request.scope["path"].removeprefix(PREFIX)
        if request.method not in {"GET", "HEAD"}:
            return _refused(405, "GET the feed", {"allow": "GET, HEAD"})
        if not path.startswith(VERSION) or "/" in (code := path.removeprefix(VERSION)) or not code:
            return _refused(404, f"the feed is at {PREFIX}{VERSION}CHANNEL", {})
        if code == "schema.json":
            return Response(SCHEMA, media_type="application/schema+json")
        given = BEARER.fullmatch(request.headers.get("authorization", "").strip())
        asked = FeedRequest(
            code,
            given[1] if given else "",
            request.headers.get("if-none-match", ""),
            request.headers.get("if-modified-since", ""),
        )
        try:
            answer = await self._answer(asked)
        except DomainError as error:
            return _refused(503, error.message, {"retry-after": "1"})
        headers = dict(answer.headers)
        if answer.text:
            return _refused(answer.status, answer.text, headers)
        if answer.pieces is None or request.method == "HEAD":
            return Response(None, answer.status, headers, "application/json")
        return StreamingResponse(answer.pieces, answer.status, headers, "application/json")


def _refused(status: int, text: str, headers: dict[str, str]) -> Response:
    return JSONResponse({"error": text}, status, headers)
