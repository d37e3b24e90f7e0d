"""The operator moves a departure: what was sold moves with it, and beyond the tolerance refund
and change are free.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx2
import pytest
from deeptravel.ticketing.v1 import offer_pb2
from deeptravel.tickets.v1 import ticket_pb2 as tickets_pb2

from server.platform.errors import Reason
from tests.support.gate_server import GateServer
from tests.support.operations import Manager, followed, leaves, look_again
from tests.support.order_scenario import (
    OrderScenario,
    change,
    quote,
    quote_change,
    request_refund,
    tickets,
)
from tests.support.rpc_server import refusal
from tests.support.traveller import SECOND, TravellerClient, World, party

HOUR = timedelta(hours=1)
ZONE = ZoneInfo("Asia/Hong_Kong")


async def times(world: World) -> set[tuple[Any, ...]]:
    """(departs, valid from, valid until) of all tickets."""
    return set(
        await world.sql(
            "SELECT reference_time, valid_from_time, valid_until_time FROM tickets"
            " JOIN ticket_sales USING (ticket_id)"
        )
    )


def later(before: set[tuple[Any, ...]], by: timedelta) -> set[tuple[Any, ...]]:
    """The same times, so much later."""
    return {tuple([moment + by for moment in row]) for row in before}


async def test_what_was_sold_moves_with_it(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """Twice, and what is held then with it. Seen red: with nobody following, tickets kept the times
    they were sold for.
    """
    number, planned = world.departure_id(), await leaves(world)
    await scenario.sell(client, world.seat(), passengers=party(1))
    sold = await times(world)
    held = await client.order(world.seat(fare_class=SECOND), passengers=party(1))
    made = await manager.move(number, planned + HOUR)
    assert made.departure_time.ToDatetime(UTC) == planned + HOUR
    assert made.planned_departure_time.ToDatetime(UTC) == planned
    await followed(world)
    assert await times(world) == later(sold, HOUR)
    assert await scenario.pay(held.order_id) == "PAID"
    assert await times(world) == later(sold, HOUR)
    await manager.move(number, planned - 3 * HOUR)
    await followed(world)
    assert await times(world) == later(sold, -3 * HOUR)
    assert (await manager.get(number)).planned_departure_time.ToDatetime(UTC) == planned
    await look_again(world)
    events = "SELECT count(*) FROM order_events WHERE event = 'departure.moved'"
    assert await world.value(events) == 3
    for ticket in await tickets(client):
        assert ticket.departure_change == 2
        assert ticket.journey.departure_time.ToDatetime(UTC) == planned - 3 * HOUR
        assert ticket.sold_departure_time.ToDatetime(UTC) == planned
    # sold from now on it runs as it was sold
    new = await scenario.sell(client, world.seat(2, SECOND), passengers=party(1))
    (fresh,) = await tickets(client, order_id=new.order_id)
    assert fresh.departure_change == 0
    assert not fresh.HasField("sold_departure_time")


async def test_beyond_the_tolerance_all_is_free_until_it_leaves(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """What is moved twice counts from what was sold. Seen red: without a cause a refund cost 5.00
    and a change 10.00; with a text without its moment, that text.
    """
    number, planned = world.departure_id(), await leaves(world)
    order = await scenario.sell(client, world.seat(fare_class=SECOND), passengers=party(2))
    first, second = await tickets(client)
    await manager.move(number, planned + timedelta(minutes=30))
    await followed(world)
    assert (await quote(client, order.order_id)).fee_minor == 1_000
    await manager.move(number, planned + timedelta(minutes=31))
    await followed(world)
    quoted = await quote(client, order.order_id, first.ticket_code)
    assert (quoted.amount_minor, quoted.fee_minor) == (10_000, 0)
    leaves_at = f"{(planned + timedelta(minutes=31)).astimezone(ZONE):%Y-%m-%d %H:%M} UTC"
    assert f"until it leaves ({leaves_at}" in quoted.tickets[0].rule_en
    assert f"调整该班次的时间：出发前（{leaves_at}" in quoted.tickets[0].rule_zh
    offered = await quote_change(client, second.ticket_code, world.seat(2, SECOND))
    assert (offered.fee_minor, offered.pay_minor, offered.refund_minor) == (0, 0, 0)
    assert f"until it leaves ({leaves_at}" in offered.rule_en
    assert f"出发前（{leaves_at}" in offered.rule_zh
    made = await change(client, second.ticket_code, offered.change_quote)
    assert made.ticket.changes_made == 0
    refund = await request_refund(client, order.order_id, quoted.refund_quote)
    assert refund.amount_minor == 10_000
    await scenario.drain()


async def test_back_to_its_time_it_runs_as_it_was_sold(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    number, planned = world.departure_id(), await leaves(world)
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    sold = await times(world)
    for to in (planned + 2 * HOUR, planned):
        await manager.move(number, to)
        await followed(world)
    assert await times(world) == sold
    assert (await quote(client, order.order_id)).amount_minor == 19_500
    # who bought it two hours late is moved when it is back
    await manager.move(number, planned + 2 * HOUR)
    await until_offered(client, world, planned + 2 * HOUR)
    late = await scenario.sell(client, world.seat(fare_class=SECOND), passengers=party(1))
    (ticket,) = await tickets(client, order_id=late.order_id)
    assert ticket.departure_change == 0
    await manager.move(number, planned)
    await followed(world)
    assert (await quote(client, late.order_id)).fee_minor == 0
    assert (await quote(client, order.order_id)).amount_minor == 19_500


async def test_the_product_has_the_tolerance_as_it_was_sold(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    await world.sql("UPDATE products SET policy = policy || '{\"move_tolerance_minutes\": 0}'")
    await manager.move(world.departure_id(), await leaves(world) + timedelta(minutes=5))
    await followed(world)
    assert (await quote(client, order.order_id)).fee_minor == 500


async def test_where_it_may_not_move(world: World, manager: Manager) -> None:
    number, planned = world.departure_id(), await leaves(world)
    for to in (
        datetime.now(UTC) - timedelta(minutes=1),
        planned + 25 * HOUR,
        planned - 25 * HOUR,
    ):
        refused = await refusal(manager.move(number, to))
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("departure_time",))
    assert (await refusal(manager.move(5, planned))).reason == Reason.NOT_FOUND
    again = await manager.move(number, planned)
    assert not again.HasField("planned_departure_time")
    assert await leaves(world) == planned


async def until_offered(client: TravellerClient, world: World, at: datetime) -> None:
    """Waits until departure 1 is offered at a time, on the day it is then."""
    local = at + timedelta(hours=8)
    request = offer_pb2.SearchOffersRequest(
        origin_city_code="HKG",
        destination_city_code="SZX",
        travel_date=local.date().isoformat(),
        passengers=[tickets_pb2.CUSTOMER_TYPE_ADULT],
    )
    for _ in range(100):
        offers = (await client.call("SearchOffers", request)).offers
        found = {
            (offer.journey.departure_id, offer.journey.departure_time.ToDatetime(UTC))
            for offer in offers
            if offer.HasField("journey")
        }
        if (str(world.departure_id()), at) in found:
            return
        await asyncio.sleep(0.1)
    pytest.fail("a search finds it a second later")


@pytest.mark.parametrize("hours", [-8, 17])
async def test_across_midnight(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager, hours: int
) -> None:
    """Departure 1 leaves in the morning. Seen red: without MOVED_DAYS no search found it on the day
    before.
    """
    planned = await leaves(world)
    await scenario.sell(client, world.seat(), passengers=party(1))
    sold = await times(world)
    moved = planned + hours * HOUR
    assert (moved + 8 * HOUR).date() != (planned + 8 * HOUR).date()
    await manager.move(world.departure_id(), moved)
    await followed(world)
    assert await times(world) == later(sold, hours * HOUR)
    await until_offered(client, world, moved)
    await scenario.sell(client, world.seat(fare_class=SECOND), passengers=party(1))


async def test_over_json(
    world: World,
    client: TravellerClient,
    scenario: OrderScenario,
    manager: Manager,
    server: GateServer,
) -> None:
    await scenario.sell(client, world.seat(), passengers=party(1))
    sold, to = await times(world), await leaves(world) + HOUR
    url = f"http://127.0.0.1:{server.app.http_port}/admin/departures/{world.departure_id()}"
    async with httpx2.AsyncClient(trust_env=False, timeout=30.0) as http:
        body = {"departure_time": to.isoformat(), "comment": "late", "request_id": "j1"}
        first = await manager.over_json(http, f"{url}/move", **body)
        assert first.status_code == 200, first.text
        assert (await manager.over_json(http, f"{url}/move", **body)).json() == first.json()
    await followed(world)
    assert await times(world) == later(sold, HOUR)
