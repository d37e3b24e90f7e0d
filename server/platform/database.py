"""The database: engine, transactions, and the drivers' errors told in our own words.

`Database.transaction()` is the only thing in the product that commits.
"""

import asyncio
import contextlib
import random
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

import psycopg
from psycopg import errors as pg_errors
from psycopg import generators, pq
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from sqlalchemy import Connection, ExceptionContext, MetaData, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from server.platform import postgres_url
from server.platform.config import Settings
from server.platform.connection import MARGIN_SECONDS, Notifications
from server.platform.connection import Connection as PgConnection
from server.platform.errors import DomainError, Reason

T = TypeVar("T")

POOL_TIMEOUT_SECONDS = 5
TRUST_IDLE_SECONDS = 1.0
PING_SECONDS = 2.0
"""So long a connection has to show that it is alive."""
RETRY_SECONDS = 1.0
RACE_ATTEMPTS = 4
RACE_BACKOFF_SECONDS = 0.02
HOT_IDLE_MS = 2_000
"""A hot transaction that says nothing for so long is ended by the database: who was paused in it loses its locks."""
IDLE_MS = 10_000
"""As HOT_IDLE_MS, of all other transactions, which may have something to work out in between."""
KEPT_FOR_READS = 2
"""Connections for ordinary calls that change nothing."""
REPORTS_OF_A_CALLER = 2
"""Lists and reports of one caller that are read at once; others of it wait REPORT_WAIT_SECONDS for their turn."""
REPORT_WAIT_SECONDS = 2.0
RACE_RETRY_SECONDS = 0.1
LOCKED_RETRY_SECONDS = 1.0
RACE_CHECKS = frozenset({"ck_traveller_quotas_limit", "ck_document_journeys_seen"})
"""Check constraints that only a race can violate: what was read before the write said that there is room."""

DRIVER_ERRORS = (DBAPIError, InterfaceError, PoolTimeoutError, psycopg.Error)
INVALID_TRANSACTION_STATE = "25"
"""How the SQLSTATEs begin of a server that takes no writes (25006) or has ended an idle transaction (25P03)."""
SHUT_DOWN = ("57P", "08")
"""And those of a connection or server that ends."""

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
            retry_seconds=RACE_RETRY_SECONDS,
        )
        self.constraint = constraint


class LockedError(LostRaceError):
    """A row that is needed was locked by another transaction for longer than the lock time-out; nothing was done."""

    def __init__(self) -> None:
        super().__init__()
        self.message = "another call holds a row that this one needs; repeat the call"
        self.retry_seconds = LOCKED_RETRY_SECONDS


class Database:
    """One process's connections to PostgreSQL, in bounded pools: the hot paths have one that nobody else takes from.

    Attributes:
        notifications: whom a commit of this process calls that notifies.
    """

    def __init__(self, settings: Settings, url: str) -> None:
        options = (
            f"-c statement_timeout={settings.statement_timeout_ms} -c timezone=UTC"
            " -c lock_timeout={} -c idle_in_transaction_session_timeout={}"
        )
        hot = options.format(settings.hot_lock_timeout_ms, HOT_IDLE_MS)
        ordinary = options.format(settings.lock_timeout_ms, IDLE_MS)
        self._url = url
        self._options = ordinary
        self._answer_seconds = settings.statement_timeout_ms / 1000 + MARGIN_SECONDS
        self._primary = "", ""
        self._connections: WeakSet[PgConnection] = WeakSet()
        self.notifications = Notifications()
        self.engine = self._engine(ordinary, connections=settings.database_pool)
        self.hot_engine = self._engine(hot, connections=settings.hot_connections)
        timeout = min(settings.report_timeout_ms, settings.statement_timeout_ms)
        self._reports = self._engine(
            f"{ordinary} -c statement_timeout={timeout}", connections=settings.report_pool
        )
        self.engines = self.engine, self.hot_engine, self._reports
        self._readers: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._changing = asyncio.Semaphore(max(1, settings.database_pool - KEPT_FOR_READS))
        # What is committed on the pool's connections after it carries the log of these to the disk too.
        self._aside = self._engine(f"{hot} -c synchronous_commit=off", connections=1)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A READ COMMITTED transaction: committed at the end of the block, rolled back on any exception.

        Raises LostRaceError (nothing was done) and DATABASE_UNAVAILABLE; during the commit the latter leaves the
        outcome unknown, and only a repeat with the same request_id tells.
        """
        async with _transaction(self.engine) as tx:
            yield tx

    @asynccontextmanager
    async def report(self, caller: str) -> AsyncIterator[AsyncConnection]:
        """A transaction for a list or report that `caller` asks for, on connections that nothing else needs.

        Raises SERVER_BUSY where too many are read already, of that caller or of all, RANGE_TOO_LARGE for one that takes
        longer than a report may, else as `transaction` does.
        """
        turn = self._readers.setdefault(caller, asyncio.Semaphore(REPORTS_OF_A_CALLER))
        try:
            async with asyncio.timeout(REPORT_WAIT_SECONDS):
                await turn.acquire()
        except TimeoutError:
            raise _too_many(f"{REPORTS_OF_A_CALLER} of yours are") from None
        try:
            async with _transaction(self._reports) as tx:
                yield tx
        except DomainError as error:
            told = _of_a_report(error)
            if told is error:
                raise
            raise told from error
        finally:
            turn.release()

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[AsyncConnection]:
        """A short transaction of its own beside the one the caller is in, for what it then uses there.

        On a connection kept for it: callers who hold one of the pool's and wait for a second wait for each other.
        Raises as `transaction` does.
        """
        async with _transaction(self._aside) as tx:
            yield tx

    async def in_transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Runs `work` in a transaction, again after a lost race, RACE_ATTEMPTS times at the most.

        Calls that change something never have all connections, so that those that wait for a row leave some to others.
        """
        for attempt in range(1, RACE_ATTEMPTS):
            try:
                async with self._changing, self.transaction() as tx:
                    return await work(tx)
            except LostRaceError:
                await asyncio.sleep(RACE_BACKOFF_SECONDS * attempt * random.random())  # noqa: S311
        async with self._changing, self.transaction() as tx:
            return await work(tx)

    @asynccontextmanager
    async def hot(self) -> AsyncIterator["HotConnection"]:
        """One of the hot paths' connections, kept over any number of hot transactions."""
        async with _translated(), self.hot_engine.connect() as connection:
            hot = await HotConnection.of(connection)
            try:
                yield hot
            finally:
                if hot.is_lost:
                    await connection.invalidate()

    async def connect(self) -> PgConnection:
        """A connection of its own, outside the pool, in autocommit: to be closed. Raises the driver's errors."""
        connection = await self._connect(self._options)
        await connection.set_autocommit(True)
        return connection

    def abandon(self, server: tuple[str, str]) -> None:
        """Ends every wait for this server (host and port): it is silent, and another has taken its place."""
        for connection in self._connections:
            if connection.server == server:
                connection.abandon()

    def abandon_all(self) -> None:
        """Ends every wait: the database does not answer, and nobody can wait any longer."""
        for connection in self._connections:
            connection.abandon()

    async def close(self) -> None:
        """Closes all connections."""
        for engine in (*self.engines, self._aside):
            await engine.dispose()

    async def _connect(self, options: str) -> PgConnection:
        parameters = postgres_url.parameters(self._url)
        given: dict[str, Any] = {**postgres_url.preferring(parameters, self._primary)}
        given["options"] = f"{given.get('options', '')} {options}".strip()
        connection = await PgConnection.connect("", prepare_threshold=2, **given)
        connection.answer_seconds = self._answer_seconds
        connection.notifications = self.notifications
        connection.watch_commits()
        # first next time, or each connection would wait for a former primary that is frozen
        self._primary = connection.server
        self._connections.add(connection)
        return connection

    def _engine(self, options: str, *, connections: int) -> AsyncEngine:
        engine = create_async_engine(
            "postgresql+psycopg://",  # the dialect; where the database is, the driver knows
            async_creator=partial(self._connect, options),
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,  # of a statement that fails: they are somebody's names and numbers
            pool_timeout=POOL_TIMEOUT_SECONDS,
            pool_recycle=1800,
        )
        _ping_idle_connections(engine, self._answer_seconds)
        event.listen(engine.sync_engine, "handle_error", _drop_connection)
        for rollback in ("rollback", "rollback_savepoint"):
            event.listen(engine.sync_engine, rollback, _forget_prepared)
        return engine


def _too_many(whose: str) -> DomainError:
    return DomainError(
        Reason.SERVER_BUSY,
        f"lists and reports are read a few at a time, and {whose} being read; repeat the call later",
        retry_seconds=RETRY_SECONDS,
    )


def _of_a_report(error: DomainError) -> DomainError:
    """What an error means where a report is read."""
    cause = error.__cause__
    if isinstance(cause, PoolTimeoutError):
        return _too_many("as many as there may be are")
    if isinstance(cause, DBAPIError) and isinstance(cause.orig, pg_errors.QueryCanceled):
        return DomainError(
            Reason.RANGE_TOO_LARGE,
            "it takes longer to read than a list or report may; narrow the span of time, or name more filters",
        )
    return error


def _ping_idle_connections(engine: AsyncEngine, answer_seconds: float) -> None:
    """Tries a connection that was idle before it is used; SQLAlchemy's own pre-ping does so at every use."""
    pool, dialect = engine.sync_engine.pool, engine.dialect

    def went_idle(connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()
        if connection is not None:
            connection.driver_connection.answer_seconds = answer_seconds

    def comes_back(connection: Any, record: Any, _: Any) -> None:
        driver: PgConnection = connection.driver_connection
        if driver.is_abandoned:
            raise DisconnectionError
        idle_since = record.info.get("idle_since")
        if idle_since is None or time.monotonic() - idle_since < TRUST_IDLE_SECONDS:
            return
        driver.answer_seconds = PING_SECONDS
        try:
            dialect.do_ping(connection)
        except psycopg.Error as error:
            raise DisconnectionError from error
        finally:
            driver.answer_seconds = answer_seconds

    event.listen(pool, "checkin", went_idle)
    event.listen(pool, "checkout", comes_back)


def _forget_prepared(connection: Connection, *_: object) -> None:
    """At a rollback, also to a savepoint, psycopg deallocates all that is prepared, if any of it is its own."""
    driver: Any = None if connection.invalidated else connection.connection.driver_connection
    if driver:
        _prepared.pop(driver.pgconn, None)


def _drop_connection(context: ExceptionContext) -> None:
    """A connection to a server that no longer takes writes is no use any more, nor are the pool's others."""
    if _is_useless(context.original_exception):
        context.is_disconnect = True


def _is_useless(error: BaseException) -> bool:
    """Whether the error says that its connection must not be used again."""
    return _state(error).startswith((INVALID_TRANSACTION_STATE, *SHUT_DOWN))


def _state(error: BaseException | None) -> str:
    """The SQLSTATE; empty if the server has not said one."""
    return (error.sqlstate if isinstance(error, psycopg.Error) else None) or ""


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    is_committing = False
    try:
        async with engine.connect() as connection, connection.begin():
            yield connection
            is_committing = True
    except DRIVER_ERRORS as error:
        raise translate(error, is_committing=is_committing) from error


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translate(error) from error


async def be_patient(tx: AsyncConnection, *, seconds: int) -> None:
    """Lets each statement of this transaction run, and wait for locks, that long; and the transaction be idle."""
    driver = (await tx.get_raw_connection()).driver_connection
    assert isinstance(driver, PgConnection)
    driver.answer_seconds = seconds + MARGIN_SECONDS  # until it goes back to the pool
    names = "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"
    settings = ", ".join(f"set_config('{name}', :wait, true)" for name in names)
    await tx.execute(text(f"SELECT {settings}"), {"wait": f"{seconds}s"})


async def notify(tx: AsyncConnection, channel: str) -> None:
    """Calls the channel's listeners in this process when the transaction is committed."""
    driver = (await tx.get_raw_connection()).driver_connection
    assert isinstance(driver, PgConnection)
    driver.notify([channel])


async def wait_for_locks(tx: AsyncConnection, *, seconds: float) -> None:
    """Lets each statement of this transaction wait for locks that long, instead of what the settings say."""
    wait = {"wait": f"{round(seconds * 1000)}ms"}
    await tx.execute(text("SELECT set_config('lock_timeout', :wait, true)"), wait)


class HotStatement:
    """A statement of the hot path: prepared once a connection, parameters and results without psycopg's cursors.

    Parameters are text as PostgreSQL writes it, positional as $1, $2 …; results are rows of Python values.
    A transaction with a statement that `notifies` a channel calls its listeners after the commit.
    """

    def __init__(self, sql: str, *, notifies: str = "") -> None:
        self.sql = sql.encode()
        self.name = b"hot_%x" % (zlib.crc32(self.sql))
        self.notifies = notifies


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

    def __init__(self, pg: PgConnection) -> None:
        self._pg = pg
        self._is_committing = False

    @classmethod
    async def of(cls, connection: AsyncConnection) -> Self:
        """The same connection, also in the middle of a transaction."""
        pg = (await connection.get_raw_connection()).driver_connection
        assert isinstance(pg, PgConnection)
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
        self._is_committing = False
        try:
            try:
                yield
            except BaseException as error:
                await self._rollback(error)
                raise
        except DRIVER_ERRORS as error:
            raise translate(error, is_committing=self._is_committing) from error

    async def _rollback(self, error: BaseException) -> None:
        if self._pg.closed:
            return
        if _is_useless(error):
            await self._pg.close()
            return
        _prepared.pop(self._pg.pgconn, None)  # a rollback may deallocate what is prepared
        with contextlib.suppress(
            psycopg.Error
        ):  # then it is closed, and what happened first is told
            await self._pg.rollback()

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
        self._pg.notify(statement.notifies for statement, _ in statements)
        for statement, parameters in statements:
            encoded = [parameter.encode() for parameter in parameters]
            send = partial(pgconn.send_query_prepared, statement.name, encoded, result_format=1)
            commands.append(send)
        if commit:
            commands.append(partial(pgconn.send_query_params, _COMMIT, None))
        commands.append(pgconn.pipeline_sync)
        answers = await self._pipelined(commands, commit=commit)
        results = [answer[-1] for answer in answers if answer]
        # what is prepared stays so, even if a statement behind it fails
        for name, result in zip(fresh, results[before + 1 : extra : 2], strict=True):
            if result.status == pq.ExecStatus.COMMAND_OK:
                prepared.add(name)
        failed = next((r for r in results if r.status == pq.ExecStatus.FATAL_ERROR), None)
        if failed:
            raise error_from_result(failed)
        if commit:
            self._pg.committed()
        return [_rows(self._pg, result) for result in results[extra : extra + len(statements)]]

    async def _pipelined(
        self, commands: list[Callable[[], None]], *, commit: bool
    ) -> list[list[pq.abc.PGresult]]:
        pgconn = self._pg.pgconn
        self._is_committing = self._pg.is_committing = commit
        try:
            pgconn.enter_pipeline_mode()
            answers = await self._pg.wait(_exchange(pgconn, commands))
            pgconn.exit_pipeline_mode()
        except BaseException:
            # half-read answers must not meet the next user of the connection
            await self._pg.close()
            raise
        finally:
            self._pg.is_committing = False
        return answers


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


def translate(error: BaseException, *, is_committing: bool = False) -> BaseException:
    """The DomainError for a driver's error, or the error itself if it is a fault of ours.

    `is_committing` says that the transaction may have been committed in spite of it.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, pg_errors.UniqueViolation) or (
        isinstance(cause, pg_errors.CheckViolation) and cause.diag.constraint_name in RACE_CHECKS
    ):
        return LostRaceError(cause.diag.constraint_name)
    if isinstance(cause, pg_errors.LockNotAvailable):
        return LockedError()
    if isinstance(cause, pg_errors.DeadlockDetected | pg_errors.SerializationFailure):
        return LostRaceError()
    is_away = (
        isinstance(error, PoolTimeoutError)
        or isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
        or _state(cause).startswith(INVALID_TRANSACTION_STATE)
    )
    if is_away:
        told = "it is unknown what became of the call" if is_committing else "nothing was done"
        return DomainError(
            Reason.DATABASE_UNAVAILABLE,
            f"the database is not available, {told}; repeat the call with the same request_id",
            retry_seconds=RETRY_SECONDS,
        )
    return error
