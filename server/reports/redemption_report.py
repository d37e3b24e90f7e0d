"""The report of redemptions: by hour or day, merchant, venue and entitlement."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.reports import redemption_counts
from server.reports.figures import RedemptionFigures
from server.reports.rules import ReportTime, Uncounted

Key = tuple[int, str, str, str]
"""Piece of the time, merchant, venue, entitlement."""

COLUMNS = (
    *("begin_time", "day", "merchant_code", "venue_code", "function_code", "admitted_count"),
    *("admitted_uses", "refused_count", "reversed_count", "reversed_uses"),
)


class RedemptionRow(NamedTuple):
    """A row; `begin_time` is of its hour or day."""

    key: Key
    begin_time: datetime
    day: str
    figures: RedemptionFigures

    def cells(self) -> Sequence[object]:
        """As COLUMNS."""
        return (
            *(self.begin_time.isoformat(), self.day, *self.key[1:]),
            *(self.figures.admitted_count, self.figures.admitted_uses),
            *(self.figures.refused_count, self.figures.reversed_count),
            self.figures.reversed_uses,
        )


async def rows(
    tx: AsyncConnection, time: ReportTime, merchant_code: str
) -> tuple[list[RedemptionRow], Uncounted | None]:
    """All rows, by their keys, of one merchant, or of all if it is empty; and what is not counted
    yet.
    """
    codes = await redemption_counts.merchants(tx, merchant_code)
    found: dict[Key, RedemptionFigures] = {}
    counts, uncounted = await redemption_counts.read(tx, codes, time)
    for count in counts:
        key = count.piece, count.merchant_code, count.venue_code, count.function_code
        found.setdefault(key, RedemptionFigures()).add(count)
    reported = [
        RedemptionRow(key, begin, time.day_of(begin).isoformat(), figures)
        for key, figures in sorted(found.items())
        for begin in [time.bounds[key[0]].astimezone(time.zone)]
    ]
    return reported, uncounted
