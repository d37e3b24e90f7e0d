"""Timetables: services that run on certain days, and their departures, made ahead, each with our
own seats in every class.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Unpack
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, refuse
from server.audit.rules import Fault
from server.catalog import changes
from server.catalog.changes import ACTIVE, create, refuse_archived
from server.catalog.models import cities, stops, timetables
from server.catalog.routes import ROUTES, Route, seats_limit
from server.platform import change_feed, outbox
from server.platform.change_feed import ChangeKind
from server.platform.statements import run
from server.stock import inventory
from server.stock.ids import departure_id
from server.stock.inventory import DepartureStock

MARGIN_DAYS = 2
"""Departures are made so many days before their sale begins, so that a day without this job is
no day without them.
"""
MOST_SALE_DAYS = 365
MOST_CLOSING_MINUTES = 24 * 60
MOST_EXCEPTION_DATES = 1000
MOST_HEADWAY_SECONDS = 24 * 60 * 60
SERVICE_NUMBER = "[A-Z0-9][A-Z0-9./]{0,31}"
FOLLOW_MOVE = "departure.moved"
"""Kind of the outbox task by which orders and tickets follow their departure, its number the
key.
"""


@dataclass(frozen=True)
class Timetable:
    """A service that runs on certain days; bit 0 of `weekdays` is Monday, `seats` are our own by
    class code. It runs on `added_dates` besides, and not on `removed_dates`. With `headway_seconds`
    it leaves about so often, and at no certain time.
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
    added_dates: list[date] = field(default_factory=list)
    removed_dates: list[date] = field(default_factory=list)
    headway_seconds: int | None = None
    state: str = ACTIVE
    version: int = 1


TIMETABLES = Records(
    "timetable",
    timetables.c.timetable_id,
    select(*(timetables.c[field.name] for field in fields(Timetable))),
    Timetable,
    ChangeKind.CATALOGUE,
)

# FOR NO KEY UPDATE as `lock_departure`: waits for all who take of them just now
_UNSOLD = text("""
WITH locked AS (
  SELECT s.departure_id, s.held + s.sold AS taken FROM stocks s
  JOIN departures d ON d.departure_id = s.departure_id
  WHERE d.timetable_id = :timetable_id AND d.departure_time > :now AND d.state = 'SCHEDULED'
    AND d.planned_time IS NULL
  ORDER BY s.stock_id FOR NO KEY UPDATE OF s
)
SELECT departure_id, travel_date FROM departures d
WHERE timetable_id = :timetable_id AND departure_time > :now AND state = 'SCHEDULED'
  AND planned_time IS NULL
  AND NOT EXISTS (SELECT FROM locked l WHERE l.departure_id = d.departure_id AND l.taken > 0)
ORDER BY departure_id
""")
_RETIME = text("""
UPDATE departures d SET departure_time = v.departure_time, version = d.version + 1
FROM unnest(CAST(:departure_ids AS bigint[]), CAST(:departure_times AS timestamptz[]))
  AS v (departure_id, departure_time)
WHERE d.departure_id = v.departure_id AND d.state = 'SCHEDULED' AND d.planned_time IS NULL
""")


async def create_timetables(
    tx: AsyncConnection, new: Sequence[Timetable], **by: Unpack[By]
) -> None:
    """New timetables, and their departures as far as they are near. Raises INVALID_FIELD,
    NOT_FOUND and ARCHIVED (route), ALREADY_EXISTS.
    """
    await _add(tx, new, **by)
    await make_departures(tx, by["now"])


async def add_timetable(tx: AsyncConnection, timetable: Timetable, **by: Unpack[By]) -> None:
    """As `create_timetable`, of many: whoever adds the last one calls `make_departures`."""
    await _add(tx, [timetable], **by)


async def _add(tx: AsyncConnection, new: Sequence[Timetable], **by: Unpack[By]) -> None:
    of_route: dict[int, Route] = {}
    for route_id in sorted({timetable.route_id for timetable in new}):
        of_route[route_id] = await ROUTES.lock(tx, route_id)
        refuse_archived("route", route_id, of_route[route_id])
    for timetable in new:
        faults = _timetable_faults(timetable, of_route[timetable.route_id])
        refuse([*_number_faults(timetable), *faults])
    await create(tx, timetables, "timetable", new, **by)


async def create_timetable(
    tx: AsyncConnection, timetable: Timetable, **by: Unpack[By]
) -> Timetable:
    """A new timetable. Raises INVALID_FIELD, NOT_FOUND and ARCHIVED (route), ALREADY_EXISTS."""
    await create_timetables(tx, [timetable], **by)
    return await TIMETABLES.get(tx, timetable.timetable_id)


async def update_timetable(
    tx: AsyncConnection, timetable_id: int, values: Mapping[str, Any], **by: Unpack[By]
) -> Timetable:
    """Changes the given fields, for departures that are not made yet.

    Of those that are made, another clock moves the ones of which nothing is held or sold and that
    were not moved by themselves; tickets that are sold never leave at another time by this, that is
    MoveDeparture. Days, dates and seats of made departures stay: CancelDeparture and
    SetDepartureStock change these. Raises INVALID_FIELD, NOT_FOUND, ARCHIVED.
    """
    changed = await change_timetable(tx, timetable_id, values, **by)
    await make_departures(tx, by["now"])
    return changed


async def change_timetable(
    tx: AsyncConnection, timetable_id: int, values: Mapping[str, Any], **by: Unpack[By]
) -> Timetable:
    """As `update_timetable`, of many: whoever changes the last one calls `make_departures`."""
    before = await TIMETABLES.lock(tx, timetable_id)
    refuse_archived("timetable", timetable_id, before)
    after = replace(before, **values)
    route = await ROUTES.lock(tx, after.route_id)
    numbers = _number_faults(after) if "service_number" in values else ()
    refuse([*numbers, *_timetable_faults(after, route)])
    changed = await changes.change(tx, TIMETABLES, before, values, **by)
    if changed.departure_clock != before.departure_clock:
        await _retime(tx, changed, route, now=by["now"])
    return changed


async def archive_timetable(tx: AsyncConnection, timetable_id: int, **by: Unpack[By]) -> Timetable:
    """Takes a service off sale; tickets sold stay valid, and their departures run. A repeat changes
    nothing. Raises NOT_FOUND.
    """
    return await changes.archive(tx, TIMETABLES, await TIMETABLES.lock(tx, timetable_id), **by)


async def unarchive_timetable(
    tx: AsyncConnection, timetable_id: int, **by: Unpack[By]
) -> Timetable:
    """Puts an archived service on sale again; a repeat changes nothing. Raises NOT_FOUND, ARCHIVED
    (route), INVALID_FIELD if its route has its classes no more.
    """
    before = await TIMETABLES.lock(tx, timetable_id)
    route = await ROUTES.lock(tx, before.route_id)
    refuse_archived("route", before.route_id, route)
    refuse(list(_timetable_faults(before, route)))
    changed = await changes.unarchive(tx, TIMETABLES, before, **by)
    await make_departures(tx, by["now"])
    return changed


async def _retime(
    tx: AsyncConnection, timetable: Timetable, route: Route, *, now: datetime
) -> None:
    """Has departures of which nothing is sold leave by the new clock."""
    zone_of = select(cities.c.time_zone).join(stops, stops.c.city_code == cities.c.city_code)
    first = route.stops[0]["stop_code"]
    zone = ZoneInfo(await tx.scalar(zone_of.where(stops.c.stop_code == first)) or "UTC")
    unsold = await tx.execute(_UNSOLD, {"timetable_id": timetable.timetable_id, "now": now})
    moved = {}
    for row in unsold:
        clock = datetime.combine(row.travel_date, timetable.departure_clock, zone)
        if clock > now:
            moved[row.departure_id] = clock.astimezone(UTC)
    if not moved:
        return
    names = {"departure_ids": list(moved), "departure_times": list(moved.values())}
    await tx.execute(_RETIME, names)
    # whoever began an order a moment ago was shown the old time: it follows, as after a move
    tasks = [outbox.NewTask(FOLLOW_MOVE, str(number), {}, now) for number in moved]
    await run(tx, outbox.enqueue(*tasks, now=now))


_ZONES = text("SELECT DISTINCT time_zone FROM cities")
# The day is the one of the city of the first stop. EXISTS, not the date of the last run: a stop of
# the job, a new timetable and a longer sale all need no care. Of a class that the route has not, no
# stock is made.
_MISSING = text("""
WITH running AS (
  SELECT t.timetable_id, t.departure_clock, t.weekdays, t.added_dates, t.removed_dates, c.time_zone,
    greatest(t.first_date, z.today) AS begin_date,
    least(t.last_date, z.today + t.sale_days + :margin) AS end_date
  FROM timetables t
  JOIN routes r ON r.route_id = t.route_id
  JOIN products p ON p.product_id = r.product_id
  JOIN stops s ON s.stop_code = r.stops -> 0 ->> 'stop_code'
  JOIN cities c ON c.city_code = s.city_code
  JOIN unnest(CAST(:zones AS text[]), CAST(:todays AS date[])) AS z (time_zone, today)
    ON z.time_zone = c.time_zone
  WHERE t.state = 'ACTIVE' AND r.state = 'ACTIVE' AND p.state = 'ACTIVE'
), wanted AS (
  SELECT (timetable_id::bigint << 14) | (day::date - DATE '2020-01-01') AS departure_id,
    timetable_id, day::date AS travel_date, departure_clock, time_zone
  FROM running,
    generate_series(begin_date::timestamp, end_date::timestamp, INTERVAL '1 day') AS day
  WHERE (weekdays >> (extract(isodow FROM day)::int - 1) & 1 = 1 OR day::date = ANY(added_dates))
    AND day::date <> ALL(removed_dates)
)
SELECT departure_id, timetable_id, travel_date, departure_clock, time_zone FROM wanted w
WHERE NOT EXISTS (SELECT FROM departures d WHERE d.departure_id = w.departure_id)
""")
_MAKE_DEPARTURES = text("""
INSERT INTO departures (departure_id, timetable_id, travel_date, departure_time, state)
SELECT departure_id, timetable_id, travel_date, departure_time, 'SCHEDULED'
FROM unnest(CAST(:departure_ids AS bigint[]), CAST(:timetable_ids AS int[]),
  CAST(:travel_dates AS date[]), CAST(:departure_times AS timestamptz[]))
  AS made (departure_id, timetable_id, travel_date, departure_time)
ORDER BY departure_id
ON CONFLICT DO NOTHING
""")
_MISSING_STOCKS = text("""
SELECT (1::bigint << 62) + (d.departure_id << 24) + ((class ->> 'class_index')::bigint << 20),
  r.product_id, d.departure_id, class ->> 'class_code',
  (t.seats ->> (class ->> 'class_code'))::int
FROM departures d
JOIN timetables t ON t.timetable_id = d.timetable_id
JOIN routes r ON r.route_id = t.route_id
CROSS JOIN jsonb_array_elements(r.fare_classes) AS class
WHERE d.travel_date >= :since AND d.departure_time > :now AND d.state = 'SCHEDULED'
  AND t.seats ? (class ->> 'class_code')
  AND NOT EXISTS (
    SELECT FROM stocks s WHERE s.stock_id =
      (1::bigint << 62) + (d.departure_id << 24) + ((class ->> 'class_index')::bigint << 20)
  )
ORDER BY 1
FOR SHARE OF d
""")
# locked, so that a cancellation closes these stocks too, or comes first and there are none


async def _make_missing(tx: AsyncConnection, now: datetime) -> int:
    # Clocks become moments here, not in the database: its tables of time zones may be other than
    # ours.
    zones = [zone for (zone,) in await tx.execute(_ZONES)]
    todays = [now.astimezone(ZoneInfo(zone)).date() for zone in zones]
    missing = await tx.execute(_MISSING, {"zones": zones, "todays": todays, "margin": MARGIN_DAYS})
    made = []
    for row in missing:
        clock = datetime.combine(row.travel_date, row.departure_clock, ZoneInfo(row.time_zone))
        if clock > now:  # of one zone and another: compared as moments
            made.append(
                (row.departure_id, row.timetable_id, row.travel_date, clock.astimezone(UTC))
            )
    if not made:
        return 0
    names = ("departure_ids", "timetable_ids", "travel_dates", "departure_times")
    columns = map(list, zip(*made, strict=True))
    inserted = await tx.execute(_MAKE_DEPARTURES, dict(zip(names, columns, strict=True)))
    return inserted.rowcount


async def make_departures(tx: AsyncConnection, now: datetime) -> int:
    """Makes the departures that timetables say there are from now until their sale begins, and
    their seats.

    What is there stays as it is, also if its timetable has been changed since. Returns how many
    rows were made.
    """
    departures = await _make_missing(tx, now)
    since = (now - timedelta(days=1)).date()
    missing = await tx.execute(_MISSING_STOCKS, {"now": now, "since": since})
    stocks = await inventory.create_of_departures(
        tx, [DepartureStock(*row) for row in missing], now=now
    )
    made = departures + stocks
    if made:
        await change_feed.publish(tx, change_feed.ChangeKind.CATALOGUE)
    return made


# Faults


def _number_faults(timetable: Timetable) -> Iterator[Fault]:
    # as codes that people type are read: else no session could be opened for its departures
    if not re.fullmatch(SERVICE_NUMBER, timetable.service_number):
        yield "service_number", f"{timetable.service_number!r} does not match {SERVICE_NUMBER}"


def _timetable_faults(timetable: Timetable, route: Route) -> Iterator[Fault]:
    if not 1 <= timetable.timetable_id < 1 << 20:
        yield "timetable_id", f"is not within 1 to {(1 << 20) - 1}"
    if not (0 if timetable.added_dates else 1) <= timetable.weekdays <= 127:
        yield "weekdays", "is not within 1 to 127; 1 is Monday, 64 Sunday, add them up"
    yield from _exception_faults(timetable)
    headway = timetable.headway_seconds
    if headway is not None and not 1 <= headway <= MOST_HEADWAY_SECONDS:
        yield "headway_seconds", f"is not within 1 to {MOST_HEADWAY_SECONDS}"
    if timetable.first_date > timetable.last_date:
        yield "last_date", "is before first_date"
    for name in ("first_date", "last_date"):
        try:
            departure_id(1, getattr(timetable, name))
        except ValueError as error:
            yield name, str(error)
    if timetable.departure_clock.second or timetable.departure_clock.microsecond:
        yield "departure_clock", "is not a whole minute"
    limits = {"sale_days": MOST_SALE_DAYS, "closing_minutes": MOST_CLOSING_MINUTES}
    for name, limit in limits.items():
        if not 0 <= getattr(timetable, name) <= limit:
            yield name, f"is not within 0 to {limit}"
    yield from _seats_faults(timetable, route)


def _exception_faults(timetable: Timetable) -> Iterator[Fault]:
    for name in ("added_dates", "removed_dates"):
        days: list[date] = getattr(timetable, name)
        if len(days) > MOST_EXCEPTION_DATES:
            yield name, f"are {len(days)}; a timetable has at most {MOST_EXCEPTION_DATES}"
        if days != sorted(set(days)):
            yield name, "are not in order, each once"
        outside = [day for day in days if not timetable.first_date <= day <= timetable.last_date]
        if outside:
            yield name, f"{outside[0]} is not within first_date to last_date"
    both = set(timetable.added_dates) & set(timetable.removed_dates)
    if both:
        yield "removed_dates", f"{min(both)} is in added_dates, too"


def _seats_faults(timetable: Timetable, route: Route) -> Iterator[Fault]:
    classes = {each["class_code"]: each for each in route.fare_classes}
    if not timetable.seats:
        yield "seats", f"needs at least one class of {', '.join(sorted(classes))}"
    for index, (code, total) in enumerate(timetable.seats.items()):
        if code not in classes:
            known = ", ".join(sorted(classes))
            yield f"seats[{index}].class_code", f"{code} is no class of the route; it has {known}"
        else:
            yield from total_faults(f"seats[{index}].total", total, classes[code])


def total_faults(field: str, total: int, fare_class: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with our own seats of a class."""
    limit = seats_limit(fare_class)
    if not 0 <= total <= limit:
        has = f"; the class has {limit} numbered seats" if fare_class["seat_map"] else ""
        yield field, f"is {total}, not within 0 to {limit}{has}"
