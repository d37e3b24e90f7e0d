"""What the platform itself does by the clock: it removes what nobody needs any more, and gives back
what processes that died had taken.
"""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform import change_feed, idempotency, job_runs, outbox
from server.platform.config import Settings
from server.platform.schedule import About, Job, Progress, in_chunks
from server.platform.statements import run

GIVEN_BACK_AT_ONCE = 500
"""In one transaction."""


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""
    keep = timedelta(hours=settings.idempotency_hours)

    async def answers(tx: AsyncConnection, now: datetime, limit: int) -> int:
        return await idempotency.purge(tx, now=now, keep=keep, limit=limit)

    async def tasks(tx: AsyncConnection, now: datetime, limit: int) -> int:
        keep_done = timedelta(days=settings.done_task_days)
        return await outbox.purge(tx, now=now, keep=keep_done, limit=limit)

    async def give_back(tx: AsyncConnection, now: datetime) -> Progress:
        given = await run(tx, outbox.give_back(now=now, limit=GIVEN_BACK_AT_ONCE))
        return Progress(more=len(given) == GIVEN_BACK_AT_ONCE, items=len(given))

    async def history(tx: AsyncConnection, now: datetime, limit: int) -> int:
        keep_runs = timedelta(days=settings.job_history_days)
        return await job_runs.purge(tx, now=now, keep=keep_runs, limit=limit)

    async def changes(tx: AsyncConnection, now: datetime, limit: int) -> int:
        return await change_feed.purge(tx, now=now, limit=limit)

    return [
        Job(
            "give-back-tasks",
            timedelta(seconds=3),
            give_back,
            quiet=True,
            about=About(
                "Gives back tasks that a process had taken which has died.",
                "归还已终止进程领取的任务。",
            ),
        ),
        Job(
            "purge-answers",
            timedelta(minutes=10),
            in_chunks(answers),
            about=About(
                "Forgets answers that were kept for repeats long enough.",
                "清除超过保留期的幂等应答。",
            ),
        ),
        Job(
            "purge-tasks",
            timedelta(minutes=10),
            in_chunks(tasks),
            about=About(
                "Forgets tasks of the outbox that were done; dead letters stay.",
                "清除发件箱中已完成的任务；死信保留。",
            ),
        ),
        Job(
            "purge-changes",
            timedelta(minutes=10),
            in_chunks(changes),
            about=About(
                "Forgets changes that every process has heard of.", "清除各进程均已收到的变更通知。"
            ),
        ),
        Job(
            "purge-job-runs",
            timedelta(hours=1),
            in_chunks(history),
            about=About("Forgets runs of jobs that ended long ago.", "清除过期的任务运行记录。"),
        ),
    ]
