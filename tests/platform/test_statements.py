"""Statements: parameters and rows come back from PostgreSQL as the values they went in as, in a
transaction of `Database` and in a batch's.
"""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import pytest_asyncio
from psycopg.errors import DivisionByZero

from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.statements import Command, Statement, Transaction, run, run_all, run_together

AT = datetime(2026, 11, 28, 23, 59, 59, 123456, UTC)
TICKET = UUID("00000000-0000-4000-8000-0000000000ff")
AWKWARD = ["", "NULL", 'a "quoted" one', "back\\slash", "{,}", "票券", " "]


class Pair(NamedTuple):
    """A row."""

    number: int
    name: str | None


DOUBLE = Statement("SELECT $1::int4 * 2", int)
PAIRS = Statement("SELECT * FROM unnest($2::int4[], $3::text[]) LIMIT $1", Pair)
FAILING = Statement("SELECT 1 / $1::int4", int)


@pytest_asyncio.fixture
async def db(module_database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(database_pool=2), module_database_url)
    yield database
    await database.close()


@pytest_asyncio.fixture(params=["database", "batch"])
async def tx(request: pytest.FixtureRequest, db: Database) -> AsyncIterator[Transaction]:
    if request.param == "database":
        async with db.transaction() as transaction:
            yield transaction
    else:
        async with db.pipeline() as pipeline, pipeline.transaction():
            yield pipeline


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int8", -(1 << 62)),
        ("text", 'a "quoted" \\ text'),
        ("bool", False),
        ("bytea", b"\x00\\\xff"),
        ("uuid", TICKET),
        ("timestamptz", AT),
        ("date", date(2026, 2, 28)),
        ("jsonb", {"a": ['"', None, 1]}),
        ("text", None),
        ("text[]", AWKWARD),
        ("text[]", [None, "a", None]),
        ("text[]", []),
        ("text[]", [None]),
        ("int8[]", [1, None, -3]),
        ("bool[]", [True, None, False]),
        ("uuid[]", [None, TICKET]),
        ("bytea[]", [b"", b'\x00\\"', None]),
        ("timestamptz[]", [AT, None]),
        ("jsonb[]", [{"a": 'q"\\'}, {}]),
    ],
)
async def test_values_come_back(tx: Transaction, kind: str, value: Any) -> None:
    rows = await run(tx, Statement(f"SELECT $1::{kind}", str)(value))
    assert rows == [value]


async def test_rows_become_columns_and_rows_again(tx: Transaction) -> None:
    pairs = [Pair(n, name) for n, name in enumerate([*AWKWARD, None])]
    assert await run(tx, PAIRS.of_rows(pairs, 100)) == pairs
    assert PAIRS.of_rows([], 100) is None


async def test_commands_share_a_round_trip_and_none_is_left_out(tx: Transaction) -> None:
    skipped: Command[int] | None = None
    doubled, nothing, pairs = await run_together(tx, DOUBLE(21), skipped, PAIRS(1, [7], ["seven"]))
    assert (doubled, nothing, pairs) == ([42], [], [Pair(7, "seven")])
    assert await run_all(tx, [DOUBLE(1), None, DOUBLE(3)]) == [[2], [], [6]]
    assert await run(tx, None) == []


async def test_what_fails_is_raised_and_rolled_back(db: Database) -> None:
    with pytest.raises(DivisionByZero):
        async with db.transaction() as tx:
            await run_together(tx, DOUBLE(1), FAILING(0))
    async with db.pipeline() as pipeline:
        with pytest.raises(DivisionByZero):
            async with pipeline.transaction():
                await run_together(pipeline, DOUBLE(1), FAILING(0))
        async with pipeline.transaction():
            assert await run(pipeline, DOUBLE(2)) == [4]
