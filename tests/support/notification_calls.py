"""Calls of AdminService about messages that succeed on a seeded server, and what they are about."""

from typing import Any

from deeptravel.admin.v1 import notification_pb2
from deeptravel.ticketing.v1 import notification_pb2 as kinds

SMS = {
    "kind": kinds.NOTIFICATION_KIND_REFUND_RESULT,
    "channel": notification_pb2.NOTIFICATION_CHANNEL_SMS,
    "language": kinds.NOTIFICATION_LANGUAGE_EN,
}
TEXTS = notification_pb2.NotificationTexts(body="{order_code}: {result}")
VALID: dict[str, dict[str, Any]] = {
    "GetNotificationTemplate": SMS,
    "PreviewNotificationTemplate": SMS | {"template": TEXTS},
    "UpdateNotificationTemplate": SMS | {"template": TEXTS},
    "ResumeNotificationChannel": {"channel": notification_pb2.NOTIFICATION_CHANNEL_WECHAT},
}
PAUSE = """
INSERT INTO notification_pauses (channel, template_id, code, reason, failures, pause_time,
  probe_time)
VALUES ('WECHAT', '', '40125', 'invalid appsecret', 1, now(), now() + interval '1 hour')
"""
