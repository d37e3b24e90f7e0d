"""Limits per traveller and journeys of a document, where no lock is common to those who race: two
processes, two stocks.

"Seen red" in a test says what was taken out, and how the test then failed.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError, Reason
from server.stock import holds
from server.stock.holds import Take
from server.stock.journeys import Ride
from tests.support.changes import changes_are_seen, show_changes
from tests.support.gate_server import GateServer
from tests.support.invariants import assert_invariants
from tests.support.rpc_server import refusal_or_none
from tests.support.runs import share
from tests.support.traveller import (
    FIRST,
    SECOND,
    TravellerClient,
    World,
    a_world,
    party,
    passenger,
    traveller_server,
)

RACES = share(20, 4)


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    """Departures 1 and 2 leave at the same moment."""
    async with a_world(module_database_url, departures=2, seats=200, max_per_traveller=3) as filled:
        await filled.sql(
            "UPDATE departures SET departure_time = (SELECT min(departure_time) FROM departures)"
        )
        await show_changes(filled)
        yield filled


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    yield filled_world
    assert await filled_world.contradictions() == []
    assert_invariants(module_database_url)  # fmt: skip


@pytest.fixture(scope="module")
async def channels(
    filled_world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[list[Any]]:
    """Of two servers."""
    async with (
        traveller_server(module_database_url, module_redis_url) as one,
        traveller_server(module_database_url, module_redis_url) as two,
    ):
        servers: list[GateServer] = [one, two]
        yield [server.channel for server in servers]


async def outcome(call: Any) -> str:
    """`OK`, or the reason of the refusal."""
    refused = await refusal_or_none(call)
    return refused.reason if refused else "OK"


async def give_all_back(world: World) -> None:
    await world.sql("UPDATE orders SET hold_expire_time = now() WHERE state = 'PENDING'")
    await world.until("SELECT count(*) = 0 FROM orders WHERE state = 'PENDING'")
    for table in ("traveller_quotas", "document_journeys"):
        assert await world.value(f"SELECT count(*) FROM {table}") == 0


async def test_the_limit_holds_over_classes_and_processes(
    world: World, channels: list[Any]
) -> None:
    """Three of eight orders of one ticket each fit.

    Seen red: without the check `limit` of traveller_quotas four were held.
    """
    for number in range(1, RACES + 1):
        calls = [
            TravellerClient.of(channel, number).create(
                world.seat(1, fare_class), passengers=party(1)
            )
            for channel, fare_class in zip(channels, (FIRST, SECOND), strict=True)
            for _ in range(4)
        ]
        outcomes = Counter(await asyncio.gather(*map(outcome, calls)))
        assert outcomes == {"OK": 3, Reason.TOO_MANY_FOR_TRAVELLER: 5}
    await give_all_back(world)


async def test_a_document_is_on_one_of_two_departures(world: World, channels: list[Any]) -> None:
    """Departures have stocks of their own.

    Seen red: without the check `seen` of document_journeys both were held.
    """
    for number in range(1, RACES + 1):
        who = [passenger(document_number=f"E99{number:05}")]
        calls = [
            TravellerClient.of(channel, 2 * number + index).create(
                world.seat(1 + index), passengers=who
            )
            for index, channel in enumerate(channels)
        ]
        outcomes = sorted(await asyncio.gather(*map(outcome, calls)))
        assert outcomes == ["OK", Reason.OVERLAPPING_JOURNEY]
    await give_all_back(world)


async def test_who_takes_a_place_for_a_document_waits_for_whoever_does_so_too(
    world: World, module_database_url: str
) -> None:
    """Changes and late payments, of tickets that have nothing else in common; the document has no
    row yet.

    Seen red: without `journeys.lock` nobody waited.
    """
    db = Database(load_settings(), module_database_url)
    document, now = b"d" * 32, datetime.now(UTC)

    def place(departure: int) -> Take:
        return Take(
            world.stock_id(departure),
            quantity=1,
            seats=(),
            departure_id=world.departure_id(departure),
            documents=(document,),
            order_id=departure,
            traveller_id=1,
            offer_id=world.seat(departure),
            ride=Ride(0, 3600),
        )

    async def travel(departure: int) -> None:
        async with db.transaction() as tx:
            await holds.add_journeys(tx, [place(departure)], now=now)

    try:
        async with db.transaction() as tx:
            await holds.add_journeys(tx, [place(1)], now=now)
            other = asyncio.create_task(travel(2))
            await world.until("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted")
        with pytest.raises(DomainError) as refused:
            await other
        assert refused.value.reason is Reason.OVERLAPPING_JOURNEY
        assert await world.value("SELECT count(*) FROM document_journeys") == 1
    finally:
        await world.sql("DELETE FROM document_journeys")
        await db.close()


async def test_a_promotion_is_used_once_by_each(world: World, channels: list[Any]) -> None:
    """It has no cap, so no stock whose lock is common.

    Seen red: without the check `limit` of traveller_quotas both orders got it.
    """
    await world.promote(1, "ONCE", cap=None, each=1)
    await changes_are_seen()
    for number in range(1, RACES + 1):
        calls = [
            TravellerClient.of(channel, number).create(
                world.seat(1 + index), passengers=party(1), promotion_codes=["ONCE"]
            )
            for index, channel in enumerate(channels)
        ]
        outcomes = sorted(await asyncio.gather(*map(outcome, calls)))
        assert outcomes == ["OK", Reason.PROMOTION_NOT_APPLICABLE]
    await give_all_back(world)


async def test_what_is_given_back_in_two_ways_at_once_is_given_back_once(
    world: World, channels: list[Any]
) -> None:
    """A cancellation and the end of the hold, while others of the same traveller are made.

    The order's lock keeps it, and a second time the key of order_events. Seen red: with
    `holds.release` giving back twice, what the other order counts was gone, too.
    """
    await world.promote(1, "OFTEN", cap=None, each=100)
    await changes_are_seen()
    clients = [TravellerClient.of(channel, 1) for channel in channels]
    for _ in range(RACES):
        order = await clients[0].order(world.seat(), passengers=party(1), promotion_codes=["OFTEN"])
        await world.expire(order.order_id)
        made, _ = await asyncio.gather(
            clients[1].order(world.seat(1, SECOND), passengers=party(1), promotion_codes=["OFTEN"]),
            asyncio.gather(*(outcome(client.cancel(order.order_id)) for client in clients)),
        )
        await world.until(
            "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s", order.order_id
        )
        counted = await world.sql("SELECT quantity FROM traveller_quotas ORDER BY quota_id")
        assert counted == [(1,), (1,)]
        await clients[1].cancel(made.order_id)
    await give_all_back(world)
