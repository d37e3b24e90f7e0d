"""One document is on one departure at a time, also where the operator moves departures: by the
times as they are now.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from server.platform.errors import Reason
from tests.support.changes import changes_are_seen
from tests.support.gate_server import GateServer
from tests.support.invariants import assert_invariants
from tests.support.operations import Manager, followed, leaves
from tests.support.order_scenario import OrderScenario, give_back, states, swap, tickets
from tests.support.rpc_server import refusal_or_none
from tests.support.traveller import (
    ORDER_STATE,
    SECOND,
    TravellerClient,
    World,
    a_world,
    party,
)

HOUR = timedelta(hours=1)
MOVED, OLD_TIME, NEW_TIME = 1, 2, 3
"""Departures: OLD_TIME leaves when MOVED is planned to, NEW_TIME when it leaves after the move."""
SEATS = 10


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=3, seats=SEATS) as filled:
        for number, hours in ((OLD_TIME, 0), (NEW_TIME, 2)):
            await filled.sql(
                "UPDATE departures d SET departure_time = f.departure_time + %s * interval '1 hour'"
                " FROM departures f WHERE d.departure_id = %s AND f.departure_id = %s",
                hours,
                filled.departure_id(number),
                filled.departure_id(MOVED),
            )
        yield filled


@pytest.fixture
async def other(world: World, server: GateServer) -> TravellerClient:
    return TravellerClient.of(server.channel, 2)


@pytest.fixture
async def planned(world: World) -> Any:
    """When MOVED was to leave."""
    return await leaves(world, MOVED)


async def busy(world: World, other: TravellerClient, who: list[Any]) -> tuple[bool, bool]:
    """Whether they travel at the old time, and at the new one: by trying to order, and
    cancelling.
    """
    found = []
    for number in (OLD_TIME, NEW_TIME):
        call = other.create(world.seat(number, SECOND), passengers=who)
        refused = await refusal_or_none(call)
        if refused is None:
            (made,) = (await other.pages())[0].orders[:1]
            await other.cancel(made.order_id)
        else:
            assert refused.reason in (Reason.OVERLAPPING_JOURNEY, Reason.DUPLICATE_PASSENGER)
        found.append(refused is not None)
    return found[0], found[1]


@pytest.mark.parametrize("is_paid", [True, False])
async def test_the_old_time_is_free_and_the_new_one_is_not(
    world: World,
    client: TravellerClient,
    other: TravellerClient,
    scenario: OrderScenario,
    manager: Manager,
    planned: Any,
    module_database_url: str,
    is_paid: bool,
) -> None:
    """From the commit of the move on, held or sold; moved twice, and back. Seen red: the old time
    stayed the document's, and the new one was sold as well.
    """
    who = party(2)
    if is_paid:
        await scenario.sell(client, world.seat(MOVED), passengers=who)
    else:
        await client.order(world.seat(MOVED), passengers=who)
    for hours, expected in (
        (2, (False, True)),
        (4, (False, False)),
        (2, (False, True)),
        (0, (True, False)),
    ):
        await manager.move(world.departure_id(MOVED), planned + hours * HOUR)
        assert await busy(world, other, who) == expected
        await asyncio.to_thread(assert_invariants, module_database_url)


async def test_what_is_given_back_after_a_move_leaves_nothing(
    world: World,
    client: TravellerClient,
    other: TravellerClient,
    scenario: OrderScenario,
    manager: Manager,
    planned: Any,
) -> None:
    """Cancelled, expired, refunded, changed. Seen red: both times stayed, or the wrong one was
    free.
    """
    await world.sql("""UPDATE products SET policy = policy || '{"changes_allowed": 3}'""")
    who = party(4)
    cancelled = await client.order(world.seat(MOVED), passengers=who[:1])
    expired = await client.order(world.seat(MOVED), passengers=who[1:2])
    sold = await scenario.sell(client, world.seat(MOVED), passengers=who[2:3])
    changed = await scenario.sell(client, world.seat(MOVED, SECOND), passengers=who[3:])
    await manager.move(world.departure_id(MOVED), planned + 2 * HOUR)
    await followed(world)
    await client.cancel(cancelled.order_id)
    await world.expire(expired.order_id)
    await world.until("SELECT count(*) = 0 FROM orders WHERE state = 'PENDING'")
    await give_back(client, sold.order_id)
    await scenario.drain()
    assert await states(client, sold.order_id) == ["REFUNDED"]
    assert await world.value("SELECT count(*) FROM document_journeys") == 1
    assert await busy(world, other, who[:3]) == (False, False)
    (old,) = await tickets(client, order_id=changed.order_id)
    made = await swap(client, old.ticket_code, world.seat(OLD_TIME, SECOND))
    if ORDER_STATE[made.order.state] == "PENDING":
        await scenario.pay(made.order.order_id)
    assert await busy(world, other, who[3:]) == (True, False)
    await give_back(client, made.order.order_id)
    await scenario.drain()
    assert await world.value("SELECT count(*) FROM document_journeys") == 0


async def test_journeys_that_overlap_since_a_move_are_each_given_back_alone(
    world: World,
    client: TravellerClient,
    other: TravellerClient,
    scenario: OrderScenario,
    manager: Manager,
    planned: Any,
) -> None:
    """Both were sold before, so the move is not refused. Seen red (without keys in `journeys`, by
    times alone): the one given back freed the time of the other.
    """
    who = party(1)
    first = await scenario.sell(client, world.seat(MOVED), passengers=who)
    second = await scenario.sell(client, world.seat(NEW_TIME), passengers=who)
    await manager.move(world.departure_id(MOVED), planned + 2 * HOUR)
    await followed(world)
    for order, still in ((first, True), (second, False)):
        await give_back(client, order.order_id)
        await scenario.drain()
        assert await states(client, order.order_id) == ["REFUNDED"]
        assert await busy(world, other, who) == (False, still)
    assert await world.value("SELECT count(*) FROM document_journeys") == 0


async def test_a_change_after_a_move_may_overlap_with_what_it_changes_alone(
    world: World,
    client: TravellerClient,
    other: TravellerClient,
    scenario: OrderScenario,
    manager: Manager,
    planned: Any,
) -> None:
    """Seen red: the journey of the changed ticket counted at the time it was sold for."""
    who = party(1)
    await scenario.sell(client, world.seat(MOVED, SECOND), passengers=who)
    await manager.move(world.departure_id(MOVED), planned + 2 * HOUR)
    await followed(world)
    (old,) = await tickets(client)
    made = await swap(client, old.ticket_code, world.seat(NEW_TIME))
    assert ORDER_STATE[made.order.state] == "PENDING" or await scenario.pay(made.order.order_id)
    if ORDER_STATE[made.order.state] == "PENDING":
        await client.cancel(made.order.order_id)
        assert await busy(world, other, who) == (False, True)
        made = await swap(client, old.ticket_code, world.seat(NEW_TIME))
        await scenario.pay(made.order.order_id)
    assert await busy(world, other, who) == (False, True)
    await give_back(client, made.order.order_id)
    await scenario.drain()
    assert await busy(world, other, who) == (False, False)


async def test_a_late_payment_is_judged_by_the_time_as_it_is_now(
    world: World,
    client: TravellerClient,
    other: TravellerClient,
    scenario: OrderScenario,
    manager: Manager,
    planned: Any,
) -> None:
    """Seen red: it was honoured for two journeys at once, or not for one at a free time."""
    who = party(1)
    for elsewhere, outcome in ((NEW_TIME, "REFUNDED"), (OLD_TIME, "PAID")):
        await manager.move(world.departure_id(MOVED), planned)
        await changes_are_seen()
        order = await client.order(world.seat(MOVED), passengers=who)
        paid = await scenario.bill(order.order_id)
        await world.expire(order.order_id)
        await world.until("SELECT count(*) = 0 FROM orders WHERE state = 'PENDING'")
        await manager.move(world.departure_id(MOVED), planned + 2 * HOUR)
        between = await other.order(world.seat(elsewhere), passengers=who)
        assert await scenario.take_in(paid) == outcome
        await scenario.drain()
        await other.cancel(between.order_id)
    assert await busy(world, other, who) == (False, True)


async def test_a_move_among_all_that_happens_to_an_order(
    world: World,
    client: TravellerClient,
    other: TravellerClient,
    scenario: OrderScenario,
    manager: Manager,
    planned: Any,
) -> None:
    """Made, paid, cancelled and given back while the departure is moved there and back: nothing
    stays behind.
    """
    number, who = world.departure_id(MOVED), party(4)
    for hours in (2, 0):
        paid = await client.order(world.seat(MOVED), passengers=who[:1])
        cancelled = await client.order(world.seat(MOVED), passengers=who[1:2])
        sold = await scenario.sell(client, world.seat(MOVED, SECOND), passengers=who[2:3])
        _, outcome, _, _, refused = await asyncio.gather(
            manager.move(number, planned + hours * HOUR),
            scenario.pay(paid.order_id),
            client.cancel(cancelled.order_id),
            give_back(client, sold.order_id),
            refusal_or_none(other.create(world.seat(NEW_TIME), passengers=who[3:])),
        )
        assert (outcome, refused) == ("PAID", None)
        await followed(world)
        await scenario.drain()
        assert await busy(world, client, who[:1]) == ((False, True) if hours else (True, False))
        assert await busy(world, client, who[1:3]) == (False, False)
        await give_back(client, paid.order_id)
        await scenario.drain()
        await other.cancel((await other.pages())[0].orders[0].order_id)
        await changes_are_seen()
    assert await world.value("SELECT count(*) FROM document_journeys") == 0
