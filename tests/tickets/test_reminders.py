"""Reminders of partners' tickets: each once, of what is sold and of use, and in time."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from deeptravel.ota.v1 import event_pb2

from server.platform import clock
from server.platform.config import load_settings
from server.platform.database import Database
from server.tickets import reminders
from server.tickets.reminders import ALL_LIVE
from tests.support.partner_client import Market, PartnerClient

LEAD = timedelta(days=3)


@pytest.fixture
async def db(module_database_url: str) -> AsyncIterator[Database]:
    opened = Database(load_settings(), module_database_url)
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
async def anew(market: Market) -> None:
    """Each test begins with the first ticket."""
    await market.sql("DELETE FROM ticket_reminders")


async def remind(db: Database, now: datetime, limit: int = 500) -> int:
    """One run of the job: a transaction for each page; how many tickets it reminded of."""
    count, more = 0, True
    while more:
        async with db.transaction() as tx:
            more, items = await reminders.remind(tx, ALL_LIVE, now, lead=LEAD, limit=limit)
        count += items
    return count


async def reminded(market: Market) -> list[str]:
    """The tickets that were reminded of, in the order in which they were."""
    rows = await market.sql(
        "SELECT subject FROM partner_events WHERE type = 'ticket.expiring' ORDER BY event_id"
    )
    return [row[0] for row in rows]


async def end_in(market: Market, codes: list[str], time: timedelta) -> datetime:
    """Has tickets that were made a month ago end so long from now; when that is."""
    end = clock.now() + time
    await market.sql(
        "UPDATE tickets SET valid_from_time = %s, create_time = %s, valid_until_time = %s"
        " WHERE ticket_code = ANY(%s)",
        *(end - timedelta(days=30), end - timedelta(days=30), end, codes),
    )
    return end


async def sold(client: PartnerClient, quantity: int) -> list[str]:
    codes = await client.codes(quantity)
    for code in codes:
        await client.activate(code)
    return codes


@pytest.mark.parametrize("limit", [2, 500])
async def test_each_is_reminded_of_once_and_in_time(
    market: Market, client: PartnerClient, db: Database, limit: int
) -> None:
    """In one page and in several. Seen red where what was looked at ended before the first ticket
    of its moment instead of after the last: all were reminded of again.
    """
    codes = await sold(client, 3)
    unsold = await client.codes(2)
    end = await end_in(market, [*codes, *unsold], timedelta(days=40))
    before = await reminded(market)
    await remind(db, end - LEAD - timedelta(seconds=1), limit=limit)
    assert await reminded(market) == before
    await remind(db, end - LEAD, limit=limit)
    assert sorted(await reminded(market)) == sorted([*before, *codes])
    for later in (timedelta(), timedelta(seconds=1), LEAD + timedelta(days=1)):
        await remind(db, end - LEAD + later, limit=limit)
    assert len(await reminded(market)) == len(before) + 3
    found: Any = await client.call("ListEvents", event_pb2.ListEventsRequest(after_cursor=0))
    while not (of_them := [each for each in found.events if each.type == "ticket.expiring"]):
        request = event_pb2.ListEventsRequest(after_cursor=0)
        found = await client.call("ListEvents", request)
    assert {each.data.ticket_code for each in of_them} == set(codes)
    assert {each.data.expire_time.ToDatetime(UTC) for each in of_them} == {end}


async def test_what_is_of_no_use_is_not_reminded_of(
    market: Market, client: PartnerClient, db: Database
) -> None:
    """Used up, refused, made when its reminder was due already, or over by now."""
    used, voided, late, over = await sold(client, 4)
    end = await end_in(market, [used, voided, over], timedelta(days=80))
    await market.sql(
        "UPDATE tickets SET valid_until_time = %s WHERE ticket_code = %s",
        *(end + timedelta(days=1), late),
    )
    await market.sql("UPDATE tickets SET state = 'USED' WHERE ticket_code = %s", used)
    await market.sql("UPDATE tickets SET state = 'EXPIRED' WHERE ticket_code = %s", voided)
    await market.sql(
        "UPDATE tickets SET create_time = valid_until_time - interval '2 days' WHERE"
        " ticket_code = %s",
        late,
    )
    before = await reminded(market)
    await remind(db, end + timedelta(hours=1))  # after an outage
    assert await reminded(market) == before
