"""What is exported is imported as the same departures and fares, and public tools read it so."""

import json
import os
import shutil
import subprocess
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import gtfs_guru
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.catalog import pricing
from server.gtfs.archives import read_archive, write_archive
from server.gtfs.clocks import moment_of
from server.gtfs.feed_fares import DAY_TYPES, FareTerms, FeedFares
from server.gtfs.planning import Selection, plan, read_feed
from server.gtfs.writing import (
    ExportedFeed,
    ExportedRoute,
    ExportedStop,
    ExportedTrip,
    FeedAgency,
    feed_files,
    route_fares,
)

ZONES = {"HKG": ZoneInfo("Asia/Hong_Kong"), "BER": ZoneInfo("Europe/Berlin")}
FIRST = date(2027, 3, 22)  # clocks change in Berlin within the week
DAYS = [FIRST + timedelta(days=number) for number in range(14)]
HOLIDAYS = {FIRST + timedelta(days=4): "holiday"}
STOPS = [
    ExportedStop("PIER-A", "BER", "Pier A", "A号码头", 22_287_000, 114_160_000),
    ExportedStop("PIER-B", "BER", "Pier B, “west”", "B号码头", 22_294_000, 114_169_000),
    ExportedStop("PIER-C", "HKG", "Pier C", "Pier C", -500_000, -1),
]


def day_type(day: date) -> str:
    return pricing.day_type(day, HOLIDAYS)


@st.composite
def routes(draw: st.DrawFn, number: int, currency: str) -> ExportedRoute:
    stops = draw(st.permutations(STOPS))[: draw(st.integers(2, 3))]
    calls, minutes = [], 0
    for index, stop in enumerate(stops):
        arrive = minutes + draw(st.integers(1, 400)) if index else 0
        minutes = arrive + draw(st.integers(0, 30)) if index else 0
        call: dict[str, Any] = {"stop_code": stop.stop_code, "arrive_minutes": arrive}
        approximate = index > 0 and draw(st.booleans())
        calls.append({**call, "depart_minutes": minutes, "approximate": approximate})
    amounts = st.dictionaries(
        st.tuples(
            st.sampled_from(["ECONOMY", "SUPER"]),
            st.sampled_from(["ADULT", "CHILD"]),
            st.sampled_from(DAY_TYPES),
        ),
        st.integers(0, 10**7),
        max_size=6,
    )
    fares = [
        {
            "class_code": class_code,
            "origin": stops[0].stop_code,
            "destination": stops[-1].stop_code,
            "customer_type": customer,
            "day_type": of_days,
            "amount_minor": amount,
        }
        for (class_code, customer, of_days), amount in draw(amounts).items()
    ]
    classes = [{"class_code": code, "display_name_en": code} for code in ("ECONOMY", "SUPER")]
    kept = route_fares(fares, pricing.FALLBACKS)
    return ExportedRoute(number, "FERRY", currency, "HK", calls, classes, kept)


@st.composite
def feeds(draw: st.DrawFn) -> ExportedFeed:
    currency = draw(st.sampled_from(["HKD", "JPY", "BHD"]))
    made = [draw(routes(number, currency)) for number in (1, 2)]
    trips = [
        ExportedTrip(
            str(number),
            draw(st.sampled_from([1, 2])),
            f"F{number}",
            60 * draw(st.integers(0, 27 * 60)),
            frozenset(draw(st.sets(st.sampled_from(DAYS), min_size=1))),
            draw(st.sampled_from([None, None, 600])),
        )
        for number in range(draw(st.integers(1, 4)))
    ]
    days: dict[tuple[str, str], frozenset[date]] = {
        ("HK", each): frozenset(day for day in DAYS if day_type(day) == each) for each in DAY_TYPES
    }
    zone = draw(st.sampled_from(["Asia/Hong_Kong", "Europe/Berlin"]))
    agency = FeedAgency("Ferry, Ltd", "https://ferry.example", zone, "feed@ferry.example")
    return ExportedFeed(agency, DAYS[0], DAYS[-1], STOPS, made, trips, days)


def currency_of(feed: ExportedFeed) -> str:
    return feed.routes[0].currency_code


def sold(feed: ExportedFeed) -> set[tuple[Any, ...]]:
    """Number, moment, headway and stops of each departure."""
    zone = ZoneInfo(feed.agency.time_zone)
    calls = {
        route.route_id: tuple(
            [(c["stop_code"], c["arrive_minutes"], c["depart_minutes"]) for c in route.calls]
        )
        for route in feed.routes
    }
    return {
        (t.service_number, moment_of(day, t.seconds, zone), t.headway, calls[t.route_id])
        for t in feed.trips
        for day in t.days
    }


def amounts(fares: list[Any], days: list[str]) -> dict[Any, int | None]:
    """What each leg costs each customer on each type of day, whatever it is written as."""
    tables: dict[Any, dict[tuple[str, str], int]] = {}
    for fare in fares:
        table = tables.setdefault((fare.class_code, fare.origin, fare.destination), {})
        table[fare.customer_type, fare.day_type or "weekday"] = fare.amount_minor
    found: dict[Any, int | None] = {}
    for leg, table in tables.items():
        for customer in {each for each, _ in table}:
            for each in days:
                try:
                    found[(*leg, customer, each)] = pricing.fare_of(table, customer, each)
                except pricing.NoFare:
                    continue
    return found


@settings(max_examples=60, deadline=None)
@given(feeds())
def test_a_feed_written_is_read_as_it_was(feed: ExportedFeed) -> None:
    """Departures by moment, with stops and headways, and what every leg costs on any day.

    Seen red with the services of the types of day left out of the calendars.
    """
    files = feed_files(feed)
    assert write_archive(files) == write_archive(feed_files(feed))
    read = read_feed(read_archive(write_archive(files)))
    made = plan(read, Selection("", (), "", {}, ZONES), files)
    assert made.faults == []
    assert made.notes == [] or all("approximate" in n or "sold as" in n for n in made.notes)
    found = {
        (
            each.service_number,
            datetime.combine(
                day, each.clock, ZONES[made.stops[made.routes[each.route].calls[0].stop_id][1]]
            ).astimezone(ZoneInfo("UTC")),
            each.headway,
            tuple([call[:3] for call in made.routes[each.route].calls]),
        )
        for each in made.timetables.values()
        for day in each.days
    }
    assert found == sold(feed)
    fares = FeedFares(read, FareTerms(currency_of(feed), ["ECONOMY", "SUPER"], day_type))
    for route in made.routes.values():
        (exported,) = (r for r in feed.routes if str(r.route_id) == route.feed_route_id)
        got = amounts(fares.of_route(route), list(DAY_TYPES))
        assert got == amounts(list(exported.fares), list(DAY_TYPES))
    assert fares.faults == []


# Public tools

LONG = [FIRST + timedelta(days=number) for number in range(60)]
RICH = ExportedFeed(
    FeedAgency("Star Ferry", "https://example.com", "Asia/Hong_Kong", "feed@example.com"),
    LONG[0],
    LONG[-1],
    STOPS[:2],
    [
        ExportedRoute(
            11,
            "FERRY",
            "HKD",
            "HK",
            [
                {"stop_code": "PIER-A", "arrive_minutes": 0, "depart_minutes": 0},
                {"stop_code": "PIER-B", "arrive_minutes": 12, "depart_minutes": 12},
            ],
            [{"class_code": "ECONOMY", "display_name_en": "Economy"}],
            route_fares(
                [
                    {
                        "class_code": "ECONOMY",
                        "origin": "PIER-A",
                        "destination": "PIER-B",
                        "customer_type": customer,
                        "day_type": each,
                        "amount_minor": amount,
                    }
                    for customer, each, amount in (
                        ("ADULT", "weekday", 550),
                        ("ADULT", "weekend", 700),
                        ("CHILD", "weekday", 280),
                    )
                ],
                pricing.FALLBACKS,
            ),
        )
    ],
    [
        ExportedTrip("1", 11, "F1", 7 * 3600 + 300, frozenset(LONG) - {DAYS[3]}, None),
        ExportedTrip("2", 11, "F2", 25 * 3600 + 600, frozenset({DAYS[0]}), None),
    ],
    {("HK", each): frozenset(d for d in LONG if day_type(d) == each) for each in DAY_TYPES},
)


def test_times_have_two_digits_and_go_past_midnight() -> None:
    files = feed_files(RICH)
    times = files["stop_times.txt"].decode().splitlines()
    assert times[1:] == [
        "1,07:05:00,07:05:00,PIER-A,1,1",
        "1,07:17:00,07:17:00,PIER-B,2,1",
        "2,25:10:00,25:10:00,PIER-A,1,1",
        "2,25:22:00,25:22:00,PIER-B,2,1",
    ]
    assert "frequencies.txt" not in files
    assert ",5.50,HKD," in files["fare_products.txt"].decode()
    assert "stops,stop_name,zh,A号码头,PIER-A" in files["translations.txt"].decode()


NOT_KNOWN = {"missing_bike_allowance"}
"""Warnings about what we do not know, and so do not say: whether a ferry takes bicycles."""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "feed.zip"
    path.write_bytes(write_archive(feed_files(RICH)))
    return path


def test_a_validator_finds_no_fault(archive: Path) -> None:
    """The canonical rules, by gtfs-guru. Seen red with a feed of two weeks."""
    report = gtfs_guru.validate(str(archive), country_code="HK", date=FIRST.isoformat())
    found = {(each.severity, each.code) for each in report.notices if each.severity != "INFO"}
    assert found <= {("WARNING", code) for code in NOT_KNOWN}


def test_the_canonical_validator_finds_no_fault(archive: Path) -> None:
    """MobilityData's own, where its jars are (gtfs-validator-main 6.0.0 with all it depends on, as
    `mvn dependency:copy-dependencies` collects them).
    """
    jars = os.environ.get("GTFS_VALIDATOR_JARS")
    if not jars or not shutil.which("java"):
        pytest.skip("no GTFS_VALIDATOR_JARS, a folder with the jars of gtfs-validator, or no Java")
    output = archive.parent / "report"
    source = Path(__file__).parent.parent / "support" / "GtfsValidator.java"
    arguments = [str(source), str(archive), str(output), FIRST.isoformat()]
    subprocess.run(["java", "-cp", f"{jars}/*", *arguments], check=True, capture_output=True)
    notices = json.loads((output / "report.json").read_text())["notices"]
    found = {(each["severity"], each["code"]) for each in notices if each["severity"] != "INFO"}
    assert found <= {("WARNING", code) for code in NOT_KNOWN}
