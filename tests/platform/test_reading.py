"""Calls that only read are read for together: see server/platform/reading.py.

Each test was seen red with one thing changed in `ReadBatcher`; which, it says.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import psycopg
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY
from sqlalchemy import text

from server.platform import reading
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.pipeline import PipelineConnection
from server.platform.reading import ReadBatcher, Readers
from server.platform.statements import Statement, run
from tests.support import databases
from tests.support.waiting import until

SECONDS = 50
DAYS = Statement("SELECT partner_id FROM numberings WHERE partner_id = ANY($1::int[])", int)
DIVIDE = Statement("SELECT 12 / unnest($1::int[])", int)
PID = Statement("SELECT pg_backend_pid()", int)
BEGAN = Statement("SELECT transaction_timestamp()", datetime)
SLEEP = Statement("SELECT pg_sleep(60)::text", str)


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(database_pool=2), database_url)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def readers(db: Database) -> AsyncIterator[Readers]:
    several = Readers(db)
    yield several
    await several.stop()


class Divisions:
    """Twelve by each number; what is read for together is kept, and `go` lets it be read."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def read(self, tx: PipelineConnection, units: Sequence[int]) -> list[int | DomainError]:
        self.batches.append(list(units))
        self.began.set()
        await self.go.wait()
        known = dict(zip(units, await run(tx, DIVIDE(units)), strict=True))
        return [
            known[unit] if unit < 12 else DomainError(Reason.NOT_FOUND, "none") for unit in units
        ]


async def test_calls_that_wait_share_a_round_trip(readers: Readers) -> None:
    """Seen red with one unit taken at a time."""
    divisions = Divisions()
    reads = ReadBatcher(readers, divisions.read, kind="test")
    assert await asyncio.gather(*map(reads.submit, (1, 2, 3, 4, 6))) == [12, 6, 4, 3, 2]
    assert divisions.batches == [[1, 2, 3, 4, 6]]
    divisions.go.clear()
    first = reads.submit(1)
    await _began(divisions)
    others = [reads.submit(each) for each in (2, 3)]
    divisions.go.set()
    assert await asyncio.gather(first, *others) == [12, 6, 4]
    assert divisions.batches[1:] == [[1], [2, 3]]


async def test_a_batch_has_so_many_calls_at_the_most(readers: Readers) -> None:
    """Seen red without the limit in `_take`."""
    divisions = Divisions()
    reads = ReadBatcher(readers, divisions.read, kind="test", limit=2)
    assert await asyncio.gather(*map(reads.submit, (1, 2, 3, 4, 6))) == [12, 6, 4, 3, 2]
    assert divisions.batches == [[1, 2], [3, 4], [6]]


async def test_each_call_gets_its_own_refusal(readers: Readers) -> None:
    """Seen red with a refusal raised for all of its batch."""
    divisions = Divisions()
    reads = ReadBatcher(readers, divisions.read, kind="test")
    found = await asyncio.gather(*map(reads.submit, (1, 12, 3)), return_exceptions=True)
    assert (found[0], found[2]) == (12, 4)
    assert isinstance(found[1], DomainError)
    assert found[1].reason is Reason.NOT_FOUND


async def test_the_fault_of_one_call_is_not_the_others(readers: Readers) -> None:
    """A division by zero fails the whole statement. Seen red without the reads one by one."""
    reads = ReadBatcher(readers, Divisions().read, kind="test")
    found = await asyncio.gather(*map(reads.submit, (1, 0, 3)), return_exceptions=True)
    assert (found[0], found[2]) == (12, 4)
    assert isinstance(found[1], psycopg.errors.DivisionByZero)
    assert await reads.submit(4) == 3


async def test_cancelled_calls_are_left_out(readers: Readers) -> None:
    """Seen red with calls taken whose future is done."""
    divisions = Divisions()
    divisions.go.clear()
    reads = ReadBatcher(readers, divisions.read, kind="test")
    first, second, third = reads.submit(1), reads.submit(2), reads.submit(3)
    third.cancel()
    await _began(divisions)
    late = reads.submit(4)
    late.cancel()
    second.cancel()  # while it is read
    divisions.go.set()
    assert await first == 12
    assert await reads.submit(6) == 2
    assert divisions.batches == [[1, 2], [6]]


async def test_a_call_sees_what_was_committed_before_it_came(
    readers: Readers, database_url: str
) -> None:
    """Seen red with calls of the same key given the answer that another is having read."""
    read, go = asyncio.Event(), asyncio.Event()

    async def has(tx: PipelineConnection, units: Sequence[int]) -> list[bool]:
        rows = await run(tx, DAYS(units))
        read.set()
        await go.wait()  # what was read is answered only now
        return [unit in rows for unit in units]

    reads = ReadBatcher(readers, has, kind="test")
    before = reads.submit(77)
    await asyncio.wait_for(read.wait(), SECONDS)
    insert = "INSERT INTO numberings VALUES (77, '2026-11-28', 'T', 1)"
    await asyncio.to_thread(databases.execute, database_url, insert)
    after = reads.submit(77)
    go.set()
    assert await before is False
    assert await after is True


async def test_all_who_wait_hear_of_a_lost_connection(readers: Readers, database_url: str) -> None:
    """And the next are read for over another. Seen red without `is_lost` in `_serve`."""

    async def sleep(tx: PipelineConnection, units: Sequence[str]) -> list[str]:
        if units[0] == "sleep":
            pids.set_result((await run(tx, PID()))[0])
            await run(tx, SLEEP())
        return [str(pid) for pid in await run(tx, PID()) * len(units)]

    pids: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reads = ReadBatcher(readers, sleep, kind="test")
    waiting = [reads.submit("sleep"), reads.submit("with it")]
    pid = await asyncio.wait_for(pids, SECONDS)
    later = reads.submit("later")
    kill = f"SELECT pg_terminate_backend({pid})"
    await asyncio.to_thread(databases.execute, database_url, kill)
    for lost in await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), SECONDS):
        assert isinstance(lost, DomainError)
        assert lost.reason is Reason.DATABASE_UNAVAILABLE
    assert await asyncio.wait_for(later, SECONDS) != str(pid)


async def test_nothing_is_begun_and_nothing_waits_when_all_is_read(
    db: Database, readers: Readers
) -> None:
    """Seen red with a transaction around the reads."""

    async def times(tx: PipelineConnection, units: Sequence[int]) -> list[set[datetime]]:
        began = [*await run(tx, BEGAN()), *await run(tx, BEGAN())]
        return [set(began) for _ in units]

    reads = ReadBatcher(readers, times, kind="own transactions")
    for began in await asyncio.gather(reads.submit(1), reads.submit(2)):
        assert len(began) == 2, "two transactions"
    async with db.transaction() as tx:
        idle = await tx.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE state LIKE 'idle in transaction%' AND datname = current_database()"
            )
        )
        assert idle.scalar_one() == 0
    labels = {"kind": "own transactions"}
    assert REGISTRY.get_sample_value("deeptravel_read_queue", labels) == 0
    assert REGISTRY.get_sample_value("deeptravel_read_batch_sum", labels) == 2
    assert REGISTRY.get_sample_value("deeptravel_read_batch_count", labels) == 1


async def test_kinds_take_turns_at_the_readers(db: Database, readers: Readers) -> None:
    """One kind has one batch at a time, however many wait; another has the other reader.

    Seen red with a reader for each call, and with one reader for all.
    """
    slow, quick = Divisions(), Divisions()
    slow.go.clear()
    slow_reads = ReadBatcher(readers, slow.read, kind="slow")
    quick_reads = ReadBatcher(readers, quick.read, kind="quick")
    waiting = [slow_reads.submit(1)]
    await _began(slow)
    waiting += [slow_reads.submit(each) for each in (2, 3)]
    for _ in range(3):
        assert await asyncio.wait_for(quick_reads.submit(6), SECONDS) == 2
    assert slow.batches == [[1]]
    assert _checked_out(db) == 2
    slow.go.set()
    assert await asyncio.gather(*waiting) == [12, 6, 4]
    assert slow.batches == [[1], [2, 3]]


async def test_a_connection_is_kept_for_the_next_call_and_given_back(
    db: Database, readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red with the connection given back after each batch, and with one kept for ever."""
    monkeypatch.setattr(reading, "KEEP_SECONDS", SECONDS)
    reads = ReadBatcher(readers, Divisions().read, kind="test")
    lent: list[int] = []
    db.pipelines.on_lent = lent.append
    for _ in range(3):
        assert await reads.submit(1) == 12
    assert lent == [1]
    # one that is lost meanwhile costs the calls of one batch, not those after them
    async with db.transaction() as tx:
        await tx.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    with pytest.raises(DomainError) as refused:
        await reads.submit(1)
    assert refused.value.reason is Reason.DATABASE_UNAVAILABLE
    assert await reads.submit(2) == 6
    await readers.stop()
    assert _checked_out(db) == 0
    monkeypatch.setattr(reading, "KEEP_SECONDS", 0.01)
    assert await reads.submit(3) == 4
    await until(lambda: not _checked_out(db))


async def test_who_waits_hears_that_there_is_no_database(database_url: str) -> None:
    """Seen red without `refuse`: they wait for ever."""
    nowhere = databases.renamed(database_url, "nowhere")
    db = Database(load_settings(), nowhere)
    readers = Readers(db)
    reads = ReadBatcher(readers, Divisions().read, kind="test")
    waiting = [reads.submit(each) for each in (1, 2)]
    for lost in await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), SECONDS):
        assert isinstance(lost, DomainError)
        assert lost.reason is Reason.DATABASE_UNAVAILABLE
    await readers.stop()
    await db.close()


def _checked_out(db: Database) -> int:
    return db.pipelines.lent


async def _began(divisions: Divisions) -> None:
    divisions.began.clear()
    await asyncio.wait_for(divisions.began.wait(), SECONDS)


async def test_a_call_that_comes_as_its_reader_goes_is_read_for(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red with readers that went without another look, and that were counted until a callback
    ran.
    """
    monkeypatch.setattr(reading, "KEEP_SECONDS", 0.002)
    reads = ReadBatcher(readers, Divisions().read, kind="test")
    loop = asyncio.get_running_loop()
    for turn in range(400):
        assert await asyncio.wait_for(reads.submit(4), SECONDS) == 3
        # at about the moment when the wait of the reader ends: before it, in its turn, and after
        moment = loop.time() + 0.0018 + turn % 20 * 0.00003
        while loop.time() < moment:  # noqa: ASYNC110 - a timer would come with the reader's
            await asyncio.sleep(0)
