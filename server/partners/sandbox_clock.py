"""Moving a sandbox's test clock: what falls due on the way happens in order, each at its moment.

A move is asked for first, in a row of its own, and then done step by step. A step is a transaction
that locks the clock, has it stand at the moment at which the next thing falls due, and does that;
the last one has the clock go on from the target. So calls that come in between find a time that
fits what has happened by then, several processes may move one clock at once, and where one dies any
other goes on: whose `SandboxClocks` finds a move that nobody is at. The ordinary jobs leave
sandboxes alone; of one whose clock is not moved `SandboxClocks` does their work, too, by what the
clock shows.
"""

import asyncio
from datetime import datetime, timedelta
from enum import Enum
from time import monotonic
from typing import Any, NamedTuple, Self
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Partner
from server.orders import ticket_expiry
from server.parties import sandbox_clocks
from server.parties.clock_rules import SandboxTime
from server.parties.rules import SANDBOX_BIT
from server.parties.sandbox_clocks import Advance
from server.partners import ledger, reservation_expiry, statements
from server.partners.sandbox_rules import Awaited, Kind, next_due
from server.platform import clock
from server.platform.config import Settings
from server.platform.database import Database
from server.platform.driver_errors import LockedError
from server.platform.errors import DomainError, invalid
from server.platform.loops import Loops, Polling
from server.platform.statements import Statement, run, run_together
from server.tickets import reminders, validity
from server.webhooks import events, sequencing

LOOK_SECONDS = 1.0
LEFT_ALONE = timedelta(seconds=2)
"""After so long without a step nobody is at a move any more, and another process goes on."""
CHUNK_TICKETS = 500
"""Tickets in one step, while whose transaction calls of the sandbox wait."""
WAIT_SECONDS = 0.02
RECORDED_BEFORE = timedelta(minutes=1)
"""By so much the clocks of processes may differ."""

log = structlog.get_logger()


class _State(NamedTuple):
    """A sandbox's clock, when somebody was at its move last, and what the sandbox waits for."""

    partner_id: int
    time: SandboxTime
    step_time: datetime | None
    awaited: Awaited

    @classmethod
    def of_row(cls, partner_id: int, ahead: int, standing: datetime | None, *rest: Any) -> Self:
        """As the statement gives it."""
        step_time, *awaited = rest
        return cls(partner_id, SandboxTime(ahead, standing), step_time, Awaited(*awaited))


# of one sandbox, or of all
_ANY_SANDBOX = Statement("SELECT EXISTS (SELECT FROM sandbox_clocks)", bool)
_STATES = Statement(
    f"""
SELECT c.partner_id, c.ahead_microseconds, c.standing_time,
  (SELECT min(step_time) FROM sandbox_advances a
   WHERE a.partner_id = c.partner_id AND a.finish_time IS NULL),
  EXISTS (SELECT FROM reservations r WHERE r.voids_pending AND r.partner_id = c.partner_id),
  (SELECT min(warn_time) FROM reservations r
   WHERE r.partner_id = c.partner_id AND r.state = 'OPEN'),
  (SELECT min(expire_time) FROM reservations r
   WHERE r.partner_id = c.partner_id AND r.state = 'OPEN'),
  (SELECT t.valid_until_time FROM tickets t
   WHERE t.expiry_pending AND t.partner_id >= {SANDBOX_BIT} AND t.partner_id = c.partner_id
     AND (t.valid_until_time, t.ticket_id) > (
       coalesce((SELECT until_time FROM ticket_reminders WHERE partner_id = c.partner_id), 'epoch'),
       coalesce((SELECT ticket_id FROM ticket_reminders WHERE partner_id = c.partner_id), 0))
   ORDER BY t.valid_until_time, t.ticket_id LIMIT 1),
  (SELECT t.valid_until_time FROM tickets t
   WHERE t.expiry_pending AND t.partner_id >= {SANDBOX_BIT} AND t.partner_id = c.partner_id
   ORDER BY t.valid_until_time, t.ticket_id LIMIT 1),
  l.open_month,
  EXISTS (SELECT FROM partner_events e WHERE e.partner_id = c.partner_id AND e.sequence IS NULL)
    OR coalesce(f.last_sequence > coalesce(l.posted_sequence, f.purged_sequence), false)
FROM sandbox_clocks c LEFT JOIN ledgers l USING (partner_id)
LEFT JOIN partner_feeds f USING (partner_id)
WHERE $1::int IS NULL OR c.partner_id = $1::int
ORDER BY c.partner_id
""",  # noqa: S608 - our own number
    _State.of_row,
)
# what happened by the clock; those recorded before the move began are passed over by their ids
_HAPPENED = Statement(
    """
SELECT type, count(*)::int FROM partner_events
WHERE partner_id = $1::int AND event_id >= $2::uuid AND occurred_time > $3::timestamptz
GROUP BY type ORDER BY type
""",
    lambda kind, number: (kind, number),
)
_UNNUMBERED = Statement(
    "SELECT EXISTS (SELECT FROM partner_events WHERE partner_id = $1::int AND sequence IS NULL)",
    bool,
)


class ClockTerms(NamedTuple):
    """What counts besides the clock: how long before its end a ticket is reminded of, and whose
    days and months count.
    """

    reminder: timedelta
    zone: ZoneInfo

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings have it."""
        return cls(timedelta(seconds=settings.ticket_reminder_seconds), settings.zone)


class _Step(Enum):
    DONE = 1
    """Something was done; there may be more."""
    NOTHING = 2
    """Nothing is due."""
    BUSY = 3
    """Somebody else has the clock, or what is due."""
    UNPOSTED = 4
    """What is due waits for the ledger."""


async def set_target(
    tx: AsyncConnection, partner: Partner, *, to_time: datetime | None, by_seconds: int
) -> Advance:
    """Asks for a move of the clock of a sandbox, which is held: to a time, or by so much. Raises
    INVALID_FIELD.
    """
    if (to_time is None) == (by_seconds == 0):
        raise invalid("to_time", "send this, or by_seconds")
    by = timedelta(seconds=by_seconds) if by_seconds else None
    shown = partner.now()
    return await sandbox_clocks.set_target(
        tx, partner.partner_id, shown=shown, to_time=to_time, by=by, now=clock.now()
    )


async def advance(
    db: Database, partner_id: int, target_time: datetime, *, terms: ClockTerms, seconds: float
) -> tuple[Advance, datetime]:
    """Moves a clock on until it has reached a target that was asked for, or for so many seconds;
    and how far it has come. Where the move's `finish_time` is None then, it goes on when this is
    called again, or by itself.

    What has happened is in the partner's feed when it is done. Raises DATABASE_UNAVAILABLE,
    CONFLICT, NOT_FOUND where the target was forgotten.
    """
    end = monotonic() + seconds
    while True:
        async with db.transaction() as tx:
            asked = await sandbox_clocks.find_advance(tx, partner_id, target_time)
            time = await sandbox_clocks.read(tx, partner_id)
        if asked.finish_time or monotonic() >= end:
            break
        await _steps(db, partner_id, terms=terms, end=end, until=target_time)
    await _number(db, partner_id, end=max(end, monotonic() + 1.0))
    return asked, target_time if asked.finish_time else time.at(clock.now())


async def _steps(
    db: Database, partner_id: int, *, terms: ClockTerms, end: float, until: datetime
) -> None:
    """Does steps until the time is over, or none are left of the moves up to `until`."""
    while monotonic() < end:
        try:
            async with db.transaction() as tx:
                step = await _step(tx, partner_id, terms=terms, waits=True)
                asked = await sandbox_clocks.find_advance(tx, partner_id, until)
        except LockedError:  # a call of the sandbox that takes long holds the clock
            continue
        if asked.finish_time:
            return
        if step is _Step.UNPOSTED and await _post(db, partner_id, zone=terms.zone, end=end):
            continue
        if step is not _Step.DONE:
            await asyncio.sleep(WAIT_SECONDS)


async def _step(tx: AsyncConnection, partner_id: int, *, terms: ClockTerms, waits: bool) -> _Step:
    """Does what is due next, if anything is, at its time on the clock; which stands there until the
    next step if it is being moved.
    """
    locked = await sandbox_clocks.lock(tx, partner_id, waits=waits)
    if locked is None:
        return _Step.BUSY
    time, asked = locked
    now = clock.now()
    shown = time.at(now)
    (state,) = await run(tx, _STATES(partner_id))
    until = max(shown, asked.target_time) if asked else shown
    due = next_due(
        state.awaited, shown=shown, until=until, reminder=terms.reminder, zone=terms.zone
    )
    if state.awaited.is_unposted and (
        state.awaited.open_month is None or (due and due.kind is Kind.SEAL_STATEMENT)
    ):
        return _Step.UNPOSTED if asked or due else _Step.NOTHING
    if due is None:
        if asked:
            await _arrive(tx, partner_id, time, asked)
        return _Step.DONE if asked else _Step.NOTHING
    at = shown
    if asked:
        at = max(shown, due.time)
        await run_together(tx, *sandbox_clocks.stand(partner_id, asked, at, now=now))
    done = await _do(tx, partner_id, due.kind, at, terms)
    return _Step.DONE if done else _Step.BUSY


async def _do(
    tx: AsyncConnection, partner_id: int, kind: Kind, now: datetime, terms: ClockTerms
) -> bool:
    """Does what has fallen due, as far as one transaction goes; whether it did anything."""
    match kind:
        case Kind.VOID_TICKETS:
            return await reservation_expiry.void_of(tx, partner_id, now) > 0
        case Kind.WARN_OF_RESERVATIONS:
            return await reservation_expiry.warn_of(tx, partner_id, now) > 0
        case Kind.REMIND_OF_TICKETS:
            lead = terms.reminder
            await reminders.remind(tx, partner_id, now, lead=lead, limit=CHUNK_TICKETS)
            return True
        case Kind.EXPIRE_RESERVATIONS:
            return await reservation_expiry.close_of(tx, partner_id, now) > 0
        case Kind.EXPIRE_TICKETS:
            expired = await ticket_expiry.expire_of_sandbox(
                tx, partner_id, now, limit=CHUNK_TICKETS
            )
            settled = await validity.settle_of_sandbox(tx, partner_id, now, limit=CHUNK_TICKETS)
            return expired + settled > 0
        case Kind.SEAL_STATEMENT:
            return await statements.seal_due(tx, zone=terms.zone, now=now, sandbox_id=partner_id)


async def _arrive(tx: AsyncConnection, partner_id: int, time: SandboxTime, asked: Advance) -> None:
    """Has the clock go on from the target of a move, of which all is done."""
    first = events.first_id(asked.create_time - RECORDED_BEFORE)
    happened = dict(await run(tx, _HAPPENED(partner_id, first, asked.from_time)))
    done = sandbox_clocks.arrive(partner_id, time, asked, happened, now=clock.now())
    await run_together(tx, *done)


async def _post(db: Database, partner_id: int, *, zone: ZoneInfo, end: float) -> int:
    """Has all that has happened numbered and posted, as far as that goes until the end; how many
    events were posted: none where another process is at it.
    """
    await _number(db, partner_id, end=end)
    posted = 0
    while monotonic() < end and (more := await ledger.post(db, partner_id, zone=zone)):
        posted += more
    return posted


async def _number(db: Database, partner_id: int, *, end: float) -> None:
    """Has all that has happened stand in the partner's feed, as far as that goes until the end."""
    while monotonic() < end:
        async with db.transaction() as tx:
            (is_unnumbered,) = await run(tx, _UNNUMBERED(partner_id))
        if not is_unnumbered:
            return
        if await sequencing.sequence(db) is None:  # another process is at it
            await asyncio.sleep(WAIT_SECONDS)


class SandboxClocks:
    """Does in each process what falls due by sandboxes' clocks, and ends moves that were left."""

    def __init__(self, db: Database, terms: ClockTerms, loops: Loops | None = None) -> None:
        self._db = db
        self._terms = terms
        self._loop = (loops or Loops()).add(
            "sandbox-clocks",
            Polling(
                self.look,
                LOOK_SECONDS,
                jitter_seconds=LOOK_SECONDS / 5,
                tolerated=(DomainError,),  # the database is away or a race is lost: next time
                due=_ANY_SANDBOX,
            ),
        )

    def start(self) -> None:
        """Begins to look."""
        self._loop.start()

    async def stop(self) -> None:
        """Ends it, when the step under way is done."""
        await self._loop.end()

    async def look(self) -> None:
        """Does all that is due now and that nobody else is at. Raises DATABASE_UNAVAILABLE."""
        async with self._db.pipeline() as pipeline, pipeline.autocommit():
            states = await run(pipeline, _STATES(None))
        for state in states:
            if not self._is_due(state):
                continue
            try:
                await self._catch_up(state.partner_id)
            except DomainError:
                raise
            except Exception:  # one sandbox must not hold up the others
                log.exception("sandbox_clock.failed", partner_id=state.partner_id)

    def _is_due(self, state: _State) -> bool:
        now = clock.now()
        if state.step_time:
            return state.step_time < now - LEFT_ALONE
        shown = state.time.at(now)
        terms = self._terms
        due = next_due(
            state.awaited, shown=shown, until=shown, reminder=terms.reminder, zone=terms.zone
        )
        return due is not None

    async def _catch_up(self, partner_id: int) -> None:
        while not self._loop.is_ending:
            async with self._db.transaction() as tx:
                step = await _step(tx, partner_id, terms=self._terms, waits=False)
            if step is _Step.UNPOSTED:
                end = monotonic() + LOOK_SECONDS
                await _post(self._db, partner_id, zone=self._terms.zone, end=end)
                return
            if step is not _Step.DONE:
                return
