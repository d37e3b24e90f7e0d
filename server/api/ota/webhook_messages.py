"""Webhook endpoints and deliveries between protobuf and plain values."""

from collections.abc import Sequence
from datetime import datetime

from deeptravel.ota.v1 import webhook_pb2

from server.api import convert
from server.api.calls import Metadata
from server.webhooks.deliveries import Delivery, DeliveryAttempt
from server.webhooks.endpoints import Endpoint, EndpointSettings
from server.webhooks.events import public_id

ENDPOINT_STATE = convert.enum_numbers(webhook_pb2.WebhookEndpointState)
ENDPOINT_STATE_NAME = convert.enum_names(webhook_pb2.WebhookEndpointState)
DELIVERY_STATE = convert.enum_numbers(webhook_pb2.WebhookDeliveryState)
DELIVERY_STATE_NAME = convert.enum_names(webhook_pb2.WebhookDeliveryState)
WEBHOOK_PREFIX = "webhook-"


def headers(metadata: Metadata) -> dict[str, str]:
    """What a sender of a webhook signs, of the call's metadata."""
    return {
        name: value
        for name, value in metadata.items()
        if name.startswith(WEBHOOK_PREFIX) and isinstance(value, str)
    }


def settings(
    request: webhook_pb2.CreateWebhookEndpointRequest | webhook_pb2.UpdateWebhookEndpointRequest,
) -> EndpointSettings:
    """What a partner sets of an endpoint."""
    return EndpointSettings(request.url, sorted(set(request.types)), request.description.strip())


def endpoint(found: Endpoint) -> webhook_pb2.WebhookEndpoint:
    """An endpoint, without its secrets."""
    return webhook_pb2.WebhookEndpoint(
        endpoint_id=str(found.endpoint_id),
        url=found.url,
        types=found.types,
        description=found.description,
        state=ENDPOINT_STATE[found.state],
        disabled_reason=found.disabled_reason,
        previous_secret_expire_time=convert.timestamp(found.previous_secret_expire_time),
        create_time=convert.timestamp(found.create_time),
        update_time=convert.timestamp(found.update_time),
        version=found.version,
    )


def delivery(found: tuple[Delivery, Sequence[DeliveryAttempt]]) -> webhook_pb2.WebhookDelivery:
    """A delivery and its attempts."""
    made, attempts = found
    next_time: datetime | None = made.due_time if made.state == "PENDING" else None
    return webhook_pb2.WebhookDelivery(
        event_id=public_id(made.event_id),
        type=made.type,
        cursor=made.sequence,
        state=DELIVERY_STATE[made.state],
        next_attempt_time=convert.timestamp(next_time),
        create_time=convert.timestamp(made.create_time),
        attempts=[
            webhook_pb2.WebhookAttempt(
                attempt_time=convert.timestamp(each.attempt_time),
                http_status=each.http_status,
                duration_ms=each.duration_ms,
                error=each.error,
                answer=each.answer,
            )
            for each in attempts
        ],
    )
