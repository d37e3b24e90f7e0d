"""Round trips of prepared statements: one reader, a deadline, and one transaction a round trip.

Seen red: the large values without the writer (no answer in time), the stall by the clock alone, and
the lost connection without a reader that is kept (the next caller got DATABASE_UNAVAILABLE).
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvloop
from psycopg.errors import DivisionByZero
from sqlalchemy import text

from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.driver_errors import LostRaceError
from server.platform.errors import DomainError, Reason
from server.platform.pipeline import PipelineConnection
from server.platform.statements import Statement, commit_with, run, run_together

SECONDS = 50
"""Less than SLEEP."""
SLEEP = Statement("SELECT pg_sleep(60)::text", str)
SHORT_SLEEP = Statement("SELECT pg_sleep(0.3)::text", str)
ECHO = Statement("SELECT $1::text", str)
PID = Statement("SELECT pg_backend_pid()", int)
END = Statement("SELECT pg_terminate_backend($1::int)", bool)
FAILING = Statement("SELECT 1 / $1::int4", int)
CHANGE = Statement("INSERT INTO change_feed (kind, key) VALUES ('VENUE', $1)")
TRANSACTIONS = Statement("SELECT pg_current_xact_id_if_assigned() IS NULL", bool)
UNTIL_COMMIT = Statement("CREATE TEMP TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
LATE = Statement("INSERT INTO late VALUES (1), (1)")
SLEEPERS = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(60%' AND datname = current_database()"
)


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(load_settings(database_pool=2), database_url)
    yield database
    await database.close()


async def pid(db: Database) -> int:
    async with db.pipeline() as pipeline, pipeline.autocommit():
        return (await run(pipeline, PID()))[0]


async def changes(db: Database) -> int:
    async with db.transaction() as tx:
        return int((await tx.execute(text("SELECT count(*) FROM change_feed"))).scalar_one())


async def test_what_is_larger_than_the_socket_takes_goes_out_while_answers_come_in(
    db: Database,
) -> None:
    large = "x" * 1_000_000
    async with asyncio.timeout(SECONDS), db.pipeline() as pipeline, pipeline.transaction():
        answers = await run_together(pipeline, ECHO(large), ECHO(large), ECHO("small"))
    assert answers == ([large], [large], ["small"])


async def stand_still(database_url: str) -> list[str]:
    db = Database(load_settings(), database_url)
    loop, (reader, writer) = asyncio.get_running_loop(), socket.socketpair()

    def stand() -> None:
        loop.remove_reader(reader)
        time.sleep(0.8)

    async with db.pipeline() as pipeline, pipeline.autocommit():
        await run(pipeline, ECHO(""))
        pipeline._pg.answer_seconds = 0.4
        asking = asyncio.create_task(run(pipeline, SHORT_SLEEP()))
        await asyncio.sleep(0.05)
        loop.add_reader(reader, stand)
        writer.send(b"now")
        answer = await asking
    reader.close()
    writer.close()
    await db.close()
    return answer


def test_an_answer_that_came_while_the_loop_stood_still_is_read(database_url: str) -> None:
    """By uvloop too, which runs what is timed before it looks for what has come."""
    assert asyncio.run(stand_still(database_url)) == [""]
    assert uvloop.run(stand_still(database_url)) == [""]


async def test_an_abandoned_connection_is_not_waited_for(db: Database) -> None:
    before = await pid(db)

    async def sleep() -> None:
        async with db.pipeline() as pipeline, pipeline.autocommit():
            await run(pipeline, SLEEP())

    waiting = asyncio.create_task(sleep())
    async with asyncio.timeout(SECONDS):
        while not await sleepers(db):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    db.abandon_all()
    async with asyncio.timeout(0.5):
        with pytest.raises(DomainError) as failed:
            await waiting
    assert failed.value.reason is Reason.DATABASE_UNAVAILABLE
    assert await pid(db) != before


async def sleepers(db: Database) -> int:
    """How many sleep now: a transaction sees one moment of it, so each look has one of its own."""
    async with db.transaction() as tx:
        count: int = (await tx.execute(SLEEPERS)).scalar_one()
        return count


async def test_a_statement_whose_caller_is_gone_is_cancelled_and_the_others_are_kept(
    database_url: str,
) -> None:
    db = Database(load_settings(), database_url)

    async def sleep() -> None:
        async with db.pipeline() as pipeline, pipeline.autocommit():
            await run(pipeline, SLEEP())

    async with db.pipeline():
        kept = await pid(db)
    waiting = asyncio.create_task(sleep())
    async with asyncio.timeout(SECONDS):
        while not await sleepers(db):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        while await sleepers(db):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert kept in {await pid(db), await pid(db)}
    await db.close()


async def test_a_connection_that_the_server_ends_while_it_is_idle_costs_nobody_a_call(
    db: Database,
) -> None:
    before = await pid(db)
    async with db.transaction() as tx:
        assert await run(tx, END(before)) == [True]
    async with asyncio.timeout(SECONDS):
        while not db.pipelines._idle[0].pipeline.is_lost:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await pid(db) != before


async def test_a_connection_that_the_server_ends_within_a_round_trip(db: Database) -> None:
    before = await pid(db)
    with pytest.raises(DomainError) as failed:
        async with db.pipeline() as pipeline, pipeline.transaction():
            await run_together(pipeline, ECHO("a"), END(before), ECHO("b"))
    assert failed.value.reason is Reason.DATABASE_UNAVAILABLE
    assert await pid(db) != before


async def test_one_round_trip_is_one_transaction(db: Database) -> None:
    """Without a statement that begins and one that ends it."""
    before = await changes(db)

    async def twice(second: object) -> None:
        async with db.pipeline() as pipeline, pipeline.transaction():
            await commit_with(pipeline, [CHANGE("a"), second])  # type: ignore[list-item]

    with pytest.raises(DivisionByZero):
        await twice(FAILING(0))
    assert await changes(db) == before
    await twice(FAILING(1))
    assert await changes(db) == before + 1


async def insert_late(pipeline: PipelineConnection, *, in_two: bool) -> None:
    async with pipeline.transaction():
        if in_two:
            await run(pipeline, ECHO(""))
        await commit_with(pipeline, [LATE()])


async def test_what_fails_at_the_commit_itself_is_raised(db: Database) -> None:
    async with db.pipeline() as pipeline:
        async with pipeline.transaction():
            await commit_with(pipeline, [UNTIL_COMMIT()])
        for in_two in (False, True):
            with pytest.raises(LostRaceError):
                await insert_late(pipeline, in_two=in_two)
            async with pipeline.transaction():
                assert await run(pipeline, TRANSACTIONS()) == [True]
