"""What a booking of a channel is a booking of: the offer that it becomes an order of, and the
totals at which it is sold. No I/O.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from server.catalog.catalogue import Catalogue
from server.catalog.offers import Offer, RentalPlace
from server.catalog.rental_rules import RentalKey, minutes_between
from server.channels.booking_seals import StoredBooking
from server.channels.facts import Booking, BookingCustomer, CancellationReason
from server.channels.listed_values import offer_id_of, opening_hours, planned
from server.channels.listings import ChannelListing
from server.orders.passengers import Passenger
from server.orders.prices import NewOrder, Wish
from server.platform.phones import read_phone_number
from server.platform.texts import read_name

LONGEST_NAME = 100
TO_BOOK = timedelta(minutes=15)
"""So long a booking may take us: a pick-up that can be booked only sooner is not chosen for it."""
QUARTER = timedelta(minutes=15)
NAMELESS = "Guest"
"""Who travels where a vendor names nobody."""


class BookingFaultError(Exception):
    """What is booked is not known here, or not enough of it: an administrator is needed. The text
    says what is missing, without personal data.
    """


class NotSoldError(Exception):
    """It cannot be sold so.

    Attributes:
        reason: why, for the vendor.
    """

    def __init__(self, reason: CancellationReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class SentPrice(NamedTuple):
    """What a channel was sent as the price of a day, in minor units, and what before that."""

    day: date
    sent: int
    sent_before: int | None


def seen(booking: StoredBooking, now: datetime) -> datetime:
    """When a booking was first seen, so that each look finds the same pick-up of one that names a
    day alone; `now` if that is too long ago for it.
    """
    return booking.create_time if now - booking.create_time < TO_BOOK else now


class BookedOffer(NamedTuple):
    """An offer that was booked, by a listing."""

    listing: ChannelListing
    offer_id: str


def booked_offer(
    catalogue: Catalogue, listings: Sequence[ChannelListing], booking: Booking, *, at: datetime
) -> BookedOffer:
    """Which offer it is, of a booking that is looked `at` then. Raises BookingFaultError,
    NotSoldError.
    """
    found = [each for each in listings if each.item_id == booking.item_id]
    if not found:
        raise BookingFaultError(f"nothing is listed as {booking.item_id!r}; list it")
    listing = found[0]
    if booking.pickup_location != listing.location:
        raise BookingFaultError(f"{booking.item_id!r} is listed at {listing.location}, not there")
    if listing.rental_location_id is not None:
        key = _rental(catalogue, listings, listing, booking, at)
        return BookedOffer(listing, key.offer_id)
    if booking.return_day - booking.pickup_day > timedelta(days=1):
        raise NotSoldError(CancellationReason.OTHER, "a ticket is for one day")
    return BookedOffer(listing, offer_id_of(listing, booking.pickup_day))


def _rental(
    catalogue: Catalogue,
    listings: Sequence[ChannelListing],
    listing: ChannelListing,
    booking: Booking,
    at: datetime,
) -> RentalKey:
    back = {
        each.rental_location_id for each in listings if each.location == booking.return_location
    } - {None}
    if len(back) != 1:
        raise BookingFaultError(f"no listing says which location {booking.return_location} is")
    if booking.driver_age is None:
        raise BookingFaultError("driver_age is missing, and none is assumed")
    place = catalogue.rentals.locations.get(listing.rental_location_id or 0)
    if place is None:
        raise NotSoldError(CancellationReason.VEHICLE_UNAVAILABLE, "the location is closed")
    assert listing.product_id is not None, "a constraint says so"
    if booking.pickup_clock:
        start = datetime.combine(booking.pickup_day, booking.pickup_clock)
        start = start.replace(second=0, microsecond=0)
    else:
        start = _earliest(catalogue, listing.product_id, place, booking.pickup_day, at)
    returned = (booking.return_clock or start.time()).replace(second=0, microsecond=0)
    end = datetime.combine(booking.return_day, returned)
    return RentalKey(
        listing.product_id,
        start,
        place.location_id,
        back.pop() or 0,
        minutes_between(start, end),
        booking.driver_age,
        _extras(catalogue, booking),
    )


def _earliest(
    catalogue: Catalogue, product_id: int, place: RentalPlace, day: date, at: datetime
) -> datetime:
    """When a car is picked up of which a vendor names the day alone: when the location opens, or,
    once that cannot be booked any more, in whole quarters of an hour as soon as it can. By the
    location's clock.
    """
    hours = opening_hours(place, day)
    if not hours:
        return datetime.combine(day, time(12))  # which nobody can book
    fleet = catalogue.rentals.fleets.get((product_id, place.location_id))
    closing = timedelta(minutes=fleet.closing_minutes) if fleet else timedelta()
    clock = at.astimezone(ZoneInfo(place.time_zone)).replace(tzinfo=None)
    midnight = datetime.combine(day, time())
    earliest = midnight - (midnight - (clock + closing + TO_BOOK)) // QUARTER * QUARTER
    found = [max(opens, earliest) for opens, closes in hours if earliest <= closes]
    return found[0] if found else hours[-1][1]


def _extras(catalogue: Catalogue, booking: Booking) -> tuple[tuple[int, int], ...]:
    """The extras by number: of each option that is chosen the one with its code."""
    by_code = {each.extra_code: each.extra_id for each in catalogue.rentals.extras.values()}
    chosen = []
    for code, quantity in asdict(booking.options).items():
        if quantity and code not in by_code:
            raise BookingFaultError(f"options.{code} is booked, and there is no such extra")
        if quantity:
            chosen.append((by_code[code], int(quantity)))
    return tuple(sorted(chosen))


def days_of(offer: Offer, booking: Booking) -> list[date]:
    """The days whose prices a booking is sold at."""
    days = len(offer.rental.stock_ids) if offer.rental else 1
    return [booking.pickup_day + timedelta(days=each) for each in range(days)]


def known_totals(
    listing: ChannelListing, offer: Offer, total_minor: int, sent: Mapping[date, SentPrice | None]
) -> set[int]:
    """The totals that we stand by, in minor units of the listing's currency: what it costs now
    (`total_minor`, in the product's), and what the channel was sent for all its `days_of`, last or
    before that, with what a rental costs besides its days.
    """
    totals = {planned(listing, offer.currency_code, total_minor)}
    days = [each for each in sent.values() if each]
    if len(days) == len(sent):
        charges = offer.rental.charges if offer.rental else ()
        more = sum(each.quantity * each.unit_minor for each in charges)
        besides = planned(listing, offer.currency_code, more)
        last = sum(each.sent for each in days)
        before = sum(each.sent if each.sent_before is None else each.sent_before for each in days)
        totals |= {last + besides, before + besides}
    return totals


def name_of(customer: BookingCustomer) -> str:
    """The name of who travels."""
    try:
        return read_name(f"{customer.first_name} {customer.last_name}"[:LONGEST_NAME].strip())
    except ValueError:
        return NAMELESS


def new_order(found: BookedOffer, booking: Booking, quoted_minor: int) -> NewOrder:
    """What a booking is as an order, at the price of now, in the product's currency."""
    try:
        phone = read_phone_number(booking.customer.phone)
    except ValueError:
        phone = ""
    return NewOrder(
        (Wish(found.offer_id),),
        (Passenger(name_of(booking.customer), found.listing.customer_type),),
        quoted_minor=quoted_minor,
        contact_phone=phone,
        documents_known=False,
    )
