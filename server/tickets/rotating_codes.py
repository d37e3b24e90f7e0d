"""The rotating code: what the traveller's phone shows behind a ticket's QR token, new at every
step, so that a screenshot is soon worth nothing. Pure.

    QR text   token - code                             hyphen and 8 characters more, 212 in all
    share     16 B  HMAC-SHA-256 by the server's key over number u64 | first 8 B of the jti
    secret    32 B  HMAC-SHA-256 by the share over the jti, 16 B
    code       5 B  HMAC-SHA-256 by the secret over the step u64, cut off, in Base32

Numbers are big-endian; a step is Unix time in seconds divided by STEP_SECONDS. Nothing of it is
stored. The phone has the secret. A terminal without network has the share, of which it makes the
secret only with the whole jti, as the token says it: its pack has no more than the first half. So
whoever takes a terminal can make codes of those tickets alone whose token he has too. A jti is new
with each rotation of the QR, and so are share and secret.

With the token alone a code is right by chance three times in 2^40. The longer text has the QR code
of the token alone (`picture.py`), and a hyphen is one of its alphanumeric characters that Chinese
keyboards leave as it is.
"""

import enum
import hmac
import struct
from base64 import b32encode
from datetime import datetime, timedelta
from uuid import UUID

STEP_SECONDS = 30
"""A phone and a terminal that are both some seconds off still agree within one step; within the
same a picture cannot be stopped, and redemption itself stops the second of two.
"""
SECRET_BYTES = 32
SHARE_BYTES = 16
PACK_JTI_BYTES = 8
SEPARATOR = "-"
CODE_CHARS = 8
TOKEN_CHARS = 203
TEXT_CHARS = TOKEN_CHARS + len(SEPARATOR) + CODE_CHARS

_NUMBER = struct.Struct(">Q")
_CODE_BYTES = 5


class CodeShown(enum.Enum):
    """What was shown behind a token."""

    NO_CODE = enum.auto()
    CURRENT = enum.auto()
    STALE = enum.auto()  # of another time, another ticket, or nobody's


def split(text: str) -> tuple[str, str]:
    """Token and code of a QR's text, as `texts.read_scanned` leaves it; without a code the text
    itself.
    """
    if len(text) == TEXT_CHARS and text[TOKEN_CHARS] == SEPARATOR:
        return text[:TOKEN_CHARS], text[TOKEN_CHARS + 1 :]
    return text, ""


def secret_of(share: bytes, jti: UUID) -> bytes:
    """What the codes of a ticket are made of; of the share see `rotating_keys.py`."""
    return hmac.digest(share, jti.bytes, "sha256")


def code_at(secret: bytes, moment: datetime) -> str:
    """The code that is shown at a moment."""
    return _code(secret, _step(moment))


def shown(
    code: str, secret: bytes, now: datetime, *, clock_slack: timedelta = timedelta()
) -> CodeShown:
    """Whether a code is of `now`, one step more or less; `clock_slack` is by how much the clock of
    whoever says `now` may be off besides.
    """
    if not code:
        return CodeShown.NO_CODE
    steps = range(_step(now - clock_slack) - 1, _step(now + clock_slack) + 2)
    is_current = any(hmac.compare_digest(_code(secret, step), code) for step in steps)
    return CodeShown.CURRENT if is_current else CodeShown.STALE


def _step(moment: datetime) -> int:
    return int(moment.timestamp()) // STEP_SECONDS


def _code(secret: bytes, step: int) -> str:
    return b32encode(hmac.digest(secret, _NUMBER.pack(step), "sha256")[:_CODE_BYTES]).decode()
