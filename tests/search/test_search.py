"""Search: what is found, in which order, what it says or refuses."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from deeptravel.ticketing.v1 import offer_pb2

from server.platform.errors import Reason
from tests.support import databases
from tests.support import timetable as world
from tests.support.gate_server import GateServer, gate_server
from tests.support.rpc_server import refusal
from tests.support.searching import ALL, KIND, named, services_of
from tests.support.timetable import ADULT, CHILD, PET, Traveller, departure, tomorrow
from tools.dev.embedded.services import EmbeddedServices

ORDER = offer_pb2.OfferOrder


@pytest.fixture(scope="module")
def database_url(services: EmbeddedServices, timetable_template_url: str) -> Iterator[str]:
    """Of the module: nothing here changes anything."""
    with databases.copied(services.database_url, timetable_template_url) as url:
        yield url


@pytest.fixture(scope="module")
async def server(database_url: str, services: EmbeddedServices) -> AsyncIterator[GateServer]:
    async with gate_server(database_url, services.redis_url) as running:
        yield running


@pytest.fixture
def traveller(server: GateServer) -> Traveller:
    return Traveller(server.channel)


async def test_an_offer_says_all_there_is_to_know(traveller: Traveller) -> None:
    found = await traveller.search(passengers=[CHILD, ADULT, ADULT])
    assert services_of(found) == ALL
    offer = named(found, "N111 SECOND")
    day = tomorrow()
    number = departure(world.EARLY, day)
    assert offer.offer_id == f"TR-{number}-0-1-2"
    assert (offer.kind, offer.product_id, offer.seats_left) == (KIND.OFFER_KIND_TRAIN, 201, 100)
    journey = offer.journey
    assert journey.departure_id == str(number)
    assert (journey.origin.stop_code, journey.destination.stop_code) == ("IOQ", "XJA")
    assert journey.numbered_seats
    boards = datetime.combine(day, datetime.min.time(), world.ZONE) + timedelta(minutes=8 * 60 + 33)
    assert journey.departure_time.ToDatetime(UTC) == boards
    assert journey.arrival_time.ToDatetime(UTC) == boards + timedelta(minutes=27)
    assert offer.valid_from_time.ToDatetime(UTC) == boards - timedelta(minutes=8 * 60 + 33)
    assert offer.valid_until_time.ToDatetime(UTC) > boards + timedelta(hours=1)
    assert not offer.unavailable_reason
    lines = [
        (offer_pb2.PriceLineKind.Name(line.kind)[16:], line.customer_type, line.amount_minor)
        for line in offer.price.lines
    ]
    assert lines == [
        ("FARE", CHILD, 4500),
        ("TIER", CHILD, -450),
        ("FARE", ADULT, 18_000),
        ("TIER", ADULT, -1800),
    ]
    names = [(line.display_name_en, line.display_name_zh) for line in offer.price.lines]
    assert names == [
        ("Child fare", "儿童票"),
        ("Group discount 10%", "多人优惠 10%"),
        ("Adult fare", "成人票"),
        ("Group discount 10%", "多人优惠 10%"),
    ]
    assert (offer.price.total_minor, offer.price.currency_code) == (20_250, "HKD")
    assert [(t.minutes_before, t.percent) for t in offer.policy.refund_tiers] == [(1440, 80)]
    assert "80%" in offer.policy.text_en
    assert "80%" in offer.policy.text_zh
    (ride,) = offer.entitlements
    assert (ride.function_code, ride.total_uses, ride.shared) == ("ferry", 1, False)
    package = named(found, "PK")
    assert package.offer_id == f"PK-106-{day:%Y%m%d}"
    assert (package.kind, package.seats_left) == (KIND.OFFER_KIND_PACKAGE, 50)
    assert not package.HasField("journey")
    lasts = package.valid_until_time.ToDatetime(UTC) - package.valid_from_time.ToDatetime(UTC)
    assert lasts == timedelta(days=31)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"kinds": [KIND.OFFER_KIND_TRAIN]}, [ALL[0], ALL[1], ALL[3], ALL[4]]),
        ({"kinds": [KIND.OFFER_KIND_FERRY, KIND.OFFER_KIND_PACKAGE]}, [ALL[2], ALL[5]]),
        ({"kinds": [KIND.OFFER_KIND_BUS]}, []),
        ({"fare_classes": ["FIRST", "ECONOMY"]}, [ALL[1], ALL[2], ALL[4]]),
        ({"departs_from": "08:33", "departs_until": "12:00"}, [ALL[0], ALL[1]]),
        ({"departs_from": "08:34"}, [ALL[2], ALL[3], ALL[4]]),
        ({"departs_until": "08:33"}, []),
        ({"destination_city_code": "SZX", "origin_city_code": "CAN"}, ALL[:2] + ALL[3:5]),
        ({"destination_city_code": "SZX", "origin_city_code": "HKG"}, []),
        ({"passengers": [PET], "available_only": True}, [ALL[2]]),
        ({"passengers": [ADULT] * 9, "fare_classes": ["FIRST"]}, [ALL[1], ALL[4]]),
    ],
)
async def test_filters(traveller: Traveller, filters: dict[str, Any], expected: list[str]) -> None:
    assert services_of(await traveller.search(**filters)) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (ORDER.OFFER_ORDER_UNSPECIFIED, ALL),
        (ORDER.OFFER_ORDER_DEPARTURE_TIME, ALL),
        (ORDER.OFFER_ORDER_PRICE, [ALL[0], ALL[3], ALL[2], ALL[1], ALL[4], ALL[5]]),
        (ORDER.OFFER_ORDER_DURATION, [ALL[0], ALL[1], ALL[3], ALL[4], ALL[2], ALL[5]]),
    ],
)
async def test_orders_and_pages(traveller: Traveller, order: Any, expected: list[str]) -> None:
    whole = await traveller.search(order_by=order)
    assert services_of(whole) == expected
    assert not whole.next_page_token
    pages: list[offer_pb2.Offer] = []
    token = ""
    for _ in range(3):
        page = await traveller.search(order_by=order, page_size=2, page_token=token, nearby_days=1)
        assert bool(page.days) == (not token)
        pages += page.offers
        token = page.next_page_token
    assert pages == list(whole.offers)
    assert not token


async def test_a_page_token_is_bound_to_its_filters(traveller: Traveller) -> None:
    page = await traveller.search(page_size=2)
    for fields in ({"available_only": True}, {"passengers": [CHILD]}):
        refused = await refusal(traveller.search(page_token=page.next_page_token, **fields))
        assert refused.reason is Reason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"origin_city_code": "XXX"}, "origin_city_code"),
        ({"destination_city_code": "XXX"}, "destination_city_code"),
        ({"travel_date": "2020-01-01"}, "travel_date"),
        ({"travel_date": "2027-02-30"}, "travel_date"),
        ({"travel_date": "2099-01-01"}, "travel_date"),
        ({"departs_from": "12:00", "departs_until": "12:00"}, "departs_until"),
        ({"passengers": []}, "passengers"),
        ({"passengers": [77]}, "passengers"),
        ({"kinds": [77]}, "kinds"),
        ({"nearby_days": 8}, "nearby_days"),
    ],
)
async def test_bad_fields_are_named(
    traveller: Traveller, fields: dict[str, Any], field: str
) -> None:
    refused = await refusal(traveller.search(**fields))
    assert (refused.reason, refused.fields) == (Reason.INVALID_FIELD, (field,))


async def test_hot_cities_and_product(traveller: Traveller) -> None:
    page = await traveller.stub.ListHotCities(offer_pb2.ListHotCitiesRequest(page_size=1))
    assert [(c.city_code, c.display_name_zh) for c in page.cities] == [("HKG", "香港")]
    token = page.next_page_token
    rest = await traveller.stub.ListHotCities(offer_pb2.ListHotCitiesRequest(page_token=token))
    assert [c.city_code for c in rest.cities] == ["SZX"]
    assert not rest.next_page_token
    found = await traveller.stub.GetProduct(offer_pb2.GetProductRequest(product_id=106))
    assert (found.kind, found.validity_days) == (KIND.OFFER_KIND_PACKAGE, 30)
    assert [(f.customer_type, f.amount_minor) for f in found.fares] == [
        (ADULT, 30_000),
        (CHILD, 20_000),
    ]
    assert [(t.min_party, t.percent_off) for t in found.tiers] == [(3, 10)]
    assert (found.max_per_traveller, found.policy.refund_tiers[0].percent) == (9, 80)
    train = await traveller.stub.GetProduct(offer_pb2.GetProductRequest(product_id=201))
    assert (train.kind, list(train.fares)) == (KIND.OFFER_KIND_TRAIN, [])
    ask = traveller.stub.GetProduct(offer_pb2.GetProductRequest(product_id=999))
    assert (await refusal(ask)).reason is Reason.NOT_FOUND


async def test_anybody_may_search_over_json(server: GateServer) -> None:
    base = f"http://127.0.0.1:{server.app.http_port}"
    async with httpx2.AsyncClient(base_url=base) as client:
        answer = await client.get(
            "/offers",
            params={
                "origin_city_code": "SZX",
                "destination_city_code": "HKG",
                "travel_date": tomorrow().isoformat(),
                "passengers": ["adult", "child"],
                "kinds": "OFFER_KIND_FERRY",
            },
        )
        assert answer.status_code == 200, answer.text
        (offer,) = answer.json()["offers"]
        assert offer["price"]["total_minor"] in (23_000, "23000")
        assert (await client.get("/cities:hot")).json()["cities"][0]["city_code"] == "HKG"
        assert (await client.get("/products/106")).json()["product_id"] == 106
