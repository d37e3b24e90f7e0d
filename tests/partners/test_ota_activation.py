"""Activation of sold tickets, one and many, through a real server."""

import pytest
from deeptravel.tickets.v1 import ticket_pb2

from server.platform.errors import Reason
from tests.support.partner_client import (
    STATE_NAME,
    Market,
    PartnerClient,
    customer,
    payment,
    request_id,
    today,
)
from tests.support.rpc_server import refusal


async def test_activation(market: Market, client: PartnerClient) -> None:
    code, untouched = await client.codes(2)
    answer = await client.activate(code, payment=payment("PAY-7"))
    assert answer.ticket_code == code
    assert STATE_NAME[answer.status] == "ACTIVE"
    assert answer.order_id == f"ORD-CP-{today()}-000001"
    orders = await market.sql(
        "SELECT order_code, partner_id, state, customer_type, customer_name, ticket_count,"
        " payment_reference, amount_minor, currency_code FROM orders"
    )
    assert orders == [
        (answer.order_id, 1, "PAID", "ADULT", "张三", 1, "PAY-7", 12_000, "HKD"),
    ]
    customers = await market.sql("SELECT ticket_code, customer_name FROM tickets ORDER BY 1")
    assert customers == [(code, "张三"), (untouched, None)]
    events = await market.sql(
        "SELECT ticket_code, action, e.state, actor FROM ticket_events e JOIN tickets USING"
        " (ticket_id)"
    )
    assert events == [(code, "activated", "ACTIVE", "partner:CP")]
    assert await market.sold() == 2
    ((ticket, _),) = [page.tickets for page in await client.pages()]
    assert (STATE_NAME[ticket.status], ticket.order_id) == ("ACTIVE", answer.order_id)
    assert await market.contradictions() == []


async def test_customer_type_need_not_be_said(market: Market, client: PartnerClient) -> None:
    (code,) = await client.codes(1)
    await client.activate(code, customer=ticket_pb2.CustomerInfo(name="李四"))
    assert await market.sql("SELECT customer_type, customer_name FROM tickets") == [("", "李四")]


async def test_activation_repeated(market: Market, client: PartnerClient) -> None:
    code, second = await client.codes(2)
    first = await client.activate(code, request_id="a")
    counts = await market.counts()
    assert await client.activate(code, request_id="a") == first
    mismatch = await refusal(client.activate(second, request_id="a"))
    assert mismatch.reason == Reason.IDEMPOTENCY_MISMATCH
    again = await refusal(client.activate(code, request_id="b"))
    assert again.reason == Reason.TICKET_STATE_REFUSES
    assert again.metadata == {"ticket_code": code, "status": "ACTIVE"}
    assert await market.counts() == counts


async def test_activation_refused(
    market: Market, client: PartnerClient, subtests: pytest.Subtests
) -> None:
    changes = [
        "blocked = true",
        "state = 'VOIDED'",
        "state = 'USED', order_id = 1",
        "valid_from_time = now() - interval '2 days', valid_until_time = now() - interval '1 day'",
    ]
    codes = await client.codes(len(changes))
    for code, change in zip(codes, changes, strict=True):
        with subtests.test(change):
            await market.sql(f"UPDATE tickets SET {change} WHERE ticket_code = %s", code)
            before = await market.sql("SELECT * FROM tickets ORDER BY ticket_id")
            refused = await refusal(client.activate(code))
            assert refused.reason == Reason.TICKET_STATE_REFUSES
            state = await market.value("SELECT state FROM tickets WHERE ticket_code = %s", code)
            assert refused.metadata == {"ticket_code": code, "status": state}
            (verdict,) = (await client.activate_many([(code, customer(), payment())])).verdicts
            assert (verdict.activated, STATE_NAME[verdict.status]) == (False, state)
            assert verdict.reason == "TICKET_STATE_REFUSES"
            assert await market.sql("SELECT * FROM tickets ORDER BY ticket_id") == before
    assert await market.value("SELECT count(*) FROM orders") == 0
    assert await market.value("SELECT count(*) FROM ticket_events") == 0


async def test_unknown_ticket(client: PartnerClient) -> None:
    for code in ("OTA-CP-20251103-000001", "OTA-CP-20251103-1", "x", "ORD-CP-20251103-000001"):
        refused = await refusal(client.activate(code))
        assert refused.reason == Reason.NOT_FOUND
        assert refused.metadata == {"resource": "ticket", "name": code}
        assert (await refusal(client.qr(code))).reason == Reason.NOT_FOUND


async def test_one_verdict_for_each_sale(market: Market, client: PartnerClient) -> None:
    codes = await client.codes(5)
    sold_before = await client.activate(codes[2])
    await market.sql("UPDATE tickets SET blocked = true WHERE ticket_code = %s", codes[3])
    sales = [
        (codes[4], customer("E"), payment("P-2")),
        (codes[0], customer("A"), payment("P-1")),
        (codes[3], customer("D"), payment("P-1")),
        ("OTA-CP-20251103-000001", customer("?"), payment("P-3")),
        (codes[2], customer("C"), payment("P-1")),
        (codes[1], customer("B"), payment("P-1")),
    ]
    answer = await client.activate_many(sales, "many")
    seen = [
        (v.ticket_code, v.activated, STATE_NAME[v.status], v.order_id, v.reason)
        for v in answer.verdicts
    ]
    order_2, order_1 = (f"ORD-CP-{today()}-{sequence:06d}" for sequence in (2, 3))
    assert seen == [
        (codes[4], True, "ACTIVE", order_2, ""),
        (codes[0], True, "ACTIVE", order_1, ""),
        (codes[3], False, "PRE_GENERATED", "", "TICKET_STATE_REFUSES"),
        ("OTA-CP-20251103-000001", False, "", "", "NOT_FOUND"),
        (codes[2], False, "ACTIVE", sold_before.order_id, "TICKET_STATE_REFUSES"),
        (codes[1], True, "ACTIVE", order_1, ""),
    ]
    orders = await market.sql(
        "SELECT order_code, customer_name, ticket_count, amount_minor FROM orders ORDER BY 1"
    )
    assert orders == [
        (sold_before.order_id, "张三", 1, 12_000),
        (order_2, "E", 1, 12_000),
        (order_1, "A", 2, 24_000),  # of what was activated
    ]
    names = await market.sql("SELECT customer_name FROM tickets ORDER BY ticket_id")
    assert names == [("A",), ("B",), ("张三",), (None,), ("E",)]
    assert await client.activate_many(sales, "many") == answer
    refused = await refusal(client.activate_many(sales[:1], "many"))
    assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    assert await market.contradictions() == []


async def test_sales_that_contradict_each_other(market: Market, client: PartnerClient) -> None:
    first, second = await client.codes(2)
    twice = [(code, customer(), payment()) for code in (first, second, first)]
    refused = await refusal(client.activate_many(twice))
    assert (refused.reason, refused.fields) == (
        Reason.INVALID_FIELD,
        ("activations[2].ticket_code",),
    )
    currencies = [
        (first, customer(), payment("P", 1, "HKD")),
        (second, customer(), payment("P", 1, "CNY")),
    ]
    refused = await refusal(client.activate_many(currencies))
    assert refused.fields == ("activations[1].payment.currency_code",)
    refused = await refusal(client.activate_many([]))
    assert refused.fields == ("activations",)
    refused = await refusal(client.activate_many([(first, None, payment())]))
    assert refused.fields == ("activations[0].customer",)
    assert await market.value("SELECT count(*) FROM orders") == 0


async def test_a_thousand_sales_at_once(market: Market, client: PartnerClient) -> None:
    batch = await client.batch(1001)
    codes = await client.listed(batch_id=batch.batch_id, page_size=200)
    sales = [
        (code, customer(f"客 {index}"), payment(f"P-{index // 2}"))
        for index, code in enumerate(codes)
    ]
    refused = await refusal(client.activate_many(sales))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("activations",))
    verdicts = (await client.activate_many(sales[:1000])).verdicts
    assert all(verdict.activated for verdict in verdicts)
    assert len({verdict.order_id for verdict in verdicts}) == 500
    assert await market.value("SELECT count(*) FROM ticket_events") == 1000
    names = await market.sql("SELECT customer_name FROM tickets ORDER BY ticket_id LIMIT 1000")
    assert names == [(f"客 {index}",) for index in range(1000)]
    assert await market.contradictions() == []


async def test_request_ids_are_apart_by_method(client: PartnerClient) -> None:
    batch = await client.batch(2, request_id="same")
    first, second = (ticket.ticket_code for ticket in batch.tickets)
    assert (await client.activate(first, request_id="same")).ticket_code == first
    (verdict,) = (await client.activate_many([(second, customer(), payment())], "same")).verdicts
    assert verdict.activated
    assert (await client.batch(2, request_id=request_id())).batch_id != batch.batch_id
