"""The keys of stocks, departures and quotas: what is sold is packed into one number. Pure."""

from datetime import date, datetime, timedelta
from functools import lru_cache

DIRECT = 0
"""Our own sales channel, as a partner_id."""


CHANNEL_BITS = 20


CLASS_BITS = 4


DAY_BITS = 14


EPOCH = date(2020, 1, 1)
"""The first day a departure may have."""


LAST_DAY = EPOCH + timedelta(days=(1 << DAY_BITS) - 1)
"""The last day that stock may be of."""


DEPARTURE_STOCK = 1 << 62


PROMOTION_STOCK = 1 << 61


DAY_STOCK = 1 << 60


RENTAL_STOCK = DEPARTURE_STOCK | PROMOTION_STOCK
"""What tells the keys of stocks apart."""


MAX_DATED_PRODUCT = (1 << 60 - DAY_BITS - CHANNEL_BITS) - 1
"""The greatest number of a product that may have stock of single days: the key has room for no
other.
"""


TRANSPORT_OFFER, PACKAGE_OFFER, RENTAL_OFFER = "TR", "PK", "RC"
"""How the ids of offers begin: TR-departure-class-origin-destination, PK-product-day, and
RC-product-day-… of a rental (see rental_rules.RentalKey).
"""


def stock_id(product_id: int, partner_id: int) -> int:
    """The key of a product's allotment for a channel."""
    return product_id << CHANNEL_BITS | partner_id


def partner_of(stock: int) -> int:
    """The partner whose stock it is, or DIRECT."""
    return stock & (1 << CHANNEL_BITS) - 1


def departure_id(timetable_id: int, travel_date: date) -> int:
    """The number of a departure: its timetable and day."""
    return timetable_id << DAY_BITS | _days(travel_date)


def departure_parts(number: int) -> tuple[int, date]:
    """Timetable and day of a departure."""
    return number >> DAY_BITS, EPOCH + timedelta(days=number & (1 << DAY_BITS) - 1)


def departure_stock_id(departure: int, class_index: int, partner_id: int) -> int:
    """The key of a channel's seats in one class of a departure."""
    return (
        DEPARTURE_STOCK
        | departure << CLASS_BITS + CHANNEL_BITS
        | class_index << CHANNEL_BITS
        | partner_id
    )


def class_index(departure_stock: int) -> int:
    """The class of a departure that a stock is of."""
    return departure_stock >> CHANNEL_BITS & (1 << CLASS_BITS) - 1


def day_stock_id(product_id: int, use_date: date, partner_id: int) -> int:
    """The key of a channel's allotment of a product for one day of use.

    Raises ValueError for a day, or a product above MAX_DATED_PRODUCT, that it has no room for.
    """
    if product_id > MAX_DATED_PRODUCT:
        raise ValueError(f"product {product_id} is above {MAX_DATED_PRODUCT}")
    return (
        DAY_STOCK | product_id << DAY_BITS + CHANNEL_BITS | _days(use_date) << CHANNEL_BITS
    ) | partner_id


def rental_stock_id(fleet_id: int, use_date: date, partner_id: int) -> int:
    """The key of a channel's cars of a fleet on one day. Raises ValueError for a day that it has no
    room for.
    """
    return (
        RENTAL_STOCK | fleet_id << DAY_BITS + CHANNEL_BITS | _days(use_date) << CHANNEL_BITS
    ) | partner_id


def promotion_stock_id(promotion_id: int) -> int:
    """The key of the stock that caps a promotion: one for each order under it."""
    return PROMOTION_STOCK | promotion_id << CHANNEL_BITS


def is_promotion_stock(number: int) -> bool:
    """Whether a stock is the cap of a promotion."""
    return bool(number & PROMOTION_STOCK) and not number & DEPARTURE_STOCK


@lru_cache(maxsize=20_000)
def quota_id(offer_id: str) -> int:
    """The key of what a limit per traveller counts an offer as: its departure, or its product on
    its first day of use.

    So all classes and legs of a departure count together, each day of a package for itself, and of
    a rental all that are picked up on one day (DOMAIN, Stock).
    """
    kind, number, *rest = offer_id.split("-")
    if kind == TRANSPORT_OFFER:
        return DEPARTURE_STOCK | int(number)
    # a day
    return int(number) << DAY_BITS | _days(datetime.strptime(rest[0], "%Y%m%d").date())  # noqa: DTZ007


def promotion_quota_id(promotion_id: int) -> int:
    """The key of how often one traveller uses a promotion: one for each order under it."""
    return PROMOTION_STOCK | promotion_id


def _days(day: date) -> int:
    """The number of a day that something may be sold for."""
    days = (day - EPOCH).days
    if not 0 <= days < 1 << DAY_BITS:
        raise ValueError(f"{day} does not fit into {DAY_BITS} bits")
    return days
