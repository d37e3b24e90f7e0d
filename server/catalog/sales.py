"""What can be sold, and the stock it is taken from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.models import cities, products, routes, stops
from server.stock.ids import stock_id
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


async def product_for_sale(
    tx: AsyncConnection, *, product_id: int, partner_id: int, quantity: int
) -> ProductForSale:
    """The product, if so much of it can be sold by this channel now; `take_sold` is what decides.

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
        .where(stocks.c.stock_id == stock_id(product_id, partner_id))
        .where(products.c.state == "ACTIVE")
    )
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise not_on_sale(product_id)
    if row.available < quantity:
        raise sold_out(product_id, quantity, row.available)
    return ProductForSale(*row[:-1])
