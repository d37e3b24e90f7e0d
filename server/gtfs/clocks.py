"""Times of GTFS: seconds from noon minus twelve hours of a service day. Pure.

That is midnight but on the two days a year on which clocks are changed: there the times of a day,
from the first to beyond 24:00:00, keep their distance from each other.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

MOST_HOURS = 99
_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d):([0-5]\d)", re.ASCII)
_HALF_DAY = timedelta(hours=12)


def seconds_of(written: str) -> int:
    """The seconds in `25:10:00` or `7:05:00`. Raises ValueError."""
    found = _CLOCK.fullmatch(written)
    if not found:
        raise ValueError(f"{written!r} is no time as 07:05:00 or 25:10:00")
    hours, minutes, seconds = map(int, found.groups())
    return (hours * 60 + minutes) * 60 + seconds


def clock_text(seconds: int) -> str:
    """The time with two digits of hours, also beyond 24:00:00, as partners' readers want it."""
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}"


def moment_of(service_day: date, seconds: int, zone: tzinfo) -> datetime:
    """The moment, in UTC, of a time of a service day in the agency's time zone."""
    noon = datetime.combine(service_day, time(12), zone).astimezone(UTC)
    return noon - _HALF_DAY + timedelta(seconds=seconds)


def service_seconds(service_day: date, moment: datetime, zone: tzinfo) -> int:
    """The time of a moment in a service day, in seconds; below 0 for what is before it."""
    return int((moment - moment_of(service_day, 0, zone)).total_seconds())


def day_of(written: str) -> date:
    """The day in `20261128`. Raises ValueError."""
    if not re.fullmatch(r"\d{8}", written, re.ASCII):
        raise ValueError(f"{written!r} is no day as 20261128")
    return date(int(written[:4]), int(written[4:6]), int(written[6:]))
