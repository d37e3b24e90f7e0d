"""Quantities at a listing's threshold, seen at once: what stocks have noted (stock/levels.py).

Whatever sells, gives back, moves or closes a stock notes it in its own transaction. Each process
takes notices after its own commits, and twice a second those of others. What follows of them is
written down in the transaction that takes them and asks for it to be sent; the outbox sends it
after the commit. Every ten seconds all that is listed is compared as well, which finds what nobody
has noted: of stocks that were listed before there were notices.
"""

from collections.abc import Collection
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels import health, outgoing
from server.channels.channel_records import codes_of_active
from server.channels.due import PUSH, WORK_OUT, ask
from server.channels.facts import Capability
from server.platform import clock
from server.platform.database import Database
from server.platform.errors import DomainError
from server.platform.loops import Loops, Polling
from server.platform.outbox import enqueue
from server.platform.statements import TRY_LOCK, run
from server.stock import levels
from server.stock.ids import partner_of
from server.stock.levels import NOTED

LOOK_SECONDS = 0.5
SPACING_SECONDS = 0.1
"""From a look to the next at the least: one takes the notices of many commits."""
COMPARE_SECONDS = 10.0
"""Between two comparisons of all that is listed, by each process."""
COMPARISONS_A_MEASURE = 6
"""After so many each process measures anew how the channels are."""
NOTICES_AT_ONCE = 1_000
LOCK = (0x6368616E, 1)
"""The advisory lock of whoever looks: "chan"."""


class ThresholdWatch:
    """Looks from `start` to `stop`."""

    def __init__(self, db: Database, zone: ZoneInfo, loops: Loops) -> None:
        self._db = db
        self._zone = zone
        self._comparisons = 0
        look = Polling(
            self._look,
            LOOK_SECONDS,
            spacing_seconds=SPACING_SECONDS,
            tolerated=(DomainError,),
            due=levels.any_notices,
        )
        compare = Polling(self._compare, COMPARE_SECONDS, tolerated=(DomainError,))
        self._looking = loops.add("channel-thresholds", look)
        self._comparing = loops.add("channel-comparisons", compare)

    def start(self) -> None:
        """Begins to look, and looks after each commit of this process that changes a stock."""
        self._db.notifications.listen(NOTED, self._looking.wake)
        self._looking.start()
        self._comparing.start()

    async def stop(self) -> None:
        """Ends it, when the transaction under way is done."""
        self._db.notifications.unlisten(NOTED, self._looking.wake)
        await self._looking.end()
        await self._comparing.end()

    async def _look(self) -> None:
        while await self._db.in_transaction(self.look) == NOTICES_AT_ONCE:
            pass

    async def _compare(self) -> None:
        if self._comparisons % COMPARISONS_A_MEASURE == 0:
            now = clock.now()
            async with self._db.transaction() as tx:
                await health.measure(tx, today=self._today(now), now=now)
        self._comparisons += 1
        await self._db.in_transaction(self.compare)

    async def look(self, tx: AsyncConnection) -> int:
        """Takes what stocks have noted, and has sent what is at a threshold; has worked out what
        channels are to know of new stock. How many notices.
        """
        notices = await run(tx, levels.take_notices(limit=NOTICES_AT_ONCE))
        if notices:
            now = clock.now()
            sellers = {partner_of(each.stock_id) for each in notices if each.is_new}
            changed = {each.stock_id for each in notices if not each.is_new}
            await self._send(tx, changed, now)
            codes = await codes_of_active(tx, partner_ids=sellers) if sellers else []
            await run(tx, enqueue(*ask(WORK_OUT, codes, now), now=now))
        return len(notices)

    async def compare(self, tx: AsyncConnection) -> int:
        """Has sent what is at a threshold of all that is listed; how many quantities. 0 while
        another process compares.
        """
        (is_ours,) = await run(tx, TRY_LOCK(*LOCK))
        return await self._send(tx, None, clock.now()) if is_ours else 0

    async def _send(
        self, tx: AsyncConnection, stock_ids: Collection[int] | None, now: datetime
    ) -> int:
        watch = outgoing.watch_thresholds(stock_ids, today=self._today(now), now=now)
        changed = await run(tx, watch)
        keys = [f"{code}:{Capability.AVAILABILITY}" for code in sorted(set(changed))]
        await run(tx, enqueue(*ask(PUSH, keys, now), now=now))
        return len(changed)

    def _today(self, now: datetime) -> date:
        return now.astimezone(self._zone).date()
