"""Cars to rent: two categories, three locations, extras, and fleets of them."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Unpack

from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.catalog import (
    car_categories,
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

ECONOMY, SUV, UNMADE, GONE = 1301, 1304, 1308, 1306
"""Products; of the last two one has no car yet, and one an archived one."""
AIRPORT, CITY, CLOSED = 10, 20, 30
"""Locations in Hong Kong; the last is archived."""
AIRPORT_FLEET, SUV_FLEET = 31, 33
CHILD_SEATS, NAVIGATION, WAIVER = 10, 20, 30
FIRST_DATE, LAST_DATE = date(2026, 1, 1), date(2030, 12, 31)
DAY_MINOR = {"weekday": 30_000, "weekend": 40_000}
HOURS = [{"weekday": day, "opens": "07:00", "closes": "23:00"} for day in range(1, 8)]


def product(product_id: int, **changes: Any) -> NewProduct:
    """A product of kind RENTAL in HKD: 10 % off from three days on."""
    made = NewProduct(
        product_id=product_id,
        kind="RENTAL",
        display_name_en=f"Car {product_id}",
        display_name_zh=f"车 {product_id}",
        currency_code="HKD",
        fares=[
            {"customer_type": "ADULT", "day_type": day_type, "amount_minor": amount}
            for day_type, amount in DAY_MINOR.items()
        ],
        entitlements=[
            {
                "function_code": code,
                "display_name_en": code,
                "display_name_zh": code,
                "total_uses": 1,
                "use_mode": "ONCE_PER_QR",
                "guard_seconds": 60,
            }
            for code in ("pickup", "return")
        ],
        tiers=[{"min_party": 3, "percent_off": 10}],
        policy={
            "refund_tiers": [
                {"minutes_before": 2880, "percent": 100},
                {"minutes_before": 0, "percent": 50},
            ],
            "refund_fee_minor": 0,
            "changes_allowed": 2,
            "change_minutes_before": 60,
            "change_fee_minor": 0,
        },
        validity_days=1,
        blackout_dates=[],
    )
    made.update(changes)  # type: ignore[typeddict-item]
    return made


def category(product_id: int, **changes: Any) -> CarCategory:
    """An automatic car with five seats for drivers from 21 on, dearer for those below 25."""
    values: dict[str, Any] = {
        "category_code": "ECONOMY",
        "make": "Toyota",
        "model": "Yaris",
        "model_year": 2025,
        "seats": 5,
        "doors": 5,
        "large_bags": 1,
        "small_bags": 1,
        "transmission": "AUTOMATIC",
        "fuel_type": "GASOLINE",
        "air_conditioning": True,
        "feature_codes": ["bluetooth"],
        "image_urls": ["https://cdn.example.com/yaris.jpg"],
        "min_driver_age": 21,
        "young_driver_age": 25,
        "young_driver_minor": 5_000,
    }
    return CarCategory(product_id, **values | changes)


def location(location_id: int, **changes: Any) -> RentalLocation:
    """A location in Hong Kong, open from 7 to 23."""
    values: dict[str, Any] = {
        "city_code": "HKG",
        "display_name_en": f"Location {location_id}",
        "display_name_zh": f"门店 {location_id}",
        "address_en": "1 Road",
        "address_zh": "路 1 号",
        "phone": "+85223456789",
        "opening_hours": HOURS,
    }
    return RentalLocation(location_id, **values | changes)


def extra(extra_id: int, extra_code: str, charge_basis: str, **changes: Any) -> RentalExtra:
    """An extra for HKD 50, twice with one car at the most."""
    values: dict[str, Any] = {
        "amount_minor": 5_000,
        "currency_code": "HKD",
        "max_quantity": 2,
        "max_amount_minor": 0,
        "product_ids": [],
    }
    names = extra_code.capitalize(), extra_code
    return RentalExtra(extra_id, extra_code, *names, charge_basis, **values | changes)


def fleet(
    fleet_id: int, product_id: int, location_id: int, *, cars: int, **changes: Any
) -> RentalFleet:
    """A fleet that is sold 30 days ahead until an hour before."""
    values: dict[str, Any] = {
        "fares": [],
        "first_date": FIRST_DATE,
        "last_date": LAST_DATE,
        "sale_days": 30,
        "closing_minutes": 60,
        "one_way": [],
    }
    return RentalFleet(fleet_id, product_id, location_id, cars=cars, **values | changes)


async def seed_rentals(
    tx: AsyncConnection,
    *,
    cars: int = 3,
    product_changes: Mapping[str, Any] | None = None,
    **by: Unpack[By],
) -> None:
    """Two categories of which one has a fleet on sale at the airport, whose cars may be returned in
    town; what is archived is GONE, the fleet of SUV, location CLOSED and NAVIGATION.
    """
    for product_id in (ECONOMY, SUV, UNMADE, GONE):
        await products.create_product(tx, product(product_id, **product_changes or {}), **by)
    for product_id in (ECONOMY, SUV, GONE):
        await car_categories.create_category(tx, category(product_id), **by)
    for location_id in (AIRPORT, CITY, CLOSED):
        await rental_locations.create_location(tx, location(location_id), **by)
    await rental_locations.archive_location(tx, CLOSED, **by)
    for new in (
        extra(CHILD_SEATS, "child_seats", "PER_DAY", max_amount_minor=20_000),
        extra(NAVIGATION, "satellite_navigation", "PER_RENTAL"),
        extra(WAIVER, "damage_waiver", "PER_DAY", max_quantity=1),
    ):
        await rental_extras.create_extra(tx, new, **by)
    await rental_extras.archive_extra(tx, NAVIGATION, **by)
    one_way = [{"location_id": CITY, "fee_minor": 15_000}]
    of_airport = fleet(AIRPORT_FLEET, ECONOMY, AIRPORT, cars=cars, one_way=one_way)
    await rental_fleets.create_fleet(tx, of_airport, **by)
    await rental_fleets.create_fleet(tx, fleet(SUV_FLEET, SUV, AIRPORT, cars=1), **by)
    await rental_fleets.archive_fleet(tx, SUV_FLEET, **by)
    await car_categories.archive_category(tx, GONE, **by)
