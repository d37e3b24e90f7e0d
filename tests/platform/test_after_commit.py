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

from server.platform import dead_letters, outbox, task_worker
from server.platform.database import Database
from server.platform.outbox import ENQUEUED, GiveUpError, NewTask
from server.platform.statements import commit_with, run
from server.platform.task_worker import TaskKind
from tests.support.operations import Manager
from tests.support.order_scenario import OrderScenario, a_scenario
from tests.support.outbox import Seen, TaskHandler, a_client
from tests.support.traveller import TravellerClient as Traveller
from tests.support.traveller import a_world, traveller_server

FOR_EVER = 3600.0
NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


@pytest.fixture
async def client(module_database_url: str) -> AsyncIterator[TaskHandler]:
    async with a_client(module_database_url) as client:
        yield client


@pytest.fixture
def woken(client: TaskHandler) -> list[None]:
    """An entry for each time that a worker would have looked."""
    times: list[None] = []
    client.db.notifications.listen(ENQUEUED, lambda: times.append(None))
    return times


async def enqueue(tx: AsyncConnection) -> None:
    await run(tx, outbox.enqueue(NewTask("write", "one", {}, NOW), now=NOW))


async def in_transaction(db: Database) -> None:
    await db.in_transaction(enqueue)


async def in_a_transaction(db: Database) -> None:
    async with db.transaction() as tx:
        await enqueue(tx)


async def independent_transaction(db: Database) -> None:
    async with db.independent_transaction() as tx:
        await enqueue(tx)


async def batched(db: Database) -> None:
    async with db.pipeline() as pipeline, pipeline.transaction():
        await run(pipeline, outbox.enqueue(NewTask("write", "one", {}, NOW), now=NOW))
        await commit_with(pipeline)


async def batched_at_once(db: Database) -> None:
    tasks = [NewTask("write", "one", {}, NOW)]
    async with db.pipeline() as pipeline, pipeline.transaction():
        await commit_with(pipeline, [outbox.enqueue(*tasks, now=NOW)])


@pytest.mark.parametrize(
    "enqueueing",
    [in_transaction, in_a_transaction, independent_transaction, batched, batched_at_once],
)
async def test_every_commit_that_enqueues_wakes_once(
    client: TaskHandler, woken: list[None], enqueueing: Callable[[Database], Awaitable[None]]
) -> None:
    await enqueueing(client.db)
    assert len(woken) == 1
    async with client.db.transaction() as tx:
        await tx.execute(text("SELECT 1"))
    assert len(woken) == 1


async def test_not_before_the_commit(client: TaskHandler, woken: list[None]) -> None:
    async with client.db.transaction() as tx:
        await enqueue(tx)
        assert not woken
    assert woken


async def test_nothing_wakes_when_the_transaction_rolls_back(
    client: TaskHandler, woken: list[None]
) -> None:
    """Nor does the next commit on the same connection."""
    with suppress(ZeroDivisionError):
        async with client.db.transaction() as tx:
            await enqueue(tx)
            raise ZeroDivisionError
    async with client.db.pipeline() as pipeline:
        with suppress(ZeroDivisionError):
            async with pipeline.transaction():
                await run(pipeline, outbox.enqueue(NewTask("write", "one", {}, NOW), now=NOW))
                raise ZeroDivisionError
        async with pipeline.transaction():
            await commit_with(pipeline)
    async with client.db.transaction() as tx:
        await tx.execute(text("SELECT 1"))
    assert not woken
    assert await client.rows() == []


async def test_a_replayed_dead_letter_wakes(client: TaskHandler, woken: list[None]) -> None:
    await client.ask("one")
    await client.outbox({"tell": TaskKind(Seen(GiveUpError("no")).handle)}).drain()
    woken.clear()
    task_id: UUID = (await client.row()).task_id
    async with client.db.transaction() as tx:
        await dead_letters.replay(tx, task_id, now=client.clock.now)
    assert len(woken) == 1


async def test_a_stopped_worker_listens_no_more(client: TaskHandler) -> None:
    process = client.outbox({})
    process.start()
    await process.stop()
    process._loop._woken.clear()
    await client.ask("one")
    assert not process._loop._woken.is_set()


@pytest.fixture
async def scenario(module_database_url: str) -> AsyncIterator[OrderScenario]:
    async with a_scenario(module_database_url) as scenario:
        yield scenario


async def test_what_an_administrator_asks_for_is_worked_on_at_once(
    scenario: OrderScenario,
    module_database_url: str,
    module_redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The worker looks once at its start, and by itself again in an hour."""
    monkeypatch.setattr(task_worker, "POLL_SECONDS", FOR_EVER)
    async with (
        a_world(module_database_url, departures=1) as world,
        traveller_server(module_database_url, module_redis_url) as server,
    ):
        await world.enrol(1)
        await Traveller.of(server.channel, 1).order(world.seat())
        manager = await Manager.hired(scenario.db, server.channel)
        async with asyncio.timeout(20):
            await manager.cancel(world.departure_id())
            await world.until("SELECT state = 'CANCELLED' FROM orders")
