"""WeChat takes on fifty refunds of a payment: the last one is of all that is left, and one more
is refused.
"""

import asyncio
from typing import Any

import pytest
from deeptravel.ticketing.v1 import order_pb2

from server.payments import abnormal_refunds, refund_sources
from server.platform.errors import DomainError, Reason
from tests.support.gate_server import GateServer
from tests.support.order_scenario import (
    OrderScenario,
    give_back,
    outstanding,
    quote,
    quote_change,
    request_refund,
    states,
    tickets,
)
from tests.support.refund_client import ABNORMAL, AdminClient, an_admin_client
from tests.support.rpc_server import refusal
from tests.support.traveller import TravellerClient, World, party


async def sold(
    world: World,
    client: TravellerClient,
    scenario: OrderScenario,
    *,
    made: int,
    tickets_left: int = 3,
) -> Any:
    """An order of some tickets of whose payment so many refunds were made: one, under so many
    numbers.
    """
    order = await scenario.sell(client, world.seat(), passengers=party(tickets_left + 1))
    await give_back(client, order.order_id, (await tickets(client))[0].ticket_code)
    await scenario.drain()
    await world.sql("UPDATE refund_parts SET asked_count = %s", made)
    await world.sql("UPDATE payments SET refund_count = %s WHERE refund_count > 0", made)
    return order


async def left(client: TravellerClient, order: order_pb2.Order) -> list[str]:
    found = await tickets(client, order_id=order.order_id)
    return [each.ticket_code for each in found][1:]


async def used_up(call: Any) -> None:
    refused = await refusal(call)
    assert (refused.reason, refused.metadata["why"]) == (Reason.REFUND_REFUSED, "REFUNDS_USED_UP")


async def test_the_last_refund_is_of_all_that_is_left(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """Seen red: without MOST_REFUNDS the fiftieth was quoted for one ticket, and would have left
    the other behind.
    """
    order = await sold(world, client, scenario, made=48)
    first, *others = await left(client, order)
    quoted = await quote(client, order.order_id, first)
    assert ([each.ticket_code for each in quoted.tickets], quoted.is_last) == ([first], False)
    assert (quoted.note_en, quoted.note_zh) == ("", "")
    await request_refund(client, order.order_id, quoted.refund_quote)
    quoted = await quote(client, order.order_id, others[0])
    assert ([each.ticket_code for each in quoted.tickets], quoted.is_last) == (others, True)
    assert "50" in quoted.note_en
    assert "50" in quoted.note_zh
    refund = await request_refund(client, order.order_id, quoted.refund_quote)
    assert refund.amount_minor == 39_000
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED"] * 4
    assert await world.value("SELECT refund_count FROM payments") == 50


async def test_one_more_is_refused_and_nothing_moves(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await sold(world, client, scenario, made=48)
    first, second, third = await left(client, order)
    one, other = [
        (await quote(client, order.order_id, code)).refund_quote for code in (first, second)
    ]
    await request_refund(client, order.order_id, one)
    # quoted when two more were possible, and it would leave the third behind for ever
    refused = await refusal(request_refund(client, order.order_id, other))
    assert refused.reason == Reason.QUOTE_INVALID
    both = (await quote(client, order.order_id)).refund_quote
    await world.sql("UPDATE refund_parts SET asked_count = 49 WHERE refund_no = 1")
    await world.sql("UPDATE payments SET refund_count = 50")
    await used_up(request_refund(client, order.order_id, both))
    await used_up(quote(client, order.order_id))
    await used_up(quote(client, order.order_id, third))
    assert await states(client, order.order_id) == ["REFUNDED", "REFUNDING", "ACTIVE", "ACTIVE"]


async def test_what_costs_nothing_needs_no_refund(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await sold(world, client, scenario, made=50)
    await world.sql(
        "UPDATE snapshots SET content = jsonb_set(content, '{policy,refund_fee_minor}', '99999')"
    )
    quoted = await quote(client, order.order_id)
    assert (quoted.amount_minor, quoted.is_last) == (0, False)
    await request_refund(client, order.order_id, quoted.refund_quote)
    assert await states(client, order.order_id) == ["REFUNDED"] * 4


@pytest.mark.parametrize("made", [49, 50])
async def test_a_change_does_not_take_the_last_one(
    world: World, client: TravellerClient, scenario: OrderScenario, made: int
) -> None:
    """It is kept for all that is left together; a change that gives nothing back goes on."""
    order = await sold(world, client, scenario, made=made, tickets_left=2)
    code, _ = await left(client, order)
    refused = await refusal(quote_change(client, code, world.seat(2, 1)))
    assert (refused.reason, refused.metadata["why"]) == (
        Reason.CHANGE_REFUSED,
        "REFUNDS_USED_UP",
    )
    assert (await quote_change(client, code, world.seat(2, 0))).refund_minor == 0


async def paid_twice(
    world: World, client: TravellerClient, scenario: OrderScenario, *, made: int
) -> Any:
    """An order that is paid again, by a payment of which so many refunds were made; that one is
    owed.
    """
    order = await client.order(world.seat(), passengers=party(1))
    first, second = [await scenario.bill(order.order_id) for _ in range(2)]
    assert await scenario.take_in(first) == "PAID"
    await world.sql("UPDATE payments SET refund_count = %s WHERE attempt = 2", made)
    assert await scenario.take_in(second) == "REFUNDED"
    return order


async def test_what_is_owed_is_an_administrators_at_once(
    world: World, server: GateServer, client: TravellerClient, scenario: OrderScenario
) -> None:
    """Not the traveller's wish but our duty: it is not refused, and never waits for WeChat."""
    admin_client: AdminClient = await an_admin_client(world, server.channel)
    order = await paid_twice(world, client, scenario, made=50)
    assert await outstanding(scenario) == 0
    (refund,) = (await admin_client.do("ListRefunds", state=ABNORMAL)).refunds
    assert [part.amount_minor for part in refund.parts] == [20_000]
    left = "SELECT facts ->> 'left_minor' FROM payment_incidents WHERE kind = 'REFUND_ABNORMAL'"
    assert await world.value(left) == "20000"
    await used_up(admin_client.do("RetryRefund", refund_id=refund.refund_id))
    await admin_client.do("SettleRefund", refund_id=refund.refund_id, state=2, comment="cash")
    assert order.order_id in refund.refund_id
    await world.sql("UPDATE payments SET refund_count = 0")  # as it was in truth


async def test_another_number_is_another_refund(
    world: World, server: GateServer, client: TravellerClient, scenario: OrderScenario
) -> None:
    """What WeChat closed is asked again under another number, unless that is one too many."""
    admin_client = await an_admin_client(world, server.channel)
    scenario.wechat.state = "CLOSED"
    order = await paid_twice(world, client, scenario, made=49)
    await scenario.drain()
    name = f"{order.order_id}-R1"
    await used_up(admin_client.do("RetryRefund", refund_id=name))
    await world.sql("UPDATE payments SET refund_count = 1 WHERE attempt = 2")
    scenario.wechat.state = "SUCCESS"
    await admin_client.do("RetryRefund", refund_id=name)
    await scenario.drain()
    asked = "SELECT state, asked_count, out_refund_no LIKE '%%A2' FROM refund_parts"
    assert await world.sql(asked) == [("SUCCEEDED", 2, True)]
    assert await world.value("SELECT refund_count FROM payments WHERE attempt = 2") == 2


async def test_a_race_for_the_last_two(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """Three ask at once for a ticket each, and two more refunds are possible: one gets it.

    Seen red: without the second look at the payment, when it is locked, two were accepted, and the
    third ticket could never come back.
    """
    order = await sold(world, client, scenario, made=48)
    codes = await left(client, order)
    quotes = [(await quote(client, order.order_id, code)).refund_quote for code in codes]
    calls = [request_refund(client, order.order_id, each) for each in quotes]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(won) == 1
    assert await world.value("SELECT refund_count FROM payments") == 49
    last = (await quote(client, order.order_id)).refund_quote
    calls = [request_refund(client, order.order_id, last) for _ in range(4)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert await world.value("SELECT refund_count FROM payments") == 50
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED"] * 4


async def test_the_statement_counts_once_more(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """Whoever forgot to look first: the payment itself gives no fifty-first refund."""
    await sold(world, client, scenario, made=50)
    number = int(await world.value("SELECT order_id FROM orders"))
    with pytest.raises(AssertionError, match="more often"):
        await scenario.db.in_transaction(
            lambda tx: refund_sources.draw(tx, [(number, 1, 1, 1)], now=scenario.clock())
        )
    with pytest.raises(DomainError):
        await scenario.db.in_transaction(
            lambda tx: abnormal_refunds.retry(tx, number, 9, actor="x", now=scenario.clock())
        )
