"""Tickets of all channels found by what their orders are found by, and read by their codes."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import order_search, search_terms
from server.orders.order_search import FoundOrder, OrderQuery
from server.orders.passengers import PassengerParty, PassengerSeals
from server.platform.errors import not_found
from server.platform.statements import Statement, run
from server.tickets.rules import MAX_NUMBER, ORDER_PREFIX, Code

WHOLE_PARTYS = -1
"""The passenger of a shared entitlement's ticket."""

Cursor = tuple[datetime, int, int]
"""The place of a ticket in the list: when its order was made, the order, the ticket."""


@dataclass(frozen=True, slots=True)
class FoundTicket:
    """A ticket of whatever channel; texts are empty where there is nothing to say.

    `passenger_index` says whose of a traveller's order it is, None in a partner's.
    """

    ticket_id: int
    ticket_code: str
    state: str
    blocked: bool
    order_id: int | None
    order_code: str
    partner_code: str
    distributor_id: str
    product_id: int
    customer_type: str
    customer_name: str
    passenger_index: int | None
    seat: str
    valid_from_time: datetime
    valid_until_time: datetime


_COLUMNS = """
SELECT t.ticket_id, t.ticket_code, t.state, t.blocked, t.order_id,
  coalesce((SELECT o.order_code FROM orders o WHERE o.order_id = t.order_id), ''),
  coalesce((SELECT p.partner_code FROM partners p WHERE p.partner_id = t.partner_id), ''),
  t.distributor_id, t.product_id, coalesce(t.customer_type, ''), coalesce(t.customer_name, ''),
  s.passenger_index, coalesce(s.seat, d.seat, ''), t.valid_from_time, t.valid_until_time
"""
_JOINED = """
LEFT JOIN ticket_sales s ON s.ticket_id = t.ticket_id
LEFT JOIN departure_tickets d ON d.ticket_id = t.ticket_id
"""
_READ = Statement(
    f"{_COLUMNS} FROM tickets t {_JOINED} WHERE t.ticket_id = $1::bigint",
    FoundTicket,
)
_OF_ORDERS = Statement(
    f"""
{_COLUMNS}
FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS w (order_id, after_id, place)
CROSS JOIN LATERAL (
  SELECT * FROM tickets WHERE order_id = w.order_id AND ticket_id > w.after_id
  ORDER BY ticket_id LIMIT $3::int) AS t
{_JOINED}
ORDER BY w.place, t.ticket_id LIMIT $3::int
""",  # noqa: S608 - our own
    FoundTicket,
)


async def get(tx: AsyncConnection, ticket_code: str) -> FoundTicket:
    """A ticket by its code, sold or not. Raises NOT_FOUND."""
    ticket_id = await order_search.ticket_number(tx, ticket_code)
    found = [] if ticket_id is None else await run(tx, _READ(ticket_id))
    if not found or found[0].ticket_code != ticket_code:
        raise not_found("ticket", ticket_code)
    return found[0]


async def of_order(tx: AsyncConnection, order_id: int, *, limit: int) -> list[FoundTicket]:
    """The first tickets of an order, by number."""
    return await run(tx, _OF_ORDERS([order_id], [0], limit))


async def search(
    tx: AsyncConnection,
    seals: PassengerSeals,
    wanted: OrderQuery,
    *,
    after: Cursor | None,
    limit: int,
) -> tuple[list[FoundTicket], Cursor | None]:
    """Tickets of orders that fit, of `limit` that may; and the place of the last of these if there
    may be more. Raises INVALID_FIELD as `order_search.search` does.
    """
    code = Code.parse(wanted.code)
    if code and code.prefix != ORDER_PREFIX:
        return ([] if after else await _of_code(tx, seals, wanted)), None
    before = after and after[:2]
    orders, next_order = await order_search.search(tx, seals, wanted, before=before, limit=limit)
    begun = await order_search.read(tx, [after[1]]) if after and after[2] < MAX_NUMBER else []
    wanted_orders = {order.order_id: order for order in (*begun, *orders)}
    after_ids = [after[2] if after and order in begun else 0 for order in wanted_orders.values()]
    rows = await run(tx, _OF_ORDERS(list(wanted_orders), after_ids, limit + 1))
    next_place: Cursor | None = (*next_order, MAX_NUMBER) if next_order else None
    if len(rows) > limit:
        rows = rows[:limit]
        last = wanted_orders[rows[-1].order_id or 0]
        next_place = last.create_time, last.order_id, rows[-1].ticket_id
    parties = {key: order.party(seals) for key, order in wanted_orders.items()}
    return [each for each in rows if _fits(each, wanted, parties[each.order_id or 0])], next_place


async def _of_code(
    tx: AsyncConnection, seals: PassengerSeals, wanted: OrderQuery
) -> list[FoundTicket]:
    ticket_id = await order_search.ticket_number(tx, wanted.code)
    found = [] if ticket_id is None else await run(tx, _READ(ticket_id))
    orders: list[FoundOrder] = []
    if found and found[0].order_id is not None:
        orders, _ = await order_search.search(tx, seals, wanted, before=None, limit=1)
    if not orders:  # not sold: nobody's, and of no order's time
        nobody = not wanted.kinds and not wanted.time_from and not wanted.time_until
        return [each for each in found if each.order_id is None and nobody]
    return [each for each in found if _fits(each, wanted, orders[0].party(seals))]


def _fits(ticket: FoundTicket, wanted: OrderQuery, party: PassengerParty) -> bool:
    index = ticket.passenger_index
    if index is None:
        return not wanted.name or search_terms.fits_name(wanted.name, ticket.customer_name)
    if index == WHOLE_PARTYS:
        return True
    passenger = party.passengers[index]
    return wanted.fits_passenger(passenger.name, passenger.document_number)
