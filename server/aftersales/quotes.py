"""Quotes that need no table: what was offered, to whom and until when, signed by us."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from server.platform.crypto import Signer
from server.platform.errors import DomainError, Reason
from server.platform.texts import clock_time

Kind = Literal["refund", "change"]


class Quotes:
    """Signs quotes and knows them again; a quote is good for its caller and kind alone, and any
    number of times.

    So whoever acts on one looks once more whether what it says still holds.
    """

    def __init__(self, secret_key: bytes) -> None:
        self._signer = Signer(secret_key, "deeptravel quotes")

    def sign(self, kind: Kind, caller: str, facts: Any, *, expire_time: datetime) -> str:
        """The text of a quote; `facts` become JSON."""
        body = orjson.dumps([expire_time.timestamp(), facts])
        return self._signer.token(body, _bound_to(kind, caller))

    def open(self, kind: Kind, caller: str, quote: str, *, now: datetime) -> Any:
        """The facts of a quote. Raises QUOTE_INVALID for one that is not ours, not the caller's,
        or expired.
        """
        body = self._signer.read_token(quote, _bound_to(kind, caller))
        if body is None:
            raise invalid("is not one of ours for this caller")
        expires, facts = orjson.loads(body)
        if now.timestamp() > expires:
            until = datetime.fromtimestamp(expires, UTC)
            raise invalid(f"was good until {clock_time(until, 'seconds')}")
        return facts


def _bound_to(kind: Kind, caller: str) -> Callable[[bytes], bytes]:
    return lambda body: b"\0".join((kind.encode(), caller.encode(), body))


def invalid(why: str) -> DomainError:
    """QUOTE_INVALID."""
    return DomainError(Reason.QUOTE_INVALID, f"the quote {why}; ask for another")
