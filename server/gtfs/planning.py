"""What a feed comes to in our catalogue: stops, routes (one for each pattern of stops and minutes),
timetables and their days. Pure.

Ids of the feed and ours: a stop is its `stop_id` (that of its station, if it has one), a route is
the feed's `route_id` with its pattern, a timetable is a `trip_id` with its start (of a frequency)
and the clock by which it leaves: on the two days a year on which clocks are changed, a trip before
the change leaves by another.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from server.gtfs.clocks import moment_of
from server.gtfs.days import service_days
from server.gtfs.names import Translations
from server.gtfs.tables import FeedLine, FeedTable, LineFault, read_table
from server.gtfs.trips import (
    PatternCall,
    Start,
    TripFaultError,
    calls_of,
    pattern_of,
    sold_calls,
    starts_of,
)
from server.platform.crypto import digest

FERRY, TRAIN, BUS = "FERRY", "TRAIN", "BUS"
VEHICLES = {0: TRAIN, 1: TRAIN, 2: TRAIN, 3: BUS, 4: FERRY, 11: BUS, 12: TRAIN}
"""By route_type; the extended types of Google are hundreds, see `vehicle_of`."""
EXTENDED = {1: TRAIN, 2: BUS, 4: TRAIN, 7: BUS, 8: BUS, 9: TRAIN, 10: FERRY, 12: FERRY}
MOST_STARTS = 1500
"""Departures of a trip in a day: about one a minute."""
MOST_TIMETABLES = 20_000
USED = frozenset(
    {
        *("agency", "stops", "routes", "trips", "stop_times", "calendar", "calendar_dates"),
        *("frequencies", "translations", "feed_info", "fare_attributes", "fare_rules", "areas"),
        *("stop_areas", "networks", "route_networks", "timeframes", "rider_categories"),
        *("fare_products", "fare_leg_rules"),
    }
)
CITY_COLUMN = "deeptravel_city_code"
HEADWAY_COLUMN = "deeptravel_headway_secs"


class Selection(NamedTuple):
    """What of a feed is wanted: of an agency and routes (all if empty), and in which city each stop
    is: `stop_cities` by stop_id, the column `deeptravel_city_code`, else `city_code`. `zones` are
    the clocks of our cities.
    """

    agency_id: str
    route_ids: Collection[str]
    city_code: str
    stop_cities: Mapping[str, str]
    zones: Mapping[str, tzinfo]


class PlannedStop(NamedTuple):
    """A stop that something wanted calls at."""

    feed_id: str
    city_code: str
    display_name_en: str
    display_name_zh: str
    latitude_microdegrees: int | None
    longitude_microdegrees: int | None


class PlannedRoute(NamedTuple):
    """A pattern of a route of the feed."""

    feed_id: str
    feed_route_id: str
    vehicle: str
    calls: tuple[PatternCall, ...]


class PlannedTimetable(NamedTuple):
    """A trip that leaves by a clock; `days` has its service day by each day of departure."""

    feed_id: str
    feed_route_id: str
    route: str
    trip_id: str
    service_number: str
    clock: time
    days: dict[date, date]
    headway: int | None


@dataclass
class Plan:
    """What is wanted of a feed, and what is refused of that. `refused` has the departures of
    refused trips by trip_id, as far as they can be counted.
    """

    stops: dict[str, PlannedStop] = field(default_factory=dict)
    routes: dict[str, PlannedRoute] = field(default_factory=dict)
    timetables: dict[str, PlannedTimetable] = field(default_factory=dict)
    faults: list[LineFault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)


@dataclass
class Feed:
    """The files of a feed, as tables."""

    tables: dict[str, FeedTable]

    def lines(self, name: str) -> list[FeedLine]:
        """The lines of a file; none of one that is not there."""
        return self.tables[name].lines if name in self.tables else []

    def by(self, name: str, column: str) -> dict[str, list[FeedLine]]:
        """The lines of a file by what a column has."""
        found: defaultdict[str, list[FeedLine]] = defaultdict(list)
        for line in self.lines(name):
            found[line[column]].append(line)
        return dict(found)


def read_feed(files: Mapping[str, bytes]) -> Feed:
    """The tables of those files that are used."""
    names = {name.removesuffix(".txt"): name for name in files if name.endswith(".txt")}
    return Feed(
        {table: read_table(name, files[name]) for table, name in names.items() if table in USED}
    )


def plan(feed: Feed, wanted: Selection, files: Collection[str]) -> Plan:
    """What a feed comes to; `files` are the names of all that were sent, for the report."""
    return _Planner(feed, wanted).plan(files)


class _TripLines(NamedTuple):
    """A trip, what it goes by, and its lines of stop_times and frequencies."""

    line: FeedLine
    vehicle: str
    times: list[FeedLine]
    frequencies: list[FeedLine]


class _Planner:
    def __init__(self, feed: Feed, wanted: Selection) -> None:
        self._feed, self._wanted, self._plan = feed, wanted, Plan()
        self._faults = self._plan.faults
        self._texts = Translations(feed.lines("translations"))
        self._stop_lines = {line["stop_id"]: line for line in feed.lines("stops")}
        self._stations = _stations(self._stop_lines)
        self._approximate: set[str] = set()
        self._left_out: set[str] = set()
        self._rounded: set[str] = set()

    def plan(self, files: Collection[str]) -> Plan:
        unused = sorted(name for name in files if name.removesuffix(".txt") not in USED)
        if unused:
            self._plan.notes.append(f"files that are not read: {', '.join(unused)}")
        for table in self._feed.tables.values():
            self._faults += table.faults
        for name in ("agency", "stops", "routes", "trips", "stop_times"):
            if not self._feed.lines(name):
                what = "is missing or has no line that can be read; add it"
                self._faults.append(LineFault(f"{name}.txt", 1, "", what))
        agency = self._agency()
        if agency is None:
            return self._plan
        zone = self._zone(agency)
        if zone is not None:
            self._trips(zone, agency["agency_id"])
        self._say()
        return self._plan

    def _agency(self) -> FeedLine | None:
        agencies = self._feed.lines("agency")
        asked = self._wanted.agency_id
        found = [line for line in agencies if not asked or line["agency_id"] == asked]
        if len(found) == 1:
            return found[0]
        if agencies:
            known = ", ".join(sorted(line["agency_id"] for line in agencies))
            what = f"there is no agency {asked!r}" if asked else "there is more than one agency"
            self._faults.append(agencies[0].fault("agency_id", f"{what}; name one of {known}"))
        return None

    def _zone(self, agency: FeedLine) -> ZoneInfo | None:
        try:
            return ZoneInfo(agency["agency_timezone"])
        except (KeyError, OSError, ValueError):  # KeyError: not found
            what = f"{agency['agency_timezone']!r} is no IANA time zone, as Asia/Hong_Kong; mend it"
            self._faults.append(agency.fault("agency_timezone", what))
            return None

    def _routes(self, agency_id: str) -> dict[str, str]:
        """The vehicles of the wanted routes, empty for what we do not sell."""
        found: dict[str, str] = {}
        several = len(self._feed.lines("agency")) > 1
        asked = set(self._wanted.route_ids)
        for line in self._feed.lines("routes"):
            route_id = line["route_id"]
            if (asked and route_id not in asked) or (several and line["agency_id"] != agency_id):
                continue
            vehicle = vehicle_of(line["route_type"])
            if not vehicle:
                what = f"{line['route_type']!r} is no train, bus or ferry; leave the route out"
                self._faults.append(line.fault("route_type", what))
            found[route_id] = vehicle
        for missing in sorted(asked - found.keys()):
            what = f"the agency has no route {missing!r}; leave it out, or name another"
            self._faults.append(LineFault("routes.txt", 1, "route_id", what))
        return found

    def _trips(self, zone: ZoneInfo, agency_id: str) -> None:
        feed = self._feed
        days, faults = service_days(feed.lines("calendar"), feed.lines("calendar_dates"))
        self._faults += faults
        vehicles = self._routes(agency_id)
        known = {line["route_id"] for line in feed.lines("routes")}
        times, frequencies = feed.by("stop_times", "trip_id"), feed.by("frequencies", "trip_id")
        trips: dict[str, FeedLine] = {}
        for line in feed.lines("trips"):
            if line["trip_id"] in trips:
                self._faults.append(line.fault("trip_id", "stands there twice; leave one"))
                continue
            trips[line["trip_id"]] = line
            if line["route_id"] not in known:
                what = f"there is no route {line['route_id']!r}; add it to routes.txt"
                self._faults.append(line.fault("route_id", what))
            elif line["route_id"] in vehicles:
                own = times.get(line["trip_id"], []), frequencies.get(line["trip_id"], [])
                of_trip = _TripLines(line, vehicles[line["route_id"]], *own)
                self._try_trip(of_trip, days.get(line["service_id"]), zone)
        for lines in (times, frequencies):
            for trip_id in sorted(lines.keys() - trips.keys()):
                what = f"there is no trip {trip_id!r}; add it to trips.txt"
                self._faults.append(lines[trip_id][0].fault("trip_id", what))
        if len(self._plan.timetables) > MOST_TIMETABLES:
            what = f"come to more than {MOST_TIMETABLES} timetables; import some routes at a time"
            self._faults.append(LineFault("trips.txt", 1, "", what))
            self._plan.timetables.clear()

    def _try_trip(
        self, trip: "_TripLines", running: Collection[date] | None, zone: ZoneInfo
    ) -> None:
        line = trip.line
        try:
            if running is None:
                what = f"no calendar has the service {line['service_id']!r}; add it"
                raise TripFaultError(line.fault("service_id", what))
            if not trip.times:
                what = "has no stop_times; add them, or leave the trip out"
                raise TripFaultError(line.fault("trip_id", what))
            if trip.vehicle:
                self._trip(trip, running, zone)
            else:  # said of its route
                self._plan.refused[line["trip_id"]] = len(running)
        except TripFaultError as error:
            self._faults.append(error.fault)
            self._plan.refused.setdefault(line["trip_id"], len(running or ()))

    def _trip(self, trip: "_TripLines", running: Collection[date], zone: ZoneInfo) -> None:
        line = trip.line
        trip_id, route_id = line["trip_id"], line["route_id"]
        calls = calls_of(trip.times, self._stations)
        starts = starts_of(calls, trip.frequencies, limit=MOST_STARTS)
        self._plan.refused[trip_id] = len(running) * len(starts)  # until all of it is fine
        if trip.frequencies:  # its own times say only how long it takes
            later = -calls[0].depart
            calls = [
                each._replace(arrive=each.arrive + later, depart=each.depart + later)
                for each in calls
            ]
        elif headway := _headway(line):
            starts = [starts[0]._replace(headway=headway)]
        sold = sold_calls(calls)
        pattern = pattern_of(sold)
        stops = {call.stop_id: self._stop(call.stop_id) for call in pattern}
        key = f"{route_id}@{_digest(trip.vehicle, pattern)}"
        zones = zone, self._wanted.zones[stops[pattern[0].stop_id].city_code]
        made = [
            each
            for start in starts
            for each in self._timetables(line, key, start, (running, *zones))
        ]
        self._plan.refused.pop(trip_id)
        if any(call.approximate for call in calls):
            self._approximate.add(trip_id)
        if len(sold) < len(calls):
            self._left_out.add(trip_id)
        if any(each % 60 for call in calls for each in (call.arrive, call.depart)) or any(
            start.seconds % 60 for start in starts
        ):
            self._rounded.add(trip_id)
        self._plan.stops |= stops
        self._plan.routes.setdefault(key, PlannedRoute(key, route_id, trip.vehicle, pattern))
        self._plan.timetables |= {each.feed_id: each for each in made}

    def _timetables(
        self,
        line: FeedLine,
        route: str,
        start: Start,
        when: tuple[Collection[date], tzinfo, tzinfo],
    ) -> Iterator[PlannedTimetable]:
        """A timetable for each clock by which the trip leaves, the most usual first."""
        by_clock: defaultdict[time, dict[date, date]] = defaultdict(dict)
        running, of_agency, of_stop = when
        for day in sorted(running):
            local = moment_of(day, start.seconds, of_agency).astimezone(of_stop)
            clock = local.time().replace(second=0, microsecond=0, fold=0)
            if local.fold or local.date() in by_clock[clock]:
                what = (
                    f"on {day} it leaves in the hour that is there twice, at {clock:%H:%M}: take"
                    " that day out of its service, and sell it by a timetable of your own"
                )
                raise TripFaultError(line.fault("service_id", what))
            by_clock[clock][local.date()] = day
        usual = sorted(by_clock, key=lambda clock: (-len(by_clock[clock]), clock))
        for index, clock in enumerate(usual):
            feed_id = f"{line['trip_id']}@{start.key}@{f'{clock:%H:%M}' if index else ''}"
            yield PlannedTimetable(
                feed_id,
                line["route_id"],
                route,
                line["trip_id"],
                self._number(line, clock),
                clock,
                by_clock[clock],
                start.headway,
            )

    def _number(self, trip: FeedLine, clock: time) -> str:
        """The number of a service: the trip's, else its route's with the clock."""
        own = service_number(trip["trip_short_name"])
        if own:
            return own
        route = next(
            line for line in self._feed.lines("routes") if line["route_id"] == trip["route_id"]
        )
        short = service_number(route["route_short_name"])[:26] or "S"
        return f"{short}/{clock:%H%M}"

    def _stop(self, stop_id: str) -> PlannedStop:
        if stop_id in self._plan.stops:
            return self._plan.stops[stop_id]
        line, wanted = self._stop_lines[stop_id], self._wanted
        own = wanted.stop_cities.get(stop_id) or line[CITY_COLUMN]
        city_code = own or wanted.city_code
        if city_code not in wanted.zones:
            what = (
                f"there is no city {city_code!r} of ours; create it, or name another for the stop"
            )
            raise TripFaultError(line.fault("stop_id", what))
        names = self._texts.names("stops", "stop_name", line)
        if not names[0].strip():
            raise TripFaultError(line.fault("stop_name", "is empty; give the stop a name"))
        try:
            place = [
                round(float(line[name]) * 1_000_000) if line[name] else None
                for name in ("stop_lat", "stop_lon")
            ]
            for value, limit in zip(place, (90_000_000, 180_000_000), strict=True):
                if value is not None and abs(value) > limit:
                    raise ValueError
        except (ValueError, OverflowError):
            raise TripFaultError(
                line.fault("stop_lat", "is no place in degrees; mend it")
            ) from None
        if None in place:
            place = [None, None]
        return PlannedStop(stop_id, city_code, names[0][:100], names[1][:100], place[0], place[1])

    def _say(self) -> None:
        plan = self._plan
        about = sorted({each.trip_id for each in plan.timetables.values() if each.headway})
        said = {
            "times at some stops are approximate (none in the feed, or timepoint 0): trips": sorted(
                self._approximate
            ),
            "stops without a time in the feed that come to one minute with another are left out:"
            " trips": sorted(self._left_out),
            "seconds are dropped, each time is shown at the minute it is in: trips": sorted(
                self._rounded
            ),
            "sold as leaving about every so many minutes (exact_times 0): trips": about,
        }
        for what, trips in said.items():
            if trips:
                more = f" and {len(trips) - 5} more" if len(trips) > 5 else ""
                plan.notes.append(f"{what} {', '.join(trips[:5])}{more}")


def vehicle_of(route_type: str) -> str:
    """TRAIN, FERRY or BUS; empty for what we do not sell."""
    if not route_type.isdecimal():
        return ""
    number = int(route_type)
    return VEHICLES.get(number) or EXTENDED.get(number // 100 if number >= 100 else -1, "")


def service_number(written: str) -> str:
    """A number as people type it, capitals without spaces and hyphens; empty if it cannot be one
    of ours.
    """
    made = "".join(written.upper().split()).replace("-", "")
    plain = made.isascii() and all(each.isalnum() or each in "./" for each in made)
    return made if plain and 0 < len(made) <= 32 and made[0].isalnum() else ""


def _headway(trip: FeedLine) -> int | None:
    written = trip[HEADWAY_COLUMN]
    return int(written) if written.isdecimal() and 0 < int(written) <= 86_400 else None


def _stations(lines: Mapping[str, FeedLine]) -> dict[str, str]:
    """What is sold of a stop that can be called at: its station, else itself."""
    found = {}
    for stop_id, line in lines.items():
        if line["location_type"] in ("", "0"):
            parent = line["parent_station"]
            found[stop_id] = parent if parent in lines else stop_id
    return found


def _digest(vehicle: str, pattern: Sequence[PatternCall]) -> str:
    return digest(repr((vehicle, [tuple(call) for call in pattern])).encode()).hex()[:12]
