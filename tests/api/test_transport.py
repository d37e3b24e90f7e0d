"""What holds for every call on the wire: keep-alive, sizes of errors, undecodable bytes, request
ids, reflection.
"""

import asyncio
import importlib
import string
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from server import app as server_app
from server.api import calls, grpc_server
from server.api.statuses import error_status
from server.platform.config import load_settings
from server.platform.errors import DomainError, Reason
from server.platform.ratelimit import RateLimiter
from tests.support.app_server import PREFACE, channel_to, running
from tests.support.gate import Terminal, World, a_world
from tests.support.partner_client import Market, PartnerClient, a_market
from tests.support.rpc_server import read_refusal
from tests.support.waiting import WAIT_SECONDS

MAX_TRAILER_BYTES = 6 * 1024
SCAN = "/deeptravel.redemption.v1.RedemptionService/DecryptQr"


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url) as made:
        yield made


@pytest.fixture
async def market(database_url: str) -> AsyncIterator[Market]:
    async with a_market(database_url) as made:
        yield made


def test_every_channel_argument_is_one_that_grpc_knows() -> None:
    """gRPC says nothing of a name it does not know. Seen red with
    `min_recv_ping_interval_without_data_ms`.
    """
    core = Path(str(importlib.import_module("grpc._cython.cygrpc").__file__)).read_bytes()
    aged = grpc_server.age_options(load_settings(connection_age_seconds=1))
    assert aged
    for name, _ in [*grpc_server.server_options(load_settings()), *aged]:
        assert name.encode() in core, name
    assert b"grpc.http2.min_recv_ping_interval_without_data_ms" not in core


PING = b"\0\0\x08\x06\0\0\0\0\0" + b"deeptrav"
PING_FRAME, GO_AWAY_FRAME, ACKNOWLEDGED = 6, 7, 1


async def test_clients_may_ping_as_often_as_we_say(
    world: World, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP/2 by hand, since Python's client pings no faster than every ten seconds; ours is here
    every 0.1 s.

    Seen red with the argument's name unknown to gRPC: GOAWAY, too many pings, after the fourth.
    """
    monkeypatch.setattr(grpc_server, "MIN_PING_SECONDS", 0.1)
    monkeypatch.setattr(server_app, "server_options", _whole_numbers(grpc_server.server_options))
    async with running(database_url, redis_url) as app:
        reader, writer = await asyncio.open_connection("127.0.0.1", app.grpc_port)
        writer.write(PREFACE)
        answered = 0
        for _ in range(8):
            writer.write(PING)
            answered += await _next_ping_or_end(reader)
            await asyncio.sleep(0.2)
        writer.close()
        assert answered == 8


async def _next_ping_or_end(reader: asyncio.StreamReader) -> bool:
    """Whether the next frame of either kind acknowledges a ping; False for GOAWAY and the end."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                head = await reader.readexactly(9)
                await reader.readexactly(int.from_bytes(head[:3], "big"))
            except asyncio.IncompleteReadError:
                return False
            if head[3] == GO_AWAY_FRAME:
                return False
            if head[3] == PING_FRAME and head[4] == ACKNOWLEDGED:
                return True


def _whole_numbers(options: Any) -> Any:
    return lambda *args, **kwargs: [(k, int(v)) for k, v in options(*args, **kwargs)]


def trailer_bytes(error: grpc.aio.AioRpcError) -> int:
    """As HPACK counts them: 32 bytes beside each name and value; binary values in Base64, texts
    percent-encoded.
    """
    size = len("grpc-message") + len(_percent_encoded(error.details() or "")) + 32
    for key, value in error.trailing_metadata() or ():
        length = -(-len(value) // 3) * 4 if isinstance(value, bytes) else len(value)
        size += len(key) + length + 32
    return size


def _percent_encoded(text: str) -> str:
    plain = set((string.printable[:95]).encode())
    return "".join(chr(b) if b in plain else f"%{b:02X}" for b in text.encode())


@pytest.mark.parametrize("count", [1, 55, 1000])
async def test_details_stay_small_however_many_faults(
    market: Market, database_url: str, redis_url: str, count: int
) -> None:
    async with running(database_url, redis_url) as app, channel_to(app) as channel:
        client = PartnerClient.at(channel)
        faulty = [("", None, None)] * count
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.activate_many(faulty)
        assert trailer_bytes(refused.value) < MAX_TRAILER_BYTES
        found = read_refusal(refused.value)
        assert found.reason is Reason.INVALID_FIELD
        left_out = int(found.metadata.get("violations_left_out", "0"))
        assert found.fields[0] == "activations[0].ticket_code"
        assert (left_out > 0) == (count > 1)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{app.http_port}") as http:
            answer = await http.post(
                "/ota/tickets:activate",
                json={"request_id": "1", "activations": [{}] * count},
                headers={"x-api-key": client.api_key},
            )
        assert (answer.status_code, answer.json()["code"]) == (400, 3)


texts = st.text(st.characters(codec="utf-8"), max_size=400)


@given(
    message=texts,
    facts=st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e"]), texts),
    violations=st.lists(st.tuples(texts, texts), max_size=100),
)
def test_no_error_is_larger_than_a_client_takes(
    message: str, facts: dict[str, str], violations: list[tuple[str, str]]
) -> None:
    error = DomainError(Reason.INVALID_FIELD, message, violations=violations, **facts)  # type: ignore[arg-type]
    status = error_status(error, "r" * calls.MAX_REQUEST_ID_LENGTH)
    encoded = -(-status.ByteSize() // 3) * 4 + len(_percent_encoded(status.message))
    assert encoded + 400 < MAX_TRAILER_BYTES
    details: list[Any] = [error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()]
    for detail in status.details:
        for kind in details:
            detail.Unpack(kind)
    left_out = int(details[0].metadata.get("violations_left_out", "0"))
    assert len(details[1].field_violations) + left_out == len(violations)


async def test_bytes_that_are_no_request_are_refused(
    world: World, database_url: str, redis_url: str
) -> None:
    async with running(database_url, redis_url) as app, channel_to(app) as channel:
        terminal = await Terminal.log_in(channel)
        raw: Any = channel.unary_unary(SCAN)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await raw(b"\xff\xff\xff", metadata=terminal.metadata)
        assert read_refusal(refused.value).reason is Reason.INVALID_FIELD
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await raw(b"\xff\xff\xff")
        assert read_refusal(refused.value).reason is Reason.UNAUTHENTICATED, (
            "the caller comes first"
        )
        stream: Any = channel.stream_stream(SCAN.replace("DecryptQr", "ScanStream"))
        scans = stream(iter([b"\xff\xff\xff"]), metadata=terminal.metadata)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await scans.read()
        assert read_refusal(refused.value).reason is Reason.INVALID_FIELD


@pytest.mark.parametrize("given_id", ["café", "a\x01b", b"\xff", ""])
def test_an_id_that_no_trailer_can_carry_is_replaced(given_id: str | bytes) -> None:
    """Clients on other HTTP/2 libraries can send it; Python's cannot."""
    assert calls.usable_request_id({"x-request-id": given_id}) is None
    assert calls.usable_request_id({"x-request-id": "x" * 100}) == "x" * 64


async def test_a_deadline_passed_has_its_details(
    world: World, database_url: str, redis_url: str
) -> None:
    async with running(database_url, redis_url) as app:
        login = {"username": "zhang", "password": "?", "terminal_device_id": "T-1"}
        async with (
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{app.http_port}") as http,
            world.pg.transaction(),
        ):
            await world.pg.execute("LOCK TABLE accounts, login_failures")  # so that it has to wait
            answer = await http.post(
                "/operators/login",
                json=login,
                headers={"grpc-timeout": "50m", "x-request-id": "late"},
            )
        status = answer.json()
        assert (answer.status_code, status["code"]) == (504, 4)
        reasons = [detail.get("reason") for detail in status["details"]]
        assert "DEADLINE_EXCEEDED" in reasons
        assert {"late"} <= {detail.get("request_id") for detail in status["details"]}


async def test_seconds_until_more_are_free_are_rounded_up(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.37 s given as 2 would be refused again. Seen red with round()."""
    limiter = RateLimiter(redis_url)

    async def counted(*_: object) -> list[int]:
        return [1, 0, 2_370_000]

    monkeypatch.setattr(limiter, "_window", counted)
    allowance = await limiter.hit("partner:CP", 1)
    await limiter.close()
    assert allowance
    assert allowance.reset_seconds == 3
