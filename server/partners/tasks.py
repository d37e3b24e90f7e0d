"""What is done for partners by the clock."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.partners import statements
from server.platform.config import Settings
from server.platform.schedule import Job

SEALING_CADENCE = timedelta(minutes=10)


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""

    async def seal(tx: AsyncConnection, now: datetime) -> bool:
        return await statements.seal_due(tx, zone=settings.zone, now=now)

    return [Job("seal-statements", SEALING_CADENCE, seal)]
