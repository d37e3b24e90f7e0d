"""An administrator's block and a change: a block is not washed off by it.

Seen red: with tickets of a change never born blocked; without the look at the block when a late
payment is taken in; with a block of the named ticket alone, not of what took its place; without
BLOCKED in the policy; with a move that unblocks.
"""

from typing import Any

import httpx2
import pytest
from deeptravel.ticketing.v1 import ticket_pb2

from server.platform.errors import Reason
from tests.support.gate import verdict
from tests.support.gate_server import GateServer
from tests.support.order_scenario import OrderScenario, give_back, states, swap, tickets
from tests.support.rpc_server import refusal
from tests.support.staff import Staff, valid_now
from tests.support.traveller import TravellerClient, World, party


async def sold(world: World, client: TravellerClient, scenario: OrderScenario) -> Any:
    """A ticket of one traveller."""
    await scenario.sell(client, world.package(), passengers=party(1))
    return next(each for each in await tickets(client) if not each.shared)


async def begun(world: World, client: TravellerClient, ticket: Any) -> Any:
    """The order of a change to the next day, which waits for its fee."""
    return (await swap(client, ticket.ticket_code, world.package(1))).order


async def new_ticket(client: TravellerClient, order_id: str) -> Any:
    return next(each for each in await tickets(client, order_id=order_id) if not each.shared)


async def blocked(world: World, ticket_code: str) -> bool:
    query = "SELECT blocked FROM tickets WHERE ticket_code = %s"
    return bool(await world.value(query, ticket_code))


async def test_a_block_set_meanwhile_passes_on(
    world: World, client: TravellerClient, scenario: OrderScenario, staff: Staff
) -> None:
    old = await sold(world, client, scenario)
    order = await begun(world, client, old)
    answer = await staff.administrator.block(old.ticket_code)
    assert (answer.blocked, answer.successor_ticket_code) == (True, "")
    assert await scenario.pay(order.order_id) == "PAID"
    new = await new_ticket(client, order.order_id)
    assert await blocked(world, new.ticket_code)
    request = ticket_pb2.IssueTicketQrRequest(ticket_code=new.ticket_code)
    refused = await refusal(client.call("IssueTicketQr", request))
    assert refused.reason == Reason.TICKET_STATE_REFUSES
    refused = await refusal(give_back(client, order.order_id, new.ticket_code))
    assert (refused.reason, refused.metadata["why"]) == (Reason.REFUND_REFUSED, "BLOCKED")
    events = (
        "SELECT action, actor FROM ticket_events JOIN tickets USING (ticket_id)"
        " WHERE ticket_code = %s"
    )
    assert await world.sql(events, new.ticket_code) == [("block", "system")]
    # it is lifted from the new one, by whichever code
    lifted = await staff.administrator.unblock(old.ticket_code)
    assert (lifted.blocked, lifted.successor_ticket_code) == (False, new.ticket_code)
    assert not await blocked(world, new.ticket_code)
    await valid_now(world)
    printed = (await client.call("IssueTicketQr", request)).encrypted_data
    await staff.administrator.block(new.ticket_code)
    assert verdict(await staff.terminal.redeem(printed, "ferry")) == "TICKET_BLOCKED"
    await staff.administrator.unblock(new.ticket_code)
    assert verdict(await staff.terminal.redeem(printed, "ferry")) == "SUCCESS"


async def test_a_block_of_what_was_changed_is_that_of_the_new_one(
    world: World, client: TravellerClient, scenario: OrderScenario, staff: Staff
) -> None:
    old = await sold(world, client, scenario)
    order = await begun(world, client, old)
    await scenario.pay(order.order_id)
    new = await new_ticket(client, order.order_id)
    answer = await staff.administrator.block(old.ticket_code)
    assert (answer.blocked, answer.successor_ticket_code) == (True, new.ticket_code)
    assert await blocked(world, new.ticket_code)
    trail = "SELECT name, after FROM audit_events WHERE resource = 'ticket'"
    ((name, after),) = await world.sql(trail)
    assert (name, after["successor_ticket_code"]) == (old.ticket_code, new.ticket_code)


@pytest.mark.parametrize("lifted", [True, False])
async def test_a_late_payment_for_a_blocked_ticket_goes_back(
    world: World, client: TravellerClient, scenario: OrderScenario, staff: Staff, lifted: bool
) -> None:
    old = await sold(world, client, scenario)
    order = await begun(world, client, old)
    late = await scenario.bill(order.order_id)
    await staff.administrator.block(old.ticket_code)
    await world.expire(order.order_id)
    await world.until(
        "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s", order.order_id
    )
    if lifted:
        await staff.administrator.unblock(old.ticket_code)
        assert await scenario.take_in(late) == "PAID"
        assert not await blocked(world, (await new_ticket(client, order.order_id)).ticket_code)
        return
    assert await scenario.take_in(late) == "REFUNDED"
    await scenario.drain()
    assert await states(client, order.order_id) == []
    assert await blocked(world, old.ticket_code)
    state = "SELECT state FROM tickets WHERE ticket_code = %s"
    assert await world.value(state, old.ticket_code) == "ACTIVE"
    given = "SELECT amount_minor, refunded_minor FROM payments ORDER BY order_id DESC LIMIT 1"
    assert await world.sql(given) == [(1_000, 1_000)]


async def test_a_blocked_ticket_is_not_changed(
    world: World, client: TravellerClient, scenario: OrderScenario, staff: Staff
) -> None:
    old = await sold(world, client, scenario)
    await staff.administrator.block(old.ticket_code)
    refused = await refusal(begun(world, client, old))
    why = {"ticket_code": old.ticket_code, "why": "BLOCKED"}
    assert (refused.reason, refused.metadata) == (Reason.CHANGE_REFUSED, why)


async def test_a_block_outlives_a_refund_that_is_closed(
    world: World, client: TravellerClient, scenario: OrderScenario, staff: Staff
) -> None:
    ticket = await sold(world, client, scenario)
    scenario.wechat.state = "CLOSED"
    await give_back(client, ticket.order_id)
    await staff.administrator.block(ticket.ticket_code)
    await scenario.drain()
    assert await states(client, ticket.order_id) == ["ACTIVE", "ACTIVE"]
    assert await blocked(world, ticket.ticket_code)


async def test_over_json(
    world: World, client: TravellerClient, server: GateServer, scenario: OrderScenario, staff: Staff
) -> None:
    old = await sold(world, client, scenario)
    order = await begun(world, client, old)
    base = f"http://127.0.0.1:{server.app.http_port}/admin/tickets"
    async with httpx2.AsyncClient(headers=dict(staff.administrator.metadata)) as http:
        body = {"comment": "stolen", "request_id": "b1"}
        answer = await http.post(f"{base}/{old.ticket_code}/block", json=body)
        assert (answer.status_code, answer.json()["blocked"]) == (200, True)
        await scenario.pay(order.order_id)
        new = await new_ticket(client, order.order_id)
        body = {"comment": "found", "request_id": "b2"}
        answer = await http.post(f"{base}/{old.ticket_code}/unblock", json=body)
        assert answer.json()["successor_ticket_code"] == new.ticket_code
    assert not await blocked(world, new.ticket_code)
