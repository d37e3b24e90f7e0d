"""Cars that the demo data rent out: categories, locations, extras, and fleets of them. What is
there stays, what is missing is made.
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
        product_id=301,
        category_code="ECONOMY",
        make="Toyota",
        model="Yaris",
        model_year=2025,
        seats=5,
        doors=5,
        large_bags=1,
        small_bags=1,
        transmission="AUTOMATIC",
        fuel_type="GASOLINE",
        air_conditioning=True,
        feature_codes=["bluetooth", "usb_charging"],
        image_urls=["https://cdn.example.com/cars/yaris.jpg"],
        min_driver_age=21,
        young_driver_age=25,
        young_driver_minor=60_00,
    ),
    CarCategory(
        product_id=302,
        category_code="SUV",
        make="Honda",
        model="CR-V",
        model_year=2025,
        seats=5,
        doors=5,
        large_bags=3,
        small_bags=2,
        transmission="AUTOMATIC",
        fuel_type="HYBRID",
        air_conditioning=True,
        feature_codes=["bluetooth", "backup_camera", "gps"],
        image_urls=["https://cdn.example.com/cars/cr-v.jpg"],
        min_driver_age=23,
        young_driver_age=25,
        young_driver_minor=80_00,
    ),
    CarCategory(
        product_id=303,
        category_code="VAN",
        make="Maxus",
        model="MIFA 9",
        model_year=2026,
        seats=7,
        doors=5,
        large_bags=4,
        small_bags=3,
        transmission="AUTOMATIC",
        fuel_type="ELECTRIC",
        air_conditioning=True,
        feature_codes=["bluetooth", "backup_camera", "leather_seats"],
        image_urls=[],
        min_driver_age=25,
    ),
]
ALL_DAY = [{"weekday": day, "opens": "06:00", "closes": "24:00"} for day in range(1, 8)]
BY_DAY = [{"weekday": day, "opens": "08:00", "closes": "20:00"} for day in range(1, 8)]
LOCATIONS = [
    RentalLocation(
        location_id=AIRPORT,
        city_code="HKG",
        display_name_en="Hong Kong Airport, Arrivals",
        display_name_zh="香港机场接机层",
        address_en="1 Sky Plaza Road",
        address_zh="翔天路1号",
        phone="+85221818888",
        opening_hours=ALL_DAY,
        latitude_microdegrees=22_316_000,
        longitude_microdegrees=113_937_000,
    ),
    RentalLocation(
        location_id=KOWLOON,
        city_code="HKG",
        display_name_en="West Kowloon",
        display_name_zh="西九龙",
        address_en="3 Wui Cheung Road",
        address_zh="汇翔道3号",
        phone="+85221818889",
        opening_hours=BY_DAY,
        latitude_microdegrees=22_304_000,
        longitude_microdegrees=114_165_000,
    ),
    RentalLocation(
        location_id=SHENZHEN,
        city_code="SZX",
        display_name_en="Shenzhen North",
        display_name_zh="深圳北站",
        address_en="28 Zhiyuan Road",
        address_zh="致远路28号",
        phone="+8675582818888",
        opening_hours=BY_DAY,
        latitude_microdegrees=22_610_000,
        longitude_microdegrees=114_030_000,
    ),
]
EXTRAS = [
    RentalExtra(
        extra_id=10,
        extra_code="damage_waiver",
        display_name_en="Damage waiver",
        display_name_zh="车损免赔",
        charge_basis="PER_DAY",
        amount_minor=80_00,
        currency_code="CNY",
        max_quantity=1,
        max_amount_minor=560_00,
        product_ids=[],
    ),
    RentalExtra(
        extra_id=20,
        extra_code="extended_area",
        display_name_en="Both sides of the border",
        display_name_zh="跨境行驶",
        charge_basis="PER_RENTAL",
        amount_minor=300_00,
        currency_code="CNY",
        max_quantity=1,
        max_amount_minor=0,
        product_ids=[],
    ),
    RentalExtra(
        extra_id=30,
        extra_code="satellite_navigation",
        display_name_en="Navigation",
        display_name_zh="导航",
        charge_basis="PER_DAY",
        amount_minor=20_00,
        currency_code="CNY",
        max_quantity=1,
        max_amount_minor=100_00,
        product_ids=[],
    ),
    RentalExtra(
        extra_id=40,
        extra_code="child_seats",
        display_name_en="Child seat",
        display_name_zh="儿童座椅",
        charge_basis="PER_DAY",
        amount_minor=30_00,
        currency_code="CNY",
        max_quantity=2,
        max_amount_minor=150_00,
        product_ids=[],
    ),
    RentalExtra(
        extra_id=50,
        extra_code="additional_drivers",
        display_name_en="Another driver",
        display_name_zh="附加驾驶人",
        charge_basis="PER_DAY",
        amount_minor=25_00,
        currency_code="CNY",
        max_quantity=3,
        max_amount_minor=0,
        product_ids=[],
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
