"""Servers that are killed at a step of their work: what holds them there, and how a test knows that
they have come to it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import NamedTuple, Protocol

import psycopg
from sqlalchemy.engine import make_url

from tests.support.waiting import WAIT_SECONDS

LONG_LOCKS = {
    "DEEPTRAVEL_BATCH_LOCK_TIMEOUT_MS": "30000",
    "DEEPTRAVEL_LOCK_TIMEOUT_MS": "30000",
}
"""It waits for what a test has locked until it is killed."""
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND datname = current_database() AND wait_event LIKE %s"
)
HELD_THERE = 4711
"""The advisory lock of those that have come to their kill point."""
KILL_POINTS = f"""
CREATE TABLE IF NOT EXISTS kill_points
  (booking_id text PRIMARY KEY, state text, is_asked bool, vendor_state text);
CREATE OR REPLACE FUNCTION hold_there() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM kill_points k WHERE k.booking_id = NEW.booking_id
      AND k.state = NEW.state AND k.is_asked = NEW.is_asked
      AND NEW.vendor_state = COALESCE(k.vendor_state, NEW.vendor_state)) THEN
    PERFORM pg_advisory_xact_lock({HELD_THERE});
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER hold_there BEFORE INSERT OR UPDATE ON channel_bookings
  FOR EACH ROW EXECUTE FUNCTION hold_there();
"""


END_POINTS = f"""
CREATE TABLE IF NOT EXISTS end_points (channel_code text, what text, PRIMARY KEY (channel_code));
CREATE OR REPLACE FUNCTION hold_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM end_points e WHERE e.channel_code = NEW.channel_code
      AND e.what = TG_TABLE_NAME AND to_jsonb(NEW) @> TG_ARGV[0]::jsonb) THEN
    PERFORM pg_advisory_xact_lock({HELD_THERE});
  END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER hold_end BEFORE UPDATE ON channel_values
  FOR EACH ROW EXECUTE FUNCTION hold_end('{{"what": "AVAILABILITY", "sent": 0}}');
CREATE OR REPLACE TRIGGER hold_end BEFORE INSERT ON channel_bookings
  FOR EACH ROW EXECUTE FUNCTION hold_end('{{}}');
CREATE OR REPLACE TRIGGER hold_end BEFORE INSERT OR UPDATE ON channel_syncs
  FOR EACH ROW EXECUTE FUNCTION hold_end('{{"part": "STATUS"}}');
CREATE OR REPLACE TRIGGER hold_end BEFORE UPDATE ON channels
  FOR EACH ROW EXECUTE FUNCTION hold_end('{{"state": "REVOKED"}}');
"""
"""The writes of a disconnection, by the table that each is to."""


class KillPoint(NamedTuple):
    """The write of a booking's row that is held; None is any state at the vendor."""

    booking_id: str
    state: str
    is_asked: bool
    vendor_state: str | None


class Waits(Protocol):
    """Waits until so many wait for locks, of a kind."""

    async def __call__(self, count: int, kind: str = "%") -> None: ...


@asynccontextmanager
async def locked(database_url: str, *locks: str) -> AsyncIterator[Waits]:
    """Holds locks; gives what waits until so many wait for them."""
    plain = make_url(database_url).set(drivername="postgresql")
    url = plain.render_as_string(hide_password=False)
    async with (
        await psycopg.AsyncConnection.connect(url) as holder,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as looker,
    ):
        for lock in locks:
            await holder.execute(lock.encode())

        async def wait(count: int, kind: str = "%") -> None:
            until = time.monotonic() + WAIT_SECONDS
            while True:
                found = await (await looker.execute(WAITING, (kind,))).fetchone()
                if found and found[0] >= count:
                    return
                assert time.monotonic() < until, f"{found} of {count} wait"
                await asyncio.sleep(0.02)

        yield wait
        await holder.rollback()


def held_at(
    database_url: str, points: Iterable[KillPoint]
) -> AbstractAsyncContextManager[Callable[[], Awaitable[None]]]:
    """Holds bookings of channels at these writes; gives what waits until all are there."""
    return _held(database_url, KILL_POINTS, "kill_points", list(points))


def held_ends(
    database_url: str, tables: Mapping[str, str]
) -> AbstractAsyncContextManager[Callable[[], Awaitable[None]]]:
    """The same of channels that are disconnected: each at its write to that table."""
    return _held(database_url, END_POINTS, "end_points", list(tables.items()))


@asynccontextmanager
async def _held(
    database_url: str, triggers: str, table: str, points: Sequence[tuple[object, ...]]
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    plain = make_url(database_url).set(drivername="postgresql")
    url = plain.render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as made:
        await made.execute(triggers.encode())
        for point in points:
            values = ", ".join(["%s"] * len(point))
            await made.execute(f"INSERT INTO {table} VALUES ({values})".encode(), point)
        lock = f"SELECT pg_advisory_xact_lock({HELD_THERE})"
        async with locked(database_url, lock) as wait:

            async def all_there() -> None:
                await wait(len(points), "advisory")

            yield all_there
            await made.execute(f"DELETE FROM {table}".encode())
