"""What the catalogue does by the clock."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.timetables import make_departures
from server.platform.config import Settings
from server.platform.schedule import Job


def jobs(_: Settings) -> list[Job]:
    """What is done by the clock."""

    async def timetable(tx: AsyncConnection, now: datetime) -> bool:
        await make_departures(tx, now)
        return False

    return [Job("make-departures", timedelta(hours=1), timetable)]
