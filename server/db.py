"""The database: engine, transactions, and the drivers' errors told in our own words.

`Database.transaction()` is the only thing in the product that commits.
"""

import asyncio
import random
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from psycopg import errors as pg_errors
from psycopg import generators, pq
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from sqlalchemy import Connection, MetaData, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from server.config import Settings
from server.errors import DomainError, Reason

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 5
POOL_TIMEOUT_SECONDS = 5
TRUST_IDLE_SECONDS = 1.0
RACE_ATTEMPTS = 4
RACE_BACKOFF_SECONDS = 0.02
RACE_CHECKS = frozenset({"ck_traveller_quotas_limit", "ck_document_journeys_seen"})
"""Check constraints that only a race can violate: what was read before the write said that there is room."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)
"""All tables of all slices."""


class LostRaceError(DomainError):
    """A deadlock, serialization failure, duplicate key or one of RACE_CHECKS: the transaction did nothing and may be run again."""

    def __init__(self, constraint: str | None = None) -> None:
        super().__init__(
            Reason.CONFLICT,
            "another call changed the same rows at the same moment; repeat the call",
        )
        self.constraint = constraint


class Database:
    """One process's connections to PostgreSQL, in a bounded pool."""

    def __init__(self, settings: Settings, url: str) -> None:
        options = (
            f"-c statement_timeout={settings.statement_timeout_ms}"
            f" -c lock_timeout={settings.lock_timeout_ms}"
            " -c idle_in_transaction_session_timeout=60000 -c timezone=UTC"
        )
        self.engine = _engine(url, options, connections=settings.database_pool)
        # What is committed on the pool's connections after it carries the log of these to the disk too.
        self._aside = _engine(url, f"{options} -c synchronous_commit=off", connections=1)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A READ COMMITTED transaction: committed at the end of the block, rolled back on any exception.

        Raises LostRaceError (nothing was done) and DATABASE_UNAVAILABLE; during the commit the latter leaves the
        outcome unknown, and only a repeat with the same request_id tells.
        """
        async with _transaction(self.engine) as tx:
            yield tx

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[AsyncConnection]:
        """A short transaction of its own beside the one the caller is in, for what it then uses there.

        On a connection kept for it: callers who hold one of the pool's and wait for a second wait for each other.
        Raises as `transaction` does.
        """
        async with _transaction(self._aside) as tx:
            yield tx

    async def in_transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Runs `work` in a transaction, again after a lost race, RACE_ATTEMPTS times at the most."""
        for attempt in range(1, RACE_ATTEMPTS):
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except LostRaceError:
                await asyncio.sleep(RACE_BACKOFF_SECONDS * attempt * random.random())  # noqa: S311
        async with self.transaction() as tx:
            return await work(tx)

    @asynccontextmanager
    async def hot(self) -> AsyncIterator["HotConnection"]:
        """One of the pool's connections, kept over any number of hot transactions."""
        async with _translated(), self.engine.connect() as connection:
            yield await HotConnection.of(connection)

    async def close(self) -> None:
        """Closes all connections."""
        await self.engine.dispose()
        await self._aside.dispose()


def _engine(url: str, options: str, *, connections: int) -> AsyncEngine:
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_SECONDS,
        pool_recycle=1800,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "options": options,
            "prepare_threshold": 2,
            "keepalives_idle": 30,
            "target_session_attrs": "read-write",
        },
    )
    _ping_idle_connections(engine)
    for rollback in ("rollback", "rollback_savepoint"):
        event.listen(engine.sync_engine, rollback, _forget_prepared)
    return engine


def _ping_idle_connections(engine: AsyncEngine) -> None:
    """Tries a connection that was idle before it is used; SQLAlchemy's own pre-ping does so at every use."""
    pool, dialect = engine.sync_engine.pool, engine.dialect

    def went_idle(_: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    def comes_back(connection: Any, record: Any, _: Any) -> None:
        idle_since = record.info.get("idle_since")
        if idle_since is None or time.monotonic() - idle_since < TRUST_IDLE_SECONDS:
            return
        try:
            dialect.do_ping(connection)
        except psycopg.Error as error:
            raise DisconnectionError from error

    event.listen(pool, "checkin", went_idle)
    event.listen(pool, "checkout", comes_back)


def _forget_prepared(connection: Connection, *_: object) -> None:
    """At a rollback, also to a savepoint, psycopg deallocates all that is prepared, if any of it is its own."""
    driver: Any = None if connection.invalidated else connection.connection.driver_connection
    if driver:
        _prepared.pop(driver.pgconn, None)


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with _translated(), engine.begin() as tx:
        yield tx


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (DBAPIError, InterfaceError, PoolTimeoutError, psycopg.Error) as error:
        raise translate(error) from error


async def be_patient(tx: AsyncConnection, *, seconds: int) -> None:
    """Lets each statement of this transaction run, and wait for locks, that long."""
    await tx.execute(
        text(
            "SELECT set_config('statement_timeout', :wait, true), set_config('lock_timeout', :wait, true)"
        ),
        {"wait": f"{seconds}s"},
    )


class HotStatement:
    """A statement of the hot path: prepared once a connection, parameters and results without psycopg's cursors.

    Parameters are text as PostgreSQL writes it, positional as $1, $2 …; results are rows of Python values.
    """

    def __init__(self, sql: str) -> None:
        self.sql = sql.encode()
        self.name = b"hot_%x" % (zlib.crc32(self.sql))


Command = tuple[HotStatement, Sequence[str]]
"""A hot statement and its parameters."""


def columns(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """The columns of rows, each as an array literal: what `unnest` makes rows of again."""
    return [array(column) for column in zip(*rows, strict=True)]


def array(values: Sequence[Any]) -> str:
    """An array literal of PostgreSQL, of one type: integers, texts, UUIDs or bytes, and None for NULL.

    psycopg's own lists cost ten times as much, half of the whole scan.
    """
    first = next((value for value in values if value is not None), None)
    literal: Callable[[Any], str] = _quoted
    if isinstance(first, int):
        literal = _number if None in values else str
    elif isinstance(first, UUID):
        literal = _hex
    elif isinstance(first, bytes):
        literal = _bytea
    return "{" + ",".join(map(literal, values)) + "}"


def _number(value: int | None) -> str:
    return "NULL" if value is None else str(value)


def _hex(value: UUID | None) -> str:
    return value.hex if value else "NULL"


def _bytea(value: bytes | None) -> str:
    return "NULL" if value is None else '"\\\\x' + value.hex() + '"'


def _quoted(text: str | None) -> str:
    if text is None:
        return "NULL"
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


_BEGIN, _COMMIT = b"BEGIN", b"COMMIT"
_prepared: WeakKeyDictionary[Any, set[bytes]] = WeakKeyDictionary()


class HotConnection:
    """A connection for hot statements: those that are sent together cost one wait.

    psycopg's own pipeline waits once a statement, and SQLAlchemy's transaction several times more, which costs the
    redeem path more than its statements do.
    """

    def __init__(self, pg: psycopg.AsyncConnection[Any]) -> None:
        self._pg = pg

    @classmethod
    async def of(cls, connection: AsyncConnection) -> Self:
        """The same connection, also in the middle of a transaction."""
        pg = (await connection.get_raw_connection()).driver_connection
        assert isinstance(pg, psycopg.AsyncConnection)
        return cls(pg)

    @property
    def is_lost(self) -> bool:
        """Whether it is closed: take another."""
        return self._pg.closed

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Rolls back what was not committed by `round_trip` when the block ends in an exception.

        Raises as `Database.transaction` does.
        """
        async with _translated():
            try:
                yield
            except BaseException:
                if not self._pg.closed:
                    _prepared.pop(
                        self._pg.pgconn, None
                    )  # a rollback may deallocate what is prepared
                    await self._pg.rollback()
                raise

    async def round_trip(
        self, statements: Sequence[Command], *, commit: bool = False, alone: bool = False
    ) -> list[list[tuple[Any, ...]]]:
        """Runs the statements one after the other in the transaction, which begins with the first.

        With `commit` it ends with the last; `alone` is a single one that reads, and needs neither begin nor end. Gives
        the rows of each. Raises the driver's errors.
        """
        pgconn = self._pg.pgconn
        prepared = _prepared.setdefault(pgconn, set())
        commands: list[Callable[[], None]] = []
        if not alone and pgconn.transaction_status == pq.TransactionStatus.IDLE:
            commands.append(partial(pgconn.send_query_params, _BEGIN, None))
        fresh = {s.name: s.sql for s, _ in statements if s.name not in prepared}
        before = len(commands)
        for name, sql in fresh.items():
            commands.append(partial(pgconn.send_close_prepared, name))  # it may be there after all
            commands.append(partial(pgconn.send_prepare, name, sql))
        extra = len(commands)
        for statement, parameters in statements:
            encoded = [parameter.encode() for parameter in parameters]
            send = partial(pgconn.send_query_prepared, statement.name, encoded, result_format=1)
            commands.append(send)
        if commit:
            commands.append(partial(pgconn.send_query_params, _COMMIT, None))
        commands.append(pgconn.pipeline_sync)
        try:
            pgconn.enter_pipeline_mode()
            answers = await self._pg.wait(_exchange(pgconn, commands))
            pgconn.exit_pipeline_mode()
        except BaseException:
            await (
                self._pg.close()
            )  # half-read answers must not meet the next user of the connection
            raise
        results = [answer[-1] for answer in answers if answer]
        # what is prepared stays so, even if a statement behind it fails
        for name, result in zip(fresh, results[before + 1 : extra : 2], strict=True):
            if result.status == pq.ExecStatus.COMMAND_OK:
                prepared.add(name)
        for result in results:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise error_from_result(result)
        return [_rows(self._pg, result) for result in results[extra : extra + len(statements)]]


async def round_trip(
    tx: AsyncConnection, statements: Sequence[Command]
) -> list[list[tuple[Any, ...]]]:
    """`HotConnection.round_trip` in the middle of a transaction of `Database`."""
    hot = await HotConnection.of(tx)
    try:
        return await hot.round_trip(statements)
    except BaseException:
        if hot.is_lost:
            await tx.invalidate()  # or the rollback would fail, and hide what happened
        raise


def _exchange(
    pgconn: pq.abc.PGconn, commands: list[Callable[[], None]]
) -> PQGen[list[list[pq.abc.PGresult]]]:
    for command in commands:
        command()
    yield from generators.send(pgconn)
    answers = []
    for _ in commands:
        answers.append((yield from generators.fetch_many(pgconn)))
    return answers


def _rows(pg: psycopg.AsyncConnection[Any], result: Any) -> list[tuple[Any, ...]]:
    if not result.ntuples:
        return []
    transformer = Transformer(pg)
    transformer.set_pgresult(result)
    return transformer.load_rows(0, result.ntuples, tuple)


def translate(error: BaseException) -> BaseException:
    """The DomainError for a driver's error, or the error itself if it is a fault of ours."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, pg_errors.UniqueViolation) or (
        isinstance(cause, pg_errors.CheckViolation) and cause.diag.constraint_name in RACE_CHECKS
    ):
        return LostRaceError(cause.diag.constraint_name)
    if isinstance(
        cause,
        pg_errors.DeadlockDetected | pg_errors.SerializationFailure | pg_errors.LockNotAvailable,
    ):
        return LostRaceError()
    unreachable = isinstance(error, PoolTimeoutError) or isinstance(
        cause, psycopg.OperationalError | psycopg.InterfaceError
    )
    if unreachable:
        return DomainError(
            Reason.DATABASE_UNAVAILABLE,
            "the database did not answer; repeat the call with the same request_id",
            retry_seconds=1.0,
        )
    return error
