"""Feeds in the catalogue: imported once and again, newer editions, what is sold, and exported."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from server.audit.models import audit_events
from server.catalog import products
from server.catalog.cities import City, create_cities
from server.catalog.departures import cancel_departure, reinstate
from server.catalog.models import departures, holidays, routes, stops, timetables
from server.gtfs.archives import read_archive
from server.gtfs.exporting import ExportTerms, export_feed
from server.gtfs.importing import ImportTerms, import_feed
from server.gtfs.report import FeedReport
from server.gtfs.writing import FeedAgency
from server.platform.change_feed import change_feed
from server.platform.database import Database
from server.platform.errors import DomainError
from server.stock.ids import departure_id
from server.stock.models import stocks
from server.webhooks.models import partner_events
from tests.support import timetable as world
from tests.support.gtfs_feeds import FERRY_FEED, changed, files
from tests.support.timetable import by

TERMS = ImportTerms("star", world.FERRY, {"ECONOMY": 200, "SUPER": 10}, "HKG", sale_days=20)
DAYS = [world.today() + timedelta(days=number) for number in (3, 4, 5)]
VALUES = {f"day{number}": f"{day:%Y%m%d}" for number, day in enumerate(DAYS)}
AGENCY = FeedAgency("Star", "https://ferry.example", "Asia/Hong_Kong", "")
ALL = {"made": 3 * 6 + 2}
"""A trip and five departures of a frequency on three days, and two nights."""


A_PARTNER = """
INSERT INTO partners (partner_id, partner_code, display_name, requests_per_minute,
  allowed_addresses, state, create_time, update_time)
VALUES (1, 'CP', 'Central Pier', 100, '{}', 'ACTIVE', now(), now())
"""
ALLOT = """
INSERT INTO stocks (stock_id, product_id, partner_id, departure_id, fare_class, total, update_time)
SELECT stock_id | 1, product_id, 1, departure_id, fare_class, 2, now()
FROM stocks WHERE departure_id = :number AND partner_id = 0 AND fare_class = 'ECONOMY'
"""


@pytest.fixture
async def db(timetable_url: str) -> AsyncIterator[Database]:
    async with world.database(timetable_url) as database:
        yield database


async def bring(
    db: Database, feed: Mapping[str, str], terms: ImportTerms = TERMS, **more: Any
) -> FeedReport:
    async with db.transaction() as tx:
        return await import_feed(tx, files(feed, **VALUES), terms, **more, **by())


async def rows(db: Database, query: Any) -> list[Any]:
    async with db.transaction() as tx:
        return [tuple(row) for row in await tx.execute(query)]


async def counted(db: Database, *tables: Any) -> list[int]:
    async with db.transaction() as tx:
        return [await tx.scalar(select(func.count()).select_from(each)) or 0 for each in tables]


async def sell(db: Database, number: int) -> None:
    async with db.transaction() as tx:
        this = stocks.c.departure_id == number
        await tx.execute(
            update(stocks).where(this, stocks.c.fare_class == "ECONOMY").values(sold=1)
        )


async def numbers(db: Database, service: str) -> list[int]:
    query = select(timetables.c.timetable_id).where(timetables.c.service_number == service)
    return [row[0] for row in await rows(db, query.order_by(timetables.c.timetable_id))]


async def leaving(db: Database, service: str) -> list[Any]:
    """The departures that are to run, by our days and clocks."""
    query = (
        select(departures.c.travel_date, departures.c.departure_time)
        .join(timetables, timetables.c.timetable_id == departures.c.timetable_id)
        .where(timetables.c.service_number == service, departures.c.state == "SCHEDULED")
    )
    return [
        (day, moment.astimezone(world.ZONE).strftime("%H:%M"))
        for day, moment in await rows(db, query.order_by(departures.c.departure_time))
    ]


async def test_a_feed_is_sold_as_it_says_and_a_repeat_changes_nothing(db: Database) -> None:
    report = await bring(db, FERRY_FEED)
    assert report.applied
    assert report.faults == []
    assert dict(report.departures.counts) == ALL
    created = {noun: n for (noun, what), n in report.objects.items() if what == "created"}
    assert created == {"stops": 3, "routes": 3, "timetables": 7}
    per_day = [report.by_day[day].expected for day in DAYS]
    assert per_day == [7, 7, 6]
    assert report.by_trip["FREQ"].counts == {"made": 15}
    next_days = [day + timedelta(days=1) for day in DAYS[:2]]
    assert await leaving(db, "N/0110") == [(day, "01:10") for day in next_days]
    assert await leaving(db, "F101") == [(day, "07:05") for day in DAYS]
    tables = (audit_events, change_feed, stops, routes, timetables, departures, stocks)
    before = await counted(db, *tables)
    again = await bring(db, FERRY_FEED)
    assert {what for _, what in again.objects} == {"unchanged"}
    assert again.departures == report.departures
    after = await counted(db, *tables)
    assert after == [before[0] + 1, *before[1:]]  # the audit trail has that it was imported


async def test_a_trial_and_a_refused_feed_leave_nothing(db: Database) -> None:
    tables = (audit_events, change_feed, stops, routes, timetables, departures)
    before = await counted(db, *tables)
    report = await bring(db, FERRY_FEED, dry_run=True)
    assert (report.applied, dict(report.departures.counts)) == (False, ALL)
    bad = changed(FERRY_FEED, "stop_times.txt", "T1,7:05:00,7:05:00", "T1,,")
    refused = await bring(db, bad)
    assert not refused.applied
    assert [fault[:3] for fault in refused.faults] == [("stop_times.txt", 2, "arrival_time")]
    assert dict(refused.departures.counts) == {"refused": ALL["made"]}
    assert await counted(db, *tables) == before


async def test_what_is_not_refused_can_be_kept_and_what_was_there_stays(db: Database) -> None:
    await bring(db, FERRY_FEED)
    bad = changed(FERRY_FEED, "stop_times.txt", "T1,7:05:00,7:05:00", "T1,,")
    report = await bring(db, bad, replace(TERMS, keep_going=True))
    assert report.applied
    assert dict(report.departures.counts) == {"made": ALL["made"] - 3, "refused": 3}
    assert len(await leaving(db, "F101")) == 3


async def test_a_newer_edition_changes_what_differs(db: Database) -> None:
    """Another time moves what is not sold; a day that is gone is cancelled unless it is sold; a
    trip that is gone is archived unless it is sold. Seen red with all cancelled that is gone:
    a day that was sold was cancelled with its tickets.
    """
    await bring(db, FERRY_FEED)
    (first,), (night,) = await numbers(db, "F101"), await numbers(db, "N/0110")
    await sell(db, departure_id(first, DAYS[1]))
    await sell(db, departure_id(night, DAYS[1]))
    newer = changed(FERRY_FEED, "stop_times.txt", "T1,7:05:00,7:05:00", "T1,7:15:00,7:15:00")
    newer = changed(newer, "stop_times.txt", "T1,7:14:30,7:14:30", "T1,7:24:30,7:24:30")
    newer = changed(newer, "trips.txt", "R2,NIGHT,T2,\n", "")
    newer["stop_times.txt"] = "".join(
        line for line in newer["stop_times.txt"].splitlines(keepends=True) if line[:2] != "T2"
    )
    newer = changed(
        newer, "calendar_dates.txt", "WEEK,{day1},1\nWEEK,{day2},1\n", "WEEK,{day2},1\n"
    )
    report = await bring(db, newer)
    assert report.faults == []
    clocks = await leaving(db, "F101")
    assert clocks == [(DAYS[0], "07:15"), (DAYS[1], "07:05"), (DAYS[2], "07:15")]
    assert [day for day, _ in await leaving(db, "N/0110")] == [DAYS[1]]
    kept = select(timetables.c.state, timetables.c.first_date, timetables.c.last_date).where(
        timetables.c.timetable_id == night
    )
    assert await rows(db, kept) == [("ACTIVE", DAYS[1], DAYS[1])]
    assert sum("sold" in note for note in report.notes) >= 2
    assert report.objects["timetables", "archived"] == 0
    again = await bring(db, newer)
    assert {what for _, what in again.objects} == {"unchanged"}
    back = await bring(db, FERRY_FEED)
    assert dict(back.departures.counts) == ALL
    assert await leaving(db, "F101") == [(day, "07:05") for day in DAYS]
    assert len(await leaving(db, "N/0110")) == 2


async def test_days_that_come_back_run_again_as_the_feed_has_them_now(db: Database) -> None:
    """By its new clock and with the seats they had, partners hear both; what an administrator
    cancels stays so. Seen red with `departure.moved` for the second, which says nothing of the
    cancellation that they have heard.
    """
    await bring(db, FERRY_FEED)
    (first,) = await numbers(db, "F101")
    async with db.transaction() as tx:
        await tx.execute(text(A_PARTNER))
        await tx.execute(text(ALLOT), {"number": departure_id(first, DAYS[1])})
    without = changed(FERRY_FEED, "calendar_dates.txt", "WEEK,{day1},1\nWEEK,{day2},1\n", "")
    await bring(db, without)
    assert [day for day, _ in await leaving(db, "F101")] == [DAYS[0]]
    async with db.transaction() as tx:
        over = {DAYS[1]: datetime.now(UTC) - timedelta(minutes=1)}
        assert await reinstate(tx, first, over, **by()) == 0
        cancelled = departure_id(first, DAYS[2])
        await cancel_departure(tx, cancelled, refunds="AT_ONCE", comment="typhoon", **by())
    newer = changed(FERRY_FEED, "stop_times.txt", "T1,7:05:00,7:05:00", "T1,7:15:00,7:15:00")
    newer = changed(newer, "stop_times.txt", "T1,7:14:30,7:14:30", "T1,7:24:30,7:24:30")
    await bring(db, newer)
    assert await leaving(db, "F101") == [(day, "07:15") for day in DAYS[:2]]
    seats = select(stocks.c.total, stocks.c.closed).where(
        stocks.c.departure_id == departure_id(first, DAYS[1])
    )
    assert sorted(await rows(db, seats)) == [(2, False), (10, False), (200, False)]
    heard = select(partner_events.c.type, partner_events.c.data["departure_time"].astext)
    (cancelled, _), (reinstated, leaves) = await rows(
        db, heard.order_by(partner_events.c.occurred_time)
    )
    assert (cancelled, reinstated) == ("departure.cancelled", "departure.reinstated")
    assert datetime.fromisoformat(leaves).astimezone(world.ZONE).strftime("%H:%M") == "07:15"


async def test_a_sold_trip_that_takes_another_time_is_not_sold_twice(db: Database) -> None:
    """The day that is sold keeps its times, and is not offered a second time by the new ones.
    Seen red with the sold day left in the new timetable.
    """
    await bring(db, FERRY_FEED)
    (old,) = await numbers(db, "F101")
    await sell(db, departure_id(old, DAYS[1]))
    newer = changed(FERRY_FEED, "stop_times.txt", "T1,7:14:30,7:14:30", "T1,7:25:00,7:25:00")
    report = await bring(db, newer)
    assert dict(report.departures.counts) == {"made": ALL["made"] - 1, "kept": 1}
    both = await numbers(db, "F101")
    assert len(both) == 2
    query = select(departures.c.timetable_id, departures.c.travel_date).where(
        departures.c.timetable_id.in_(both), departures.c.state == "SCHEDULED"
    )
    assert sorted(await rows(db, query)) == [
        (old, DAYS[1]),
        (both[1], DAYS[0]),
        (both[1], DAYS[2]),
    ]
    again = await bring(db, newer)
    assert {what for _, what in again.objects} == {"unchanged"}
    assert again.departures == report.departures


async def test_a_route_that_is_gone_is_archived_and_comes_back(db: Database) -> None:
    await bring(db, FERRY_FEED)
    only = changed(FERRY_FEED, "trips.txt", "R2,NIGHT,T2,\n", "")
    only["stop_times.txt"] = "".join(
        line for line in only["stop_times.txt"].splitlines(keepends=True) if line[:2] != "T2"
    )
    one = replace(TERMS, route_ids=("R1",))
    assert {what for _, what in (await bring(db, only, one)).objects} == {"unchanged"}
    gone = await bring(db, only)
    assert (gone.objects["routes", "archived"], gone.objects["timetables", "archived"]) == (1, 1)
    back = await bring(db, FERRY_FEED)
    assert dict(back.departures.counts) == ALL


async def test_what_is_exported_makes_the_same_elsewhere(db: Database, database_url: str) -> None:
    """Into an empty database: the same departures at the same moments, and the same fares; a
    cancelled departure is none. Exported again it is the same feed but for the numbers of ours.
    """
    await bring(db, FERRY_FEED)
    (first,) = await numbers(db, "F101")
    async with db.transaction() as tx:
        cancelled = departure_id(first, DAYS[0])
        await cancel_departure(tx, cancelled, refunds="", comment="", **by())
        await tx.execute(holidays.delete())
        terms = ExportTerms(AGENCY, world.today(), DAYS[-1] + timedelta(days=2), await ours(tx))
        content = await export_feed(tx, terms)
        assert content == await export_feed(tx, terms)
        sold = await moments(tx)
        fares = await all_fares(tx)
    async with world.database(database_url) as other, other.transaction() as tx:
        await tx.execute(holidays.delete())
        await create_cities(tx, [City("HKG", "Hong Kong", "香港", "Asia/Hong_Kong")], **by())
        await products.create_product(tx, world.product(world.FERRY, "TRANSPORT"), **by())
        taken = ImportTerms("ours", world.FERRY, {"ECONOMY": 200, "SUPER": 10}, sale_days=20)
        report = await import_feed(tx, read_archive(content), taken, **by())
        assert report.faults == []
        assert report.departures.counts == Counter({"made": ALL["made"] - 1})
        assert await moments(tx) == sold
        assert await all_fares(tx) == fares


async def test_each_stop_whose_place_is_not_known_is_named(db: Database) -> None:
    """With the routes that call there, so that others may be exported without them."""
    await bring(db, FERRY_FEED)
    async with db.transaction() as tx:
        every = await ours(tx)
        query = select(routes.c.route_id, routes.c.stops).where(routes.c.route_id.in_(every))
        calls = {row[0]: {call["stop_code"] for call in row[1]} for row in await tx.execute(query)}
        lost = calls[every[0]]
        unknown = {"latitude_microdegrees": None, "longitude_microdegrees": None}
        await tx.execute(update(stops).where(stops.c.stop_code.in_(lost)).values(unknown))
        terms = ExportTerms(AGENCY, world.today(), DAYS[-1] + timedelta(days=2), every)
        with pytest.raises(DomainError) as refused:
            await export_feed(tx, terms)
    named = {}
    for field, why in refused.value.violations:
        code, calling = re.findall(r"stop (\w+) is, at which routes ([\d, ]+) call", why)[0]
        named[code] = {int(each) for each in calling.split(",")}
        assert field == "route_ids"
    assert named == {code: {each for each in every if code in calls[each]} for code in lost}


async def ours(tx: Any) -> list[int]:
    query = select(routes.c.route_id).where(routes.c.route_id > world.FERRY_ROUTE)
    return list(await tx.scalars(query))


async def moments(tx: Any) -> set[tuple[str, datetime, int | None]]:
    query = (
        select(
            timetables.c.service_number, departures.c.departure_time, timetables.c.headway_seconds
        )
        .join(timetables, timetables.c.timetable_id == departures.c.timetable_id)
        .where(departures.c.state == "SCHEDULED", timetables.c.service_number.not_like("N1%"))
    )
    found = {tuple(row) for row in await tx.execute(query)}
    return {(number, moment.astimezone(UTC), headway) for number, moment, headway in found}


async def all_fares(tx: Any) -> set[tuple[Any, ...]]:
    found = set()
    for (fares,) in await tx.execute(select(routes.c.fares)):
        for fare in fares:
            if fare["origin"] in {"CENTRAL", "TST"}:
                found.add(tuple(sorted(fare.items())))
    return found
