"""One leader among the processes: whoever holds an advisory lock of the database.

The lock is that of a session, on a connection which does nothing else. It is free when that
connection ends: at once when its process is killed; and within SESSION_IDLE_SECONDS when nothing
comes over it any more, since the network is cut or the process frozen: then the database itself
ends the session. The leader speaks over it every LOOK_SECONDS, and who hears no answer within
ANSWER_SECONDS is no leader any more, which is before the database gives the lock to another. So
there is a leader again within ten seconds, whatever happened to the last.

A process that was frozen and goes on may for a moment think it is the leader still. Therefore what
leaders do must be safe when two do it: jobs are (schedule.py).
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import psycopg
import structlog

from server.platform.connection import DriverConnection
from server.platform.database import Database
from server.platform.loops import Loops, Polling
from server.platform.metrics import JOB_LEADER

LOOK_SECONDS = 1.5
"""How often the leader speaks and each other process tries to become it; up to JITTER_SECONDS
more, so that they take turns.
"""
JITTER_SECONDS = 0.5
ANSWER_SECONDS = 2.0
SESSION_IDLE_SECONDS = 5
LOCK = 0x44545403, 0
"""The advisory lock; any numbers that nobody else uses."""

log = structlog.get_logger()


class Leadership:
    """Whether this process leads, from `start` to `stop`.

    Attributes:
        paused: the names of the jobs that are paused, as of the last look.
    """

    def __init__(
        self, db: Database, loops: Loops, on_change: Callable[[bool], None] = lambda _: None
    ) -> None:
        self._db = db
        self._on_change = on_change
        self._connection: DriverConnection | None = None
        self._has_lock = False
        self._spoke = 0.0
        self.paused: frozenset[str] = frozenset()
        self._loop = loops.add(
            "job-leader",
            Polling(
                self._look,
                LOOK_SECONDS,
                jitter_seconds=JITTER_SECONDS,
                at_once=True,
                timeout_seconds=SESSION_IDLE_SECONDS,
                tolerated=(Exception,),  # one look that fails must not be the last
            ),
        )

    @property
    def is_leader(self) -> bool:
        """Whether this process has the lock, and the database said so a moment ago."""
        return self._has_lock and time.monotonic() - self._spoke < SESSION_IDLE_SECONDS

    def start(self) -> None:
        """Begins to look, at once."""
        self._loop.start()

    async def stop(self) -> None:
        """Gives up the lock: another may lead within LOOK_SECONDS."""
        await self._loop.end(within_seconds=ANSWER_SECONDS)
        await self._resign()

    async def _look(self) -> None:
        spoke = time.monotonic()
        try:
            connection = self._connection or await self._connect()
            async with asyncio.timeout(ANSWER_SECONDS):
                if not self._has_lock:
                    held = await connection.execute("SELECT pg_try_advisory_lock(%s, %s)", LOCK)
                    row = await held.fetchone()
                    self._set_leader(has_lock=bool(row and row[0]))
                found = await connection.execute(
                    "SELECT job_name FROM job_runs WHERE paused_time IS NOT NULL"
                )
                self.paused = frozenset(name for (name,) in await found.fetchall())
        except BaseException:
            await self._resign()
            raise
        self._spoke = spoke

    async def _connect(self) -> DriverConnection:
        connection = self._connection = await self._db.connect()
        connection.answer_seconds = ANSWER_SECONDS
        await connection.execute(f"SET idle_session_timeout = '{SESSION_IDLE_SECONDS}s'")
        return connection

    async def _resign(self) -> None:
        """First it leads no more, then the lock is free."""
        self._set_leader(has_lock=False)
        connection, self._connection = self._connection, None
        if connection:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()

    def _set_leader(self, *, has_lock: bool) -> None:
        self._spoke = time.monotonic()
        if has_lock != self._has_lock:
            self._has_lock = has_lock
            JOB_LEADER.set(1 if has_lock else 0)
            log.info("jobs.leading" if has_lock else "jobs.not_leading_any_more")
            self._on_change(has_lock)
