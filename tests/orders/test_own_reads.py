"""GetOrder, GetTicket and GetPayment: calls that come together are read for together, and each is
answered as if it had come alone.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from deeptravel.ticketing.v1 import order_pb2, payment_pb2, ticket_pb2

from server.platform.errors import Reason
from tests.support.gate_server import GateServer
from tests.support.order_scenario import OrderScenario, a_scenario, tickets
from tests.support.reading import read_together
from tests.support.rpc_server import read_refusal
from tests.support.traveller import TravellerClient, World, a_world, party, traveller_server

ORDER, TICKET, PAYMENT = "GetOrder", "GetTicket", "GetPayment"
KINDS = {ORDER: "orders", TICKET: "tickets", PAYMENT: "payments"}


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with a_world(database_url, departures=3) as filled:
        yield filled


@pytest.fixture
async def server(world: World, database_url: str, redis_url: str) -> AsyncIterator[GateServer]:
    async with traveller_server(database_url, redis_url) as running:
        yield running


@pytest.fixture
async def scenario(server: GateServer, database_url: str) -> AsyncIterator[OrderScenario]:
    async with a_scenario(database_url) as made:
        yield made


async def answer(client: TravellerClient, method: str, code: str) -> Any:
    """The message; of a refusal, its reason and whose it is."""
    requests: dict[str, Any] = {
        ORDER: order_pb2.GetOrderRequest(order_id=code),
        TICKET: ticket_pb2.GetTicketRequest(ticket_code=code),
        PAYMENT: payment_pb2.GetPaymentRequest(order_id=code),
    }
    try:
        return await client.call(method, requests[method])
    except grpc.aio.AioRpcError as error:
        refused = read_refusal(error)
        return refused.reason, refused.metadata


async def test_together_as_alone(world: World, server: GateServer, scenario: OrderScenario) -> None:
    """Two travellers, each with an order that waits, one that is paid, and a code that is none.

    Seen red with whose it is not compared, with answers in the order of the rows instead of the
    codes, and with one call read for at a time.
    """
    clients = [TravellerClient.of(server.channel, number) for number in (1, 2)]
    orders, sold = [], []
    for client in clients:
        paid = await scenario.sell(client, world.package(), passengers=party(2))
        waiting = await client.order(world.seat(), passengers=party(1))
        await scenario.bill(waiting.order_id)
        unbilled = await client.order(world.seat(2), passengers=party(1))
        orders += [paid.order_id, waiting.order_id, unbilled.order_id]
        sold += [each.ticket_code for each in await tickets(client)]
    none = ["ORD-DT-20261128-999999", "DIR-DT-20261128-999999", "no code"]
    for method, codes in ((ORDER, orders), (TICKET, sold), (PAYMENT, orders)):
        calls = [(client, method, code) for code in [*codes, *none] for client in clients]
        alone = [await answer(*call) for call in calls]
        own = [each for each in alone if not isinstance(each, tuple)]
        assert len(own) == (4 if method is PAYMENT else len(codes))
        assert {each[0] for each in alone if isinstance(each, tuple)} == {Reason.NOT_FOUND}
        with read_together(KINDS[method], len(calls)):
            together = await asyncio.gather(*[answer(*call) for call in calls])
        assert together == alone
