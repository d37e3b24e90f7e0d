"""A partner's events as it reads them: in order from a cursor on, and how far it has dealt with
them.

A cursor is the sequence of an event. Old events are removed after a while; whoever would go on
before those that are kept is refused, and hears from where he can go on: nothing is missed in
silence.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.errors import DomainError, Reason, invalid
from server.platform.statements import Command, Statement, run
from server.webhooks.rules import EVENT_TYPES

MAX_LOOKED_AT = 5_000
"""A page looks at this many events at the most; if fewer are of the types asked for than it could
hold, it is short.
"""

MAX_SEQUENCE = (1 << 63) - 1

Posted = Callable[[AsyncConnection, int], Awaitable[int]]
"""Up to which of a partner's events the ledger has entries."""


class FeedEvent(NamedTuple):
    """An event at its place."""

    event_id: UUID
    sequence: int
    type: str
    occurred_time: datetime
    data: dict[str, Any]


class EventPage(NamedTuple):
    """Events in their order; `cursor` is up to where was looked, `is_last` whether there are no
    more at this moment.
    """

    events: list[FeedEvent]
    cursor: int
    is_last: bool


class _Row(NamedTuple):
    last_sequence: int
    purged_sequence: int
    after: int
    event_id: UUID | None
    sequence: int
    type: str
    occurred_time: datetime
    data: dict[str, Any]


# one statement: the feed and its events as of one moment
_PAGE = Statement(
    """
SELECT f.last_sequence, f.purged_sequence, f.after, e.event_id, e.sequence, e.type,
  e.occurred_time, e.data
FROM (SELECT *, coalesce($2::bigint, acknowledged_sequence) AS after
      FROM partner_feeds WHERE partner_id = $1::int) f
LEFT JOIN LATERAL (
  SELECT * FROM partner_events e
  WHERE e.partner_id = $1::int AND e.sequence > f.after
    AND e.sequence <= least(f.after, f.last_sequence) + $5::bigint
    AND (cardinality($3::text[]) = 0 OR e.type = ANY($3))
  ORDER BY e.sequence LIMIT $4::int) e ON true
ORDER BY e.sequence
""",
    _Row,
)


class _Acknowledged(NamedTuple):
    last_sequence: int
    acknowledged_sequence: int


_ACKNOWLEDGE = Statement(
    """
WITH moved AS (
  UPDATE partner_feeds
  SET acknowledged_sequence = $2::bigint, acknowledge_time = $3::timestamptz
  WHERE partner_id = $1::int AND acknowledged_sequence < $2::bigint
    AND $2::bigint <= last_sequence
  RETURNING acknowledged_sequence)
SELECT last_sequence, coalesce((SELECT acknowledged_sequence FROM moved), acknowledged_sequence)
FROM partner_feeds WHERE partner_id = $1::int
""",
    _Acknowledged,
)
_AFTER = Statement(
    """
SELECT event_id, sequence, type, occurred_time, data FROM partner_events
WHERE partner_id = $1::int AND sequence > $2::bigint ORDER BY sequence LIMIT $3::int
""",
    FeedEvent,
)
# partners whose first event that is kept is older
_OLD = Statement(
    """
SELECT f.partner_id FROM partner_feeds f
JOIN partner_events e ON (e.partner_id, e.sequence) = (f.partner_id, f.purged_sequence + 1)
WHERE e.record_time < $1::timestamptz ORDER BY f.partner_id
""",
    int,
)
# a partner a statement: its feed is locked while its events are removed
_PURGE = Statement(
    """
WITH old AS MATERIALIZED (
  SELECT sequence FROM (
    SELECT sequence, record_time FROM partner_events
    WHERE partner_id = $1::int AND sequence <= $4::bigint ORDER BY sequence LIMIT $3::int) first
  WHERE record_time < $2::timestamptz),
feed AS (
  UPDATE partner_feeds SET purged_sequence = greatest(purged_sequence,
    (SELECT max(sequence) FROM old)) WHERE partner_id = $1::int AND EXISTS (SELECT FROM old)),
gone AS (
  DELETE FROM partner_events
  WHERE partner_id = $1::int AND sequence <= (SELECT max(sequence) FROM old) RETURNING 1)
SELECT count(*)::int FROM gone
""",
    int,
)


def require_types(types: Sequence[str]) -> None:
    """Raises INVALID_FIELD for a type of event that there is not."""
    for index, name in enumerate(types):
        if name not in EVENT_TYPES:
            raise invalid(
                f"types[{index}]",
                f"there is no type of event {name!r}; there are {', '.join(sorted(EVENT_TYPES))}",
            )


async def page(
    tx: AsyncConnection, partner_id: int, *, types: Sequence[str], after: int | None, limit: int
) -> EventPage:
    """Up to `limit` events after a cursor; None is the acknowledged one.

    A page looks at MAX_LOOKED_AT events; with `types` it may be short, or empty, and not the last.
    Raises EVENTS_REMOVED if some after the cursor are not kept any more, INVALID_FIELD for a cursor
    beyond the last event.
    """
    asked = [partner_id, after, list(types), limit + 1, MAX_LOOKED_AT]
    rows = await run(tx, _PAGE(*asked))
    if not rows:
        if after:
            raise _beyond("after_cursor", 0)
        return EventPage([], 0, is_last=True)
    first = rows[0]
    if first.after > first.last_sequence:
        raise _beyond("after_cursor", first.last_sequence)
    if first.after < first.purged_sequence:
        raise DomainError(
            Reason.EVENTS_REMOVED,
            f"after_cursor: events up to {first.purged_sequence} are not kept any more; what they"
            " said must be read from the tickets, then go on after that cursor",
            after_cursor=first.after,
            oldest_cursor=first.purged_sequence,
        )
    found = [
        FeedEvent(row.event_id, row.sequence, row.type, row.occurred_time, row.data)
        for row in rows
        if row.event_id
    ]
    if len(found) > limit:
        return EventPage(found[:limit], found[limit - 1].sequence, is_last=False)
    cursor = min(first.after + MAX_LOOKED_AT, first.last_sequence)
    return EventPage(found, cursor, is_last=cursor == first.last_sequence)


async def acknowledge(tx: AsyncConnection, partner_id: int, cursor: int, *, now: datetime) -> int:
    """Keeps that a partner has dealt with its events up to a cursor; the greatest that was ever
    acknowledged.

    Raises INVALID_FIELD for one beyond the last event.
    """
    rows = await run(tx, _ACKNOWLEDGE(partner_id, cursor, now))
    last = rows[0].last_sequence if rows else 0
    if cursor > last:
        raise _beyond("cursor", last)
    return rows[0].acknowledged_sequence if rows else 0


async def purge(
    tx: AsyncConnection,
    *,
    now: datetime,
    keep: timedelta,
    limit: int,
    posted: Posted | None = None,
) -> int:
    """Removes up to `limit` events of one partner that are older than `keep`; returns how many.

    `posted` says up to which of a partner's events the ledger has entries: none after it is
    removed.
    """
    for partner_id in await run(tx, _OLD(now - keep)):
        until = MAX_SEQUENCE if posted is None else await posted(tx, partner_id)
        (removed,) = await run(tx, _PURGE(partner_id, now - keep, limit, until))
        if removed:
            return removed
    return 0


def events_after(partner_id: int, sequence: int, limit: int) -> Command[FeedEvent]:
    """Up to `limit` of a partner's events after one, in their order."""
    return _AFTER(partner_id, sequence, limit)


def _beyond(field: str, last: int) -> DomainError:
    return invalid(field, f"is beyond the last event, whose cursor is {last}")
