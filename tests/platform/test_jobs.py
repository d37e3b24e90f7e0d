"""Scheduled work: once however many processes, caught up with after an outage, and gone on with
after a failure.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.app import jobs
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.idempotency import idempotency_records
from server.platform.schedule import Job, Jobs, job_runs


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Where no job has ever run."""
    database = Database(load_settings(), database_url)
    async with database.transaction() as tx:
        await tx.execute(delete(job_runs))
    yield database
    await database.close()


class Counted:
    """A job's work that only counts."""

    def __init__(self, *, pieces: int = 1) -> None:
        self.runs = 0
        self._pieces = pieces

    async def work(self, tx: AsyncConnection, now: datetime) -> bool:
        self.runs += 1
        await asyncio.sleep(0.05)  # the others come meanwhile
        return self.runs < self._pieces

    def job(self, cadence: timedelta = timedelta(hours=1)) -> Job:
        return Job("count", cadence, self.work)


async def test_many_processes_run_a_job_once(db: Database) -> None:
    counted = Counted()
    processes = [Jobs(db, []) for _ in range(6)]
    for _ in range(3):
        await asyncio.gather(*(each.run_if_due(counted.job()) for each in processes))
    assert counted.runs == 1


async def test_job_is_caught_up_with_once_after_an_outage(db: Database) -> None:
    counted, process = Counted(), Jobs(db, [])
    await process.run_if_due(counted.job())
    async with db.transaction() as tx:
        await tx.execute(update(job_runs).values(run_time=datetime.now(UTC) - timedelta(days=3)))
    await process.run_if_due(counted.job())
    await process.run_if_due(counted.job())
    assert counted.runs == 2


async def test_job_goes_on_until_nothing_is_left(db: Database) -> None:
    counted = Counted(pieces=4)
    await Jobs(db, []).run_if_due(counted.job())
    assert counted.runs == 4


@pytest.mark.parametrize(
    "error", [DomainError(Reason.DATABASE_UNAVAILABLE, "away"), ZeroDivisionError()]
)
async def test_failed_job_stays_due(db: Database, error: Exception) -> None:
    async def fail(tx: AsyncConnection, now: datetime) -> bool:
        await tx.execute(insert(job_runs).values(job_name="a trace", run_time=now))
        raise error

    process, counted = Jobs(db, []), Counted()
    await process.run_if_due(Job("count", timedelta(hours=1), fail))
    await process.run_if_due(counted.job())
    assert counted.runs == 1
    async with db.transaction() as tx:
        assert await tx.scalar(select(func.count()).select_from(job_runs)) == 1


@asynccontextmanager
async def running(db: Database, *table: Job) -> AsyncIterator[Jobs]:
    process = Jobs(db, list(table))
    process.start()
    yield process
    await process.stop()


async def test_stop_waits_for_the_piece_under_way(db: Database) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(tx: AsyncConnection, now: datetime) -> bool:
        begun.set()
        await asyncio.sleep(0.3)
        ended.set()
        return True  # and more is left, for the next process

    async with running(db, Job("slow", timedelta(hours=1), slow)):
        await begun.wait()
    assert ended.is_set()


async def test_answers_are_forgotten_in_time(db: Database) -> None:
    now = datetime.now(UTC)
    async with db.transaction() as tx:
        for hours in (1, 71, 73, 500):
            await tx.execute(
                insert(idempotency_records).values(
                    key=UUID(int=hours),
                    content_hash=b"",
                    create_time=now - timedelta(hours=hours),
                )
            )
    table = jobs(load_settings())
    for job in table:
        await Jobs(db, []).run_if_due(job)
    async with db.transaction() as tx:
        left = await tx.scalars(select(idempotency_records.c.key))
    assert sorted(key.int for key in left) == [1, 71]
    async with db.transaction() as tx:
        ran = await tx.scalars(select(job_runs.c.job_name))
    assert set(ran) == {job.name for job in table}
