"""What follows a payment: tickets, entitlements, stock and state, all at once; and payments that
come too late.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from deeptravel.ticketing.v1 import order_pb2, refund_pb2, ticket_pb2

from tests.support.changes import changes_are_seen
from tests.support.paying import PaymentScenario, a_scenario
from tests.support.traveller import SECOND, TravellerClient, child, passenger, seats_of
from tests.support.waiting import WAIT_SECONDS


@pytest.fixture(scope="module")
async def filled_scenario(
    module_database_url: str, module_redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[PaymentScenario]:
    async with a_scenario(
        module_database_url, module_redis_url, tmp_path_factory.mktemp("wechat"), seats=5
    ) as seeded:
        yield seeded


@pytest.fixture
async def scenario(filled_scenario: PaymentScenario) -> AsyncIterator[PaymentScenario]:
    yield filled_scenario
    await filled_scenario.idle()
    await filled_scenario.sound()
    await filled_scenario.wechat.begin_again()


async def expired_with_payment(scenario: PaymentScenario, *offers: str, **fields: Any) -> Any:
    """An order whose hold is over, and that was paid just before, but we have not heard of it
    yet.
    """
    await scenario.wechat.switch(hold_notices=True, down={"close": -1, "query": -1})
    order = await scenario.client.order(*offers, **fields)
    await scenario.pay(order)
    await scenario.world.expire(order.order_id)
    await scenario.until_state(order, "CANCELLED")
    return order


async def hear(scenario: PaymentScenario) -> None:
    """Lets the notices through."""
    await scenario.wechat.switch(hold_notices=False, down={})
    await scenario.world.sql(
        "UPDATE outbox_tasks SET due_time = now() WHERE state = 'OPEN' AND kind = 'payment.close'"
    )
    await scenario.idle()


# Paid


async def test_a_paid_order_has_its_tickets(scenario: PaymentScenario) -> None:
    order = await scenario.client.order(
        scenario.world.seat(),
        scenario.world.package(),
        passengers=[passenger("张三"), child("小明")],
    )
    await scenario.pay(order)
    await scenario.paid(order)
    rows = await scenario.tickets(order)
    seats = list(seats_of(order))
    assert rows == [
        ("ACTIVE", "张三", seats[0], 20_000, 0),
        ("ACTIVE", "小明", seats[1], 10_000, 1),
        ("ACTIVE", "张三", None, 50_000, 0),
        ("ACTIVE", "小明", None, 25_000, 1),
        ("ACTIVE", "", None, 0, -1),
    ]
    entitled = await scenario.world.sql(
        "SELECT array_agg(function_code ORDER BY function_code) FROM entitlements GROUP BY"
        " ticket_id ORDER BY ticket_id"
    )
    both, own = ["ferry", "gift"], ["boarding"]
    assert [codes for (codes,) in entitled] == [own, own, both, both, ["lounge"]]
    assert await scenario.world.stock() == (5, 0, 2)
    shown = await scenario.client.get(order.order_id)
    assert shown.state == order_pb2.ORDER_STATE_PAID
    assert shown.HasField("pay_time")
    codes = await scenario.world.sql("SELECT ticket_code FROM tickets ORDER BY ticket_id")
    assert all(code.startswith("DIR-DT-") for (code,) in codes)
    request = ticket_pb2.IssueTicketQrRequest(ticket_code=codes[0][0])
    assert (await scenario.client.call("IssueTicketQr", request)).encrypted_data


async def test_what_the_watcher_sees(scenario: PaymentScenario) -> None:
    order = await scenario.client.order(scenario.world.seat())
    watch = scenario.client.watch(order.order_id)
    await scenario.pay(order)
    seen = []
    async for moved in watch:
        seen.append(moved.event)
        if moved.event == "order.paid":
            break
    watch.cancel()
    assert seen == ["order.created", "order.paid"]


async def test_no_reader_sees_one_without_the_other(scenario: PaymentScenario) -> None:
    """While orders are being paid: a paid order has its tickets, one that is not has none."""
    orders = [
        await scenario.client.order(scenario.world.package(day), passengers=[passenger()])
        for day in range(8)
    ]
    stopping = asyncio.Event()
    looks: list[int] = []

    async def look() -> None:
        while not stopping.is_set():
            looks.append(
                await scenario.world.value(
                    "SELECT count(*) FROM orders o WHERE (o.state = 'PAID') <> ((SELECT count(*)"
                    " FROM tickets t WHERE t.order_id = o.order_id) = 2) OR (o.state = 'PENDING')"
                    " <> NOT EXISTS (SELECT FROM tickets t WHERE t.order_id = o.order_id)"
                )
            )

    looking = asyncio.create_task(look())
    await asyncio.gather(*(scenario.pay(order) for order in orders))
    paid = "SELECT count(*) = 8 FROM orders WHERE state = 'PAID'"
    async with asyncio.timeout(WAIT_SECONDS):
        while not await scenario.world.value(paid):  # noqa: ASYNC110 - of the database
            await asyncio.sleep(0.01)
    stopping.set()
    await looking
    assert len(looks) > 2
    assert set(looks) == {0}


# Too late


async def test_a_late_payment_is_honoured(scenario: PaymentScenario) -> None:
    order = await expired_with_payment(
        scenario, scenario.world.seat(), passengers=[passenger(), passenger()]
    )
    assert await scenario.world.stock() == (5, 0, 0)
    await hear(scenario)
    await scenario.paid(order)
    assert [seat for _, _, seat, _, _ in await scenario.tickets(order)] == list(seats_of(order))
    assert await scenario.world.stock() == (5, 0, 2)
    assert await scenario.incidents() == []
    assert await scenario.refunds(order) == []


async def test_a_late_payment_gets_other_seats(scenario: PaymentScenario) -> None:
    order = await expired_with_payment(
        scenario, scenario.world.seat(), passengers=[passenger(), passenger()]
    )
    other = TravellerClient.of(scenario.server.channel, 2)
    taken = await other.order(scenario.world.seat(), passengers=[passenger(), passenger()])
    assert list(seats_of(taken)) == list(seats_of(order))
    await hear(scenario)
    await scenario.paid(order)
    seats = {seat for _, _, seat, _, _ in await scenario.tickets(order)}
    assert len(seats) == 2
    assert not seats & set(seats_of(taken))
    shown = await scenario.client.get(order.order_id)
    assert shown.state == order_pb2.ORDER_STATE_PAID


async def test_a_late_payment_of_what_is_sold_out_goes_back(scenario: PaymentScenario) -> None:
    order = await expired_with_payment(scenario, scenario.world.seat(), scenario.world.package())
    other = TravellerClient.of(scenario.server.channel, 2)
    await other.order(scenario.world.seat(), passengers=[passenger() for _ in range(4)])
    await hear(scenario)
    await scenario.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")
    assert await scenario.refunds(order) == [("SUCCEEDED", "LATE_PAYMENT", 140_000)]
    assert await scenario.tickets(order) == []
    assert (await scenario.client.get(order.order_id)).state == order_pb2.ORDER_STATE_CANCELLED
    assert (await scenario.payment(order)).refunded_minor == 140_000


async def test_a_late_payment_of_a_cancelled_departure_goes_back(scenario: PaymentScenario) -> None:
    order = await expired_with_payment(scenario, scenario.world.seat())
    await scenario.world.sql("UPDATE departures SET state = 'CANCELLED'")
    await hear(scenario)
    await scenario.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")
    assert await scenario.tickets(order) == []


async def test_a_late_payment_under_a_promotion_that_is_used_up_goes_back(
    scenario: PaymentScenario,
) -> None:
    await scenario.world.promote(7, "HALF", basis_points=5_000, cap=1)
    await changes_are_seen()
    offer = scenario.world.seat(fare_class=SECOND)
    order = await expired_with_payment(
        scenario, offer, passengers=[passenger()], promotion_codes=["HALF"]
    )
    other = TravellerClient.of(scenario.server.channel, 2)
    await other.order(offer, passengers=[passenger()], promotion_codes=["HALF"])
    await hear(scenario)
    await scenario.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")
    assert await scenario.refunds(order) == [("SUCCEEDED", "LATE_PAYMENT", 5_000)]


async def test_a_payment_of_what_the_traveller_cancelled_goes_back(
    scenario: PaymentScenario,
) -> None:
    await scenario.wechat.switch(hold_notices=True, down={"close": -1})
    order = await scenario.client.order(scenario.world.seat())
    await scenario.pay(order)
    await scenario.client.cancel(order.order_id)
    await hear(scenario)
    await scenario.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")
    assert await scenario.refunds(order) == [("SUCCEEDED", "LATE_PAYMENT", 40_000)]
    assert await scenario.tickets(order) == []
    assert await scenario.world.stock() == (5, 0, 0)


async def test_a_second_payment_goes_back(scenario: PaymentScenario) -> None:
    """Two payments of one order are possible only if WeChat had said that the first is closed."""
    order = await scenario.client.order(scenario.world.seat())
    first = (await scenario.create(order)).payment.out_trade_no
    await scenario.world.sql("UPDATE payments SET state = 'CLOSED'")
    second = (await scenario.create(order)).payment.out_trade_no
    assert first != second
    scenario.wechat.pay(second)
    await scenario.paid(order)
    scenario.wechat.pay(first)
    await scenario.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")
    assert await scenario.refunds(order) == [("SUCCEEDED", "LATE_PAYMENT", 40_000)]
    assert await scenario.incidents() == ["SECOND_PAYMENT"]
    assert len(await scenario.tickets(order)) == 2


# Changes


async def changing(scenario: PaymentScenario, offer: str) -> tuple[Any, Any]:
    """A paid order of a SECOND seat, and the order, PENDING, that changes its ticket to a dearer
    offer.
    """
    first = await scenario.client.order(
        scenario.world.seat(fare_class=SECOND), passengers=[passenger()]
    )
    await scenario.pay(first)
    await scenario.paid(first)
    code = await scenario.world.value("SELECT ticket_code FROM tickets")
    quote = await scenario.client.call(
        "QuoteChange", refund_pb2.QuoteChangeRequest(ticket_code=code, offer_id=offer)
    )
    changed = await scenario.client.call(
        "ChangeTicket",
        refund_pb2.ChangeTicketRequest(
            ticket_code=code, change_quote=quote.change_quote, request_id="change-1"
        ),
    )
    assert changed.order.state == order_pb2.ORDER_STATE_PENDING
    return first, changed.order


async def test_a_change_that_is_paid(scenario: PaymentScenario) -> None:
    """On the same departure: the old ticket is CHANGED, its seat free, and the document stays
    guarded.
    """
    first, second = await changing(scenario, scenario.world.seat())
    assert await scenario.world.stock(fare_class=SECOND) == (5, 0, 1)
    await scenario.pay(second)
    await scenario.paid(second)
    await scenario.until_state(first, "CANCELLED")
    assert [state for state, *_ in await scenario.tickets(first)] == ["CHANGED"]
    assert [state for state, *_ in await scenario.tickets(second)] == ["ACTIVE"]
    assert await scenario.world.stock(fare_class=SECOND) == (5, 0, 0)
    assert await scenario.world.stock() == (5, 0, 1)


async def late_change(scenario: PaymentScenario) -> tuple[Any, Any]:
    """A change whose hold is over, and that was paid just before."""
    first, second = await changing(scenario, scenario.world.seat())
    await scenario.wechat.switch(hold_notices=True, down={"close": -1, "query": -1})
    await scenario.pay(second)
    await scenario.world.expire(second.order_id)
    await scenario.until_state(second, "CANCELLED")
    assert [state for state, *_ in await scenario.tickets(first)] == ["ACTIVE"]
    return first, second


async def test_a_late_payment_of_a_change_is_honoured(scenario: PaymentScenario) -> None:
    first, second = await late_change(scenario)
    await hear(scenario)
    await scenario.paid(second)
    assert [state for state, *_ in await scenario.tickets(first)] == ["CHANGED"]
    assert [state for state, *_ in await scenario.tickets(second)] == ["ACTIVE"]


async def test_a_late_payment_of_a_change_goes_back_if_the_ticket_has_moved(
    scenario: PaymentScenario,
) -> None:
    first, second = await late_change(scenario)
    quote = await scenario.client.call(
        "QuoteRefund", refund_pb2.QuoteRefundRequest(order_id=first.order_id)
    )
    request = refund_pb2.RequestRefundRequest(
        order_id=first.order_id, refund_quote=quote.refund_quote, request_id="refund-1"
    )
    await scenario.client.call("RequestRefund", request)
    await hear(scenario)
    await scenario.world.until("SELECT count(*) = 2 FROM refunds WHERE state = 'SUCCEEDED'")
    assert [cause for _, cause, _ in await scenario.refunds(second)] == ["LATE_PAYMENT"]
    assert await scenario.tickets(second) == []
    assert [state for state, *_ in await scenario.tickets(first)] == ["REFUNDED"]
    assert await scenario.world.stock() == (5, 0, 0)
