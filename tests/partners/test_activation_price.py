"""A partner's payment proof is compared with the price snapshot of what it activates.

Seen red on the former code: a ticket of 120.00 HKD was activated with a proof of 0.01 USD.
"""

import httpx2
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.tickets.v1 import ticket_pb2

from server.platform.errors import Reason
from tests.support.changes import show_changes
from tests.support.gate_server import GateServer
from tests.support.partner_client import STATE_NAME, Market, PartnerClient, customer, payment
from tests.support.rpc_server import refusal

CENT = {
    "expected_minor": "12000",
    "expected_currency_code": "HKD",
    "paid_minor": "1",
    "paid_currency_code": "USD",
}


async def test_one_ticket(market: Market, client: PartnerClient) -> None:
    (code,) = await client.codes(1)
    before = await market.counts()
    for proof in (payment("P", 1, "USD"), payment("P", 12_000, "USD"), payment("P", 11_999)):
        refused = await refusal(client.activate(code, payment=proof))
        assert refused.reason == Reason.PAYMENT_MISMATCH
    refused = await refusal(client.activate(code, payment=payment("P", 1, "USD")))
    assert refused.metadata == {"ticket_code": code} | CENT
    assert await market.counts() == before
    assert await market.sql("SELECT state, order_id FROM tickets") == [("PRE_GENERATED", None)]
    assert STATE_NAME[(await client.activate(code, payment=payment("P"))).status] == "ACTIVE"


async def test_a_verdict_for_each_of_several(market: Market, client: PartnerClient) -> None:
    good, cheap, foreign = await client.codes(3)
    sales = [
        (good, customer(), payment("P-1")),
        (cheap, customer(), payment("P-1", 1)),
        (foreign, customer(), payment("P-2", 12_000, "CNY")),
    ]
    answer = await client.activate_many(sales, "many")
    seen = [(v.activated, STATE_NAME[v.status], v.reason) for v in answer.verdicts]
    assert seen == [
        (True, "ACTIVE", ""),
        (False, "PRE_GENERATED", "PAYMENT_MISMATCH"),
        (False, "PRE_GENERATED", "PAYMENT_MISMATCH"),
    ]
    first, second, third = answer.verdicts
    assert not first.HasField("payment_mismatch")
    assert second.payment_mismatch == ota.PaymentMismatch(
        expected_minor=12_000,
        expected_currency_code="HKD",
        paid_minor=1,
        paid_currency_code="HKD",
    )
    wrong = third.payment_mismatch
    assert (wrong.paid_currency_code, wrong.expected_currency_code) == ("CNY", "HKD")
    assert [second.order_id, third.order_id] == ["", ""]
    orders = await market.sql("SELECT ticket_count, amount_minor, currency_code FROM orders")
    assert orders == [(1, 12_000, "HKD")]
    # the repeat is the first answer, though a price that fits would be another
    await market.sql("UPDATE partners SET activation_tolerance_basis_points = 10000")
    await show_changes(market)
    assert await client.activate_many(sales, "many") == answer


async def test_a_batch_that_is_sold_already(market: Market, client: PartnerClient) -> None:
    before = await market.counts()
    for amount in (12_000, 35_999):
        sold = ota.Activation(customer=customer(), payment=payment(amount_minor=amount))
        refused = await refusal(client.batch(3, activation=sold))
        assert refused.reason == Reason.PAYMENT_MISMATCH
        assert refused.metadata["expected_minor"] == "36000"
    assert await market.counts() == before
    assert await market.sold() == 0
    sold = ota.Activation(customer=customer(), payment=payment(amount_minor=36_000))
    assert (await client.batch(3, activation=sold)).order_id


async def test_the_snapshot_counts(market: Market, client: PartnerClient) -> None:
    """Not what the product costs now."""
    old, _ = await client.codes(2)
    await market.sql("UPDATE products SET fares = replace(fares::text, '12000', '13000')::jsonb")
    await show_changes(market)
    refused = await refusal(client.activate(old, payment=payment(amount_minor=13_000)))
    assert refused.metadata["expected_minor"] == "12000"
    await client.activate(old)


async def test_fares_of_other_customers(market: Market, client: PartnerClient) -> None:
    fares = (
        '[{"customer_type": "ADULT", "day_type": "weekday", "amount_minor": 12000},'
        ' {"customer_type": "CHILD", "day_type": "weekday", "amount_minor": 6000},'
        ' {"customer_type": "CHILD", "day_type": "holiday", "amount_minor": 7000}]'
    )
    await market.sql("UPDATE products SET fares = %s", fares)
    child = ticket_pb2.CustomerInfo(type=ticket_pb2.CUSTOMER_TYPE_CHILD, name="小明")
    first, second, third = await client.codes(3)
    await client.activate(first, customer=child, payment=payment("P", 6_000))
    await client.activate(second, customer=child, payment=payment("P", 7_000))
    refused = await refusal(client.activate(third, customer=child))
    assert refused.metadata["expected_minor"] == "7000"


async def test_a_tolerance_of_the_partner(
    market: Market, client: PartnerClient, other_client: PartnerClient, ota_server: GateServer
) -> None:
    await market.sql(
        "UPDATE partners SET activation_tolerance_basis_points = 500 WHERE partner_code = 'CP'"
    )
    await show_changes(market)
    low, high, below = await client.codes(3)
    await client.activate(low, payment=payment("L", 11_400))
    await client.activate(high, payment=payment("H", 12_600))
    assert (
        await refusal(client.activate(below, payment=payment("B", 11_399)))
    ).reason == Reason.PAYMENT_MISMATCH
    assert (
        await refusal(client.activate(below, payment=payment("B", 12_000, "CNY")))
    ).reason == Reason.PAYMENT_MISMATCH
    (theirs,) = await other_client.codes(1)
    refused = await refusal(other_client.activate(theirs, payment=payment("T", 11_999)))
    assert refused.reason == Reason.PAYMENT_MISMATCH


async def test_over_json(market: Market, client: PartnerClient, ota_server: GateServer) -> None:
    (code,) = await client.codes(1)
    base = f"http://127.0.0.1:{ota_server.app.http_port}/ota/tickets"
    proof = {"reference": "P", "amount_minor": 1, "currency_code": "USD"}
    sale = {"customer": {"type": "adult", "name": "张三"}, "payment": proof}
    async with httpx2.AsyncClient(headers={"x-api-key": client.api_key}) as http:
        answer = await http.post(f"{base}/{code}/activate", json=sale | {"request_id": "1"})
        assert answer.status_code == 400
        (info,) = [each for each in answer.json()["details"] if "ErrorInfo" in each["@type"]]
        assert info["reason"] == "PAYMENT_MISMATCH"
        assert info["metadata"] == {"ticket_code": code} | CENT
        body = {"request_id": "2", "activations": [sale | {"ticket_code": code}]}
        answer = await http.post(f"{base}:activate", json=body)
        assert answer.status_code == 200
        (verdict,) = answer.json()["verdicts"]
        assert (verdict["activated"], verdict["reason"]) == (False, "PAYMENT_MISMATCH")
        mismatch = {name: str(value) for name, value in verdict["payment_mismatch"].items()}
        assert mismatch == CENT
        assert (await http.post(f"{base}:activate", json=body)).json() == answer.json()
