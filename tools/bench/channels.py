"""Prices and quantities on their way to three channels, at the limits of their calls.

A server sends Ctrip, Booking.com and Expedia, whose simulator runs in this process and refuses
calls above the limit. First quantities at a threshold change, one after the other: how long from
the commit to the vendor's having it, seen by the look that finds what others than CreateOrder sell.
Then, when the minute of these calls is over, price plan and stock of all that is listed change in
one transaction, 10,080 values a channel: how long until the vendors have the last of them, while
quantities at a threshold go on changing. In the end each value that they know is compared with the
one that is wanted.
"""

import asyncio
import random
import time
from base64 import b64encode
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.channels.listings import ChannelListing, add_listing, update_listing
from server.channels.models import channel_values
from server.operations.schema import migrate
from server.platform import clock
from server.platform.currencies import decimals
from server.stock.ids import departure_stock_id
from server.stock.models import stocks
from server.tickets import keys
from tests.support import databases, timetable
from tests.support.channel_process import (
    PACKAGE_STOCK,
    PushingProcess,
    a_process,
    price,
    quantity,
)
from tests.support.channel_vendors import SimulatedChannels
from tests.support.channels import CONNECTED, LOCATION
from tests.support.rpc_server import SECRET_KEY
from tests.support.server_process import ServerProcess
from tools.bench.figures import Figures, percentile
from tools.bench.metering import Meter
from tools.dev.channel_simulator.books import Entry
from tools.dev.embedded.services import EmbeddedServices

DATABASE = "bench_channels"
CALLS_PER_MINUTE = 60
ITEMS, DAYS = 56, 90
THRESHOLD_CHANGES = 24
THRESHOLD_CHANGES_MEANWHILE = 6
"""While the 10,000 are sent."""
MINUTE = 61.0
MOST_SECONDS = 180.0
"""What has not arrived by then is missing."""
CHANGES = "price and stock changes at three channels"
TARGETS = {
    f"10,000 {CHANGES}": ("<=", 60),
    "threshold change at the vendor p95": ("<=", 2_000),
    "channel values missing": ("<=", 0),
}

Key = tuple[str, str, str, str]
"""Vendor, PRICES or AVAILABILITY, item and day."""


class Arrivals:
    """What the vendors know, and since when."""

    def __init__(self, vendors: SimulatedChannels) -> None:
        books = vendors.simulator.books
        self.known: dict[Key, tuple[dict[str, Any], float]] = {}
        push = books.push

        def noted(vendor: str, kind: str, entries: Iterable[Entry]) -> None:
            taken = list(entries)
            push(vendor, kind, taken)
            now = time.perf_counter()
            for each in taken:
                self.known[vendor, kind.upper(), each.item, each.day] = each.content, now

        books.push = noted  # type: ignore[method-assign]

    async def all_since(self, began: float, wanted: set[Key]) -> float:
        """Waits until each was sent since then, or MOST_SECONDS; when the last one was."""
        while time.perf_counter() < began + MOST_SECONDS:
            times = [self.known[each][1] for each in wanted if each in self.known]
            if len(times) == len(wanted) and min(times) > began:
                return max(times)
            await asyncio.sleep(0.1)
        return time.perf_counter()

    async def quantity_at(self, key: Key, left: int) -> float:
        """Waits until a quantity is known; when it was."""
        until = time.perf_counter() + MOST_SECONDS
        while time.perf_counter() < until:
            content, at = self.known[key]
            if quantity(content) == left:
                return at
            await asyncio.sleep(0.01)
        return time.perf_counter()


async def _list(process: PushingProcess) -> None:
    for vendor in CONNECTED:
        await process.connect(vendor, limit=CALLS_PER_MINUTE)

        async def add(tx: AsyncConnection, vendor: str = vendor) -> None:
            for number in range(ITEMS):
                plan = (f"I{number}", LOCATION, "HKD", timetable.PACKAGE)
                listing = ChannelListing(vendor, *plan, threshold=0, days_ahead=DAYS)
                await add_listing(tx, listing, actor="bench", now=clock.now())

        await process.db.in_transaction(add)


async def _thresholds(process: PushingProcess, arrivals: Arrivals, changes: int) -> list[float]:
    """Milliseconds from each change to each vendor."""
    day = timetable.tomorrow()
    seats = departure_stock_id(timetable.departure(timetable.EARLY, day), 0, 0)
    passed: list[float] = []
    for number in range(changes):
        await asyncio.sleep(random.uniform(0.2, 1.2))  # noqa: S311 - whenever the look is
        left = number % 5
        await process.set_total(seats, left)
        began = time.perf_counter()
        names = [(vendor, "AVAILABILITY", "T", day.isoformat()) for vendor in CONNECTED]
        found = await asyncio.gather(*(arrivals.quantity_at(each, left) for each in names))
        passed += [(at - began) * 1000 for at in found]
    return passed


async def _change(process: PushingProcess) -> None:
    """Another price plan of each item, and other stock."""

    async def change(tx: AsyncConnection) -> None:
        now, other = clock.now(), {"rate_millionths": 1_100_000}
        for vendor in CONNECTED:
            for number in range(ITEMS):
                await update_listing(tx, vendor, f"I{number}", other, actor="bench", now=now)
        sold = stocks.c.stock_id == PACKAGE_STOCK
        await tx.execute(update(stocks).where(sold).values(total=stocks.c.total - 7))

    await process.db.in_transaction(change)


async def _missing(process: PushingProcess, arrivals: Arrivals) -> int:
    """How many values vendors do not know as they are wanted."""
    async with process.db.transaction() as tx:
        rows = (await tx.execute(select(channel_values))).all()
    missing = 0
    for row in rows:
        found = arrivals.known.get((row.channel_code, row.what, row.item_id, row.day.isoformat()))
        if found is None:
            missing += 1
        elif row.what == "AVAILABILITY":
            missing += quantity(found[0]) != row.wanted
        else:
            digits = decimals(row.currency_code)
            missing += Decimal(price(found[0])).scaleb(digits) != row.wanted
    return missing


async def _run(
    process: PushingProcess, vendors: SimulatedChannels, meter: Meter, f: Figures
) -> None:
    arrivals = Arrivals(vendors)
    await _list(process)
    days = [(timetable.today() + timedelta(days=n)).isoformat() for n in range(DAYS)]
    wanted = {
        (vendor, what, f"I{number}", day)
        for vendor in CONNECTED
        for what in ("PRICES", "AVAILABILITY")
        for number in range(ITEMS)
        for day in days
    }
    await arrivals.all_since(0.0, wanted)
    await asyncio.sleep(MINUTE)
    alone = await _thresholds(process, arrivals, THRESHOLD_CHANGES)
    for name, share in (("p50", 0.5), ("p95", 0.95)):
        f.add(f"threshold change at the vendor {name}", percentile(alone, share), "ms")
    await asyncio.sleep(MINUTE)
    before = _calls(vendors)
    with meter.of(f, f"10,000 {CHANGES}", len(wanted)):
        since = time.perf_counter()
        await _change(process)
        began = time.perf_counter()
        last, beside = await asyncio.gather(
            arrivals.all_since(since, wanted),
            _thresholds(process, arrivals, THRESHOLD_CHANGES_MEANWHILE),
        )
        await _until_marked(process)
    f.add(f"10,000 {CHANGES}", last - began, "s")
    f.add("threshold change beside them, the slowest", max(beside), "ms")
    f.add("calls of a channel meanwhile", (_calls(vendors) - before) / len(CONNECTED), "calls")
    f.add("channel values missing", await _missing(process, arrivals), "values")


def _calls(vendors: SimulatedChannels) -> int:
    return sum(len(vendors.simulator.books.requests(vendor)) for vendor in CONNECTED)


async def _until_marked(process: PushingProcess) -> None:
    until = time.monotonic() + MOST_SECONDS
    while time.monotonic() < until:
        drifts = [await process.drift(vendor) for vendor in CONNECTED]
        if not any(each.waiting for drift in drifts for each in drift.values()):
            return
        await asyncio.sleep(0.2)


def measure(services: EmbeddedServices, figures: Figures, options: Any) -> None:
    """Starts the simulator and a server, and measures them."""
    url = databases.renamed(services.database_url, DATABASE)
    databases.execute(services.database_url, f"CREATE DATABASE {DATABASE}")
    migrate(url)
    uvloop.run(_measure(services, url, figures, options))


async def _measure(services: EmbeddedServices, url: str, figures: Figures, options: Any) -> None:
    settings = {
        "DEEPTRAVEL_DATABASE_URL": url,
        "DEEPTRAVEL_REDIS_URL": services.redis_url,
        "DEEPTRAVEL_SECRET_KEY": b64encode(SECRET_KEY).decode(),
    }
    with TemporaryDirectory() as folder:
        async with (
            SimulatedChannels(Path(folder), calls_per_minute=CALLS_PER_MINUTE) as vendors,
            timetable.database(url) as db,
            a_process(db, services.redis_url, vendors, secret_key=SECRET_KEY) as process,
        ):
            await timetable.build(process.db)
            now = clock.now()
            await process.db.in_transaction(lambda tx: keys.create_first_key(tx, SECRET_KEY, now))
            server = ServerProcess(data_dir=Path(folder), env=settings)
            await asyncio.to_thread(server.start)
            try:
                print(f"{ITEMS * DAYS * 2:,} values at each of {CONNECTED}", flush=True)
                meter = Meter(server.process.pid, options.postgres)
                await _run(process, vendors, meter, figures)
            finally:
                await asyncio.to_thread(server.__exit__)
