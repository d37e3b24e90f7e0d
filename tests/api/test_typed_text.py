"""What people type, through a real server over gRPC and JSON: names refused or normalised, codes
read as they are meant.

Seen red with no reader for any field but QR codes: the names were taken, the codes not found.
"""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from deeptravel.ota.v1 import ota_service_pb2 as ota
from deeptravel.ticketing.v1 import order_pb2, ticket_pb2

from server.identity.credentials import new_partner_key
from server.platform.errors import Reason
from tests.support import gate, traveller
from tests.support.gate import Terminal, World, verdict
from tests.support.gate_server import GateServer, gate_server
from tests.support.order_scenario import a_scenario, tickets
from tests.support.partner_client import KEY, PartnerClient, customer, payment
from tests.support.rpc_server import refusal

CP = new_partner_key()
BAD_NAMES = [" ", "\u3000", "\u200b", "Wang\nVIP", "Wang\u202egnaW"]


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


def http(server: GateServer, **headers: str) -> httpx2.AsyncClient:
    base = f"http://127.0.0.1:{server.app.http_port}"
    return httpx2.AsyncClient(base_url=base, headers=headers)


async def test_a_customers_name_at_activation_and_at_the_gate(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    client = PartnerClient.at(server.channel, CP.api_key)
    ticket = await world.ticket(state="PRE_GENERATED", order_id=None, customer_name=None)
    async with http(server, **{"x-api-key": CP.api_key}) as partner:
        body: dict[str, Any] = {
            "request_id": "json",
            "payment": {"reference": "P", "amount_minor": 1, "currency_code": "HKD"},
        }
        for name in BAD_NAMES:
            refused = await refusal(client.activate(ticket.code, customer=customer(name)))
            assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("customer.name",))
            body["customer"] = {"name": name}
            answer = await partner.post(f"/ota/tickets/{ticket.code}/activate", json=body)
            assert answer.status_code == 400
            assert "customer.name" in answer.text
        sale = [(ticket.code, customer("\u3000"), payment())]
        refused = await refusal(client.activate_many(sale))
        assert refused.fields == ("activations[0].customer.name",)
        body["customer"] = {"name": "　Ｗａｎｇ 三 "}
        typed = quote(f" {ticket.code.lower().replace('-', ' ')} ")
        answer = await partner.post(f"/ota/tickets/{typed}/activate", json=body)
    assert (answer.status_code, answer.json()["ticket_code"]) == (200, ticket.code)
    assert (await terminal.decrypt(ticket.qr)).ticket_info.customer_info.name == "Wang 三"


async def test_codes_as_they_are_typed_at_the_gate(
    world: World, server: GateServer, terminal: Terminal
) -> None:
    order, (first, second) = await world.order(2)
    spaced = second.code.lower().replace("-", " ")
    answer = await terminal.redeem(order.qr, ticket_code=spaced)
    assert (verdict(answer), answer.ticket_code) == ("SUCCESS", second.code)
    issue = ota.IssueQrRequest(ticket_code=first.code.replace("-", ""))
    issued = await PartnerClient.at(server.channel, CP.api_key).call("IssueQr", issue)
    assert issued.ticket_code == first.code
    async with http(server, authorization=f"Bearer {terminal.access_token}") as venue:
        for code in (order.code.replace("-", "－"), order.code.replace("-", ""), f" {order.code}"):
            found = await venue.post("/venue/orders:lookup", json={"order_id": code})
            assert (found.status_code, found.json()["order_id"]) == (200, order.code)


async def test_a_reversal_needs_a_comment_that_says_something(
    world: World, server: GateServer
) -> None:
    supervisor = await world.log_in(server.channel, "sam")
    redeemed = await supervisor.redeem((await world.ticket()).qr)
    for comment in (" \n ", "\u200b", "a\u202eb", "a\x1b[2J"):
        refused = await refusal(supervisor.reverse(redeemed.redemption_id, comment=comment))
        assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("comment",))
    await supervisor.reverse(redeemed.redemption_id, comment=" torn\nprint ")
    kept = await world.sql("SELECT comment FROM redemption_events WHERE comment IS NOT NULL")
    assert kept == [("torn\nprint",)]


async def test_a_travellers_order(database_url: str, redis_url: str) -> None:
    async with (
        traveller.a_world(database_url) as world,
        traveller.traveller_server(database_url, redis_url) as server,
        a_scenario(database_url) as scenario,
    ):
        me = traveller.TravellerClient.of(server.channel, 1)
        await world.promote(1, "AUTUMN", cap=None)
        for name in BAD_NAMES:
            party = [traveller.passenger(), traveller.passenger(name)]
            refused = await refusal(me.create(world.seat(), passengers=party))
            assert (refused.reason, refused.fields) == (
                Reason.INVALID_FIELD,
                ("passengers[1].name",),
            )
        who = [traveller.passenger(" Ｗａｎｇ　Ｗｅｉ ")]
        order = await scenario.sell(
            me, world.seat(), passengers=who, promotion_codes=[" ａｕｔ-umn "]
        )
        assert order.passengers[0].name == "Wang Wei"
        codes = {line.promotion_code for line in order.items[0].offer.price.lines}
        assert "AUTUMN" in codes
        (ticket,) = await tickets(me)
        request = order_pb2.GetOrderRequest(order_id=order.order_id.lower().replace("-", ""))
        assert (await me.call("GetOrder", request)).order.order_id == order.order_id
        typed = ticket_pb2.IssueTicketQrRequest(ticket_code=ticket.ticket_code.replace("-", "—"))
        issued = await me.call("IssueTicketQr", typed)
        assert issued.ticket_code == ticket.ticket_code
        async with http(server, **dict(me.metadata)) as json:
            path = quote(ticket.ticket_code.replace("-", " ").lower())
            answer = await json.get(f"/tickets/{path}")
            assert answer.json()["ticket"]["ticket_code"] == ticket.ticket_code
