"""What an order shares on a departure that is cancelled or moved: it goes with the last of its
tickets, or with all.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import orjson
import pytest

from tests.support.operations import Manager, followed, leaves
from tests.support.order_scenario import OrderScenario, states, swap, tickets
from tests.support.traveller import SECOND, TravellerClient, World, a_world, party

LOCKER = {
    "function_code": "locker",
    "display_name_en": "Locker",
    "display_name_zh": "储物柜",
    "total_uses": 2,
    "use_mode": "MULTI_USE",
    "guard_seconds": 0,
    "shared": True,
}


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    """Trains have a locker for the whole order, and a change is free."""
    async with a_world(module_database_url, departures=3) as filled:
        more = "UPDATE products SET entitlements = entitlements || CAST(%s AS jsonb)"
        await filled.sql(f"{more} WHERE product_id = 1", orjson.dumps([LOCKER]).decode())
        free = """UPDATE products SET policy = policy || '{"change_fee_minor": 0}'"""
        await filled.sql(free)
        yield filled


async def test_it_goes_with_the_last(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    order = await scenario.sell(client, world.seat(fare_class=SECOND), passengers=party(2))
    assert len(await states(client, order.order_id)) == 3
    await manager.cancel(world.departure_id())
    await followed(world)
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED", "REFUNDED", "REFUNDED"]
    assert await world.value("SELECT sum(amount_minor) FROM refunds") == 20_000


async def test_it_stays_with_who_has_changed_before(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    await scenario.sell(client, world.seat(fare_class=SECOND), passengers=party(2))
    first = (await tickets(client))[0]
    made = await swap(client, first.ticket_code, world.seat(2, SECOND))
    await manager.cancel(world.departure_id())
    await followed(world)
    await scenario.drain()
    assert "ACTIVE" in await states(client, made.order.order_id)
    shared = (
        "SELECT t.state FROM tickets t JOIN ticket_sales USING (ticket_id)"
        " WHERE passenger_index < 0"
    )
    assert await world.value(shared) == "ACTIVE"
    # now the last is gone
    await manager.cancel(world.departure_id(2))
    await followed(world)
    await scenario.drain()
    assert await world.value(shared) == "REFUNDED"
    assert await world.value("SELECT sum(amount_minor) FROM refunds") == 20_000


async def test_it_is_valid_as_long_as_the_departure_it_moved_to(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    await scenario.sell(client, world.seat(fare_class=SECOND), passengers=party(2))
    until = "SELECT DISTINCT valid_until_time FROM tickets"
    sold = await world.value(until)
    planned = await leaves(world)
    for hours in (5, -2):
        await manager.move(world.departure_id(), planned + timedelta(hours=hours))
        await followed(world)
        assert await world.value(until) == sold + timedelta(hours=hours)
