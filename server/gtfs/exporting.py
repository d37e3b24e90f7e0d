"""Exports what is sold as a GTFS feed: routes and timetables that are active, with their departures
as they are now.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import pricing
from server.catalog.changes import ACTIVE
from server.catalog.holidays import list_holidays
from server.catalog.models import cities, departures, products, routes, stops, timetables
from server.catalog.timetables import Timetable
from server.gtfs.archives import write_archive
from server.gtfs.clocks import service_seconds
from server.gtfs.days import RunningDays, days_of
from server.gtfs.writing import (
    ExportedFeed,
    ExportedRoute,
    ExportedStop,
    ExportedTrip,
    FeedAgency,
    feed_files,
    route_fares,
)
from server.platform.errors import invalid, invalid_fields, not_found

MOST_DAYS = 400


@dataclass(frozen=True)
class ExportTerms:
    """What is exported: of these routes (all if empty), from day to day, both included."""

    agency: FeedAgency
    first_date: date
    last_date: date
    route_ids: Collection[int] = ()


async def export_feed(tx: AsyncConnection, terms: ExportTerms) -> bytes:
    """The feed as a zip archive; the same bytes as long as nothing of it changes.

    Raises INVALID_FIELD (also for a stop whose place is not known), NOT_FOUND (route).
    """
    if not terms.first_date <= terms.last_date < terms.first_date + timedelta(days=MOST_DAYS):
        raise invalid("last_date", f"is before first_date, or {MOST_DAYS} days and more after it")
    try:
        zone = ZoneInfo(terms.agency.time_zone)
    except (KeyError, OSError, ValueError):  # KeyError: not found
        zones = "is no IANA time zone, as Asia/Hong_Kong"
        raise invalid("agency_time_zone", f"{terms.agency.time_zone!r} {zones}") from None
    found = await _routes(tx, terms.route_ids)
    known = await _stops(tx, found)
    trips = await _trips(tx, terms, found, known, zone)
    if not trips:
        raise invalid("route_ids", "nothing of them leaves on these days; name others")
    used = {trip.route_id for trip in trips}
    sold = [route for route in found if route.route_id in used]
    called = {call["stop_code"] for route in sold for call in route.calls}
    _require_places(sold, [stop for code, (stop, _) in known.items() if code in called])
    days = [each for trip in trips for each in trip.days]
    first, last = min(days), max(days)
    calendars = {route.calendar_code for route in sold if route.fares}
    feed = ExportedFeed(
        terms.agency,
        first,
        last,
        [stop for code, (stop, _) in known.items() if code in called],
        sold,
        trips,
        await _day_types(tx, calendars, first, last),
    )
    return write_archive(feed_files(feed))


async def _routes(tx: AsyncConnection, route_ids: Collection[int]) -> list[ExportedRoute]:
    query = (
        select(
            *(routes.c.route_id, routes.c.vehicle, products.c.currency_code),
            *(products.c.calendar_code, routes.c.stops, routes.c.fare_classes, routes.c.fares),
        )
        .join(products, products.c.product_id == routes.c.product_id)
        .where(routes.c.state == ACTIVE, products.c.state == ACTIVE)
        .order_by(routes.c.route_id)
    )
    if route_ids:
        query = query.where(routes.c.route_id.in_(route_ids))
    found = [
        ExportedRoute(*row[:-1], route_fares(row.fares, pricing.FALLBACKS))
        for row in await tx.execute(query)
    ]
    missing = set(route_ids) - {route.route_id for route in found}
    if missing:
        raise not_found("route", min(missing))
    return found


async def _stops(
    tx: AsyncConnection, found: list[ExportedRoute]
) -> dict[str, tuple[ExportedStop, ZoneInfo]]:
    codes = {call["stop_code"] for route in found for call in route.calls}
    query = (
        select(*(stops.c[name] for name in ExportedStop._fields), cities.c.time_zone)
        .join(cities, cities.c.city_code == stops.c.city_code)
        .where(stops.c.stop_code.in_(codes))
        .order_by(stops.c.stop_code)
    )
    return {
        row.stop_code: (ExportedStop(*row[:-1]), ZoneInfo(row.time_zone))
        for row in await tx.execute(query)
    }


def _require_places(sold: Collection[ExportedRoute], called: Collection[ExportedStop]) -> None:
    """Raises INVALID_FIELD with each stop whose place is not known, and the routes that call there:
    without these the others can be exported.
    """
    calling: defaultdict[str, list[int]] = defaultdict(list)
    for route in sold:
        for call in route.calls:
            calling[call["stop_code"]].append(route.route_id)
    missing = [stop.stop_code for stop in called if stop.latitude_microdegrees is None]
    if missing:
        raise invalid_fields([("route_ids", _unplaced(each, calling[each])) for each in missing])


def _unplaced(stop_code: str, route_ids: Collection[int]) -> str:
    calling = ", ".join(map(str, route_ids))
    return (
        f"it is not known where stop {stop_code} is, at which routes {calling} call:"
        " UpdateStop with latitude_microdegrees and longitude_microdegrees, or name other routes"
    )


async def _trips(
    tx: AsyncConnection,
    terms: ExportTerms,
    found: list[ExportedRoute],
    known: Mapping[str, tuple[ExportedStop, ZoneInfo]],
    zone: ZoneInfo,
) -> list[ExportedTrip]:
    """A trip for each timetable and time of its service days: another where the clocks are changed,
    or where a departure was moved; without those that are cancelled.
    """
    by_route = {route.route_id: route for route in found}
    query = select(timetables).where(
        timetables.c.state == ACTIVE, timetables.c.route_id.in_(list(by_route))
    )
    kept = [Timetable(**row) for row in (await tx.execute(query)).mappings()]
    made = await _departures(tx, [each.timetable_id for each in kept], terms)
    trips: list[ExportedTrip] = []
    for timetable in sorted(kept, key=lambda each: each.timetable_id):
        first = by_route[timetable.route_id].calls[0]["stop_code"]
        moments = _moments(timetable, made.get(timetable.timetable_id, {}), terms, known[first][1])
        by_seconds: defaultdict[int, set[date]] = defaultdict(set)
        for moment in moments:
            day = moment.astimezone(zone).date()
            seconds = service_seconds(day, moment, zone)
            if seconds < 0:  # clocks are changed on that day
                day -= timedelta(days=1)
                seconds = service_seconds(day, moment, zone)
            by_seconds[seconds].add(day)
        usual = sorted(by_seconds, key=lambda each: (-len(by_seconds[each]), each))
        for index, seconds in enumerate(usual):
            trip_id = str(timetable.timetable_id) + (f"-{seconds}" if index else "")
            trips.append(
                ExportedTrip(
                    trip_id,
                    timetable.route_id,
                    timetable.service_number,
                    seconds,
                    frozenset(by_seconds[seconds]),
                    timetable.headway_seconds,
                )
            )
    return trips


async def _departures(
    tx: AsyncConnection, timetable_ids: list[int], terms: ExportTerms
) -> dict[int, dict[date, datetime | None]]:
    """When the departures that are made leave; None for one that is cancelled."""
    query = select(
        departures.c.timetable_id,
        departures.c.travel_date,
        departures.c.state,
        departures.c.departure_time,
    ).where(
        departures.c.timetable_id.in_(timetable_ids),
        departures.c.travel_date.between(terms.first_date, terms.last_date),
    )
    found: defaultdict[int, dict[date, datetime | None]] = defaultdict(dict)
    for row in await tx.execute(query):
        leaves = row.departure_time if row.state == "SCHEDULED" else None
        found[row.timetable_id][row.travel_date] = leaves
    return found


def _moments(
    timetable: Timetable,
    made: Mapping[date, datetime | None],
    terms: ExportTerms,
    zone: ZoneInfo,
) -> list[datetime]:
    """When a timetable's departures leave: those made as they are, the others by its clock."""
    running = RunningDays(
        timetable.weekdays,
        timetable.first_date,
        timetable.last_date,
        timetable.added_dates,
        timetable.removed_dates,
    )
    days = {day for day in days_of(running) if terms.first_date <= day <= terms.last_date}
    found = []
    for day in sorted(days | made.keys()):
        clock = datetime.combine(day, timetable.departure_clock, zone).astimezone(UTC)
        moment = made.get(day, clock)
        if moment is not None:
            found.append(moment.astimezone(UTC))
    return found


async def _day_types(
    tx: AsyncConnection, calendar_codes: Collection[str], first: date, last: date
) -> dict[tuple[str, str], frozenset[date]]:
    found: defaultdict[tuple[str, str], set[date]] = defaultdict(set)
    for calendar_code in sorted(calendar_codes):
        listed = await list_holidays(tx, calendar_code, since=first, until=last)
        types = {each.day: each.day_type for each in listed}
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            found[calendar_code, pricing.day_type(day, types)].add(day)
    return {key: frozenset(days) for key, days in found.items()}
