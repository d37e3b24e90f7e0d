"""Old and new ticket of one stock are one place: another day of a sold-out package, a longer leg on
a full train.

Seen red with a place of its own for every new ticket: each of these changes was SOLD_OUT, or held a
second place meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx2
import orjson
import pytest

from server.platform.errors import Reason
from server.stock.ids import stock_id
from tests.support.changes import show_changes
from tests.support.gate_server import GateServer
from tests.support.order_scenario import (
    OrderScenario,
    change,
    give_back,
    quote_change,
    states,
    swap,
    tickets,
)
from tests.support.rpc_server import Refusal, read_refusal, refusal
from tests.support.travel_clients import OverJson
from tests.support.traveller import (
    FIRST,
    ORDER_STATE,
    PREMIUM,
    TRAIN,
    TravellerClient,
    World,
    a_world,
    party,
    request_id,
)

PACKAGES = stock_id(PREMIUM, 0)


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    """A train that stops on its way, and as many packages and seats as one party has."""
    async with a_world(module_database_url, packages=2, seats=5, max_per_traveller=5) as filled:
        stops = [("XJA", 0), ("MID", 10), ("FTN", 15)]
        await filled.sql("INSERT INTO stops VALUES ('MID', 'HKG', 'Middle', '中途')")
        await filled.sql(
            "UPDATE routes SET stops = %s, fares = fares || %s::jsonb",
            orjson.dumps(
                [
                    {"stop_code": code, "arrive_minutes": at, "depart_minutes": at}
                    for code, at in stops
                ]
            ).decode(),
            orjson.dumps(
                [
                    {
                        "class_code": "FIRST",
                        "origin": origin,
                        "destination": destination,
                        "customer_type": "ADULT",
                        "day_type": "weekday",
                        "amount_minor": amount,
                    }
                    for origin, destination, amount in (
                        ("XJA", "MID", 12_000),
                        ("MID", "FTN", 9_000),
                    )
                ]
            ).decode(),
        )
        await filled.sql(
            "UPDATE products SET policy = policy || '{\"changes_allowed\": 9}' WHERE product_id ="
            " %s",
            TRAIN,
        )
        await show_changes(filled)
        yield filled


def leg(world: World, origin: int, destination: int) -> str:
    """The offer of a part of the train's run: 0 to 1, 1 to 2, or 0 to 2."""
    return f"TR-{world.departure_id()}-{FIRST}-{origin}-{destination}"


async def test_another_day_of_a_sold_out_package(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    order = await scenario.sell(client, world.package())
    assert await world.stock_of(PACKAGES) == (2, 0, 2)
    old = next(each for each in await tickets(client) if not each.shared)
    made = await swap(client, old.ticket_code, world.package(1))
    assert ORDER_STATE[made.order.state] == "PENDING"
    assert await world.stock_of(PACKAGES) == (2, 0, 2)
    assert await world.contradictions() == []
    assert (await refusal(client.create(world.package(2), passengers=party(1)))).reason == (
        Reason.SOLD_OUT
    )
    await scenario.pay(made.order.order_id)
    assert await world.stock_of(PACKAGES) == (2, 0, 2)
    (new,) = [
        each for each in await tickets(client, order_id=made.order.order_id) if not each.shared
    ]
    assert new.valid_from_time.ToDatetime() > old.valid_from_time.ToDatetime()
    # the place is the new ticket's now
    await give_back(client, made.order.order_id, new.ticket_code)
    await scenario.drain()
    assert await world.stock_of(PACKAGES) == (2, 0, 1)
    assert "CHANGED" in await states(client, order.order_id)


async def test_a_longer_leg_on_a_full_train_over_json(
    world: World, client: TravellerClient, scenario: OrderScenario, server: GateServer
) -> None:
    order = await scenario.sell(client, leg(world, 0, 1), passengers=party(5))
    assert await world.stock() == (5, 0, 5)
    old = (await tickets(client))[2]

    def over_json() -> Any:
        url = f"http://127.0.0.1:{server.app.http_port}"
        with httpx2.Client(base_url=url, trust_env=False) as http:
            over_json = OverJson(http)
            over_json.token = client.metadata[0][1].removeprefix("Bearer ")
            quoted = over_json.call(
                "QuoteChange", ticket_code=old.ticket_code, offer_id=leg(world, 0, 2)
            )
            return over_json.call(
                "ChangeTicket",
                ticket_code=old.ticket_code,
                change_quote=quoted["change_quote"],
                request_id=request_id(),
            )

    made = (await asyncio.to_thread(over_json))["order"]
    assert made["state"] == "PENDING"
    assert made["items"][0]["places"][0]["seat"] == old.seat
    assert await world.stock() == (5, 0, 5)
    await scenario.pay(made["order_id"])
    (new,) = await tickets(client, order_id=made["order_id"])
    assert (new.seat, new.journey.destination.stop_code) == (old.seat, "FTN")
    assert await world.stock() == (5, 0, 5)
    assert await world.value("SELECT count(*) FROM taken_seats") == 5
    assert await world.value("SELECT count(*) FROM document_journeys, jsonb_each(journeys)") == 5
    # a shorter one again, paid by what it is cheaper, and then it goes: the seat is free for others
    again = await swap(client, new.ticket_code, leg(world, 0, 1))
    assert ORDER_STATE[again.order.state] == "PAID"
    assert again.ticket.seat == old.seat
    await give_back(client, again.order.order_id)
    await scenario.drain()
    other = TravellerClient.of(server.channel, 2)
    sold = await scenario.sell(other, leg(world, 1, 2), passengers=party(1))
    assert sold.items[0].places[0].seat == old.seat
    assert (await states(client, order.order_id)).count("ACTIVE") == 4


@pytest.mark.parametrize("by_traveller", [True, False])
async def test_what_is_not_paid_stays_as_it_was(
    world: World, client: TravellerClient, scenario: OrderScenario, by_traveller: bool
) -> None:
    order = await scenario.sell(client, leg(world, 0, 1), passengers=party(5))
    old = (await tickets(client))[0]
    made = await swap(client, old.ticket_code, leg(world, 0, 2))
    if by_traveller:
        await client.cancel(made.order.order_id)
    else:
        await world.expire(made.order.order_id)
        await world.until(
            "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s", made.order.order_id
        )
    assert await states(client, order.order_id) == ["ACTIVE"] * 5
    assert await world.stock() == (5, 0, 5)
    assert await world.value("SELECT count(*) FROM taken_seats") == 5


async def test_a_payment_too_late_has_the_same_place(
    world: World, client: TravellerClient, scenario: OrderScenario, server: GateServer
) -> None:
    order = await scenario.sell(client, leg(world, 0, 1), passengers=party(5))
    first, second = (await tickets(client))[:2]
    late = {}
    for old in (first, second):
        made = await swap(client, old.ticket_code, leg(world, 0, 2))
        late[made.order.order_id] = await scenario.bill(made.order.order_id)
        await world.expire(made.order.order_id)
        await world.until(
            "SELECT state = 'CANCELLED' FROM orders WHERE order_code = %s", made.order.order_id
        )
    honoured, gone = late
    assert await scenario.take_in(late[honoured]) == "PAID"
    (new,) = await tickets(client, order_id=honoured)
    assert new.seat == first.seat
    # the other one's ticket is given back meanwhile, and its place sold
    await give_back(client, order.order_id, second.ticket_code)
    await scenario.drain()
    await scenario.sell(
        TravellerClient.of(server.channel, 2), leg(world, 0, 2), passengers=party(1)
    )
    assert await scenario.take_in(late[gone]) == "REFUNDED"
    await scenario.drain()
    assert await world.stock() == (5, 0, 5)


async def test_two_changes_at_once_take_one_place(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """Seen red without the locks, and the ticket moved whatever its state: only the passenger's
    journey kept the others off.
    """
    order = await scenario.sell(client, leg(world, 0, 1), passengers=party(5))
    old = (await tickets(client))[0]
    quotes = [
        (await quote_change(client, old.ticket_code, offer)).change_quote
        for offer in (leg(world, 0, 2), leg(world, 0, 2), leg(world, 1, 2))
    ]
    outcomes = await asyncio.gather(
        *[refusal_or_order(client, old.ticket_code, quote) for quote in quotes]
    )
    made = [each for each in outcomes if not isinstance(each, Refusal)]
    assert len(made) == 1
    others = {each.reason for each in outcomes if isinstance(each, Refusal)}
    assert others == {Reason.CHANGE_REFUSED}
    assert await world.stock() == (5, 0, 5)
    await scenario.pay(made[0].order_id) if ORDER_STATE[made[0].state] == "PENDING" else None
    assert sorted(await states(client, order.order_id)) == ["ACTIVE"] * 4 + ["CHANGED"]
    assert await world.value("SELECT count(*) FROM taken_seats") == 5


async def refusal_or_order(client: TravellerClient, ticket_code: str, quote: str) -> Any:
    """The order of a change, or why there is none."""
    try:
        return (await change(client, ticket_code, quote)).order
    except grpc.aio.AioRpcError as error:
        return read_refusal(error)


async def test_all_at_once_on_a_full_train(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """Everybody goes on to the end, each keeps his seat, and nobody waits for anybody's place."""
    order = await scenario.sell(client, leg(world, 0, 1), passengers=party(5))
    old = await tickets(client)
    made = await asyncio.gather(*[swap(client, t.ticket_code, leg(world, 0, 2)) for t in old])
    assert await world.stock() == (5, 0, 5)
    await asyncio.gather(*[scenario.pay(each.order.order_id) for each in made])
    seats = [(await tickets(client, order_id=each.order.order_id))[0].seat for each in made]
    assert seats == [each.seat for each in old]
    assert set(await states(client, order.order_id)) == {"CHANGED"}
    assert await world.stock() == (5, 0, 5)


async def test_a_seat_that_the_map_does_not_have_any_more_is_another_place(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    await scenario.sell(client, leg(world, 0, 1), passengers=party(1))
    (old,) = await tickets(client)
    smaller = {"rows": [2], "columns": "ABC DF"}
    await world.sql(
        "UPDATE routes SET fare_classes = jsonb_set(fare_classes, '{0,seat_map}', %s::jsonb)",
        orjson.dumps(smaller).decode(),
    )
    await show_changes(world)
    for _ in range(300):
        probe = await client.order(leg(world, 0, 2), passengers=party(1))
        await client.cancel(probe.order_id)
        if probe.items[0].places[0].seat.startswith("2"):
            break
        await asyncio.sleep(0.01)
    made = await swap(client, old.ticket_code, leg(world, 0, 2))
    assert await world.stock() == (5, 1, 1)
    await scenario.pay(made.order.order_id)
    assert await world.stock() == (5, 0, 1)
