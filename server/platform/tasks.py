"""What the platform itself does by the clock: it removes what nobody needs any more."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform import change_feed, idempotency, outbox
from server.platform.config import Settings
from server.platform.schedule import Job, in_chunks


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""
    keep = timedelta(hours=settings.idempotency_hours)

    async def answers(tx: AsyncConnection, now: datetime, limit: int) -> int:
        return await idempotency.purge(tx, now=now, keep=keep, limit=limit)

    async def tasks(tx: AsyncConnection, now: datetime, limit: int) -> int:
        return await outbox.purge(tx, now=now, keep=outbox.DONE_TASKS_KEPT, limit=limit)

    async def changes(tx: AsyncConnection, now: datetime, limit: int) -> int:
        return await change_feed.purge(tx, now=now, limit=limit)

    return [
        Job("purge-answers", timedelta(minutes=10), in_chunks(answers)),
        Job("purge-tasks", timedelta(minutes=10), in_chunks(tasks)),
        Job("purge-changes", timedelta(minutes=10), in_chunks(changes)),
    ]
