"""CreateOrder is a plain function: no task serves it, and the answer to a repeat, which has to be
read first, comes all the same.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from deeptravel.ticketing.v1 import order_pb2

from server.api.transport.server import CoreServer
from server.orders.hold import OrderHolds
from tests.api.test_admission import in_flight
from tests.support.invariants import assert_invariants
from tests.support.traveller import TravellerClient, World, a_world, party, traveller_server
from tests.support.waiting import until


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url, departures=1) as filled:
        yield filled
    assert_invariants(database_url)


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the calls for which a task was made."""
    made: list[str] = []
    start = CoreServer._start_task

    def noted(self: CoreServer, exchange: Any, coroutine: Any) -> None:
        made.append(exchange.path)
        start(self, exchange, coroutine)

    monkeypatch.setattr(CoreServer, "_start_task", noted)
    return made


def an_order(world: World) -> order_pb2.CreateOrderRequest:
    """The same call, however often it is made."""
    return order_pb2.CreateOrderRequest(
        request_id="same",
        items=[order_pb2.OrderItem(offer_id=world.seat())],
        passengers=party(),
        contact_phone="+85291234567",
    )


@pytest.mark.parametrize("transport", ["core", "aio"])
async def test_no_task_serves_an_order_or_its_repeat(
    world: World, database_url: str, redis_url: str, tasks: list[str], transport: str
) -> None:
    """Seen red with CreateOrder as a coroutine: a task for each call."""
    async with traveller_server(database_url, redis_url, transport=transport) as server:
        client = TravellerClient.of(server.channel, 1)
        await client.create(world.seat())  # from now on it is remembered who is blocked
        tasks.clear()
        request = an_order(world)
        first = await client.call("CreateOrder", request)
        assert first.order.contact_phone == "+85291234567"
        await client.cancel(first.order.order_id)
        assert await client.call("CreateOrder", request) == first
        assert [path for path in tasks if path.endswith("/CreateOrder")] == []
        await in_flight(0)


async def test_whoever_leaves_while_a_repeat_is_read(
    world: World, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads on for one who has gone. Seen red with the repeat's own future not cancelled."""
    reading: list[asyncio.Task[Any] | None] = []

    async def never(*_: Any) -> Any:
        reading.append(asyncio.current_task())
        await asyncio.Event().wait()

    async with traveller_server(database_url, redis_url, transport="core") as server:
        client = TravellerClient.of(server.channel, 1)
        await client.create(world.seat())
        request = an_order(world)
        first = await client.call("CreateOrder", request)
        with monkeypatch.context() as patched:
            patched.setattr(OrderHolds, "show_as_made", never)
            again = client.call("CreateOrder", request)
            await until(lambda: len(reading) == 1)
            again.cancel()
            task = reading[0]
            assert task
            await until(task.cancelled)
            await in_flight(0)
        with pytest.raises(asyncio.CancelledError):
            await again
        assert await client.call("CreateOrder", request) == first


async def test_a_fault_while_a_repeat_is_read(
    world: World, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> Any:
        raise ValueError("a secret")

    async with traveller_server(database_url, redis_url, transport="core") as server:
        client = TravellerClient.of(server.channel, 1)
        await client.create(world.seat())
        request = an_order(world)
        await client.call("CreateOrder", request)
        monkeypatch.setattr(OrderHolds, "show_as_made", fails)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.call("CreateOrder", request)
        assert refused.value.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in (refused.value.details() or "")
        await in_flight(0)
