"""Prepared statements, many in one round trip: how `statements.py` sends its commands."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, Self

import psycopg
from psycopg import abc, postgres, pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.connection import CANCEL_SECONDS
from server.platform.connection import DriverConnection as PgConnection
from server.platform.driver_errors import DRIVER_ERRORS, is_useless, translate


def forget_prepared(connection: Connection, *_: object) -> None:
    """At a rollback, also to a savepoint, psycopg deallocates all that is prepared, if any of it
    is its own.
    """
    driver: Any = None if connection.invalidated else connection.connection.driver_connection
    if driver:
        driver.prepared.clear()


class Prepared(Protocol):
    """A statement as the wire needs it: its name on the connection, and whom its commit calls."""

    name: bytes
    sql: bytes
    notifies: str


Sent = tuple[Prepared, Sequence[bytes | None]]
"""A statement and its parameters, as PostgreSQL writes them."""


_BEGIN, _COMMIT, _ROLLBACK = b"BEGIN", b"COMMIT", b"ROLLBACK"
_IDLE = pq.TransactionStatus.IDLE


def _nothing(_: pq.abc.PGconn) -> None: ...


def _roll_back(pgconn: pq.abc.PGconn) -> None:
    pgconn.send_query_params(_ROLLBACK, None)


class PipelineConnection:
    """A connection for prepared statements: those that are sent together cost one wait.

    psycopg's own pipeline waits once a statement, and SQLAlchemy's transaction several times more,
    which costs the redeem path more than its statements do.
    """

    def __init__(self, pg: PgConnection) -> None:
        self._pg = pg
        self._is_committing = False
        self._is_autocommit = False
        self._is_left = False
        self._attached: list[tuple[Sent, Callable[[list[tuple[Any, ...]]], None]]] = []

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

    @property
    def is_left(self) -> bool:
        """Whether it is closed because nobody waited for its answer any more."""
        return self._is_left

    @property
    def is_abandoned(self) -> bool:
        """Whether another server has taken its server's place: take another connection."""
        return self._pg.is_abandoned

    async def answers(self, *, seconds: float) -> bool:
        """Whether the server answers in time; if not, the connection is closed."""
        try:
            await self._run(_nothing, seconds=seconds)
        except psycopg.Error:
            return False
        return True

    async def reset(self) -> None:
        """Rolls back what was begun and not committed. Never raises."""
        self._attached = []
        await self._roll_back()

    async def close(self) -> None:
        """Closes it. Never raises."""
        await self._pg.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Rolls back what was not committed by `round_trip` when the block ends in an exception.

        Raises as `Database.transaction` does.
        """
        self._is_committing = False
        self._attached = []
        try:
            try:
                yield
            except BaseException as error:
                await self._rollback(error)
                raise
        except DRIVER_ERRORS as error:
            raise translate(error, is_committing=self._is_committing) from error

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[None]:
        """For reading: each round trip is a transaction of its own, without a begin and an end.

        Raises as `Database.transaction` does.
        """
        self._is_autocommit = True
        try:
            async with self.transaction():
                yield
        finally:
            self._is_autocommit = False

    def attach(self, sent: Sent, on_rows: Callable[[list[tuple[Any, ...]]], None]) -> None:
        """Has a statement sent after those of the next round trip, and `on_rows` called with its
        rows.
        """
        self._attached.append((sent, on_rows))

    async def _rollback(self, error: BaseException) -> None:
        if self._pg.closed:
            return
        if is_useless(error):
            await self._pg.close()
            return
        await self._roll_back()

    async def _roll_back(self) -> None:
        self._pg.drop_notified()
        if not self._pg.closed and self._pg.pgconn.transaction_status != _IDLE:
            # if it fails the connection is closed, and what happened first is reported
            with contextlib.suppress(psycopg.Error):
                await self._run(_roll_back, seconds=self._pg.answer_seconds)

    async def round_trip(
        self, statements: Sequence[Sent], *, commit: bool = False
    ) -> list[list[tuple[Any, ...]]]:
        """Runs the statements one after the other in the transaction, which begins with the first.

        With `commit` it ends with the last. Gives the rows of each. Raises the driver's errors.
        """
        attached, self._attached = self._attached, []
        wanted = len(statements)
        statements = [*statements, *[sent for sent, _ in attached]]
        if not statements and not commit:
            return []
        results = await self._send(statements, commit=commit)
        for (_, on_rows), rows in zip(attached, results[wanted:], strict=True):
            on_rows(rows)
        return results[:wanted]

    async def _send(
        self, statements: Sequence[Sent], *, commit: bool
    ) -> list[list[tuple[Any, ...]]]:
        pg, prepared = self._pg, self._pg.prepared
        # What is sent in one round trip is one transaction by itself, unless one has begun.
        is_begun = pg.pgconn.transaction_status != _IDLE
        begins = not (is_begun or commit or self._is_autocommit)
        fresh = {s.name: s.sql for s, _ in statements if s.name not in prepared}
        pg.notify(statement.notifies for statement, _ in statements)

        def queue(pgconn: pq.abc.PGconn) -> None:
            if begins:
                pgconn.send_query_params(_BEGIN, None)
            for name, sql in fresh.items():
                pgconn.send_close_prepared(name)  # it may be there after all
                pgconn.send_prepare(name, sql)
            for statement, parameters in statements:
                pgconn.send_query_prepared(statement.name, parameters, None, pq.Format.BINARY)
            if commit and is_begun:
                pgconn.send_query_params(_COMMIT, None)

        self._is_committing = pg.is_committing = commit
        try:
            results = await self._run(queue, seconds=pg.answer_seconds)
        finally:
            pg.is_committing = False
        first = begins + 2 * len(fresh)
        # what is prepared stays so, even if a statement after it fails
        for name, result in zip(fresh, results[begins + 1 : first : 2], strict=False):
            if result.status == pq.ExecStatus.COMMAND_OK:
                prepared[name] = None
        failed = next((r for r in results if r.status == pq.ExecStatus.FATAL_ERROR), None)
        if failed:
            raise error_from_result(failed)
        if commit:
            pg.committed()
        answers = results[first : first + len(statements)]
        return [_rows(prepared, s.name, r) for (s, _), r in zip(statements, answers, strict=True)]

    async def _run(
        self, queue: Callable[[pq.abc.PGconn], None], *, seconds: float
    ) -> list[pq.abc.PGresult]:
        round_trips = self._pg.round_trips
        try:
            round_trips.begin()
            queue(self._pg.pgconn)
            self._pg.pgconn.pipeline_sync()
            return await round_trips.run(seconds=seconds)
        except BaseException as error:
            # half-read answers must not meet the next user of the connection
            await self._leave(error)
            raise

    async def _leave(self, error: BaseException) -> None:
        try:
            # what is under way is cancelled, so that it holds no locks; but never a commit
            self._is_left = not isinstance(error, psycopg.Error)
            if isinstance(error, asyncio.CancelledError) and not self._pg.is_committing:
                await self._pg.cancel_safe(timeout=CANCEL_SECONDS)
        except psycopg.Error:
            pass  # it ends when it finds its connection closed
        finally:
            await self._pg.close()


def _rows(
    prepared: dict[bytes, abc.Transformer | None], name: bytes, result: pq.abc.PGresult
) -> list[tuple[Any, ...]]:
    if not result.ntuples:
        return []
    loading = prepared[name]
    if loading is None:
        # without the connection, whose time zone is UTC, and which would never be freed
        loading = prepared[name] = Transformer(postgres.adapters)
        loading.set_pgresult(result)
    else:  # by the loaders found the first time: a prepared statement's columns stay the same
        loading.set_pgresult(result, set_loaders=False)
    rows = loading.load_rows(0, result.ntuples, tuple)
    loading.set_pgresult(None, set_loaders=False)
    return rows
