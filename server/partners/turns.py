"""Turns for large batches: a partner makes one at a time, and the partners together few."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from server.tickets.generation import LARGE_BATCH

AT_ONCE = 2
"""Large batches at once in a process; others wait without a connection, as calls at the gates need
the rest.
"""


class Turns:
    """Who makes a large batch now. However many one partner asks for, another's waits for one of
    them at the most.
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
