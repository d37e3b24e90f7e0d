"""Search: what changes or is sold meanwhile is seen in every process; nothing is ever stale."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.catalog import departures, products, promotions, transport
from server.catalog.routes import set_fares
from server.catalog.timetables import MARGIN_DAYS, archive_timetable
from server.platform.database import Database
from server.platform.errors import Reason
from server.stock.ids import departure_stock_id, promotion_stock_id
from tests.support import timetable as world
from tests.support.changes import changes_are_seen
from tests.support.gate_server import gate_server
from tests.support.rpc_server import refusal
from tests.support.searching import TRAINS, WHY, change, named, promotion, services_of, take
from tests.support.timetable import ADULT, CHILD, PET, Traveller, departure, tomorrow
from tests.support.waiting import becomes


@pytest.fixture
async def db(timetable_url: str) -> AsyncIterator[Database]:
    async with world.database(timetable_url) as database:
        yield database


@pytest.fixture(scope="module")
async def traveller(timetable_url: str, module_redis_url: str) -> AsyncIterator[Traveller]:
    async with gate_server(timetable_url, module_redis_url) as server:
        yield Traveller(server.channel)


@pytest.fixture(scope="module")
async def other(timetable_url: str, module_redis_url: str) -> AsyncIterator[Traveller]:
    """At another process over the same."""
    async with gate_server(timetable_url, module_redis_url) as server:
        yield Traveller(server.channel)


async def test_days_say_why_they_are_empty(db: Database, traveller: Traveller) -> None:
    day = tomorrow() + timedelta(days=3)
    dates = [day + timedelta(days=offset) for offset in range(-2, 3)]
    for timetable_id in (world.EARLY, world.LATE):
        for index in (0, 1):
            stock = departure_stock_id(departure(timetable_id, dates[0]), index, 0)
            await take(db, stock, 10 if index else 100)
        number = departure(timetable_id, dates[1])
        await change(db, departures.set_departure_state, number, "CANCELLED")
    blackout = {"blackout_dates": [dates[3].isoformat()]}
    await change(db, products.update_product, world.TRAIN, blackout)
    await change(
        db,
        transport.set_departure_total,
        departure(world.EARLY, dates[4]),
        "SECOND",
        0,
    )
    await changes_are_seen()
    found = await traveller.search(travel_date=day.isoformat(), nearby_days=2, **TRAINS)
    assert [each.travel_date for each in found.days] == [each.isoformat() for each in dates]
    assert [WHY.Name(each.unavailable_reason)[19:] for each in found.days] == [
        "SOLD_OUT",
        "CANCELLED",
        "UNSPECIFIED",
        "BLACKOUT",
        "UNSPECIFIED",
    ]
    counted = [(d.offer_count, d.lowest_price_minor, d.currency_code) for d in found.days]
    assert counted == [(0, 0, ""), (0, 0, ""), (4, 9000, "HKD"), (0, 0, ""), (3, 9000, "HKD")]
    feast = found.days[2]
    assert feast.travel_date == (world.today() + timedelta(days=4)).isoformat()
    assert [d.holiday_name_en for d in found.days] == ["", "", "", "Feast", ""]
    assert [d.holiday_name_zh for d in found.days] == ["", "", "", "节日", ""]
    assert found.days[3].day_type == "holiday"
    # and so does each offer, while the day is shown with all of them
    empty = await traveller.search(travel_date=dates[0].isoformat(), **TRAINS)
    assert {WHY.Name(each.unavailable_reason)[19:] for each in empty.offers} == {"SOLD_OUT"}
    only = await traveller.search(
        travel_date=dates[0].isoformat(), available_only=True, nearby_days=1, **TRAINS
    )
    assert not only.offers
    assert only.days[1].unavailable_reason == WHY.UNAVAILABLE_REASON_SOLD_OUT


async def test_days_too_far_or_over_or_without_service(db: Database, traveller: Traveller) -> None:
    far = world.today() + timedelta(days=world.SALE_DAYS + MARGIN_DAYS)  # past midnight too
    found = await traveller.search(travel_date=far.isoformat(), **TRAINS)
    assert {each.unavailable_reason for each in found.offers} == {
        WHY.UNAVAILABLE_REASON_NOT_YET_ON_SALE
    }
    # no departure is made as yet, but one will be
    farther = far + timedelta(days=30)
    found = await traveller.search(travel_date=farther.isoformat(), **TRAINS)
    assert not found.offers
    assert [d.unavailable_reason for d in found.days] == [WHY.UNAVAILABLE_REASON_NOT_YET_ON_SALE]
    never = world.today() + timedelta(days=400)
    found = await traveller.search(travel_date=never.isoformat(), **TRAINS)
    assert [d.unavailable_reason for d in found.days] == [WHY.UNAVAILABLE_REASON_NO_SERVICE]
    found = await traveller.search(
        travel_date=world.this_day().isoformat(), nearby_days=1, passengers=[PET], **TRAINS
    )
    assert found.days[0].unavailable_reason == WHY.UNAVAILABLE_REASON_SALE_CLOSED
    assert found.days[2].unavailable_reason == WHY.UNAVAILABLE_REASON_NO_FARE
    (offer, *_) = (await traveller.search(passengers=[PET], **TRAINS)).offers
    assert offer.unavailable_reason == WHY.UNAVAILABLE_REASON_NO_FARE
    assert not offer.HasField("price")


async def test_every_change_is_seen_within_a_second_in_every_process(
    db: Database, traveller: Traveller, other: Traveller
) -> None:
    number = departure(world.EARLY, tomorrow())

    async def both() -> list[Any]:
        return [named(await each.search(), "N111 SECOND") for each in (traveller, other)]

    async def prices() -> list[int]:
        return [each.price.total_minor for each in await both()]

    async def reasons() -> list[Any]:
        return [each.unavailable_reason for each in await both()]

    async def is_found() -> list[bool]:
        found = [services_of(await each.search()) for each in (traveller, other)]
        return ["N111 SECOND" in services for services in found]

    assert await prices() == [9000, 9000]
    dearer = [dict(each, amount_minor=each["amount_minor"] + 1) for each in world.TRAIN_FARES]
    await change(db, set_fares, world.TRAIN_ROUTE, dearer)
    await becomes([9001, 9001], prices)
    await change(db, transport.set_departure_total, number, "SECOND", 33)
    assert [each.seats_left for each in await both()] == [33, 33]
    await take(db, departure_stock_id(number, 0, 0), 3)
    assert [each.seats_left for each in await both()] == [30, 30]
    blackout = {"blackout_dates": [tomorrow().isoformat()]}
    await change(db, products.update_product, world.TRAIN, blackout)
    await becomes([WHY.UNAVAILABLE_REASON_BLACKOUT] * 2, reasons)
    await change(db, archive_timetable, world.EARLY)
    await becomes([False, False], is_found)


async def test_what_is_left_is_the_truth_of_the_moment_in_every_process(
    db: Database, traveller: Traveller, other: Traveller
) -> None:
    """Seen red: with what is left remembered in the listing."""
    stock = departure_stock_id(departure(world.EARLY, tomorrow()), 0, 0)

    async def both() -> list[tuple[int, int, int, int]]:
        two = {"passengers": [ADULT, CHILD], **TRAINS}
        found = [await each.search(**two) for each in (traveller, other)]
        offers = [named(each, "N111 SECOND") for each in found]
        return [
            (
                o.seats_left,
                o.unavailable_reason,
                f.days[0].offer_count,
                f.days[0].lowest_price_minor,
            )
            for o, f in zip(offers, found, strict=True)
        ]

    sold_out = WHY.UNAVAILABLE_REASON_SOLD_OUT
    ((left, _, offers, lowest), same) = await both()
    assert (left, same) == (100, (100, 0, offers, lowest))
    for sold, seats in ((98, 2), (1, 1), (1, 0), (-2, 2)):
        await take(db, stock, sold)
        can_buy = seats >= 2
        expected = (seats, 0 if can_buy else sold_out, offers - (not can_buy), lowest)
        assert await both() == [expected] * 2
    # the other cheap one goes too: the day's lowest price is the next one's
    await take(db, stock, 2)
    await take(db, departure_stock_id(departure(world.LATE, tomorrow()), 0, 0), 100)
    assert {each[2:] for each in await both()} != {(offers - 1, lowest)}
    assert {each[2] for each in await both()} == {offers - 2}


async def test_promotions(db: Database, traveller: Traveller) -> None:
    now = datetime.now(UTC)
    capped = promotion(1, "TEN", capped=True, product_ids=[world.TRAIN])
    await change(db, promotions.create_promotion, capped, cap=1)
    over = promotion(3, "OVER", end_time=now - timedelta(seconds=1))
    await change(db, promotions.create_promotion, over)
    await changes_are_seen()
    plain = await traveller.search()
    found = await traveller.search(promotion_codes=["TEN"])
    assert named(found, "N111 SECOND").price.total_minor == 8100
    assert named(found, "N111 SECOND").price.lines[1].promotion_code == "TEN"
    assert named(plain, "N111 SECOND").price.total_minor == 9000
    for code in ("OVER", "NONE"):
        refused = await refusal(traveller.search(promotion_codes=[code]))
        assert refused.reason is Reason.PROMOTION_NOT_APPLICABLE
        assert refused.metadata["promotion_code"] == code
    # the last one is taken: no second to wait, the truth is asked
    await take(db, promotion_stock_id(1), 1)
    refused = await refusal(traveller.search(promotion_codes=["TEN"]))
    assert refused.reason is Reason.PROMOTION_NOT_APPLICABLE
