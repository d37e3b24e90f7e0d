"""Many who guess passwords at once, under names that nobody has, keep nobody from logging in where
he did before.

Their addresses are of this machine, and none of them is locked out: only the turns of those who
wait hold them back.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count

import httpx2
import pytest

from server.identity.hashing_queue import MOST_WAITING, SHARE_WAITING
from tests.support.gate import PASSWORD, World, a_world
from tests.support.gate_server import GateServer, gate_server

OPERATOR = "/operators/login", {"username": "olga", "terminal_device_id": "T-1"}
ADMIN = "/admin/login", {"username": "root"}
NEW = "/operators/login", {"username": "sam", "terminal_device_id": "T-2"}


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as filled:
        yield filled


@pytest.fixture
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    """Of the test: guesses of another one would still be waited for."""
    settings = {"login_failures_per_address": 1_000_000}
    async with gate_server(module_database_url, module_redis_url, **settings) as running:
        yield running


def http_from(server: GateServer, address: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=f"http://127.0.0.1:{server.app.http_port}",
        transport=httpx2.AsyncHTTPTransport(local_address=address),
        timeout=60,
    )


async def log_in(client: httpx2.AsyncClient, who: tuple[str, dict[str, str]]) -> int:
    path, body = who
    return (await client.post(path, json=body | {"password": PASSWORD})).status_code


@asynccontextmanager
async def guessers(server: GateServer, addresses: int, each: int) -> AsyncIterator[Counter[int]]:
    """So many who guess from each of so many addresses, all the time; what they are answered."""
    answered: Counter[int] = Counter()
    names = count()
    full = asyncio.Event()

    async def guess(client: httpx2.AsyncClient) -> None:
        while True:
            body = {"username": f"nobody {next(names)}", "password": "guess"}
            answer = await client.post(ADMIN[0], json=body)
            answered[answer.status_code] += 1
            if sum(answered.values()) > addresses * each:
                full.set()
            if answer.status_code == 429:
                assert int(answer.headers["retry-after"]) >= 1
                await asyncio.sleep(0.3)  # many more than one address may have waiting come again

    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(
                http_from(server, f"127.0.{n // 200 + 1}.{n % 200 + 1}")
            )
            for n in range(addresses)
        ]
        tasks = [asyncio.create_task(guess(client)) for client in clients for _ in range(each)]
        try:
            await full.wait()
            yield answered
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def test_from_one_address(server: GateServer) -> None:
    """Whoever calls from another is served, known or not.

    Seen red with one queue for all: SERVER_BUSY for everybody.
    """
    async with http_from(server, "127.0.0.1") as here, guessers(server, 1, 60) as answered:
        for who in (OPERATOR, ADMIN, NEW):
            assert await log_in(here, who) == 200
    assert answered[429], "more wait than one address may have waiting"


async def test_from_the_own_address(server: GateServer) -> None:
    """Who may act at the terminal that he names, or was there before, does not wait among those who
    guess beside him.

    Seen red with one queue for all.
    """
    async with http_from(server, "127.0.1.1") as here:
        assert await log_in(here, ADMIN) == 200
        async with guessers(server, 1, 60):
            for who in (ADMIN, OPERATOR):
                assert await log_in(here, who) == 200


async def test_from_many_addresses(server: GateServer) -> None:
    """Then those who were never there wait among the guessers, and known ones have their own turns.

    Seen red with one queue for all.
    """
    async with http_from(server, "127.0.0.1") as here:
        for who in (OPERATOR, ADMIN):
            assert await log_in(here, who) == 200
        async with guessers(server, MOST_WAITING + SHARE_WAITING, 1) as answered:
            for who in (OPERATOR, ADMIN) * 3:
                assert await log_in(here, who) == 200
            assert answered[401]


async def test_a_place_is_known_by_name_terminal_and_address(
    server: GateServer, world: World
) -> None:
    """Not by a log-in that failed, and not for ever."""
    async with http_from(server, "127.0.0.1") as here, http_from(server, "127.0.0.3") as there:
        path, body = OPERATOR
        await here.post(path, json=body | {"password": "wrong"})
        assert await world.sql("SELECT count(*) FROM login_places") == [(0,)]
        for client in (here, here, there):
            assert await log_in(client, OPERATOR) == 200
        assert await log_in(here, ADMIN) == 200
    assert await world.sql("SELECT count(*) FROM login_places") == [(3,)]
