"""What got stuck: finished by the sweeper where the rules say how, else noted until it is seen to.

Each case is made by SQL, since no call leaves it behind.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from server.aftersales.sweeping import Sweeper
from server.platform import clock, stuck
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.schedule import Progress
from tests.support.gate_server import GateServer
from tests.support.order_scenario import OrderScenario, a_scenario, states
from tests.support.traveller import TravellerClient, World, a_world, traveller_server

LONG_AGO = "update_time = now() - interval '2 hours'"
PAYMENT = """
INSERT INTO payments (order_id, attempt, out_trade_no, state, amount_minor, currency_code, openid,
  expire_time, create_time, update_time)
SELECT order_id, 9, 'STUCK-1', 'PENDING', 100, 'CNY', 'o', now() - interval '3 hours', now(), now()
FROM orders WHERE order_code = %s
"""


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url, departures=2) as filled:
        await filled.enrol(1, 2)
        yield filled


@pytest.fixture
async def server(world: World, database_url: str, redis_url: str) -> AsyncIterator[GateServer]:
    async with traveller_server(database_url, redis_url) as running:
        yield running


@pytest.fixture
async def scenario(world: World, database_url: str) -> AsyncIterator[OrderScenario]:
    async with a_scenario(database_url) as made:
        yield made


class Sweeps:
    """Sweeps of a process of the test's own, two orders a chunk."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def sweep(self) -> int:
        sweeper, more, finished = Sweeper(chunk_orders=2), True, 0
        while more:
            async with self._db.transaction() as tx:
                done: Progress = await sweeper.work(tx, clock.now())
            more, finished = done.more, finished + done.items
        return finished

    async def found(self) -> list[tuple[str, str]]:
        async with self._db.transaction() as tx:
            return [
                (each.kind, each.subject)
                for each in await stuck.page(tx, kind="", after=None, limit=50)
            ]


@pytest.fixture
async def sweeps(world: World, database_url: str) -> AsyncIterator[Sweeps]:
    db = Database(load_settings(), database_url)
    yield Sweeps(db)
    await db.close()


async def change(world: World, statement: str, order_code: str) -> Any:
    where = " WHERE order_id = (SELECT order_id FROM orders WHERE order_code = %s)"
    return await world.sql(statement + where, order_code)


async def test_what_the_rules_say_how_to_finish_is_finished(
    world: World, server: GateServer, scenario: OrderScenario, sweeps: Sweeps
) -> None:
    """Three orders, of which one is sound, though nothing of it is new. Seen red: each without its
    statement, and with orders completed whatever state their tickets are in.
    """
    client = TravellerClient.of(server.channel, 1)
    orders = [await scenario.sell(client, world.package()) for _ in range(3)]
    used, changing, sound = (each.order_id for each in orders)
    await change(world, f"UPDATE tickets SET state = 'USED', {LONG_AGO}", used)
    await world.sql(
        f"UPDATE tickets SET state = 'CHANGING', {LONG_AGO} WHERE ticket_id = (SELECT"
        " min(ticket_id) FROM tickets JOIN orders USING (order_id) WHERE order_code = %s)",
        changing,
    )
    await world.sql(PAYMENT, sound)
    await change(world, f"UPDATE tickets SET {LONG_AGO}", sound)
    before = await states(client, sound)
    assert await sweeps.sweep() == 3
    assert await sweeps.sweep() == 0
    rows = await world.sql("SELECT state FROM orders WHERE order_code = %s", used)
    assert rows == [("COMPLETED",)]
    assert set(await states(client, changing)) == {"ACTIVE"}
    assert await states(client, sound) == before
    asked = await world.sql("SELECT kind FROM outbox_tasks WHERE key = 'STUCK-1'")
    assert asked == [("payment.close",)]
    heard = await world.sql("SELECT event FROM order_events WHERE event = 'ticket.restored'")
    assert len(heard) == 1


async def test_what_nobody_can_finish_is_noted_until_it_is_seen_to(
    world: World, server: GateServer, scenario: OrderScenario, sweeps: Sweeps
) -> None:
    """Seen red without `forget`: what was seen to stayed on the list."""
    client = TravellerClient.of(server.channel, 1)
    order = await scenario.sell(client, world.package())
    empty = await scenario.sell(client, world.package())
    await change(world, f"UPDATE tickets SET state = 'REFUNDING', {LONG_AGO}", order.order_id)
    await change(world, "DELETE FROM ticket_sales", empty.order_id)
    await world.sql(
        "INSERT INTO outbox_tasks (task_id, kind, key, payload, state, due_time, attempts,"
        " create_time, update_time) VALUES ('5b0e9d1e-0000-4000-8000-00000000000a', 'no.such', 'x',"
        " '{}', 'OPEN', now() - interval '1 day', 0, now(), now())"
    )
    assert await sweeps.sweep() == 0
    found = await sweeps.found()
    kinds = {kind for kind, _ in found}
    assert kinds == {"refunding-ticket", "paid-order-without-tickets", "idle-task"}
    assert ("paid-order-without-tickets", empty.order_id) in found
    await change(world, "UPDATE tickets SET state = 'ACTIVE'", order.order_id)
    await world.sql("UPDATE outbox_tasks SET state = 'DONE' WHERE kind = 'no.such'")
    await sweeps.sweep()
    assert {kind for kind, _ in await sweeps.found()} == {"paid-order-without-tickets"}


async def test_stock_that_nothing_holds_is_noted(
    world: World, server: GateServer, sweeps: Sweeps
) -> None:
    """Beside what an order that waits holds. Seen red without its statement."""
    await TravellerClient.of(server.channel, 1).order(world.package())
    await sweeps.sweep()
    assert await sweeps.found() == []
    lost = "UPDATE stocks SET held = held + %s WHERE held > 0 RETURNING stock_id::text"
    ((stock,),) = await world.sql(lost, 1)
    await sweeps.sweep()
    assert await sweeps.found() == [("stock-without-order", stock)]
    await world.sql(lost, -1)
    await sweeps.sweep()
    assert await sweeps.found() == []
