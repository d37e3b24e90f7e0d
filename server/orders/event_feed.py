"""The moves of travellers' orders for whoever notifies travellers: each once, in its order's order.

A move is new until `take` says that it was taken, in the transaction that writes down what follows
from it; one follower at a time does so. The moves of one order become visible in their order, since
each was made under the order's lock.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from server.platform.statements import Command, Statement

RECORDED = "order_events"
"""What a transaction that records a move notifies: this process's follower looks after the commit.
"""


class NewMove(NamedTuple):
    """A move that nobody was notified of."""

    order_id: int
    sequence: int
    event: str
    cancel_reason: str | None
    ticket_id: int | None
    occurred_time: datetime


ANY_NEW = "EXISTS (SELECT FROM order_events WHERE notify)"
"""SQL: whether a move is new."""
# the orders of the oldest moves, and of these all moves, however many: those of one are never torn
_NEW = Statement(
    """
SELECT e.order_id, e.sequence, e.event, e.cancel_reason, e.ticket_id, e.occurred_time
FROM order_events e
WHERE e.notify AND e.order_id = ANY(ARRAY(
  SELECT order_id FROM order_events WHERE notify ORDER BY occurred_time, order_id LIMIT $1::int))
ORDER BY e.order_id, e.sequence
""",
    NewMove,
)
_TAKE = Statement("""
UPDATE order_events e SET notify = false
FROM unnest($1::bigint[], $2::int[]) AS v (order_id, sequence)
WHERE e.order_id = v.order_id AND e.sequence = v.sequence
""")


def new(limit: int) -> Command[NewMove]:
    """The moves that are new, of the orders of the oldest `limit`; those of an order in their
    order.
    """
    return _NEW(limit)


def mark_taken(moves: Sequence[NewMove]) -> Command[None] | None:
    """Says that these were taken, in the transaction of what follows from them."""
    return _TAKE.of_rows([move[:2] for move in moves])
