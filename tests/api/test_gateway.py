"""Headers, failures, refusals, streams, deadlines and hang-ups through the JSON gateway."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx2
import pytest
import pytest_asyncio
from deeptravel.redemption.v1 import redemption_service_pb2
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from server.api.interceptor import STREAM_OPEN
from server.api.statuses import error_status
from server.platform.errors import DomainError, Reason
from tests.support import probe
from tests.support.http_server import listening
from tests.support.probe import MAX_BODY_BYTES, Setup
from tests.support.waiting import WAIT_SECONDS

Json = dict[str, Any]

PROBE = probe.load()
Inner = probe.message_class(PROBE.methods_by_name["Name"].input_type)
REDEMPTION = redemption_service_pb2.DESCRIPTOR.services_by_name["RedemptionService"]


@pytest_asyncio.fixture
async def setup() -> AsyncIterator[Setup]:
    async with probe.running(PROBE, REDEMPTION) as running:
        yield running


def answering(message: Any) -> Any:
    async def answer(_request: Any, _context: Any) -> Any:
        return message

    return answer


def made(service: ServiceDescriptor, method: str, value: Json) -> Any:
    """The answer of a method, from the reference's JSON."""
    return json_format.ParseDict(
        value, probe.message_class(service.methods_by_name[method].output_type)()
    )


def failing(code: grpc.StatusCode, words: str = "no", details: Any = None) -> Any:
    async def answer(_request: Any, context: Any) -> Any:
        trailer = [("x-request-id", "from-server"), ("x-ratelimit-limit", "100"), ("x-secret", "s")]
        if details is not None:
            trailer.append(("grpc-status-details-bin", details.SerializeToString()))
        context.set_trailing_metadata(trailer)
        await context.abort(code, words)

    return answer


async def forever(_request: Any, _context: Any) -> Any:
    await asyncio.Event().wait()


def refused_fields(answer: Any, status: int = 400) -> list[str]:
    assert answer.status_code == status, answer.text
    [request] = [each for each in answer.json()["details"] if "BadRequest" in each["@type"]]
    return [each["field"] for each in request["field_violations"]]


# ---------------------------------------------------------------------------------------- headers


async def test_headers_become_metadata(setup: Setup) -> None:
    headers = {
        "Authorization": "Bearer secret",
        "X-Api-Key": "key",
        "X-Request-Id": "mine",
        "traceparent": "00-abc-def-01",
        "tracestate": "a=b",
        "Accept-Language": "zh-CN",
        "Grpc-Metadata-X-Custom": "value",
        "Grpc-Metadata-Raw-Bin": "/+8",
        "Cookie": "not for you",
        "X-Forwarded-For": "203.0.113.9",
    }
    await setup.client.post("/probe/echo", headers=headers)
    assert setup.backend.metadata == {
        "authorization": "Bearer secret",
        "x-api-key": "key",
        "x-request-id": "mine",
        "traceparent": "00-abc-def-01",
        "tracestate": "a=b",
        "accept-language": "zh-CN",
        "x-custom": "value",
        "raw-bin": b"\xff\xef",
    }
    assert setup.backend.peer == "inproc:192.0.2.7:0"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grpc-metadata-x-forwarded-for", "127.0.0.1"),
        ("grpc-metadata-x-forwarded-host", "a"),
        ("grpc-metadata-grpc-timeout", "1H"),
        ("grpc-metadata-grpc-status-details-bin", "AAAA"),
        ("grpc-metadata-content-type", "text/plain"),
        ("grpc-metadata-host", "a"),
        ("grpc-metadata-", "a"),
        ("grpc-metadata-a!b", "a"),
        ("grpc-metadata-a-bin", "?"),
        ("grpc-metadata-a", "caf\u00e9"),
        ("x-api-key", "caf\u00e9"),
        ("authorization", "\u00ff"),
    ],
)
async def test_metadata_a_client_may_not_set_is_refused(
    setup: Setup, name: str, value: str
) -> None:
    headers = [(name.encode(), value.encode("latin-1"))]
    answer = await setup.client.post("/probe/echo", headers=headers)
    assert refused_fields(answer) == [name]
    assert value not in answer.text or len(value) == 1 or value in name
    assert setup.backend.calls == []


@pytest.mark.parametrize(
    ("first", "second"),
    [("authorization", "authorization"), ("x-api-key", "grpc-metadata-x-api-key")],
)
async def test_credentials_are_given_once(setup: Setup, first: str, second: str) -> None:
    answer = await setup.client.post("/probe/echo", headers=[(first, "a"), (second, "b")])
    assert refused_fields(answer) == [second]


async def test_headers_are_bounded(setup: Setup) -> None:
    answer = await setup.client.post("/probe/echo", headers={"grpc-metadata-a": "x" * 7100})
    assert answer.status_code == 200
    answer = await setup.client.post("/probe/echo", headers={"grpc-metadata-a": "x" * 7200})
    assert refused_fields(answer) == ["headers"]


async def test_every_request_has_an_id(setup: Setup) -> None:
    for headers in ([], [(b"x-request-id", b"\xe9")]):
        answer = await setup.client.post("/probe/echo", headers=headers)
        assert len(answer.headers["x-request-id"]) == 16
        assert setup.backend.metadata["x-request-id"] == answer.headers["x-request-id"]
    answer = await setup.client.post("/probe/echo", headers={"grpc-metadata-x-request-id": "a b"})
    assert setup.backend.metadata["x-request-id"] == answer.headers["x-request-id"] == "a b"
    answer = await setup.client.get("/nowhere", headers={"x-request-id": "i" * 100})
    assert answer.headers["x-request-id"] == "i" * 64
    assert {"request_id": "i" * 64}.items() <= answer.json()["details"][1].items()


async def test_some_of_the_servers_metadata_comes_back(setup: Setup) -> None:
    async def answer(request: Any, context: Any) -> Any:
        await context.send_initial_metadata([("x-ratelimit-limit", "100"), ("x-inner", "1")])
        context.set_trailing_metadata([("x-ratelimit-remaining", "99"), ("x-request-id", "theirs")])
        return request

    setup.backend.answers["Echo"] = answer
    headers = (await setup.client.post("/probe/echo")).headers
    assert headers["x-ratelimit-limit"] == "100"
    assert headers["x-ratelimit-remaining"] == "99"
    assert headers["x-request-id"] == "theirs"
    assert headers["cache-control"] == "no-store"
    assert "x-inner" not in headers


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=UTF-8", 200),
        ("application/vnd.api+json", 200),
        ("", 200),
        (None, 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=latin-1", 415),
    ],
)
async def test_bodies_are_json(setup: Setup, content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = await setup.client.post("/probe/echo", content=b"{}", headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert refused_fields(answer, status) == ["content-type"]
    assert (await setup.client.post("/probe/echo", headers=headers)).status_code == 200


async def test_bodies_are_not_packed(setup: Setup) -> None:
    headers = {"content-encoding": "gzip"}
    answer = await setup.client.post("/probe/echo", content=b"{}", headers=headers)
    assert refused_fields(answer, 415) == ["content-encoding"]


# --------------------------------------------------------------------------------------- deadlines


@pytest.mark.parametrize(
    ("name", "value", "least", "limit"),
    [
        ("none", "", 20, 30),
        ("grpc-timeout", "200S", 190, 200),
        ("grpc-timeout", "150000m", 140, 150),
        ("grpc-timeout", "99999999H", 290, 300),
        ("x-request-timeout", "62.5", 52.5, 62.5),
        ("x-request-timeout", "600", 290, 300),
    ],
)
async def test_deadlines_are_passed_on(
    setup: Setup, name: str, value: str, least: float, limit: float
) -> None:
    """With ten seconds for a slow machine."""
    seconds: list[float] = []

    async def answer(request: Any, context: Any) -> Any:
        seconds.append(context.time_remaining())
        return request

    setup.backend.answers["Echo"] = answer
    assert (await setup.client.post("/probe/echo", headers={name: value})).status_code == 200
    assert least < seconds[0] <= limit + 1  # the wire rounds


@pytest.mark.parametrize(
    ("name", "value"),
    [("grpc-timeout", "5"), ("grpc-timeout", "-1S"), ("x-request-timeout", "soon")],
)
async def test_a_timeout_that_is_none_is_named(setup: Setup, name: str, value: str) -> None:
    answer = await setup.client.post("/probe/echo", headers={name: value})
    assert refused_fields(answer) == [name]


async def test_a_call_that_is_late_is_504_and_cancelled(setup: Setup) -> None:
    setup.backend.answers["Echo"] = forever
    answer = await setup.client.post("/probe/echo", headers={"x-request-timeout": "0.05"})
    assert (answer.status_code, answer.json()["code"]) == (504, 4)
    await asyncio.wait_for(setup.backend.cancelled.wait(), WAIT_SECONDS)


# ---------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.CANCELLED, 499),
        (grpc.StatusCode.UNKNOWN, 500),
        (grpc.StatusCode.INVALID_ARGUMENT, 400),
        (grpc.StatusCode.DEADLINE_EXCEEDED, 504),
        (grpc.StatusCode.NOT_FOUND, 404),
        (grpc.StatusCode.ALREADY_EXISTS, 409),
        (grpc.StatusCode.PERMISSION_DENIED, 403),
        (grpc.StatusCode.UNAUTHENTICATED, 401),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
        (grpc.StatusCode.FAILED_PRECONDITION, 400),
        (grpc.StatusCode.ABORTED, 409),
        (grpc.StatusCode.OUT_OF_RANGE, 400),
        (grpc.StatusCode.UNIMPLEMENTED, 501),
        (grpc.StatusCode.INTERNAL, 500),
        (grpc.StatusCode.UNAVAILABLE, 503),
        (grpc.StatusCode.DATA_LOSS, 500),
    ],
)
async def test_every_status_has_its_http_status(
    setup: Setup, code: grpc.StatusCode, status: int
) -> None:
    setup.backend.answers["Echo"] = failing(code)
    answer = await setup.client.post("/probe/echo")
    assert answer.status_code == status
    assert answer.json()["code"] == code.value[0]
    assert answer.headers["x-request-id"] == "from-server"
    assert answer.headers["x-ratelimit-limit"] == "100"
    assert "x-secret" not in answer.headers
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_details_come_through(setup: Setup) -> None:
    error = DomainError(
        Reason.RATE_LIMITED,
        "slower",
        retry_seconds=1.2,
        violations=[("a[1].b", "is wrong")],
        limit=100,
    )
    setup.backend.answers["Echo"] = failing(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "slower", error_status(error, "r1")
    )
    answer = await setup.client.post("/probe/echo")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"
    assert answer.json() == {
        "code": 8,
        "message": "slower",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "RATE_LIMITED",
                "domain": "deeptravel",
                "metadata": {"limit": "100"},
            },
            {"@type": "type.googleapis.com/google.rpc.RequestInfo", "request_id": "r1"},
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "field_violations": [{"field": "a[1].b", "description": "is wrong"}],
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1.200s"},
        ],
    }


async def test_details_of_an_unknown_type_are_passed_raw(setup: Setup) -> None:
    unknown = AnyMessage(type_url="type.googleapis.com/no.such.Type", value=b"\xff")
    status = status_pb2.Status(code=9, message="no", details=[unknown])
    setup.backend.answers["Echo"] = failing(grpc.StatusCode.FAILED_PRECONDITION, "no", status)
    answer = await setup.client.post("/probe/echo")
    assert answer.json()["details"] == [{"@type": unknown.type_url, "value": "/w=="}]


async def test_a_retry_at_once_is_after_a_second(setup: Setup) -> None:
    status = status_pb2.Status(code=14)
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration()))
    setup.backend.answers["Echo"] = failing(grpc.StatusCode.UNAVAILABLE, "", status)
    assert (await setup.client.post("/probe/echo")).headers["retry-after"] == "1"


async def test_a_fault_of_the_gateway_is_a_status_too(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.api.http.protojson.write", lambda _message: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # for the server's log; the answer has gone out before
        await setup.client.post("/probe/echo")
    transport = httpx2.ASGITransport(setup.app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        answer = await client.post("/probe/echo")
    assert (answer.status_code, answer.json()["code"]) == (500, 13)
    assert "zero" not in answer.text


# ---------------------------------------------------------------------------------------- refusals


REJECT: Json = {"result": "REDEMPTION_RESULT_REJECT", "reason": "REFUSAL_REASON_ALREADY_REDEEMED"}
PATHS = {
    "Redeem": "/venue/scan",
    "RedeemMany": "/venue/scan-many",
    "DecryptQr": "/qr/decrypt",
    "LookupOrder": "/venue/orders:lookup",
}


@pytest.mark.parametrize(
    ("method", "answer", "status"),
    [
        ("Redeem", {"result": "REDEMPTION_RESULT_SUCCESS"}, 200),
        ("Redeem", REJECT, 422),
        ("Redeem", REJECT | {"ticket_code": "a", "entitlements": [{}]}, 422),
        ("Redeem", {"result": "REDEMPTION_RESULT_WITHHELD"}, 422),
        ("Redeem", {}, 200),
        ("RedeemMany", {"results": [REJECT]}, 200),
        ("DecryptQr", {"jti": "a"}, 200),
        ("DecryptQr", REJECT, 422),
        ("DecryptQr", REJECT | {"ticket_info": {"status": "TICKET_STATE_USED"}}, 200),
        ("LookupOrder", REJECT, 422),
        ("LookupOrder", {"tickets": [{}]}, 200),
        ("LookupOrder", REJECT | {"tickets": [{}]}, 200),
    ],
)
async def test_a_refused_scan_is_422(setup: Setup, method: str, answer: Json, status: int) -> None:
    setup.backend.answers[method] = answering(made(REDEMPTION, method, answer))
    response = await setup.client.post(PATHS[method])
    assert response.status_code == status
    assert response.json().get("result", "") == answer.get("result", "").lower()[18:]


async def test_the_422_goes_by_the_type_of_result(setup: Setup) -> None:
    setup.backend.answers["Judge"] = answering(
        made(PROBE, "Judge", {"result": "REDEMPTION_RESULT_REJECT"})
    )
    assert (await setup.client.post("/probe/judge")).status_code == 422


async def test_a_scan_is_answered_as_the_seed_shows(setup: Setup) -> None:
    shown = {
        "entitlements": [{"function_code": "ferry", "remaining_uses": 0}],
        "performance_metrics": {"fraud_checks_passed": True},
    }
    success = {
        "result": "REDEMPTION_RESULT_SUCCESS",
        "ticket_status": "TICKET_STATE_PARTIALLY_REDEEMED",
    }
    setup.backend.answers["Redeem"] = answering(made(REDEMPTION, "Redeem", success | shown))
    body = {"qr_token": "a:b:c:d", "function_code": "ferry", "terminal_device_id": "T-1"}
    answer = await setup.client.post("/venue/scan", json=body)
    assert {name: getattr(setup.backend.last, name) for name in body} == body
    assert answer.json() == shown | {
        "result": "success",
        "ticket_status": "partially_redeemed",
        "redemption_id": "",
        "ticket_code": "",
    }
    setup.backend.answers["Redeem"] = answering(made(REDEMPTION, "Redeem", REJECT))
    refused = (await setup.client.post("/venue/scan", json=body)).json()
    assert (refused["result"], refused["reason"]) == ("reject", "ALREADY_REDEEMED")


# ----------------------------------------------------------------------------------------- streams


def streaming(count: int, *, fail: bool = False) -> Any:
    async def answer(_request: Any, context: Any) -> None:
        for number in range(count):
            await context.write(Inner(number=number))
        if fail:
            await context.abort(grpc.StatusCode.ABORTED, "broken")

    return answer


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_streams_are_lines_of_json(setup: Setup, count: int) -> None:
    setup.backend.answers["Watch"] = streaming(count)
    answer = await setup.client.get("/probe/watch?text=a")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["number"] for line in lines] == list(range(count))


async def test_a_stream_that_fails_at_once_has_the_status(setup: Setup) -> None:
    setup.backend.answers["Watch"] = streaming(0, fail=True)
    answer = await setup.client.get("/probe/watch")
    assert (answer.status_code, answer.json()["message"]) == (409, "broken")


async def test_a_stream_that_fails_later_ends_with_an_error(setup: Setup) -> None:
    setup.backend.answers["Watch"] = streaming(2, fail=True)
    answer = await setup.client.get("/probe/watch")
    assert answer.status_code == 200
    last = json.loads(answer.text.splitlines()[-1])
    assert last == {"error": {"code": 10, "message": "broken", "details": []}}


async def test_a_granted_stream_has_its_status_before_its_first_message(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says now and then that it is alive. Seen red when the gateway waited for the first
    message.
    """
    monkeypatch.setattr("server.api.http.answers.HEARTBEAT_SECONDS", 0.05)
    speak = asyncio.Event()

    async def quiet(_request: Any, context: Any) -> None:
        await context.send_initial_metadata(STREAM_OPEN)
        await speak.wait()
        await context.write(Inner(number=7))

    setup.backend.answers["Watch"] = quiet
    async with (
        listening(setup.app) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        client.stream("GET", "/probe/watch") as answer,
    ):
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        assert await anext(lines) == ""
        speak.set()
        said = [json.loads(line) async for line in lines if line]
    assert [line["number"] for line in said] == [7]


# ------------------------------------------------------------------------------ over a real socket


@pytest.mark.parametrize("method", ["Echo", "Watch"])
async def test_a_client_that_hangs_up_cancels_the_call(setup: Setup, method: str) -> None:
    async def some_and_then_none(_request: Any, context: Any) -> None:
        await context.write(Inner())
        await forever(None, None)

    setup.backend.answers |= {"Echo": forever, "Watch": some_and_then_none}
    request = {"Echo": b"POST /probe/echo", "Watch": b"GET /probe/watch"}[method]
    async with listening(setup.app) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        await asyncio.wait_for(setup.backend.began.wait(), WAIT_SECONDS)
        await asyncio.sleep(0.05)
        assert not setup.backend.cancelled.is_set()
        writer.close()
        await asyncio.wait_for(setup.backend.cancelled.wait(), WAIT_SECONDS)


async def test_nothing_is_read_of_a_caller_who_may_not_call(setup: Setup) -> None:
    """Seen red: a faulty body was answered with what is wrong in it, whoever sent it."""
    setup.refused = DomainError(Reason.UNAUTHENTICATED, "credentials are missing")
    read = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        read.set()
        yield b"{"

    answer = await setup.client.post("/probe/echo", content=body())
    assert (answer.status_code, answer.json()["code"]) == (401, 16)
    assert answer.headers["www-authenticate"]
    assert answer.headers["x-request-id"]
    assert setup.backend.calls == []
    assert not read.is_set()


@pytest.mark.parametrize("path", ["/probe/echo", "/probe/hook"])
async def test_a_body_that_is_too_large_is_refused(setup: Setup, path: str) -> None:
    limit = str(MAX_BODY_BYTES)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b" " * 100_000

    async with (
        listening(setup.app) as port,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        for content in (b" " * (MAX_BODY_BYTES + 1), b" " * 30_000_000, parts()):
            answer = await client.post(path, content=content)
            assert refused_fields(answer, 413) == ["body"]
            assert limit in answer.json()["message"]
        body = b"{" + b" " * (MAX_BODY_BYTES - 2) + b"}"
        assert (await client.post(path, content=body)).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"Content-Length: 9000000000\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (MAX_BODY_BYTES + 1)
        + b" " * (MAX_BODY_BYTES + 1),
    ],
    ids=["declared", "chunked"],
)
async def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    setup: Setup, sent: bytes
) -> None:
    async with listening(setup.app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /probe/hook HTTP/1.1\r\nHost: a\r\n" + sent)
        assert b" 413 " in await asyncio.wait_for(reader.readline(), WAIT_SECONDS)
        writer.close()
    assert setup.backend.calls == []


async def test_a_body_that_does_not_come_is_given_up(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.api.http.application.BODY_SECONDS", 0.1)
    async with listening(setup.app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /probe/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
        assert b" 408 " in await asyncio.wait_for(reader.readline(), WAIT_SECONDS)
        writer.close()
    assert setup.backend.calls == []


async def test_pages_about_the_server(setup: Setup) -> None:
    answer = await setup.client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "SERVING", "degraded": []})
    setup.degraded = ["redis"]
    answer = await setup.client.get("/healthz")
    found = {"status": "SERVING", "degraded": ["redis"]}
    assert (answer.status_code, answer.json()) == (200, found)
    setup.degraded = ["database", "redis"]
    answer = await setup.client.get("/healthz")
    found = {"status": "NOT_SERVING", "degraded": ["database", "redis"]}
    assert (answer.status_code, answer.json()) == (503, found)
    assert (await setup.client.get("/")).headers["location"] == "/docs"
