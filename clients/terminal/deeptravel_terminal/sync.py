"""Keeps the terminal's file up with the server: scans up, the pack down, and what is pushed."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from deeptravel import AsyncClient, CallError, Reason, redemption

from deeptravel_terminal.offline import Offline
from deeptravel_terminal.packs import PackError
from deeptravel_terminal.store import StoreError
from deeptravel_terminal.stored_scans import StoredScan

PAUSE_SECONDS = 5.0
SPACING_SECONDS = 0.5
"""From one pack to the next at the least, however often the server has the terminal ask; up to as
much longer by chance, so that the terminals of a venue do not all ask at once."""
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
    _pushes: "asyncio.Queue[redemption.PackPush]" = field(default_factory=asyncio.Queue)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)

    def pushed(self, push: redemption.PackPush) -> None:
        """Takes what the stream pushes."""
        if push.ask_for_pack:
            self._asked.set()
        if push.packed_tickets:
            self._pushes.put_nowait(push)

    async def run_pushes(self) -> None:
        """Stores what is pushed, in its order, until it is cancelled. What cannot be stored comes
        with the next pack.
        """
        while True:
            push = await self._pushes.get()
            try:
                await asyncio.to_thread(self.offline.store.push, push)
            except (PackError, StoreError) as error:
                self.said(str(error))

    async def run(self) -> None:
        """Until it is cancelled; what fails is tried again."""
        while True:
            self._asked.clear()
            if self.is_online():
                try:
                    self.said(await self.once())
                except (CallError, PackError, StoreError) as error:
                    self.said(str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), PAUSE_SECONDS)
                await asyncio.sleep(SPACING_SECONDS * random.uniform(0.1, 1.0))  # noqa: S311

    async def once(self) -> str:
        """Sends the scans, then brings the pack up to date, which so has them. What an operator has
        to do, if anything. Raises CallError, PackError and StoreError.
        """
        said = await self._upload()
        await self._update()
        return said

    async def _upload(self) -> str:
        """In the order of the counter, those of numbers after those of codes. What is sent twice,
        since an answer was lost, gets the verdict that it has.
        """
        await self._upload_all(by_number=False)
        try:
            await self._upload_all(by_number=True)
        except CallError as error:
            if error.reason != Reason.ROLE_NOT_ALLOWED:
                raise
            return "按票号放行待主管登录 by number: a supervisor logs in: F7"
        return ""

    async def _upload_all(self, *, by_number: bool) -> None:
        """The verdicts of a page are written down while the server decides the next one."""
        store, last = self.offline.store, 0
        verdicts: list[tuple[int, bytes]] = []
        conflicts = 0
        while scans := store.unsent(UPLOAD, by_number=by_number, after=last):
            answer, _ = await asyncio.gather(
                self.client.redemption.upload_scans(
                    scans=[_message(each) for each in scans], timeout=UPLOAD_SECONDS
                ),
                asyncio.to_thread(store.settle, verdicts, conflicts),
            )
            verdicts = [
                (scan.counter, verdict.SerializeToString())
                for scan, verdict in zip(scans, answer.scans, strict=False)
            ]
            conflicts = sum(each.verdict not in QUIET for each in answer.scans)
            last = scans[-1].counter
        if verdicts:
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
        ticket_code=scan.ticket_code,
        comment=scan.comment,
    )
    message.scanned_time.FromMilliseconds(scan.scanned_at)
    return message
