"""A process of ours that sends channels what they are to know, without a worker of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.catalog.catalogue import Catalogues
from server.channels import outgoing
from server.channels.channel_records import NewChannel, connect_channel
from server.channels.channel_words import map_word
from server.channels.connecting import ChannelClients
from server.channels.due import PUSH, WORK_OUT, push_keys
from server.channels.facts import MappingKind
from server.channels.listings import ChannelListing, add_listing
from server.channels.pushing import Pusher
from server.channels.tasks import jobs
from server.channels.tokens import ChannelTokens
from server.channels.watching import ThresholdWatch
from server.channels.words import WordPair
from server.platform.change_feed import ChangeFeed
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.loops import Loops
from server.platform.outbox import Postpone, Task
from server.platform.ratelimit import RateLimiter
from server.platform.schedule import Pipelined, Progress
from server.platform.statements import run
from server.platform.task_worker import TaskKind
from server.stock import inventory
from server.stock.ids import DIRECT, stock_id
from server.stock.models import stocks
from tests.support import timetable
from tests.support.channel_vendors import SimulatedChannels
from tests.support.channels import LOCATION, THEIR_LOCATION

DAYS = 5
PACKAGE_STOCK = stock_id(timetable.PACKAGE, DIRECT)


class PushingProcess:
    """A process of ours that pushes, without its worker: a test runs the tasks itself.

    Attributes:
        server_url: where a server beside it serves HTTP.
    """

    server_url = ""

    def __init__(
        self, db: Database, redis_url: str, vendors: SimulatedChannels, secret_key: bytes
    ) -> None:
        self.db = db
        self.vendors = vendors
        self._limiter = RateLimiter(redis_url)
        tokens = ChannelTokens(redis_url, secret_key)
        self.clients = ChannelClients(db, secret_key, tokens, self._limiter)
        catalogues = Catalogues(ChangeFeed(db), db)
        self.pusher = Pusher(db, catalogues, self.clients, timetable.ZONE)

    async def change(self, work: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        by = By(actor="test", now=datetime.now(UTC))

        async def change(tx: AsyncConnection) -> Any:
            return await work(tx, *arguments, **named, **by)

        return await self.db.in_transaction(change)

    async def connect(
        self,
        vendor: str,
        *,
        mapped: bool = True,
        limit: int = 1000,
        partner_code: str = "",
        code: str = "",
    ) -> None:
        """A channel, with the vendor's code unless it has one of its own, where a package and a
        train are listed.
        """
        announced, code = self.vendors.simulator.announced()[vendor], code or vendor
        new = NewChannel(
            channel_code=code,
            vendor_code=vendor,
            partner_code=partner_code,
            base_url=announced["base_url"],
            currency_code="HKD",
            calls_per_minute=limit,
        )
        credentials = dict(announced["credentials"])
        await self.change(connect_channel, self.clients.seals, new, credentials)
        if mapped:
            await self.map(code, WordPair(MappingKind.LOCATION, LOCATION, THEIR_LOCATION))
        package = ChannelListing(
            code, "P", LOCATION, "HKD", timetable.PACKAGE, threshold=2, days_ahead=DAYS
        )
        train = ChannelListing(
            *(code, "T", LOCATION, "JPY", None, timetable.EARLY, 0, 0, 2),
            rate_millionths=19_500_000,
            markup_basis_points=1_000,
            days_ahead=DAYS,
        )
        for listing in (package, train):
            await self.change(add_listing, listing)

    async def map(self, channel: str, pair: WordPair) -> None:
        await self.change(map_word, channel, pair)

    async def work_out(self, channel: str) -> None:
        await self.run(WORK_OUT, channel)

    async def push(self, channel: str) -> list[Postpone | None]:
        return [await self.run(PUSH, key) for key in push_keys(channel)]

    async def run(self, kind: str, key: str) -> Postpone | None:
        """Does a task that nobody has asked for."""
        return await self.run_with(kind, key, {})

    async def run_with(self, kind: str, key: str, payload: dict[str, Any]) -> Postpone | None:
        """The same, of one that was asked for with more than its key."""
        return await self.kinds()[kind].handle(_Asked(kind, key, payload))

    def kinds(self) -> dict[str, TaskKind]:
        """The tasks of it."""
        return self.pusher.kinds()

    async def job(self, name: str) -> Progress | bool:
        (job,) = [each for each in jobs(load_settings()) if each.name == name]
        work = job.work
        assert not isinstance(work, Pipelined)
        return await self.db.in_transaction(lambda tx: work(tx, datetime.now(UTC)))

    async def watch(self) -> int:
        """How many quantities are at a threshold."""
        watch = ThresholdWatch(self.db, timetable.ZONE, Loops())
        return await self.db.in_transaction(watch.compare)

    async def take_notices(self) -> int:
        """How many stocks have noted something."""
        watch = ThresholdWatch(self.db, timetable.ZONE, Loops())
        return await self.db.in_transaction(watch.look)

    async def drift(self, channel: str) -> dict[str, outgoing.Drift]:
        async with self.db.transaction() as tx:
            found = await run(tx, outgoing.drift(channel, today=timetable.today()))
        return {each.what: each for each in found}

    async def left(self, stock: int, total: int) -> None:
        """As if so many were there, with nothing noted."""
        async with self.db.transaction() as tx:
            await tx.execute(update(stocks).where(stocks.c.stock_id == stock).values(total=total))

    async def set_total(self, stock: int, total: int) -> None:
        """As an administrator does."""
        now = datetime.now(UTC)
        await self.db.in_transaction(lambda tx: inventory.set_total(tx, stock, total, now=now))

    def known(self, channel: str, kind: str) -> dict[tuple[str, str], dict[str, Any]]:
        """What the vendor knows, by item and day."""
        found = self.vendors.simulator.books.pushed(channel, kind)
        return {(each.item, each.day): each.content for each in found}

    async def close(self) -> None:
        await self.clients.close()
        await self._limiter.close()


class _Asked(Task):
    """A task in hand that ends without a row."""

    def __init__(self, kind: str, key: str, payload: dict[str, Any]) -> None:
        now = datetime.now(UTC)
        super().__init__(
            *(None, kind, key, payload, 1, now, now),  # type: ignore[arg-type]
            now=lambda: datetime.now(UTC),
        )

    async def done(self, tx: AsyncConnection) -> None:
        self.is_settled = True


@asynccontextmanager
async def a_process(
    db: Database,
    redis_url: str,
    vendors: SimulatedChannels,
    *,
    secret_key: bytes = bytes(range(32)),
) -> AsyncIterator[PushingProcess]:
    made = PushingProcess(db, redis_url, vendors, secret_key)
    try:
        yield made
    finally:
        await made.close()


def quantity(content: dict[str, Any]) -> int:
    found = content.get("quantity", content.get("count"))
    assert isinstance(found, int)
    return found


def price(content: dict[str, Any]) -> str:
    rate = content.get("base_rate") or content.get("baseRate")
    return str(rate["amount"] if rate else content["basePrice"])
