"""Every call about webhooks that changes something, ready to be made twice (see repeats.py)."""

import time
from base64 import b64decode
from collections.abc import Awaitable, Callable
from uuid import uuid4

from deeptravel.ota.v1 import webhook_pb2
from google.api import httpbody_pb2
from google.protobuf.message import Message

from server.webhooks import signatures
from tests.support.partner_client import Market, PartnerClient

HOOK = "http://127.0.0.1:9/hook"


async def _endpoint(market: Market, client: PartnerClient) -> str:
    """The id of an endpoint to which nothing is sent."""
    made = await client.call(
        "CreateWebhookEndpoint",
        webhook_pb2.CreateWebhookEndpointRequest(url=HOOK, request_id=uuid4().hex),
    )
    await market.sql("UPDATE webhook_endpoints SET state = 'DISABLED', disabled_reason = 'PARTNER'")
    return str(made.endpoint.endpoint_id)


async def _new_endpoint(_market: Market, _client: PartnerClient) -> Message:
    return webhook_pb2.CreateWebhookEndpointRequest(url=HOOK)


async def _changed_endpoint(market: Market, client: PartnerClient) -> Message:
    return webhook_pb2.UpdateWebhookEndpointRequest(
        endpoint_id=await _endpoint(market, client),
        url=HOOK,
        state=webhook_pb2.WEBHOOK_ENDPOINT_STATE_ENABLED,
    )


async def _deleted_endpoint(market: Market, client: PartnerClient) -> Message:
    endpoint_id = await _endpoint(market, client)
    return webhook_pb2.DeleteWebhookEndpointRequest(endpoint_id=endpoint_id)


async def _endpoints_secret(market: Market, client: PartnerClient) -> Message:
    endpoint_id = await _endpoint(market, client)
    return webhook_pb2.RotateWebhookSecretRequest(endpoint_id=endpoint_id)


async def _test_event(market: Market, client: PartnerClient) -> Message:
    endpoint_id = await _endpoint(market, client)
    return webhook_pb2.SendTestEventRequest(endpoint_id=endpoint_id)


async def _delivery(market: Market, client: PartnerClient) -> Message:
    endpoint_id = await _endpoint(market, client)
    request = webhook_pb2.SendTestEventRequest(endpoint_id=endpoint_id, request_id=uuid4().hex)
    event_id = (await client.call("SendTestEvent", request)).event_id
    return webhook_pb2.ReplayWebhookDeliveryRequest(endpoint_id=endpoint_id, event_id=event_id)


async def _deliveries(market: Market, client: PartnerClient) -> Message:
    endpoint_id = await _endpoint(market, client)
    await client.codes(1)
    await market.until("SELECT count(*) = 1 FROM partner_feeds")
    return webhook_pb2.ReplayWebhookDeliveriesRequest(endpoint_id=endpoint_id, until_cursor=1)


async def _payments_secret(_market: Market, _client: PartnerClient) -> Message:
    return webhook_pb2.RotatePaymentWebhookSecretRequest(overlap_seconds=60)


async def _partners_payment(_market: Market, _client: PartnerClient) -> Message:
    body = httpbody_pb2.HttpBody(content_type="application/json", data=b"{}")
    return webhook_pb2.ReceivePartnerPaymentRequest(partner_code="CP", body=body)


EXAMPLES: dict[str, Callable[[Market, PartnerClient], Awaitable[Message]]] = {
    "CreateWebhookEndpoint": _new_endpoint,
    "DeleteWebhookEndpoint": _deleted_endpoint,
    "ReceivePartnerPayment": _partners_payment,
    "ReplayWebhookDeliveries": _deliveries,
    "ReplayWebhookDelivery": _delivery,
    "RotatePaymentWebhookSecret": _payments_secret,
    "RotateWebhookSecret": _endpoints_secret,
    "SendTestEvent": _test_event,
    "UpdateWebhookEndpoint": _changed_endpoint,
}


async def signed(client: PartnerClient, body: bytes) -> tuple[tuple[str, str], ...]:
    """A partner's signature of a webhook."""
    rotate = webhook_pb2.RotatePaymentWebhookSecretRequest(request_id=uuid4().hex)
    secret = (await client.call("RotatePaymentWebhookSecret", rotate)).secret
    key = b64decode(secret.removeprefix("whsec_"))
    return tuple(signatures.headers([key], "message-1", int(time.time()), body))
