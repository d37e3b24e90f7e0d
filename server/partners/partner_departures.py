"""What partners have of a departure follows when the operator cancels or moves it: work of a task
of the outbox, asked for in the transaction that does so.

Of one that is cancelled, reservations are released, with their unsold tickets VOIDED, and sold
tickets are REFUNDED, whole: what the partner's customer gets back is the partner's to pay. One that
was redeemed in part, or is blocked, stays as it is, as of our own channel (DOMAIN, Refund and
change). Of one that is moved, tickets get its times, and no reservation outlasts it.

Each step is a short transaction of its own that does what is still to be done; killed anywhere, the
task runs again. Locks come in the order reservations, tickets, orders, stocks.
"""

from datetime import timedelta
from time import monotonic
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import departures
from server.catalog.departures import CANCELLED, DepartureNow
from server.partners import reservations, sold_tickets
from server.partners.reservations import RELEASED
from server.platform.database import Database
from server.platform.outbox import Postpone, Task
from server.platform.statements import Statement, run
from server.tickets import departure_tickets, tickets

CHUNK_RESERVATIONS = 50
CHUNK_TICKETS = 500
"""In one transaction, whose locks others wait for."""
RUN_SECONDS = 10.0
"""After so long a run ends and the next begins, so that the lease of a process that died is soon
over.
"""
LOOK_AGAIN = timedelta(minutes=5)
"""A ticket of a cancelled departure may come back: unblocked, or a redemption reversed."""
COMES_BACK = timedelta(days=1)
"""So long after the departure's time it is looked for."""
MOST_ATTEMPTS = 100
"""Failing for half a day; then it is a dead letter, for an administrator."""
ACTOR = "system"
REASON: Final = "DEPARTURE_CANCELLED"

_LOCK_OPEN = Statement(
    """
SELECT reservation_id FROM reservations
WHERE departure_id = $1::bigint AND state = 'OPEN'
ORDER BY reservation_id LIMIT $2::int FOR NO KEY UPDATE
""",
    UUID,
)
_SHORTEN = Statement(
    """
WITH longer AS MATERIALIZED (
  SELECT reservation_id FROM reservations
  WHERE departure_id = $1::bigint AND state = 'OPEN' AND max_expire_time > $2::timestamptz
  ORDER BY reservation_id LIMIT $3::int FOR NO KEY UPDATE)
UPDATE reservations r SET max_expire_time = $2::timestamptz,
  expire_time = least(r.expire_time, $2::timestamptz),
  warn_time = least(r.warn_time, $2::timestamptz)
FROM longer WHERE r.reservation_id = longer.reservation_id
RETURNING r.reservation_id
""",
    UUID,
)


class PartnerDepartures:
    """The handler of departure.partners."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def follow(self, task: Task) -> Postpone | None:
        """Brings what partners have of a departure to where that is now."""
        number, began = int(task.key), monotonic()
        async with self._db.transaction() as tx:
            found = await run(tx, departures.as_they_are([number]))
        if not found:
            return None
        departure = found[0]
        steps = (_release, _refund) if departure.state == CANCELLED else (_shorten, _move)
        for step in steps:
            while await self._db.in_transaction(lambda tx, s=step: s(tx, departure, task)):  # type: ignore[misc]
                if monotonic() - began > RUN_SECONDS:
                    return Postpone(task.now())
        return await self._when_again(departure, task)

    async def _when_again(self, departure: DepartureNow, task: Task) -> Postpone | None:
        if departure.state != CANCELLED or task.now() > departure.departure_time + COMES_BACK:
            return None
        async with self._db.transaction() as tx:
            (left,) = await run(tx, departure_tickets.count_open(departure.departure_id))
        return Postpone(task.now() + LOOK_AGAIN) if left else None


async def _release(tx: AsyncConnection, departure: DepartureNow, task: Task) -> bool:
    """Releases some of the reservations; whether there may be more. Their tickets are VOIDED by
    whoever looks for those of reservations that have ended (reservation_expiry.py).
    """
    found = await run(tx, _LOCK_OPEN(departure.departure_id, CHUNK_RESERVATIONS))
    await reservations.close(tx, found, RELEASED, REASON, now=task.now())
    return len(found) == CHUNK_RESERVATIONS


async def _refund(tx: AsyncConnection, departure: DepartureNow, task: Task) -> bool:
    """Refunds some of the tickets; whether there may be more."""
    found = await run(tx, departure_tickets.to_refund(departure.departure_id, limit=CHUNK_TICKETS))
    if not found:
        return False
    await sold_tickets.refund(tx, found, actor=ACTOR, reason=REASON, now=task.now())
    return len(found) == CHUNK_TICKETS


async def _shorten(tx: AsyncConnection, departure: DepartureNow, task: Task) -> bool:
    """Has some of the reservations end when the departure leaves now; whether there may be more."""
    del task
    values = departure.departure_id, departure.departure_time, CHUNK_RESERVATIONS
    return len(await run(tx, _SHORTEN(*values))) == CHUNK_RESERVATIONS


async def _move(tx: AsyncConnection, departure: DepartureNow, task: Task) -> bool:
    """Moves the times of some of the tickets; whether there may be more."""
    now = task.now()
    found = await run(tx, departure_tickets.to_move(departure.departure_id, limit=CHUNK_TICKETS))
    await run(tx, departure_tickets.move(found, now=now))
    for state in {each.state for each in found}:
        theirs = [each.ticket_id for each in found if each.state == state]
        event = {"action": "departure_moved", "state": state, "actor": ACTOR}
        await tickets.record(tx, theirs, now=now, **event)
    return len(found) == CHUNK_TICKETS
