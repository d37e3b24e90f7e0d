"""JSON over HTTP for every RPC that carries `google.api.http`, and the pages about the server
itself.

A request is bound to the RPC's message, and the RPC is called in this process, by its handler as
gRPC's clients reach it, so that rights, limits, log and metrics are the same. Failures come as
google.rpc.Status in JSON with the canonical HTTP status; a refused scan, which is an answer and no
failure, with 422 (DOMAIN, redemption 4). Where the contract takes a google.api.HttpBody, as
webhooks do, the body passes byte for byte, whatever its content type, with the headers its sender
signs.
"""

import asyncio
import base64
import binascii
import contextlib
import math
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import grpc
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.calls import MAX_REQUEST_ID_LENGTH, Metadata
from server.api.health import Report
from server.api.http import pages, protojson
from server.api.http.answers import (
    ClientGone,
    CutOffError,
    answered,
    download,
    headers_of,
    json_response,
    status_of,
    stream,
    unless_gone,
)
from server.api.http.console import Console
from server.api.http.failures import status_json
from server.api.http.httprules import Binding, Routes, WrongVerbError
from server.api.http.protojson import EnoughFaultsError, Faults
from server.api.statuses import error_status
from server.api.transport.in_process import NOBODY, InProcessServer
from server.platform.errors import DomainError, Reason, invalid, invalid_fields, not_found
from server.platform.metrics import HTTP_REFUSED
from server.platform.proxies import Proxies

DEFAULT_TIMEOUT_SECONDS = 30.0
MAX_TIMEOUT_SECONDS = 300.0
BODY_SECONDS = 30.0
MAX_METADATA_BYTES = 7 * 1024  # gRPC takes 8 KiB with what it adds itself
MAX_SHOWN_CHARACTERS = 200

PASSED_HEADERS = frozenset(
    {"accept-language", "authorization", "traceparent", "tracestate", "x-api-key"}
)
WEBHOOK_HEADERS = frozenset(
    {
        *("wechatpay-nonce", "wechatpay-serial", "wechatpay-signature"),
        *("wechatpay-signature-type", "wechatpay-timestamp", "request-id"),
        *("webhook-id", "webhook-timestamp", "webhook-signature"),
    }
)
"""What a sender signs, or names its message by, beside the body; passed on where the body is
passed on raw.
"""
GIVEN_ONCE = WEBHOOK_HEADERS | {"authorization", "traceparent", "x-api-key"}
METADATA_PREFIX = "grpc-metadata-"
RESERVED_METADATA = re.compile(
    r"grpc-.*|content-.*|x-forwarded-.*|forwarded|x-real-ip|host|te|trailer|connection|upgrade"
    r"|transfer-encoding|user-agent"
)
METADATA_KEY = re.compile(r"[0-9a-z_.-]+")
PRINTABLE = re.compile(r"[\x20-\x7e]*")
EXPOSED_HEADERS = (
    "retry-after",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-request-id",
)
"""What scripts of another origin may read of an answer."""
PREFLIGHT_SECONDS = 600
TIMEOUT_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}

HTTP_STATUSES: dict[int, int] = {
    code_pb2.CANCELLED: 499,
    code_pb2.INVALID_ARGUMENT: 400,
    code_pb2.DEADLINE_EXCEEDED: 504,
    code_pb2.NOT_FOUND: 404,
    code_pb2.ALREADY_EXISTS: 409,
    code_pb2.PERMISSION_DENIED: 403,
    code_pb2.UNAUTHENTICATED: 401,
    code_pb2.RESOURCE_EXHAUSTED: 429,
    code_pb2.FAILED_PRECONDITION: 400,
    code_pb2.ABORTED: 409,
    code_pb2.OUT_OF_RANGE: 400,
    code_pb2.UNIMPLEMENTED: 501,
    code_pb2.UNAVAILABLE: 503,
}
"""google.rpc.Code -> HTTP status, as google/rpc/code.proto gives it; all others are 500."""

CLIENT_GONE = 499
CHALLENGE = 'Bearer realm="deeptravel", ApiKey realm="deeptravel"'

Admit = Callable[[str, Metadata, str], Awaitable[None]]
"""Path of a method, metadata of a call, and where its caller is."""


class Door(Protocol):
    """An application for some paths."""

    def has(self, path: str) -> bool:
        """Whether a path is its."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""


T = TypeVar("T")
log = structlog.get_logger()


class RefusedRequest(Exception):  # noqa: N818
    """A request that becomes no call, with an HTTP status or headers of its own."""

    def __init__(self, http_status: int, error: DomainError, **headers: str) -> None:
        super().__init__(error.message)
        self.http_status = http_status
        self.error = error
        self.headers = headers


def gateway(  # noqa: PLR0913 - what each path needs
    services: Iterable[ServiceDescriptor],
    server: InProcessServer,
    *,
    max_body_bytes: int,
    admit: Admit,
    health: Callable[[], Report],
    proxies: Proxies | None = None,
    origins: Sequence[str] = (),
    offered_key: str = "",
    doors: Sequence[Door] = (),
) -> ASGIApp:
    """The HTTP application.

    Args:
        services: those whose annotated methods are offered.
        server: what serves them; it believes what is said here of where callers are.
        max_body_bytes: largest request body.
        admit: asked before the body is read; raises what the call would raise for its caller.
        health: what `/healthz` tells, with 200 or 503.
        proxies: those that may say who calls; none if not given.
        origins: whose pages may call from a browser (CORS); `*` for all.
        offered_key: a key of test mode that the documentation shows to everybody; none if empty.
        doors: applications for those who call in protocols of their own.

    Raises:
        ValueError: an annotation cannot be served.
    """
    shown = Starlette(
        routes=pages.routes(health, offered_key),
        exception_handlers={HTTPException: _on_http_exception, Exception: _on_fault},
    )
    transcoder = _Transcoder(
        Routes(services), server, max_body_bytes, proxies=proxies or Proxies(), admit=admit
    )

    console = Console(transcoder)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        door = next((each for each in (console, *doors) if each.has(path)), None)
        if door:
            await door(scope, receive, send)
        else:
            await (shown if pages.is_page(path) else transcoder)(scope, receive, send)

    return _for_browsers(application, origins) if origins else application


def _for_browsers(application: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """With what pages of other origins need (CORS)."""
    return CORSMiddleware(
        application,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("*",),
        expose_headers=EXPOSED_HEADERS,
        max_age=PREFLIGHT_SECONDS,
    )


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        path = request.url.path[:MAX_SHOWN_CHARACTERS]
        return _refusal(request, not_found("path", path), request_id_of(request.headers))
    allowed = ", ".join(sorted(re.findall(r"[A-Z]+", str((error.headers or {}).get("Allow")))))
    return _refusal(request, wrong_verb(request.method, allowed), request_id_of(request.headers))


async def _on_fault(request: Request, _error: Exception) -> Response:
    return _fault(request, request_id_of(request.headers))


def _fault(request: Request, request_id: str) -> Response:
    words = f"a fault of the server, logged as request {request_id}"
    return _refusal(request, DomainError(Reason.INTERNAL, words), request_id)


class _Transcoder:
    """The ASGI application for all paths of the contract, without Starlette's layers, which cost a
    tenth of a call.
    """

    def __init__(
        self,
        routes: Routes,
        server: InProcessServer,
        max_body_bytes: int,
        *,
        proxies: Proxies,
        admit: Admit,
    ) -> None:
        self._routes = routes
        self._server = server
        self._admit = admit
        self._max_body_bytes = max_body_bytes
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        request_id = request_id_of(request.headers)
        try:
            response = await self._answer(request, request_id)
        except (DomainError, RefusedRequest) as error:
            response = _refusal(request, error, request_id)
        except ClientGone:
            response = Response(status_code=CLIENT_GONE)
        except Exception:
            await _fault(request, request_id)(scope, receive, send)
            raise  # for the log
        try:
            await response(scope, receive, send)
        except CutOffError as error:  # of an answer that does not end, the connection is closed
            log.info("http.cut_off", request_id=request_id, code=error.code)

    async def _answer(self, request: Request, request_id: str) -> Response:
        path = request.scope["raw_path"].decode("latin-1")
        try:
            found = self._routes.find(request.method, path)
        except WrongVerbError as error:
            raise wrong_verb(request.method, error.allowed) from None
        if found is None:
            raise not_found("path", path[:MAX_SHOWN_CHARACTERS])
        binding, texts = found
        address = address_of(request, self._proxies)
        passed = PASSED_HEADERS | WEBHOOK_HEADERS if binding.takes_raw_body else PASSED_HEADERS
        metadata = _metadata(request.headers, passed, request_id)
        timeout = _timeout_seconds(request.headers, streams=binding.streams)
        headers = {"x-request-id": request_id}
        try:
            await self._admit(binding.path, dict(metadata), address)
        except DomainError as error:  # logged and counted as a call
            return _failure(error_status(error, request_id), headers)
        body = await read_body(request, min(self._max_body_bytes, binding.max_body_bytes))
        message = _message(binding, request, body, texts)
        call = self._server.call(
            binding.path, message.SerializeToString(), metadata, address=address, timeout=timeout
        )
        try:
            if binding.streams and binding.answers_raw_body:
                return await download(binding, call, request, headers)
            if binding.streams:
                return await stream(binding, call, request.receive, headers)
            content = await unless_gone(call.answered(), call, request.receive)
            answer = binding.response_type.FromString(content)
            return answered(binding, answer, headers | headers_of(call.initial, call.trailer))
        except grpc.aio.AioRpcError as error:
            headers |= headers_of(error.initial_metadata(), error.trailing_metadata())
            return _failure(status_of(error, request_id), headers)


def address_of(request: Request, proxies: Proxies) -> str:
    """Where a caller is."""
    if request.client is None:
        return NOBODY
    return proxies.caller(request.client.host, request.headers.getlist(proxies.header))


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request. Raises RefusedRequest where it is too large or slow, ClientGone."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        late = f"the body did not arrive within {BODY_SECONDS:g} seconds"
        raise RefusedRequest(408, DomainError(Reason.DEADLINE_EXCEEDED, late)) from None
    return bytes(body)


# ---------------------------------------------------------------------------------------- requests


def request_id_of(headers: Headers) -> str:
    """What a request is called in the log: as its caller says, or by chance."""
    given = headers.get("x-request-id") or headers.get(f"{METADATA_PREFIX}x-request-id") or ""
    if given and PRINTABLE.fullmatch(given):
        return given[:MAX_REQUEST_ID_LENGTH]
    return os.urandom(8).hex()


def _metadata(
    headers: Headers, passed: frozenset[str], request_id: str
) -> list[tuple[str, str | bytes]]:
    """The call's metadata from the request's headers."""
    metadata: list[tuple[str, str | bytes]] = []
    faults = Faults()
    for name, text in headers.items():
        key = name.removeprefix(METADATA_PREFIX)
        if (key == name and key not in passed) or key == "x-request-id":
            continue
        try:
            value = _metadata_value(key, text)
            if key in GIVEN_ONCE and any(key == given for given, _ in metadata):
                raise ValueError("is given twice")
            metadata.append((key, value))
        except ValueError as error:
            faults.add(name, str(error))
    if sum(len(key) + len(value) + 32 for key, value in metadata) > MAX_METADATA_BYTES:
        faults.add("headers", f"are longer than {MAX_METADATA_BYTES} bytes together")
    _raise(faults)
    metadata.append(("x-request-id", request_id))
    return metadata


def _metadata_value(key: str, text: str) -> str | bytes:
    if RESERVED_METADATA.fullmatch(key):
        raise ValueError("cannot be set by a client")
    if not METADATA_KEY.fullmatch(key) or not PRINTABLE.fullmatch(text):
        raise ValueError("holds a character which gRPC metadata cannot carry")
    if not key.endswith("-bin"):
        return text
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("must be in base64, because its name ends in -bin") from None


def _timeout_seconds(headers: Headers, *, streams: bool) -> float | None:
    """From `Grpc-Timeout` (`500m`) or `X-Request-Timeout` (seconds), else the default: none for
    a stream.
    """
    if given := headers.get("grpc-timeout"):
        found = re.fullmatch(r"([0-9]{1,8})([HMSmun])", given)
        if not found:
            raise invalid("grpc-timeout", "must be digits and a unit (H, M, S, m, u, n), e.g. 5S")
        return min(int(found[1]) * TIMEOUT_UNITS[found[2]], MAX_TIMEOUT_SECONDS)
    if given := headers.get("x-request-timeout"):
        if not re.fullmatch(r"[0-9]{1,8}(\.[0-9]{1,9})?", given):
            raise invalid("x-request-timeout", "must be a number of seconds, e.g. 2.5")
        return min(float(given), MAX_TIMEOUT_SECONDS)
    return None if streams else DEFAULT_TIMEOUT_SECONDS


def _message(binding: Binding, request: Request, body: bytes, texts: Sequence[str]) -> Message:
    """The call's request; `texts` are the path's. Raises INVALID_FIELD."""
    message, faults = binding.request_type(), Faults()
    with contextlib.suppress(EnoughFaultsError):
        _bind_body(binding, body, message, faults, headers=request.headers)
        binding.bind_query(request.scope["query_string"], message, faults)
        binding.bind_path(texts, message, faults)
    _raise(faults)
    return message


def _bind_body(
    binding: Binding, body: bytes, message: Any, faults: Faults, *, headers: Headers
) -> None:
    if not binding.body:
        if body:
            faults.add("body", "must be empty: this method takes path and query parameters only")
        return
    whole = binding.body == "*"
    field = None if whole else protojson.shape(message.DESCRIPTOR).by_name[binding.body]
    if binding.takes_raw_body:
        raw = message if whole else getattr(message, binding.body)
        raw.content_type = headers.get("content-type", "")
        raw.data = body
    elif body:
        _check_is_json(headers)
        try:
            value = protojson.loads(body)
        except protojson.MalformedJsonError as error:
            raise invalid("body", str(error)) from None
        if field is None:
            protojson.read(value, message, faults)
        elif value is not None:
            protojson.read_field(value, field, message, faults)


def _check_is_json(headers: Headers) -> None:
    given = headers.get("content-type") or "application/json"
    kind, _, parameters = given.lower().partition(";")
    kind = kind.strip()
    charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", parameters) if parameters else None
    if kind != "application/json" and not kind.endswith("+json"):
        raise RefusedRequest(415, invalid("content-type", "must be application/json"))
    if charset and charset[1] not in {"utf-8", "utf8", "us-ascii"}:
        raise RefusedRequest(415, invalid("content-type", "must have the charset utf-8"))
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise RefusedRequest(
            415, invalid("content-encoding", "must be absent: send the body as it is")
        )


def _raise(faults: Faults) -> None:
    if faults:
        raise invalid_fields(faults)


def _too_large(limit: int) -> RefusedRequest:
    return RefusedRequest(
        413, invalid("body", f"is larger than {limit} bytes, the most taken here")
    )


def wrong_verb(verb: str, allowed: str) -> RefusedRequest:
    """The refusal of a verb where there are others."""
    error = invalid("method", f"{verb[:MAX_SHOWN_CHARACTERS]} is not offered here, use {allowed}")
    return RefusedRequest(405, error, allow=allowed)


# ----------------------------------------------------------------------------------------- answers


def _refusal(request: Request, refused: Exception, request_id: str) -> Response:
    """The answer to a request that did not become a call; it is logged and counted here alone."""
    headers = {"x-request-id": request_id}
    http_status = None
    if isinstance(refused, RefusedRequest):
        http_status, headers, refused = (
            refused.http_status,
            headers | refused.headers,
            refused.error,
        )
    assert isinstance(refused, DomainError)
    response = _failure(error_status(refused, request_id), headers, http_status)
    HTTP_REFUSED.labels(str(response.status_code)).inc()
    log.info(
        "http.refused",
        request_id=request_id,
        verb=request.method,
        path=request.url.path[:MAX_SHOWN_CHARACTERS],
        status=response.status_code,
        fields=[field for field, _ in refused.violations],
    )
    return response


def _failure(
    status: status_pb2.Status, headers: dict[str, str], http_status: int | None = None
) -> Response:
    http_status = http_status or HTTP_STATUSES.get(status.code, 500)
    retry = error_details_pb2.RetryInfo()
    if any(detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry) for detail in status.details):
        seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        headers = headers | {"retry-after": str(max(1, math.ceil(seconds)))}
    if http_status == 401:
        headers = headers | {"www-authenticate": CHALLENGE}
    return json_response(status_json(status), http_status, headers)
