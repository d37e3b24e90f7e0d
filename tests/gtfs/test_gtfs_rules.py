"""What a feed comes to: times, days, frequencies, names and fares, and what is refused of it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.gtfs import archives
from server.gtfs.archives import read_archive, write_archive
from server.gtfs.clocks import clock_text, moment_of, seconds_of, service_seconds
from server.gtfs.days import WEEKDAYS, RunningDays, days_of, running_days
from server.gtfs.feed_fares import FareTerms, FeedFares
from server.gtfs.money import minor_of
from server.gtfs.planning import Plan, Selection, plan, read_feed
from server.gtfs.tables import read_table
from server.platform.currencies import decimal_text
from server.platform.errors import DomainError, Reason
from tests.support.gtfs_feeds import FERRY_FEED, changed, files, zipped

HONG_KONG, BERLIN = ZoneInfo("Asia/Hong_Kong"), ZoneInfo("Europe/Berlin")
DAYS = {f"day{number}": f"2027010{number + 4}" for number in range(3)}  # Monday the 4th
MONDAY = date(2027, 1, 4)


def planned(feed: Mapping[str, str], **more: Any) -> Plan:
    content = files(feed, **DAYS)
    wanted = Selection("", (), "HKG", {}, {"HKG": HONG_KONG, "BER": BERLIN})
    return plan(read_feed(content), wanted._replace(**more), content)


def faults(feed: Mapping[str, str], **more: Any) -> list[tuple[str, int, str]]:
    return [each[:3] for each in planned(feed, **more).faults]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("7:05:00", 25_500), ("07:05:00", 25_500), ("25:10:00", 90_600), ("00:00:01", 1)],
)
def test_times_are_read_with_one_or_two_digits(written: str, seconds: int) -> None:
    assert seconds_of(written) == seconds
    assert clock_text(seconds) == written.zfill(8)


@pytest.mark.parametrize("written", ["7:5:00", "7:05", "", "-1:00:00", "７:05:00", "7:60:00"])
def test_what_is_no_time(written: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        seconds_of(written)


@pytest.mark.parametrize(
    ("day", "written", "moment"),
    [
        # clocks go forward at 2:00 on 28 March 2027, and back at 3:00 on 31 October
        (date(2027, 3, 27), "26:30:00", "2027-03-28T01:30+00:00"),
        (date(2027, 3, 28), "00:30:00", "2027-03-27T22:30+00:00"),
        (date(2027, 3, 28), "08:00:00", "2027-03-28T06:00+00:00"),
        (date(2027, 10, 31), "00:30:00", "2027-10-30T23:30+00:00"),
        (date(2027, 10, 31), "08:00:00", "2027-10-31T07:00+00:00"),
        (date(2027, 6, 1), "08:00:00", "2027-06-01T06:00+00:00"),
    ],
)
def test_times_count_from_noon_minus_twelve_hours(day: date, written: str, moment: str) -> None:
    """Seen red with midnight in place of noon minus twelve hours: an hour off on two days."""
    found = moment_of(day, seconds_of(written), BERLIN)
    assert found == datetime.fromisoformat(moment)
    assert service_seconds(day, found, BERLIN) == seconds_of(written)


@given(st.sets(st.integers(0, 200), min_size=1))
def test_any_days_are_weekdays_with_exceptions(numbers: set[int]) -> None:
    days = {MONDAY + timedelta(days=number) for number in numbers}
    assert days_of(running_days(days)) == days


def test_days_of_a_week_need_few_exceptions() -> None:
    days = {MONDAY + timedelta(days=7 * week + day) for week in range(8) for day in range(5)}
    without, besides = MONDAY + timedelta(days=14), MONDAY + timedelta(days=19)
    found = running_days(days - {without} | {besides})
    last = MONDAY + timedelta(days=53)
    assert found == RunningDays(31, MONDAY, last, [besides], [without])


@pytest.mark.parametrize(
    ("currency", "written", "minor"),
    [("HKD", "12.50", 1250), ("JPY", "1250", 1250), ("BHD", "1.250", 1250), ("HKD", "5.5", 550)],
)
def test_amounts_have_the_decimals_of_their_currency(
    currency: str, written: str, minor: int
) -> None:
    assert minor_of(written, currency) == minor
    assert decimal_text(minor, currency) == ("5.50" if written == "5.5" else written)


@pytest.mark.parametrize(
    ("currency", "written"), [("HKD", "1.255"), ("JPY", "1.5"), ("HKD", "-1"), ("HKD", "NaN")]
)
def test_what_is_no_amount(currency: str, written: str) -> None:
    with pytest.raises(ValueError, match="is no amount"):
        minor_of(written, currency)


def test_a_ferry_feed() -> None:
    """One pattern for trip and frequency, and one of the night; the end of a span and the template
    of a frequency are no departures. Seen red with the end included.
    """
    made = planned(FERRY_FEED)
    assert made.faults == []
    clocks = {each.feed_id: each.clock for each in made.timetables.values()}
    assert clocks == {
        "T1@@": time(7, 5),
        "T2@@": time(1, 10),
        "FREQ@36000@": time(10),
        "FREQ@36600@": time(10, 10),
        "FREQ@37200@": time(10, 20),
        "FREQ@39600@": time(11),
        "FREQ@40200@": time(11, 10),
    }
    night = made.timetables["T2@@"]
    assert night.days == {
        MONDAY + timedelta(days=n + 1): MONDAY + timedelta(days=n) for n in range(2)
    }
    headways = {each.feed_id: each.headway for each in made.timetables.values()}
    assert (headways["FREQ@36000@"], headways["FREQ@39600@"]) == (600, None)
    numbers = {each.service_number for each in made.timetables.values()}
    assert {"F101", "F1/1000", "N/0110"} < numbers
    calls = made.routes[night.route].calls
    assert [(c.stop_id, c.arrive_minutes, c.approximate) for c in calls] == [
        ("CENTRAL", 0, False),
        ("TST", 10, True),  # a quarter of the way
        ("DB", 40, False),
    ]
    assert made.stops["CENTRAL"][2:4] == ("Central", "中环")
    assert made.stops["DB"][3:] == ("Discovery Bay", 22_293_600, 114_016_800)
    said = " ".join(made.notes)
    assert "shapes.txt" in said
    assert "approximate" in said
    assert "every so many minutes" in said
    assert "seconds are dropped" in said


@pytest.mark.parametrize(
    ("arrives", "distance"),
    [("25:11:00", "1"), ("25:50:30", "3.99")],  # with the stop before, with the one after
)
def test_a_stop_without_a_time_in_one_minute_with_another_is_left_out(
    arrives: str, distance: str
) -> None:
    """Seen red without `sold_calls`: the trip was refused."""
    feed = changed(FERRY_FEED, "stop_times.txt", "T2,25:50:00,25:50:00", f"T2,{arrives},{arrives}")
    made = planned(changed(feed, "stop_times.txt", "T2,,,TST,2,1,", f"T2,,,TST,2,{distance},"))
    assert made.faults == []
    calls = made.routes[made.timetables["T2@@"].route].calls
    assert [call.stop_id for call in calls] == ["CENTRAL", "DB"]
    assert any("one minute with another are left out: trips T2" in note for note in made.notes)


def test_a_service_of_five_years_is_read() -> None:
    """As those of public feeds. Seen red with a limit of three years."""
    feed = dict(FERRY_FEED) | {
        "calendar.txt": f"service_id,{','.join(WEEKDAYS)},start_date,end_date\n"
        "WEEK,1,1,1,1,1,1,1,20260101,20301231\n"
    }
    made = planned(feed)
    assert made.faults == []
    assert len(made.timetables["T1@@"].days) == 5 * 365 + 1


def test_a_service_leaves_out_the_days_that_are_removed() -> None:
    """Seen red with removed days (exception_type 2) left in."""
    feed = changed(FERRY_FEED, "calendar_dates.txt", "WEEK,{day1},1\n", "WEEK,{day1},2\n")
    feed["calendar.txt"] = (
        f"service_id,{','.join(WEEKDAYS)},start_date,end_date\n"
        "WEEK,1,1,1,1,1,0,0,20270104,20270110\n"
    )
    running = planned(feed).timetables["T1@@"].days
    assert sorted(running) == [MONDAY + timedelta(days=n) for n in (0, 2, 3, 4)]


def test_stops_without_times_and_distances_are_passed_evenly() -> None:
    """Seen red with all of them passed at the first stop's time, when they were left out."""
    feed = changed(FERRY_FEED, "stop_times.txt", "T2,,,TST,2,1,1", "T2,,,TST,2,,1")
    made = planned(feed)
    calls = made.routes[made.timetables["T2@@"].route].calls
    assert [(call.stop_id, call.arrive_minutes) for call in calls] == [
        ("CENTRAL", 0),
        ("TST", 20),
        ("DB", 40),
    ]


def test_a_time_that_the_feed_calls_approximate_is_shown_as_such() -> None:
    """timepoint 0. Seen red with filled times alone marked."""
    feed = changed(FERRY_FEED, "stop_times.txt", "drop_off_type\n", "drop_off_type,timepoint\n")
    feed = changed(
        feed, "stop_times.txt", "T1,7:14:30,7:14:30,TST,5,,", "T1,7:14:30,7:14:30,TST,5,,,0"
    )
    made = planned(feed)
    calls = made.routes[made.timetables["T1@@"].route].calls
    assert [call.approximate for call in calls] == [False, True]


def test_old_translations_go_by_the_text() -> None:
    lines = "trans_id,lang,translation\nDiscovery Bay,zh,愉景湾\n"
    old = {**FERRY_FEED, "translations.txt": lines}
    assert planned(old).stops["DB"][3] == "愉景湾"


def test_a_trip_in_two_clocks_a_year() -> None:
    """On the day the clocks change, a trip before the change leaves by another clock; one after it
    by the same.
    """
    feed = changed(FERRY_FEED, "agency.txt", "Asia/Hong_Kong", "Europe/Berlin")
    feed = changed(feed, "stop_times.txt", "25:10:00,25:10:00", "01:10:00,01:10:00")
    feed = changed(feed, "stop_times.txt", "25:50:00,25:50:00", "01:50:00,01:50:00")
    days = "".join(f"{name},202703{day},1\n" for name in ("WEEK", "NIGHT") for day in (27, 28, 29))
    feed["calendar_dates.txt"] = f"service_id,date,exception_type\n{days}"
    made = planned(feed, city_code="BER")
    assert made.faults == []
    early = {key: each for key, each in made.timetables.items() if each.trip_id == "T2"}
    assert {key: (each.clock, sorted(each.days)) for key, each in early.items()} == {
        "T2@@": (time(1, 10), [date(2027, 3, 27), date(2027, 3, 29)]),
        "T2@@00:10": (time(0, 10), [date(2027, 3, 28)]),
    }
    assert len(made.timetables["T1@@"].days) == 3


def test_an_hour_that_is_there_twice_is_refused() -> None:
    feed = changed(FERRY_FEED, "agency.txt", "Asia/Hong_Kong", "Europe/Berlin")
    feed = changed(feed, "stop_times.txt", "25:10:00,25:10:00", "02:10:00,02:10:00")
    feed = changed(feed, "stop_times.txt", "25:50:00,25:50:00", "02:50:00,02:50:00")
    feed["calendar_dates.txt"] = (
        "service_id,date,exception_type\nWEEK,20271031,1\nNIGHT,20271031,1\n"
    )
    made = planned(feed, city_code="BER")
    assert [fault[:3] for fault in made.faults] == [("trips.txt", 4, "service_id")]
    assert made.refused == {"T2": 1}


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        (
            "stop_times.txt",
            "T1,7:14:30,7:14:30",
            "T1,7:04:30,7:04:30",
            ("stop_times.txt", 3, "arrival_time"),
        ),
        (
            "stop_times.txt",
            "T1,7:14:30,7:14:30",
            "T1,7:05:30,7:05:30",
            ("stop_times.txt", 3, "arrival_time"),
        ),
        ("stop_times.txt", "T1,7:05:00,7:05:00", "T1,,", ("stop_times.txt", 2, "arrival_time")),
        (
            "stop_times.txt",
            "T1,7:05:00,7:05:00",
            "T1,7.05,7.05",
            ("stop_times.txt", 2, "arrival_time"),
        ),
        ("stop_times.txt", "TST,5,", "NOWHERE,5,", ("stop_times.txt", 3, "stop_id")),
        ("stop_times.txt", "TST,5,", "C7,5,", ("stop_times.txt", 3, "stop_id")),
        ("stop_times.txt", "TST,5,", "TST,x,", ("stop_times.txt", 3, "stop_sequence")),
        ("stop_times.txt", "T1,7:14:30", "T9,7:14:30", ("stop_times.txt", 2, "stop_id")),
        ("trips.txt", "R1,WEEK,T1", "R9,WEEK,T1", ("trips.txt", 2, "route_id")),
        ("trips.txt", "R1,WEEK,T1", "R1,NEVER,T1", ("trips.txt", 2, "service_id")),
        ("trips.txt", "R1,WEEK,T1", "R1,WEEK,T2", ("trips.txt", 4, "trip_id")),
        ("routes.txt", "Night,1200", "Night,1100", ("routes.txt", 3, "route_type")),
        ("calendar_dates.txt", "{day2},1", "20270230,1", ("calendar_dates.txt", 4, "date")),
        ("calendar_dates.txt", "{day2},1", "{day2},3", ("calendar_dates.txt", 4, "exception_type")),
        ("frequencies.txt", "600,0", "0,0", ("frequencies.txt", 2, "headway_secs")),
        (
            "frequencies.txt",
            "11:00:00,11:20:00,600",
            "10:00:00,10:30:00,900",
            ("frequencies.txt", 3, "start_time"),
        ),
        ("agency.txt", "Asia/Hong_Kong", "Asia/Atlantis", ("agency.txt", 2, "agency_timezone")),
        ("stops.txt", "DB,Discovery Bay", "DB,", ("stops.txt", 5, "stop_name")),
        ("stops.txt", "22.2936", "222936", ("stops.txt", 5, "stop_lat")),
    ],
)
def test_a_line_that_is_refused(file: str, old: str, new: str, fault: tuple[str, int, str]) -> None:
    assert fault in faults(changed(FERRY_FEED, file, old, new))


def test_what_is_asked_for_must_be_there() -> None:
    assert faults(FERRY_FEED, route_ids=["R9"]) == [("routes.txt", 1, "route_id")]
    assert faults(FERRY_FEED, agency_id="MOON") == [("agency.txt", 2, "agency_id")]
    assert set(faults(FERRY_FEED, city_code="NYC")) == {("stops.txt", 2, "stop_id")}
    assert {
        each.feed_route_id for each in planned(FERRY_FEED, route_ids=["R2"]).routes.values()
    } == {"R2"}
    assert ("stops.txt", 1, "") in faults({k: v for k, v in FERRY_FEED.items() if k != "stops.txt"})


def test_lines_have_the_numbers_an_editor_shows() -> None:
    content = b'a,b\r\n"1\n2",x\r\n\r\n3,4,5\r\n6,7\r\n'
    table = read_table("x.txt", content)
    assert [line.number for line in table.lines] == [2, 6]
    assert [fault[:2] for fault in table.faults] == [("x.txt", 5)]
    assert read_table("x.txt", b"a\n\xff\n").faults[0][:2] == ("x.txt", 2)
    assert read_table("x.txt", b"a,a\n").faults[0][:3] == ("x.txt", 1, "a")
    assert read_table("x.txt", b'a\n"b').faults[0].file == "x.txt"


# Fares


def fares(feed: Mapping[str, str], currency: str = "HKD") -> tuple[set[Any], list[Any]]:
    """All fares, and the lines refused."""
    content = files(feed, **DAYS)
    made = planned(feed)
    terms = FareTerms(
        currency,
        ["ECONOMY", "SUPER"],
        lambda day: "weekend" if day.weekday() >= 5 else "weekday",
    )
    read = FeedFares(read_feed(content), terms)
    found = {fare for route in made.routes.values() for fare in read.of_route(route)}
    return found, [fault[:3] for fault in read.faults]


def test_fares_by_zones() -> None:
    """Nobody gets off at TST at night (drop_off_type 1): no fare, though a rule has one."""
    found, refused = fares(FERRY_FEED)
    assert found == {
        ("ECONOMY", "CENTRAL", "TST", "ADULT", "weekday", 550),
        ("ECONOMY", "CENTRAL", "DB", "ADULT", "weekday", 4630),
        ("ECONOMY", "TST", "DB", "ADULT", "weekday", 4630),
    }
    assert refused == []


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("fare_attributes.txt", "5.5,HKD", "5.555,HKD", ("fare_attributes.txt", 2, "price")),
        ("fare_attributes.txt", "5.5,HKD", "5.5,MOP", ("fare_attributes.txt", 2, "currency_type")),
        ("fare_rules.txt", "LONG,R2,Z1,Z3", "LONG,R1,Z1,Z2", ("fare_attributes.txt", 3, "")),
    ],
)
def test_fares_that_are_refused(file: str, old: str, new: str, fault: Any) -> None:
    assert fault in fares(changed(FERRY_FEED, file, old, new))[1]


VERSION_2 = {
    **FERRY_FEED,
    "calendar_dates.txt": FERRY_FEED["calendar_dates.txt"]
    + "WD,20270104,1\nWD,20270108,1\n"
    + "".join(f"WD,2027010{day},1\n" for day in (5, 6, 7))
    + "WE,20270109,1\nWE,20270110,1\n",
    "rider_categories.txt": "rider_category_id,rider_category_name,is_default_fare_category\n"
    "normal,Normal,1\nCHILD,Child,0\n",
    "areas.txt": "area_id,area_name\nA,A\nB,B\n",
    "stop_areas.txt": "area_id,stop_id\nA,C7\nB,TST\n",
    "timeframes.txt": "timeframe_group_id,start_time,end_time,service_id\nW,,,WD\nE,,,WE\n",
    "fare_products.txt": "fare_product_id,rider_category_id,amount,currency,deeptravel_class_code\n"
    "ONE,normal,6,HKD,\nONE,CHILD,3.00,HKD,\nTWO,normal,9,HKD,\nBIG,,20,HKD,SUPER\n",
    "fare_leg_rules.txt": "from_area_id,to_area_id,from_timeframe_group_id,fare_product_id\n"
    "A,B,W,ONE\nA,B,E,TWO\nA,B,,BIG\n",
}


def test_fares_version_2() -> None:
    found, refused = fares(VERSION_2)
    assert found == {
        ("ECONOMY", "CENTRAL", "TST", "ADULT", "weekday", 600),
        ("ECONOMY", "CENTRAL", "TST", "CHILD", "weekday", 300),
        ("ECONOMY", "CENTRAL", "TST", "ADULT", "weekend", 900),
        ("SUPER", "CENTRAL", "TST", "ADULT", "weekday", 2000),
    }
    assert refused == []


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("timeframes.txt", "W,,,WD", "W,06:00:00,09:00:00,WD", ("timeframes.txt", 2, "start_time")),
        ("timeframes.txt", "E,,,WE", "E,,,NIGHT", ("fare_products.txt", 4, "")),
        ("calendar_dates.txt", "WD,20270105,1\n", "", ("timeframes.txt", 2, "service_id")),
        (
            "fare_products.txt",
            "ONE,CHILD",
            "ONE,VIP",
            ("fare_products.txt", 3, "rider_category_id"),
        ),
        ("fare_products.txt", "SUPER", "THIRD", ("fare_products.txt", 5, "deeptravel_class_code")),
    ],
)
def test_fares_version_2_that_are_refused(file: str, old: str, new: str, fault: Any) -> None:
    assert fault in fares(changed(VERSION_2, file, old, new))[1]


# Archives


def test_an_archive_has_the_same_bytes_for_the_same_content() -> None:
    content = {"stops.txt": b"stop_id\n1\n", "agency.txt": b"agency_id\n"}
    made = write_archive(content)
    assert made == write_archive(dict(reversed(content.items())))
    assert read_archive(made) == content


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("../../stops.txt", "stops.txt"),
        ("feed/stops.txt", "stops.txt"),
        ("/etc/stops.txt", "stops.txt"),
        ("__MACOSX/stops.txt", None),
        ("stops.exe", None),
    ],
)
def test_names_in_an_archive_are_no_paths(name: str, read: str | None) -> None:
    packed = zipped({name: b"x", "trips.txt": b"y"})
    assert read_archive(packed) == {"trips.txt": b"y"} | ({read: b"x"} if read else {})


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"PK\x03\x04 and nothing",
        zipped({"stops.txt": bytes(64 << 20)}),
        zipped({"a/stops.txt": b"", "b/stops.txt": b""}),
        zipped({"readme.md": b""}),
        zipped(
            {
                f"file_{chr(97 + number // 26)}{chr(97 + number % 26)}.txt": b""
                for number in range(101)
            }
        ),
        zipped(files(FERRY_FEED))[:-300],
    ],
)
def test_archives_that_are_refused(packed: bytes) -> None:
    """Seen red without the ratio: 64 MiB of zeros were unpacked."""
    with pytest.raises(DomainError) as refused:
        read_archive(packed)
    assert refused.value.reason is Reason.INVALID_FIELD


def test_all_files_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_BYTES", 100)
    with pytest.raises(DomainError):
        read_archive(zipped({"stops.txt": b"x" * 60, "trips.txt": b"y" * 60}))


def test_moments_are_in_utc() -> None:
    assert moment_of(MONDAY, 0, HONG_KONG).tzinfo is UTC
