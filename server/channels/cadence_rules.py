"""How often a channel is sent each kind of data, and asked for its bookings: seed 003, "同步频率".
Pure.
"""

from collections.abc import Container
from datetime import datetime, time, timedelta
from enum import StrEnum


class PricePace(StrEnum):
    """How often the prices of a listing's plan are compared with what its channel was sent."""

    DAILY = "DAILY"
    """Fixed prices."""
    FOUR_HOURLY = "FOUR_HOURLY"
    """Dynamic ones."""
    HOURLY = "HOURLY"
    """As Booking.com advises."""
    AT_ONCE = "AT_ONCE"
    """Whenever the catalogue changes, and hourly."""


class SyncPart(StrEnum):
    """What a channel is kept in step with."""

    STATIC = "STATIC"
    PRICES_DAILY = "PRICES_DAILY"
    PRICES_FOUR_HOURLY = "PRICES_FOUR_HOURLY"
    PRICES_HOURLY = "PRICES_HOURLY"
    AVAILABILITY = "AVAILABILITY"
    BOOKINGS = "BOOKINGS"
    """New ones."""
    STATUS = "STATUS"
    """What became of all that are not over."""
    EVERYTHING = "EVERYTHING"
    """All that it is to know, with a report of what differed, sent once more."""


PRICES = "PRICES"
"""Has all prices worked out, whatever their pace: a promotion began, ended or changed."""
PRICES_AT_ONCE = "PRICES_AT_ONCE"
"""Has those of pace AT_ONCE worked out: the catalogue changed."""
NIGHT = time(3)
"""When EVERYTHING is due, by the platform's clock."""

_HOUR = timedelta(hours=1)
CADENCES: dict[SyncPart, timedelta] = {
    SyncPart.STATIC: 24 * _HOUR,
    SyncPart.PRICES_DAILY: 24 * _HOUR,
    SyncPart.PRICES_FOUR_HOURLY: 4 * _HOUR,
    SyncPart.PRICES_HOURLY: _HOUR,
    SyncPart.AVAILABILITY: _HOUR,
    SyncPart.BOOKINGS: _HOUR / 4,
    SyncPart.STATUS: 4 * _HOUR,
}
"""Of all that has no time of the day."""
PEAK_CADENCE = _HOUR / 2
"""Of AVAILABILITY in peak hours."""
IN_WORDS: dict[SyncPart, str] = {
    SyncPart.STATIC: "daily, and when the catalogue changes",
    SyncPart.PRICES_DAILY: "daily",
    SyncPart.PRICES_FOUR_HOURLY: "every 4 hours",
    SyncPart.PRICES_HOURLY: "hourly; of pace AT_ONCE when the catalogue changes, too",
    SyncPart.AVAILABILITY: "hourly, half-hourly in peak hours, at once at a threshold and when the"
    " catalogue changes",
    SyncPart.BOOKINGS: "every 15 minutes",
    SyncPart.STATUS: "every 4 hours",
    SyncPart.EVERYTHING: f"nightly at {NIGHT:%H:%M}",
}
_PACES: dict[str, frozenset[str]] = {
    SyncPart.PRICES_DAILY: frozenset({PricePace.DAILY}),
    SyncPart.PRICES_FOUR_HOURLY: frozenset({PricePace.FOUR_HOURLY}),
    SyncPart.PRICES_HOURLY: frozenset({PricePace.HOURLY, PricePace.AT_ONCE}),
    PRICES_AT_ONCE: frozenset({PricePace.AT_ONCE}),
}


def next_time(
    part: SyncPart, last_time: datetime | None, now: datetime, peak: Container[int]
) -> datetime:
    """When a part is due that was done last at a time, None if never; `now` is by the platform's
    clock, and `peak` are hours of the day.
    """
    if part is SyncPart.EVERYTHING:
        last = (last_time or now).astimezone(now.tzinfo)
        night = datetime.combine(last.date(), NIGHT, now.tzinfo)
        return night if night > last else night + timedelta(days=1)
    if last_time is None:
        return now
    is_peak = part is SyncPart.AVAILABILITY and now.hour in peak
    return last_time + (PEAK_CADENCE if is_peak else CADENCES[part])


def is_due(part: str, what: str, pace: str) -> bool:
    """Whether a comparison of a part, of everything if it is empty, is about a kind of values of a
    listing whose prices have that pace.
    """
    if part in {"", SyncPart.EVERYTHING}:
        return True
    if part in _PACES:
        return what == PRICES and pace in _PACES[part]
    return what == part
