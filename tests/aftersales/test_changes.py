"""A ticket changed to another departure, class or day: at every moment exactly one of the two is
valid.
"""

import orjson
import pytest
from deeptravel.ticketing.v1 import refund_pb2

from server.platform.errors import Reason
from tests.support.changes import show_changes
from tests.support.gate_server import GateServer
from tests.support.order_scenario import (
    REFUND_STATE,
    TICKET_STATE,
    OrderScenario,
    change,
    give_back,
    quote_change,
    states,
    swap,
    tickets,
)
from tests.support.rpc_server import refusal
from tests.support.traveller import (
    FIRST,
    ORDER_STATE,
    SECOND,
    TravellerClient,
    World,
    party,
)


async def test_a_cheaper_seat_is_had_at_once_and_the_rest_comes_back(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat())
    old, kept = await tickets(client)
    quoted = await quote_change(client, old.ticket_code, world.seat(2, SECOND))
    money = (quoted.new_minor, quoted.old_minor, quoted.fee_minor)
    assert money == (10_000, 20_000, 1_000)
    assert (quoted.pay_minor, quoted.refund_minor) == (0, 9_000)
    assert quoted.offer.seats_left == 10
    made = await change(client, old.ticket_code, quoted.change_quote)
    assert ORDER_STATE[made.order.state] == "PAID"
    assert (made.order.total_minor, made.order.credit_minor) == (11_000, 11_000)
    assert made.order.changes_ticket_code == old.ticket_code
    assert (made.ticket.amount_minor, made.ticket.changes_made) == (10_000, 1)
    assert made.ticket.passenger.name == old.passenger.name
    assert (made.refund.amount_minor, made.refund.cause) == (9_000, "change")
    assert await states(client, order.order_id) == ["CHANGED", "ACTIVE"]
    assert await world.stock() == (10, 0, 1)
    assert await world.stock(2, SECOND) == (10, 0, 1)
    await scenario.drain()
    assert await world.value("SELECT refunded_minor FROM payments") == 9_000
    refunds = await client.call(
        "ListRefunds", refund_pb2.ListRefundsRequest(order_id=made.order.order_id)
    )
    assert [REFUND_STATE[refund.state] for refund in refunds.refunds] == ["SUCCEEDED"]
    assert ORDER_STATE[(await client.get(order.order_id)).state] == "PAID"
    assert kept.seat


async def test_a_dearer_seat_waits_for_its_payment(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat(1, SECOND), passengers=party(1))
    (old,) = await tickets(client)
    made = await swap(client, old.ticket_code, world.seat(2, FIRST))
    assert ORDER_STATE[made.order.state] == "PENDING"
    assert (made.order.total_minor, made.order.credit_minor) == (21_000, 10_000)
    assert not made.HasField("ticket")
    assert await states(client, order.order_id) == ["CHANGING"]
    assert await world.stock(2, FIRST) == (10, 1, 0)
    assert await scenario.pay(made.order.order_id) == "PAID"
    assert await states(client, order.order_id) == ["CHANGED"]
    found = await client.get(order.order_id)
    assert (ORDER_STATE[found.state], found.cancel_reason) == ("CANCELLED", 3)
    (new,) = await tickets(client, order_id=made.order.order_id)
    assert (new.amount_minor, new.changes_made, bool(new.seat)) == (20_000, 1, True)
    assert await world.stock(1, SECOND) == (10, 0, 0)
    # the money of both orders is in the new ticket: 11,000 of the one, the rest of the other
    refund = await give_back(client, made.order.order_id)
    assert refund.amount_minor == 19_500
    await scenario.drain()
    paid = "SELECT array_agg(refunded_minor ORDER BY order_id DESC) FROM payments"
    assert await world.value(paid) == [11_000, 8_500]
    assert await states(client, made.order.order_id) == ["REFUNDED"]


@pytest.mark.parametrize("by_traveller", [True, False])
async def test_what_is_not_paid_leaves_the_old_ticket(
    world: World, client: TravellerClient, scenario: OrderScenario, by_traveller: bool
) -> None:
    order = await scenario.sell(client, world.seat(1, SECOND), passengers=party(1))
    (old,) = await tickets(client)
    made = await swap(client, old.ticket_code, world.seat(2, FIRST))
    if by_traveller:
        await client.cancel(made.order.order_id)
    else:
        await world.expire(made.order.order_id)
        await world.until(
            "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s", made.order.order_id
        )
    assert await states(client, order.order_id) == ["ACTIVE"]
    assert await world.stock(2, FIRST) == (10, 0, 0)
    assert ORDER_STATE[(await client.get(order.order_id)).state] == "PAID"
    again = await swap(client, old.ticket_code, world.seat(3, SECOND))
    assert again.order.credit_minor == 10_000


async def test_another_class_of_the_same_departure(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    travelling = party(1)
    await scenario.sell(client, world.seat(), passengers=travelling)
    (old,) = await tickets(client)
    made = await swap(client, old.ticket_code, world.seat(1, SECOND))
    assert ORDER_STATE[made.order.state] == "PAID"
    assert await world.value("SELECT count(*) FROM document_journeys, jsonb_each(journeys)") == 1
    refused = await refusal(client.create(world.seat(), passengers=travelling))
    assert refused.reason == Reason.DUPLICATE_PASSENGER


async def test_a_package_on_another_day(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.package())
    old = next(each for each in await tickets(client) if not each.shared)
    made = await swap(client, old.ticket_code, world.package(1))
    assert made.order.total_minor - made.order.credit_minor == 1_000
    await scenario.pay(made.order.order_id)
    new, shared = await tickets(client, order_id=made.order.order_id)
    assert (new.shared, shared.shared) == (False, True)
    assert new.valid_from_time.ToDatetime() > old.valid_from_time.ToDatetime()
    assert sorted(await states(client, order.order_id)) == ["ACTIVE", "ACTIVE", "CHANGED"]


async def test_refusals_say_why(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await scenario.sell(client, world.seat(), passengers=party(1))
    (ticket,) = await tickets(client)
    for offer, reason, why in (
        (world.package(), Reason.CHANGE_REFUSED, "OTHER_PRODUCT"),
        (world.seat(), Reason.CHANGE_REFUSED, "SAME_OFFER"),
        ("TR-1-0-0-1", Reason.NOT_FOUND, None),
    ):
        refused = await refusal(quote_change(client, ticket.ticket_code, offer))
        assert (refused.reason, refused.metadata.get("why")) == (reason, why)
    for column, why in (
        ("state = 'USED'", "REDEEMED"),
        ("state = 'REFUNDING'", "REFUNDING"),
        ("blocked = true", "BLOCKED"),
    ):
        before = await world.sql("SELECT state, blocked FROM tickets")
        await world.sql(f"UPDATE tickets SET {column}")
        refused = await refusal(quote_change(client, ticket.ticket_code, world.seat(2)))
        assert refused.reason == Reason.CHANGE_REFUSED
        assert refused.metadata == {"ticket_code": ticket.ticket_code, "why": why}
        await world.sql("UPDATE tickets SET state = %s, blocked = %s", *before[0])
    for field, value, why in (
        ("changes_allowed", "0", "NOT_CHANGEABLE"),
        ("change_minutes_before", "500000", "TOO_LATE"),
    ):
        before = await world.sql("SELECT content FROM snapshots")
        await world.sql(
            f"UPDATE snapshots SET content = jsonb_set(content, '{{policy,{field}}}', '{value}')"
        )
        refused = await refusal(quote_change(client, ticket.ticket_code, world.seat(2)))
        assert refused.metadata["why"] == why
        await world.sql("UPDATE snapshots SET content = %s", _json(before[0][0]))


async def test_changes_are_counted(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await scenario.sell(client, world.seat(), passengers=party(1))
    (ticket,) = await tickets(client)
    made = await swap(client, ticket.ticket_code, world.seat(2, SECOND))
    refused = await refusal(quote_change(client, made.ticket.ticket_code, world.seat(3, SECOND)))
    assert refused.metadata["why"] == "CHANGES_USED_UP"
    refused = await refusal(quote_change(client, ticket.ticket_code, world.seat(3)))
    assert refused.metadata["why"] == "CHANGED"


async def test_what_is_shared_stays(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await scenario.sell(client, world.package())
    shared = next(each for each in await tickets(client) if each.shared)
    refused = await refusal(quote_change(client, shared.ticket_code, world.package(1)))
    assert refused.metadata["why"] == "NOT_CHANGEABLE"


async def test_sold_out_leaves_everything(
    world: World, client: TravellerClient, server: GateServer, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat(), passengers=party(1))
    others = TravellerClient.of(server.channel, 2)
    await scenario.sell(others, world.seat(2, SECOND), passengers=party(9))
    (ticket,) = await tickets(client, order_id=order.order_id)
    quoted = (await quote_change(client, ticket.ticket_code, world.seat(2, SECOND))).change_quote
    await scenario.sell(client, world.seat(2, SECOND), passengers=party(1))
    refused = await refusal(change(client, ticket.ticket_code, quoted))
    assert refused.reason == Reason.SOLD_OUT
    assert await states(client, order.order_id) == ["ACTIVE"]
    assert await world.value("SELECT count(*) FROM orders WHERE changes_ticket_id > 0") == 0


async def test_quotes_are_the_callers_and_the_tickets(
    world: World, client: TravellerClient, server: GateServer, scenario: OrderScenario
) -> None:
    await scenario.sell(client, world.seat())
    first, second = await tickets(client)
    quoted = (await quote_change(client, first.ticket_code, world.seat(2))).change_quote
    for call in (
        change(client, second.ticket_code, quoted),
        change(client, first.ticket_code, quoted[:-2] + "AA"),
        change(client, first.ticket_code, "x"),
    ):
        assert (await refusal(call)).reason == Reason.QUOTE_INVALID
    other = TravellerClient.of(server.channel, 2)
    for foreign in (
        change(other, first.ticket_code, quoted),
        quote_change(other, first.ticket_code, world.seat(2)),
        quote_change(other, "DIR-DT-20261121-999999", world.seat(2)),
    ):
        assert (await refusal(foreign)).reason == Reason.NOT_FOUND


async def test_another_price_ends_a_quote(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await scenario.sell(client, world.seat(), passengers=party(1))
    (ticket,) = await tickets(client)
    quoted = (await quote_change(client, ticket.ticket_code, world.seat(2))).change_quote
    await world.sql("UPDATE routes SET fares = replace(fares::text, '20000', '30000')::jsonb")
    await show_changes(world)
    assert (await quote_change(client, ticket.ticket_code, world.seat(2))).new_minor == 30_000
    refused = await refusal(change(client, ticket.ticket_code, quoted))
    assert refused.reason == Reason.QUOTE_INVALID


async def test_a_repeat_is_one_change(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await scenario.sell(client, world.seat(), passengers=party(1))
    (ticket,) = await tickets(client)
    quoted = (await quote_change(client, ticket.ticket_code, world.seat(2, SECOND))).change_quote
    once = await change(client, ticket.ticket_code, quoted, request_id="c1")
    assert await change(client, ticket.ticket_code, quoted, request_id="c1") == once
    assert TICKET_STATE[once.ticket.status] == "ACTIVE"
    refused = await refusal(change(client, ticket.ticket_code, quoted + "x", request_id="c1"))
    assert refused.reason == Reason.IDEMPOTENCY_MISMATCH
    refused = await refusal(change(client, ticket.ticket_code, quoted, request_id="c2"))
    assert (refused.reason, refused.metadata["why"]) == (Reason.CHANGE_REFUSED, "CHANGED")


async def test_a_payment_too_late_changes_if_it_can(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat(1, SECOND), passengers=party(1))
    (old,) = await tickets(client)
    made = await swap(client, old.ticket_code, world.seat(2, FIRST))
    late = await scenario.bill(made.order.order_id)
    await world.expire(made.order.order_id)
    await world.until(
        "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s", made.order.order_id
    )
    assert await scenario.take_in(late) == "PAID"
    assert await states(client, order.order_id) == ["CHANGED"]
    assert await states(client, made.order.order_id) == ["ACTIVE"]


async def test_a_payment_too_late_for_a_ticket_that_is_gone_goes_back(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.seat(1, SECOND), passengers=party(1))
    (old,) = await tickets(client)
    made = await swap(client, old.ticket_code, world.seat(2, FIRST))
    late = await scenario.bill(made.order.order_id)
    await world.expire(made.order.order_id)
    await world.until(
        "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s", made.order.order_id
    )
    await give_back(client, order.order_id)
    assert await scenario.take_in(late) == "REFUNDED"
    await scenario.drain()
    assert await states(client, order.order_id) == ["REFUNDED"]
    given = "SELECT array_agg(refunded_minor ORDER BY order_id) FROM payments"
    assert await world.value(given) == [9_500, 11_000]


def _json(content: object) -> str:
    return orjson.dumps(content).decode()
