"""Calendars of holidays: the days that are not what their weekday says, and until when they are
known.

What a release brings (holiday_tables.py) and what operators set stand in the same table; a release
never changes an operator's days. Beyond `known_until` a fare by day type is provisional (DOMAIN,
Price).
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from typing import Any, Unpack

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, refuse, with_names
from server.audit.rules import Fault
from server.audit.trail import AuditedChange, audit
from server.catalog import changes
from server.catalog.changes import ACTIVE, create, in_use, refuse_archived, trace
from server.catalog.config_versions import SCHEDULED, ConfigSubject, version_id
from server.catalog.limits import DAY_TYPES
from server.catalog.models import (
    config_versions,
    holiday_calendars,
    holiday_years,
    holidays,
    products,
)
from server.platform import change_feed
from server.platform.change_feed import ChangeKind
from server.platform.errors import DomainError, invalid, not_found
from server.platform.statements import run

OPERATOR, SHIPPED = "OPERATOR", "SHIPPED"
"""Who says what a day is."""
FIRST_YEAR, LAST_YEAR = 2020, 2063
MOST_SOURCE = 300
CALENDAR_CODE = "[A-Z]{2,8}"


@dataclass(frozen=True)
class Holiday:
    """A day that is not what its weekday says; a working Saturday is a `weekday` (调休)."""

    calendar_code: str
    day: date
    day_type: str
    display_name_en: str
    display_name_zh: str
    origin: str = OPERATOR


@dataclass(frozen=True)
class HolidayCalendar:
    """A jurisdiction's calendar: days after `known_until` are provisional, all if it is None."""

    calendar_code: str
    display_name_en: str
    display_name_zh: str
    known_until: date | None = None
    state: str = ACTIVE
    version: int = 1


@dataclass(frozen=True)
class HolidayYear:
    """A year whose official list is known, and from where: the gazette or notice, its number and
    date. `edition` is of what is shipped.
    """

    calendar_code: str
    year: int
    source: str
    origin: str = OPERATOR
    edition: int = 1


CALENDARS = Records(
    "holiday_calendar",
    holiday_calendars.c.calendar_code,
    select(*(holiday_calendars.c[field.name] for field in fields(HolidayCalendar))),
    HolidayCalendar,
    ChangeKind.CATALOGUE,
)


async def create_calendar(
    tx: AsyncConnection, calendar: HolidayCalendar, **by: Unpack[By]
) -> HolidayCalendar:
    """A new calendar, of which no year is known yet. Raises INVALID_FIELD, ALREADY_EXISTS."""
    if not re.fullmatch(CALENDAR_CODE, calendar.calendar_code):
        raise invalid("calendar_code", "is not two to eight capitals, e.g. HK")
    await create(tx, holiday_calendars, "holiday_calendar", [with_names(calendar)], **by)
    return await CALENDARS.get(tx, calendar.calendar_code)


async def update_calendar(
    tx: AsyncConnection, calendar_code: str, values: Mapping[str, Any], **by: Unpack[By]
) -> HolidayCalendar:
    """Changes its names. Raises INVALID_FIELD, NOT_FOUND, ARCHIVED."""
    before = await _lock(tx, calendar_code)
    after = with_names(replace(before, **values))
    given = {name: getattr(after, name) for name in values}
    return await changes.change(tx, CALENDARS, before, given, **by)


async def archive_calendar(
    tx: AsyncConnection, calendar_code: str, **by: Unpack[By]
) -> HolidayCalendar:
    """Has no product be of a calendar any more; a repeat changes nothing. Raises NOT_FOUND, IN_USE
    while a product that is not archived is of it, or is to be by a version that is scheduled.
    """
    before = await CALENDARS.lock(tx, calendar_code)
    of_it = select(products.c.product_id).where(
        products.c.calendar_code == calendar_code, products.c.state == ACTIVE
    )
    if product_id := await tx.scalar(of_it.order_by(products.c.product_id).limit(1)):
        remedy = "archive it first, or give it another calendar"
        raise _in_use(calendar_code, "product", product_id, remedy)
    named = config_versions.c.object_type, config_versions.c.object_id, config_versions.c.version
    scheduled = select(*named).where(
        config_versions.c.state == SCHEDULED,
        config_versions.c.content["calendar_code"].astext == calendar_code,
    )
    if found := (await tx.execute(scheduled.limit(1))).one_or_none():
        name = version_id(ConfigSubject(found.object_type, found.object_id), found.version)
        raise _in_use(calendar_code, "config version", name, "cancel it first")
    return await changes.archive(tx, CALENDARS, before, **by)


async def unarchive_calendar(
    tx: AsyncConnection, calendar_code: str, **by: Unpack[By]
) -> HolidayCalendar:
    """Takes an archived calendar back; a repeat changes nothing. Raises NOT_FOUND."""
    return await changes.unarchive(tx, CALENDARS, await CALENDARS.lock(tx, calendar_code), **by)


async def add_year(
    tx: AsyncConnection, year: HolidayYear, days: Sequence[Holiday], **by: Unpack[By]
) -> HolidayCalendar:
    """A year of a calendar as its official list says: what it says of the year's days counts,
    whatever they were before; then all of the year is known.

    The same year again is a correction. Raises NOT_FOUND, ARCHIVED, INVALID_FIELD for a day of
    another year, and for a year that does not follow one that is known.
    """
    before = await _lock(tx, year.calendar_code)
    known = await list_years(tx, year.calendar_code)
    faults: list[Fault] = list(_year_faults(year))
    if known and not known[0].year <= year.year <= known[-1].year + 1:
        faults.append(
            ("year", f"{known[-1].year} is the last that is known; add {known[-1].year + 1} first")
        )
    for index, each in enumerate(days):
        if each.day.year != year.year:
            faults.append((f"days[{index}].day", f"{each.day} is not of {year.year}; leave it out"))
    refuse([*faults, *_repeated_days(days)])
    wanted = {each.day for each in days}
    for stale in await list_holidays(tx, year.calendar_code, since=date(year.year, 1, 1)):
        if stale.day.year == year.year and stale.day not in wanted:
            await remove_holiday(tx, year.calendar_code, stale.day, **by)
    await set_holidays(tx, days, **by)
    row = asdict(year)
    added = pg_insert(holiday_years).values(row)
    await tx.execute(
        added.on_conflict_do_update(index_elements=["calendar_code", "year"], set_=row)
    )
    until = max(date(year.year, 12, 31), before.known_until or date.min)
    await tx.execute(
        update(holiday_calendars)
        .where(holiday_calendars.c.calendar_code == year.calendar_code)
        .values(known_until=until, version=holiday_calendars.c.version + 1)
    )
    name = f"{year.calendar_code}/{year.year}"
    was, after = {"known_until": before.known_until}, row | {"known_until": until}
    await trace(tx, "update", "holiday_year", name, before=was, after=after, **by)
    return await CALENDARS.get(tx, year.calendar_code)


def _year_faults(year: HolidayYear) -> Iterator[Fault]:
    if not FIRST_YEAR <= year.year <= LAST_YEAR:
        yield "year", f"is not within {FIRST_YEAR} to {LAST_YEAR}"
    if not 1 <= len(year.source) <= MOST_SOURCE:
        yield "source", f"has not 1 to {MOST_SOURCE} characters; name the gazette or notice"


async def list_years(tx: AsyncConnection, calendar_code: str) -> list[HolidayYear]:
    """The years of a calendar that are known, the first first."""
    query = select(*(holiday_years.c[field.name] for field in fields(HolidayYear)))
    query = query.where(holiday_years.c.calendar_code == calendar_code)
    return [HolidayYear(*row) for row in await tx.execute(query.order_by(holiday_years.c.year))]


async def list_holidays(
    tx: AsyncConnection,
    calendar_code: str,
    *,
    since: date | None = None,
    until: date | None = None,
    after: date | None = None,
    limit: int | None = None,
) -> list[Holiday]:
    """Days of a calendar from `since` to `until`, both included, after the day `after`."""
    query = select(*(holidays.c[field.name] for field in fields(Holiday)))
    query = query.where(holidays.c.calendar_code == calendar_code)
    if since is not None:
        query = query.where(holidays.c.day >= since)
    if until is not None:
        query = query.where(holidays.c.day <= until)
    if after is not None:
        query = query.where(holidays.c.day > after)
    return [Holiday(*row) for row in await tx.execute(query.order_by(holidays.c.day).limit(limit))]


async def set_holidays(tx: AsyncConnection, new: Sequence[Holiday], **by: Unpack[By]) -> None:
    """Days of calendars, whatever they were before. Raises INVALID_FIELD, NOT_FOUND and ARCHIVED
    (calendar).
    """
    for holiday in new:
        if holiday.day_type not in DAY_TYPES:
            raise invalid(
                "day_type", f"is {holiday.day_type!r}; send one of {', '.join(sorted(DAY_TYPES))}"
            )
    new = [with_names(holiday) for holiday in new]
    for calendar_code in sorted({holiday.calendar_code for holiday in new}):
        await _lock(tx, calendar_code)
    query = select(*(holidays.c[field.name] for field in fields(Holiday)))
    query = query.where(holidays.c.day.in_([holiday.day for holiday in new]))
    rows = [Holiday(*row) for row in await tx.execute(query.with_for_update())]
    known = {(row.calendar_code, row.day): asdict(row) for row in rows}
    wanted = {(each.calendar_code, each.day): asdict(each) for each in new}
    changed = {key: row for key, row in wanted.items() if known.get(key) != row}
    if not changed:
        return
    added = pg_insert(holidays).values(list(changed.values()))
    values = {
        name: added.excluded[name]
        for name in ("day_type", "display_name_en", "display_name_zh", "origin")
    }
    await tx.execute(
        added.on_conflict_do_update(index_elements=["calendar_code", "day"], set_=values)
    )
    await _count_change(tx, {key[0] for key in changed})
    made = [
        AuditedChange(by["actor"], "update", "holiday", _name(*key), known.get(key), row)
        for key, row in changed.items()
    ]
    await run(tx, audit(*made, now=by["now"]))
    await change_feed.publish(tx, ChangeKind.CATALOGUE)


async def remove_holiday(
    tx: AsyncConnection, calendar_code: str, day: date, **by: Unpack[By]
) -> None:
    """Makes a day what its weekday says. Raises NOT_FOUND, ARCHIVED (calendar)."""
    await _lock(tx, calendar_code)
    this = holidays.c.calendar_code == calendar_code, holidays.c.day == day
    removed = await tx.execute(delete(holidays).where(*this).returning(holidays))
    row = removed.one_or_none()
    if row is None:
        raise not_found("holiday", _name(calendar_code, day))
    await _count_change(tx, {calendar_code})
    name = _name(calendar_code, day)
    await trace(tx, "delete", "holiday", name, before=asdict(Holiday(*row)), after=None, **by)


async def _lock(tx: AsyncConnection, calendar_code: str) -> HolidayCalendar:
    """The calendar, to be changed. Raises NOT_FOUND, ARCHIVED."""
    found = await CALENDARS.lock(tx, calendar_code)
    refuse_archived("holiday_calendar", calendar_code, found)
    return found


def _in_use(calendar_code: str, user: str, user_name: object, remedy: str) -> DomainError:
    name = CALENDARS.resource, calendar_code
    return in_use(*name, user=user, user_name=user_name, remedy=remedy)


async def _count_change(tx: AsyncConnection, calendar_codes: Collection[str]) -> None:
    """Who read the calendars before has read what is no more."""
    these = holiday_calendars.c.calendar_code.in_(calendar_codes)
    await tx.execute(
        update(holiday_calendars).where(these).values(version=holiday_calendars.c.version + 1)
    )


def _name(calendar_code: str, day: date) -> str:
    return f"{calendar_code}/{day}"


def _repeated_days(days: Sequence[Holiday]) -> list[Fault]:
    seen: set[tuple[str, date]] = set()
    faults = []
    for index, each in enumerate(days):
        if (each.calendar_code, each.day) in seen:
            faults.append((f"days[{index}].day", f"{each.day} stands there twice; send it once"))
        seen.add((each.calendar_code, each.day))
    return faults
