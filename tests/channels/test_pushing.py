"""Prices and quantities reach the simulated vendors: what is wanted is what they know in the end,
whatever goes wrong on the way.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from structlog.testing import capture_logs

from server.catalog.catalogue import Catalogues
from server.catalog.products import archive_product
from server.catalog.promotions import PromotionRecord, create_promotion
from server.channels import (
    call_log,
    channel_records,
    differences,
    outgoing,
    pushing,
    syncs,
    true_values,
)
from server.channels.cadence_rules import PRICES_AT_ONCE, SyncPart
from server.channels.catalogue_watch import CatalogueWatch
from server.channels.channel_records import connect_channel, set_paused
from server.channels.due import PROBE, PUSH
from server.channels.facts import ChannelCallError, FailureKind, MappingKind
from server.channels.listed_values import wanted_values
from server.channels.listings import (
    ChannelListing,
    add_listing,
    remove_listing,
    update_listing,
)
from server.channels.models import channel_syncs, channel_values, channels
from server.channels.words import WordPair
from server.platform.change_feed import ChangeFeed
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.loops import Loops
from server.platform.outbox import Postpone, outbox_tasks
from server.platform.schedule import Progress
from server.platform.statements import run
from server.stock.ids import departure_stock_id
from server.stock.models import stocks
from tests.support import timetable
from tests.support.channel_process import (
    DAYS,
    PACKAGE_STOCK,
    PushingProcess,
    a_process,
    price,
    quantity,
)
from tests.support.channel_vendors import SimulatedChannels
from tests.support.channels import CONNECTED, LOCATION, THEIR_LOCATION
from tests.support.databases import until_a_lock_is_waited_for

all_vendors = pytest.mark.parametrize("vendor", CONNECTED)


@pytest.fixture
async def process(
    timetable_db: Database, redis_url: str, vendors: SimulatedChannels
) -> AsyncIterator[PushingProcess]:
    async with a_process(timetable_db, redis_url, vendors) as made:
        yield made


@all_vendors
async def test_prices_by_plan_and_quantities_are_pushed(
    process: PushingProcess, vendor: str
) -> None:
    await process.connect(vendor)
    await process.work_out(vendor)
    assert not any(await process.push(vendor))
    day = str(timetable.tomorrow())
    prices, left = process.known(vendor, "prices"), process.known(vendor, "availability")
    assert price(prices["P", day]) == "300.00"
    assert price(prices["T", day]) == "4290"  # 200 HKD at 19.5 JPY, and 10 % on top
    assert len(left) == 2 * DAYS
    async with process.db.transaction() as tx:
        query = select(stocks.c.total - stocks.c.held - stocks.c.sold)
        seats = departure_stock_id(timetable.departure(timetable.EARLY, timetable.tomorrow()), 0, 0)
        for item, stock in (("P", PACKAGE_STOCK), ("T", seats)):
            assert quantity(left[item, day]) == await tx.scalar(
                query.where(stocks.c.stock_id == stock)
            )
    found = await process.drift(vendor)
    assert {each.waiting + each.faulty for each in found.values()} == {0}
    assert not process.vendors.faults(vendor)


async def test_what_has_not_changed_is_not_sent_again(process: PushingProcess) -> None:
    await process.connect("expedia")
    await process.work_out("expedia")
    await process.push("expedia")
    before = process.vendors.count("expedia", "prices")
    await process.work_out("expedia")
    await process.push("expedia")
    assert process.vendors.count("expedia", "prices") == before
    await process.work_out("expedia:EVERYTHING")
    await process.push("expedia")
    assert process.vendors.count("expedia", "prices") == before + 1


async def test_a_full_sync_reports_what_the_channel_had_been_sent(
    process: PushingProcess,
) -> None:
    await process.connect("ctrip")
    await process.work_out("ctrip")
    await process.push("ctrip")
    await process.work_out("ctrip:EVERYTHING")
    assert await differences_of(process) == []
    await process.push("ctrip")
    await process.left(PACKAGE_STOCK, 7)
    plan = {"currency_code": "USD", "rate_millionths": 1_000}
    await process.change(update_listing, "ctrip", "P", plan)
    await process.work_out("ctrip:EVERYTHING")
    found = await differences_of(process)
    assert len(found) == 2 * DAYS
    assert {(d.sent, d.wanted) for d in found if d.what == "AVAILABILITY"} == {(50, 7)}
    prices = {(d.sent_currency_code, d.currency_code) for d in found if d.what == "PRICES"}
    assert prices == {("HKD", "USD")}
    assert {d.is_corrected for d in found} == {False}
    await process.push("ctrip")
    assert {d.is_corrected for d in await differences_of(process)} == {True}
    later = datetime.now(UTC) + differences.KEPT
    async with process.db.transaction() as tx:
        assert len(await run(tx, differences.purge(before=later, limit=3))) == 3


async def differences_of(process: PushingProcess) -> list[differences.ValueDifference]:
    async with process.db.transaction() as tx:
        return await run(tx, differences.every("ctrip", uncorrected=False))


async def test_each_part_is_compared_by_itself(process: PushingProcess) -> None:
    """P's prices follow the catalogue, T's are fixed; a price that the channel never had comes with
    whatever is compared.
    """
    await process.connect("ctrip")
    await process.change(update_listing, "ctrip", "P", {"price_pace": "AT_ONCE"})
    await process.work_out("ctrip:AVAILABILITY")
    await process.push("ctrip")
    known = (await process.drift("ctrip"))["PRICES"].known
    assert len(process.known("ctrip", "prices")) == known > DAYS
    await process.left(PACKAGE_STOCK, 7)
    async with process.db.transaction() as tx:
        await tx.execute(update(channel_values).values(wanted=1, sent=1))

    async def waiting(part: str) -> set[tuple[str, str]]:
        await process.work_out(f"ctrip:{part}")
        async with process.db.transaction() as tx:
            v = channel_values.c
            changed = select(v.what, v.item_id).where(v.sent_version < v.wanted_version)
            return {(what, item) for what, item in await tx.execute(changed)}

    assert await waiting(SyncPart.PRICES_FOUR_HOURLY) == set()
    assert await waiting(PRICES_AT_ONCE) == {("PRICES", "P")}
    of_prices = {("PRICES", "P"), ("PRICES", "T")}
    assert await waiting(SyncPart.PRICES_DAILY) == of_prices
    of_both = {("AVAILABILITY", "P"), ("AVAILABILITY", "T")}
    assert await waiting(SyncPart.AVAILABILITY) == of_prices | of_both


async def test_the_clock_asks_for_each_part_when_it_is_due(process: PushingProcess) -> None:
    await process.connect("expedia")
    assert (await process.job("keep-channels-in-step")) == Progress(more=False, items=7)
    assert (await process.job("keep-channels-in-step")) == Progress(more=False, items=0)
    async with process.db.transaction() as tx:
        await tx.execute(
            update(channel_syncs).values(asked_time=datetime.now(UTC) - timedelta(hours=1))
        )
        await tx.execute(delete(outbox_tasks))
    await process.job("keep-channels-in-step")
    async with process.db.transaction() as tx:
        by_clock = select(outbox_tasks.c.key).where(outbox_tasks.c.kind != PROBE)
        asked = set(await tx.scalars(by_clock))
    # unless it is three at night now
    parts = {"expedia:PRICES_HOURLY", "expedia:AVAILABILITY", "expedia:NEW"}
    assert asked - {"expedia:EVERYTHING"} == parts
    await process.work_out("expedia:AVAILABILITY")
    async with process.db.transaction() as tx:
        found = await syncs.active(tx, datetime.now(UTC), timetable.ZONE, (), "expedia")
    assert [each.part for each in found if each.done_time] == ["AVAILABILITY"]


async def test_a_change_of_the_catalogue_is_asked_for_at_once(process: PushingProcess) -> None:
    await process.connect("expedia")
    watch = CatalogueWatch(process.db, process.pusher._catalogues, Loops())

    async def asked() -> set[str]:
        async with process.db.transaction() as tx:
            await tx.execute(delete(outbox_tasks))
        await watch.look()
        async with process.db.transaction() as tx:
            return set(await tx.scalars(select(outbox_tasks.c.key)))

    of_catalogue = {"expedia:STATIC", "expedia:AVAILABILITY", "expedia:PRICES_AT_ONCE"}
    assert await asked() == {*of_catalogue, "expedia:PRICES"}  # nobody saw what was before
    assert await asked() == set()
    now = datetime.now(UTC)
    spring = PromotionRecord(
        *(9, None, "Spring", "春", 1_000, 0, now, now + timedelta(days=1), 1, [], False, False)
    )
    await process.change(create_promotion, spring)
    watch._catalogues = Catalogues(ChangeFeed(process.db), process.db)
    assert await asked() == {*of_catalogue, "expedia:PRICES"}
    await process.work_out("expedia")
    assert await asked() == set()


async def test_what_is_archived_is_sold_out_at_once(process: PushingProcess) -> None:
    """Seen red: it went on being sold until quantities were compared within the hour."""
    await process.connect("expedia")
    watch = CatalogueWatch(process.db, process.pusher._catalogues, Loops())
    await watch.look()
    await process.work_out("expedia")
    await process.push("expedia")
    async with process.db.transaction() as tx:
        await tx.execute(delete(outbox_tasks))
    await process.change(archive_product, timetable.PACKAGE)
    fresh = Catalogues(ChangeFeed(process.db), process.db)
    watch._catalogues = process.pusher._catalogues = fresh
    await watch.look()
    async with process.db.transaction() as tx:
        asked = set(await tx.scalars(select(outbox_tasks.c.key)))
    for key in asked:
        await process.work_out(key)
    await process.push("expedia")
    known = process.known("expedia", "availability")
    assert {quantity(c) for (item, _), c in known.items() if item == "P"} == {0}


@all_vendors
async def test_the_last_piece_sold_stops_the_sale_at_once(
    process: PushingProcess, vendor: str
) -> None:
    await process.connect(vendor)
    await process.work_out(vendor)
    await process.push(vendor)
    await process.left(PACKAGE_STOCK, 1_999)
    assert await process.watch() == 0
    for left in (0, 3):  # sold out, and back
        await process.left(PACKAGE_STOCK, left)
        assert await process.watch() == DAYS
        await process.run(PUSH, f"{vendor}:AVAILABILITY")
        known = process.known(vendor, "availability")
        assert {quantity(c) for (item, _), c in known.items() if item == "P"} == {left}
    assert not process.vendors.faults(vendor)


async def test_a_newer_value_takes_the_place_of_one_that_waits(process: PushingProcess) -> None:
    await process.connect("booking_com")
    await process.work_out("booking_com")
    for left in (1, 0, 2):
        await process.left(PACKAGE_STOCK, left)
        await process.work_out("booking_com")
    await process.push("booking_com")
    assert process.vendors.count("booking_com", "availability") == 1
    known = process.known("booking_com", "availability")
    assert {quantity(c) for (item, _), c in known.items() if item == "P"} == {2}


async def test_a_value_that_changes_while_it_is_sent_waits_again(
    process: PushingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await process.connect("expedia")
    await process.work_out("expedia")
    changed = False

    async def pending_then_change() -> None:
        await process.left(PACKAGE_STOCK, 1)
        await process.work_out("expedia")

    send = process.pusher._send

    async def send_slowly(*arguments: Any) -> None:
        nonlocal changed
        if not changed:
            changed = True
            await pending_then_change()
        await send(*arguments)

    monkeypatch.setattr(process.pusher, "_send", send_slowly)
    await process.push("expedia")
    known = process.known("expedia", "availability")
    assert {quantity(c) for (item, _), c in known.items() if item == "P"} == {1}
    assert process.vendors.count("expedia", "availability") == 2


async def test_a_quantity_that_was_read_earlier_is_not_written_over_a_newer_one(
    process: PushingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While all is worked out the stock falls below the threshold and rises above what was read:
    the next look would not mend it. Seen red without the version in `outgoing.want`: 10.
    """
    await process.connect("expedia")
    await process.set_total(PACKAGE_STOCK, 10)
    await process.work_out("expedia")
    await process.take_notices()

    async def read_then_change(*arguments: Any, **named: Any) -> Any:
        values = await wanted_values(*arguments, **named)
        for total in (1, 40):
            await process.set_total(PACKAGE_STOCK, total)
            assert await process.take_notices() == 1
        return values

    monkeypatch.setattr(true_values, "wanted_values", read_then_change)
    await process.work_out("expedia")
    await process.push("expedia")
    assert await process.watch() == 0
    known = process.known("expedia", "availability")
    assert {quantity(c) for (item, _), c in known.items() if item == "P"} == {40}


async def test_a_look_that_waited_does_not_write_over_a_newer_quantity(
    process: PushingProcess,
) -> None:
    """Seen red without the version in `outgoing.watch_thresholds`: 1."""
    await process.connect("expedia")
    await process.work_out("expedia")
    await process.set_total(PACKAGE_STOCK, 1)
    of_package = channel_values.c.item_id == "P"
    async with process.db.transaction() as tx:
        newer = update(channel_values).where(of_package, channel_values.c.what == "AVAILABILITY")
        await tx.execute(newer.values(wanted=7, stock_version=channel_values.c.stock_version + 9))
        look = asyncio.create_task(process.take_notices())
        await until_a_lock_is_waited_for(process.db)
    assert await look > 0
    async with process.db.transaction() as tx:
        query = select(channel_values.c.wanted).where(of_package, channel_values.c.what != "PRICES")
        assert set(await tx.scalars(query)) == {7}


@all_vendors
@pytest.mark.parametrize(
    "fault",
    ["down", "limited", "lost_answers", "cut_answers", "failed_answers", "garbled_answers"],
)
async def test_nothing_is_lost_while_a_channel_is_away(
    process: PushingProcess, vendor: str, fault: str
) -> None:
    await process.connect(vendor)
    await process.work_out(vendor)
    process.vendors.switch(**{fault: {f"{vendor}:availability": 2}}, retry_after_seconds=9)
    for _ in range(2):
        postponed = await process.run(PUSH, f"{vendor}:AVAILABILITY")
        assert isinstance(postponed, Postpone)
        wait = (postponed.due - datetime.now(UTC)).total_seconds()
        assert 5 < wait <= (9 if fault == "limited" else pushing.AGAIN_SECONDS)
    assert (await process.drift(vendor))["AVAILABILITY"].waiting == 2 * DAYS
    assert not any(await process.push(vendor))
    assert {each.waiting for each in (await process.drift(vendor)).values()} == {0}


async def test_a_word_that_is_mapped_to_nothing_keeps_back_its_entries(
    process: PushingProcess,
) -> None:
    await process.connect("ctrip", mapped=False)
    await process.work_out("ctrip")
    with capture_logs() as logs:
        await process.push("ctrip")
    assert process.known("ctrip", "prices") == {}
    found = await process.drift("ctrip")
    assert (found["PRICES"].faulty, found["PRICES"].waiting) == (found["PRICES"].known, 0)
    async with process.db.transaction() as tx:
        (fault,) = await run(tx, outgoing.faults("ctrip", today=timetable.today(), limit=9))
    known = {what: each.known for what, each in found.items()}
    assert "LOCATION" in fault.fault
    assert (fault.kinds, fault.item_id) == (["AVAILABILITY", "PRICES"], "P")
    assert fault.values == sum(known.values())
    # a line for each kind, which is a task of its own
    assert {each["what"]: each["values"] for each in logs} == known
    assert [each["event"] for each in logs] == ["channel.values_refused"] * 2
    await process.map("ctrip", WordPair(MappingKind.LOCATION, LOCATION, THEIR_LOCATION))
    await process.work_out("ctrip")
    await process.push("ctrip")
    assert {each.faulty for each in (await process.drift("ctrip")).values()} == {0}
    assert process.known("ctrip", "prices")


@all_vendors
async def test_one_entry_that_is_refused_holds_up_no_other(
    process: PushingProcess, vendor: str
) -> None:
    await process.connect(vendor)
    await process.work_out(vendor)
    # a whole batch, its first half, a quarter …, at the end an entry
    process.vendors.switch(refused={f"{vendor}:prices": 4})
    await process.run(PUSH, f"{vendor}:PRICES")
    found = (await process.drift(vendor))["PRICES"]
    assert (found.faulty, found.waiting) == (1, 0)
    assert len(process.known(vendor, "prices")) == found.known - 1


async def test_a_paused_channel_is_sent_nothing(process: PushingProcess) -> None:
    await process.connect("ctrip")
    await process.work_out("ctrip")
    await process.change(set_paused, process.clients.seals, "ctrip", paused=True)
    await process.push("ctrip")
    assert process.vendors.count("ctrip", "prices") == 0
    await process.change(set_paused, process.clients.seals, "ctrip", paused=False)
    await process.push("ctrip")
    assert process.vendors.count("ctrip", "prices") == 1


async def test_what_is_listed_no_more_is_sold_out(process: PushingProcess) -> None:
    await process.connect("expedia")
    await process.work_out("expedia")
    await process.push("expedia")
    await process.change(remove_listing, "expedia", "P")
    await process.work_out("expedia")
    await process.push("expedia")
    known = process.known("expedia", "availability")
    assert {quantity(c) for (item, _), c in known.items() if item == "P"} == {0}


@all_vendors
async def test_days_that_are_listed_no_more_are_sold_out(
    process: PushingProcess, vendor: str
) -> None:
    """Seen red: they went on being sold at the quantity and price that were sent last."""
    await process.connect(vendor)
    for days in (DAYS, 2, DAYS):
        await process.change(update_listing, vendor, "P", {"days_ahead": days})
        begun = timetable.today()
        await process.work_out(vendor)
        ahead = timedelta(days=days - 1)
        lasts = {(today + ahead).isoformat() for today in (begun, timetable.today())}
        await process.push(vendor)
        known = process.known(vendor, "availability")
        assert max(day for (item, day), c in known.items() if item == "P" and quantity(c)) in lasts


@all_vendors
async def test_credentials_are_rotated_while_it_runs(process: PushingProcess, vendor: str) -> None:
    await process.connect(vendor)
    await (await process.clients.get(vendor)).client.test()
    fresh = dict(process.vendors.simulator.rotate(vendor))
    with pytest.raises(ChannelCallError) as raised:
        await (await process.clients.get(vendor)).client.test()
    assert raised.value.kind is FailureKind.AUTHENTICATION
    await process.change(channel_records.rotate_credentials, process.clients.seals, vendor, fresh)
    await (await process.clients.get(vendor)).client.test()
    async with process.db.transaction() as tx:
        calls = await run(tx, call_log.newest(vendor, before=None, limit=10))
        sealed = await tx.scalar(select(channels.c.sealed_credentials))
    assert calls[0].outcome == "OK"
    assert {each.outcome for each in calls} >= {"OK", "AUTHENTICATION"}
    assert sealed is not None
    assert not any(secret.encode() in sealed for secret in fresh.values())
    assert not any(secret in json.dumps(calls, default=str) for secret in fresh.values())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"vendor_code": "nobody"}, "vendor_code"),
        ({"base_url": "http://example.com/v1"}, "base_url"),
        ({"base_url": "file:///etc"}, "base_url"),
        ({"credentials": {"app_key": "a"}}, "credentials"),
    ],
)
async def test_a_channel_that_cannot_be(
    process: PushingProcess, changes: dict[str, Any], field: str
) -> None:
    credentials = changes.pop(
        "credentials", dict.fromkeys(("app_key", "app_secret", "partner_id"), "x")
    )
    new: Any = {
        "channel_code": "X",
        "vendor_code": "ctrip",
        "partner_code": "",
        "base_url": "",
        "currency_code": "CNY",
        "calls_per_minute": 0,
        **changes,
    }
    with pytest.raises(DomainError) as raised:
        await process.change(connect_channel, process.clients.seals, new, credentials)
    assert raised.value.reason is Reason.INVALID_FIELD
    assert raised.value.args[0].startswith(field)


async def test_a_vendor_that_fetches_is_never_called(process: PushingProcess) -> None:
    new: Any = {
        "channel_code": "K",
        "vendor_code": "kayak",
        "partner_code": "",
        "base_url": "",
        "currency_code": "HKD",
        "calls_per_minute": 0,
    }
    await process.change(connect_channel, process.clients.seals, new, {"feed_key_secret": "k" * 32})
    listing = ChannelListing("K", "P", LOCATION, "HKD", timetable.PACKAGE, days_ahead=DAYS)
    await process.change(add_listing, listing)
    await process.work_out("K")
    async with process.db.transaction() as tx:
        query = select(outbox_tasks.c.key).where(outbox_tasks.c.kind == PUSH)
        assert list(await tx.scalars(query)) == []
    assert (await process.drift("K"))["PRICES"].known > 0
    with pytest.raises(DomainError):
        await process.clients.get("K")


async def test_days_that_are_over_are_forgotten(process: PushingProcess) -> None:
    await process.connect("ctrip")
    await process.work_out("ctrip")
    async with process.db.transaction() as tx:
        await tx.execute(
            update(channel_values)
            .where(channel_values.c.item_id == "P")
            .values(day=channel_values.c.day - timedelta(days=30))
        )
    assert (await process.job("purge-channel-values")) == Progress(more=False, items=2 * DAYS)
