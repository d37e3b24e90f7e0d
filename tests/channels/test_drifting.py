"""The drift detector: what a channel was sent, beside what is true at that moment."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from server.channels.channel_records import CHANNELS
from server.channels.drifting import ITEMS_AT_ONCE, DriftDetector, DriftedValue, Place
from server.channels.listings import ChannelListing, add_listing
from server.platform.database import Database
from tests.support import timetable
from tests.support.channel_process import (
    PACKAGE_STOCK,
    PushingProcess,
    a_process,
    price,
    quantity,
)
from tests.support.channel_vendors import SimulatedChannels
from tests.support.channels import CONNECTED, LOCATION

STOCK = "UPDATE stocks SET total = 1999 WHERE stock_id = :stock"
"""Far from a threshold, with nothing noted, no version and no wake-up."""
KEPT = """
UPDATE channel_values SET wanted = 7, wanted_version = wanted_version + 1
WHERE item_id = 'P' AND what = 'AVAILABILITY'
"""
SENT = "UPDATE channel_values SET sent = 7 WHERE item_id = 'P' AND what = 'AVAILABILITY'"
LOST = "DELETE FROM channel_values WHERE item_id = 'P'"
PLAN = "UPDATE channel_listings SET markup_basis_points = 500 WHERE item_id = 'P'"
UNLISTED = "DELETE FROM channel_listings WHERE item_id = 'P'"
FEWER_DAYS = "UPDATE channel_listings SET days_ahead = 1 WHERE item_id = 'P'"
LEFT, PRICE = ("AVAILABILITY", 50, 50), ("PRICES", 30_000, 30_000)


@pytest.fixture
async def process(
    timetable_db: Database, redis_url: str, vendors: SimulatedChannels
) -> AsyncIterator[PushingProcess]:
    async with a_process(timetable_db, redis_url, vendors) as made:
        yield made


async def drift_of(
    process: PushingProcess,
    vendor: str = "ctrip",
    *,
    item_id: str = "P",
    after: Place | None = None,
    limit: int = 10_000,
    now: datetime | None = None,
) -> list[DriftedValue]:
    detector = DriftDetector(process.pusher._catalogues, timetable.ZONE)
    async with process.db.transaction() as tx:
        channel = await CHANNELS.get(tx, vendor)
        return await detector.page(
            *(tx, channel),
            item_id=item_id,
            after=after,
            limit=limit,
            now=now or datetime.now(UTC),
        )


async def resync(process: PushingProcess, vendor: str = "ctrip") -> list[DriftedValue]:
    """What is on the list after one, within a day."""
    while True:
        begun = timetable.today()
        await process.work_out(vendor)
        await process.push(vendor)
        found = await drift_of(process, vendor)
        if timetable.today() == begun:
            return found


@pytest.mark.parametrize("vendor", CONNECTED)
async def test_nothing_drifts_that_was_sent(process: PushingProcess, vendor: str) -> None:
    await process.connect(vendor)
    assert {each.sent for each in await drift_of(process, vendor)} == {None}
    assert await resync(process, vendor) == []


@pytest.mark.parametrize(
    ("falsified", "kind", "sent", "true"),
    [
        (STOCK, "AVAILABILITY", 50, 1_999),
        (KEPT, "AVAILABILITY", 50, 50),
        (SENT, "AVAILABILITY", 7, 50),
        (PLAN, "PRICES", 30_000, 31_500),
        (UNLISTED, "AVAILABILITY", 50, 0),
        (FEWER_DAYS, "AVAILABILITY", 50, 0),
    ],
)
async def test_what_is_falsified_is_seen_at_once_and_one_resync_mends_it(
    process: PushingProcess, falsified: str, kind: str, sent: int, true: int
) -> None:
    """Seen red with what was worked out last in place of the truth, but for what was sent; and, of
    what was sent, without the last condition of `outgoing.want`: a resync sent nothing.
    """
    await process.connect("ctrip")
    assert await resync(process) == []
    async with process.db.transaction() as tx:
        parameters = {"stock": PACKAGE_STOCK} if ":stock" in falsified else {}
        await tx.execute(text(falsified), parameters)
    found = await drift_of(process)
    # but for a day that has just come
    drifted = {(each.what, each.sent, each.wanted) for each in found if each.sent is not None}
    assert drifted == {(kind, sent, true)}
    assert {each.is_waiting for each in found if each.sent is not None} == {falsified is SENT}
    assert await resync(process) == []
    left = process.known("ctrip", "availability")
    said = {quantity(each) for (item, _), each in left.items() if item == "P"}
    prices = process.known("ctrip", "prices").items()
    said |= {int(float(price(each)) * 100) for (item, _), each in prices if item == "P"}
    assert true in said


async def test_what_went_out_falsified_is_seen_and_mended(
    process: PushingProcess,
) -> None:
    """A falsified value that went out."""
    await process.connect("ctrip")
    await resync(process)
    async with process.db.transaction() as tx:
        await tx.execute(text(KEPT))
    await process.push("ctrip")
    found = await drift_of(process)
    assert {(each.sent, each.wanted) for each in found if each.sent is not None} == {(7, 50)}
    assert await resync(process) == []
    left = process.known("ctrip", "availability")
    assert {quantity(each) for (item, _), each in left.items() if item == "P"} == {50}


async def test_the_list_is_read_by_page_and_by_item(process: PushingProcess) -> None:
    """Of more items than are worked out together."""
    await process.connect("ctrip")
    for number in range(ITEMS_AT_ONCE):
        listing = ChannelListing(
            "ctrip", f"N{number}", LOCATION, "HKD", timetable.PACKAGE, days_ahead=2
        )
        await process.change(add_listing, listing)
    now = datetime.now(UTC)
    every = await drift_of(process, item_id="", now=now)
    pages = list[DriftedValue]()
    while page := await drift_of(
        process, item_id="", after=pages[-1].place if pages else None, limit=7, now=now
    ):
        pages += page
    assert pages == every
    assert len({each.item_id for each in every}) == ITEMS_AT_ONCE + 2
    of_one = await drift_of(process, item_id="N3", now=now)
    assert of_one == [each for each in every if each.item_id == "N3"]
    assert len(of_one) == 4  # two days, their prices and quantities
