"""A small world to search in: a train and a ferry from Shenzhen to Hong Kong every day, and a
package there.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import grpc
from deeptravel.ticketing.v1 import offer_pb2, ticketing_service_pb2_grpc
from deeptravel.tickets.v1 import ticket_pb2

from server.audit.rules import DIRECT_CHANNEL
from server.catalog import allotments, products
from server.catalog.cities import City, Stop, create_cities, create_stops
from server.catalog.holidays import Holiday, set_holidays
from server.catalog.products import NewProduct
from server.catalog.routes import Route, create_route
from server.catalog.timetables import Timetable, create_timetables
from server.platform.config import load_settings
from server.platform.database import Database
from server.stock.ids import departure_id

if TYPE_CHECKING:  # known to the .pyi file alone
    from deeptravel.ticketing.v1.ticketing_service_pb2_grpc import TicketingServiceAsyncStub

ZONE = ZoneInfo("Asia/Hong_Kong")
TRAIN, FERRY, PACKAGE = 201, 202, 106
TRAIN_ROUTE, FERRY_ROUTE = 11, 12
EARLY, LATE, BOAT = 111, 112, 121
"""Timetables: trains at 08:00 and 20:00, a ferry at 12:00."""
SALE_DAYS = 20
ADULT, CHILD, PET = (
    ticket_pb2.CUSTOMER_TYPE_ADULT,
    ticket_pb2.CUSTOMER_TYPE_CHILD,
    ticket_pb2.CUSTOMER_TYPE_PET,
)


@cache
def today() -> date:
    """The day the tests began on: what is sold is made once for them all, and they may go on
    past midnight.
    """
    return this_day()


def this_day() -> date:
    """The day it is, which may be the day after tests began: for what is asked of today alone."""
    return datetime.now(ZONE).date()


def tomorrow() -> date:
    return today() + timedelta(days=1)


def by() -> dict[str, Any]:
    return {"actor": "test", "now": datetime.now(UTC)}


def departure(timetable_id: int, day: date) -> int:
    return departure_id(timetable_id, day)


def product(product_id: int, kind: str, **more: Any) -> NewProduct:
    new: Any = {
        "product_id": product_id,
        "kind": kind,
        "display_name_en": f"Product {product_id}",
        "display_name_zh": f"产品{product_id}",
        "currency_code": "HKD",
        "fares": [
            {"customer_type": customer, "day_type": "weekday", "amount_minor": amount}
            for customer, amount in (("ADULT", 30_000), ("CHILD", 20_000))
        ],
        "entitlements": [
            {
                "function_code": "ferry",
                "display_name_en": "Ride",
                "display_name_zh": "乘坐",
                "total_uses": 1,
                "use_mode": "ONCE_PER_QR",
                "guard_seconds": 0,
            }
        ],
        "validity_days": 30,
        "blackout_dates": [],
        "tiers": [{"min_party": 3, "percent_off": 10}],
        "policy": {"refund_tiers": [{"minutes_before": 1440, "percent": 80}]},
    }
    return {**new, **more}  # type: ignore[typeddict-item]


def fare(class_code: str, origin: str, destination: str, customer: str, amount: int) -> Any:
    return {
        "class_code": class_code,
        "origin": origin,
        "destination": destination,
        "customer_type": customer,
        "day_type": "weekday",
        "amount_minor": amount,
    }


TRAIN_FARES = [
    fare(code, origin, destination, customer, amount * percent // 100)
    for code, percent in (("SECOND", 100), ("FIRST", 200))
    for origin, destination, amount in (
        ("IZQ", "IOQ", 8000),
        ("IZQ", "XJA", 20_000),
        ("IOQ", "XJA", 9000),
    )
    for customer, amount in (("ADULT", amount), ("CHILD", amount // 2))
]
FERRY_FARES = [
    fare("ECONOMY", "SK", "SW", customer, amount)
    for customer, amount in (("ADULT", 15_000), ("CHILD", 8000), ("PET", 5000))
]


def fare_class(code: str, index: int, seat_map: Any = None) -> Any:
    names = {"display_name_en": code.title(), "display_name_zh": code}
    return {"class_code": code, "class_index": index, "seat_map": seat_map, **names}


def call(stop_code: str, arrive: int, depart: int) -> Any:
    return {"stop_code": stop_code, "arrive_minutes": arrive, "depart_minutes": depart}


def timetable(
    timetable_id: int, route_id: int, clock: str, seats: dict[str, int], **more: Any
) -> Any:
    fields: dict[str, Any] = {
        "timetable_id": timetable_id,
        "route_id": route_id,
        "service_number": f"N{timetable_id}",
        "departure_clock": time.fromisoformat(clock),
        "weekdays": 127,
        "first_date": today(),
        "last_date": today() + timedelta(days=300),
        "seats": seats,
        "sale_days": SALE_DAYS,
        "closing_minutes": 30,
    }
    return Timetable(**fields | more)


async def build(db: Database) -> None:
    """Makes all of it."""
    async with db.transaction() as tx:
        cities = [
            City("SZX", "Shenzhen", "深圳", "Asia/Shanghai", 2),
            City("HKG", "Hong Kong", "香港", "Asia/Hong_Kong", 1),
            City("CAN", "Guangzhou", "广州", "Asia/Shanghai"),
        ]
        await create_cities(tx, cities, **by())
        stops = [("IZQ", "CAN"), ("IOQ", "SZX"), ("XJA", "HKG"), ("SK", "SZX"), ("SW", "HKG")]
        places = [(22_500_000 - n * 100_000, 114_000_000 + n * 50_000) for n in range(len(stops))]
        new = [
            Stop(code, city, code, code, *place)
            for (code, city), place in zip(stops, places, strict=True)
        ]
        await create_stops(tx, new, **by())
        await products.create_product(tx, product(TRAIN, "TRANSPORT"), **by())
        await products.create_product(tx, product(FERRY, "TRANSPORT", tiers=[]), **by())
        await products.create_product(tx, product(PACKAGE, "PACKAGE", city_code="HKG"), **by())
        await allotments.create_allotment(
            tx, product_id=PACKAGE, channel=DIRECT_CHANNEL, total=50, **by()
        )
        calls = [call("IZQ", 0, 0), call("IOQ", 30, 33), call("XJA", 60, 60)]
        classes = [
            fare_class("SECOND", 0, {"rows": 20, "columns": "ABC DF"}),
            fare_class("FIRST", 1),
        ]
        await create_route(
            tx,
            Route(TRAIN_ROUTE, TRAIN, "TRAIN", calls, classes, TRAIN_FARES),
            **by(),
        )
        crossing = [call("SK", 0, 0), call("SW", 75, 75)]
        await create_route(
            tx,
            Route(FERRY_ROUTE, FERRY, "FERRY", crossing, [fare_class("ECONOMY", 0)], FERRY_FARES),
            **by(),
        )
        seats = {"SECOND": 100, "FIRST": 10}
        until_midnight = datetime.combine(today(), time(23, 59), ZONE)
        await create_timetables(
            tx,
            [
                timetable(EARLY, TRAIN_ROUTE, "08:00", seats),
                timetable(LATE, TRAIN_ROUTE, "20:00", seats),
                timetable(BOAT, FERRY_ROUTE, "12:00", {"ECONOMY": 200}),
            ],
            actor="test",
            now=min(datetime.now(UTC), until_midnight),
        )
        await set_holidays(
            tx,
            [Holiday("HK", today() + timedelta(days=5), "holiday", "Feast", "节日")],
            **by(),
        )


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    db = Database(load_settings(), url)
    try:
        yield db
    finally:
        await db.close()


@dataclass
class Traveller:
    """Who searches, with nothing but a channel."""

    channel: grpc.aio.Channel
    defaults: dict[str, Any] = field(default_factory=dict)

    @property
    def stub(self) -> "TicketingServiceAsyncStub":
        return ticketing_service_pb2_grpc.TicketingServiceStub(self.channel)

    async def search(self, **fields: Any) -> offer_pb2.SearchOffersResponse:
        """From Shenzhen to Hong Kong, tomorrow, one adult, unless the fields say otherwise."""
        return await self.stub.SearchOffers(request(**fields))


def request(**fields: Any) -> offer_pb2.SearchOffersRequest:
    asked: dict[str, Any] = {
        "origin_city_code": "SZX",
        "destination_city_code": "HKG",
        "travel_date": tomorrow().isoformat(),
        "passengers": [ADULT],
    }
    return offer_pb2.SearchOffersRequest(**asked | fields)
