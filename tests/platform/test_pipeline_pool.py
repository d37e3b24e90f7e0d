"""Connections for prepared statements: bounded, kept, replaced when they are of no use any more.

Seen red: without `reset` the next caller finds a transaction that has begun; without `_close_idle`
each connection to a server that takes no writes costs a call; with the oldest lent first none is
ever idle for long.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from sqlalchemy import text

from server.platform import pipeline_pool
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Statement, commit_with, run

PID = Statement("SELECT pg_backend_pid()", int)
CHANGE = Statement("INSERT INTO change_feed (kind, key) VALUES ('VENUE', $1)")
READ_ONLY = Statement("SELECT set_config('default_transaction_read_only', 'on', false)", str)


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(), database_url)
    yield database
    await database.close()


async def pid(pipeline: PipelineConnection) -> int:
    async with pipeline.autocommit():
        return (await run(pipeline, PID()))[0]


async def next_pid(db: Database) -> int:
    async with db.pipeline() as pipeline:
        return await pid(pipeline)


async def two(db: Database) -> list[int]:
    """Has two connections opened; the pid of the one that comes back last is the last."""
    async with db.pipeline() as first:
        async with db.pipeline() as second:
            pids = [await pid(second)]
        return [*pids, await pid(first)]


async def test_there_are_no_more_than_it_may_have(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_pool, "WAIT_SECONDS", 0.05)
    counted: list[int] = []
    db.pipelines.on_lent = counted.append
    limit = load_settings().pipeline_connections
    async with AsyncExitStack() as stack:
        for _ in range(limit):
            await stack.enter_async_context(db.pipeline())
        assert db.pipelines.lent == sum(counted) == limit
        with pytest.raises(DomainError) as refused:
            await next_pid(db)
        assert refused.value.reason is Reason.DATABASE_UNAVAILABLE
        monkeypatch.setattr(pipeline_pool, "WAIT_SECONDS", 50)
        waiting = asyncio.create_task(next_pid(db))
        await asyncio.sleep(0.01)
        assert not waiting.done()
    assert await waiting
    assert db.pipelines.lent == sum(counted) == 0


async def test_the_one_used_last_is_lent_first(db: Database) -> None:
    pids = await two(db)
    assert [await next_pid(db) for _ in range(3)] == [pids[-1]] * 3


async def test_what_is_not_committed_is_rolled_back(db: Database) -> None:
    async with db.pipeline() as pipeline, pipeline.transaction():
        before = await run(pipeline, PID())
        await run(pipeline, CHANGE("lost"))
    async with db.pipeline() as pipeline, pipeline.transaction():
        assert await run(pipeline, PID()) == before
        await commit_with(pipeline, [CHANGE("kept")])
    async with db.transaction() as tx:
        keys = await tx.execute(text("SELECT key FROM change_feed WHERE key IN ('lost', 'kept')"))
        assert list(keys.scalars()) == ["kept"]


async def test_those_that_nobody_needs_are_closed(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two(db)
    assert len(db.pipelines._idle) == 2
    monkeypatch.setattr(pipeline_pool, "IDLE_SECONDS", 0.0)
    await next_pid(db)
    assert len(db.pipelines._idle) == 1


async def no_answer(pipeline: PipelineConnection, **_: float) -> bool:
    await pipeline.close()
    return False


@pytest.mark.parametrize("what", ["old", "silent", "abandoned"])
async def test_those_that_are_old_silent_or_abandoned_are_replaced(
    db: Database, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    pids = await two(db)
    monkeypatch.setattr(pipeline_pool, "TRUST_IDLE_SECONDS", 0.0)
    assert await next_pid(db) == pids[-1]
    if what == "old":
        monkeypatch.setattr(pipeline_pool, "OLD_SECONDS", 0.0)
    elif what == "silent":
        monkeypatch.setattr(PipelineConnection, "answers", no_answer)
    else:
        db.abandon_all()
    assert await next_pid(db) not in pids


async def test_where_the_server_takes_no_writes_none_is_kept(db: Database) -> None:
    pids = await two(db)
    async with db.pipeline() as pipeline:
        assert await pid(pipeline) == pids[-1]
        async with pipeline.autocommit():
            await run(pipeline, READ_ONLY())
        with pytest.raises(DomainError):
            async with pipeline.transaction():
                await commit_with(pipeline, [CHANGE("")])
    assert await next_pid(db) not in pids


async def test_after_the_end_none_is_kept(db: Database) -> None:
    async with db.pipeline() as pipeline:
        await db.close()
        assert await pid(pipeline)
    assert pipeline.is_lost
    assert not db.pipelines._idle
