"""Statements that are prepared without psycopg, on connections where psycopg prepares and
deallocates its own.

Without `_forget_prepared` in server/platform/database.py the first test fails: the statement does
not exist any more.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import text

from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import Statement, run, run_together

DOUBLE = Statement("SELECT $1::int4 * 2", int)
FAILING = Statement("SELECT 1 / $1::int4", int)
SLEEP = Statement("SELECT pg_sleep(5)::text", str)


class StopError(Exception):
    """Ends a transaction by a rollback."""


@pytest_asyncio.fixture
async def db(module_database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(database_pool=2), module_database_url)
    yield database
    await database.close()


async def test_prepared_statements_survive_rollbacks(db: Database) -> None:
    for _ in range(4):
        for _ in range(3):  # from its third use on psycopg has prepared it
            async with db.transaction() as tx:
                await tx.execute(text("SELECT 1"))
        async with db.transaction() as tx:
            assert await run(tx, DOUBLE(21)) == [42]
        for _ in range(2):  # the first rollback drops all that is prepared, the second nothing
            with contextlib.suppress(StopError):
                async with db.transaction() as tx:
                    assert await run(tx, DOUBLE(1)) == [2]
                    raise StopError
        async with db.transaction() as tx:
            assert await run_together(tx, DOUBLE(3), DOUBLE(4)) == ([6], [8])


async def test_prepared_statements_survive_rollbacks_to_savepoints(db: Database) -> None:
    """Seen red: the statement does not exist any more."""
    for _ in range(4):
        async with db.transaction() as tx:
            for _ in range(3):
                await tx.execute(text("SELECT 1"))
            assert await run(tx, DOUBLE(1)) == [2]
            with contextlib.suppress(StopError):
                async with tx.begin_nested():
                    assert await run(tx, DOUBLE(2)) == [4]
                    raise StopError
            assert await run(tx, DOUBLE(3)) == [6]


async def test_what_is_cut_off_within_a_round_trip_tells_no_other_story(db: Database) -> None:
    """Seen red: the rollback on the closed connection fails, and DATABASE_UNAVAILABLE is raised."""

    async def wait() -> None:
        async with db.transaction() as tx:
            await run(tx, SLEEP())

    for _ in range(3):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with db.transaction() as tx:
        assert await run(tx, DOUBLE(3)) == [6]


async def test_statements_that_fail(db: Database) -> None:
    async def divide_by_zero() -> None:
        async with db.transaction() as tx:
            await run_together(tx, DOUBLE(1), FAILING(0), DOUBLE(2))

    for _ in range(4):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await divide_by_zero()
        async with db.transaction() as tx:
            assert await run_together(tx, FAILING(1), DOUBLE(2)) == ([1], [4])
