"""How many calls there may be at once, and how long one may wait for its request."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx2
import pytest

from server.platform.config import load_settings
from server.platform.errors import Reason
from server.platform.metrics import exposition
from tests.support.app_server import PREFACE, channel_to, running
from tests.support.call_counts import counted_calls
from tests.support.gate import Terminal, World, a_world
from tests.support.partner_client import Market, PartnerClient, a_market
from tests.support.rpc_server import Refusal, read_refusal
from tests.support.waiting import WAIT_SECONDS

LOG_IN = "/deeptravel.redemption.v1.RedemptionService/OperatorLogin"
SETTINGS_FRAME, MAX_CONCURRENT_STREAMS = 4, 3


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url) as made:
        yield made


@pytest.fixture
async def market(database_url: str) -> AsyncIterator[Market]:
    async with a_market(database_url) as made:
        yield made


def begun(channel: grpc.aio.Channel, path: str, *metadata: tuple[str, str]) -> Any:
    """A call whose headers are sent, and no message."""
    method: Any = channel.stream_stream(path)
    return method(metadata=metadata)


async def refused(call: Any) -> Refusal:
    """How a call ends that nothing is sent on."""
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await call.read()
    return read_refusal(ended.value)


async def test_a_call_whose_request_does_not_come_is_ended_and_counted(
    market: Market, database_url: str, redis_url: str
) -> None:
    """Seen red: it was open as long as its connection, and nowhere counted."""
    async with (
        running(database_url, redis_url, first_message_seconds=0.5) as app,
        channel_to(app) as channel,
    ):
        key = ("x-api-key", PartnerClient.at(channel).api_key)
        for path, *metadata in (
            (LOG_IN,),
            ("/deeptravel.ota.v1.OtaService/GetInventory", key),
            ("/deeptravel.ota.v1.OtaService/StreamBatchTickets", key),
        ):
            error = await refused(begun(channel, path, *metadata))
            assert error.reason is Reason.DEADLINE_EXCEEDED, path
        for path in (
            "/grpc.health.v1.Health/Check",
            "/grpc.health.v1.Health/Watch",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ):
            call = begun(channel, path)
            async with asyncio.timeout(WAIT_SECONDS):
                assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED, path
        assert counted_calls("redemption", "RedemptionService/OperatorLogin", "DEADLINE_EXCEEDED")


async def test_a_call_without_credentials_is_refused_before_its_request_comes(
    world: World, database_url: str, redis_url: str
) -> None:
    """Seen red: it was waited for."""
    async with running(database_url, redis_url) as app, channel_to(app) as channel:
        error = await refused(begun(channel, LOG_IN.replace("OperatorLogin", "Redeem")))
        assert error.reason is Reason.UNAUTHENTICATED


async def test_a_call_that_ends_without_a_request_gets_the_reason(
    world: World, database_url: str, redis_url: str
) -> None:
    async with running(database_url, redis_url) as app, channel_to(app) as channel:
        call = begun(channel, LOG_IN)
        await call.done_writing()
        assert (await refused(call)).reason is Reason.INVALID_FIELD


async def test_calls_without_a_request_are_in_flight(
    world: World, database_url: str, redis_url: str
) -> None:
    """Seen red: any number of them was open, whatever the settings say."""
    async with (
        running(database_url, redis_url, max_calls_in_flight=2) as app,
        channel_to(app) as channel,
        channel_to(app) as other,
    ):
        waiting = [begun(channel, LOG_IN) for _ in range(2)]
        await in_flight(2)
        error = await refused(begun(other, LOG_IN))
        assert error.reason is Reason.SERVER_BUSY
        for call in waiting:
            call.cancel()
        await in_flight(0)
        await Terminal.log_in(other)


async def in_flight(count: int) -> None:
    """Waits for so many calls to be in flight."""
    async with asyncio.timeout(WAIT_SECONDS):
        gauge = f"deeptravel_calls_in_flight {count:.1f}"
        while gauge not in exposition()[0].decode():  # noqa: ASYNC110 - a gauge wakes nobody
            await asyncio.sleep(0.01)


async def test_one_address_has_no_more_calls_than_its_share(
    world: World, database_url: str, redis_url: str
) -> None:
    """Also over HTTP, where the address is the client's. Seen red with the check left out."""
    async with (
        running(database_url, redis_url, max_calls_per_address=1) as app,
        channel_to(app) as channel,
    ):
        waiting = begun(channel, LOG_IN)
        await in_flight(1)
        error = await refused(begun(channel, LOG_IN))
        assert (error.reason, error.retry_seconds is not None) == (Reason.SERVER_BUSY, True)
        health = begun(channel, "/grpc.health.v1.Health/Watch")
        async with asyncio.timeout(WAIT_SECONDS):
            assert await health.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{app.http_port}") as http:
            answer = await http.post("/operators/login", json={})
            assert answer.status_code == 429
        waiting.cancel()
        await in_flight(0)
        await Terminal.log_in(channel)


async def test_a_stop_does_not_wait_for_requests_that_do_not_come(
    world: World, database_url: str, redis_url: str
) -> None:
    """Seen red: it took all of `drain_seconds`."""
    async with (
        running(database_url, redis_url, first_message_seconds=600, drain_seconds=600) as app,
        channel_to(app) as channel,
    ):
        waiting = begun(channel, LOG_IN)
        await in_flight(1)
        async with asyncio.timeout(WAIT_SECONDS):
            await app.stop()
        assert await waiting.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_terminal_may_open_its_stream_long_before_its_first_scan(
    world: World, database_url: str, redis_url: str
) -> None:
    async with (
        running(database_url, redis_url, first_message_seconds=2) as app,
        channel_to(app) as channel,
    ):
        terminal = await Terminal.log_in(channel)
        stream: Any = terminal.stream()
        await asyncio.sleep(2.5)  # past the time for a first message, whose least is two seconds
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK


async def test_connections_and_the_calls_of_each_are_bounded(
    world: World, database_url: str, redis_url: str
) -> None:
    """HTTP/2 by hand: the first frame says how many calls a connection may have.

    Seen red without the bound of connections: the third was served like the others.
    """
    async with running(database_url, redis_url, max_connections=2) as app:
        connections = []
        for number in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", app.grpc_port)
            connections.append(writer)
            writer.write(PREFACE)
            async with asyncio.timeout(WAIT_SECONDS):
                if number == 2:
                    assert await reader.read() == b""
                    continue
                head = await reader.readexactly(9)
                assert head[3] == SETTINGS_FRAME
                frame = await reader.readexactly(int.from_bytes(head[:3], "big"))
            settings = {
                int.from_bytes(frame[at : at + 2], "big"): int.from_bytes(
                    frame[at + 2 : at + 6], "big"
                )
                for at in range(0, len(frame), 6)
            }
            assert settings[MAX_CONCURRENT_STREAMS] == 2 * load_settings().max_calls_in_flight
        for writer in connections:
            writer.close()


def refused_calls() -> float:
    """Calls of Redeem without credentials, as they are counted."""
    return counted_calls("redemption", "RedemptionService/Redeem", "UNAUTHENTICATED")


async def test_a_body_is_read_of_those_who_may_call(
    world: World, database_url: str, redis_url: str
) -> None:
    """Refusals are counted as those of calls. Seen red: 400, after all of the body was read."""
    async with (
        running(database_url, redis_url) as app,
        channel_to(app) as channel,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{app.http_port}") as http,
    ):
        terminal, before = await Terminal.log_in(channel), refused_calls()
        key = {"x-api-key": "dt_unknown"}
        faulty = b"{" * 1000
        for headers, status in ((key, 401), ({}, 401), (dict(terminal.metadata), 400)):
            answer = await http.post("/venue/scan", content=faulty, headers=headers)
            assert answer.status_code == status
        answer = await http.post(
            "/ota/tickets:activate", content=faulty, headers=dict(terminal.metadata)
        )
        assert (answer.status_code, answer.json()["code"]) == (403, 7)
        assert refused_calls() == before + 2


async def test_a_body_has_the_length_its_contract_allows_at_the_most(
    world: World, database_url: str, redis_url: str
) -> None:
    """Nobody logs in with 900 KB. Seen red: they were read and bound."""
    async with (
        running(database_url, redis_url) as app,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{app.http_port}") as http,
    ):
        answer = await http.post("/operators/login", content=b" " * 900_000)
        assert (answer.status_code, answer.json()["code"]) == (413, 3)
