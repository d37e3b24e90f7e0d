"""Turns for large batches: one at a time for each partner, and few in all processes together.

In a process callers wait for each other without a connection. Those whose turn it is there take
advisory locks of the database in the batch's own transaction, so that a turn ends with it, also
when its process dies.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.tickets.generation import LARGE_BATCH

AT_ONCE = 2
"""Large batches at once over all processes. So many connections may a process have for those that
wait, as calls at the gates need the rest.
"""
PARTNER_LOCKS, PLACE_LOCKS = 0x44545404, 0x44545405
"""First halves of advisory locks, any numbers that nobody else uses; the second is the partner, or
which of AT_ONCE it is.
"""


class Turns:
    """Who makes a large batch in this process. However many one partner asks for, another's waits
    for one of them at the most.
    """

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._partners: dict[int, tuple[asyncio.Lock, int]] = {}

    def turn_for(self, partner_id: int, quantity: int) -> AbstractAsyncContextManager[None]:
        """The partner's turn to make a batch of so many tickets; at once, if it is not large."""
        return self.turn(partner_id) if quantity > LARGE_BATCH else nullcontext()

    @asynccontextmanager
    async def turn(self, partner_id: int) -> AsyncIterator[None]:
        """Waits for the partner's own turn first, so that those who wait for the process are of
        different partners.

        Whoever has it goes on with `wait_for_turn`.
        """
        own, waiting = self._partners.get(partner_id, (asyncio.Lock(), 0))
        self._partners[partner_id] = own, waiting + 1
        try:
            async with own, self._free:
                yield
        finally:
            own, waiting = self._partners.pop(partner_id)
            if waiting > 1:
                self._partners[partner_id] = own, waiting - 1


async def wait_for_turn(tx: AsyncConnection, partner_id: int, quantity: int) -> None:
    """Waits for the batch's turn among all processes, if it is large; it ends with the transaction.

    To come before any row is locked but the request's own, so that nobody waits for one that waits.
    PostgreSQL gives the turns in the order in which they were asked for. Raises LockedError after
    the lock time-out.
    """
    if quantity <= LARGE_BATCH:
        return
    await tx.execute(select(func.pg_advisory_xact_lock(PARTNER_LOCKS, partner_id)))
    for place in range(AT_ONCE):
        if await tx.scalar(select(func.pg_try_advisory_xact_lock(PLACE_LOCKS, place))):
            return
    await tx.execute(select(func.pg_advisory_xact_lock(PLACE_LOCKS, partner_id % AT_ONCE)))
