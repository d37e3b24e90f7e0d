"""What reaches a sandbox from outside, or leaves it, while its test clock is ahead: webhooks are
signed by the real time and say that of the clock, payments are settled by the clock.
"""

import json
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.ota.v1 import webhook_pb2

from tests.support import databases, webhook_examples
from tests.support.admin_client import Headers
from tests.support.partner_client import request_id
from tests.support.receiver import a_receiver
from tests.support.sandbox import PAID, SandboxWorld, a_sandbox_world
from tests.support.sandbox_clock import advance, moment, shown, when
from tools.dev.embedded.services import EmbeddedServices


@pytest.fixture(scope="module")
def sandbox_url(services: EmbeddedServices, seeded: tuple[str, Headers]) -> Any:
    with databases.copied(services.database_url, seeded[0]) as url:
        yield url


@pytest.fixture(scope="module")
async def world(
    sandbox_url: str, module_redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[SandboxWorld]:
    private = {"webhook_allow_private": True}
    async with a_sandbox_world(sandbox_url, module_redis_url, seeded[1], **private) as made:
        yield made


async def test_webhooks_are_sent_now_and_say_the_time_of_the_clock(world: SandboxWorld) -> None:
    """Seen red with calls about webhooks by the clock: an endpoint was made a month from now."""
    await advance(world.test, by_seconds=30 * 86_400)
    begin = await shown(world.test)
    async with a_receiver() as receiver:
        answers = iter([503])
        receiver.answer = lambda _: next(answers, 200)
        asked = webhook_pb2.CreateWebhookEndpointRequest(url=receiver.url, request_id=request_id())
        endpoint = (await world.test.call("CreateWebhookEndpoint", asked)).endpoint
        assert abs(moment(endpoint.create_time).timestamp() - time.time()) < 60
        await world.test.reserve(1, hold_seconds=3600)
        await receiver.until(1)
        replay = webhook_pb2.ReplayWebhookDeliveryRequest(
            endpoint_id=endpoint.endpoint_id,
            event_id=receiver.received[0].id,
            request_id=request_id(),
        )
        await world.test.call("ReplayWebhookDelivery", replay)
        await receiver.until(2)
        await advance(world.test, by_seconds=7200)
        received = await receiver.until(4)
        while received[-1].type != "reservation.expired":  # some may come more than once
            received = await receiver.until(len(received) + 1)
    assert [*dict.fromkeys(each.type for each in received[1:])] == [
        "reservation.created",
        "reservation.expiring",
        "reservation.expired",
    ]
    for each in received:
        assert abs(int(each.headers["webhook-timestamp"]) - time.time()) < 60
        assert datetime.fromisoformat(each.message["timestamp"]) >= begin


async def test_a_payment_is_settled_by_the_clock(world: SandboxWorld) -> None:
    """The partner's own webhook is signed by the real time, and activates by the clock; seen red
    with the time of the task: the activation stood before the batch.
    """
    client = world.test
    await advance(client, by_seconds=20 * 86_400)
    begin = await shown(client)
    (code,) = await client.codes(1)
    message = {
        "type": "payment.succeeded",
        "timestamp": begin.isoformat(),
        "data": {
            "customer": {"type": "ADULT", "name": "A"},
            "ticket_codes": [code],
            "payment_reference": "PAY-77",
            "amount_minor": PAID.amount_minor,
            "currency_code": PAID.currency_code,
        },
    }
    body = json.dumps(message).encode()
    signed = dict(await webhook_examples.signed(client, body))
    path = "/webhooks/partners/TESTCP/payments"
    answer = await world.http.post(path, content=body, headers=signed)
    assert answer.status_code < 300, answer.text
    (activated,) = await when(client, "ticket.activated")
    assert begin < moment(activated.occurred_time) <= await shown(client)


async def test_a_stream_has_the_time_of_the_clock(world: SandboxWorld) -> None:
    """Tickets that the clock has ended get no QR; seen red with the real time."""
    batch = await world.test.batch(2)
    asked = ota.StreamBatchTicketsRequest(batch_id=batch.batch_id, with_qr=True)
    before = [each async for each in world.test.call("StreamBatchTickets", asked)]
    assert all(each.encrypted_data for each in before)
    await advance(world.test, by_seconds=200 * 86_400)
    after = [each async for each in world.test.call("StreamBatchTickets", asked)]
    assert [each.encrypted_data for each in after] == ["", ""]
