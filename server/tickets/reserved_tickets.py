"""The tickets that were made of a partner's reservation."""

from collections.abc import Collection
from uuid import UUID

from server.platform.statements import Command, Statement

_PRE_GENERATED = Statement(
    """
SELECT t.ticket_id FROM batches b JOIN tickets t ON t.batch_id = b.batch_id
  AND t.ticket_id BETWEEN b.first_ticket_id AND b.first_ticket_id + b.quantity - 1
WHERE b.reservation_id = $1::uuid AND t.state = 'PRE_GENERATED'
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
