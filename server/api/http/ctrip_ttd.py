"""The door for Ctrip's attractions channel: `POST /ctrip-ttd/{channel_code}`, if it is opened by
the setting CTRIP_TTD. Every answer of the protocol is HTTP 200; only what is no call of it is not.
"""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

PREFIX = "/ctrip-ttd/"
MOST_BYTES = 256 * 1024
"""Of a body: 50 passengers with all their fields are far less."""
MOST_AT_ONCE = 64
"""Calls worked on in a process; others are asked to come again."""
BODY_SECONDS = 30.0

Answer = Callable[[str, bytes], Awaitable[bytes]]


class CtripTtdDoor:
    """The ASGI application; `answer` is given channel and body."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._under_way = 0

    @staticmethod
    def has(path: str) -> bool:
        """Whether a path is here."""
        return path.startswith(PREFIX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        channel_code = request.scope["path"].removeprefix(PREFIX)
        if request.method != "POST":
            return PlainTextResponse("POST calls here", 405, {"allow": "POST"})
        if self._under_way >= MOST_AT_ONCE:
            return PlainTextResponse("too many calls at once", 503, {"retry-after": "1"})
        self._under_way += 1
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(request)
            if body is None:
                return PlainTextResponse(f"a body has {MOST_BYTES} bytes at the most", 413)
            content = await self._answer(channel_code, body)
        except ClientDisconnect:
            return Response(status_code=499)
        except TimeoutError:
            return PlainTextResponse("the body did not arrive", 408)
        finally:
            self._under_way -= 1
        return Response(content, media_type="application/json")


async def _body(request: Request) -> bytes | None:
    """The body; None if it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)
