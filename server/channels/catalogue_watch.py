"""What of a change of the catalogue channels are sent at once: what is sold, and whether it still
is, prices of a plan that follows the catalogue, and all prices when a promotion begins, changes or
ends (seed 003, 特殊促销).

Each process looks, and remembers what it has seen; what several ask for is done once. Its first
look asks, too: so a change that nobody was there to see is found.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.catalogue import Catalogues
from server.catalog.pricing import Promotion
from server.channels.cadence_rules import PRICES, PRICES_AT_ONCE, SyncPart
from server.channels.channel_records import codes_of_active
from server.channels.due import WORK_OUT, ask
from server.platform import clock
from server.platform.database import Database
from server.platform.errors import DomainError
from server.platform.loops import Loops, Polling
from server.platform.outbox import enqueue
from server.platform.statements import run

LOOK_SECONDS = 1.0


class CatalogueWatch:
    """Looks from `start` to `stop`."""

    def __init__(self, db: Database, catalogues: Catalogues, loops: Loops) -> None:
        self._db = db
        self._catalogues = catalogues
        self._edition = ""
        self._promotions: tuple[Promotion, ...] | None = None
        self._loop = loops.add(
            "channel-catalogue", Polling(self.look, LOOK_SECONDS, tolerated=(DomainError,))
        )

    def start(self) -> None:
        """Begins to look."""
        self._loop.start()

    async def stop(self) -> None:
        """Ends it, when the transaction under way is done."""
        await self._loop.end()

    async def look(self) -> None:
        """Asks for what a change since the last look has made due."""
        catalogue, now = await self._catalogues.get(), clock.now()
        promotions = tuple(
            each for each in catalogue.promotions(()) if each.begin <= now < each.end
        )
        parts: list[str] = []
        if catalogue.edition != self._edition:
            parts += [SyncPart.STATIC, SyncPart.AVAILABILITY, PRICES_AT_ONCE]
        if promotions != self._promotions:
            parts.append(PRICES)
        if not parts:
            return

        async def work(tx: AsyncConnection) -> None:
            codes = await codes_of_active(tx)
            keys = [f"{code}:{part}" for code in codes for part in parts]
            await run(tx, enqueue(*ask(WORK_OUT, keys, now), now=now))

        await self._db.in_transaction(work)
        self._edition, self._promotions = catalogue.edition, promotions
