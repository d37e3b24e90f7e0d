"""Orders through the contract: made, refused, repeated, read, listed, cancelled, expired."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from deeptravel.ticketing.v1 import order_pb2
from deeptravel.tickets.v1 import ticket_pb2

from server.platform.errors import Reason
from server.stock.ids import promotion_stock_id, stock_id
from tests.support.changes import changes_are_seen, show_changes
from tests.support.gate_server import GateServer
from tests.support.rpc_server import Refusal, refusal
from tests.support.traveller import (
    CANCEL_REASON,
    ORDER_STATE,
    PREMIUM,
    SECOND,
    TravellerClient,
    World,
    a_world,
    child,
    party,
    passenger,
    request_id,
    seats_of,
)

Item = order_pb2.OrderItem


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, departures=3) as seeded:
        yield seeded


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    yield filled_world
    assert await filled_world.contradictions() == []


@pytest.fixture
async def other(world: World, server: GateServer) -> TravellerClient:
    return TravellerClient.of(server.channel, 2)


async def rows(world: World) -> int:
    return int(await world.value("SELECT count(*) FROM orders"))


async def test_an_order_holds_seats_for_ten_minutes(world: World, client: TravellerClient) -> None:
    order = await client.order(world.seat(), passengers=[passenger("张三"), child("小明")])
    assert order.order_id.startswith("ORD-DT-")
    assert (ORDER_STATE[order.state], order.sequence) == ("PENDING", 1)
    assert (order.total_minor, order.currency_code) == (20_000 + 10_000, "CNY")
    assert [place.amount_minor for place in order.items[0].places] == [20_000, 10_000]
    assert list(seats_of(order)) == ["1D", "1F"]  # the gap of just two
    held = order.lock_expire_time.ToDatetime() - order.create_time.ToDatetime()
    assert held.total_seconds() == 600
    assert order.items[0].offer.offer_id == world.seat()
    assert order.items[0].offer.price.total_minor == 30_000
    assert [p.name for p in order.passengers] == ["张三", "小明"]
    assert await world.stock() == (10, 2, 0)


async def test_documents_are_sealed_at_rest_and_masked_in_answers(
    world: World, client: TravellerClient
) -> None:
    order = await client.order(world.seat(), passengers=[passenger(document_number="E87654321")])
    assert order.passengers[0].document_masked == "E******21"
    ((sealed, content),) = await world.sql("SELECT passengers_sealed, content::text FROM orders")
    assert b"E87654321" not in bytes(sealed)
    assert "张三".encode() not in bytes(sealed)
    assert "E87654321" not in content


async def test_seats_without_numbers_and_packages_are_held_by_quantity(
    world: World, client: TravellerClient
) -> None:
    order = await client.order(
        world.seat(1, SECOND), world.package(), passengers=[passenger(), passenger()]
    )
    assert [list(seats_of(order, item)) for item in (0, 1)] == [["", ""], ["", "", ""]]
    assert [place.passenger_index for place in order.items[1].places] == [0, 1, -1]
    assert order.total_minor == 2 * 10_000 + 2 * 50_000
    assert await world.stock(1, SECOND) == (10, 2, 0)
    assert await world.stock_of(stock_id(PREMIUM, 0)) == (100, 2, 0)
    assert await world.value("SELECT ticket_count FROM orders") == 5
    assert await world.value("SELECT count(*) FROM taken_seats") == 0


async def test_packages_need_no_document(world: World, client: TravellerClient) -> None:
    order = await client.order(world.package(), passengers=[order_pb2.Passenger(name="张三")])
    assert order.passengers[0].document_masked == ""


async def test_a_pet_travels_without_a_document(world: World, client: TravellerClient) -> None:
    pet = order_pb2.Passenger(name="旺财", customer_type=ticket_pb2.CUSTOMER_TYPE_PET)
    assert (await client.order(world.seat(), passengers=[passenger(), pet])).total_minor == 21_000


async def test_items_are_for_those_they_name(world: World, client: TravellerClient) -> None:
    order = await client.order(
        items=[
            Item(offer_id=world.seat()),
            Item(offer_id=world.seat(2), passenger_indexes=[1]),
        ]
    )
    assert [place.passenger_index for place in order.items[1].places] == [1]
    assert (await world.stock(1), await world.stock(2)) == ((10, 2, 0), (10, 1, 0))


async def test_a_repeat_gets_the_first_answer_whatever_happened_since(
    world: World, client: TravellerClient, other: TravellerClient
) -> None:
    request = order_pb2.CreateOrderRequest(
        request_id="same",
        items=[Item(offer_id=world.seat()), Item(offer_id=world.package())],
        passengers=party(),
    )
    first = await client.call("CreateOrder", request)
    await client.cancel(first.order.order_id)
    assert await client.call("CreateOrder", request) == first
    assert (await client.get(first.order.order_id)).state != first.order.state
    theirs = await other.call("CreateOrder", request)  # a request_id is each caller's own
    assert theirs.order.order_id != first.order.order_id


async def test_repeats_at_the_same_moment_make_one_order(
    world: World, client: TravellerClient
) -> None:
    request = order_pb2.CreateOrderRequest(
        request_id="same", items=[Item(offer_id=world.seat())], passengers=party()
    )
    answers = await asyncio.gather(*[client.call("CreateOrder", request) for _ in range(20)])
    assert all(answer == answers[0] for answer in answers)
    assert await world.stock() == (10, 2, 0)


async def test_other_content_under_the_same_request_id(
    world: World, client: TravellerClient
) -> None:
    await client.create(world.seat(), request_id="same")
    refused = await refusal(client.create(world.seat(), request_id="same"))
    assert refused.reason is Reason.IDEMPOTENCY_MISMATCH


async def test_a_refused_call_is_not_remembered(
    world: World, client: TravellerClient, other: TravellerClient
) -> None:
    first = await other.order(world.seat(1, SECOND), passengers=party(9))
    request = order_pb2.CreateOrderRequest(
        request_id="same", items=[Item(offer_id=world.seat(1, SECOND))], passengers=party()
    )
    assert (await refusal(client.call("CreateOrder", request))).reason is Reason.SOLD_OUT
    await other.cancel(first.order_id)
    assert (await client.call("CreateOrder", request)).order.order_id


async def test_sold_out_says_what_is_left(
    world: World, client: TravellerClient, other: TravellerClient
) -> None:
    await other.order(world.seat(), passengers=party(8))
    refused = await refusal(client.create(world.seat(), passengers=party(3)))
    assert refused.reason is Reason.SOLD_OUT
    assert refused.metadata == {"product_id": "1", "requested": "3", "available": "2"}
    assert (await client.order(world.seat())).order_id


async def test_one_that_is_too_large_does_not_stand_in_the_way(
    world: World, server: GateServer
) -> None:
    clients = [TravellerClient.of(server.channel, number) for number in range(1, 8)]
    calls = [client.create(world.seat(), passengers=party(3)) for client in clients]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 3
    assert (await clients[0].order(world.seat(), passengers=party(1))).order_id
    assert await world.stock() == (10, 10, 0)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"passengers": [passenger(document_number="12")]}, "passengers[0].document_number"),
        (
            {"passengers": [passenger(), passenger(document_number="")]},
            "passengers[1].document_number",
        ),
        (
            {"passengers": [passenger(), passenger(document_type=0)]},
            "passengers[1].document_type",
        ),
        (
            {"passengers": [passenger(), order_pb2.Passenger(name="x")]},
            "passengers[1].document_number",
        ),
        ({"passengers": [passenger(""), passenger()]}, "passengers[0].name"),
        ({"passengers": []}, "passengers"),
        ({"passengers": party(10)}, "passengers"),
        ({"items": []}, "items"),
        ({"request_id": ""}, "request_id"),
    ],
)
async def test_wrong_fields(
    world: World, client: TravellerClient, fields: dict[str, Any], field: str
) -> None:
    values = {"items": [Item(offer_id=world.seat())]} | fields
    refused = await refusal(client.create(**values))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))
    assert await rows(world) == 0


@pytest.mark.parametrize(
    ("indexes", "field"),
    [
        ([[0, 2]], "items[0].passenger_indexes[1]"),
        ([[0, 0]], "items[0].passenger_indexes[1]"),
        ([[-1]], "items[0].passenger_indexes[0]"),
        ([[0]], "passengers[1]"),
        ([[], []], "items[1].offer_id"),
    ],
)
async def test_wrong_items(
    world: World, client: TravellerClient, indexes: list[list[int]], field: str
) -> None:
    items = [Item(offer_id=world.seat(), passenger_indexes=each) for each in indexes]
    refused = await refusal(client.create(items=items))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


@pytest.mark.parametrize("offer_id", ["TR-1-0-0-1", "PK-5-20261130", "nothing", "TR-x-0-0-1"])
async def test_unknown_offers(client: TravellerClient, offer_id: str) -> None:
    refused = await refusal(client.create(offer_id))
    assert refused.reason is Reason.NOT_FOUND
    assert refused.metadata == {"resource": "offer", "name": offer_id}


async def test_cancelled_departures_and_missing_fares(
    world: World, client: TravellerClient
) -> None:
    senior = [passenger(customer_type=ticket_pb2.CUSTOMER_TYPE_SENIOR)]
    refused = await refusal(client.create(world.seat(), passengers=senior))
    assert refused.reason is Reason.OFFER_NOT_AVAILABLE
    assert refused.metadata == {"offer_id": world.seat(), "why": "NO_FARE"}
    await world.sql(
        "UPDATE departures SET state = 'CANCELLED' WHERE departure_id = %s", world.departure_id()
    )
    await show_changes(world)
    refused = await refusal(client.create(world.seat()))
    assert refused.metadata == {"offer_id": world.seat(), "why": "CANCELLED"}


async def test_another_price_than_the_quoted_one(world: World, client: TravellerClient) -> None:
    refused = await refusal(client.create(world.seat(), quoted_minor=1))
    assert refused.reason is Reason.PRICE_CHANGED
    assert refused.metadata == {
        "quoted_minor": "1",
        "total_minor": "40000",
        "currency_code": "CNY",
    }
    quote = await client.call(
        "QuoteOrder",
        order_pb2.QuoteOrderRequest(
            items=[Item(offer_id=world.seat())],
            passengers=[ticket_pb2.CUSTOMER_TYPE_ADULT, ticket_pb2.CUSTOMER_TYPE_UNSPECIFIED],
        ),
    )
    assert (quote.total_minor, quote.currency_code, quote.hold_seconds) == (40_000, "CNY", 600)
    assert quote.items[0].seats_left == 10
    await client.order(world.seat(), quoted_minor=quote.total_minor)


async def test_promotion_codes(world: World, client: TravellerClient) -> None:
    await world.promote(1, "AUTUMN", cap=None)
    await changes_are_seen()
    order = await client.order(world.seat(), promotion_codes=["AUTUMN"])
    assert order.total_minor == 36_000
    refused = await refusal(client.create(world.seat(), promotion_codes=["WINTER"]))
    assert refused.reason is Reason.PROMOTION_NOT_APPLICABLE
    assert refused.metadata["promotion_code"] == "WINTER"
    assert refused.metadata["why"]


async def test_a_capped_promotion_counts_orders_and_is_given_back(
    world: World, client: TravellerClient
) -> None:
    await world.promote(1, "FIRST2", cap=2)
    await changes_are_seen()
    made = [await client.order(world.seat(), promotion_codes=["FIRST2"]) for _ in range(2)]
    assert await world.stock_of(promotion_stock_id(1)) == (2, 2, 0)
    refused = await refusal(client.create(world.seat(), promotion_codes=["FIRST2"]))
    assert refused.reason is Reason.PROMOTION_NOT_APPLICABLE
    await client.cancel(made[0].order_id)
    assert (await client.order(world.seat(), promotion_codes=["FIRST2"])).total_minor == 36_000


async def test_an_automatic_promotion_that_is_used_up_is_left_out(
    world: World, client: TravellerClient
) -> None:
    await world.promote(1, None, cap=1)
    await changes_are_seen()
    assert (await client.order(world.seat())).total_minor == 36_000
    refused = await refusal(client.create(world.seat(), quoted_minor=36_000))
    assert refused.reason is Reason.PRICE_CHANGED
    quote = await client.call(
        "QuoteOrder",
        order_pb2.QuoteOrderRequest(
            items=[Item(offer_id=world.seat())], passengers=[ticket_pb2.CUSTOMER_TYPE_ADULT] * 2
        ),
    )
    assert quote.total_minor == 40_000
    assert (await client.order(world.seat())).total_minor == 40_000


async def test_more_than_one_traveller_may_hold(
    world: World, client: TravellerClient, other: TravellerClient
) -> None:
    await world.sql("UPDATE products SET max_per_traveller = 3")
    await show_changes(world)
    first = await client.order(world.seat())
    refused = await refusal(client.create(world.seat()))
    assert refused.reason is Reason.TOO_MANY_FOR_TRAVELLER
    assert refused.metadata == {
        "offer_id": world.seat(),
        "limit": "3",
        "held": "2",
        "requested": "2",
    }
    await other.order(world.seat())
    await client.cancel(first.order_id)
    await client.order(world.seat())


def duplicate(refused: Refusal) -> tuple[str, str]:
    assert refused.reason is Reason.DUPLICATE_PASSENGER
    return refused.metadata["offer_id"], refused.metadata["passenger_index"]


async def test_nobody_travels_twice(
    world: World, client: TravellerClient, other: TravellerClient
) -> None:
    twice = [
        passenger(document_number="E1234567"),
        passenger("李四", document_number="e 123-4567"),
    ]
    refused = await refusal(client.create(world.seat(), passengers=twice))
    assert duplicate(refused) == (world.seat(), "1")
    known = await client.order(world.seat(), passengers=twice[:1])
    refused = await refusal(other.create(world.seat(), passengers=[passenger(), twice[1]]))
    assert duplicate(refused) == (world.seat(), "1")
    # of the departure, in whichever class
    refused = await refusal(other.create(world.seat(1, SECOND), passengers=twice[:1]))
    assert duplicate(refused) == (world.seat(1, SECOND), "0")
    await other.order(world.seat(2), passengers=twice[:1])
    await client.cancel(known.order_id)
    await other.order(world.seat(), passengers=twice[:1])


async def test_all_or_nothing(
    world: World, client: TravellerClient, other: TravellerClient
) -> None:
    await other.order(world.seat(2), passengers=party(9))
    refused = await refusal(client.create(world.seat(1), world.seat(2)))
    assert refused.reason is Reason.SOLD_OUT
    assert await world.stock(1) == (10, 0, 0)


async def test_only_the_owner_sees_an_order(
    world: World, client: TravellerClient, other: TravellerClient
) -> None:
    order = await client.order(world.seat())
    for call in (other.get(order.order_id), other.cancel(order.order_id)):
        refused = await refusal(call)
        assert refused.reason is Reason.NOT_FOUND
        assert refused.metadata == {"resource": "order", "name": order.order_id}
    for code in ("nothing", "ORD-CP-20261121-000001", order.order_id + "0"):
        assert (await refusal(client.get(code))).reason is Reason.NOT_FOUND


async def test_an_order_is_shown_as_it_was_made(world: World, client: TravellerClient) -> None:
    order = await client.order(world.seat(), world.package())
    await world.sql("UPDATE products SET display_name_en = 'Another', fares = '[]'")
    await show_changes(world)
    assert await client.get(order.order_id) == order


async def test_listing_is_paged_newest_first(
    world: World, client: TravellerClient, other: TravellerClient
) -> None:
    made = [(await client.order(world.seat(1 + n % 3), passengers=party(1))) for n in range(7)]
    await other.order(world.seat())
    await client.cancel(made[3].order_id)
    newest_first = [order.order_id for order in reversed(made)]
    pages = await client.pages(page_size=3)
    assert [len(page.orders) for page in pages] == [3, 3, 1]
    assert [order.order_id for page in pages for order in page.orders] == newest_first
    (cancelled,) = await client.pages(state=order_pb2.ORDER_STATE_CANCELLED)
    assert [order.order_id for order in cancelled.orders] == [made[3].order_id]
    token = pages[0].next_page_token
    request = order_pb2.ListOrdersRequest(page_token=token, state=order_pb2.ORDER_STATE_PAID)
    assert (await refusal(client.call("ListOrders", request))).reason is Reason.PAGE_TOKEN_INVALID


async def test_cancelling_gives_everything_back(world: World, client: TravellerClient) -> None:
    order = await client.order(world.seat(), world.seat(2, SECOND), world.package())
    cancelled = (await client.cancel(order.order_id)).order
    assert ORDER_STATE[cancelled.state] == "CANCELLED"
    assert CANCEL_REASON[cancelled.cancel_reason] == "TRAVELLER"
    assert cancelled.sequence == 2
    for table in ("taken_seats", "document_journeys", "traveller_quotas"):
        assert await world.value(f"SELECT count(*) FROM {table}") == 0
    assert (await world.stock(), await world.stock(2, SECOND)) == ((10, 0, 0), (10, 0, 0))
    again = (await client.cancel(order.order_id)).order  # a repeat does no harm
    assert again == cancelled
    key = request_id()
    assert (await client.cancel(order.order_id, key)).order == cancelled
    assert (await client.cancel(order.order_id, key)).order == cancelled


async def test_what_cannot_be_cancelled(world: World, client: TravellerClient) -> None:
    order = await client.order(world.seat())
    await world.expire(order.order_id)
    await world.until("SELECT state = 'CANCELLED' FROM orders")
    refused = await refusal(client.cancel(order.order_id))
    assert refused.reason is Reason.ORDER_STATE_REFUSES
    assert refused.metadata == {"order_id": order.order_id, "state": "CANCELLED"}


async def test_an_expired_hold_is_returned(world: World, client: TravellerClient) -> None:
    order = await client.order(world.seat(), world.package())
    await world.sql(
        "INSERT INTO payments (order_id, attempt, out_trade_no, state, amount_minor,"
        " currency_code, openid, expire_time, create_time, update_time) SELECT order_id, 1,"
        " 'DT1P1', 'PENDING', 1, 'CNY', 'x', now(), now(), now() FROM orders"
    )
    await world.expire(order.order_id)
    await world.until("SELECT state = 'CANCELLED' FROM orders")
    shown = await client.get(order.order_id)
    assert CANCEL_REASON[shown.cancel_reason] == "HOLD_EXPIRED"
    assert await world.stock() == (10, 0, 0)
    tasks = "SELECT kind, key FROM outbox_tasks WHERE kind = 'payment.close'"
    assert await world.sql(tasks) == [("payment.close", "DT1P1")]


async def test_a_channel_and_product_may_hold_shorter(
    world: World, client: TravellerClient
) -> None:
    await world.sql("UPDATE stocks SET hold_seconds = 60 WHERE stock_id = %s", world.stock_id(2))
    await show_changes(world)
    order = await client.order(world.seat(1), world.seat(2))
    held = order.lock_expire_time.ToDatetime() - order.create_time.ToDatetime()
    assert held.total_seconds() == 60  # the shortest of its items
