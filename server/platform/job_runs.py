"""What is kept of the jobs: how each stands, and the history of its runs.

A row of `job_runs` for each job: when it last ran and how that ended, who runs it now, who paused
it, who asked for a run. A run is claimed there by its id, which each of its pieces looks for again
under the job's advisory lock: a process that was thought dead, and is not, finds another id and
stops. `job_history` has the runs that ended. (DOMAIN, Operations.)
"""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Table,
    Text,
    Uuid,
    delete,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.database import metadata
from server.platform.errors import DomainError, Reason
from server.platform.statements import Command, Statement, Transaction, run, run_together

DONE, FAILED, STOPPED, LOST = "DONE", "FAILED", "STOPPED", "LOST"
"""How a run ended: with nothing left; by an error; before its end, by a pause or the stop of its
process; or nobody knows, since its process died.
"""
STALE = timedelta(seconds=4)
"""A run of which no piece began or ended for so long, and none is under way, is given up for dead.
"""
PIECE_IDLE = "6s"
"""A piece's transaction that says nothing for so long is ended by the database: its process is
frozen, or cut off, and holds the job's lock.
"""
LONGEST_ERROR = 500
"""Characters of an error that are kept."""

_TIME = DateTime(timezone=True)

job_runs = Table(
    "job_runs",
    metadata,
    Column("job_name", Text, primary_key=True),
    # when the last run that was completed was done; the next is due a cadence later
    Column("run_time", _TIME),
    Column("last_run_id", Uuid),
    Column("last_start_time", _TIME),
    Column("last_end_time", _TIME),
    Column("last_outcome", Text),
    Column("last_error", Text),
    Column("last_worker", Text),
    Column("last_items", BigInteger),
    # the run under way
    Column("run_id", Uuid),
    Column("worker", Text),
    Column("start_time", _TIME),
    Column("beat_time", _TIME),
    Column("items", BigInteger),
    Column("run_asked_by", Text),
    # a run that somebody asked for and nobody has begun
    Column("asked_run_id", Uuid),
    Column("asked_by", Text),
    Column("asked_time", _TIME),
    Column("paused_by", Text),
    Column("paused_time", _TIME),
    Column("pause_comment", Text),
    CheckConstraint("(run_id IS NULL) = (beat_time IS NULL)", name="run_beats"),
    CheckConstraint("(paused_by IS NULL) = (paused_time IS NULL)", name="pause"),
    CheckConstraint("(asked_by IS NULL) = (asked_run_id IS NULL)", name="asked"),
)

job_history = Table(
    "job_history",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    Column("job_name", Text, nullable=False),
    Column("start_time", _TIME, nullable=False),
    Column("end_time", _TIME, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("items", BigInteger, nullable=False),
    Column("error", Text),
    Column("worker", Text, nullable=False),
    Column("asked_by", Text),
    CheckConstraint("outcome IN ('DONE', 'FAILED', 'STOPPED', 'LOST')", name="outcome"),
)
Index("ix_job_history_job", job_history.c.job_name, job_history.c.start_time, job_history.c.run_id)
Index("ix_job_history_start", job_history.c.start_time, job_history.c.run_id)
Index("ix_job_history_end", job_history.c.end_time)


class JobState(NamedTuple):
    """How a job stands; None is nothing of the kind."""

    job_name: str
    run_time: datetime | None = None
    last_run_id: UUID | None = None
    last_start_time: datetime | None = None
    last_end_time: datetime | None = None
    last_outcome: str | None = None
    last_error: str | None = None
    last_worker: str | None = None
    last_items: int | None = None
    run_id: UUID | None = None
    worker: str | None = None
    start_time: datetime | None = None
    beat_time: datetime | None = None
    items: int | None = None
    run_asked_by: str | None = None
    asked_run_id: UUID | None = None
    asked_by: str | None = None
    asked_time: datetime | None = None
    paused_by: str | None = None
    paused_time: datetime | None = None
    pause_comment: str | None = None

    def is_running(self, now: datetime) -> bool:
        """Whether a process is at it, as far as one can tell by the last beat."""
        return self.beat_time is not None and now - self.beat_time < STALE

    def due_time(self, cadence: timedelta) -> datetime | None:
        """When it is due next by its cadence; None if it never ran, so at once."""
        return self.run_time and self.run_time + cadence

    def is_due(self, cadence: timedelta, now: datetime) -> bool:
        """Whether it is to be run: by the clock unless it is paused, or because somebody asked."""
        if self.asked_run_id:
            return True
        due = self.due_time(cadence)
        return self.paused_time is None and (due is None or due <= now)


class EndedRun(NamedTuple):
    """A run that ended; `items` is how many things it has done, as far as the job counts them."""

    run_id: UUID
    job_name: str
    start_time: datetime
    end_time: datetime
    outcome: str
    items: int
    error: str | None
    worker: str
    asked_by: str | None


_COLUMNS = ", ".join(JobState._fields)
_ADD = Statement("INSERT INTO job_runs (job_name) VALUES ($1) ON CONFLICT DO NOTHING")
_LOCK = Statement(
    f"SELECT {_COLUMNS} FROM job_runs WHERE job_name = $1 FOR NO KEY UPDATE",  # noqa: S608
    JobState,
)
_STATES = Statement(f"SELECT {_COLUMNS} FROM job_runs ORDER BY job_name", JobState)  # noqa: S608
# The lock is the transaction's: it is free when that ends, however it does.
_TRY = Statement(
    "SELECT pg_try_advisory_xact_lock($1::int, $2::int) AND"
    f" set_config('idle_in_transaction_session_timeout', '{PIECE_IDLE}', true) IS NOT NULL",
    bool,
)
_CLAIM = Statement("""
UPDATE job_runs SET run_id = $2::uuid, worker = $3, start_time = $4::timestamptz,
  beat_time = $4::timestamptz, items = 0, run_asked_by = asked_by, asked_run_id = NULL,
  asked_by = NULL, asked_time = NULL
WHERE job_name = $1
""")
_OWNER = Statement(f"SELECT {_COLUMNS} FROM job_runs WHERE job_name = $1", JobState)  # noqa: S608
_BEAT = Statement("""
UPDATE job_runs SET beat_time = $3::timestamptz, items = $4::bigint
WHERE job_name = $1 AND run_id = $2::uuid
""")
_END = Statement("""
UPDATE job_runs SET run_time = coalesce($3::timestamptz, run_time), last_run_id = run_id,
  last_start_time = start_time, last_end_time = $4::timestamptz, last_outcome = $5,
  last_error = $6, last_worker = worker, last_items = $7::bigint, run_id = NULL, worker = NULL,
  start_time = NULL, beat_time = NULL, items = NULL, run_asked_by = NULL
WHERE job_name = $1 AND run_id = $2::uuid
""")
_RECORD = Statement("""
INSERT INTO job_history
  (run_id, job_name, start_time, end_time, outcome, items, error, worker, asked_by)
VALUES ($1::uuid, $2, $3::timestamptz, $4::timestamptz, $5, $6::bigint, $7, $8, $9)
ON CONFLICT DO NOTHING
""")
_PAUSE = Statement("""
UPDATE job_runs SET paused_by = $2, paused_time = $3::timestamptz, pause_comment = $4
WHERE job_name = $1
""")
_RESUME = Statement("""
UPDATE job_runs SET paused_by = NULL, paused_time = NULL, pause_comment = NULL WHERE job_name = $1
""")
_ASK = Statement("""
UPDATE job_runs SET asked_run_id = $2::uuid, asked_by = $3, asked_time = $4::timestamptz
WHERE job_name = $1
""")


async def states(tx: Transaction) -> dict[str, JobState]:
    """How all jobs stand of which something is known, by name."""
    return {each.job_name: each for each in await run(tx, _STATES())}


async def lock_state(tx: AsyncConnection, job_name: str) -> JobState:
    """How a job stands, which nobody changes until the end of the transaction."""
    _, (state,) = await run_together(tx, _ADD(job_name), _LOCK(job_name))
    return state


def try_lock(space: int, key: int) -> Command[bool]:
    """Whether the transaction has the job's advisory lock now."""
    return _TRY(space, key)


async def claim(
    tx: AsyncConnection, state: JobState, run_id: UUID, *, worker: str, now: datetime
) -> None:
    """Begins a run of a job whose state and advisory lock the transaction holds; what another
    process began, and left, is LOST.
    """
    if state.run_id:
        lost = _run_of(state, now, LOST, state.items or 0, "its process ended in the middle of it")
        await run(tx, _record(lost))
    await run(tx, _CLAIM(state.job_name, run_id, worker, now))


def owner(job_name: str) -> Command[JobState]:
    """How the job stands: who owns its run, and whether it was paused meanwhile."""
    return _OWNER(job_name)


def beat(job_name: str, run_id: UUID, *, items: int, now: datetime) -> Command[None]:
    """Says that the run goes on."""
    return _BEAT(job_name, run_id, now, items)


async def end(
    tx: Transaction,
    state: JobState,
    outcome: str,
    *,
    items: int,
    now: datetime,
    error: str = "",
    is_recorded: bool = True,
) -> None:
    """Ends the run that `state` has; once DONE, the next is due a cadence later. One that is not
    `is_recorded` leaves no row in the history.
    """
    assert state.run_id, "it is under way"
    kept = error.replace("\0", "")[:LONGEST_ERROR] or None
    done = now if outcome == DONE else None
    ended = _END(state.job_name, state.run_id, done, now, outcome, kept, items)
    recorded = _record(_run_of(state, now, outcome, items, kept)) if is_recorded else None
    await run_together(tx, ended, recorded)


def _run_of(
    state: JobState, now: datetime, outcome: str, items: int, error: str | None
) -> EndedRun:
    assert state.run_id
    assert state.start_time
    worker = state.worker or ""
    return EndedRun(
        *(state.run_id, state.job_name, state.start_time, now, outcome, items, error, worker),
        state.run_asked_by,
    )


def _record(ended: EndedRun) -> Command[None]:
    return _RECORD(
        *(ended.run_id, ended.job_name, ended.start_time, ended.end_time, ended.outcome),
        *(ended.items, ended.error, ended.worker, ended.asked_by),
    )


async def pause(
    tx: AsyncConnection, job_name: str, *, by: str, comment: str, now: datetime
) -> tuple[JobState, JobState]:
    """Pauses a job until `resume`; before and after. Who paused it first stays if it is paused."""
    before = await lock_state(tx, job_name)
    if before.paused_time is None:
        await run(tx, _PAUSE(job_name, by, now, comment))
    return before, (await run(tx, _OWNER(job_name)))[0]


async def resume(tx: AsyncConnection, job_name: str) -> tuple[JobState, JobState]:
    """Ends a pause, if there is one; before and after."""
    before = await lock_state(tx, job_name)
    await run(tx, _RESUME(job_name))
    return before, (await run(tx, _OWNER(job_name)))[0]


async def ask(tx: AsyncConnection, job_name: str, run_id: UUID, *, by: str, now: datetime) -> None:
    """Asks for a run now, whatever the cadence, also of a paused job. Raises JOB_RUNNING if one is
    under way or asked for.
    """
    state = await lock_state(tx, job_name)
    if state.asked_run_id or state.is_running(now):
        under_way = state.asked_run_id or state.run_id
        raise DomainError(
            Reason.JOB_RUNNING,
            f"job {job_name} has run {under_way} under way; repeat the call when it has ended",
            job_code=job_name,
            run_id=str(under_way),
        )
    await run(tx, _ASK(job_name, run_id, by, now))


async def history(
    tx: AsyncConnection,
    *,
    job_name: str = "",
    before: tuple[datetime, UUID] | None = None,
    limit: int,
) -> list[EndedRun]:
    """Up to `limit` runs that ended, begun before (start_time, run_id), the latest first; "" is
    every job.
    """
    columns = [job_history.c[name] for name in EndedRun._fields]
    place = job_history.c.start_time, job_history.c.run_id
    query = select(*columns).order_by(*(each.desc() for each in place)).limit(limit)
    if job_name:
        query = query.where(job_history.c.job_name == job_name)
    if before:
        query = query.where(tuple_(*place) < before)
    return [EndedRun(*row) for row in await tx.execute(query)]


async def purge(tx: AsyncConnection, *, now: datetime, keep: timedelta, limit: int) -> int:
    """Forgets up to `limit` runs that ended longer than `keep` ago; returns how many."""
    old = (
        select(job_history.c.run_id)
        .where(job_history.c.end_time < now - keep)
        .order_by(job_history.c.end_time)
        .limit(limit)
        .cte("old")
    )
    gone = await tx.execute(delete(job_history).where(job_history.c.run_id == old.c.run_id))
    return gone.rowcount
