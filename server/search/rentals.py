"""Search of rentals: each car category at each location, for a driver and from one moment to
another. What is left is read for every search.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from server.catalog import pricing
from server.catalog.catalogue import Catalogue, Catalogues
from server.catalog.offers import Offer, RentalPlace, RentedExtra
from server.catalog.rental_rules import RentalKey, clock_exists, minutes_between
from server.catalog.rules import MAX_ADVANCE
from server.orders.prices import not_applicable
from server.platform.errors import invalid, not_found
from server.search.seats_left import SeatsLeft
from server.stock.ids import promotion_stock_id

DRIVER = "ADULT"
"""Whose fare is shown; an order may have the fares of others."""


class RentalQuery(NamedTuple):
    """What is searched; clocks are YYYY-MM-DDTHH:MM, locations 0 where none is named."""

    pick_up_location_id: int
    city_code: str
    drop_off_location_id: int
    pick_up_clock: str
    return_clock: str
    driver_age: int
    extras: tuple[tuple[str, int], ...]
    cars: int
    category_codes: frozenset[str]
    available_only: bool
    promotion_codes: tuple[str, ...]


class ListedRental(NamedTuple):
    """An offer with its price, how many cars are left, why it cannot be bought, and what else it
    could be rented with.
    """

    offer: Offer
    price: pricing.Price | None
    left: int
    unavailable: str
    choices: list[RentedExtra]

    @property
    def position(self) -> tuple[int, str, int, str]:
        """Where it stands in the list: what can be rented first, by price in each currency."""
        total = self.price.total_minor if self.price else 0
        return bool(self.unavailable) + 0, self.offer.currency_code, total, self.offer.offer_id


class RentalSearch:
    """Searches the catalogue's rentals."""

    def __init__(self, catalogues: Catalogues, seats: SeatsLeft) -> None:
        self._catalogues = catalogues
        self._seats = seats

    async def locations(self, city_code: str, after: int | None, limit: int) -> list[RentalPlace]:
        """Up to `limit` locations after the number `after`, all or those in a city. Raises
        DATABASE_UNAVAILABLE.
        """
        catalogue = await self._catalogues.get()
        found = [
            place
            for number, place in sorted(catalogue.rentals.locations.items())
            if number > (after or 0) and city_code in ("", place.city_code)
        ]
        return found[:limit]

    async def search(
        self, query: RentalQuery, *, after: Sequence[int | str] | None, now: datetime
    ) -> list[ListedRental]:
        """All that is found after a `position`, in order. Raises INVALID_FIELD, NOT_FOUND
        (location), PROMOTION_NOT_APPLICABLE, DATABASE_UNAVAILABLE.
        """
        catalogue = await self._catalogues.get()
        offers = list(_offers(catalogue, query, now))
        promotions = catalogue.promotions(query.promotion_codes)
        capped = [p.promotion_id for p in promotions if p.promotion_id in catalogue.capped]
        stock_ids = {stock_id for offer in offers for stock_id in offer.stock_ids}
        left = await self._seats.of([*stock_ids, *map(promotion_stock_id, capped)])
        used_up = {p for p in capped if left.get(promotion_stock_id(p), 0) < 1}
        usable = [p for p in promotions if p.promotion_id not in used_up]
        _check_codes(catalogue, query, offers, used_up, now)
        found = [_judged(catalogue, query, offer, usable, left=left, now=now) for offer in offers]
        wanted = [each for each in found if not (query.available_only and each.unavailable)]
        later = [each for each in wanted if after is None or each.position > tuple(after)]
        return sorted(later, key=lambda each: each.position)


def _offers(catalogue: Catalogue, query: RentalQuery, now: datetime) -> Iterator[Offer]:
    rentals = catalogue.rentals
    extras = _extras(catalogue, query)
    pick_up = _clock("pick_up_clock", query.pick_up_clock)
    returned = _clock("return_clock", query.return_clock)
    for place in _places(catalogue, query):
        zone = ZoneInfo(place.time_zone)
        target = rentals.locations[query.drop_off_location_id or place.location_id]
        _check_times(pick_up, returned, zone, ZoneInfo(target.time_zone), now)
        # by the clock of the pick-up, wherever the car is returned
        there = returned.replace(tzinfo=ZoneInfo(target.time_zone)).astimezone(zone)
        minutes = minutes_between(pick_up, there.replace(tzinfo=None))
        for product_id, location_id in sorted(rentals.fleets):
            car = rentals.cars.get(product_id)
            if location_id != place.location_id or car is None:
                continue
            if query.category_codes and car.category_code not in query.category_codes:
                continue
            places = location_id, target.location_id
            key = RentalKey(product_id, pick_up, *places, minutes, query.driver_age, extras)
            offer = catalogue.rental(key)
            if offer:
                yield offer


def _places(catalogue: Catalogue, query: RentalQuery) -> list[RentalPlace]:
    """Where cars may be picked up. Raises INVALID_FIELD, NOT_FOUND."""
    locations = catalogue.rentals.locations
    for number in (query.pick_up_location_id, query.drop_off_location_id):
        if number and number not in locations:
            raise not_found("rental_location", number)
    if query.pick_up_location_id:
        return [locations[query.pick_up_location_id]]
    if not query.city_code:
        raise invalid("city_code", "is missing; send it, or pick_up_location_id")
    if query.city_code not in catalogue.cities:
        raise invalid("city_code", f"there is no city {query.city_code!r}")
    return [each for _, each in sorted(locations.items()) if each.city_code == query.city_code]


def _extras(catalogue: Catalogue, query: RentalQuery) -> tuple[tuple[int, int], ...]:
    """The extras by number. Raises INVALID_FIELD for one that there is not, is named twice, or is
    asked for too often.
    """
    by_code = {each.extra_code: each for each in catalogue.rentals.extras.values()}
    wanted: dict[int, int] = {}
    for index, (code, quantity) in enumerate(query.extras):
        extra = by_code.get(code)
        if extra is None:
            raise invalid(f"extras[{index}].extra_code", f"there is no extra {code!r} on sale")
        if extra.extra_id in wanted:
            raise invalid(f"extras[{index}].extra_code", f"{code!r} was named before")
        if quantity > extra.max_quantity:
            raise invalid(f"extras[{index}].quantity", f"is more than {extra.max_quantity}")
        wanted[extra.extra_id] = quantity
    return tuple(sorted(wanted.items()))


def _clock(field: str, written: str) -> datetime:
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        raise invalid(field, "is not a day of the calendar; send YYYY-MM-DDTHH:MM") from None


def _check_times(
    pick_up: datetime, returned: datetime, zone: ZoneInfo, return_zone: ZoneInfo, now: datetime
) -> None:
    """Raises INVALID_FIELD."""
    for field, clock, there in (
        ("pick_up_clock", pick_up, zone),
        ("return_clock", returned, return_zone),
    ):
        if not clock_exists(clock, there):
            raise invalid(field, f"{clock} is never shown by the clock of {there}")
    begin, end = pick_up.replace(tzinfo=zone), returned.replace(tzinfo=return_zone)
    if begin <= now:
        raise invalid("pick_up_clock", f"{pick_up} is over in {zone}; send a time to come")
    if begin - now > MAX_ADVANCE:
        raise invalid("pick_up_clock", f"is more than {MAX_ADVANCE.days} days ahead")
    if end.timestamp() <= begin.timestamp():
        raise invalid("return_clock", "is not after the pick-up; send a later time")


def _judged(
    catalogue: Catalogue,
    query: RentalQuery,
    offer: Offer,
    promotions: Sequence[pricing.Promotion],
    *,
    left: dict[int, int],
    now: datetime,
) -> ListedRental:
    cars = min([left.get(stock_id, 0) for stock_id in offer.stock_ids])
    why = offer.unavailable(now)
    price = None
    try:
        price = pricing.price(offer.terms, [DRIVER] * query.cars, promotions, now)
    except pricing.NoFare:
        why = why or "NO_FARE"
    if not why and cars < query.cars:
        why = "SOLD_OUT"
    product, days = catalogue.products[offer.product_id], len(offer.stock_ids)
    assert offer.rental, "it is a rental"
    chosen = {each.extra_code for each in offer.rental.extras}
    choices = [
        each for each in catalogue.rentals.choices(product, days) if each.extra_code not in chosen
    ]
    return ListedRental(offer, price, cars, why, choices)


def _check_codes(
    catalogue: Catalogue,
    query: RentalQuery,
    offers: Sequence[Offer],
    used_up: Collection[int],
    now: datetime,
) -> None:
    """Each code must be good for something that is found. Raises PROMOTION_NOT_APPLICABLE."""
    for code in query.promotion_codes:
        promotion = catalogue.promotion(code)
        if promotion and promotion.promotion_id in used_up:
            raise not_applicable(code, "has been used as often as it may be")
        faults = [
            pricing.promotion_fault(
                promotion,
                code,
                party_size=query.cars,
                product_id=offer.product_id,
                currency_code=offer.currency_code,
                now=now,
            )
            for offer in offers
        ]
        if offers and None not in faults:
            raise not_applicable(code, str(faults[0]))
