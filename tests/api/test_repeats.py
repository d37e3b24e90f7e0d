"""Every call that changes something, made twice: over gRPC, in all services.

Seen red with a claim of the request_id that always succeeds,
and with contents that are not compared.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from server.platform.errors import Reason
from tests.support import databases
from tests.support.admin_client import AdminClient
from tests.support.module_database import ModuleDatabase
from tests.support.repeats import (
    METHODS,
    SERVERS,
    Example,
    administrators_example,
    example,
    has_one_of_each,
    needs_example,
    takes_request_id,
    with_example,
)
from tests.support.rpc_server import refusal
from tests.support.table_rows import rows
from tools.dev.embedded.services import EmbeddedServices


def test_every_changing_method_has_an_example() -> None:
    changing = {name for name, method in METHODS.items() if needs_example(method)}
    assert with_example() == changing


EXAMPLES = sorted(name for name in METHODS if needs_example(METHODS[name]))


async def repeated(name: str, made: Example, database_url: str) -> None:
    """The method is called, and called again."""
    method = METHODS[name]
    before = await rows(database_url)
    first = await made.call(method, made.request)
    await made.at_rest()
    after = await rows(database_url)
    assert after != before
    if made.refused:
        found = await refusal(made.call(method, made.request))
        assert found.reason is made.refused
    else:
        again = await made.call(method, made.request)
        assert made.shown(method, again) == made.shown(method, first)
    await made.at_rest()
    assert await rows(database_url) == after
    if len(method.input_type.fields) > 1 and takes_request_id(method):  # else there is no other
        found = await refusal(made.call(method, made.altered()))
        assert found.reason is Reason.IDEMPOTENCY_MISMATCH
        await made.at_rest()
        assert await rows(database_url) == after


@pytest.mark.parametrize("name", [name for name in EXAMPLES if has_one_of_each(name)])
async def test_a_repeat_of_an_administrators_call_changes_nothing(
    name: str, admin_client: AdminClient, admin_database: ModuleDatabase
) -> None:
    """It gets the first answer."""
    made = await administrators_example(admin_client, name)
    await repeated(name, made, admin_database.url)


Servers = Callable[[str], Awaitable[tuple[ModuleDatabase, Any]]]


@pytest.fixture(scope="module")
async def servers(
    services: EmbeddedServices,
    template_url: str,
    module_redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Servers]:
    """The server of each service with its database, begun when it is first asked for."""
    async with AsyncExitStack() as stack:
        begun: dict[str, tuple[ModuleDatabase, Any]] = {}

        async def of(service: str) -> tuple[ModuleDatabase, Any]:
            if service not in begun:
                url = stack.enter_context(databases.copied(services.database_url, template_url))
                folder = tmp_path_factory.mktemp(service)
                called = SERVERS[service](url, module_redis_url, folder)
                begun[service] = ModuleDatabase(url), await stack.enter_async_context(called)
            return begun[service]

        yield of


@pytest.mark.parametrize("name", [name for name in EXAMPLES if not has_one_of_each(name)])
async def test_a_repeat_gets_the_first_answer_and_changes_nothing(
    name: str, servers: Servers, redis_url: str
) -> None:
    database, called = await servers(name.partition(".")[0])
    await database.as_filled()
    await repeated(name, await example(name, called), database.url)
