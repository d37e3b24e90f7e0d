"""What is done for notifications by the clock, and for their dead letters."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.notifications import deliveries, inbox
from server.platform.config import Settings
from server.platform.database import Database
from server.platform.outbox import Task
from server.platform.schedule import About, Job, in_chunks
from server.platform.statements import run
from server.platform.task_worker import TaskKind


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""
    keep = timedelta(days=settings.notification_days)

    async def messages(tx: AsyncConnection, now: datetime, limit: int) -> int:
        return await inbox.purge(tx, now=now, keep=keep, limit=limit)

    return [
        Job(
            "purge-notifications",
            timedelta(hours=1),
            in_chunks(messages),
            about=About(
                "Forgets messages to travellers that were kept long enough.",
                "清除超过保留期的旅客消息。",
            ),
        )
    ]


def kinds(db: Database) -> dict[str, TaskKind]:
    """What is done when an administrator replays the dead letter of a message: it is sent again,
    with all its attempts.
    """

    async def replay(task: Task) -> None:
        async def work(tx: AsyncConnection) -> None:
            await run(tx, deliveries.replay(task.key, now=task.now()))
            await task.done(tx)

        await db.in_transaction(work)

    about = About(
        "Sends a message to a traveller again whose dead letter was replayed.",
        "重新发送已重放的旅客消息死信。",
    )
    return {deliveries.KIND: TaskKind(replay, waiting=deliveries.waiting, about=about)}
