"""Why the QR token itself is refused, whatever its ticket. Pure."""

from datetime import datetime

from server.platform.texts import clock_time
from server.redemption.rules import Refusal
from server.tickets import qr

INVALID_TOKEN = Refusal("TOKEN_INVALID", "token")
"""Every forgery, whatever is wrong with it."""
COMPROMISED_KEY = Refusal("QR_KEY_COMPROMISED", "key")
"""What was issued under a key that others have; what they made with it is a forgery."""


def compromised_token(if_good: Refusal | None) -> Refusal:
    """The refusal of a token whose key others have, by what it would be `if_good` was the key: what
    its ticket or order does not have is a forgery.
    """
    return INVALID_TOKEN if if_good and if_good.check in ("ticket", "jti") else COMPROMISED_KEY


def expired_token(claims: qr.Claims, now: datetime) -> Refusal:
    """The refusal of a genuine token whose time is over."""
    expired_at = claims.expire_time.astimezone(now.tzinfo)
    return Refusal("TOKEN_EXPIRED", "expiry", {"expired_at": clock_time(expired_at, "seconds")})
