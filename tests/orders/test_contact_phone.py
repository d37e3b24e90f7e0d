"""The telephone number of an order: read, kept sealed, shown back with its country, and carried
over a change.

Seen red with the number left out of what is sealed, in an order and in that of a change.
"""

from typing import Any

import httpx2
from deeptravel.ticketing.v1 import order_pb2

from server.platform.errors import Reason
from tests.support import traveller
from tests.support.order_scenario import a_scenario, swap, tickets
from tests.support.rpc_server import refusal


async def test_a_contact_phone(database_url: str, redis_url: str) -> None:
    async with (
        traveller.a_world(database_url, departures=2) as world,
        traveller.traveller_server(database_url, redis_url) as server,
        a_scenario(database_url) as scenario,
    ):
        me = traveller.TravellerClient.of(server.channel, 1)
        without = await me.order(world.seat(), passengers=traveller.party(1))
        assert (without.contact_phone, without.contact_country_code) == ("", "")
        for wrong in ("123", "13800138000", "+99912345678"):
            refused = await refusal(me.create(world.seat(), contact_phone=wrong))
            assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, ("contact_phone",))
        party = traveller.party(1)
        fields: dict[str, Any] = {"request_id": "r", "passengers": party}
        order = await me.order(world.seat(), contact_phone="0086 138 0013 8000", **fields)
        assert (order.contact_phone, order.contact_country_code) == ("+8613800138000", "CN")
        # written otherwise it is the same request
        again = await me.order(world.seat(), contact_phone="+8613800138000", **fields)
        assert again == order == await me.get(order.order_id)
        ((kept,),) = await world.sql(
            "SELECT o::text FROM orders o WHERE order_code = %s", order.order_id
        )
        assert "13800138000" not in kept
        assert b"13800138000".hex() not in kept
        await scenario.pay(order.order_id)
        (ticket,) = await tickets(me)
        made = (await swap(me, ticket.ticket_code, world.seat(2, traveller.FIRST))).order
        assert (made.contact_phone, made.contact_country_code) == ("+8613800138000", "CN")
        base = f"http://127.0.0.1:{server.app.http_port}"
        async with httpx2.AsyncClient(base_url=base, headers=dict(me.metadata)) as http:
            shown = (await http.get(f"/orders/{order.order_id}")).json()["order"]
        assert (shown["contact_phone"], shown["contact_country_code"]) == ("+8613800138000", "CN")


def test_it_is_redacted() -> None:
    for message in (order_pb2.CreateOrderRequest, order_pb2.Order):
        assert message.DESCRIPTOR.fields_by_name["contact_phone"].GetOptions().debug_redact
