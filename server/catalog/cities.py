"""Cities, and the stations and piers there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit import rules
from server.audit.records import By, Records, refuse, with_names
from server.audit.rules import Fault
from server.catalog import changes
from server.catalog.changes import ACTIVE, create, in_use, refuse_archived
from server.catalog.limits import code_faults
from server.catalog.models import cities, products, rental_locations, routes, stops
from server.platform.change_feed import ChangeKind

CITY_CODE, STOP_CODE = "[A-Z]{3}", "[A-Z0-9-]{2,16}"
MOST_HOT_RANK = 10_000


@dataclass(frozen=True)
class City:
    """A city; without `hot_rank` it is not in the hot list."""

    city_code: str
    display_name_en: str
    display_name_zh: str
    time_zone: str
    hot_rank: int | None = None
    state: str = ACTIVE
    version: int = 1


@dataclass(frozen=True)
class Stop:
    """A station or pier of a city; where it is (WGS 84) in millionths of a degree, if known."""

    stop_code: str
    city_code: str
    display_name_en: str
    display_name_zh: str
    latitude_microdegrees: int | None = None
    longitude_microdegrees: int | None = None
    state: str = ACTIVE
    version: int = 1

    @property
    def place(self) -> tuple[int | None, int | None]:
        """Latitude and longitude."""
        return self.latitude_microdegrees, self.longitude_microdegrees


CITIES = Records(
    "city",
    cities.c.city_code,
    select(*(cities.c[field.name] for field in fields(City))),
    City,
    ChangeKind.CATALOGUE,
)
STOPS = Records(
    "stop",
    stops.c.stop_code,
    select(*(stops.c[field.name] for field in fields(Stop))),
    Stop,
    ChangeKind.CATALOGUE,
)


async def create_cities(tx: AsyncConnection, new: Sequence[City], **by: Unpack[By]) -> None:
    """New cities. Raises INVALID_FIELD, ALREADY_EXISTS."""
    for city in new:
        refuse(_city_faults(city))
    await create(tx, cities, "city", [with_names(city) for city in new], **by)


async def create_city(tx: AsyncConnection, city: City, **by: Unpack[By]) -> City:
    """A new city. Raises INVALID_FIELD, ALREADY_EXISTS."""
    await create_cities(tx, [city], **by)
    return await CITIES.get(tx, city.city_code)


async def update_city(
    tx: AsyncConnection, city_code: str, values: Mapping[str, Any], **by: Unpack[By]
) -> City:
    """Changes the given fields. Raises INVALID_FIELD, NOT_FOUND, ARCHIVED; IN_USE for another time
    zone while a route calls there, or cars are rented: it says when its services leave, and when
    locations are open.
    """
    before = await CITIES.lock(tx, city_code)
    refuse_archived("city", city_code, before)
    after = with_names(replace(before, **values))
    refuse(_city_faults(after))
    if after.time_zone != before.time_zone:
        of_city = select(stops.c.stop_code).where(stops.c.city_code == city_code)
        for stop_code in await tx.scalars(of_city.order_by(stops.c.stop_code)):
            if route_id := await _route_at(tx, stop_code):
                remedy = "its services leave by that clock; archive the route first"
                raise in_use("city", city_code, user="route", user_name=route_id, remedy=remedy)
        await _refuse_rentals(tx, city_code)
    return await changes.change(tx, CITIES, before, _given(after, values), **by)


async def archive_city(tx: AsyncConnection, city_code: str, **by: Unpack[By]) -> City:
    """Takes a city out of the lists; a repeat changes nothing. Raises NOT_FOUND, IN_USE while it
    has a stop, a rental location or a package that is not archived.
    """
    before = await CITIES.lock(tx, city_code)
    own = select(stops.c.stop_code).where(stops.c.city_code == city_code, stops.c.state == ACTIVE)
    if stop_code := await tx.scalar(own.order_by(stops.c.stop_code).limit(1)):
        raise in_use("city", city_code, user="stop", user_name=stop_code, remedy="archive it first")
    await _refuse_rentals(tx, city_code)
    used = select(products.c.product_id).where(
        products.c.city_code == city_code, products.c.state == ACTIVE
    )
    if product_id := await tx.scalar(used.order_by(products.c.product_id).limit(1)):
        remedy = "archive it first, or give it another city"
        raise in_use("city", city_code, user="product", user_name=product_id, remedy=remedy)
    return await changes.archive(tx, CITIES, before, **by)


async def unarchive_city(tx: AsyncConnection, city_code: str, **by: Unpack[By]) -> City:
    """Takes an archived city back; a repeat changes nothing. Raises NOT_FOUND."""
    return await changes.unarchive(tx, CITIES, await CITIES.lock(tx, city_code), **by)


async def create_stops(tx: AsyncConnection, new: Sequence[Stop], **by: Unpack[By]) -> None:
    """New stops. Raises INVALID_FIELD, NOT_FOUND and ARCHIVED (city), ALREADY_EXISTS."""
    for stop in new:
        refuse([*code_faults("stop_code", stop.stop_code, STOP_CODE), *place_faults(*stop.place)])
    for city_code in sorted({stop.city_code for stop in new}):
        await CITIES.rely_on(tx, city_code)
    await create(tx, stops, "stop", [with_names(stop) for stop in new], **by)


async def create_stop(tx: AsyncConnection, stop: Stop, **by: Unpack[By]) -> Stop:
    """A new stop of a city. Raises INVALID_FIELD, NOT_FOUND and ARCHIVED (city), ALREADY_EXISTS."""
    await create_stops(tx, [stop], **by)
    return await STOPS.get(tx, stop.stop_code)


async def update_stop(
    tx: AsyncConnection, stop_code: str, values: Mapping[str, Any], **by: Unpack[By]
) -> Stop:
    """Changes the given fields. Raises INVALID_FIELD, NOT_FOUND and ARCHIVED (also for the city);
    IN_USE for another city while a route calls there.
    """
    before = await STOPS.lock(tx, stop_code)
    refuse_archived("stop", stop_code, before)
    after = with_names(replace(before, **values))
    refuse(list(place_faults(*after.place)))
    if after.city_code != before.city_code:
        await CITIES.rely_on(tx, after.city_code)
        await _refuse_called_at(tx, stop_code, "create another stop in that city")
    return await changes.change(tx, STOPS, before, _given(after, values), **by)


async def archive_stop(tx: AsyncConnection, stop_code: str, **by: Unpack[By]) -> Stop:
    """Has no new route call at a stop; a repeat changes nothing. Raises NOT_FOUND, IN_USE while a
    route that is not archived calls there.
    """
    before = await STOPS.lock(tx, stop_code)
    await _refuse_called_at(tx, stop_code, "archive that first, or take the stop out of it")
    return await changes.archive(tx, STOPS, before, **by)


async def unarchive_stop(tx: AsyncConnection, stop_code: str, **by: Unpack[By]) -> Stop:
    """Takes an archived stop back; a repeat changes nothing. Raises NOT_FOUND, ARCHIVED (city)."""
    before = await STOPS.lock(tx, stop_code)
    await CITIES.rely_on(tx, before.city_code)
    return await changes.unarchive(tx, STOPS, before, **by)


async def _refuse_called_at(tx: AsyncConnection, stop_code: str, remedy: str) -> None:
    if route_id := await _route_at(tx, stop_code):
        raise in_use("stop", stop_code, user="route", user_name=route_id, remedy=remedy)


async def _route_at(tx: AsyncConnection, stop_code: str) -> int | None:
    """An active route that calls at a stop; None if none does."""
    calls = routes.c.stops.contains([{"stop_code": stop_code}])
    query = select(routes.c.route_id).where(routes.c.state == ACTIVE, calls)
    return await tx.scalar(query.order_by(routes.c.route_id).limit(1))


async def _refuse_rentals(tx: AsyncConnection, city_code: str) -> None:
    """Raises IN_USE while a rental location there is not archived."""
    query = select(rental_locations.c.location_id).where(
        rental_locations.c.city_code == city_code, rental_locations.c.state == ACTIVE
    )
    if location_id := await tx.scalar(query.order_by(rental_locations.c.location_id).limit(1)):
        raise in_use(
            "city",
            city_code,
            user="rental_location",
            user_name=location_id,
            remedy="archive it first",
        )


def _given(record: object, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those fields of a record, as they are kept."""
    return {name: getattr(record, name) for name in values}


def _city_faults(city: City) -> list[Fault]:
    faults = [*code_faults("city_code", city.city_code, CITY_CODE)]
    faults += rules.faults({"time_zone": city.time_zone})
    if city.hot_rank is not None and not 1 <= city.hot_rank <= MOST_HOT_RANK:
        faults.append(
            ("hot_rank", f"is {city.hot_rank}, not within 1 to {MOST_HOT_RANK}; 1 is the first")
        )
    return faults


def place_faults(*place: int | None) -> Iterator[Fault]:
    """What is wrong with a place, latitude and longitude in millionths of a degree."""
    if (place[0] is None) != (place[1] is None):
        missing = "latitude" if place[0] is None else "longitude"
        yield f"{missing}_microdegrees", "is missing; send both, or neither"
    for name, value, limit in zip(("latitude", "longitude"), place, (90, 180), strict=True):
        if value is not None and abs(value) > limit * 1_000_000:
            yield f"{name}_microdegrees", f"is {value}, not within {limit} degrees"
