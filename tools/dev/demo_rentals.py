"""Cars that the demo data rent out: categories, locations, extras, and fleets of them. What is there
stays, what is missing is made.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Unpack

from sqlalchemy import Column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.rules import ProductFare
from server.catalog import (
    car_categories,
    models,
    products,
    rental_extras,
    rental_fleets,
    rental_locations,
)
from server.catalog.car_categories import CarCategory
from server.catalog.products import NewProduct
from server.catalog.rental_extras import RentalExtra
from server.catalog.rental_fleets import RentalFleet
from server.catalog.rental_locations import RentalLocation

SALE_DAYS = 60
FLEET_DAYS = 365
AIRPORT, KOWLOON, SHENZHEN = 1, 2, 3
"""Locations."""
NAMES = {
    301: ("Economy Car", "经济型轿车"),
    302: ("SUV", "越野车"),
    303: ("Electric Van", "电动商务车"),
}
DAY_MINOR = {301: 320_00, 302: 560_00, 303: 780_00}
"""In fen, on a weekday, by product."""
PERCENT_BY_DAY = {"weekday": 100, "weekend": 115, "holiday": 130}
CARS = [
    CarCategory(
        *(301, "ECONOMY", "Toyota", "Yaris", 2025, 5, 5, 1, 1, "AUTOMATIC", "GASOLINE", True),
        *(["bluetooth", "usb_charging"], ["https://cdn.example.com/cars/yaris.jpg"]),
        *(21, 25, 60_00),
    ),
    CarCategory(
        *(302, "SUV", "Honda", "CR-V", 2025, 5, 5, 3, 2, "AUTOMATIC", "HYBRID", True),
        *(["bluetooth", "backup_camera", "gps"], ["https://cdn.example.com/cars/cr-v.jpg"]),
        *(23, 25, 80_00),
    ),
    CarCategory(
        *(303, "VAN", "Maxus", "MIFA 9", 2026, 7, 5, 4, 3, "AUTOMATIC", "ELECTRIC", True),
        *(["bluetooth", "backup_camera", "leather_seats"], []),
        25,
    ),
]
ALL_DAY = [{"weekday": day, "opens": "06:00", "closes": "24:00"} for day in range(1, 8)]
BY_DAY = [{"weekday": day, "opens": "08:00", "closes": "20:00"} for day in range(1, 8)]
LOCATIONS = [
    RentalLocation(
        *(AIRPORT, "HKG", "Hong Kong Airport, Arrivals", "香港机场接机层"),
        *("1 Sky Plaza Road", "翔天路1号", "+85221818888", ALL_DAY, 22_316_000, 113_937_000),
    ),
    RentalLocation(
        *(KOWLOON, "HKG", "West Kowloon", "西九龙"),
        *("3 Wui Cheung Road", "汇翔道3号", "+85221818889", BY_DAY, 22_304_000, 114_165_000),
    ),
    RentalLocation(
        *(SHENZHEN, "SZX", "Shenzhen North", "深圳北站"),
        *("28 Zhiyuan Road", "致远路28号", "+8675582818888", BY_DAY, 22_610_000, 114_030_000),
    ),
]
EXTRAS = [
    RentalExtra(
        *(10, "damage_waiver", "Damage waiver", "车损免赔", "PER_DAY"),
        *(80_00, "CNY", 1, 560_00, []),
    ),
    RentalExtra(
        *(20, "extended_area", "Both sides of the border", "跨境行驶", "PER_RENTAL"),
        *(300_00, "CNY", 1, 0, []),
    ),
    RentalExtra(
        *(30, "satellite_navigation", "Navigation", "导航", "PER_DAY"),
        *(20_00, "CNY", 1, 100_00, []),
    ),
    RentalExtra(
        *(40, "child_seats", "Child seat", "儿童座椅", "PER_DAY", 30_00, "CNY", 2, 150_00, []),
    ),
    RentalExtra(
        *(50, "additional_drivers", "Another driver", "附加驾驶人", "PER_DAY"),
        *(25_00, "CNY", 3, 0, []),
    ),
]
FLEETS = {
    3011: (301, AIRPORT, 20, {KOWLOON: 100_00, SHENZHEN: 400_00}),
    3012: (301, KOWLOON, 10, {AIRPORT: 100_00}),
    3013: (301, SHENZHEN, 15, {}),
    3021: (302, AIRPORT, 8, {KOWLOON: 120_00, SHENZHEN: 450_00}),
    3031: (303, AIRPORT, 4, {}),
    3033: (303, SHENZHEN, 4, {AIRPORT: 500_00}),
}
"""Product, location, cars a day, and where else they are returned for how much, by fleet."""
POLICY = {
    "refund_tiers": [
        {"minutes_before": 2880, "percent": 100},
        {"minutes_before": 0, "percent": 50},
    ],
    "changes_allowed": 2,
    "change_minutes_before": 60,
    "change_fee_minor": 0,
}


async def load(tx: AsyncConnection, today: date, **by: Unpack[By]) -> None:
    """Makes what is missing; the cities are there."""
    for product_id in await _missing(tx, models.products.c.product_id, NAMES):
        await products.create_product(tx, _product(product_id), **by)
    cars = {each.product_id: each for each in CARS}
    for product_id in await _missing(tx, models.car_categories.c.product_id, cars):
        await car_categories.create_category(tx, cars[product_id], **by)
    ours = {each.location_id: each for each in LOCATIONS}
    for location_id in await _missing(tx, models.rental_locations.c.location_id, ours):
        await rental_locations.create_location(tx, ours[location_id], **by)
    extras = {each.extra_id: each for each in EXTRAS}
    for extra_id in await _missing(tx, models.rental_extras.c.extra_id, extras):
        await rental_extras.create_extra(tx, extras[extra_id], **by)
    new = await _missing(tx, models.rental_fleets.c.fleet_id, FLEETS)
    for fleet_id in new:
        await rental_fleets.add_fleet(tx, _fleet(fleet_id, today), **by)
    if new:
        await rental_fleets.make_days(tx, by["now"])


async def _missing(
    tx: AsyncConnection, key: Column[Any], wanted: Mapping[int, object]
) -> list[int]:
    known = set(await tx.scalars(select(key).where(key.in_(wanted))))
    return [number for number in wanted if number not in known]


def _product(product_id: int) -> NewProduct:
    english, chinese = NAMES[product_id]
    return NewProduct(
        product_id=product_id,
        kind="RENTAL",
        display_name_en=english,
        display_name_zh=chinese,
        currency_code="CNY",
        fares=[
            ProductFare(
                customer_type="ADULT",
                day_type=day,
                amount_minor=DAY_MINOR[product_id] * percent // 100,
            )
            for day, percent in PERCENT_BY_DAY.items()
        ],
        entitlements=[
            {
                "function_code": code,
                "display_name_en": english,
                "display_name_zh": chinese,
                "total_uses": 1,
                "use_mode": "ONCE_PER_QR",
                "guard_seconds": 0,
            }
            for code, english, chinese in (
                ("pickup", "Pick-up", "取车"),
                ("return", "Return", "还车"),
            )
        ],
        validity_days=1,
        blackout_dates=[],
        tiers=[{"min_party": 3, "percent_off": 5}, {"min_party": 7, "percent_off": 15}],
        policy=POLICY,
    )


def _fleet(fleet_id: int, today: date) -> RentalFleet:
    product_id, location_id, cars, one_way = FLEETS[fleet_id]
    return RentalFleet(
        fleet_id,
        product_id,
        location_id,
        fares=[],
        cars=cars,
        first_date=today,
        last_date=today + timedelta(days=FLEET_DAYS),
        sale_days=SALE_DAYS,
        closing_minutes=60,
        one_way=[{"location_id": each, "fee_minor": fee} for each, fee in one_way.items()],
    )
