"""Products: what they cost and what their tickets allow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, NotRequired, TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By, Records, checked, refuse, with_names
from server.audit.rules import AgeLimit, ProductEntitlement, ProductFare
from server.catalog import config_versions, pricing
from server.catalog.config_versions import ConfigContent, ConfigSubject
from server.catalog.limits import product_faults
from server.catalog.models import cities, holiday_calendars, products
from server.catalog.policy import Policy
from server.catalog.templates import entitlements_of
from server.platform.change_feed import ChangeKind
from server.platform.currencies import currency_fault
from server.platform.errors import DomainError, Reason, invalid

DEFAULT_GUARD_SECONDS = 60
"""Of a MULTI_USE entitlement (DOMAIN, Redemption 2)."""

DEFAULT_MAX_PER_TRAVELLER = 9
DEFAULT_CALENDAR = "HK"
ARCHIVED = "ARCHIVED"
MOST_BLACKOUT_DATES = 1000
MOST_ENTITLEMENTS = 20


@dataclass(frozen=True, slots=True)
class Product:
    """A product as it is sold now; tickets keep the snapshot they were sold under."""

    product_id: int
    kind: str
    display_name_en: str
    display_name_zh: str
    currency_code: str
    fares: list[ProductFare]
    entitlements: list[ProductEntitlement]
    validity_days: int
    blackout_dates: list[date]
    tiers: list[dict[str, int]]
    policy: dict[str, Any]
    max_per_traveller: int
    unaccompanied_types: list[str]
    age_limits: list[AgeLimit]
    city_code: str | None
    calendar_code: str
    boarding_minutes: int
    state: str
    create_time: datetime
    update_time: datetime
    version: int


class NewProduct(TypedDict):
    """The fields of a new product; blackout dates as YYYY-MM-DD."""

    product_id: int
    kind: str
    display_name_en: str
    display_name_zh: str
    currency_code: str
    fares: list[ProductFare]
    entitlements: list[ProductEntitlement]
    validity_days: int
    blackout_dates: list[str]
    tiers: NotRequired[list[dict[str, int]]]
    policy: NotRequired[dict[str, Any]]
    max_per_traveller: NotRequired[int]
    unaccompanied_types: NotRequired[list[str]]
    age_limits: NotRequired[list[AgeLimit]]
    city_code: NotRequired[str | None]
    calendar_code: NotRequired[str]
    boarding_minutes: NotRequired[int]
    entitlement_template_codes: NotRequired[list[str]]


PRODUCTS = Records(
    "product",
    products.c.product_id,
    select(*(products.c[field.name] for field in fields(Product))),
    Product,
    ChangeKind.CATALOGUE,
)


VERSIONED = (
    *("display_name_en", "display_name_zh", "fares", "entitlements", "validity_days"),
    *("blackout_dates", "tiers", "policy", "max_per_traveller", "city_code", "calendar_code"),
    *("boarding_minutes", "unaccompanied_types", "age_limits"),
)
"""The fields that a version of a product has: all that can be changed."""


async def create_product(tx: AsyncConnection, product: NewProduct, **by: Unpack[By]) -> Product:
    """A new product, without stock. Raises INVALID_FIELD, ALREADY_EXISTS."""
    values = await stored_values(tx, product)
    created = await PRODUCTS.create(tx, {**values, "state": "ACTIVE"}, **by)
    await config_versions.record(tx, _subject(created), None, content_of(created), **by)
    return created


async def update_product(
    tx: AsyncConnection, product_id: int, values: Mapping[str, Any], **by: Unpack[By]
) -> Product:
    """Changes the given fields for what is sold from now on.

    Raises INVALID_FIELD, NOT_FOUND, PRODUCT_NOT_ON_SALE if it is archived.
    """
    before = await PRODUCTS.lock(tx, product_id)
    refuse_archived(before)
    return await _change(tx, before, await stored_values(tx, values), **by)


async def _change(
    tx: AsyncConnection, before: Product, values: Mapping[str, Any], **by: Unpack[By]
) -> Product:
    after = await PRODUCTS.change(tx, before, values, **by)
    await config_versions.record(tx, _subject(before), content_of(before), content_of(after), **by)
    return after


def content_of(product: Product) -> ConfigContent:
    """What a version of a product has."""
    content = {name: getattr(product, name) for name in VERSIONED}
    return content | {"blackout_dates": [day.isoformat() for day in product.blackout_dates]}


def _subject(product: Product) -> ConfigSubject:
    return ConfigSubject(config_versions.PRODUCT, product.product_id)


async def archive_product(tx: AsyncConnection, product_id: int, **by: Unpack[By]) -> Product:
    """Takes a product off sale; a repeat changes nothing. Raises NOT_FOUND."""
    before = await PRODUCTS.lock(tx, product_id)
    if before.state == ARCHIVED:
        return before
    return await PRODUCTS.change(tx, before, {"state": ARCHIVED}, action="archive", **by)


async def unarchive_product(tx: AsyncConnection, product_id: int, **by: Unpack[By]) -> Product:
    """Puts an archived product on sale again; a repeat changes nothing. Raises NOT_FOUND,
    INVALID_FIELD where its city or calendar is archived.
    """
    before = await PRODUCTS.lock(tx, product_id)
    if before.state != ARCHIVED:
        return before
    names = ("city_code", "calendar_code")
    await _refuse_unknown(tx, {name: getattr(before, name) for name in names})
    return await PRODUCTS.change(tx, before, {"state": "ACTIVE"}, action="unarchive", **by)


async def change_blackout_dates(
    tx: AsyncConnection,
    product_id: int,
    *,
    added: Sequence[date] = (),
    removed: Sequence[date] = (),
    **by: Unpack[By],
) -> Product:
    """Adds days on which a product is not valid, and takes others away, for what is sold from now
    on; what is so already changes nothing. Raises INVALID_FIELD, NOT_FOUND, PRODUCT_NOT_ON_SALE.
    """
    before = await PRODUCTS.lock(tx, product_id)
    refuse_archived(before)
    days = sorted((set(before.blackout_dates) | set(added)) - set(removed))
    if len(days) > MOST_BLACKOUT_DATES:
        raise invalid(
            "dates", f"were {len(days)} then; a product has at most {MOST_BLACKOUT_DATES}"
        )
    if days == before.blackout_dates:
        return before
    return await _change(tx, before, {"blackout_dates": days}, **by)


def refuse_archived(product: Product) -> None:
    """Raises PRODUCT_NOT_ON_SALE if the product is archived."""
    if product.state == ARCHIVED:
        raise DomainError(
            Reason.PRODUCT_NOT_ON_SALE,
            f"product {product.product_id} is archived; unarchive it first, or create another",
            product_id=product.product_id,
        )


async def stored_values(tx: AsyncConnection, values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as they are stored; blackout dates as YYYY-MM-DD. Raises INVALID_FIELD."""
    columns = dict(with_names(values))
    if template_codes := columns.pop("entitlement_template_codes", None):
        given = list(columns.get("entitlements", ()))
        columns["entitlements"] = [*given, *await entitlements_of(tx, template_codes)]
        if len(columns["entitlements"]) > MOST_ENTITLEMENTS:
            raise invalid("entitlement_template_codes", f"make more than {MOST_ENTITLEMENTS}")
    if "entitlements" in columns:
        columns["entitlements"] = [
            with_names(each, f"entitlements[{index}].")
            for index, each in enumerate(columns["entitlements"])
        ]
    checked(columns)
    refuse(list(product_faults(columns)))
    if fault := currency_fault(columns.get("currency_code", "CNY")):
        raise invalid("currency_code", fault)
    if "blackout_dates" in columns:
        columns["blackout_dates"] = sorted(map(date.fromisoformat, columns["blackout_dates"]))
    for field, normal in (("tiers", _tiers), ("policy", _policy)):
        if field in columns:
            try:
                columns[field] = normal(columns[field])
            except ValueError as error:
                raise invalid(field, str(error)) from None
    await _refuse_unknown(tx, columns)
    return columns


async def _refuse_unknown(tx: AsyncConnection, columns: Mapping[str, Any]) -> None:
    city_code = columns.get("city_code")
    if city_code and not await tx.scalar(
        select(cities.c.city_code).where(
            cities.c.city_code == city_code, cities.c.state == "ACTIVE"
        )
    ):
        raise invalid("city_code", f"there is no city {city_code!r}, or it is archived; create it")
    if "calendar_code" in columns:
        calendar_code = columns["calendar_code"]
        query = select(holiday_calendars.c.calendar_code).where(
            holiday_calendars.c.calendar_code == calendar_code,
            holiday_calendars.c.state == "ACTIVE",
        )
        # which nobody archives meanwhile
        if not await tx.scalar(query.with_for_update(read=True)):
            fault = f"there is no calendar {calendar_code!r}, or it is archived; create it"
            raise invalid("calendar_code", fault)


def _tiers(content: Any) -> list[dict[str, int]]:
    return pricing.tiers_content(pricing.parse_tiers(content))


def _policy(content: Any) -> dict[str, Any]:
    return Policy.parse(content).content()
