"""Car categories: the car that a product of kind RENTAL is, and who may drive it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, refuse
from server.audit.rules import Fault
from server.catalog import changes
from server.catalog.changes import ACTIVE, create, refuse_archived
from server.catalog.limits import MOST_SURCHARGE_MINOR, code_faults, number_faults
from server.catalog.models import car_categories
from server.catalog.products import PRODUCTS
from server.catalog.products import refuse_archived as refuse_archived_product
from server.catalog.rental_rules import DEFAULT_GRACE_MINUTES, MOST_DAYS
from server.platform.change_feed import ChangeKind
from server.platform.errors import invalid

RENTAL = "RENTAL"
DEFAULT_MAX_DAYS = 30
LIMITS = {
    "model_year": (1950, 2100),
    "seats": (1, 60),
    "doors": (1, 9),
    "large_bags": (0, 20),
    "small_bags": (0, 20),
    "min_driver_age": (16, 99),
    "young_driver_age": (0, 99),
    "young_driver_minor": (0, MOST_SURCHARGE_MINOR),
    "grace_minutes": (0, 720),
    "min_days": (1, MOST_DAYS),
}
"""Least and most of each number."""
WORDS = {
    "transmission": ("AUTOMATIC", "MANUAL"),
    "fuel_type": ("GASOLINE", "DIESEL", "HYBRID", "ELECTRIC"),
}
CATEGORY_CODE, FEATURE_CODE = "[A-Z][A-Z0-9_]{1,31}", "[a-z][a-z0-9_]{0,31}"
IMAGE_URL = "https://[!-~]{1,492}"
MOST_FEATURES, MOST_IMAGES = 30, 10


@dataclass(frozen=True)
class CarCategory:
    """A car, of this model or alike; ages are full years at the pick-up. Drivers below
    `young_driver_age` pay `young_driver_minor` for each day; with 0 nobody does.
    """

    product_id: int
    category_code: str
    make: str
    model: str
    model_year: int
    seats: int
    doors: int
    large_bags: int
    small_bags: int
    transmission: str
    fuel_type: str
    air_conditioning: bool
    feature_codes: list[str]
    image_urls: list[str]
    min_driver_age: int
    young_driver_age: int = 0
    young_driver_minor: int = 0
    grace_minutes: int = DEFAULT_GRACE_MINUTES
    min_days: int = 1
    max_days: int = DEFAULT_MAX_DAYS
    state: str = ACTIVE
    version: int = 1


CAR_CATEGORIES = Records(
    "car_category",
    car_categories.c.product_id,
    select(*(car_categories.c[field.name] for field in fields(CarCategory))),
    CarCategory,
    ChangeKind.CATALOGUE,
)


async def create_category(
    tx: AsyncConnection, category: CarCategory, **by: Unpack[By]
) -> CarCategory:
    """The car of a product. Raises INVALID_FIELD, NOT_FOUND and PRODUCT_NOT_ON_SALE (product),
    ALREADY_EXISTS.
    """
    product = await PRODUCTS.rely_on(tx, category.product_id)
    refuse_archived_product(product)
    if product.kind != RENTAL:
        raise invalid("product_id", f"is a {product.kind}; name a product of kind {RENTAL}")
    refuse(list(_faults(category)))
    await create(tx, car_categories, "car_category", [category], **by)
    return await CAR_CATEGORIES.get(tx, category.product_id)


async def update_category(
    tx: AsyncConnection, product_id: int, values: Mapping[str, Any], **by: Unpack[By]
) -> CarCategory:
    """Changes the given fields for what is sold from now on. Raises INVALID_FIELD, NOT_FOUND,
    ARCHIVED.
    """
    before = await CAR_CATEGORIES.lock(tx, product_id)
    refuse_archived("car_category", product_id, before)
    refuse(list(_faults(replace(before, **values))))
    return await changes.change(tx, CAR_CATEGORIES, before, values, **by)


async def archive_category(tx: AsyncConnection, product_id: int, **by: Unpack[By]) -> CarCategory:
    """Takes a category off sale everywhere; a repeat changes nothing. Raises NOT_FOUND."""
    before = await CAR_CATEGORIES.lock(tx, product_id)
    return await changes.archive(tx, CAR_CATEGORIES, before, **by)


async def unarchive_category(tx: AsyncConnection, product_id: int, **by: Unpack[By]) -> CarCategory:
    """Takes an archived category back; a repeat changes nothing. Raises NOT_FOUND."""
    before = await CAR_CATEGORIES.lock(tx, product_id)
    return await changes.unarchive(tx, CAR_CATEGORIES, before, **by)


def _faults(category: CarCategory) -> Iterator[Fault]:
    for name, known in WORDS.items():
        if getattr(category, name) not in known:
            yield name, f"is {getattr(category, name)!r}; name one of {', '.join(known)}"
    yield from number_faults(vars(category), LIMITS)
    yield from code_faults("category_code", category.category_code, CATEGORY_CODE)
    if not category.min_days <= category.max_days <= MOST_DAYS:
        yield "max_days", f"is not within min_days, {category.min_days}, to {MOST_DAYS}"
    young, surcharge = category.young_driver_age, category.young_driver_minor
    if young and young <= category.min_driver_age:
        yield "young_driver_age", f"is not above min_driver_age, {category.min_driver_age}; or 0"
    if bool(young) != bool(surcharge):
        yield "young_driver_minor", "goes with young_driver_age; send both, or 0 for both"
    for name, pattern, most in (
        ("feature_codes", FEATURE_CODE, MOST_FEATURES),
        ("image_urls", IMAGE_URL, MOST_IMAGES),
    ):
        named = getattr(category, name)
        if len(named) > most:
            yield name, f"are {len(named)}; at most {most}"
        if len(set(named)) < len(named):
            yield name, "names one twice; send each once"
        for index, each in enumerate(named):
            yield from code_faults(f"{name}[{index}]", each, pattern)
