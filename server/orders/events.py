"""The moves of travellers' orders: each counts the order's sequence up and leaves an event, in the
same transaction.

`order.created` has sequence 1 and no row: the order's own tells it. WatchOrder reads what is
written here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from server.orders.event_feed import RECORDED
from server.orders.rules import ORDER_MOVES
from server.platform.statements import Command, Statement, Transaction, run, run_together

CREATED = "order.created"
PAID = "order.paid"
CANCELLED = "order.cancelled"
COMPLETED = "order.completed"
REOPENED = "order.reopened"
TICKET_REFUNDING = "ticket.refunding"
TICKET_REFUNDED = "ticket.refunded"
TICKET_CHANGING = "ticket.changing"
TICKET_CHANGED = "ticket.changed"
TICKET_RESTORED = "ticket.restored"
TICKET_EXPIRED = "ticket.expired"
PAYMENT_REFUNDED = "payment.refunded"
TICKET_EXPIRING = "ticket.expiring"
DEPARTURE_CANCELLED = "departure.cancelled"
DEPARTURE_MOVED = "departure.moved"
TICKET_REBOOKED = "ticket.rebooked"


@dataclass(frozen=True, slots=True)
class Move:
    """Something that happens to an order: by `actor` (`traveller:…`, `system`, `admin:…`).

    With a `state` the order moves there, with `cancel_reason` if it is CANCELLED; `pay_time` is set
    if given.
    """

    order_id: int
    event: str
    actor: str
    state: str | None = None
    cancel_reason: str | None = None
    pay_time: datetime | None = None
    ticket_id: int | None = None


class OrderStanding(NamedTuple):
    """Where a locked order stands before it moves."""

    order_id: int
    sequence: int
    state: str
    cancel_reason: str | None
    pay_time: datetime | None


class _Event(NamedTuple):
    order_id: int
    sequence: int
    event: str
    state: str
    cancel_reason: str | None
    ticket_id: int | None
    actor: str


_LOCK = Statement(
    """
SELECT order_id, sequence, state, cancel_reason, pay_time
FROM orders WHERE order_id = ANY($1::bigint[]) ORDER BY order_id FOR NO KEY UPDATE
""",
    OrderStanding,
)
_MOVE = Statement("""
UPDATE orders o SET sequence = v.sequence, state = v.state, cancel_reason = v.cancel_reason,
  pay_time = v.pay_time
FROM unnest($1::bigint[], $2::int[], $3::text[], $4::text[], $5::timestamptz[])
  AS v (order_id, sequence, state, cancel_reason, pay_time)
WHERE o.order_id = v.order_id
""")
_RECORD = Statement(
    """
INSERT INTO order_events
  (order_id, sequence, event, state, cancel_reason, ticket_id, actor, occurred_time)
SELECT v.*, $1::timestamptz
FROM unnest($2::bigint[], $3::int[], $4::text[], $5::text[], $6::text[], $7::bigint[],
            $8::text[]) v
""",
    notifies=RECORDED,
)


async def record(tx: Transaction, moves: Iterable[Move], *, now: datetime) -> None:
    """Writes the moves, those of one order in the order they are given; locks the order rows, in
    the order of their ids.

    Whether a move may be made is decided before, under the same lock; one that DOMAIN does not know
    fails here.
    """
    moves = list(moves)
    if moves:
        standings = await run(tx, lock(move.order_id for move in moves))
        await run_together(tx, *write(standings, moves, now=now))


def lock(order_ids: Iterable[int]) -> Command[OrderStanding] | None:
    """Locks orders in the order of their ids, and says how they stand; None if there are none."""
    ids = sorted(set(order_ids))
    return _LOCK(ids) if ids else None


def write(
    standings: Iterable[OrderStanding], moves: Iterable[Move], *, now: datetime
) -> tuple[Command[None] | None, Command[None] | None]:
    """The moves of orders that are locked, and stand so."""
    orders = {standing.order_id: standing for standing in standings}
    events: list[_Event] = []
    for move in moves:
        order = orders[move.order_id] = _moved(orders[move.order_id], move)
        what = move.event, order.state, order.cancel_reason, move.ticket_id, move.actor
        events.append(_Event(order.order_id, order.sequence, *what))
    return _MOVE.of_rows(list(orders.values())), _RECORD.of_rows(events, now)


def _moved(order: OrderStanding, move: Move) -> OrderStanding:
    state, cancel_reason = order.state, order.cancel_reason
    if move.state is not None:
        step = order.state, move.state
        assert step in ORDER_MOVES, f"order {move.order_id} cannot go from {step[0]} to {step[1]}"
        state, cancel_reason = move.state, move.cancel_reason
    pay_time = move.pay_time or order.pay_time
    return OrderStanding(order.order_id, order.sequence + 1, state, cancel_reason, pay_time)
