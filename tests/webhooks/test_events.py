"""Partner events: one for each move of a partner's ticket, listed in order, and acknowledged."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from deeptravel.ota.v1 import event_pb2
from deeptravel.redemption.v1 import redemption_pb2
from deeptravel.tickets.v1 import ticket_pb2
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from server.platform.statements import TRY_LOCK, run, run_together
from server.tickets import blocks, partner_events, tickets
from server.webhooks import feed, rules, sequencing
from server.webhooks.events import PartnerEvent, record
from tests.support import described, gate
from tests.support.gate_server import gate_server
from tests.support.partner_client import FARE_MINOR, HK, Market, PartnerClient
from tests.support.rpc_server import refusal

NONE_WAITS = "SELECT count(*) = 0 FROM partner_events WHERE sequence IS NULL"
WRITTEN = text(
    "SELECT n_tup_ins, n_tup_upd FROM pg_stat_xact_user_tables"
    " WHERE relid = 'public.partner_events'::regclass"
)
"""Rows of events that the transaction has inserted and updated."""
HK_ID = 2


@pytest.fixture
async def db(module_database_url: str) -> AsyncIterator[Database]:
    opened = Database(load_settings(), module_database_url)
    yield opened
    await opened.close()


async def listed(client: PartnerClient, **fields: Any) -> list[event_pb2.Event]:
    """All events of a list, page by page."""
    found: list[event_pb2.Event] = []
    token = ""
    while True:
        request = event_pb2.ListEventsRequest(page_token=token, **fields)
        page: event_pb2.ListEventsResponse = await client.call("ListEvents", request)
        found += page.events
        token = page.next_page_token
        if not token:
            return found


async def end(client: PartnerClient, market: Market) -> int:
    """The cursor after all that has happened."""
    await market.until(NONE_WAITS)
    value = await market.value("SELECT last_sequence FROM partner_feeds WHERE partner_id = 1")
    return int(value)


async def test_what_happens_to_a_batch_and_its_tickets_is_listed_in_order(
    market: Market, client: PartnerClient, db: Database
) -> None:
    before = 0
    batch = await client.batch(3, distributor_id="D-7")
    one, two, three = [ticket.ticket_code for ticket in batch.tickets]
    before = await end(client, market) - 1
    answer = await client.activate(one)
    async with db.transaction() as tx:
        ids = {
            row[0]: row[1] for row in await market.sql("SELECT ticket_code, ticket_id FROM tickets")
        }
        now = datetime.now(UTC)
        await blocks.set_blocked(tx, {ids[one]: "ACTIVE"}, blocked=True, actor="admin:a", now=now)
        await blocks.set_blocked(tx, {ids[one]: "ACTIVE"}, blocked=False, actor="admin:a", now=now)
        move: Any = {"actor": "system", "now": now}
        await tickets.move(tx, [ids[one]], ["ACTIVE"], "EXPIRED", action="expired", **move)
        await tickets.move(tx, [ids[two]], ["PRE_GENERATED"], "VOIDED", action="voided", **move)
    await market.until(NONE_WAITS)
    found = await listed(client, after_cursor=before, page_size=2)
    assert [event.type for event in found] == [
        rules.BATCH_GENERATED,
        rules.TICKET_ACTIVATED,
        rules.TICKET_BLOCKED,
        rules.TICKET_UNBLOCKED,
        rules.TICKET_EXPIRED,
        rules.TICKET_VOIDED,
    ]
    assert [event.cursor for event in found] == [*range(before + 1, before + 7)]
    generated, activated, *_, expired, voided = (event.data for event in found)
    assert generated == event_pb2.EventData(
        batch_id=batch.batch_id,
        product_id=106,
        quantity=3,
        status=ticket_pb2.TICKET_STATE_PRE_GENERATED,
        distributor_id="D-7",
    )
    assert activated == event_pb2.EventData(
        ticket_code=one,
        batch_id=batch.batch_id,
        product_id=106,
        status=ticket_pb2.TICKET_STATE_ACTIVE,
        distributor_id="D-7",
        order_id=answer.order_id,
        payment_reference="PAY-1",
        amount_minor=FARE_MINOR,
        currency_code="HKD",
        customer_type=ticket_pb2.CUSTOMER_TYPE_ADULT,
    )
    assert (expired.ticket_code, expired.status) == (one, ticket_pb2.TICKET_STATE_EXPIRED)
    assert (voided.ticket_code, voided.order_id) == (two, "")
    only = await listed(client, after_cursor=before, types=[rules.TICKET_VOIDED])
    assert [event.data.ticket_code for event in only] == [two]
    others = await listed(PartnerClient(client.stub, HK.api_key), after_cursor=0)
    assert not {event.data.ticket_code for event in others} & {one, two, three}


async def activated(market: Market, client: PartnerClient, count: int) -> list[int]:
    """The numbers of tickets that are sold, of which all that happened has a number."""
    codes = [ticket.ticket_code for ticket in (await client.batch(count)).tickets]
    for code in codes:
        await client.activate(code)
    await market.until(NONE_WAITS)
    rows = await market.sql("SELECT ticket_code, ticket_id FROM tickets")
    ids: dict[str, int] = {row[0]: row[1] for row in rows}
    return [ids[code] for code in codes]


async def lock_sequencer(tx: AsyncConnection) -> None:
    while await run(tx, TRY_LOCK(*sequencing.LOCK)) != [True]:  # noqa: ASYNC110 - the server's
        await asyncio.sleep(0.01)


async def expire(tx: AsyncConnection, ids: list[int], now: datetime) -> list[int]:
    turn = await run_together(tx, *partner_events.take_turn(ids))
    moved = await run(tx, tickets.expire(ids, ["ACTIVE"], actor="system", now=now))
    await run(tx, partner_events.record_expired(moved, *turn, now=now))
    return moved


async def test_many_that_expire_have_their_numbers_with_the_move(
    market: Market, client: PartnerClient, db: Database
) -> None:
    """After what happened to them before, and each event is written once: of four, in the one
    transaction, only that without a number is updated.

    Seen red without the numbering of those first: none was updated.
    """
    one, two, three = await activated(market, client, 3)
    before, now = await end(client, market), datetime.now(UTC)
    async with db.transaction() as tx:
        await lock_sequencer(tx)
        await blocks.set_blocked(tx, {one: "ACTIVE"}, blocked=True, actor="admin:a", now=now)
        ids = [one, two, three]
        assert await expire(tx, ids, now) == ids
        assert tuple((await tx.execute(WRITTEN)).one()) == (4, 1)
    found = await listed(client, after_cursor=before)
    assert [event.type for event in found] == [rules.TICKET_BLOCKED, *[rules.TICKET_EXPIRED] * 3]
    assert [event.cursor for event in found] == [*range(before + 1, before + 5)]


async def test_they_wait_for_the_sequencer_where_it_is_at_work(
    market: Market, client: PartnerClient, db: Database
) -> None:
    (ticket_id,) = await activated(market, client, 1)
    before, now = await end(client, market), datetime.now(UTC)
    async with db.transaction() as at_work:
        await lock_sequencer(at_work)
        async with db.transaction() as tx:
            await expire(tx, [ticket_id], now)
        assert not await market.value(NONE_WAITS)
    await market.until(NONE_WAITS)
    (event,) = await listed(client, after_cursor=before)
    assert (event.type, event.cursor) == (rules.TICKET_EXPIRED, before + 1)


async def test_a_redemption_and_its_reversal_are_events_of_the_partners_ticket_alone(
    database_url: str, redis_url: str
) -> None:
    """Of a ticket of our own channel nothing is written."""
    async with gate.a_world(database_url) as world, gate_server(database_url, redis_url) as server:
        terminal = await world.log_in(server.channel, "sam")
        ticket = await world.ticket()
        answer = await terminal.redeem(ticket.qr, "ferry")
        await terminal.redeem(ticket.qr, "ferry")  # refused: no event
        await world.sql("UPDATE tickets SET partner_id = 1 WHERE ticket_id = %s", ticket.ticket_id)
        request = redemption_pb2.ReverseRedemptionRequest(
            redemption_id=answer.redemption_id, comment="mistake", request_id="r-1"
        )
        await terminal.call("ReverseRedemption", request)
        rows = await world.sql(
            "SELECT type, subject, data FROM partner_events ORDER BY record_time, event_id"
        )
    assert [row[:2] for row in rows] == [
        (rules.TICKET_REDEEMED, ticket.code),
        (rules.TICKET_REDEMPTION_REVERSED, ticket.code),
    ]
    redeemed, reversed_ = (row[2] for row in rows)
    assert redeemed == {
        "ticket_code": ticket.code,
        "status": "PARTIALLY_REDEEMED",
        "product_id": 106,
        "order_id": "ORD-CP-20261121-000000",
        "redemption_id": answer.redemption_id,
        "function_code": "ferry",
        "quantity": 1,
        "remaining_uses": 0,
        "merchant_code": "M",
        "venue_code": "PIER",
    }
    assert (reversed_["status"], reversed_["remaining_uses"]) == ("ACTIVE", 1)
    assert reversed_["redemption_id"] == answer.redemption_id


async def test_it_goes_on_after_what_was_acknowledged(
    market: Market, client: PartnerClient
) -> None:
    await client.codes(1)
    cursor = await end(client, market)

    async def acknowledge(given: int) -> int:
        request = event_pb2.AcknowledgeEventsRequest(cursor=given)
        return int((await client.call("AcknowledgeEvents", request)).cursor)

    assert await acknowledge(cursor) == cursor
    assert await acknowledge(cursor - 1) == cursor  # a late repeat moves nothing back
    (code,) = await client.codes(1)
    await client.activate(code)
    await market.until(NONE_WAITS)
    found = await listed(client)
    assert [event.type for event in found] == [rules.BATCH_GENERATED, rules.TICKET_ACTIVATED]
    beyond = event_pb2.AcknowledgeEventsRequest(cursor=cursor + 100)
    refused = await refusal(client.call("AcknowledgeEvents", beyond))
    assert refused.reason is Reason.INVALID_FIELD


async def test_a_week_offline_misses_nothing_and_sees_it_in_order(
    market: Market, client: PartnerClient, db: Database
) -> None:
    """300 events of seven days, and more that come while he reads: page by page he sees all, in
    order, each once.
    """
    hk = PartnerClient(client.stub, HK.api_key)
    week_ago = datetime.now(UTC) - timedelta(days=7)

    async def happen(first: int, count: int) -> None:
        for number in range(first, first + count):
            event = PartnerEvent(
                HK_ID, rules.BATCH_GENERATED, f"b-{number}", {"batch_id": f"b-{number}"}
            )
            async with db.transaction() as tx:
                await run(tx, record(event, now=week_ago + timedelta(minutes=30 * number)))

    await happen(0, 300)
    await market.until(NONE_WAITS)
    seen: list[str] = []
    token, begun = "", 300
    while True:
        request = event_pb2.ListEventsRequest(page_size=40, page_token=token)
        page = await hk.call("ListEvents", request)
        seen += [event.data.batch_id for event in page.events]
        token = page.next_page_token
        if begun < 330:
            await happen(begun, 10)
            begun += 10
            await market.until(NONE_WAITS)
        elif not token:
            break
    assert seen == [f"b-{number}" for number in range(330)]


async def test_events_that_are_not_kept_any_more_are_not_missed_in_silence(
    market: Market, client: PartnerClient, db: Database
) -> None:
    """Seen red without `purged_sequence`: the page went on with the first that was left."""
    await client.codes(1)
    await client.codes(1)
    cursor = await end(client, market)
    await market.sql(
        "UPDATE partner_events SET record_time = now() - interval '91 days'"
        " WHERE partner_id = 1 AND sequence < %s",
        cursor,
    )
    async with db.transaction() as tx:
        keep: Any = {"now": datetime.now(UTC), "keep": timedelta(days=90)}
        assert await feed.purge(tx, **keep, limit=5_000) >= 1
        assert await feed.purge(tx, **keep, limit=5_000) == 0
    request = event_pb2.ListEventsRequest(after_cursor=0)
    refused = await refusal(client.call("ListEvents", request))
    assert refused.reason is Reason.EVENTS_REMOVED
    oldest = int(refused.metadata["oldest_cursor"])
    assert oldest == cursor - 1
    (last,) = await listed(client, after_cursor=oldest)
    assert last.cursor == cursor


async def test_a_type_or_cursor_that_there_is_not_is_refused(client: PartnerClient) -> None:
    """Seen red: the greatest cursor was a fault of the server, once the partner had an event."""
    await client.batch(1)
    for fields in (
        {"types": ["ticket.lost"]},
        {"after_cursor": 1 << 40},
        {"after_cursor": (1 << 63) - 1},
    ):
        refused = await refusal(client.call("ListEvents", event_pb2.ListEventsRequest(**fields)))
        assert refused.reason is Reason.INVALID_FIELD


def test_every_type_is_named_in_the_contract() -> None:
    (field,) = [
        each for each in described.of_kind("Field") if each.name == "deeptravel.ota.v1.Event.type"
    ]
    for name in rules.EVENT_TYPES:
        assert f"`{name}`" in field.comment
