"""The decisions of the catalogue: which stock a sale takes from, and how long what is sold is
valid. Pure.
"""

from datetime import date, datetime, time, timedelta, tzinfo

DEFAULT_BOARDING_MINUTES = 120
"""Boarding of a departure opens so many minutes before it leaves, if the product says nothing
else.
"""

MOST_TOTAL = 1_000_000_000
"""A channel has no more of anything."""

VALID_AFTER_ARRIVAL = timedelta(hours=6)
"""So long a ticket is good after the planned arrival: for delays, and for gates at the exit."""

MAX_ADVANCE = timedelta(days=730)
"""A validity begins at most this long after the sale."""


def valid_until(valid_from: datetime, validity_days: int, zone: tzinfo) -> datetime:
    """The first moment of the day after the last one of a validity, in `zone`.

    The last day is `validity_days` after the day of `valid_from`.
    """
    following = valid_from.astimezone(zone).date() + timedelta(days=validity_days + 1)
    return datetime.combine(following, time(), zone)


def fault_of_start(valid_from: datetime, validity_days: int, now: datetime) -> str | None:
    """What is wrong with the moment a validity begins; None if nothing is."""
    if valid_from > now + MAX_ADVANCE:
        return f"is more than {MAX_ADVANCE.days} days ahead"
    if valid_from <= now - timedelta(days=validity_days):
        return f"is so long ago that {validity_days} days of validity are over"
    return None


def is_provisional(day: date, known_until: date | None) -> bool:
    """Whether a fare by day type may become another, since the calendar is not known for the day
    yet (DOMAIN, Price); of a calendar without any year no day is known.
    """
    return known_until is None or day > known_until
