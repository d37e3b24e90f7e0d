"""The QR codes a partner gets for its tickets and orders."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest
from deeptravel.ota.v1 import ota_service_pb2 as ota

from server.api import convert
from server.platform.errors import Reason
from server.tickets.qr import QrKind
from tests.support.partner_client import Market, PartnerClient, customer, payment
from tests.support.rpc_server import refusal

SVG = "{http://www.w3.org/2000/svg}svg"
NEWEST_ANSWER = "SELECT answer FROM idempotency_records ORDER BY create_time DESC LIMIT 1"


async def jti_of(market: Market, ticket_code: str) -> UUID:
    found: UUID = await market.value("SELECT jti FROM tickets WHERE ticket_code = %s", ticket_code)
    return found


async def an_order(market: Market) -> None:
    """Order 1, for tickets that are sold by hand."""
    await market.sql(
        "INSERT INTO orders VALUES (1, 'ORD-1', 1, 'PAID', gen_random_uuid(), 'ADULT', '张三', 1,"
        " 'PAY-1', 100, 'HKD', now())"
    )


async def events(market: Market) -> list[tuple[str, ...]]:
    return await market.sql("SELECT action, state, actor FROM ticket_events ORDER BY event_id")


async def test_qr_of_a_ticket_that_is_not_sold_yet(market: Market, client: PartnerClient) -> None:
    (code,) = await client.codes(1)
    issued = await client.qr(code)
    ((number, jti, until),) = await market.sql(
        "SELECT ticket_id, jti, valid_until_time FROM tickets"
    )
    assert (issued.ticket_code, issued.jti) == (code, str(jti))
    assert issued.expire_time.ToDatetime(UTC) == until
    claims = market.claims(issued.encrypted_data)
    assert (claims.jti, claims.number, claims.expire_time, claims.kind) == (
        jti,
        number,
        until,
        QrKind.TICKET,
    )
    assert issued.png.startswith(b"\x89PNG\r\n\x1a\n")
    assert ElementTree.fromstring(issued.svg).tag == SVG


async def test_issued_again_it_is_another_token_of_the_same_qr(
    market: Market, client: PartnerClient
) -> None:
    (code,) = await client.codes(1)
    first, second = await client.qr(code), await client.qr(code)
    assert first.encrypted_data != second.encrypted_data
    assert first.jti == second.jti == str(await jti_of(market, code))
    assert market.claims(first.encrypted_data) == market.claims(second.encrypted_data)
    assert await events(market) == []


async def test_rotation(market: Market, client: PartnerClient) -> None:
    code, other = await client.codes(2)
    await client.activate(code)
    before, untouched = await jti_of(market, code), await jti_of(market, other)
    rotated = await client.qr(code, rotate=True)
    after = await jti_of(market, code)
    assert after != before
    assert after.version == 4
    assert rotated.jti == str(after)
    assert market.claims(rotated.encrypted_data).jti == after
    assert await jti_of(market, other) == untouched
    assert await events(market) == [
        ("activated", "ACTIVE", "partner:CP"),
        ("qr_rotated", "ACTIVE", "partner:CP"),
    ]


async def test_rotation_repeated(market: Market, client: PartnerClient) -> None:
    """The repeat gets the token of the first again, drawn again; without request_id it is
    another rotation.
    """
    code, other = await client.codes(2)
    first = await client.qr(code, rotate=True, request_id="r")
    assert await client.qr(code, rotate=True, request_id="r") == first
    assert str(await jti_of(market, code)) == first.jti
    for changed in ({"rotate": False}, {"ticket_code": other}):
        fields: dict[str, Any] = {"ticket_code": code, "rotate": True} | changed
        refused = await refusal(client.qr(**fields, request_id="r"))
        assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    assert (await client.qr(code, rotate=True)).jti != first.jti
    assert [action for action, *_ in await events(market)] == ["qr_rotated"] * 2
    stored = await market.value(NEWEST_ANSWER)
    assert first.encrypted_data.encode() not in stored
    assert len(stored) < 500  # no pictures


@pytest.mark.parametrize("rotate", [False, True])
async def test_no_qr(
    market: Market, client: PartnerClient, subtests: pytest.Subtests, rotate: bool
) -> None:
    changes = [
        "state = 'USED', order_id = 1",
        "state = 'REFUNDED', order_id = 1",
        "state = 'CHANGED', order_id = 1",
        "state = 'EXPIRED', order_id = 1",
        "state = 'VOIDED'",
        "blocked = true",
        "valid_from_time = now() - interval '2 days', valid_until_time = now() - interval '1 day'",
    ]
    await an_order(market)
    codes = await client.codes(len(changes))
    for code, change in zip(codes, changes, strict=True):
        with subtests.test(change):
            await market.sql(f"UPDATE tickets SET {change} WHERE ticket_code = %s", code)
            before = await market.sql("SELECT * FROM tickets ORDER BY ticket_id")
            refused = await refusal(client.qr(code, rotate=rotate))
            assert refused.reason == Reason.TICKET_STATE_REFUSES
            state = await market.value("SELECT state FROM tickets WHERE ticket_code = %s", code)
            assert refused.metadata == {"ticket_code": code, "status": state}
            assert await market.sql("SELECT * FROM tickets ORDER BY ticket_id") == before
    assert await events(market) == []


async def test_states_that_are_not_final_have_a_qr(market: Market, client: PartnerClient) -> None:
    await an_order(market)
    (code,) = await client.codes(1)
    for state in ("ACTIVE", "PARTIALLY_REDEEMED", "REFUNDING", "CHANGING"):
        await market.sql("UPDATE tickets SET order_id = 1, state = %s", state)
        assert (await client.qr(code, rotate=True)).jti == str(await jti_of(market, code))
    assert [state for _, state, _ in await events(market)] == [
        "ACTIVE",
        "PARTIALLY_REDEEMED",
        "REFUNDING",
        "CHANGING",
    ]


async def test_qr_of_an_order(market: Market, client: PartnerClient) -> None:
    """It is good as long as the last of its tickets."""
    codes = await client.codes(2)
    later = convert.timestamp(datetime.now(UTC) + timedelta(days=100))
    codes += await client.codes(1, valid_from_time=later)
    sales = [(code, customer(), payment()) for code in codes]
    verdict = (await client.activate_many(sales)).verdicts[0]
    issued = await client.call("IssueOrderQr", ota.IssueOrderQrRequest(order_id=verdict.order_id))
    ((number, jti),) = await market.sql("SELECT order_id, jti FROM orders")
    until = await market.value("SELECT max(valid_until_time) FROM tickets")
    claims = market.claims(issued.encrypted_data)
    assert (claims.kind, claims.number, claims.jti) == (QrKind.ORDER, number, jti)
    assert claims.expire_time == issued.expire_time.ToDatetime(UTC) == until
    assert issued.order_id == verdict.order_id
    assert issued.png.startswith(b"\x89PNG")
    assert ElementTree.fromstring(issued.svg).tag == SVG


async def test_unknown_order(client: PartnerClient) -> None:
    for order_id in ("ORD-CP-20251103-000001", "OTA-CP-20251103-000001", "x"):
        request = ota.IssueOrderQrRequest(order_id=order_id)
        refused = await refusal(client.call("IssueOrderQr", request))
        assert refused.reason == Reason.NOT_FOUND
        assert refused.metadata == {"resource": "order", "name": order_id}
