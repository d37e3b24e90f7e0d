"""Prepared statements, many in one round trip: how `statements.py` sends its commands."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol, Self
from weakref import WeakKeyDictionary

import psycopg
from psycopg import generators, pq
from psycopg.abc import PQGen
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.connection import DriverConnection as PgConnection
from server.platform.driver_errors import DRIVER_ERRORS, is_useless, translate


def forget_prepared(connection: Connection, *_: object) -> None:
    """At a rollback, also to a savepoint, psycopg deallocates all that is prepared, if any of it
    is its own.
    """
    driver: Any = None if connection.invalidated else connection.connection.driver_connection
    if driver:
        _prepared.pop(driver.pgconn, None)


class Prepared(Protocol):
    """A statement as the wire needs it: its name on the connection, and whom its commit calls."""

    name: bytes
    sql: bytes
    notifies: str


Sent = tuple[Prepared, Sequence[bytes | None]]
"""A statement and its parameters, as PostgreSQL writes them."""


_BEGIN, _COMMIT = b"BEGIN", b"COMMIT"


_prepared: WeakKeyDictionary[Any, set[bytes]] = WeakKeyDictionary()


class PipelineConnection:
    """A connection for prepared statements: those that are sent together cost one wait.

    psycopg's own pipeline waits once a statement, and SQLAlchemy's transaction several times more,
    which costs the redeem path more than its statements do.
    """

    def __init__(self, pg: PgConnection) -> None:
        self._pg = pg
        self._is_committing = False
        self._is_autocommit = False
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
        _prepared.pop(self._pg.pgconn, None)  # a rollback may deallocate what is prepared
        with contextlib.suppress(
            psycopg.Error
        ):  # then it is closed, and what happened first is reported
            await self._pg.rollback()

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
        pgconn = self._pg.pgconn
        prepared = _prepared.setdefault(pgconn, set())
        commands: list[Callable[[], None]] = []
        if not self._is_autocommit and pgconn.transaction_status == pq.TransactionStatus.IDLE:
            commands.append(partial(pgconn.send_query_params, _BEGIN, None))
        fresh = {s.name: s.sql for s, _ in statements if s.name not in prepared}
        before = len(commands)
        for name, sql in fresh.items():
            commands.append(partial(pgconn.send_close_prepared, name))  # it may be there after all
            commands.append(partial(pgconn.send_prepare, name, sql))
        extra = len(commands)
        self._pg.notify(statement.notifies for statement, _ in statements)
        for statement, parameters in statements:
            send = partial(pgconn.send_query_prepared, statement.name, parameters, result_format=1)
            commands.append(send)
        if commit:
            commands.append(partial(pgconn.send_query_params, _COMMIT, None))
        commands.append(pgconn.pipeline_sync)
        answers = await self._pipelined(commands, commit=commit)
        results = [answer[-1] for answer in answers if answer]
        # what is prepared stays so, even if a statement after it fails
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
