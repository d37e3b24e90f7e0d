"""The Python client against a server as `make run` starts it."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import httpx2
from deeptravel.ticketing.v1 import offer_pb2, order_pb2
from deeptravel.tickets.v1 import ticket_pb2
from deeptravel_client import Connection, Partner, Terminal, Traveller

from tests.support.server_process import ServerProcess


def search(traveller: Traveller) -> str:
    """A train in a few days that has seats."""
    request = offer_pb2.SearchOffersRequest(
        origin_city_code="SZX",
        destination_city_code="HKG",
        travel_date=(datetime.now(UTC).date() + timedelta(days=4)).isoformat(),
        passengers=[ticket_pb2.CUSTOMER_TYPE_ADULT],
        kinds=[offer_pb2.OFFER_KIND_TRAIN],
        available_only=True,
    )
    return traveller.search(request).offers[0].offer_id


def test_a_traveller_buys_and_gives_back(served: ServerProcess) -> None:
    connection = Connection(served.target)
    traveller = Traveller(connection, uuid.uuid4().hex)
    passenger = order_pb2.Passenger(
        name="张三",
        document_type=order_pb2.DOCUMENT_TYPE_PASSPORT,
        document_number=f"E{uuid.uuid4().int % 10**8:08}",
    )
    offer, request_id = search(traveller), uuid.uuid4().hex
    order = traveller.order(offer, [passenger], request_id=request_id)
    again = traveller.order(offer, [passenger], request_id=request_id)
    assert again.order_id == order.order_id

    payment = traveller.pay(order.order_id)
    phone = json.loads((served.data_dir / "wechat" / "merchant.json").read_text())["url"]
    httpx2.post(f"{phone}/simulator/pay/{payment.payment.out_trade_no}", json={})
    for move in traveller.watch(order.order_id):
        if move.state == order_pb2.ORDER_STATE_PAID:
            break
    (ticket,) = traveller.tickets(order.order_id)
    assert traveller.issue_qr(ticket.ticket_code).encrypted_data
    assert traveller.refund(order.order_id).refund.order_id == order.order_id
    connection.channel.close()


def test_a_partner_and_a_terminal(served: ServerProcess) -> None:
    """`deeptravel demo` calls the rest; here are the stream, the inventory and the repeat."""
    connection, known = Connection(served.target), served.credentials
    partner = Partner(connection, known["partner_api_key"])
    before = {each.product_id: each.available for each in partner.inventory()}
    batch = partner.generate(106, 3)
    qr_texts = {
        each.ticket_code: each.encrypted_data for each in partner.batch_tickets(batch.batch_id)
    }
    assert set(qr_texts) == {each.ticket_code for each in batch.tickets}
    after = {each.product_id: each.available for each in partner.inventory()}
    assert before[106] - after[106] >= 3  # others call this server too

    code, qr_text = next(iter(qr_texts.items()))
    partner.activate(
        code,
        ticket_pb2.CustomerInfo(name="张三", type=ticket_pb2.CUSTOMER_TYPE_ADULT),
        ticket_pb2.PaymentProof(reference="PAY", amount_minor=29_800, currency_code="CNY"),
    )
    operator = known["operator"]
    terminal = Terminal(
        connection, operator["username"], operator["password"], known["terminal_device_id"]
    )
    answers = [terminal.redeem(qr_text, "ferry", request_id="scan-" + code) for _ in range(2)]
    assert answers[0].redemption_id == answers[1].redemption_id
    assert answers[0].entitlements
    connection.channel.close()
