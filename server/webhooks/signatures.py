"""Standard Webhooks: secrets, and what is signed with them. Pure.

Source: the Standard Webhooks specification. A signature is over id, time in whole Unix seconds and
the bytes of the body; `whsec_` and padded Base64 is how a secret is written down.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105 - not a secret
SECRET_BYTES = 32
TOLERANCE_SECONDS = 300
"""By how much the time of a message may differ from ours."""
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
"""The headers of a message."""

_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_ID = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)


class NotSignedError(Exception):
    """A message that is not proven to be its sender's; the text says why."""


def written(secret: bytes) -> str:
    """A secret as people copy it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def sign(secret: bytes, message_id: str, seconds: int, body: bytes) -> str:
    """One signature, with its version."""
    content = f"{message_id}.{seconds}.".encode() + body
    mac = hmac.digest(secret, content, hashlib.sha256)
    return "v1," + base64.b64encode(mac).decode()


def headers(
    secrets: Sequence[bytes], message_id: str, seconds: int, body: bytes
) -> list[tuple[str, str]]:
    """The headers of a message, signed with each secret that is live, the newest first.

    `seconds` are whole Unix seconds, those of the attempt.
    """
    signatures = " ".join(sign(secret, message_id, seconds, body) for secret in secrets)
    return [(ID, message_id), (TIMESTAMP, str(seconds)), (SIGNATURE, signatures)]


def verify(
    secrets: Sequence[bytes], given: Mapping[str, str], body: bytes, now_seconds: float
) -> str:
    """The id of a message whose signature is good under one of the secrets.

    `given` are its headers in small letters. Raises NotSignedError.
    """
    message_id, timestamp = given.get(ID, ""), given.get(TIMESTAMP, "")
    if not _ID.fullmatch(message_id):
        raise NotSignedError("webhook-id is not 1 to 128 visible characters")
    if not _SECONDS.fullmatch(timestamp):
        raise NotSignedError("webhook-timestamp is not whole Unix seconds")
    if abs(now_seconds - int(timestamp)) > TOLERANCE_SECONDS:
        raise NotSignedError(f"webhook-timestamp is further than {TOLERANCE_SECONDS} s from now")
    found = [_mac(each) for each in given.get(SIGNATURE, "").split(" ") if each.startswith("v1,")]
    for secret in secrets:
        wanted = _mac(sign(secret, message_id, int(timestamp), body))
        if any(hmac.compare_digest(wanted, each) for each in found):
            return message_id
    raise NotSignedError("webhook-signature has no good signature")


def _mac(signature: str) -> bytes:
    try:
        return base64.b64decode(signature[3:], validate=True)
    except binascii.Error:
        return b""
