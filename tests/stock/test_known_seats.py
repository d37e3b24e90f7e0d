"""The seats that a process remembers from order to order: read again only where somebody else has
changed the stock, and never what decides who sits where.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from server.platform.errors import Reason
from server.platform.statements import Statement
from server.stock import known_seats, taking
from server.stock.known_seats import UNKNOWN, KnownSeats, SeatBits, Version
from tests.support.gate_server import GateServer
from tests.support.invariants import assert_invariants
from tests.support.rpc_server import refusal
from tests.support.traveller import (
    TravellerClient,
    World,
    a_world,
    party,
    seats_of,
    traveller_server,
)

SEATS = 10


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, seats=SEATS) as filled:
        yield filled


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    yield filled_world
    assert_invariants(module_database_url)


@pytest.fixture
async def server(
    filled_world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with traveller_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def other(
    filled_world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    """Another process over the same database."""
    async with traveller_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The rows of seats that were read."""
    rows: list[Any] = []
    parse = Statement.parse

    def counted(self: Statement[Any], found: list[Any]) -> list[Any]:
        if self is taking.READ_SEATS:
            rows.extend(found)
        return parse(self, found)

    monkeypatch.setattr(Statement, "parse", counted)
    return rows


async def taken_by(server: GateServer, world: World, traveller: int, size: int = 2) -> list[str]:
    """The seats of an order of so many."""
    client = TravellerClient.of(server.channel, traveller)
    return list(seats_of(await client.order(world.seat(), passengers=party(size))))


async def test_what_nobody_else_has_changed_is_not_read_again(
    world: World, server: GateServer, read: list[Any]
) -> None:
    """Seen red with all seats of a stock read for every transaction."""
    seats = [seat for traveller in (1, 2, 3) for seat in await taken_by(server, world, traveller)]
    assert len(set(seats)) == len(seats)
    assert read == []


async def test_seats_that_another_process_takes_and_frees(
    world: World, server: GateServer, other: GateServer, read: list[Any]
) -> None:
    """Seen red with versions that are not compared: the seats that the other had freed were not
    found. Where they were not compared by READ_SEATS alone, which then read nothing, seats that
    were taken were given once more, which the key refused until no attempt was left.
    """
    mine = await taken_by(server, world, 1)
    client = TravellerClient.of(other.channel, 2)
    order = await client.order(world.seat(), passengers=party(2))
    theirs = list(seats_of(order))
    rest = [seat for number in (3, 4, 5) for seat in await taken_by(server, world, number)]
    assert len({*mine, *theirs, *rest}) == SEATS
    await client.cancel(order.order_id)
    read.clear()
    assert await taken_by(server, world, 6) == theirs
    assert read


async def test_a_seat_that_is_taken_after_all_is_not_sold_again(
    world: World, server: GateServer
) -> None:
    """However it came to be: the key refuses it, and the seats are read again.

    Seen red with seats that are inserted ON CONFLICT DO NOTHING: one was sold again. With seats
    that are remembered as if the transaction that failed had been committed, each attempt met the
    next of these, and there were too few attempts.
    """
    assert await taken_by(server, world, 1, 1) == ["1A"]
    await take_behind_the_row(world, 1, SEATS - 2)
    try:
        assert await taken_by(server, world, 2, 1) == ["2F"]
    finally:
        await world.sql("DELETE FROM taken_seats WHERE order_id = 1")


async def test_where_no_seat_is_found_they_are_read_again(world: World, server: GateServer) -> None:
    """Seats that became free though their stock is as it was are sold again, but to the next.

    Seen red without `forget_seats`, and with one that leaves the version, so that `write` remembers
    them again: the next was refused as well.
    """
    await take_behind_the_row(world, 1, SEATS - 1)
    assert await taken_by(server, world, 1, 1) == ["1A"]
    await world.sql("DELETE FROM taken_seats WHERE order_id = 1")
    client = TravellerClient.of(server.channel, 2)
    refused = await refusal(client.order(world.seat(), passengers=party(1)))
    assert refused.reason is Reason.SOLD_OUT
    assert await taken_by(server, world, 3, SEATS - 1)


async def take_behind_the_row(world: World, first: int, last: int) -> None:
    """Takes seats of the stock, and leaves its row as it is."""
    await world.sql(
        "INSERT INTO taken_seats (stock_id, seat_index, order_id)"
        " SELECT %s, generate_series(%s::int, %s::int), 1",
        *(world.stock_id(), first, last),
    )


def test_what_changed_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen red without `pop` in `remember`, and without the limit."""
    monkeypatch.setattr(known_seats, "MAX_STOCKS", 2)
    known = KnownSeats()
    seats = SeatBits(Version(datetime(2026, 11, 28, tzinfo=UTC), 1, 0), 1)

    def remembered(*stock_ids: int) -> list[bool]:
        for stock_id in stock_ids:
            known.remember(stock_id, seats)
        return [known.of(stock_id) is not UNKNOWN for stock_id in (1, 2, 3)]

    assert remembered(1, 2, 2) == [True, True, False]
    assert remembered(1, 3) == [True, False, True]
