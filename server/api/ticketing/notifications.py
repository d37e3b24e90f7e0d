"""Messages to travellers, as protobuf."""

from collections.abc import Mapping

from deeptravel.ticketing.v1 import notification_pb2

from server.api import convert
from server.notifications import rules
from server.notifications.inbox import InboxMessage
from server.notifications.preferences import Contacts, Preferences
from server.platform.errors import invalid

KIND_NUMBERS = convert.enum_numbers(notification_pb2.NotificationKind)
LANGUAGE_NAMES = {
    notification_pb2.NOTIFICATION_LANGUAGE_UNSPECIFIED: "",
    notification_pb2.NOTIFICATION_LANGUAGE_ZH: "zh",
    notification_pb2.NOTIFICATION_LANGUAGE_EN: "en",
}
LANGUAGE_NUMBERS = {name: number for number, name in LANGUAGE_NAMES.items()}


def notification(message: InboxMessage) -> notification_pb2.Notification:
    """A message of the inbox."""
    return notification_pb2.Notification(
        notification_id=message.number,
        kind=KIND_NUMBERS[message.kind],
        order_id=message.order_code,
        title=message.title,
        body=message.body,
        occurred_time=convert.timestamp(message.occurred_time),
        read_time=convert.timestamp(message.read_time),
    )


def accepted(request: notification_pb2.ReportSubscriptionConsentsRequest) -> list[str]:
    """The templates that the traveller agreed to. Raises INVALID_FIELD for one named twice."""
    seen: set[str] = set()
    for index, consent in enumerate(request.consents):
        if consent.template_id in seen:
            raise invalid(f"consents[{index}].template_id", "is named twice; send one answer each")
        seen.add(consent.template_id)
    yes = notification_pb2.SUBSCRIPTION_ANSWER_ACCEPT
    return [consent.template_id for consent in request.consents if consent.answer == yes]


def templates(
    kinds: Mapping[str, str], available: Mapping[str, int]
) -> list[notification_pb2.SubscriptionTemplate]:
    """What the mini-program may ask about; `kinds` are by the templates' ids."""
    return [
        notification_pb2.SubscriptionTemplate(
            template_id=template_id,
            kind=KIND_NUMBERS[kind],
            available=available.get(template_id, 0),
        )
        for template_id, kind in kinds.items()
    ]


def wanted(message: notification_pb2.NotificationPreferences) -> Preferences:
    """Preferences as they were sent. Raises INVALID_FIELD for half of the quiet hours."""
    if bool(message.quiet_from) != bool(message.quiet_until):
        field = "quiet_until" if message.quiet_from else "quiet_from"
        raise invalid(f"preferences.{field}", "is needed with the other end of the quiet hours")
    quiet = None
    if message.quiet_from:
        quiet = rules.QuietHours(_minute(message.quiet_from), _minute(message.quiet_until))
    return Preferences(
        LANGUAGE_NAMES[message.language],
        message.sms_enabled,
        message.email_enabled,
        Contacts(message.phone, message.email),
        quiet,
    )


def preferences(kept: Preferences) -> notification_pb2.NotificationPreferences:
    """Preferences as they are kept."""
    return notification_pb2.NotificationPreferences(
        language=LANGUAGE_NUMBERS[kept.language],
        sms_enabled=kept.sms,
        email_enabled=kept.email,
        phone=kept.contacts.phone,
        email=kept.contacts.email,
        quiet_from=_clock(kept.quiet.from_minute) if kept.quiet else "",
        quiet_until=_clock(kept.quiet.until_minute) if kept.quiet else "",
    )


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
