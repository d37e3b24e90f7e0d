"""What is done for partner events by the clock."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.config import Settings
from server.platform.schedule import Job, in_chunks
from server.webhooks import feed


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""
    keep = timedelta(days=settings.partner_event_days)

    async def events(tx: AsyncConnection, now: datetime, limit: int) -> int:
        return await feed.purge(tx, now=now, keep=keep, limit=limit)

    return [Job("purge-partner-events", timedelta(hours=1), in_chunks(events))]
