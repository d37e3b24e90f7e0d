"""Static data, prices and quantities on their way to a channel: worked out, then sent in batches.

A channel that is away or limits us is asked again later, and nothing is lost, as values wait in
their table; neither is a failure of the task. A batch that is refused is halved until the entry is
found that is: that one waits for another value, with the refusal as its fault. What an item is
comes before its prices and quantities.
"""

import time
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.catalogue import Catalogues
from server.channels import channel_records, differences, disconnecting, outgoing, syncs
from server.channels.cadence_rules import SyncPart, is_due
from server.channels.connecting import ChannelClients, OpenedChannel
from server.channels.due import PUSH, WORK_OUT, ask, push_keys
from server.channels.facts import (
    AvailabilityUpdate,
    Capability,
    ChannelCallError,
    FailureKind,
    Money,
    PriceUpdate,
    UnmappedError,
)
from server.channels.listed_values import WantedValue, listed_days, notice_levels
from server.channels.listings import ChannelListing, listings_of
from server.channels.outgoing import PendingValue
from server.channels.registry import VENDORS
from server.channels.static_values import static_item
from server.channels.true_values import true_values
from server.channels.wire import Codec, Entry
from server.platform.database import Database
from server.platform.outbox import Postpone, Task, enqueue
from server.platform.schedule import About
from server.platform.statements import run
from server.platform.task_worker import TaskKind
from server.stock import levels

AGAIN_SECONDS = 15
"""A channel that gave no answer, or none that could be used, is asked again so much later."""
WITHOUT_RIGHT_SECONDS = 60
"""And one that does not take our credentials."""
ROUND_SECONDS = 20.0
"""A task sends so long, and is then due again: it gives others their turn."""
LONGEST_FAULT = 300

log = structlog.get_logger()


class Pusher:
    """Works out and sends what channels are to know."""

    def __init__(
        self, db: Database, catalogues: Catalogues, clients: ChannelClients, zone: ZoneInfo
    ) -> None:
        self._db = db
        self._catalogues = catalogues
        self._clients = clients
        self._zone = zone

    def kinds(self) -> dict[str, TaskKind]:
        """The tasks of channels."""
        return {
            WORK_OUT: TaskKind(
                self.work_out,
                most_seconds=120.0,
                about=About(
                    "Works out the static data, prices and quantities that an outside channel is to"
                    " know.",
                    "计算外部渠道应得的静态数据、价格与可售数量。",
                ),
            ),
            PUSH: TaskKind(
                self.push,
                max_at_once=16,
                most_seconds=120.0,
                about=About(
                    "Sends static data, prices and quantities to an outside channel.",
                    "向外部渠道推送静态数据、价格与可售数量。",
                ),
            ),
        }

    async def work_out(self, task: Task) -> None:
        """Compares what the channel is to know, or a part of it, with catalogue and stock as they
        are; of everything it keeps what differed, and sends all once more. That stocks are listed
        is committed before they are read, so no change after that is missed.
        """
        code, _, part = task.key.partition(":")
        catalogue, now = await self._catalogues.get(), task.now()
        today = now.astimezone(self._zone).date()
        async with self._db.transaction() as tx:
            channel = await channel_records.CHANNELS.get(tx, code)
            listings = await listings_of(tx, code)
        days = listed_days(catalogue, listings, partner_id=channel.partner_id, today=today, now=now)
        await self._db.in_transaction(lambda tx: run(tx, levels.note_from(notice_levels(days))))

        async def work(tx: AsyncConnection) -> None:
            if await disconnecting.has_ended(tx, code, today=today, now=now):
                await task.done(tx)
                return
            values = await true_values(tx, catalogue, channel, listings, days, today=today, now=now)
            due, others = _divided(values, part, listings)
            await run(tx, outgoing.want(code, due, now=now))
            await run(tx, outgoing.want(code, others, now=now, if_new=True))
            await run(tx, outgoing.end_unlisted(code, today=today, now=now))
            if part == SyncPart.EVERYTHING:
                await run(tx, differences.note(code, today=today, now=now))
                await run(tx, outgoing.send_again(code, today=today, now=now))
            await run(tx, syncs.note_done(code, part, now=now) if part in {*SyncPart} else None)
            await task.done(tx)
            if Capability.FEED not in VENDORS[channel.vendor_code].capabilities:
                await run(tx, enqueue(*ask(PUSH, push_keys(code), now), now=now))

        await self._db.in_transaction(work)

    async def push(self, task: Task) -> Postpone | None:
        """Sends what waits, until nothing does."""
        channel_code, _, word = task.key.rpartition(":")
        what, until = Capability(word), time.monotonic() + ROUND_SECONDS
        channel = await self._clients.active(channel_code)
        today = task.now().astimezone(self._zone).date()
        refused = _Refused(channel_code)
        try:
            while channel and what in channel.vendor.capabilities:
                async with self._db.transaction() as tx:
                    command = outgoing.pending(
                        channel_code, what, today=today, limit=channel.vendor.batch
                    )
                    waiting = await run(tx, command)
                if not waiting:
                    break
                try:
                    await self._send(channel, what, waiting, refused, task)
                except ChannelCallError as error:
                    return Postpone(task.now() + timedelta(seconds=wait_seconds(error)))
                if time.monotonic() > until:
                    return Postpone(task.now())
        finally:
            refused.report()
        await self._finish(channel_code, what, task)
        return None

    async def _finish(self, channel_code: str, what: Capability, task: Task) -> None:
        """Prices and quantities of what is known by now may go."""
        waited = set(push_keys(channel_code)) - {task.key} if what is Capability.STATIC else set()

        async def work(tx: AsyncConnection) -> None:
            now = task.now()
            await task.done(tx)
            await run(tx, enqueue(*ask(PUSH, sorted(waited), now), now=now))

        await self._db.in_transaction(work)

    async def _send(
        self,
        channel: OpenedChannel,
        what: Capability,
        waiting: list[PendingValue],
        refused: "_Refused",
        task: Task,
    ) -> None:
        """Sends a batch, and marks what was sent. Raises ChannelCallError, but REFUSED."""
        faults = list[tuple[PendingValue, str]]()
        entries: list[tuple[PendingValue, Entry]] = []
        for value in waiting:
            try:
                entries.append((value, _entry(channel.client.codec, value)))
            except UnmappedError as error:
                faults.append((value, str(error)))
        halves = _requests(entries, one_item_each=channel.vendor.one_item_a_push)
        while halves:
            part = halves.pop()
            try:
                await channel.client.push(what, [entry for _, entry in part])
            except ChannelCallError as error:
                if error.kind is not FailureKind.REFUSED:
                    await self._mark(refused, [], faults, task)
                    raise
                if len(part) > 1:
                    middle = len(part) // 2
                    halves += [part[middle:], part[:middle]]
                else:
                    faults.append((part[0][0], str(error)[:LONGEST_FAULT]))
            else:
                await self._mark(refused, [value for value, _ in part], [], task)
        await self._mark(refused, [], faults, task)

    async def _mark(
        self,
        refused: "_Refused",
        sent: list[PendingValue],
        faults: list[tuple[PendingValue, str]],
        task: Task,
    ) -> None:
        async def work(tx: AsyncConnection) -> None:
            await run(tx, outgoing.mark_sent(refused.channel_code, sent, now=task.now()))
            await run(tx, outgoing.mark_refused(refused.channel_code, faults))

        if sent or faults:
            await self._db.in_transaction(work)
        refused.note(faults)


class _Refused:
    """What of a run cannot be sent: logged once for each reason, such as a word that is mapped to
    nothing, with the first value and how many there are.
    """

    def __init__(self, channel_code: str) -> None:
        self.channel_code = channel_code
        self._first: dict[str, PendingValue] = {}
        self._values = Counter[str]()

    def note(self, faults: Iterable[tuple[PendingValue, str]]) -> None:
        for value, why in faults:
            self._first.setdefault(why, value)
            self._values[why] += 1

    def report(self) -> None:
        for why, first in self._first.items():
            log.error(
                "channel.values_refused",
                channel=self.channel_code,
                what=first.what,
                why=why,
                values=self._values[why],
                first_item=first.item_id,
                first_day=first.day.isoformat(),
            )


def _divided(
    values: list[WantedValue], part: str, listings: list[ChannelListing]
) -> tuple[list[WantedValue], list[WantedValue]]:
    """The values that a part is about, and all others."""
    paces = {each.item_id: each.price_pace for each in listings}
    due, others = list[WantedValue](), list[WantedValue]()
    for each in values:
        (due if is_due(part, each.what, paces[each.item_id]) else others).append(each)
    return due, others


def _requests(
    entries: list[tuple[PendingValue, Entry]], *, one_item_each: bool
) -> list[list[tuple[PendingValue, Entry]]]:
    """The entries as they are sent: all together, or of each item its own; the last goes first."""
    parts: dict[str, list[tuple[PendingValue, Entry]]] = {}
    for each in entries:
        parts.setdefault(each[0].item_id if one_item_each else "", []).append(each)
    return list(reversed(parts.values()))


def _entry(codec: Codec, value: PendingValue) -> Entry:
    if value.content is not None:
        return codec.static_entry(static_item(value.item_id, value.content))
    place: tuple[str, str, date] = (value.item_id, value.location, value.day)
    if value.currency_code is None:
        return codec.availability_entry(AvailabilityUpdate(*place, value.wanted))
    return codec.price_entry(PriceUpdate(*place, Money(value.wanted, value.currency_code)))


def wait_seconds(error: ChannelCallError) -> int:
    """In how many seconds a channel is asked again after a failure of which nothing is unknown."""
    if error.kind is FailureKind.AUTHENTICATION:
        return WITHOUT_RIGHT_SECONDS
    if error.kind is FailureKind.RATE_LIMITED:
        return max(error.retry_after_seconds, 1)
    return max(error.retry_after_seconds, AGAIN_SECONDS)
