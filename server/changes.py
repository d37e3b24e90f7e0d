"""Configuration that changes: every process sees a change within a second, without asking for every call.

One row counts the changes. Whoever changes configuration counts it up in the same transaction (`bump`); every process
reads the count a few times a second (`ChangeFeed`) and trusts what it remembers only under the count it was loaded
under, and only while the reading works. Polling, not LISTEN: a lost notification cannot be noticed, a failed poll can.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import structlog
from sqlalchemy import BigInteger, Column, SmallInteger, Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.db import Database, metadata
from server.errors import DomainError

POLL_SECONDS = 0.3
TRUST_SECONDS = 0.9
"""Nothing remembered is used when the last good poll began longer ago than this."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

log = structlog.get_logger()

config_version = Table(
    "config_version",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)


async def bump(tx: AsyncConnection) -> None:
    """Counts a change of configuration; every process forgets what it remembers within a second of the commit."""
    await tx.execute(update(config_version).values(version=config_version.c.version + 1))


class ChangeFeed:
    """The count of changes as this process last read it."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._version = -1
        self._read_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def version(self) -> int | None:
        """The count to load and trust under; None while it is not known well enough to remember anything."""
        return self._version if time.monotonic() - self._read_at < TRUST_SECONDS else None

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls `listener` whenever the count has changed."""
        self._listeners.append(listener)

    async def poll(self) -> None:
        """Reads the count once. Raises DATABASE_UNAVAILABLE."""
        began = time.monotonic()
        async with self._db.transaction() as tx:
            version = (await tx.execute(select(config_version.c.version))).scalar_one()
        if began < self._read_at:
            return  # another poll, begun later, has been quicker
        changed = version != self._version
        self._version, self._read_at = version, began
        if changed:
            for listener in self._listeners:
                listener()

    async def refresh(self) -> int | None:
        """The count, which is read if it is not known; once for all who ask meanwhile. Raises DATABASE_UNAVAILABLE."""
        if self.version is None:
            if self._refreshing is None or self._refreshing.done():
                self._refreshing = asyncio.create_task(self.poll(), name="change-feed-refresh")
            await asyncio.shield(self._refreshing)
        return self.version

    async def start(self) -> None:
        """Reads the count and keeps reading it."""
        await self.poll()
        self._task = asyncio.create_task(self._run(), name="change-feed")

    async def stop(self) -> None:
        """Stops reading."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                # not wait_for, which up to Python 3.11 forgets a cancellation that comes with the result
                async with asyncio.timeout(TRUST_SECONDS):
                    await self.poll()
            except (DomainError, TimeoutError) as error:
                log.warning("change_feed.poll_failed", error=str(error) or "timeout")


class Remembered(Generic[K, V]):
    """What `load(key)` gave, remembered until configuration changes; bounded, and loaded once for all who wait."""

    def __init__(
        self, feed: ChangeFeed, load: Callable[[K], Awaitable[V]], *, most: int = 10_000
    ) -> None:
        self._feed = feed
        self._load = load
        self._most = most
        self._values: dict[K, tuple[int, V]] = {}
        self._loading: dict[tuple[K, int], asyncio.Future[V]] = {}

    def peek(self, key: K) -> V | None:
        """The remembered value if it may be trusted now."""
        entry = self._values.get(key)
        return entry[1] if entry is not None and entry[0] == self._feed.version else None

    async def get(self, key: K) -> V:
        """The value, loaded if it is not remembered. Exceptions of `load` are not remembered."""
        # a busy server polls late: each of its calls must not load all anew, which makes it busier still
        version = await self._feed.refresh()
        if version is None:
            return await self._load(key)
        entry = self._values.get(key)
        if entry is not None and entry[0] == version:
            return entry[1]
        loading = self._loading.get((key, version))
        if loading is None:
            loading = asyncio.ensure_future(self._load(key))
            self._loading[key, version] = loading
            loading.add_done_callback(lambda done: self._loaded(key, version, done))
        return await asyncio.shield(loading)

    def _loaded(self, key: K, version: int, done: asyncio.Future[V]) -> None:
        del self._loading[key, version]
        if done.cancelled() or done.exception() is not None:
            return
        if len(self._values) >= self._most:
            self._values.clear()
        self._values[key] = (version, done.result())
