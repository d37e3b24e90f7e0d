"""Travellers' tickets whose validity is over: what is EXPIRED, what waits, and what its order and
its owner hear of it.

Partners', and what processes and gates do to each other, are in test_ticket_expiry.py.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from deeptravel.admin.v1 import catalog_pb2
from deeptravel.ticketing.v1 import order_pb2, ticket_pb2

from server.platform.errors import Reason
from tests.support.changes import show_changes
from tests.support.expiring import Expirer, an_expirer, long_ago
from tests.support.gate import verdict
from tests.support.operations import Manager, followed, look_again
from tests.support.order_scenario import (
    OrderScenario,
    give_back,
    quote_change,
    states,
    swap,
    tickets,
)
from tests.support.rpc_server import refusal
from tests.support.staff import Staff
from tests.support.traveller import (
    ORDER_STATE,
    SECOND,
    TravellerClient,
    World,
    a_world,
    party,
)

TASK = """
INSERT INTO outbox_tasks (task_id, kind, key, payload, state, due_time, attempts, create_time,
  update_time)
VALUES (gen_random_uuid(), 'departure.moved', %s, '{}', 'OPEN', now(), 0, now(), now())
"""


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=2) as filled:
        await filled.enrol(1, 2)
        yield filled


@pytest.fixture
async def expirer(world: World, module_database_url: str) -> AsyncIterator[Expirer]:
    async with an_expirer(module_database_url) as process:
        yield process


async def order_state(client: TravellerClient, order: order_pb2.Order) -> str:
    return ORDER_STATE[(await client.get(order.order_id)).state]


async def test_the_order_is_completed_and_its_owner_hears_of_it(
    world: World, client: TravellerClient, scenario: OrderScenario, expirer: Expirer
) -> None:
    """Places that were sold stay sold; nothing comes back, and no QR is issued."""
    order = await scenario.sell(client, world.seat(), world.package())
    sold = await world.stock()
    found = await tickets(client, order_id=order.order_id)
    watch = client.watch(order.order_id, 2)
    await long_ago(world)
    await expirer.run()
    heard = []
    async for move in watch:
        heard.append((move.event, ORDER_STATE[move.state], move.ticket_code))
    expired = [("ticket.expired", "PAID", each.ticket_code) for each in found]
    assert sorted(heard[:-1]) == sorted(expired)
    assert heard[-1] == ("order.completed", "COMPLETED", "")
    assert await states(client, order.order_id) == ["EXPIRED"] * 5
    assert await world.stock() == sold
    seat = next(each for each in found if each.HasField("journey"))
    refused = await refusal(give_back(client, order.order_id, seat.ticket_code))
    assert (refused.reason, refused.metadata["why"]) == (Reason.REFUND_REFUSED, "EXPIRED")
    refused = await refusal(quote_change(client, seat.ticket_code, world.seat(2)))
    assert (refused.reason, refused.metadata["why"]) == (Reason.CHANGE_REFUSED, "EXPIRED")
    request = ticket_pb2.IssueTicketQrRequest(ticket_code=seat.ticket_code)
    refused = await refusal(client.call("IssueTicketQr", request))
    assert refused.reason == Reason.TICKET_STATE_REFUSES


async def test_one_that_is_changing_waits_and_what_it_shares(
    world: World, client: TravellerClient, scenario: OrderScenario, expirer: Expirer
) -> None:
    """Seen red without `_last_of`: what they share was EXPIRED while one might come back."""
    order = await scenario.sell(client, world.package())
    first = (await tickets(client, order_id=order.order_id))[0]
    made = await swap(client, first.ticket_code, world.package(1))
    await long_ago(world)
    await expirer.run()
    assert await states(client, order.order_id) == ["CHANGING", "EXPIRED", "ACTIVE"]
    assert await order_state(client, order) == "PAID"
    await client.cancel(made.order.order_id)
    await expirer.run()
    assert await states(client, order.order_id) == ["EXPIRED"] * 3
    assert await order_state(client, order) == "COMPLETED"


@pytest.mark.parametrize("outcome", ["SUCCESS", "CLOSED"])
async def test_one_that_is_refunding_waits_and_what_it_shares(
    world: World, client: TravellerClient, scenario: OrderScenario, expirer: Expirer, outcome: str
) -> None:
    scenario.wechat.state = "PROCESSING"
    order = await scenario.sell(client, world.package())
    first = (await tickets(client, order_id=order.order_id))[0]
    await give_back(client, order.order_id, first.ticket_code)
    await scenario.drain()
    await long_ago(world)
    await expirer.run()
    assert await states(client, order.order_id) == ["REFUNDING", "EXPIRED", "ACTIVE"]
    (number,) = scenario.wechat.known
    await scenario.notice(number, outcome)
    await expirer.run()
    came_back = {"SUCCESS": "REFUNDED", "CLOSED": "EXPIRED"}[outcome]
    assert await states(client, order.order_id) == [came_back, "EXPIRED", "EXPIRED"]
    assert await order_state(client, order) == "COMPLETED"


async def test_what_is_shared_lasts_as_long_as_the_latest(
    world: World, client: TravellerClient, scenario: OrderScenario, expirer: Expirer
) -> None:
    order = await scenario.sell(client, world.package())
    first, _, _ = await tickets(client, order_id=order.order_id)
    made = await swap(client, first.ticket_code, world.package(3))
    assert await scenario.pay(made.order.order_id) == "PAID"
    await long_ago(world, but=made.order.order_id)
    await expirer.run()
    assert await states(client, order.order_id) == ["CHANGED", "EXPIRED", "ACTIVE"]
    assert await order_state(client, order) == "PAID"
    await long_ago(world)
    await expirer.run()
    assert await states(client, order.order_id) == ["CHANGED", "EXPIRED", "EXPIRED"]
    assert await states(client, made.order.order_id) == ["EXPIRED", "EXPIRED"]
    assert await order_state(client, order) == await order_state(client, made.order) == "COMPLETED"


async def test_of_a_cancelled_departure_what_is_still_to_be_refunded_waits(
    world: World,
    client: TravellerClient,
    scenario: OrderScenario,
    staff: Staff,
    manager: Manager,
    expirer: Expirer,
) -> None:
    """Also a blocked one, which is given back when it is not any more; not one that was boarded
    with.

    Seen red without KEPT_BY_DEPARTURE: all were EXPIRED, and nothing of them came back.
    """
    await world.sql(
        "UPDATE products SET entitlements = jsonb_set(jsonb_set(entitlements, '{0,total_uses}',"
        " '2'), '{0,use_mode}', '\"MULTI_USE\"') WHERE product_id = 1"
    )
    await world.sql("UPDATE merchants SET function_codes = function_codes || '{boarding}'")
    await show_changes(world)
    orders = [await scenario.sell(client, world.seat(), passengers=party(1)) for _ in range(3)]
    _, blocked, boarded = [(await tickets(client, order_id=order.order_id))[0] for order in orders]
    await world.sql(
        "UPDATE snapshots SET content = jsonb_set(content, '{boarding_minutes}', '40000')"
    )
    request = ticket_pb2.IssueTicketQrRequest(ticket_code=boarded.ticket_code)
    printed = (await client.call("IssueTicketQr", request)).encrypted_data
    answer = await staff.terminal.redeem(printed, "boarding", quantity=1)
    assert verdict(answer) == "SUCCESS", answer
    await staff.administrator.block(blocked.ticket_code)
    after_choice = catalog_pb2.DEPARTURE_REFUNDS_AFTER_CHOICE
    await manager.cancel(world.departure_id(), refunds=after_choice)
    await followed(world)
    await long_ago(world)
    await expirer.run()
    shown = [(await states(client, order.order_id))[0] for order in orders]
    assert shown == ["ACTIVE", "ACTIVE", "EXPIRED"]
    at_once = catalog_pb2.DEPARTURE_REFUNDS_AT_ONCE
    await manager.cancel(world.departure_id(), refunds=at_once)
    await followed(world)
    await staff.administrator.unblock(blocked.ticket_code)
    await look_again(world)
    await scenario.drain()
    await expirer.run()
    shown = [(await states(client, order.order_id))[0] for order in orders]
    assert shown == ["REFUNDED", "REFUNDED", "EXPIRED"]
    assert await order_state(client, orders[0]) == "CANCELLED"


async def test_of_a_moved_departure_what_does_not_know_yet_waits(
    world: World, client: TravellerClient, scenario: OrderScenario, expirer: Expirer
) -> None:
    """It is valid as much longer. Seen red without KEPT_BY_DEPARTURE."""
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    other = await scenario.sell(client, world.seat(2, SECOND), passengers=party(1))
    await world.sql(
        "UPDATE departures SET planned_time = departure_time, departure_time = departure_time +"
        " interval '1 hour' WHERE departure_id = %s",
        world.departure_id(),
    )
    await long_ago(world)
    await expirer.run()
    assert await states(client, order.order_id) == ["ACTIVE"]
    assert await states(client, other.order_id) == ["EXPIRED"]
    await world.sql(TASK, str(world.departure_id()))
    await followed(world)
    await expirer.run()
    assert await states(client, order.order_id) == ["EXPIRED"]
    assert await order_state(client, order) == "COMPLETED"


async def test_the_gate_says_since_when(
    world: World, client: TravellerClient, scenario: OrderScenario, staff: Staff, expirer: Expirer
) -> None:
    """The same, whether the job has run since or not; so do refund and change."""
    order = await scenario.sell(client, world.package(), passengers=party(1))
    own = (await tickets(client, order_id=order.order_id))[0]
    request = ticket_pb2.IssueTicketQrRequest(ticket_code=own.ticket_code)
    issued = await client.call("IssueTicketQr", request)
    await long_ago(world)
    texts: list[Any] = []
    for _ in range(2):
        answer = await staff.terminal.redeem(issued.encrypted_data)
        assert verdict(answer) == "TICKET_EXPIRED"
        texts.append(answer.explanation)
        looked = await staff.terminal.decrypt(issued.encrypted_data)
        assert looked.explanation == answer.explanation
        refused = await refusal(give_back(client, order.order_id, own.ticket_code))
        texts[-1] = texts[-1], refused.metadata
        await expirer.run()
    assert texts[0] == texts[1]
