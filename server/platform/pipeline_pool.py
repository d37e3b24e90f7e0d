"""Connections for prepared statements, kept open and lent out: the one that was used last first.

SQLAlchemy's pool asks the event loop, its own locks and PostgreSQL for each loan, which costs as
much as several statements.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg

from server.platform.driver_errors import DRIVER_ERRORS, translate
from server.platform.pipeline import PipelineConnection

WAIT_SECONDS = 5.0
"""So long one waits for a connection where all are lent."""
TRUST_IDLE_SECONDS = 1.0
"""One that was idle for longer is asked whether its server is there."""
PING_SECONDS = 2.0
"""So long it has to answer."""
IDLE_SECONDS = 60.0
"""One that nobody needed for so long is closed."""
OLD_SECONDS = 1800.0
"""One this old is replaced, so that what it keeps at the server does not grow for ever."""


class NoConnectionError(psycopg.OperationalError):
    """All connections are lent, and none came back in time."""


@dataclass(slots=True)
class _Kept:
    pipeline: PipelineConnection
    opened: float
    used: float


class PipelinePool:
    """At most `limit` connections, each opened by `connect` when it is needed.

    Attributes:
        lent: how many are in use.
        on_lent: called with 1 when one is lent and with -1 when it comes back.
    """

    def __init__(self, connect: Callable[[], Awaitable[PipelineConnection]], *, limit: int) -> None:
        self.lent = 0
        self.on_lent: Callable[[int], None] = lambda _: None
        self._connect = connect
        self._room = asyncio.Semaphore(limit)
        self._idle: list[_Kept] = []
        self._is_closed = False

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[PipelineConnection]:
        """Lends a connection for a block; what is not committed then is rolled back.

        Raises DATABASE_UNAVAILABLE where none can be had.
        """
        try:
            await self._enter()
            try:
                kept = await self._take()
                self._count(1)
                try:
                    yield kept.pipeline
                finally:
                    self._count(-1)
                    await self._give_back(kept)
            finally:
                self._room.release()
        except DRIVER_ERRORS as error:
            raise translate(error) from error

    async def close(self) -> None:
        """Closes those that are idle now, and the others when they come back."""
        self._is_closed = True
        await self._close_idle()

    def _count(self, change: int) -> None:
        self.lent += change
        self.on_lent(change)

    async def _enter(self) -> None:
        if not self._room.locked():
            await self._room.acquire()
            return
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._room.acquire()
        except TimeoutError:
            raise NoConnectionError("all connections are in use") from None

    async def _take(self) -> _Kept:
        while self._idle:
            kept = self._idle.pop()
            if await self._is_good(kept):
                return kept
            await kept.pipeline.close()
        now = time.monotonic()
        return _Kept(await self._connect(), now, now)

    async def _is_good(self, kept: _Kept) -> bool:
        pipeline, now = kept.pipeline, time.monotonic()
        if pipeline.is_lost or pipeline.is_abandoned or now - kept.opened > OLD_SECONDS:
            return False
        if now - kept.used < TRUST_IDLE_SECONDS or await pipeline.answers(seconds=PING_SECONDS):
            return True
        await self._close_idle()
        return False

    async def _give_back(self, kept: _Kept) -> None:
        await kept.pipeline.reset()
        if kept.pipeline.is_left:
            return
        if kept.pipeline.is_lost:
            # of a server that has gone, or takes no writes any more, the others are no use either
            await self._close_idle()
        elif self._is_closed:
            await kept.pipeline.close()
        else:
            kept.used = time.monotonic()
            self._idle.append(kept)
            while self._idle[0].used < kept.used - IDLE_SECONDS:
                await self._idle.pop(0).pipeline.close()

    async def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        for kept in idle:
            await kept.pipeline.close()
