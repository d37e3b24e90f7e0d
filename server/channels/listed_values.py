"""What a channel is to know of its listings on each day, worked out of catalogue and stock."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import pricing
from server.catalog.catalogue import Catalogue
from server.catalog.offers import Offer, RentalPlace
from server.catalog.policy import TicketStart
from server.catalog.rental_rules import DAY_MINUTES, OpeningHours, RentalKey
from server.channels.listings import ChannelListing
from server.channels.plan_rules import offer_id, plan_price
from server.platform.currencies import decimals
from server.platform.statements import Statement, run
from server.stock.ids import DIRECT, day_stock_id, departure_id


class WantedValue(NamedTuple):
    """What a channel is to know of an item on a day; `currency_code` of a price alone, `stock_id`
    of a quantity that is sold, with the version that was read; `content` of static data.
    """

    what: str
    item_id: str
    day: date
    location: str
    wanted: int
    currency_code: str | None
    stock_id: int | None
    stock_version: int = 0
    content: Mapping[str, Any] | None = None


class LeftOfStock(NamedTuple):
    """How many of a stock are left, none of one that is closed, at a version of it."""

    stock_id: int
    left: int
    version: int


class ListedDay(NamedTuple):
    """A listing on a day: what of the catalogue is sold, if anything, and the stocks that it may be
    taken of, the narrowest first.
    """

    listing: ChannelListing
    day: date
    offer: Offer | None
    stock_ids: tuple[int, ...]


_LEFT = Statement(
    """
SELECT stock_id, GREATEST(CASE WHEN closed THEN 0 ELSE total - held - sold END, 0), version
FROM stocks WHERE stock_id = ANY($1::bigint[])
""",
    LeftOfStock,
)


def listed_days(
    catalogue: Catalogue,
    listings: Sequence[ChannelListing],
    *,
    partner_id: int,
    today: date,
    now: datetime,
) -> list[ListedDay]:
    """All days ahead of what is listed at a channel that sells this partner's allotments."""
    days: list[ListedDay] = []
    for listing in listings:
        for ahead in range(listing.days_ahead):
            day = today + timedelta(days=ahead)
            offer = _offer(catalogue, listing, day, partner_id=partner_id, now=now)
            stock_ids = _stock_ids(offer, day, partner_id) if offer else ()
            days.append(ListedDay(listing, day, offer, stock_ids))
    return days


def notice_levels(days: Iterable[ListedDay]) -> dict[int, int]:
    """How few must be left of each stock for channels to know it at once."""
    levels: dict[int, int] = {}
    for each in days:
        for stock_id in each.stock_ids:
            levels[stock_id] = max(levels.get(stock_id, 0), each.listing.threshold)
    return levels


async def wanted_values(
    tx: AsyncConnection,
    catalogue: Catalogue,
    days: Iterable[ListedDay],
    *,
    partner_id: int,
    now: datetime,
) -> list[WantedValue]:
    """Prices and quantities of listed days. One without an offer, or a fare, has the quantity 0 and
    no price. A partner sells at the fare, whatever promotions we have.
    """
    wanted = sorted({stock_id for each in days for stock_id in each.stock_ids})
    left = {row.stock_id: row for row in await run(tx, _LEFT(wanted))} if wanted else {}
    values: list[WantedValue] = []
    for listing, day, offer, stock_ids in days:
        price = _price(catalogue, listing, offer, partner_id, now) if offer else None
        stock = next((left[each] for each in stock_ids if each in left), None)
        place = (listing.item_id, day, listing.location)
        if stock is None or price is None:
            values.append(WantedValue("AVAILABILITY", *place, 0, None, None, 0))
        else:
            left_of, version = stock.stock_id, stock.version
            values.append(WantedValue("AVAILABILITY", *place, stock.left, None, left_of, version))
        if price is not None:
            values.append(WantedValue("PRICES", *place, price, listing.currency_code, None, 0))
    return values


def _offer(
    catalogue: Catalogue, listing: ChannelListing, day: date, *, partner_id: int, now: datetime
) -> Offer | None:
    if listing.rental_location_id is not None:
        rented = _rented_for_a_day(catalogue, listing, day)
        is_sold = rented and rented.sale_from_time <= now < rented.sale_until_time
        return rented if is_sold else None
    found = catalogue.offer(offer_id_of(listing, day))
    if found is None:
        return None
    why = found.unavailable(now)
    # before the beginning of our own sale a partner sells what it has
    is_sold = not why or (partner_id != DIRECT and why == "NOT_YET_ON_SALE")
    return found if is_sold else None


def offer_id_of(listing: ChannelListing, day: date) -> str:
    """The id of the offer of a package or departure on a day."""
    timetable = listing.timetable_id
    return offer_id(
        product_id=listing.product_id,
        timetable_id=timetable,
        class_index=listing.class_index,
        origin_index=listing.origin_index,
        destination_index=listing.destination_index,
        departure_id=None if timetable is None else departure_id(timetable, day),
        day=day,
    )


BEYOND_A_DAY = frozenset({"", "LOCATION_CLOSED", "RENTAL_LENGTH"})
"""Faults of a rental of one day that one of more days need not have: it may be returned when the
location is open again.
"""


def _rented_for_a_day(catalogue: Catalogue, listing: ChannelListing, day: date) -> Offer | None:
    """What says price and stock of a day: from when the location closes, as a car is rented as long
    as it can still be picked up, for a driver who pays nothing for his age. None where nobody picks
    a car up.
    """
    rentals, location_id = catalogue.rentals, listing.rental_location_id or 0
    car = rentals.cars.get(listing.product_id or 0)
    place = rentals.locations.get(location_id)
    hours = opening_hours(place, day) if place else []
    if car is None or not hours:
        return None
    places = location_id, location_id
    age = max(car.min_driver_age, car.young_driver_age)
    last = hours[-1][1]
    key = RentalKey(car.product_id, last, *places, DAY_MINUTES, age)
    found = catalogue.rental(key)
    return found if found and found.static_fault in BEYOND_A_DAY else None


def opening_hours(place: RentalPlace, day: date) -> list[tuple[datetime, datetime]]:
    """From when to when a location is open on a day, by its clock, both included; none if it is
    closed.
    """
    if day.isoformat() in place.closed_dates:
        return []
    midnight = datetime.combine(day, time())
    hours = [OpeningHours.parse(each) for each in place.opening_hours]
    return [
        (midnight + timedelta(minutes=each.opens), midnight + timedelta(minutes=last))
        for each in sorted(hours)
        if each.weekday == day.isoweekday()
        for last in [min(each.closes, DAY_MINUTES - 1)]  # 24:00 is another day's
    ]


def _stock_ids(offer: Offer, day: date, partner_id: int) -> tuple[int, ...]:
    """Where the channel's stock of an offer may be, the narrower first: a partner may have one of a
    package's single day. An offer's own is DIRECT's, whose keys end with 0.
    """
    of_all = offer.stock_id + partner_id
    if partner_id and offer.start is TicketStart.FIRST_DAY:
        return day_stock_id(offer.product_id, day, partner_id), of_all
    return (of_all,)


def _price(
    catalogue: Catalogue, listing: ChannelListing, offer: Offer, partner_id: int, now: datetime
) -> int | None:
    try:
        if partner_id:
            minor = pricing.fare_of(offer.fares, listing.customer_type, offer.day_type)
        else:
            minor = catalogue.price(offer, [listing.customer_type], [], now).total_minor
    except pricing.NoFare:
        return None
    return planned(listing, offer.currency_code, minor)


def planned(listing: ChannelListing, currency_code: str, amount_minor: int) -> int:
    """An amount in a product's currency as the listing's price plan sells it."""
    return plan_price(
        amount_minor,
        digits=decimals(currency_code),
        plan_digits=decimals(listing.currency_code),
        rate_millionths=listing.rate_millionths,
        markup_basis_points=listing.markup_basis_points,
    )
