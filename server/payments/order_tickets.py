"""The tickets that paid orders get, what they entitle to, and how they were sold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from server.catalog.offers import Offer
from server.orders import ticket_sales
from server.orders.content import SHARED, OrderItem, Place
from server.orders.orders import Order
from server.orders.ticket_sales import TicketSale
from server.orders.travel_tickets import ticket_code
from server.platform.statements import Command
from server.tickets import creation
from server.tickets.creation import NewEntitlement, NewTicket


@dataclass(frozen=True, slots=True)
class PlaceTicket:
    """A ticket to be: a place of an item, or one of what it shares, which has no place."""

    item_index: int
    offer: Offer
    item: OrderItem
    place: Place | None
    seat_index: int | None
    entitlements: list[dict[str, Any]]


@dataclass(slots=True)
class OrderTickets:
    """The tickets that one transaction makes, of however many orders."""

    tickets: list[NewTicket] = field(default_factory=list)
    entitlements: list[NewEntitlement] = field(default_factory=list)
    sales: list[TicketSale] = field(default_factory=list)

    def add(
        self,
        order: Order,
        new: PlaceTicket,
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
            NewTicket(
                number,
                ticket_code(number),
                uuid4(),
                offer.product_id,
                new.item.snapshot_id,
                order.order_id,
                place.customer_type if place else "",
                names[place.passenger] if place else "",
                offer.valid_from_time,
                offer.valid_until_time,
                blocked,
            )
        )
        self.entitlements += [
            NewEntitlement(number, each["function_code"], each["total_uses"])
            for each in new.entitlements
        ]
        self.sales.append(
            TicketSale(
                number,
                order.order_id,
                new.item_index,
                place.passenger if place else SHARED,
                new.item.stock_id,
                new.item.departure_id,
                new.seat_index,
                seat,
                place.amount_minor if place else 0,
                offer.reference_time,
                changes_made,
            )
        )

    @property
    def numbers(self) -> list[int]:
        """Of the tickets, in the order they were added."""
        return [ticket.ticket_id for ticket in self.tickets]

    def create(
        self, now: datetime
    ) -> tuple[Command[None] | None, Command[None] | None, Command[None] | None]:
        """Writes them, in the transaction that makes their orders PAID."""
        return (
            creation.create(self.tickets, now=now),
            creation.entitle(self.entitlements),
            ticket_sales.record(self.sales),
        )


def of_item(
    index: int, item: OrderItem, offer: Offer, seats: Sequence[int] | None, *, shares: bool
) -> Iterable[PlaceTicket]:
    """A ticket for each place of an item, on `seats` if those are others than ordered, and one for
    each shared entitlement.
    """
    own = [each for each in offer.entitlements if not each.get("shared")]
    for n, place in enumerate(item.places):
        seat_index = seats[n] if seats else place.seat_index
        yield PlaceTicket(index, offer, item, place, seat_index, own)
    for each in offer.entitlements:
        if each.get("shared") and shares:
            yield PlaceTicket(index, offer, item, None, None, [each])
