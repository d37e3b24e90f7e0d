"""What an order shares is valid while one of its item's tickets, changed ones included, is or may
come back.

Seen red: with CHANGING and REFUNDING among WITHDRAWN the shared ticket was REFUNDED though another
might come back; without `follow` it kept its old dates after a change; without `left_over` it was
ACTIVE when both were changed and refunded.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from deeptravel.redemption.v1 import redemption_pb2
from deeptravel.ticketing.v1 import order_pb2, ticket_pb2

from server.platform.errors import Reason
from tests.support.changes import show_changes
from tests.support.gate import verdict
from tests.support.gate_server import GateServer
from tests.support.order_scenario import (
    TICKET_STATE,
    OrderScenario,
    give_back,
    quote,
    states,
    swap,
    tickets,
)
from tests.support.rpc_server import refusal
from tests.support.staff import Staff, valid_now
from tests.support.traveller import ORDER_STATE, TravellerClient, World, a_world


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=1) as filled:
        yield filled


class Party:
    """Two who travel together, and what they share."""

    def __init__(
        self,
        world: World,
        client: TravellerClient,
        scenario: OrderScenario,
        order: order_pb2.Order,
        found: list[Any],
    ) -> None:
        self.world, self.client, self.scenario, self.order_id = (
            world,
            client,
            scenario,
            order.order_id,
        )
        self.first, self.second, self.shared = found

    @classmethod
    async def of(cls, world: World, client: TravellerClient, scenario: OrderScenario) -> "Party":
        order = await scenario.sell(client, world.package())
        found = sorted(await tickets(client, order_id=order.order_id), key=lambda each: each.shared)
        return cls(world, client, scenario, order, found)

    async def now(self, ticket: Any) -> Any:
        """The ticket as it is now."""
        request = ticket_pb2.GetTicketRequest(ticket_code=ticket.ticket_code)
        return (await self.client.call("GetTicket", request)).ticket

    async def state(self, ticket: Any) -> str:
        return TICKET_STATE[(await self.now(ticket)).status]

    async def order_state(self) -> str:
        return ORDER_STATE[(await self.client.get(self.order_id)).state]

    async def give_back(self, ticket: Any) -> Any:
        order_id = (await self.now(ticket)).order_id
        return await give_back(self.client, order_id, ticket.ticket_code)

    async def change(self, ticket: Any, days: int) -> Any:
        """The ticket that it becomes, on another day, when the fee is paid."""
        made = await self.begin(ticket, days)
        assert await self.scenario.pay(made.order.order_id) == "PAID"
        found = await tickets(self.client, order_id=made.order.order_id)
        return next(each for each in found if not each.shared)

    async def begin(self, ticket: Any, days: int) -> Any:
        """A change that waits for its fee."""
        return await swap(self.client, ticket.ticket_code, self.world.package(days))

    async def qr(self, ticket: Any) -> Any:
        request = ticket_pb2.IssueTicketQrRequest(ticket_code=ticket.ticket_code)
        return await self.client.call("IssueTicketQr", request)


@pytest.fixture
async def two(world: World, client: TravellerClient, scenario: OrderScenario) -> Party:
    return await Party.of(world, client, scenario)


async def test_one_is_changing_and_comes_back(
    two: Party, scenario: OrderScenario, staff: Staff
) -> None:
    made = await two.begin(two.first, 1)
    printed = (await two.qr(two.shared)).encrypted_data
    refund = await two.give_back(two.second)
    assert [each.ticket_code for each in refund.tickets] == [two.second.ticket_code]
    await scenario.drain()
    assert await states(two.client, two.order_id) == ["CHANGING", "REFUNDED", "ACTIVE"]
    await two.client.cancel(made.order.order_id)
    assert await states(two.client, two.order_id) == ["ACTIVE", "REFUNDED", "ACTIVE"]
    await valid_now(two.world)
    assert verdict(await staff.terminal.redeem(printed, "lounge")) == "SUCCESS"


async def test_one_is_refunding_and_comes_back(two: Party, scenario: OrderScenario) -> None:
    scenario.wechat.state = "PROCESSING"
    await two.give_back(two.first)
    await scenario.drain()
    (closed,) = scenario.wechat.known
    await two.give_back(two.second)
    await scenario.drain()
    (settled,) = set(scenario.wechat.known) - {closed}
    assert await scenario.notice(settled, "SUCCESS") == "SUCCEEDED"
    assert await states(two.client, two.order_id) == ["REFUNDING", "REFUNDED", "ACTIVE"]
    before = await two.now(two.shared)
    assert await scenario.notice(closed, "CLOSED") == "CLOSED"
    assert await states(two.client, two.order_id) == ["ACTIVE", "REFUNDED", "ACTIVE"]
    assert await two.now(two.shared) == before
    assert await two.order_state() == "PAID"
    # the one that is left takes it along
    scenario.wechat.state = "SUCCESS"
    refund = await two.give_back(two.first)
    assert len(refund.tickets) == 2
    await scenario.drain()
    assert await states(two.client, two.order_id) == ["REFUNDED"] * 3


@pytest.mark.parametrize("in_order", [True, False])
async def test_one_is_refunding_and_goes(
    two: Party, scenario: OrderScenario, in_order: bool
) -> None:
    scenario.wechat.state = "PROCESSING"
    for ticket in (two.first, two.second):
        await two.give_back(ticket)
    await scenario.drain()
    numbers = sorted(scenario.wechat.known, reverse=not in_order)
    assert await scenario.notice(numbers[0], "SUCCESS") == "SUCCEEDED"
    assert await two.state(two.shared) == "ACTIVE"
    assert await scenario.notice(numbers[1], "SUCCESS") == "SUCCEEDED"
    assert await states(two.client, two.order_id) == ["REFUNDED"] * 3
    found = await two.client.get(two.order_id)
    assert (ORDER_STATE[found.state], found.cancel_reason) == ("CANCELLED", 3)
    assert await two.world.value("SELECT sum(refunded_minor) FROM payments") == 99_000


async def test_both_in_one_refund_that_is_closed(two: Party, scenario: OrderScenario) -> None:
    scenario.wechat.state = "CLOSED"
    refund = await give_back(two.client, two.order_id)
    assert len(refund.tickets) == 3
    assert await states(two.client, two.order_id) == ["REFUNDING"] * 3
    await scenario.drain()
    assert await states(two.client, two.order_id) == ["ACTIVE"] * 3


async def test_it_is_not_given_back_alone(two: Party, scenario: OrderScenario) -> None:
    refused = await refusal(two.give_back(two.shared))
    why = {"ticket_code": two.shared.ticket_code, "why": "SHARED"}
    assert (refused.reason, refused.metadata) == (Reason.REFUND_REFUSED, why)
    await two.begin(two.first, 1)
    # without codes: all that can be given back
    refund = await give_back(two.client, two.order_id)
    assert [each.ticket_code for each in refund.tickets] == [two.second.ticket_code]


@pytest.mark.parametrize("late", [True, False])
async def test_it_lasts_as_long_as_the_latest(
    two: Party, scenario: OrderScenario, late: bool
) -> None:
    if late:
        made = await two.begin(two.first, 3)
        bill = await scenario.bill(made.order.order_id)
        await two.world.expire(made.order.order_id)
        await two.world.until(
            "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s", made.order.order_id
        )
        assert await scenario.take_in(bill) == "PAID"
        new = (await tickets(two.client, order_id=made.order.order_id))[0]
    else:
        new = await two.change(two.first, 3)
    shared = await two.now(two.shared)
    assert shared.valid_until_time == new.valid_until_time
    assert new.valid_until_time.seconds > two.second.valid_until_time.seconds
    assert shared.valid_from_time == two.second.valid_from_time
    assert (await two.qr(shared)).expire_time == new.valid_until_time
    # the later one goes: it lasts as long as the one that is left
    await two.give_back(new)
    assert (await two.now(two.shared)).valid_until_time == new.valid_until_time
    await scenario.drain()
    assert (await two.now(two.shared)).valid_until_time == two.second.valid_until_time


async def test_both_changed_and_refunded(two: Party, scenario: OrderScenario, staff: Staff) -> None:
    first, second = await two.change(two.first, 1), await two.change(two.second, 2)
    printed = (await two.qr(two.shared)).encrypted_data
    assert await states(two.client, two.order_id) == ["CHANGED", "CHANGED", "ACTIVE"]
    assert await two.order_state() == "PAID"
    refund = await two.give_back(first)
    assert len(refund.tickets) == 1
    await scenario.drain()
    assert await two.state(two.shared) == "ACTIVE"
    await two.give_back(second)
    assert await two.state(two.shared) == "ACTIVE"
    await scenario.drain()
    assert await states(two.client, two.order_id) == ["CHANGED", "CHANGED", "REFUNDED"]
    assert await two.order_state() == "CANCELLED"
    assert await two.world.value("SELECT count(*) FROM orders WHERE state <> 'CANCELLED'") == 0
    refused = await refusal(two.qr(two.shared))
    assert refused.reason == Reason.TICKET_STATE_REFUSES
    assert verdict(await staff.terminal.redeem(printed, "lounge")) == "TICKET_REFUNDED"


async def test_one_changed_and_the_other_refunded(two: Party, scenario: OrderScenario) -> None:
    new = await two.change(two.first, 1)
    await two.give_back(two.second)
    await scenario.drain()
    assert await states(two.client, two.order_id) == ["CHANGED", "REFUNDED", "ACTIVE"]
    assert (await two.now(two.shared)).valid_until_time == new.valid_until_time
    await two.give_back(new)
    await scenario.drain()
    assert await two.state(two.shared) == "REFUNDED"


async def test_it_holds_the_last_when_it_is_redeemed(
    two: Party, scenario: OrderScenario, staff: Staff
) -> None:
    new = await two.change(two.first, 1)
    await valid_now(two.world)
    printed = (await two.qr(two.shared)).encrypted_data
    assert verdict(await staff.terminal.redeem(printed, "lounge")) == "SUCCESS"
    held = {"ticket_code": two.shared.ticket_code, "why": "REDEEMED"}
    scenario.wechat.state = "PROCESSING"
    await two.give_back(two.second)
    assert (await refusal(two.give_back(new))).metadata == held
    scenario.wechat.state = "SUCCESS"
    await scenario.drain()
    scenario.forward(minutes=2)
    await scenario.drain()
    assert await two.state(two.second) == "REFUNDED"
    assert (await refusal(two.give_back(new))).metadata == held


async def test_what_was_used_up_meanwhile_is_not_taken_back(
    two: Party, scenario: OrderScenario, staff: Staff
) -> None:
    """Seen red: a supervisor's reversal made it ACTIVE again, with nobody left."""
    await valid_now(two.world)
    printed = (await two.qr(two.shared)).encrypted_data
    scenario.wechat.state = "PROCESSING"
    for ticket in (two.first, two.second):
        await two.give_back(ticket)
    used = await staff.terminal.redeem(printed, "lounge")
    await scenario.drain()
    for number in scenario.wechat.known:
        assert await scenario.notice(number, "SUCCESS") == "SUCCEEDED"
    assert await two.state(two.shared) == "USED"
    assert await two.order_state() == "COMPLETED"
    refused = await refusal(staff.supervisor.reverse(used.redemption_id))
    assert refused.reason == Reason.REVERSAL_REFUSED


async def test_it_is_over_when_it_was_redeemed_in_part_meanwhile(
    world: World, client: TravellerClient, scenario: OrderScenario, staff: Staff
) -> None:
    await world.sql(
        "UPDATE products SET entitlements = jsonb_set(entitlements, '{2,total_uses}', '2')"
    )
    await show_changes(world)
    two = await Party.of(world, client, scenario)
    await valid_now(world)
    printed = (await two.qr(two.shared)).encrypted_data
    scenario.wechat.state = "PROCESSING"
    for ticket in (two.first, two.second):
        await two.give_back(ticket)
    assert verdict(await staff.terminal.redeem(printed, "lounge")) == "SUCCESS"
    await scenario.drain()
    for number in scenario.wechat.known:
        assert await scenario.notice(number, "SUCCESS") == "SUCCEEDED"
    assert await two.state(two.shared) == "EXPIRED"
    assert await two.order_state() == "COMPLETED"
    assert verdict(await staff.terminal.redeem(printed, "lounge")) == "TICKET_EXPIRED"


async def test_the_qr_of_a_change_does_not_open_it_when_it_was_rotated(
    two: Party, staff: Staff
) -> None:
    """Seen red with rotations counted for each order of a chain: what was issued after it was
    superseded, too.
    """
    new = await two.change(two.first, 1)
    await valid_now(two.world)
    request = ticket_pb2.IssueOrderQrRequest(order_id=new.order_id)
    before = await two.client.call("IssueOrderQr", request)
    rotate = ticket_pb2.IssueTicketQrRequest(
        ticket_code=two.shared.ticket_code, rotate=True, request_id="r1"
    )
    await two.client.call("IssueTicketQr", rotate)
    after = await two.client.call("IssueOrderQr", request)
    for issued, expected in ((before, "QR_SUPERSEDED"), (after, "SUCCESS")):
        answer = await staff.terminal.redeem(
            issued.encrypted_data, "lounge", ticket_code=two.shared.ticket_code
        )
        assert verdict(answer) == expected


async def test_the_order_of_a_change_shows_it(two: Party, staff: Staff) -> None:
    changed = await two.change(two.first, 1)
    await two.world.sql(
        "UPDATE snapshots SET content = jsonb_set(content, '{policy,changes_allowed}', '2')"
    )
    new = await two.change(changed, 2)
    order_id = new.order_id
    shown = await tickets(two.client, order_id=order_id)
    assert [each.ticket_code for each in shown] == [new.ticket_code, two.shared.ticket_code]
    every = [each.ticket_code for each in await tickets(two.client)]
    assert len(every) == len(set(every))
    await valid_now(two.world)
    issued = await two.client.call(
        "IssueOrderQr", ticket_pb2.IssueOrderQrRequest(order_id=order_id)
    )
    for fields in ({"order_id": order_id}, {"encrypted_data": issued.encrypted_data}):
        found = await staff.look_up(**fields)
        codes = [each.ticket_code for each in found.tickets]
        assert sorted(codes) == sorted([new.ticket_code, two.shared.ticket_code])
        assert found.ticket_count == 2
        # seen red when it was counted on the page
        assert (await staff.look_up(**fields, page_size=1)).ticket_count == 2
    answer = await staff.terminal.redeem_many(
        [
            redemption_pb2.RedeemItem(
                qr_token=issued.encrypted_data, function_code=function, ticket_code=code
            )
            for function, code in (
                ("lounge", two.shared.ticket_code),
                ("ferry", new.ticket_code),
                ("ferry", two.second.ticket_code),
            )
        ],
        all_or_nothing=False,
    )
    verdicts = [verdict(result) for result in answer.results]
    assert verdicts == ["SUCCESS", "SUCCESS", "TICKET_NOT_FOUND"]


async def test_over_json(two: Party, server: GateServer, scenario: OrderScenario) -> None:
    base = f"http://127.0.0.1:{server.app.http_port}"
    made = await two.begin(two.first, 1)
    async with httpx2.AsyncClient(base_url=base, headers=dict(two.client.metadata)) as http:
        refunds = f"/orders/{two.order_id}/refunds"
        quoted = (await http.post(f"{refunds}:quote", json={})).json()
        assert [each["ticket_code"] for each in quoted["tickets"]] == [two.second.ticket_code]
        body = {"refund_quote": quoted["refund_quote"], "request_id": "j1"}
        assert (await http.post(refunds, json=body)).status_code == 200
        await scenario.drain()
        code = two.shared.ticket_code
        assert (await http.get(f"/tickets/{code}")).json()["ticket"]["status"] == "ACTIVE"
        assert await scenario.pay(made.order.order_id) == "PAID"
        shown = (await http.get("/tickets", params={"order_id": made.order.order_id})).json()
        new, shared = shown["tickets"]
        assert (shared["ticket_code"], shared["shared"]) == (code, True)
        assert shared["valid_until_time"] == new["valid_until_time"]
        answer = await http.post(f"{refunds}:quote", json={"ticket_codes": [code]})
        (info,) = [each for each in answer.json()["details"] if "ErrorInfo" in each["@type"]]
        assert (info["reason"], info["metadata"]["why"]) == ("REFUND_REFUSED", "SHARED")
    assert (await quote(two.client, made.order.order_id)).amount_minor > 0
