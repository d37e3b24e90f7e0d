"""Keeps the terminal's file up with the server: scans up, the pack down."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from deeptravel import AsyncClient, CallError

from deeptravel_terminal.offline import Offline
from deeptravel_terminal.packs import PackError
from deeptravel_terminal.store import StoreError

PAUSE_SECONDS = 5.0
PACK_SECONDS = 60.0
"""For one attempt; what came of a pack stays."""


@dataclass(eq=False)
class Sync:
    """The task of a terminal that is connected.

    Args:
        client: of an operator who has logged in.
        offline: whose file it is.
        is_online: whether the stream is open; without it nothing is asked.
        said: called with what went wrong, empty when all is well again.
    """

    client: AsyncClient
    offline: Offline
    is_online: Callable[[], bool]
    said: Callable[[str], None]

    async def run(self) -> None:
        """Until it is cancelled; what fails is tried again."""
        while True:
            if self.is_online():
                try:
                    await self.once()
                    self.said("")
                except (CallError, PackError, StoreError) as error:
                    self.said(str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def once(self) -> None:
        """Brings the pack up to date. Raises CallError, PackError and StoreError."""
        store, clock = self.offline.store, self.offline.clock
        settled = store.settled_uses()
        parts = self.client.redemption.get_venue_pack(cursor=store.cursor, timeout=PACK_SECONDS)
        async for part in parts:
            if await asyncio.to_thread(store.take, part, clock.wall(), settled):
                pack = store.pack()
                if pack:
                    clock.synced(pack.configuration.server_time.ToMilliseconds())
