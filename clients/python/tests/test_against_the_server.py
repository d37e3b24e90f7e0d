"""A partner, a terminal and a traveller against a real server with demo data."""

import asyncio
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from deeptravel import AsyncClient, CallError, Client, Reason, ota, redemption, ticketing, tickets

Real = tuple[str, dict[str, Any]]
QR_TEXT = re.compile(r"[A-Z2-7]+(:[A-Z2-7]+){3}")


def customer() -> tickets.CustomerInfo:
    return tickets.CustomerInfo(name="张三", type=tickets.CUSTOMER_TYPE_ADULT)


def payment() -> tickets.PaymentProof:
    return tickets.PaymentProof(reference="PAY", amount_minor=29_800, currency_code="CNY")


def test_a_partner_and_a_terminal(real: Real) -> None:
    address, known = real
    with Client(address, api_key=known["partner_api_key"], plaintext=True) as client:
        stock = {each.product_id: each.available for each in client.ota.get_inventory().inventory}
        batch = client.ota.bulk_generate_tickets(product_id=106, quantity=7, distributor_id="PY")
        left = {each.product_id: each.available for each in client.ota.get_inventory().inventory}
        assert stock[106] - left[106] >= 7  # others call this server too

        codes = [each.ticket_code for each in batch.tickets]
        streamed = client.ota.stream_batch_tickets(batch_id=batch.batch_id, with_qr=True)
        qr_texts = {each.ticket_code: each.encrypted_data for each in streamed}
        assert list(qr_texts) == codes
        assert all(QR_TEXT.fullmatch(each) for each in qr_texts.values())
        paged = client.ota.iter_tickets(batch_id=batch.batch_id, page_size=3)
        assert [each.ticket_code for each in paged] == codes
        rest = client.ota.stream_batch_tickets(batch_id=batch.batch_id, after_ticket_code=codes[4])
        assert [each.ticket_code for each in rest] == codes[5:]

        sold, request_id = codes[0], uuid.uuid4().hex
        answers = [
            client.ota.activate_ticket(
                ticket_code=sold, customer=customer(), payment=payment(), request_id=request_id
            )
            for _ in range(2)
        ]
        assert answers[0] == answers[1]
        assert answers[0].status == tickets.TICKET_STATE_ACTIVE

        operator = known["operator"]
        terminal = client.logged_in_operator(
            operator["username"], operator["password"], known["terminal_device_id"]
        )
        seen = terminal.redemption.decrypt_qr(encrypted_data=qr_texts[sold])
        assert seen.ticket_code == sold
        first = terminal.redemption.redeem(qr_token=qr_texts[sold], function_code="ferry")
        assert first.result == redemption.REDEMPTION_RESULT_SUCCESS
        again = terminal.redemption.redeem(qr_token=qr_texts[sold], function_code="ferry")
        assert again.reason == redemption.REFUSAL_REASON_ALREADY_REDEEMED
        scan = redemption.RedeemRequest(qr_token=qr_texts[sold], function_code="gift")
        scans = [redemption.ScanStreamRequest(scan_id="1", scan=scan)]
        (answer,) = terminal.redemption.scan_stream(scans)
        assert answer.ByteSize()


def test_a_partners_events_exports_and_statements(real: Real) -> None:
    """What its tickets went through, as it would be kept up with."""
    address, known = real
    with Client(address, api_key=known["partner_api_key"], plaintext=True) as client:
        reserved = client.ota.reserve_inventory(product_id=106, quantity=2).reservation
        batch = client.ota.bulk_generate_tickets(
            product_id=106, quantity=2, reservation_id=reserved.reservation_id
        )
        # an event is there within a second; this one is acknowledged when the next is asked for
        followed = client.follow_events(types=["batch.generated"], pause_seconds=0.5, timeout=20)
        mine = next(each for each in followed if each.data.batch_id == batch.batch_id)
        assert (mine.data.quantity, mine.data.reservation_id) == (2, reserved.reservation_id)

        codes = [each.ticket_code for each in batch.tickets]
        parts = client.ota.export_tickets(batch_id=batch.batch_id, with_qr=True)
        exported = [each for part in parts for each in part.tickets]
        assert [each.ticket_code for each in exported] == codes
        assert all(QR_TEXT.fullmatch(each.encrypted_data) for each in exported)
        file = client.ota.export_tickets(batch_id=batch.batch_id, format=ota.EXPORT_FORMAT_CSV)
        written = b"".join(part.file.data for part in file).decode()
        assert [line.partition(",")[0] for line in written.splitlines()] == ["ticket_code", *codes]

        month = next(client.ota.iter_statements()).month
        assert client.ota.get_statement(month=month).statement.month == month
        assert len(list(client.ota.iter_statement_lines(month=month))) >= 0
        pdf = client.ota.download_statement(month=month, format=ota.STATEMENT_FORMAT_PDF)
        assert b"".join(part.body.data for part in pdf).startswith(b"%PDF-")
        client.ota.release_reservation(reservation_id=reserved.reservation_id)


def test_a_session_that_is_over_is_renewed(real: Real) -> None:
    address, known = real
    operator = known["operator"]
    with Client(address, plaintext=True) as client:
        terminal = client.logged_in_operator(
            operator["username"], operator["password"], known["terminal_device_id"]
        )
        mine = terminal.redemption._calls._credentials
        before = mine.metadata
        mine.metadata = (("authorization", "Bearer dto_over"),)
        answer = terminal.redemption.decrypt_qr(encrypted_data="A:B:C:D")
        assert answer.reason == redemption.REFUSAL_REASON_TOKEN_INVALID
        assert mine.metadata not in {before, (("authorization", "Bearer dto_over"),)}


def test_refusals(real: Real) -> None:
    address, known = real
    with Client(address, api_key=known["partner_api_key"], plaintext=True) as client:
        with pytest.raises(CallError) as sold_out:
            client.ota.bulk_generate_tickets(product_id=106, quantity=50_000)
        assert sold_out.value.reason == Reason.SOLD_OUT
        assert int(sold_out.value.metadata["available"]) < 50_000
        assert sold_out.value.server_request_id

        with pytest.raises(CallError) as invalid:
            client.ota.bulk_generate_tickets(product_id=106, quantity=0)
        assert invalid.value.reason == Reason.INVALID_FIELD
        assert [each.field for each in invalid.value.violations] == ["quantity"]

        mine = uuid.uuid4().hex
        client.ota.bulk_generate_tickets(product_id=106, quantity=1, request_id=mine)
        with pytest.raises(CallError) as mismatch:
            client.ota.bulk_generate_tickets(product_id=106, quantity=2, request_id=mine)
        assert mismatch.value.reason == Reason.IDEMPOTENCY_MISMATCH
        assert mismatch.value.code is grpc.StatusCode.ALREADY_EXISTS

    with (
        Client(address, api_key="dt_nobody", plaintext=True) as stranger,
        pytest.raises(CallError) as unknown,
    ):
        stranger.ota.get_inventory()
    assert unknown.value.reason == Reason.UNAUTHENTICATED


def test_a_traveller(real: Real) -> None:
    address, _ = real
    with Client(address, plaintext=True) as anyone:
        token = anyone.ticketing.traveller_login(code=uuid.uuid4().hex).access_token
        traveller = anyone.with_access_token(token).ticketing
        offers = traveller.iter_search_offers(
            origin_city_code="SZX",
            destination_city_code="HKG",
            travel_date=(datetime.now(UTC).date() + timedelta(days=4)).isoformat(),
            passengers=[tickets.CUSTOMER_TYPE_ADULT],
            kinds=[ticketing.OFFER_KIND_TRAIN],
            available_only=True,
        )
        passenger = ticketing.Passenger(
            name="张三",
            document_type=ticketing.DOCUMENT_TYPE_PASSPORT,
            document_number=f"E{uuid.uuid4().int % 10**8:08}",
        )
        order = traveller.create_order(
            items=[ticketing.OrderItem(offer_id=next(offers).offer_id)], passengers=[passenger]
        ).order
        for move in traveller.watch_order(order_id=order.order_id, timeout=30):
            assert move.state == ticketing.ORDER_STATE_PENDING
            break
        assert traveller.cancel_order(order_id=order.order_id).order.order_id == order.order_id


def test_in_asyncio(real: Real) -> None:
    """Many calls at once over one channel."""
    address, known = real

    async def batches() -> None:
        key = known["partner_api_key"]
        async with AsyncClient(address, api_key=key, plaintext=True) as client:
            made = await asyncio.gather(
                *(client.ota.bulk_generate_tickets(product_id=107, quantity=2) for _ in range(5))
            )
            for each in made:
                streamed = client.ota.stream_batch_tickets(batch_id=each.batch_id)
                assert len([ticket async for ticket in streamed]) == 2
            with pytest.raises(CallError) as unknown:
                await client.ota.get_batch(batch_id=str(uuid.uuid4()))
            assert unknown.value.reason == Reason.NOT_FOUND
            operator = known["operator"]
            terminal = await client.logged_in_operator(
                operator["username"], operator["password"], known["terminal_device_id"]
            )
            look = await terminal.redemption.decrypt_qr(encrypted_data="A:B:C:D")
            assert look.reason == redemption.REFUSAL_REASON_TOKEN_INVALID

    asyncio.run(batches())
