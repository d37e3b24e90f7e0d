"""Exports of tickets: as messages, as CSV and as lines of JSON, over gRPC and HTTP."""

import asyncio
import csv
import io
import json
import socket
from typing import Any

import httpx2
import pytest
from deeptravel.ota.v1 import export_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.platform.errors import Reason
from server.tickets import exports, listing
from tests.api.test_stream_rights import LOST, revoke
from tests.support.databases import NONE_OPEN
from tests.support.gate_server import GateServer
from tests.support.http_server import narrow
from tests.support.partner_client import CP, HK, Market, PartnerClient, customer, payment
from tests.support.rpc_server import refusal

COLUMNS = [*exports.COLUMNS]
CSV, JSONL = export_pb2.EXPORT_FORMAT_CSV, export_pb2.EXPORT_FORMAT_JSONL


async def exported(client: PartnerClient, **fields: Any) -> list[export_pb2.ExportedTicket]:
    request = export_pb2.ExportTicketsRequest(**fields)
    stream = client.stub.ExportTickets(request, metadata=client.metadata)
    return [ticket async for part in stream for ticket in part.tickets]


async def written(client: PartnerClient, **fields: Any) -> str:
    request = export_pb2.ExportTicketsRequest(**fields)
    stream = client.stub.ExportTickets(request, metadata=client.metadata)
    return b"".join([part.file.data async for part in stream]).decode()


async def downloaded(server: GateServer, query: str, key: str = CP.api_key) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=60.0) as http:
        url = f"http://127.0.0.1:{server.app.http_port}/ota/tickets:export{query}"
        return await http.get(url, headers={"X-Api-Key": key})


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def parts_of_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "PART_TICKETS", 10)


@pytest.mark.usefixtures("parts_of_ten")
async def test_all_ways_say_the_same(client: PartnerClient, ota_server: GateServer) -> None:
    codes = await client.codes(23, distributor_id="D-1")
    await client.activate_many([(code, customer(), payment("P-9")) for code in codes[3:5]])
    messages = await exported(client)
    assert [each.ticket_code for each in messages] == codes
    assert {each.encrypted_data for each in messages} == {""}
    as_csv = await downloaded(ota_server, "?format=csv")
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert as_csv.headers["content-disposition"] == 'attachment; filename="tickets.csv"'
    assert as_csv.text.startswith(",".join(COLUMNS) + "\r\n")
    assert as_csv.text.count("\r\n") == as_csv.text.count("\n") == 24
    as_lines = await downloaded(ota_server, "?format=jsonl")
    assert as_lines.headers["content-type"] == "application/x-ndjson"
    assert as_lines.headers["content-disposition"] == 'attachment; filename="tickets.jsonl"'
    lines = [json.loads(line) for line in as_lines.text.splitlines()]
    assert (await downloaded(ota_server, "")).text == as_lines.text
    assert await written(client, format=CSV) == as_csv.text
    assert await written(client, format=JSONL) == as_lines.text
    for message, row, line in zip(messages, rows(as_csv.text), lines, strict=True):
        expected = {
            name: getattr(message, name) for name in COLUMNS if not name.endswith("_time")
        } | {"status": ticket_pb2.TicketState.Name(message.status).removeprefix("TICKET_STATE_")}
        assert {name: line[name] for name in expected} == expected
        assert {name: row[name] for name in expected} == {k: str(v) for k, v in expected.items()}
        for name in ("create_time", "valid_from_time", "valid_until_time"):
            assert row[name] == line[name]
            moment = ticket_pb2.Ticket().create_time
            moment.FromJsonString(row[name])
            assert moment == getattr(message, name)
    assert (lines[3]["payment_reference"], lines[3]["status"]) == ("P-9", "ACTIVE")


@pytest.mark.usefixtures("parts_of_ten")
async def test_filters_are_those_of_the_list(client: PartnerClient) -> None:
    await client.distributor("North")
    await client.distributor("Shop", "North")
    batch = await client.batch(15, distributor_id="Shop")
    codes = [ticket.ticket_code for ticket in batch.tickets]
    await client.batch(12, product_id=107)
    await client.batch(11, distributor_id="North")
    await client.activate_many([(code, customer(), payment()) for code in codes[::4]])
    active = ticket_pb2.TICKET_STATE_ACTIVE
    for fields in (
        *({"distributor_id": "North"}, {"distributor_id": "Shop"}, {"product_id": 107}),
        *({"status": active}, {"status": active, "distributor_id": "North"}),
        *({"batch_id": batch.batch_id}, {"distributor_id": "none"}, {}),
    ):
        filters: Any = fields
        found = [each.ticket_code for each in await exported(client, **filters)]
        assert found == await client.listed(**filters, page_size=200), fields


@pytest.mark.usefixtures("parts_of_ten")
async def test_resumed_after_any_ticket(client: PartnerClient, ota_server: GateServer) -> None:
    """A file goes on where it broke off: without its header."""
    codes = await client.codes(31)
    whole = (await downloaded(ota_server, "?format=csv")).text
    for place in (0, 9, 10, 29):
        query = f"?format=csv&after_ticket_code={codes[place]}"
        rest = (await downloaded(ota_server, query)).text
        assert whole.endswith(rest)
        assert rest.count("\r\n") == 30 - place
        resumed = await exported(client, after_ticket_code=codes[place])
        assert [each.ticket_code for each in resumed] == codes[place + 1 :]
    after = f"&after_ticket_code={codes[30]}"
    for form in ("csv", "jsonl"):
        ended = await downloaded(ota_server, f"?format={form}{after}")
        assert (ended.status_code, ended.text) == (200, "")
    for elsewhere in ("none", codes[0].replace("CP", "HK"), "ORD-CP-20251103-000001"):
        refused = await refusal(exported(client, after_ticket_code=elsewhere))
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("after_ticket_code",))


@pytest.mark.usefixtures("parts_of_ten")
@pytest.mark.parametrize("with_qr", [False, True])
async def test_resumed_after_each_part(client: PartnerClient, with_qr: bool) -> None:
    """`last_ticket_code` of any part is where the rest begins, of messages and of files, so that a
    program need not read the file; the header is in none of its own. Seen red with the header as
    a part before the first: one who broke off after it had it twice.
    """
    codes = await client.codes(31)
    for form in (export_pb2.EXPORT_FORMAT_UNSPECIFIED, CSV, JSONL):
        request = export_pb2.ExportTicketsRequest(format=form, with_qr=with_qr)
        stream = client.stub.ExportTickets(request, metadata=client.metadata)
        parts = [part async for part in stream]
        assert [part.last_ticket_code for part in parts] == [*codes[9::10], codes[-1]], form
        texts = [part.file.data.decode() for part in parts]
        for number, part in enumerate(parts[:-1]):
            after = part.last_ticket_code
            if form:
                rest = await written(client, format=form, after_ticket_code=after)
                assert rest.count("\n") == "".join(texts[number + 1 :]).count("\n")
                assert rest.split(",")[0] == texts[number + 1].split(",")[0]
            else:
                tickets = await exported(client, after_ticket_code=after)
                assert tickets[0].ticket_code == parts[number + 1].tickets[0].ticket_code
        nothing = export_pb2.ExportTicketsRequest(format=form, after_ticket_code=codes[-1])
        ended = client.stub.ExportTickets(nothing, metadata=client.metadata)
        assert [part.last_ticket_code async for part in ended] == ([""] if form else [])


FORMULAS = [
    *("=1+1", "+1", "-1", "@SUM(A1)", "'=1", "a=b", 'say "hi"', "a,b"),
    *('="x",1', "\\N", "D-7", "张 三"),
]


async def test_no_text_is_a_formula(client: PartnerClient, ota_server: GateServer) -> None:
    """CSV puts an apostrophe before it; JSON has it as it is. Seen red without."""
    for text in FORMULAS:
        (code,) = await client.codes(1, distributor_id=text)
        await client.activate(code, payment=payment(text))
    found = rows((await downloaded(ota_server, "?format=csv")).text)
    for name in ("distributor_id", "payment_reference"):
        cells = [row[name] for row in found]
        assert not [cell for cell in cells if cell[0] in "=+-@\t\r\n"]
        meant = [cell[1:] if cell[0] == "'" and cell[1] in "=+-@" else cell for cell in cells]
        # what was written with an apostrophe itself is as it was
        assert [m for m, text in zip(meant, FORMULAS, strict=True) if text != "'=1"] == [
            text for text in FORMULAS if text != "'=1"
        ]
    lines = (await downloaded(ota_server, "?format=jsonl")).text.splitlines()
    assert [json.loads(line)["distributor_id"] for line in lines] == FORMULAS


async def test_qr_texts_in_one_download(
    market: Market, client: PartnerClient, ota_server: GateServer
) -> None:
    batch = await client.batch(1_200)
    codes = [ticket.ticket_code for ticket in batch.tickets]
    await market.sql("UPDATE tickets SET blocked = true WHERE ticket_code = %s", codes[2])
    await client.cancel(codes[3:4])
    known = dict(await market.sql("SELECT ticket_code, jti FROM tickets"))
    query = f"&with_qr=true&batch_id={batch.batch_id}"
    as_csv = rows((await downloaded(ota_server, f"?format=csv{query}")).text)
    lines = (await downloaded(ota_server, f"?format=jsonl{query}")).text.splitlines()
    messages = await exported(client, with_qr=True, batch_id=batch.batch_id)
    assert list(as_csv[0]) == [*COLUMNS, "encrypted_data"]
    for found in (
        {row["ticket_code"]: row["encrypted_data"] for row in as_csv},
        {line["ticket_code"]: line["encrypted_data"] for line in map(json.loads, lines)},
        {each.ticket_code: each.encrypted_data for each in messages},
    ):
        assert len(found) == 1_200
        assert [code for code, token in found.items() if not token] == codes[2:4]
        for code in (codes[0], codes[199], list(found)[-1]):
            assert market.claims(found[code]).jti == known[code]


async def test_of_whom(client: PartnerClient, ota_server: GateServer) -> None:
    await client.codes(3)
    foreign = await downloaded(ota_server, "?format=csv", HK.api_key)
    assert rows(foreign.text) == []
    assert (await downloaded(ota_server, "?format=csv", "dtk_0_none")).status_code == 401
    for query in ("?format=xml", "?batch_id=none", "?after_ticket_code=x", "?page_size=3"):
        refused = await downloaded(ota_server, query)
        assert refused.status_code == 400, query
        assert refused.json()["details"][0]["reason"] == "INVALID_FIELD"


async def test_a_slow_reader_keeps_nothing_waiting(
    market: Market, client: PartnerClient, ota_server: GateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads no further than the pipes hold, and holds no transaction.

    Seen red with a download that reads the stream ahead: all parts were read while nobody took a
    byte.
    """
    narrow(ota_server.app.loops)
    await client.batch(15_000)
    parts = 0
    next_window = listing.next_window

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal parts
        parts += 1
        return await next_window(*arguments, **options)

    monkeypatch.setattr(exports, "next_window", counted)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.setblocking(False)
    loop = asyncio.get_running_loop()
    with reader:
        await loop.sock_connect(reader, ("127.0.0.1", ota_server.app.http_port))
        head = f"GET /ota/tickets:export HTTP/1.1\r\nHost: here\r\nX-Api-Key: {CP.api_key}\r\n\r\n"
        await loop.sock_sendall(reader, head.encode())
        assert (await loop.sock_recv(reader, 1024)).startswith(b"HTTP/1.1 200")
        before, quiet = -1, 0
        while quiet < 5:  # until no more fits into the pipes, on a loaded machine too
            quiet = quiet + 1 if before == parts else 0
            before = parts
            await asyncio.sleep(0.5)
        assert 0 < parts < 15
        await market.until(NONE_OPEN)


async def test_a_download_that_fails_is_cut_off(
    market: Market, client: PartnerClient, ota_server: GateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that nobody takes a part for the whole. Seen red with a stream that ends there."""
    monkeypatch.setattr(exports, "PART_TICKETS", 10)
    await client.batch(4_000)
    next_window = listing.next_window

    async def slowly(*arguments: Any, **options: Any) -> Any:
        await asyncio.sleep(0.05)
        return await next_window(*arguments, **options)

    monkeypatch.setattr(exports, "next_window", slowly)
    url = f"http://127.0.0.1:{ota_server.app.http_port}/ota/tickets:export?format=csv"
    read = b""

    async def to_the_end(answer: httpx2.Response) -> None:
        nonlocal read
        async for part in answer.aiter_bytes():
            if not read:
                await revoke(market, LOST["key"][0])
            read += part

    async with (
        asyncio.timeout(60),
        httpx2.AsyncClient(trust_env=False, timeout=60.0) as http,
        http.stream("GET", url, headers={"X-Api-Key": CP.api_key}) as answer,
    ):
        with pytest.raises(httpx2.RemoteProtocolError):
            await to_the_end(answer)
    assert read.endswith(b"\r\n")
    assert read.count(b"\r\n") < 4_000
