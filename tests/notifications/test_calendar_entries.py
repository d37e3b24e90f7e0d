"""Calendar entries of tickets: times in UTC, days as days, and the same bytes wherever the process
is.
"""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar

from server.notifications.calendar_entries import CalendarTicket, entry

ZONE = ZoneInfo("Asia/Hong_Kong")
NAMES = {"display_name_zh": "港珠澳喷射船", "display_name_en": "Hong Kong – Macau ferry"}
STOPS = {
    "origin": {"display_name_zh": "香港", "display_name_en": "Hong Kong"},
    "destination": {"display_name_zh": "澳门", "display_name_en": "Macau"},
}
JOURNEY = {
    "service_number": "TJ101",
    "departure_time": "2026-12-05T08:30:00+08:00",
    "arrival_time": "2026-12-05T09:25:00+08:00",
    **STOPS,
}


def ticket(**changes: Any) -> CalendarTicket:
    """A ticket of a crossing that was moved by half an hour."""
    values: dict[str, Any] = {
        "ticket_id": 1,
        "ticket_code": "DIR-DT-20261128-000001",
        "state": "ACTIVE",
        "order_code": "ORD-DT-20261128-000001",
        "snapshot": {**NAMES, "offer": {"journey": JOURNEY}},
        "reference_time": datetime(2026, 12, 5, 9, 0, tzinfo=ZONE),
        "valid_from_time": datetime(2026, 12, 5, 0, 0, tzinfo=ZONE),
        "valid_until_time": datetime(2026, 12, 6, 0, 0, tzinfo=ZONE),
        "departure_state": "SCHEDULED",
        "moves": 1,
        "seat": "12F",
        "update_time": datetime(2026, 11, 28, 4, 0, 0, 123456, tzinfo=UTC),
    }
    return CalendarTicket(**values | changes)


def lines(content: bytes) -> list[str]:
    """The lines of an entry, unfolded."""
    return content.decode().replace("\r\n ", "").split("\r\n")


@pytest.fixture(params=["Asia/Hong_Kong", "America/New_York", "Pacific/Chatham"])
def process_zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The process is in another zone meanwhile."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def test_a_crossing_is_in_utc_with_the_same_bytes_in_three_zones(process_zone: str) -> None:
    """Seen red with `event.add("dtstart", …)` of a time without its zone."""
    content = entry([ticket()], language="zh", zone=ZONE)
    found = lines(content)
    for line in (
        "DTSTART:20261205T010000Z",
        "DTEND:20261205T015500Z",
        "DTSTAMP:20261128T040000Z",
        "UID:DIR-DT-20261128-000001@tickets.deeptravel",
        "SEQUENCE:1",
        "STATUS:CONFIRMED",
        "SUMMARY:TJ101 香港 → 澳门",
    ):
        assert line in found
    assert b"RRULE" not in content
    assert b"TZID" not in content
    assert max(map(len, content.split(b"\r\n"))) <= 75
    assert len(Calendar.from_ical(content).events) == 1


def test_a_name_comes_back_with_every_letter() -> None:
    """Seen red with icalendar's own vText: it took the N for a line break."""
    name = "Pier 3\\North; west, \\north"
    stops = {**STOPS, "origin": {"display_name_zh": name, "display_name_en": name}}
    snapshot = {**NAMES, "offer": {"journey": {**JOURNEY, **stops}}}
    content = entry([ticket(snapshot=snapshot)], language="en", zone=ZONE)
    (event,) = Calendar.from_ical(content).events
    assert str(event["location"]) == name
    assert str(event["description"]).count("\n") == 2


def test_a_day_pass_is_of_days_whose_end_is_not_one_of_them(process_zone: str) -> None:
    """Also where a day of its zone is another day in UTC and here."""
    one_day = ticket(snapshot=NAMES, reference_time=None, departure_state="", moves=0)
    content = entry([one_day], language="en", zone=ZONE)
    found = lines(content)
    assert "DTSTART;VALUE=DATE:20261205" in found
    assert "DTEND;VALUE=DATE:20261206" in found
    assert "SUMMARY:Hong Kong – Macau ferry" in found
    last_second = datetime(2026, 12, 7, 23, 59, 59, tzinfo=ZONE)
    three = one_day._replace(valid_until_time=last_second)
    assert "DTEND;VALUE=DATE:20261208" in lines(entry([three], language="en", zone=ZONE))


@pytest.mark.parametrize(
    ("changes", "status", "sequence"),
    [
        ({}, "CONFIRMED", 1),
        ({"moves": 3}, "CONFIRMED", 3),
        ({"departure_state": "CANCELLED"}, "CANCELLED", 2),
        ({"state": "REFUNDED", "moves": 0}, "CANCELLED", 1),
        ({"state": "USED"}, "CONFIRMED", 1),
    ],
)
def test_what_changes_has_a_greater_sequence(
    changes: dict[str, Any], status: str, sequence: int
) -> None:
    found = lines(entry([ticket(**changes)], language="", zone=ZONE))
    assert f"STATUS:{status}" in found
    assert f"SEQUENCE:{sequence}" in found
