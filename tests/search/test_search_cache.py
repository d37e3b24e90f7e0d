"""What searches remember: made once for all who wait, bounded, and gone on without Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from deeptravel.ticketing.v1 import offer_pb2

from server.api.ticketing.offers import encoded_offer, encoded_price
from server.catalog import promotions
from server.catalog.catalogue import Catalogues
from server.platform.change_feed import ChangeFeed
from server.platform.database import Database
from server.platform.metrics import SEARCH_CACHE
from server.platform.reading import Readers
from server.search import cache as caching
from server.search.cache import Cache
from server.search.day_offers import Day
from server.search.listing import MAX_LISTINGS, Query
from server.search.search import Found, Search
from server.search.seats_left import SeatsLeft
from server.stock.ids import stock_id
from tests.support import timetable as world
from tests.support.changes import changes_are_seen
from tests.support.searching import ALL, change, promotion, take
from tests.support.timetable import tomorrow


@pytest.fixture
async def db(timetable_url: str) -> AsyncIterator[Database]:
    async with world.database(timetable_url) as database:
        yield database


def counted(source: str) -> float:
    return float(SEARCH_CACHE.labels("search", source)._value.get())


class Searcher:
    """A process's search alone."""

    def __init__(self, db: Database, cache: Cache, feed: ChangeFeed) -> None:
        self.readers = Readers(db)
        self.search = Search(
            Catalogues(feed, db),
            SeatsLeft(self.readers),
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
            stack.push_async_callback(searcher.readers.stop)
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


async def test_a_promotions_window_opens_without_any_change(
    db: Database, process: Process, redis_url: str
) -> None:
    opens = datetime.now(UTC) + timedelta(hours=1)
    soon = promotion(2, None, begin_time=opens, product_ids=[world.FERRY])
    await change(db, promotions.create_promotion, soon)
    await changes_are_seen()
    searcher = process(redis_url)

    async def total(now: datetime) -> int:
        found = await searcher.found(now)
        offers = [offer_pb2.Offer.FromString(each.message + each.price) for each in found.offers]
        (ferry,) = (offer for offer in offers if offer.product_id == world.FERRY)
        return ferry.price.total_minor

    assert await total(opens - timedelta(seconds=1)) == 15_000
    assert await total(opens + timedelta(seconds=1)) == 13_500


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


async def test_seats_are_read_in_few_statements(db: Database) -> None:
    readers = Readers(db)
    seats = SeatsLeft(readers)
    stock = stock_id(world.PACKAGE, 0)
    found = await asyncio.gather(*(seats.of({stock, 4711}) for _ in range(100)))
    assert found == [{stock: 50}] * 100
    await take(db, stock, 1)
    assert await seats.of([stock]) == {stock: 49}
    assert await seats.of([]) == {}
    await readers.stop()
