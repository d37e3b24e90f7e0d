"""Rental fleets: the cars of a category at a location, what a day costs there, and how many there
are on each day, as far ahead as they are sold.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple, Unpack
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit import rules
from server.audit.records import By, Records, already_exists, refuse
from server.audit.rules import Fault, ProductFare
from server.catalog import changes
from server.catalog.allotments import channel_id
from server.catalog.car_categories import CAR_CATEGORIES
from server.catalog.changes import ACTIVE, create, refuse_archived
from server.catalog.limits import MOST_SURCHARGE_MINOR, fare_faults, number_faults
from server.catalog.models import cities, rental_fleets, rental_locations
from server.catalog.rental_locations import LOCATIONS
from server.catalog.rental_rules import MOST_DAYS
from server.catalog.rules import MOST_TOTAL
from server.platform.change_feed import ChangeKind
from server.platform.errors import DomainError, Reason, invalid
from server.stock import fleet_days
from server.stock.fleet_days import FleetDay, NewFleetDay
from server.stock.ids import EPOCH, LAST_DAY

MARGIN_DAYS = 2
"""Days are made so many before they are sold: a day without the job is no day without them."""
MOST_DAYS_SET = 366
LIMITS = {
    "fleet_id": (1, (1 << 26) - 1),
    "cars": (0, MOST_TOTAL),
    "sale_days": (1, 365),
    "closing_minutes": (0, 43_200),
}
"""Least and most of each number."""
MOST_FARES, MOST_ONE_WAY = 100, 200


@dataclass(frozen=True)
class RentalFleet:
    """The cars of a category that are picked up at a location. Without `fares` a day costs what the
    product says; `one_way` are {location_id, fee_minor}, where else they may be returned. `cars`
    are our own on each new day.
    """

    fleet_id: int
    product_id: int
    location_id: int
    fares: list[ProductFare]
    cars: int
    first_date: date
    last_date: date
    sale_days: int
    closing_minutes: int
    one_way: list[dict[str, int]]
    state: str = ACTIVE
    version: int = 1


class WantedDays(NamedTuple):
    """Days of a channel's stock of a fleet; None is the first or last there may be. Of a page they
    come after the day `after`.
    """

    fleet_id: int
    channel: str
    first_date: date | None
    last_date: date | None
    after: date | None


class StockChange(NamedTuple):
    """How many days of a fleet have another total now, and its version then."""

    changed_days: int
    version: int


FLEETS = Records(
    "rental_fleet",
    rental_fleets.c.fleet_id,
    select(*(rental_fleets.c[field.name] for field in fields(RentalFleet))),
    RentalFleet,
    ChangeKind.CATALOGUE,
)


async def create_fleet(tx: AsyncConnection, fleet: RentalFleet, **by: Unpack[By]) -> RentalFleet:
    """A new fleet, and its days as far as they are sold. Raises INVALID_FIELD, NOT_FOUND and
    ARCHIVED (category, location), ALREADY_EXISTS (number, or category at the location).
    """
    await add_fleet(tx, fleet, **by)
    await make_days(tx, by["now"])
    return await FLEETS.get(tx, fleet.fleet_id)


async def add_fleet(tx: AsyncConnection, fleet: RentalFleet, **by: Unpack[By]) -> None:
    """As `create_fleet`, of many: whoever adds the last one calls `make_days`."""
    await _rely(tx, fleet)
    await _check(tx, fleet)
    there = select(rental_fleets.c.fleet_id).where(
        rental_fleets.c.product_id == fleet.product_id,
        rental_fleets.c.location_id == fleet.location_id,
        rental_fleets.c.fleet_id != fleet.fleet_id,
    )
    if await tx.scalar(there) is not None:
        raise already_exists("rental_fleet", f"{fleet.product_id} at {fleet.location_id}")
    await create(tx, rental_fleets, "rental_fleet", [fleet], **by)


async def update_fleet(
    tx: AsyncConnection, fleet_id: int, values: Mapping[str, Any], **by: Unpack[By]
) -> RentalFleet:
    """Changes the given fields for what is sold from now on; days that are made keep their stock.
    Raises INVALID_FIELD, NOT_FOUND, ARCHIVED.
    """
    after = await change_fleet(tx, fleet_id, values, **by)
    await make_days(tx, by["now"])
    return after


async def change_fleet(
    tx: AsyncConnection, fleet_id: int, values: Mapping[str, Any], **by: Unpack[By]
) -> RentalFleet:
    """As `update_fleet`, of many: whoever changes the last one calls `make_days`."""
    before = await FLEETS.lock(tx, fleet_id)
    refuse_archived("rental_fleet", fleet_id, before)
    await _check(tx, replace(before, **values))
    return await changes.change(tx, FLEETS, before, values, **by)


async def archive_fleet(tx: AsyncConnection, fleet_id: int, **by: Unpack[By]) -> RentalFleet:
    """Takes a fleet off sale; a repeat changes nothing. Raises NOT_FOUND."""
    return await changes.archive(tx, FLEETS, await FLEETS.lock(tx, fleet_id), **by)


async def unarchive_fleet(tx: AsyncConnection, fleet_id: int, **by: Unpack[By]) -> RentalFleet:
    """Takes an archived fleet back; a repeat changes nothing. Raises NOT_FOUND, ARCHIVED (category,
    location).
    """
    before = await FLEETS.lock(tx, fleet_id)
    await _rely(tx, before)
    after = await changes.unarchive(tx, FLEETS, before, **by)
    await make_days(tx, by["now"])
    return after


async def set_stock(
    tx: AsyncConnection,
    fleet_id: int,
    *,
    first_date: date,
    last_date: date,
    total: int,
    **by: Unpack[By],
) -> StockChange:
    """Sets our own cars on each day of a range, all days or none.

    Raises INVALID_FIELD, NOT_FOUND, STOCK_IN_USE for a day on which more are held and sold.
    """
    fleet = await FLEETS.lock_active(tx, fleet_id)
    if not fleet.first_date <= first_date <= fleet.last_date:
        raise invalid("first_date", f"is not within {fleet.first_date} to {fleet.last_date}")
    if not first_date <= last_date <= fleet.last_date:
        raise invalid("last_date", f"is not within {first_date} to {fleet.last_date}")
    count = (last_date - first_date).days + 1
    if count > MOST_DAYS_SET:
        raise invalid("last_date", f"makes {count} days; set {MOST_DAYS_SET} at a time")
    days = [first_date + timedelta(days=at) for at in range(count)]
    new = [fleet_days.new_day(fleet.product_id, fleet_id, day, total) for day in days]
    created = await fleet_days.create(tx, new, now=by["now"])
    locked = await fleet_days.lock(tx, [each.stock_id for each in new])
    for each in locked:
        if each.held + each.sold > total:
            raise _stock_in_use(each, total)
    others = [each.stock_id for each in locked if each.total != total]
    await fleet_days.set_totals(tx, others, total, now=by["now"])
    was = {
        str(each.use_date): None if each.stock_id in created else each.total
        for each in locked
        if each.stock_id in created or each.total != total
    }
    if was:
        await changes.trace(
            tx,
            "set_stock",
            "rental_fleet",
            fleet_id,
            before={"stock": was},
            after={"stock": dict.fromkeys(was, total)},
            **by,
        )
        this = rental_fleets.c.fleet_id == fleet_id
        await tx.execute(update(rental_fleets).where(this).values(version=fleet.version + 1))
    return StockChange(len(was), fleet.version + bool(was))


async def stock(tx: AsyncConnection, days: WantedDays, *, limit: int) -> list[FleetDay]:
    """Up to `limit` days of a channel's stock, both ends included. Raises NOT_FOUND,
    INVALID_FIELD.
    """
    await FLEETS.get(tx, days.fleet_id)
    first, last = days.first_date or EPOCH, days.last_date or LAST_DAY
    for field, each in (("first_date", first), ("last_date", last)):
        if not EPOCH <= each <= LAST_DAY:
            raise invalid(field, f"is not within {EPOCH} to {LAST_DAY}")
    if days.after:
        first = days.after + timedelta(days=1)
    partner_id = await channel_id(tx, days.channel)
    return await fleet_days.page(
        tx, days.fleet_id, partner_id, since=first, until=last, limit=limit
    )


async def make_days(tx: AsyncConnection, now: datetime) -> int:
    """Makes the days of all fleets from now until the last that a rental on sale may take; days
    that are there stay as they are. How many are made.
    """
    query = (
        select(
            rental_fleets.c.fleet_id,
            rental_fleets.c.product_id,
            rental_fleets.c.cars,
            rental_fleets.c.first_date,
            rental_fleets.c.last_date,
            rental_fleets.c.sale_days,
            cities.c.time_zone,
        )
        .join(rental_locations, rental_locations.c.location_id == rental_fleets.c.location_id)
        .join(cities, cities.c.city_code == rental_locations.c.city_code)
        .where(rental_fleets.c.state == ACTIVE)
    )
    new: list[NewFleetDay] = []
    for row in await tx.execute(query):
        today = now.astimezone(ZoneInfo(row.time_zone)).date()
        ahead = today + timedelta(days=row.sale_days + MOST_DAYS + MARGIN_DAYS)
        day = max(row.first_date, today)
        while day <= min(row.last_date, ahead):
            new.append(fleet_days.new_day(row.product_id, row.fleet_id, day, row.cars))
            day += timedelta(days=1)
    return len(await fleet_days.create(tx, new, now=now)) if new else 0


async def _rely(tx: AsyncConnection, fleet: RentalFleet) -> None:
    """Has nobody archive what a fleet is of. Raises NOT_FOUND, ARCHIVED."""
    category = await CAR_CATEGORIES.rely_on(tx, fleet.product_id)
    refuse_archived("car_category", fleet.product_id, category)
    location = await LOCATIONS.rely_on(tx, fleet.location_id)
    refuse_archived("rental_location", fleet.location_id, location)


async def _check(tx: AsyncConnection, fleet: RentalFleet) -> None:
    refuse(list(_faults(fleet)))
    wanted = [each["location_id"] for each in fleet.one_way]
    query = select(rental_locations.c.location_id).where(
        rental_locations.c.location_id.in_(wanted), rental_locations.c.state == ACTIVE
    )
    known = set(await tx.scalars(query))
    refuse(
        [
            (f"one_way[{index}].location_id", f"{each} is no location, or is archived")
            for index, each in enumerate(wanted)
            if each not in known
        ]
    )


def _faults(fleet: RentalFleet) -> Iterator[Fault]:
    yield from number_faults(vars(fleet), LIMITS)
    if fleet.fares:
        yield from rules.faults({"fares": fleet.fares})
        yield from fare_faults(fleet.fares)
    for name, most in (("fares", MOST_FARES), ("one_way", MOST_ONE_WAY)):
        if len(getattr(fleet, name)) > most:
            yield name, f"are {len(getattr(fleet, name))}; at most {most}"
    for index, each in enumerate(fleet.one_way):
        yield from number_faults(
            each, {"fee_minor": (0, MOST_SURCHARGE_MINOR)}, f"one_way[{index}]."
        )
    if not EPOCH <= fleet.first_date <= LAST_DAY:
        yield "first_date", f"is not within {EPOCH} to {LAST_DAY}"
    if not fleet.first_date <= fleet.last_date <= LAST_DAY:
        yield "last_date", f"is not within first_date, {fleet.first_date}, to {LAST_DAY}"
    wanted = [each["location_id"] for each in fleet.one_way]
    if len(set(wanted)) < len(wanted):
        yield "one_way", "names a location twice; send each once"
    if fleet.location_id in wanted:
        yield "one_way", f"names {fleet.location_id}, where the cars are picked up; leave it out"


def _stock_in_use(day: FleetDay, total: int) -> DomainError:
    return DomainError(
        Reason.STOCK_IN_USE,
        f"on {day.use_date} {day.held} are held and {day.sold} sold of {day.total}; there cannot be"
        f" {total}",
        held=day.held,
        sold=day.sold,
        total=day.total,
    )
