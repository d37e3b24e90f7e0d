"""Fixtures of modules in which travellers buy, pay and give back. A module that has them gives a
`filled_world` of its own, unless it is content with three departures.
"""

from collections.abc import AsyncIterator

import pytest

from tests.support.gate_server import GateServer
from tests.support.invariants import assert_invariants
from tests.support.operations import Manager
from tests.support.order_scenario import OrderScenario, a_scenario
from tests.support.staff import Staff, hire
from tests.support.traveller import TravellerClient, World, a_world, traveller_server

__all__ = [
    "client",
    "filled_world",
    "manager",
    "module_scenario",
    "scenario",
    "server",
    "staff",
    "world",
]


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    """What is sold, for all tests of the module."""
    async with a_world(module_database_url, departures=3) as filled:
        yield filled


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    """The same, as it was filled; after the test the tables tell one story."""
    yield filled_world
    assert await filled_world.contradictions() == []
    assert_invariants(module_database_url)


@pytest.fixture(scope="module")
async def server(
    filled_world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    """A server for travellers."""
    async with traveller_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def client(world: World, server: GateServer) -> TravellerClient:
    """The first traveller."""
    return TravellerClient.of(server.channel, 1)


@pytest.fixture(scope="module")
async def module_scenario(module_database_url: str) -> AsyncIterator[OrderScenario]:
    """What pays and gives back beside the server, for all tests of the module."""
    async with a_scenario(module_database_url) as scenario:
        yield scenario


@pytest.fixture
def scenario(world: World, module_scenario: OrderScenario) -> OrderScenario:
    """The same, with a WeChat that knows nothing yet."""
    return module_scenario.again()


@pytest.fixture
async def staff(world: World, server: GateServer) -> Staff:
    """Those at the gates."""
    return await hire(world, server.channel)


@pytest.fixture
async def manager(scenario: OrderScenario, server: GateServer) -> Manager:
    """An administrator."""
    return await Manager.hired(scenario.db, server.channel)
