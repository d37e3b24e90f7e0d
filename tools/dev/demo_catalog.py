"""What the demo data sell: cities, trains, ferries and buses with their timetables, packages, cars
(demo_rentals), holidays and promotions.

Names, numbers, times and fares are like the real ones, but not them. Days are counted from the day
of loading. What is there stays; what is missing, say in the database of an older release, is made.
"""

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import combinations
from typing import Any, NamedTuple, Unpack
from zoneinfo import ZoneInfo

from sqlalchemy import Column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.rules import ProductEntitlement, ProductFare
from server.catalog import models, products, promotions
from server.catalog.cities import City, Stop, create_cities, create_stops
from server.catalog.holiday_tables import load_shipped
from server.catalog.products import PRODUCTS, NewProduct
from server.catalog.promotions import PromotionRecord
from server.catalog.routes import Route, create_route
from server.catalog.timetables import Timetable, create_timetables
from tools.dev import demo_rentals

ZONE = ZoneInfo("Asia/Hong_Kong")
TIMETABLE_DAYS = 365
PROMOTION_DAYS = 90
WELCOME_CAP = 1000
BLACKOUT_IN_DAYS = {107: 12, 204: 9}
"""One blackout date of each of these products, so many days after the loading."""

CITIES = [
    City("HKG", "Hong Kong", "香港", "Asia/Hong_Kong", 1),
    City("SZX", "Shenzhen", "深圳", "Asia/Shanghai", 2),
    City("CAN", "Guangzhou", "广州", "Asia/Shanghai", 3),
    City("MFM", "Macau", "澳门", "Asia/Macau", 4),
    City("ZUH", "Zhuhai", "珠海", "Asia/Shanghai", 5),
    City("DGM", "Dongguan", "东莞", "Asia/Shanghai"),
]
STOPS = [
    Stop("IZQ", "CAN", "Guangzhou South", "广州南", 22_990_000, 113_269_000),
    Stop("IUQ", "DGM", "Humen", "虎门", 22_860_000, 113_671_000),
    Stop("IOQ", "SZX", "Shenzhen North", "深圳北", 22_609_000, 114_029_000),
    Stop("NZQ", "SZX", "Futian", "福田", 22_538_000, 114_056_000),
    Stop("XJA", "HKG", "Hong Kong West Kowloon", "香港西九龙", 22_304_000, 114_166_000),
    Stop("SHEKOU", "SZX", "Shekou Cruise Home Port", "蛇口邮轮中心", 22_477_000, 113_910_000),
    Stop(
        "SHEUNG-WAN",
        "HKG",
        "Hong Kong Macau Ferry Terminal, Sheung Wan",
        "上环港澳码头",
        22_289_000,
        114_152_000,
    ),
    Stop(
        "SKYPIER", "HKG", "SkyPier, Hong Kong Airport", "香港机场海天码头", 22_319_000, 113_944_000
    ),
    Stop(
        "OUTER-HARBOUR",
        "MFM",
        "Outer Harbour Ferry Terminal",
        "外港客运码头",
        22_197_000,
        113_559_000,
    ),
    Stop("TAIPA", "MFM", "Taipa Ferry Terminal", "氹仔客运码头", 22_163_000, 113_577_000),
    Stop("JIUZHOU", "ZUH", "Jiuzhou Port", "九洲港", 22_240_000, 113_587_000),
    Stop(
        "HZMB-HKG", "HKG", "Bridge Port, Hong Kong", "港珠澳大桥香港口岸", 22_317_000, 113_952_000
    ),
    Stop("HZMB-ZUH", "ZUH", "Bridge Port, Zhuhai", "港珠澳大桥珠海口岸", 22_207_000, 113_586_000),
    Stop("HZMB-MFM", "MFM", "Bridge Port, Macau", "港珠澳大桥澳门口岸", 22_207_000, 113_582_000),
]

DAILY, WEEKDAYS, LONG_WEEKEND = 127, 31, 112
"""As bits, Monday first; a long weekend begins on Friday."""


class Line(NamedTuple):
    """A product of kind TRANSPORT: how it is sold."""

    product_id: int
    vehicle: str
    names: tuple[str, str]
    entitlement: tuple[str, str, str]
    classes: dict[str, "FareClass"]
    percent_by_customer: dict[str, int]
    percent_by_day: dict[str, int]
    tiers: dict[int, int]
    policy: dict[str, Any]
    calendar_code: str
    sale_days: int
    closing_minutes: int


class FareClass(NamedTuple):
    """Of a line: names, seats of our own, percent of the lowest fare; no seat map, no numbers."""

    names: tuple[str, str]
    seats: int
    percent: int
    seat_map: dict[str, Any] | None = None


class Run(NamedTuple):
    """A route: minutes of arrival and departure by stop, lowest adult fare by pair of stops, and
    its services.
    """

    route_id: int
    product_id: int
    stops: dict[str, tuple[int, int]]
    fares: dict[tuple[str, str], int]
    services: list[tuple[str, str, int]]


BOARDING = ("boarding", "Boarding", "乘车")
FERRY = ("ferry", "Ferry ride", "渡轮")
PEOPLE = {"ADULT": 100, "CHILD": 50, "SENIOR": 80, "STUDENT": 80}
FERRY_POLICY = {
    "refund_tiers": [
        {"minutes_before": 1440, "percent": 90},
        {"minutes_before": 120, "percent": 50},
    ],
    "changes_allowed": 2,
    "change_minutes_before": 60,
    "change_fee_minor": 2000,
}
FERRY_CLASSES = {
    "ECONOMY": FareClass(("Economy", "普通位"), 260, 100),
    "SUPER": FareClass(("Super class", "豪华位"), 40, 185, {"rows": 10, "columns": "AB CD"}),
}
FERRY_DAYS = {"weekday": 100, "weekend": 110, "holiday": 120}
LINES = [
    Line(
        201,
        "TRAIN",
        ("Guangzhou–Shenzhen–Hong Kong High-speed Train", "广深港高铁"),
        BOARDING,
        {
            "SECOND": FareClass(("Second class", "二等座"), 200, 100, {"rows": 40,
                "columns": "ABC DF"}),
            "FIRST": FareClass(("First class", "一等座"), 48, 160, {"rows": 12, "columns": "AC DF"}),
            "BUSINESS": FareClass(("Business class", "商务座"), 24, 300, {"rows": 8,
                "columns": "A C F"}),
        },
        {"ADULT": 100, "CHILD": 50, "SENIOR": 100, "STUDENT": 75},
        {"weekday": 100, "holiday": 110},
        {},
        {
            "refund_tiers": [
                {"minutes_before": 1440, "percent": 100},
                {"minutes_before": 120, "percent": 80},
            ],
            "changes_allowed": 1,
            "change_minutes_before": 30,
        },
        "CN",
        29,
        30,
    ),
    Line(
        202, "FERRY", ("Shekou–Hong Kong Ferry", "蛇口—香港客轮"), FERRY, FERRY_CLASSES, PEOPLE,
        FERRY_DAYS,
        {3: 5, 5: 10}, FERRY_POLICY, "HK", 28, 45,
    ),
    Line(
        203, "FERRY", ("Hong Kong–Macau Jetfoil", "港澳喷射船"), FERRY, FERRY_CLASSES, PEOPLE,
        FERRY_DAYS,
        {3: 5, 5: 10}, FERRY_POLICY, "MO", 28, 20,
    ),
    Line(
        204, "FERRY", ("Zhuhai–Hong Kong Ferry", "珠海—香港客轮"), FERRY, FERRY_CLASSES, PEOPLE,
        FERRY_DAYS,
        {3: 5, 5: 10}, FERRY_POLICY, "HK", 28, 45,
    ),
    Line(
        205,
        "BUS",
        ("Hong Kong–Zhuhai–Macao Bridge Bus", "港珠澳大桥跨境巴士"),
        BOARDING,
        {"STANDARD": FareClass(("Standard", "标准座"), 45, 100)},
        {"ADULT": 100, "CHILD": 50, "SENIOR": 50},
        {"weekday": 100},
        {5: 10},
        {"refund_tiers": [{"minutes_before": 60, "percent": 100}]},
        "HK",
        14,
        10,
    ),
]  # fmt: skip

TRAIN_FARES = {
    ("IZQ", "IUQ"): 40_00,
    ("IZQ", "IOQ"): 82_00,
    ("IZQ", "NZQ"): 88_00,
    ("IZQ", "XJA"): 236_00,
    ("IUQ", "IOQ"): 45_00,
    ("IUQ", "NZQ"): 50_00,
    ("IUQ", "XJA"): 192_00,
    ("IOQ", "NZQ"): 11_00,
    ("IOQ", "XJA"): 86_00,
    ("NZQ", "XJA"): 75_00,
}
"""Second class, either way, in fen."""


def _services(prefix: str, first: int, step: int, *clocks: str) -> list[tuple[str, str, int]]:
    """Numbers, clock and weekdays: `08:15` every day, `5 21:15` from Friday to Sunday, `1 07:05`
    from Monday to Friday.
    """
    found = []
    for index, each in enumerate(clocks):
        days, _, clock = each.rpartition(" ")
        weekdays = {"": DAILY, "1": WEEKDAYS, "5": LONG_WEEKEND}[days]
        found.append((f"{prefix}{first + index * step}", clock, weekdays))
    return found


def _direct(
    route_id: int, product_id: int, ends: tuple[str, str], minutes: int, fare: int, *services: Any
) -> Run:
    stops = {ends[0]: (0, 0), ends[1]: (minutes, minutes)}
    return Run(route_id, product_id, stops, {ends: fare}, list(services))


RUNS = [
    Run(
        2011,
        201,
        {"IZQ": (0, 0), "IUQ": (18, 20), "IOQ": (36, 39), "NZQ": (47, 49), "XJA": (63, 63)},
        TRAIN_FARES,
        _services("G", 6505, 12, "07:11", "08:32", "10:05", "12:40", "14:55", "16:46", "18:58",
            "5 20:31"),
    ),
    Run(
        2012,
        201,
        {"XJA": (0, 0), "NZQ": (14, 16), "IOQ": (24, 27), "IUQ": (43, 45), "IZQ": (63, 63)},
        {(destination, origin): fare for (origin, destination), fare in TRAIN_FARES.items()},
        _services("G", 6506, 12, "07:38", "09:10", "10:47", "13:05", "15:20", "17:15", "19:32",
            "5 21:05"),
    ),
    _direct(2013, 201, ("NZQ", "XJA"), 14, 75_00,
        *_services("G", 5601, 4, "1 07:05", "09:02", "11:20", "14:05", "17:40", "20:12")),
    _direct(2014, 201, ("XJA", "NZQ"), 14, 75_00,
        *_services("G", 5602, 4, "08:00", "10:22", "13:10", "16:02", "1 18:25", "21:20")),
    _direct(2015, 201, ("IZQ", "IOQ"), 36, 82_00,
        *_services("D", 7401, 2, "06:30", "11:30", "15:40", "21:30")),
    _direct(2016, 201, ("IOQ", "IZQ"), 36, 82_00,
        *_services("D", 7402, 2, "07:30", "12:30", "16:40", "22:15")),
    _direct(2021, 202, ("SHEKOU", "SHEUNG-WAN"), 60, 130_00,
        *_services("SK", 101, 2, "07:45", "10:15", "13:00", "16:30", "19:15")),
    _direct(2022, 202, ("SHEUNG-WAN", "SHEKOU"), 60, 130_00,
        *_services("SK", 102, 2, "09:00", "11:45", "14:30", "18:00", "20:45")),
    _direct(2023, 202, ("SHEKOU", "SKYPIER"), 30, 220_00,
        *_services("SA", 201, 2, "07:30", "10:00", "13:30", "17:30")),
    _direct(2024, 202, ("SKYPIER", "SHEKOU"), 30, 220_00,
        *_services("SA", 202, 2, "09:30", "12:30", "16:00", "20:30")),
    _direct(2031, 203, ("SHEUNG-WAN", "OUTER-HARBOUR"), 55, 175_00,
        *_services("TJ", 301, 2, "07:00", "08:30", "10:00", "11:30", "13:00", "14:30", "16:00",
          "17:30", "19:30", "5 22:00")),
    _direct(2032, 203, ("OUTER-HARBOUR", "SHEUNG-WAN"), 55, 175_00,
        *_services("TJ", 302, 2, "08:30", "10:00", "11:30", "13:00", "14:30", "16:00", "17:30",
          "19:00", "21:00", "5 23:30")),
    _direct(2033, 203, ("SHEUNG-WAN", "TAIPA"), 55, 175_00,
        *_services("TJ", 351, 2, "09:15", "12:15", "15:15", "18:15")),
    _direct(2034, 203, ("TAIPA", "SHEUNG-WAN"), 55, 175_00,
        *_services("TJ", 352, 2, "10:45", "13:45", "16:45", "19:45")),
    _direct(2041, 204, ("JIUZHOU", "SHEUNG-WAN"), 70, 195_00,
        *_services("JZ", 401, 2, "08:00", "11:00", "14:00", "17:00", "20:00")),
    _direct(2042, 204, ("SHEUNG-WAN", "JIUZHOU"), 70, 195_00,
        *_services("JZ", 402, 2, "09:30", "12:30", "15:30", "18:30", "21:30")),
    _direct(2051, 205, ("HZMB-HKG", "HZMB-ZUH"), 40, 65_00,
        *_services("B", 501, 2, "07:00", "10:00", "13:00", "17:00", "21:00")),
    _direct(2052, 205, ("HZMB-ZUH", "HZMB-HKG"), 40, 65_00,
        *_services("B", 502, 2, "08:00", "11:00", "14:00", "18:00", "22:00")),
    _direct(2053, 205, ("HZMB-HKG", "HZMB-MFM"), 45, 65_00,
        *_services("B", 551, 2, "07:30", "10:30", "13:30", "17:30", "23:30")),
    _direct(2054, 205, ("HZMB-MFM", "HZMB-HKG"), 45, 65_00,
        *_services("B", 552, 2, "08:30", "11:30", "14:30", "18:30", "00:30")),
]  # fmt: skip

PACKAGE_TIERS = [{"min_party": 3, "percent_off": 5}, {"min_party": 5, "percent_off": 10}]
PACKAGES = {
    106: {
        "refund_tiers": [
            {"minutes_before": 2880, "percent": 100},
            {"minutes_before": 0, "percent": 80},
        ],
        "changes_allowed": 1,
        "change_fee_minor": 1000,
    },
    107: {
        "refund_tiers": [{"minutes_before": 2880, "percent": 90}],
        "refund_fee_minor": 500,
    },
    108: {
        "refund_tiers": [
            {"minutes_before": 1440, "percent": 100},
            {"minutes_before": -10080, "percent": 70},
        ],
        "changes_allowed": 3,
        "pro_rata": True,
    },
    109: {
        "refund_tiers": [{"minutes_before": 1440, "percent": 100}],
        "changes_allowed": 1,
    },
}
"""Policies by product."""


async def load(tx: AsyncConnection, **by: Unpack[By]) -> None:
    """Makes what is missing; the packages are there."""
    today = by["now"].astimezone(ZONE).date()
    await create_cities(tx, await _missing(tx, models.cities.c.city_code, CITIES), **by)
    await create_stops(tx, await _missing(tx, models.stops.c.stop_code, STOPS), **by)
    await _load_products(tx, today, **by)
    lines = {line.product_id: line for line in LINES}
    routes = [_route(run, lines[run.product_id]) for run in RUNS]
    for route in await _missing(tx, models.routes.c.route_id, routes):
        await create_route(tx, route, **by)
    timetables = [each for run in RUNS for each in _timetables(run, lines[run.product_id], today)]
    new = await _missing(tx, models.timetables.c.timetable_id, timetables)
    if new:
        await create_timetables(tx, new, **by)
    await demo_rentals.load(tx, today, **by)
    await load_shipped(tx)
    for promotion in await _missing(tx, models.promotions.c.promotion_id, _promotions(today)):
        await promotions.create_promotion(tx, promotion, cap=WELCOME_CAP, **by)


async def _missing(tx: AsyncConnection, key: Column[Any], wanted: Iterable[Any]) -> list[Any]:
    known = set(await tx.scalars(select(key)))
    return [each for each in wanted if getattr(each, key.name) not in known]


async def _load_products(tx: AsyncConnection, today: date, **by: Unpack[By]) -> None:
    for line in await _missing(tx, models.products.c.product_id, LINES):
        await products.create_product(tx, _product(line, _blackout(line.product_id, today)), **by)
    for product_id, policy in PACKAGES.items():
        before = await PRODUCTS.get(tx, product_id)
        if before.city_code is None and before.state == "ACTIVE":
            values: dict[str, Any] = {
                "tiers": PACKAGE_TIERS,
                "policy": policy,
                "city_code": "HKG",
                "blackout_dates": [
                    *(day.isoformat() for day in before.blackout_dates),
                    *_blackout(product_id, today),
                ],
            }
            await products.update_product(tx, product_id, values, **by)


def _blackout(product_id: int, today: date) -> list[str]:
    days = BLACKOUT_IN_DAYS.get(product_id)
    return [(today + timedelta(days=days)).isoformat()] if days else []


def _product(line: Line, blackout_dates: list[str]) -> NewProduct:
    code, english, chinese = line.entitlement
    lowest = min(
        fare for run in RUNS if run.product_id == line.product_id for fare in run.fares.values()
    )
    return NewProduct(
        product_id=line.product_id,
        kind="TRANSPORT",
        display_name_en=line.names[0],
        display_name_zh=line.names[1],
        currency_code="CNY",
        fares=[ProductFare(customer_type="ADULT", day_type="weekday", amount_minor=lowest)],
        entitlements=[
            ProductEntitlement(
                function_code=code,
                display_name_en=english,
                display_name_zh=chinese,
                total_uses=1,
                use_mode="ONCE_PER_QR",
                guard_seconds=0,
            )
        ],
        validity_days=1,
        blackout_dates=blackout_dates,
        tiers=[{"min_party": size, "percent_off": off} for size, off in line.tiers.items()],
        policy=line.policy,
        calendar_code=line.calendar_code,
    )


def _route(run: Run, line: Line) -> Route:
    return Route(
        route_id=run.route_id,
        product_id=run.product_id,
        vehicle=line.vehicle,
        stops=[
            {"stop_code": code, "arrive_minutes": arrive, "depart_minutes": depart}
            for code, (arrive, depart) in run.stops.items()
        ],
        fare_classes=[
            {
                "class_code": code,
                "class_index": index,
                "display_name_en": each.names[0],
                "display_name_zh": each.names[1],
                "seat_map": each.seat_map,
            }
            for index, (code, each) in enumerate(line.classes.items())
        ],
        fares=list(_fares(run, line)),
    )


def _fares(run: Run, line: Line) -> Iterator[dict[str, Any]]:
    for origin, destination in combinations(run.stops, 2):
        for code, fare_class in line.classes.items():
            for customer, of_adult in line.percent_by_customer.items():
                for day_type, of_weekday in line.percent_by_day.items():
                    percents = fare_class.percent * of_adult * of_weekday
                    amount = run.fares[origin, destination] * percents // 1_000_000
                    yield {
                        "class_code": code,
                        "origin": origin,
                        "destination": destination,
                        "customer_type": customer,
                        "day_type": day_type,
                        "amount_minor": amount,
                    }


def _timetables(run: Run, line: Line, today: date) -> Iterator[Timetable]:
    for index, (number, clock, weekdays) in enumerate(run.services):
        yield Timetable(
            timetable_id=run.route_id * 100 + index,
            route_id=run.route_id,
            service_number=number,
            departure_clock=time.fromisoformat(clock),
            weekdays=weekdays,
            first_date=today,
            last_date=today + timedelta(days=TIMETABLE_DAYS),
            seats={code: each.seats for code, each in line.classes.items()},
            sale_days=line.sale_days,
            closing_minutes=line.closing_minutes,
        )


def _promotions(today: date) -> list[PromotionRecord]:
    begin = datetime.combine(today, time(), ZONE)
    terms: dict[str, Any] = {
        "begin_time": begin,
        "end_time": begin + timedelta(days=PROMOTION_DAYS),
        "min_party": 1,
    }
    return [
        PromotionRecord(
            promotion_id=1,
            code=None,
            display_name_en="Plans 5% off",
            display_name_zh="套票95折",
            basis_points_off=500,
            amount_off_minor=0,
            product_ids=list(PACKAGES),
            stackable=False,
            capped=False,
            **terms,
        ),
        PromotionRecord(
            promotion_id=2,
            code="WELCOME10",
            display_name_en="Welcome: 10% off",
            display_name_zh="新客9折",
            basis_points_off=1000,
            amount_off_minor=0,
            product_ids=[],
            stackable=False,
            capped=True,
            max_per_traveller=1,
            **terms,
        ),
        PromotionRecord(
            promotion_id=3,
            code="FERRY20",
            display_name_en="¥20 off each ferry ticket, for two and more",
            display_name_zh="两人同行，每张船票减20元",
            basis_points_off=0,
            amount_off_minor=2000,
            currency_code="CNY",
            product_ids=[202, 203, 204],
            stackable=True,
            capped=False,
            **terms | {"min_party": 2},
        ),
    ]
