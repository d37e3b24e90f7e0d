"""Fares as administrators look at them: those of a route that match, and what something costs day
by day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import pricing
from server.catalog.holidays import CALENDARS, list_holidays
from server.catalog.products import PRODUCTS
from server.catalog.routes import ROUTES
from server.catalog.rules import is_provisional
from server.platform.errors import invalid

MOST_DAYS = 366


@dataclass(frozen=True, slots=True)
class FareFilter:
    """Which fares; what is empty does not count."""

    class_code: str = ""
    origin: str = ""
    destination: str = ""
    customer_type: str = ""
    day_type: str = ""


@dataclass(frozen=True, slots=True)
class FareDay:
    """What something costs on a day, in minor units before discounts; None without a fare."""

    day: date
    day_type: str
    display_name_en: str
    display_name_zh: str
    amount_minor: int | None
    provisional: bool
    blackout: bool


@dataclass(frozen=True, slots=True)
class FareCalendar:
    """Day by day, amounts in one currency."""

    currency_code: str
    days: list[FareDay]


def matching(
    fares: Sequence[dict[str, Any]], wanted: FareFilter, *, after: int | None
) -> list[tuple[int, dict[str, Any]]]:
    """The fares that match, each with its place, after the place `after`."""
    asked = {name: value for name, value in asdict(wanted).items() if value}
    return [
        (place, fare)
        for place, fare in enumerate(fares)
        if (after is None or place > after)
        and all(fare[name] == value for name, value in asked.items())
    ]


async def fare_calendar(
    tx: AsyncConnection,
    *,
    product_id: int,
    route_id: int,
    leg: tuple[str, str, str],
    customer_type: str,
    since: date,
    until: date,
) -> FareCalendar:
    """What a product, or a leg (class, origin, destination) of a route of it, costs a customer type
    from day to day, both included. Raises NOT_FOUND, INVALID_FIELD.
    """
    if not since <= until < since + timedelta(days=MOST_DAYS):
        raise invalid("until", f"is before since, or more than {MOST_DAYS - 1} days after it")
    product = await PRODUCTS.get(tx, product_id)
    fares: Sequence[Mapping[str, Any]] = product.fares
    if route_id:
        route = await ROUTES.get(tx, route_id)
        if route.product_id != product_id:
            raise invalid("route_id", f"{route_id} is of product {route.product_id}; name that one")
        class_code, origin, destination = leg
        wanted = FareFilter(class_code, origin, destination)
        fares = [fare for _, fare in matching(route.fares, wanted, after=None)]
        if not all(leg):
            raise invalid("class_code", "with a route, name class and both stops too")
    elif product.kind == "TRANSPORT":
        raise invalid(
            "route_id", f"product {product_id} is sold by route; name one, and a leg of it"
        )
    table = {(fare["customer_type"], fare["day_type"]): fare["amount_minor"] for fare in fares}
    calendar = await CALENDARS.get(tx, product.calendar_code)
    listed = await list_holidays(tx, product.calendar_code, since=since, until=until)
    named = {each.day: each for each in listed}
    types = {each.day: each.day_type for each in listed}
    days = []
    for number in range((until - since).days + 1):
        day = since + timedelta(days=number)
        day_type, name = pricing.day_type(day, types), named.get(day)
        days.append(
            FareDay(
                day=day,
                day_type=day_type,
                display_name_en=name.display_name_en if name else "",
                display_name_zh=name.display_name_zh if name else "",
                amount_minor=_amount(table, customer_type, day_type),
                provisional=is_provisional(day, calendar.known_until),
                blackout=day in product.blackout_dates,
            )
        )
    return FareCalendar(product.currency_code, days)


def _amount(table: Mapping[tuple[str, str], int], customer_type: str, day_type: str) -> int | None:
    try:
        return pricing.fare_of(table, customer_type, day_type)
    except pricing.NoFare:
        return None
