"""Release rules: a partner's stock of a departure or a day of use that nobody has taken returns to
DIRECT so many days before (DOMAIN, Stock).

A job does it, so once however many processes run, and after an outage what was missed. What becomes
free later, as when a reservation ends, returns at the next look, until the day is over.
"""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.allotments import ALLOTMENTS, Allotment, trace
from server.catalog.rules import MOST_TOTAL
from server.platform.schedule import Progress, Work
from server.platform.statements import run
from server.stock import inventory, release_dates
from server.stock.models import stocks

CHUNK = 50
"""Allotments that are released in one transaction, whose locks others wait for."""
ACTOR = "system"


def release(zone: ZoneInfo) -> Work:
    """The work of the job; `zone` is whose days count."""

    async def work(tx: AsyncConnection, now: datetime) -> Progress:
        today = now.astimezone(zone).date()
        # a departure's day is that of the city it leaves: it may be yesterday's there
        await run(tx, release_dates.end(today - timedelta(days=1)))
        return await _release(tx, today, now)

    return work


async def _release(tx: AsyncConnection, today: date, now: datetime) -> Progress:
    due = await run(tx, release_dates.due(today, limit=CHUNK))
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
    return Progress(released > 0 and len(due) == CHUNK, released)


async def _read(tx: AsyncConnection, stock: int) -> Allotment:
    row = (await tx.execute(ALLOTMENTS.where(stocks.c.stock_id == stock))).mappings().one()
    return Allotment(**row)
