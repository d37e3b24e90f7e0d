import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support import databases, timetable
from tests.support.admin_client import ADMIN_SERVICE, AdminClient, Headers, seed
from tests.support.gate_server import GateServer, gate_server
from tests.support.partner_client import HK, Market, PartnerClient, a_market
from tests.support.rpc_server import running_node
from tools.dev.embedded.services import EmbeddedServices


@pytest.fixture(scope="session")
def seeded(services: EmbeddedServices, template_url: str) -> Iterator[tuple[str, Headers]]:
    """URL of a database with one of each, to be copied, and the headers of its administrator."""

    async def headers(url: str) -> Headers:
        # logged in for as long as all tests take
        life = {"access_token_seconds": 86_400}
        async with running_node(url, services.redis_url, ADMIN_SERVICE, **life) as node:
            return (await seed(node)).headers

    with databases.copied(services.database_url, template_url) as url:
        yield url, asyncio.run(headers(url))


@pytest.fixture
def admin_url(services: EmbeddedServices, seeded: tuple[str, Headers]) -> Iterator[str]:
    """URL of a copy of the test's own."""
    with databases.copied(services.database_url, seeded[0]) as url:
        yield url


@pytest.fixture
async def admin_client(
    admin_url: str, redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[AdminClient]:
    """A server with AdminService over one of each, called by its administrator."""
    async with running_node(admin_url, redis_url, ADMIN_SERVICE) as node:
        yield AdminClient(node, seeded[1])


@pytest.fixture
async def other_admin_client(
    admin_url: str, redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[AdminClient]:
    """Another process over the same."""
    async with running_node(admin_url, redis_url, ADMIN_SERVICE) as node:
        yield AdminClient(node, seeded[1])


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
async def client(ota_server: GateServer) -> PartnerClient:
    """Where CP calls from."""
    return PartnerClient.at(ota_server.channel)


@pytest.fixture
async def other_client(ota_server: GateServer) -> PartnerClient:
    """Where HK calls from."""
    return PartnerClient.at(ota_server.channel, HK.api_key)


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
