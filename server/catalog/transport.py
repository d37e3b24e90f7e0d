"""Cities, stops, routes with their fares, timetables, and single departures: what goes where,
when and for how much.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime, time
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar, Unpack

from sqlalchemy import Table, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit import rules
from server.audit.records import By, already_exists, refuse, with_names
from server.audit.rules import Fault
from server.audit.trail import AuditedChange, audit
from server.catalog import pricing
from server.catalog.models import cities, departures, routes, stops, timetables
from server.catalog.products import PRODUCTS, refuse_archived
from server.catalog.rules import MOST_TOTAL
from server.catalog.timetables import make_departures
from server.platform import change_feed
from server.platform.change_feed import ChangeKind
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.platform.statements import run
from server.stock import inventory
from server.stock.ids import DIRECT, departure_id, departure_parts, departure_stock_id
from server.stock.models import stocks
from server.stock.seating import SeatMap

CUSTOMER_TYPES = frozenset({"ADULT", "CHILD", "SENIOR", "STUDENT", "PET"})
DAY_TYPES = frozenset({pricing.WEEKDAY, pricing.WEEKEND, pricing.HOLIDAY})
MOST_MINUTES = 24 * 60
"""On the way from the first stop to any other."""
MOST_CLASSES = 16
MOST_SALE_DAYS = 365
MOST_CLOSING_MINUTES = 24 * 60
MOST_MINOR = 100_000_000_000
CITY_CODE, STOP_CODE, CLASS_CODE = "[A-Z]{3}", "[A-Z0-9-]{2,16}", "[A-Z][A-Z0-9_]{0,15}"

T = TypeVar("T")


@dataclass(frozen=True)
class City:
    """A city; without `hot_rank` it is not in the hot list."""

    city_code: str
    display_name_en: str
    display_name_zh: str
    time_zone: str
    hot_rank: int | None = None


@dataclass(frozen=True)
class Stop:
    """A station or pier of a city."""

    stop_code: str
    city_code: str
    display_name_en: str
    display_name_zh: str


@dataclass(frozen=True)
class Route:
    """Where something goes, in classes for fares. Lists as they are stored, see
    catalog.models.routes.
    """

    route_id: int
    product_id: int
    vehicle: str
    stops: list[dict[str, Any]]
    fare_classes: list[dict[str, Any]]
    fares: list[dict[str, Any]]


@dataclass(frozen=True)
class Timetable:
    """A service that runs on certain days; bit 0 of `weekdays` is Monday, `seats` are our own by
    class code.
    """

    timetable_id: int
    route_id: int
    service_number: str
    departure_clock: time
    weekdays: int
    first_date: date
    last_date: date
    seats: dict[str, int]
    sale_days: int
    closing_minutes: int


class Seats(NamedTuple):
    """Our own seats of a departure in one class."""

    fare_class: str
    total: int
    held: int
    sold: int


@dataclass(frozen=True)
class Departure:
    """A service on a day, with our own seats by class.

    `planned_time` is when it was to leave before it was first moved; it and what is about its
    cancelling are None before.
    """

    departure_id: int
    route_id: int
    service_number: str
    travel_date: date
    departure_time: datetime
    state: str
    planned_time: datetime | None
    cancel_time: datetime | None
    cancel_refunds: str | None
    seats: list[Seats]


async def create_cities(tx: AsyncConnection, new: Sequence[City], **by: Unpack[By]) -> None:
    """New cities. Raises INVALID_FIELD, ALREADY_EXISTS."""
    for city in new:
        faults = [*_code("city_code", city.city_code, CITY_CODE)]
        faults += rules.faults({"time_zone": city.time_zone})
        if city.hot_rank is not None and city.hot_rank < 1:
            faults.append(("hot_rank", f"is {city.hot_rank}; 1 is the first place"))
        refuse(faults)
    await create(tx, cities, "city", [with_names(city) for city in new], **by)


async def create_stops(tx: AsyncConnection, new: Sequence[Stop], **by: Unpack[By]) -> None:
    """New stops. Raises INVALID_FIELD, NOT_FOUND (city), ALREADY_EXISTS."""
    known = set(await tx.scalars(select(cities.c.city_code)))
    for stop in new:
        refuse(list(_code("stop_code", stop.stop_code, STOP_CODE)))
        if stop.city_code not in known:
            raise not_found("city", stop.city_code)
    await create(tx, stops, "stop", [with_names(stop) for stop in new], **by)


async def create_route(tx: AsyncConnection, route: Route, **by: Unpack[By]) -> None:
    """A new route. Raises INVALID_FIELD, NOT_FOUND (product), PRODUCT_NOT_ON_SALE,
    ALREADY_EXISTS.
    """
    product = await PRODUCTS.rely_on(tx, route.product_id)
    refuse_archived(product)
    if product.kind != "TRANSPORT":
        raise invalid(
            "product_id", f"{route.product_id} is of kind {product.kind}; name one of TRANSPORT"
        )
    named = [call["stop_code"] for call in route.stops]
    known = set(await tx.scalars(select(stops.c.stop_code).where(stops.c.stop_code.in_(named))))
    refuse([*_route_faults(route, known), *_fare_faults(route, route.fares)])
    classes = [
        with_names(each, f"fare_classes[{index}].") for index, each in enumerate(route.fare_classes)
    ]
    route = replace(route, fare_classes=classes)
    await create(tx, routes, "route", [route], state="ACTIVE", **by)


async def set_fares(
    tx: AsyncConnection, route_id: int, fares: list[dict[str, Any]], **by: Unpack[By]
) -> None:
    """All fares of a route, for what is sold from now on. Raises INVALID_FIELD, NOT_FOUND."""
    route = await _locked(tx, routes, "route", route_id, Route)
    refuse(list(_fare_faults(route, fares)))
    await tx.execute(update(routes).where(routes.c.route_id == route_id).values(fares=fares))
    before, after = {"fares": route.fares}, {"fares": fares}
    await trace(tx, "update", "route", route_id, before=before, after=after, **by)


async def create_timetables(
    tx: AsyncConnection, new: Sequence[Timetable], **by: Unpack[By]
) -> None:
    """New timetables, and their departures as far as they are near. Raises INVALID_FIELD,
    NOT_FOUND, ALREADY_EXISTS.
    """
    of_route = {
        route_id: await _locked(tx, routes, "route", route_id, Route)
        for route_id in sorted({timetable.route_id for timetable in new})
    }
    for timetable in new:
        refuse(list(_timetable_faults(timetable, of_route[timetable.route_id])))
    await create(tx, timetables, "timetable", new, state="ACTIVE", **by)
    await make_departures(tx, by["now"])


async def archive_timetable(tx: AsyncConnection, timetable_id: int, **by: Unpack[By]) -> None:
    """Takes a service off sale, for good; tickets sold stay valid. A repeat changes nothing.
    Raises NOT_FOUND.
    """
    await _locked(tx, timetables, "timetable", timetable_id, Timetable)
    changed = await tx.execute(
        update(timetables)
        .where(timetables.c.timetable_id == timetable_id, timetables.c.state == "ACTIVE")
        .values(state="ARCHIVED")
    )
    if changed.rowcount:
        before, after = {"state": "ACTIVE"}, {"state": "ARCHIVED"}
        await trace(tx, "archive", "timetable", timetable_id, before=before, after=after, **by)


async def set_departure_total(
    tx: AsyncConnection, departure: int, fare_class: str, total: int, **by: Unpack[By]
) -> None:
    """Our own seats of a class. Raises INVALID_FIELD, NOT_FOUND, STOCK_IN_USE if fewer than are
    held and sold.
    """
    timetable_id, _ = departure_parts(departure)
    route_id = await tx.scalar(
        select(timetables.c.route_id).where(timetables.c.timetable_id == timetable_id)
    )
    if route_id is None:
        raise not_found("departure", departure)
    route = await _locked(tx, routes, "route", route_id, Route)
    classes = {each["class_code"]: each for each in route.fare_classes}
    if fare_class not in classes:
        raise invalid("fare_class", f"{fare_class} is not in {sorted(classes)}; name one of them")
    refuse(list(_total_faults("total", total, classes[fare_class])))
    stock_id = departure_stock_id(departure, classes[fare_class]["class_index"], DIRECT)
    row = await inventory.lock_level(tx, stock_id)
    if row is None:
        raise not_found("departure", departure)
    if not await inventory.set_total(tx, stock_id, total, now=by["now"]):
        raise DomainError(
            Reason.STOCK_IN_USE,
            f"total: {row.held} are held and {row.sold} sold; it cannot be {total}",
            held=row.held,
            sold=row.sold,
            total=row.total,
        )
    name = f"{departure}/{fare_class}"
    before, after = {"total": row.total}, {"total": total}
    await trace(tx, "update", "departure", name, before=before, after=after, **by)


async def set_hold_seconds(
    tx: AsyncConnection, stock_id: int, seconds: int | None, **by: Unpack[By]
) -> None:
    """How long a stock is held; None as the setting says. Raises INVALID_FIELD, NOT_FOUND."""
    if seconds is not None and not 1 <= seconds <= 86_400:
        raise invalid("hold_seconds", f"is {seconds}; send 1 to 86400, or nothing")
    this = stocks.c.stock_id == stock_id
    row = (await tx.execute(select(stocks.c.hold_seconds).where(this).with_for_update())).first()
    if row is None:
        raise not_found("stock", stock_id)
    await inventory.set_hold_seconds(tx, stock_id, seconds)
    before, after = {"hold_seconds": row.hold_seconds}, {"hold_seconds": seconds}
    await trace(tx, "update", "stock", stock_id, before=before, after=after, **by)


# Reading


async def list_routes(tx: AsyncConnection, *, after: int, limit: int) -> list[Route]:
    """Up to `limit` routes after the number `after`."""
    query = select(*(routes.c[field.name] for field in fields(Route)))
    query = query.where(routes.c.route_id > after, routes.c.state == "ACTIVE")
    found = await tx.execute(query.order_by(routes.c.route_id).limit(limit))
    return [Route(*row) for row in found]


async def get_route(tx: AsyncConnection, route_id: int) -> Route:
    """The route. Raises NOT_FOUND."""
    found = await list_routes(tx, after=route_id - 1, limit=1)
    if not found or found[0].route_id != route_id:
        raise not_found("route", route_id)
    return found[0]


async def list_departures(
    tx: AsyncConnection, *, route_id: int = 0, day: date | None = None, after: int = -1, limit: int
) -> list[Departure]:
    """Up to `limit` departures after the number `after`; empty filters do not count."""
    query = _DEPARTURES.where(departures.c.departure_id > after)
    if route_id:
        query = query.where(timetables.c.route_id == route_id)
    if day:
        query = query.where(departures.c.travel_date == day)
    rows = (await tx.execute(query.order_by(departures.c.departure_id).limit(limit))).all()
    seats: defaultdict[int, list[Seats]] = defaultdict(list)
    own = select(*(stocks.c[name] for name in ("departure_id", *Seats._fields))).where(
        stocks.c.departure_id.in_([row.departure_id for row in rows]), stocks.c.partner_id == DIRECT
    )
    for departure, *left in await tx.execute(own.order_by(stocks.c.stock_id)):
        seats[departure].append(Seats(*left))
    return [Departure(*row, seats=seats[row.departure_id]) for row in rows]


async def get_departure(tx: AsyncConnection, departure: int) -> Departure:
    """The departure. Raises NOT_FOUND."""
    found = await list_departures(tx, after=departure - 1, limit=1)
    if not found or found[0].departure_id != departure:
        raise not_found("departure", departure)
    return found[0]


_DEPARTURES = select(
    departures.c.departure_id,
    timetables.c.route_id,
    timetables.c.service_number,
    departures.c.travel_date,
    departures.c.departure_time,
    departures.c.state,
    departures.c.planned_time,
    departures.c.cancel_time,
    departures.c.cancel_refunds,
).join(timetables, timetables.c.timetable_id == departures.c.timetable_id)


# What all of them have in common


async def create(
    tx: AsyncConnection,
    table: Table,
    resource: str,
    new: Sequence[Any],
    *,
    state: str | None = None,
    **by: Unpack[By],
) -> None:
    """Adds rows, each named by its first field. Raises ALREADY_EXISTS."""
    rows = [asdict(each) | ({"state": state} if state else {}) for each in new]
    (key,) = table.primary_key.columns
    named = {row[key.name]: row for row in rows}
    if not rows:
        return
    added = await tx.scalars(pg_insert(table).values(rows).on_conflict_do_nothing().returning(key))
    for name in named.keys() - set(added):
        raise already_exists(resource, name)
    created = [
        AuditedChange(by["actor"], "create", resource, name, None, row)
        for name, row in named.items()
    ]
    await run(tx, audit(*created, now=by["now"]))
    await change_feed.publish(tx, ChangeKind.CATALOGUE)


async def trace(
    tx: AsyncConnection,
    action: str,
    resource: str,
    name: object,
    *,
    before: Mapping[str, object] | None,
    after: Mapping[str, object] | None,
    **by: Unpack[By],
) -> None:
    """Records a change in the audit trail, and has every process see it."""
    change = AuditedChange(
        actor=by["actor"], action=action, resource=resource, name=name, before=before, after=after
    )
    await run(tx, audit(change, now=by["now"]))
    await change_feed.publish(tx, ChangeKind.CATALOGUE)


async def _locked(
    tx: AsyncConnection, table: Table, resource: str, name: object, record: Callable[..., T]
) -> T:
    (key,) = table.primary_key.columns
    names = record.__dataclass_fields__  # type: ignore[attr-defined]
    query = select(*(table.c[field] for field in names)).where(key == name).with_for_update()
    row = (await tx.execute(query)).mappings().one_or_none()
    if row is None:
        raise not_found(resource, name)
    return record(**row)


# Faults


def _code(field: str, code: str, pattern: str) -> Iterator[Fault]:
    if not re.fullmatch(pattern, code):
        yield field, f"{code!r} does not match {pattern}"


def _repeated(field: str, names: Sequence[object]) -> Iterator[Fault]:
    for name, times in Counter(names).items():
        if times > 1:
            yield field, f"{name} stands there {times} times; send it once"


def _route_faults(route: Route, known_stops: Collection[str]) -> Iterator[Fault]:
    if route.vehicle not in ("TRAIN", "FERRY", "BUS"):
        yield "vehicle", f"is {route.vehicle!r}; send TRAIN, FERRY or BUS"
    codes = [call["stop_code"] for call in route.stops]
    if len(codes) < 2:
        yield "stops", "needs at least two"
    yield from _repeated("stops", codes)
    for index, call in enumerate(route.stops):
        if call["stop_code"] not in known_stops:
            yield f"stops[{index}].stop_code", f"there is no stop {call['stop_code']!r}; create it"
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
        yield from _code(f"{path}.class_code", each["class_code"], CLASS_CODE)
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
    keys = ("class_code", "origin", "destination", "customer_type", "day_type")
    yield from _repeated("fares", [" ".join(fare[key] for key in keys) for fare in fares])
    for index, fare in enumerate(fares):
        path = f"fares[{index}]"
        if fare["class_code"] not in classes:
            yield f"{path}.class_code", f"{fare['class_code']} is not in {sorted(classes)}"
        begin, end = place.get(fare["origin"]), place.get(fare["destination"])
        if begin is None:
            yield f"{path}.origin", f"{fare['origin']} is no stop of the route"
        elif end is None or end <= begin:
            yield f"{path}.destination", f"{fare['destination']} is no stop behind the origin"
        if fare["customer_type"] not in CUSTOMER_TYPES:
            yield f"{path}.customer_type", f"is not in {sorted(CUSTOMER_TYPES)}"
        if fare["day_type"] not in DAY_TYPES:
            yield f"{path}.day_type", f"is not in {sorted(DAY_TYPES)}"
        if not 0 <= fare["amount_minor"] <= MOST_MINOR:
            yield f"{path}.amount_minor", f"is not within 0 to {MOST_MINOR}"


def _timetable_faults(timetable: Timetable, route: Route) -> Iterator[Fault]:
    if not 1 <= timetable.timetable_id < 1 << 20:
        yield "timetable_id", f"is not within 1 to {(1 << 20) - 1}"
    if not 1 <= timetable.weekdays <= 127:
        yield "weekdays", "is not within 1 to 127; 1 is Monday, 64 Sunday, add them up"
    if timetable.first_date > timetable.last_date:
        yield "last_date", "is before first_date"
    for field in ("first_date", "last_date"):
        try:
            departure_id(1, getattr(timetable, field))
        except ValueError as error:
            yield field, str(error)
    if timetable.departure_clock.second or timetable.departure_clock.microsecond:
        yield "departure_clock", "is not a whole minute"
    limits = {"sale_days": MOST_SALE_DAYS, "closing_minutes": MOST_CLOSING_MINUTES}
    for field, limit in limits.items():
        if not 0 <= getattr(timetable, field) <= limit:
            yield field, f"is not within 0 to {limit}"
    yield from _seats_faults(timetable, route)


def _seats_faults(timetable: Timetable, route: Route) -> Iterator[Fault]:
    classes = {each["class_code"]: each for each in route.fare_classes}
    if not timetable.seats:
        yield "seats", f"needs at least one class of {sorted(classes)}"
    for code, total in timetable.seats.items():
        if code not in classes:
            yield f"seats.{code}", f"is not in {sorted(classes)}"
        else:
            yield from _total_faults(f"seats.{code}", total, classes[code])


def _total_faults(field: str, total: int, fare_class: Mapping[str, Any]) -> Iterator[Fault]:
    numbered = fare_class["seat_map"]
    limit = SeatMap.parse(numbered).size if numbered else MOST_TOTAL
    if not 0 <= total <= limit:
        has = f"; the class has {limit} numbered seats" if numbered else ""
        yield field, f"is {total}, not within 0 to {limit}{has}"
