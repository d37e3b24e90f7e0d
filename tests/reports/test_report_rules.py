"""The time of a report, cut into hours and days of a zone."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from server.reports.report_csv import csv_pieces
from server.reports.rules import DAY, HOUR, hour_of, report_time

HONG_KONG, KOLKATA = ZoneInfo("Asia/Hong_Kong"), ZoneInfo("Asia/Kolkata")
NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 11, 28, 3, 20, tzinfo=UTC)


def test_today_is_that_of_the_zone_and_ends_now() -> None:
    late = datetime(2026, 11, 28, 17, 30, tzinfo=UTC)  # the 29th in Hong Kong
    time = report_time(None, None, now=late, zone=HONG_KONG, hourly=None)
    assert time.begin_time == datetime(2026, 11, 28, 16, tzinfo=UTC)
    assert (len(time.bounds), time.end_time) == (25, late)
    assert [begin.hour for begin, _ in time.pieces] == [16, 17]


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 8), 23), (date(2026, 11, 1), 25), (date(2026, 7, 1), 24)]
)
def test_a_day_has_as_many_hours_as_the_clock_shows(day: date, hours: int) -> None:
    """Seen red with 24 hours each day: the last hour of one was that of the next."""
    time = report_time(day, None, now=NOW, zone=NEW_YORK, hourly=True)
    assert len(time.bounds) == hours + 1
    assert all(end - begin == HOUR for begin, end in pairwise(time.bounds))
    (whole,) = report_time(day, day, now=NOW, zone=NEW_YORK, hourly=False).pieces
    assert whole == (time.bounds[0], time.bounds[-1])


def test_hours_for_two_days_then_days() -> None:
    first = date(2026, 11, 1)
    for days, pieces in ((1, 24), (2, 48), (3, 3), (31, 31)):
        last = first + DAY * (days - 1)
        now = datetime(2027, 1, 1, tzinfo=UTC)
        time = report_time(first, last, now=now, zone=HONG_KONG, hourly=None)
        assert len(time.pieces) == pieces
        assert time.piece_of(time.begin_time) == 0
        assert time.piece_of(time.bounds[-1] - timedelta(microseconds=1)) == pieces - 1


def test_zones_whose_days_are_not_made_of_hours_of_utc_are_known() -> None:
    for zone, whole in ((HONG_KONG, True), (KOLKATA, False)):
        time = report_time(None, None, now=NOW, zone=zone, hourly=True)
        assert time.has_whole_hours is whole
    # 08:50 there
    assert hour_of(NOW, KOLKATA) == datetime(2026, 11, 28, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "last", "field"),
    [
        (date(2026, 11, 2), date(2026, 11, 1), "until_day"),
        (date(2026, 10, 1), date(2026, 11, 1), "until_day"),
        (date(1999, 1, 1), None, "from_day"),
        (date(9999, 12, 31), None, "from_day"),
    ],
)
def test_what_is_no_time_is_refused(first: date, last: date | None, field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        report_time(first, last, now=NOW, zone=HONG_KONG, hourly=None)


def test_a_file_is_one_however_many_pieces_it_has() -> None:
    rows = [("=1+1", "a,b", -5), ("海", 'say "x"', 7)] * 2000
    pieces = list(csv_pieces(("free", "name", "number"), rows, names=("free",)))
    assert len(pieces) > 1
    lines = b"".join(pieces).decode().split("\r\n")
    assert lines[0] == "\ufefffree,name,number"
    assert lines[1:3] == ['\'=1+1,"a,b",-5', '海,"say ""x""",7']
    assert (len(lines), lines[-1]) == (4002, "")
    assert list(csv_pieces(("a",), [], names=())) == [b"\xef\xbb\xbfa\r\n"]
