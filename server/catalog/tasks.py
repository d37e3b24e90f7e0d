"""What the catalogue does by the clock."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.release import release
from server.catalog.rental_fleets import make_days
from server.catalog.timetables import make_departures
from server.platform.config import Settings
from server.platform.schedule import About, Job, Progress

RELEASE_CADENCE = timedelta(minutes=1)


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""

    async def timetable(tx: AsyncConnection, now: datetime) -> Progress:
        return Progress(more=False, items=await make_departures(tx, now))

    async def fleets(tx: AsyncConnection, now: datetime) -> Progress:
        return Progress(more=False, items=await make_days(tx, now))

    return [
        Job(
            "make-departures",
            timedelta(hours=1),
            timetable,
            about=About(
                "Makes the departures of the timetables as far ahead as they are sold.",
                "按时刻表生成预售期内的班次。",
            ),
        ),
        Job(
            "make-rental-days",
            timedelta(hours=1),
            fleets,
            about=About(
                "Makes the stock of rental fleets for each day as far ahead as it is sold.",
                "按预售期为租车车队生成每日库存。",
            ),
        ),
        Job(
            "release-allotments",
            RELEASE_CADENCE,
            release(settings.zone),
            quiet=True,
            about=About(
                "Returns partners' stock that nobody has taken to DIRECT, so many days before.",
                "在规定天数前，将分销平台未售出的库存退回直销渠道。",
            ),
            protects_stock=True,
        ),
    ]
