"""Days by the clock of the city where a product is used, a fleet's cars are picked up, or a
product's first route begins.
"""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.models import (
    cities,
    products,
    rental_fleets,
    rental_locations,
    routes,
    stops,
)
from server.platform.errors import DomainError, invalid

_OF_CITY = (
    select(cities.c.time_zone).where(cities.c.city_code == products.c.city_code).scalar_subquery()
)
_OF_ROUTE = (
    select(cities.c.time_zone)
    .join(stops, stops.c.city_code == cities.c.city_code)
    .join(routes, routes.c.stops[0]["stop_code"].astext == stops.c.stop_code)
    .where(routes.c.product_id == products.c.product_id)
    .order_by(routes.c.route_id)
    .limit(1)
    .scalar_subquery()
)
_OF_FLEET = (
    select(cities.c.time_zone)
    .join(rental_locations, rental_locations.c.city_code == cities.c.city_code)
    .join(rental_fleets, rental_fleets.c.location_id == rental_locations.c.location_id)
)
TIME_ZONE = func.coalesce(_OF_CITY, _OF_ROUTE)
"""The time zone of a row of `products`; NULL for one without a city."""


def end_of(day: date, time_zone: str | None, zone: ZoneInfo) -> datetime:
    """When a day of use is over; `zone` counts where the product has no city."""
    following = day + timedelta(days=1)
    return datetime.combine(following, time(), ZoneInfo(time_zone) if time_zone else zone)


async def require_to_come(
    tx: AsyncConnection,
    product_id: int,
    use_date: date,
    fleet_id: int | None = None,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> None:
    """Raises INVALID_FIELD for a day of use of the product, or of its fleet, that is over."""
    if not await is_to_come(tx, product_id, use_date, fleet_id, zone=zone, now=now):
        raise day_is_over(use_date)


async def is_to_come(
    tx: AsyncConnection,
    product_id: int,
    use_date: date,
    fleet_id: int | None = None,
    *,
    zone: ZoneInfo,
    now: datetime,
) -> bool:
    """Whether a day of use of the product, or of its fleet, is not over; `zone` counts where
    neither has a city.
    """
    query = select(TIME_ZONE).where(products.c.product_id == product_id)
    if fleet_id is not None:
        query = _OF_FLEET.where(rental_fleets.c.fleet_id == fleet_id)
    return end_of(use_date, await tx.scalar(query), zone) > now


def day_is_over(use_date: date) -> DomainError:
    """INVALID_FIELD for a day of use."""
    return invalid("use_date", f"{use_date} is over; name a day to come")
