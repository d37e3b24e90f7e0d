"""The holiday tables that a release brings: of each calendar the years whose official list was
published, and was read, when the release was made; nothing that is worked out or expected.

- HK: the general holidays (公众假期) as gazetted; Sundays are days of the weekend.
- MO: public holidays (第60/2000号行政命令) and the days on which the public administration does not
  work (豁免上班, 补假) together, also those of an afternoon.
- CN: the days of the State Council's arrangement (放假) as holidays, and the Saturdays and Sundays
  that are worked on for them (调休上班) as weekdays.

Each line is a day, or a first and last one of a month, then the name in English and in Chinese;
`work` are days that are worked on. A year that has to be corrected in a later release gets the next
edition.
"""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.holidays import SHIPPED, Holiday
from server.catalog.models import holiday_calendars, holiday_years, holidays
from server.catalog.pricing import HOLIDAY, WEEKDAY
from server.platform import change_feed
from server.platform.change_feed import ChangeKind

WORK = "work"


class ShippedYear(NamedTuple):
    """A year of a calendar with its official source."""

    calendar_code: str
    year: int
    edition: int
    source: str
    lines: str

    def days(self) -> Iterator[Holiday]:
        """Its days."""
        for line in self.lines.strip().splitlines():
            written, english, chinese = map(str.strip, line.split("|"))
            working, _, span = written.rpartition(" ")
            first, _, last = span.partition("..")
            begin = date.fromisoformat(f"{self.year}-{first}")
            end = date.fromisoformat(f"{self.year}-{last or first}")
            for number in range((end - begin).days + 1):
                yield Holiday(
                    self.calendar_code,
                    begin + timedelta(days=number),
                    WEEKDAY if working == WORK else HOLIDAY,
                    english,
                    chinese,
                    SHIPPED,
                )


YEARS = (
    ShippedYear(
        "HK",
        2026,
        1,
        "General holidays for 2026, HKSAR Government press release P2025051300354 of 16 May 2025,"
        " published in the Gazette that day under the General Holidays Ordinance (Cap. 149)",
        """
        01-01 | The first day of January | 一月一日
        02-17 | Lunar New Year's Day | 农历年初一
        02-18 | The second day of Lunar New Year | 农历年初二
        02-19 | The third day of Lunar New Year | 农历年初三
        04-03 | Good Friday | 耶稣受难节
        04-04 | The day following Good Friday | 耶稣受难节翌日
        04-06 | The day following Ching Ming Festival | 清明节翌日
        04-07 | The day following Easter Monday | 复活节星期一翌日
        05-01 | Labour Day | 劳动节
        05-25 | The day following the Birthday of the Buddha | 佛诞翌日
        06-19 | Tuen Ng Festival | 端午节
        07-01 | HKSAR Establishment Day | 香港特别行政区成立纪念日
        09-26 | The day following the Chinese Mid-Autumn Festival | 中秋节翌日
        10-01 | National Day | 国庆日
        10-19 | The day following Chung Yeung Festival | 重阳节翌日
        12-25 | Christmas Day | 圣诞节
        12-26 | The first weekday after Christmas Day | 圣诞节后第一个周日
        """,
    ),
    ShippedYear(
        "HK",
        2027,
        1,
        "General holidays for 2027, list of the HKSAR Government (GovHK), gazetted in 2026 under"
        " the General Holidays Ordinance (Cap. 149)",
        """
        01-01 | The first day of January | 一月一日
        02-06 | Lunar New Year's Day | 农历年初一
        02-08 | The third day of Lunar New Year | 农历年初三
        02-09 | The fourth day of Lunar New Year | 农历年初四
        03-26 | Good Friday | 耶稣受难节
        03-27 | The day following Good Friday | 耶稣受难节翌日
        03-29 | Easter Monday | 复活节星期一
        04-05 | Ching Ming Festival | 清明节
        05-01 | Labour Day | 劳动节
        05-13 | The Birthday of the Buddha | 佛诞
        06-09 | Tuen Ng Festival | 端午节
        07-01 | HKSAR Establishment Day | 香港特别行政区成立纪念日
        09-16 | The day following the Chinese Mid-Autumn Festival | 中秋节翌日
        10-01 | National Day | 国庆日
        10-08 | Chung Yeung Festival | 重阳节
        12-25 | Christmas Day | 圣诞节
        12-27 | The first weekday after Christmas Day | 圣诞节后第一个周日
        """,
    ),
    ShippedYear(
        "MO",
        2026,
        1,
        "Table of public holidays, days off and compensatory days of the public administration for"
        " 2026, Macao SAR Government Portal: Executive Order 60/2000, the Chief Executive's"
        " dispatch on days off, and article 79(4) of the Statute of Public Servants",
        """
        01-01 | New Year's Day | 元旦
        02-16 | Lunar New Year's Eve (afternoon) | 农历除夕(下午)
        02-17 | Lunar New Year's Day | 农历正月初一
        02-18 | The second day of Lunar New Year | 农历正月初二
        02-19 | The third day of Lunar New Year | 农历正月初三
        04-03 | Good Friday | 耶稣受难日
        04-04 | The day before Easter | 复活节前日
        04-05 | Ching Ming Festival | 清明节
        04-06 | Compensatory day for the day before Easter | 复活节前日的补假
        04-07 | Compensatory day for Ching Ming Festival | 清明节的补假
        05-01 | Labour Day | 劳动节
        05-24 | The Feast of the Buddha | 佛诞节
        05-25 | Compensatory day for the Feast of the Buddha | 佛诞节的补假
        06-19 | Tung Ng Festival | 端午节
        09-26 | The day following Chong Chao (Mid-Autumn) Festival | 中秋节翌日
        09-28 | Compensatory day for the day following Chong Chao Festival | 中秋节翌日的补假
        10-01 | National Day | 中华人民共和国国庆日
        10-02 | The day following National Day | 中华人民共和国国庆日翌日
        10-18 | Chung Yeung Festival | 重阳节
        10-19 | Compensatory day for Chung Yeung Festival | 重阳节的补假
        11-02 | All Souls' Day | 追思节
        12-08 | Feast of the Immaculate Conception | 圣母无原罪瞻礼
        12-20 | Macao SAR Establishment Day | 澳门特别行政区成立纪念日
        12-21 | Compensatory day for Macao SAR Establishment Day | 澳门特别行政区成立纪念日的补假
        12-22 | Winter Solstice | 冬至
        12-24 | Christmas Eve | 圣诞节前日
        12-25 | Christmas Day | 圣诞节
        12-31 | New Year's Eve (afternoon) | 除夕(下午)
        """,
    ),
    ShippedYear(
        "CN",
        2026,
        1,
        "国务院办公厅关于2026年部分节假日安排的通知, General Office of the State Council,"
        " 4 November 2025",
        """
        01-01..01-03 | New Year's Day | 元旦
        work 01-04 | Make-up workday for New Year's Day | 元旦调休上班
        work 02-14 | Make-up workday for Spring Festival | 春节调休上班
        02-15..02-23 | Spring Festival | 春节
        work 02-28 | Make-up workday for Spring Festival | 春节调休上班
        04-04..04-06 | Qingming Festival | 清明节
        05-01..05-05 | Labour Day | 劳动节
        work 05-09 | Make-up workday for Labour Day | 劳动节调休上班
        06-19..06-21 | Dragon Boat Festival | 端午节
        work 09-20 | Make-up workday for National Day | 国庆节调休上班
        09-25..09-27 | Mid-Autumn Festival | 中秋节
        10-01..10-07 | National Day | 国庆节
        work 10-10 | Make-up workday for National Day | 国庆节调休上班
        """,
    ),
)


async def load_shipped(tx: AsyncConnection) -> int:
    """Brings the years that this release ships and the database has not, or in an earlier edition;
    returns how many. What an operator has set, a day or a whole year, stays as it is.
    """
    known = {
        (row.calendar_code, row.year): row
        for row in await tx.execute(select(holiday_years).with_for_update())
    }
    brought = 0
    for year in YEARS:
        there = known.get((year.calendar_code, year.year))
        if there is None or (there.origin == SHIPPED and there.edition < year.edition):
            await _bring(tx, year)
            brought += 1
    if brought:
        await change_feed.publish(tx, ChangeKind.CATALOGUE)
    return brought


async def _bring(tx: AsyncConnection, year: ShippedYear) -> None:
    first, last = date(year.year, 1, 1), date(year.year, 12, 31)
    await tx.execute(
        delete(holidays).where(
            holidays.c.calendar_code == year.calendar_code,
            holidays.c.day.between(first, last),
            holidays.c.origin == SHIPPED,
        )
    )
    days = [asdict(day) for day in year.days()]
    await tx.execute(pg_insert(holidays).values(days).on_conflict_do_nothing())
    row = {
        "calendar_code": year.calendar_code,
        "year": year.year,
        "source": year.source,
        "origin": SHIPPED,
        "edition": year.edition,
    }
    added = pg_insert(holiday_years).values(row)
    await tx.execute(
        added.on_conflict_do_update(index_elements=["calendar_code", "year"], set_=row)
    )
    this = holiday_calendars.c.calendar_code == year.calendar_code
    until = await tx.scalar(select(holiday_calendars.c.known_until).where(this).with_for_update())
    await tx.execute(
        update(holiday_calendars)
        .where(this)
        .values(known_until=max(last, until or last), version=holiday_calendars.c.version + 1)
    )
