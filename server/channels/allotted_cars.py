"""Cars that a partner's channel has sold: what is booked, changed and given back of them, by the
use cases of `server/partners/rented_cars.py`.
"""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import pricing
from server.catalog.catalogue import Catalogue
from server.catalog.offers import Offer
from server.channels import booking_rules as rules
from server.channels.booked_offers import (
    BookedOffer,
    BookingFaultError,
    NotSoldError,
    booked_offer,
    name_of,
)
from server.channels.booking_orders import require_known_total
from server.channels.booking_seals import StoredBooking
from server.channels.facts import Booking, CancellationReason
from server.channels.listings import listings_of
from server.identity.callers import Partner
from server.orders.partner_orders import Sale
from server.partners import rented_cars
from server.partners.rented_cars import SoldCar
from server.platform.errors import DomainError, Reason


async def booked(
    tx: AsyncConnection,
    catalogue: Catalogue,
    booking: StoredBooking,
    content: Booking,
    *,
    at: datetime,
) -> BookedOffer:
    """What is booked, by the listings of the channel, looked `at` then. Raises BookingFaultError,
    NotSoldError.
    """
    return booked_offer(catalogue, await listings_of(tx, booking.channel_code), content, at=at)


async def rented(
    tx: AsyncConnection,
    catalogue: Catalogue,
    found: BookedOffer,
    booking: StoredBooking,
    content: Booking,
    *,
    now: datetime,
) -> tuple[Offer, Sale]:
    """The car that is booked, and its sale: at the fares of its days, whatever promotions we have.
    Raises NotSoldError.
    """
    offer, listing = catalogue.offer(found.offer_id), found.listing
    why = offer.unavailable(now) if offer else "it is not on sale"
    if offer is None or why:
        raise NotSoldError(CancellationReason.VEHICLE_UNAVAILABLE, why)
    try:
        total_minor = pricing.price(offer.terms, [listing.customer_type], [], now).total_minor
    except pricing.NoFare:
        raise NotSoldError(CancellationReason.OTHER, "it has no fare") from None
    await require_known_total(tx, listing, offer, total_minor, content)
    name = name_of(content.customer)
    bought = (listing.customer_type, name, booking.name, total_minor, offer.currency_code, 1)
    return offer, Sale(*bought)


async def make_room(
    tx: AsyncConnection,
    booking: StoredBooking,
    content: Booking,
    partner: Partner,
    car: SoldCar,
    *,
    catalogue: Catalogue,
    now: datetime,
) -> StoredBooking | None:
    """Gives a car back by its policy for what the customer has changed the booking to, which may
    need the same one: None. The booking as it goes on, if that is the same rental. Raises
    BookingFaultError, REFUND_REFUSED.
    """
    found = await booked(tx, catalogue, booking, content, at=booking.create_time)
    offer = catalogue.offer(found.offer_id)
    if offer is None or offer.rental is None:
        raise BookingFaultError("the change cannot be made: it is no car; cancel, and book anew")
    if _same_rental(offer, car.offer):
        return booking._replace(state=rules.CONFIRM_PENDING, is_asked=False, fault="")
    await rented_cars.lock_stocks(tx, car, partner, offer)
    await rented_cars.give_back(tx, partner, car, now=now)
    return None


async def give_back(
    tx: AsyncConnection,
    booking: StoredBooking,
    ended: StoredBooking,
    partner: Partner,
    car: SoldCar,
    *,
    whole: bool,
    now: datetime,
) -> StoredBooking:
    """The booking, ended, with what is kept of its total."""
    if car.ticket.state == "REFUNDED":
        return ended
    try:
        back = await rented_cars.give_back(tx, partner, car, now=now, whole=whole)
    except DomainError as error:
        return kept(booking, ended, error)
    paid = car.amount_minor
    fee = rules.kept_of(booking.total_minor, paid_minor=paid, back_minor=back)
    return ended._replace(fee_minor=fee)


def kept(booking: StoredBooking, ended: StoredBooking, error: DomainError) -> StoredBooking:
    """What is ended, of which nothing is given back. Raises any other error."""
    if error.reason is not Reason.REFUND_REFUSED:
        raise error
    fault = f"nothing is given back, and its tickets stay: {error}"
    return ended._replace(fee_minor=booking.total_minor, fault=fault)


def _same_rental(one: Offer, other: Offer) -> bool:
    """Whether both are the same car for the same time, whatever it costs."""
    said = [
        (
            *(each.fleet_id, each.pick_up_time, each.return_time, each.driver_age),
            each.drop_off_location.location_id,
            {extra.extra_code: extra.quantity for extra in each.extras if extra.quantity},
        )
        for each in (one.rental, other.rental)
        if each
    ]
    return said[0] == said[1]
