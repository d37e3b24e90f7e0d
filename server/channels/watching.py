"""Quantities at a listing's threshold, seen at once: one statement over the listed stocks; and the
stop of a sale, written by the order that takes the last.

Every process looks twice a second, and one at a time of all. What is found is written down in the
transaction that asks for it to be sent; the outbox sends it after the commit. The look finds as
well what was listed since a process learned it, and what is sold by others than CreateOrder.
"""

from collections.abc import Collection
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels import health, outgoing
from server.channels.due import PUSH, ask
from server.channels.facts import Capability
from server.platform import clock
from server.platform.database import Database
from server.platform.errors import DomainError
from server.platform.loops import Loops, Polling
from server.platform.outbox import enqueue
from server.platform.statements import TRY_LOCK, Command, run

LOOK_SECONDS = 0.5
LOOKS_BETWEEN = 20
"""After so many looks each process learns anew which stocks are listed."""
LOOKS_BETWEEN_MEASURES = 6 * LOOKS_BETWEEN
"""And after so many how the channels are."""
LOCK = (0x6368616E, 1)
"""The advisory lock of whoever looks: "chan"."""


class StopOfSales:
    """What a sale writes that takes the last of a stock which is listed: the stop of its sale, and
    that it is sent. Which stocks are listed is remembered, so other sales pay nothing for it.
    """

    def __init__(self) -> None:
        self._listed: dict[int, set[str]] = {}

    def commands(self, used_up: Collection[int], now: datetime) -> list[Command[Any] | None]:
        """To be run in the transaction of the sale."""
        found = [stock_id for stock_id in used_up if stock_id in self._listed]
        if not found:
            return []
        codes = sorted(set[str]().union(*(self._listed[stock_id] for stock_id in found)))
        asks = ask(PUSH, [f"{code}:{Capability.AVAILABILITY}" for code in codes], now)
        return [outgoing.stop_sale(found, now=now), enqueue(*asks, now=now)]

    async def refresh(self, tx: AsyncConnection, today: date) -> None:
        """Learns which stocks are listed now."""
        listed: dict[int, set[str]] = {}
        for stock_id, code in await run(tx, outgoing.listed_stocks(today=today)):
            listed.setdefault(stock_id, set()).add(code)
        self._listed = listed


class ThresholdWatch:
    """Looks from `start` to `stop`."""

    def __init__(self, db: Database, zone: ZoneInfo, loops: Loops, stops: StopOfSales) -> None:
        self._stops = stops
        self._looks = 0
        self._db = db
        self._zone = zone
        self._loop = loops.add(
            "channel-thresholds", Polling(self._look, LOOK_SECONDS, tolerated=(DomainError,))
        )

    def start(self) -> None:
        """Begins to look."""
        self._loop.start()

    async def stop(self) -> None:
        """Ends it, when the transaction under way is done."""
        await self._loop.end()

    async def _look(self) -> None:
        if self._looks % LOOKS_BETWEEN == 0:
            now = clock.now()
            today = now.astimezone(self._zone).date()
            async with self._db.transaction() as tx:
                await self._stops.refresh(tx, today)
                if self._looks % LOOKS_BETWEEN_MEASURES == 0:
                    await health.measure(tx, today=today, now=now)
        self._looks += 1
        await self._db.in_transaction(self.look)

    async def look(self, tx: AsyncConnection) -> int:
        """Has sent what is at a threshold; how many quantities. 0 while another
        process looks.
        """
        now = clock.now()
        (is_ours,) = await run(tx, TRY_LOCK(*LOCK))
        if not is_ours:
            return 0
        today = now.astimezone(self._zone).date()
        changed = await run(tx, outgoing.watch_thresholds(today=today, now=now))
        keys = [f"{code}:{Capability.AVAILABILITY}" for code in sorted(set(changed))]
        await run(tx, enqueue(*ask(PUSH, keys, now), now=now))
        return len(changed)
