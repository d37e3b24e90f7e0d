"""Rental locations: where cars are picked up and returned, and when they are open."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, refuse, with_names
from server.audit.rules import Fault
from server.catalog import changes
from server.catalog.changes import ACTIVE, create, in_use, refuse_archived
from server.catalog.cities import CITIES, place_faults
from server.catalog.limits import number_faults
from server.catalog.models import rental_fleets, rental_locations
from server.catalog.rental_rules import hours_faults
from server.parties.venues import VENUES
from server.platform.change_feed import ChangeKind

MOST_LOCATION_ID = 9_999
MOST_CLOSED_DATES = 400


@dataclass(frozen=True)
class RentalLocation:
    """Where cars are picked up and returned, by the clock of its city. `opening_hours` are
    {weekday, opens, closes}; its vouchers are redeemed at the venue, without one anywhere.
    """

    location_id: int
    city_code: str
    display_name_en: str
    display_name_zh: str
    address_en: str
    address_zh: str
    phone: str
    opening_hours: list[dict[str, Any]]
    latitude_microdegrees: int | None = None
    longitude_microdegrees: int | None = None
    pick_up: bool = True
    drop_off: bool = True
    closed_dates: list[date] = field(default_factory=list)
    venue_code: str | None = None
    state: str = ACTIVE
    version: int = 1


LOCATIONS = Records(
    "rental_location",
    rental_locations.c.location_id,
    select(*(rental_locations.c[each.name] for each in fields(RentalLocation))),
    RentalLocation,
    ChangeKind.CATALOGUE,
)


async def create_location(
    tx: AsyncConnection, location: RentalLocation, **by: Unpack[By]
) -> RentalLocation:
    """A new location. Raises INVALID_FIELD, NOT_FOUND (city, venue), ARCHIVED (city), REVOKED
    (venue), ALREADY_EXISTS.
    """
    location = with_names(location)
    refuse_archived("city", location.city_code, await CITIES.rely_on(tx, location.city_code))
    await _check(tx, location)
    await create(tx, rental_locations, "rental_location", [location], **by)
    return await LOCATIONS.get(tx, location.location_id)


async def update_location(
    tx: AsyncConnection, location_id: int, values: Mapping[str, Any], **by: Unpack[By]
) -> RentalLocation:
    """Changes the given fields for what is sold from now on. Raises INVALID_FIELD, NOT_FOUND,
    ARCHIVED, REVOKED (venue).
    """
    before = await LOCATIONS.lock(tx, location_id)
    refuse_archived("rental_location", location_id, before)
    after = with_names(replace(before, **values))
    await _check(tx, after)
    return await changes.change(
        tx, LOCATIONS, before, {name: getattr(after, name) for name in values}, **by
    )


async def archive_location(
    tx: AsyncConnection, location_id: int, **by: Unpack[By]
) -> RentalLocation:
    """Has nobody rent from or to it any more; a repeat changes nothing. Raises NOT_FOUND, IN_USE
    while a fleet that is not archived is picked up there.
    """
    before = await LOCATIONS.lock(tx, location_id)
    of_location = select(rental_fleets.c.fleet_id).where(
        rental_fleets.c.location_id == location_id, rental_fleets.c.state == ACTIVE
    )
    if fleet_id := await tx.scalar(of_location.order_by(rental_fleets.c.fleet_id).limit(1)):
        remedy = "archive it first"
        raise in_use(
            "rental_location", location_id, user="rental_fleet", user_name=fleet_id, remedy=remedy
        )
    return await changes.archive(tx, LOCATIONS, before, **by)


async def unarchive_location(
    tx: AsyncConnection, location_id: int, **by: Unpack[By]
) -> RentalLocation:
    """Takes an archived location back; a repeat changes nothing. Raises NOT_FOUND, ARCHIVED
    (city).
    """
    before = await LOCATIONS.lock(tx, location_id)
    refuse_archived("city", before.city_code, await CITIES.rely_on(tx, before.city_code))
    return await changes.unarchive(tx, LOCATIONS, before, **by)


async def _check(tx: AsyncConnection, location: RentalLocation) -> None:
    refuse(list(_faults(location)))
    if location.venue_code:
        await VENUES.rely_on(tx, location.venue_code)


def _faults(location: RentalLocation) -> Iterator[Fault]:
    yield from number_faults(vars(location), {"location_id": (1, MOST_LOCATION_ID)})
    yield from hours_faults(location.opening_hours)
    yield from place_faults(location.latitude_microdegrees, location.longitude_microdegrees)
    if len(location.closed_dates) > MOST_CLOSED_DATES:
        yield "closed_dates", f"are {len(location.closed_dates)}; at most {MOST_CLOSED_DATES}"
    if len(set(location.closed_dates)) < len(location.closed_dates):
        yield "closed_dates", "names a day twice; send each once"
    if not (location.pick_up or location.drop_off):
        yield "pick_up", "is false as drop_off is; archive a location that is not used"
