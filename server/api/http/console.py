"""The shift leader's page: today's figures, refused scans, work that was given up. It reads and
changes nothing.

The page logs in as administrator, or as supervisor with a terminal, by the RPCs that everybody
uses, and keeps the tokens in a cookie that no script can read, that no other site's page sends
(SameSite=Strict), and that no path but this page's gets. Its calls are the gateway's own, of a few
that read: the cookie becomes the `Authorization` that they are made with, so rights, limits and the
log are those of the RPCs.
"""

import base64
import binascii
from collections.abc import Iterable
from importlib import resources
from typing import Any, NamedTuple

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/console"
COOKIE = "deeptravel_console"
COOKIE_SECONDS = 12 * 3600
"""Of a shift; the log-in itself may end before."""
FILES = {
    "console.html": "text/html; charset=utf-8",
    "console.css": "text/css",
    "console.js": "text/javascript",
    "console_charts.js": "text/javascript",
    "console_texts.js": "text/javascript",
}
READS = {
    "dashboard": "/admin/dashboard",
    "redemptions": "/venue/analytics/redemptions",
    "dead-tasks": "/admin/dead-tasks",
}
"""What the page may call, by the last part of its path."""
LOG_INS = {"administrator": "/admin/login", "supervisor": "/operators/login"}
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
MAX_FORM_BYTES = 4_096


class Answered(NamedTuple):
    """What a call of the gateway answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The answer; an empty object where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}


class Tokens(NamedTuple):
    """Of a log-in."""

    access: str
    refresh: str

    @classmethod
    def of(cls, cookie: str | None) -> "Tokens | None":
        """Those in the cookie; None if there are none."""
        try:
            access, refresh = orjson.loads(base64.urlsafe_b64decode(cookie or ""))
        except (binascii.Error, ValueError, TypeError):
            return None
        return cls(str(access), str(refresh))

    def cookie(self) -> str:
        """As a cookie has them."""
        return base64.urlsafe_b64encode(orjson.dumps(list(self))).decode()


class Console:
    """The ASGI application below /console; `gateway` serves the calls of the contract."""

    def __init__(self, gateway: ASGIApp) -> None:
        self._gateway = gateway
        folder = resources.files("server.api.http")
        self._files = {name: folder.joinpath(name).read_bytes() for name in FILES}

    @staticmethod
    def has(path: str) -> bool:
        """Whether a path is one of the page's."""
        return path == PATH or path.startswith(f"{PATH}/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, by the ASGI protocol."""
        request = Request(scope, receive)
        name = request.url.path.removeprefix(PATH).strip("/")
        response = await self._answer(request, name)
        response.headers.update(HEADERS)
        await response(scope, receive, send)

    async def _answer(self, request: Request, name: str) -> Response:
        if request.url.path == PATH:
            return RedirectResponse(f"{PATH}/")
        if request.method == "GET" and (file := name or "console.html") in FILES:
            return Response(self._files[file], media_type=FILES[file])
        if name.startswith("read/") and request.method == "GET":
            return await self._read(request, name.removeprefix("read/"))
        if name == "session" and request.method in ("POST", "DELETE"):
            if not _is_own(request.headers):
                return _problem(403, "OTHER_ORIGIN")
            return await (self._log_in if request.method == "POST" else self._log_out)(request)
        return _problem(404, "NOT_FOUND")

    async def _log_in(self, request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_FORM_BYTES:
                return _problem(413, "INVALID_FIELD")
        try:
            given: dict[str, str] = orjson.loads(body)
            path = LOG_INS["supervisor" if given.get("terminal_device_id") else "administrator"]
        except (orjson.JSONDecodeError, AttributeError):
            return _problem(400, "INVALID_FIELD")
        wanted = {name: value for name, value in given.items() if value}
        if path == LOG_INS["supervisor"]:
            wanted.pop("code", None)  # administrators alone have a second factor
        answered = await self._call(request, "POST", path, orjson.dumps(wanted))
        found = answered.json()
        if answered.status != 200:
            return _passed_on(answered)
        tokens = Tokens(found["access_token"], found["refresh_token"])
        return self._with_cookie(
            Response(b"{}", 200, media_type="application/json"), request, tokens
        )

    async def _log_out(self, request: Request) -> Response:
        if tokens := Tokens.of(request.cookies.get(COOKIE)):
            await self._call(request, "POST", "/operators/logout", b"{}", tokens.access)
        response = Response(b"{}", 200, media_type="application/json")
        response.delete_cookie(COOKIE, PATH, httponly=True, samesite="strict")
        return response

    async def _read(self, request: Request, name: str) -> Response:
        tokens = Tokens.of(request.cookies.get(COOKIE))
        if (path := READS.get(name)) is None:
            return _problem(404, "NOT_FOUND")
        if tokens is None:
            return _problem(401, "UNAUTHENTICATED")
        answered = await self._call(request, "GET", path, b"", tokens.access)
        if answered.status != 401:
            return _passed_on(answered)
        # the access token is over; a repeat of its refresh within 30 s gets the same successor, so
        # reads that find it over together do not end the log-in
        body = orjson.dumps({"refresh_token": tokens.refresh})
        refreshed = await self._call(request, "POST", "/operators/refresh", body)
        if refreshed.status != 200:
            return _passed_on(answered)
        found = refreshed.json()
        tokens = Tokens(found["access_token"], found["refresh_token"])
        answered = await self._call(request, "GET", path, b"", tokens.access)
        return self._with_cookie(_passed_on(answered), request, tokens)

    @staticmethod
    def _with_cookie(response: Response, request: Request, tokens: Tokens) -> Response:
        is_secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
        response.set_cookie(
            COOKIE,
            tokens.cookie(),
            max_age=COOKIE_SECONDS,
            path=PATH,
            secure=is_secure,
            httponly=True,
            samesite="strict",
        )
        return response

    async def _call(
        self, request: Request, method: str, path: str, body: bytes, token: str = ""
    ) -> Answered:
        """Calls the gateway as the browser would, from where the browser is."""
        scope = {
            **request.scope,
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": request.scope["query_string"] if method == "GET" else b"",
            "headers": list(_headers(request.scope["headers"], body, token)),
        }
        parts: list[Message] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            return waiting.pop() if waiting else await request.receive()

        async def send(message: Message) -> None:
            parts.append(message)

        await self._gateway(scope, receive, send)
        begun = parts[0]
        headers = {name.decode(): value.decode() for name, value in begun.get("headers", ())}
        content = b"".join(part.get("body", b"") for part in parts[1:])
        return Answered(begun["status"], headers, content)


def _headers(
    given: Iterable[tuple[bytes, bytes]], body: bytes, token: str
) -> Iterable[tuple[bytes, bytes]]:
    """Those of the browser without its cookies and its credentials, with the log-in's."""
    left_out = {b"cookie", b"authorization", b"x-api-key", b"content-length", b"content-type"}
    yield from ((name, value) for name, value in given if name not in left_out)
    yield b"content-length", str(len(body)).encode()
    if body:
        yield b"content-type", b"application/json"
    if token:
        yield b"authorization", f"Bearer {token}".encode()


def _is_own(headers: Headers) -> bool:
    """Whether a request comes from a page of this server, as browsers say it; forms of other sites
    cannot send JSON without being asked first, which is refused.
    """
    is_json = headers.get("content-type", "application/json").partition(";")[0]
    said = headers.get("sec-fetch-site", "same-origin")
    return is_json == "application/json" and said in ("same-origin", "none")


def _passed_on(answered: Answered) -> Response:
    kept = {
        name: value
        for name, value in answered.headers.items()
        if name in ("retry-after", "x-request-id")
    }
    return Response(answered.body, answered.status, kept, media_type="application/json")


def _problem(status: int, reason: str) -> Response:
    details = [{"reason": reason}]
    return Response(
        orjson.dumps({"code": status, "message": reason, "details": details}),
        status,
        media_type="application/json",
    )
