"""The QR of an order: rotated, and beside the tickets' own QR codes that are rotated.

Seen red with the comparison of rotations taken out of `rules.order_qr_standing`, and before
`rotate` was there.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.redemption.v1 import redemption_pb2
from deeptravel.ticketing.v1 import ticket_pb2

from server.identity.credentials import new_partner_key
from server.orders.rules import order_qr_jti, rotations_of_order_qr
from server.platform.errors import Reason
from server.tickets import qr
from tests.support import gate, traveller
from tests.support.gate import QrTicket, Terminal, World, verdict
from tests.support.gate_server import GateServer, gate_server
from tests.support.order_scenario import a_scenario, tickets
from tests.support.partner_client import KEY, PartnerClient
from tests.support.rpc_server import refusal

CP = new_partner_key()


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with gate.a_world(module_database_url) as filled:
        await filled.sql(KEY, CP.key_id, gate.PARTNER_ID, CP.secret_hash)
        yield filled


@pytest.fixture(scope="module")
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def terminal(world: World, server: GateServer) -> Terminal:
    return await world.log_in(server.channel)


@pytest.fixture
def client(server: GateServer) -> PartnerClient:
    return PartnerClient.at(server.channel, CP.api_key)


async def issue(client: PartnerClient, order: QrTicket, **fields: Any) -> str:
    request = ota.IssueOrderQrRequest(order_id=order.code, **fields)
    return str((await client.call("IssueOrderQr", request)).encrypted_data)


async def redeem(terminal: Terminal, token: str, ticket: QrTicket, function: str = "ferry") -> Any:
    return await terminal.redeem(token, function, ticket_code=ticket.code)


async def look_up(terminal: Terminal, token: str) -> Any:
    request = redemption_pb2.LookupOrderRequest(encrypted_data=token)
    return await terminal.call("LookupOrder", request)


async def test_rotated_every_former_code_of_the_order_is_superseded(
    world: World, terminal: Terminal, client: PartnerClient
) -> None:
    order, (ticket, other) = await world.order(2)
    issued, again = await issue(client, order), await issue(client, order)
    assert verdict(await redeem(terminal, order.qr, other, "gift")) == "SUCCESS"
    fresh = await issue(client, order, rotate=True)
    for token in (order.qr, issued, again):
        answer = await redeem(terminal, token, ticket)
        assert (verdict(answer), answer.explanation.check) == ("QR_SUPERSEDED", "jti")
        assert verdict(await look_up(terminal, token)) == "QR_SUPERSEDED"
        assert verdict(await terminal.decrypt(token)) == "QR_SUPERSEDED"
    assert verdict(await redeem(terminal, other.qr, other)) == "SUCCESS"  # its own is still good
    assert len((await look_up(terminal, fresh)).tickets) == 2
    assert verdict(await redeem(terminal, fresh, ticket)) == "SUCCESS"
    assert verdict(await redeem(terminal, await issue(client, order), ticket, "gift")) == "SUCCESS"
    events = await world.sql("SELECT event, state, actor FROM order_events ORDER BY sequence")
    assert events[0] == ("order.qr_rotated", "PAID", "partner:CP")


async def test_never_opens_a_ticket_whose_own_was_rotated_after_it_was_issued(
    world: World, terminal: Terminal, client: PartnerClient
) -> None:
    order, (leaked, other) = await world.order(2)
    before = await issue(client, order)
    await client.qr(leaked.code, rotate=True)
    between = await issue(client, order)
    await client.qr(other.code, rotate=True)
    for token in (order.qr, before):
        answer = await redeem(terminal, token, leaked)
        assert (verdict(answer), answer.explanation.check) == ("QR_SUPERSEDED", "rotation")
        assert answer.ticket_code == leaked.code
    assert verdict(await redeem(terminal, between, other)) == "QR_SUPERSEDED"
    found = await look_up(terminal, between)
    assert not found.HasField("result")
    verdicts = {t.ticket_code: t.HasField("result") and verdict(t) for t in found.tickets}
    assert verdicts == {leaked.code: False, other.code: "QR_SUPERSEDED"}
    assert found.tickets[1].explanation.check == "rotation"
    assert await world.uses(leaked) == await world.uses(other) == (1, 1)

    assert (
        verdict(await redeem(terminal, between, leaked)) == "SUCCESS"
    )  # issued after its rotation
    assert verdict(await redeem(terminal, await issue(client, order), other)) == "SUCCESS"
    assert verdict(await redeem(terminal, before, leaked, "gift")) == "QR_SUPERSEDED"


async def test_many_in_one_call_are_each_answered(
    world: World, terminal: Terminal, client: PartnerClient
) -> None:
    order, (rotated, other) = await world.order(2)
    await client.qr(rotated.code, rotate=True)
    items = [
        redemption_pb2.RedeemItem(qr_token=order.qr, function_code="ferry", ticket_code=each.code)
        for each in (rotated, other)
    ]
    answer = await terminal.redeem_many(items, all_or_nothing=False)
    assert [verdict(each) for each in answer.results] == ["QR_SUPERSEDED", "SUCCESS"]


async def test_a_ticket_rotated_before_it_was_sold_is_opened(
    world: World, terminal: Terminal, client: PartnerClient
) -> None:
    """No code of its order can be older than the order."""
    printed = await world.ticket(state="PRE_GENERATED", order_id=None)
    await client.qr(printed.code, rotate=True)
    order_code = (await client.activate(printed.code)).order_id
    token = await issue(client, QrTicket(0, order_code, printed.jti, ""))
    assert verdict(await redeem(terminal, token, printed)) == "SUCCESS"


async def test_repeated_and_of_others(
    world: World, server: GateServer, client: PartnerClient
) -> None:
    order, _ = await world.order(1)
    first = await issue(client, order, rotate=True, request_id="r")
    assert await issue(client, order, rotate=True, request_id="r") == first
    refused = await refusal(issue(client, order, request_id="r"))
    assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    assert len(await world.sql("SELECT 1 FROM order_events")) == 1
    for code in ("ORD-CP-20261121-000999", "ORD-HK-20261121-000001", "nonsense"):
        unknown = QrTicket(0, code, order.jti, "")
        assert (await refusal(issue(client, unknown, rotate=True))).reason == Reason.NOT_FOUND
    base = f"http://127.0.0.1:{server.app.http_port}"
    async with httpx2.AsyncClient(base_url=base, headers={"x-api-key": CP.api_key}) as http:
        answer = await http.post(f"/ota/orders/{order.code}/qr", json={"rotate": True})
        assert answer.status_code == 200
    assert len(await world.sql("SELECT 1 FROM order_events")) == 2


async def test_rotations_and_issues_that_race(
    world: World, terminal: Terminal, client: PartnerClient
) -> None:
    """Every rotation is counted once: no code opens a ticket that was rotated after it.

    Seen red with the count read and written in two statements: two rotations shared a number.
    """
    order, made = await world.order(4)
    issuing = [issue(client, order) for _ in range(4)]
    rotating = [client.qr(ticket.code, rotate=True) for ticket in made for _ in range(3)]
    issued, _ = await asyncio.gather(asyncio.gather(*issuing), asyncio.gather(*rotating))
    ((counted,),) = await world.sql(
        "SELECT ticket_rotations FROM orders WHERE order_id = %s", order.ticket_id
    )
    assert counted == 12
    rows = await world.sql(
        "SELECT ticket_id, rotation FROM tickets WHERE order_id = %s", order.ticket_id
    )
    last = dict(rows)
    assert len(set(last.values())) == 4
    assert max(last.values()) == 12
    for token in issued:
        opened = qr.unseal(token, world.ring, datetime.now(UTC))
        assert isinstance(opened, qr.Valid)
        issued_after = rotations_of_order_qr(order.jti, opened.claims.jti)
        assert issued_after is not None
        found = await look_up(terminal, token)
        refused = {t.ticket_code for t in found.tickets if t.HasField("result")}
        assert refused == {t.code for t in made if last[t.ticket_id] > issued_after}
    fresh = await issue(client, order)
    for ticket in made:
        assert verdict(await redeem(terminal, fresh, ticket)) == "SUCCESS"


async def test_a_travellers(database_url: str, redis_url: str) -> None:
    """The same for an order of our own."""
    async with (
        traveller.a_world(database_url) as world,
        traveller.traveller_server(database_url, redis_url) as server,
        a_scenario(database_url) as scenario,
    ):
        for statement in gate.WORLD.split(";\n"):
            if statement.strip() and "INTO partners" not in statement:
                values = ("",) if "%s" in statement else None
                await world.pg.execute(statement.encode(), values)
        await world.sql("UPDATE merchants SET function_codes = '{boarding}'")
        terminal = await gate.World(world.pg, world.ring).log_in(server.channel)
        me, another = (traveller.TravellerClient.of(server.channel, number) for number in (1, 2))
        order = await scenario.sell(me, world.seat())
        request = ticket_pb2.IssueOrderQrRequest(order_id=order.order_id)
        rotating = ticket_pb2.IssueOrderQrRequest(order_id=order.order_id, rotate=True)
        leaked = (await me.call("IssueOrderQr", request)).encrypted_data
        first, second = await tickets(me)

        async def seen(token: str, ticket: Any) -> str:
            answer = await terminal.redeem(token, "boarding", ticket_code=ticket.ticket_code)
            return verdict(answer)

        assert await seen(leaked, first) != "QR_SUPERSEDED"
        renew = ticket_pb2.IssueTicketQrRequest(ticket_code=first.ticket_code, rotate=True)
        await me.call("IssueTicketQr", renew)
        assert await seen(leaked, first) == "QR_SUPERSEDED"
        assert await seen(leaked, second) != "QR_SUPERSEDED"
        fresh = (await me.call("IssueOrderQr", request)).encrypted_data
        assert await seen(fresh, first) != "QR_SUPERSEDED"
        base = f"http://127.0.0.1:{server.app.http_port}"
        async with httpx2.AsyncClient(base_url=base, headers=dict(me.metadata)) as http:
            answer = await http.post(f"/orders/{order.order_id}/qr", json={"rotate": True})
        assert await seen(fresh, second) == await seen(leaked, second) == "QR_SUPERSEDED"
        assert await seen(answer.json()["encrypted_data"], second) != "QR_SUPERSEDED"
        assert (await refusal(another.call("IssueOrderQr", rotating))).reason == Reason.NOT_FOUND


def test_what_the_id_says() -> None:
    """The count is added to the last 32 bits, wherever they begin."""
    for last in ("00000000", "ffffffff", "fffffffe"):
        jti = UUID(f"0f9d3b1c-5d3e-4c55-9f0a-1234{last}")
        assert order_qr_jti(jti, 0) == jti
        for rotations in (0, 1, 2, 77):
            issued = order_qr_jti(jti, rotations)
            assert issued.version == 4
            assert rotations_of_order_qr(jti, issued) == rotations
    assert rotations_of_order_qr(uuid4(), uuid4()) is None
