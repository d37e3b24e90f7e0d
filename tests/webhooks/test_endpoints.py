"""Webhook endpoints and deliveries, with a real server and a real receiver."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import standardwebhooks
import svix.webhooks
from deeptravel.ota.v1 import webhook_pb2

from server.platform.errors import Reason
from server.webhooks import rules, signatures
from tests.support.gate_server import GateServer, gate_server
from tests.support.partner_client import CP, HK, Market, PartnerClient
from tests.support.receiver import Received, Receiver, a_receiver
from tests.support.rpc_server import refusal, refusal_or_none

ENABLED = webhook_pb2.WEBHOOK_ENDPOINT_STATE_ENABLED
DISABLED = webhook_pb2.WEBHOOK_ENDPOINT_STATE_DISABLED
PENDING = webhook_pb2.WEBHOOK_DELIVERY_STATE_PENDING
DELIVERED = webhook_pb2.WEBHOOK_DELIVERY_STATE_DELIVERED
DEAD = webhook_pb2.WEBHOOK_DELIVERY_STATE_DEAD
DUE_NOW = "UPDATE webhook_deliveries SET due_time = now() WHERE state = 'PENDING'"


@pytest.fixture(scope="module")
async def server(
    market: Market, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(
        module_database_url, module_redis_url, webhook_allow_private=True
    ) as running:
        yield running


@pytest.fixture
async def client(server: GateServer) -> PartnerClient:
    return PartnerClient.at(server.channel, CP.api_key)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with a_receiver() as listening:
        yield listening


async def call(client: PartnerClient, method: str, **fields: Any) -> Any:
    """A call of the service; a changing one under an id of its own."""
    request_type = getattr(webhook_pb2, f"{method}Request")
    if "request_id" in request_type.DESCRIPTOR.fields_by_name:
        fields.setdefault("request_id", uuid4().hex)
    return await client.call(method, request_type(**fields))


async def endpoint(client: PartnerClient, receiver: Receiver, **fields: Any) -> tuple[str, str]:
    """A new endpoint: its id and secret."""
    answer = await call(client, "CreateWebhookEndpoint", url=receiver.url, **fields)
    return answer.endpoint.endpoint_id, answer.secret


async def delivered(
    client: PartnerClient, endpoint_id: str, **fields: Any
) -> list[webhook_pb2.WebhookDelivery]:
    """The log of an endpoint."""
    answer = await call(client, "ListWebhookDeliveries", endpoint_id=endpoint_id, **fields)
    return list(answer.deliveries)


async def noted(market: Market, endpoint_id: str, count: int) -> None:
    """Waits until so many attempts at an endpoint are written down."""
    query = "SELECT count(*) >= {} FROM webhook_attempts WHERE endpoint_id = '{}'"
    await market.until(query.format(count, endpoint_id))


def verify(received: Received, secret: str) -> dict[str, Any]:
    """What two libraries of receivers make of it."""
    opened: dict[str, Any] = standardwebhooks.Webhook(secret).verify(
        received.body, received.headers
    )
    svix.webhooks.Webhook(secret).verify(received.body, received.headers)
    return opened


async def test_receivers_libraries_verify_what_is_sent(
    market: Market, client: PartnerClient, receiver: Receiver
) -> None:
    """The test event, and those of a ticket in their order; the log has each attempt."""
    endpoint_id, secret = await endpoint(client, receiver)
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    test = await call(client, "SendTestEvent", endpoint_id=endpoint_id)
    (code,) = await client.codes(1)
    await client.activate(code)
    found = await receiver.until(3)
    bodies = [verify(each, secret) for each in found]
    assert [body["type"] for body in bodies] == [
        rules.ENDPOINT_TEST,
        rules.BATCH_GENERATED,
        rules.TICKET_ACTIVATED,
    ]
    assert all(set(body) == {"type", "timestamp", "data"} for body in bodies)
    assert found[0].id == test.event_id
    assert bodies[2]["data"]["ticket_code"] == code
    assert found[0].path == "/hooks?partner=CP"
    assert found[0].headers["content-type"] == "application/json"
    assert found[0].headers["webhook-timestamp"].isdigit()
    await noted(market, endpoint_id, 3)
    log = await delivered(client, endpoint_id)
    assert [each.state for each in log] == [DELIVERED] * 3
    (attempt,) = log[0].attempts
    assert (attempt.http_status, attempt.answer, attempt.error) == (200, "taken", "")
    altered = found[0]._replace(body=found[0].body + b" ")
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify(altered, secret)


async def test_only_events_of_the_types_asked_for_come(
    client: PartnerClient, receiver: Receiver
) -> None:
    await endpoint(client, receiver, types=[rules.TICKET_ACTIVATED])
    (code,) = await client.codes(1)
    await client.activate(code)
    (first, *_) = await receiver.until(1)
    assert first.type == rules.TICKET_ACTIVATED


async def test_while_a_secret_is_rotated_both_are_good(
    client: PartnerClient, receiver: Receiver
) -> None:
    endpoint_id, old = await endpoint(client, receiver)
    answer = await call(client, "RotateWebhookSecret", endpoint_id=endpoint_id)
    await call(client, "SendTestEvent", endpoint_id=endpoint_id)
    (first,) = await receiver.until(1)
    assert first.headers["webhook-signature"].count(" ") == 1
    for secret in (old, answer.secret):
        verify(first, secret)
    last = await call(client, "RotateWebhookSecret", endpoint_id=endpoint_id, overlap_seconds=0)
    await call(client, "SendTestEvent", endpoint_id=endpoint_id)
    second = (await receiver.until(2))[1]
    verify(second, last.secret)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verify(second, answer.secret)


async def test_a_later_event_of_a_ticket_waits_for_the_earlier_and_others_do_not(
    market: Market, client: PartnerClient, receiver: Receiver
) -> None:
    """Seen red without the NOT EXISTS of TAKE: the block came before the activation."""
    types = [rules.TICKET_ACTIVATED, rules.TICKET_BLOCKED]
    endpoint_id, _ = await endpoint(client, receiver, types=types)
    one, other = await client.codes(2)
    fails = {one}
    receiver.answer = lambda got: 500 if got.message["data"]["ticket_code"] in fails else 200
    await client.activate(one)
    await noted(market, endpoint_id, 1)
    await block(market, one)
    await client.activate(other)
    await receiver.until(2)
    assert {got.message["data"]["ticket_code"] for got in receiver.received[1:]} == {other}
    fails.clear()
    await noted(market, endpoint_id, 2)
    await market.sql(DUE_NOW)
    found = (await receiver.until(4))[2:]
    assert [(got.type, got.message["data"]["ticket_code"]) for got in found] == [
        (rules.TICKET_ACTIVATED, one),
        (rules.TICKET_BLOCKED, one),
    ]
    assert found[0].id == receiver.received[0].id  # a repeat has the same id


async def test_a_tickets_first_event_waits_for_its_batchs(
    market: Market, client: PartnerClient, receiver: Receiver
) -> None:
    """Whatever becomes of the batch's delivery at first; other batches' tickets do not wait.

    Seen red: a ticket was said to be activated that the receiver had never heard of.
    """
    types = [rules.BATCH_GENERATED, rules.TICKET_ACTIVATED, rules.TICKET_VOIDED]
    endpoint_id, _ = await endpoint(client, receiver, types=types)
    receiver.answer = lambda _: 500
    late = await client.batch(2)
    await noted(market, endpoint_id, 1)
    receiver.answer = lambda got: 500 if got.message["data"]["batch_id"] == late.batch_id else 200
    first, second = [ticket.ticket_code for ticket in late.tickets]
    await client.activate(first)
    await client.cancel([second])
    (other,) = await client.codes(1)
    await client.activate(other)
    found = await receiver.until(3)
    assert [got.type for got in found] == [
        rules.BATCH_GENERATED,
        rules.BATCH_GENERATED,
        rules.TICKET_ACTIVATED,
    ]
    assert found[2].message["data"]["ticket_code"] == other
    receiver.answer = lambda _: 200
    await noted(market, endpoint_id, 3)
    await market.sql(DUE_NOW)  # as after the wait of the one that failed
    rest = (await receiver.until(6))[3:]
    assert rest[0].type == rules.BATCH_GENERATED
    assert {got.message["data"].get("ticket_code") for got in rest[1:]} == {first, second}


async def block(market: Market, code: str) -> None:
    """Records that a ticket was blocked, as its room does."""
    await market.sql(
        "INSERT INTO partner_events (partner_id, event_id, type, subject, data, occurred_time)"
        " VALUES (1, gen_random_uuid(), %s, %s, jsonb_build_object('ticket_code', %s::text),"
        " now())",
        *(rules.TICKET_BLOCKED, code, code),
    )


async def test_a_receiver_that_is_down_gets_all_when_it_is_up_again(
    market: Market, client: PartnerClient
) -> None:
    async with a_receiver() as first:
        port = first.port
        _, secret = await endpoint(client, first)
    (code,) = await client.codes(1)
    await client.activate(code)
    await market.until("SELECT count(*) >= 1 FROM webhook_attempts WHERE http_status = 0")
    async with a_receiver(port) as again:
        async with asyncio.timeout(60):
            while len(again.received) < 2:
                await market.sql(DUE_NOW)
                await asyncio.sleep(0.2)
        types = [verify(got, secret)["type"] for got in again.received]
    assert set(types) == {rules.BATCH_GENERATED, rules.TICKET_ACTIVATED}


async def test_410_disables_the_endpoint(
    market: Market, client: PartnerClient, receiver: Receiver
) -> None:
    endpoint_id, _ = await endpoint(client, receiver)
    receiver.answer = lambda _: 410
    await client.codes(1)
    await market.until("SELECT count(*) = 1 FROM webhook_endpoints WHERE state = 'DISABLED'")
    found = (await call(client, "GetWebhookEndpoint", endpoint_id=endpoint_id)).endpoint
    assert (found.state, found.disabled_reason) == (DISABLED, "GONE")
    await client.codes(1)  # is not sent
    await market.until("SELECT count(*) = 0 FROM partner_events WHERE sequence IS NULL")
    receiver.answer = lambda _: 200
    await call(
        client, "UpdateWebhookEndpoint", endpoint_id=endpoint_id, url=receiver.url, state=ENABLED
    )
    await market.sql(DUE_NOW)
    await receiver.until(2)
    last = await market.value("SELECT last_sequence FROM partner_feeds WHERE partner_id = 1")
    answer = await call(
        client, "ReplayWebhookDeliveries", endpoint_id=endpoint_id, until_cursor=last
    )
    assert answer.quantity >= 1
    await receiver.until(3)


async def test_a_redirect_is_a_failure_and_is_not_followed(
    market: Market, client: PartnerClient, receiver: Receiver
) -> None:
    endpoint_id, _ = await endpoint(client, receiver)
    receiver.answer = lambda _: 302
    receiver.extra_headers = f"location: {receiver.url}&again=1\r\n"
    await call(client, "SendTestEvent", endpoint_id=endpoint_id)
    await noted(market, endpoint_id, 1)
    (made,) = await delivered(client, endpoint_id)
    assert (made.state, made.attempts[0].error) == (PENDING, "HTTP 302")
    assert [got.path for got in receiver.received] == ["/hooks?partner=CP"]


async def test_what_is_given_up_is_a_dead_letter_and_may_be_replayed(
    market: Market, client: PartnerClient, receiver: Receiver
) -> None:
    """By the partner, and by an administrator, for whom it stands among the dead letters."""
    endpoint_id, _ = await endpoint(client, receiver)
    receiver.answer = lambda _: 503
    event = (await call(client, "SendTestEvent", endpoint_id=endpoint_id)).event_id
    await noted(market, endpoint_id, 1)
    await market.sql("UPDATE webhook_deliveries SET attempts = 9, due_time = now()")
    letters = "SELECT count(*) FROM outbox_tasks WHERE kind = 'webhook' AND state = "
    await market.until(letters.replace("count(*)", "count(*) = 1") + "'DEAD'")
    (made,) = await delivered(client, endpoint_id, state=DEAD)
    assert made.event_id == event
    receiver.answer = lambda _: 200
    before = len(receiver.received)
    await call(client, "ReplayWebhookDelivery", endpoint_id=endpoint_id, event_id=event)
    await receiver.until(before + 1)
    assert receiver.received[-1].id == event
    assert await market.value(letters + "'DONE'") == 1
    # an administrator's replay makes the task due again
    await market.sql(
        "UPDATE outbox_tasks SET state = 'OPEN', due_time = now() WHERE kind = 'webhook'"
    )
    await receiver.until(before + 2)


async def test_a_hanging_endpoint_does_not_slow_others(
    client: PartnerClient, server: GateServer, receiver: Receiver
) -> None:
    """40 test events to one that never answers, then 40 to another: these arrive long before the
    first attempt at the former has failed by its time.
    """
    async with a_receiver() as dead:
        dead.answer = lambda _: None
        hanging, _ = await endpoint(client, dead)
        healthy, _ = await endpoint(PartnerClient.at(server.channel, HK.api_key), receiver)
        hk = PartnerClient.at(server.channel, HK.api_key)
        for _ in range(40):
            await call(client, "SendTestEvent", endpoint_id=hanging)
        await dead.until(1)
        for _ in range(40):
            await call(hk, "SendTestEvent", endpoint_id=healthy)
        async with asyncio.timeout(12):
            await receiver.until(40)


async def test_what_a_partner_changes_is_audited(
    market: Market, client: PartnerClient, receiver: Receiver
) -> None:
    """One event a call, without the secret. Seen red on the code of before, which wrote none."""
    endpoint_id, secret = await endpoint(client, receiver)
    fields = {"endpoint_id": endpoint_id, "url": receiver.url, "state": ENABLED}
    await call(client, "UpdateWebhookEndpoint", **fields)
    rotated = await call(client, "RotateWebhookSecret", endpoint_id=endpoint_id)
    await call(client, "DeleteWebhookEndpoint", endpoint_id=endpoint_id)
    payments = await call(client, "RotatePaymentWebhookSecret")
    found = await market.sql(
        "SELECT action, name, after::text FROM audit_events WHERE actor = 'partner:CP'"
        " ORDER BY occurred_time"
    )
    actions = ("create", "update", "rotate-secret", "delete")
    assert [(action, name) for action, name, _ in found] == [
        *((action, endpoint_id) for action in actions),
        ("rotate-secret", "CP"),
    ]
    for kept in (secret, rotated.secret, payments.secret):
        assert kept.removeprefix("whsec_") not in str(found)


async def test_of_two_who_change_what_they_read_one_reads_it_again(
    client: PartnerClient, receiver: Receiver
) -> None:
    """Seen red without the version in the UPDATE: both succeeded."""
    endpoint_id, _ = await endpoint(client, receiver)
    fields = {"endpoint_id": endpoint_id, "url": receiver.url, "state": ENABLED}
    both = [call(client, "UpdateWebhookEndpoint", **fields, version=1) for _ in range(2)]
    (late,) = filter(None, await asyncio.gather(*map(refusal_or_none, both)))
    assert (late.reason, late.metadata["version"]) == (Reason.VERSION_MISMATCH, "2")
    changed = await call(client, "UpdateWebhookEndpoint", **fields)
    assert changed.endpoint.version == 3


async def test_an_endpoint_is_its_partners_alone_and_of_known_types(
    client: PartnerClient, server: GateServer, receiver: Receiver
) -> None:
    endpoint_id, _ = await endpoint(client, receiver, description=" main ")
    hk = PartnerClient.at(server.channel, HK.api_key)
    for method in ("GetWebhookEndpoint", "SendTestEvent", "ListWebhookDeliveries"):
        refused = await refusal(call(hk, method, endpoint_id=endpoint_id))
        assert refused.reason is Reason.NOT_FOUND
    assert not (await call(hk, "ListWebhookEndpoints")).endpoints
    refused = await refusal(
        call(client, "CreateWebhookEndpoint", url=receiver.url, types=["ticket.lost"])
    )
    assert refused.reason is Reason.INVALID_FIELD
    await call(client, "DeleteWebhookEndpoint", endpoint_id=endpoint_id)
    refused = await refusal(call(client, "GetWebhookEndpoint", endpoint_id=endpoint_id))
    assert refused.reason is Reason.NOT_FOUND


async def test_secrets_are_stored_encrypted(
    market: Market, client: PartnerClient, receiver: Receiver
) -> None:
    _, secret = await endpoint(client, receiver)
    raw = base64.b64decode(secret.removeprefix("whsec_"))
    for table in ("webhook_endpoints", "idempotency_records"):
        for row in await market.sql(f"SELECT to_jsonb(t)::text FROM {table} t"):
            assert raw.hex() not in row[0]
            assert secret not in row[0]


def test_a_time_at_hong_kong_is_signed_as_whole_unix_seconds() -> None:
    """Python's `standardwebhooks` signs an aware time as if it were UTC; ours is converted."""
    secret = b"s" * 32
    hong_kong = datetime.now(UTC).astimezone(ZoneInfo("Asia/Hong_Kong")) + timedelta(seconds=0.9)
    signed = dict(signatures.headers([secret], "evt_1", int(hong_kong.timestamp()), b"{}"))
    assert verify(Received("/", signed, b"{}"), signatures.written(secret)) == {}
