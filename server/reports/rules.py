"""The time a report is about, in pieces. Pure: time is passed in."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from typing import NamedTuple

MOST_DAYS = 31
"""That a report is about."""
MOST_HOURLY_DAYS = 2
"""For which a dashboard shows hours; of more it shows days."""
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MOST_UNSUMMED = DAY * MOST_HOURLY_DAYS
"""So much of what is not summed yet is read for a report, from what happened itself."""


class Uncounted(NamedTuple):
    """A time of a report of which nothing is in it, since it is not summed yet."""

    from_time: datetime
    until_time: datetime


@dataclass(frozen=True, slots=True)
class ReportTime:
    """Days of a zone, in hours or days.

    Attributes:
        bounds: when each piece begins, and when the last ends.
        end_time: until when there is anything: now, on the present day.
    """

    zone: tzinfo
    bounds: tuple[datetime, ...]
    end_time: datetime

    @property
    def begin_time(self) -> datetime:
        """When the first piece begins."""
        return self.bounds[0]

    @property
    def pieces(self) -> Sequence[tuple[datetime, datetime]]:
        """Begin and end of each that has begun."""
        return [piece for piece in pairwise(self.bounds) if piece[0] < self.end_time]

    def piece_of(self, moment: datetime) -> int:
        """Which piece a moment of the time is in, from 0."""
        return bisect_right(self.bounds, moment) - 1

    def day_of(self, moment: datetime) -> date:
        """The day of a moment."""
        return moment.astimezone(self.zone).date()

    @property
    def has_whole_hours(self) -> bool:
        """Whether each piece is made of hours of UTC, as in most zones."""
        return all(bound.timestamp() % 3600 == 0 for bound in self.bounds)


def unsummed(time: ReportTime, summed_until: datetime) -> tuple[datetime, Uncounted | None]:
    """From when on a report of this time reads what happened itself, where all before
    `summed_until` is summed; and what it leaves out.

    After an upgrade or an outage of weeks that is summed within minutes; until then it would take
    longer to read than a report may.
    """
    begin, latest = max(time.begin_time, summed_until), time.end_time - MOST_UNSUMMED
    return (begin, None) if begin >= latest else (latest, Uncounted(begin, latest))


def all_uncounted(*found: Uncounted | None) -> Uncounted | None:
    """What is missing of figures of which each has its own."""
    missing = [each for each in found if each]
    if not missing:
        return None
    return Uncounted(
        min(each.from_time for each in missing), max(each.until_time for each in missing)
    )


def report_time(
    first: date | None, last: date | None, *, now: datetime, zone: tzinfo, hourly: bool | None
) -> ReportTime:
    """The time of a report; `hourly` None takes hours for up to MOST_HOURLY_DAYS days.

    Today if `first` is None, one day if `last` is. Raises ValueError, whose text begins with the
    field that is wrong.
    """
    first = first or last or now.astimezone(zone).date()
    last = last or first
    days = (last - first).days + 1
    if not 1 <= days <= MOST_DAYS:
        raise ValueError(f"until_day: must be from_day or up to {MOST_DAYS - 1} days after it")
    if not date(2000, 1, 1) <= first <= date(2999, 1, 1):
        raise ValueError("from_day: must be a day of the years 2000 to 2999")
    midnights = [_midnight(first + DAY * day, zone) for day in range(days + 1)]
    bounds = midnights
    if hourly or (hourly is None and days <= MOST_HOURLY_DAYS):
        bounds = [
            midnight + HOUR * hour
            for midnight, following in pairwise(midnights)
            for hour in range(-((midnight - following) // HOUR))
        ]
        bounds.append(midnights[-1])
    return ReportTime(zone, tuple(bounds), max(midnights[0], min(now, midnights[-1])))


def hour_of(moment: datetime, zone: tzinfo) -> datetime:
    """When the hour of a moment begins by the zone's clock, in UTC."""
    local = moment.astimezone(zone)
    passed = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return moment.astimezone(UTC) - passed


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
