"""Calls about messages to travellers that change something, ready to be made twice; see
repeats.py.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from deeptravel.ticketing.v1 import notification_pb2
from google.protobuf.message import Message

from tests.support import paying


async def message_read(scenario: paying.PaymentScenario) -> Message:
    order = await scenario.client.order(scenario.world.seat())
    await scenario.client.cancel(order.order_id)
    await scenario.world.until("SELECT count(*) = 1 FROM notifications")
    number = await scenario.world.value("SELECT number FROM notifications")
    return notification_pb2.MarkNotificationReadRequest(notification_id=number)


async def all_messages_read(scenario: paying.PaymentScenario) -> Message:
    await message_read(scenario)
    return notification_pb2.MarkAllNotificationsReadRequest()


async def consents(_: paying.PaymentScenario) -> Message:
    accepted = notification_pb2.SubscriptionConsent(
        template_id="T1", answer=notification_pb2.SUBSCRIPTION_ANSWER_ACCEPT
    )
    return notification_pb2.ReportSubscriptionConsentsRequest(consents=[accepted])


async def preferences(_: paying.PaymentScenario) -> Message:
    wanted = notification_pb2.NotificationPreferences(email_enabled=True, email="a@example.com")
    return notification_pb2.UpdateNotificationPreferencesRequest(preferences=wanted)


EXAMPLES: dict[str, Callable[[paying.PaymentScenario], Awaitable[Message]]] = {
    "MarkNotificationRead": message_read,
    "MarkAllNotificationsRead": all_messages_read,
    "ReportSubscriptionConsents": consents,
    "UpdateNotificationPreferences": preferences,
}
OTHERS: dict[str, dict[str, Any]] = {
    "ReportSubscriptionConsents": {
        "consents": [
            notification_pb2.SubscriptionConsent(
                template_id="T2", answer=notification_pb2.SUBSCRIPTION_ANSWER_ACCEPT
            )
        ]
    },
    "UpdateNotificationPreferences": {"preferences": {"email": "b@example.com"}},
}
"""Fields of a request that is another."""
