"""Release rules: a partner's stock of a departure or a day of use that nobody has taken returns to
DIRECT so many days before (DOMAIN, Stock).

A job does it, so once however many processes run, and after an outage what was missed. What becomes
free later, as when a reservation ends, returns at the next look, until the day is over.
"""

from datetime import date, datetime, timedelta
from typing import Unpack
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.catalog.allotments import Allotment, of_stock, trace
from server.catalog.rules import MOST_TOTAL
from server.platform.schedule import Progress, Work
from server.platform.statements import run
from server.stock import inventory, release_dates

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


async def return_free(
    tx: AsyncConnection, before: Allotment, direct: Allotment, action: str, **by: Unpack[By]
) -> tuple[Allotment, Allotment] | None:
    """Moves what is free of an allotment to DIRECT's of the same; both are locked. Both as they are
    then; None if nothing is free, or DIRECT would have more than there can be.
    """
    free, now = before.total - before.held - before.sold, by["now"]
    if free <= 0:
        return None
    if not await inventory.add_to_total(tx, direct.stock_id, free, limit=MOST_TOTAL, now=now):
        return None
    taken = await inventory.add_to_total(tx, before.stock_id, -free, limit=MOST_TOTAL, now=now)
    assert taken, "it is locked"
    shrunk, grown = await _locked(tx, before.stock_id), await _locked(tx, direct.stock_id)
    return (
        await trace(tx, before, shrunk, action, **by),
        await trace(tx, direct, grown, action, **by),
    )


async def _release(tx: AsyncConnection, today: date, now: datetime) -> Progress:
    due = await run(tx, release_dates.due(today, limit=CHUNK))
    await inventory.lock_levels(tx, {number for row in due for number in row})
    released = 0
    for row in due:
        before, direct = await _locked(tx, row.stock_id), await _locked(tx, row.direct_id)
        if await return_free(tx, before, direct, "release", actor=ACTOR, now=now):
            released += 1
    return Progress(released > 0 and len(due) == CHUNK, released)


async def _locked(tx: AsyncConnection, stock: int) -> Allotment:
    """The allotment of a stock that is locked."""
    found = await of_stock(tx, stock)
    assert found, "stocks are never deleted"
    return found
