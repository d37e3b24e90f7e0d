"""The list of jobs: what is done by the clock, and how often."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.timetables import make_departures
from server.identity.service import purge_logins
from server.orders.ticket_expiry import TicketExpiry
from server.payments.reconciling import ask_for_missed
from server.payments.refund_tasks import watch_refunds
from server.platform import change_feed, idempotency, outbox
from server.platform.config import Settings
from server.platform.schedule import Job
from server.redemption.sums import sum_up

EXPIRY_CADENCE = timedelta(seconds=10)
"""At every look, whichever process's: what one run passed over the next has within a minute. (DOMAIN, Operations)."""
PURGED_AT_ONCE = 5_000
"""Rows removed in one transaction."""


def jobs(settings: Settings) -> list[Job]:
    """All there are."""

    async def purge_answers(tx: AsyncConnection, now: datetime) -> bool:
        keep = timedelta(hours=settings.idempotency_hours)
        gone = await idempotency.purge(tx, now=now, keep=keep, most=PURGED_AT_ONCE)
        return gone == PURGED_AT_ONCE

    async def purge_tasks(tx: AsyncConnection, now: datetime) -> bool:
        gone = await outbox.purge(tx, now=now, keep=outbox.DONE_TASKS_KEPT, most=PURGED_AT_ONCE)
        return gone == PURGED_AT_ONCE

    async def purge_changes(tx: AsyncConnection, now: datetime) -> bool:
        return await change_feed.purge(tx, now=now, limit=PURGED_AT_ONCE) == PURGED_AT_ONCE

    async def purge_ended_logins(tx: AsyncConnection, now: datetime) -> bool:
        return await purge_logins(tx, now, PURGED_AT_ONCE) == PURGED_AT_ONCE

    async def make_timetable_departures(tx: AsyncConnection, now: datetime) -> bool:
        await make_departures(tx, now)
        return False

    table = [
        Job("expire-tickets", EXPIRY_CADENCE, TicketExpiry().work, quiet=True),
        Job("make-departures", timedelta(hours=1), make_timetable_departures),
        Job("purge-answers", timedelta(minutes=10), purge_answers),
        Job("purge-tasks", timedelta(minutes=10), purge_tasks),
        Job("purge-changes", timedelta(minutes=10), purge_changes),
        Job("purge-logins", timedelta(hours=1), purge_ended_logins),
        Job("sum-redemptions", timedelta(minutes=5), sum_up),
    ]
    if settings.wechat_merchant_id:
        table.append(Job("reconcile", timedelta(minutes=10), ask_for_missed))
        table.append(Job("watch-refunds", timedelta(minutes=10), watch_refunds))
    return table
