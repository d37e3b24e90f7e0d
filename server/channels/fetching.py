"""Bookings fetched from a channel: by the days they were made on, from the last fetch on with an
overlap, so that an outage over midnight loses none.

New ones come every quarter of an hour, all that are not over every four hours: so are
cancellations and changes, and states that are mapped to nothing. What was found is kept in the
transaction that asks for the work on it.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels import bookings, syncs
from server.channels.booking_seals import BookingSeals, booking_key
from server.channels.cadence_rules import SyncPart
from server.channels.connecting import ChannelClients, OpenedChannel
from server.channels.due import BOOK, NEW, ask
from server.channels.facts import (
    BookingsRead,
    BookingState,
    ChannelCallError,
    UnmappedError,
)
from server.channels.pushing import wait_seconds
from server.platform.database import Database
from server.platform.outbox import Postpone, Task, enqueue
from server.platform.statements import run, run_together

OVERLAP = timedelta(days=1)
"""Days of a vendor's clock may be a day before or after ours."""
OVER = timedelta(days=2)
"""So long after its return a booking may still change."""
DAYS_AT_ONCE = 31
"""Of one list."""
AGAIN = timedelta(seconds=5)
"""So soon a list that was overtaken by what we did meanwhile is fetched once more."""

log = structlog.get_logger()


class BookingFetcher:
    """Fetches what vendors have booked."""

    def __init__(self, db: Database, clients: ChannelClients, seals: BookingSeals) -> None:
        self._db = db
        self._clients = clients
        self._seals = seals

    async def fetch(self, task: Task) -> Postpone | None:
        """Fetches the bookings of a channel, and asks for the work on each that needs any."""
        code, _, which = task.key.rpartition(":")
        channel, now = await self._clients.active(code), task.now()
        if channel is None:
            await self._db.in_transaction(task.done)
            return None
        state = BookingState.NEW if which == NEW else None
        overtaken = False
        for first, last in _pieces(await self._first_day(code, which, now), _last_day(now)):
            listed = task.now()
            try:
                found = await channel.client.bookings(first, last, state)
            except ChannelCallError as error:
                return Postpone(task.now() + timedelta(seconds=wait_seconds(error)))
            except UnmappedError as error:
                _report(code, "", str(error))
                break
            overtaken |= await self._keep(channel, found, first, last, listed=listed, task=task)
        else:
            async with self._db.transaction() as tx:
                await run(tx, bookings.note_fetch(code, now))
                part = SyncPart.BOOKINGS if which == NEW else SyncPart.STATUS
                await run(tx, syncs.note_done(code, part, now=now))
        if overtaken:
            return Postpone(task.now() + AGAIN)
        await self._finish(code, task)
        return None

    async def _first_day(self, code: str, which: str, now: datetime) -> date:
        returned_since = (now - OVER).date()
        async with self._db.transaction() as tx:
            until, oldest = await run_together(
                tx,
                bookings.fetched_until(code),
                bookings.first_open(code, returned_since=returned_since),
            )
        since = ((until[0] if until else now) - OVERLAP).astimezone(UTC).date()
        if which == NEW or oldest[0].first_day is None:
            return since
        return min(since, oldest[0].first_day)

    async def _keep(
        self,
        channel: OpenedChannel,
        found: BookingsRead,
        first: date,
        last: date,
        *,
        listed: datetime,
        task: Task,
    ) -> bool:
        """Whether something on the list was overtaken since it was asked for."""
        code = channel.record.channel_code
        rows = [self._seals.seen(code, each) for each in found.bookings]

        async def work(tx: AsyncConnection) -> tuple[list[str], list[str]]:
            now = task.now()
            seen = bookings.seen(code, rows, first=first, last=last, listed=listed, now=now)
            changed = await run(tx, seen)
            faults = found.faults.items()
            faulty = await run(
                tx, bookings.unreadable(code, faults, first=first, last=last, now=now)
            )
            overtaken = await run(tx, bookings.overtaken(code, rows, listed=listed))
            keys = [booking_key(code, each) for each in changed]
            await run(tx, enqueue(*ask(BOOK, keys, now), now=now))
            return faulty, overtaken

        faulty, overtaken = await self._db.in_transaction(work)
        by_fault: dict[str, list[str]] = {}
        for booking_id in sorted(faulty):
            by_fault.setdefault(found.faults[booking_id], []).append(booking_id)
        for why, ids in by_fault.items():
            _report(code, ids[0], why, bookings=len(ids))
        return bool(overtaken)

    async def _finish(self, code: str, task: Task) -> None:
        """Asks for what was left undone, as while a word was mapped to nothing."""

        async def work(tx: AsyncConnection) -> None:
            now = task.now()
            keys = [booking_key(code, each) for each in await run(tx, bookings.unfinished(code))]
            await task.done(tx)
            await run(tx, enqueue(*ask(BOOK, keys, now), now=now))

        await self._db.in_transaction(work)


def _last_day(now: datetime) -> date:
    return (now + OVERLAP).astimezone(UTC).date()


def _pieces(first: date, last: date) -> Iterator[tuple[date, date]]:
    while first <= last:
        end = min(first + timedelta(days=DAYS_AT_ONCE - 1), last)
        yield first, end
        first = end + timedelta(days=1)


def _report(channel_code: str, first_booking: str, why: str, *, bookings: int = 1) -> None:
    """Once for each reason, such as a word that is mapped to nothing."""
    log.error(
        "channel.bookings_unreadable",
        channel=channel_code,
        why=why,
        bookings=bookings,
        first_booking=first_booking,
    )
