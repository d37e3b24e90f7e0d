"""The ledger of real calls against PostgreSQL: each event is booked once, whoever books it and
whenever he dies.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from server.partners import ledger
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import Statement
from server.webhooks import feed
from tests.support.bookkeeping import ALL_POSTED, ENTRIES, Bookings
from tests.support.gate_server import GateServer, gate_server
from tests.support.invariants import assert_invariants
from tests.support.partner_client import FARE_MINOR, HK, Market, PartnerClient, a_market

ZONE = load_settings().zone
CP_ID, HK_ID = 1, 2
BROKEN_BY_HAND = {"stock", "refunding", "order-states", "expired"}
"""By tickets that the test lets expire before their time, or refunds without a payment."""
BALANCES = """
SELECT account, sum(amount)::bigint FROM (
  SELECT debit_account, amount_minor FROM ledger_entries WHERE partner_id = %s
  UNION ALL SELECT credit_account, -amount_minor FROM ledger_entries WHERE partner_id = %s
) AS e (account, amount) GROUP BY account HAVING sum(amount) <> 0
"""
# What tickets say is unsold, sold, and left to be used, without a look at the ledger.
OF_TICKETS = """
WITH t AS (
  SELECT t.*, (SELECT sum(total_uses) FROM entitlements e WHERE e.ticket_id = t.ticket_id) AS total,
    (SELECT sum(remaining_uses) FROM entitlements e WHERE e.ticket_id = t.ticket_id) AS remaining
  FROM tickets t WHERE partner_id = %s)
SELECT
  count(*) FILTER (WHERE state = 'PRE_GENERATED') * 12000,
  count(*) FILTER (WHERE order_id IS NOT NULL) * 12000,
  coalesce(sum(12000 * remaining / total)
    FILTER (WHERE state IN ('ACTIVE', 'PARTIALLY_REDEEMED')), 0)::bigint
FROM t
"""


@pytest.fixture
async def db(module_database_url: str) -> AsyncIterator[Database]:
    opened = Database(load_settings(), module_database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def bookings(market: Market, ota_server: GateServer) -> Bookings:
    return await Bookings.begin(market, ota_server.channel)


async def test_a_random_history_of_real_calls_adds_up(
    market: Market, bookings: Bookings, db: Database, module_database_url: str
) -> None:
    """The ledger's balances are what the tickets' own rows say. Seen red with a committed value
    that a cancellation leaves.
    """
    await bookings.at_random(db, Random(20261128), 60)
    await market.until(ALL_POSTED)
    balances = dict(await market.sql(BALANCES, CP_ID, CP_ID))
    ((committed, sold, deferred),) = await market.sql(OF_TICKETS, CP_ID)
    assert balances.get("TICKETS_COMMITTED", 0) == committed
    assert balances.get("COMMITMENT", 0) == -committed
    assert balances["PARTNER_RECEIVABLE"] == sold
    assert balances.get("DEFERRED_REVENUE", 0) == -deferred
    assert sum(balances.values()) == 0
    assert_invariants(module_database_url, but=BROKEN_BY_HAND)


async def test_each_event_makes_the_entries_of_the_table(
    market: Market, bookings: Bookings
) -> None:
    await market.until(ALL_POSTED)
    after = await market.value(
        "SELECT coalesce(max(sequence), 0) FROM partner_events WHERE partner_id = 1"
    )
    client = bookings.client
    one, two, three = await client.codes(3, distributor_id="shop")
    await client.activate(one)
    await bookings.redeem(one)
    await bookings.reverse(one)
    await client.cancel([two])
    await client.reassign([three], "north")
    await market.until(ALL_POSTED)
    entries = await market.sql(
        "SELECT kind, line, debit_account, credit_account, amount_minor, quantity, distributor_id,"
        " payee_id, function_code, currency_code FROM ledger_entries"
        " WHERE partner_id = 1 AND sequence > %s ORDER BY sequence, line",
        after,
    )
    committed, commitment = "TICKETS_COMMITTED", "COMMITMENT"
    expense, payable = "COMMISSION_EXPENSE", "COMMISSION_PAYABLE"
    assert entries == [
        (*row, "HKD")
        for row in [
            ("BATCH", 0, committed, commitment, 36_000, 3, "shop", "", ""),
            ("ACTIVATION", 0, "PARTNER_RECEIVABLE", "DEFERRED_REVENUE", 12_000, 1, "shop", "", ""),
            ("ACTIVATION", 1, commitment, committed, 12_000, 0, "shop", "", ""),
            ("ACTIVATION", 2, expense, payable, 1_200, 0, "shop", "north", ""),
            ("ACTIVATION", 3, expense, payable, 400, 0, "shop", "shop", ""),
            ("REDEMPTION", 0, "DEFERRED_REVENUE", "REVENUE", 6_000, 1, "shop", "", "ferry"),
            ("REVERSAL", 0, "REVENUE", "DEFERRED_REVENUE", 6_000, 1, "shop", "", "ferry"),
            ("VOID", 0, commitment, committed, 12_000, 1, "shop", "", ""),
            ("REASSIGNMENT", 0, commitment, committed, 12_000, -1, "shop", "", ""),
            ("REASSIGNMENT", 1, committed, commitment, 12_000, 1, "north", "", ""),
        ]
    ]


async def test_partners_have_ledgers_of_their_own(market: Market, bookings: Bookings) -> None:
    await PartnerClient(bookings.client.stub, HK.api_key).codes(2)
    await market.until(ALL_POSTED)
    assert dict(await market.sql(BALANCES, HK_ID, HK_ID)) == {
        "TICKETS_COMMITTED": 2 * FARE_MINOR,
        "COMMITMENT": -2 * FARE_MINOR,
    }


async def test_events_are_kept_until_they_are_booked(
    market: Market, bookings: Bookings, db: Database
) -> None:
    """Seen red without `posted`: what an outage of ninety days left was removed unbooked."""
    await bookings.client.codes(1)
    await market.until(ALL_POSTED)
    await market.sql("UPDATE partner_events SET record_time = now() - interval '91 days'")
    keep: Any = {"now": await market.value("SELECT now()"), "keep": timedelta(days=90)}

    async def nothing_posted(tx: Any, partner_id: int) -> int:
        return 0

    async with db.transaction() as tx:
        assert await feed.purge(tx, **keep, limit=5_000, posted=nothing_posted) == 0
        assert await feed.purge(tx, **keep, limit=5_000, posted=ledger.posted_sequence) > 0


async def test_dead_bookkeepers_and_two_at_once_book_each_event_once(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks that end anywhere, one that dies after its entries and before its cursor, and two at
    once: the entries are those of one who posted all in one go. Seen red with the entries in a
    transaction of their own, and without the lock: the unique key refused them the second time.
    """
    async with a_market(database_url) as market:
        async with gate_server(database_url, redis_url) as server:
            played = await Bookings.begin(market, server.channel)
            db = Database(load_settings(), database_url)
            await played.at_random(db, Random(7), 25)
            await market.until(ALL_POSTED)
        expected = await market.sql(ENTRIES)
        assert expected
        await market.sql("TRUNCATE ledgers, ledger_entries")
        real = ledger._ADVANCE
        fails = Statement("SELECT 1 / 0 FROM ledgers WHERE $1 = $2 OR true OR $3 = 1", int)
        for limit in (1, 7, 4):
            monkeypatch.setattr(ledger, "_ADVANCE", fails)
            with pytest.raises(Exception, match="division by zero"):
                await ledger.post(db, CP_ID, zone=ZONE, limit=limit)
            monkeypatch.setattr(ledger, "_ADVANCE", real)
            assert await ledger.post(db, CP_ID, zone=ZONE, limit=limit) == limit
        while not await market.value(ALL_POSTED):
            await asyncio.gather(*(ledger.post(db, CP_ID, zone=ZONE, limit=3) for _ in range(4)))
        assert await market.sql(ENTRIES) == expected
        await db.close()
