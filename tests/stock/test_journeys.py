"""Journeys of a document: what is dropped when its row is written anyway."""

from datetime import UTC, datetime, timedelta

from server.stock.journeys import Journey, Span, ended_journeys

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def journey(departure_id: int, begins_hours: int) -> Journey:
    begin = NOW + begins_hours * HOUR
    return Journey(departure_id, 7, Span(begin, begin + HOUR))


def test_what_is_over_is_dropped_and_what_is_to_come_is_not() -> None:
    """Or the row of who travels often would grow for ever. Seen red with nothing dropped."""
    known = [journey(1, -5), journey(2, -1), journey(3, 0), journey(4, 3)]
    assert ended_journeys(known, NOW) == {"1:7": None, "2:7": None}
    assert ended_journeys([], NOW) == {}
