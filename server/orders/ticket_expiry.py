"""Tickets whose validity is over become EXPIRED, and their orders COMPLETED. (DOMAIN: States,
Operations).

A page of tickets at a time, each in a short transaction, by the job `expire-tickets`, which one
process does at a time. It waits for nobody's lock: a ticket that a gate has, or whose order
somebody has, is passed over and looked at again by the next run. A gate that comes meanwhile waits
for one page at the most, and then reads EXPIRED.

What was sold stays sold: an expired ticket gives back neither its place nor what it counts against
a limit.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import completion, events, shared_tickets
from server.orders.travel_tickets import BOARDING
from server.parties.rules import SANDBOX_BIT
from server.platform.schedule import Progress
from server.platform.statements import (
    KEEP,
    SAVE,
    UNDO,
    Command,
    Statement,
    Transaction,
    run,
    run_together,
)
from server.tickets import partner_events, tickets
from server.tickets.rules import FINAL_STATES, is_direct

PAGE_TICKETS = 100
"""Moved in one transaction, whose locks others wait for, and whose statements have a core for some
2 ms each: a gate may have to wait for one.
"""
ACTOR = "system"
OPEN = ("ACTIVE", "PARTIALLY_REDEEMED")
"""States of a ticket that its validity ends. (DOMAIN, States)."""

# Of a ticket `t` that was sold as `s`: what its departure `d` keeps from expiring. Cancelled, it
# still gives back what is unused of it, also when its validity is over, unless it was boarded with
# (policy.refund). Moved, and the ticket does not know yet, it is valid as much longer.
KEPT_BY_DEPARTURE = f"""(
  d.state = 'CANCELLED' AND NOT EXISTS (
    SELECT FROM entitlements e
    WHERE (e.ticket_id, e.function_code) = (t.ticket_id, '{BOARDING}')
      AND e.remaining_uses < e.total_uses)
  OR d.planned_time IS NOT NULL AND EXISTS (
    SELECT FROM snapshots n WHERE n.snapshot_id = t.snapshot_id
      AND s.reference_time - (n.content -> 'offer' ->> 'reference_time')::timestamptz
      <> d.departure_time - coalesce(
        (n.content -> 'offer' -> 'journey' ->> 'service_time')::timestamptz, d.planned_time)))
"""  # noqa: S608 - our own

# with the tickets' orders, of those that nobody else has locked
_WITH_ORDERS = """
locked AS MATERIALIZED (
  SELECT order_id, traveller_id FROM orders
  WHERE order_id = ANY(ARRAY(SELECT order_id FROM due))
  ORDER BY order_id FOR NO KEY UPDATE SKIP LOCKED)
SELECT ticket_id, valid_until_time, order_id,
  order_id IN (SELECT order_id FROM locked),
  order_id IN (SELECT order_id FROM locked WHERE traveller_id IS NOT NULL)
FROM due ORDER BY valid_until_time, ticket_id
"""


class _Due(NamedTuple):
    """A locked ticket whose validity is over; whether its order is locked with it, and has events
    of its tickets.
    """

    ticket_id: int
    valid_until_time: datetime
    order_id: int
    has_order: bool
    is_travellers: bool


# by the partial index on the end of validity; what is final may be in it for a minute
_DUE = Statement(
    f"""
WITH due AS MATERIALIZED (
  SELECT ticket_id, valid_until_time, order_id FROM tickets
  WHERE expiry_pending AND state IN ('ACTIVE', 'PARTIALLY_REDEEMED')
    AND valid_until_time <= least($1::timestamptz, now()) AND partner_id < {SANDBOX_BIT}
    AND (valid_until_time, ticket_id) > ($2::timestamptz, $3::bigint)
  ORDER BY valid_until_time, ticket_id LIMIT $4::int FOR NO KEY UPDATE SKIP LOCKED),
{_WITH_ORDERS}""",  # noqa: S608 - our own number
    _Due,
)
# by a partial index of its own
_DUE_OF_SANDBOX = Statement(
    f"""
WITH due AS MATERIALIZED (
  SELECT ticket_id, valid_until_time, order_id FROM tickets
  WHERE expiry_pending AND state IN ('ACTIVE', 'PARTIALLY_REDEEMED')
    AND valid_until_time <= $2::timestamptz AND partner_id >= {SANDBOX_BIT}
    AND partner_id = $1::int
  ORDER BY valid_until_time, ticket_id LIMIT $3::int FOR NO KEY UPDATE),
{_WITH_ORDERS}""",  # noqa: S608 - our own number
    _Due,
)
_OLDEST_DUE = text(f"""
SELECT t.valid_until_time FROM tickets t LEFT JOIN ticket_sales s USING (ticket_id)
LEFT JOIN departures d ON d.departure_id = s.departure_id
WHERE t.expiry_pending AND t.state IN ('ACTIVE', 'PARTIALLY_REDEEMED')
  AND t.valid_until_time <= :now AND t.partner_id < {SANDBOX_BIT}
  AND coalesce(s.passenger_index, 0) >= 0
  AND (d.departure_id IS NULL OR d.state <> 'CANCELLED' AND d.planned_time IS NULL)
ORDER BY t.valid_until_time, t.ticket_id LIMIT 1
""")  # noqa: S608 - our own number


class _Sold(NamedTuple):
    """A traveller's ticket: whether an item shares it, and whether its departure keeps it from
    expiring.
    """

    ticket_id: int
    is_shared: bool
    is_kept: bool


# under the locks, in a statement of its own: it sees what the locks' last holders committed
_SOLD = Statement(
    f"""
SELECT s.ticket_id, s.passenger_index < 0,
  s.passenger_index >= 0 AND d.departure_id IS NOT NULL AND {KEPT_BY_DEPARTURE}
FROM ticket_sales s JOIN tickets t USING (ticket_id)
LEFT JOIN departures d ON d.departure_id = s.departure_id
WHERE s.ticket_id = ANY($1::bigint[])
""",  # noqa: S608 - our own
    _Sold,
)

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC), -1

log = structlog.get_logger()


class TicketExpiry:
    """The expiry of tickets, as work of a job: each call does a page, from where the call before
    ended.

    `page_tickets` is how many tickets a page has at the most.
    """

    def __init__(self, *, page_tickets: int = PAGE_TICKETS) -> None:
        self._page_tickets = page_tickets
        self._after = _BEGINNING

    async def work(self, tx: Transaction, now: datetime) -> Progress:
        """Expires what is due of the next page; how many, and whether there may be more.
        Raises as transactions do.

        A ticket that cannot be moved keeps no other: that is logged, and tried again by the next
        run.
        """
        due = await run(tx, _DUE(now, *self._after, self._page_tickets))
        more = len(due) == self._page_tickets
        expired = await _apart(tx, due, now=now)
        # what stays as it is must not come again and again in this run
        self._after = (due[-1].valid_until_time, due[-1].ticket_id) if more else _BEGINNING
        return Progress(more, expired)


async def oldest_due(tx: AsyncConnection, now: datetime) -> datetime | None:
    """Since when the validity of the oldest open ticket is over that nothing keeps from expiring,
    neither its departure nor another ticket that it is shared with.
    """
    found: datetime | None = await tx.scalar(_OLDEST_DUE, {"now": now})
    return found


async def expire_of_sandbox(
    tx: AsyncConnection, partner_id: int, now: datetime, *, limit: int
) -> int:
    """Expires up to `limit` tickets of a sandbox whose validity is over by its clock; how many.
    `TicketExpiry` leaves them to whoever moves that.
    """
    due = await run(tx, _DUE_OF_SANDBOX(partner_id, now, limit))
    return await _apart(tx, due, now=now)


async def _apart(tx: Transaction, due: Sequence[_Due], *, now: datetime) -> int:
    """Expires those whose order is locked too, all together or, if that fails, order by order; how
    many tickets there were.
    """
    mine = [each for each in due if each.has_order]
    if not mine:
        return 0
    try:
        return await _expire(tx, mine, now=now)
    except Exception:  # one order that cannot be completed must not keep the others
        log.exception("tickets.expiry_failed", tickets=len(mine))
        await run_together(tx, UNDO(), KEEP())
    expired = 0
    for order_id in sorted({each.order_id for each in mine}):
        own = [each for each in mine if each.order_id == order_id]
        try:
            expired += await _expire(tx, own, now=now)
        except Exception:  # as above
            log.exception("tickets.expiry_failed", order_id=order_id)
            await run_together(tx, UNDO(), KEEP())
    return expired


async def _expire(tx: Transaction, due: Sequence[_Due], *, now: datetime) -> int:
    """Expires locked tickets with their orders after a savepoint, of which nothing is left; how
    many.
    """
    ids = {each.ticket_id for each in due}
    _, sold, standings, locked, waiting = await run_together(
        tx,
        SAVE(),
        _SOLD(sorted(filter(is_direct, ids))),
        events.lock(each.order_id for each in due if each.is_travellers),
        *partner_events.take_turn(ids),
    )
    shared = {each.ticket_id for each in sold if each.is_shared}
    going = ids - shared - {each.ticket_id for each in sold if each.is_kept}
    gone: set[int] = set()
    if shared:  # last: what an item shares goes with the last of its tickets
        gone.update(await run(tx, _move(going, now=now)))
        going = await _last_of(tx, shared)
    expired = [each for each in due if each.ticket_id in gone | going]
    moves = [
        events.Move(each.order_id, events.TICKET_EXPIRED, ACTOR, ticket_id=each.ticket_id)
        for each in expired
        if each.is_travellers
    ]
    moved, *_ = await run_together(
        tx,
        _move(going, now=now),
        partner_events.record_expired(sorted(gone | going), locked, waiting, now=now),
        *events.write(standings if moves else (), moves, now=now),
        *completion.complete({each.order_id: ACTOR for each in expired}, now=now),
        KEEP(),
    )
    assert set(moved) == going, "nobody moves a ticket that is locked"
    return len(expired)


def _move(ticket_ids: Collection[int], *, now: datetime) -> Command[int]:
    return tickets.expire(sorted(ticket_ids), OPEN, actor=ACTOR, now=now)


async def _last_of(tx: Transaction, shared: Collection[int]) -> set[int]:
    """Those of locked shared tickets whose items' tickets are all final; one that may come back
    keeps what it shares.
    """
    found = await shared_tickets.members(tx, shared)
    return {
        ticket_id
        for ticket_id, members in found.items()
        if all(member.state in FINAL_STATES for member in members)
    }
