"""What the catalogue does by the clock."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.release import release
from server.catalog.timetables import make_departures
from server.platform.config import Settings
from server.platform.schedule import Job

RELEASE_CADENCE = timedelta(minutes=1)


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""

    async def timetable(tx: AsyncConnection, now: datetime) -> bool:
        await make_departures(tx, now)
        return False

    return [
        Job("make-departures", timedelta(hours=1), timetable),
        Job("release-allotments", RELEASE_CADENCE, release(settings.zone), quiet=True),
    ]
