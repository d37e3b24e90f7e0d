"""Connections: a deadline for every answer, and none is used again that must not be.

Seen red: with the driver's own waits the first test hangs; without `_drop_connection` and
`_is_useless` a connection that takes no writes goes back to the pool.
"""

import asyncio
import select
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.config import load_settings
from server.platform.connection import MARGIN_SECONDS, DriverConnection
from server.platform.database import Database, set_statement_timeout
from server.platform.errors import DomainError, Reason
from server.platform.statements import Statement, commit_with
from server.platform.statements import run as run_command

SECONDS = 50
"""Less than SLEEP."""
SLEEP = Statement("SELECT pg_sleep(60)::text", str)
COUNT = Statement("INSERT INTO change_feed DEFAULT VALUES")
READ_ONLY = Statement("SELECT set_config('default_transaction_read_only', 'on', false)", str)
PID = Statement("SELECT pg_backend_pid()", int)
SLEEPERS = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
)


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    settings = load_settings(database_pool=2, statement_timeout_ms=1000)
    database = Database(settings, database_url)
    yield database
    await database.close()


async def driver_of(tx: AsyncConnection) -> DriverConnection:
    driver = (await tx.get_raw_connection()).driver_connection
    assert isinstance(driver, DriverConnection)
    return driver


async def pid(db: Database) -> int:
    async with db.transaction() as tx:
        return int((await tx.execute(text(PID.sql.decode()))).scalar_one())


@pytest.mark.parametrize("pipelined", [True, False])
async def test_a_server_that_does_not_answer_is_left(db: Database, pipelined: bool) -> None:
    before = await pid(db)

    async def wait() -> None:
        async with db.transaction() as tx:
            await tx.execute(text("SET statement_timeout = 0"))  # as if it were frozen
            if pipelined:
                await run_command(tx, SLEEP())
            else:
                await tx.execute(text(SLEEP.sql.decode()))

    async with asyncio.timeout(SECONDS):
        with pytest.raises(DomainError) as failed:
            await wait()
        assert failed.value.reason is Reason.DATABASE_UNAVAILABLE
        assert await pid(db) != before


async def test_what_may_take_long_has_long_and_its_connection_is_as_before_then(
    db: Database,
) -> None:
    async with db.transaction() as tx:
        driver, usual = await driver_of(tx), (await driver_of(tx)).answer_seconds
        await set_statement_timeout(tx, seconds=7)
        assert driver.answer_seconds == 7 + MARGIN_SECONDS
    async with db.transaction() as tx:
        assert await driver_of(tx) is driver
        assert driver.answer_seconds == usual == 1.0 + MARGIN_SECONDS


async def test_an_answer_that_came_while_the_loop_stood_still_is_read(db: Database) -> None:
    """Seen red with the clock alone: whatever was under way when the loop was held up was lost."""
    connection = await db.connect()
    connection.answer_seconds = 0.05
    asking = asyncio.create_task(connection.execute("SELECT 1"))
    await asyncio.sleep(0)
    came, _, _ = select.select([connection.fileno()], [], [], SECONDS)
    assert came
    time.sleep(2 * connection.answer_seconds)  # noqa: ASYNC251 - on purpose
    assert await (await asking).fetchone() == (1,)
    await connection.close()


async def test_a_statement_whose_caller_is_gone_is_cancelled_at_the_server(db: Database) -> None:
    async def wait() -> None:
        async with db.transaction() as tx:
            await tx.execute(text("SET statement_timeout = 0"))
            await tx.execute(text(SLEEP.sql.decode()))

    waiting = asyncio.create_task(wait())
    async with asyncio.timeout(SECONDS):
        while True:
            async with db.transaction() as tx:
                if (await tx.execute(SLEEPERS)).scalar_one():
                    break
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        async with db.transaction() as tx:
            assert (await tx.execute(SLEEPERS)).scalar_one() == 0


@pytest.mark.parametrize("way", ["batch", "statement", "sqlalchemy"])
async def test_a_connection_that_takes_no_writes_is_dropped(db: Database, way: str) -> None:
    """Seen red: one on which a `Statement` had failed in a transaction of `Database` was kept."""

    async def run(statement: Statement[Any]) -> list[Any]:
        if way == "batch":
            async with db.pipeline() as pipeline, pipeline.transaction():
                (rows,) = await commit_with(pipeline, [statement()])
                return rows
        async with db.transaction() as tx:
            if way == "statement":
                return await run_command(tx, statement())
            result = await tx.execute(text(statement.sql.decode()))
            return list(result.scalars()) if result.returns_rows else []

    before = await run(PID)
    await run(READ_ONLY)
    with pytest.raises(DomainError) as failed:
        await run(COUNT)
    assert failed.value.reason is Reason.DATABASE_UNAVAILABLE
    await run(COUNT)
    assert await run(PID) != before


async def test_a_connection_that_the_server_ends_is_dropped(db: Database) -> None:
    before = await pid(db)
    with pytest.raises(DomainError) as failed:
        async with db.transaction() as tx:
            await tx.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert failed.value.reason is Reason.DATABASE_UNAVAILABLE
    assert await pid(db) != before
