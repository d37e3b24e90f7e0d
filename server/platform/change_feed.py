"""Configuration that changes: every process sees a change within a second, without asking for every
call.

Whoever changes configuration, or ends a log-in, says so by a row of `change_feed` in the same
transaction (`publish`): of which kind, and of which one of the kind. Rows are only ever added, so
nobody waits for anybody. Every process reads what is new a few times a second (`ChangeFeed`),
drops what it remembers of exactly that, and trusts the rest only while the reading works.
A notification (NOTIFY) has it read at once (`ChangeListener`). Nothing depends on that: one that is
lost, or a connection that is cut without a word, cannot be noticed, a failed poll can.

Rows become visible in the order of commits, not of their numbers. So each carries the number of its
transaction, and a poll reads from the oldest transaction on that was under way at the last poll.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

import structlog
from sqlalchemy import BigInteger, Column, DateTime, Index, Table, Text, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.database import Database, metadata
from server.platform.driver_errors import DRIVER_ERRORS
from server.platform.errors import DomainError
from server.platform.faults import fault_text
from server.platform.loops import Loops, Polling
from server.platform.presence import Presence
from server.platform.statements import Statement, run

CHANNEL = "change_feed"
"""Of notifications; log-ins, which are many, send none: those that commit at once wait for each
other.
"""
CHECK_SECONDS = 5.0
"""How often the connection that listens is looked at, and how long one waits for another."""
POLL_SECONDS = 0.3
TRUST_SECONDS = 0.9
"""Nothing remembered is used when the last good poll began longer ago than this."""
KEPT = timedelta(hours=1)
"""How long rows are kept; longer than any transaction."""
MISSED_SECONDS = 600.0
"""Who has not read for this long drops everything: what it missed may be gone."""
NEVER_READ = 1 << 62
"""Above the number of any transaction."""

log = structlog.get_logger()

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ChangeKind(StrEnum):
    """What can change. The key of a change is the name that administrators know one by."""

    EVERYTHING = "EVERYTHING"
    ACCOUNT = "ACCOUNT"
    CATALOGUE = "CATALOGUE"
    CHANNEL = "CHANNEL"
    LOGIN = "LOGIN"
    """A log-in, by its id: ended, or its session opened for a departure or closed."""
    MERCHANT = "MERCHANT"
    NOTIFICATION_TEMPLATE = "NOTIFICATION_TEMPLATE"
    PARTNER = "PARTNER"
    PARTNER_KEY = "PARTNER_KEY"
    QR_KEY = "QR_KEY"
    TERMINAL = "TERMINAL"
    TRAVELLER = "TRAVELLER"
    VENUE = "VENUE"


class Subject(NamedTuple):
    """What changed: one of a kind by its key, or all of the kind if that is empty."""

    kind: str
    key: str = ""


# DEFAULT VALUES, inserted by hand after a change by hand, make every process drop everything
change_feed = Table(
    "change_feed",
    metadata,
    Column(
        "transaction_id",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        server_default=text("pg_current_xact_id()::text::bigint"),
    ),
    Column("kind", Text, primary_key=True, server_default=ChangeKind.EVERYTHING.value),
    Column("key", Text, primary_key=True, server_default=""),
    Column("create_time", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
Index("ix_change_feed_create_time", change_feed.c.create_time)


class _News(NamedTuple):
    """What the server says of itself, and a change, if `is_change`; else there is none to read."""

    server: datetime
    oldest: int
    is_change: bool
    transaction_id: int
    kind: str
    key: str
    create_time: datetime


_NEWS = Statement(
    """
SELECT now.server, now.oldest, f.kind IS NOT NULL, f.transaction_id, f.kind, f.key, f.create_time
FROM (SELECT pg_postmaster_start_time() AS server,
  pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest) now
LEFT JOIN change_feed f ON f.transaction_id >= $1::bigint
""",
    _News,
)


async def publish(tx: AsyncConnection, kind: ChangeKind, *keys: object) -> None:
    """Says that these of a kind change, or all of it; every process sees it within a second of
    the commit.
    """
    rows = [{"kind": kind.value, "key": str(key)} for key in dict.fromkeys(keys or [""])]
    adding = insert(change_feed).values(rows)
    # the same again in one transaction; or a row restored from another server's dump, which must
    # look new
    await tx.execute(
        adding.on_conflict_do_update(
            index_elements=list(change_feed.primary_key.columns), set_={"create_time": func.now()}
        )
    )
    if kind is not ChangeKind.LOGIN:
        await tx.execute(select(func.pg_notify(CHANNEL, "")))


async def purge(tx: AsyncConnection, *, now: datetime, limit: int) -> int:
    """Removes up to `limit` changes that every process has read; returns how many."""
    key = [*change_feed.primary_key.columns]
    old = select(*key).where(change_feed.c.create_time < now - KEPT).limit(limit).cte("old")
    matches = [column == old.c[column.name] for column in key]
    return (await tx.execute(delete(change_feed).where(*matches))).rowcount


class ChangeFeed:
    """The changes as this process reads them."""

    def __init__(self, db: Database, loops: Loops | None = None) -> None:
        self._db = db
        self._server: Any = None
        self._since = NEVER_READ
        self._seen: set[tuple[Any, ...]] = set()
        self._read_at = float("-inf")
        self._polling = asyncio.Lock()
        self._loop = (loops or Loops()).add(
            "change-feed",
            Polling(
                self.poll,
                POLL_SECONDS,
                timeout_seconds=TRUST_SECONDS,
                tolerated=(DomainError, TimeoutError),
            ),
        )
        self._refreshing: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[Collection[Subject]], None]] = []

    @property
    def is_current(self) -> bool:
        """Whether the last poll is recent enough to trust what is remembered."""
        return time.monotonic() - self._read_at < TRUST_SECONDS

    def on_change(self, listener: Callable[[Collection[Subject]], None]) -> None:
        """Calls `listener` with all that has changed, at each poll that finds something."""
        self._listeners.append(listener)

    async def poll(self) -> None:
        """Reads once what has changed. Raises DATABASE_UNAVAILABLE."""
        async with self._polling:
            began = time.monotonic()
            async with self._db.pipeline() as pipeline, pipeline.autocommit():
                rows = await run(pipeline, _NEWS(self._since))
            self._take(rows, began)

    async def refresh(self) -> bool:
        """Polls unless the last poll is recent, once for all who ask meanwhile; whether it is
        recent now.

        Raises DATABASE_UNAVAILABLE.
        """
        if not self.is_current:
            if self._refreshing is None or self._refreshing.done():
                self._refreshing = asyncio.create_task(self.poll(), name="change-feed-refresh")
                # heard of here too: whoever asked may have left meanwhile
                self._refreshing.add_done_callback(
                    lambda ended: ended.cancelled() or ended.exception()
                )
            await asyncio.shield(self._refreshing)
        return self.is_current

    def wake(self) -> None:
        """Has it read at once: something changed."""
        self._loop.wake()

    async def start(self) -> None:
        """Reads what has changed and keeps reading."""
        await self.poll()
        self._loop.start()

    async def stop(self) -> None:
        """Stops reading."""
        await self._loop.cancel()

    def _take(self, rows: Sequence[_News], began: float) -> None:
        server, oldest = rows[0][:2]
        found = {row[3:] for row in rows if row.is_change}
        # another server, after a failover or restore, numbers its transactions by itself
        lost = server != self._server or oldest < self._since != NEVER_READ
        if lost or began - self._read_at > MISSED_SECONDS:
            changed = {Subject(ChangeKind.EVERYTHING)}
        else:
            changed = {Subject(kind, key) for _, kind, key, _ in found - self._seen}
        self._server, self._since = server, oldest
        self._seen = {row for row in found if row[0] >= oldest}
        self._read_at = began
        if changed:
            for listener in self._listeners:
                listener(changed)


class ChangeListener:
    """Has a process read changes as soon as they are committed, on a connection of its own.

    Without the connection the feed's polls see them, at most POLL_SECONDS later: so it is no fault
    if it breaks, and another is made. It also shows that the process is there.
    """

    def __init__(
        self,
        db: Database,
        feed: ChangeFeed,
        loops: Loops | None = None,
        presence: Presence | None = None,
    ) -> None:
        self._db = db
        self._feed = feed
        self._presence = presence or Presence()
        self._loop = (loops or Loops()).add("change-listener", self._listen)

    def start(self) -> None:
        """Begins to listen."""
        self._loop.start()

    async def stop(self) -> None:
        """Stops."""
        await self._loop.cancel()

    async def _listen(self) -> None:
        while not self._loop.is_ending:
            try:
                await self._hear()
            except (*DRIVER_ERRORS, DomainError, OSError) as error:
                log.info("change_listener.disconnected", error=fault_text(error))
            await asyncio.sleep(CHECK_SECONDS)

    async def _hear(self) -> None:
        """Listens as long as the connection holds."""
        connection = await self._db.connect()
        try:
            await connection.execute(f"LISTEN {CHANNEL}".encode())
            await self._presence.show(connection)
            while True:
                self._feed.wake()
                async for _ in connection.notifies(timeout=CHECK_SECONDS, stop_after=1):
                    pass
                await connection.execute(b"SELECT 1")
        finally:
            self._presence.hide()
            await connection.close()


class Remembered(Generic[K, V]):
    """What `load(key)` gave, remembered until it changes; bounded, and loaded once for all who
    wait.

    `kinds` are what the values are made of. With `subjects`, which says what one value is made of,
    a change of one drops the values made of it; without, and where a change has no key, all are
    dropped.
    """

    def __init__(
        self,
        feed: ChangeFeed,
        load: Callable[[K], Awaitable[V]],
        *,
        kinds: Iterable[ChangeKind],
        subjects: Callable[[V], Iterable[Subject]] | None = None,
        limit: int = 10_000,
    ) -> None:
        self._feed = feed
        self._load = load
        self._kinds = {*kinds, ChangeKind.EVERYTHING}
        self._subjects = subjects
        self._limit = limit
        self._values: dict[K, tuple[V, frozenset[Subject]]] = {}
        self._loading: dict[K, asyncio.Future[V]] = {}
        self._unremembered: dict[K, asyncio.Future[V]] = {}
        feed.on_change(self._forget)

    def peek(self, key: K) -> V | None:
        """The remembered value if it may be trusted now."""
        entry = self._values.get(key)
        return entry[0] if entry is not None and self._feed.is_current else None

    async def get(self, key: K) -> V:
        """The value, loaded if it is not remembered. Exceptions of `load` are not remembered."""
        # a busy server polls late: each of its calls must not load all anew, which makes it busier
        # still
        if not await self._feed.refresh():
            return await asyncio.shield(self._load_unremembered(key))
        entry = self._values.get(key)
        if entry is not None:
            return entry[0]
        loading = self._loading.get(key)
        if loading is None:
            loading = asyncio.ensure_future(self._load(key))
            self._loading[key] = loading
            loading.add_done_callback(lambda done: self._loaded(key, done))
        return await asyncio.shield(loading)

    def _load_unremembered(self, key: K) -> asyncio.Future[V]:
        """The value as it is now, once for all who ask meanwhile: thousands of calls that come
        while the feed is late must not want a connection each.
        """
        loading = self._unremembered.get(key)
        if loading is None:
            loading = self._unremembered[key] = asyncio.ensure_future(self._load(key))
            loading.add_done_callback(lambda done: self._loaded_unremembered(key, done))
        return loading

    def _loaded_unremembered(self, key: K, done: asyncio.Future[V]) -> None:
        del self._unremembered[key]
        if not done.cancelled():
            done.exception()  # heard of here too: whoever asked may have left meanwhile

    def forget(self, key: K) -> None:
        """Drops a value that is known to be out of date, though nobody has published that: by
        time, say.
        """
        self._values.pop(key, None)

    def _loaded(self, key: K, done: asyncio.Future[V]) -> None:
        if self._loading.get(key) is not done:  # something changed while it was read
            if not done.cancelled():
                done.exception()
            return
        del self._loading[key]
        if done.cancelled() or done.exception() is not None:
            return
        if len(self._values) >= self._limit:
            self._values.clear()
        value = done.result()
        self._values[key] = value, frozenset(self._subjects(value) if self._subjects else ())

    def _forget(self, changed: Collection[Subject]) -> None:
        mine = {change for change in changed if change.kind in self._kinds}
        if not mine:
            return
        self._loading.clear()
        if self._subjects is None or any(not change.key for change in mine):
            self._values.clear()
            return
        gone = [key for key, (_, made_of) in self._values.items() if not mine.isdisjoint(made_of)]
        for key in gone:
            del self._values[key]
