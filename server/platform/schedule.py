"""Work by the clock: jobs, each once however many processes run, and caught up with after an
outage.

One process leads (leadership.py). It looks every second which jobs are due, begins a run of each
and does it piece by piece, each piece a transaction, until nothing is left. The job is due as long
as no run was completed; so what a process that died began is gone on with by the next leader.

No piece relies on there being one leader: it has the job's advisory lock for its transaction and
looks whether the run is still its own, or else does nothing. Two that think they lead do the pieces
of a job one after the other at the worst.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID, uuid4
from zlib import crc32

import structlog
from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform import job_runs
from server.platform.database import Database
from server.platform.errors import DomainError
from server.platform.faults import fault_text
from server.platform.job_runs import DONE, FAILED, STOPPED, JobState
from server.platform.leadership import Leadership
from server.platform.loops import Loops
from server.platform.metrics import JOB_ITEMS, JOB_LAG, JOB_PAUSED, JOB_RUNS, JOB_SECONDS
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Command, Transaction, commit_with, run, run_together

LOOK_SECONDS = 1.0
"""How often the leader looks whether a job is due."""
SAMPLE_SECONDS = 15.0
"""How often the leader measures how late jobs are."""
RETRY_SECONDS = 10.0
MOST_RETRY_SECONDS = 60.0
"""A run that failed is followed by the next after so long, each time twice as long, up to a
minute.
"""
PIECES_AT_ONCE = 3
"""So many jobs do a piece at the same time, however many are due: the others take turns, and calls
keep their connections.
"""
PURGED_AT_ONCE = 5_000
"""Rows removed in one transaction."""
CAUGHT_UP = 10
"""So many spaced pieces follow each other at once where one, or the database, took long."""
LOCK_SPACE = 0x44545402
"""First half of the jobs' advisory locks; any number that nobody else uses."""

log = structlog.get_logger()


class Progress(NamedTuple):
    """What a piece has done: `items` things, none where it only counts or sums what others did;
    `more`: there is more to be done at once.
    """

    more: bool
    items: int = 0


Work = Callable[[AsyncConnection, datetime], Awaitable[Progress]]
"""One piece of a job, in a transaction. What it counts as its items is in the audit trail."""


class Pipelined(NamedTuple):
    """Work of a job whose pieces are many: it runs statements alone (statements.py), on a
    connection that plans by key, and the end of a piece is one round trip.
    """

    work: Callable[[PipelineConnection, datetime], Awaitable[Progress]]


Purge = Callable[[AsyncConnection, datetime, int], Awaitable[int]]
"""Removes up to so many rows; how many it removed."""
OldestDue = Callable[[AsyncConnection, datetime], Awaitable[datetime | None]]
"""Since when the oldest thing that a job has to do is due; None if nothing is."""


def in_chunks(purge: Purge) -> Work:
    """The work of a job that removes rows, PURGED_AT_ONCE in a transaction, until none are left."""

    async def work(tx: AsyncConnection, now: datetime) -> Progress:
        removed = await purge(tx, now, PURGED_AT_ONCE)
        return Progress(removed == PURGED_AT_ONCE, removed)

    return work


class About(NamedTuple):
    """What a job does, for people: a sentence in English and in Chinese."""

    en: str = ""
    zh: str = ""


NO_TEXTS = About()


class Job(NamedTuple):
    """What is to be done, and how much time passes from one run to the next.

    Of a `quiet` one, which is due all the time, a run that has done nothing is neither logged nor
    in the history. `oldest_due` tells how late it is; of one without, it is as late as its run is.
    `protects_stock`: while it does not run, stock that is free is not sold. Its pieces begin
    `spacing_seconds` apart: done faster than is needed, they would make calls wait; what began late
    is caught up with.
    """

    name: str
    cadence: timedelta
    work: Work | Pipelined
    quiet: bool = False
    about: About = NO_TEXTS
    oldest_due: OldestDue | None = None
    protects_stock: bool = False
    spacing_seconds: float = 0.0


class _Run(NamedTuple):
    """A run of ours."""

    run_id: UUID
    items: int = 0
    pieces: int = 0
    asked: bool = False

    def after(self, progress: Progress) -> "_Run":
        return self._replace(items=self.items + progress.items, pieces=self.pieces + 1)


class _Ended(NamedTuple):
    """How a run of ours ended; None: another process has taken it over."""

    outcome: str | None
    error: str = ""


class JobEnd(NamedTuple):
    """A run that has ended, and did something or failed or was asked for: `outcome` is DONE, FAILED
    or STOPPED.
    """

    job_name: str
    run_id: UUID
    outcome: str
    items: int
    error: str


OnEnd = Callable[[Transaction, JobEnd], Awaitable[None]]
"""Hears of a run in the transaction that ends it."""


async def _nobody(_tx: Transaction, _end: JobEnd) -> None:
    return None


def worker_name() -> str:
    """What this process is called: its host and its number there."""
    return f"{socket.gethostname()} {os.getpid()}"


class Jobs:
    """The jobs of one process."""

    def __init__(
        self,
        db: Database,
        table: Sequence[Job],
        loops: Loops | None = None,
        on_end: OnEnd = _nobody,
    ) -> None:
        self._on_end = on_end
        self.table = {job.name: job for job in table}
        self._db = db
        for name in self.table:
            JOB_RUNS.labels(name, FAILED)  # an alert counts how often: from 0 on
        self._pausable = {*self.table}
        self._worker = worker_name()
        self._stopping = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._failures: dict[str, tuple[int, float]] = {}
        self._failed: asyncio.Future[None] | None = None
        self._turns = asyncio.Semaphore(PIECES_AT_ONCE)
        loops = loops or Loops()
        self._leadership = Leadership(db, loops, self._lead)
        self._loop = loops.add("jobs", self._schedule)

    @property
    def is_leader(self) -> bool:
        """Whether this process runs the jobs."""
        return self._leadership.is_leader

    def is_paused(self, name: str) -> bool:
        """Whether the job is paused, as of two seconds ago at the most."""
        return name in self._leadership.paused

    def start(self) -> None:
        """Begins to look, at once."""
        self._leadership.start()
        self._loop.start()

    async def stop(self) -> None:
        """Ends it, when the pieces under way are done."""
        self._stopping.set()
        await self._loop.end()
        if self._running:
            await asyncio.wait({*self._running.values()})
        await self._leadership.stop()

    async def run_if_due(self, job: Job) -> None:
        """Does the job unless it ran within its cadence, is paused or another process is at it; a
        failure is logged.
        """
        try:
            async with self._turns:
                claimed = await self._claim(job)
        except DomainError as error:  # the database is away or a race is lost: next time
            log.warning("job.not_begun", job=job.name, error=error.message)
            return
        if claimed:
            await self._do(job, claimed)

    async def sample(self) -> None:
        """Measures how late the jobs are. Raises DATABASE_UNAVAILABLE."""
        now = datetime.now(UTC)
        async with self._db.transaction() as tx:
            states = await job_runs.states(tx)
            lags = {
                name: await lag_seconds(tx, job, states.get(name, JobState(name)), now)
                for name, job in self.table.items()
            }
        for name, lag in lags.items():
            JOB_LAG.labels(name).set(lag)
        self._pausable |= states.keys()
        for name in self._pausable:
            state = states.get(name, JobState(name))
            JOB_PAUSED.labels(name).set(0 if state.paused_time is None else 1)

    # What runs when

    async def _schedule(self) -> None:
        """Looks until the stop; an error that a look or a job lets out ends it, to be started
        again. Jobs under way go on meanwhile.
        """
        scheduler = AsyncIOScheduler(timezone=UTC)
        ended: asyncio.Future[Any] = asyncio.create_task(self._stopping.wait())
        failed = self._failed = asyncio.get_running_loop().create_future()

        def fail(event: JobExecutionEvent) -> None:
            self._fail(event.exception)

        scheduler.add_listener(fail, EVENT_JOB_ERROR)
        for look, seconds in ((self._look, LOOK_SECONDS), (self._sample, SAMPLE_SECONDS)):
            scheduler.add_job(
                look,
                "interval",
                seconds=seconds,
                next_run_time=datetime.now(UTC),
                coalesce=True,
                misfire_grace_time=None,
            )
        scheduler.start()
        try:
            await asyncio.wait({ended, failed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            scheduler.pause()
            await asyncio.sleep(0)  # lets those begin, and see it, that were just about to
            scheduler.shutdown(wait=False)
            self._failed = None
        if failed.done():
            failed.result()

    def _fail(self, error: BaseException) -> None:
        if self._failed and not self._failed.done():
            self._failed.set_exception(error)
        else:  # it has ended already
            log.error("jobs.failed", exc_info=error)

    def _lead(self, leads: bool) -> None:
        if not leads:
            for name in self.table:  # another measures it
                JOB_LAG.labels(name).set(0)
            for name in self._pausable:
                JOB_PAUSED.labels(name).set(0)

    async def _look(self) -> None:
        if not self.is_leader or self._stopping.is_set():
            return
        try:
            async with self._db.pipeline() as pipeline, pipeline.autocommit():
                states = await job_runs.states(pipeline)
        except DomainError as error:
            log.warning("jobs.not_looked_at", error=error.message)
            return
        now = datetime.now(UTC)
        for name, job in self.table.items():
            state = states.get(name, JobState(name))
            if name not in self._running and self._is_due(job, state, now):
                task = asyncio.create_task(self.run_if_due(job), name=f"job {name}")
                self._running[name] = task
                task.add_done_callback(partial(self._ran, name))

    def _ran(self, name: str, task: asyncio.Task[None]) -> None:
        del self._running[name]
        error = None if task.cancelled() else task.exception()
        if error:
            self._fail(error)

    def _is_due(self, job: Job, state: JobState, now: datetime) -> bool:
        _, retry = self._failures.get(job.name, (0, 0.0))
        asked = state.asked_run_id is not None
        return state.is_due(job.cadence, now) and (asked or time.monotonic() >= retry)

    async def _sample(self) -> None:
        if self.is_leader:
            try:
                await self.sample()
            except DomainError as error:
                log.warning("jobs.not_measured", error=error.message)

    # A run

    async def _claim(self, job: Job) -> _Run | None:
        """Begins a run, if the job is due and nobody is at it."""
        now = datetime.now(UTC)
        async with self._db.transaction() as tx:
            state = await job_runs.lock_state(tx, job.name)
            if not state.is_due(job.cadence, now) or state.is_running(now):
                return None
            (has_lock,) = await run(tx, job_runs.try_lock(LOCK_SPACE, _key(job)))
            if not has_lock:  # somebody is in a piece of it
                return None
            run_id = state.asked_run_id or uuid4()
            await job_runs.claim(tx, state, run_id, worker=self._worker, now=now)
            return _Run(run_id, asked=state.asked_run_id is not None)

    async def _do(self, job: Job, claimed: _Run) -> None:
        began = time.monotonic()
        made, ended = claimed, None
        try:
            due = began
            while True:
                async with self._turns:
                    made, ended = await self._piece(job, made)
                if ended:
                    break
                latest = time.monotonic() - CAUGHT_UP * job.spacing_seconds
                due = max(due + job.spacing_seconds, latest)
                await asyncio.sleep(due - time.monotonic())
            self._failures.pop(job.name, None)
        except Exception as error:
            count, _ = self._failures.get(job.name, (0, 0.0))
            wait = min(RETRY_SECONDS * 2.0**count, MOST_RETRY_SECONDS)
            self._failures[job.name] = count + 1, time.monotonic() + wait
            ended = _Ended(FAILED, _text(error))
            if isinstance(error, DomainError):
                # the database is away or a race is lost: next time
                log.warning("job.failed", job=job.name, error=error.message)
            else:  # one run that fails must not end the job
                log.exception("job.failed", job=job.name)
            await self._note_failure(job, made, ended)
        self._report(job, made, ended, time.monotonic() - began)

    async def _piece(self, job: Job, made: _Run) -> tuple[_Run, _Ended | None]:
        """Does a piece, unless the run is another's by now; the run after it, and its end if that
        was it.
        """
        if isinstance(job.work, Pipelined):
            async with self._db.pipeline() as pipeline, pipeline.transaction():
                work = partial(job.work.work, pipeline)
                made, ended = await self._in_transaction(pipeline, work, job, made)
                await commit_with(pipeline, [None if ended else _beat(job, made)])
        else:
            async with self._db.transaction() as tx:
                made, ended = await self._in_transaction(tx, partial(job.work, tx), job, made)
                await run(tx, None if ended else _beat(job, made))
        return made, ended

    async def _in_transaction(
        self,
        tx: Transaction,
        work: Callable[[datetime], Awaitable[Progress]],
        job: Job,
        made: _Run,
    ) -> tuple[_Run, _Ended | None]:
        now = datetime.now(UTC)
        (has_lock,), (state,) = await run_together(
            tx, job_runs.try_lock(LOCK_SPACE, _key(job)), job_runs.owner(job.name)
        )
        if not has_lock or state.run_id != made.run_id:
            return made, _Ended(None)
        if self._stopping.is_set() or (state.paused_time and not made.asked):
            ended = _Ended(STOPPED)
        else:
            progress = await work(now)
            made = made.after(progress)
            if progress.more:
                return made, None
            ended = _Ended(DONE)
        await self._end(tx, job, state, made, ended)
        return made, ended

    async def _end(
        self, tx: Transaction, job: Job, state: JobState, made: _Run, ended: _Ended
    ) -> None:
        assert ended.outcome
        did_nothing = ended.outcome == DONE and not (made.items or made.asked or made.pieces > 1)
        await job_runs.end(
            tx,
            state,
            ended.outcome,
            items=made.items,
            now=datetime.now(UTC),
            error=ended.error,
            is_recorded=not (job.quiet and did_nothing),
        )
        if made.items or made.asked or ended.outcome == FAILED:
            end = JobEnd(job.name, made.run_id, ended.outcome, made.items, ended.error)
            await self._on_end(tx, end)

    async def _note_failure(self, job: Job, made: _Run, ended: _Ended) -> None:
        try:
            async with self._db.transaction() as tx:
                state = await job_runs.lock_state(tx, job.name)
                if state.run_id == made.run_id:
                    await self._end(tx, job, state, made, ended)
        except DomainError as error:  # then the run is LOST when somebody begins the next
            log.warning("job.failure_not_noted", job=job.name, error=error.message)

    def _report(self, job: Job, made: _Run, ended: _Ended, seconds: float) -> None:
        JOB_RUNS.labels(job.name, ended.outcome or "TAKEN_OVER").inc()
        JOB_ITEMS.labels(job.name).inc(made.items)
        JOB_SECONDS.labels(job.name).observe(seconds)
        if ended.outcome is None:
            log.warning("job.taken_over", job=job.name, run_id=str(made.run_id))
        elif ended.outcome != FAILED and not (job.quiet and made.items == 0):
            facts = {"outcome": ended.outcome, "items": made.items, "seconds": round(seconds, 1)}
            log.info("job.done", job=job.name, **facts)


async def lag_seconds(tx: AsyncConnection, job: Job, state: JobState, now: datetime) -> float:
    """How late a job is: since when the oldest thing it has to do is due, or else since when it
    itself is.
    """
    if job.oldest_due:
        since = await job.oldest_due(tx, now)
    else:
        since = state.due_time(job.cadence)
    return max(0.0, (now - since).total_seconds()) if since else 0.0


def _beat(job: Job, made: _Run) -> Command[None]:
    return job_runs.beat(job.name, made.run_id, items=made.items, now=datetime.now(UTC))


def _key(job: Job) -> int:
    return crc32(job.name.encode()) - (1 << 31)


def _text(error: Exception) -> str:
    text = f"{error.reason}: {error}" if isinstance(error, DomainError) else fault_text(error)
    return text.encode(errors="replace").decode()
