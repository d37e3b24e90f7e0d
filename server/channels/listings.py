"""What is listed at a channel, and what it is to know of it on each day, worked out of catalogue
and stock.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple, Unpack

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, already_exists, version_mismatch
from server.audit.trail import AuditedChange, audit
from server.catalog import pricing
from server.catalog.catalogue import Catalogue
from server.catalog.offers import Offer, RentalPlace
from server.catalog.policy import TicketStart
from server.catalog.products import PRODUCTS
from server.catalog.rental_locations import LOCATIONS
from server.catalog.rental_rules import DAY_MINUTES, OpeningHours, RentalKey
from server.catalog.routes import ROUTES
from server.catalog.timetables import TIMETABLES
from server.channels.channel_records import CHANNELS, CURRENCY
from server.channels.channel_words import LONGEST_WORD
from server.channels.due import WORK_OUT, ask_for
from server.channels.models import channel_listings
from server.channels.plan_rules import MILLION, offer_id, plan_price
from server.platform.currencies import decimals
from server.platform.errors import invalid, not_found
from server.platform.statements import Statement, run
from server.stock.ids import day_stock_id, departure_id


@dataclass(frozen=True, slots=True)
class ChannelListing:
    """What is listed as `item_id`: a package, a category of cars that is rented and returned at a
    location, or a class of a timetable's departures between two stops, by their positions; with its
    price plan.
    """

    channel_code: str
    item_id: str
    location: str
    currency_code: str
    product_id: int | None = None
    timetable_id: int | None = None
    class_index: int | None = None
    origin_index: int | None = None
    destination_index: int | None = None
    customer_type: str = "ADULT"
    rate_millionths: int = MILLION
    markup_basis_points: int = 0
    threshold: int = 5
    days_ahead: int = 90
    rental_location_id: int | None = None
    version: int = 1
    create_time: datetime | None = None
    update_time: datetime | None = None

    @property
    def name(self) -> str:
        """As errors and the audit trail call it."""
        return f"{self.channel_code}/{self.item_id}"


class WantedValue(NamedTuple):
    """What a channel is to know of an item on a day; `currency_code` of a price alone, `stock_id`
    of a quantity that is sold.
    """

    what: str
    item_id: str
    day: date
    location: str
    wanted: int
    currency_code: str | None
    stock_id: int | None


class LeftOfStock(NamedTuple):
    """How many of a stock are left, none of one that is closed."""

    stock_id: int
    left: int


_LEFT = Statement(
    """
SELECT stock_id, CASE WHEN closed THEN 0 ELSE total - held - sold END
FROM stocks WHERE stock_id = ANY($1::bigint[])
""",
    LeftOfStock,
)


async def add_listing(tx: AsyncConnection, new: ChannelListing, **by: Unpack[By]) -> ChannelListing:
    """Lists something, and has it sent. Raises NOT_FOUND, REVOKED, ARCHIVED, ALREADY_EXISTS,
    INVALID_FIELD.
    """
    await CHANNELS.lock_active(tx, new.channel_code)
    await _check_subject(tx, new)
    listing = replace(new, version=1, create_time=by["now"], update_time=by["now"])
    _check_plan(asdict(listing))
    made = insert(channel_listings).values(asdict(listing)).on_conflict_do_nothing()
    if not (await tx.execute(made.returning(channel_listings.c.item_id))).one_or_none():
        raise already_exists("channel listing", listing.name)
    await _trace(tx, "create", listing, before=None, after=asdict(listing), **by)
    return listing


async def update_listing(
    tx: AsyncConnection,
    channel_code: str,
    item_id: str,
    values: Mapping[str, Any],
    *,
    version: int = 0,
    **by: Unpack[By],
) -> ChannelListing:
    """Changes a listing's price plan or pace, and has what differs sent. Raises NOT_FOUND, REVOKED,
    VERSION_MISMATCH, INVALID_FIELD.
    """
    before = await _locked(tx, channel_code, item_id, version)
    _check_plan(values)
    after = replace(before, **values, version=before.version + 1, update_time=by["now"])
    changed = {**values, "version": after.version, "update_time": by["now"]}
    await tx.execute(update(channel_listings).where(_is(channel_code, item_id)).values(changed))
    await _trace(tx, "update", after, before=asdict(before), after=asdict(after), **by)
    return after


async def remove_listing(
    tx: AsyncConnection, channel_code: str, item_id: str, *, version: int = 0, **by: Unpack[By]
) -> None:
    """Ends a listing; what the channel knows of it is made 0 by whoever works out its values next.
    Raises NOT_FOUND, REVOKED, VERSION_MISMATCH.
    """
    before = await _locked(tx, channel_code, item_id, version)
    await tx.execute(delete(channel_listings).where(_is(channel_code, item_id)))
    await _trace(tx, "delete", before, before=asdict(before), after=None, **by)


async def listings_of(tx: AsyncConnection, channel_code: str) -> list[ChannelListing]:
    """All of a channel, in the order of items."""
    return await _listings(tx, channel_listings.c.channel_code == channel_code)


async def get_listing(tx: AsyncConnection, channel_code: str, item_id: str) -> ChannelListing:
    """What is listed as an item. Raises NOT_FOUND, also for the channel."""
    await CHANNELS.get(tx, channel_code)
    found = await _listings(tx, _is(channel_code, item_id))
    if not found:
        raise not_found("channel listing", f"{channel_code}/{item_id}")
    return found[0]


async def page(
    tx: AsyncConnection, channel_code: str, *, after: str | None, limit: int
) -> list[ChannelListing]:
    """Up to `limit` listings after an item, in the order of items. Raises NOT_FOUND."""
    await CHANNELS.get(tx, channel_code)
    c = channel_listings.c
    return await _listings(
        tx, and_(c.channel_code == channel_code, c.item_id > (after or "")), limit
    )


async def _listings(
    tx: AsyncConnection, which: ColumnElement[bool], limit: int | None = None
) -> list[ChannelListing]:
    query = select(channel_listings).where(which).order_by(channel_listings.c.item_id).limit(limit)
    return [ChannelListing(**row) for row in (await tx.execute(query)).mappings()]


def _is(channel_code: str, item_id: str) -> ColumnElement[bool]:
    c = channel_listings.c
    return and_(c.channel_code == channel_code, c.item_id == item_id)


async def _locked(
    tx: AsyncConnection, channel_code: str, item_id: str, version: int
) -> ChannelListing:
    await CHANNELS.lock_active(tx, channel_code)
    found = await get_listing(tx, channel_code, item_id)
    if version and version != found.version:
        raise version_mismatch("channel listing", found.name, sent=version, now=found.version)
    return found


async def _check_subject(tx: AsyncConnection, new: ChannelListing) -> None:
    if (new.product_id is None) == (new.timetable_id is None):
        raise invalid("product_id", "list a product, or a timetable with class and stops")
    if new.rental_location_id is not None and new.product_id is None:
        raise invalid("rental_location_id", "needs product_id, whose cars are rented there")
    places = (new.class_index, new.origin_index, new.destination_index)
    if any((each is None) != (new.timetable_id is None) for each in places):
        raise invalid("timetable_id", "needs class_index, origin_index and destination_index")
    if new.timetable_id is not None:
        timetable = await TIMETABLES.rely_on(tx, new.timetable_id)
        route = await ROUTES.get(tx, timetable.route_id)
        if not 0 <= (new.origin_index or 0) < (new.destination_index or 0) < len(route.stops):
            raise invalid("destination_index", f"is none of the {len(route.stops)} stops after it")
        if all(each["class_index"] != new.class_index for each in route.fare_classes):
            raise invalid("class_index", "is none of the route's classes")
        return
    product = await PRODUCTS.rely_on(tx, new.product_id)
    if (product.kind == "RENTAL") != (new.rental_location_id is not None):
        raise invalid("rental_location_id", "is there of cars, and of nothing else")
    if product.kind not in {"PACKAGE", "RENTAL"}:
        raise invalid("product_id", f"is of kind {product.kind}; list a timetable of it")
    if new.rental_location_id is not None:
        await LOCATIONS.rely_on(tx, new.rental_location_id)


ITEM_ID = re.compile("(?=.*[A-Za-z0-9_:-])[A-Za-z0-9._:-]{1,100}")
LIMITS = {
    "rate_millionths": (1, 1_000_000 * MILLION),
    "markup_basis_points": (-10_000, 100_000),
    "threshold": (0, 1_000),
    "days_ahead": (1, 365),
}


def _check_plan(values: Mapping[str, Any]) -> None:
    for field, (least, most) in LIMITS.items():
        if field in values and not least <= values[field] <= most:
            raise invalid(field, f"send {least} to {most}")
    if "item_id" in values and not ITEM_ID.fullmatch(values["item_id"]):
        raise invalid(
            "item_id", "send 1 to 100 letters, digits, and any of . _ : - (not only dots)"
        )
    location = values.get("location", "-")
    if not location.strip() or len(location) > LONGEST_WORD or not location.isprintable():
        raise invalid("location", f"is no word; send 1 to {LONGEST_WORD} characters")
    if "currency_code" in values and not CURRENCY.fullmatch(values["currency_code"]):
        raise invalid("currency_code", "is no currency; send three capitals of ISO 4217")


async def wanted_values(
    tx: AsyncConnection,
    catalogue: Catalogue,
    listings: Sequence[ChannelListing],
    *,
    partner_id: int,
    today: date,
    now: datetime,
) -> list[WantedValue]:
    """Prices and quantities of all days ahead. A day without an offer, or a fare, has the quantity
    0 and no price.
    """
    days = [
        (listing, today + timedelta(days=ahead))
        for listing in listings
        for ahead in range(listing.days_ahead)
    ]
    offers = [(listing, day, _offer(catalogue, listing, day, now)) for listing, day in days]
    stocks = {id(o): _stock_ids(o, day, partner_id) for _, day, o in offers if o}
    wanted = sorted({each for ids in stocks.values() for each in ids})
    left = {row.stock_id: row.left for row in await run(tx, _LEFT(wanted))} if wanted else {}
    values: list[WantedValue] = []
    for listing, day, offer in offers:
        price = _price(catalogue, listing, offer, now) if offer else None
        known = [each for each in stocks[id(offer)] if each in left] if offer else []
        stock = known[0] if known and price is not None else None
        place = (listing.item_id, day, listing.location)
        quantity = max(left[stock], 0) if stock is not None else 0
        values.append(WantedValue("AVAILABILITY", *place, quantity, None, stock))
        if price is not None:
            values.append(WantedValue("PRICES", *place, price, listing.currency_code, None))
    return values


def _offer(catalogue: Catalogue, listing: ChannelListing, day: date, now: datetime) -> Offer | None:
    if listing.rental_location_id is not None:
        rented = _rented_for_a_day(catalogue, listing, day)
        is_sold = rented and rented.sale_from_time <= now < rented.sale_until_time
        return rented if is_sold else None
    found = catalogue.offer(offer_id_of(listing, day))
    return None if found is None or found.unavailable(now) else found


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
    """What says price and stock of a day: from when the location opens, for a driver who pays
    nothing for his age. None where nobody picks a car up.
    """
    rentals, location_id = catalogue.rentals, listing.rental_location_id or 0
    car = rentals.cars.get(listing.product_id or 0)
    place = rentals.locations.get(location_id)
    opens = opening(place, day) if place else None
    if car is None or opens is None:
        return None
    places = location_id, location_id
    age = max(car.min_driver_age, car.young_driver_age)
    key = RentalKey(car.product_id, datetime.combine(day, opens), *places, DAY_MINUTES, age)
    found = catalogue.rental(key)
    return found if found and found.static_fault in BEYOND_A_DAY else None


def opening(place: RentalPlace, day: date) -> time | None:
    """When a location opens first on a day; None if it does not."""
    if day.isoformat() in place.closed_dates:
        return None
    hours = [OpeningHours.parse(each) for each in place.opening_hours]
    opens = [each.opens for each in hours if each.weekday == day.isoweekday()]
    return time(*divmod(min(opens), 60)) if opens else None


def _stock_ids(offer: Offer, day: date, partner_id: int) -> Iterable[int]:
    """Where the channel's stock of an offer may be, the narrower first: a partner may have one of a
    package's single day. An offer's own is DIRECT's, whose keys end with 0.
    """
    of_all = offer.stock_id + partner_id
    if partner_id and offer.start is TicketStart.FIRST_DAY:
        return day_stock_id(offer.product_id, day, partner_id), of_all
    return (of_all,)


def _price(
    catalogue: Catalogue, listing: ChannelListing, offer: Offer, now: datetime
) -> int | None:
    try:
        price = catalogue.price(offer, [listing.customer_type], [], now)
    except pricing.NoFare:
        return None
    return planned(listing, offer.currency_code, price.total_minor)


def planned(listing: ChannelListing, currency_code: str, amount_minor: int) -> int:
    """An amount in a product's currency as the listing's price plan sells it."""
    return plan_price(
        amount_minor,
        digits=decimals(currency_code),
        plan_digits=decimals(listing.currency_code),
        rate_millionths=listing.rate_millionths,
        markup_basis_points=listing.markup_basis_points,
    )


async def _trace(
    tx: AsyncConnection,
    action: str,
    listing: ChannelListing,
    *,
    before: dict[str, object] | None,
    after: dict[str, object] | None,
    **by: Unpack[By],
) -> None:
    change = AuditedChange(
        actor=by["actor"],
        action=action,
        resource="channel_listing",
        name=listing.name,
        before=before,
        after=after,
    )
    await run(tx, audit(change, now=by["now"]))
    await ask_for(tx, WORK_OUT, listing.channel_code, now=by["now"])
