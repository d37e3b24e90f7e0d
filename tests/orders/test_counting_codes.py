"""Order and ticket codes can be counted up: whose business they are not learns nothing from them,
names least of all.

Seen red: without `_redeems_in` any operator got any order's names; without the prefixes of
`_number` codes of tickets were read as codes of orders; without the merchant in the list and the
reversal others' events were listed and taken back.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from deeptravel.redemption.v1 import redemption_pb2

from server.platform.errors import Reason
from tests.support.gate import Terminal, World, a_world
from tests.support.gate_server import GateServer, gate_server
from tests.support.redemption_model import Entitlement
from tests.support.rpc_server import refusal


@pytest.fixture(scope="module")
async def world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url) as filled:
        await filled.sql(
            "UPDATE merchants SET function_codes = '{locker}' WHERE merchant_code = 'N'"
        )
        yield filled


@pytest.fixture(scope="module")
async def server(
    world: World, module_database_url: str, module_redis_url: str
) -> AsyncIterator[GateServer]:
    async with gate_server(module_database_url, module_redis_url) as running:
        yield running


@pytest.fixture
async def nick(world: World, server: GateServer) -> Terminal:
    """Of the merchant who redeems lockers, and nothing else."""
    return await world.log_in(server.channel, "nick", "T-N")


async def lookup(terminal: Terminal, **fields: Any) -> Any:
    return await terminal.call("LookupOrder", redemption_pb2.LookupOrderRequest(**fields))


async def test_an_order_with_nothing_for_a_merchant_does_not_exist(
    world: World, server: GateServer, nick: Terminal
) -> None:
    order, (ticket, _) = await world.order(2)
    unknown = order.code[:-6] + "999999"
    answers = []
    for code in (order.code, unknown):
        refused = await refusal(lookup(nick, order_id=code))
        assert refused.reason == Reason.NOT_FOUND
        answers.append(str(refused).replace(code, "CODE"))
    assert answers[0] == answers[1]
    # whoever redeems a function in it, and administrators, see it
    for username, device in (("olga", "T-1"), ("root", None)):
        caller = await world.log_in(server.channel, username, device)
        found = await lookup(caller, order_id=order.code)
        assert [t.ticket_info.customer_info.name for t in found.tickets] == ["张三", "张三"]
    # and who has the QR in hand
    assert len((await lookup(nick, encrypted_data=ticket.qr)).tickets) == 2


async def test_one_ticket_with_a_locker_is_enough(world: World, nick: Terminal) -> None:
    order, _ = await world.order(2)
    await world.ticket([Entitlement("locker")], order_id=order.ticket_id)
    found = await lookup(nick, order_id=order.code.lower())
    assert found.order_id == order.code
    assert len(found.tickets) == 3


async def test_a_venue_that_redeems_less_than_its_merchant(
    world: World, server: GateServer
) -> None:
    """At SHOP it is gifts and tokens."""
    order, _ = await world.order(1)
    await world.sql("DELETE FROM entitlements WHERE function_code = 'gift'")
    olga = await world.log_in(server.channel, "olga", "T-SHOP")
    assert (await refusal(lookup(olga, order_id=order.code))).reason == Reason.NOT_FOUND


async def test_a_ticket_code_is_no_order_code(world: World, server: GateServer) -> None:
    order, (ticket,) = await world.order(1)
    olga = await world.log_in(server.channel, "olga", "T-1")
    assert (await lookup(olga, order_id=order.code)).order_id == order.code
    refused = await refusal(lookup(olga, order_id=order.code.replace("ORD", "OTA")))
    assert refused.reason == Reason.NOT_FOUND
    await olga.redeem(ticket.qr)
    for code, found in ((ticket.code, 1), (ticket.code.replace("OTA", "ORD"), 0)):
        request = redemption_pb2.ListRedemptionsRequest(ticket_code=code)
        assert len((await olga.call("ListRedemptions", request)).redemptions) == found


async def test_events_of_others_are_not_listed(
    world: World, server: GateServer, nick: Terminal
) -> None:
    ticket = await world.ticket()
    olga = await world.log_in(server.channel, "olga", "T-1")
    done = await olga.redeem(ticket.qr)
    for request in (
        redemption_pb2.ListRedemptionsRequest(ticket_code=ticket.code),
        redemption_pb2.ListRedemptionsRequest(jti=str(ticket.jti)),
    ):
        assert not (await nick.call("ListRedemptions", request)).redemptions
    nora = await world.log_in(server.channel, "nora", "T-N")
    assert (await refusal(nora.reverse(done.redemption_id))).reason == Reason.NOT_FOUND


async def test_over_json(world: World, server: GateServer, nick: Terminal) -> None:
    order, _ = await world.order(1)
    base = f"http://127.0.0.1:{server.app.http_port}"
    async with httpx2.AsyncClient(base_url=base, headers=dict(nick.metadata)) as http:
        answer = await http.post("/venue/orders:lookup", json={"order_id": order.code})
        assert answer.status_code == 404
        assert "张三" not in answer.text
