"""When stock of partners that nobody has taken returns to DIRECT: on its `release_date`, and later
what becomes free by then.
"""

from datetime import date
from typing import NamedTuple

from server.platform.statements import Command, Statement
from server.stock.ids import DAY_BITS, EPOCH


class DueForRelease(NamedTuple):
    """A partner's stock with something free of it that is to return, and where to."""

    stock_id: int
    direct_id: int


# what has a stock of DIRECT to return to; our own of a day of use is that of
# all days, but of a fleet it is that day's
_DUE = Statement(
    """
SELECT s.stock_id, d.stock_id FROM stocks s
JOIN stocks d ON d.stock_id = CASE
  WHEN s.use_date IS NULL OR s.fleet_id IS NOT NULL THEN s.stock_id - s.partner_id
  ELSE s.product_id::bigint << 20 END
WHERE s.release_date <= $1::date AND s.total > s.held + s.sold
  AND (s.archived OR NOT s.closed) AND NOT d.closed
ORDER BY s.release_date, s.stock_id LIMIT $2::int
""",
    DueForRelease,
)
# what is archived returns from that day on, not from so many days before its own
_END = Statement("""
UPDATE stocks SET release_date = NULL WHERE release_date IS NOT NULL AND CASE
  WHEN NOT archived THEN release_date + release_days
  WHEN departure_id IS NULL THEN use_date
  ELSE $2::date + (departure_id & $3::bigint)::int END < $1::date
""")


def due(today: date, *, limit: int) -> Command[DueForRelease]:
    """What is to return by today, the longest due first; of no cancelled departure."""
    return _DUE(today, limit)


def end(today: date) -> Command[None]:
    """Lets what is of a day before today stay where it is."""
    return _END(today, EPOCH, (1 << DAY_BITS) - 1)
