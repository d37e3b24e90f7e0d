"""Search: what is found, in which order, what it says, and that nothing of it is ever stale."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from deeptravel.ticketing.v1 import offer_pb2
from sqlalchemy import text, update

from server.aftersales import departures
from server.api.ticketing.offers import encoded_offer, encoded_price
from server.catalog import products, promotions, transport
from server.catalog.catalogue import Catalogues
from server.catalog.promotions import PromotionRecord
from server.platform.change_feed import ChangeFeed
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.platform.metrics import SEARCH_CACHE
from server.search import cache as caching
from server.search import seats_left
from server.search.cache import Cache
from server.search.day_offers import Day
from server.search.listing import MAX_LISTINGS, Query
from server.search.search import Found, Search
from server.search.seats_left import SeatsLeft
from server.stock.ids import departure_stock_id, promotion_stock_id, stock_id
from server.stock.models import stocks
from tests.support import timetable as world
from tests.support.gate_server import gate_server
from tests.support.rpc_server import refusal
from tests.support.timetable import ADULT, CHILD, PET, Traveller, by, departure, tomorrow

KIND, WHY, ORDER = offer_pb2.OfferKind, offer_pb2.UnavailableReason, offer_pb2.OfferOrder
FRESH_SECONDS = 1.0


@pytest.fixture
async def db(timetable_url: str) -> AsyncIterator[Database]:
    async with world.database(timetable_url) as database:
        yield database


@pytest.fixture
async def traveller(timetable_url: str, redis_url: str) -> AsyncIterator[Traveller]:
    async with gate_server(timetable_url, redis_url) as server:
        yield Traveller(server.channel)


@pytest.fixture
async def other(timetable_url: str, redis_url: str) -> AsyncIterator[Traveller]:
    """At another process over the same."""
    async with gate_server(timetable_url, redis_url) as server:
        yield Traveller(server.channel)


def services_of(found: Any) -> list[str]:
    """What was found, by service and class; packages by their offer."""
    return [
        f"{o.journey.service_number} {o.journey.fare_class}" if o.HasField("journey") else "PK"
        for o in found.offers
    ]


def named(found: Any, name: str) -> Any:
    return dict(zip(services_of(found), found.offers, strict=True))[name]


ALL = ["N111 SECOND", "N111 FIRST", "N121 ECONOMY", "N112 SECOND", "N112 FIRST", "PK"]
"""By departure, and of one train by price."""


async def test_an_offer_says_all_there_is_to_know(traveller: Traveller) -> None:
    found = await traveller.search(passengers=[CHILD, ADULT, ADULT])
    assert services_of(found) == ALL
    offer = named(found, "N111 SECOND")
    day = tomorrow()
    number = departure(world.EARLY, day)
    assert offer.offer_id == f"TR-{number}-0-1-2"
    assert (offer.kind, offer.product_id, offer.seats_left) == (KIND.OFFER_KIND_TRAIN, 201, 100)
    journey = offer.journey
    assert journey.departure_id == str(number)
    assert (journey.origin.stop_code, journey.destination.stop_code) == ("IOQ", "XJA")
    assert journey.numbered_seats
    boards = datetime.combine(day, datetime.min.time(), world.ZONE) + timedelta(minutes=8 * 60 + 33)
    assert journey.departure_time.ToDatetime(UTC) == boards
    assert journey.arrival_time.ToDatetime(UTC) == boards + timedelta(minutes=27)
    assert offer.valid_from_time.ToDatetime(UTC) == boards - timedelta(minutes=8 * 60 + 33)
    assert offer.valid_until_time.ToDatetime(UTC) > boards + timedelta(hours=1)
    assert not offer.unavailable_reason
    lines = [
        (offer_pb2.PriceLineKind.Name(line.kind)[16:], line.customer_type, line.amount_minor)
        for line in offer.price.lines
    ]
    assert lines == [
        ("FARE", CHILD, 4500),
        ("TIER", CHILD, -450),
        ("FARE", ADULT, 18_000),
        ("TIER", ADULT, -1800),
    ]
    names = [(line.display_name_en, line.display_name_zh) for line in offer.price.lines]
    assert names == [
        ("Child fare", "儿童票"),
        ("Group discount 10%", "多人优惠 10%"),
        ("Adult fare", "成人票"),
        ("Group discount 10%", "多人优惠 10%"),
    ]
    assert (offer.price.total_minor, offer.price.currency_code) == (20_250, "HKD")
    assert [(t.minutes_before, t.percent) for t in offer.policy.refund_tiers] == [(1440, 80)]
    assert "80%" in offer.policy.text_en
    assert "80%" in offer.policy.text_zh
    (ride,) = offer.entitlements
    assert (ride.function_code, ride.total_uses, ride.shared) == ("ferry", 1, False)
    package = named(found, "PK")
    assert package.offer_id == f"PK-106-{day:%Y%m%d}"
    assert (package.kind, package.seats_left) == (KIND.OFFER_KIND_PACKAGE, 50)
    assert not package.HasField("journey")
    lasts = package.valid_until_time.ToDatetime(UTC) - package.valid_from_time.ToDatetime(UTC)
    assert lasts == timedelta(days=31)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"kinds": [KIND.OFFER_KIND_TRAIN]}, [ALL[0], ALL[1], ALL[3], ALL[4]]),
        ({"kinds": [KIND.OFFER_KIND_FERRY, KIND.OFFER_KIND_PACKAGE]}, [ALL[2], ALL[5]]),
        ({"kinds": [KIND.OFFER_KIND_BUS]}, []),
        ({"fare_classes": ["FIRST", "ECONOMY"]}, [ALL[1], ALL[2], ALL[4]]),
        ({"departs_from": "08:33", "departs_until": "12:00"}, [ALL[0], ALL[1]]),
        ({"departs_from": "08:34"}, [ALL[2], ALL[3], ALL[4]]),
        ({"departs_until": "08:33"}, []),
        ({"destination_city_code": "SZX", "origin_city_code": "CAN"}, ALL[:2] + ALL[3:5]),
        ({"destination_city_code": "SZX", "origin_city_code": "HKG"}, []),
        ({"passengers": [PET], "available_only": True}, [ALL[2]]),
        ({"passengers": [ADULT] * 9, "fare_classes": ["FIRST"]}, [ALL[1], ALL[4]]),
    ],
)
async def test_filters(traveller: Traveller, filters: dict[str, Any], expected: list[str]) -> None:
    assert services_of(await traveller.search(**filters)) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (ORDER.OFFER_ORDER_UNSPECIFIED, ALL),
        (ORDER.OFFER_ORDER_DEPARTURE_TIME, ALL),
        (ORDER.OFFER_ORDER_PRICE, [ALL[0], ALL[3], ALL[2], ALL[1], ALL[4], ALL[5]]),
        (ORDER.OFFER_ORDER_DURATION, [ALL[0], ALL[1], ALL[3], ALL[4], ALL[2], ALL[5]]),
    ],
)
async def test_orders_and_pages(traveller: Traveller, order: Any, expected: list[str]) -> None:
    whole = await traveller.search(order_by=order)
    assert services_of(whole) == expected
    assert not whole.next_page_token
    pages, token = [], ""
    for _ in range(3):
        page = await traveller.search(order_by=order, page_size=2, page_token=token, nearby_days=1)
        assert bool(page.days) == (not token)
        pages += page.offers
        token = page.next_page_token
    assert pages == list(whole.offers)
    assert not token


async def test_a_page_token_is_bound_to_its_filters(traveller: Traveller) -> None:
    page = await traveller.search(page_size=2)
    for fields in ({"available_only": True}, {"passengers": [CHILD]}):
        refused = await refusal(traveller.search(page_token=page.next_page_token, **fields))
        assert refused.reason is Reason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"origin_city_code": "XXX"}, "origin_city_code"),
        ({"destination_city_code": "XXX"}, "destination_city_code"),
        ({"travel_date": "2020-01-01"}, "travel_date"),
        ({"travel_date": "2027-02-30"}, "travel_date"),
        ({"travel_date": "2099-01-01"}, "travel_date"),
        ({"departs_from": "12:00", "departs_until": "12:00"}, "departs_until"),
        ({"passengers": []}, "passengers"),
        ({"passengers": [77]}, "passengers"),
        ({"kinds": [77]}, "kinds"),
        ({"nearby_days": 8}, "nearby_days"),
    ],
)
async def test_bad_fields_are_named(
    traveller: Traveller, fields: dict[str, Any], field: str
) -> None:
    refused = await refusal(traveller.search(**fields))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


async def change(db: Database, work: Callable[..., Any], *arguments: Any, **named: Any) -> None:
    async with db.transaction() as tx:
        await work(tx, *arguments, **named, **by())


async def take(db: Database, stock: int, quantity: int) -> None:
    """Sells some of a stock, as orders do: without a word to the configuration."""
    async with db.transaction() as tx:
        await tx.execute(
            update(stocks).where(stocks.c.stock_id == stock).values(sold=stocks.c.sold + quantity)
        )


TRAINS = {"kinds": [KIND.OFFER_KIND_TRAIN]}


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
    await asyncio.sleep(FRESH_SECONDS)
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
    far = world.today() + timedelta(days=SALE_DAYS + 1)
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
        travel_date=world.today().isoformat(), nearby_days=1, passengers=[PET], **TRAINS
    )
    assert found.days[0].unavailable_reason == WHY.UNAVAILABLE_REASON_SALE_CLOSED
    assert found.days[2].unavailable_reason == WHY.UNAVAILABLE_REASON_NO_FARE
    (offer, *_) = (await traveller.search(passengers=[PET], **TRAINS)).offers
    assert offer.unavailable_reason == WHY.UNAVAILABLE_REASON_NO_FARE
    assert not offer.HasField("price")


SALE_DAYS = world.SALE_DAYS


async def test_every_change_is_seen_within_a_second_in_every_process(
    db: Database, traveller: Traveller, other: Traveller
) -> None:
    number = departure(world.EARLY, tomorrow())

    async def both() -> list[Any]:
        return [named(await each.search(), "N111 SECOND") for each in (traveller, other)]

    assert [each.price.total_minor for each in await both()] == [9000, 9000]
    dearer = [dict(each, amount_minor=each["amount_minor"] + 1) for each in world.TRAIN_FARES]
    await change(db, transport.set_fares, world.TRAIN_ROUTE, dearer)
    await asyncio.sleep(FRESH_SECONDS)
    assert [each.price.total_minor for each in await both()] == [9001, 9001]
    await change(db, transport.set_departure_total, number, "SECOND", 33)
    assert [each.seats_left for each in await both()] == [33, 33]
    await take(db, departure_stock_id(number, 0, 0), 3)
    assert [each.seats_left for each in await both()] == [30, 30]
    blackout = {"blackout_dates": [tomorrow().isoformat()]}
    await change(db, products.update_product, world.TRAIN, blackout)
    await asyncio.sleep(FRESH_SECONDS)
    reasons = [each.unavailable_reason for each in await both()]
    assert reasons == [WHY.UNAVAILABLE_REASON_BLACKOUT] * 2
    await change(db, transport.archive_timetable, world.EARLY)
    await asyncio.sleep(FRESH_SECONDS)
    for each in (traveller, other):
        assert "N111 SECOND" not in services_of(await each.search())


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


def promotion(promotion_id: int, code: str | None, **more: Any) -> PromotionRecord:
    now = datetime.now(UTC)
    terms: dict[str, Any] = {
        "display_name_en": "Ten off",
        "display_name_zh": "九折",
        "basis_points_off": 1000,
        "amount_off_minor": 0,
        "begin_time": now - timedelta(days=1),
        "end_time": now + timedelta(days=1),
        "min_party": 1,
        "product_ids": [],
        "stackable": False,
        "capped": False,
    }
    return PromotionRecord(promotion_id=promotion_id, code=code, **terms | more)


async def test_promotions(db: Database, traveller: Traveller) -> None:
    now = datetime.now(UTC)
    capped = promotion(1, "TEN", capped=True, product_ids=[world.TRAIN])
    await change(db, promotions.create_promotion, capped, cap=1)
    soon = promotion(2, None, begin_time=now + timedelta(seconds=8), product_ids=[world.FERRY])
    await change(db, promotions.create_promotion, soon)
    over = promotion(3, "OVER", end_time=now - timedelta(seconds=1))
    await change(db, promotions.create_promotion, over)
    await asyncio.sleep(FRESH_SECONDS)
    plain = await traveller.search()
    found = await traveller.search(promotion_codes=["TEN"])
    assert named(found, "N111 SECOND").price.total_minor == 8100
    assert named(found, "N111 SECOND").price.lines[1].promotion_code == "TEN"
    assert named(plain, "N111 SECOND").price.total_minor == 9000
    for code in ("OVER", "NONE"):
        refused = await refusal(traveller.search(promotion_codes=[code]))
        assert refused.reason is Reason.PROMOTION_NOT_APPLICABLE
        assert refused.metadata["promotion_code"] == code
    # a window opens without any change of configuration
    assert named(plain, "N121 ECONOMY").price.total_minor == 15_000
    await asyncio.sleep(max(0, (now + timedelta(seconds=8.1) - datetime.now(UTC)).total_seconds()))
    assert named(await traveller.search(), "N121 ECONOMY").price.total_minor == 13_500
    # the last one is taken: no second to wait, the truth is asked
    await take(db, promotion_stock_id(1), 1)
    refused = await refusal(traveller.search(promotion_codes=["TEN"]))
    assert refused.reason is Reason.PROMOTION_NOT_APPLICABLE


async def test_hot_cities_and_product(db: Database, traveller: Traveller) -> None:
    page = await traveller.stub.ListHotCities(offer_pb2.ListHotCitiesRequest(page_size=1))
    assert [(c.city_code, c.display_name_zh) for c in page.cities] == [("HKG", "香港")]
    token = page.next_page_token
    rest = await traveller.stub.ListHotCities(offer_pb2.ListHotCitiesRequest(page_token=token))
    assert [c.city_code for c in rest.cities] == ["SZX"]
    assert not rest.next_page_token
    found = await traveller.stub.GetProduct(offer_pb2.GetProductRequest(product_id=106))
    assert (found.kind, found.validity_days) == (KIND.OFFER_KIND_PACKAGE, 30)
    assert [(f.customer_type, f.amount_minor) for f in found.fares] == [
        (ADULT, 30_000),
        (CHILD, 20_000),
    ]
    assert [(t.min_party, t.percent_off) for t in found.tiers] == [(3, 10)]
    assert (found.max_per_traveller, found.policy.refund_tiers[0].percent) == (9, 80)
    train = await traveller.stub.GetProduct(offer_pb2.GetProductRequest(product_id=201))
    assert (train.kind, list(train.fares)) == (KIND.OFFER_KIND_TRAIN, [])
    ask = traveller.stub.GetProduct(offer_pb2.GetProductRequest(product_id=999))
    assert (await refusal(ask)).reason is Reason.NOT_FOUND


def counted(source: str) -> float:
    return float(SEARCH_CACHE.labels("search", source)._value.get())


class Searcher:
    """A process's search alone."""

    def __init__(self, db: Database, cache: Cache, feed: ChangeFeed) -> None:
        self.seats = SeatsLeft(db)
        self.search = Search(
            Catalogues(feed, db),
            self.seats,
            cache,
            encode_offer=encoded_offer,
            encode_price=encoded_price,
        )

    async def find(self) -> int:
        return len((await self.found()).offers)

    async def found(self, now: datetime | None = None, **more: Any) -> Found:
        fields = {"travel_date": tomorrow().isoformat(), "party": ("ADULT",)} | more
        return await self.search.search(
            Query("SZX", "HKG", **fields), after=None, limit=50, now=now or datetime.now(UTC)
        )


@pytest.fixture
async def feed(db: Database) -> AsyncIterator[ChangeFeed]:
    running = ChangeFeed(db)
    await running.start()
    yield running
    await running.stop()


Process = Callable[[str], Searcher]


@pytest.fixture
async def process(db: Database, feed: ChangeFeed) -> AsyncIterator[Process]:
    """Makes searchers over a Redis, and closes them."""
    async with AsyncExitStack() as stack:

        def made(redis_url: str) -> Searcher:
            cache = Cache(redis_url)
            stack.push_async_callback(cache.close)
            searcher = Searcher(db, cache, feed)
            stack.push_async_callback(searcher.seats.stop)
            return searcher

        yield made


async def test_an_expired_key_is_made_once_for_all_who_wait(
    process: Process, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    of = Day.of

    def slow(*arguments: Any) -> Day:
        made.append(arguments)
        return of(*arguments)

    monkeypatch.setattr(Day, "of", slow)
    # who makes it may take long on a busy machine
    monkeypatch.setattr(caching, "WAIT_SECONDS", 60.0)
    monkeypatch.setattr(caching, "LOCK_MILLISECONDS", 60_000)
    processes = [process(redis_url) for _ in range(3)]
    found = await asyncio.gather(*(each.find() for each in processes * 40))
    assert set(found) == {len(ALL)}
    assert len(made) == 1
    with redis.Redis.from_url(redis_url) as client:
        (key,) = client.keys("search:*")  # and no lock is left
        assert key == f"search:{{SZX:HKG:{tomorrow()}}}".encode()
        assert 0.9 * 86_400 - 60 < client.ttl(key) <= 86_400
        assert client.keys("calendar:*")
        client.flushall()
    before = counted("made"), counted("memory")
    await asyncio.gather(*(each.find() for each in processes * 10))
    assert (counted("made"), counted("memory")) == (before[0], before[1] + 30)


async def test_the_cache_is_read_by_processes_that_start_and_survives_rubbish(
    process: Process, redis_url: str
) -> None:
    first, second, third = (process(redis_url) for _ in range(3))
    assert await first.find() == len(ALL)
    before = counted("redis"), counted("made")
    assert await second.find() == len(ALL)
    assert (counted("redis"), counted("made")) == (before[0] + 1, before[1])
    catalogue = await first.search.catalogue()
    with redis.Redis.from_url(redis_url) as client:
        for key in client.keys("*"):
            client.set(key, f"{catalogue.edition}\nrubbish")
    assert await third.find() == len(ALL)


async def test_without_redis_search_goes_on(process: Process) -> None:
    alone = process("redis://127.0.0.1:1")
    assert await alone.find() == len(ALL)
    assert await alone.find() == len(ALL)


async def test_a_lock_that_nobody_works_under_is_waited_for_but_not_forever(
    process: Process, redis_url: str
) -> None:
    searcher = process(redis_url)
    catalogue = await searcher.search.catalogue()
    lock = f"search:{{SZX:HKG:{tomorrow()}}}:lock:{catalogue.edition}"
    with redis.Redis.from_url(redis_url) as client:
        client.set(lock, "1")  # for ever
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(60):
        assert await searcher.find() == len(ALL)
    assert asyncio.get_running_loop().time() - began > 0.4


async def test_the_close_of_sale_comes_without_any_change(process: Process, redis_url: str) -> None:
    """Seen red: with listings that are true for ever."""
    searcher = process(redis_url)
    closes = datetime.combine(tomorrow(), datetime.min.time(), world.ZONE) + timedelta(hours=8)

    async def closed(now: datetime) -> int:
        found = await searcher.found(now.astimezone(UTC))
        return sum(offer.unavailable == "SALE_CLOSED" for offer in found.offers)

    before = await closed(closes - timedelta(hours=1))
    assert before == await closed(closes - timedelta(hours=1)) == 0
    assert await closed(closes + timedelta(hours=3)) > 0


async def test_what_a_process_remembers_is_bounded_and_what_is_used_stays(
    process: Process, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red: without the bound of either, and with the oldest dropped though it is used."""
    monkeypatch.setattr(caching, "MAX_REMEMBERED", 4)
    searcher = process(redis_url)
    values = searcher.search._cache._values
    dates = [(tomorrow() + timedelta(days=ahead)).isoformat() for ahead in range(9)]
    await searcher.found()
    day = values[f"search:{{SZX:HKG:{dates[0]}}}"][1]
    for date in dates:
        await searcher.found()
        await searcher.found(travel_date=date)
        assert len(values) <= 4
    assert values[f"search:{{SZX:HKG:{dates[0]}}}"][1] is day
    assert f"search:{{SZX:HKG:{dates[-1]}}}" in values
    for size in range(1, 2 * MAX_LISTINGS):
        found = await searcher.found(party=("ADULT",) * size)
        assert len(found.offers) == len(ALL)
        assert len(day.listings) <= MAX_LISTINGS
    assert len(day.listings) == MAX_LISTINGS


async def test_the_connection_for_seats_is_kept_between_searches_and_given_back(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock, pool = stock_id(world.PACKAGE, 0), db.pipeline_engine.pool
    monkeypatch.setattr(seats_left, "KEEP_SECONDS", 5)
    seats = SeatsLeft(db)
    assert await seats.of([stock]) == {stock: 50}
    assert pool.checkedout() == 1  # type: ignore[attr-defined]
    # a connection that is lost meanwhile costs one search, not those behind it
    async with db.transaction() as tx:
        await tx.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    with pytest.raises(DomainError) as refused:
        await seats.of([stock])
    assert refused.value.reason is Reason.DATABASE_UNAVAILABLE
    assert await seats.of([stock]) == {stock: 50}
    await seats.stop()
    assert pool.checkedout() == 0  # type: ignore[attr-defined]
    monkeypatch.setattr(seats_left, "KEEP_SECONDS", 0.01)
    assert await seats.of([stock]) == {stock: 50}
    await asyncio.sleep(0.5)
    assert pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_seats_are_read_in_few_statements(db: Database) -> None:
    seats = SeatsLeft(db)
    stock = stock_id(world.PACKAGE, 0)
    found = await asyncio.gather(*(seats.of({stock, 4711}) for _ in range(100)))
    assert found == [{stock: 50}] * 100
    await take(db, stock, 1)
    assert await seats.of([stock]) == {stock: 49}
    assert await seats.of([]) == {}
    await seats.stop()


async def test_anybody_may_search_over_json(timetable_url: str, redis_url: str) -> None:
    import httpx2

    async with gate_server(timetable_url, redis_url) as server:
        base = f"http://127.0.0.1:{server.app.http_port}"
        async with httpx2.AsyncClient(base_url=base) as client:
            answer = await client.get(
                "/offers",
                params={
                    "origin_city_code": "SZX",
                    "destination_city_code": "HKG",
                    "travel_date": tomorrow().isoformat(),
                    "passengers": ["adult", "child"],
                    "kinds": "OFFER_KIND_FERRY",
                },
            )
            assert answer.status_code == 200, answer.text
            (offer,) = answer.json()["offers"]
            assert offer["price"]["total_minor"] in (23_000, "23000")
            assert (await client.get("/cities:hot")).json()["cities"][0]["city_code"] == "HKG"
            assert (await client.get("/products/106")).json()["product_id"] == 106
