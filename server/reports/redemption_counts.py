"""Redemptions of several merchants in the pieces of a report's time: from the sums that the room of
redemptions keeps, and from its events where they are not summed yet.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.reports.rules import ReportTime, Uncounted, unsummed

_MARK = text("SELECT until_time FROM redemption_sums_mark")
_MERCHANTS = text("""
SELECT merchant_code FROM merchants WHERE :merchant = '' OR merchant_code = :merchant ORDER BY 1
""")
_PIECE = "width_bucket({}, CAST(:bounds AS timestamptz[])) - 1"  # counts from 1
# what was refused used nothing, whatever it asked for
_READ = text(f"""
SELECT piece, merchant_code, venue_code, function_code, result, reason, sum(events)::bigint,
  sum(uses)::bigint
FROM (
  SELECT {_PIECE.format("s.begin_time")}, s.merchant_code, s.member, s.function_code, s.result,
    s.reason, s.events, s.uses
  FROM redemption_sums s
  WHERE s.merchant_code = ANY(CAST(:merchants AS text[])) AND s.grouped_by = 'VENUE'
    AND s.span = 'HOUR' AND s.begin_time >= :begin AND s.begin_time < :summed
  UNION ALL
  SELECT {_PIECE.format("e.occurred_time")}, m.merchant_code, e.venue_code, e.function_code,
    e.result, coalesce(e.reason, ''), 1, CASE WHEN e.result = 'REJECT' THEN 0 ELSE e.quantity END
  FROM unnest(CAST(:merchants AS text[])) AS m (merchant_code)
  CROSS JOIN LATERAL (
    SELECT * FROM redemption_events WHERE merchant_code = m.merchant_code
      AND occurred_time >= :unsummed AND occurred_time < :until) e
) AS u (piece, merchant_code, venue_code, function_code, result, reason, events, uses)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
""")  # noqa: S608 - our own


class RedemptionCount(NamedTuple):
    """Events of one piece, merchant, venue, entitlement, result and reason (empty if none)."""

    piece: int
    merchant_code: str
    venue_code: str
    function_code: str
    result: str
    reason: str
    events: int
    uses: int


async def merchants(tx: AsyncConnection, merchant_code: str) -> list[str]:
    """The codes of all merchants, or of this one alone; none if there is none of it."""
    return list(await tx.scalars(_MERCHANTS, {"merchant": merchant_code}))


async def read(
    tx: AsyncConnection, merchant_codes: Sequence[str], time: ReportTime
) -> tuple[list[RedemptionCount], Uncounted | None]:
    """What happened at these merchants in each piece of the time, by its piece and names; and what
    is not counted yet.
    """
    mark = (await tx.execute(_MARK)).scalar_one()
    begin, uncounted = unsummed(time, mark)
    if not time.has_whole_hours:
        # the sums are of hours of UTC, of which days and hours of some zones are not made
        mark = begin = time.begin_time
        uncounted = None
    values: dict[str, Any] = {
        "merchants": list(merchant_codes),
        "bounds": list(time.bounds[:-1]),
        "begin": time.begin_time,
        "summed": min(max(mark, time.begin_time), time.bounds[-1]),
        "unsummed": begin,
        "until": time.bounds[-1],
    }
    return [RedemptionCount(*row) for row in await tx.execute(_READ, values)], uncounted
