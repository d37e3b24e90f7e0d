"""The database: engine, transactions, and the drivers' errors in our own words.

`Database.transaction()` is the only thing in the product that commits.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet, WeakValueDictionary

import psycopg
from psycopg import errors as pg_errors
from sqlalchemy import ExceptionContext, MetaData, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from server.platform import postgres_url
from server.platform.config import Settings
from server.platform.connection import MARGIN_SECONDS, Notifications
from server.platform.connection import DriverConnection as PgConnection
from server.platform.driver_errors import (
    DRIVER_ERRORS,
    RETRY_SECONDS,
    LockedError,
    LostRaceError,
    is_useless,
    translate,
)
from server.platform.errors import DomainError, Reason
from server.platform.pipeline import PipelineConnection, forget_prepared
from server.platform.pipeline_pool import PING_SECONDS, TRUST_IDLE_SECONDS, PipelinePool

T = TypeVar("T")

POOL_TIMEOUT_SECONDS = 5
RACE_ATTEMPTS = 4
RACE_BACKOFF_SECONDS = 0.02
PIPELINE_IDLE_MS = 2_000
"""A shared transaction that says nothing for so long is ended by the database: who was paused in it
loses its locks.
"""
PLANS_BY_KEY = (
    "-c plan_cache_mode=force_generic_plan -c jit=off"
    " -c enable_seqscan=off -c enable_bitmapscan=off"
    " -c enable_hashjoin=off -c enable_mergejoin=off"
)
"""How statements of shared transactions are planned: once, and by key. PostgreSQL would plan each
anew for each use of a few keys, which costs more than to run it. And a plan that is kept must not
read a table from end to end because the table was small when it was made. In a URL's `options` one
can say otherwise.
"""
IDLE_MS = 10_000
"""As PIPELINE_IDLE_MS, of all other transactions, which may have to work something out in
between.
"""
KEPT_FOR_READS = 2
"""Connections for ordinary calls that change nothing."""
REPORTS_OF_A_CALLER = 2
"""Lists and reports of one caller that are read at once; others of it wait REPORT_WAIT_SECONDS
for their turn.
"""
REPORT_WAIT_SECONDS = 2.0


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)
"""All tables of all rooms."""


class Database:
    """One process's connections to PostgreSQL, in bounded pools: shared transactions have one that
    nobody else takes from.

    Attributes:
        notifications: whom a commit of this process calls that notifies.
        pipelines: the connections for prepared statements.
    """

    def __init__(self, settings: Settings, url: str) -> None:
        options = (
            f"-c statement_timeout={settings.statement_timeout_ms} -c timezone=UTC"
            " -c lock_timeout={} -c idle_in_transaction_session_timeout={}"
        )
        pipeline = options.format(settings.batch_lock_timeout_ms, PIPELINE_IDLE_MS)
        ordinary = options.format(settings.lock_timeout_ms, IDLE_MS)
        self.url = url
        self._options = ordinary
        self._answer_seconds = settings.statement_timeout_ms / 1000 + MARGIN_SECONDS
        self._primary = "", ""
        self._connections: WeakSet[PgConnection] = WeakSet()
        self.notifications = Notifications()
        self.engine = self._engine(ordinary, connections=settings.database_pool)
        self.pipelines = PipelinePool(
            partial(self._open_pipeline, pipeline), limit=settings.pipeline_connections
        )
        timeout = min(settings.report_timeout_ms, settings.statement_timeout_ms)
        self._reports = self._engine(
            f"{ordinary} -c statement_timeout={timeout}", connections=settings.report_pool
        )
        self.engines = self.engine, self._reports
        self._readers: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._changing = asyncio.Semaphore(max(1, settings.database_pool - KEPT_FOR_READS))
        # What is committed on the pool's connections after it carries the log of these to the disk
        # too.
        self._independent = self._engine(f"{pipeline} -c synchronous_commit=off", connections=1)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A READ COMMITTED transaction: committed at the end of the block, rolled back on any
        exception.

        Raises LostRaceError (nothing was done) and DATABASE_UNAVAILABLE; during the commit the
        latter leaves the outcome unknown, and only a repeat with the same request_id tells.
        """
        async with _transaction(self.engine) as tx:
            yield tx

    @asynccontextmanager
    async def report(self, caller: str) -> AsyncIterator[AsyncConnection]:
        """A transaction for a list or report that `caller` asks for, on connections that nothing
        else needs.

        Raises SERVER_BUSY where too many are read already, of that caller or of all,
        RANGE_TOO_LARGE for one that takes longer than a report may, else as `transaction` does.
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
            ours = _of_a_report(error)
            if ours is error:
                raise
            raise ours from error
        finally:
            turn.release()

    @asynccontextmanager
    async def independent_transaction(self) -> AsyncIterator[AsyncConnection]:
        """A short transaction of its own beside the one the caller is in, for what it then uses
        there.

        On a connection kept for it: callers who hold one of the pool's and wait for a second wait
        for each other. Raises as `transaction` does.
        """
        async with _transaction(self._independent) as tx:
            yield tx

    async def in_transaction(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Runs `work` in a transaction, again after a lost race, at most RACE_ATTEMPTS times.

        Calls that change something never have all connections, so that those that wait for a row
        leave some to others.
        """
        for attempt in range(1, RACE_ATTEMPTS):
            try:
                async with self._changing, self.transaction() as tx:
                    return await work(tx)
            except LostRaceError:
                await asyncio.sleep(RACE_BACKOFF_SECONDS * attempt * random.random())  # noqa: S311
        async with self._changing, self.transaction() as tx:
            return await work(tx)

    def pipeline(self) -> AbstractAsyncContextManager[PipelineConnection]:
        """A connection for prepared statements, for a block with any number of transactions.

        Raises DATABASE_UNAVAILABLE.
        """
        return self.pipelines.lend()

    async def connect(self) -> PgConnection:
        """A connection of its own, outside the pool, in autocommit: to be closed. Raises the
        driver's errors.
        """
        return await self._connect(self._options, autocommit=True)

    def abandon(self, server: tuple[str, str]) -> None:
        """Ends every wait for this server (host and port): it is silent, and another has taken
        its place.
        """
        for connection in self._connections:
            if connection.server == server:
                connection.abandon()

    def abandon_all(self) -> None:
        """Ends every wait: the database does not answer, and nobody can wait any longer."""
        for connection in self._connections:
            connection.abandon()

    async def close(self) -> None:
        """Closes all connections."""
        await self.pipelines.close()
        for engine in (*self.engines, self._independent):
            await engine.dispose()

    async def _connect(
        self, options: str, *, defaults: str = "", autocommit: bool = False
    ) -> PgConnection:
        parameters = postgres_url.parameters(self.url)
        given: dict[str, Any] = {**postgres_url.preferring(parameters, self._primary)}
        given["options"] = f"{defaults} {given.get('options', '')} {options}".strip()
        given |= {"autocommit": autocommit, "prepare_threshold": 2}
        connection = await PgConnection.connect("", **given)
        connection.answer_seconds = self._answer_seconds
        connection.notifications = self.notifications
        connection.watch_commits()
        # first next time, or each connection would wait for a former primary that is frozen
        self._primary = connection.server
        self._connections.add(connection)
        return connection

    async def _open_pipeline(self, options: str) -> PipelineConnection:
        connection = await self._connect(options, defaults=PLANS_BY_KEY)
        connection.round_trips.keep()
        return PipelineConnection(connection)

    def _engine(self, options: str, *, connections: int) -> AsyncEngine:
        engine = create_async_engine(
            "postgresql+psycopg://",  # the dialect; where the database is, the driver knows
            async_creator=partial(self._connect, options),
            pool_size=connections,
            max_overflow=0,
            # of a statement that fails: they are somebody's names and numbers
            hide_parameters=True,
            pool_timeout=POOL_TIMEOUT_SECONDS,
            pool_recycle=1800,
        )
        _ping_idle_connections(engine, self._answer_seconds)
        event.listen(engine.sync_engine, "handle_error", _drop_connection)
        for rollback in ("rollback", "rollback_savepoint"):
            event.listen(engine.sync_engine, rollback, forget_prepared)
        return engine


def _too_many(whose: str) -> DomainError:
    return DomainError(
        Reason.SERVER_BUSY,
        f"lists and reports are read a few at a time, and {whose} being read; repeat the call"
        " later",
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
            "it takes longer to read than a list or report may; narrow the span of time, or name"
            " more filters",
        )
    return error


def _ping_idle_connections(engine: AsyncEngine, answer_seconds: float) -> None:
    """Tries a connection that was idle before it is used; SQLAlchemy's own pre-ping does so at
    every use.
    """
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


def _drop_connection(context: ExceptionContext) -> None:
    """A connection to a server that no longer takes writes is no use any more, nor are the
    pool's others.
    """
    if is_useless(context.original_exception):
        context.is_disconnect = True


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    is_committing = False
    try:
        async with engine.connect() as connection, connection.begin():
            yield connection
            is_committing = True
    except DRIVER_ERRORS as error:
        raise translate(error, is_committing=is_committing) from error


async def set_statement_timeout(tx: AsyncConnection, *, seconds: int) -> None:
    """Lets each statement of this transaction run, and wait for locks, that long; and the
    transaction be idle.
    """
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
    """Lets each statement of this transaction wait for locks that long, instead of what the
    settings say.
    """
    wait = {"wait": f"{round(seconds * 1000)}ms"}
    await tx.execute(text("SELECT set_config('lock_timeout', :wait, true)"), wait)


class Tried:
    """Whether a block of `unless_locked` was done."""

    succeeded = False


@asynccontextmanager
async def unless_locked(tx: AsyncConnection) -> AsyncIterator[Tried]:
    """A block that is undone, and left, if it meets a row that another holds for longer than it
    waits: it does not succeed then. Raises all other errors.
    """
    tried = Tried()
    try:
        async with tx.begin_nested():
            yield tried
        tried.succeeded = True
    except DRIVER_ERRORS as error:
        if not isinstance(translate(error, is_committing=False), LockedError):
            raise
