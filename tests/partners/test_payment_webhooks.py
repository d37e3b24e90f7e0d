"""A partner's signed payment webhook activates its tickets, once, beside the RPC."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest
import standardwebhooks
from deeptravel.ota.v1 import event_pb2, webhook_pb2

from server.platform.errors import Reason
from server.webhooks.rules import PAYMENT_REFUSED
from tests.support.gate_server import GateServer
from tests.support.partner_client import FARE_MINOR, HK, Market, PartnerClient, payment
from tests.support.rpc_server import Refusal, refusal_or_none

SETTLED = "SELECT count(*) = 0 FROM partner_payments WHERE state = 'RECEIVED'"


@pytest.fixture
async def secret(client: PartnerClient) -> str:
    """The partner's, new for each test."""
    request = webhook_pb2.RotatePaymentWebhookSecretRequest(request_id=uuid4().hex)
    return str((await client.call("RotatePaymentWebhookSecret", request)).secret)


@pytest.fixture
async def http(ota_server: GateServer) -> AsyncIterator[httpx2.AsyncClient]:
    url = f"http://127.0.0.1:{ota_server.app.http_port}"
    async with httpx2.AsyncClient(base_url=url) as open_client:
        yield open_client


def message(codes: list[str] | None, **data: Any) -> bytes:
    fields: dict[str, Any] = {
        "payment_reference": "PAY-1",
        "amount_minor": FARE_MINOR * len(codes or [1]),
        "currency_code": "HKD",
        "customer": {"type": "ADULT", "name": "张三"},
    }
    if codes is not None:
        fields["ticket_codes"] = codes
    now = datetime.now(UTC).isoformat()
    return orjson.dumps({"type": "payment.succeeded", "timestamp": now, "data": fields | data})


async def post(
    http: httpx2.AsyncClient,
    secret: str,
    body: bytes,
    *,
    message_id: str = "",
    partner: str = "CP",
    at: datetime | None = None,
) -> httpx2.Response:
    message_id, at = message_id or uuid4().hex, at or datetime.now(UTC)
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(secret).sign(message_id, at, body.decode()),
    }
    return await http.post(f"/webhooks/partners/{partner}/payments", content=body, headers=headers)


async def states(market: Market) -> list[str]:
    await market.until(SETTLED)
    return [row[0] for row in await market.sql("SELECT state FROM tickets ORDER BY ticket_id")]


async def refused_events(market: Market, client: PartnerClient) -> list[event_pb2.EventData]:
    """What the partner reads of refused payments."""
    await market.until("SELECT count(*) = 0 FROM partner_events WHERE sequence IS NULL")
    request = event_pb2.ListEventsRequest(types=[PAYMENT_REFUSED], after_cursor=0)
    return [event.data for event in (await client.call("ListEvents", request)).events]


async def test_tickets_are_activated_and_a_duplicate_does_nothing(
    market: Market, client: PartnerClient, http: httpx2.AsyncClient, secret: str
) -> None:
    codes = await client.codes(2)
    body = message(codes)
    for _ in range(2):
        answer = await post(http, secret, body, message_id="m-1")
        assert (answer.status_code, answer.json()) == (200, {"message_id": "m-1"})
    assert await states(market) == ["ACTIVE", "ACTIVE"]
    orders = "SELECT payment_reference, amount_minor, currency_code, ticket_count FROM orders"
    assert await market.sql(orders) == [("PAY-1", 2 * FARE_MINOR, "HKD", 2)]
    assert await market.contradictions() == []


async def test_a_whole_batch_and_tickets_with_amounts_of_their_own(
    market: Market, client: PartnerClient, http: httpx2.AsyncClient, secret: str
) -> None:
    batch = await client.batch(3)
    body = message(None, batch_id=batch.batch_id, amount_minor=3 * FARE_MINOR)
    assert (await post(http, secret, body)).status_code == 200
    (code,) = await client.codes(1)
    tickets = [{"ticket_code": code, "amount_minor": FARE_MINOR}]
    assert (await post(http, secret, message(None, tickets=tickets))).status_code == 200
    assert await states(market) == ["ACTIVE"] * 4


async def test_names_and_codes_are_read_as_in_an_activation(
    market: Market, client: PartnerClient, http: httpx2.AsyncClient, secret: str
) -> None:
    """Seen red: a name that turns the direction of writing was kept, and a code in small letters
    was that of no ticket.
    """
    one, two = await client.codes(2)
    half_a_pair = message([one]).replace("张三".encode(), b"\\ud800")
    for body in (message([one], customer={"name": "a\u202eb"}), half_a_pair):
        assert (await post(http, secret, body)).status_code == 200
        assert await states(market) == ["PRE_GENERATED", "PRE_GENERATED"]
    reasons = [data.reason for data in await refused_events(market, client)]
    assert reasons == [Reason.INVALID_FIELD, Reason.INVALID_FIELD]
    tickets = [{"ticket_code": two.lower(), "amount_minor": FARE_MINOR}]
    await post(http, secret, message([one.lower()], customer={"name": "Ａｄａ "}))
    await post(http, secret, message(None, tickets=tickets, payment_reference="PAY-2"))
    assert await states(market) == ["ACTIVE", "ACTIVE"]
    assert await market.value("SELECT min(customer_name) FROM orders") == "Ada"


async def test_what_does_not_fit_activates_nothing_and_both_sides_see_why(
    market: Market, client: PartnerClient, http: httpx2.AsyncClient, secret: str
) -> None:
    """All or nothing: a good ticket beside a bad one stays as it is."""
    good, other = await client.codes(2)
    wrong = [
        (message([good], amount_minor=FARE_MINOR - 1), Reason.PAYMENT_MISMATCH),
        (message([good], currency_code="USD"), Reason.PAYMENT_MISMATCH),
        (message([good, "OTA-CP-20200101-000001"]), Reason.NOT_FOUND),
        (message([good, good]), Reason.INVALID_FIELD),
        (message([good, other], amount_minor=2 * FARE_MINOR + 1), Reason.INVALID_FIELD),
        (message(None, batch_id=str(uuid4())), Reason.NOT_FOUND),
        (b"{}", Reason.INVALID_FIELD),
        (b"no json", Reason.INVALID_FIELD),
    ]
    for number, (body, _) in enumerate(wrong):
        assert (await post(http, secret, body, message_id=f"m-{number}")).status_code == 200
        assert await states(market) == ["PRE_GENERATED", "PRE_GENERATED"]
    found = await refused_events(market, client)
    assert [data.reason for data in found] == [reason for _, reason in wrong]
    assert all(data.explanation for data in found)
    # seen red: nothing said which of its webhooks it was
    assert [data.payment_message_id for data in found] == [f"m-{n}" for n in range(len(wrong))]
    incidents = "SELECT count(*) FROM payment_incidents WHERE kind = 'PARTNER_PAYMENT_REFUSED'"
    assert await market.value(incidents) == len(wrong)
    assert await market.value("SELECT count(*) FROM orders") == 0


async def test_what_is_not_proven_is_refused_alike_whether_there_is_such_a_partner_or_not(
    market: Market, client: PartnerClient, http: httpx2.AsyncClient, secret: str
) -> None:
    (code,) = await client.codes(1)
    body, now = message([code]), datetime.now(UTC)
    other = standardwebhooks.Webhook(secret)
    answers = [
        await post(http, "whsec_" + "A" * 43 + "=", body),
        await post(http, secret, body, partner="HK"),
        await post(http, secret, body, partner="NOBODY"),
        await post(http, secret, body, at=now - timedelta(minutes=6)),
        await http.post("/webhooks/partners/CP/payments", content=body),
        await http.post(
            "/webhooks/partners/CP/payments",
            content=body + b" ",
            headers={
                "webhook-id": "m",
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": other.sign("m", now, body.decode()),
            },
        ),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["message"] for answer in answers}) == 1
    assert await states(market) == ["PRE_GENERATED"]


async def test_while_the_secret_is_rotated_both_are_good(
    market: Market, client: PartnerClient, http: httpx2.AsyncClient, secret: str
) -> None:
    one, two = await client.codes(2)
    request = webhook_pb2.RotatePaymentWebhookSecretRequest(request_id=uuid4().hex)
    new = await client.call("RotatePaymentWebhookSecret", request)
    assert new.previous_secret_expire_time.ToDatetime(UTC) > datetime.now(UTC)
    for used, code in ((secret, one), (new.secret, two)):
        assert (await post(http, used, message([code]))).status_code == 200
    assert await states(market) == ["ACTIVE", "ACTIVE"]


async def test_the_rpc_and_the_webhook_at_once_give_one_activation(
    market: Market, client: PartnerClient, http: httpx2.AsyncClient, secret: str
) -> None:
    """20 tickets, each activated by RPC and by webhook at the same moment, under one payment: one
    order each, one event each, and no refusal for the partner to look into.

    Seen red without `_PAID_BY`: what the RPC had activated was refused, with an event and an
    incident. Without the tickets' locks and the state in ACTIVATE there were two orders of one
    ticket.
    """
    codes = await client.codes(20)

    async def by_rpc(code: str) -> Refusal | None:
        return await refusal_or_none(client.activate(code, payment=payment(f"PAY-{code}")))

    async def by_webhook(code: str) -> None:
        body = message([code], payment_reference=f"PAY-{code}")
        assert (await post(http, secret, body)).status_code == 200

    refused = await asyncio.gather(
        *(by_rpc(code) for code in codes), *(by_webhook(code) for code in codes)
    )
    assert {each.reason for each in refused if each} <= {Reason.TICKET_STATE_REFUSES}
    assert await states(market) == ["ACTIVE"] * 20
    assert await market.value("SELECT count(*) FROM orders") == 20
    events = "SELECT type, count(*)::int FROM partner_events GROUP BY 1 ORDER BY 1"
    assert await market.sql(events) == [("batch.generated", 1), ("ticket.activated", 20)]
    assert await market.value("SELECT count(*) FROM payment_incidents") == 0
    assert await market.contradictions() == []


async def test_a_partner_has_its_own_secret(
    market: Market, client: PartnerClient, http: httpx2.AsyncClient, secret: str
) -> None:
    hk = PartnerClient(client.stub, HK.api_key)
    request = webhook_pb2.RotatePaymentWebhookSecretRequest(request_id=uuid4().hex)
    theirs = (await hk.call("RotatePaymentWebhookSecret", request)).secret
    (code,) = await client.codes(1)
    answer = await post(http, theirs, message([code]), partner="HK")
    assert answer.status_code == 200  # theirs is good, but the ticket is not theirs
    assert await states(market) == ["PRE_GENERATED"]
