"""The inbox of a traveller: his own messages, how many he has not read, and that he has read
them.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.errors import not_found
from server.platform.statements import Statement, run, run_together


class InboxMessage(NamedTuple):
    """A message as its traveller sees it."""

    number: int
    kind: str
    order_code: str
    title: str
    body: str
    occurred_time: datetime
    read_time: datetime | None


_PAGE = Statement(
    """
SELECT number, kind, coalesce(facts ->> 'order_code', ''), title, body, occurred_time, read_time
FROM notifications
WHERE traveller_id = $1::bigint AND ($2::bigint IS NULL OR number < $2::bigint)
  AND (NOT $3::boolean OR read_time IS NULL)
ORDER BY number DESC LIMIT $4::int
""",
    InboxMessage,
)
_UNREAD = Statement(
    """
SELECT count(*)::int FROM notifications WHERE traveller_id = $1::bigint AND read_time IS NULL
""",
    int,
)
_READ_ONE = Statement(
    """
UPDATE notifications SET read_time = coalesce(read_time, $3::timestamptz)
WHERE traveller_id = $1::bigint AND number = $2::bigint
RETURNING number, kind, coalesce(facts ->> 'order_code', ''), title, body, occurred_time, read_time
""",
    InboxMessage,
)
_READ_ALL = Statement("""
UPDATE notifications SET read_time = $3::timestamptz
WHERE traveller_id = $1::bigint AND read_time IS NULL AND number <= $2::bigint
""")
_PURGE = Statement(
    """
WITH old AS MATERIALIZED (
  SELECT traveller_id, number FROM notifications WHERE create_time < $1::timestamptz
  LIMIT $2::int),
deliveries AS (
  DELETE FROM notification_deliveries d USING old
  WHERE d.traveller_id = old.traveller_id AND d.number = old.number),
gone AS (
  DELETE FROM notifications n USING old
  WHERE n.traveller_id = old.traveller_id AND n.number = old.number RETURNING 1)
SELECT count(*)::int FROM gone
""",
    int,
)


async def page(
    tx: AsyncConnection,
    traveller_id: int,
    *,
    unread_only: bool,
    before: int | None,
    limit: int,
) -> list[InboxMessage]:
    """Up to `limit` messages of a traveller from before a number, the latest first."""
    return await run(tx, _PAGE(traveller_id, before, unread_only, limit))


async def count_unread(tx: AsyncConnection, traveller_id: int) -> int:
    """How many messages the traveller has not read."""
    (count,) = await run(tx, _UNREAD(traveller_id))
    return count


async def mark_read(
    tx: AsyncConnection, traveller_id: int, number: int, *, now: datetime
) -> InboxMessage:
    """Keeps that one was read, since the first time. Raises NOT_FOUND, also for another's."""
    rows = await run(tx, _READ_ONE(traveller_id, number, now))
    if not rows:
        raise not_found("notification", number)
    return rows[0]


async def mark_all_read(
    tx: AsyncConnection, traveller_id: int, *, until: int, now: datetime
) -> int:
    """Keeps that all up to a number were read, and so not those that came since he looked; how many
    are left.
    """
    _, (left,) = await run_together(tx, _READ_ALL(traveller_id, until, now), _UNREAD(traveller_id))
    return left


async def purge(tx: AsyncConnection, *, now: datetime, keep: timedelta, limit: int) -> int:
    """Removes up to `limit` messages older than `keep`, with their deliveries; how many."""
    (count,) = await run(tx, _PURGE(now - keep, limit))
    return count
