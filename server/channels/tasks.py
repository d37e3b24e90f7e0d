"""What is done for channels by the clock: the cadences of seed 003.

All values are worked out half-hourly, the seed's cadence of peak times, and everything is sent once
more each night. What is at a threshold is seen at once, by `watching.py`.
"""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels import call_log, outgoing
from server.channels.channel_records import codes_of_active
from server.channels.pushing import WORK_OUT, ask
from server.platform.config import Settings
from server.platform.outbox import enqueue
from server.platform.schedule import About, Job, Progress, in_chunks
from server.platform.statements import run

VALUES_KEPT = timedelta(days=7)
"""After their day."""


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""
    return [*_sending(settings), *_forgetting(settings)]


def _sending(settings: Settings) -> list[Job]:
    async def work_out(tx: AsyncConnection, now: datetime) -> Progress:
        codes = await codes_of_active(tx)
        await run(tx, enqueue(*ask(WORK_OUT, codes, now), now=now))
        return Progress(more=False, items=len(codes))

    async def send_again(tx: AsyncConnection, now: datetime) -> Progress:
        codes = await codes_of_active(tx)
        today, count = now.astimezone(settings.zone).date(), 0
        for code in codes:
            count += len(await run(tx, outgoing.send_again(code, today=today, now=now)))
        await run(tx, enqueue(*ask(WORK_OUT, codes, now), now=now))
        return Progress(more=False, items=count)

    return [
        Job(
            "work-out-channel-values",
            timedelta(minutes=30),
            work_out,
            about=About(
                "Compares what channels know with prices and stock, and sends what differs.",
                "比对各渠道的价格与库存，并发送差异。",
            ),
        ),
        Job(
            "send-channels-everything",
            timedelta(days=1),
            send_again,
            about=About(
                "Sends each channel all prices and quantities once more.",
                "每日向各渠道全量重发价格与库存。",
            ),
        ),
    ]


def _forgetting(settings: Settings) -> list[Job]:
    keep = timedelta(days=settings.channel_call_days)

    async def calls(tx: AsyncConnection, now: datetime, limit: int) -> int:
        return len(await run(tx, call_log.purge(now, keep, limit=limit)))

    async def values(tx: AsyncConnection, now: datetime, limit: int) -> int:
        before = (now - VALUES_KEPT).date()
        return len(await run(tx, outgoing.purge(before=before, limit=limit)))

    return [
        Job(
            "purge-channel-calls",
            timedelta(hours=1),
            in_chunks(calls),
            about=About(
                "Forgets calls to channels that were kept long enough.",
                "清除超过保留期的渠道调用记录。",
            ),
        ),
        Job(
            "purge-channel-values",
            timedelta(hours=1),
            in_chunks(values),
            about=About(
                "Forgets what channels knew of days that are over.",
                "清除已过日期的渠道价格与库存。",
            ),
        ),
    ]
