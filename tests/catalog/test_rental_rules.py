"""Days of a rental, opening hours, extras and offer ids, without a database."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.catalog.rental_rules import (
    DAY_MINUTES,
    OpeningHours,
    RentalKey,
    clock_exists,
    days_between,
    days_of,
    days_taken,
    driver_fault,
    extra_minor,
    hours_faults,
    is_open,
    minutes_between,
)


def moments(first: str, last: str) -> st.SearchStrategy[datetime]:
    """Whole minutes of a clock."""
    ends = map(datetime.fromisoformat, (first, last))
    return st.datetimes(*ends).map(lambda each: each.replace(second=0, microsecond=0))


LONDON = ZoneInfo("Europe/London")
"""Puts an hour on at 1:00 on 29 March 2026, and back at 2:00 on 25 October."""


@pytest.mark.parametrize(
    ("pick_up", "returned", "days"),
    [
        ("2026-11-30T10:00", "2026-11-30T11:00", 1),
        ("2026-11-30T10:00", "2026-12-01T10:00", 1),
        ("2026-11-30T10:00", "2026-12-01T10:59", 1),
        ("2026-11-30T10:00", "2026-12-01T11:00", 2),
        ("2026-11-30T23:30", "2026-12-01T00:30", 1),
        ("2026-12-31T23:59", "2027-01-02T23:59", 2),
        ("2028-02-28T08:00", "2028-03-01T08:00", 2),
        # by the clock a day each, though 23 and 25 hours
        ("2026-03-28T10:00", "2026-03-29T10:00", 1),
        ("2026-10-24T10:00", "2026-10-25T10:00", 1),
        ("2026-10-24T10:00", "2026-10-25T11:00", 2),
    ],
)
def test_days_are_counted_by_the_clock(pick_up: str, returned: str, days: int) -> None:
    begin, end = map(datetime.fromisoformat, (pick_up, returned))
    assert days_between(begin, end, 59) == days


@given(
    begin=moments("2020-01-01", "2060-01-01"),
    minutes=st.integers(1, 90 * DAY_MINUTES),
    grace=st.integers(0, 720),
)
def test_days_cover_the_rental_but_for_grace_and_none_is_idle(
    begin: datetime, minutes: int, grace: int
) -> None:
    days = days_of(minutes, grace)
    assert days >= 1
    assert days * DAY_MINUTES + grace >= minutes
    assert days == 1 or (days - 1) * DAY_MINUTES + grace < minutes
    taken = days_taken(begin.date(), days)
    assert taken[0] == begin.date()
    assert len(set(taken)) == days
    assert taken == tuple(sorted(taken))
    assert taken[-1] - taken[0] == timedelta(days=days - 1)


@given(
    begin=moments("2026-01-01", "2027-01-01"),
    days=st.integers(1, 90),
)
def test_the_same_clock_is_whole_days_in_every_zone_and_season(begin: datetime, days: int) -> None:
    returned = begin + timedelta(days=days)
    if not (clock_exists(begin, LONDON) and clock_exists(returned, LONDON)):
        return
    elapsed = returned.replace(tzinfo=LONDON).timestamp() - begin.replace(tzinfo=LONDON).timestamp()
    assert abs(elapsed - days * 86_400) <= 3600
    assert days_of(minutes_between(begin, returned), 0) == days


def test_an_hour_that_is_put_on_is_never_shown() -> None:
    assert not clock_exists(datetime.fromisoformat("2026-03-29T01:30"), LONDON)
    assert clock_exists(datetime.fromisoformat("2026-03-29T02:00"), LONDON)
    assert clock_exists(datetime.fromisoformat("2026-10-25T01:30"), LONDON)


HOURS = [
    OpeningHours(1, 8 * 60, 12 * 60),
    OpeningHours(1, 13 * 60, DAY_MINUTES),
    OpeningHours(2, 0, 2 * 60),
]


@pytest.mark.parametrize(
    ("moment", "found"),
    [
        ("2026-11-30T07:59", False),
        ("2026-11-30T08:00", True),
        ("2026-11-30T12:00", True),
        ("2026-11-30T12:01", False),
        ("2026-11-30T23:59", True),
        ("2026-12-01T00:00", True),
        ("2026-12-01T02:00", True),
        ("2026-12-01T02:01", False),
        ("2026-12-02T10:00", False),
        ("2026-12-07T10:00", False),  # closed
        ("2026-12-08T00:00", True),
    ],
)
def test_opening_hours(moment: str, found: bool) -> None:
    closed = [date(2026, 12, 7)]
    assert is_open(HOURS, closed, datetime.fromisoformat(moment)) is found


@pytest.mark.parametrize(
    ("hours", "field"),
    [
        ([], "opening_hours"),
        ([(1, "10:00", "10:00")], "opening_hours[0].closes"),
        ([(1, "10:00", "12:00"), (1, "11:59", "13:00")], "opening_hours[1]"),
        ([(1, "10:00", "12:00"), (2, "11:59", "24:00"), (1, "12:00", "13:00")], ""),
    ],
)
def test_faults_of_opening_hours(hours: list[tuple[int, str, str]], field: str) -> None:
    stored = [{"weekday": on, "opens": opens, "closes": closes} for on, opens, closes in hours]
    assert [each for each, _ in hours_faults(stored)] == ([field] if field else [])


@pytest.mark.parametrize(
    ("basis", "days", "most", "costs"),
    [("PER_DAY", 3, 0, 300), ("PER_DAY", 3, 250, 250), ("PER_RENTAL", 3, 0, 100)],
)
def test_an_extra_costs(basis: str, days: int, most: int, costs: int) -> None:
    assert extra_minor(basis, 100, most, days) == costs


@pytest.mark.parametrize(
    ("said", "born", "fits"),
    [(30, 31, True), (30, 24, False), (22, 24, True), (22, 25, False), (30, 20, False)],
)
def test_the_drivers_age_of_a_document(said: int, born: int, fits: bool) -> None:
    """Minimum 21, young below 25: another age is fine where the price is the same."""
    assert (driver_fault(said, born, 21, 25) == "") is fits


@given(
    st.builds(
        RentalKey,
        st.integers(1, 2**31 - 1),
        moments("2020-01-01", "2063-01-01"),
        st.integers(1, 9999),
        st.integers(1, 9999),
        st.integers(1, 999_999),
        st.integers(16, 99),
        st.dictionaries(st.integers(1, 99), st.integers(1, 9), max_size=5).map(
            lambda each: tuple(sorted(each.items()))
        ),
    )
)
def test_an_offer_id_says_the_key(key: RentalKey) -> None:
    assert RentalKey.parse(key.offer_id) == key
    assert len(key.offer_id) <= 64


@pytest.mark.parametrize(
    "offer_id",
    [
        "RC-301-20261201-1000-1-1-1440-30-022011",  # extras out of order
        "RC-301-20261201-1000-1-1-1440-30-011011",
        "RC-301-20261201-1000-1-1-1440-30-010",
        "RC-0301-20261201-1000-1-1-1440-30",
        "RC-301-20261301-1000-1-1-1440-30",
        "RC-301-20261201-2500-1-1-1440-30",
        "RC-301-20261201-1000-1-1-01440-30",
        "RC-٣٠١-20261201-1000-1-1-1440-30",
        "RC-301-20261201-1000-1-1-1440-30-",
    ],
)
def test_what_spells_no_offer(offer_id: str) -> None:
    assert RentalKey.parse(offer_id) is None
