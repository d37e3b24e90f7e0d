"""What is done for notifications by the clock."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.notifications import inbox
from server.platform.config import Settings
from server.platform.schedule import Job, in_chunks


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""
    keep = timedelta(days=settings.notification_days)

    async def messages(tx: AsyncConnection, now: datetime, limit: int) -> int:
        return await inbox.purge(tx, now=now, keep=keep, limit=limit)

    return [Job("purge-notifications", timedelta(hours=1), in_chunks(messages))]
