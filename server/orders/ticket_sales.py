"""How each ticket of an order was sold: which place it is, on which seat, for how much."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.statements import Command, Statement, run

_RECORD = Statement("""
INSERT INTO ticket_sales
  (ticket_id, order_id, item_index, passenger_index, stock_id, departure_id, seat_index, seat,
   amount_minor, reference_time, changes_made)
SELECT v.* FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::bigint[],
  $6::bigint[], $7::int[], $8::text[], $9::bigint[], $10::timestamptz[], $11::smallint[]) v
""")
_SHIFT = Statement(
    """
UPDATE ticket_sales s SET reference_time = v.became
FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS v (ticket_id, was, became)
WHERE s.ticket_id = v.ticket_id AND s.reference_time = v.was
RETURNING s.ticket_id
""",
    int,
)


class TicketSale(NamedTuple):
    """A ticket as it was sold, the columns of models.ticket_sales; amounts in minor units."""

    ticket_id: int
    order_id: int
    item_index: int
    passenger_index: int
    stock_id: int
    departure_id: int | None
    seat_index: int | None
    seat: str | None
    amount_minor: int
    reference_time: datetime
    changes_made: int


def record(sales: Sequence[TicketSale]) -> Command[None] | None:
    """Keeps how new tickets were sold, after them in their transaction."""
    return _RECORD.of_rows(sales)


async def shift(tx: AsyncConnection, shifts: Sequence[tuple[int, datetime, timedelta]]) -> None:
    """Moves the times from which locked tickets' policies count with their departure: each ticket,
    what its time was, and how much later it is.
    """
    rows = [(ticket_id, was, was + by) for ticket_id, was, by in shifts]
    shifted = await run(tx, _SHIFT.of_rows(rows))
    assert len(shifted) == len(rows), "nobody moves a ticket that is locked"
