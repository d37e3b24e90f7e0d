"""The composition root in the test's own process: start, stop, failure to start, limits, traces."""

import asyncio
import base64
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx2
import psycopg
import pytest
from deeptravel.redemption.v1 import access_pb2, redemption_pb2, redemption_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from sqlalchemy import make_url

from server.app import App
from server.platform import ports
from server.platform.config import ConfigError, load_settings
from server.platform.errors import Reason, StartError
from server.platform.metrics import exposition
from tests.support.app_server import channel_to, running, settings
from tests.support.gate import PASSWORD, Terminal, World, a_world
from tests.support.rpc_server import refusal
from tests.support.waiting import WAIT_SECONDS

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url) as made:
        yield made


async def test_starts_and_stops_without_a_trace(
    world: World, database_url: str, redis_url: str
) -> None:
    before = asyncio.all_tasks()
    for _ in range(2):
        async with running(database_url, redis_url) as app, channel_to(app) as channel:
            terminal = await Terminal.log_in(channel)
            ticket = await world.ticket()
            assert (await terminal.redeem(ticket.qr)).redemption_id
            async with httpx2.AsyncClient() as http:
                answer = await http.post(
                    f"http://127.0.0.1:{app.http_port}/venue/scan",
                    json={"qr_token": ticket.qr, "function_code": "gift"},
                    headers=dict(terminal.metadata),
                )
                assert answer.json()["result"] == "success"
        ports.require_free("127.0.0.1", app.grpc_port, "")
        ports.require_free("127.0.0.1", app.http_port, "")
    assert asyncio.all_tasks() == before


async def test_failed_start_leaves_nothing_behind(
    world: World, database_url: str, redis_url: str
) -> None:
    before = asyncio.all_tasks()
    (taken,) = ports.listen("127.0.0.1", 0, "")
    with taken:
        busy = settings().model_copy(update={"http_port": taken.getsockname()[1]})
        with pytest.raises(StartError, match="is taken"):
            await App.start(busy, database_url, redis_url)
    other_key = base64.b64encode(bytes(32)).decode()
    with pytest.raises(ConfigError, match="stored under another one"):
        await App.start(
            load_settings(grpc_port=0, http_port=0, secret_key=other_key), database_url, redis_url
        )
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_message_size_is_limited(world: World, database_url: str, redis_url: str) -> None:
    async with (
        running(database_url, redis_url, max_message_bytes=2000) as app,
        channel_to(app) as channel,
    ):
        terminal = await Terminal.log_in(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await terminal.decrypt("A" * 3000)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_calls_in_flight_are_limited(world: World, database_url: str, redis_url: str) -> None:
    async with (
        running(database_url, redis_url, max_calls_in_flight=2, lock_timeout_ms=30_000) as app,
        channel_to(app) as channel,
    ):
        terminal = await Terminal.log_in(channel)
        plain = make_url(database_url).set(drivername="postgresql")
        url = plain.render_as_string(hide_password=False)
        async with await psycopg.AsyncConnection.connect(url) as lock:
            await lock.execute("LOCK TABLE validator_sessions")
            stuck = [asyncio.ensure_future(terminal.open_session()) for _ in range(2)]
            async with asyncio.timeout(WAIT_SECONDS):
                gauge = "deeptravel_calls_in_flight 2.0"
                while gauge not in exposition()[0].decode():  # noqa: ASYNC110 - wakes nobody
                    await asyncio.sleep(0.01)
            busy = await refusal(
                terminal.call("ListRedemptions", redemption_pb2.ListRedemptionsRequest())
            )
            assert busy.reason is Reason.SERVER_BUSY
            assert busy.retry_seconds
        codes = await asyncio.gather(*stuck)
        assert codes[0] == codes[1]


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return trace_service_pb2.ExportTraceServiceResponse()


async def test_traces_are_exported(world: World, database_url: str, redis_url: str) -> None:
    """Of calls over gRPC and JSON, of streams and of plain functions, in the caller's trace.

    Seen red with OpenTelemetry's own interceptor: the stream ended as UNKNOWN.
    """
    collector = Collector()
    with ThreadPoolExecutor() as threads:
        server = grpc.server(threads)
        add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        add(collector, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        endpoint = f"http://127.0.0.1:{port}"
        async with (
            running(database_url, redis_url, otlp_endpoint=endpoint) as app,
            channel_to(app) as channel,
            httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{app.http_port}", timeout=WAIT_SECONDS
            ) as http,
        ):
            stub = redemption_service_pb2_grpc.RedemptionServiceStub(channel)
            given: dict[str, Any] = {
                "username": "olga",
                "password": PASSWORD,
                "terminal_device_id": "T-1",
            }
            parent = f"00-{TRACE_ID}-00f067aa0ba902b7-01"
            traced = (("traceparent", parent),)
            login = await stub.OperatorLogin(
                access_pb2.OperatorLoginRequest(**given), metadata=traced
            )
            scan = redemption_pb2.ScanStreamRequest(
                scan_id="1",
                scan=redemption_pb2.RedeemRequest(qr_token="x", function_code="ferry"),
            )
            bearer = ("authorization", f"Bearer {login.access_token}")
            answers = [
                each async for each in stub.ScanStream(iter([scan]), metadata=(*traced, bearer))
            ]
            assert [part.scan_id for each in answers for part in each.answers] == ["1"]
            redeem = redemption_pb2.RedeemRequest(qr_token="x", function_code="ferry")
            await stub.Redeem(redeem, metadata=(*traced, bearer))
            answer = await http.post(
                "/operators/login", json=given, headers={"traceparent": parent}
            )
            assert answer.status_code == 200
            answer = await http.post(
                "/venue/scan",
                json={"qr_token": "x", "function_code": "ferry"},
                headers={"traceparent": parent, "authorization": bearer[1]},
            )
            assert answer.json()["reason"] == "TOKEN_INVALID"
        server.stop(None).wait()
    names = [span.name for span in collector.spans if span.trace_id.hex() == TRACE_ID]
    service = "deeptravel.redemption.v1.RedemptionService"
    assert names == [
        f"{service}/OperatorLogin",
        f"{service}/ScanStream",
        f"{service}/Redeem",
        f"{service}/OperatorLogin",
        f"{service}/Redeem",
    ]
    for span in collector.spans:
        found = {each.key: each.value.string_value for each in span.attributes}
        assert (found["rpc.system.name"], found["rpc.method"]) == ("grpc", span.name)
        assert found["rpc.response.status_code"] == "OK"
        assert not {"rpc.system", "rpc.service", "rpc.grpc.status_code"} & set(found)
