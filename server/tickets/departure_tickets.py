"""Partners' tickets of departures: which departure each is of, on which seat, and when it boards.

They are made of a reservation, take their seat when they are made, and leave it when they are
VOIDED or REFUNDED, or when their reservation ends.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from server.platform.statements import Command, Statement


class DepartureTicket(NamedTuple):
    """The columns of models.departure_tickets; `stock_id` is the one by which seats are counted."""

    ticket_id: int
    departure_id: int
    stock_id: int
    seat_index: int | None
    seat: str | None
    reference_time: datetime


class TicketSeat(NamedTuple):
    """A numbered seat that a ticket has."""

    stock_id: int
    seat_index: int
    ticket_id: int


class ToRefund(NamedTuple):
    """A sold ticket that is given back: its order, its partner's stock, and its seat. That of a car
    has a stock for each further day.
    """

    ticket_id: int
    order_id: int
    partner_stock_id: int
    stock_id: int
    seat_index: int | None
    other_stock_ids: Sequence[int]


class ToMove(NamedTuple):
    """A ticket whose departure leaves at another time now, and when it boards then."""

    ticket_id: int
    state: str
    was: datetime
    reference_time: datetime


_RECORD = Statement("""
INSERT INTO departure_tickets
  (ticket_id, departure_id, stock_id, seat_index, seat, reference_time)
SELECT v.* FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::int[], $5::text[],
  $6::timestamptz[]) v
""")
_SEATS = Statement(
    """
SELECT stock_id, seat_index, ticket_id FROM departure_tickets
WHERE ticket_id = ANY($1::bigint[]) AND seat_index IS NOT NULL ORDER BY ticket_id
""",
    TicketSeat,
)
_UNSOLD_SEATS = Statement(
    """
SELECT d.stock_id, d.seat_index, d.ticket_id
FROM batches b JOIN tickets t ON t.batch_id = b.batch_id
  AND t.ticket_id BETWEEN b.first_ticket_id AND b.first_ticket_id + b.quantity - 1
JOIN departure_tickets d ON d.ticket_id = t.ticket_id
WHERE b.reservation_id = ANY($1::uuid[]) AND t.reservation_id = b.reservation_id
  AND t.state = 'PRE_GENERATED' AND d.seat_index IS NOT NULL
ORDER BY d.ticket_id
""",
    TicketSeat,
)
# whoever is being scanned, or blocked, is looked at again
_TO_REFUND = Statement(
    """
SELECT t.ticket_id, t.order_id, r.stock_id, d.stock_id, d.seat_index, '{}'::bigint[]
FROM departure_tickets d JOIN tickets t ON t.ticket_id = d.ticket_id
JOIN reservations r ON r.reservation_id = t.reservation_id
WHERE d.departure_id = $1::bigint AND t.state = 'ACTIVE' AND NOT t.blocked
ORDER BY t.ticket_id LIMIT $2::int FOR NO KEY UPDATE OF t SKIP LOCKED
""",
    ToRefund,
)
_COUNT_OPEN = Statement(
    """
SELECT count(*)::int FROM departure_tickets d JOIN tickets t ON t.ticket_id = d.ticket_id
WHERE d.departure_id = $1::bigint AND t.state IN ('PRE_GENERATED', 'ACTIVE', 'PARTIALLY_REDEEMED')
""",
    int,
)
# its own times tell how far a ticket has followed, as of travellers' tickets
_TO_MOVE = Statement(
    """
SELECT t.ticket_id, t.state, d.reference_time, p.departure_time + (
  (n.content -> 'offer' ->> 'reference_time')::timestamptz
  - (n.content -> 'offer' -> 'journey' ->> 'service_time')::timestamptz) AS became
FROM departure_tickets d JOIN departures p ON p.departure_id = d.departure_id
JOIN tickets t ON t.ticket_id = d.ticket_id JOIN snapshots n ON n.snapshot_id = t.snapshot_id
WHERE d.departure_id = $1::bigint
  AND t.state IN ('PRE_GENERATED', 'ACTIVE', 'PARTIALLY_REDEEMED', 'USED')
  AND d.reference_time - (n.content -> 'offer' ->> 'reference_time')::timestamptz
    <> p.departure_time - (n.content -> 'offer' -> 'journey' ->> 'service_time')::timestamptz
ORDER BY t.ticket_id LIMIT $2::int FOR NO KEY UPDATE OF t
""",
    ToMove,
)
_MOVE = Statement("""
WITH v AS MATERIALIZED (
  SELECT v.*, v.reference_time - v.was AS by
  FROM unnest($2::bigint[], $3::timestamptz[], $4::timestamptz[])
    AS v (ticket_id, was, reference_time)),
moved AS (
  UPDATE departure_tickets d SET reference_time = v.reference_time
  FROM v WHERE d.ticket_id = v.ticket_id)
UPDATE tickets t SET valid_from_time = t.valid_from_time + v.by,
  valid_until_time = t.valid_until_time + v.by, update_time = $1::timestamptz
FROM v WHERE t.ticket_id = v.ticket_id
""")


def record(made: Sequence[DepartureTicket]) -> Command[None] | None:
    """Notes of which departure new tickets are."""
    return _RECORD.of_rows(made)


def seats(ticket_ids: Collection[int]) -> Command[TicketSeat] | None:
    """The numbered seats of those of the tickets that have one."""
    return _SEATS(ticket_ids) if ticket_ids else None


def unsold_seats(reservation_ids: Collection[UUID]) -> Command[TicketSeat]:
    """The numbered seats of the tickets of reservations, which are locked, that are not sold."""
    return _UNSOLD_SEATS(sorted(reservation_ids))


def to_refund(departure_id: int, *, limit: int) -> Command[ToRefund]:
    """Up to `limit` sold tickets of a departure that give back what was paid; they stay locked."""
    return _TO_REFUND(departure_id, limit)


def count_open(departure_id: int) -> Command[int]:
    """How many tickets of a departure are not final."""
    return _COUNT_OPEN(departure_id)


def to_move(departure_id: int, *, limit: int) -> Command[ToMove]:
    """Up to `limit` tickets whose times are not those of their departure; they stay locked."""
    return _TO_MOVE(departure_id, limit)


def move(found: Sequence[ToMove], *, now: datetime) -> Command[None] | None:
    """Brings the times of locked tickets to where their departure is now."""
    return _MOVE.of_rows([(each.ticket_id, each.was, each.reference_time) for each in found], now)
