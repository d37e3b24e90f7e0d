"""The tickets that paid orders get, and how they were sold: one statement a table, however many
orders there are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from server.catalog.offers import Offer
from server.orders.content import SHARED, OrderItem, Place
from server.orders.orders import Order
from server.platform.pipeline import Command, PreparedStatement, columns
from server.tickets.rules import DIRECT_CODE, DIRECT_PREFIX, Number

_TICKETS = PreparedStatement("""
INSERT INTO tickets (ticket_id, ticket_code, jti, state, blocked, product_id, partner_id, distributor_id, snapshot_id,
  order_id, customer_type, customer_name, valid_from_time, valid_until_time, create_time, update_time)
SELECT v.ticket_id, v.ticket_code, v.jti, 'ACTIVE', v.blocked, v.product_id, 0, '', v.snapshot_id,
  v.order_id, v.customer_type, v.customer_name, v.valid_from, v.valid_until, $1::timestamptz, $1::timestamptz
FROM unnest($2::bigint[], $3::text[], $4::uuid[], $5::int[], $6::uuid[], $7::bigint[], $8::text[], $9::text[],
            $10::timestamptz[], $11::timestamptz[], $12::boolean[])
  AS v (ticket_id, ticket_code, jti, product_id, snapshot_id, order_id, customer_type, customer_name,
        valid_from, valid_until, blocked)
""")
_ENTITLEMENTS = PreparedStatement("""
INSERT INTO entitlements (ticket_id, function_code, total_uses, remaining_uses)
SELECT v.ticket_id, v.function_code, v.uses, v.uses
FROM unnest($1::bigint[], $2::text[], $3::int[]) AS v (ticket_id, function_code, uses)
""")
_SALES = PreparedStatement("""
INSERT INTO ticket_sales (ticket_id, order_id, item_index, passenger_index, stock_id, departure_id, seat_index, seat,
  amount_minor, reference_time, changes_made)
SELECT v.* FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[],
  $7::int[], $8::text[], $9::bigint[], $10::timestamptz[], $11::smallint[]) v
""")


@dataclass(frozen=True, slots=True)
class NewTicket:
    """A ticket to be: a place of an item, or one of what it shares, which has no place."""

    item_index: int
    offer: Offer
    item: OrderItem
    place: Place | None
    seat_index: int | None
    entitlements: list[dict[str, Any]]


@dataclass(slots=True)
class TicketRows:
    """What one transaction writes; rows are in the order of the statements' columns."""

    tickets: list[tuple[Any, ...]] = field(default_factory=list)
    entitlements: list[tuple[Any, ...]] = field(default_factory=list)
    sales: list[tuple[Any, ...]] = field(default_factory=list)

    def add(
        self,
        order: Order,
        new: NewTicket,
        number: int,
        *,
        names: Sequence[str],
        changes_made: int,
        blocked: bool,
    ) -> None:
        """A ticket of an order; `names` are those of its passengers. With `blocked` every gate
        refuses it.
        """
        place, offer = new.place, new.offer
        seat = None
        if new.seat_index is not None and offer.seat_map:
            seat = offer.seat_map.labels[new.seat_index]
        self.tickets.append(
            (
                number,
                Number.unpack(number).code(DIRECT_PREFIX, DIRECT_CODE),
                uuid4(),
                offer.product_id,
                new.item.snapshot_id,
                order.order_id,
                place.customer_type if place else "",
                names[place.passenger] if place else "",
                offer.valid_from_time.isoformat(),
                offer.valid_until_time.isoformat(),
                blocked,
            )
        )
        self.entitlements += [
            (number, each["function_code"], each["total_uses"]) for each in new.entitlements
        ]
        self.sales.append(
            (
                number,
                order.order_id,
                new.item_index,
                place.passenger if place else SHARED,
                new.item.stock_id,
                new.item.departure_id,
                new.seat_index,
                seat,
                place.amount_minor if place else 0,
                offer.reference_time.isoformat(),
                changes_made,
            )
        )

    def writing(self, now: datetime) -> list[Command]:
        """Writes them in a hot transaction."""
        commands: list[Command] = [(_TICKETS, [now.isoformat(), *columns(self.tickets)])]
        if self.entitlements:
            commands.append((_ENTITLEMENTS, columns(self.entitlements)))
        return [*commands, (_SALES, columns(self.sales))]


def new_tickets(
    index: int, item: OrderItem, offer: Offer, seats: Sequence[int] | None, *, shares: bool
) -> Iterable[NewTicket]:
    """One for each place, on `seats` if those are others than ordered, and one for each shared
    entitlement.
    """
    own = [each for each in offer.entitlements if not each.get("shared")]
    for n, place in enumerate(item.places):
        seat_index = seats[n] if seats else place.seat_index
        yield NewTicket(index, offer, item, place, seat_index, own)
    for each in offer.entitlements:
        if each.get("shared") and shares:
            yield NewTicket(index, offer, item, None, None, [each])
