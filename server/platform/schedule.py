"""Work by the clock, each once however many processes run, and caught up with after an outage.

Every process looks every few seconds whether a job is due. The one that gets the job's lock does a
piece of it and, when nothing is left, writes down that it ran, all in one transaction: a process
that dies leaves the job due.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast
from zlib import crc32

import structlog
from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from sqlalchemy import Column, DateTime, Table, Text, func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.database import Database, metadata
from server.platform.errors import DomainError
from server.platform.loops import Loops

LOOK_SECONDS = 15.0
"""How often a process looks whether a job is due."""


PURGED_AT_ONCE = 5_000
"""Rows removed in one transaction."""
LOCK_SPACE = 0x44545402
"""First half of the jobs' advisory locks; any number that nobody else uses."""


log = structlog.get_logger()


job_runs = Table(
    "job_runs",
    metadata,
    Column("job_name", Text, primary_key=True),
    Column("run_time", DateTime(timezone=True), nullable=False),
)


Work = Callable[[AsyncConnection, datetime], Awaitable[bool]]
"""One piece of a job, in a transaction; whether more is to be done at once."""


Purge = Callable[[AsyncConnection, datetime, int], Awaitable[int]]
"""Removes up to so many rows; how many it removed."""


def in_chunks(purge: Purge) -> Work:
    """The work of a job that removes rows, PURGED_AT_ONCE in a transaction, until none are left."""

    async def work(tx: AsyncConnection, now: datetime) -> bool:
        return await purge(tx, now, PURGED_AT_ONCE) == PURGED_AT_ONCE

    return work


class Job(NamedTuple):
    """What is to be done, and how much time passes from one run to the next.

    The runs of a `quiet` one are not logged, since it is due at every look.
    """

    name: str
    cadence: timedelta
    work: Work
    quiet: bool = False


class Jobs:
    """The jobs of one process."""

    def __init__(self, db: Database, table: list[Job], loops: Loops | None = None) -> None:
        self._db = db
        self._table = table
        self._stopping = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._loop = (loops or Loops()).add("jobs", self._schedule)

    def start(self) -> None:
        """Begins to look, at once."""
        self._loop.start()

    async def stop(self) -> None:
        """Ends it, when the pieces under way are done."""
        self._stopping.set()
        await self._loop.end()

    async def run_if_due(self, job: Job) -> None:
        """Does the job unless it ran within its cadence or another process is at it; a failure
        is logged.
        """
        try:
            while not self._stopping.is_set() and await self._run_piece(job, datetime.now(UTC)):
                pass
        except DomainError as error:  # the database is away or a race is lost: next time
            log.warning("job.failed", job=job.name, error=error.message)
        except Exception:  # one run that fails must not end the job
            log.exception("job.failed", job=job.name)

    async def _schedule(self) -> None:
        """Has each job looked at until the stop; an error that a look lets out ends it, to be
        started again.
        """
        scheduler = AsyncIOScheduler(timezone=UTC)
        ended: asyncio.Future[Any] = asyncio.create_task(self._stopping.wait())
        failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def fail(event: JobExecutionEvent) -> None:
            if not failed.done():
                failed.set_exception(event.exception)

        scheduler.add_listener(fail, EVENT_JOB_ERROR)
        for job in self._table:
            scheduler.add_job(
                self._look,
                "interval",
                [job],
                seconds=LOOK_SECONDS,
                jitter=LOOK_SECONDS / 5,  # the processes take turns
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
            await asyncio.gather(*self._running, return_exceptions=True)
            scheduler.shutdown(wait=False)
        if failed.done():
            failed.result()

    async def _look(self, job: Job) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        task.set_name(f"job {job.name}")
        self._running.add(task)
        try:
            await self.run_if_due(job)
        finally:
            self._running.discard(task)

    async def _run_piece(self, job: Job, now: datetime) -> bool:
        async with self._db.transaction() as tx:
            key = crc32(job.name.encode()) - (1 << 31)
            if not await tx.scalar(select(func.pg_try_advisory_xact_lock(LOCK_SPACE, key))):
                return False
            ran = await tx.scalar(
                select(job_runs.c.run_time).where(job_runs.c.job_name == job.name)
            )
            if ran is not None and now < ran + job.cadence:
                return False
            more = await job.work(tx, now)
            if not more:
                run = pg_insert(job_runs).values(job_name=job.name, run_time=now)
                await tx.execute(
                    run.on_conflict_do_update(
                        index_elements=[job_runs.c.job_name], set_={"run_time": now}
                    )
                )
                if not job.quiet:
                    log.info("job.done", job=job.name)
        return more
