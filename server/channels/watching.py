"""Quantities at a listing's threshold, seen at once: one statement over the listed stocks.

Every process looks twice a second, and one at a time of all. What is found is written down in the
transaction that asks for it to be sent; the outbox sends it after the commit.
"""

from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels import outgoing
from server.channels.facts import Capability
from server.channels.pushing import PUSH, ask
from server.platform import clock
from server.platform.database import Database
from server.platform.errors import DomainError
from server.platform.loops import Loops, Polling
from server.platform.outbox import enqueue
from server.platform.statements import TRY_LOCK, run

LOOK_SECONDS = 0.5
LOCK = (0x6368616E, 1)
"""The advisory lock of whoever looks: "chan"."""


class ThresholdWatch:
    """Looks from `start` to `stop`."""

    def __init__(self, db: Database, zone: ZoneInfo, loops: Loops) -> None:
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
