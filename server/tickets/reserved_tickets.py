"""The tickets that were made of a partner's reservation."""

from collections.abc import Collection
from uuid import UUID

from server.platform.statements import Command, Statement

# the batches first, whatever the plan: a table with a limit of its own is none to begin with
_PRE_GENERATED = Statement(
    """
SELECT t.ticket_id FROM batches b CROSS JOIN LATERAL (
  SELECT ticket_id FROM tickets WHERE batch_id = b.batch_id AND state = 'PRE_GENERATED'
    AND ticket_id BETWEEN b.first_ticket_id AND b.first_ticket_id + b.quantity - 1
  ORDER BY ticket_id LIMIT $2::int) t
WHERE b.reservation_id = $1::uuid
ORDER BY t.ticket_id LIMIT $2::int
""",
    int,
)

_LEAVE = Statement("""
UPDATE tickets SET reservation_id = NULL WHERE ticket_id = ANY($1::bigint[])
""")


def pre_generated(reservation_id: UUID, *, limit: int) -> Command[int]:
    """The first `limit` tickets of a reservation that are not activated, in the order of their
    numbers. Nobody activates them while the reservation is locked.
    """
    return _PRE_GENERATED(reservation_id, limit)


def leave(ticket_ids: Collection[int]) -> Command[None]:
    """Has tickets, which are locked, belong to their reservation no more."""
    return _LEAVE(ticket_ids)
