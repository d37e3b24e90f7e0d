"""What can be sold, and the stock it is taken from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.departures import departure_cancelled
from server.catalog.models import cities, departures, products, routes, stops
from server.platform.errors import invalid
from server.platform.texts import clock_time
from server.stock.ids import day_stock_id, stock_id
from server.stock.inventory import AVAILABLE, not_on_sale, sold_out
from server.stock.models import stocks

_CITY_ZONE = (
    select(cities.c.time_zone).where(cities.c.city_code == products.c.city_code).scalar_subquery()
)
_ROUTE_ZONE = (
    select(cities.c.time_zone)
    .join(stops, stops.c.city_code == cities.c.city_code)
    .join(routes, routes.c.stops[0]["stop_code"].astext == stops.c.stop_code)
    .where(routes.c.product_id == products.c.product_id)
    .order_by(routes.c.route_id)
    .limit(1)
    .scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class ProductForSale:
    """A product as it is sold now; `fares` and `entitlements` as they are stored.

    `time_zone` is that of the city where it is used, or where its first route begins; None for one
    without a city.
    """

    product_id: int
    kind: str
    display_name_en: str
    display_name_zh: str
    currency_code: str
    fares: Sequence[Mapping[str, Any]]
    entitlements: Sequence[Mapping[str, Any]]
    validity_days: int
    blackout_dates: Sequence[date]
    time_zone: str | None

    def snapshot(self) -> dict[str, Any]:
        """Price, rules and entitlements, for tickets that are sold under them (JSON)."""
        return {
            "kind": self.kind,
            "display_name_en": self.display_name_en,
            "display_name_zh": self.display_name_zh,
            "currency_code": self.currency_code,
            "fares": self.fares,
            "entitlements": self.entitlements,
            "blackout_dates": [day.isoformat() for day in self.blackout_dates],
            "validity_days": self.validity_days,
        }


@dataclass(frozen=True, slots=True)
class Reservable:
    """A channel's stock that something may be reserved of.

    `end_time` is when its departure leaves or its day of use is over; None if it is of no single
    day. Without `hold_seconds` and `max_hold_seconds` the settings count.
    """

    stock_id: int
    product_id: int
    hold_seconds: int | None
    max_hold_seconds: int | None
    end_time: datetime | None


async def product_for_sale(
    tx: AsyncConnection, *, stock: int, product_id: int, quantity: int
) -> ProductForSale:
    """The product, if so much is left of this stock of it now; `take_sold` is what decides.

    Raises PRODUCT_NOT_ON_SALE, SOLD_OUT.
    """
    query = (
        select(
            products.c.product_id,
            products.c.kind,
            products.c.display_name_en,
            products.c.display_name_zh,
            products.c.currency_code,
            products.c.fares,
            products.c.entitlements,
            products.c.validity_days,
            products.c.blackout_dates,
            func.coalesce(_CITY_ZONE, _ROUTE_ZONE),
            AVAILABLE.label("available"),
        )
        .join(stocks, stocks.c.product_id == products.c.product_id)
        .where(stocks.c.stock_id == stock, stocks.c.product_id == product_id)
        .where(products.c.state == "ACTIVE")
    )
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise not_on_sale(product_id)
    if row.available < quantity:
        raise sold_out(product_id, quantity, row.available)
    return ProductForSale(*row[:-1])


async def reservable(
    tx: AsyncConnection,
    *,
    partner_id: int,
    product_id: int,
    departure_id: int | None,
    fare_class: str,
    use_date: date | None,
    zone: ZoneInfo,
    now: datetime,
) -> Reservable:
    """The channel's stock of a product, of a class of a departure of it, or of a day of its use.

    `zone` counts where the product has no city. Raises PRODUCT_NOT_ON_SALE (also where the channel
    has nothing of that departure and class, or of that day), DEPARTURE_CANCELLED, INVALID_FIELD for
    what has left or is over.
    """
    query = (
        select(
            stocks.c.stock_id,
            stocks.c.hold_seconds,
            stocks.c.max_hold_seconds,
            func.coalesce(_CITY_ZONE, _ROUTE_ZONE).label("time_zone"),
            departures.c.state,
            departures.c.departure_time,
        )
        .join(products, products.c.product_id == stocks.c.product_id)
        .outerjoin(departures, departures.c.departure_id == stocks.c.departure_id)
        .where(stocks.c.product_id == product_id, products.c.state == "ACTIVE")
    )
    if departure_id is not None:
        query = query.where(
            stocks.c.departure_id == departure_id,
            stocks.c.fare_class == fare_class,
            stocks.c.partner_id == partner_id,
        )
    else:
        query = query.where(stocks.c.stock_id == _key(product_id, use_date, partner_id))
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise not_on_sale(product_id)
    end_time = row.departure_time
    if departure_id is not None and row.state != "SCHEDULED":
        raise departure_cancelled(departure_id, "nothing is reserved of it")
    if end_time and end_time <= now:
        raise invalid("departure_id", f"left at {clock_time(end_time)}; name one to come")
    if use_date is not None:
        following = use_date + timedelta(days=1)
        end_time = datetime.combine(
            following, time(), ZoneInfo(row.time_zone) if row.time_zone else zone
        )
        if end_time <= now:
            raise invalid("use_date", f"{use_date} is over; name a day to come")
    return Reservable(row.stock_id, product_id, row.hold_seconds, row.max_hold_seconds, end_time)


async def require_running(tx: AsyncConnection, departure_id: int, remedy: str) -> None:
    """Raises DEPARTURE_CANCELLED, with what is to be done instead."""
    query = select(departures.c.state).where(departures.c.departure_id == departure_id)
    if await tx.scalar(query) != "SCHEDULED":
        raise departure_cancelled(departure_id, remedy)


def _key(product_id: int, use_date: date | None, partner_id: int) -> int:
    if use_date is None:
        return stock_id(product_id, partner_id)
    try:
        return day_stock_id(product_id, use_date, partner_id)
    except ValueError:
        raise not_on_sale(product_id) from None
