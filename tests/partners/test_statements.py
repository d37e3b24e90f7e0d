"""Statements of real sales: over gRPC and JSON, for the partner itself and for administrators,
sealed when the month is over and the same ever after.
"""

import csv
import hashlib
import io
import json
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pypdfium2
import pytest
from deeptravel.admin.v1 import admin_service_pb2_grpc
from deeptravel.admin.v1 import statement_pb2 as admin_statement_pb2
from deeptravel.ota.v1 import event_pb2, statement_pb2

from server.cli import rebuilding
from server.partners import statements
from server.partners.ledger_rules import month_of
from server.partners.statement_rules import (
    SEAL_DELAY,
    StatementDocument,
    end_of,
    month_text,
    next_month,
    previous_month,
)
from server.platform import clock
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from tests.support import gate
from tests.support.bookkeeping import ALL_POSTED, Bookings
from tests.support.gate_server import GateServer
from tests.support.partner_client import CP, HK, Market, PartnerClient
from tests.support.rpc_server import refusal

ZONE: ZoneInfo = load_settings().zone
THIS_MONTH = month_of(clock.now(), ZONE)
MONTH = month_text(THIS_MONTH)
SEALED = statement_pb2.STATEMENT_STATE_SEALED
CP_ID = 1


@pytest.fixture
async def db(module_database_url: str) -> AsyncIterator[Database]:
    opened = Database(load_settings(), module_database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def bookings(market: Market, ota_server: GateServer) -> Bookings:
    """CP has sold two of three tickets, one of which was used once; the running month's."""
    played = await Bookings.begin(market, ota_server.channel)
    codes = await played.client.codes(3, distributor_id="shop")
    for code in codes[:2]:
        await played.client.activate(code)
    assert await played.redeem(codes[0])
    await market.until(ALL_POSTED)
    return played


async def get(client: PartnerClient, month: str = MONTH, **fields: Any) -> Any:
    request = statement_pb2.GetStatementRequest(month=month, **fields)
    return await client.call("GetStatement", request)


async def download(client: PartnerClient, name: str, month: str = MONTH) -> bytes:
    kind = statement_pb2.StatementFormat.Value(f"STATEMENT_FORMAT_{name}")
    request = statement_pb2.DownloadStatementRequest(month=month, format=kind)
    return b"".join([each.body.data async for each in client.call("DownloadStatement", request)])


def http(server: GateServer, **headers: str) -> httpx2.AsyncClient:
    base = f"http://127.0.0.1:{server.app.http_port}"
    return httpx2.AsyncClient(base_url=base, headers=headers, trust_env=False, timeout=60)


async def seal(db: Database, market: Market) -> date:
    """Seals the month that is open, as the job does six hours after it; which it was."""
    month: date = await market.value("SELECT open_month FROM ledgers WHERE partner_id = 1")
    after = end_of(month, ZONE) + SEAL_DELAY
    early = after - timedelta(seconds=1)
    assert not await db.in_transaction(lambda tx: statements.seal_due(tx, zone=ZONE, now=early))
    assert await db.in_transaction(lambda tx: statements.seal_due(tx, zone=ZONE, now=after))
    await market.until(ALL_POSTED)
    return month


async def of_month(db: Database, month: date) -> StatementDocument:
    async with db.transaction() as tx:
        now = datetime.combine(month, datetime.min.time(), ZONE)
        return await statements.get(tx, CP_ID, month_text(month), zone=ZONE, now=now)


async def test_a_running_month_is_provisional_and_adds_up(bookings: Bookings) -> None:
    first = await get(bookings.client, page_size=2)
    (totals,) = first.statement.totals
    assert first.statement.state == statement_pb2.STATEMENT_STATE_PROVISIONAL
    assert (first.statement.partner_code, first.statement.time_zone) == ("CP", "Asia/Hong_Kong")
    assert (totals.activated_count, totals.activated_minor) == (2, 24_000)
    assert (totals.earned_minor, totals.commission_minor) == (6_000, 3_200)
    assert totals.debit_minor == totals.credit_minor
    assert totals.due_closing_minor == 24_000 - 3_200
    north, shop = first.statement.distributors
    assert (north.display_name, north.commission_minor) == ("北方分销", 2_400)
    assert (shop.activated_count, shop.payable_closing_minor) == (2, 800)
    second = await get(bookings.client, page_size=2, page_token=first.next_page_token)
    assert second.next_page_token == ""
    assert second.statement == first.statement
    kinds = [
        statement_pb2.StatementLineKind.Name(line.kind).removeprefix("STATEMENT_LINE_KIND_")
        for line in [*first.lines, *second.lines]
    ]
    assert kinds == ["BATCH", "ACTIVATION", "REDEMPTION"]


async def test_the_three_formats_are_one_content_over_grpc_and_http(
    bookings: Bookings, ota_server: GateServer
) -> None:
    """Seen red over HTTP where the body was no raw one: lines of JSON with Base64 came."""
    sha256 = (await get(bookings.client)).statement.content_sha256
    types = {"csv": "text/csv; charset=utf-8", "json": "application/json", "pdf": "application/pdf"}
    async with http(ota_server, **{"x-api-key": CP.api_key}) as partner:
        shown = (await partner.get(f"/ota/statements/{MONTH}")).json()
        assert shown["statement"]["content_sha256"] == sha256
        for name, content_type in types.items():
            answer = await partner.get(f"/ota/statements/{MONTH}:download?format={name}")
            assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
            file = f'attachment; filename="{MONTH}.{name}"'
            assert answer.headers["content-disposition"] == file
            assert answer.content == await download(bookings.client, name.upper())
        read = json.loads(await download(bookings.client, "JSON"))
        canonical = json.dumps(
            read["statement"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        assert hashlib.sha256(canonical.encode()).hexdigest() == sha256 == read["content_sha256"]
        table = (await download(bookings.client, "CSV")).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(table)))
        assert rows[0]["content_sha256"] == sha256
        assert {row["row"] for row in rows} == {
            *("statement", "line", "distributor", "account", "total")
        }
        pdf = pypdfium2.PdfDocument(await download(bookings.client, "PDF"))
        text = "".join(page.get_textpage().get_text_range() for page in pdf)
        assert sha256 in text
        assert "北方分销" in text


async def test_a_partner_sees_its_own_alone(bookings: Bookings, market: Market) -> None:
    """Seen red with the entries of a month read whatever their partner."""
    other = PartnerClient(bookings.client.stub, HK.api_key)
    listed = await other.call("ListStatements", statement_pb2.ListStatementsRequest())
    assert list(listed.statements) == []
    assert (await refusal(get(other))).reason is Reason.NOT_FOUND
    await other.codes(1)
    await market.until(ALL_POSTED)
    (totals,) = (await get(other)).statement.totals
    assert (totals.activated_count, totals.debit_minor) == (0, 12_000)


@pytest.mark.parametrize("ahead", [1, -1, 600])
async def test_months_without_a_statement(
    bookings: Bookings, ota_server: GateServer, ahead: int
) -> None:
    """Those to come, and those before the ledger began."""
    months = {1: next_month(THIS_MONTH), -1: previous_month(THIS_MONTH), 600: date(2999, 12, 1)}
    month = month_text(months[ahead])
    assert (await refusal(get(bookings.client, month))).reason is Reason.NOT_FOUND
    assert (await refusal(download(bookings.client, "CSV", month))).reason is Reason.NOT_FOUND
    async with http(ota_server, **{"x-api-key": CP.api_key}) as partner:
        answer = await partner.get(f"/ota/statements/{month}:download?format=pdf")
    assert answer.status_code == 404


async def test_what_is_no_month_or_format_is_refused(
    bookings: Bookings, ota_server: GateServer
) -> None:
    for month in ("2026-13", "2026-1", "202611", "November"):
        assert (await refusal(get(bookings.client, month))).reason is Reason.INVALID_FIELD
    async with http(ota_server, **{"x-api-key": CP.api_key}) as partner:
        for query in ("format=xls", "", "format=0"):
            answer = await partner.get(f"/ota/statements/{MONTH}:download?{query}")
            assert answer.status_code == 400, query
    async with http(ota_server) as nobody:
        answer = await nobody.get(f"/ota/statements/{MONTH}:download?format=csv")
        assert answer.status_code == 401


async def test_administrators_get_any_partners_the_same_bytes(
    bookings: Bookings, market: Market, ota_server: GateServer
) -> None:
    root = await gate.World(market.pg, market.ring).log_in(ota_server.channel, "root", None)
    stub = admin_service_pb2_grpc.AdminServiceStub(ota_server.channel)
    of_cp: Any = {"partner_code": "CP", "month": MONTH}
    got = await stub.GetPartnerStatement(
        admin_statement_pb2.GetPartnerStatementRequest(**of_cp), metadata=root.metadata
    )
    own = await get(bookings.client)
    assert (got.statement, list(got.lines)) == (own.statement, list(own.lines))
    request = admin_statement_pb2.DownloadPartnerStatementRequest(
        **of_cp, format=statement_pb2.STATEMENT_FORMAT_CSV
    )
    pieces = [
        each.body.data
        async for each in stub.DownloadPartnerStatement(request, metadata=root.metadata)
    ]
    assert b"".join(pieces) == await download(bookings.client, "CSV")
    listed = await stub.ListPartnerStatements(
        admin_statement_pb2.ListPartnerStatementsRequest(partner_code="CP"),
        metadata=root.metadata,
    )
    assert listed.statements[-1].month == MONTH
    nobody = admin_statement_pb2.ListPartnerStatementsRequest(partner_code="NOBODY")
    refused = await refusal(stub.ListPartnerStatements(nobody, metadata=root.metadata))
    assert refused.reason is Reason.NOT_FOUND
    foreign = await refusal(
        stub.GetPartnerStatement(
            admin_statement_pb2.GetPartnerStatementRequest(**of_cp),
            metadata=bookings.client.metadata,
        )
    )
    assert foreign.reason is Reason.ROLE_NOT_ALLOWED


async def test_a_sealed_month_never_changes_and_what_comes_late_is_in_the_next(
    bookings: Bookings, market: Market, db: Database
) -> None:
    """Seen red with entries booked by their own day alone: the sealed month got another hash, and
    `statements` of doctor --invariants named the entry.
    """
    month = await seal(db, market)
    sealed = await of_month(db, month)
    assert sealed.is_sealed
    files = [await download(bookings.client, name, month_text(month)) for name in ("CSV", "PDF")]
    await bookings.sold(2, distributor_id="north")
    await market.until(ALL_POSTED)
    assert await of_month(db, month) == sealed
    again = [await download(bookings.client, name, month_text(month)) for name in ("CSV", "PDF")]
    assert again == files
    after = (await of_month(db, next_month(month))).content
    (line,) = after["lines"]
    today = f"{clock.now().astimezone(ZONE):%Y-%m-%d}"
    assert (line["day"], line["kind"], line["quantity"]) == (today, "ACTIVATION", 2)
    opening = {(a["account"], a["distributor_id"]): a["opening_minor"] for a in after["accounts"]}
    for each in sealed.content["accounts"]:
        assert opening[each["account"], each["distributor_id"]] == each["closing_minor"]
    async with db.transaction() as tx:
        rebuilt = await statements.rebuild(tx, "CP", month_text(month))
    assert rebuilt.fault == ""
    assert rebuilt.document.canonical == sealed.canonical


async def test_the_partner_hears_of_a_sealed_month(
    bookings: Bookings, market: Market, db: Database
) -> None:
    month = await seal(db, market)
    request = event_pb2.ListEventsRequest(after_cursor=0, types=["statement.ready"])
    last = (await bookings.client.call("ListEvents", request)).events[-1]
    sealed = await of_month(db, month)
    assert (last.data.month, last.data.content_sha256) == (
        month_text(month),
        sealed.content_sha256,
    )
    listed = await bookings.client.call(
        "ListStatements", statement_pb2.ListStatementsRequest(page_size=1)
    )
    while not any(each.month == month_text(month) for each in listed.statements):
        listed = await bookings.client.call(
            "ListStatements",
            statement_pb2.ListStatementsRequest(page_size=1, page_token=listed.next_page_token),
        )
    (found,) = listed.statements
    assert (found.state, found.content_sha256) == (SEALED, sealed.content_sha256)


async def test_nothing_is_sealed_while_something_is_not_booked(
    bookings: Bookings, market: Market, db: Database
) -> None:
    """Seen red without the look at the cursor."""
    month = await market.value("SELECT open_month FROM ledgers WHERE partner_id = 1")
    later = end_of(month, ZONE) + SEAL_DELAY

    async def seal_while(change: str, back: str) -> bool:
        """In one transaction with the bookkeeper shut out, undone."""
        async with db.transaction() as tx:
            connection = await tx.get_raw_connection()
            pg: Any = connection.driver_connection
            await pg.execute(change)
            sealed = await statements.seal_due(tx, zone=ZONE, now=later)
            await pg.execute(back)
            assert not sealed
        return sealed

    await market.until(ALL_POSTED)
    await seal_while(
        "UPDATE ledgers SET posted_sequence = posted_sequence - 1",
        "UPDATE ledgers SET posted_sequence = posted_sequence + 1",
    )


async def test_a_changed_ledger_is_found_when_a_statement_is_rebuilt(
    bookings: Bookings, market: Market, db: Database
) -> None:
    month = await seal(db, market)
    text = month_text(month)
    assert (await rebuilding.rebuild(db, "CP", text)).fault == ""
    change = (
        "UPDATE ledger_entries SET amount_minor = amount_minor {} 1"
        " WHERE partner_id = 1 AND kind = 'ACTIVATION' AND line = 0"
    )
    await market.sql(change.format("+"))
    fault = (await rebuilding.rebuild(db, "CP", text)).fault
    assert "accounts[" in fault
    assert (await of_month(db, month)).content_sha256 in fault
    await market.sql(change.format("-"))
    kept = "UPDATE statements SET content = content || '\\x20' WHERE partner_id = 1 AND month = %s"
    await market.sql(kept, month)
    assert "is kept" in (await rebuilding.rebuild(db, "CP", text)).fault
    undo = "UPDATE statements SET content = substr(content, 1, length(content) - 1)"
    await market.sql(f"{undo} WHERE partner_id = 1 AND month = %s", month)
    assert (await rebuilding.rebuild(db, "CP", text)).fault == ""
    for partner, wrong in (("CP", "2001-01"), ("NOBODY", text)):
        with pytest.raises(DomainError) as caught:
            await rebuilding.rebuild(db, partner, wrong)
        assert caught.value.reason is Reason.NOT_FOUND
