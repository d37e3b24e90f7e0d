"""What is done for channels by the clock: the cadences of seed 003.

All values are worked out half-hourly, the seed's cadence of peak times, and everything is sent once
more each night. What is at a threshold is seen at once, by `watching.py`. New bookings are fetched
every quarter of an hour, what became of others every four hours.
"""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels import bookings, call_log, outgoing, ttd_notices
from server.channels.booking_handler import BookingHandler
from server.channels.channel_records import codes_of_active
from server.channels.due import ALL, BOOK, FETCH, NEW, WORK_OUT, ask, fetch_key
from server.channels.facts import Capability
from server.channels.fetching import BookingFetcher
from server.platform.config import Settings
from server.platform.outbox import enqueue
from server.platform.schedule import About, Job, Progress, in_chunks
from server.platform.statements import run
from server.platform.task_worker import TaskKind

VALUES_KEPT = timedelta(days=7)
"""After their day."""
UNSOLD_AT_ONCE = 100
"""In one transaction."""


def jobs(settings: Settings) -> list[Job]:
    """What is done by the clock."""
    of_ttd = ttd_notices.jobs(settings.zone) if settings.ctrip_ttd else []
    return [*_sending(settings), *_fetching(), *_forgetting(settings), *of_ttd]


def kinds(fetcher: BookingFetcher, handler: BookingHandler) -> dict[str, TaskKind]:
    """What is done with bookings."""
    return {
        FETCH: TaskKind(
            fetcher.fetch,
            max_at_once=8,
            most_seconds=180.0,
            about=About(
                "Fetches new and changed bookings of an outside channel.",
                "拉取外部渠道新增与变更的预订。",
            ),
        ),
        BOOK: TaskKind(
            handler.book,
            max_at_once=8,
            most_seconds=180.0,
            about=About(
                "Makes orders of bookings of outside channels, confirms, changes and cancels them.",
                "将外部渠道的预订转为订单，并确认、变更或取消。",
            ),
        ),
    }


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


def _fetching() -> list[Job]:
    async def ask_for(tx: AsyncConnection, which: str, now: datetime) -> Progress:
        codes = await codes_of_active(tx, Capability.BOOKINGS, Capability.CONFIRM)
        keys = [fetch_key(code, which) for code in codes]
        await run(tx, enqueue(*ask(FETCH, keys, now), now=now))
        return Progress(more=False, items=len(keys))

    async def new(tx: AsyncConnection, now: datetime) -> Progress:
        return await ask_for(tx, NEW, now)

    async def every(tx: AsyncConnection, now: datetime) -> Progress:
        return await ask_for(tx, ALL, now)

    async def cancel_unsold(tx: AsyncConnection, now: datetime) -> Progress:
        keys = await run(tx, bookings.cancel_without_order(limit=UNSOLD_AT_ONCE, now=now))
        await run(tx, enqueue(*ask(BOOK, keys, now), now=now))
        return Progress(more=len(keys) == UNSOLD_AT_ONCE, items=len(keys))

    return [
        Job(
            "fetch-channel-bookings",
            timedelta(minutes=15),
            new,
            about=About(
                "Fetches new bookings of outside channels.",
                "拉取各外部渠道的新预订。",
            ),
        ),
        Job(
            "fetch-channel-changes",
            timedelta(hours=4),
            every,
            about=About(
                "Fetches what became of all bookings of outside channels that are not over.",
                "拉取各外部渠道未完结预订的状态更新。",
            ),
        ),
        Job(
            "cancel-unsold-channel-bookings",
            timedelta(minutes=1),
            cancel_unsold,
            quiet=True,
            about=About(
                "Cancels bookings at outside channels whose orders were cancelled here.",
                "取消订单已在本平台取消的外部渠道预订。",
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
