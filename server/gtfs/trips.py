"""A trip's times: read, filled in where they are empty, and counted from its departure. Pure."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from server.gtfs.clocks import seconds_of
from server.gtfs.tables import FeedLine, LineFault

MOST_MINUTES = 24 * 60
REGULAR, NONE = ("", "0"), "1"
"""Values of pickup_type and drop_off_type: as the timetable says, and not at all."""


class TripCall(NamedTuple):
    """A trip at a stop: seconds since its first departure, or since its service day's beginning;
    `filled` if the feed has no time there.
    """

    line: FeedLine
    stop_id: str
    arrive: int
    depart: int
    approximate: bool
    boards: bool
    leaves: bool
    filled: bool


class PatternCall(NamedTuple):
    """A stop of a route: whole minutes since the departure at the first."""

    stop_id: str
    arrive_minutes: int
    depart_minutes: int
    approximate: bool
    boards: bool
    leaves: bool


class TripFaultError(Exception):
    """A trip that cannot be sold; `fault` says why."""

    def __init__(self, fault: LineFault) -> None:
        super().__init__(fault.description)
        self.fault = fault


def calls_of(lines: Sequence[FeedLine], stations: Mapping[str, str]) -> list[TripCall]:
    """The calls of a trip in their order, those without times filled in between those that have
    some; `stations` are the stops that are sold, by stop_id. Raises TripFaultError.
    """
    ordered = sorted(lines, key=_sequence)
    for before, line in pairwise(ordered):
        if _sequence(before) == _sequence(line):
            raise _fault(line, "stop_sequence", "stands there twice in its trip; number each stop")
    if len(ordered) < 2:
        raise _fault(ordered[0], "stop_id", "is the only stop of its trip; name at least two")
    times = [_times(line) for line in ordered]
    for index in (0, -1):
        if times[index] is None:
            what = "is empty at the first or last stop of the trip; give a time there"
            raise _fault(ordered[index], "arrival_time", what)
    calls = []
    for line, time, (arrive, depart) in zip(ordered, times, _filled(ordered, times), strict=True):
        if line["stop_id"] not in stations:
            raise _fault(
                line,
                "stop_id",
                f"{line['stop_id']!r} is no stop of stops.txt that can be called at; add it",
            )
        calls.append(
            TripCall(
                line,
                stations[line["stop_id"]],
                arrive,
                depart,
                time is None or line["timepoint"] == "0",
                line["pickup_type"] in REGULAR,
                line["drop_off_type"] in REGULAR,
                time is None,
            )
        )
    _in_order(calls)
    return calls


def sold_calls(calls: Sequence[TripCall]) -> list[TripCall]:
    """The calls without those that have no time in the feed and come to one minute with a stop
    beside them: city buses have more stops than minutes, and say when they are at few of them.
    """
    kept = [calls[0]]
    for call in calls[1:]:
        while kept[-1].filled and not call.filled and _in_one_minute(kept[-1], call):
            kept.pop()
        if not (call.filled and _in_one_minute(kept[-1], call)):
            kept.append(call)
    return kept


def _in_one_minute(before: TripCall, call: TripCall) -> bool:
    return call.arrive // 60 <= before.depart // 60


def pattern_of(calls: Sequence[TripCall]) -> tuple[PatternCall, ...]:
    """The calls in whole minutes since the first departure; each is shown at the minute it is in,
    and so at most 59 seconds early. Raises TripFaultError.
    """
    begins = calls[0].depart // 60
    made: list[PatternCall] = []
    for call in calls:
        arrive, depart = (call.arrive // 60 - begins, call.depart // 60 - begins)
        if not made:
            arrive = 0
        elif arrive <= made[-1].depart_minutes:
            what = (
                "is in the same minute as the departure at the stop before; leave out one of them"
            )
            raise _fault(call.line, "arrival_time", what)
        if depart > MOST_MINUTES:
            what = f"is more than {MOST_MINUTES // 60} hours after the first; split the trip"
            raise _fault(call.line, "departure_time", what)
        made.append(
            PatternCall(call.stop_id, arrive, depart, call.approximate, call.boards, call.leaves)
        )
    return tuple(made)


def _in_order(calls: Sequence[TripCall]) -> None:
    seen: set[str] = set()
    for index, call in enumerate(calls):
        if call.stop_id in seen:
            what = "the trip calls there twice, and tickets are from one stop to another; split it"
            raise _fault(call.line, "stop_id", what)
        seen.add(call.stop_id)
        if call.depart < call.arrive or (index and call.arrive < calls[index - 1].depart):
            raise _fault(call.line, "arrival_time", "is before the time before it; mend the order")


def _sequence(line: FeedLine) -> int:
    try:
        return int(line["stop_sequence"])
    except ValueError:
        what = f"{line['stop_sequence']!r} is no number; number the stops of a trip"
        raise _fault(line, "stop_sequence", what) from None


def _times(line: FeedLine) -> tuple[int, int] | None:
    """Arrival and departure in seconds; None where both are empty."""
    read: list[int] = []
    for field in ("arrival_time", "departure_time"):
        if line[field]:
            try:
                read.append(seconds_of(line[field]))
            except ValueError as error:
                raise _fault(line, field, f"{error}; write hours, minutes and seconds") from None
    return (read[0], read[-1]) if read else None


def _filled(
    lines: Sequence[FeedLine], times: Sequence[tuple[int, int] | None]
) -> list[tuple[int, int]]:
    """With the empty ones between their neighbours: by shape_dist_traveled where all of them have
    it, else evenly.
    """
    filled = list(times)
    known = [index for index, time in enumerate(times) if time is not None]
    for begin, end in pairwise(known):
        span = lines[begin : end + 1]
        shares = _shares([line["shape_dist_traveled"] for line in span])
        first, last = times[begin], times[end]
        if first is None or last is None:  # for the types: these are known
            continue
        for index in range(begin + 1, end):
            seconds = round(first[1] + (last[0] - first[1]) * shares[index - begin])
            filled[index] = (seconds, seconds)
    return [time for time in filled if time is not None]


def _shares(distances: Sequence[str]) -> list[float]:
    count = len(distances) - 1
    try:
        read = [float(each) for each in distances]
    except ValueError:
        read = []
    length = read[-1] - read[0] if read else 0
    if length > 0 and all(one <= other for one, other in pairwise(read)):
        return [(each - read[0]) / length for each in read]
    return [index / count for index in range(count + 1)]


def _fault(line: FeedLine, field: str, description: str) -> TripFaultError:
    return TripFaultError(line.fault(field, description))


class Start(NamedTuple):
    """When a trip leaves, in seconds of its service day; `key` tells the starts of a trip apart.
    With `headway` it leaves about every so many seconds, and not at certain times.
    """

    key: str
    seconds: int
    headway: int | None


def starts_of(
    calls: Sequence[TripCall], frequencies: Sequence[FeedLine], *, limit: int
) -> list[Start]:
    """When a trip leaves: at its own time, or as often as frequencies.txt says, in which case its
    own times say only how long it takes. The end of a span is no departure. Raises TripFaultError.
    """
    if not frequencies:
        return [Start("", calls[0].depart, None)]
    found: dict[int, Start] = {}
    for line in frequencies:
        try:
            begin, end = seconds_of(line["start_time"]), seconds_of(line["end_time"])
        except ValueError as error:
            raise _fault(line, "start_time", f"start or end: {error}") from None
        digits = line["headway_secs"]
        headway = int(digits) if digits.isascii() and digits.isdigit() else 0
        if headway < 60 or headway > 24 * 60 * 60:
            raise _fault(line, "headway_secs", "is not within 60 to 86400 seconds; mend it")
        if end <= begin:
            raise _fault(line, "end_time", "is not after start_time; mend it")
        if line["exact_times"] not in ("", "0", "1"):
            raise _fault(line, "exact_times", "is not 0 or 1; mend it")
        exact = line["exact_times"] == "1"
        for seconds in range(begin, end, headway):
            if seconds in found:
                what = "has a departure of another line of its trip, too; let the spans not overlap"
                raise _fault(line, "start_time", what)
            if len(found) >= limit:
                what = f"comes to more than {limit} departures of the trip; lengthen headway_secs"
                raise _fault(line, "headway_secs", what)
            found[seconds] = Start(str(seconds), seconds, None if exact else headway)
    return [found[seconds] for seconds in sorted(found)]
