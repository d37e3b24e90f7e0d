"""What is listed at a channel, by which price plan."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Unpack

from sqlalchemy import ColumnElement, and_, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, already_exists
from server.audit.trail import AuditedChange, audit
from server.catalog.limits import CUSTOMER_TYPES
from server.catalog.products import PRODUCTS
from server.catalog.rental_locations import LOCATIONS
from server.catalog.routes import ROUTES
from server.catalog.timetables import TIMETABLES
from server.channels import worded_values
from server.channels.cadence_rules import PricePace
from server.channels.channel_records import CHANNELS
from server.channels.channel_words import LONGEST_WORD
from server.channels.due import WORK_OUT, ask_for
from server.channels.models import channel_listings
from server.channels.plan_rules import MILLION
from server.channels.registry import VENDORS
from server.platform.currencies import currency_fault
from server.platform.errors import invalid, not_found, version_mismatch
from server.platform.statements import run


@dataclass(frozen=True, slots=True)
class ChannelListing:
    """What is listed as `item_id`: a package, a category of cars that is rented and returned at a
    location, or a class of a timetable's departures between two stops, by their positions; with its
    price plan. A new one without `price_pace` has the vendor's.
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
    price_pace: str = ""
    version: int = 1
    create_time: datetime | None = None
    update_time: datetime | None = None

    @property
    def name(self) -> str:
        """As errors and the audit trail call it."""
        return f"{self.channel_code}/{self.item_id}"


async def add_listing(tx: AsyncConnection, new: ChannelListing, **by: Unpack[By]) -> ChannelListing:
    """Lists something, and has it sent. Raises NOT_FOUND, REVOKED, ARCHIVED, ALREADY_EXISTS,
    INVALID_FIELD.
    """
    channel = await CHANNELS.lock_active(tx, new.channel_code)
    await _check_subject(tx, new)
    pace = new.price_pace or VENDORS[channel.vendor_code].price_pace
    listing = replace(new, price_pace=pace, version=1, create_time=by["now"], update_time=by["now"])
    _check_plan(asdict(listing))
    await _check_rate(tx, listing)
    await _refuse_second_place(tx, listing, now=by["now"])
    row = insert(channel_listings).values(asdict(listing)).on_conflict_do_nothing()
    if not (await tx.execute(row.returning(channel_listings.c.item_id))).one_or_none():
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
    if not values.keys().isdisjoint({"currency_code", "rate_millionths"}):
        await _check_rate(tx, after)
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


async def listings_of(
    tx: AsyncConnection, channel_code: str, item_ids: Sequence[str] | None = None
) -> list[ChannelListing]:
    """All of a channel, or those of some items, in the order of items."""
    c = channel_listings.c
    of_channel = c.channel_code == channel_code
    which = of_channel if item_ids is None else and_(of_channel, c.item_id.in_(item_ids))
    return await _listings(tx, which)


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
    if values.get("customer_type", "ADULT") not in CUSTOMER_TYPES:
        raise invalid("customer_type", f"is none of {', '.join(sorted(CUSTOMER_TYPES))}")
    if values.get("price_pace", PricePace.DAILY) not in list(PricePace):
        raise invalid("price_pace", f"is none of {', '.join(PricePace)}")
    if "item_id" in values and not ITEM_ID.fullmatch(values["item_id"]):
        raise invalid(
            "item_id", "send 1 to 100 letters, digits, and any of . _ : - (not only dots)"
        )
    location = values.get("location", "-")
    if not location.strip() or len(location) > LONGEST_WORD or not location.isprintable():
        raise invalid("location", f"is no word; send 1 to {LONGEST_WORD} characters")
    if "currency_code" in values and (fault := currency_fault(values["currency_code"])):
        raise invalid("currency_code", fault)


async def _refuse_second_place(
    tx: AsyncConnection, listing: ChannelListing, *, now: datetime
) -> None:
    """Of an item that was listed at another place the channel has to know first that nothing is
    left there.
    """
    sold = worded_values.sold_at(listing.channel_code, item_id=listing.item_id, now=now)
    if elsewhere := {*await run(tx, sold)} - {listing.location}:
        raise invalid(
            "location",
            f"the channel sells {listing.item_id} at {min(elsewhere)}; list it once it was sent"
            " that nothing is left there, or under another item_id",
        )


async def _check_rate(tx: AsyncConnection, listing: ChannelListing) -> None:
    product_id = listing.product_id
    if listing.timetable_id is not None:
        timetable = await TIMETABLES.get(tx, listing.timetable_id)
        product_id = (await ROUTES.get(tx, timetable.route_id)).product_id
    sold_in = (await PRODUCTS.get(tx, product_id)).currency_code
    if listing.currency_code != sold_in and listing.rate_millionths == MILLION:
        raise invalid(
            "rate_millionths",
            f"is missing: say how many millionths of {listing.currency_code} a {sold_in} is",
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
