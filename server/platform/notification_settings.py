"""The settings of messages to travellers; a part of Settings."""

import base64
import binascii
import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

from server.platform.proxies import is_loopback

QUIET_HOURS = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]")


class NotificationSettings(BaseSettings):
    """In which language, when and by which channels travellers are notified."""

    notification_language: Literal["zh", "en"] = Field(
        "zh", description="language of travellers who have chosen none: zh or en"
    )
    notification_quiet_hours: str = Field(
        "22:00-08:00",
        description=(
            "when messages that may wait wait, by the clock of TIME_ZONE, where a traveller has"
            " chosen no other; the same time twice: never"
        ),
    )
    notification_order_completed: bool = Field(
        False, description="tell travellers of orders that are completed"
    )
    notification_days: int = Field(
        365, ge=30, le=3650, description="how long travellers' messages are kept"
    )
    notification_email_url: SecretStr | None = Field(
        None,
        description=(
            "mail server: smtp://user:password@host:587 (STARTTLS) or smtps://…:465; none: no"
            " e-mail"
        ),
    )
    notification_email_from: str | None = Field(
        None, description="sender of e-mail, e.g. DeepTravel <tickets@example.com>"
    )
    notification_sms_url: str | None = Field(
        None,
        description=(
            "where text messages are posted, signed as Standard Webhooks; none: no text messages"
        ),
    )
    notification_sms_secret: SecretStr | None = Field(
        None, description="secret of those signatures, whsec_ and Base64"
    )

    @field_validator("notification_quiet_hours")
    @classmethod
    def _two_times(cls, value: str) -> str:
        if not QUIET_HOURS.fullmatch(value):
            raise ValueError("must be two times of the day, such as 22:00-08:00")
        return value

    @field_validator("notification_email_url")
    @classmethod
    def _mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("smtp://", "smtps://")):
            raise ValueError("must begin with smtp:// or smtps://")
        return value

    @field_validator("notification_sms_url")
    @classmethod
    def _safe_hook(cls, value: str | None) -> str | None:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme != "https" and not (
            parts.scheme == "http" and is_loopback(parts.hostname or "")
        ):
            raise ValueError("must begin with https://, since it carries telephone numbers")
        return value

    @field_validator("notification_sms_secret")
    @classmethod
    def _webhook_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value:
            text = value.get_secret_value()
            try:
                is_good = text.startswith("whsec_") and len(
                    base64.b64decode(text.removeprefix("whsec_"), validate=True)
                ) in range(24, 65)
            except binascii.Error:
                is_good = False
            if not is_good:
                raise ValueError("must be whsec_ and 24 to 64 bytes in Base64")
        return value

    @model_validator(mode="after")
    def _channels_are_whole(self) -> "NotificationSettings":
        for one, other in (("EMAIL_URL", "EMAIL_FROM"), ("SMS_URL", "SMS_SECRET")):
            given = [
                getattr(self, f"notification_{name.lower()}") is not None for name in (one, other)
            ]
            if given[0] != given[1]:
                raise ValueError(f"NOTIFICATION_{one} and NOTIFICATION_{other}: set both or none")
        return self
