"""The holiday tables that are shipped, and how they are brought into a database that has days of
its own.
"""

from collections import Counter
from datetime import date

import pytest

from server.catalog import holiday_tables
from server.catalog.holiday_tables import YEARS, load_shipped
from server.catalog.holidays import (
    CALENDARS,
    Holiday,
    HolidayYear,
    add_year,
    list_holidays,
    list_years,
    set_holidays,
)
from tests.support import timetable as world
from tests.support.timetable import by


@pytest.mark.fast
def test_the_tables_say_what_the_official_lists_say() -> None:
    """Counted by hand from the lists: 17 general holidays a year in Hong Kong, 20 public holidays,
    6 compensatory days and 2 afternoons in Macau, 33 days off and 6 workdays on the mainland.
    """
    counts = {
        (each.calendar_code, each.year): Counter(d.day_type for d in each.days()) for each in YEARS
    }
    assert counts == {
        ("HK", 2026): {"holiday": 17},
        ("HK", 2027): {"holiday": 17},
        ("MO", 2026): {"holiday": 28},
        ("CN", 2026): {"holiday": 33, "weekday": 6},
    }
    for year in YEARS:
        days = list(year.days())
        assert len({each.day for each in days}) == len(days)
        assert {each.day.year for each in days} == {year.year}
        assert all(each.day.weekday() >= 5 for each in days if each.day_type == "weekday")
        assert year.source
    hong_kong = {each.day for each in YEARS[0].days()}
    # where libraries go wrong: Good Friday is one, the Sunday of Ching Ming is none of the list
    assert {date(2026, 4, 3), date(2026, 4, 7)} <= hong_kong
    assert date(2026, 4, 5) not in hong_kong
    # the second day of Lunar New Year is a Sunday, for which the fourth is off
    following = {each.day for each in YEARS[1].days()}
    assert {date(2027, 3, 26), date(2027, 2, 9)} <= following
    assert date(2027, 2, 7) not in following


async def test_an_upgrade_keeps_what_operators_have_set(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red with the days inserted over those there: the operator's Christmas was gone."""
    christmas = Holiday("HK", date(2026, 12, 25), "weekday", "Open", "照常")
    extra = Holiday("HK", date(2026, 12, 24), "holiday", "Eve", "前夕")
    async with world.database(database_url) as db, db.transaction() as tx:
        await set_holidays(tx, [christmas, extra], **by())
        await add_year(tx, HolidayYear("CN", 2026, "our own"), [], **by())
        assert await load_shipped(tx) == 3
        assert await load_shipped(tx) == 0
        days = {each.day: each for each in await list_holidays(tx, "HK")}
        assert len(days) == 35
        assert (days[christmas.day], days[extra.day]) == (christmas, extra)
        assert await list_holidays(tx, "CN") == []
        assert [year.source for year in await list_years(tx, "CN")] == ["our own"]
        for code, year in {"HK": 2027, "MO": 2026, "CN": 2026}.items():
            assert (await CALENDARS.get(tx, code)).known_until == date(year, 12, 31)
        # a correction in a later release: of shipped days alone
        corrected = YEARS[0]._replace(edition=2, lines="01-02 | Moved | 调动")
        monkeypatch.setattr(holiday_tables, "YEARS", (corrected,))
        assert await load_shipped(tx) == 1
        days = {each.day: each for each in await list_holidays(tx, "HK")}
        this_year = {day for day in days if day.year == 2026}
        assert this_year == {date(2026, 1, 2), christmas.day, extra.day}
