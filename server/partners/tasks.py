"""What is done for partners by the clock, and by tasks of the outbox."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.departures import PARTNERS_FOLLOW
from server.partners import statements
from server.partners.partner_departures import MOST_ATTEMPTS, PartnerDepartures
from server.platform.config import Settings
from server.platform.database import Database
from server.platform.schedule import Job
from server.platform.task_worker import TaskKind

SEALING_CADENCE = timedelta(minutes=10)


def kinds(db: Database) -> dict[str, TaskKind]:
    """The kinds of tasks, by name."""
    departures = PartnerDepartures(db)
    return {PARTNERS_FOLLOW: TaskKind(departures.follow, max_attempts=MOST_ATTEMPTS)}


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""

    async def seal(tx: AsyncConnection, now: datetime) -> bool:
        return await statements.seal_due(tx, zone=settings.zone, now=now)

    return [Job("seal-statements", SEALING_CADENCE, seal)]
