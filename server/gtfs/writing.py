"""A feed of ours, written: plain stop_times without frequencies, times beyond 24:00:00, calendars
that are just the days sold, and fares as GTFS-Fares v2, which alone can tell classes, customers and
types of day apart. Pure; the same content makes the same files.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from server.gtfs.clocks import clock_text
from server.gtfs.days import calendar_rows
from server.gtfs.feed_fares import CLASS_COLUMN, CUSTOMER_TYPES, DAY_TYPES
from server.gtfs.planning import CITY_COLUMN, HEADWAY_COLUMN
from server.gtfs.tables import write_table
from server.platform.crypto import digest
from server.platform.currencies import decimal_text

ROUTE_TYPES = {"TRAIN": "2", "BUS": "3", "FERRY": "4"}
CUSTOMER_NAMES = {
    "ADULT": "Adult",
    "CHILD": "Child",
    "SENIOR": "Senior",
    "STUDENT": "Student",
    "PET": "Pet",
}


class FeedAgency(NamedTuple):
    """Who sells; `time_zone` is whose days are service days. `email` may be empty."""

    name: str
    url: str
    time_zone: str
    email: str


class ExportedStop(NamedTuple):
    """A stop, in millionths of a degree, if its place is known."""

    stop_code: str
    city_code: str
    display_name_en: str
    display_name_zh: str
    latitude_microdegrees: int | None
    longitude_microdegrees: int | None


class ExportedFare(NamedTuple):
    """What something costs on days of a type, whatever else there is; for all days if it is
    empty.
    """

    class_code: str
    origin: str
    destination: str
    customer_type: str
    day_type: str
    amount_minor: int


class ExportedRoute(NamedTuple):
    """A route; calls and classes as they are stored."""

    route_id: int
    vehicle: str
    currency_code: str
    calendar_code: str
    calls: Sequence[Mapping[str, Any]]
    classes: Sequence[Mapping[str, Any]]
    fares: Sequence[ExportedFare]


class ExportedTrip(NamedTuple):
    """A service that leaves at so many seconds of its service days."""

    trip_id: str
    route_id: int
    service_number: str
    seconds: int
    days: frozenset[date]
    headway: int | None


class ExportedFeed(NamedTuple):
    """All of it; `day_types` are the days of each type by calendar, from the first to the last."""

    agency: FeedAgency
    first_date: date
    last_date: date
    stops: Sequence[ExportedStop]
    routes: Sequence[ExportedRoute]
    trips: Sequence[ExportedTrip]
    day_types: Mapping[tuple[str, str], frozenset[date]]


Rows = list[dict[str, object]]

COLUMNS = {
    "agency": (
        "agency_id",
        "agency_name",
        "agency_url",
        "agency_timezone",
        "agency_lang",
        "agency_email",
    ),
    "stops": ("stop_id", "stop_code", "stop_name", "stop_lat", "stop_lon", CITY_COLUMN),
    "routes": ("route_id", "agency_id", "route_long_name", "route_type", "network_id"),
    "trips": (
        "route_id",
        "service_id",
        "trip_id",
        "trip_headsign",
        "trip_short_name",
        HEADWAY_COLUMN,
    ),
    "stop_times": (
        "trip_id",
        "arrival_time",
        "departure_time",
        "stop_id",
        "stop_sequence",
        "timepoint",
    ),
    "calendar": (
        "service_id",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "start_date",
        "end_date",
    ),
    "calendar_dates": ("service_id", "date", "exception_type"),
    "translations": ("table_name", "field_name", "language", "translation", "record_id"),
    "feed_info": (
        "feed_publisher_name",
        "feed_publisher_url",
        "feed_lang",
        "default_lang",
        "feed_start_date",
        "feed_end_date",
        "feed_version",
        "feed_contact_email",
        "feed_contact_url",
    ),
    "areas": ("area_id", "area_name"),
    "stop_areas": ("area_id", "stop_id"),
    "rider_categories": ("rider_category_id", "rider_category_name", "is_default_fare_category"),
    "timeframes": ("timeframe_group_id", "start_time", "end_time", "service_id"),
    "fare_products": (
        "fare_product_id",
        "fare_product_name",
        "rider_category_id",
        "amount",
        "currency",
        CLASS_COLUMN,
    ),
    "fare_leg_rules": (
        "network_id",
        "from_area_id",
        "to_area_id",
        "from_timeframe_group_id",
        "fare_product_id",
    ),
}
ALWAYS = ("agency", "stops", "routes", "trips", "stop_times", "feed_info")
AGENCY_ID = "1"


def feed_files(feed: ExportedFeed) -> dict[str, bytes]:
    """The files, by name; those of what there is none of are left out."""
    tables: defaultdict[str, Rows] = defaultdict(list)
    services = _trips(feed, tables)
    _stops_and_routes(feed, tables)
    services |= _fares(feed, tables)
    tables["calendar"], tables["calendar_dates"] = calendar_rows(dict(sorted(services.items())))
    agency = feed.agency
    tables["agency"] = [
        {
            "agency_id": AGENCY_ID,
            "agency_name": agency.name,
            "agency_url": agency.url,
            "agency_timezone": agency.time_zone,
            "agency_lang": "en",
            "agency_email": agency.email,
        }
    ]
    files = {
        f"{name}.txt": write_table(_used(COLUMNS[name], rows), rows)
        for name, rows in tables.items()
        if rows or name in ALWAYS
    }
    content = b"".join(name.encode() + b"\0" + files[name] + b"\0" for name in sorted(files))
    info: Rows = [
        {
            "feed_publisher_name": agency.name,
            "feed_publisher_url": agency.url,
            "feed_lang": "en",
            "default_lang": "en",
            "feed_start_date": f"{feed.first_date:%Y%m%d}",
            "feed_end_date": f"{feed.last_date:%Y%m%d}",
            "feed_version": digest(content).hex()[:16],
            "feed_contact_email": agency.email,
            "feed_contact_url": "" if agency.email else agency.url,
        }
    ]
    files["feed_info.txt"] = write_table(_used(COLUMNS["feed_info"], info), info)
    return files


def _used(columns: Sequence[str], rows: Rows) -> list[str]:
    """The columns that any row has something in: optional ones are left out else."""
    return [name for name in columns if any(row.get(name, "") != "" for row in rows)] or list(
        columns
    )


def _trips(feed: ExportedFeed, tables: dict[str, Rows]) -> dict[str, frozenset[date]]:
    """The trips with their times; the services they run on."""
    routes = {route.route_id: route for route in feed.routes}
    stops = {stop.stop_code: stop for stop in feed.stops}
    services: dict[str, frozenset[date]] = {}
    for trip in sorted(feed.trips):
        calls = routes[trip.route_id].calls
        service = _service_id(trip.days)
        services[service] = trip.days
        last = stops[calls[-1]["stop_code"]]
        tables["trips"].append(
            {
                "route_id": trip.route_id,
                "service_id": service,
                "trip_id": trip.trip_id,
                "trip_headsign": last.display_name_en,
                "trip_short_name": trip.service_number,
                HEADWAY_COLUMN: trip.headway or "",
            }
        )
        _translated(tables, "trips", "trip_headsign", trip.trip_id, last)
        for number, call in enumerate(calls, start=1):
            arrive, depart = (
                clock_text(trip.seconds + 60 * call[name])
                for name in ("arrive_minutes", "depart_minutes")
            )
            exact = not (trip.headway or call.get("approximate"))
            tables["stop_times"].append(
                {
                    "trip_id": trip.trip_id,
                    "arrival_time": arrive,
                    "departure_time": depart,
                    "stop_id": call["stop_code"],
                    "stop_sequence": number,
                    "timepoint": int(exact),
                }
            )
    return services


def _stops_and_routes(feed: ExportedFeed, tables: dict[str, Rows]) -> None:
    stops = {stop.stop_code: stop for stop in feed.stops}
    for stop in sorted(feed.stops):
        tables["stops"].append(
            {
                "stop_id": stop.stop_code,
                "stop_code": stop.stop_code,
                "stop_name": stop.display_name_en,
                "stop_lat": _degrees(stop.latitude_microdegrees),
                "stop_lon": _degrees(stop.longitude_microdegrees),
                CITY_COLUMN: stop.city_code,
            }
        )
        _translated(tables, "stops", "stop_name", stop.stop_code, stop)
    for route in sorted(feed.routes, key=lambda each: each.route_id):
        ends = [stops[route.calls[index]["stop_code"]] for index in (0, -1)]
        name = " – ".join(stop.display_name_en for stop in ends)
        tables["routes"].append(
            {
                "route_id": route.route_id,
                "agency_id": AGENCY_ID,
                "route_long_name": f"{name} ({route.route_id})",
                "route_type": ROUTE_TYPES[route.vehicle],
                "network_id": f"N{route.route_id}" if route.fares else "",
            }
        )
        chinese = "—".join(stop.display_name_zh for stop in ends)
        _translation(
            tables,
            "routes",
            "route_long_name",
            str(route.route_id),
            f"{chinese} ({route.route_id})",
        )


def _fares(feed: ExportedFeed, tables: dict[str, Rows]) -> dict[str, frozenset[date]]:
    """The fares; the services of the types of day that they are for."""
    services: dict[str, frozenset[date]] = {}
    customers: set[str] = set()
    areas: set[str] = set()
    products: dict[str, dict[str, object]] = {}
    rules: dict[tuple[str, ...], dict[str, object]] = {}
    for route in sorted(feed.routes, key=lambda each: each.route_id):
        classes = {each["class_code"]: each for each in route.classes}
        for fare in sorted(route.fares):
            if fare.day_type:
                group = f"{route.calendar_code}-{fare.day_type}"
                days = feed.day_types.get((route.calendar_code, fare.day_type), frozenset())
                if not days:  # there is no such day in the feed
                    continue
                services[group] = days
            else:
                group = ""
            leg = f"{route.route_id}-{fare.class_code}-{fare.origin}-{fare.destination}"
            product = f"{leg}-{fare.day_type or 'any'}"
            products[f"{product}-{fare.customer_type}"] = {
                "fare_product_id": product,
                "fare_product_name": classes[fare.class_code]["display_name_en"],
                "rider_category_id": fare.customer_type,
                "amount": decimal_text(fare.amount_minor, route.currency_code),
                "currency": route.currency_code,
                CLASS_COLUMN: fare.class_code,
            }
            rules[product, group] = {
                "network_id": f"N{route.route_id}",
                "from_area_id": fare.origin,
                "to_area_id": fare.destination,
                "from_timeframe_group_id": group,
                "fare_product_id": product,
            }
            customers.add(fare.customer_type)
            areas |= {fare.origin, fare.destination}
    tables["fare_products"] = [products[key] for key in sorted(products)]
    tables["fare_leg_rules"] = [rules[key] for key in sorted(rules)]
    tables["timeframes"] = [
        {"timeframe_group_id": group, "service_id": group} for group in sorted(services)
    ]
    tables["rider_categories"] = [
        {
            "rider_category_id": customer,
            "rider_category_name": CUSTOMER_NAMES[customer],
            "is_default_fare_category": int(customer == "ADULT"),
        }
        for customer in CUSTOMER_TYPES
        if customer in customers
    ]
    named = {stop.stop_code: stop.display_name_en for stop in feed.stops}
    tables["areas"] = [{"area_id": area, "area_name": named[area]} for area in sorted(areas)]
    tables["stop_areas"] = [{"area_id": area, "stop_id": area} for area in sorted(areas)]
    return services


def route_fares(
    fares: Iterable[Mapping[str, Any]], fallbacks: Mapping[str, str]
) -> list[ExportedFare]:
    """Fares as they are stored, each with the type of day it is really for: a holiday without one
    has the weekend's, a weekend without one the weekday's; one for all days where they are equal.
    """
    by_leg: defaultdict[tuple[str, str, str, str], dict[str, int]] = defaultdict(dict)
    for fare in fares:
        key = fare["class_code"], fare["origin"], fare["destination"], fare["customer_type"]
        by_leg[key][fare["day_type"]] = fare["amount_minor"]
    made: list[ExportedFare] = []
    for key, amounts in by_leg.items():
        real: dict[str, int | None] = {
            day_type: _of_day(amounts, day_type, fallbacks) for day_type in DAY_TYPES
        }
        if None not in real.values() and len(set(real.values())) == 1:
            real = {"": real["weekday"]}
        made += [
            ExportedFare(*key, day_type, amount)
            for day_type, amount in real.items()
            if amount is not None
        ]
    return sorted(made)


def _of_day(amounts: Mapping[str, int], day_type: str, fallbacks: Mapping[str, str]) -> int | None:
    while day_type and day_type not in amounts:
        day_type = fallbacks.get(day_type, "")
    return amounts.get(day_type)


def _service_id(days: frozenset[date]) -> str:
    """The same for the same days."""
    text = ",".join(day.isoformat() for day in sorted(days))
    return f"S{digest(text.encode()).hex()[:10]}"


def _degrees(micro: int | None) -> str:
    if micro is None:
        return ""
    return f"{'-' if micro < 0 else ''}{abs(micro) // 1_000_000}.{abs(micro) % 1_000_000:06d}"


def _translated(
    tables: dict[str, Rows], table: str, field: str, record_id: str, stop: ExportedStop
) -> None:
    if stop.display_name_zh != stop.display_name_en:
        _translation(tables, table, field, record_id, stop.display_name_zh)


def _translation(
    tables: dict[str, Rows], table: str, field: str, record_id: str, text: str
) -> None:
    tables["translations"].append(
        {
            "table_name": table,
            "field_name": field,
            "language": "zh",
            "translation": text,
            "record_id": record_id,
        }
    )
