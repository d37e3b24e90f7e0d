"""The numbers of travellers' orders and tickets, reserved in blocks: a gap stays where a process
ends, or an order fails.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import date, datetime
from functools import partial
from typing import Any, Literal
from zoneinfo import ZoneInfo

from server.platform.database import Database
from server.platform.pipeline import PipelineConnection
from server.tickets.generation import reserve, reserve_numbers
from server.tickets.rules import DIRECT, Number

BLOCK = 1_000
FEW = BLOCK // 2
"""With fewer left another block is reserved ahead."""


class OrderNumbers:
    """The numbers one process gives out, of orders (O) or tickets (T); the day in them is that
    of `zone`.
    """

    def __init__(self, db: Database, zone: ZoneInfo, kind: Literal["O", "T"] = "O") -> None:
        self._db = db
        self._zone = zone
        self._kind: Literal["O", "T"] = kind
        self._day: date | None = None
        self._free: deque[int] = deque()
        self._reserving = asyncio.Lock()

    async def take(self, quantity: int, now: datetime) -> deque[int]:
        """So many numbers of the day. Reserved before stock is locked: nobody waits for it with
        a lock in hand.
        """
        day = now.astimezone(self._zone).date()
        async with self._reserving:
            if day != self._day:
                self._day = day
                self._free.clear()
            if len(self._free) < quantity:
                block = max(quantity, BLOCK)
                first = await reserve_numbers(self._db, DIRECT, day, self._kind, block)
                self._free.extend(range(first, first + block))
            return deque([self._free.popleft() for _ in range(quantity)])

    def give_back(self, numbers: Sequence[int]) -> None:
        """Numbers of one `take` that were not needed; those of a day that is over are left out."""
        if numbers and Number.unpack(numbers[0]).day == self._day:
            self._free.extendleft(reversed(numbers))

    def reserve_with(self, tx: PipelineConnection) -> None:
        """Where few are left, has the next block reserved in the round trip of the commit, which
        must be the next one: so `take` need not wait for a connection and a commit of its own.

        The block is given out from the commit on; of one that fails, or whose outcome is unknown,
        it never is.
        """
        if self._day is not None and len(self._free) < FEW:
            command = reserve(DIRECT, self._day, self._kind, BLOCK)
            tx.attach(command, partial(self._add, self._day))

    def _add(self, day: date, rows: list[tuple[Any, ...]]) -> None:
        if day == self._day:
            first = int(Number(DIRECT, day, rows[0][0]))
            self._free.extend(range(first, first + BLOCK))
