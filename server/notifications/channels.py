"""The channels that the settings name, and what they say of messages."""

import time
from urllib.parse import urlsplit

from server.notifications.email_sender import EmailSender
from server.notifications.following import NotificationTerms
from server.notifications.rules import QuietHours
from server.notifications.sending import ChannelSender
from server.notifications.sms_sender import SmsSender
from server.notifications.wechat_sender import WechatSender
from server.platform.config import Settings
from server.platform.database import Database
from server.platform.proxies import is_loopback
from server.wechat.access_tokens import AccessTokens
from server.wechat.mini_program_client import MiniProgramClient


def make_senders(settings: Settings, db: Database, secret_key: bytes) -> list[ChannelSender]:
    """A sender for each channel that has its settings."""
    senders: list[ChannelSender] = []
    if settings.wechat_app_id and settings.wechat_app_secret:
        secret = settings.wechat_app_secret.get_secret_value()
        client = MiniProgramClient(settings.wechat_app_id, secret, settings.wechat_login_url)
        tokens = AccessTokens(db, secret_key, settings.wechat_app_id, client.fetch_token)
        senders.append(WechatSender(client, tokens))
    if settings.notification_email_url and settings.notification_email_from:
        url = settings.notification_email_url.get_secret_value()
        senders.append(
            EmailSender(
                url,
                settings.notification_email_from,
                now=time.time,
                is_loopback=is_loopback(urlsplit(url).hostname or ""),
            )
        )
    if settings.notification_sms_url and settings.notification_sms_secret:
        secret = settings.notification_sms_secret.get_secret_value()
        senders.append(SmsSender(settings.notification_sms_url, secret, now=time.time))
    return senders


def terms_of(settings: Settings, senders: list[ChannelSender]) -> NotificationTerms:
    """What the settings say of messages."""
    begin, end = (
        int(text[:2]) * 60 + int(text[3:]) for text in settings.notification_quiet_hours.split("-")
    )
    return NotificationTerms(
        zone=settings.zone,
        language=settings.notification_language,
        quiet=QuietHours(begin, end),
        notifies_completed=settings.notification_order_completed,
        channels=frozenset(sender.channel for sender in senders),
        app_id=settings.wechat_app_id or "",
    )
