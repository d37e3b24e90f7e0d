"""Beyond the day until which a holiday calendar is known a fare is provisional, from the search to
the order's price snapshot; tests/partners has the same of batches.
"""

from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest
from deeptravel.ticketing.v1 import order_pb2

from server.catalog.models import holiday_calendars
from server.platform import change_feed
from server.platform.change_feed import ChangeKind
from tests.support import timetable as world
from tests.support.changes import changes_are_seen
from tests.support.gate_server import gate_server
from tests.support.timetable import ADULT, Traveller
from tests.support.traveller import TravellerClient, passenger


@pytest.fixture(scope="module")
async def traveller(timetable_url: str, module_redis_url: str) -> AsyncIterator[Traveller]:
    async with gate_server(timetable_url, module_redis_url) as server:
        yield Traveller(server.channel)


async def known_until(url: str, day: date) -> None:
    """The calendar of what is sold is known until then, and all servers have seen it."""
    columns = holiday_calendars.c
    async with world.database(url) as db, db.transaction() as tx:
        await tx.execute(
            holiday_calendars.update().where(columns.calendar_code == "HK").values(known_until=day)
        )
        await change_feed.publish(tx, ChangeKind.CATALOGUE)
    await changes_are_seen()


async def test_a_fare_is_provisional_from_search_to_order(
    timetable_url: str, traveller: Traveller
) -> None:
    """What was ordered keeps what was said then, though the calendar is known meanwhile."""
    travel_date = world.tomorrow()
    client = TravellerClient.of(traveller.channel, 801)
    await known_until(timetable_url, travel_date - timedelta(days=1))
    found = await search(traveller, travel_date)
    assert found
    assert set(found.values()) == {True}
    offer_id = next(each for each in found if each.startswith("TR-"))
    items = [order_pb2.OrderItem(offer_id=offer_id)]
    quoted = await client.call(
        "QuoteOrder", order_pb2.QuoteOrderRequest(items=items, passengers=[ADULT])
    )
    assert [each.provisional for each in quoted.items] == [True]
    order = await client.order(offer_id, passengers=[passenger()], quoted_minor=quoted.total_minor)
    await known_until(timetable_url, travel_date)
    assert set((await search(traveller, travel_date)).values()) == {False}
    kept = await client.get(order.order_id)
    assert [each.offer.provisional for each in kept.items] == [True]


async def search(traveller: Traveller, travel_date: date) -> dict[str, bool]:
    """Whether each offer that can be bought is provisional."""
    found = await traveller.search(
        origin_city_code="SZX",
        destination_city_code="HKG",
        travel_date=travel_date.isoformat(),
        passengers=[ADULT],
        page_size=100,
    )
    sold = [each for each in found.offers if not each.unavailable_reason]
    return {each.offer_id: each.provisional for each in sold}
