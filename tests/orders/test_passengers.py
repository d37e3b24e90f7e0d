"""How much one traveller may have, who may travel, and when: through the contract, with
payments, refunds and changes.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from deeptravel.ticketing.v1 import order_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.platform.errors import Reason
from server.stock.ids import promotion_quota_id
from tests.support.changes import changes_are_seen, show_changes
from tests.support.gate_server import GateServer
from tests.support.order_scenario import (
    OrderScenario,
    give_back,
    quote_change,
    states,
    swap,
    tickets,
)
from tests.support.rpc_server import Refusal, refusal
from tests.support.traveller import (
    FIRST,
    ORDER_STATE,
    SECOND,
    TravellerClient,
    World,
    a_world,
    child,
    party,
    passenger,
)

EARLY, NEXT = 3, 4
"""Departures beside 1 (07:20 to 07:35) and 2 (from 07:40): EARLY overlaps with 1 alone, NEXT
begins when 1 ends.
"""
# a number of 810000 whose holder is born on 4 July 1985, and one of 2 July 2018; made up
GROWN_UP, CHILDS = "81000019850704002", "81000020180702001"


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=4) as filled:
        for departure, minutes in ((EARLY, -10), (NEXT, 15)):
            await filled.sql(
                "UPDATE departures d SET departure_time = f.departure_time + %s * interval '1"
                " minute' FROM departures f WHERE d.departure_id = %s AND f.departure_id = %s",
                minutes,
                filled.departure_id(departure),
                filled.departure_id(1),
            )
        yield filled


@pytest.fixture
async def other(world: World, server: GateServer) -> TravellerClient:
    return TravellerClient.of(server.channel, 2)


async def configure(world: World, *statements: str) -> None:
    for statement in statements:
        await world.sql(statement)
    await show_changes(world)


async def limit(world: World, limit: int) -> None:
    await configure(world, f"UPDATE products SET max_per_traveller = {limit}")


async def reason(call: Any) -> Reason:
    return (await refusal(call)).reason


def resident(body: str, **fields: Any) -> order_pb2.Passenger:
    rest = sum(int(c) << 17 - at for at, c in enumerate(body)) % 11
    return passenger(
        document_type=order_pb2.DOCUMENT_TYPE_RESIDENT_ID,
        document_number=body + "0123456789X"[(1 - rest) % 11],
        **fields,
    )


# How much


async def test_the_classes_of_a_departure_count_together(
    world: World, client: TravellerClient
) -> None:
    """Seen red: counted by offer, each class had a limit of its own."""
    await limit(world, 3)
    first = await client.order(world.seat(1, FIRST))
    refused = await refusal(client.create(world.seat(1, SECOND)))
    assert refused.reason is Reason.TOO_MANY_FOR_TRAVELLER
    assert refused.metadata == {
        "offer_id": world.seat(1, SECOND),
        "limit": "3",
        "held": "2",
        "requested": "2",
    }
    # in one order too
    both = [order_pb2.OrderItem(offer_id=world.seat(2, each)) for each in (FIRST, SECOND)]
    both[0].passenger_indexes.extend([0, 1])
    both[1].passenger_indexes.extend([2, 3])
    call = client.create(items=both, passengers=party(4))
    assert await reason(call) is Reason.TOO_MANY_FOR_TRAVELLER
    await client.order(world.seat(1, SECOND), passengers=party(1))
    await client.cancel(first.order_id)
    await client.order(world.seat(1, SECOND))


async def test_each_day_of_a_package_counts_for_itself(
    world: World, client: TravellerClient
) -> None:
    """Seen red: without the day in `quota_id` the second day was TOO_MANY_FOR_TRAVELLER."""
    await limit(world, 2)
    for day in range(3):
        await client.order(world.package(day))
    refused = await refusal(client.create(world.package(1), passengers=party(1)))
    assert refused.reason is Reason.TOO_MANY_FOR_TRAVELLER
    assert refused.metadata["held"] == "2"


async def test_what_comes_back_no_longer_counts(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await limit(world, 2)
    order = await scenario.sell(client, world.seat())
    assert await reason(client.create(world.seat(1, SECOND))) is Reason.TOO_MANY_FOR_TRAVELLER
    one, _ = await tickets(client)
    await give_back(client, order.order_id, one.ticket_code)
    await scenario.drain()
    again = await client.order(world.seat(1, SECOND), passengers=party(1))
    await world.expire(again.order_id)
    await world.until("SELECT count(*) = 0 FROM orders WHERE state = 'PENDING'")
    await client.order(world.seat(1, SECOND), passengers=party(1))
    quantities = await world.sql("SELECT quantity, max_quantity FROM traveller_quotas")
    assert quantities == [(2, 2)]


async def test_old_and_new_of_a_change_on_one_departure_count_once(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """Seen red: with both counted the traveller could not buy the second ticket that the limit
    leaves.
    """
    await limit(world, 2)
    await scenario.sell(client, world.seat(1, SECOND), passengers=party(1))
    (old,) = await tickets(client)
    made = await swap(client, old.ticket_code, world.seat(1, FIRST))
    assert ORDER_STATE[made.order.state] == "PENDING"
    second = await client.order(world.seat(1, SECOND), passengers=party(1))
    assert await reason(client.create(world.seat(), passengers=party(1))) is (
        Reason.TOO_MANY_FOR_TRAVELLER
    )
    await client.cancel(made.order.order_id)
    assert await reason(client.create(world.seat(), passengers=party(1))) is (
        Reason.TOO_MANY_FOR_TRAVELLER
    )
    made = await swap(client, old.ticket_code, world.seat(1, FIRST))
    assert await scenario.pay(made.order.order_id) == "PAID"
    assert await reason(client.create(world.seat(), passengers=party(1))) is (
        Reason.TOO_MANY_FOR_TRAVELLER
    )
    await client.cancel(second.order_id)
    await give_back(client, made.order.order_id)
    await scenario.drain()
    assert await world.value("SELECT count(*) FROM traveller_quotas") == 0


async def test_a_change_to_another_departure_counts_there(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await limit(world, 1)
    await scenario.sell(client, world.seat(1, SECOND), passengers=party(1))
    (old,) = await tickets(client)
    on_other = await client.order(world.seat(2, SECOND), passengers=party(1))
    quoted = swap(client, old.ticket_code, world.seat(2, SECOND))
    assert await reason(quoted) is Reason.TOO_MANY_FOR_TRAVELLER
    await client.cancel(on_other.order_id)
    made = await swap(client, old.ticket_code, world.seat(2, SECOND))
    await scenario.pay(made.order.order_id)
    await client.order(world.seat(1, SECOND), passengers=party(1))
    assert await reason(client.create(world.seat(2), passengers=party(1))) is (
        Reason.TOO_MANY_FOR_TRAVELLER
    )


async def test_a_late_payment_counts_again(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await limit(world, 2)
    order = await client.order(world.seat())
    paid = await scenario.bill(order.order_id)
    await world.expire(order.order_id)
    await world.until("SELECT state = 'CANCELLED' FROM orders")
    between = await client.order(world.seat(1, SECOND), passengers=party(1))
    assert await scenario.take_in(paid) == "REFUNDED"
    await client.cancel(between.order_id)
    order = await client.order(world.seat())
    paid = await scenario.bill(order.order_id)
    await world.expire(order.order_id)
    await world.until("SELECT count(*) = 0 FROM orders WHERE state = 'PENDING'")
    assert await scenario.take_in(paid) == "PAID"
    assert await reason(client.create(world.seat(1, SECOND), passengers=party(1))) is (
        Reason.TOO_MANY_FOR_TRAVELLER
    )
    await scenario.drain()


# Promotions


async def test_a_promotion_for_so_many_orders_of_one_traveller(
    world: World, client: TravellerClient, other: TravellerClient, scenario: OrderScenario
) -> None:
    """Seen red: without limits in the catalogue the second order took 10 % off, too."""
    await world.promote(1, "ONCE", cap=None, each=1)
    await changes_are_seen()
    order = await client.order(world.seat(), promotion_codes=["ONCE"])
    assert order.total_minor == 36_000

    async def is_refused() -> bool:
        refused = await refusal(client.create(world.seat(2), promotion_codes=["ONCE"]))
        assert refused.reason is Reason.PROMOTION_NOT_APPLICABLE
        return refused.metadata["promotion_code"] == "ONCE"

    assert await is_refused()
    assert (await other.order(world.seat(), promotion_codes=["ONCE"])).total_minor == 36_000
    await client.cancel(order.order_id)
    order = await client.order(world.seat(), promotion_codes=["ONCE"])
    await world.expire(order.order_id)
    await world.until("SELECT count(*) = 1 FROM orders WHERE state = 'PENDING'")
    order = await scenario.sell(client, world.seat(), promotion_codes=["ONCE"])
    assert await is_refused()
    one, _ = await tickets(client)
    await give_back(client, order.order_id, one.ticket_code)
    await scenario.drain()
    assert await is_refused()  # half of it is kept
    await give_back(client, order.order_id)
    await scenario.drain()
    counted = "SELECT traveller_id FROM traveller_quotas WHERE quota_id = %s"
    assert await world.sql(counted, promotion_quota_id(1)) == [(2,)]
    await client.order(world.seat(), promotion_codes=["ONCE"])


async def promote_the_best_alone(world: World, *promotions: tuple[int | None, int | None]) -> None:
    """Promotions for all that exclude each other, the best first, each with a cap and a limit
    for each traveller.
    """
    for number, (cap, each) in enumerate(promotions, 1):
        await world.promote(number, None, basis_points=5000 - 1000 * number, cap=cap, each=each)
    await configure(world, "UPDATE promotions SET stackable = false")


async def total(client: TravellerClient, world: World) -> int:
    order = await client.order(world.seat(1, SECOND), passengers=party(1))
    return int(order.total_minor)


async def test_a_limit_counts_that_comes_into_play_for_a_cap_that_is_used_up(
    world: World, client: TravellerClient, other: TravellerClient
) -> None:
    """Seen red: limits were read only if the best promotion has one; the last order was CONFLICT
    for good.
    """
    await promote_the_best_alone(world, (1, None), (None, 1))
    assert await total(client, world) == 6_000
    assert await total(client, world) == 7_000
    assert await total(other, world) == 7_000
    assert await total(client, world) == 10_000


async def test_a_cap_counts_that_comes_into_play_for_a_limit_that_is_used_up(
    world: World, client: TravellerClient, other: TravellerClient
) -> None:
    """Seen red: caps were read only if the best promotion has one; the second order paid the
    whole fare.
    """
    await promote_the_best_alone(world, (None, 1), (1, None))
    assert await total(client, world) == 6_000
    assert await total(client, world) == 7_000
    assert await total(client, world) == 10_000
    assert await total(other, world) == 6_000


async def test_a_changed_ticket_costs_the_fare_without_such_a_promotion(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await world.promote(1, "ONCE", cap=None, each=1)
    await changes_are_seen()
    await scenario.sell(
        client, world.seat(1, SECOND), passengers=party(1), promotion_codes=["ONCE"]
    )
    (old,) = await tickets(client)
    quoted = await quote_change(client, old.ticket_code, world.seat(2, SECOND))
    assert (quoted.old_minor, quoted.new_minor) == (9_000, 10_000)
    made = await swap(client, old.ticket_code, world.seat(2, SECOND))
    await scenario.pay(made.order.order_id)
    # its order is over, all of it changed
    await client.order(world.seat(), promotion_codes=["ONCE"])


async def test_a_late_payment_uses_the_promotion_again_if_it_may(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await world.promote(1, "ONCE", cap=None, each=1)
    await changes_are_seen()
    order = await client.order(world.seat(), promotion_codes=["ONCE"])
    paid = await scenario.bill(order.order_id)
    await world.expire(order.order_id)
    await world.until("SELECT state = 'CANCELLED' FROM orders")
    await client.order(world.seat(2), promotion_codes=["ONCE"])
    assert await scenario.take_in(paid) == "REFUNDED"
    await scenario.drain()


# When


def overlapping(refused: Refusal) -> tuple[str, str]:
    assert refused.reason is Reason.OVERLAPPING_JOURNEY
    return refused.metadata["offer_id"], refused.metadata["passenger_index"]


async def test_a_document_is_on_one_departure_at_a_time(
    world: World, client: TravellerClient, other: TravellerClient
) -> None:
    """Seen red: without `overlapping_journey` and its guard they were sold."""
    who = [passenger(document_number="E5550001")]
    order = await client.order(world.seat(1), passengers=who)
    refused = await refusal(other.create(world.seat(EARLY, SECOND), passengers=[*party(1), *who]))
    assert overlapping(refused) == (world.seat(EARLY, SECOND), "1")
    await other.order(world.seat(NEXT), passengers=who)  # from the moment that the first ends
    assert overlapping(await refusal(other.create(world.seat(2), passengers=who)))
    await client.cancel(order.order_id)
    order = await other.order(world.seat(EARLY, SECOND), passengers=who)
    await world.expire(order.order_id)
    await world.until("SELECT count(*) = 1 FROM orders WHERE state = 'PENDING'")
    await client.order(world.seat(1), passengers=who)


async def test_not_in_one_order_either(world: World, client: TravellerClient) -> None:
    refused = await refusal(client.create(world.seat(1), world.seat(EARLY), passengers=party(2)))
    assert overlapping(refused) == (world.seat(EARLY), "0")
    # each of them on one
    items = [
        order_pb2.OrderItem(offer_id=world.seat(departure), passenger_indexes=[index])
        for index, departure in enumerate((1, EARLY))
    ]
    await client.order(items=items, passengers=party(2))


async def test_a_sold_journey_counts_until_it_is_given_back(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    who = party(2)
    order = await scenario.sell(client, world.seat(1), passengers=who)
    assert await reason(client.create(world.seat(EARLY), passengers=who)) is (
        Reason.OVERLAPPING_JOURNEY
    )
    one, _ = await tickets(client)
    await give_back(client, order.order_id, one.ticket_code)
    await scenario.drain()
    refused = await refusal(client.create(world.seat(EARLY), passengers=who))
    assert overlapping(refused) == (world.seat(EARLY), "1")
    await client.order(world.seat(EARLY), passengers=who[:1])


async def test_a_change_may_overlap_with_what_it_changes_and_with_nothing_else(
    world: World, client: TravellerClient, other: TravellerClient, scenario: OrderScenario
) -> None:
    who = party(1)
    await scenario.sell(client, world.seat(1, SECOND), passengers=who)
    (old,) = await tickets(client)
    on_two = await other.order(world.seat(2), passengers=who)
    # NEXT overlaps with 2
    assert (
        await reason(swap(client, old.ticket_code, world.seat(NEXT))) is Reason.OVERLAPPING_JOURNEY
    )
    made = await swap(client, old.ticket_code, world.seat(EARLY))
    assert ORDER_STATE[made.order.state] == "PENDING"
    await client.cancel(made.order.order_id)
    assert await reason(other.create(world.seat(EARLY), passengers=who)) is (
        Reason.OVERLAPPING_JOURNEY  # with 1, which the traveller still has
    )
    await other.cancel(on_two.order_id)
    made = await swap(client, old.ticket_code, world.seat(EARLY))
    await scenario.pay(made.order.order_id)
    # 1 is free now where EARLY does not overlap: NEXT begins behind both, 1 itself does not
    assert await reason(other.create(world.seat(1), passengers=who)) is Reason.OVERLAPPING_JOURNEY
    await other.order(world.seat(NEXT), passengers=who)
    await give_back(client, made.order.order_id)
    await scenario.drain()
    assert await states(client, made.order.order_id) == ["REFUNDED"]
    await other.order(world.seat(EARLY), passengers=who)


async def test_a_late_payment_is_not_honoured_for_two_journeys_at_once(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    who = party(1)
    order = await client.order(world.seat(1), passengers=who)
    paid = await scenario.bill(order.order_id)
    await world.expire(order.order_id)
    await world.until("SELECT state = 'CANCELLED' FROM orders")
    await client.order(world.seat(EARLY), passengers=who)
    assert await scenario.take_in(paid) == "REFUNDED"
    await scenario.drain()


# Who


def rule(refused: Refusal) -> tuple[str, str]:
    assert refused.reason is Reason.PASSENGER_NOT_ALLOWED
    return refused.metadata["rule"], refused.metadata["passenger_index"]


async def test_nobody_sends_a_child_alone(world: World, client: TravellerClient) -> None:
    """Seen red: without `check_company` it was sold."""
    alone = [child()]
    assert rule(await refusal(client.create(world.seat(), passengers=alone))) == (
        "COMPANION_REQUIRED",
        "0",
    )
    request = order_pb2.QuoteOrderRequest(
        items=[order_pb2.OrderItem(offer_id=world.seat())],
        passengers=[ticket_pb2.CUSTOMER_TYPE_CHILD],
    )
    assert rule(await refusal(client.call("QuoteOrder", request))) == ("COMPANION_REQUIRED", "0")
    await client.order(world.seat(), passengers=[passenger(), child()])
    await configure(world, "UPDATE products SET unaccompanied_types = '{CHILD}'")
    await client.order(world.seat(), passengers=alone)
    pet = order_pb2.Passenger(name="旺财", customer_type=ticket_pb2.CUSTOMER_TYPE_PET)
    assert rule(await refusal(client.create(world.package(), passengers=[pet]))) == (
        "COMPANION_REQUIRED",
        "0",
    )


async def test_a_childs_ticket_is_changed_after_its_companions(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await configure(world, """UPDATE products SET policy = policy || '{"changes_allowed": 3}'""")
    await scenario.sell(client, world.seat(1, SECOND), passengers=[passenger(), child()])
    adults, childs = await tickets(client)
    refused = await refusal(swap(client, childs.ticket_code, world.seat(2, SECOND)))
    assert rule(refused) == ("COMPANION_REQUIRED", "0")
    made = await swap(client, adults.ticket_code, world.seat(2, SECOND))
    await scenario.pay(made.order.order_id)
    made = await swap(client, childs.ticket_code, world.seat(2, SECOND))
    assert ORDER_STATE[made.order.state] == "PENDING"


async def test_a_childs_fare_is_a_childs(world: World, client: TravellerClient) -> None:
    """Seen red: without `check_age` it was sold, for half the price."""
    grown_up = resident(GROWN_UP, customer_type=ticket_pb2.CUSTOMER_TYPE_CHILD)
    refused = await refusal(client.create(world.seat(), passengers=[passenger(), grown_up]))
    assert rule(refused) == ("AGE_LIMIT", "1")
    assert (refused.metadata["min_age"], refused.metadata["max_age"]) == ("0", "13")
    young = resident(CHILDS, customer_type=ticket_pb2.CUSTOMER_TYPE_CHILD)
    order = await client.order(world.seat(), passengers=[passenger(), young])
    assert order.total_minor == 30_000
    assert order.passengers[1].document_masked.startswith("81*")
    unborn = await refusal(client.create(world.seat(2), passengers=[resident("81000020990101001")]))
    assert unborn.reason is Reason.INVALID_FIELD
    assert unborn.fields == ("passengers[0].document_number",)


async def test_documents_of_every_kind(
    world: World, client: TravellerClient, other: TravellerClient
) -> None:
    """Seen red: without NFKC in `document_number` the full-width ones were refused."""
    given = {
        "RESIDENT_ID": "11010519491231002x",
        "PASSPORT": "Ｅ１２３４５６７８",
        "MAINLAND_TRAVEL_PERMIT": "H12345678",
        "HK_MACAO_PERMIT": "CA1234567",
        "RESIDENCE_PERMIT": resident("83000019571230003").document_number,
        "TAIWAN_COMPATRIOT_PERMIT": "12345678",
        "TAIWAN_TRAVEL_PERMIT": "L12345678",
        "HKID": "A123456（3）",
        "MACAO_BIR": "1234567(8)",
    }
    passengers = [
        passenger(document_type=order_pb2.DocumentType.Value(f"DOCUMENT_TYPE_{kind}"),
        document_number=number)
        for kind, number in given.items()
    ]  # fmt: skip
    order = await client.order(world.seat(), passengers=passengers)
    assert order.passengers[7].document_masked == "A*****63"
    twice = [passengers[7]]
    twice[0].document_number = "a1234563"
    assert await reason(other.create(world.seat(1, SECOND), passengers=twice)) is (
        Reason.DUPLICATE_PASSENGER
    )
