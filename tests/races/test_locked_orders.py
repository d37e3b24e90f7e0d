"""Stocks, orders and tickets that somebody keeps locked: what needs one gets CONFLICT or is done
later, all else goes on.

Seen red, all but the payments for a locked stock, with locks that are waited for, five seconds and
five times: what is expected of others while the lock is held came behind it, or they lost with it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from deeptravel.ticketing.v1 import order_pb2
from sqlalchemy import make_url

from server.platform.errors import Reason
from tests.support import partner_client, timeouts
from tests.support.gate_server import gate_server
from tests.support.paying import PaymentScenario, a_scenario
from tests.support.rpc_server import refusal
from tests.support.traveller import TravellerClient, passenger

OTHERS = 12
LATEST_SECONDS = 20.0
"""Well below what those took who waited."""
STOCK = "SELECT FROM stocks WHERE stock_id = %s FOR UPDATE"
ORDER = "SELECT FROM orders WHERE order_code = %s FOR UPDATE"
MANY_STATES = "SELECT count(*) = %s FROM orders WHERE order_code = ANY(%s) AND state = %s"


@pytest.fixture(autouse=True)
def _own_waits() -> Iterator[None]:
    with timeouts.the_products_own():
        yield


@pytest.fixture
async def scenario(
    database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[PaymentScenario]:
    async with a_scenario(database_url, redis_url, tmp_path, seats=100, departures=2) as seeded:
        await seeded.world.enrol(*range(3, OTHERS + 3))
        openids = "UPDATE travellers SET app_id = %s, openid = %s WHERE traveller_id = %s"
        for number in range(3, OTHERS + 3):
            openid = seeded.wechat.openid(f"traveller-{number}")
            app_id = seeded.wechat.merchant.app_id
            await seeded.world.sql(openids, app_id, openid, number)
        yield seeded
        await seeded.sound()


@asynccontextmanager
async def locked(database_url: str, statement: str, *values: Any) -> AsyncIterator[None]:
    """Somebody else holds the rows of a statement for as long as the block lasts."""
    plain = make_url(database_url).set(drivername="postgresql")
    url = plain.render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(url) as other:
        await other.execute(statement, values)
        yield
        await other.rollback()


async def conflict(call: Any) -> None:
    """Awaits a call that is to be refused with CONFLICT, and with when it may be repeated."""
    refused = await asyncio.wait_for(refusal(call), LATEST_SECONDS)
    assert refused.reason is Reason.CONFLICT
    assert refused.retry_seconds


def one_seat(scenario: PaymentScenario, traveller_id: int, departure: int, request_id: str) -> Any:
    client = TravellerClient.of(scenario.server.channel, traveller_id)
    offer = scenario.world.seat(departure)
    return client.create(offer, passengers=[passenger()], request_id=request_id)


async def test_orders_of_a_locked_stock_keep_no_other_waiting(scenario: PaymentScenario) -> None:
    who = range(3, OTHERS + 3)
    async with locked(scenario.database_url, STOCK, scenario.world.stock_id(1)):
        held = [asyncio.create_task(conflict(one_seat(scenario, n, 1, f"a{n}"))) for n in who]
        made = asyncio.gather(*(one_seat(scenario, n, 2, f"b{n}") for n in who))
        assert len(await asyncio.wait_for(made, LATEST_SECONDS)) == OTHERS
        await asyncio.gather(*held)
    assert (await one_seat(scenario, 3, 1, "a3")).order.order_id
    assert await scenario.world.stock(1) == (100, 1, 0)
    assert await scenario.world.stock(2) == (100, OTHERS, 0)


async def test_only_the_locked_order_waits_for_its_payment(
    scenario: PaymentScenario,
) -> None:
    """Whatever is called about it says CONFLICT."""
    stuck = await scenario.client.order(scenario.world.seat(1), passengers=[passenger()])
    orders = [(await one_seat(scenario, n, 1, f"a{n}")).order for n in range(3, OTHERS + 3)]
    await scenario.wechat.switch(hold_notices=True)
    await scenario.pay(stuck)
    for number, order in enumerate(orders, 3):
        await _pay(scenario, number, order)
    async with locked(scenario.database_url, ORDER, stuck.order_id):
        await scenario.wechat.switch(hold_notices=False)
        await conflict(scenario.client.cancel(stuck.order_id, "c"))
        await _all_are(scenario, orders, "PAID")
        state = "SELECT state FROM orders WHERE order_code = %s"
        assert await scenario.world.value(state, stuck.order_id) == "PENDING"
    await scenario.paid(stuck)


async def test_payments_for_a_locked_stock_are_taken_in_later_and_no_others(
    scenario: PaymentScenario,
) -> None:
    stuck = [(await one_seat(scenario, n, 1, f"a{n}")).order for n in range(3, 6)]
    orders = [(await one_seat(scenario, n, 2, f"b{n}")).order for n in range(6, OTHERS + 3)]
    await scenario.wechat.switch(hold_notices=True)
    for number, order in enumerate([*stuck, *orders], 3):
        await _pay(scenario, number, order)
    async with locked(scenario.database_url, STOCK, scenario.world.stock_id(1)):
        await scenario.wechat.switch(hold_notices=False)
        await _all_are(scenario, orders, "PAID")
    await _all_are(scenario, stuck, "PAID")
    assert await scenario.world.stock(1) == (100, 0, len(stuck))


async def test_holds_of_a_locked_stock_end_later_and_no_others(scenario: PaymentScenario) -> None:
    """Seen red besides with one transaction for all that is due: nothing was given back."""
    stuck = [(await one_seat(scenario, n, 1, f"a{n}")).order for n in range(3, 6)]
    orders = [(await one_seat(scenario, n, 2, f"b{n}")).order for n in range(6, OTHERS + 3)]
    async with locked(scenario.database_url, STOCK, scenario.world.stock_id(1)):
        for order in (*stuck, *orders):
            await scenario.world.expire(order.order_id)
        await _all_are(scenario, orders, "CANCELLED")
        assert await scenario.world.stock(2) == (100, 0, 0)
    await _all_are(scenario, stuck, "CANCELLED")


@pytest.mark.parametrize("row", ["QUOTA", "JOURNEYS"])
async def test_holds_end_beside_one_of_which_something_else_is_locked(
    scenario: PaymentScenario, row: str
) -> None:
    """Seen red when only stocks were passed over: as long as the row was locked no hold of
    anybody ended.
    """
    locks = {
        "QUOTA": "SELECT FROM traveller_quotas WHERE traveller_id = %s FOR UPDATE",
        "JOURNEYS": (
            "SELECT FROM document_journeys WHERE journeys::text LIKE '%%:' || %s || '\"%%' FOR"
            " UPDATE"
        ),
    }
    stuck = (await one_seat(scenario, 3, 1, "a3")).order
    orders = [(await one_seat(scenario, n, 1, f"a{n}")).order for n in range(4, OTHERS + 3)]
    number = "SELECT order_id FROM orders WHERE order_code = %s"
    whose = 3 if row == "QUOTA" else str(await scenario.world.value(number, stuck.order_id))
    async with locked(scenario.database_url, locks[row], whose):
        for order in (stuck, *orders):
            await scenario.world.expire(order.order_id)
        await _all_are(scenario, orders, "CANCELLED")
        await _all_are(scenario, [stuck], "PENDING")
        assert await scenario.world.stock(1) == (100, 1, 0)
    await _all_are(scenario, [stuck], "CANCELLED")


async def test_activation_of_a_locked_ticket(database_url: str, redis_url: str) -> None:
    async with (
        partner_client.a_market(database_url),
        gate_server(database_url, redis_url) as server,
    ):
        client = partner_client.PartnerClient.at(server.channel)
        stuck, *others = await client.codes(OTHERS)
        ticket = "SELECT FROM tickets WHERE ticket_code = %s FOR UPDATE"
        async with locked(database_url, ticket, stuck):
            held = asyncio.create_task(conflict(client.activate(stuck, request_id="r")))
            done = asyncio.gather(*(client.activate(code) for code in others))
            await asyncio.wait_for(done, LATEST_SECONDS)
            await held
        await client.activate(stuck, request_id="r")


async def _pay(scenario: PaymentScenario, traveller_id: int, order: order_pb2.Order) -> None:
    client = TravellerClient.of(scenario.server.channel, traveller_id)
    theirs = PaymentScenario(
        scenario.world, scenario.wechat, scenario.server, client, scenario.database_url
    )
    await theirs.pay(order)


async def _all_are(scenario: PaymentScenario, orders: list[Any], state: str) -> None:
    codes = [order.order_id for order in orders]
    await scenario.world.until(MANY_STATES, len(codes), codes, state)
