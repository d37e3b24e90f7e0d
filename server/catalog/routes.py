"""Routes: where something goes, in classes, and for how much."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, refuse, with_names
from server.audit.rules import Fault
from server.catalog import changes, config_versions
from server.catalog.changes import ACTIVE, create
from server.catalog.changes import refuse_archived as refuse_archived_record
from server.catalog.config_versions import ConfigContent, ConfigSubject
from server.catalog.limits import code_faults, fare_faults
from server.catalog.models import departures, routes, stops, timetables
from server.catalog.products import PRODUCTS, Product, refuse_archived
from server.catalog.rules import MOST_TOTAL
from server.platform.change_feed import ChangeKind
from server.platform.errors import DomainError, Reason, invalid
from server.stock.models import stocks
from server.stock.seating import SeatMap

VEHICLES = ("TRAIN", "FERRY", "BUS")
FARE_KEYS = ("class_code", "origin", "destination", "customer_type", "day_type")
MOST_MINUTES = 24 * 60
"""On the way from the first stop to any other."""
MOST_CLASSES = 16
MOST_FARES = 5000
CLASS_CODE = "[A-Z][A-Z0-9_]{0,15}"

Json = dict[str, Any]


@dataclass(frozen=True)
class Route:
    """Where something goes, in classes for fares. Lists as they are stored, see
    catalog.models.routes.
    """

    route_id: int
    product_id: int
    vehicle: str
    stops: list[Json]
    fare_classes: list[Json]
    fares: list[Json]
    state: str = ACTIVE
    version: int = 1


ROUTES = Records(
    "route",
    routes.c.route_id,
    select(*(routes.c[field.name] for field in fields(Route))),
    Route,
    ChangeKind.CATALOGUE,
)


async def create_route(tx: AsyncConnection, route: Route, **by: Unpack[By]) -> Route:
    """A new route. Raises INVALID_FIELD, NOT_FOUND (product), PRODUCT_NOT_ON_SALE,
    ALREADY_EXISTS.
    """
    await _its_product(tx, route.product_id)
    known = await _known_stops(tx, route.stops)
    refuse([*_route_faults(route, known), *_fare_faults(route, route.fares)])
    route = replace(
        route,
        fare_classes=_classes_with_names(route.fare_classes),
        stops=_plain_calls(route.stops),
    )
    await create(tx, routes, "route", [route], **by)
    await config_versions.record(tx, _subject(route), None, content_of(route), **by)
    return await ROUTES.get(tx, route.route_id)


async def update_route(
    tx: AsyncConnection, route_id: int, values: Mapping[str, Any], **by: Unpack[By]
) -> Route:
    """Changes the given fields, for what is sold from now on: the whole of each list.

    What tickets are sold of stays as it is: raises STOCK_IN_USE for other stops or times, and for a
    class that is gone, or has another number or seat map, while departures to come have seats held
    or sold. Raises INVALID_FIELD, NOT_FOUND, ARCHIVED.
    """
    before = await ROUTES.lock(tx, route_id)
    refuse_archived_record("route", route_id, before)
    after = replace(before, **values)
    after = replace(after, stops=_plain_calls(after.stops))
    known = await _known_stops(tx, after.stops) if "stops" in values else _stop_codes(after.stops)
    refuse([*_route_faults(after, known), *_fare_faults(after, after.fares)])
    if "fare_classes" in values:
        after = replace(after, fare_classes=_classes_with_names(after.fare_classes))
    if after.stops != before.stops:
        await _refuse_sold(tx, route_id, "stops", None, now=by["now"])
    for class_code in _classes_another(before, after):
        await _refuse_sold(tx, route_id, "fare_classes", class_code, now=by["now"])
        await _refuse_timetabled(tx, after, class_code)
    given = {name: getattr(after, name) for name in values}
    changed = await changes.change(tx, ROUTES, before, given, **by)
    contents = content_of(before), content_of(changed)
    await config_versions.record(tx, _subject(before), *contents, **by)
    return changed


def content_of(route: Route) -> ConfigContent:
    """What a version of a route's fares has."""
    return {"fares": route.fares}


def check_fares(route: Route, fares: list[Json]) -> None:
    """Raises INVALID_FIELD for fares that a route cannot have."""
    refuse(list(_fare_faults(route, fares)))


def _subject(route: Route) -> ConfigSubject:
    return ConfigSubject(config_versions.ROUTE_FARES, route.route_id)


async def set_fares(
    tx: AsyncConnection, route_id: int, fares: list[Json], **by: Unpack[By]
) -> Route:
    """All fares of a route, for what is sold from now on. Raises INVALID_FIELD, NOT_FOUND,
    ARCHIVED.
    """
    return await update_route(tx, route_id, {"fares": fares}, **by)


async def change_fares(
    tx: AsyncConnection, route_id: int, fares: list[Json], removed: list[Json], **by: Unpack[By]
) -> Route:
    """Sets some fares of a route and removes others, named by FARE_KEYS; the rest stay.

    Raises INVALID_FIELD, also for one to remove that is not there, NOT_FOUND, ARCHIVED.
    """
    before = await ROUTES.lock(tx, route_id)
    left = {fare_key(fare): fare for fare in before.fares}
    refuse(list(_repeated("fares", [" ".join(fare_key(fare)) for fare in fares])))
    for index, fare in enumerate(removed):
        if left.pop(fare_key(fare), None) is None:
            raise invalid(
                f"removed_fares[{index}]", f"there is no fare {' '.join(fare_key(fare))}; leave out"
            )
    left |= {fare_key(fare): fare for fare in fares}
    return await update_route(tx, route_id, {"fares": list(left.values())}, **by)


async def archive_route(tx: AsyncConnection, route_id: int, **by: Unpack[By]) -> Route:
    """Takes a route off sale; tickets sold stay valid, and their departures run. A repeat changes
    nothing. Raises NOT_FOUND.
    """
    return await changes.archive(tx, ROUTES, await ROUTES.lock(tx, route_id), **by)


async def unarchive_route(tx: AsyncConnection, route_id: int, **by: Unpack[By]) -> Route:
    """Puts an archived route on sale again; a repeat changes nothing. Raises NOT_FOUND,
    INVALID_FIELD for a stop that is archived, PRODUCT_NOT_ON_SALE.
    """
    before = await ROUTES.lock(tx, route_id)
    await _its_product(tx, before.product_id)
    refuse(list(_route_faults(before, await _known_stops(tx, before.stops))))
    return await changes.unarchive(tx, ROUTES, before, **by)


def fare_key(fare: Mapping[str, Any]) -> tuple[str, ...]:
    """What names a fare of a route."""
    return tuple([fare[key] for key in FARE_KEYS])


async def _its_product(tx: AsyncConnection, product_id: int) -> Product:
    product = await PRODUCTS.share(tx, product_id)
    refuse_archived(product)
    if product.kind != "TRANSPORT":
        raise invalid(
            "product_id", f"{product_id} is of kind {product.kind}; name one of TRANSPORT"
        )
    return product


def _plain_calls(calls: Sequence[Mapping[str, Any]]) -> list[Json]:
    """The calls as they are stored: those whose times are not approximate say nothing of it."""
    return [
        {name: value for name, value in call.items() if name != "approximate" or value}
        for call in calls
    ]


def _stop_codes(calls: Sequence[Mapping[str, Any]]) -> list[str]:
    return [call["stop_code"] for call in calls]


async def _known_stops(tx: AsyncConnection, calls: Sequence[Mapping[str, Any]]) -> set[str]:
    """The stops that there are, of those a route calls at; nobody archives one meanwhile."""
    query = select(stops.c.stop_code).where(
        stops.c.stop_code.in_(_stop_codes(calls)), stops.c.state == ACTIVE
    )
    return set(await tx.scalars(query.order_by(stops.c.stop_code).with_for_update(read=True)))


def _classes_with_names(classes: Sequence[Json]) -> list[Json]:
    return [with_names(each, f"fare_classes[{index}].") for index, each in enumerate(classes)]


def _classes_another(before: Route, after: Route) -> list[str]:
    """The classes of before that are gone, or whose seats are others."""
    seats = {
        each["class_code"]: (each["class_index"], each["seat_map"]) for each in after.fare_classes
    }
    return [
        each["class_code"]
        for each in before.fare_classes
        if seats.get(each["class_code"]) != (each["class_index"], each["seat_map"])
    ]


async def _refuse_sold(
    tx: AsyncConnection, route_id: int, field: str, class_code: str | None, *, now: datetime
) -> None:
    """Raises STOCK_IN_USE if seats of a departure that has not arrived are held or sold."""
    query = (
        select(
            departures.c.departure_id,
            stocks.c.fare_class,
            stocks.c.held,
            stocks.c.sold,
            stocks.c.total,
        )
        .join(timetables, timetables.c.timetable_id == departures.c.timetable_id)
        .join(stocks, stocks.c.departure_id == departures.c.departure_id)
        .where(
            timetables.c.route_id == route_id,
            departures.c.departure_time > now - timedelta(minutes=MOST_MINUTES),
            stocks.c.held + stocks.c.sold > 0,
        )
    )
    if class_code is not None:
        query = query.where(stocks.c.fare_class == class_code)
    row = (await tx.execute(query.order_by(stocks.c.stock_id).limit(1))).one_or_none()
    if row:
        raise DomainError(
            Reason.STOCK_IN_USE,
            f"{field}: seats of departure {row.departure_id} in {row.fare_class} are held or sold"
            " as they are; create another route for what is to go otherwise, and archive this one"
            " or its timetables, or cancel the departures",
            held=row.held,
            sold=row.sold,
            total=row.total,
        )


async def _refuse_timetabled(tx: AsyncConnection, after: Route, class_code: str) -> None:
    """Raises INVALID_FIELD for a class that is gone, or too small, while a timetable has seats in
    it.
    """
    query = select(timetables.c.timetable_id, timetables.c.seats).where(
        timetables.c.route_id == after.route_id,
        timetables.c.state == ACTIVE,
        timetables.c.seats.has_key(class_code),
    )
    classes = {each["class_code"]: each for each in after.fare_classes}
    for row in await tx.execute(query.order_by(timetables.c.timetable_id)):
        limit = seats_limit(classes[class_code]) if class_code in classes else 0
        if row.seats[class_code] > limit:
            raise invalid(
                "fare_classes",
                f"timetable {row.timetable_id} has {row.seats[class_code]} seats in {class_code};"
                " change or archive it first",
            )


# Faults


def seats_limit(fare_class: Mapping[str, Any]) -> int:
    """How many seats of our own a class can have."""
    numbered = fare_class["seat_map"]
    return SeatMap.parse(numbered).size if numbered else MOST_TOTAL


def _repeated(field: str, names: Sequence[object]) -> Iterator[Fault]:
    for name, times in Counter(names).items():
        if times > 1:
            yield field, f"{name} stands there {times} times; send it once"


def _route_faults(route: Route, known_stops: Collection[str]) -> Iterator[Fault]:
    if route.vehicle not in VEHICLES:
        yield "vehicle", f"is {route.vehicle!r}; send TRAIN, FERRY or BUS"
    codes = [call["stop_code"] for call in route.stops]
    if len(codes) < 2:
        yield "stops", "needs at least two"
    yield from _repeated("stops", codes)
    for index, call in enumerate(route.stops):
        if call["stop_code"] not in known_stops:
            yield (
                f"stops[{index}].stop_code",
                f"there is no stop {call['stop_code']!r}, or it is archived; create it",
            )
        if not 0 <= call["arrive_minutes"] <= call["depart_minutes"] <= MOST_MINUTES:
            yield (
                f"stops[{index}].depart_minutes",
                f"is before arrive_minutes, or not within 0 to {MOST_MINUTES}",
            )
    if route.stops and route.stops[0]["depart_minutes"]:
        yield "stops[0].depart_minutes", "is not 0; count from the departure of the first stop"
    for index, (before, call) in enumerate(pairwise(route.stops), start=1):
        if call["arrive_minutes"] <= before["depart_minutes"]:
            yield f"stops[{index}].arrive_minutes", "is not after the departure at the stop before"
    yield from _class_faults(route.fare_classes)


def _class_faults(classes: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    if not 1 <= len(classes) <= MOST_CLASSES:
        yield "fare_classes", f"needs 1 to {MOST_CLASSES}"
    for key in ("class_code", "class_index"):
        yield from _repeated("fare_classes", [each[key] for each in classes])
    for index, each in enumerate(classes):
        path = f"fare_classes[{index}]"
        yield from code_faults(f"{path}.class_code", each["class_code"], CLASS_CODE)
        if not 0 <= each["class_index"] < MOST_CLASSES:
            yield f"{path}.class_index", f"is not within 0 to {MOST_CLASSES - 1}"
        if each["seat_map"] is not None:
            try:
                SeatMap.parse(each["seat_map"])
            except ValueError as error:
                yield f"{path}.seat_map", str(error)


def _fare_faults(route: Route, fares: Sequence[Mapping[str, Any]]) -> Iterator[Fault]:
    classes = {each["class_code"] for each in route.fare_classes}
    place = {call["stop_code"]: position for position, call in enumerate(route.stops)}
    if len(fares) > MOST_FARES:
        yield "fares", f"are {len(fares)}; a route has at most {MOST_FARES}"
    yield from _repeated("fares", [" ".join(fare_key(fare)) for fare in fares])
    for index, fare in enumerate(fares):
        path = f"fares[{index}]"
        if fare["class_code"] not in classes:
            yield (
                f"{path}.class_code",
                f"{fare['class_code']} is none of {', '.join(sorted(classes))}",
            )
        begin, end = place.get(fare["origin"]), place.get(fare["destination"])
        if begin is None:
            yield f"{path}.origin", f"{fare['origin']} is no stop of the route"
        elif end is None or end <= begin:
            yield f"{path}.destination", f"{fare['destination']} is no stop behind the origin"
    yield from fare_faults(fares)
