"""Partner events that are recorded, numbered and read at once: whoever reads on misses none."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text

from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import run
from server.webhooks import feed
from server.webhooks.events import PartnerEvent, record
from server.webhooks.rules import BATCH_GENERATED
from server.webhooks.sequencing import sequence

PARTNER = 7


def _event(subject: str, partner_id: int = PARTNER) -> PartnerEvent:
    return PartnerEvent(partner_id, BATCH_GENERATED, subject, {"batch_id": subject})


async def _record(db: Database, *subjects: str) -> None:
    async with db.transaction() as tx:
        await run(tx, record(*map(_event, subjects), now=datetime.now(UTC)))


async def _read(db: Database, after: int, limit: int = 200) -> tuple[list[str], int]:
    """What a partner reads after a cursor, and the cursor to go on from."""
    async with db.transaction() as tx:
        found = await feed.page(tx, PARTNER, types=[], after=after, limit=limit)
    return [event.data["batch_id"] for event in found.events], found.cursor


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    opened = Database(load_settings(batch_lock_timeout_ms=30_000), database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    """That of another process, with connections of its own."""
    opened = Database(load_settings(), database_url)
    yield opened
    await opened.close()


async def test_what_takes_its_id_early_and_commits_late_is_not_missed(db: Database) -> None:
    """Seen red with events that are numbered where they are recorded (`last_sequence + 1` by a
    sequence, say) or read by event_id: the reader is past the early one before it is there.
    """
    async with db.transaction() as early:
        await run(early, record(_event("early"), now=datetime.now(UTC)))
        await _record(db, "late")
        await sequence(db)
        seen, cursor = await _read(db, 0)
        assert seen == ["late"]
    await sequence(db)
    seen, cursor = await _read(db, cursor)
    assert seen == ["early"]
    ids = await _ids(db)
    assert ids["early"] < ids["late"]  # by its id it would have been before what was read


async def _ids(db: Database) -> dict[str, UUID]:
    async with db.transaction() as tx:
        found = await feed.page(tx, PARTNER, types=[], after=0, limit=200)
    return {event.data["batch_id"]: event.event_id for event in found.events}


async def test_readers_miss_nothing_while_many_record_and_several_number(
    db: Database, other: Database
) -> None:
    """20 writers whose transactions end in any order, and in another process 3 sequencers and a
    reader that is always at the end: it sees each event once, and those of one writer in their
    order.

    Seen red with events numbered by the transactions that record them, from one sequence.
    """
    written, numbered = asyncio.Event(), asyncio.Event()

    async def write(writer: int) -> None:
        for number in range(10):
            async with db.transaction() as tx:
                await run(tx, record(_event(f"{writer}-{number}"), now=datetime.now(UTC)))
                await asyncio.sleep(0.01 * (writer * number % 7))

    async def number() -> None:
        while not written.is_set():
            await sequence(other)

    async def read() -> list[str]:
        seen: list[str] = []
        cursor = 0
        while True:
            is_last = numbered.is_set()
            new, cursor = await _read(other, cursor, limit=7)
            seen += new
            if is_last and not new:
                return seen

    async with asyncio.timeout(60):
        sequencers = [asyncio.create_task(number()) for _ in range(3)]
        reader = asyncio.create_task(read())
        await asyncio.gather(*(write(writer) for writer in range(8, 28)))
        written.set()
        await asyncio.gather(*sequencers)
        await sequence(other)
        numbered.set()
        seen = await reader
    assert sorted(seen) == sorted(f"{w}-{n}" for w in range(8, 28) for n in range(10))
    for writer in range(8, 28):
        own = [name for name in seen if name.startswith(f"{writer}-")]
        assert own == [f"{writer}-{number}" for number in range(10)]


async def test_two_that_number_at_once_number_each_event_once(db: Database) -> None:
    """The first waits in the middle of it, for the feed's row; the second leaves it to the first.

    Seen red without the advisory lock: the second had seen the same events without numbers, and
    gave them others when the first was through.
    """
    await _record(db, "before")
    assert await sequence(db) == 1
    await _record(db, *(f"{number}" for number in range(5)))
    async with db.transaction() as tx:
        await tx.execute(text("SELECT FROM partner_feeds FOR UPDATE"))
        first = asyncio.create_task(sequence(db))
        async with asyncio.timeout(10):
            while not await _waits(db):  # noqa: ASYNC110 - a question
                await asyncio.sleep(0.005)
        second = asyncio.create_task(sequence(db))
        await asyncio.sleep(0.1)
    assert [await first, await second] == [5, None]
    async with db.transaction() as tx:
        numbers = await tx.execute(text("SELECT sequence FROM partner_events ORDER BY sequence"))
    assert list(numbers.scalars()) == [1, 2, 3, 4, 5, 6]


async def _waits(db: Database) -> bool:
    query = """
        SELECT count(*) > 0 FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND datname = current_database()"""
    async with db.transaction() as tx:
        return bool(await tx.scalar(text(query)))
