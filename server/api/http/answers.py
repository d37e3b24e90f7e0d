"""Answers of the JSON gateway: a message as JSON, a stream as lines of JSON, a file as it is."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

import grpc
import orjson
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, status_pb2
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive

from server.api.http import protojson
from server.api.http.failures import status_json
from server.api.http.httprules import Binding
from server.api.interceptor import STREAM_OPEN
from server.api.statuses import error_status
from server.api.transport.local_exchange import LocalExchange
from server.platform.errors import DomainError, Reason

HEARTBEAT_SECONDS = 15.0
"""Shorter than the half minute after which some proxies hang up on a silent answer."""
REFUSED_SCAN = 422
ANSWER_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
RETURNED_METADATA = re.compile(r"x-request-id|x-ratelimit-.*|retry-after")
PRINTABLE = re.compile(r"[\x20-\x7e]*")
FILE_ENDINGS = {
    "application/json": ".json",
    "application/pdf": ".pdf",
    "application/x-ndjson": ".jsonl",
    "application/yaml": ".yaml",
    "application/zip": ".zip",
    "text/calendar": ".ics",
    "text/csv": ".csv",
}
"""Of downloads, by their media type."""

T = TypeVar("T")


class CutOffError(Exception):
    """A download that failed after it had begun.

    Attributes:
        code: name of the call's status.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ClientGone(Exception):  # noqa: N818
    """Nobody waits for the answer any more."""


async def unless_gone(answer: Awaitable[T], call: LocalExchange, receive: Receive) -> T:
    """Wait for the answer, and cancel the call when the client hangs up."""

    async def hang_up() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        call.cancel()

    watch = asyncio.create_task(hang_up())
    try:
        return await answer
    except grpc.aio.AioRpcError:
        if watch.done():
            raise ClientGone from None
        raise
    except asyncio.CancelledError:
        call.cancel()
        raise
    finally:
        watch.cancel()


async def stream(
    binding: Binding, call: LocalExchange, receive: Receive, headers: dict[str, str]
) -> Response:
    """One line of JSON for each message; a failure after the first line is a last line `error`.

    While there is no message an empty line now and then says that the stream is alive. Where the
    server says at once that a stream is granted, its status line does not wait for the first
    message.
    """
    granted = await unless_gone(call.opened(), call, receive)
    reading = asyncio.ensure_future(call.read())
    if STREAM_OPEN[0] not in tuple(granted):
        try:
            await unless_gone(asyncio.shield(reading), call, receive)
        except BaseException:
            reading.cancel()
            raise

    async def lines() -> AsyncIterator[bytes]:
        nonlocal reading
        try:
            while True:
                if not (await asyncio.wait({reading}, timeout=HEARTBEAT_SECONDS))[0]:
                    yield b"\n"
                    continue
                message = reading.result()
                if message is grpc.aio.EOF:
                    return
                answer = binding.response_type.FromString(message)
                yield orjson.dumps(_body(binding, answer), option=orjson.OPT_APPEND_NEWLINE)
                reading = asyncio.ensure_future(call.read())
        except grpc.aio.AioRpcError as error:
            status = status_json(status_of(error, headers["x-request-id"]))
            yield orjson.dumps({"error": status}, option=orjson.OPT_APPEND_NEWLINE)
        finally:
            call.cancel()
            reading.cancel()

    sent = ANSWER_HEADERS | headers | headers_of(granted)
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=sent)


async def download(
    binding: Binding, call: LocalExchange, request: Request, headers: dict[str, str]
) -> Response:
    """The parts of a file, one after the other, as quickly as they are taken; a failure after the
    first cuts the transfer off before its end, so that nobody takes what there is for all.
    """
    granted = await unless_gone(call.opened(), call, request.receive)
    first = await unless_gone(call.read(), call, request.receive)
    begun = _raw_body(binding, binding.response_type.FromString(_message_of(first)))

    async def parts() -> AsyncIterator[bytes]:
        message = first
        try:
            while message is not grpc.aio.EOF:
                answer = binding.response_type.FromString(message)
                if data := _raw_body(binding, answer).data:
                    yield data
                message = await call.read()
        except grpc.aio.AioRpcError as error:
            raise CutOffError(error.code().name) from None
        finally:
            call.cancel()

    kind = begun.content_type.partition(";")[0]
    name = request.url.path.rpartition("/")[2].partition(":")[0] + FILE_ENDINGS.get(kind, "")
    sent = ANSWER_HEADERS | headers | headers_of(granted)
    sent |= {"content-disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(parts(), media_type=begun.content_type, headers=sent)


def _message_of(read: Any) -> bytes:
    return b"" if read is grpc.aio.EOF else bytes(read)


def _raw_body(binding: Binding, answer: Any) -> Any:
    return getattr(answer, binding.response_body) if binding.response_body else answer


def _body(binding: Binding, message: Message) -> Any:
    if binding.response_body:
        return protojson.write_field(message, binding.response_body)
    return protojson.write(message)


def answered(binding: Binding, answer: Any, headers: dict[str, str]) -> Response:
    """The answer of a unary call."""
    status = REFUSED_SCAN if binding.refuses(answer) else 200
    if binding.answers_raw_body:
        return _raw(_raw_body(binding, answer), status, headers)
    return json_response(_body(binding, answer), status, headers)


def _raw(body: Any, status: int, headers: dict[str, str]) -> Response:
    content_type = body.content_type if PRINTABLE.fullmatch(body.content_type) else ""
    headers = (
        ANSWER_HEADERS | headers | {"content-type": content_type or "application/octet-stream"}
    )
    return Response(body.data, status, headers)


def json_response(value: Any, status: int, headers: dict[str, str] | None = None) -> Response:
    """A value as JSON."""
    headers = ANSWER_HEADERS | (headers or {})
    return Response(orjson.dumps(value), status, headers, media_type="application/json")


def headers_of(*metadata: Any) -> dict[str, str]:
    """What of a call's metadata goes back as headers."""
    return {
        key: value
        for each in metadata
        for key, value in each or ()
        if isinstance(value, str) and RETURNED_METADATA.fullmatch(key)
    }


def status_of(error: grpc.aio.AioRpcError, request_id: str) -> status_pb2.Status:
    """Why a call failed, with its details."""
    code: int = error.code().value[0]
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            with contextlib.suppress(DecodeError):
                return status_pb2.Status.FromString(value)
    if code == code_pb2.DEADLINE_EXCEEDED:  # it ended without the handler: no trailer came
        late = DomainError(
            Reason.DEADLINE_EXCEEDED,
            "the answer did not come in time; what was asked may still be done: repeat the call"
            " with the same request_id",
        )
        return error_status(late, request_id)
    return status_pb2.Status(code=code, message=error.details() or "")
