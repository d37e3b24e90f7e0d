"""The catalogue's records as files have them: read from the database, created, changed, archived.

Everything goes through the functions of the nouns, which check, audit and announce it, as for
calls.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Unpack, cast

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.rules import DIRECT_CHANNEL, ENTITLEMENT_DEFAULTS
from server.catalog import (
    car_categories,
    cities,
    holidays,
    products,
    promotions,
    rental_extras,
    rental_fleets,
    rental_locations,
    routes,
    templates,
    timetables,
)
from server.catalog.allotments import create_allotment, update_allotment
from server.catalog.car_categories import CarCategory
from server.catalog.cities import City, Stop
from server.catalog.holidays import OPERATOR, Holiday, HolidayCalendar, HolidayYear
from server.catalog.models import holiday_years
from server.catalog.models import holidays as holidays_table
from server.catalog.models import products as products_table
from server.catalog.promotions import PromotionRecord
from server.catalog.rental_extras import RentalExtra
from server.catalog.rental_fleets import RentalFleet
from server.catalog.rental_locations import RentalLocation
from server.catalog.routes import Route
from server.catalog.rules import MOST_TOTAL
from server.catalog.templates import EntitlementTemplate
from server.catalog.timetables import Timetable
from server.configuration.catalogue_nouns import written_weekdays
from server.platform.errors import invalid
from server.stock.ids import DIRECT, stock_id
from server.stock.models import stocks

Values = dict[str, Any]
Read = Callable[[AsyncConnection], Awaitable[list[Values]]]
Find = Callable[[AsyncConnection, Sequence[Values]], Awaitable[list[Values | None]]]


@dataclass(frozen=True, slots=True)
class Keeper:
    """How a noun's records are kept.

    `read` gives all of them, `find` those of these keys, None for what is not there, both as files
    have them; `create` adds several. `fixed` are fields that stay as they were created. `archive`
    and `unarchive` are None of what has no state.
    """

    read: Read
    find: Find
    create: Callable[..., Awaitable[object]]
    update: Callable[..., Awaitable[object]]
    archive: Callable[..., Awaitable[object]] | None = None
    unarchive: Callable[..., Awaitable[object]] | None = None
    fixed: frozenset[str] = frozenset()


def _of_records(records: Any, shown: Callable[[Any], Values]) -> tuple[Read, Find]:
    async def read(tx: AsyncConnection) -> list[Values]:
        rows = (await tx.execute(records.query.order_by(records.key))).mappings()
        return [shown(records.record(**row)) for row in rows]

    async def find(tx: AsyncConnection, keys: Sequence[Values]) -> list[Values | None]:
        names = [name for key in keys for name in key.values()]
        found = await records.lock_all(tx, names)
        return [shown(found[name]) if name in found else None for name in names]

    return read, find


def _fields_of(record: Any) -> Values:
    values = {each.name: getattr(record, each.name) for each in fields(record)}
    values.pop("version", None)
    return values


def _by_key(function: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    async def work(tx: AsyncConnection, key: Mapping[str, Any], *rest: Any, **by: Any) -> object:
        (name,) = key.values()
        return await function(tx, name, *rest, **by)

    return work


def _each_found(find: Callable[..., Awaitable[Values | None]]) -> Find:
    async def find_all(tx: AsyncConnection, keys: Sequence[Values]) -> list[Values | None]:
        return [await find(tx, key) for key in keys]

    return find_all


def _each(create: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
    async def create_all(tx: AsyncConnection, new: Sequence[Any], **by: Any) -> None:
        for each in new:
            await create(tx, each, **by)

    return create_all


def _creating(
    record: Callable[..., Any], function: Callable[..., Awaitable[object]]
) -> Callable[..., Awaitable[object]]:
    async def create(tx: AsyncConnection, new: Sequence[Values], **by: Any) -> object:
        made = [record(**values | {"state": "ACTIVE"}) for values in new]
        return await function(tx, made, **by)

    return create


def _kept(
    records: Any,
    record: Callable[..., Any],
    functions: tuple[Callable[..., Awaitable[object]], ...],
    shown: Callable[[Any], Values] = _fields_of,
    fixed: frozenset[str] = frozenset(),
) -> Keeper:
    create, update, archive, unarchive = functions
    read, find = _of_records(records, shown)
    return Keeper(
        read,
        find,
        _creating(record, create),
        _by_key(update),
        _by_key(archive),
        _by_key(unarchive),
        fixed,
    )


# Products, whose stock of our own channel is a column


def _product_values(product: products.Product) -> Values:
    values = _fields_of(product)
    for name in ("create_time", "update_time"):
        del values[name]
    values["blackout_dates"] = [each.isoformat() for each in product.blackout_dates]
    values["entitlements"] = [{**ENTITLEMENT_DEFAULTS, **each} for each in product.entitlements]
    return values


async def _read_products(tx: AsyncConnection) -> list[Values]:
    read, _ = _of_records(products.PRODUCTS, _product_values)
    query = select(stocks.c.product_id, stocks.c.total).where(
        stocks.c.partner_id == DIRECT, stocks.c.departure_id.is_(None), stocks.c.use_date.is_(None)
    )
    query = query.where(stocks.c.product_id.in_(select(products_table.c.product_id)))
    totals = {row.product_id: row.total for row in await tx.execute(query)}
    return [each | {"direct_total": totals.get(each["product_id"])} for each in await read(tx)]


async def _find_products(tx: AsyncConnection, keys: Sequence[Values]) -> list[Values | None]:
    _, find = _of_records(products.PRODUCTS, _product_values)
    found = await find(tx, keys)
    ids = [stock_id(each["product_id"], DIRECT) for each in found if each]
    query = select(stocks.c.product_id, stocks.c.total).where(stocks.c.stock_id.in_(ids))
    totals = {row.product_id: row.total for row in await tx.execute(query)}
    return [each and each | {"direct_total": totals.get(each["product_id"])} for each in found]


async def _create_product(tx: AsyncConnection, values: Values, **by: Unpack[By]) -> None:
    given = {name: each for name, each in values.items() if name not in ("direct_total", "state")}
    await products.create_product(tx, cast("products.NewProduct", given), **by)
    await _set_total(tx, values["product_id"], values["direct_total"], **by)


async def _update_product(
    tx: AsyncConnection, key: Mapping[str, Any], values: Values, **by: Unpack[By]
) -> None:
    given = {name: each for name, each in values.items() if name != "direct_total"}
    if given:
        await products.update_product(tx, key["product_id"], given, **by)
    if "direct_total" in values:
        await _set_total(tx, key["product_id"], values["direct_total"], **by)


async def _set_total(
    tx: AsyncConnection, product_id: int, total: int | None, **by: Unpack[By]
) -> None:
    this = stocks.c.stock_id == stock_id(product_id, DIRECT)
    is_there = await tx.scalar(select(stocks.c.stock_id).where(this))
    if total is None:
        if is_there:
            raise invalid("direct_total", "has stock already; write a number, 0 for none")
        return
    if not 0 <= total <= MOST_TOTAL:
        raise invalid("direct_total", f"is {total}, not within 0 to {MOST_TOTAL}")
    keep = update_allotment if is_there else create_allotment
    await keep(tx, product_id=product_id, channel=DIRECT_CHANNEL, total=total, **by)


# Timetables, promotions


def _promotion_values(promotion: promotions.KeptPromotion) -> Values:
    values = _fields_of(promotion)
    for name in ("held", "used", "capped"):
        del values[name]
    values["cap"] = promotion.cap if promotion.capped else None
    return values


async def _create_promotion(tx: AsyncConnection, values: Values, **by: Unpack[By]) -> None:
    given = dict(values)
    cap = given.pop("cap")
    record = PromotionRecord(**given | {"capped": cap is not None, "state": "ACTIVE"})
    await promotions.create_promotion(tx, record, cap=cap or 0, **by)


async def _update_promotion(
    tx: AsyncConnection, key: Mapping[str, Any], values: Values, **by: Unpack[By]
) -> None:
    if "cap" in values and values["cap"] is None:
        raise invalid("cap", "its orders are counted, for good; write a number")
    await promotions.update_promotion(tx, key["promotion_id"], values, **by)


# Calendars


def _calendar_values(calendar: HolidayCalendar) -> Values:
    values = _fields_of(calendar)
    return {name: each for name, each in values.items() if name != "known_until"}


async def _read_years(tx: AsyncConnection) -> list[Values]:
    table = holiday_years
    query = select(table.c.calendar_code, table.c.year, table.c.source)
    rows = await tx.execute(query.order_by(table.c.calendar_code, table.c.year))
    return [dict(row) for row in rows.mappings()]


async def _find_year(tx: AsyncConnection, key: Mapping[str, Any]) -> Values | None:
    for each in await holidays.list_years(tx, key["calendar_code"]):
        if each.year == key["year"]:
            return {**key, "source": each.source}
    return None


async def _create_year(tx: AsyncConnection, values: Values, **by: Unpack[By]) -> None:
    """A year is known; its days are records of their own, so those there stay."""
    code, number = values["calendar_code"], values["year"]
    begin, end = date(number, 1, 1), date(number, 12, 31)
    days = await holidays.list_holidays(tx, code, since=begin, until=end)
    await holidays.add_year(tx, HolidayYear(code, number, values["source"]), days, **by)


async def _update_year(
    tx: AsyncConnection, key: Mapping[str, Any], values: Values, **by: Unpack[By]
) -> None:
    await _create_year(tx, {**key, **values}, **by)


async def _read_days(tx: AsyncConnection) -> list[Values]:
    query = select(*(holidays_table.c[each.name] for each in fields(Holiday)))
    rows = await tx.execute(query.order_by(holidays_table.c.calendar_code, holidays_table.c.day))
    return [_day_values(Holiday(*row)) for row in rows]


async def _find_day(tx: AsyncConnection, key: Mapping[str, Any]) -> Values | None:
    wanted = {"since": key["day"], "until": key["day"]}
    found = await holidays.list_holidays(tx, key["calendar_code"], **wanted)
    return _day_values(found[0]) if found else None


def _day_values(each: Holiday) -> Values:
    values = _fields_of(each)
    del values["origin"]
    return values


async def _create_day(tx: AsyncConnection, values: Values, **by: Unpack[By]) -> None:
    await holidays.set_holidays(tx, [Holiday(**values, origin=OPERATOR)], **by)


async def _update_day(
    tx: AsyncConnection, key: Mapping[str, Any], values: Values, **by: Unpack[By]
) -> None:
    before = await _find_day(tx, key)
    await _create_day(tx, {**(before or {}), **key, **values}, **by)


KEEPERS: Mapping[str, Keeper] = {
    "calendars": _kept(
        holidays.CALENDARS,
        HolidayCalendar,
        (
            *(_each(holidays.create_calendar), holidays.update_calendar),
            *(holidays.archive_calendar, holidays.unarchive_calendar),
        ),
        _calendar_values,
    ),
    "holiday_years": Keeper(
        _read_years, _each_found(_find_year), _each(_create_year), _update_year
    ),
    "holidays": Keeper(_read_days, _each_found(_find_day), _each(_create_day), _update_day),
    "cities": _kept(
        cities.CITIES,
        City,
        (cities.create_cities, cities.update_city, cities.archive_city, cities.unarchive_city),
    ),
    "stops": _kept(
        cities.STOPS,
        Stop,
        (cities.create_stops, cities.update_stop, cities.archive_stop, cities.unarchive_stop),
    ),
    "entitlement_templates": _kept(
        templates.TEMPLATES,
        EntitlementTemplate,
        (
            *(_each(templates.create_template), templates.update_template),
            *(templates.archive_template, templates.unarchive_template),
        ),
    ),
    "products": Keeper(
        _read_products,
        _find_products,
        _each(_create_product),
        _update_product,
        _by_key(products.archive_product),
        _by_key(products.unarchive_product),
        frozenset({"kind", "currency_code"}),
    ),
    "routes": _kept(
        routes.ROUTES,
        Route,
        (
            *(_each(routes.create_route), routes.update_route),
            *(routes.archive_route, routes.unarchive_route),
        ),
        fixed=frozenset({"product_id"}),
    ),
    "timetables": _kept(
        timetables.TIMETABLES,
        Timetable,
        (
            *(_each(timetables.add_timetable), timetables.change_timetable),
            *(timetables.archive_timetable, timetables.unarchive_timetable),
        ),
        fixed=frozenset({"route_id"}),
    ),
    "car_categories": _kept(
        car_categories.CAR_CATEGORIES,
        CarCategory,
        (
            *(_each(car_categories.create_category), car_categories.update_category),
            *(car_categories.archive_category, car_categories.unarchive_category),
        ),
    ),
    "rental_locations": _kept(
        rental_locations.LOCATIONS,
        RentalLocation,
        (
            *(_each(rental_locations.create_location), rental_locations.update_location),
            *(rental_locations.archive_location, rental_locations.unarchive_location),
        ),
        fixed=frozenset({"city_code"}),
    ),
    "rental_extras": _kept(
        rental_extras.EXTRAS,
        RentalExtra,
        (
            *(_each(rental_extras.create_extra), rental_extras.update_extra),
            *(rental_extras.archive_extra, rental_extras.unarchive_extra),
        ),
        fixed=frozenset({"extra_code", "currency_code"}),
    ),
    "rental_fleets": _kept(
        rental_fleets.FLEETS,
        RentalFleet,
        (
            *(_each(rental_fleets.add_fleet), rental_fleets.change_fleet),
            *(rental_fleets.archive_fleet, rental_fleets.unarchive_fleet),
        ),
        fixed=frozenset({"product_id", "location_id"}),
    ),
    "promotions": Keeper(
        *_of_records(promotions.PROMOTIONS, _promotion_values),
        _each(_create_promotion),
        _update_promotion,
        _by_key(promotions.archive_promotion),
        _by_key(promotions.unarchive_promotion),
    ),
}
"""By the nouns' names in files."""


async def read_catalogue(tx: AsyncConnection) -> dict[str, list[Values]]:
    """All records, as files have them."""
    found = {name: await keeper.read(tx) for name, keeper in KEEPERS.items()}
    for each in found["timetables"]:
        each["weekdays"] = written_weekdays(each["weekdays"])
    return found
