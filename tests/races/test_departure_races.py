"""A departure is cancelled or moved while orders are paid, and the server is killed in the
middle of what follows.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest

from tests.support.gate_server import gate_process, gate_server
from tests.support.invariants import assert_invariants
from tests.support.operations import Manager, followed, leaves, look_again
from tests.support.order_scenario import OrderScenario, states
from tests.support.order_scenario import a_scenario as a_plain_scenario
from tests.support.paying import NOTICES, a_scenario, envelope, merchant_settings, transaction
from tests.support.traveller import (
    SECOND,
    TravellerClient,
    World,
    a_world,
    passenger,
    traveller_server,
)
from tools.dev.wechat_simulator.protocol import by_public_key

ORDERS = 24
LOCKED = (
    "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND datname = current_database()"
)


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, seats=100) as filled:
        yield filled


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    yield filled_world
    assert await filled_world.contradictions() == []
    assert_invariants(module_database_url)


@pytest.fixture(scope="module")
async def module_scenario(module_database_url: str) -> AsyncIterator[OrderScenario]:
    async with a_plain_scenario(module_database_url) as scenario:
        yield scenario


@pytest.fixture
def scenario(world: World, module_scenario: OrderScenario) -> OrderScenario:
    return module_scenario.again()


async def ends(world: World) -> set[tuple[Any, ...]]:
    """How orders ended: state, why, their tickets' states, and the causes of their refunds."""
    return set(
        await world.sql(
            "SELECT o.state, o.cancel_reason, (SELECT string_agg(DISTINCT t.state, ' ') FROM"
            " tickets t WHERE t.order_id = o.order_id), (SELECT string_agg(r.cause || ' ' ||"
            " r.amount_minor, ' ') FROM refunds r  WHERE r.order_id = o.order_id) FROM orders o"
        )
    )


def hold_up(scenario: OrderScenario) -> tuple[asyncio.Event, asyncio.Event]:
    """Has the scenario's settlements stop when their tickets are made up: says when, and goes on
    when asked to.
    """
    settled, go_on = asyncio.Event(), asyncio.Event()
    tickets = scenario.settlement._tickets

    async def held_up(*args: Any, **more: Any) -> Any:
        rows = await tickets(*args, **more)
        settled.set()
        await go_on.wait()
        return rows

    scenario.settlement._tickets = held_up  # type: ignore[method-assign]
    return settled, go_on


PAID_AND_BACK = ("CANCELLED", "REFUNDED", "REFUNDED", "DEPARTURE_CANCELLED 10000")
BACK_WHOLE = ("CANCELLED", "DEPARTURE_CANCELLED", None, "LATE_PAYMENT 10000")


async def test_paid_and_cancelled_at_the_same_moment(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Two processes take the notices in while a third call cancels: each order ends in exactly
    one of two ways.
    """
    async with (
        a_scenario(
            database_url, redis_url, tmp_path, seats=100, max_per_traveller=ORDERS
        ) as scenario,
        gate_server(database_url, redis_url, **merchant_settings(scenario.wechat)) as other,
        a_plain_scenario(database_url) as plain,
        httpx2.AsyncClient(trust_env=False, timeout=60.0) as http,
    ):
        manager = await Manager.hired(plain.db, other.channel)
        await scenario.wechat.switch(hold_notices=True)
        offer = scenario.world.seat(fare_class=SECOND)
        orders = [
            await scenario.client.order(offer, passengers=[passenger()]) for _ in range(ORDERS)
        ]
        numbers = [await scenario.pay(order) for order in orders]
        signer = by_public_key(scenario.wechat.merchant)
        urls = [scenario.url, f"http://127.0.0.1:{other.app.http_port}"]

        async def notice(n: int, number: str) -> None:
            await asyncio.sleep(n * 0.01)
            body = envelope(
                scenario, transaction(scenario, number, total=10_000), number=f"EV-{number}"
            )
            answer = await http.post(
                urls[n % 2] + NOTICES, content=body, headers=signer.headers(body)
            )
            assert answer.status_code == 200

        async def cancel() -> None:
            await asyncio.sleep(ORDERS * 0.005)
            await manager.cancel(scenario.world.departure_id())

        await asyncio.gather(*(notice(*pair) for pair in enumerate(numbers)), cancel())
        await scenario.wechat.switch(hold_notices=False)
        await scenario.idle_of("notice")
        await scenario.idle_of("payment.close")
        await followed(scenario.world)
        await scenario.world.until("SELECT count(*) = 0 FROM refunds WHERE state <> 'SUCCEEDED'")
        assert await ends(scenario.world) <= {PAID_AND_BACK, BACK_WHOLE}
        assert await scenario.world.value("SELECT count(*) FROM refunds") == ORDERS
        assert (
            await scenario.world.value("SELECT sum(refunded_minor) FROM payments")
            == ORDERS * 10_000
        )
        assert await scenario.world.stock(fare_class=SECOND) == (100, 0, 0)
        await scenario.sound()


async def test_who_settles_while_it_is_cancelled_is_waited_for(
    world: World, scenario: OrderScenario, module_database_url: str, module_redis_url: str
) -> None:
    """The departure was read before it was cancelled, the tickets are there behind it.

    Seen red with orders.lock_orders passing over what others have locked: nobody waited for who
    settles.
    """
    async with traveller_server(module_database_url, module_redis_url) as server:
        manager = await Manager.hired(scenario.db, server.channel)
        order = await TravellerClient.of(server.channel).order(
            world.seat(fare_class=SECOND), passengers=[passenger()]
        )
        bill = await scenario.bill(order.order_id)
        settled, go_on = hold_up(scenario)
        settling = asyncio.create_task(scenario.take_in(bill))
        await settled.wait()
        await manager.cancel(world.departure_id())
        await world.until(LOCKED)
        go_on.set()
        assert await settling == "PAID"
        await followed(world)
        await scenario.drain()
        assert await ends(world) == {PAID_AND_BACK}


async def test_who_settles_while_it_is_moved_is_waited_for(
    world: World, scenario: OrderScenario, module_database_url: str, module_redis_url: str
) -> None:
    """Seen red without _wait_for_settlements: the ticket kept the time of before."""
    async with traveller_server(module_database_url, module_redis_url) as server:
        manager = await Manager.hired(scenario.db, server.channel)
        order = await TravellerClient.of(server.channel).order(
            world.seat(fare_class=SECOND), passengers=[passenger()]
        )
        bill, planned = await scenario.bill(order.order_id), await leaves(world)
        settled, go_on = hold_up(scenario)
        settling = asyncio.create_task(scenario.take_in(bill))
        await settled.wait()
        await manager.move(world.departure_id(), planned + timedelta(hours=2))
        await world.until(
            "SELECT lease_until IS NOT NULL OR state = 'DONE' FROM outbox_tasks"
            " WHERE kind = 'departure.moved'"
        )
        await asyncio.sleep(0.3)  # it may ask for the order's lock meanwhile, which is no event
        go_on.set()
        assert await settling == "PAID"
        await followed(world)
        reference = await world.value("SELECT reference_time FROM ticket_sales")
        assert reference == planned + timedelta(hours=2)


async def test_killed_between_two_refunds(
    world: World,
    scenario: OrderScenario,
    module_database_url: str,
    module_redis_url: str,
    tmp_path: Path,
) -> None:
    """The server dies in the middle of the orders of a cancelled departure; the next one does what
    is left, once.

    Seen red with a task that is done before it begins: what was left stayed ACTIVE.
    """
    async with traveller_server(module_database_url, module_redis_url) as server:
        await Manager.hired(scenario.db, server.channel)
        client = TravellerClient.of(server.channel)
        offer = world.seat(fare_class=SECOND)
        orders = [await scenario.sell(client, offer, passengers=[passenger()]) for _ in range(9)]
    with gate_process(module_database_url, module_redis_url, tmp_path / "first") as process:
        async with grpc.aio.insecure_channel(process.target) as channel:
            manager = await Manager.at(channel)
            # the fifth order cannot be had, so it is in the middle when it dies
            async with world.pg.transaction():
                await world.sql(
                    "SELECT 1 FROM orders WHERE order_code = %s FOR UPDATE", orders[4].order_id
                )
                await manager.cancel(world.departure_id())
                await world.until("SELECT count(*) >= 4 FROM refunds")
                process.kill()
    left = await world.value("SELECT count(*) FROM tickets WHERE state = 'ACTIVE'")
    assert 0 < left < len(orders)
    await world.sql("UPDATE outbox_tasks SET lease_until = NULL WHERE state = 'OPEN'")
    async with traveller_server(module_database_url, module_redis_url) as server:
        await look_again(world)
        await scenario.drain()
        client = TravellerClient.of(server.channel)
        for order in orders:
            assert await states(client, order.order_id) == ["REFUNDED"]
    assert await world.value("SELECT count(*) FROM refunds") == len(orders)
    assert await world.value("SELECT sum(refunded_minor) FROM payments") == 10_000 * len(orders)
    events = "SELECT count(*) FROM order_events WHERE event = 'departure.cancelled'"
    assert await world.value(events) == len(orders)
