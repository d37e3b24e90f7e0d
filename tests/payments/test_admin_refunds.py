"""Refunds that WeChat cannot give back by itself, and the administrator who sees to them."""

from typing import Any

import pytest

from server.payments import refunds
from server.platform import outbox
from server.platform.errors import Reason
from server.platform.statements import run
from server.wechat.codec import WechatError
from tests.support.gate_server import GateServer
from tests.support.order_scenario import (
    REFUND_STATE,
    OrderScenario,
    give_back,
    outstanding,
    states,
    swap,
    tickets,
)
from tests.support.refund_client import AdminClient, an_admin_client
from tests.support.rpc_server import refusal
from tests.support.traveller import TravellerClient, World, party

SUCCEEDED, CLOSED, ABNORMAL = 2, 3, 4


@pytest.fixture
async def admin_client(world: World, server: GateServer) -> AdminClient:
    return await an_admin_client(world, server.channel)


async def abnormal(
    client: TravellerClient, scenario: OrderScenario, world: World
) -> tuple[Any, Any]:
    """An order, and a refund of it that WeChat cannot give back."""
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    scenario.wechat.state = "ABNORMAL"
    refund = await give_back(client, order.order_id)
    await scenario.drain()
    return order, refund


async def test_abnormal_waits_for_an_administrator(
    world: World, client: TravellerClient, scenario: OrderScenario, admin_client: AdminClient
) -> None:
    order, refund = await abnormal(client, scenario, world)
    assert await states(client, order.order_id) == ["REFUNDING"]
    (listed,) = (await admin_client.do("ListRefunds", state=ABNORMAL)).refunds
    assert (listed.refund_id, listed.amount_minor) == (refund.refund_id, 19_500)
    assert (await admin_client.do("ListRefunds", state=SUCCEEDED)).refunds == []
    kinds = (
        "SELECT kind, facts ->> 'refund_id', (facts ->> 'left_minor')::int FROM payment_incidents"
    )
    assert await world.sql(kinds) == [("REFUND_ABNORMAL", refund.refund_id, 19_500)]
    scenario.wechat.state = "SUCCESS"
    retried = await admin_client.do("RetryRefund", refund_id=refund.refund_id, request_id="a1")
    assert REFUND_STATE[retried.refund.state] == "PROCESSING"
    assert (
        await admin_client.do("RetryRefund", refund_id=refund.refund_id, request_id="a1") == retried
    )
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED"]
    assert len(scenario.wechat.known) == 1  # asked for twice, under one number
    audited = "SELECT actor, action, resource, name FROM audit_events"
    assert await world.sql(audited) == [("admin:root", "retry", "refund", refund.refund_id)]


async def test_settled_by_hand(
    world: World, client: TravellerClient, scenario: OrderScenario, admin_client: AdminClient
) -> None:
    order, refund = await abnormal(client, scenario, world)
    settled = await admin_client.do(
        "SettleRefund", refund_id=refund.refund_id, state=SUCCEEDED, comment="by bank transfer"
    )
    assert REFUND_STATE[settled.refund.state] == "SUCCEEDED"
    assert await states(client, order.order_id) == ["REFUNDED"]
    assert await world.stock() == (10, 0, 0)


async def test_closed_by_hand(
    world: World, client: TravellerClient, scenario: OrderScenario, admin_client: AdminClient
) -> None:
    order, refund = await abnormal(client, scenario, world)
    await admin_client.do(
        "SettleRefund", refund_id=refund.refund_id, state=CLOSED, comment="withdrawn"
    )
    assert await states(client, order.order_id) == ["ACTIVE"]
    assert await world.value("SELECT refunded_minor FROM payments") == 0
    (number,) = scenario.wechat.known
    assert await scenario.notice(number, "SUCCESS") == "CLOSED"
    kinds = "SELECT array_agg(kind ORDER BY create_time) FROM payment_incidents"
    assert await world.value(kinds) == ["REFUND_ABNORMAL", "REFUND_CONTRADICTION"]


async def test_what_an_administrator_may_not(
    world: World, client: TravellerClient, scenario: OrderScenario, admin_client: AdminClient
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    refund = await give_back(client, order.order_id)
    name = refund.refund_id
    for call, reason in (
        (admin_client.do("RetryRefund", refund_id=name), Reason.REFUND_REFUSED),
        (
            admin_client.do("SettleRefund", refund_id=name, state=SUCCEEDED, comment="x"),
            Reason.REFUND_REFUSED,
        ),
        (
            admin_client.do("SettleRefund", refund_id=name, state=ABNORMAL, comment="x"),
            Reason.INVALID_FIELD,
        ),
        (admin_client.do("RetryRefund", refund_id=f"{order.order_id}-R9"), Reason.NOT_FOUND),
        (admin_client.do("RetryRefund", refund_id="nonsense"), Reason.NOT_FOUND),
    ):
        assert (await refusal(call)).reason == reason
    theirs = AdminClient(admin_client.stub, client.metadata)
    refused = await refusal(theirs.do("RetryRefund", refund_id=name))
    assert refused.reason == Reason.ROLE_NOT_ALLOWED


async def test_what_wechat_refuses_again_and_again(
    world: World, client: TravellerClient, scenario: OrderScenario, admin_client: AdminClient
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    scenario.wechat.fault = WechatError("NOT_ENOUGH", "balance", 403)
    await give_back(client, order.order_id)
    for _ in range(12):
        await scenario.drain()
        scenario.forward(minutes=15)
    assert await outstanding(scenario) == 0
    (refund,) = (await admin_client.do("ListRefunds", state=ABNORMAL)).refunds
    kinds = "SELECT array_agg(kind ORDER BY kind) FROM payment_incidents"
    assert await world.value(kinds) == ["REFUND_ABNORMAL", "REFUND_REFUSED"]
    scenario.wechat.fault = None
    await admin_client.do("RetryRefund", refund_id=refund.refund_id)
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED"]


async def test_what_is_closed_in_part_is_an_administrators(
    world: World, client: TravellerClient, scenario: OrderScenario, admin_client: AdminClient
) -> None:
    """A changed ticket gives back of two payments; one of them WeChat closes."""
    await scenario.sell(client, world.seat(1, 1), passengers=party(1))
    (old,) = await tickets(client)
    made = await swap(client, old.ticket_code, world.seat(2, 0))
    await scenario.pay(made.order.order_id)
    order_id = await world.value(
        "SELECT order_id FROM orders WHERE order_code = %s", made.order.order_id
    )
    scenario.wechat.states[f"DT{order_id}R1S1"] = "CLOSED"
    refund = await give_back(client, made.order.order_id)
    await scenario.drain()
    assert await states(client, made.order.order_id) == ["REFUNDING"]
    call = admin_client.do("SettleRefund", refund_id=refund.refund_id, state=CLOSED, comment="x")
    assert (await refusal(call)).reason == Reason.REFUND_REFUSED
    await admin_client.do("RetryRefund", refund_id=refund.refund_id)
    await scenario.drain()
    assert await states(client, made.order.order_id) == ["REFUNDED"]
    numbers = {f"DT{order_id}R1S{part}" for part in ("1", "1A2", "2")}
    assert scenario.wechat.known.keys() == numbers
    # the closed number has no more to say
    assert await scenario.notice(f"DT{order_id}R1S1", "CLOSED") == "SUCCEEDED"
    async with scenario.db.transaction() as tx:
        now = scenario.clock()
        again = outbox.NewTask(refunds.QUERY, f"DT{order_id}R1S1", {}, now)
        await run(tx, outbox.enqueue(again, now=now))
    assert await scenario.drain() == 1
    assert not await world.sql("SELECT last_error FROM outbox_tasks WHERE last_error <> ''")


async def test_refunds_are_listed_by_page(
    world: World, client: TravellerClient, scenario: OrderScenario, admin_client: AdminClient
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(3))
    for ticket in await tickets(client):
        await give_back(client, order.order_id, ticket.ticket_code)
    page = await admin_client.do("ListRefunds", page_size=2)
    rest = await admin_client.do("ListRefunds", page_size=2, page_token=page.next_page_token)
    listed = [refund.refund_id[-2:] for refund in (*page.refunds, *rest.refunds)]
    assert (listed, rest.next_page_token) == (["R3", "R2", "R1"], "")
