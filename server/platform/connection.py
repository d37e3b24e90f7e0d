"""Connections to PostgreSQL that never wait for ever: every round trip has a deadline on our side.

The server's own statement time-out does not end a wait for a server that is frozen or unreachable.
So each wait on the socket ends after the statement time-out and a margin; then the connection is
closed, since its answer may still come.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import psycopg
from psycopg import pq, waiting
from psycopg.abc import PQGen, Transformer

from server.platform.round_trips import NoAnswerError, RoundTrips, is_readable

MARGIN_SECONDS = 1.0
"""A round trip may take this much longer than the server's time-out of a statement."""
CANCEL_SECONDS = 1.0
"""So long we try to have a statement cancelled that nobody waits for any more, before we close
its connection.
"""
CHECK_SECONDS = 0.1
IDLE_CHECK_SECONDS = 1.0
"""As CHECK_SECONDS, of a connection that waits for notifications only."""
UNCONFIRMED_COMMIT = "01000"
"""SQLSTATE of the warning with which a COMMIT stops waiting for its standby: it has happened
here only.
"""

RV = TypeVar("RV")


class UnconfirmedCommitError(psycopg.OperationalError):
    """A commit was not confirmed by the standby that must: a failover may undo it."""


class Notifications:
    """Whom in this process a commit calls that notifies a channel; see `Connection.notify`."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Callable[[], None]]] = {}

    def listen(self, channel: str, listener: Callable[[], None]) -> None:
        """Has `listener` called after each commit of this process that notifies the channel.

        It must neither wait nor raise. Of what other processes commit it does not hear.
        """
        self._listeners.setdefault(channel, []).append(listener)

    def unlisten(self, channel: str, listener: Callable[[], None]) -> None:
        """Ends `listen`, if it was called."""
        listeners = self._listeners.get(channel, [])
        if listener in listeners:
            listeners.remove(listener)

    def deliver(self, channel: str) -> None:
        """Calls the channel's listeners."""
        for listener in [*self._listeners.get(channel, ())]:
            listener()


class DriverConnection(psycopg.AsyncConnection[Any]):
    """A connection whose round trips have a deadline.

    Attributes:
        answer_seconds: how long one round trip may take.
        notifications: what `notify` reaches.
        is_committing: whether a COMMIT is under way. It is never cancelled: what a cancelled
            one has done is seen by others before the standby has it.
        round_trips: those of prepared statements.
        prepared: the statements that are prepared on it, by name, with what reads their rows.
    """

    answer_seconds: float = 10.0 + MARGIN_SECONDS
    is_committing = False
    notifications = Notifications()  # nobody listens until `Database` sets its own
    _is_abandoned = False
    _is_unconfirmed = False
    _notified: frozenset[str] = frozenset()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.round_trips = RoundTrips(self.pgconn)
        self.prepared: dict[bytes, Transformer | None] = {}

    async def close(self) -> None:
        """As the driver's."""
        self.round_trips.close()
        await super().close()

    @property
    def server(self) -> tuple[str, str]:
        """Host and port it is connected to."""
        with contextlib.suppress(psycopg.Error):
            return self.info.host, str(self.info.port)
        return "", ""

    def watch_commits(self) -> None:
        """Listens for the warning that a commit was not confirmed."""
        self.add_notice_handler(self._hear)

    def _hear(self, notice: psycopg.errors.Diagnostic) -> None:
        if self.is_committing and notice.sqlstate == UNCONFIRMED_COMMIT:
            self._is_unconfirmed = True

    def abandon(self) -> None:
        """Ends the round trip under way within CHECK_SECONDS: another server has taken this
        one's place.
        """
        self._is_abandoned = True
        self.round_trips.end()

    @property
    def is_abandoned(self) -> bool:
        """Whether it must not be used any more."""
        return self._is_abandoned

    async def commit(self) -> None:
        """As the driver's. Raises UnconfirmedCommitError too."""
        self.is_committing = True
        try:
            await super().commit()
        finally:
            self.is_committing = False
        self.committed()

    async def rollback(self) -> None:
        """As the driver's; what the transaction notified is dropped."""
        self.drop_notified()
        await super().rollback()

    def drop_notified(self) -> None:
        """Forgets what the transaction notified: it is rolled back."""
        self._notified = frozenset()

    def notify(self, channels: Iterable[str]) -> None:
        """Calls the channels' listeners in this process, once, when the transaction is committed.

        As NOTIFY does it for other processes, but without the database. A rollback drops it, one
        to a savepoint does not.
        """
        self._notified |= {channel for channel in channels if channel}

    def committed(self) -> None:
        """To be called after each commit: notifies. Raises UnconfirmedCommitError."""
        channels, self._notified = self._notified, frozenset()
        for channel in channels:
            self.notifications.deliver(channel)
        if self._is_unconfirmed:
            self._is_unconfirmed = False
            raise UnconfirmedCommitError("the standby did not confirm the commit")

    async def wait(
        self,
        gen: PQGen[RV],
        interval: float = CHECK_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109 - the driver's signature
    ) -> RV:
        """As the driver's, which waits for every answer here; raises NoAnswerError."""
        fileno = self.pgconn.socket
        bounded = self._bounded(gen, fileno)
        if timeout is not None:  # for notifications, as long as none comes
            interval = IDLE_CHECK_SECONDS
        try:
            return await waiting.wait_async(bounded, fileno, interval, timeout)
        except NoAnswerError:
            self.pgconn.finish()
            raise
        except asyncio.CancelledError:
            if self.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:
                await self._give_up(gen, fileno)
            raise

    def _bounded(self, gen: PQGen[RV], fileno: int) -> PQGen[RV]:
        deadline = time.monotonic() + self.answer_seconds
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                is_over = self._is_abandoned or time.monotonic() > deadline
                # after a stall of the event loop the answer may be there, and only unread
                if not ready and is_over and not is_readable(fileno):
                    raise NoAnswerError("the database did not answer in time")
                wanted = gen.send(ready)
        except StopIteration as ended:
            result: RV = ended.value
            return result

    async def _give_up(self, gen: PQGen[Any], fileno: int) -> None:
        """Has the statement cancelled, so that it holds no locks; else closes the connection."""
        if not self.is_committing:
            try:
                await self.cancel_safe(timeout=CANCEL_SECONDS)
                await waiting.wait_async(gen, fileno, CHECK_SECONDS, CANCEL_SECONDS)
            except psycopg.errors.QueryCanceled:
                return
            except BaseException as error:
                self.pgconn.finish()
                if not isinstance(error, Exception):
                    raise
            else:
                return
        self.pgconn.finish()
