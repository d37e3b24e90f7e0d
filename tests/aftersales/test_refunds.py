"""Tickets given back: quoted, requested, and settled by WeChat."""

from dataclasses import replace
from typing import Any

import grpc
import pytest
from deeptravel.ticketing.v1 import refund_pb2

from server.platform.errors import Reason
from tests.support.gate_server import GateServer
from tests.support.order_scenario import (
    REFUND_STATE,
    OrderScenario,
    give_back,
    outstanding,
    quote,
    request_refund,
    states,
    tickets,
)
from tests.support.rpc_server import refusal
from tests.support.traveller import (
    ORDER_STATE,
    TravellerClient,
    World,
    party,
    traveller_server,
)


@pytest.fixture
async def other(world: World, server: GateServer) -> TravellerClient:
    """Another traveller at the same server."""
    return TravellerClient.of(server.channel, 2)


async def refund_of(client: TravellerClient, order_code: str) -> str:
    """The states of an order's refunds."""
    request = refund_pb2.ListRefundsRequest(order_id=order_code)
    found = (await client.call("ListRefunds", request)).refunds
    return " ".join(REFUND_STATE[refund.state] for refund in found)


async def test_one_ticket_comes_back_and_frees_its_seat(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    first, _second = await tickets(client)
    quoted = await quote(client, order.order_id, first.ticket_code)
    assert (quoted.amount_minor, quoted.fee_minor, quoted.currency_code) == (19_500, 500, "CNY")
    (each,) = quoted.tickets
    assert (each.ticket_code, each.paid_minor, each.percent) == (first.ticket_code, 20_000, 100)
    assert "CNY 5.00" in each.rule_en
    assert "CNY 5.00" in each.rule_zh
    refund = await request_refund(client, order.order_id, quoted.refund_quote)
    assert (REFUND_STATE[refund.state], refund.amount_minor) == ("PROCESSING", 19_500)
    assert refund.refund_id == f"{order.order_id}-R1"
    assert await states(client, order.order_id) == ["REFUNDING", "ACTIVE"]
    assert await world.stock() == (10, 0, 2)
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED", "ACTIVE"]
    assert await refund_of(client, order.order_id) == "SUCCEEDED"
    assert await world.stock() == (10, 0, 1)
    assert ORDER_STATE[(await client.get(order.order_id)).state] == "PAID"
    assert scenario.wechat.known.keys() == {f"DT{await _number(world, order.order_id)}R1S1"}


async def test_the_last_ticket_cancels_the_order(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    await give_back(client, order.order_id)
    await scenario.drain()
    found = await client.get(order.order_id)
    assert (ORDER_STATE[found.state], found.cancel_reason) == ("CANCELLED", 3)
    events = "SELECT string_agg(event, ' ' ORDER BY sequence) FROM order_events"
    assert await world.value(events) == (
        "order.paid ticket.refunding ticket.refunding ticket.refunded ticket.refunded"
        " payment.refunded order.cancelled"
    )
    assert await world.stock() == (10, 0, 0)


async def test_a_seat_that_came_back_is_sold_again(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    passengers = party()
    order = await scenario.sell(client, world.seat(), passengers=passengers)
    await give_back(client, order.order_id)
    await scenario.drain()
    again = await scenario.sell(client, world.seat(), passengers=passengers)
    assert [p.seat for p in again.items[0].places] == [p.seat for p in order.items[0].places]


async def test_refusals_say_why(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    first, _second = await tickets(client)
    for column, why in (
        ("state = 'USED'", "REDEEMED"),
        ("state = 'EXPIRED'", "EXPIRED"),
        ("state = 'CHANGING'", "CHANGING"),
        ("blocked", "BLOCKED"),
        ("valid_until_time = now()", "EXPIRED"),
    ):
        change = column if "=" in column else f"{column} = true"
        before = await world.sql(
            "SELECT state, blocked, valid_from_time, valid_until_time FROM tickets WHERE"
            " ticket_code = %s",
            first.ticket_code,
        )
        await world.sql(
            f"UPDATE tickets SET valid_from_time = now() - interval '1 day', {change} WHERE"
            " ticket_code = %s",
            first.ticket_code,
        )
        refused = await refusal(quote(client, order.order_id, first.ticket_code))
        assert refused.reason == Reason.REFUND_REFUSED
        metadata = dict(refused.metadata)
        assert bool(metadata.pop("deadline_time", "")) == (why == "EXPIRED")
        assert metadata == {"ticket_code": first.ticket_code, "why": why}
        await world.sql(
            "UPDATE tickets SET state = %s, blocked = %s, valid_from_time = %s, valid_until_time"
            " = %s WHERE ticket_code = %s",
            *before[0],
            first.ticket_code,
        )
    await world.departs("now()")
    refused = await refusal(quote(client, order.order_id))
    assert (refused.reason, refused.metadata["why"]) == (Reason.REFUND_REFUSED, "TOO_LATE")


async def test_without_codes_what_can_come_back_does(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    first, second = await tickets(client)
    await give_back(client, order.order_id, first.ticket_code)
    quoted = await quote(client, order.order_id)
    assert [each.ticket_code for each in quoted.tickets] == [second.ticket_code]
    refused = await refusal(quote(client, order.order_id, first.ticket_code))
    assert refused.metadata["why"] == "REFUNDING"
    await scenario.drain()
    await give_back(client, order.order_id)
    await scenario.drain()
    refused = await refusal(quote(client, order.order_id))
    assert refused.metadata["why"] == "REFUNDED"
    payment = "SELECT refunded_minor, amount_minor FROM payments"
    assert await world.sql(payment) == [(39_000, 40_000)]


async def test_an_order_that_is_not_paid_gives_nothing_back(
    world: World, client: TravellerClient
) -> None:
    order = await client.order(world.seat())
    refused = await refusal(quote(client, order.order_id))
    assert (refused.reason, refused.metadata["why"]) == (Reason.REFUND_REFUSED, "NOT_ACTIVE")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await quote(client, order.order_id)
    words = f"order {order.order_id} cannot be given back: it is not paid yet; cancel it instead"
    assert caught.value.details() == words


async def test_nothing_of_others_is_found(
    world: World, client: TravellerClient, other: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    mine = await scenario.sell(other, world.seat())
    (ticket, _) = await tickets(client)
    for call in (
        quote(other, order.order_id),
        quote(other, mine.order_id, ticket.ticket_code),
        quote(other, "ORD-DT-20261121-999999"),
        quote(other, "ORD-CP-20261121-000001"),
        quote(other, "nonsense"),
        request_refund(other, order.order_id, "x"),
        other.call("ListRefunds", refund_pb2.ListRefundsRequest(order_id=order.order_id)),
    ):
        assert (await refusal(call)).reason == Reason.NOT_FOUND


async def test_quotes_are_the_callers_and_the_orders_and_in_time(
    world: World, client: TravellerClient, other: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    second = await scenario.sell(client, world.seat(2))
    theirs = await scenario.sell(other, world.seat(3))
    quoted = (await quote(client, order.order_id)).refund_quote
    forged = quoted[:-1] + ("A" if quoted[-1] != "A" else "B")
    for call in (
        request_refund(client, second.order_id, quoted),
        request_refund(other, theirs.order_id, quoted),
        request_refund(client, order.order_id, forged),
        request_refund(client, order.order_id, "AAAA"),
        request_refund(client, order.order_id, "é not base64"),
    ):
        assert (await refusal(call)).reason == Reason.QUOTE_INVALID
    assert await states(client, order.order_id) == ["ACTIVE", "ACTIVE"]


async def test_a_quote_ends(
    world: World, scenario: OrderScenario, module_database_url: str, module_redis_url: str
) -> None:
    async with traveller_server(module_database_url, module_redis_url, quote_seconds=30) as server:
        client = TravellerClient.of(server.channel, 1)
        order = await scenario.sell(client, world.seat())
        # bounded by the tier: 80 per cent begin a day before departure
        await world.departs("now() + interval '1 day 1 second'")
        quoted = await quote(client, order.order_id)
        assert quoted.amount_minor == 39_000
        assert quoted.expire_time.ToDatetime() < quoted.expire_time.ToDatetime().max
        await world.until("SELECT min(reference_time) < now() + interval '1 day' FROM ticket_sales")
        refused = await refusal(request_refund(client, order.order_id, quoted.refund_quote))
        assert refused.reason == Reason.QUOTE_INVALID
        assert (await quote(client, order.order_id)).amount_minor == 31_000


async def test_a_quote_holds_while_nothing_moves(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    first, _second = await tickets(client)
    both = (await quote(client, order.order_id)).refund_quote
    await give_back(client, order.order_id, first.ticket_code)
    refused = await refusal(request_refund(client, order.order_id, both))
    assert refused.reason == Reason.REFUND_REFUSED
    assert refused.metadata == {"ticket_code": first.ticket_code, "why": "REFUNDING"}
    assert await states(client, order.order_id) == ["REFUNDING", "ACTIVE"]


async def test_a_repeat_is_one_refund(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    first, second = await tickets(client)
    quoted = (await quote(client, order.order_id, first.ticket_code)).refund_quote
    once = await request_refund(client, order.order_id, quoted, request_id="r1")
    await scenario.drain()
    assert await request_refund(client, order.order_id, quoted, request_id="r1") == once
    another = (await quote(client, order.order_id, second.ticket_code)).refund_quote
    refused = await refusal(request_refund(client, order.order_id, another, request_id="r1"))
    assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    assert await world.value("SELECT count(*) FROM refunds") == 1


async def test_what_costs_nothing_comes_back_at_once(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    await world.sql(
        "UPDATE snapshots SET content = jsonb_set(content, '{policy,refund_fee_minor}', '99999')"
    )
    refund = await give_back(client, order.order_id)
    assert (REFUND_STATE[refund.state], refund.amount_minor) == ("SUCCEEDED", 0)
    assert await outstanding(scenario) == 0
    assert await states(client, order.order_id) == ["REFUNDED", "REFUNDED"]
    assert ORDER_STATE[(await client.get(order.order_id)).state] == "CANCELLED"


async def test_partly_used_tickets_come_back_pro_rata(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.package(), passengers=party(1))
    (ticket,) = [each for each in await tickets(client) if not each.shared]
    await world.sql(
        "UPDATE entitlements e SET remaining_uses = 0 FROM tickets t WHERE t.ticket_id ="
        " e.ticket_id AND t.ticket_code = %s AND function_code = 'gift'",
        ticket.ticket_code,
    )
    await world.sql(
        "UPDATE tickets SET state = 'PARTIALLY_REDEEMED' WHERE ticket_code = %s", ticket.ticket_code
    )
    refused = await refusal(quote(client, order.order_id, ticket.ticket_code))
    assert refused.metadata["why"] == "REDEEMED"
    await world.sql(
        "UPDATE snapshots SET content = jsonb_set(content, '{policy,pro_rata}', 'true')"
    )
    quoted = await quote(client, order.order_id, ticket.ticket_code)
    assert (quoted.amount_minor, quoted.fee_minor) == (24_500, 25_500)
    scenario.wechat.state = "CLOSED"
    await request_refund(client, order.order_id, quoted.refund_quote)
    await scenario.drain()
    assert sorted(await states(client, order.order_id)) == ["ACTIVE", "PARTIALLY_REDEEMED"]
    # for the invariants, which know of no redemption
    await world.sql("UPDATE entitlements SET remaining_uses = total_uses")
    await world.sql("UPDATE tickets SET state = 'ACTIVE'")


async def test_what_is_shared_goes_with_the_last(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.package())
    first, second, shared = sorted(await tickets(client), key=lambda each: each.shared)
    assert shared.shared
    assert len((await quote(client, order.order_id, first.ticket_code)).tickets) == 1
    await give_back(client, order.order_id, first.ticket_code)
    # it may still come back
    assert len((await quote(client, order.order_id, second.ticket_code)).tickets) == 1
    await scenario.drain()
    quoted = await quote(client, order.order_id, second.ticket_code)
    assert [each.ticket_code for each in quoted.tickets] == [second.ticket_code, shared.ticket_code]
    await world.sql("UPDATE tickets SET state = 'USED' WHERE ticket_code = %s", shared.ticket_code)
    refused = await refusal(quote(client, order.order_id, second.ticket_code))
    assert refused.metadata == {"ticket_code": shared.ticket_code, "why": "REDEEMED"}
    await world.sql(
        "UPDATE tickets SET state = 'ACTIVE' WHERE ticket_code = %s", shared.ticket_code
    )
    await request_refund(client, order.order_id, quoted.refund_quote)
    await scenario.drain()
    assert ORDER_STATE[(await client.get(order.order_id)).state] == "CANCELLED"


async def test_processing_is_asked_for_until_it_settles(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    scenario.wechat.state = "PROCESSING"
    await give_back(client, order.order_id)
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDING", "REFUNDING"]
    scenario.forward(minutes=2)
    await scenario.drain()
    assert await outstanding(scenario) == 1
    scenario.wechat.state = "SUCCESS"
    scenario.forward(minutes=20)
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED", "REFUNDED"]
    assert await outstanding(scenario) == 0
    assert len(scenario.wechat.known) == 1


async def test_closed_gives_the_tickets_back_to_the_traveller(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    scenario.wechat.state = "CLOSED"
    await give_back(client, order.order_id)
    await scenario.drain()
    assert await states(client, order.order_id) == ["ACTIVE", "ACTIVE"]
    assert await refund_of(client, order.order_id) == "CLOSED"
    assert await world.value("SELECT refunded_minor FROM payments") == 0
    scenario.wechat.state = "SUCCESS"
    await give_back(client, order.order_id)
    await scenario.drain()
    assert await refund_of(client, order.order_id) == "CLOSED SUCCEEDED"
    assert scenario.wechat.asked[0] != scenario.wechat.asked[1]


async def test_notices_in_any_order_and_number(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    scenario.wechat.state = "PROCESSING"
    await give_back(client, order.order_id)
    await scenario.drain()
    (number,) = scenario.wechat.known
    for state, then in (
        ("PROCESSING", "PROCESSING"),
        ("SUCCESS", "SUCCEEDED"),
        ("SUCCESS", "SUCCEEDED"),
        ("PROCESSING", "SUCCEEDED"),
        ("ABNORMAL", "SUCCEEDED"),
    ):
        assert await scenario.notice(number, state) == then
    assert await world.value("SELECT count(*) FROM payment_incidents") == 0
    assert await scenario.notice(number, "CLOSED") == "SUCCEEDED"
    assert await world.value("SELECT kind FROM payment_incidents") == "REFUND_CONTRADICTION"
    assert await states(client, order.order_id) == ["REFUNDED", "REFUNDED"]
    scenario.wechat.known["DT1R1S1"] = scenario.wechat.known[number]
    assert await scenario.notice("DT1R1S1", "SUCCESS") is None
    kinds = "SELECT array_agg(kind ORDER BY create_time) FROM payment_incidents"
    assert await world.value(kinds) == ["REFUND_CONTRADICTION", "REFUND_UNKNOWN"]


async def test_what_does_not_fit_is_an_incident(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    scenario.wechat.state = "PROCESSING"
    await give_back(client, order.order_id)
    await scenario.drain()
    ((number, reported),) = scenario.wechat.known.items()
    others: tuple[dict[str, Any], ...] = (
        {"refund_minor": 1},
        {"currency_code": "HKD"},
        {"out_trade_no": "DT1P1"},
        {"state": "NEWS"},
    )
    for other in others:
        scenario.wechat.known[number] = replace(reported, **other)
        assert await scenario.notice(number, other.get("state", "SUCCESS")) == "PROCESSING"
    kinds = "SELECT kind, count(*) FROM payment_incidents GROUP BY 1"
    assert await world.sql(kinds) == [("REFUND_MISMATCH", 4)]
    assert await states(client, order.order_id) == ["REFUNDING", "REFUNDING"]


async def test_refunds_are_listed_by_page(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(3))
    for ticket in await tickets(client):
        await give_back(client, order.order_id, ticket.ticket_code)
    numbers, token = [], ""
    while True:
        request = refund_pb2.ListRefundsRequest(
            order_id=order.order_id, page_size=2, page_token=token
        )
        page = await client.call("ListRefunds", request)
        numbers += [refund.refund_id[-2:] for refund in page.refunds]
        token = page.next_page_token
        if not token:
            break
    assert numbers == ["R1", "R2", "R3"]


async def _number(world: World, order_code: str) -> int:
    return int(await world.value("SELECT order_id FROM orders WHERE order_code = %s", order_code))
