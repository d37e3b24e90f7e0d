"""What a partner can sell: its products in options, and what is left of each departure and day.

An option of a departure's product is a leg of one of its routes in a class of which the partner has
an allotment; a package has one. What it has of a package for all days counts on each day that has
no stock of its own. What is configured comes from the catalogue, what is left from the stocks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import pricing
from server.catalog.catalogue import MOVED_DAYS, OVERNIGHT_DAYS, Catalogue, RouteLeg
from server.catalog.listed import ListedProduct
from server.catalog.offers import Offer
from server.platform.errors import not_found
from server.platform.statements import Statement, run
from server.stock.ids import DAY_BITS, EPOCH, departure_parts

WHOLE = "DEFAULT"
"""The option of a package."""


class SaleOption(NamedTuple):
    """A way to sell a product; `leg` of a departure, None of a package."""

    product_id: int
    option_id: str
    display_name: str
    leg: RouteLeg | None
    customer_types: tuple[str, ...]
    zone: ZoneInfo


class SaleProduct(NamedTuple):
    """A product that a partner has stock of, with its options: at least one."""

    product: ListedProduct
    options: tuple[SaleOption, ...]

    def option(self, option_id: str) -> SaleOption:
        """Raises NOT_FOUND."""
        for each in self.options:
            if each.option_id == option_id:
                return each
        raise not_found("option", option_id)


@dataclass(frozen=True, slots=True)
class Slot:
    """A departure or a day of an option, and what the partner has of it: of a departure with its
    number, of a day with `use_date` where that has a stock of its own.
    """

    slot_id: str
    option: SaleOption
    offer: Offer
    total: int
    left: int
    departure_id: int | None = None
    use_date: date | None = None

    def closed(self, now: datetime) -> bool:
        """Whether nothing is sold of it any more, whatever is left. Before the beginning of our own
        sale a partner sells what it has.
        """
        return self.offer.unavailable(now) not in ("", "NOT_YET_ON_SALE")

    def fare_minor(self, customer_type: str) -> int:
        """What a ticket costs. Raises NOT_FOUND for a customer type without a fare that day."""
        try:
            return pricing.fare_of(self.offer.fares, customer_type, self.offer.day_type)
        except pricing.NoFare:
            raise not_found("unit", customer_type) from None


class _Stock(NamedTuple):
    departure_id: int | None
    use_date: date | None
    total: int
    left: int


class _Stocked(NamedTuple):
    product_id: int
    fare_class: str


_STOCKED = Statement(
    """
SELECT DISTINCT product_id, coalesce(fare_class, '') FROM stocks
WHERE partner_id = $1::int AND product_id IS NOT NULL AND fleet_id IS NULL AND NOT archived
  AND ($2::int = 0 OR product_id = $2::int)
""",
    _Stocked,
)
_DEPARTURES = Statement(
    """
SELECT departure_id, use_date, total, CASE WHEN closed THEN 0 ELSE total - held - sold END
FROM stocks
WHERE partner_id = $1::int AND product_id = $2::int AND fare_class = $3 AND NOT archived
  AND departure_id & $4::bigint BETWEEN $5::int AND $6::int
""",
    _Stock,
)
_DAYS = Statement(
    """
SELECT departure_id, use_date, total, total - held - sold FROM stocks
WHERE partner_id = $1::int AND product_id = $2::int AND departure_id IS NULL AND fleet_id IS NULL
  AND NOT archived
  AND (use_date IS NULL OR use_date BETWEEN $3::date AND $4::date)
""",
    _Stock,
)


async def products(
    tx: AsyncConnection, catalogue: Catalogue, partner_id: int, product_id: int = 0
) -> list[SaleProduct]:
    """What a partner has stock of and can sell in some option, by product; of one product unless
    that is 0.
    """
    classes: dict[int, set[str]] = {}
    for number, fare_class in await run(tx, _STOCKED(partner_id, product_id)):
        classes.setdefault(number, set()).add(fare_class)
    made = [
        SaleProduct(product, tuple(_options(catalogue, product, classes[number])))
        for number in sorted(classes)
        if (product := catalogue.products.get(number))
    ]
    return [each for each in made if each.options]


async def product(
    tx: AsyncConnection, catalogue: Catalogue, partner_id: int, product_id: str
) -> SaleProduct:
    """One of them, by the text of its number. Raises NOT_FOUND."""
    number = int(product_id) if product_id.isascii() and product_id.isdigit() else 0
    known = number if str(number) == product_id and number in catalogue.products else 0
    found = await products(tx, catalogue, partner_id, known) if known else []
    if not found:
        raise not_found("product", product_id)
    return found[0]


def _options(
    catalogue: Catalogue, product: ListedProduct, classes: set[str]
) -> Iterator[SaleOption]:
    if product.kind == "PACKAGE" and product.city_code and "" in classes:
        types = tuple(sorted({fare["customer_type"] for fare in product.fares}))
        zone = catalogue.cities[product.city_code].zone
        if types:
            yield SaleOption(product.product_id, WHOLE, product.display_name_en, None, types, zone)
    if product.kind != "TRANSPORT":
        return
    for leg in catalogue.legs_of(product.product_id):
        if leg.fare_class in classes:
            yield SaleOption(
                product.product_id,
                f"{leg.route_id}-{leg.class_index}-{leg.boards}-{leg.leaves}",
                f"{leg.origin.display_name_en} - {leg.destination.display_name_en},"
                f" {leg.fare_class_name_en}",
                leg,
                tuple(sorted({fare["customer_type"] for fare in leg.fares})),
                catalogue.cities[leg.origin.city_code].zone,
            )


async def slots(
    tx: AsyncConnection,
    catalogue: Catalogue,
    partner_id: int,
    option: SaleOption,
    *,
    first: date,
    last: date,
) -> list[Slot]:
    """The departures and days of an option from one day to another, both included, by the clock of
    where they begin; those that are over too, in their order.
    """
    number = option.product_id
    if option.leg is None:
        stocks = await run(tx, _DAYS(partner_id, number, first, last))
        return list(_days(catalogue, option, stocks, first=first, last=last))
    days = (first - EPOCH).days - OVERNIGHT_DAYS - MOVED_DAYS, (last - EPOCH).days + MOVED_DAYS
    asked = partner_id, number, option.leg.fare_class, (1 << DAY_BITS) - 1, *days
    found = []
    for stock in await run(tx, _DEPARTURES(*asked)):
        assert stock.departure_id is not None, "they are of departures"
        offer = catalogue.offer_of_leg(stock.departure_id, option.leg)
        if offer and offer.travel_date and first <= offer.travel_date <= last:
            slot_id = str(stock.departure_id)
            found.append(Slot(slot_id, option, offer, stock.total, stock.left, stock.departure_id))
    return sorted(found, key=lambda each: (each.offer.reference_time, each.slot_id))


def _days(
    catalogue: Catalogue,
    option: SaleOption,
    stocks: Sequence[_Stock],
    *,
    first: date,
    last: date,
) -> Iterator[Slot]:
    by_day = {each.use_date: each for each in stocks}
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        stock = by_day.get(day) or by_day.get(None)
        offer = stock and catalogue.package(catalogue.products[option.product_id], day)
        if stock and offer:
            yield Slot(
                *(day.isoformat(), option, offer, stock.total, stock.left), use_date=stock.use_date
            )


async def slots_by_id(
    tx: AsyncConnection,
    catalogue: Catalogue,
    partner_id: int,
    option: SaleOption,
    slot_ids: Sequence[str],
) -> list[Slot]:
    """Those of an option with these ids; what is none is left out."""
    wanted = set(slot_ids)
    found: dict[str, Slot] = {}
    for day in sorted({day for each in wanted if (day := _day_of(option, each))}):
        # of a departure the day it leaves its first stop: it may call at another one later
        last = day if option.leg is None else day + timedelta(days=OVERNIGHT_DAYS + MOVED_DAYS)
        first = day if option.leg is None else day - timedelta(days=MOVED_DAYS)
        if not wanted <= found.keys():
            near = await slots(tx, catalogue, partner_id, option, first=first, last=last)
            found |= {each.slot_id: each for each in near if each.slot_id in wanted}
    return sorted(found.values(), key=lambda each: (each.offer.reference_time, each.slot_id))


def _day_of(option: SaleOption, slot_id: str) -> date | None:
    try:
        if option.leg is None:
            return date.fromisoformat(slot_id)
        return departure_parts(int(slot_id))[1] if len(slot_id) < 20 else None
    except ValueError:
        return None
