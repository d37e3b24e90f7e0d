"""What follows a payment: tickets, entitlements, stock and state, all at once; and payments that come too late."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from deeptravel.ticketing.v1 import order_pb2, refund_pb2, ticket_pb2

from tests.support.paying import Till, a_till
from tests.support.traveller import SECOND, Desk, child, passenger, seats_of
from tests.support.waiting import PATIENCE_SECONDS


@pytest.fixture
async def till(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Till]:
    async with a_till(database_url, redis_url, tmp_path, seats=5) as furnished:
        yield furnished
        await furnished.idle()
        await furnished.sound()


async def expired_with_payment(till: Till, *offers: str, **fields: Any) -> Any:
    """An order whose hold is over, and that was paid just before, but we have not heard of it yet."""
    await till.wechat.switch(hold_notices=True, down={"close": -1, "query": -1})
    order = await till.desk.order(*offers, **fields)
    await till.pay(order)
    await till.world.expire(order.order_id)
    await till.until_state(order, "CANCELLED")
    return order


async def hear(till: Till) -> None:
    """Lets the notices through."""
    await till.wechat.switch(hold_notices=False, down={})
    await till.world.sql(
        "UPDATE outbox_tasks SET due_time = now() WHERE state = 'OPEN' AND kind = 'payment.close'"
    )
    await till.idle()


# Paid


async def test_a_paid_order_has_its_tickets(till: Till) -> None:
    order = await till.desk.order(
        till.world.seat(), till.world.package(), passengers=[passenger("张三"), child("小明")]
    )
    await till.pay(order)
    await till.paid(order)
    rows = await till.tickets(order)
    seats = list(seats_of(order))
    assert rows == [
        ("ACTIVE", "张三", seats[0], 20_000, 0),
        ("ACTIVE", "小明", seats[1], 10_000, 1),
        ("ACTIVE", "张三", None, 50_000, 0),
        ("ACTIVE", "小明", None, 25_000, 1),
        ("ACTIVE", "", None, 0, -1),
    ]
    entitled = await till.world.sql(
        "SELECT array_agg(function_code ORDER BY function_code) FROM entitlements GROUP BY ticket_id ORDER BY ticket_id"
    )
    both, own = ["ferry", "gift"], ["boarding"]
    assert [codes for (codes,) in entitled] == [own, own, both, both, ["lounge"]]
    assert await till.world.stock() == (5, 0, 2)
    shown = await till.desk.get(order.order_id)
    assert shown.state == order_pb2.ORDER_STATE_PAID
    assert shown.HasField("pay_time")
    codes = await till.world.sql("SELECT ticket_code FROM tickets ORDER BY ticket_id")
    assert all(code.startswith("DIR-DT-") for (code,) in codes)
    request = ticket_pb2.IssueTicketQrRequest(ticket_code=codes[0][0])
    assert (await till.desk.call("IssueTicketQr", request)).encrypted_data


async def test_what_the_watcher_sees(till: Till) -> None:
    order = await till.desk.order(till.world.seat())
    watch = till.desk.watch(order.order_id)
    await till.pay(order)
    seen = []
    async for moved in watch:
        seen.append(moved.event)
        if moved.event == "order.paid":
            break
    watch.cancel()
    assert seen == ["order.created", "order.paid"]


async def test_no_reader_sees_one_without_the_other(till: Till) -> None:
    """While orders are being paid: a paid order has its tickets, one that is not has none."""
    orders = [
        await till.desk.order(till.world.package(day), passengers=[passenger()]) for day in range(8)
    ]
    stopping = asyncio.Event()
    looks: list[int] = []

    async def look() -> None:
        while not stopping.is_set():
            looks.append(
                await till.world.value(
                    "SELECT count(*) FROM orders o WHERE (o.state = 'PAID') <>"
                    " ((SELECT count(*) FROM tickets t WHERE t.order_id = o.order_id) = 2)"
                    " OR (o.state = 'PENDING') <> NOT EXISTS (SELECT FROM tickets t WHERE t.order_id = o.order_id)"
                )
            )

    looking = asyncio.create_task(look())
    await asyncio.gather(*(till.pay(order) for order in orders))
    paid = "SELECT count(*) = 8 FROM orders WHERE state = 'PAID'"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await till.world.value(paid):  # noqa: ASYNC110 - of the database
            await asyncio.sleep(0.01)
    stopping.set()
    await looking
    assert len(looks) > 2
    assert set(looks) == {0}


# Too late


async def test_a_late_payment_is_honoured(till: Till) -> None:
    order = await expired_with_payment(
        till, till.world.seat(), passengers=[passenger(), passenger()]
    )
    assert await till.world.stock() == (5, 0, 0)
    await hear(till)
    await till.paid(order)
    assert [seat for _, _, seat, _, _ in await till.tickets(order)] == list(seats_of(order))
    assert await till.world.stock() == (5, 0, 2)
    assert await till.incidents() == []
    assert await till.refunds(order) == []


async def test_a_late_payment_gets_other_seats(till: Till) -> None:
    order = await expired_with_payment(
        till, till.world.seat(), passengers=[passenger(), passenger()]
    )
    other = Desk.of(till.server.channel, 2)
    taken = await other.order(till.world.seat(), passengers=[passenger(), passenger()])
    assert list(seats_of(taken)) == list(seats_of(order))
    await hear(till)
    await till.paid(order)
    seats = {seat for _, _, seat, _, _ in await till.tickets(order)}
    assert len(seats) == 2
    assert not seats & set(seats_of(taken))
    shown = await till.desk.get(order.order_id)
    assert shown.state == order_pb2.ORDER_STATE_PAID


async def test_a_late_payment_of_what_is_sold_out_goes_back(till: Till) -> None:
    order = await expired_with_payment(till, till.world.seat(), till.world.package())
    other = Desk.of(till.server.channel, 2)
    await other.order(till.world.seat(), passengers=[passenger() for _ in range(4)])
    await hear(till)
    await till.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")
    assert await till.refunds(order) == [("SUCCEEDED", "LATE_PAYMENT", 140_000)]
    assert await till.tickets(order) == []
    assert (await till.desk.get(order.order_id)).state == order_pb2.ORDER_STATE_CANCELLED
    assert (await till.payment(order)).refunded_minor == 140_000


async def test_a_late_payment_of_a_cancelled_departure_goes_back(till: Till) -> None:
    order = await expired_with_payment(till, till.world.seat())
    await till.world.sql("UPDATE departures SET state = 'CANCELLED'")
    await hear(till)
    await till.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")
    assert await till.tickets(order) == []


async def test_a_late_payment_under_a_promotion_that_is_used_up_goes_back(till: Till) -> None:
    await till.world.promote(7, "HALF", basis_points=5_000, cap=1)
    await asyncio.sleep(1)
    offer = till.world.seat(fare_class=SECOND)
    order = await expired_with_payment(
        till, offer, passengers=[passenger()], promotion_codes=["HALF"]
    )
    other = Desk.of(till.server.channel, 2)
    await other.order(offer, passengers=[passenger()], promotion_codes=["HALF"])
    await hear(till)
    await till.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")
    assert await till.refunds(order) == [("SUCCEEDED", "LATE_PAYMENT", 5_000)]


async def test_a_payment_of_what_the_traveller_cancelled_goes_back(till: Till) -> None:
    await till.wechat.switch(hold_notices=True, down={"close": -1})
    order = await till.desk.order(till.world.seat())
    await till.pay(order)
    await till.desk.cancel(order.order_id)
    await hear(till)
    await till.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")
    assert await till.refunds(order) == [("SUCCEEDED", "LATE_PAYMENT", 40_000)]
    assert await till.tickets(order) == []
    assert await till.world.stock() == (5, 0, 0)


async def test_a_second_payment_goes_back(till: Till) -> None:
    """Two payments of one order are possible only if WeChat had said that the first is closed."""
    order = await till.desk.order(till.world.seat())
    first = (await till.create(order)).payment.out_trade_no
    await till.world.sql("UPDATE payments SET state = 'CLOSED'")
    second = (await till.create(order)).payment.out_trade_no
    assert first != second
    till.wechat.pay(second)
    await till.paid(order)
    till.wechat.pay(first)
    await till.world.until("SELECT count(*) = 1 FROM refunds WHERE state = 'SUCCEEDED'")
    assert await till.refunds(order) == [("SUCCEEDED", "LATE_PAYMENT", 40_000)]
    assert await till.incidents() == ["SECOND_PAYMENT"]
    assert len(await till.tickets(order)) == 2


# Changes


async def changing(till: Till, offer: str) -> tuple[Any, Any]:
    """A paid order of a SECOND seat, and the order, PENDING, that changes its ticket to a dearer offer."""
    first = await till.desk.order(till.world.seat(fare_class=SECOND), passengers=[passenger()])
    await till.pay(first)
    await till.paid(first)
    code = await till.world.value("SELECT ticket_code FROM tickets")
    quote = await till.desk.call(
        "QuoteChange", refund_pb2.QuoteChangeRequest(ticket_code=code, offer_id=offer)
    )
    changed = await till.desk.call(
        "ChangeTicket",
        refund_pb2.ChangeTicketRequest(
            ticket_code=code, change_quote=quote.change_quote, request_id="change-1"
        ),
    )
    assert changed.order.state == order_pb2.ORDER_STATE_PENDING
    return first, changed.order


async def test_a_change_that_is_paid(till: Till) -> None:
    """On the same departure: the old ticket is CHANGED, its seat free, and the document stays guarded."""
    first, second = await changing(till, till.world.seat())
    assert await till.world.stock(fare_class=SECOND) == (5, 0, 1)
    await till.pay(second)
    await till.paid(second)
    await till.until_state(first, "CANCELLED")
    assert [state for state, *_ in await till.tickets(first)] == ["CHANGED"]
    assert [state for state, *_ in await till.tickets(second)] == ["ACTIVE"]
    assert await till.world.stock(fare_class=SECOND) == (5, 0, 0)
    assert await till.world.stock() == (5, 0, 1)


async def late_change(till: Till) -> tuple[Any, Any]:
    """A change whose hold is over, and that was paid just before."""
    first, second = await changing(till, till.world.seat())
    await till.wechat.switch(hold_notices=True, down={"close": -1, "query": -1})
    await till.pay(second)
    await till.world.expire(second.order_id)
    await till.until_state(second, "CANCELLED")
    assert [state for state, *_ in await till.tickets(first)] == ["ACTIVE"]
    return first, second


async def test_a_late_payment_of_a_change_is_honoured(till: Till) -> None:
    first, second = await late_change(till)
    await hear(till)
    await till.paid(second)
    assert [state for state, *_ in await till.tickets(first)] == ["CHANGED"]
    assert [state for state, *_ in await till.tickets(second)] == ["ACTIVE"]


async def test_a_late_payment_of_a_change_goes_back_if_the_ticket_has_moved(till: Till) -> None:
    first, second = await late_change(till)
    quote = await till.desk.call(
        "QuoteRefund", refund_pb2.QuoteRefundRequest(order_id=first.order_id)
    )
    request = refund_pb2.RequestRefundRequest(
        order_id=first.order_id, refund_quote=quote.refund_quote, request_id="refund-1"
    )
    await till.desk.call("RequestRefund", request)
    await hear(till)
    await till.world.until("SELECT count(*) = 2 FROM refunds WHERE state = 'SUCCEEDED'")
    assert [cause for _, cause, _ in await till.refunds(second)] == ["LATE_PAYMENT"]
    assert await till.tickets(second) == []
    assert [state for state, *_ in await till.tickets(first)] == ["REFUNDED"]
    assert await till.world.stock() == (5, 0, 0)
