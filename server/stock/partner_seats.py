"""Numbered seats that partners' tickets have.

A class of a departure has one seat map, whoever sells its places: so partners' tickets take their
seats where our own orders do, of our own stock of that class. Whoever takes or leaves one has that
stock's lock and gives its row another time, by which other processes see that their knowledge of
its seats is old (known_seats.py). How many places a channel may sell is counted apart, in its own
stock. A sandbox takes no real seat: its are counted by its own stock.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.statements import Statement, run, run_together
from server.stock import seating
from server.stock.seating import SeatMap

_TAKEN = Statement("SELECT seat_index FROM taken_seats WHERE stock_id = $1::bigint", int)
# a seat that is taken after all would violate the key, whatever the decision before it said
_TAKE = Statement("""
INSERT INTO taken_seats (stock_id, seat_index, order_id)
SELECT $1::bigint, v.seat_index, v.ticket_id
FROM unnest($2::int[], $3::bigint[]) AS v (seat_index, ticket_id)
""")
_LEAVE = Statement("""
DELETE FROM taken_seats t
USING unnest($1::bigint[], $2::int[], $3::bigint[]) AS v (stock_id, seat_index, ticket_id)
WHERE t.stock_id = v.stock_id AND t.seat_index = v.seat_index AND t.order_id = v.ticket_id
""")
_CHANGED = Statement("""
UPDATE stocks SET update_time = $2::timestamptz WHERE stock_id = ANY($1::bigint[])
""")


async def take(
    tx: AsyncConnection,
    stock_id: int,
    seat_map: SeatMap,
    ticket_ids: Sequence[int],
    *,
    now: datetime,
) -> list[int] | None:
    """Takes a seat for each ticket, beside each other as far as there are such; their indexes, or
    None if too few are free. The stock, our own of the class, is locked.
    """
    taken = seating.bitmap(await run(tx, _TAKEN(stock_id)))
    found = seating.allot(seat_map, taken, len(ticket_ids))
    if found is None:
        return None
    await run_together(tx, _TAKE(stock_id, found, ticket_ids), _CHANGED([stock_id], now))
    return found


async def leave(
    tx: AsyncConnection, seats: Collection[tuple[int, int, int]], *, now: datetime
) -> None:
    """Frees seats, each (stock_id, seat_index, ticket_id). The stocks are locked."""
    if seats:
        changed = sorted({stock_id for stock_id, *_ in seats})
        await run_together(tx, _LEAVE.of_rows(sorted(seats)), _CHANGED(changed, now))
