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
from server.platform.job_runs import (
    DONE,
    STOPPED,
    JobState,
    ask,
    history,
    job_runs,
    pause,
    resume,
    states,
)
from server.platform.schedule import Job, JobEnd, Jobs, Progress, lag_seconds
from server.platform.statements import Transaction


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

    async def work(self, tx: AsyncConnection, now: datetime) -> Progress:
        self.runs += 1
        await asyncio.sleep(0.05)  # the others come meanwhile
        return Progress(self.runs < self._pieces)

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
    async def fail(tx: AsyncConnection, now: datetime) -> Progress:
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

    async def slow(tx: AsyncConnection, now: datetime) -> Progress:
        begun.set()
        await asyncio.sleep(0.3)
        ended.set()
        return Progress(more=True)  # is left, for the next process

    async with running(db, Job("slow", timedelta(hours=1), slow)):
        await begun.wait()
    assert ended.is_set()


async def test_others_go_on_while_the_schedule_is_started_again(db: Database) -> None:
    """After an error that one job lets out: the run under way ends as it would have, and what is
    due runs again. Seen red with a schedule that cancels what runs when it ends, and with one that
    is not started again.
    """
    begun, finish, failed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    often, hour = Counted(), timedelta(hours=1)

    async def slow(tx: AsyncConnection, now: datetime) -> Progress:
        begun.set()
        await finish.wait()
        return Progress(more=False)

    async def broken(tx: AsyncConnection, now: datetime) -> Progress:
        raise ValueError("it cannot")

    async def heard(tx: Transaction, end: JobEnd) -> None:
        if end.job_name == "broken" and not failed.is_set():
            failed.set()
            raise RuntimeError("nor can this be noted")

    table = [Job("slow", hour, slow), Job("broken", hour, broken)]
    process = Jobs(db, [*table, Job("often", timedelta(), often.work)], on_end=heard)
    process.start()
    try:
        async with asyncio.timeout(30):
            await begun.wait()
            await failed.wait()
            before = often.runs
            while often.runs < before + 2:  # noqa: ASYNC110 - of the process
                await asyncio.sleep(0.02)
    finally:
        finish.set()
        await process.stop()
    async with db.transaction() as tx:
        outcomes = {each.job_name: each.outcome for each in await history(tx, limit=50)}
    assert outcomes["slow"] == DONE


async def test_run_that_another_has_taken_over_is_left_to_it(db: Database) -> None:
    """Seen red without the look whether the run is still one's own: it did the second piece."""

    class TakenOver(Counted):
        async def work(self, tx: AsyncConnection, now: datetime) -> Progress:
            async with db.transaction() as other:
                await other.execute(update(job_runs).values(run_id=UUID(int=7)))
            return await super().work(tx, now)

    taken = TakenOver(pieces=3)
    await Jobs(db, []).run_if_due(taken.job())
    assert taken.runs == 1
    async with db.transaction() as tx:
        assert (await states(tx))["count"].run_id == UUID(int=7)


async def test_pause_ends_a_run_after_its_piece_and_lasts_until_it_is_resumed(db: Database) -> None:
    """Seen red without the look at the pause in each piece, and at the begin of a run."""

    class Paused(Counted):
        async def work(self, tx: AsyncConnection, now: datetime) -> Progress:
            async with db.transaction() as other:
                await pause(other, "count", by="admin:root", comment="slow", now=now)
            return await super().work(tx, now)

    paused, process = Paused(pieces=3), Jobs(db, [])
    await process.run_if_due(paused.job())
    await process.run_if_due(paused.job())
    assert paused.runs == 1
    async with db.transaction() as tx:
        (stopped,) = await history(tx, limit=9)
        assert stopped.outcome == STOPPED
        await resume(tx, "count")
    counted = Counted()
    await process.run_if_due(counted.job())
    assert counted.runs == 1


async def test_asked_for_run_is_made_within_the_cadence_and_of_a_paused_job(db: Database) -> None:
    """By its id; another is refused until it has ended. Seen red without the check in `ask`."""
    counted, process, now = Counted(), Jobs(db, []), datetime.now(UTC)
    await process.run_if_due(counted.job())
    async with db.transaction() as tx:
        await pause(tx, "count", by="admin:root", comment="slow", now=now)
        await ask(tx, "count", UUID(int=8), by="admin:root", now=now)
        with pytest.raises(DomainError) as refused:
            await ask(tx, "count", UUID(int=9), by="admin:root", now=now)
    assert refused.value.reason == Reason.JOB_RUNNING
    for _ in range(2):
        await process.run_if_due(counted.job())
    assert counted.runs == 2
    async with db.transaction() as tx:
        asked, by_the_clock = await history(tx, limit=9)
    assert (asked.run_id, asked.asked_by) == (UUID(int=8), "admin:root")
    assert by_the_clock.asked_by is None


async def test_run_is_refused_while_one_is_under_way(db: Database) -> None:
    """Named is the one that is. Seen red without the look at the run under way in `ask`: another
    was asked for.
    """
    refused: list[DomainError] = []

    async def work(tx: AsyncConnection, now: datetime) -> Progress:
        async with db.transaction() as other:
            with pytest.raises(DomainError) as caught:
                await ask(other, "slow", UUID(int=9), by="admin:root", now=datetime.now(UTC))
        refused.append(caught.value)
        return Progress(more=False)

    await Jobs(db, []).run_if_due(Job("slow", timedelta(hours=1), work))
    async with db.transaction() as tx:
        (ended,) = await history(tx, limit=9)
    (error,) = refused
    assert error.reason == Reason.JOB_RUNNING
    assert error.metadata["run_id"] == str(ended.run_id)


async def test_quiet_job_leaves_a_row_only_if_it_did_something(db: Database) -> None:
    found = iter([Progress(more=False), Progress(more=False, items=3)])

    async def work(tx: AsyncConnection, now: datetime) -> Progress:
        return next(found)

    process = Jobs(db, [])
    for _ in range(2):
        await process.run_if_due(Job("quiet", timedelta(), work, quiet=True))
    async with db.transaction() as tx:
        assert [run.items for run in await history(tx, limit=9)] == [3]
        assert (await states(tx))["quiet"].last_items == 3


async def test_lag_is_since_the_oldest_thing_is_due_or_the_run(db: Database) -> None:
    now = datetime.now(UTC)

    async def oldest(tx: AsyncConnection, now: datetime) -> datetime | None:
        return now - timedelta(seconds=90)

    job = Counted().job(timedelta(seconds=60))
    state = JobState("count", run_time=now - timedelta(seconds=100))
    async with db.transaction() as tx:
        assert await lag_seconds(tx, job, state, now) == 40
        assert await lag_seconds(tx, job._replace(oldest_due=oldest), state, now) == 90
        assert await lag_seconds(tx, job, JobState("count"), now) == 0


def test_every_job_says_what_it_does_in_both_languages() -> None:
    settings = load_settings().model_copy(update={"wechat_merchant_id": "1900000109"})
    unsaid = [job.name for job in jobs(settings) if not (job.about.en and job.about.zh)]
    assert unsaid == []


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
