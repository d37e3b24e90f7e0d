"""Statements that are prepared without psycopg, on connections where psycopg prepares and deallocates its own.

Without `_forget_prepared` in server/db.py the first test fails: the statement does not exist any more.
"""

import contextlib
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio
from sqlalchemy import text

from server.config import load_settings
from server.db import Database, HotConnection, HotStatement

DOUBLE = HotStatement("SELECT $1::int4 * 2")
FAILING = HotStatement("SELECT 1 / $1::int4")


class StopError(Exception):
    """Ends a transaction by a rollback."""


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(database_pool=2), database_url)
    yield database
    await database.close()


async def test_prepared_statements_survive_rollbacks(db: Database) -> None:
    for _ in range(4):
        for _ in range(3):  # from its third use on psycopg has prepared it
            async with db.transaction() as tx:
                await tx.execute(text("SELECT 1"))
        async with db.transaction() as tx:
            assert await (await HotConnection.of(tx)).round_trip([(DOUBLE, ["21"])]) == [[(42,)]]
        for _ in range(2):  # the first rollback drops all that is prepared, the second nothing
            with contextlib.suppress(StopError):
                async with db.transaction() as tx:
                    assert await (await HotConnection.of(tx)).round_trip([(DOUBLE, ["1"])]) == [
                        [(2,)]
                    ]
                    raise StopError
        async with db.transaction() as tx:
            found = await (await HotConnection.of(tx)).round_trip(
                [(DOUBLE, ["3"]), (DOUBLE, ["4"])], commit=True
            )
            assert found == [[(6,)], [(8,)]]


async def test_statements_that_fail(db: Database) -> None:
    async def divide_by_zero() -> None:
        async with db.transaction() as tx:
            await (await HotConnection.of(tx)).round_trip(
                [(DOUBLE, ["1"]), (FAILING, ["0"]), (DOUBLE, ["2"])]
            )

    for _ in range(4):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await divide_by_zero()
        async with db.transaction() as tx:
            assert await (await HotConnection.of(tx)).round_trip(
                [(FAILING, ["1"]), (DOUBLE, ["2"])]
            ) == [[(1,)], [(4,)]]
