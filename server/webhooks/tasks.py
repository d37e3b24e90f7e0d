"""What is done for partner events and webhooks by the clock, and for their dead letters."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.config import Settings
from server.platform.database import Database
from server.platform.outbox import Task
from server.platform.schedule import About, Job, in_chunks
from server.platform.statements import run
from server.platform.task_worker import TaskKind
from server.webhooks import deliveries, feed, repeated_deliveries


def jobs(settings: Settings, posted: feed.Posted) -> list[Job]:
    """What is done by the clock; `posted` says which events the ledger still needs."""
    keep = timedelta(days=settings.partner_event_days)
    keep_log = timedelta(days=settings.webhook_log_days)

    async def events(tx: AsyncConnection, now: datetime, limit: int) -> int:
        return await feed.purge(tx, now=now, keep=keep, limit=limit, posted=posted)

    async def log(tx: AsyncConnection, now: datetime, limit: int) -> int:
        return await deliveries.purge(tx, now=now, keep=keep_log, limit=limit)

    return [
        Job(
            "purge-partner-events",
            timedelta(hours=1),
            in_chunks(events),
            about=About(
                "Forgets partners' events that were kept long enough.",
                "清除超过保留期的分销平台事件。",
            ),
        ),
        Job(
            "purge-webhook-log",
            timedelta(hours=1),
            in_chunks(log),
            about=About(
                "Forgets webhook deliveries that ended long enough ago.",
                "清除超过保留期的 Webhook 投递记录。",
            ),
        ),
    ]


def kinds(db: Database) -> dict[str, TaskKind]:
    """What is done when an administrator replays the dead letter of a delivery: it is made again,
    with all its attempts; and when a sandbox asks for a delivery twice.
    """

    async def replay(task: Task) -> None:
        async def work(tx: AsyncConnection) -> None:
            await run(tx, deliveries.replay_letter(task.key, now=task.now()))
            await task.done(tx)

        await db.in_transaction(work)

    return {
        deliveries.KIND: TaskKind(
            replay,
            waiting=deliveries.waiting,
            about=About(
                "Delivers a webhook again whose dead letter was replayed.",
                "重新投递已重放的 Webhook 死信。",
            ),
        ),
        repeated_deliveries.KIND: repeated_deliveries.kind(db),
    }
