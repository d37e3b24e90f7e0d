"""What comes back by the rules: until when, of a party's tickets, after a change, of a difference;
over gRPC and JSON.

Seen red on the code before: "until use" was TOO_LATE from the first day of use on, four of five
gave back 32,000, a changed ticket got 100 %, a cheaper one the whole difference, and what an order
had behind its 200th ticket could not be given back.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import httpx2
import orjson
import pytest
from deeptravel.ticketing.v1 import offer_pb2, order_pb2
from deeptravel.ticketing.v1 import ticket_pb2 as travel_ticket_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.platform.errors import Reason
from tests.support.changes import show_changes
from tests.support.gate_server import GateServer
from tests.support.invariants import assert_invariants
from tests.support.operations import Manager, followed
from tests.support.order_scenario import (
    OrderScenario,
    change,
    give_back,
    quote,
    quote_change,
    request_refund,
    states,
    swap,
    tickets,
)
from tests.support.rpc_server import refusal
from tests.support.travel_clients import OverJson, RefusedError
from tests.support.traveller import (
    FIRST,
    ORDER_STATE,
    PREMIUM,
    SECOND,
    TRAIN,
    TravellerClient,
    World,
    a_world,
    party,
    request_id,
)

FREE = {"refund_tiers": [{"minutes_before": 1440, "percent": 100}], "changes_allowed": 5}
UNTIL_USE = FREE | {"refund_tiers": [{"minutes_before": 0, "percent": 80}]}
RAILWAY = FREE | {
    "refund_tiers": [
        {"minutes_before": 1440, "percent": 100},
        {"minutes_before": 0, "percent": 80},
    ],
    "change_fee_minor": 1_000,
}


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=4) as filled:
        yield filled


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    yield filled_world
    # some tests move days and validities by hand
    assert_invariants(module_database_url, but={"validity"})


async def seen(world: World, look: Callable[[], Awaitable[bool]]) -> None:
    """Waits until the server has seen what was configured, which takes a second at the most."""
    await show_changes(world)
    for _ in range(500):
        if await look():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not seen")


async def product(client: TravellerClient, product_id: int = PREMIUM) -> Any:
    """GetProduct."""
    return await client.call("GetProduct", offer_pb2.GetProductRequest(product_id=product_id))


async def terms(
    world: World,
    client: TravellerClient,
    product_id: int,
    policy: dict[str, Any],
    *tiers: tuple[int, int],
) -> None:
    """Sells a product under a policy, with discounts of so many percent for parties of so many."""
    names = "min_party", "percent_off"
    content = orjson.dumps([dict(zip(names, tier, strict=True)) for tier in tiers]).decode()
    await world.sql(
        "UPDATE products SET policy = %s, tiers = %s WHERE product_id = %s",
        orjson.dumps(policy).decode(),
        content,
        product_id,
    )

    async def look() -> bool:
        found = await product(client, product_id)
        same = (found.policy.changes_allowed, len(found.tiers)) == (
            policy["changes_allowed"],
            len(tiers),
        )
        return same and found.policy.change_fee_minor == policy.get("change_fee_minor", 0)

    await seen(world, look)


async def json_call(server: GateServer, client: TravellerClient, name: str, **fields: Any) -> Any:
    """The same over JSON. Raises RefusedError."""

    def call() -> Any:
        url = f"http://127.0.0.1:{server.app.http_port}"
        with httpx2.Client(base_url=url, trust_env=False) as http:
            over_json = OverJson(http)
            over_json.token = client.metadata[0][1].removeprefix("Bearer ")
            return over_json.call(name, **fields)

    return await asyncio.to_thread(call)


async def all_tickets(client: TravellerClient, order_code: str) -> list[Any]:
    """Every ticket of an order, page by page."""
    found: list[Any] = []
    token = ""
    while True:
        page = await client.call(
            "ListTickets",
            travel_ticket_pb2.ListTicketsRequest(
                order_id=order_code, page_size=200, page_token=token
            ),
        )
        found += page.tickets
        token = page.next_page_token
        if not token:
            return found


# Until use


async def test_until_use_is_until_the_validity_ends(
    world: World, client: TravellerClient, scenario: OrderScenario, server: GateServer
) -> None:
    await terms(world, client, PREMIUM, UNTIL_USE)
    order = await scenario.sell(client, world.package(), passengers=party(1))
    (ticket,) = [each for each in await tickets(client) if not each.shared]
    # its first day of use began an hour ago
    await world.departs("now() - interval '1 hour'")
    quoted = await quote(client, order.order_id, ticket.ticket_code)
    assert (quoted.amount_minor, quoted.tickets[0].percent) == (40_000, 80)
    ends = ticket.valid_until_time.ToDatetime(UTC).astimezone(ZoneInfo("Asia/Hong_Kong"))
    quote_json = await json_call(server, client, "QuoteRefund", order_id=order.order_id)
    rule = quote_json["tickets"][0]
    clock = f"{ends:%Y-%m-%d} 00:00 UTC+08:00"
    assert rule["rule_en"] == f"80% is given back until its validity ends ({clock})."
    assert rule["rule_zh"] == f"至有效期结束时（{clock}）退80%。"
    assert "80% until its validity ends" in ticket.policy.text_en
    assert "至有效期结束时退80%" in ticket.policy.text_zh
    changed = await quote_change(client, ticket.ticket_code, world.package(1))
    assert changed.refund_percent == 80
    await world.sql(
        "UPDATE tickets SET valid_from_time = now() - interval '2 days', valid_until_time = now()"
    )
    refused = await refusal(quote(client, order.order_id, ticket.ticket_code))
    assert (refused.reason, refused.metadata["why"]) == (Reason.REFUND_REFUSED, "EXPIRED")
    assert refused.metadata["deadline_time"].endswith("+08:00")


async def test_until_use_of_a_train_is_until_it_leaves(
    world: World, client: TravellerClient, scenario: OrderScenario, server: GateServer
) -> None:
    await terms(world, client, TRAIN, UNTIL_USE)
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    (ticket,) = await tickets(client)
    quoted = await quote(client, order.order_id)
    assert quoted.amount_minor == 16_000
    assert "until departure (" in quoted.tickets[0].rule_en
    leaves = ticket.journey.departure_time.ToDatetime(UTC).astimezone(ZoneInfo("Asia/Hong_Kong"))
    assert f"{leaves:%Y-%m-%d %H:%M} UTC+08:00" in quoted.tickets[0].rule_zh
    await world.departs("now() - interval '1 second'")
    refused = await refusal(quote(client, order.order_id))
    assert refused.metadata["why"] == "TOO_LATE"
    with pytest.raises(RefusedError) as refused_json:
        await json_call(
            server,
            client,
            "QuoteChange",
            ticket_code=ticket.ticket_code,
            offer_id=world.seat(2),
        )
    assert refused_json.value.facts["why"] == "TOO_LATE"
    assert refused_json.value.facts["deadline_time"] == refused.metadata["deadline_time"]


# A party's discount


async def test_those_who_stay_pay_as_if_they_were_alone(
    world: World, client: TravellerClient, scenario: OrderScenario, server: GateServer
) -> None:
    """Five pay 40,000, four give back: the fifth has travelled for 10,000, not for 8,000."""
    await terms(world, client, TRAIN, FREE, (5, 20))
    order = await scenario.sell(client, world.seat(1, SECOND), passengers=party(5))
    assert order.total_minor == 40_000
    codes = [each.ticket_code for each in await tickets(client)]
    quote_json = await json_call(
        server, client, "QuoteRefund", order_id=order.order_id, ticket_codes=codes[:4]
    )
    money = quote_json["amount_minor"], quote_json["fee_minor"], quote_json["party_discount_minor"]
    assert money == ("30000", "0", "2000")
    lines = [
        (each["paid_minor"], each["amount_minor"], each["party_discount_minor"])
        for each in quote_json["tickets"]
    ]
    assert lines == [("8000", "7500", "500")] * 4
    assert "CNY 5.00 are kept first, the party discount" in quote_json["tickets"][0]["rule_en"]
    assert "团体优惠CNY 5.00" in quote_json["tickets"][0]["rule_zh"]
    refund = await json_call(
        server,
        client,
        "RequestRefund",
        order_id=order.order_id,
        refund_quote=quote_json["refund_quote"],
        request_id=request_id(),
    )
    assert refund["refund"]["amount_minor"] == "30000"
    await scenario.drain()
    assert await world.value("SELECT amount_minor - refunded_minor FROM payments") == 10_000
    # the fifth gives back, too: all the rest
    quoted = await quote(client, order.order_id)
    assert (quoted.amount_minor, quoted.party_discount_minor) == (10_000, -2_000)
    await request_refund(client, order.order_id, quoted.refund_quote)
    await scenario.drain()
    assert await world.value("SELECT amount_minor - refunded_minor FROM payments") == 0
    assert ORDER_STATE[(await client.get(order.order_id)).state] == "CANCELLED"


async def test_one_after_the_other_is_as_much_as_all_at_once(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    policy = UNTIL_USE | {"refund_fee_minor": 300}
    await terms(world, client, TRAIN, policy, (5, 20))
    order = await scenario.sell(client, world.seat(1, SECOND), passengers=party(5))
    given = [
        (await give_back(client, order.order_id, each.ticket_code)).amount_minor
        for each in (await tickets(client))[:4]
    ]
    # of the first nothing is left to keep a fee of
    assert given == [0, 7_700, 7_700, 7_700]
    await scenario.drain()
    kept = "SELECT amount_minor - refunded_minor FROM payments"
    assert await world.value(kept) == 40_000 - 24_000 + 900
    facts = await world.sql(
        "SELECT (t ->> 'party_discount_minor')::int, (t ->> 'fee_minor')::int"
        " FROM refunds, jsonb_array_elements(tickets) t ORDER BY refund_no"
    )
    assert facts == [(8_000, 0), (-2_000, 2_300), (-2_000, 2_300), (-2_000, 2_300)]


async def test_a_promotion_for_parties_is_worked_out_again(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await terms(world, client, PREMIUM, FREE)
    await world.promote(1, "PARTY", basis_points=2_000, cap=None)
    await world.sql("UPDATE promotions SET min_party = 3")

    async def look() -> bool:
        request = order_pb2.QuoteOrderRequest(
            items=[order_pb2.OrderItem(offer_id=world.package())],
            passengers=[ticket_pb2.CUSTOMER_TYPE_ADULT] * 3,
            promotion_codes=["PARTY"],
        )
        try:
            return int((await client.call("QuoteOrder", request)).total_minor) == 120_000
        except grpc.aio.AioRpcError:
            return False

    await seen(world, look)
    order = await scenario.sell(
        client, world.package(), passengers=party(3), promotion_codes=["PARTY"]
    )
    assert order.total_minor == 120_000
    # its end and its withdrawal change nothing for who has bought
    await world.sql("UPDATE promotions SET end_time = now()")
    first = next(each for each in await tickets(client) if not each.shared)
    quoted = await quote(client, order.order_id, first.ticket_code)
    assert (quoted.amount_minor, quoted.party_discount_minor) == (20_000, 20_000)
    # what is shared goes with the last, and is no one of the party
    everything = await quote(client, order.order_id)
    assert (everything.amount_minor, everything.party_discount_minor) == (120_000, 0)


async def test_a_refund_that_is_closed_brings_its_party_back(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await terms(world, client, TRAIN, FREE, (5, 20))
    order = await scenario.sell(client, world.seat(1, SECOND), passengers=party(5))
    codes = [each.ticket_code for each in await tickets(client)]
    scenario.wechat.state = "CLOSED"
    assert (await give_back(client, order.order_id, *codes[:4])).amount_minor == 30_000
    # while it waits the fifth is alone
    assert (await quote(client, order.order_id, codes[4])).amount_minor == 10_000
    await scenario.drain()
    assert (await quote(client, order.order_id, codes[4])).amount_minor == 0
    assert (await quote(client, order.order_id)).amount_minor == 40_000


async def test_a_change_leaves_the_party(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await terms(world, client, TRAIN, FREE | {"change_fee_minor": 100}, (5, 20))
    order = await scenario.sell(client, world.seat(1, SECOND), passengers=party(5))
    codes = [each.ticket_code for each in await tickets(client)]
    quoted = await quote_change(client, codes[0], world.seat(2, SECOND))
    # alone there is no discount; those who stay keep theirs
    assert (quoted.old_minor, quoted.new_minor, quoted.pay_minor) == (8_000, 10_000, 2_100)
    made = await change(client, codes[0], quoted.change_quote)
    await scenario.pay(made.order.order_id)
    assert (await quote(client, order.order_id, codes[1])).amount_minor == 32_000 - 30_000
    assert (await give_back(client, order.order_id, *codes[1:4])).amount_minor == 22_000
    # the last takes along what was kept for it
    last = await quote_change(client, codes[4], world.seat(2, SECOND))
    assert (last.old_minor, last.pay_minor) == (10_000, 100)
    made = await change(client, codes[4], last.change_quote)
    await scenario.pay(made.order.order_id)
    await scenario.drain()
    for each in (made.order.order_id,):
        assert (await quote(client, each)).amount_minor == 10_000
    facts = "SELECT content -> 'change' FROM orders WHERE order_code = %s"
    kept = await world.value(facts, made.order.order_id)
    assert kept == kept | {
        "old_minor": 10_000,
        "fee_minor": 100,
        "forfeited_minor": 0,
        "refund_percent": 100,
    }


async def test_a_change_takes_no_discount_that_no_refund_kept(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """Two cost more together than each alone; what the second is worth is not the first one's."""
    await terms(world, client, TRAIN, FREE, (1, 20), (2, 0))
    order = await scenario.sell(client, world.seat(1, SECOND), passengers=party(2))
    codes = [each.ticket_code for each in await tickets(client)]
    quoted = await quote_change(client, codes[0], world.seat(2, FIRST))
    assert quoted.old_minor == 10_000
    made = await change(client, codes[0], quoted.change_quote)
    await scenario.pay(made.order.order_id)
    assert (await quote(client, order.order_id, codes[1])).amount_minor == 10_000


async def test_a_late_change_takes_no_discount_that_was_given_back_meanwhile(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """Three pay 27,000, two 20,000, one 8,000: what the first left was quoted to the second,
    then given to the third.
    """
    await terms(world, client, TRAIN, FREE, (1, 20), (2, 0), (3, 10))
    order = await scenario.sell(client, world.seat(1, SECOND), passengers=party(3))
    codes = [each.ticket_code for each in await tickets(client)]
    assert (await give_back(client, order.order_id, codes[0])).amount_minor == 7_000
    made = await swap(client, codes[1], world.seat(2, FIRST))
    facts = "SELECT (content -> 'change' ->> 'old_minor')::int FROM orders WHERE order_code = %s"
    assert await world.value(facts, made.order.order_id) == 11_000
    late = await scenario.bill(made.order.order_id)
    await world.expire(made.order.order_id)
    cancelled = "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s"
    await world.until(cancelled, made.order.order_id)
    assert (await give_back(client, order.order_id, codes[2])).amount_minor == 12_000
    assert await scenario.take_in(late) == "REFUNDED"
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED", "ACTIVE", "REFUNDED"]
    assert (await give_back(client, order.order_id, codes[1])).amount_minor == 8_000


async def test_a_refund_that_is_closed_behind_a_change_that_took_its_discount(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """All together get what was paid: 10,000 went along with the change, 30,000 are left for the
    four who are back.
    """
    await terms(world, client, TRAIN, FREE, (5, 20))
    order = await scenario.sell(client, world.seat(1, SECOND), passengers=party(5))
    codes = [each.ticket_code for each in await tickets(client)]
    scenario.wechat.state = "CLOSED"
    assert (await give_back(client, order.order_id, *codes[:4])).amount_minor == 30_000
    quoted = await quote_change(client, codes[4], world.seat(2, FIRST))
    assert quoted.old_minor == 10_000
    made = await change(client, codes[4], quoted.change_quote)
    await scenario.pay(made.order.order_id)
    await scenario.drain()
    assert await states(client, order.order_id) == ["ACTIVE"] * 4 + ["CHANGED"]
    assert (await quote(client, order.order_id)).amount_minor == 30_000


# After a change


async def test_a_change_keeps_the_percentage_of_its_moment(
    world: World, client: TravellerClient, scenario: OrderScenario, server: GateServer
) -> None:
    await terms(world, client, TRAIN, RAILWAY)
    await scenario.sell(client, world.seat(1, SECOND), passengers=party(1))
    (ticket,) = await tickets(client)
    # an hour before departure
    await world.departs("now() + interval '1 hour'")
    quoted = await quote_change(client, ticket.ticket_code, world.seat(2, SECOND))
    assert (quoted.pay_minor, quoted.refund_percent) == (1_000, 80)
    assert "80% at the most" in quoted.rule_en
    assert "不高于80%" in quoted.rule_zh
    made = await change(client, ticket.ticket_code, quoted.change_quote)
    await scenario.pay(made.order.order_id)
    # the new one leaves in a week, when others get 100 %
    far = await json_call(server, client, "QuoteRefund", order_id=made.order.order_id)
    assert (far["amount_minor"], far["tickets"][0]["percent"]) == ("8000", 80)
    assert "no more than before its change" in far["tickets"][0]["rule_en"]
    assert "until departure" in far["tickets"][0]["rule_en"]
    # through chains the least holds
    (second,) = await tickets(client, order_id=made.order.order_id)
    again = await swap(client, second.ticket_code, world.seat(3, SECOND))
    await scenario.pay(again.order.order_id)
    refundable = await quote(client, again.order.order_id)
    assert (refundable.amount_minor, refundable.tickets[0].percent) == (8_000, 80)
    (third,) = await tickets(client, order_id=again.order.order_id)
    await world.sql(
        "UPDATE snapshots SET content = jsonb_set(content, '{policy,refund_tiers}',"
        """ '[{"minutes_before": 1440, "percent": 100}]')"""
    )
    await world.departs("now() + interval '1 hour'")
    last = await swap(client, third.ticket_code, world.seat(4, SECOND))
    await scenario.pay(last.order.order_id)
    refused = await refusal(quote(client, last.order.order_id))
    assert refused.metadata["why"] == "CHANGED_TOO_LATE"


# To something cheaper


async def test_of_a_difference_comes_back_what_a_refund_would_give(
    world: World, client: TravellerClient, scenario: OrderScenario, server: GateServer
) -> None:
    await terms(world, client, TRAIN, RAILWAY)
    order = await scenario.sell(client, world.seat(1, FIRST), passengers=party(1))
    (ticket,) = await tickets(client)
    await world.departs("now() + interval '1 hour'")
    quote_json = await json_call(
        server,
        client,
        "QuoteChange",
        ticket_code=ticket.ticket_code,
        offer_id=world.seat(2, SECOND),
    )
    assert (quote_json["refund_minor"], quote_json["forfeited_minor"]) == ("7000", "2000")
    assert quote_json["rule_en"].startswith("80% of the difference is given back")
    assert quote_json["rule_zh"].startswith("按当前退票比例退差价的80%，扣除手续费CNY 10.00")
    made = await change(client, ticket.ticket_code, quote_json["change_quote"])
    assert made.refund.amount_minor == 7_000
    assert (made.order.total_minor, made.order.credit_minor) == (13_000, 13_000)
    assert made.ticket.amount_minor == 10_000
    await scenario.drain()
    assert await states(client, order.order_id) == ["CHANGED"]
    # and of the new one no more than 80 per cent of what it costs
    assert (await give_back(client, made.order.order_id)).amount_minor == 8_000
    await scenario.drain()
    assert await world.value("SELECT refunded_minor FROM payments") == 15_000


async def test_what_gives_nothing_back_gives_nothing_back_in_a_change(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await terms(world, client, TRAIN, {"changes_allowed": 1, "change_fee_minor": 1_000})
    await scenario.sell(client, world.seat(1, FIRST), passengers=party(1))
    (ticket,) = await tickets(client)
    quoted = await quote_change(client, ticket.ticket_code, world.seat(2, SECOND))
    assert (quoted.refund_minor, quoted.forfeited_minor, quoted.pay_minor) == (0, 9_000, 0)
    assert "0% of the difference" in quoted.rule_en
    made = await change(client, ticket.ticket_code, quoted.change_quote)
    assert not made.HasField("refund")
    assert (made.order.total_minor, made.order.credit_minor) == (20_000, 20_000)


# Without a cut


async def test_an_order_of_280_tickets_is_given_back_whole_and_ends(
    world: World, client: TravellerClient, scenario: OrderScenario, server: GateServer
) -> None:
    """Ten days, nine travellers, and nineteen things they share each day."""
    await terms(world, client, PREMIUM, FREE)
    shared = [
        {
            "function_code": f"shared_{number}",
            "display_name_en": "Shared",
            "display_name_zh": "共享",
            "total_uses": 1,
            "use_mode": "ONCE_PER_QR",
            "guard_seconds": 60,
            "shared": True,
        }
        for number in range(18)
    ]
    await world.sql(
        "UPDATE products SET entitlements = entitlements || %s::jsonb, max_per_traveller = 1000"
        " WHERE product_id = %s",
        orjson.dumps(shared).decode(),
        PREMIUM,
    )

    async def look() -> bool:
        return len((await product(client)).entitlements) == 21

    await seen(world, look)
    days = [world.package(day) for day in range(10)]
    order = await scenario.sell(client, *days, passengers=party(9))
    found = await all_tickets(client, order.order_id)
    assert len(found) == 280
    codes = [each.ticket_code for each in found]
    quoted = await quote(client, order.order_id)
    assert sorted(each.ticket_code for each in quoted.tickets) == sorted(codes)
    assert quoted.amount_minor == 90 * 50_000
    named = await json_call(
        server, client, "QuoteRefund", order_id=order.order_id, ticket_codes=codes
    )
    assert len(named["tickets"]) == 280
    requested = await json_call(
        server,
        client,
        "RequestRefund",
        order_id=order.order_id,
        refund_quote=named["refund_quote"],
        request_id=request_id(),
    )
    assert len(requested["refund"]["tickets"]) == 280
    await scenario.drain()
    ended = await client.get(order.order_id)
    assert (ORDER_STATE[ended.state], ended.cancel_reason) == ("CANCELLED", 3)
    assert await world.value("SELECT count(*) FROM tickets WHERE state = 'REFUNDED'") == 280


async def test_what_was_kept_of_a_discount_comes_back_with_a_cancelled_departure(
    world: World, client: TravellerClient, scenario: OrderScenario, server: GateServer
) -> None:
    """Seen red when each ticket gave back what was paid for it alone: 8,000 came back of 10,000."""
    await terms(world, client, TRAIN, FREE, (5, 20))
    order = await scenario.sell(client, world.seat(1, SECOND), passengers=party(5))
    codes = [each.ticket_code for each in await tickets(client)]
    assert (await give_back(client, order.order_id, *codes[:4])).amount_minor == 30_000
    await scenario.drain()
    manager = await Manager.hired(scenario.db, server.channel)
    await manager.cancel(world.departure_id())
    await followed(world)
    await scenario.drain()
    assert await world.value("SELECT amount_minor - refunded_minor FROM payments") == 0
    assert set(await states(client, order.order_id)) == {"REFUNDED"}
