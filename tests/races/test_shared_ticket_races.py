"""Those who share an entitlement move at the same moment: it ends once, with the last, and with
nobody before.

Also an administrator's block at the moment that a change settles. Seen red: with neither what is
shared nor its order locked, two refunds of two orders that settle at once each see the other's
ticket REFUNDING, and what they shared stays ACTIVE; so do two of one order, whose row their events
lock as well, if these are recorded last; without the second look at the chain of changes behind the
locks, a block that waited for the settlement blocks the old ticket alone.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.gate_server import GateServer
from tests.support.invariants import assert_invariants
from tests.support.order_scenario import OrderScenario, a_scenario, give_back, swap, tickets
from tests.support.runs import share
from tests.support.staff import hire
from tests.support.traveller import TravellerClient, World, a_world, party, traveller_server

RACES = share(8, 4)
"""Parties of each race, all at once."""
MOST_APART = 0.004
"""Seconds between the two of a race, by chance."""
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, packages=1000, max_per_traveller=5000) as filled:
        yield filled


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    yield filled_world
    # they are retried, and seen in the statistics
    assert await filled_world.value(DEADLOCKS) == 0
    assert_invariants(module_database_url)


@pytest.fixture(scope="module")
async def server(
    filled_world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with traveller_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def scenarios(
    world: World, module_database_url: str
) -> AsyncIterator[Sequence[OrderScenario]]:
    """Two processes that take in what WeChat says; it knows the same refunds at both."""
    # who waits in a row for the same stock waits long on a busy machine; a deadlock is still one
    waits = {"lock_timeout_ms": 20_000}
    async with (
        a_scenario(module_database_url, **waits) as one,
        a_scenario(module_database_url, **waits) as other,
    ):
        other.wechat = one.wechat
        yield one, other


@dataclass
class Pair:
    """Two who share; refunds of theirs are PROCESSING under these numbers."""

    client: TravellerClient
    order_id: str
    first: Any
    second: Any

    @classmethod
    async def of(cls, world: World, client: TravellerClient, scenario: OrderScenario) -> "Pair":
        order = await scenario.sell(client, world.package())
        found = await tickets(client, order_id=order.order_id)
        return cls(client, order.order_id, *[each for each in found if not each.shared])


async def pairs(world: World, client: TravellerClient, scenario: OrderScenario) -> list[Pair]:
    return [await Pair.of(world, client, scenario) for _ in range(RACES)]


async def refund_numbers(
    scenario: OrderScenario, client: TravellerClient, order_id: str, ticket_code: str
) -> list[str]:
    """Gives a ticket back; the numbers of its parts, which WeChat has taken in."""
    known = set(scenario.wechat.known)
    await give_back(client, order_id, ticket_code)
    await scenario.drain()
    return sorted(set(scenario.wechat.known) - known)


async def settle(scenario: OrderScenario, numbers: Sequence[str]) -> None:
    for number in numbers:
        assert await scenario.notice(number, "SUCCESS") == "SUCCEEDED"


async def at_once(*jobs: Callable[[], Awaitable[Any]]) -> None:
    """All jobs of all races, each pair within some milliseconds, in any order."""

    async def one(job: Callable[[], Awaitable[Any]]) -> None:
        await asyncio.sleep(random.uniform(0, MOST_APART))
        await job()

    await asyncio.gather(*map(one, jobs))


async def shared_states(world: World) -> dict[str, int]:
    rows = await world.sql(
        "SELECT state, count(*) FROM tickets JOIN ticket_sales USING (ticket_id)"
        " WHERE passenger_index < 0 GROUP BY 1"
    )
    return dict(rows)


async def test_the_refunds_of_both_settle(
    world: World, server: GateServer, scenarios: Sequence[OrderScenario]
) -> None:
    one, other = scenarios
    client = TravellerClient.of(server.channel, 1)
    one.wechat.state = "PROCESSING"
    jobs: list[Callable[[], Awaitable[Any]]] = []
    for pair in await pairs(world, client, one):
        for scenario, ticket in ((one, pair.first), (other, pair.second)):
            numbers = await refund_numbers(one, client, pair.order_id, ticket.ticket_code)
            jobs.append(lambda t=scenario, n=numbers: settle(t, n))  # type: ignore[misc]
    assert await shared_states(world) == {"ACTIVE": RACES}
    await at_once(*jobs)
    assert await shared_states(world) == {"REFUNDED": RACES}
    # one refund for each of the three tickets
    assert await world.value("SELECT count(*) FROM refunds") == 3 * RACES
    states = "SELECT array_agg(DISTINCT state) FROM orders"
    assert await world.value(states) == ["CANCELLED"]


async def test_a_changed_one_and_the_other_settle(
    world: World, server: GateServer, scenarios: Sequence[OrderScenario]
) -> None:
    """In two orders, which are locked in one order."""
    one, other = scenarios
    client = TravellerClient.of(server.channel, 1)
    one.wechat.state = "PROCESSING"
    jobs: list[Callable[[], Awaitable[Any]]] = []
    for pair in await pairs(world, client, one):
        made = await swap(client, pair.first.ticket_code, world.package(1))
        assert await one.pay(made.order.order_id) == "PAID"
        (new, _) = await tickets(client, order_id=made.order.order_id)
        for scenario, ticket in ((one, new), (other, pair.second)):
            numbers = await refund_numbers(one, client, ticket.order_id, ticket.ticket_code)
            jobs.append(lambda t=scenario, n=numbers: settle(t, n))  # type: ignore[misc]
    await at_once(*jobs)
    assert await shared_states(world) == {"REFUNDED": RACES}
    states = "SELECT array_agg(DISTINCT state) FROM orders"
    assert await world.value(states) == ["CANCELLED"]


async def test_a_change_and_a_refund_settle(
    world: World, server: GateServer, scenarios: Sequence[OrderScenario]
) -> None:
    one, other = scenarios
    client = TravellerClient.of(server.channel, 1)
    one.wechat.state = "PROCESSING"
    jobs: list[Callable[[], Awaitable[Any]]] = []
    for pair in await pairs(world, client, one):
        made = await swap(client, pair.first.ticket_code, world.package(1))
        bill = await one.bill(made.order.order_id)
        numbers = await refund_numbers(one, client, pair.order_id, pair.second.ticket_code)
        jobs.append(lambda b=bill: one.take_in(b))  # type: ignore[misc]
        jobs.append(lambda n=numbers: settle(other, n))  # type: ignore[misc]
    await at_once(*jobs)
    assert await shared_states(world) == {"ACTIVE": RACES}
    # as long as what the other was changed into
    assert (
        await world.value(
            "SELECT count(DISTINCT valid_until_time) FROM tickets WHERE state = 'ACTIVE'"
        )
        == 1
    )


async def test_a_block_and_the_settlement_of_a_change(
    world: World, server: GateServer, scenarios: Sequence[OrderScenario]
) -> None:
    staff = await hire(world, server.channel)
    scenario, _ = scenarios
    client = TravellerClient.of(server.channel, 1)
    jobs: list[Callable[[], Awaitable[Any]]] = []
    for _ in range(RACES):
        order = await scenario.sell(client, world.package(), passengers=party(1))
        found = await tickets(client, order_id=order.order_id)
        (old,) = [each.ticket_code for each in found if not each.shared]
        made = await swap(client, old, world.package(1))
        bill = await scenario.bill(made.order.order_id)
        jobs.append(lambda b=bill: scenario.take_in(b))  # type: ignore[misc]
        jobs.append(lambda code=old: staff.administrator.block(code))  # type: ignore[misc]
    await at_once(*jobs)
    blocked = (
        "SELECT state, blocked, count(*) FROM tickets JOIN ticket_sales USING (ticket_id)"
        " WHERE passenger_index >= 0 GROUP BY 1, 2 ORDER BY 1"
    )
    assert await world.sql(blocked) == [("ACTIVE", True, RACES), ("CHANGED", True, RACES)]
