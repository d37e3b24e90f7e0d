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
from server.platform.statements import run_together
from server.tickets import tickets
from server.tickets.rules import FINAL_STATES

PAGE_TICKETS = 200
"""Moved in one transaction, whose locks others wait for: about 20 ms."""
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

# by the partial index on the end of validity; what is final may be in it for a minute
_DUE = text(f"""
SELECT ticket_id, valid_until_time, order_id FROM tickets
WHERE expiry_pending AND state IN ('ACTIVE', 'PARTIALLY_REDEEMED')
  AND valid_until_time <= least(:now, now()) AND partner_id < {SANDBOX_BIT}
  AND (valid_until_time, ticket_id) > (:after_time, :after_id)
ORDER BY valid_until_time, ticket_id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")  # noqa: S608 - our own number
# by a partial index of its own
_DUE_OF_SANDBOX = text(f"""
SELECT ticket_id, valid_until_time, order_id FROM tickets
WHERE expiry_pending AND state IN ('ACTIVE', 'PARTIALLY_REDEEMED')
  AND valid_until_time <= :now AND partner_id >= {SANDBOX_BIT} AND partner_id = :partner_id
ORDER BY valid_until_time, ticket_id LIMIT :limit FOR NO KEY UPDATE
""")  # noqa: S608
_OLDEST_DUE = text(f"""
SELECT t.valid_until_time FROM tickets t LEFT JOIN ticket_sales s USING (ticket_id)
LEFT JOIN departures d ON d.departure_id = s.departure_id
WHERE t.expiry_pending AND t.state IN ('ACTIVE', 'PARTIALLY_REDEEMED')
  AND t.valid_until_time <= :now AND t.partner_id < {SANDBOX_BIT}
  AND coalesce(s.passenger_index, 0) >= 0
  AND (d.departure_id IS NULL OR d.state <> 'CANCELLED' AND d.planned_time IS NULL)
ORDER BY t.valid_until_time, t.ticket_id LIMIT 1
""")  # noqa: S608 - our own number
_LOCK_ORDERS = text("""
SELECT order_id, traveller_id FROM orders WHERE order_id = ANY(CAST(:order_ids AS bigint[]))
ORDER BY order_id FOR NO KEY UPDATE SKIP LOCKED
""")
# under the locks, in a statement of its own: it sees what the locks' last holders committed
_SOLD = text(f"""
SELECT s.ticket_id, s.passenger_index < 0 AS is_shared,
  s.passenger_index >= 0 AND d.departure_id IS NOT NULL AND {KEPT_BY_DEPARTURE} AS is_kept
FROM ticket_sales s JOIN tickets t USING (ticket_id)
LEFT JOIN departures d ON d.departure_id = s.departure_id
WHERE s.ticket_id = ANY(CAST(:ticket_ids AS bigint[]))
""")  # noqa: S608 - our own

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC), -1

log = structlog.get_logger()


class _Due(NamedTuple):
    """A locked ticket whose validity is over."""

    ticket_id: int
    valid_until_time: datetime
    order_id: int


class TicketExpiry:
    """The expiry of tickets, as work of a job: each call does a page, from where the call before
    ended.

    `page_tickets` is how many tickets a page has at the most.
    """

    def __init__(self, *, page_tickets: int = PAGE_TICKETS) -> None:
        self._page_tickets = page_tickets
        self._after = _BEGINNING

    async def work(self, tx: AsyncConnection, now: datetime) -> Progress:
        """Expires what is due of the next page; how many, and whether there may be more.
        Raises as transactions do.

        A ticket that cannot be moved keeps no other: that is logged, and tried again by the next
        run.
        """
        values = {"now": now, "after_time": self._after[0], "after_id": self._after[1]}
        limit = {"limit": self._page_tickets}
        due = [_Due(*row) for row in await tx.execute(_DUE, values | limit)]
        more = len(due) == self._page_tickets
        expired = 0
        if due:
            expired = await _apart(tx, await _with_orders(tx, due), now=now)
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
    values = {"partner_id": partner_id, "now": now, "limit": limit}
    due = [_Due(*row) for row in await tx.execute(_DUE_OF_SANDBOX, values)]
    return await _apart(tx, await _with_orders(tx, due), now=now) if due else 0


class _Orders(NamedTuple):
    """Tickets whose orders are locked too; `of_travellers` are the orders of these that have
    events of their tickets.
    """

    due: list[_Due]
    of_travellers: set[int]


async def _with_orders(tx: AsyncConnection, due: Sequence[_Due]) -> _Orders:
    """Those whose order nobody else has locked, with it."""
    values = {"order_ids": _array({each.order_id for each in due})}
    locked = {row.order_id: row.traveller_id for row in await tx.execute(_LOCK_ORDERS, values)}
    mine = [each for each in due if each.order_id in locked]
    return _Orders(mine, {order for order, traveller in locked.items() if traveller is not None})


async def _apart(tx: AsyncConnection, found: _Orders, *, now: datetime) -> int:
    """Expires all together or, if that fails, order by order; how many tickets there were."""
    try:
        async with tx.begin_nested():
            return await _expire(tx, found, now=now)
    except Exception:  # one order that cannot be completed must not keep the others
        log.exception("tickets.expiry_failed", tickets=len(found.due))
    expired = 0
    for order_id in sorted({each.order_id for each in found.due}):
        own = [each for each in found.due if each.order_id == order_id]
        try:
            async with tx.begin_nested():
                expired += await _expire(tx, found._replace(due=own), now=now)
        except Exception:  # as above
            log.exception("tickets.expiry_failed", order_id=order_id)
    return expired


async def _expire(tx: AsyncConnection, found: _Orders, *, now: datetime) -> int:
    ids = [each.ticket_id for each in found.due]
    rows = (await tx.execute(_SOLD, {"ticket_ids": _array(ids)})).all()
    shared = {row.ticket_id for row in rows if row.is_shared}
    kept = {row.ticket_id for row in rows if row.is_kept}
    moved = await _move(tx, set(ids) - shared - kept, now=now)
    # last: what an item shares goes with the last of its tickets
    moved |= await _move(tx, await _last_of(tx, shared), now=now)
    gone = [each for each in found.due if each.ticket_id in moved]
    moves = [
        events.Move(each.order_id, events.TICKET_EXPIRED, ACTOR, ticket_id=each.ticket_id)
        for each in gone
        if each.order_id in found.of_travellers
    ]
    await events.record(tx, moves, now=now)
    if gone:
        actors = {each.order_id: ACTOR for each in gone}
        await run_together(tx, *completion.complete(actors, now=now))
    return len(gone)


async def _move(tx: AsyncConnection, ticket_ids: Collection[int], *, now: datetime) -> set[int]:
    return await tickets.expire(tx, ticket_ids, OPEN, actor=ACTOR, now=now)


async def _last_of(tx: AsyncConnection, shared: Collection[int]) -> set[int]:
    """Those of locked shared tickets whose items' tickets are all final; one that may come back
    keeps what it shares.
    """
    found = await shared_tickets.members(tx, shared)
    return {
        ticket_id
        for ticket_id, members in found.items()
        if all(member.state in FINAL_STATES for member in members)
    }


def _array(numbers: Collection[int]) -> str:
    return "{" + ",".join(map(str, sorted(numbers))) + "}"
