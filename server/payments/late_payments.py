"""Payments of orders whose hold is over: what was ordered is taken again, if it can be had, on
other seats if need be.
"""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.departures import CANCELLED
from server.catalog.offers import Offer
from server.orders import ordered_departures
from server.orders.content import OrderItem
from server.orders.ordered_departures import Departures
from server.orders.orders import Order
from server.orders.reader import OrderReader
from server.payments import changed_tickets
from server.platform.errors import DomainError, Reason
from server.stock import holds, quotas
from server.stock.journeys import Ride

_REASONS = (
    Reason.SOLD_OUT,
    Reason.TOO_MANY_FOR_TRAVELLER,
    Reason.DUPLICATE_PASSENGER,
    Reason.OFFER_NOT_AVAILABLE,
    Reason.OVERLAPPING_JOURNEY,
)
"""Why the stock of an order whose hold is over cannot be taken again."""


class GoneError(Exception):
    """What was ordered cannot be had again."""


async def take_again(
    tx: AsyncConnection, reader: OrderReader, order: Order, *, actor: str, now: datetime
) -> dict[int, tuple[int, ...]]:
    """Holds again what an expired order held, and gives the seats of each item, others than before
    if those are taken.

    Raises GoneError if that cannot be: then what it has done so far is to be rolled back.
    """
    try:
        return await _take_again(tx, reader, order, actor=actor, now=now)
    except DomainError as error:
        if error.reason not in _REASONS:
            raise
        raise GoneError(error.message) from error


async def _take_again(
    tx: AsyncConnection, reader: OrderReader, order: Order, *, actor: str, now: datetime
) -> dict[int, tuple[int, ...]]:
    offers = await reader.sold_offers(tx, [order])
    items = list(enumerate(order.content.items))
    running = await ordered_departures.of_order(tx, order.order_id)
    for _, item in items:
        offer = ordered_departures.as_it_is(
            offers[item.snapshot_id, item.offer_id], item.departure_id, running
        )
        _require_still_sold(item, offer, running, now)
    old, why_not = await changed_tickets.begin_again(tx, order, actor=actor, now=now)
    if why_not:
        raise GoneError(why_not)
    await holds.lock(tx, holds.all_stocks([*order.takes, *(old.takes if old else ())]))
    takes = []
    seats: dict[int, tuple[int, ...]] = {}
    for index, item in items:
        offer = offers[item.snapshot_id, item.offer_id]
        take = replace(
            order.content.take_of(item, order.order_id, order.traveller_id),
            ride=_ride(item, offer, running),
            changes_order_id=order.changes_order_id,
        )
        takes.append(take)
        seats[index] = await holds.take(
            tx,
            take,
            offer_id=item.offer_id,
            seat_map=offer.seat_map,
            max_per_traveller=offer.max_per_traveller,
            now=now,
        )
    for take in order.content.caps(order.order_id, order.traveller_id):
        await holds.take(tx, take, offer_id="", seat_map=None, max_per_traveller=0, now=now)
    for use, (_, limit) in zip(order.uses, order.content.promotion_limits, strict=True):
        if await quotas.count(tx, use, limit=limit) is not None:
            raise GoneError("the promotion is used as often as one traveller may")
    await holds.add_journeys(tx, takes, now=now)
    return seats


def _ride(item: OrderItem, offer: Offer, running: Departures) -> Ride | None:
    """When what was sold travels, from when its departure leaves; None for a package."""
    departure = running.get(item.departure_id) if item.departure_id is not None else None
    if departure is None or offer.journey is None or offer.span is None:
        return None
    return Ride.of(offer.span, departure.sold_for(offer.journey.service_time))


def _require_still_sold(item: OrderItem, offer: Offer, running: Departures, now: datetime) -> None:
    """Raises GoneError for what is not sold any more: its time is over, or the departure was
    cancelled.
    """
    departure = running.get(item.departure_id) if item.departure_id is not None else None
    is_cancelled = departure is not None and departure.state == CANCELLED
    if now >= offer.sale_until_time or is_cancelled:
        raise GoneError(f"{item.offer_id} is not sold any more")
