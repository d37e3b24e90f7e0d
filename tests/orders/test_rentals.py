"""Cars are searched, held, paid, changed and given back as all else: a rental takes a car on each
of its days, or on none.

After each test `deeptravel doctor --invariants` finds the stock of every day as it should be.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from deeptravel.ticketing.v1 import offer_pb2, order_pb2, rental_pb2, ticket_pb2
from deeptravel.tickets.v1.ticket_pb2 import CUSTOMER_TYPE_ADULT

from server.audit.records import By
from server.catalog.rental_fleets import unarchive_fleet
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import Reason
from tests.support import rentals
from tests.support.changes import show_changes
from tests.support.gate import verdict
from tests.support.gate_server import GateServer
from tests.support.invariants import assert_invariants
from tests.support.order_scenario import (
    OrderScenario,
    change,
    give_back,
    quote_change,
    tickets,
)
from tests.support.rentals import AIRPORT, AIRPORT_FLEET, CITY, ECONOMY, SUV
from tests.support.rpc_server import refusal, refusal_or_none
from tests.support.staff import hire, valid_now
from tests.support.traveller import (
    TravellerClient,
    World,
    a_world,
    passenger,
)

CARS = 3
RACERS = 64
MONDAY = datetime.now(UTC).date() + timedelta(days=21 - datetime.now(UTC).date().weekday())
"""Of a week to come, on which all is open and no holiday is known."""


@pytest.fixture(scope="module")
async def filled_world(module_database_url: str) -> AsyncIterator[World]:
    async with a_world(module_database_url, max_per_traveller=9) as filled:
        db = Database(load_settings(), module_database_url)
        async with db.transaction() as tx:
            by = By(actor="test", now=datetime.now(UTC))
            await rentals.seed_rentals(tx, cars=CARS, **by)
            await unarchive_fleet(tx, rentals.SUV_FLEET, **by)
        await db.close()
        await show_changes(filled)
        yield filled


@pytest.fixture
async def world(filled_world: World, module_database_url: str) -> AsyncIterator[World]:
    """The world's own query for contradictions knows no stocks of days."""
    yield filled_world
    assert_invariants(module_database_url)


def clock(day: int, time: str = "10:00") -> str:
    """A time on so many days after the Monday."""
    return f"{MONDAY + timedelta(days=day)}T{time}"


def asked(begin: str, end: str, **fields: Any) -> rental_pb2.SearchRentalsRequest:
    values: dict[str, Any] = {
        "pick_up_location_id": AIRPORT,
        "pick_up_clock": begin,
        "return_clock": end,
        "driver_age": 30,
        "category_codes": ["ECONOMY"],
    }
    return rental_pb2.SearchRentalsRequest(**values | fields)


async def offers(client: TravellerClient, begin: str, end: str, **fields: Any) -> Any:
    """What is found, by product."""
    found = await client.call("SearchRentals", asked(begin, end, **fields))
    return {each.product_id: each for each in found.offers}


async def economy(client: TravellerClient, first: int, days: int, **fields: Any) -> Any:
    """The offer of the economy car for so many days."""
    return (await offers(client, clock(first), clock(first + days), **fields))[ECONOMY]


async def levels(world: World, fleet: int = AIRPORT_FLEET) -> dict[int, tuple[int, int]]:
    """Held and sold by days after the Monday, of days of which something is."""
    rows = await world.sql(
        "SELECT use_date, held, sold FROM stocks WHERE fleet_id = %s AND held + sold > 0", fleet
    )
    return {(day - MONDAY).days: (held, sold) for day, held, sold in rows}


async def test_a_price_is_all_of_its_lines(client: TravellerClient) -> None:
    """Three days from Friday, of which two are of the weekend, 10 % off from three days on."""
    extras = [
        rental_pb2.WantedExtra(extra_code="child_seats", quantity=2),
        rental_pb2.WantedExtra(extra_code="damage_waiver", quantity=1),
    ]
    found = await economy(client, 4, 3, driver_age=22, drop_off_location_id=CITY, extras=extras)
    lines = [(each.kind, each.quantity, each.unit_minor) for each in found.price.lines]
    base = 30_000 + 2 * 40_000
    assert lines == [
        (offer_pb2.PRICE_LINE_KIND_FARE, 1, 30_000),
        (offer_pb2.PRICE_LINE_KIND_FARE, 2, 40_000),
        (offer_pb2.PRICE_LINE_KIND_TIER, 1, -base // 10),
        (offer_pb2.PRICE_LINE_KIND_YOUNG_DRIVER, 3, 5_000),
        (offer_pb2.PRICE_LINE_KIND_ONE_WAY, 1, 15_000),
        (offer_pb2.PRICE_LINE_KIND_EXTRA, 2, 15_000),
        (offer_pb2.PRICE_LINE_KIND_EXTRA, 1, 15_000),
    ]
    assert found.price.total_minor == sum(each.amount_minor for each in found.price.lines)
    assert found.rental.days == 3
    assert "until 48 hours before pick-up" in found.policy.text_en
    assert "取车前48小时" in found.policy.text_zh
    assert "departure" not in found.policy.text_en
    assert [each.quantity for each in found.rental.extras] == [2, 1]
    quoted = await client.call(
        "QuoteOrder",
        order_pb2.QuoteOrderRequest(
            items=[order_pb2.OrderItem(offer_id=found.offer_id)],
            passengers=[CUSTOMER_TYPE_ADULT],
        ),
    )
    assert quoted.total_minor == found.price.total_minor
    assert quoted.items[0].seats_left == CARS


@pytest.mark.parametrize(
    ("begin", "end", "fields", "why"),
    [
        (clock(0, "06:59"), clock(1), {}, offer_pb2.UNAVAILABLE_REASON_LOCATION_CLOSED),
        (clock(0), clock(1, "23:01"), {}, offer_pb2.UNAVAILABLE_REASON_LOCATION_CLOSED),
        (clock(0), clock(1), {"driver_age": 20}, offer_pb2.UNAVAILABLE_REASON_DRIVER_TOO_YOUNG),
        (clock(0), clock(31), {}, offer_pb2.UNAVAILABLE_REASON_RENTAL_LENGTH),
        (clock(0), clock(1), {"cars": CARS + 1}, offer_pb2.UNAVAILABLE_REASON_SOLD_OUT),
        (clock(60), clock(61), {}, offer_pb2.UNAVAILABLE_REASON_NOT_YET_ON_SALE),
        (clock(0), clock(1), {}, offer_pb2.UNAVAILABLE_REASON_UNSPECIFIED),
    ],
)
async def test_why_a_car_cannot_be_had(
    client: TravellerClient, begin: str, end: str, fields: dict[str, Any], why: int
) -> None:
    found = await offers(client, begin, end, **fields)
    assert found[ECONOMY].unavailable_reason == why


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"return_clock": clock(0)}, "return_clock"),
        ({"pick_up_clock": "2020-01-01T10:00"}, "pick_up_clock"),
        ({"pick_up_clock": "2027-02-30T10:00"}, "pick_up_clock"),
        ({"pick_up_location_id": 0}, "city_code"),
        (
            {"extras": [rental_pb2.WantedExtra(extra_code="sleigh", quantity=1)]},
            "extras[0].extra_code",
        ),
        (
            {"extras": [rental_pb2.WantedExtra(extra_code="damage_waiver", quantity=2)]},
            "extras[0].quantity",
        ),
    ],
)
async def test_searches_that_are_refused(
    client: TravellerClient, fields: dict[str, Any], field: str
) -> None:
    times = {"pick_up_clock": clock(0), "return_clock": clock(1)}
    request = asked("", "", **times | fields)
    refused = await refusal(client.call("SearchRentals", request))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


async def test_a_rental_takes_each_of_its_days_and_gives_each_back(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    offer = await economy(client, 0, 3)
    held = await client.order(offer.offer_id, passengers=[passenger()])
    assert await levels(world) == {0: (1, 0), 1: (1, 0), 2: (1, 0)}
    await client.cancel(held.order_id)
    assert await levels(world) == {}
    sold = await scenario.sell(client, offer.offer_id, passengers=[passenger()])
    assert await levels(world) == {0: (0, 1), 1: (0, 1), 2: (0, 1)}
    assert sold.items[0].offer.rental.car.model == "Yaris"
    (ticket,) = await tickets(client, order_id=sold.order_id)
    assert {each.function_code for each in ticket.entitlements} == {"pickup", "return"}
    await give_back(client, sold.order_id, ticket.ticket_code)
    assert await scenario.drain()
    assert await levels(world) == {}


async def test_a_voucher_is_redeemed_at_the_venue_of_its_location(
    world: World, client: TravellerClient, scenario: OrderScenario, server: GateServer
) -> None:
    """As the locations have it now, not as when it was sold. Seen red without the look at the
    location, and with the pick-up's for both.
    """
    staff = await hire(world, server.channel)
    await world.sql("UPDATE merchants SET function_codes = '{pickup,return}'")
    offer = await economy(client, 0, 2, drop_off_location_id=CITY)
    sold = await scenario.sell(client, offer.offer_id, passengers=[passenger()])
    await valid_now(world)
    (ticket,) = await tickets(client, order_id=sold.order_id)
    request = ticket_pb2.IssueTicketQrRequest(ticket_code=ticket.ticket_code)
    token = (await client.call("IssueTicketQr", request)).encrypted_data
    venue = "UPDATE rental_locations SET venue_code = %s WHERE location_id = %s"
    await world.sql(venue, "ELSEWHERE", AIRPORT)
    refused = await staff.terminal.redeem(token, "pickup")
    assert (verdict(refused), refused.explanation.check) == ("FUNCTION_NOT_ALLOWED_HERE", "venue")
    assert "ELSEWHERE" in refused.explanation.en
    await world.sql(venue, "PIER", AIRPORT)
    assert verdict(await staff.terminal.redeem(token, "pickup")) == "SUCCESS"
    await world.sql(venue, "ELSEWHERE", CITY)
    assert verdict(await staff.terminal.redeem(token, "return")) == "FUNCTION_NOT_ALLOWED_HERE"
    await world.sql(venue, None, CITY)  # without a venue it is redeemed anywhere
    assert verdict(await staff.terminal.redeem(token, "return")) == "SUCCESS"


async def test_a_hold_that_is_over_gives_every_day_back(
    world: World, client: TravellerClient
) -> None:
    offer = await economy(client, 0, 5)
    held = await client.order(offer.offer_id, passengers=[passenger()])
    await world.expire(held.order_id)
    await world.until(
        "SELECT NOT EXISTS (SELECT FROM stocks WHERE fleet_id = %s AND held > 0)", AIRPORT_FLEET
    )
    assert await levels(world) == {}


async def test_all_days_or_none(world: World, client: TravellerClient) -> None:
    """The third of four days is sold out: nothing is taken of the others."""
    for _ in range(CARS):
        middle = await economy(client, 2, 1)
        await client.order(middle.offer_id, passengers=[passenger()])
    before = await levels(world)
    wanted = await economy(client, 0, 4)
    assert wanted.unavailable_reason == offer_pb2.UNAVAILABLE_REASON_SOLD_OUT
    refused = await refusal(client.create(wanted.offer_id, passengers=[passenger()]))
    assert refused.reason == Reason.SOLD_OUT
    assert await levels(world) == before == {2: (CARS, 0)}


async def test_a_change_of_range_keeps_the_days_that_both_have(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    """All cars are gone on the common days, and the rental is moved by a day all the same.

    Seen red without the shared days: the change was refused.
    """
    mine = await scenario.sell(
        client, (await economy(client, 0, 3)).offer_id, passengers=[passenger()]
    )
    for _ in range(CARS - 1):
        await client.order((await economy(client, 0, 3)).offer_id, passengers=[passenger()])
    (ticket,) = await tickets(client, order_id=mine.order_id)
    target = await economy(client, 1, 3)
    quote = await quote_change(client, ticket.ticket_code, target.offer_id)
    await change(client, ticket.ticket_code, quote.change_quote)
    assert await levels(world) == {
        0: (CARS - 1, 0),
        1: (CARS - 1, 1),
        2: (CARS - 1, 1),
        3: (0, 1),
    }


async def test_a_change_to_another_category_pays_the_difference(
    world: World, client: TravellerClient, scenario: OrderScenario
) -> None:
    mine = await scenario.sell(
        client, (await economy(client, 0, 1)).offer_id, passengers=[passenger()]
    )
    (ticket,) = await tickets(client, order_id=mine.order_id)
    found = await offers(client, clock(0), clock(2), drop_off_location_id=0)
    quote = await quote_change(client, ticket.ticket_code, found[SUV].offer_id)
    made = await change(client, ticket.ticket_code, quote.change_quote)
    assert await levels(world, rentals.SUV_FLEET) == {0: (1, 0), 1: (1, 0)}
    assert await scenario.pay(made.order.order_id) == "PAID"
    assert await levels(world, rentals.SUV_FLEET) == {0: (0, 1), 1: (0, 1)}
    assert await levels(world) == {}


@pytest.mark.parametrize(
    ("age", "born", "allowed"), [(30, 40, True), (30, 23, False), (22, 24, True), (30, 19, False)]
)
async def test_the_driver_is_as_old_as_the_document_tells(
    client: TravellerClient, age: int, born: int, allowed: bool
) -> None:
    offer = await economy(client, 0, 1, driver_age=age)
    number = resident_id(MONDAY, born)
    driver = passenger(document_type=order_pb2.DOCUMENT_TYPE_RESIDENT_ID, document_number=number)
    refused = await refusal_or_none(client.create(offer.offer_id, passengers=[driver]))
    if allowed:
        assert refused is None
    else:
        assert refused is not None
        assert refused.reason == Reason.PASSENGER_NOT_ALLOWED
        assert refused.metadata["rule"] == "DRIVER_AGE"


def resident_id(day: date, age: int) -> str:
    """The card of somebody who is of that age on a day."""
    start = f"110105{day.replace(year=day.year - age, day=1):%Y%m%d}002"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    rest = sum(int(digit) * weight for digit, weight in zip(start, weights, strict=True)) % 11
    return start + "10X98765432"[rest]


async def test_overlapping_rentals_at_once_never_take_more_than_there_are(
    world: World, server: GateServer
) -> None:
    """Ranges of one to four days that begin on any of five, all at once."""
    clients = [TravellerClient.of(server.channel, number) for number in range(1, RACERS + 1)]
    ranges = [(number % 5, 1 + number // 5 % 4) for number in range(RACERS)]
    found = [await economy(clients[0], *each) for each in sorted(set(ranges))]
    by_range = dict(zip(sorted(set(ranges)), found, strict=True))

    async def order(client: TravellerClient, wanted: tuple[int, int]) -> str:
        offer_id = by_range[wanted].offer_id
        refused = await refusal_or_none(client.create(offer_id, passengers=[passenger()]))
        return refused.reason if refused else "OK"

    outcomes = await asyncio.gather(*map(order, clients, ranges))
    assert set(outcomes) <= {"OK", Reason.SOLD_OUT}
    taken: Counter[int] = Counter()
    for outcome, (first, days) in zip(outcomes, ranges, strict=True):
        if outcome == "OK":
            taken.update(range(first, first + days))
    assert await levels(world) == {day: (count, 0) for day, count in taken.items()}
    assert max(taken.values()) == CARS
