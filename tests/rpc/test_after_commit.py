"""A commit that enqueues wakes this process's worker by itself; a rollback wakes nobody.

Seen red: with `wake` as an argument that each caller had to call, a departure that an administrator
cancelled, and a replayed dead letter, lay until the next poll; with `Connection.rollback` as the
driver's, what was rolled back woke the worker at the next commit on the same connection.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform import dead_letters, outbox
from server.platform.database import Database
from server.platform.outbox import ENQUEUED, GiveUpError, NewTask, TaskKind
from tests.support.operations import Manager
from tests.support.outbox import Desk, Seen, a_desk
from tests.support.till import Till, a_till
from tests.support.traveller import Desk as Traveller
from tests.support.traveller import a_world, traveller_server

FOR_EVER = 3600.0
NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with a_desk(database_url) as desk:
        yield desk


@pytest.fixture
def woken(desk: Desk) -> list[None]:
    """An entry for each time that a worker would have looked."""
    times: list[None] = []
    desk.db.notifications.listen(ENQUEUED, lambda: times.append(None))
    return times


async def enqueue(tx: AsyncConnection) -> None:
    await outbox.enqueue(tx, "write", "one", {}, due=NOW, now=NOW)


async def in_transaction(db: Database) -> None:
    await db.in_transaction(enqueue)


async def in_a_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        await enqueue(tx)


async def aside(db: Database) -> None:
    async with db.aside() as tx:
        await enqueue(tx)


async def batched(db: Database) -> None:
    parameter = outbox.enqueue_parameter([NewTask("write", "one", {}, NOW)], now=NOW)
    async with db.hot() as hot, hot.transaction():
        await hot.round_trip([(outbox.ENQUEUE, [parameter])])
        await hot.round_trip([], commit=True)


async def batched_at_once(db: Database) -> None:
    parameter = outbox.enqueue_parameter([NewTask("write", "one", {}, NOW)], now=NOW)
    async with db.hot() as hot, hot.transaction():
        await hot.round_trip([(outbox.ENQUEUE, [parameter])], commit=True)


@pytest.mark.parametrize(
    "enqueueing", [in_transaction, in_a_transaction, aside, batched, batched_at_once]
)
async def test_every_commit_that_enqueues_wakes_once(
    desk: Desk, woken: list[None], enqueueing: Callable[[Database], Awaitable[None]]
) -> None:
    await enqueueing(desk.db)
    assert len(woken) == 1
    async with desk.db.transaction() as tx:
        await tx.execute(text("SELECT 1"))
    assert len(woken) == 1


async def test_not_before_the_commit(desk: Desk, woken: list[None]) -> None:
    async with desk.db.transaction() as tx:
        await enqueue(tx)
        assert not woken
    assert woken


async def test_nothing_wakes_when_the_transaction_rolls_back(desk: Desk, woken: list[None]) -> None:
    """Nor does the next commit on the same connection."""
    with suppress(ZeroDivisionError):
        async with desk.db.transaction() as tx:
            await enqueue(tx)
            raise ZeroDivisionError
    async with desk.db.hot() as hot:
        with suppress(ZeroDivisionError):
            async with hot.transaction():
                parameter = outbox.enqueue_parameter([NewTask("write", "one", {}, NOW)], now=NOW)
                await hot.round_trip([(outbox.ENQUEUE, [parameter])])
                raise ZeroDivisionError
        async with hot.transaction():
            await hot.round_trip([], commit=True)
    async with desk.db.transaction() as tx:
        await tx.execute(text("SELECT 1"))
    assert not woken
    assert await desk.rows() == []


async def test_a_replayed_dead_letter_wakes(desk: Desk, woken: list[None]) -> None:
    await desk.ask("one")
    await desk.outbox({"tell": TaskKind(Seen(GiveUpError("no")).handle)}).drain()
    woken.clear()
    task_id: UUID = (await desk.row()).task_id
    async with desk.db.transaction() as tx:
        await dead_letters.replay(tx, task_id, now=desk.clock.now)
    assert len(woken) == 1


async def test_a_stopped_worker_listens_no_more(desk: Desk) -> None:
    process = desk.outbox({})
    process.start()
    await process.stop()
    process._loop._woken.clear()
    await desk.ask("one")
    assert not process._loop._woken.is_set()


@pytest.fixture
async def till(database_url: str) -> AsyncIterator[Till]:
    async with a_till(database_url) as till:
        yield till


async def test_what_an_administrator_asks_for_is_worked_on_at_once(
    till: Till, database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker looks once at its start, and by itself again in an hour."""
    monkeypatch.setattr(outbox, "POLL_SECONDS", FOR_EVER)
    async with (
        a_world(database_url, departures=1) as world,
        traveller_server(database_url, redis_url) as server,
    ):
        await world.enrol(1)
        await Traveller.of(server.channel, 1).order(world.seat())
        manager = await Manager.hired(till.db, server.channel)
        async with asyncio.timeout(20):
            await manager.cancel(world.departure_id())
            await world.until("SELECT state = 'CANCELLED' FROM orders")
