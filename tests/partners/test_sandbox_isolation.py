"""What a partner reads with a live key is what it was, whatever its sandbox did meanwhile; and the
other way round: every method of OtaService that reads and needs no name.

What needs a name is tried in test_foreign_names.py.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from deeptravel.common.v1 import options_pb2
from deeptravel.ota.v1 import ota_service_pb2, statement_pb2, webhook_pb2
from google.api import annotations_pb2
from google.protobuf import text_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from server.api.field_rules import is_required
from server.platform.config import load_settings
from server.platform.errors import Reason
from tests.support import databases
from tests.support.admin_client import Headers
from tests.support.partner_client import PartnerClient, request_id
from tests.support.rpc_server import refusal
from tests.support.sandbox import PAID, TEST, SandboxWorld, a_sandbox_world
from tools.dev.embedded.services import EmbeddedServices

SERVICE = ota_service_pb2.DESCRIPTOR.services_by_name["OtaService"]
OF_TIME = {"GetTestClock"}
"""Moves by itself."""


OF_MONTHS = {
    "month": f"{datetime.now(load_settings().zone):%Y-%m}",
    "format": statement_pb2.STATEMENT_FORMAT_CSV,
}
"""What is needed to read a statement."""
UNMOVED = {"ListStatements"}
"""Lists months."""


def reads_all(method: MethodDescriptor) -> bool:
    """Whether it is called by GET, and without a name."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    fields = method.input_type.fields
    required = any(is_required(field) and field.name not in OF_MONTHS for field in fields)
    return rule.WhichOneof("pattern") == "get" and not required and method.name not in OF_TIME


READS = [method for method in SERVICE.methods if reads_all(method)]


@pytest.fixture(scope="module")
def sandbox_url(services: EmbeddedServices, seeded: tuple[str, Headers]) -> Any:
    with databases.copied(services.database_url, seeded[0]) as url:
        yield url


@pytest.fixture(scope="module")
async def world(
    sandbox_url: str, module_redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[SandboxWorld]:
    private = {"webhook_allow_private": True}
    async with a_sandbox_world(sandbox_url, module_redis_url, seeded[1], **private) as made:
        yield made


async def all_read(client: PartnerClient) -> dict[str, list[str]]:
    """What each of READS answers."""
    found = {}
    for method in READS:
        access = method.GetOptions().Extensions[options_pb2.access]
        if access.test_mode_only and not client.api_key.startswith("dtk_test_"):
            continue
        named = method.input_type.fields_by_name
        values: Any = {
            name: value for name, value in OF_MONTHS.items() if name in named and "month" in named
        }
        call = client.call(method.name, GetMessageClass(method.input_type)(**values))
        answers = [each async for each in call] if method.server_streaming else [await call]
        found[method.name] = [text_format.MessageToString(each) for each in answers]
    return found


async def one_of_each(world: SandboxWorld, client: PartnerClient) -> None:
    """Something of everything that a partner makes, numbered and booked."""
    await client.distributor("D-1", commission_basis_points=100)
    reserved = await client.reserve(3)
    batch = await client.batch(2, reservation_id=reserved.reservation_id, distributor_id="D-1")
    await client.activate(batch.tickets[0].ticket_code, payment=PAID)
    endpoint = webhook_pb2.CreateWebhookEndpointRequest(
        url="https://127.0.0.1:1/", request_id=request_id()
    )
    await client.call("CreateWebhookEndpoint", endpoint)
    await settled(world)


async def settled(world: SandboxWorld) -> None:
    """Waits until all events have numbers and stand in the ledgers."""
    for _ in range(3000):
        ((left,),) = await world.sql(
            "SELECT (SELECT count(*) FROM partner_events WHERE sequence IS NULL)"
            " + (SELECT count(*) FROM partner_events e LEFT JOIN ledgers l USING (partner_id)"
            "    WHERE e.sequence > coalesce(l.posted_sequence, 0))"
        )
        if not left:
            return
    raise AssertionError("events get no numbers, or are not booked")


async def test_neither_reads_what_the_other_has(world: SandboxWorld) -> None:
    """Seen red with the events of a partner and its sandbox read together."""
    assert len(READS) >= 10
    await settled(world)
    live = await all_read(world.live)
    await one_of_each(world, world.test)
    assert await all_read(world.live) == live
    test = await all_read(world.test)
    for name in ("ListTickets", "ListBatches", "ListReservations", "ListEvents"):
        assert test[name] != live[name], name
    await one_of_each(world, world.live)
    changed = await all_read(world.live)
    assert {name for name in live if changed[name] == live[name]} <= UNMOVED
    assert await all_read(world.test) == test


async def test_limits_are_counted_apart(world: SandboxWorld) -> None:
    """A sandbox whose requests are used up leaves its partner those that it has."""
    await world.admin("CreatePartner", partner_code="FEW", display_name="F", requests_per_minute=3)
    test, live = await world.key("FEW", TEST), await world.key("FEW")
    request = ota_service_pb2.GetInventoryRequest()
    for _ in range(3):
        await test.call("GetInventory", request)
    found = await refusal(test.call("GetInventory", request))
    assert found.reason is Reason.RATE_LIMITED
    for _ in range(3):
        await live.call("GetInventory", request)
