"""Rotating codes as a terminal verifies them: by what its pack has of a ticket's secret, and the
jti that the token says. Pure.

The form is that of the contract's RotatingCodeKey; `server/tickets/rotating_codes.py` has the other
side, `docs/examples/rotating_codes.json` examples for both.
"""

import hmac
import struct
from base64 import b32encode

SHARE_BYTES = 16
STEP_MS = 30_000
SEPARATOR = "-"
_CODE_BYTES = 5
_STEP = struct.Struct(">Q")


def code_at(share: bytes, jti: bytes, now: int) -> str:
    """The code that is shown at a moment, in milliseconds of Unix time."""
    return _code(hmac.digest(share, jti, "sha256"), now // STEP_MS)


def is_current(code: str, share: bytes, jti: bytes, now: int) -> bool:
    """Whether a code is of `now`, one step more or less."""
    secret, step = hmac.digest(share, jti, "sha256"), now // STEP_MS
    return any(
        hmac.compare_digest(_code(secret, each), code) for each in (step - 1, step, step + 1)
    )


def _code(secret: bytes, step: int) -> str:
    return b32encode(hmac.digest(secret, _STEP.pack(step), "sha256")[:_CODE_BYTES]).decode()
