"""What an order costs the database: counted in statements, since seconds are the machine's."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from server.orders import new_orders, order_search
from server.platform import idempotency
from server.platform.pipeline import PipelineConnection, Prepared, Sent
from server.stock import journeys, quotas, taking
from tests.support.traveller import (
    SECOND,
    TravellerClient,
    World,
    a_world,
    party,
    traveller_server,
)

ALWAYS: list[Prepared] = [
    taking.LOCK,
    quotas.READ,
    idempotency._READ,
    taking.HOLD,
    quotas.ADD,
    new_orders._CREATE,
    order_search._STORE,
    idempotency._STORE,
]
OF_SEATS: list[Prepared] = [taking.READ_SEATS, taking.TAKE_SEATS]
OF_DOCUMENTS: list[Prepared] = [journeys.READ, journeys.ADD]


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=2) as filled:
        yield filled


@pytest.fixture
async def client(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[TravellerClient]:
    async with traveller_server(module_database_url, module_redis_url) as running:
        yield TravellerClient.of(running.channel, 1)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Prepared]:
    """The statements of batches, in the order in which they are sent."""
    statements: list[Prepared] = []
    send = PipelineConnection._send

    async def counted(self: PipelineConnection, commands: Sequence[Sent], **options: Any) -> Any:
        # what is polled for in the background may come between
        task = asyncio.current_task()
        if task and task.get_name() == "batch worker":
            statements.extend(statement for statement, _ in commands)
        return await send(self, commands, **options)

    monkeypatch.setattr(PipelineConnection, "_send", counted)
    return statements


async def test_what_an_order_does_not_need_has_no_statement(
    world: World, client: TravellerClient, sent: list[Prepared]
) -> None:
    """Seen red: with the seats of every stock read, as before, an order of a package read them
    too.
    """
    packages = [party(1)[0], party(1)[0]]
    for passenger in packages:
        passenger.ClearField("document_type")
        passenger.ClearField("document_number")
    for offer_id, passengers, expected in (
        (world.package(), packages, ALWAYS),
        (world.seat(1, SECOND), party(2), ALWAYS + OF_DOCUMENTS),
        (world.seat(2), party(2), ALWAYS + OF_DOCUMENTS + OF_SEATS),
    ):
        await client.order(offer_id, passengers=passengers)  # the first one stores its snapshot too
        sent.clear()
        await client.order(offer_id, passengers=passengers if passengers is packages else party(2))
        names = [statement.sql.decode() for statement in expected]
        assert sorted(statement.sql.decode() for statement in sent) == sorted(names)
