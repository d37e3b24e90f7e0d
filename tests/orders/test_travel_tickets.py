"""A traveller's tickets: listed, read, and shown at the gate; orders that end with their last
ticket.
"""

from datetime import timedelta
from typing import Any

import httpx2
import pytest
from deeptravel.ticketing.v1 import order_pb2, ticket_pb2
from deeptravel.tickets.v1 import ticket_pb2 as tickets_pb2

from server.platform.errors import Reason
from server.tickets import qr
from tests.support.gate_server import GateServer
from tests.support.order_scenario import (
    OrderScenario,
    give_back,
    quote,
    states,
    swap,
    tickets,
)
from tests.support.rpc_server import refusal
from tests.support.traveller import (
    TravellerClient,
    World,
    child,
    party,
    passenger,
)


@pytest.fixture
async def other(world: World, server: GateServer) -> TravellerClient:
    """Another traveller at the same server."""
    return TravellerClient.of(server.channel, 2)


async def get(client: TravellerClient, ticket_code: str) -> Any:
    request = ticket_pb2.GetTicketRequest(ticket_code=ticket_code)
    return (await client.call("GetTicket", request)).ticket


async def issue(client: TravellerClient, ticket_code: str, **fields: Any) -> Any:
    request = ticket_pb2.IssueTicketQrRequest(ticket_code=ticket_code, **fields)
    return await client.call("IssueTicketQr", request)


async def test_a_ticket_says_all_about_the_journey(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    who = passenger("王小明", document_number="E1234567X")
    order = await scenario.sell(client, world.seat(), passengers=[who, child()])
    first, second = await tickets(client)
    assert await get(client, first.ticket_code) == first
    assert first.ticket_code.startswith("DIR-DT-")
    assert (first.order_id, first.product_id) == (order.order_id, 1)
    assert (first.display_name_en, first.display_name_zh) == ("Train", "火车")
    assert (first.passenger.name, first.passenger.document_masked) == ("王小明", "E******7X")
    assert "1234567" not in str(first)
    assert first.journey == order.items[0].offer.journey
    assert first.journey.service_number == "G5001"
    opens = first.journey.departure_time.ToDatetime() - timedelta(minutes=120)
    assert first.boarding_time.ToDatetime() == opens
    assert [first.seat, second.seat] == [place.seat for place in order.items[0].places]
    assert (first.amount_minor, second.amount_minor) == (20_000, 10_000)
    assert [(e.function_code, e.remaining_uses) for e in first.entitlements] == [("boarding", 1)]
    assert (first.policy.changes_allowed, first.policy.refund_fee_minor) == (1, 500)
    assert not first.shared


async def test_a_package_has_a_ticket_that_is_anybodys(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await scenario.sell(client, world.package(), passengers=party(1))
    own, shared = sorted(await tickets(client), key=lambda each: each.shared)
    assert {e.function_code for e in own.entitlements} == {"ferry", "gift"}
    assert {e.function_code for e in shared.entitlements} == {"lounge"}
    assert (shared.amount_minor, shared.HasField("passenger")) == (0, False)
    assert not own.HasField("journey")
    assert not own.HasField("boarding_time")


async def test_lists_go_by_page_the_newest_order_first(
    world: World, client: TravellerClient, other: TravellerClient, scenario: OrderScenario
) -> None:
    orders = [(await scenario.sell(client, world.seat(n))).order_id for n in (1, 2, 3)]
    await scenario.sell(other, world.seat())
    found: list[Any] = []
    token = ""
    while True:
        request = ticket_pb2.ListTicketsRequest(page_size=2, page_token=token)
        page = await client.call("ListTickets", request)
        assert len(page.tickets) == 2
        found += page.tickets
        token = page.next_page_token
        if not token:
            break
    assert [each.order_id for each in found] == [o for o in reversed(orders) for _ in range(2)]
    assert found == await tickets(client)
    assert len(await tickets(client, order_id=orders[0])) == 2
    await give_back(client, orders[1])
    refunding = await tickets(client, status=tickets_pb2.TICKET_STATE_REFUNDING)
    assert {each.order_id for each in refunding} == {orders[1]}
    page = await client.call("ListTickets", ticket_pb2.ListTicketsRequest(page_size=1))
    forged = ticket_pb2.ListTicketsRequest(page_token=page.next_page_token)
    assert (await refusal(other.call("ListTickets", forged))).reason == Reason.PAGE_TOKEN_INVALID


async def test_nothing_of_others_is_found(
    world: World, client: TravellerClient, other: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    (ticket, _) = await tickets(client)
    order_qr = ticket_pb2.IssueOrderQrRequest(order_id=order.order_id)
    for call in (
        get(other, ticket.ticket_code),
        issue(other, ticket.ticket_code),
        issue(other, ticket.ticket_code, rotate=True, request_id="r"),
        tickets(other, order_id=order.order_id),
        other.call("IssueOrderQr", order_qr),
        get(client, "DIR-DT-20261121-999999"),
        get(client, ticket.ticket_code.replace("DIR-DT", "OTA-CP")),
        get(client, "nonsense"),
    ):
        assert (await refusal(call)).reason == Reason.NOT_FOUND
    assert await tickets(other) == []


async def test_a_qr_is_issued_again_and_superseded(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await scenario.sell(client, world.seat())
    (ticket, _) = await tickets(client)
    first = await issue(client, ticket.ticket_code)
    again = await issue(client, ticket.ticket_code)
    assert first.jti == again.jti
    assert first.encrypted_data != again.encrypted_data
    assert again.png.startswith(b"\x89PNG")
    parsed = qr.parse(again.encrypted_data, world.ring)
    assert not isinstance(parsed, qr.Invalid)
    claims = qr.verify(parsed)
    assert not isinstance(claims, qr.Invalid)
    assert str(claims.jti) == again.jti
    rotated = await issue(client, ticket.ticket_code, rotate=True, request_id="r1")
    assert rotated.jti != first.jti
    assert (await issue(client, ticket.ticket_code, rotate=True, request_id="r1")) == rotated
    refused = await refusal(issue(client, ticket.ticket_code, request_id="r1"))
    assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    assert (await issue(client, ticket.ticket_code)).jti == rotated.jti


async def test_no_qr_for_what_cannot_be_used(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    (ticket, _) = await tickets(client)
    await give_back(client, order.order_id, ticket.ticket_code)
    await scenario.drain()
    refused = await refusal(issue(client, ticket.ticket_code))
    assert refused.reason == Reason.TICKET_STATE_REFUSES
    assert refused.metadata == {"ticket_code": ticket.ticket_code, "status": "REFUNDED"}


async def test_the_qr_of_an_order(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await client.order(world.seat())
    request = ticket_pb2.IssueOrderQrRequest(order_id=order.order_id)
    refused = await refusal(client.call("IssueOrderQr", request))
    assert refused.reason == Reason.ORDER_STATE_REFUSES
    assert refused.metadata == {"order_id": order.order_id, "state": "PENDING"}
    await scenario.pay(order.order_id)
    issued = await client.call("IssueOrderQr", request)
    parsed = qr.parse(issued.encrypted_data, world.ring)
    assert not isinstance(parsed, qr.Invalid)
    claims = qr.verify(parsed)
    assert not isinstance(claims, qr.Invalid)
    assert claims.kind is qr.QrKind.ORDER
    assert issued.svg


async def test_all_of_it_over_json(
    world: World, client: TravellerClient, server: GateServer, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    base = f"http://127.0.0.1:{server.app.http_port}"
    async with httpx2.AsyncClient(base_url=base, headers=dict(client.metadata)) as http:
        (ticket,) = (await http.get("/tickets")).json()["tickets"]
        code = ticket["ticket_code"]
        answer = await http.post(f"/tickets/{code}/qr", json={})
        assert answer.status_code == 200
        answer = await http.post(
            f"/tickets/{code}/changes:quote", json={"offer_id": world.package()}
        )
        why = {"ticket_code": code, "why": "OTHER_PRODUCT"}
        assert (answer.status_code, _refusal(answer)) == (400, ("CHANGE_REFUSED", why))
        answer = await http.post(f"/orders/{order.order_id}/refunds:quote", json={})
        quoted = answer.json()
        assert quoted["tickets"][0]["percent"] == 100
        body = {"refund_quote": quoted["refund_quote"], "request_id": "j1"}
        answer = await http.post(f"/orders/{order.order_id}/refunds", json=body)
        assert answer.status_code == 200
        again = await http.post(f"/orders/{order.order_id}/refunds", json=body)
        assert again.json() == answer.json()
        answer = await http.post(f"/orders/{order.order_id}/refunds:quote", json={})
        why = {"ticket_code": code, "why": "REFUNDING"}
        assert (answer.status_code, _refusal(answer)) == (400, ("REFUND_REFUSED", why))
        await scenario.drain()
        (refund,) = (await http.get(f"/orders/{order.order_id}/refunds")).json()["refunds"]
        assert (refund["state"], refund["cause"]) == ("SUCCEEDED", "traveller")
    assert await states(client, order.order_id) == ["REFUNDED"]


def _refusal(answer: Any) -> tuple[str, dict[str, str]]:
    """Reason and metadata of a refusal in JSON."""
    (info,) = [each for each in answer.json()["details"] if "ErrorInfo" in each["@type"]]
    return info["reason"], info["metadata"]


async def test_watchers_hear_of_it(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    (ticket,) = await tickets(client)
    await give_back(client, order.order_id)
    await scenario.drain()
    request = order_pb2.WatchOrderRequest(order_id=order.order_id)
    heard = [(move.event, move.ticket_code) async for move in client.call("WatchOrder", request)]
    assert heard[1:] == [
        ("order.paid", ""),
        ("ticket.refunding", ticket.ticket_code),
        ("ticket.refunded", ticket.ticket_code),
        ("payment.refunded", ""),
        ("order.cancelled", ""),
    ]


async def test_what_was_changed_is_shown_in_both_orders(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    (ticket,) = await tickets(client)
    made = await swap(client, ticket.ticket_code, world.seat(2, 1))
    events = (
        "SELECT string_agg(event, ' ' ORDER BY e.sequence) FROM order_events e JOIN orders o"
        " USING (order_id) WHERE order_code = %s"
    )
    assert await world.value(events, order.order_id) == (
        "order.paid ticket.changing ticket.changed order.cancelled"
    )
    assert await world.value(events, made.order.order_id) == "order.paid"
    assert (await quote(client, made.order.order_id)).amount_minor == 9_500
