"""Reservations whose time is over: they are closed, their stock is given back and their tickets are
VOIDED, by whichever process comes first; before that their partners are warned.

Every process looks each second, so stock is back within five of its time, also when the process
that made the reservation is dead (DOMAIN, Stock). The stock goes first, tickets follow in chunks:
nobody can sell them any more. A reservation whose row somebody has locked is passed over and looked
at again.

Those of sandboxes are left to whoever moves their clocks (sandbox_clock.py).
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.parties.rules import SANDBOX_BIT
from server.partners import reservations
from server.partners.reservations import EXPIRED, Reservation
from server.platform import clock
from server.platform.database import Database, unless_locked, wait_for_locks
from server.platform.driver_errors import LockedError
from server.platform.errors import DomainError
from server.platform.loops import Loops, Polling
from server.platform.schedule import Progress
from server.platform.statements import Command, Statement, run
from server.webhooks import events
from server.webhooks.rules import RESERVATION_EXPIRING

LOOK_SECONDS = 1.0
CHUNK = 200
"""Reservations closed in one transaction, whose locks others wait for."""
SHORT_LOCK_SECONDS = 0.1
"""So long a reservation waits for its stock when others must not wait for it."""
ACTOR = "system"

COLUMNS_OF_R = ", ".join(f"r.{name}" for name in Reservation._fields)

log = structlog.get_logger()


class _Due(NamedTuple):
    expired: bool
    voids: bool
    warnings: bool


_EXPIRED, _VOIDS, _WARNINGS = (
    f"EXISTS (SELECT FROM reservations WHERE {condition} AND partner_id < {SANDBOX_BIT})"
    for condition in (
        "state = 'OPEN' AND expire_time <= $1::timestamptz",
        "voids_pending",
        "warn_time <= $1::timestamptz",
    )
)
_WHAT_IS_DUE = Statement(f"SELECT {_EXPIRED}, {_VOIDS}, {_WARNINGS}", _Due)
_ANY_DUE = Statement(f"SELECT {_EXPIRED} OR {_VOIDS} OR {_WARNINGS}", bool)
_OLDEST_DUE = Statement(
    f"""
SELECT expire_time FROM reservations
WHERE state = 'OPEN' AND expire_time <= $1::timestamptz AND partner_id < {SANDBOX_BIT}
ORDER BY expire_time LIMIT 1
""",  # noqa: S608
    datetime,
)
_LOCK_EXPIRED = Statement(
    f"""
SELECT reservation_id FROM reservations
WHERE state = 'OPEN' AND expire_time <= $1::timestamptz AND partner_id < {SANDBOX_BIT}
ORDER BY expire_time LIMIT $2::int FOR NO KEY UPDATE SKIP LOCKED
""",  # noqa: S608
    UUID,
)
_LOCK_EXPIRED_OF = Statement(
    """
SELECT reservation_id FROM reservations
WHERE partner_id = $1::int AND state = 'OPEN' AND expire_time <= $2::timestamptz
ORDER BY expire_time LIMIT $3::int FOR NO KEY UPDATE
""",
    UUID,
)
_LOCK_ONE = Statement(
    """
SELECT reservation_id FROM reservations WHERE reservation_id = $1::uuid AND state = 'OPEN'
FOR NO KEY UPDATE SKIP LOCKED
""",
    UUID,
)
_LOCK_CLOSED = Statement(
    f"""
SELECT reservation_id FROM reservations WHERE voids_pending AND partner_id < {SANDBOX_BIT}
ORDER BY reservation_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
""",  # noqa: S608
    UUID,
)
_LOCK_CLOSED_OF = Statement(
    """
SELECT reservation_id FROM reservations WHERE voids_pending AND partner_id = $1::int
ORDER BY reservation_id LIMIT 1 FOR NO KEY UPDATE
""",
    UUID,
)
_WARN = Statement(
    f"""
WITH due AS MATERIALIZED (
  SELECT reservation_id FROM reservations
  WHERE warn_time <= $1::timestamptz AND partner_id < {SANDBOX_BIT}
  ORDER BY warn_time LIMIT $2::int FOR NO KEY UPDATE SKIP LOCKED)
UPDATE reservations r SET warn_time = NULL FROM due
WHERE r.reservation_id = due.reservation_id RETURNING {COLUMNS_OF_R}
""",  # noqa: S608 - our own columns
    Reservation,
)
_WARN_OF = Statement(
    f"""
WITH due AS MATERIALIZED (
  SELECT reservation_id FROM reservations
  WHERE partner_id = $1::int AND state = 'OPEN' AND warn_time <= $2::timestamptz
  ORDER BY warn_time LIMIT $3::int FOR NO KEY UPDATE)
UPDATE reservations r SET warn_time = NULL FROM due
WHERE r.reservation_id = due.reservation_id RETURNING {COLUMNS_OF_R}
""",  # noqa: S608 - our own columns
    Reservation,
)


class ReservationExpiry:
    """Closes reservations in time, from `start` to `stop`, unless the job `expire-reservations`
    `is_paused`.
    """

    def __init__(
        self,
        db: Database,
        loops: Loops | None = None,
        *,
        is_paused: Callable[[], bool] = lambda: False,
    ) -> None:
        self._db = db
        self._is_paused = is_paused
        self._loop = (loops or Loops()).add(
            "reservation-expiry",
            Polling(self.look, LOOK_SECONDS, tolerated=(DomainError,), due=self._due),
        )

    def start(self) -> None:
        """Begins to look."""
        self._loop.start()

    async def stop(self) -> None:
        """Ends it, when the transaction under way is done."""
        await self._loop.end()

    def _due(self) -> Command[bool] | bool:
        return not self._is_paused() and _ANY_DUE(clock.now())

    async def look(self) -> None:
        """Does all that is due now. Raises DATABASE_UNAVAILABLE, CONFLICT."""
        if self._is_paused():
            return
        async with self._db.pipeline() as pipeline, pipeline.autocommit():
            (due,) = await run(pipeline, _WHAT_IS_DUE(clock.now()))
        if due.expired and (closed := await self._close_all()):
            log.info("reservations.expired", reservations=closed)
        if due.warnings:
            await self._warn_all()
        if due.voids or due.expired:
            await self._void_all()

    async def _close_all(self) -> int:
        closed = 0
        while not self._loop.is_ending:
            try:
                done = await self._close_chunk(clock.now())
            except LockedError:
                return closed + await self._one_by_one(clock.now())
            closed += done
            if done < CHUNK:
                break
        return closed

    async def _close_chunk(self, now: datetime) -> int:
        async with self._db.transaction() as tx:
            due = await run(tx, _LOCK_EXPIRED(now, CHUNK))
            return len(await reservations.close(tx, due, EXPIRED, "TIME_OVER", now=now))

    async def _one_by_one(self, now: datetime) -> int:
        """Closes each in a transaction of its own: those whose stock somebody has locked stay."""
        closed = 0
        async with self._db.transaction() as tx:
            due = await run(tx, _LOCK_EXPIRED(now, CHUNK))
        for reservation_id in due:
            try:
                async with self._db.transaction() as tx:
                    await wait_for_locks(tx, seconds=SHORT_LOCK_SECONDS)
                    locked = await run(tx, _LOCK_ONE(reservation_id))
                    ended = await reservations.close(tx, locked, EXPIRED, "TIME_OVER", now=now)
                    closed += len(ended)
            except LockedError as error:
                log.warning(
                    "reservations.expiry_failed",
                    reservation_id=str(reservation_id),
                    error=error.message,
                )
        return closed

    async def _void_all(self) -> None:
        more = True
        while more and not self._loop.is_ending:
            async with self._db.transaction() as tx:
                locked = await run(tx, _LOCK_CLOSED())
                for reservation_id in locked:
                    await reservations.void(tx, reservation_id, actor=ACTOR, now=clock.now())
                more = bool(locked)

    async def _warn_all(self) -> None:
        more = True
        while more and not self._loop.is_ending:
            async with self._db.transaction() as tx:
                now = clock.now()
                warned = await run(tx, _WARN(now, CHUNK))
                await _record_warnings(tx, warned, now)
                more = len(warned) == CHUNK


async def work(tx: AsyncConnection, now: datetime) -> Progress:
    """The work of the job `expire-reservations`: what the processes' own looks have passed over.

    What is locked it leaves to the next run.
    """
    await wait_for_locks(tx, seconds=SHORT_LOCK_SECONDS)
    closed: Sequence[Reservation] = ()
    async with unless_locked(tx) as tried:
        due = await run(tx, _LOCK_EXPIRED(now, CHUNK))
        closed = await reservations.close(tx, due, EXPIRED, "TIME_OVER", now=now)
    warned = await run(tx, _WARN(now, CHUNK))
    await _record_warnings(tx, warned, now)
    voided = await run(tx, _LOCK_CLOSED())
    for reservation_id in voided:
        await reservations.void(tx, reservation_id, actor=ACTOR, now=now)
    done = len(closed) if tried.succeeded else 0
    more = done == CHUNK or len(warned) == CHUNK or bool(voided)
    return Progress(more, done + len(warned) + len(voided))


async def oldest_due(tx: AsyncConnection, now: datetime) -> datetime | None:
    """Since when the time of the oldest open reservation is over."""
    found = await run(tx, _OLDEST_DUE(now))
    return found[0] if found else None


async def close_of(tx: AsyncConnection, partner_id: int, now: datetime) -> int:
    """Closes up to CHUNK of one partner's reservations that have expired; how many."""
    due = await run(tx, _LOCK_EXPIRED_OF(partner_id, now, CHUNK))
    return len(await reservations.close(tx, due, EXPIRED, "TIME_OVER", now=now)) if due else 0


async def void_of(tx: AsyncConnection, partner_id: int, now: datetime) -> int:
    """Voids the tickets of one of a partner's closed reservations, as far as one transaction goes;
    how many reservations there were to look at.
    """
    locked = await run(tx, _LOCK_CLOSED_OF(partner_id))
    for reservation_id in locked:
        await reservations.void(tx, reservation_id, actor=ACTOR, now=now)
    return len(locked)


async def warn_of(tx: AsyncConnection, partner_id: int, now: datetime) -> int:
    """Warns a partner of up to CHUNK of its reservations; how many."""
    warned = await run(tx, _WARN_OF(partner_id, now, CHUNK))
    await _record_warnings(tx, warned, now)
    return len(warned)


async def _record_warnings(
    tx: AsyncConnection, warned: Sequence[Reservation], now: datetime
) -> None:
    expiring = [
        reservations.happened(RESERVATION_EXPIRING, each, each.quantity - each.activated)
        for each in warned
    ]
    await run(tx, events.record(*expiring, now=now))
