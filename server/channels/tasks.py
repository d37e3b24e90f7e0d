"""What is done for channels by the clock: each part when it is due, see `cadence_rules.py`. What is
at a threshold is seen at once, by `watching.py`, and so is a change of the catalogue, by
`catalogue_watch.py`.
"""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels import (
    bookings,
    call_log,
    differences,
    outgoing,
    probing,
    syncs,
    ttd_notices,
)
from server.channels.booking_handler import BookingHandler
from server.channels.cadence_rules import SyncPart
from server.channels.due import ALL, BOOK, FETCH, NEW, PROBE, WORK_OUT, ask, fetch_key
from server.channels.fetching import BookingFetcher
from server.platform.config import Settings
from server.platform.outbox import NewTask, enqueue
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
    return [*_keeping(settings), *_forgetting(settings), *of_ttd]


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


def _keeping(settings: Settings) -> list[Job]:
    async def keep(tx: AsyncConnection, now: datetime) -> Progress:
        found = await syncs.active(tx, now, settings.zone, settings.channel_peak)
        due = [each for each in found if each.due_time <= now]
        # a full sync begins in the first night
        begun = [each for each in found if each.asked_time is None]
        await run(tx, syncs.note_asked({*due, *begun}, now=now))
        probes = ask(PROBE, await run(tx, probing.silent(now)), now)
        await run(tx, enqueue(*(_task(each, now) for each in due), *probes, now=now))
        return Progress(more=False, items=len(due))

    async def cancel_unsold(tx: AsyncConnection, now: datetime) -> Progress:
        keys = await run(tx, bookings.cancel_without_order(limit=UNSOLD_AT_ONCE, now=now))
        await run(tx, enqueue(*ask(BOOK, keys, now), now=now))
        return Progress(more=len(keys) == UNSOLD_AT_ONCE, items=len(keys))

    return [
        Job(
            "keep-channels-in-step",
            timedelta(minutes=1),
            keep,
            quiet=True,
            about=About(
                "Has outside channels compared, sent what differs and asked for bookings, each part"
                " when it is due, and called, if nothing else has for two minutes.",
                "按各类数据的周期比对并推送外部渠道，拉取其预订，并呼叫久未调用的渠道。",
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


def _task(sync: syncs.ChannelSync, now: datetime) -> NewTask:
    fetched = {SyncPart.BOOKINGS: NEW, SyncPart.STATUS: ALL}
    if sync.part in fetched:
        return NewTask(FETCH, fetch_key(sync.channel_code, fetched[sync.part]), {}, now)
    return NewTask(WORK_OUT, f"{sync.channel_code}:{sync.part}", {}, now)


def _forgetting(settings: Settings) -> list[Job]:
    keep = timedelta(days=settings.channel_call_days)

    async def calls(tx: AsyncConnection, now: datetime, limit: int) -> int:
        return len(await run(tx, call_log.purge(now, keep, limit=limit)))

    async def values(tx: AsyncConnection, now: datetime, limit: int) -> int:
        before = (now - VALUES_KEPT).date()
        gone = len(await run(tx, outgoing.purge(before=before, limit=limit)))
        reports = differences.purge(before=now - differences.KEPT, limit=limit - gone)
        return gone + len(await run(tx, reports))

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
                "Forgets what channels knew of days that are over, and old reports of full syncs.",
                "清除已过日期的渠道价格与库存，以及过期的全量同步差异报告。",
            ),
        ),
    ]
