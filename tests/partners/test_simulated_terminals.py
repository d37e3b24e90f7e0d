"""Simulated terminals: a sandbox redeems its own test tickets, by the rules of all terminals, and
nothing else; no report of a merchant has them.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from deeptravel.ota.v1 import event_pb2, sandbox_pb2
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.redemption.v1 import redemption_pb2
from deeptravel.redemption.v1.redemption_service_pb2_grpc import RedemptionServiceStub
from deeptravel.tickets.v1 import ticket_pb2
from psycopg.errors import CheckViolation

from server.api import convert
from server.platform.errors import Reason
from tests.support import databases
from tests.support.admin_client import Headers
from tests.support.partner_client import PartnerClient
from tests.support.rpc_server import refusal
from tests.support.sandbox import TEST, SandboxWorld, a_sandbox_world
from tools.dev.embedded.services import EmbeddedServices

SUCCESS = redemption_pb2.REDEMPTION_RESULT_SUCCESS
REASONS = redemption_pb2.RefusalReason


@pytest.fixture(scope="module")
def sandbox_url(services: EmbeddedServices, seeded: tuple[str, Headers]) -> Any:
    with databases.copied(services.database_url, seeded[0]) as url:
        yield url


@pytest.fixture(scope="module")
async def world(
    sandbox_url: str, module_redis_url: str, seeded: tuple[str, Headers]
) -> AsyncIterator[SandboxWorld]:
    async with a_sandbox_world(sandbox_url, module_redis_url, seeded[1]) as made:
        yield made


async def redeem(client: PartnerClient, **fields: Any) -> redemption_pb2.RedeemResponse:
    values: Any = {"function_code": "ferry", "request_id": uuid4().hex} | fields
    request = sandbox_pb2.SimulateRedemptionRequest(**values)
    answer: redemption_pb2.RedeemResponse = (
        await client.call("SimulateRedemption", request)
    ).answer
    return answer


async def reverse(client: PartnerClient, redemption_id: str) -> Any:
    request = sandbox_pb2.SimulateReversalRequest(
        redemption_id=redemption_id, request_id=uuid4().hex
    )
    return await client.call("SimulateReversal", request)


async def test_a_test_ticket_is_redeemed_and_taken_back(world: SandboxWorld) -> None:
    """From the first look to the end of its uses; each step is an event of the sandbox."""
    code, token, order_id = await world.sold(world.test)
    assert not (await world.look(token, world.test.metadata)).HasField("reason")
    first = await redeem(world.test, qr_token=token)
    assert (first.result, first.ticket_code) == (SUCCESS, code)
    again = await redeem(world.test, qr_token=token)
    assert again.reason == REASONS.REFUSAL_REASON_ALREADY_REDEEMED
    assert again.earlier.redemption_id == first.redemption_id
    back = await reverse(world.test, first.redemption_id)
    assert back.ticket_status == ticket_pb2.TICKET_STATE_ACTIVE
    order = ota.IssueOrderQrRequest(order_id=order_id)
    of_order = (await world.test.call("IssueOrderQr", order)).encrypted_data
    by_order = await redeem(world.test, qr_token=of_order, ticket_code=code)
    assert by_order.result == SUCCESS
    by_code = await redeem(world.test, ticket_code=code, function_code="tokens", quantity=10)
    assert by_code.result == SUCCESS
    assert by_code.ticket_status == ticket_pb2.TICKET_STATE_USED
    assert await world.uses(code) == [0, 0]
    for function, reason in (
        ("gift", REASONS.REFUSAL_REASON_FUNCTION_NOT_INCLUDED),
        ("tokens", REASONS.REFUSAL_REASON_ALREADY_REDEEMED),
    ):
        refused = await redeem(world.test, qr_token=token, function_code=function)
        assert refused.reason in {reason, REASONS.REFUSAL_REASON_NO_USES_LEFT}
    types = await events_of(world, code)
    assert types[-3:] == ["ticket.redemption_reversed", "ticket.redeemed", "ticket.redeemed"]


async def events_of(world: SandboxWorld, subject: str) -> list[str]:
    await until_sequenced(world)
    found, cursor = [], 0
    while True:
        request = event_pb2.ListEventsRequest(after_cursor=cursor, page_size=200)
        page = await world.test.call("ListEvents", request)
        found += [each.type for each in page.events if each.data.ticket_code == subject]
        if not page.next_page_token:
            return found
        cursor = page.events[-1].cursor


async def until_sequenced(world: SandboxWorld) -> None:
    for _ in range(3000):
        ((left,),) = await world.sql("SELECT count(*) FROM partner_events WHERE sequence IS NULL")
        if not left:
            return
    raise AssertionError("events get no numbers")


async def test_a_repeat_gets_the_first_answer(world: SandboxWorld) -> None:
    _, token, _ = await world.sold(world.test)
    once = {"qr_token": token, "request_id": uuid4().hex}
    first = await redeem(world.test, **once)
    assert await redeem(world.test, **once) == first
    found = await refusal(redeem(world.test, **once, function_code="gift"))
    assert found.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_others_tickets_are_none(world: SandboxWorld) -> None:
    """A live one, and one of another sandbox, by QR and by code: the answer says nothing of them,
    and nothing is recorded of them. Seen red without the look at whose the ticket is: the answer
    had its code, and a redemption could be taken back by others.
    """
    other = await world.key("HK", TEST)
    code, token, _ = await world.sold(world.live)
    for client, of_live in ((world.test, True), (other, True), (other, False)):
        own_code, own_token, _ = (code, token, "") if of_live else await world.sold(world.test)
        before = await world.uses(own_code)
        for fields in ({"qr_token": own_token}, {"ticket_code": own_code}):
            answer = await redeem(client, **fields)
            assert answer.reason == REASONS.REFUSAL_REASON_TICKET_NOT_FOUND
            assert not answer.ticket_code
            assert not answer.HasField("details")
            assert not answer.HasField("ticket_status")
        assert await world.uses(own_code) == before
        recorded = await world.sql(
            "SELECT count(*) FROM redemption_events JOIN tickets t USING (ticket_id)"
            " WHERE t.ticket_code = %s",
            own_code,
        )
        assert recorded == [(0,)]
    _, own, _ = await world.sold(world.test)
    redeemed = await redeem(world.test, qr_token=own)
    found = await refusal(reverse(other, redeemed.redemption_id))
    assert found.reason is Reason.NOT_FOUND
    scanned = await world.scan(token)
    found = await refusal(reverse(world.test, scanned.redemption_id))
    assert found.reason is Reason.NOT_FOUND


async def test_no_merchant_has_what_is_simulated(world: SandboxWorld) -> None:
    """Neither in its lists nor in its sums."""
    _, token, _ = await world.sold(world.test)
    stub, headers = RedemptionServiceStub(world.channel), world.terminal_headers
    before = await lists(stub, headers)
    assert (await redeem(world.test, qr_token=token)).result == SUCCESS
    assert await lists(stub, headers) == before


async def lists(stub: Any, headers: Headers) -> tuple[Any, Any]:
    listed = await stub.ListRedemptions(redemption_pb2.ListRedemptionsRequest(), metadata=headers)
    yesterday = convert.timestamp(datetime.now(UTC) - timedelta(days=1))
    request = redemption_pb2.SummarizeRedemptionsRequest(time_from=yesterday)
    summed = await stub.SummarizeRedemptions(request, metadata=headers)
    return list(listed.redemptions), list(summed.rows)


async def test_the_database_keeps_them_apart_too(world: SandboxWorld) -> None:
    """A redemption of a test ticket by a merchant is none, nor one of a live ticket in a
    sandbox.
    """
    _, token, _ = await world.sold(world.test)
    redeemed = await redeem(world.test, qr_token=token)
    number = int(redeemed.redemption_id[:16], 16)
    for change in ("merchant_code = 'FERRIES'", "ticket_id = 1"):
        with pytest.raises(CheckViolation):
            await world.sql(
                f"UPDATE redemption_events SET {change}"
                " WHERE ticket_id = %s AND result = 'SUCCESS'",
                number,
            )
