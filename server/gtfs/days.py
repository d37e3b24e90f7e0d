"""The days a service runs: those of GTFS's calendars, and as a timetable of ours has them. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from server.gtfs.clocks import day_of
from server.gtfs.tables import FeedLine, LineFault

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST_DAYS = 2200
"""Of one calendar: six years; public feeds have services of five."""
ADDED, REMOVED = "1", "2"


class RunningDays(NamedTuple):
    """Days as a timetable has them: bit 0 of `weekdays` is Monday."""

    weekdays: int
    first_date: date
    last_date: date
    added_dates: list[date]
    removed_dates: list[date]


def service_days(
    calendar: Sequence[FeedLine], exceptions: Sequence[FeedLine]
) -> tuple[dict[str, set[date]], list[LineFault]]:
    """The days of each service_id, and the lines that are refused."""
    found: dict[str, set[date]] = {}
    faults: list[LineFault] = []
    for line in calendar:
        try:
            first, last = day_of(line["start_date"]), day_of(line["end_date"])
        except ValueError as error:
            faults.append(line.fault("start_date", f"start or end: {error}; write YYYYMMDD"))
            continue
        days = (last - first).days + 1
        if not 1 <= days <= MOST_DAYS:
            what = f"is before start_date, or more than {MOST_DAYS} days after it; shorten it"
            faults.append(line.fault("end_date", what))
        elif line["service_id"] in found:
            faults.append(line.fault("service_id", "stands there twice; leave one"))
        else:
            runs = [line[name] == "1" for name in WEEKDAYS]
            every = (first + timedelta(days=number) for number in range(days))
            found[line["service_id"]] = {day for day in every if runs[day.weekday()]}
    for line in exceptions:
        try:
            day = day_of(line["date"])
        except ValueError as error:
            faults.append(line.fault("date", f"{error}; write YYYYMMDD"))
            continue
        of_service = found.setdefault(line["service_id"], set())
        if line["exception_type"] == ADDED:
            of_service.add(day)
        elif line["exception_type"] == REMOVED:
            of_service.discard(day)
        else:
            faults.append(line.fault("exception_type", "is not 1 (added) or 2 (removed)"))
    return found, faults


def running_days(days: Collection[date]) -> RunningDays:
    """Any days, at least one, as weekdays with exceptions: always the same for the same days."""
    first, last = min(days), max(days)
    every = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    weekdays = 0
    for number in range(7):
        of_week = [day for day in every if day.weekday() == number]
        running = sum(day in days for day in of_week)
        if running * 2 > len(of_week):
            weekdays |= 1 << number
    by_week = {day for day in every if weekdays >> day.weekday() & 1}
    return RunningDays(
        weekdays, first, last, sorted(set(days) - by_week), sorted(by_week - set(days))
    )


def days_of(running: RunningDays) -> set[date]:
    """The days of a timetable."""
    length = (running.last_date - running.first_date).days + 1
    every = (running.first_date + timedelta(days=number) for number in range(length))
    by_week = {day for day in every if running.weekdays >> day.weekday() & 1}
    return (by_week | set(running.added_dates)) - set(running.removed_dates)


def calendar_rows(
    services: Mapping[str, Collection[date]],
) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The lines of calendar.txt and calendar_dates.txt of services, each with at least a day."""
    calendar: list[dict[str, object]] = []
    exceptions: list[dict[str, object]] = []
    for service_id, days in services.items():
        running = running_days(days)
        if running.weekdays:
            bits = {name: running.weekdays >> bit & 1 for bit, name in enumerate(WEEKDAYS)}
            dates = {"start_date": _text(running.first_date), "end_date": _text(running.last_date)}
            calendar.append({"service_id": service_id, **bits, **dates})
        typed: Iterable[tuple[date, str]] = sorted(
            [(day, ADDED) for day in running.added_dates]
            + [(day, REMOVED) for day in running.removed_dates]
        )
        exceptions += [
            {"service_id": service_id, "date": _text(day), "exception_type": kind}
            for day, kind in typed
        ]
    return calendar, exceptions


def _text(day: date) -> str:
    return f"{day:%Y%m%d}"
