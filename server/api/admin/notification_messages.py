"""Templates, deliveries and pauses of messages, as protobuf."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

from deeptravel.admin.v1 import notification_pb2

from server.api import convert
from server.api.ticketing.notifications import KIND_NUMBERS, LANGUAGE_NAMES, LANGUAGE_NUMBERS
from server.notifications.deliveries import ListedDelivery
from server.notifications.pauses import Pause
from server.notifications.template_rules import Template
from server.notifications.templates import KeptTemplate, Preview, TemplateKey
from server.platform.errors import invalid

CHANNEL_NUMBERS = convert.enum_numbers(notification_pb2.NotificationChannel)
CHANNEL_NAMES = convert.enum_names(notification_pb2.NotificationChannel)
STATE_NUMBERS = convert.enum_numbers(notification_pb2.NotificationDeliveryState)
STATE_NAMES = convert.enum_names(notification_pb2.NotificationDeliveryState)
R = TypeVar("R")
KIND_NAMES = {number: name for name, number in KIND_NUMBERS.items()}


TemplateRequest: TypeAlias = (
    notification_pb2.GetNotificationTemplateRequest
    | notification_pb2.UpdateNotificationTemplateRequest
    | notification_pb2.PreviewNotificationTemplateRequest
)


def key_of(request: TemplateRequest) -> TemplateKey:
    """The template that a request names."""
    return TemplateKey(
        KIND_NAMES[request.kind],
        CHANNEL_NAMES[request.channel],
        LANGUAGE_NAMES[request.language],
    )


def given(texts: notification_pb2.NotificationTexts) -> Template:
    """The template that a request has. Raises INVALID_FIELD for a field twice."""
    fields: dict[str, str] = {}
    for index, field in enumerate(texts.fields):
        if field.keyword in fields:
            raise invalid(f"template.fields[{index}].keyword", "is named twice")
        fields[field.keyword] = field.text
    return Template(
        texts.title, texts.body, texts.template_id, texts.page, fields, not texts.disabled
    )


def template_message(kept: KeptTemplate) -> notification_pb2.NotificationTemplate:
    """A template in one version."""
    template = kept.template
    return notification_pb2.NotificationTemplate(
        kind=KIND_NUMBERS[kept.key.kind],
        channel=CHANNEL_NUMBERS[kept.key.channel],
        language=LANGUAGE_NUMBERS[kept.key.language],
        version=kept.version,
        texts=notification_pb2.NotificationTexts(
            title=template.title,
            body=template.body,
            template_id=template.template_id,
            page=template.page,
            fields=_fields(template.fields),
            disabled=not template.enabled,
        ),
        author=kept.author,
        publish_time=convert.timestamp(kept.create_time),
    )


def placeholders(
    known: Mapping[str, str],
) -> list[notification_pb2.NotificationPlaceholder]:
    """What texts may name."""
    return [
        notification_pb2.NotificationPlaceholder(name=name, description=description)
        for name, description in sorted(known.items())
    ]


def preview_message(shown: Preview) -> notification_pb2.PreviewNotificationTemplateResponse:
    """A template filled in."""
    return notification_pb2.PreviewNotificationTemplateResponse(
        title=shown.title,
        body=shown.body,
        page=shown.page,
        fields=_fields(shown.fields),
        refusals=shown.refusals,
    )


def delivery_message(row: ListedDelivery) -> notification_pb2.NotificationDelivery:
    """A message in one channel."""
    return notification_pb2.NotificationDelivery(
        notification_id=row.number,
        channel=CHANNEL_NUMBERS[row.channel],
        order_id=row.order_code,
        kind=KIND_NUMBERS[row.kind],
        template_id=row.template_id,
        state=STATE_NUMBERS[row.state],
        reason=row.reason,
        attempts=row.attempts,
        due_time=convert.timestamp(row.due_time),
        create_time=convert.timestamp(row.create_time),
        update_time=convert.timestamp(row.update_time),
        language=LANGUAGE_NUMBERS[row.language],
        read_time=convert.timestamp(row.read_time) if row.read_time else None,
    )


def numbered(rows: Sequence[R], after: int | None) -> list[tuple[int, R]]:
    """The rows of a short list with their places, those after one."""
    return [each for each in enumerate(rows) if after is None or each[0] > after]


def pause_message(pause: Pause) -> notification_pb2.NotificationPause:
    """What is stopped."""
    return notification_pb2.NotificationPause(
        channel=CHANNEL_NUMBERS[pause.channel],
        template_id=pause.template_id,
        code=pause.code,
        reason=pause.reason,
        pause_time=convert.timestamp(pause.pause_time),
        probe_time=convert.timestamp(pause.probe_time),
    )


def _fields(fields: Mapping[str, str]) -> list[notification_pb2.NotificationField]:
    return [
        notification_pb2.NotificationField(keyword=keyword, text=text)
        for keyword, text in fields.items()
    ]
