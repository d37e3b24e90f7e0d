"""What an import of a feed did, or would do."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from server.gtfs.tables import LineFault

MOST_FAULTS = 500
"""Lines shown; all are counted."""
MOST_TRIPS = 1000
MOST_DAYS = 400

MADE, LATER, PAST, CANCELLED = "made", "later", "past", "cancelled"
KEPT = "kept"
REFUSED = "refused"
OUTCOMES = (MADE, LATER, PAST, CANCELLED, KEPT, REFUSED)


@dataclass
class Departures:
    """Departures of a feed: as many as are expected are made, made later (when they come on sale),
    past, cancelled, kept (sold already, under the times of the former feed) or refused.
    """

    counts: Counter[str] = field(default_factory=Counter)

    @property
    def expected(self) -> int:
        """All of them."""
        return sum(self.counts.values())


@dataclass
class FeedReport:
    """What an import did: `applied` is False for a trial, and where a line is refused and those
    were not to be left out. Objects are counted by kind (`stops`, `routes`, `timetables`) and by
    what became of them (`created`, `updated`, `archived`, `unchanged`).
    """

    applied: bool = False
    objects: Counter[tuple[str, str]] = field(default_factory=Counter)
    fares: int = 0
    departures: Departures = field(default_factory=Departures)
    by_day: dict[date, Departures] = field(default_factory=dict)
    by_trip: dict[str, Departures] = field(default_factory=dict)
    faults: list[LineFault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def count(self, outcome: str, trip_id: str, day: date | None, number: int = 1) -> None:
        """Counts departures of a trip on a service day; None where the day is not known."""
        self.departures.counts[outcome] += number
        self.by_trip.setdefault(trip_id, Departures()).counts[outcome] += number
        if day is not None:
            self.by_day.setdefault(day, Departures()).counts[outcome] += number

    def refuse(self, faults: Iterable[LineFault]) -> None:
        """Adds lines that are refused, in the order of files and lines."""
        self.faults = sorted({*self.faults, *faults})
