"""Batches of a departure: what its tickets are sold as, and the seats they get.

They are made of a reservation of one class of it. Each ticket is of one leg, from a stop to a later
one, and for one person, whose name and customer type come with its activation; documents stay with
the partner, who looks at them. Where the class has numbered seats each ticket gets one when it is
made, so that it can be printed, and leaves it when it is not sold after all.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import departures, pricing
from server.catalog.catalogue import Catalogue
from server.catalog.departures import (
    CANCELLED,
    DepartureNow,
    departure_cancelled,
    departure_left,
)
from server.catalog.offers import Offer
from server.orders.prices import not_available
from server.partners.reservations import Reservation
from server.platform.errors import DomainError, invalid
from server.platform.statements import run
from server.stock import holds, partner_seats
from server.stock.ids import class_index
from server.stock.inventory import not_on_sale, sold_out
from server.tickets import departure_tickets
from server.tickets.departure_tickets import DepartureTicket


async def leg(
    tx: AsyncConnection,
    catalogue: Catalogue,
    reserved: Reservation,
    *,
    origin: str,
    destination: str,
    now: datetime,
) -> Offer:
    """What the tickets of a reservation of a departure are sold as, with its times as they are now;
    nobody cancels or moves it until the end of the transaction.

    Raises DEPARTURE_CANCELLED, INVALID_FIELD (no such stop, or it has left), OFFER_NOT_AVAILABLE
    (no fare, a blackout date, its sale is over), PRODUCT_NOT_ON_SALE.
    """
    assert reserved.departure_id is not None, "it is of a departure"
    (departure,) = await run(tx, departures.held(reserved.departure_id))
    if departure.state == CANCELLED:
        raise departure_cancelled(departure.departure_id, "no tickets are made of it")
    if departure.departure_time <= now:
        raise departure_left(departure.departure_time)
    index = class_index(reserved.stock_id)
    offer = catalogue.leg(departure.departure_id, index, origin, destination)
    if offer is None and (origin or destination):
        field = "origin_stop_code" if origin else "destination_stop_code"
        raise invalid(field, "the departure does not go from there to there; name two of its stops")
    if offer is None or offer.journey is None or offer.journey.service_time is None:
        raise not_on_sale(reserved.product_id)
    offer = offer.moved_by(departure.departure_time - offer.journey.service_time)
    why = offer.unavailable(now)
    if why and why != "NOT_YET_ON_SALE":  # partners prepare their tickets before
        raise not_available(offer, why)
    return offer


def content(offer: Offer) -> dict[str, Any]:
    """The price snapshot of a departure's tickets: with the fares of its own day alone."""
    types = sorted({customer_type for customer_type, _ in offer.fares})
    fares = []
    for customer_type in types:
        try:
            amount = pricing.fare_of(offer.fares, customer_type, offer.day_type)
        except pricing.NoFare:
            continue
        fare = {"customer_type": customer_type, "day_type": offer.day_type, "amount_minor": amount}
        fares.append(fare)
    if not fares:
        raise not_available(offer, "NO_FARE")
    return {**offer.snapshot, "fares": fares}


async def seat(
    tx: AsyncConnection,
    reserved: Reservation,
    offer: Offer,
    ticket_ids: Sequence[int],
    *,
    now: datetime,
) -> list[str]:
    """Notes the departure of new tickets and gives them seats where these are numbered; their
    labels, empty where they are not.

    Both stocks stay locked: call it late. Raises SOLD_OUT.
    """
    assert reserved.departure_id is not None, "it is of a departure"
    seat_map, seated = offer.seat_map, reserved.seated_stock_id
    indexes: list[int] | None = None
    if seat_map is not None:
        await holds.lock(tx, {seated, reserved.stock_id})
        indexes = await partner_seats.take(tx, seated, seat_map, ticket_ids, now=now)
        if indexes is None:
            raise sold_out(reserved.product_id, len(ticket_ids), 0)
    labels = [seat_map.labels[each] for each in indexes or ()] if seat_map else []
    of_departure = reserved.departure_id, seated
    made = [
        DepartureTicket(
            ticket_id,
            *of_departure,
            indexes[at] if indexes else None,
            labels[at] if labels else None,
            offer.reference_time,
        )
        for at, ticket_id in enumerate(ticket_ids)
    ]
    await run(tx, departure_tickets.record(made))
    return labels


async def refusals(
    tx: AsyncConnection, reserved: Sequence[Reservation], now: datetime
) -> dict[UUID, DomainError | None]:
    """Why tickets of locked reservations cannot be sold any more, by reservation: it has ended, or
    its departure is cancelled or has left. None if they can.

    One that is cancelled meanwhile waits with what partners have of it for the reservations' locks,
    and finds what was sold.
    """
    numbers = {each.departure_id for each in reserved if each.departure_id is not None}
    found = await run(tx, departures.as_they_are(numbers))
    by_number = {each.departure_id: each for each in found}
    return {
        each.reservation_id: each.refusal(now)
        or _refusal(each, by_number.get(each.departure_id or 0), now)
        for each in reserved
    }


def _refusal(
    reserved: Reservation, departure: DepartureNow | None, now: datetime
) -> DomainError | None:
    if departure is None:
        return None
    if departure.state == CANCELLED:
        remedy = "what was reserved of it is given back"
        return departure_cancelled(departure.departure_id, remedy)
    if departure.departure_time <= now:
        return reserved._replace(expire_time=departure.departure_time).refusal(now)
    return None
