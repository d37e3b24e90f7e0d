"""WatchOrder: every move of an order, once and in order, from any sequence, until it is final or
the server stops.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from deeptravel.ticketing.v1 import order_pb2

from server.orders import events
from server.platform.errors import Reason
from tests.support.changes import show_changes
from tests.support.gate_server import GateServer
from tests.support.rpc_server import read_refusal
from tests.support.traveller import (
    CANCEL_REASON,
    ORDER_STATE,
    TravellerClient,
    World,
    a_world,
    traveller_server,
)
from tests.support.waiting import WAIT_SECONDS

Move = tuple[int, str, str]


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as seeded:
        yield seeded


@pytest.fixture
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with traveller_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def client(server: GateServer) -> TravellerClient:
    return TravellerClient.of(server.channel, 1)


def fields_of(move: Any) -> Move:
    return move.sequence, move.event, ORDER_STATE[move.state]


async def all_of(watch: Any) -> list[Move]:
    seen = []
    while (move := await watch.read()) is not grpc.aio.EOF:
        seen.append(fields_of(move))
    return seen


async def refusal_of(watch: Any) -> Reason:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await all_of(watch)
    return read_refusal(failed.value).reason


async def test_moves_come_as_they_happen_until_the_order_is_final(
    world: World, server: GateServer, client: TravellerClient
) -> None:
    order = await client.order(world.seat())
    watches = [client.watch(order.order_id) for _ in range(3)]
    for watch in watches:
        assert fields_of(await watch.read()) == (1, "order.created", "PENDING")
    await client.cancel(order.order_id)
    for watch in watches:
        last = await watch.read()
        assert isinstance(last, order_pb2.WatchOrderResponse)
        assert fields_of(last) == (2, "order.cancelled", "CANCELLED")
        assert CANCEL_REASON[last.cancel_reason] == "TRAVELLER"
        assert last.occurred_time.ToDatetime() >= order.create_time.ToDatetime()
        assert await watch.read() is grpc.aio.EOF


async def test_moves_made_by_another_process_come_too(
    world: World,
    server: GateServer,
    client: TravellerClient,
    module_database_url: str,
    module_redis_url: str,
) -> None:
    order = await client.order(world.seat())
    watch = client.watch(order.order_id, after_sequence=1)
    async with traveller_server(module_database_url, module_redis_url) as elsewhere:
        await TravellerClient.of(elsewhere.channel, 1).cancel(order.order_id)
    assert await all_of(watch) == [(2, "order.cancelled", "CANCELLED")]


async def test_a_watch_goes_on_behind_any_sequence(
    world: World, server: GateServer, client: TravellerClient
) -> None:
    order = await client.order(world.seat())
    await client.cancel(order.order_id)
    every = [(1, "order.created", "PENDING"), (2, "order.cancelled", "CANCELLED")]
    for after in range(5):
        assert await all_of(client.watch(order.order_id, after)) == every[after:]


async def test_moves_of_its_tickets_are_sent_and_a_pass_through_a_final_state(
    world: World, server: GateServer, client: TravellerClient
) -> None:
    """A late payment takes a cancelled order back to PAID; who watches from the first sees all
    of it.
    """
    order = await client.order(world.seat())
    await client.cancel(order.order_id)
    order_id = await world.value("SELECT order_id FROM orders")
    await world.sql("UPDATE orders SET state = 'PAID', cancel_reason = NULL, sequence = 4")
    await world.sql(
        "INSERT INTO order_events VALUES (%s, 3, 'order.paid', 'PAID', NULL, NULL, 'system',"
        " now()), (%s, 4, 'ticket.refunding', 'PAID', NULL, 5, 'system', now())",
        order_id,
        order_id,
    )
    watch = client.watch(order.order_id)
    seen = [fields_of(await watch.read()) for _ in range(4)]
    assert [event for _, event, _ in seen] == [
        events.CREATED,
        events.CANCELLED,
        events.PAID,
        events.TICKET_REFUNDING,
    ]
    await world.sql("UPDATE orders SET state = 'COMPLETED', sequence = 5")
    await world.sql(
        "INSERT INTO order_events VALUES (%s, 5, 'order.completed', 'COMPLETED', NULL, NULL,"
        " 'system', now())",
        order_id,
    )
    assert await all_of(watch) == [(5, "order.completed", "COMPLETED")]


async def test_only_the_owner_watches(
    world: World, server: GateServer, client: TravellerClient
) -> None:
    order = await client.order(world.seat())
    other = TravellerClient.of(server.channel, 2)
    assert await refusal_of(other.watch(order.order_id)) is Reason.NOT_FOUND
    assert await refusal_of(client.watch("ORD-DT-20261121-999999")) is Reason.NOT_FOUND


async def test_a_watch_ends_when_the_server_stops(
    world: World, server: GateServer, client: TravellerClient
) -> None:
    order = await client.order(world.seat())
    watch = client.watch(order.order_id)
    await watch.read()
    ended = asyncio.create_task(refusal_of(watch))
    async with asyncio.timeout(WAIT_SECONDS):
        await server.stop()
        assert await ended is Reason.SHUTTING_DOWN


async def test_a_blocked_traveller_watches_no_longer(
    world: World, server: GateServer, client: TravellerClient
) -> None:
    await world.enrol(1)
    order = await client.order(world.seat())
    watch = client.watch(order.order_id)
    await watch.read()
    await world.sql("UPDATE travellers SET state = 'BLOCKED' WHERE traveller_id = 1")
    await show_changes(world)
    async with asyncio.timeout(WAIT_SECONDS):
        assert await refusal_of(watch) is Reason.UNAUTHENTICATED


async def test_nobody_asks_the_database_when_nobody_watches(
    world: World, server: GateServer, client: TravellerClient
) -> None:
    order = await client.order(world.seat())
    watch = client.watch(order.order_id)
    await watch.read()
    polling = [task for task in asyncio.all_tasks() if task.get_name() == "order-watcher"]
    assert len(polling) == 1
    watch.cancel()
    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(*polling)
