"""Taken seats as this process last saw them, so that a transaction reads those alone of the stocks
that somebody else has changed meanwhile.

Whoever takes or frees a seat changes `held` or `sold` of its stock and the time of that row in the
same transaction, under its lock: while these are the same, so are the seats. Nothing leans on it
being right: a seat that is taken after all violates the key of taken_seats, and whoever finds no
seat by what is remembered has it forgotten.
"""

from datetime import UTC, datetime
from typing import NamedTuple

MAX_STOCKS = 10_000
"""Stocks whose seats are remembered; a bitmap has up to 700 bytes."""


class Version(NamedTuple):
    """What of a stock's row changes with its seats."""

    update_time: datetime
    held: int
    sold: int


class SeatBits(NamedTuple):
    """The bitmap of a stock's taken seats, and the version of which it is."""

    version: Version
    taken: int


UNKNOWN = SeatBits(Version(datetime(1970, 1, 1, tzinfo=UTC), -1, -1), 0)
"""Of a version that no stock ever has."""


class KnownSeats:
    """The seats of at most MAX_STOCKS stocks: beyond it the one that changed longest ago goes."""

    def __init__(self) -> None:
        self._known: dict[int, SeatBits] = {}

    def of(self, stock_id: int) -> SeatBits:
        """What is remembered of a stock, or UNKNOWN."""
        return self._known.get(stock_id, UNKNOWN)

    def remember(self, stock_id: int, seats: SeatBits) -> None:
        """May be said before the commit: if it fails no row gets that version."""
        self._known.pop(stock_id, None)
        if len(self._known) >= MAX_STOCKS:
            del self._known[next(iter(self._known))]
        self._known[stock_id] = seats

    def forget(self, stock_id: int) -> None:
        """Has the seats of a stock read again."""
        self._known.pop(stock_id, None)
