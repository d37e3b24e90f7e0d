"""Every stream ends within a second after its caller has lost the right to it: over gRPC and JSON,
in every process.

ScanStream's revocations, one by one, are in test_scan_stream.py.
"""

import asyncio
import math
from typing import Any

import grpc
import httpx2
import orjson
import pytest
from deeptravel.admin.v1 import admin_service_pb2
from deeptravel.ota.v1 import export_pb2
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.redemption.v1 import access_pb2, redemption_service_pb2
from deeptravel.ticketing.v1 import ticketing_service_pb2

from server.api.ota.servicer import OtaServicer
from server.api.streams import RECHECK_SECONDS
from server.identity.keys import PartnerKeys
from server.partners import partner_tickets
from server.platform import change_feed
from server.platform.errors import Reason
from server.tickets import exports
from tests.support import gate
from tests.support.changes import show_changes
from tests.support.gate import next_answers, scan_message
from tests.support.gate_server import GateServer, gate_server
from tests.support.partner_client import CP, Market, PartnerClient
from tests.support.rpc_server import read_refusal
from tests.support.traveller import TravellerClient, a_world
from tests.support.waiting import WITHIN_SECONDS

NARROW = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4096))
"""Little of a stream is on its way to a slow reader."""
TICKETS = 4_000
LOST = {
    "key": ("UPDATE partner_keys SET revoke_time = now() WHERE partner_id = 1", "UNAUTHENTICATED"),
    "partner": ("UPDATE partners SET state = 'REVOKED' WHERE partner_id = 1", "UNAUTHENTICATED"),
    "address": (
        "UPDATE partners SET allowed_addresses = '{192.0.2.7}' WHERE partner_id = 1",
        "ADDRESS_NOT_ALLOWED",
    ),
}


class Reader:
    """Reads a stream of QR codes slowly, for longer than a test lasts."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.read, self.begun = stream, 0, asyncio.Event()

    async def reason(self) -> Reason | None:
        """Why the stream ends; None if it does with its last ticket."""
        try:
            while await self.stream.read() is not grpc.aio.EOF:
                self.read += 1
                self.begun.set()
                await asyncio.sleep(0.005)
        except grpc.aio.AioRpcError as error:
            return read_refusal(error).reason
        return None


async def revoke(market: Market, statement: str) -> None:
    async with market.pg.transaction():
        await market.sql(statement)
        await show_changes(market)


@pytest.mark.parametrize("method", ["StreamBatchTickets", "ExportTickets"])
@pytest.mark.parametrize("lost", LOST)
async def test_no_more_qr_codes_for_a_partner_without_the_right(
    market: Market,
    ota_server: GateServer,
    client: PartnerClient,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
    method: str,
) -> None:
    """Seen red: a partner whose key was revoked was sent all of them, as it is where an open stream
    is not asked for its right again.
    """
    monkeypatch.setattr(exports, "PART_TICKETS", 1)
    batch = await client.batch(TICKETS)
    requests: dict[str, Any] = {
        "StreamBatchTickets": ota.StreamBatchTicketsRequest(batch_id=batch.batch_id, with_qr=True),
        "ExportTickets": export_pb2.ExportTicketsRequest(batch_id=batch.batch_id, with_qr=True),
    }
    address = f"127.0.0.1:{ota_server.app.grpc_port}"
    async with grpc.aio.insecure_channel(address, options=NARROW) as channel:
        reader = Reader(PartnerClient.at(channel).call(method, requests[method]))
        reading = asyncio.create_task(reader.reason())
        await reader.begun.wait()
        statement, expected = LOST[lost]
        await revoke(market, statement)
        assert await reading == expected
    assert reader.read < TICKETS / 2


async def test_nor_as_lines_of_json(
    market: Market,
    ota_server: GateServer,
    client: PartnerClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last line says why. Chunks come slowly, as a kernel may keep megabytes of answers."""
    monkeypatch.setattr(partner_tickets, "STREAM_CHUNK_TICKETS", TICKETS // 40)
    tokens = OtaServicer._tokens

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(0.2)
        return await tokens(*arguments)

    monkeypatch.setattr(OtaServicer, "_tokens", slowly)
    batch = await client.batch(TICKETS)
    url = f"/ota/batches/{batch.batch_id}/tickets:stream?with_qr=true"
    base = f"http://127.0.0.1:{ota_server.app.http_port}"
    async with (
        asyncio.timeout(60),
        httpx2.AsyncClient(base_url=base, headers={"x-api-key": CP.api_key}) as http,
        http.stream("GET", url) as answer,
    ):
        lines = (line async for line in answer.aiter_lines() if line)
        assert "ticket_code" in orjson.loads(await anext(lines))
        await revoke(market, LOST["key"][0])
        last, read = "", 1
        async for line in lines:
            last = line
            read += 1
    assert orjson.loads(last)["error"]["details"][0]["reason"] == "UNAUTHENTICATED"
    assert read < TICKETS


async def test_in_another_process_too(
    market: Market,
    ota_server: GateServer,
    client: PartnerClient,
    module_database_url: str,
    module_redis_url: str,
) -> None:
    batch = await client.batch(TICKETS)
    async with (
        gate_server(module_database_url, module_redis_url) as other,
        grpc.aio.insecure_channel(f"127.0.0.1:{other.app.grpc_port}", options=NARROW) as channel,
    ):
        request = ota.StreamBatchTicketsRequest(batch_id=batch.batch_id, with_qr=True)
        reader = Reader(PartnerClient.at(channel).call("StreamBatchTickets", request))
        reading = asyncio.create_task(reader.reason())
        await reader.begun.wait()
        await revoke(market, LOST["key"][0])
        assert await reading == Reason.UNAUTHENTICATED


async def test_an_open_stream_asks_the_database_nothing(
    market: Market, ota_server: GateServer, client: PartnerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key was read once, whatever time passes."""
    loaded: list[str] = []
    load = PartnerKeys._load

    async def counted(self: PartnerKeys, api_key: str) -> Any:
        loaded.append(api_key)
        return await load(self, api_key)

    batch = await client.batch(400)
    monkeypatch.setattr(change_feed, "TRUST_SECONDS", math.inf)  # however late it is read
    monkeypatch.setattr(PartnerKeys, "_load", counted)
    request = ota.StreamBatchTicketsRequest(batch_id=batch.batch_id)
    stream = client.call("StreamBatchTickets", request)
    read = 0
    while await stream.read() is not grpc.aio.EOF:
        read += 1
        await asyncio.sleep(0.005)
    assert read == 400
    assert CP.api_key not in loaded


async def test_over_json_a_blocked_traveller_reads_why(database_url: str, redis_url: str) -> None:
    async with (
        a_world(database_url) as world,
        gate_server(database_url, redis_url) as server,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.app.http_port}") as http,
    ):
        await world.enrol(1)
        client = TravellerClient.of(server.channel, 1)
        order = await client.order(world.seat())
        headers = dict(client.metadata)
        url = f"/orders/{order.order_id}:watch"
        async with asyncio.timeout(20), http.stream("GET", url, headers=headers) as answer:
            assert answer.status_code == 200
            lines = (line async for line in answer.aiter_lines() if line)
            assert orjson.loads(await anext(lines))["event"] == "order.created"
            await world.sql("UPDATE travellers SET state = 'BLOCKED' WHERE traveller_id = 1")
            await show_changes(world)
            last = [orjson.loads(line) async for line in lines][-1]
        assert last["error"]["details"][0]["reason"] == "UNAUTHENTICATED"


async def test_a_closed_session_redeems_no_more(database_url: str, redis_url: str) -> None:
    """The stream is the log-in's and goes on, with another session or none."""
    async with (
        gate.a_world(database_url) as world,
        gate_server(database_url, redis_url) as server,
    ):
        terminal = await world.log_in(server.channel)
        tickets = await world.tickets(2)
        session = await terminal.open_session()
        stream = terminal.stream()
        message = scan_message("1", tickets[0].qr, session_code=session)
        await stream.write(message)
        assert (await next_answers(stream))[0].answer.ticket_code
        await world.change("UPDATE validator_sessions SET close_time = now()")
        await asyncio.sleep(WITHIN_SECONDS)  # what is promised, not luck
        await stream.write(scan_message("2", tickets[1].qr, session_code=session))
        assert (await next_answers(stream))[0].failure.reason == Reason.SESSION_NOT_OPEN
        await stream.write(scan_message("3", tickets[1].qr))
        assert (await next_answers(stream))[0].answer.ticket_code
        await stream.done_writing()


async def test_a_stream_goes_on_with_a_log_in_that_was_refreshed(
    database_url: str, redis_url: str
) -> None:
    """Seen red: who was remembered was so with the refresh token of then, and once that was over
    every stream of the log-in ended at its first look.
    """
    seconds = 5
    async with (
        gate.a_world(database_url) as world,
        gate_server(database_url, redis_url) as server,
    ):
        log_in = access_pb2.OperatorLoginRequest(
            username="olga", password=gate.PASSWORD, terminal_device_id="T-1"
        )
        first = await world.log_in(server.channel)
        tokens = await first.stub.OperatorLogin(log_in)
        terminal = gate.Terminal("T-1", tokens.access_token, first.stub)
        ends = (
            "UPDATE logins SET refresh_expire_time = now() + make_interval(secs => %s)"
            " WHERE refresh_hash <> ''"
        )
        await world.sql(ends, seconds)
        tickets = await world.tickets(2)
        stream = terminal.stream()
        await stream.write(scan_message("1", tickets[0].qr))
        assert (await next_answers(stream))[0].answer.ticket_code
        await asyncio.sleep(2 * RECHECK_SECONDS)  # until it is looked at, and remembered
        request = access_pb2.RefreshTokenRequest(refresh_token=tokens.refresh_token)
        await first.stub.RefreshToken(request)
        await asyncio.sleep(seconds + WITHIN_SECONDS)
        await stream.write(scan_message("2", tickets[1].qr))
        assert (await next_answers(stream))[0].answer.ticket_code
        await world.sql(ends, -1)
        await world.change("SELECT")
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await stream.read()
        assert read_refusal(ended.value).reason is Reason.UNAUTHENTICATED


def test_every_stream_of_the_contract_is_tried_here() -> None:
    services = [
        service
        for file in (admin_service_pb2, redemption_service_pb2, ticketing_service_pb2, ota)
        for service in file.DESCRIPTOR.services_by_name.values()
    ]
    streaming = {
        method.name
        for service in services
        for method in service.methods
        if method.server_streaming or method.client_streaming
    }
    slow = {"StreamBatchTickets", "ExportTickets", "ScanStream", "WatchOrder", "GetVenuePack"}
    slow_for_administrators = {"ExportAuditEvents"}  # tests/audit/test_audit_lists.py
    slow_for_terminals = {"GetVenuePack"}  # tests/redemption/test_venue_packs.py
    # read whole before its first part
    at_once = {
        *("DownloadStatement", "DownloadPartnerStatement", "ExportCatalogue", "ExportGtfs"),
        *("DownloadCalendarEntry", "DownloadRedemptionReport", "DownloadSalesReport"),
        *("DownloadDisruption", "DownloadChannelDifferences"),
    }
    assert streaming == slow | slow_for_administrators | slow_for_terminals | at_once
