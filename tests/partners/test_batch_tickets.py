"""The tickets of a batch with their QR texts: in pages, and as a stream of lines, over gRPC and
JSON.
"""

import asyncio
import json
import socket
from typing import Any

import httpx2
import pytest
from deeptravel.ota.v1 import ota_service_pb2 as ota

from server.platform.errors import Reason
from server.tickets import tickets
from server.tickets.qr import QrKind
from tests.support.databases import NONE_OPEN
from tests.support.gate_server import GateServer
from tests.support.http_server import narrow
from tests.support.partner_client import CP, HK, Market, PartnerClient
from tests.support.rpc_server import refusal

BATCH = 410


async def pages(client: PartnerClient, batch_id: str, **fields: Any) -> list[Any]:
    found: list[Any] = []
    while not found or found[-1].next_page_token:
        token = found[-1].next_page_token if found else ""
        request = ota.ListBatchTicketsRequest(batch_id=batch_id, page_token=token, **fields)
        found.append(await client.call("ListBatchTickets", request))
    return found


async def over_json(server: GateServer, path: str, key: str = CP.api_key) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=60.0) as http:
        url = f"http://127.0.0.1:{server.app.http_port}{path}"
        return await http.get(url, headers={"X-Api-Key": key})


async def test_pages_with_tokens(
    market: Market, client: PartnerClient, ota_server: GateServer
) -> None:
    """Seen red: there was no such path; a partner asked for one QR text a call."""
    batch = await client.batch(BATCH)
    await market.sql(
        "UPDATE tickets SET blocked = true WHERE ticket_code = %s", batch.tickets[3].ticket_code
    )
    listed = await client.listed(batch_id=batch.batch_id, page_size=200)
    for size, lengths in ((200, [200, 200, 10]), (0, [50] * 8 + [10]), (BATCH // 5, [82] * 5)):
        found = await pages(client, batch.batch_id, with_qr=True, page_size=size)
        assert [len(page.tickets) for page in found] == lengths
        made = [ticket for page in found for ticket in page.tickets]
        assert [ticket.ticket_code for ticket in made] == listed
        assert [at for at, ticket in enumerate(made) if not ticket.encrypted_data] == [3]
    rows = await market.sql("SELECT ticket_code, ticket_id, jti, valid_until_time FROM tickets")
    known = {code: (number, jti, until) for code, number, jti, until in rows}
    path, token = f"/ota/batches/{batch.batch_id}/tickets?with_qr=true&page_size=200", ""
    texts: dict[str, str] = {}
    while True:
        answer = await over_json(ota_server, path + token)
        assert answer.status_code == 200, answer.text
        texts |= {each["ticket_code"]: each["encrypted_data"] for each in answer.json()["tickets"]}
        if not answer.json()["next_page_token"]:
            break
        token = f"&page_token={answer.json()['next_page_token']}"
    assert list(texts) == listed
    for code, text in texts.items():
        if text:
            claims = market.claims(text)
            assert (claims.number, claims.jti, claims.expire_time) == known[code]
    without = (await pages(client, batch.batch_id))[0]
    assert {ticket.encrypted_data for ticket in without.tickets} == {""}


async def test_whose_pages(
    market: Market, client: PartnerClient, other_client: PartnerClient, ota_server: GateServer
) -> None:
    batch = await client.batch(60)
    for batch_id in (batch.batch_id, "none"):
        refused = await refusal(pages(other_client, batch_id))
        assert refused.reason is Reason.NOT_FOUND
    for path in ("tickets", "tickets:stream"):
        answer = await over_json(ota_server, f"/ota/batches/{batch.batch_id}/{path}", HK.api_key)
        assert answer.status_code == 404
    (first, _) = await pages(client, batch.batch_id)
    other = ota.ListBatchTicketsRequest(
        batch_id=batch.batch_id, with_qr=True, page_token=first.next_page_token
    )
    refused = await refusal(client.call("ListBatchTickets", other))
    assert refused.reason is Reason.PAGE_TOKEN_INVALID


async def test_lines(market: Market, client: PartnerClient, ota_server: GateServer) -> None:
    """A line of JSON for each ticket, and on from any of them."""
    batch = await client.batch(2_500)
    path = f"/ota/batches/{batch.batch_id}/tickets:stream?with_qr=true"
    answer = await over_json(ota_server, path)
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    codes = [line["ticket_code"] for line in lines]
    assert codes == await client.listed(batch_id=batch.batch_id, page_size=200)
    for line in (lines[0], lines[-1]):
        assert set(line) == {"ticket_code", "status", "encrypted_data"}
        assert market.claims(line["encrypted_data"]).kind is QrKind.TICKET
    resumed = await over_json(ota_server, f"{path}&after_ticket_code={codes[1_999]}")
    assert [json.loads(line)["ticket_code"] for line in resumed.text.splitlines()] == codes[2_000:]


async def test_a_slow_reader_of_lines_keeps_nothing_waiting(
    market: Market, client: PartnerClient, ota_server: GateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads no further than the pipes hold, and holds no transaction.

    Seen red with a gateway that reads the stream ahead: all chunks were read while nobody took a
    line.
    """
    narrow(ota_server.app.loops)
    batch = await client.batch(6_000)
    chunks = 0
    chunk_of = tickets.batch_tickets

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal chunks
        chunks += 1
        return await chunk_of(*arguments, **options)

    monkeypatch.setattr(tickets, "batch_tickets", counted)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.setblocking(False)
    loop = asyncio.get_running_loop()
    with reader:
        await loop.sock_connect(reader, ("127.0.0.1", ota_server.app.http_port))
        path = f"/ota/batches/{batch.batch_id}/tickets:stream?with_qr=true"
        head = f"GET {path} HTTP/1.1\r\nHost: here\r\nX-Api-Key: {CP.api_key}\r\n\r\n"
        await loop.sock_sendall(reader, head.encode())
        assert (await loop.sock_recv(reader, 1024)).startswith(b"HTTP/1.1 200")
        before, quiet = -1, 0
        while quiet < 5:  # until no more fits into the pipes, on a loaded machine too
            quiet = quiet + 1 if before == chunks else 0
            before = chunks
            await asyncio.sleep(0.5)
        assert 0 < chunks < 6
        await market.until(NONE_OPEN)
