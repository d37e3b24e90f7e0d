"""What can be sold, and the stock it is taken from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog.days_of_use import TIME_ZONE, day_is_over, end_of
from server.catalog.departures import departure_cancelled, departure_left
from server.catalog.models import departures, products
from server.platform.errors import DomainError, invalid
from server.platform.statements import Statement, run
from server.stock.ids import day_stock_id, stock_id
from server.stock.inventory import not_on_sale, sold_out
from server.stock.models import stocks


@dataclass(frozen=True, slots=True)
class ProductForSale:
    """A product as it is sold now; `fares` and `entitlements` as they are stored.

    `time_zone` is that of the city where it is used, or where its first route begins; None for one
    without a city. Its calendar is known until `known_until`.
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
    known_until: date | None

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


def _row(*columns: Any) -> tuple[Any, ...]:
    return columns


_FOR_SALE = Statement(
    """
SELECT p.product_id, p.kind, p.display_name_en, p.display_name_zh, p.currency_code, p.fares,
  p.entitlements, p.validity_days, p.blackout_dates, coalesce(
    (SELECT c.time_zone FROM cities c WHERE c.city_code = p.city_code),
    (SELECT c.time_zone FROM routes r JOIN stops s ON s.stop_code = r.stops -> 0 ->> 'stop_code'
     JOIN cities c ON c.city_code = s.city_code
     WHERE r.product_id = p.product_id ORDER BY r.route_id LIMIT 1)),
  (SELECT k.known_until FROM holiday_calendars k WHERE k.calendar_code = p.calendar_code),
  t.total - t.held - t.sold
FROM stocks t JOIN products p ON p.product_id = t.product_id
WHERE t.stock_id = $1::bigint AND t.product_id = $2::int AND p.state = 'ACTIVE'
  AND (NOT t.archived OR $3::int = 0)
""",
    _row,
)


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
    """The product, if so much is left of this stock of it now; `take_sold` is what decides. Of an
    archived stock what is reserved (`quantity` 0) may still be sold.

    Raises PRODUCT_NOT_ON_SALE, SOLD_OUT.
    """
    found = await run(tx, _FOR_SALE(stock, product_id, quantity))
    if not found:
        raise not_on_sale(product_id)
    ((*product, available),) = found
    if available < quantity:
        raise sold_out(product_id, quantity, available)
    return ProductForSale(*product)


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

    `zone` counts where the product has no city. Raises PRODUCT_NOT_ON_SALE, DEPARTURE_CANCELLED,
    INVALID_FIELD for what has left or is over, and where the channel has nothing of that departure
    and class, or of that day.
    """
    query = (
        select(
            stocks.c.stock_id,
            stocks.c.hold_seconds,
            stocks.c.max_hold_seconds,
            TIME_ZONE.label("time_zone"),
            departures.c.state,
            departures.c.departure_time,
        )
        .join(products, products.c.product_id == stocks.c.product_id)
        .outerjoin(departures, departures.c.departure_id == stocks.c.departure_id)
        .where(
            stocks.c.product_id == product_id,
            products.c.state == "ACTIVE",
            stocks.c.archived.is_(False),
        )
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
        raise await _nothing_allotted(tx, product_id, departure_id, fare_class, use_date)
    end_time = row.departure_time
    if departure_id is not None and row.state != "SCHEDULED":
        raise departure_cancelled(departure_id, "nothing is reserved of it")
    if end_time and end_time <= now:
        raise departure_left(end_time)
    if use_date is not None:
        end_time = end_of(use_date, row.time_zone, zone)
        if end_time <= now:
            raise day_is_over(use_date)
    return Reservable(row.stock_id, product_id, row.hold_seconds, row.max_hold_seconds, end_time)


async def require_running(tx: AsyncConnection, departure_id: int, remedy: str) -> None:
    """Raises DEPARTURE_CANCELLED, with what is to be done instead."""
    query = select(departures.c.state).where(departures.c.departure_id == departure_id)
    if await tx.scalar(query) != "SCHEDULED":
        raise departure_cancelled(departure_id, remedy)


async def _nothing_allotted(
    tx: AsyncConnection,
    product_id: int,
    departure_id: int | None,
    fare_class: str,
    use_date: date | None,
) -> DomainError:
    """What is wrong where a channel has no stock of a product that is asked for, and the remedy."""
    query = select(products.c.product_id).where(
        products.c.product_id == product_id, products.c.state == "ACTIVE"
    )
    if (departure_id, use_date) == (None, None) or await tx.scalar(query) is None:
        return not_on_sale(product_id)
    if use_date is not None:
        field, what = "use_date", f"that day of product {product_id}"
    else:
        field, what = "departure_id", f"class {fare_class} of that departure of {product_id}"
    return invalid(
        field,
        f"nothing is allotted to you of {what}; GetInventory with the same {field} lists what is,"
        " and an administrator allots more",
    )


def _key(product_id: int, use_date: date | None, partner_id: int) -> int:
    if use_date is None:
        return stock_id(product_id, partner_id)
    try:
        return day_stock_id(product_id, use_date, partner_id)
    except ValueError as error:
        raise invalid("use_date", f"has no stock of its own: {error}") from None
