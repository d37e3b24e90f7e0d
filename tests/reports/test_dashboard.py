"""The dashboard and the reports through the contract: they add up, page by page and in the file,
and a supervisor sees the own merchant alone.
"""

import asyncio
import csv
import io
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from deeptravel.admin.v1 import account_pb2, report_pb2
from sqlalchemy import insert, text

from server.platform.errors import Reason
from server.platform.loops import Loops
from server.platform.metrics import ORDER_STATES, TICKET_STATES
from server.redemption.models import redemption_events
from server.reports import state_counts
from server.reports.recent import MOST_KEPT, Recent
from tests.support.admin_client import OPERATOR, AdminClient

VENUES = (("FERRIES", "PIER"), ("FERRIES", "QUAY"), ("SHOPS", "SHOP"))
REASONS = ("ALREADY_REDEEMED", "TICKET_EXPIRED")
SUPERVISOR = OPERATOR | {"role": account_pb2.OPERATOR_ROLE_SUPERVISOR}
DAYS = {"from_day": "2026-06-10", "until_day": "2026-06-11"}
BEGIN = datetime(2026, 6, 9, 16, tzinfo=UTC)
"""Of the first day in Hong Kong."""


async def happened(client: AdminClient, count: int = 200) -> list[dict[str, Any]]:
    """Events of the two days, and some of the days around them."""
    dice = random.Random(5)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        merchant, venue = dice.choice(VENUES)
        result = dice.choice(("SUCCESS", "SUCCESS", "REJECT", "REVERSED"))
        rows.append(
            {
                "ticket_id": 1,
                "event_id": number,
                "ticket_code": "",
                "function_code": dice.choice(("ferry", "gift")),
                "result": result,
                "reason": dice.choice(REASONS) if result == "REJECT" else None,
                "quantity": dice.randint(1, 3),
                "merchant_code": merchant,
                "venue_code": venue,
                "terminal_device_id": "T-1",
                "operator": "olga",
                "occurred_time": BEGIN + timedelta(minutes=dice.randrange(-600, 2880 + 600)),
            }
        )
    async with client.node.db.transaction() as tx:
        await tx.execute(text("UPDATE redemption_sums_mark SET until_time = '2026-06-01Z'"))
        await tx.execute(text("UPDATE sales_sums_mark SET until_time = '2026-06-01Z'"))
        await tx.execute(insert(redemption_events), rows)
    return [row for row in rows if timedelta() <= row["occurred_time"] - BEGIN < timedelta(days=2)]


def figures(rows: list[dict[str, Any]]) -> report_pb2.RedemptionFigures:
    """Counted one by one."""
    found = report_pb2.RedemptionFigures()
    for row in rows:
        if row["result"] == "REJECT":
            found.refused_count += 1
        elif row["result"] == "SUCCESS":
            found.admitted_count += 1
            found.admitted_uses += row["quantity"]
        else:
            found.reversed_count += 1
            found.reversed_uses += row["quantity"]
    return found


async def supervisor(client: AdminClient) -> AdminClient:
    await client.do("CreateOperator", username="sue", **SUPERVISOR)
    return await client.operator("sue")


async def test_a_dashboard_adds_up(admin_client: AdminClient) -> None:
    rows = await happened(admin_client)
    found = await admin_client.do("GetDashboard", **DAYS)
    assert found.time_zone == "Asia/Hong_Kong"
    assert found.begin_time.ToDatetime(UTC) == BEGIN
    assert found.redemptions == figures(rows)
    assert len(found.periods) == 48
    for number, period in enumerate(found.periods):
        begin = BEGIN + timedelta(hours=number)
        assert period.begin_time.ToDatetime(UTC) == begin
        within = [row for row in rows if begin <= row["occurred_time"] < begin + timedelta(hours=1)]
        assert period.redemptions == figures(within)
    for merchant in found.merchants:
        own = [row for row in rows if row["merchant_code"] == merchant.merchant_code]
        assert merchant.redemptions == figures(own)
    assert {each.reason: each.count for each in found.refusals} == {
        reason: len([row for row in rows if row["reason"] == reason]) for reason in REASONS
    }
    (notices,) = [queue for queue in found.queues if queue.kind == "notice"]
    assert notices.dead_count == 1


async def test_a_supervisor_sees_the_own_merchant_alone(admin_client: AdminClient) -> None:
    """Seen red with the merchant that was asked for."""
    rows = await happened(admin_client)
    sue = await supervisor(admin_client)
    own = figures([row for row in rows if row["merchant_code"] == "FERRIES"])
    found = await sue.do("GetDashboard", merchant_code="SHOPS", **DAYS)
    assert found.redemptions == own
    assert [each.merchant_code for each in found.merchants] == ["FERRIES"]
    assert not found.HasField("orders")
    for name in ("revenue", "ticket_states", "order_states", "queues", "jobs"):
        assert not getattr(found, name), name
    assert not any(period.HasField("orders") or period.revenue for period in found.periods)
    report = await sue.do("ReportRedemptions", merchant_code="SHOPS", **DAYS)
    assert {row.merchant_code for row in report.rows} == {"FERRIES"}
    assert await sue.reason("ReportSales", **DAYS) == Reason.ROLE_NOT_ALLOWED
    assert await sue.reason("DownloadSalesReport", **DAYS) == Reason.ROLE_NOT_ALLOWED
    olga = await admin_client.operator("olga")
    assert await olga.reason("GetDashboard") == Reason.ROLE_NOT_ALLOWED


@pytest.mark.parametrize("period", ["REPORT_PERIOD_HOUR", "REPORT_PERIOD_DAY"])
async def test_pages_of_a_report_are_the_rows_of_its_file(
    admin_client: AdminClient, period: str
) -> None:
    rows = await happened(admin_client)
    found: list[report_pb2.RedemptionReportRow] = []
    token = ""
    while not found or token:
        asked = {"period": period, "page_size": 7, "page_token": token} | DAYS
        page = await admin_client.do("ReportRedemptions", **asked)
        found += page.rows
        token = page.next_page_token
    total = report_pb2.RedemptionFigures()
    for row in found:
        for name in total.DESCRIPTOR.fields_by_name:
            setattr(total, name, getattr(total, name) + getattr(row.redemptions, name))
    assert total == figures(rows)
    keys = [(row.begin_time.seconds, row.merchant_code, row.venue_code) for row in found]
    assert keys == sorted(keys)
    pieces = await admin_client.do("DownloadRedemptionReport", period=period, **DAYS)
    content = b"".join(piece.body.data for piece in pieces).decode("utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(content)))
    assert [(line["day"], line["venue_code"], int(line["admitted_uses"])) for line in lines] == [
        (row.day, row.venue_code, row.redemptions.admitted_uses) for row in found
    ]
    assert {datetime.fromisoformat(line["begin_time"]).utcoffset() for line in lines} == {
        timedelta(hours=8)
    }


async def test_sales_have_the_names_of_what_was_sold(admin_client: AdminClient) -> None:
    async with admin_client.node.db.transaction() as tx:
        await tx.execute(text("UPDATE sales_sums_mark SET until_time = '2026-06-20Z'"))
        partner = await tx.scalar(text("SELECT min(partner_id) FROM partners"))
        await tx.execute(
            text(
                "INSERT INTO sales_sums VALUES"
                " ('2026-06-10 01:00Z', 'SOLD', 0, 106, 'HKD', 3, 900),"
                " ('2026-06-10 01:00Z', 'REFUNDED', 0, 106, 'HKD', 1, 250),"
                " ('2026-06-10 02:00Z', 'SOLD', :partner, 106, 'JPY', 2, 700)"
            ),
            {"partner": partner},
        )
    own, partners = (await admin_client.do("ReportSales", **DAYS)).rows
    assert (own.day, own.partner_code, own.product_name) == ("2026-06-10", "", "Premium")
    assert (own.sold_count, own.refunded_count, own.net_minor) == (3, 1, 650)
    assert (partners.partner_code, partners.currency_code, partners.net_minor) == ("CP", "JPY", 700)
    (piece,) = await admin_client.do("DownloadSalesReport", **DAYS)
    assert piece.body.content_type == "text/csv; charset=utf-8"
    first, second = csv.DictReader(io.StringIO(piece.body.data.decode("utf-8-sig")))
    assert (first["sold"], first["refunded"], first["net"]) == ("9.00", "2.50", "6.50")
    assert second["net"] == "700"  # yen have no decimals


async def test_what_is_not_summed_yet_is_named_and_left_out(admin_client: AdminClient) -> None:
    """Of a month of which only the first days are summed: the two last are read, the file waits.

    Seen red without the bound: all of it was read, and no time was named.
    """
    month = {"from_day": "2026-06-01", "until_day": "2026-06-30"}
    begin, end = datetime(2026, 5, 31, 16, tzinfo=UTC), datetime(2026, 6, 30, 16, tzinfo=UTC)
    summed, latest = begin + timedelta(days=5), end - timedelta(days=2)
    values = {
        "ticket_id": 1,
        "ticket_code": "",
        "function_code": "ferry",
        "result": "SUCCESS",
        "quantity": 1,
        "merchant_code": "FERRIES",
        "venue_code": "PIER",
        "terminal_device_id": "T-1",
        "operator": "olga",
    }
    times = (summed, latest - timedelta(seconds=1), latest, end - timedelta(seconds=1))
    async with admin_client.node.db.transaction() as tx:
        for table in ("redemption_sums_mark", "sales_sums_mark"):
            await tx.execute(text(f"UPDATE {table} SET until_time = :at"), {"at": summed})
        rows = [values | {"event_id": n, "occurred_time": at} for n, at in enumerate(times)]
        await tx.execute(insert(redemption_events), rows)
    dashboard = await admin_client.do("GetDashboard", **month)
    report = await admin_client.do("ReportRedemptions", **month)
    sales = await admin_client.do("ReportSales", **month)
    for found in (dashboard, report, sales):
        assert found.uncounted_from_time.ToDatetime(UTC) == summed
        assert found.uncounted_until_time.ToDatetime(UTC) == latest
    assert dashboard.redemptions.admitted_count == 2
    assert sum(row.redemptions.admitted_count for row in report.rows) == 2
    for method in ("DownloadRedemptionReport", "DownloadSalesReport"):
        refused = await admin_client.refused(method, **month)
        assert refused.reason == Reason.RANGE_TOO_LARGE
    days = {"from_day": "2026-06-29", "until_day": "2026-06-30"}
    dashboard = await admin_client.do("GetDashboard", **days)
    assert dashboard.redemptions.admitted_count == 2
    assert not dashboard.HasField("uncounted_from_time")
    assert await admin_client.do("DownloadRedemptionReport", **days)


async def test_what_is_no_day_is_refused(admin_client: AdminClient) -> None:
    for days, field in (
        ({"from_day": "2026-02-30"}, "from_day"),
        ({"from_day": "2026-06-01", "until_day": "2026-07-02"}, "until_day"),
    ):
        for method in ("GetDashboard", "ReportRedemptions", "ReportSales", "DownloadSalesReport"):
            refused = await admin_client.refused(method, **days)
            assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


async def test_states_are_counted_without_sandboxes(admin_client: AdminClient) -> None:
    """Seen red with all tickets counted."""
    db, now = admin_client.node.db, datetime.now(UTC)
    async with db.transaction() as tx:
        await tx.execute(
            text(
                "INSERT INTO tickets (ticket_id, ticket_code, jti, state, product_id, partner_id,"
                " distributor_id, snapshot_id, valid_from_time, valid_until_time, create_time,"
                " update_time) SELECT ticket_id | (1::bigint << 62), ticket_code, jti, state,"
                " product_id, partner_id, distributor_id, snapshot_id, valid_from_time,"
                " valid_until_time, create_time, update_time FROM tickets"
            )
        )
        await state_counts.count(tx, now)
    await state_counts.StateMetrics(db, Loops()).sample()
    dashboard = await admin_client.do("GetDashboard", from_day="2026-03-01")
    tickets = {each.state: each.count for each in dashboard.ticket_states}
    assert (tickets.pop("PRE_GENERATED"), set(tickets.values())) == (2, {0})
    assert {each.state: each.count for each in dashboard.order_states}["CANCELLED"] == 1
    assert dashboard.states_time.ToDatetime(UTC) == now
    assert TICKET_STATES.labels("PRE_GENERATED")._value.get() == 2
    assert ORDER_STATES.labels("PAID")._value.get() == 0


async def test_the_longer_counting_takes_the_less_often_it_is_done(
    admin_client: AdminClient,
) -> None:
    """Seen red without the look at how long the last one took."""
    now = datetime.now(UTC)

    async def counted(later: float) -> datetime:
        moment = now + timedelta(seconds=later)
        async with admin_client.node.db.transaction() as tx:
            await state_counts.count(tx, moment)
            return (await state_counts.read(tx))[0].count_time

    assert await counted(0) == now
    async with admin_client.node.db.transaction() as tx:
        await tx.execute(text("UPDATE state_counts SET seconds = 2 WHERE noun = 'TICKET'"))
        await tx.execute(text("UPDATE state_counts SET seconds = 1 WHERE noun = 'ORDER'"))
    assert await counted(299) == now
    assert await counted(301) == now + timedelta(seconds=301)


async def test_those_who_look_together_look_once() -> None:
    recent: Recent[int] = Recent(60)
    entered, going = 0, asyncio.Event()

    async def make() -> int:
        nonlocal entered
        entered += 1
        await going.wait()
        return entered

    first = asyncio.create_task(recent.get("today", make))
    others = [asyncio.create_task(recent.get("today", make)) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()  # whose browser is closed
    await asyncio.sleep(0)
    going.set()
    assert await asyncio.gather(*others) == [1] * 20
    assert await recent.get("today", make) == 1
    assert await recent.get("yesterday", make) == 2
    recent._seconds = 0
    assert await recent.get("today", make) == 3


async def test_an_error_is_not_kept_and_values_are_few() -> None:
    recent: Recent[date] = Recent(60)

    async def fail() -> date:
        raise ConnectionError

    async def make() -> date:
        return date(2026, 6, 1)

    with pytest.raises(ConnectionError):
        await recent.get("key", fail)
    assert await recent.get("key", make) == date(2026, 6, 1)
    for number in range(2 * MOST_KEPT):
        await recent.get(number, make)
    assert len(recent._found) == MOST_KEPT
