import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support import databases, timetable
from tests.support.admin_office import ADMIN_SERVICE, Headers, Office, furnish
from tests.support.gate_server import GateServer, gate_server
from tests.support.partner_desk import HK, Desk, Market, a_market
from tests.support.rpc_server import running_node
from tools.dev.embedded.services import EmbeddedServices


@pytest.fixture(scope="session")
def furnished(services: EmbeddedServices, template_url: str) -> Iterator[tuple[str, Headers]]:
    """URL of a database with one of each, to be copied, and the headers of its administrator."""

    async def headers(url: str) -> Headers:
        # logged in for as long as all tests take
        life = {"access_token_seconds": 86_400}
        async with running_node(url, services.redis_url, ADMIN_SERVICE, **life) as node:
            return (await furnish(node)).headers

    with databases.copied(services.database_url, template_url) as url:
        yield url, asyncio.run(headers(url))


@pytest.fixture
def office_url(services: EmbeddedServices, furnished: tuple[str, Headers]) -> Iterator[str]:
    """URL of a copy of the test's own."""
    with databases.copied(services.database_url, furnished[0]) as url:
        yield url


@pytest.fixture
async def office(
    office_url: str, redis_url: str, furnished: tuple[str, Headers]
) -> AsyncIterator[Office]:
    """A server with AdminService over one of each, called by its administrator."""
    async with running_node(office_url, redis_url, ADMIN_SERVICE) as node:
        yield Office(node, furnished[1])


@pytest.fixture
async def other_office(
    office_url: str, redis_url: str, furnished: tuple[str, Headers]
) -> AsyncIterator[Office]:
    """Another process over the same."""
    async with running_node(office_url, redis_url, ADMIN_SERVICE) as node:
        yield Office(node, furnished[1])


@pytest.fixture
async def market(database_url: str) -> AsyncIterator[Market]:
    """Two partners with stock."""
    async with a_market(database_url) as filled:
        yield filled


@pytest.fixture
async def ota_server(
    market: Market, database_url: str, redis_url: str
) -> AsyncIterator[GateServer]:
    """A server for the partners."""
    async with gate_server(database_url, redis_url) as running:
        yield running


@pytest.fixture
async def desk(ota_server: GateServer) -> Desk:
    """Where CP calls from."""
    return Desk.at(ota_server.channel)


@pytest.fixture
async def other_desk(ota_server: GateServer) -> Desk:
    """Where HK calls from."""
    return Desk.at(ota_server.channel, HK.api_key)


@pytest.fixture(scope="session")
def timetable_template_url(services: EmbeddedServices, template_url: str) -> Iterator[str]:
    """URL of a database with a few trains, a ferry and a package, to be copied."""

    async def build(url: str) -> None:
        async with timetable.database(url) as db:
            await timetable.build(db)

    with databases.copied(services.database_url, template_url) as url:
        asyncio.run(build(url))
        yield url


@pytest.fixture
def timetable_url(services: EmbeddedServices, timetable_template_url: str) -> Iterator[str]:
    """URL of a copy of the test's own."""
    with databases.copied(services.database_url, timetable_template_url) as url:
        yield url
