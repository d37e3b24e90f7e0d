"""Keeps the terminal's file up with the server: scans up, the pack down."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from deeptravel import AsyncClient, CallError, redemption

from deeptravel_terminal.offline import Offline
from deeptravel_terminal.packs import PackError
from deeptravel_terminal.store import StoredScan, StoreError

PAUSE_SECONDS = 5.0
UPLOAD, UPLOAD_SECONDS = 500, 30.0
QUIET = {
    redemption.OFFLINE_VERDICT_ACCEPTED,
    redemption.OFFLINE_VERDICT_CLOCK_SUSPECT,
    redemption.OFFLINE_VERDICT_DUPLICATE,
    redemption.OFFLINE_VERDICT_RECORDED,
}
"""Verdicts for which nobody has to do anything."""
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
        """Sends the scans, then brings the pack up to date, which so has them. Raises CallError,
        PackError and StoreError.
        """
        await self._upload()
        await self._update()

    async def _upload(self) -> None:
        """In the order of the counter. What is sent twice, since an answer was lost, gets the
        verdict that it has.
        """
        store = self.offline.store
        while scans := store.unsent(UPLOAD):
            answer = await self.client.redemption.upload_scans(
                scans=[_message(each) for each in scans], timeout=UPLOAD_SECONDS
            )
            verdicts = [
                (scan.counter, verdict.SerializeToString())
                for scan, verdict in zip(scans, answer.scans, strict=False)
            ]
            conflicts = sum(each.verdict not in QUIET for each in answer.scans)
            await asyncio.to_thread(store.settle, verdicts, conflicts)

    async def _update(self) -> None:
        store, clock = self.offline.store, self.offline.clock
        settled = store.settled_uses()
        parts = self.client.redemption.get_venue_pack(cursor=store.cursor, timeout=PACK_SECONDS)
        async for part in parts:
            if await asyncio.to_thread(store.take, part, clock.wall(), settled):
                pack = store.pack()
                if pack:
                    clock.synced(pack.configuration.server_time.ToMilliseconds())


def _message(scan: StoredScan) -> redemption.OfflineScan:
    message = redemption.OfflineScan(
        scan_id=scan.scan_id,
        qr_token=scan.qr_token,
        function_code=scan.function_code,
        quantity=scan.quantity,
        counter=scan.counter,
        pack_version=scan.pack_version,
        previous_hash=scan.previous_hash,
        admitted=bool(scan.admitted),
    )
    message.scanned_time.FromMilliseconds(scan.scanned_at)
    return message
