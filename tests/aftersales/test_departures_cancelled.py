"""The operator cancels a departure: what waits is cancelled, what was sold comes back whole, by
itself or by choice.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from deeptravel.admin.v1 import catalog_pb2
from deeptravel.ticketing.v1 import offer_pb2, order_pb2, payment_pb2, refund_pb2
from deeptravel.tickets.v1 import ticket_pb2 as tickets_pb2

from server.aftersales import departure_orders, tasks
from server.platform.errors import Reason
from tests.support.gate_server import GateServer
from tests.support.operations import Manager, followed, look_again
from tests.support.order_scenario import (
    OrderScenario,
    change,
    give_back,
    quote,
    quote_change,
    request_refund,
    states,
    swap,
    tickets,
)
from tests.support.rpc_server import refusal
from tests.support.traveller import (
    CANCEL_REASON,
    ORDER_STATE,
    SECOND,
    TravellerClient,
    World,
    a_world,
    party,
)

AFTER_CHOICE = catalog_pb2.DEPARTURE_REFUNDS_AFTER_CHOICE
AT_ONCE = catalog_pb2.DEPARTURE_REFUNDS_AT_ONCE


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=4) as filled:
        await filled.enrol(1, 2)
        yield filled


async def refunds_of(world: World) -> list[tuple[Any, ...]]:
    """(cause, amount) of all refunds."""
    return await world.sql("SELECT cause, amount_minor FROM refunds ORDER BY order_id, refund_no")


async def events_of(world: World, order: order_pb2.Order) -> str:
    query = (
        "SELECT string_agg(event, ' ' ORDER BY e.sequence) FROM order_events e"
        " JOIN orders o USING (order_id) WHERE order_code = %s"
    )
    return str(await world.value(query, order.order_id))


async def test_sold_tickets_come_back_whole_by_themselves(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """Seen red: without `_give_back` all stayed ACTIVE; without an operator's cause a fee of each
    was kept.
    """
    number = world.departure_id()
    order = await scenario.sell(client, world.seat(), world.seat(2, SECOND))
    second = await scenario.sell(client, world.seat(fare_class=SECOND), passengers=party(1))
    made = await manager.cancel(number)
    assert made.state == catalog_pb2.DEPARTURE_STATE_CANCELLED
    assert made.refunds == AT_ONCE
    assert made.HasField("cancel_time")
    await followed(world)
    # two of two orders; the other departure of the first order stays
    await scenario.drain()
    assert sorted(await states(client, order.order_id)) == [
        "ACTIVE",
        "ACTIVE",
        "REFUNDED",
        "REFUNDED",
    ]
    assert await states(client, second.order_id) == ["REFUNDED"]
    assert await refunds_of(world) == [
        ("DEPARTURE_CANCELLED", 40_000),
        ("DEPARTURE_CANCELLED", 10_000),
    ]
    assert ORDER_STATE[(await client.get(order.order_id)).state] == "PAID"
    assert ORDER_STATE[(await client.get(second.order_id)).state] == "CANCELLED"
    assert await world.stock() == (10, 0, 0)
    assert await world.stock(2, SECOND) == (10, 0, 2)
    assert await events_of(world, second) == (
        "order.paid departure.cancelled ticket.refunding ticket.refunded payment.refunded"
        " order.cancelled"
    )
    request = refund_pb2.ListRefundsRequest(order_id=second.order_id)
    (refund,) = (await client.call("ListRefunds", request)).refunds
    assert refund.cause == "departure_cancelled"
    (given,) = refund.tickets
    assert (given.percent, given.fee_minor) == (100, 0)
    assert "cancelled the departure" in given.rule_en
    assert "取消" in given.rule_zh


async def test_it_runs_once_and_a_repeat_changes_nothing(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    number = world.departure_id()
    await scenario.sell(client, world.seat(), passengers=party(1))
    first = await manager.cancel(number, request_id="same")
    assert await manager.cancel(number, request_id="same") == first
    again = await manager.cancel(number, comment="another word", refunds=AFTER_CHOICE)
    assert again.refunds == AT_ONCE
    await followed(world)
    await look_again(world)
    await scenario.drain()
    await look_again(world)
    assert await refunds_of(world) == [("DEPARTURE_CANCELLED", 20_000)]
    trail = "SELECT count(*) FROM audit_events WHERE resource = 'departure'"
    assert await world.value(trail) == 1
    comment = "SELECT after ->> 'comment' FROM audit_events WHERE resource = 'departure'"
    assert await world.value(comment) == "typhoon"


async def test_it_is_for_good(world: World, manager: Manager) -> None:
    number = world.departure_id()
    await manager.cancel(number)
    later = datetime.now(UTC) + timedelta(days=8)
    refused = await refusal(manager.move(number, later))
    assert (refused.reason, refused.metadata) == (
        Reason.DEPARTURE_CANCELLED,
        {"departure_id": str(number)},
    )
    runs = manager.call(
        "SetDepartureState",
        departure_id=str(number),
        state=catalog_pb2.DEPARTURE_STATE_SCHEDULED,
        request_id="runs",
    )
    assert (await refusal(runs)).reason == Reason.DEPARTURE_CANCELLED
    assert (await refusal(manager.cancel(1))).reason == Reason.NOT_FOUND


async def test_what_waits_is_cancelled_and_not_paid(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """Seen red: without the look at the departure in `CreatePayment` it was asked to pay."""
    order = await client.order(world.seat(), world.seat(2, SECOND))
    bill = await scenario.bill(order.order_id)
    await manager.cancel(world.departure_id())
    pay = client.call("CreatePayment", payment_pb2.CreatePaymentRequest(order_id=order.order_id))
    refused = await refusal(pay)
    assert refused.reason == Reason.DEPARTURE_CANCELLED
    assert refused.metadata == {"departure_id": str(world.departure_id())}
    await followed(world)
    found = await client.get(order.order_id)
    assert (ORDER_STATE[found.state], CANCEL_REASON[found.cancel_reason]) == (
        "CANCELLED",
        "DEPARTURE_CANCELLED",
    )
    assert await world.stock() == (10, 0, 0)
    assert await world.stock(2, SECOND) == (10, 0, 0)
    closing = "SELECT count(*) FROM outbox_tasks WHERE kind = 'payment.close' AND key = %s"
    assert await world.value(closing, bill.out_trade_no) == 1
    # a payment that comes anyway goes back whole
    assert await scenario.take_in(bill) == "REFUNDED"
    await scenario.drain()
    assert await world.value("SELECT refunded_minor FROM payments") == 60_000
    assert await tickets(client) == []
    again = client.call("CreatePayment", payment_pb2.CreatePaymentRequest(order_id=order.order_id))
    assert (await refusal(again)).reason == Reason.DEPARTURE_CANCELLED


async def test_one_order_that_cannot_be_cancelled_does_not_keep_the_others(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    sold = await scenario.sell(client, world.seat(), passengers=party(1))
    stuck = await client.order(world.seat(), world.seat(2, SECOND), passengers=party(1))
    waiting = await client.order(world.seat(), passengers=party(1))
    held = "UPDATE stocks SET held = %s WHERE stock_id = %s"
    await world.sql(held, 0, world.stock_id(2, SECOND))
    await manager.cancel(world.departure_id())
    await world.until("SELECT count(*) = 1 FROM refunds")
    assert await states(client, sold.order_id) == ["REFUNDING"]
    assert ORDER_STATE[(await client.get(waiting.order_id)).state] == "CANCELLED"
    assert ORDER_STATE[(await client.get(stuck.order_id)).state] == "PENDING"
    failing = "SELECT last_error IS NOT NULL FROM outbox_tasks WHERE kind = 'departure.cancelled'"
    await world.until(failing)
    await world.sql(held, 1, world.stock_id(2, SECOND))
    cancelled = "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s"
    await world.until(cancelled, stuck.order_id)
    await scenario.drain()
    assert await states(client, sold.order_id) == ["REFUNDED"]


@pytest.mark.parametrize("expired", [False, True])
async def test_a_payment_before_the_order_is_cancelled_goes_back_whole(
    world: World, client: TravellerClient, scenario: OrderScenario, expired: bool
) -> None:
    """The departure is cancelled, and nothing has followed yet. Seen red: PAID, with the check
    of `_take_in` removed.
    """
    order = await client.order(world.seat(), passengers=party(1))
    bill = await scenario.bill(order.order_id)
    if expired:
        await world.expire(order.order_id)
        await world.until("SELECT state = 'CANCELLED' FROM orders")
    await world.sql("UPDATE departures SET state = 'CANCELLED'")
    await world.sql("UPDATE stocks SET closed = true WHERE departure_id IS NOT NULL")
    assert await scenario.take_in(bill) == "REFUNDED"
    await scenario.drain()
    assert await refunds_of(world) == [("LATE_PAYMENT", 20_000)]
    found = await client.get(order.order_id)
    reason = "HOLD_EXPIRED" if expired else "DEPARTURE_CANCELLED"
    assert CANCEL_REASON[found.cancel_reason] == reason


async def test_nothing_is_sold_from_the_commit_on(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """Also where the catalogue is of a second ago. Seen red: with `is_closed` always false an order
    was made.
    """
    await scenario.sell(client, world.seat(2), passengers=party(1))
    (ticket,) = await tickets(client)
    quoted = await quote_change(client, ticket.ticket_code, world.seat())
    await manager.cancel(world.departure_id())
    refused = await refusal(client.create(world.seat()))
    assert refused.reason == Reason.OFFER_NOT_AVAILABLE
    assert refused.metadata == {"offer_id": world.seat(), "why": "CANCELLED"}
    refused = await refusal(change(client, ticket.ticket_code, quoted.change_quote))
    assert refused.reason == Reason.OFFER_NOT_AVAILABLE
    assert await world.stock() == (10, 0, 0)
    request = offer_pb2.SearchOffersRequest(
        origin_city_code="HKG",
        destination_city_code="SZX",
        travel_date=world.travel_date.isoformat(),
        passengers=[tickets_pb2.CUSTOMER_TYPE_ADULT],
        available_only=True,
    )
    for _ in range(50):
        offers = (await client.call("SearchOffers", request)).offers
        found = {offer.journey.departure_id for offer in offers if offer.HasField("journey")}
        if str(world.departure_id()) not in found:
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("a search finds it a second later")
    assert str(world.departure_id(2)) in found


async def test_the_choice(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    """Until it would have left: refund whole, or change without a fee that does not count; then
    the money by itself.
    """
    number = world.departure_id()
    await scenario.sell(client, world.seat(fare_class=SECOND), passengers=party(3))
    first, second, third = await tickets(client)
    await swap(client, first.ticket_code, world.seat(2, SECOND))  # costs the fee, waits for it
    made = await manager.cancel(number, refunds=AFTER_CHOICE)
    assert made.refunds == AFTER_CHOICE
    await followed(world)
    # the change that waited for its fee is cancelled, and free now
    assert await world.value("SELECT count(*) FROM orders WHERE state = 'PENDING'") == 0
    found = await tickets(client)
    assert {(each.status, each.departure_change) for each in found} == {(2, 1)}
    quoted = await quote_change(client, first.ticket_code, world.seat(2, SECOND))
    assert (quoted.fee_minor, quoted.pay_minor, quoted.refund_minor) == (0, 0, 0)
    assert "no fee" in quoted.rule_en
    assert "不收手续费" in quoted.rule_zh
    changed = await change(client, first.ticket_code, quoted.change_quote)
    assert changed.ticket.changes_made == 0
    refundable = await quote(client, second.order_id, second.ticket_code)
    assert (refundable.amount_minor, refundable.fee_minor) == (10_000, 0)
    await request_refund(client, second.order_id, refundable.refund_quote)
    await scenario.drain()
    assert await refunds_of(world) == [("TRAVELLER", 10_000)]
    # its time has come
    await world.sql(
        "UPDATE departures SET departure_time = now(), planned_time = departure_time"
        " WHERE departure_id = %s",
        number,
    )
    await look_again(world)
    await scenario.drain()
    assert await refunds_of(world) == [("TRAVELLER", 10_000), ("DEPARTURE_CANCELLED", 10_000)]
    assert await states(client, third.order_id) == ["CHANGED", "REFUNDED", "REFUNDED"]
    assert await states(client, changed.order.order_id) == ["ACTIVE"]


async def test_the_product_says_when_and_an_administrator_may_end_the_waiting(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    policy = "UPDATE products SET policy = policy || '{\"refund_after_choice\": true}'"
    await world.sql(policy)
    await scenario.sell(client, world.seat(), passengers=party(1))
    assert (await manager.cancel(world.departure_id())).refunds == AFTER_CHOICE
    await followed(world)
    assert await refunds_of(world) == []
    ended = await manager.cancel(world.departure_id(), refunds=AT_ONCE)
    assert ended.refunds == AT_ONCE
    await followed(world)
    await scenario.drain()
    assert await refunds_of(world) == [("DEPARTURE_CANCELLED", 20_000)]


async def test_a_quote_of_before_gives_what_is_due_now(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    quoted = await quote(client, order.order_id)
    assert quoted.amount_minor == 19_500
    await manager.cancel(world.departure_id(), refunds=AFTER_CHOICE)
    refund = await request_refund(client, order.order_id, quoted.refund_quote)
    assert refund.amount_minor == 20_000
    await scenario.drain()


async def test_what_was_asked_for_before_keeps_its_amount_and_comes_back_if_it_fails(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    refund = await give_back(client, order.order_id)
    assert refund.amount_minor == 19_500
    await manager.cancel(world.departure_id())
    await followed(world)
    assert await refunds_of(world) == [("TRAVELLER", 19_500)]
    scenario.wechat.state = "CLOSED"
    await scenario.drain()
    assert await states(client, order.order_id) == ["ACTIVE"]
    scenario.wechat.state = "SUCCESS"
    await look_again(world)
    await scenario.drain()
    assert await refunds_of(world) == [("TRAVELLER", 19_500), ("DEPARTURE_CANCELLED", 20_000)]
    assert await states(client, order.order_id) == ["REFUNDED"]


async def test_blocked_and_used_tickets_stay(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(3))
    blocked, used, kept = await tickets(client)
    await world.sql("UPDATE tickets SET blocked = true WHERE ticket_code = %s", blocked.ticket_code)
    redeem = (
        "UPDATE entitlements SET remaining_uses = 0 FROM tickets t"
        " WHERE t.ticket_id = entitlements.ticket_id AND ticket_code = %s"
    )
    await world.sql(redeem, used.ticket_code)
    await world.sql("UPDATE tickets SET state = 'USED' WHERE ticket_code = %s", used.ticket_code)
    await manager.cancel(world.departure_id())
    await followed(world)
    await scenario.drain()
    assert await states(client, order.order_id) == ["ACTIVE", "USED", "REFUNDED"]
    assert kept.ticket_code
    await world.sql("UPDATE tickets SET blocked = false")
    # a supervisor takes the scan back
    await world.sql("UPDATE entitlements SET remaining_uses = total_uses")
    await world.sql("UPDATE tickets SET state = 'ACTIVE' WHERE state = 'USED'")
    await look_again(world)
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED", "REFUNDED", "REFUNDED"]


async def test_one_order_that_cannot_follow_does_not_keep_the_others(
    world: World, client: TravellerClient, scenario: OrderScenario, manager: Manager
) -> None:
    broken = await scenario.sell(client, world.seat(), passengers=party(1))
    await world.sql("UPDATE payments SET refunded_minor = amount_minor")
    whole = await scenario.sell(client, world.seat(), passengers=party(1))
    await manager.cancel(world.departure_id())
    await world.until("SELECT count(*) = 1 FROM refunds")
    assert await states(client, broken.order_id) == ["ACTIVE"]
    assert await states(client, whole.order_id) == ["REFUNDING"]
    failing = "SELECT last_error IS NOT NULL FROM outbox_tasks WHERE kind = 'departure.cancelled'"
    await world.until(failing)
    await world.sql(
        "UPDATE payments SET refunded_minor = 0 FROM orders o"
        " WHERE o.order_id = payments.order_id AND order_code = %s",
        broken.order_id,
    )
    await world.until("SELECT count(*) = 2 FROM refunds")
    await scenario.drain()
    assert await states(client, broken.order_id) == ["REFUNDED"]


async def test_a_run_whose_time_is_over_ends_and_the_next_goes_on(
    world: World,
    client: TravellerClient,
    scenario: OrderScenario,
    manager: Manager,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen red: the time was looked at after a hundred orders only, so a run in which they took
    longer than a task may was cut off, and failed.
    """
    sold = [await scenario.sell(client, world.seat()) for _ in range(3)]
    monkeypatch.setattr(tasks, "RUN_SECONDS", 0.0)
    monkeypatch.setattr(tasks, "FOLLOW_AT_ONCE", 1)
    runs: list[int] = []
    read, follow = departure_orders.read, departure_orders.follow_cancellation

    async def begin(tx: Any, departure_id: int) -> Any:
        runs.append(0)
        return await read(tx, departure_id)

    async def count(*args: Any, **more: Any) -> None:
        await follow(*args, **more)
        runs[-1] += 1

    monkeypatch.setattr(departure_orders, "read", begin)
    monkeypatch.setattr(departure_orders, "follow_cancellation", count)
    await manager.cancel(world.departure_id())
    await followed(world)
    await scenario.drain()
    assert runs == [1, 1, 1, 0]
    assert [set(await states(client, order.order_id)) for order in sold] == [{"REFUNDED"}] * 3


async def test_over_json(
    world: World,
    client: TravellerClient,
    scenario: OrderScenario,
    manager: Manager,
    server: GateServer,
) -> None:
    await scenario.sell(client, world.seat(), passengers=party(1))
    number = world.departure_id()
    url = f"http://127.0.0.1:{server.app.http_port}/admin/departures/{number}"
    async with httpx2.AsyncClient(trust_env=False, timeout=30.0) as http:
        body = {"comment": "storm", "request_id": "j1", "refunds": "DEPARTURE_REFUNDS_AT_ONCE"}
        first, repeat = [await manager.over_json(http, f"{url}/cancel", **body) for _ in range(2)]
        assert first.status_code == 200, first.text
        assert repeat.json() == first.json()
        found = (await manager.over_json(http, url)).json()["departure"]
        assert found == first.json()["departure"]
        to = {"departure_time": "2030-01-01T00:00:00Z", "comment": "late", "request_id": "j2"}
        refused = await manager.over_json(http, f"{url}/move", **to)
        assert refused.status_code == 400
        assert "DEPARTURE_CANCELLED" in refused.text
    await followed(world)
    await scenario.drain()
    assert await refunds_of(world) == [("DEPARTURE_CANCELLED", 20_000)]
