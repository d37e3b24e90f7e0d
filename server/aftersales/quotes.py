"""Quotes that need no table: what was offered, to whom and until when, signed by us."""

import base64
import hmac
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from server.platform.errors import DomainError, Reason
from server.platform.texts import clock_time

MAC_BYTES = 16

Kind = Literal["refund", "change"]


class Quotes:
    """Signs quotes and knows them again; a quote is good for its caller and kind alone, and any
    number of times.

    So whoever acts on one looks once more whether what it says still holds.
    """

    def __init__(self, secret_key: bytes) -> None:
        self._key = hmac.digest(secret_key, b"deeptravel quotes", "sha256")

    def sign(self, kind: Kind, caller: str, facts: Any, *, expire_time: datetime) -> str:
        """The text of a quote; `facts` become JSON."""
        body = orjson.dumps([expire_time.timestamp(), facts])
        return base64.urlsafe_b64encode(self._mac(kind, caller, body) + body).decode().rstrip("=")

    def open(self, kind: Kind, caller: str, quote: str, *, now: datetime) -> Any:
        """The facts of a quote. Raises QUOTE_INVALID for one that is not ours, not the caller's,
        or expired.
        """
        try:
            raw = base64.urlsafe_b64decode(quote + "=" * (-len(quote) % 4))
        except ValueError:
            raw = b""
        mac, body = raw[:MAC_BYTES], raw[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(kind, caller, body)):
            raise invalid("is not one of ours for this caller")
        expires, facts = orjson.loads(body)
        if now.timestamp() > expires:
            until = datetime.fromtimestamp(expires, UTC)
            raise invalid(f"was good until {clock_time(until, 'seconds')}")
        return facts

    def _mac(self, kind: Kind, caller: str, body: bytes) -> bytes:
        content = b"\0".join((kind.encode(), caller.encode(), body))
        return hmac.digest(self._key, content, "sha256")[:MAC_BYTES]


def invalid(why: str) -> DomainError:
    """QUOTE_INVALID."""
    return DomainError(Reason.QUOTE_INVALID, f"the quote {why}; ask for another")
