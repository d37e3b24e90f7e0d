"""Days on which a timetable runs besides, or does not; services that leave about every so often."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from server.api.ticketing.offers import offer_message
from server.catalog.catalogue import Catalogues
from server.catalog.models import departures
from server.catalog.timetables import create_timetables
from server.platform.change_feed import ChangeFeed
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from tests.support import timetable as world
from tests.support.timetable import by, timetable


@pytest.fixture
async def db(timetable_url: str) -> AsyncIterator[Database]:
    async with world.database(timetable_url) as database:
        yield database


def _new(number: int, **more: Any) -> Any:
    return timetable(number, world.FERRY_ROUTE, "09:00", {"ECONOMY": 5}, **more)


async def test_departures_follow_the_exceptions(db: Database) -> None:
    """Seen red without `removed_dates` in the query of departures: there were four of them."""
    days = [world.today() + timedelta(days=each) for each in range(2, 6)]
    weekdays = 1 << days[0].weekday() | 1 << days[1].weekday()
    dates = {"first_date": days[0], "last_date": days[-1]}
    exceptions = {"added_dates": [days[3]], "removed_dates": [days[1]]}
    async with db.transaction() as tx:
        by_both = _new(600, weekdays=weekdays, **dates, **exceptions)
        by_dates_alone = _new(601, weekdays=0, **dates, added_dates=[days[2]], headway_seconds=630)
        await create_timetables(tx, [by_both, by_dates_alone], **by())
        rows = await tx.execute(
            select(departures.c.timetable_id, departures.c.travel_date)
            .where(departures.c.timetable_id.in_([600, 601]))
            .order_by(*departures.primary_key)
        )
        assert [tuple(row) for row in rows] == [(600, days[0]), (600, days[3]), (601, days[2])]


async def test_an_offer_says_that_a_service_has_no_timetable(db: Database) -> None:
    day = world.today() + timedelta(days=3)
    dates = {"first_date": day, "last_date": day}
    async with db.transaction() as tx:
        await create_timetables(tx, [_new(602, **dates, headway_seconds=630)], **by())
    catalogue = await Catalogues(ChangeFeed(db), db).get()
    found = [catalogue.offer(each) for each in catalogue.offer_ids("SZX", "HKG", day)]
    headways = {
        each.journey.service_number: each.journey.headway_seconds
        for each in found
        if each and each.journey
    }
    assert (headways["N602"], headways["N111"]) == (630, None)
    shown = {
        each.journey.service_number: offer_message(each, None).journey
        for each in found
        if each and each.journey
    }
    assert shown["N602"].headway_text_en == "about every 11 minutes"
    assert shown["N602"].headway_text_zh == "约每11分钟一班"
    assert shown["N111"].headway_text_en == shown["N111"].headway_text_zh == ""


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"weekdays": 0}, "weekdays"),
        ({"added_dates": [world.today() - timedelta(days=1)]}, "added_dates"),
        ({"removed_dates": [world.tomorrow(), world.today()]}, "removed_dates"),
        ({"added_dates": [world.today()], "removed_dates": [world.today()]}, "removed_dates"),
        ({"headway_seconds": 0}, "headway_seconds"),
    ],
)
async def test_bad_exceptions(db: Database, change: dict[str, Any], field: str) -> None:
    with pytest.raises(DomainError) as refused:
        async with db.transaction() as tx:
            await create_timetables(tx, [replace(_new(603), **change)], **by())
    assert refused.value.reason is Reason.INVALID_FIELD
    assert [name for name, _ in refused.value.violations] == [field]
