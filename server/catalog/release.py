"""Release rules: a partner's stock of a departure or a day of use that nobody has taken returns to
DIRECT so many days before (DOMAIN, Stock).

A job does it, so once however many processes run, and after an outage what was missed. What becomes
free later, as when a reservation ends, returns at the next look, until the day is over.
"""

from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.allotments import ALLOTMENTS, Allotment, trace
from server.catalog.rules import MOST_TOTAL
from server.platform.schedule import Work
from server.platform.statements import Statement, run
from server.stock import inventory
from server.stock.models import stocks

CHUNK = 50
"""Allotments that are released in one transaction, whose locks others wait for."""
ACTOR = "system"


class _Due(NamedTuple):
    stock_id: int
    direct_id: int


# what has a stock of DIRECT to return to; our own of a day of use is that of all days
_FIND = Statement(
    """
SELECT s.stock_id, d.stock_id FROM stocks s
JOIN stocks d ON d.stock_id = CASE WHEN s.use_date IS NULL THEN s.stock_id - s.partner_id
  ELSE s.product_id::bigint << 20 END
WHERE s.release_date <= $1::date AND s.total > s.held + s.sold AND NOT s.closed
ORDER BY s.release_date, s.stock_id LIMIT $2::int
""",
    _Due,
)
_END = Statement(
    "UPDATE stocks SET release_date = NULL WHERE release_date + release_days < $1::date"
)


def release(zone: ZoneInfo) -> Work:
    """The work of the job; `zone` is whose days count."""

    async def work(tx: AsyncConnection, now: datetime) -> bool:
        today = now.astimezone(zone).date()
        # a departure's day is that of the city it leaves: it may be yesterday's there
        await run(tx, _END(today - timedelta(days=1)))
        return await _release(tx, today, now)

    return work


async def _release(tx: AsyncConnection, today: date, now: datetime) -> bool:
    due = await run(tx, _FIND(today, CHUNK))
    await inventory.lock_levels(tx, {number for row in due for number in row})
    released = 0
    for row in due:
        before = await _read(tx, row.stock_id)
        free = before.total - before.held - before.sold
        if free <= 0:
            continue
        direct = await _read(tx, row.direct_id)
        if await inventory.add_to_total(tx, row.direct_id, free, limit=MOST_TOTAL, now=now):
            taken = await inventory.add_to_total(tx, row.stock_id, -free, limit=MOST_TOTAL, now=now)
            assert taken, "it is locked"
            for was in (before, direct):
                became = await _read(tx, was.stock_id)
                await trace(tx, was, became, "release", actor=ACTOR, now=now)
            released += 1
    return released > 0 and len(due) == CHUNK


async def _read(tx: AsyncConnection, stock: int) -> Allotment:
    row = (await tx.execute(ALLOTMENTS.where(stocks.c.stock_id == stock))).mappings().one()
    return Allotment(**row)
