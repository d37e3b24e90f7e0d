"""The methods of AdminService about calendars of holidays."""

from collections.abc import Iterable, Sequence
from datetime import date

from deeptravel.admin.v1 import holiday_pb2

from server.api import convert, requests
from server.api.admin.noun_messages import CATALOGUE_STATE, day
from server.api.admin.table import VERSION, AdminMethods, List, Noun, Retire, by
from server.api.calls import Context
from server.api.paging import Page, paged
from server.api.repeats import ChangingCall, changing
from server.catalog import holidays
from server.catalog.holidays import CALENDARS, OPERATOR, Holiday, HolidayCalendar, HolidayYear
from server.identity.callers import Admin

ORIGIN = convert.enum_numbers(holiday_pb2.HolidayOrigin)


def calendar_message(
    calendar: HolidayCalendar, years: Sequence[HolidayYear] = ()
) -> holiday_pb2.HolidayCalendar:
    """A calendar, with its years where they are given."""
    return holiday_pb2.HolidayCalendar(
        calendar_code=calendar.calendar_code,
        display_name_en=calendar.display_name_en,
        display_name_zh=calendar.display_name_zh,
        known_until=calendar.known_until.isoformat() if calendar.known_until else "",
        years=[
            holiday_pb2.HolidayYear(year=each.year, source=each.source, origin=ORIGIN[each.origin])
            for each in years
        ],
        version=calendar.version,
        state=CATALOGUE_STATE[calendar.state],
    )


CALENDAR = Noun(CALENDARS, calendar_message)


class HolidayMethods(AdminMethods):
    """A part of AdminServicer; the contract documents each method."""

    ListHolidayCalendars = List(
        holiday_pb2.ListHolidayCalendarsRequest,
        holiday_pb2.ListHolidayCalendarsResponse,
        CALENDAR,
    )

    ArchiveHolidayCalendar = Retire(
        holiday_pb2.ArchiveHolidayCalendarRequest,
        holiday_pb2.ArchiveHolidayCalendarResponse,
        CALENDAR,
        holidays.archive_calendar,
    )
    UnarchiveHolidayCalendar = Retire(
        holiday_pb2.UnarchiveHolidayCalendarRequest,
        holiday_pb2.UnarchiveHolidayCalendarResponse,
        CALENDAR,
        holidays.unarchive_calendar,
    )

    async def GetHolidayCalendar(
        self,
        request: holiday_pb2.GetHolidayCalendarRequest,
        context: Context[
            holiday_pb2.GetHolidayCalendarRequest, holiday_pb2.GetHolidayCalendarResponse
        ],
    ) -> holiday_pb2.GetHolidayCalendarResponse:
        async with self._db.transaction() as tx:
            found = await CALENDARS.get(tx, request.calendar_code)
            years = await holidays.list_years(tx, request.calendar_code)
        message = calendar_message(found, years)
        return holiday_pb2.GetHolidayCalendarResponse(holiday_calendar=message)

    @changing
    async def CreateHolidayCalendar(
        self, request: holiday_pb2.CreateHolidayCalendarRequest, call: ChangingCall[Admin]
    ) -> holiday_pb2.CreateHolidayCalendarResponse:
        new = HolidayCalendar(
            request.calendar_code, request.display_name_en, request.display_name_zh
        )
        message = calendar_message(await holidays.create_calendar(call.tx, new, **by(call)))
        return holiday_pb2.CreateHolidayCalendarResponse(holiday_calendar=message)

    @changing
    async def UpdateHolidayCalendar(
        self, request: holiday_pb2.UpdateHolidayCalendarRequest, call: ChangingCall[Admin]
    ) -> holiday_pb2.UpdateHolidayCalendarResponse:
        code, values = request.calendar_code, requests.changes(request, besides=[VERSION])
        await CALENDARS.require_version(call.tx, code, request.version)
        changed = await holidays.update_calendar(call.tx, code, values, **by(call))
        message = calendar_message(changed, await holidays.list_years(call.tx, code))
        return holiday_pb2.UpdateHolidayCalendarResponse(holiday_calendar=message)

    @changing
    async def AddHolidayYear(
        self, request: holiday_pb2.AddHolidayYearRequest, call: ChangingCall[Admin]
    ) -> holiday_pb2.AddHolidayYearResponse:
        code = request.calendar_code
        await CALENDARS.require_version(call.tx, code, request.version)
        year = HolidayYear(code, request.year, request.source)
        changed = await holidays.add_year(call.tx, year, _days(code, request.days), **by(call))
        message = calendar_message(changed, await holidays.list_years(call.tx, code))
        return holiday_pb2.AddHolidayYearResponse(holiday_calendar=message)

    @paged
    async def ListHolidays(
        self, request: holiday_pb2.ListHolidaysRequest, page: Page[Admin, date]
    ) -> holiday_pb2.ListHolidaysResponse:
        async with self._db.report(page.caller.key) as tx:
            await CALENDARS.get(tx, request.calendar_code)
            found = await holidays.list_holidays(
                tx,
                request.calendar_code,
                since=convert.day(request, "since"),
                until=convert.day(request, "until"),
                after=page.after,
                limit=page.size + 1,
            )
        shown = page.cut(found, lambda last: last.day)
        return holiday_pb2.ListHolidaysResponse(days=map(_day_message, shown))

    @changing
    async def SetHolidays(
        self, request: holiday_pb2.SetHolidaysRequest, call: ChangingCall[Admin]
    ) -> holiday_pb2.SetHolidaysResponse:
        code = request.calendar_code
        await CALENDARS.require_version(call.tx, code, request.version)
        days = _days(code, request.days)
        await holidays.set_holidays(call.tx, days, **by(call))
        return holiday_pb2.SetHolidaysResponse(days=map(_day_message, days))

    @changing
    async def RemoveHoliday(
        self, request: holiday_pb2.RemoveHolidayRequest, call: ChangingCall[Admin]
    ) -> holiday_pb2.RemoveHolidayResponse:
        code = request.calendar_code
        await CALENDARS.require_version(call.tx, code, request.version)
        await holidays.remove_holiday(call.tx, code, day("day", request.day), **by(call))
        return holiday_pb2.RemoveHolidayResponse()


def _days(calendar_code: str, messages: Iterable[holiday_pb2.HolidayDay]) -> list[Holiday]:
    return [
        Holiday(
            calendar_code,
            day(f"days[{index}].day", each.day),
            each.day_type,
            each.display_name_en,
            each.display_name_zh,
            OPERATOR,
        )
        for index, each in enumerate(messages)
    ]


def _day_message(each: Holiday) -> holiday_pb2.HolidayDay:
    return holiday_pb2.HolidayDay(
        day=each.day.isoformat(),
        day_type=each.day_type,
        display_name_en=each.display_name_en,
        display_name_zh=each.display_name_zh,
        origin=ORIGIN[each.origin],
    )
