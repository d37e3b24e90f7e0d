"""When tickets are valid, as far as that changes after they were made: with a departure that moves,
and for what several tickets share; and which tickets' end of validity was looked at.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.parties.rules import SANDBOX_BIT
from server.platform.schedule import Progress
from server.platform.statements import Statement, Transaction, run
from server.tickets.rules import is_test
from server.tickets.tickets import move, record


class Validity(NamedTuple):
    """A ticket, and from when until when it is to be valid."""

    ticket_id: int
    valid_from_time: datetime
    valid_until_time: datetime


class Shift(NamedTuple):
    """A ticket in a state, and how much later it is to be valid; earlier below zero."""

    ticket_id: int
    state: str
    by: timedelta


class _Moved(NamedTuple):
    ticket_id: int
    state: str


_FOLLOW = Statement(
    """
UPDATE tickets t SET valid_from_time = least(t.valid_from_time, v.valid_from_time),
  valid_until_time = v.valid_until_time, update_time = $1::timestamptz
FROM unnest($2::bigint[], $3::timestamptz[], $4::timestamptz[])
  AS v (ticket_id, valid_from_time, valid_until_time)
WHERE t.ticket_id = v.ticket_id AND t.state NOT IN ('REFUNDED', 'EXPIRED')
  AND (t.valid_until_time <> v.valid_until_time OR t.valid_from_time > v.valid_from_time)
RETURNING t.ticket_id, t.state
""",
    _Moved,
)
_SHIFT = Statement(
    """
UPDATE tickets t SET valid_from_time = t.valid_from_time + v.later * interval '1 microsecond',
  valid_until_time = t.valid_until_time + v.later * interval '1 microsecond',
  update_time = $1::timestamptz
FROM unnest($2::bigint[], $3::bigint[]) AS v (ticket_id, later)
WHERE t.ticket_id = v.ticket_id
RETURNING t.ticket_id
""",
    int,
)
_END = Statement("""
UPDATE tickets SET valid_until_time = least(valid_until_time, $1::timestamptz)
WHERE ticket_id = ANY($2::bigint[]) AND valid_from_time < $1::timestamptz
""")
_END_AT = Statement("""
UPDATE tickets SET valid_until_time = $1::timestamptz, update_time = $2::timestamptz,
  valid_from_time = least(valid_from_time, $1::timestamptz - interval '1 second')
WHERE ticket_id = ANY($3::bigint[])
""")
# Those that may become open again before long (REFUNDING, CHANGING) stay to be looked at.
_SETTLE = Statement(
    f"""
WITH over AS MATERIALIZED (
  SELECT ticket_id FROM tickets WHERE expiry_pending AND valid_until_time <= $1::timestamptz
    AND state NOT IN ('ACTIVE', 'PARTIALLY_REDEEMED', 'REFUNDING', 'CHANGING')
    AND partner_id < {SANDBOX_BIT}
  ORDER BY valid_until_time, ticket_id LIMIT $2::int FOR NO KEY UPDATE SKIP LOCKED)
UPDATE tickets t SET expiry_pending = false FROM over WHERE t.ticket_id = over.ticket_id
RETURNING t.ticket_id
""",  # noqa: S608 - our own number
    int,
)
_SETTLE_OF_SANDBOX = Statement(
    f"""
WITH over AS MATERIALIZED (
  SELECT ticket_id FROM tickets WHERE expiry_pending AND valid_until_time <= $2::timestamptz
    AND state NOT IN ('ACTIVE', 'PARTIALLY_REDEEMED', 'REFUNDING', 'CHANGING')
    AND partner_id >= {SANDBOX_BIT} AND partner_id = $1::int
  ORDER BY valid_until_time, ticket_id LIMIT $3::int FOR NO KEY UPDATE)
UPDATE tickets t SET expiry_pending = false FROM over WHERE t.ticket_id = over.ticket_id
RETURNING t.ticket_id
""",  # noqa: S608
    int,
)
SETTLED_AT_ONCE = 500
"""Tickets in one transaction, whose locks a scan of them waits for."""


async def settle(tx: AsyncConnection, now: datetime) -> Progress:
    """Takes tickets whose validity is over out of those that may still expire, if they are final or
    were never sold.

    This is later than the move that made them final, since what is in the condition of an index
    makes each change of it dearer, and a redemption is not the time for that.
    """
    settled = await run(tx, _SETTLE(now, SETTLED_AT_ONCE))
    return Progress(len(settled) == SETTLED_AT_ONCE, len(settled))


async def settle_of_sandbox(
    tx: AsyncConnection, partner_id: int, now: datetime, *, limit: int
) -> int:
    """`settle` for up to `limit` tickets of a sandbox, by its clock; how many."""
    return len(await run(tx, _SETTLE_OF_SANDBOX(partner_id, now, limit)))


async def shift(
    tx: AsyncConnection, shifts: Collection[Shift], *, actor: str, now: datetime
) -> None:
    """Moves the validity of tickets that are locked with their departure, and records it."""
    rows = [(each.ticket_id, each.by // timedelta(microseconds=1)) for each in shifts]
    moved = await run(tx, _SHIFT.of_rows(rows, now))
    assert len(moved) == len(rows), "they are locked"
    for state in sorted({each.state for each in shifts}):
        theirs = [each.ticket_id for each in shifts if each.state == state]
        event = {"action": "departure_moved", "state": state, "actor": actor}
        await record(tx, theirs, now=now, **event)


async def follow(tx: Transaction, wanted: Sequence[Validity], *, actor: str, now: datetime) -> None:
    """Has locked tickets begin no later and end just then, and records it; those that were given
    back or are over stay.
    """
    for ticket_id, state in await run(tx, _FOLLOW.of_rows(wanted, now)):
        event = {"action": "validity_moved", "state": state, "actor": actor}
        await record(tx, [ticket_id], now=now, **event)


async def end(tx: Transaction, ticket_ids: Collection[int], *, actor: str, now: datetime) -> None:
    """Ends those of locked tickets that were redeemed in part: their validity is over now."""
    partly = ("PARTIALLY_REDEEMED",)
    ended = await move(tx, ticket_ids, partly, "EXPIRED", action="ended", actor=actor, now=now)
    if ended:
        await run(tx, _END(now, sorted(ended)))


async def end_at(
    tx: AsyncConnection, ticket_ids: Collection[int], moment: datetime, *, now: datetime
) -> None:
    """Has locked tickets of a sandbox be valid until a moment."""
    assert all(map(is_test, ticket_ids)), "others are valid as they were sold"
    await run(tx, _END_AT(moment, now, sorted(ticket_ids)))
