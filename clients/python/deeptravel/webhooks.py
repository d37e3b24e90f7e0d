"""Checks that a webhook comes from DeepTravel, by the rules of Standard Webhooks.

Give the body as it came, before anybody parsed it: one space more or less is another signature.
"""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

__all__ = ["Webhook", "WebhookError", "Webhooks"]

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
MIN_SECRET_BYTES = 24


class WebhookError(Exception):
    """The request is not from the server that holds the secret, or is too old: answer 400."""


@dataclass(frozen=True)
class Webhook:
    """A request that was checked.

    Attributes:
        id: the same each time the message is sent again: do what it says once for each.
        time: when this attempt was signed.
        payload: the JSON object of the body.
    """

    id: str
    time: datetime
    payload: dict[str, Any]


class Webhooks:
    """What checks the requests of one endpoint.

    Args:
        secrets: `whsec_…`, one, or while it is exchanged both: whichever fits.
        tolerance_seconds: how far the signer's clock and ours may be apart.

    Raises:
        ValueError: a secret is of another form.
    """

    def __init__(
        self, secrets: str | Sequence[str], *, tolerance_seconds: int = TOLERANCE_SECONDS
    ) -> None:
        given = [secrets] if isinstance(secrets, str) else list(secrets)
        if not given:
            raise ValueError("a webhook cannot be checked without a secret")
        self._keys = [_key(each) for each in given]
        self._tolerance = tolerance_seconds

    def verify(
        self, body: bytes, headers: Mapping[str, str], *, now: float | None = None
    ) -> Webhook:
        """The message of a request.

        Args:
            body: as it came.
            headers: in any case; `webhook-id`, `webhook-timestamp` and `webhook-signature` count.
            now: seconds since 1970; the clock's if not given.

        Raises:
            WebhookError: it cannot be trusted; the text says why and holds no secret.
        """
        given = {name.lower(): value for name, value in headers.items()}
        missing = [name for name in HEADERS if not given.get(name)]
        if missing:
            raise WebhookError(f"without the header {', '.join(missing)}")
        message_id, timestamp, signatures = (given[name] for name in HEADERS)
        signed_at = self._signed_at(timestamp, time.time() if now is None else now)
        content = f"{message_id}.{timestamp}.".encode() + body
        expected = [hmac.digest(key, content, hashlib.sha256) for key in self._keys]
        offered = [_signature(each) for each in signatures.split(" ")]
        # compare_digest in all pairs, so that the time taken tells nothing
        fits = [hmac.compare_digest(one, other) for one in expected for other in offered if other]
        if not any(fits):
            raise WebhookError("no signature fits: another secret, or the body was changed")
        return Webhook(message_id, datetime.fromtimestamp(signed_at, UTC), _payload(body))

    def _signed_at(self, timestamp: str, now: float) -> int:
        if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 12:
            raise WebhookError("webhook-timestamp is no number of seconds")
        signed_at = int(timestamp)
        if abs(now - signed_at) > self._tolerance:
            raise WebhookError("signed too long ago, or ahead of this machine's clock")
        return signed_at


HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < MIN_SECRET_BYTES:
        raise ValueError("a secret is whsec_ and the Base64 of 24 bytes or more")
    return key


def _signature(text: str) -> bytes:
    """The bytes of `v1,…`; none of any other version, or of what is no Base64."""
    version, _, encoded = text.partition(",")
    if version != "v1":
        return b""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _payload(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body)
    except ValueError as error:
        raise WebhookError("the body is no JSON") from error
    if not isinstance(payload, dict):
        raise WebhookError("the body is no JSON object")
    return payload
