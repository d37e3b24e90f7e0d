"""Offers of rentals: a car of a category from one location and moment to another, for a driver of
an age, with extras. What is counted and open how stands in `rental_rules.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from server.catalog.listed import ListedProduct
from server.catalog.offer_making import Made, make_offer, midnight
from server.catalog.offers import Offer, OfferRental, RentalPlace, RentedExtra
from server.catalog.pricing import EXTRA, ONE_WAY, YOUNG_DRIVER, Charge
from server.catalog.rental_rules import (
    OpeningHours,
    RentalKey,
    clock_exists,
    days_of,
    days_taken,
    extra_minor,
    is_open,
)
from server.stock.ids import DIRECT, EPOCH, rental_stock_id

RETURNED_LATE = timedelta(hours=24)
"""So long after the return a voucher is good still: for whoever comes late."""
LAST_PICK_UP = EPOCH + timedelta(days=16_000)
"""Stock has no room for days much later."""


class ListedCar(NamedTuple):
    """A car category on sale."""

    product_id: int
    category_code: str
    make: str
    model: str
    model_year: int
    seats: int
    doors: int
    large_bags: int
    small_bags: int
    transmission: str
    fuel_type: str
    air_conditioning: bool
    feature_codes: list[str]
    image_urls: list[str]
    min_driver_age: int
    young_driver_age: int
    young_driver_minor: int
    grace_minutes: int
    min_days: int
    max_days: int


class ListedExtra(NamedTuple):
    """An extra on sale."""

    extra_id: int
    extra_code: str
    display_name_en: str
    display_name_zh: str
    charge_basis: str
    amount_minor: int
    currency_code: str
    max_quantity: int
    max_amount_minor: int
    product_ids: list[int]

    def is_for(self, product: ListedProduct) -> bool:
        """Whether a product's cars are rented with it."""
        of_product = not self.product_ids or product.product_id in self.product_ids
        return of_product and self.currency_code == product.currency_code


class ListedFleet(NamedTuple):
    """A fleet on sale."""

    fleet_id: int
    product_id: int
    location_id: int
    fares: list[dict[str, Any]]
    first_date: date
    last_date: date
    sale_days: int
    closing_minutes: int
    one_way: list[dict[str, int]]


@dataclass(frozen=True, slots=True)
class FoundRental:
    """What the key of a rental names; `days` are those on which it takes a car."""

    key: RentalKey
    fleet: ListedFleet
    car: ListedCar
    pick_up: RentalPlace
    drop_off: RentalPlace
    days: tuple[date, ...]
    pick_up_time: datetime
    return_time: datetime


class Rentals:
    """What of a catalogue is about rentals.

    Attributes:
        locations: by number.
        extras: by number.
        fleets: by product and location.
        cars: by product.
    """

    def __init__(self, facts: Mapping[str, list[tuple[Any, ...]]]) -> None:
        self.cars = {row[0]: ListedCar(*row) for row in facts["car_categories"]}
        self.locations = {row[0]: RentalPlace(*row) for row in facts["rental_locations"]}
        self.extras = {row[0]: ListedExtra(*row) for row in facts["rental_extras"]}
        self.fleets = {(row[1], row[2]): ListedFleet(*row) for row in facts["rental_fleets"]}

    def find(self, key: RentalKey, zones: Mapping[str, ZoneInfo]) -> FoundRental | None:
        """What a key names, if there are such a fleet, location and time."""
        fleet = self.fleets.get((key.product_id, key.pick_up_location_id))
        car = self.cars.get(key.product_id)
        places = key.pick_up_location_id, key.drop_off_location_id
        pick_up, drop_off = (self.locations.get(each) for each in places)
        if not (fleet and car and pick_up and drop_off):
            return None
        zone = zones[pick_up.city_code]
        in_time = EPOCH <= key.pick_up.date() <= LAST_PICK_UP
        if not in_time or key.minutes < 1 or not clock_exists(key.pick_up, zone):
            return None
        days = days_taken(key.pick_up.date(), days_of(key.minutes, car.grace_minutes))
        moments = (key.pick_up, key.returns)
        begin, end = (each.replace(tzinfo=zone).astimezone(UTC) for each in moments)
        return FoundRental(key, fleet, car, pick_up, drop_off, days, begin, end)

    def offer(
        self,
        found: FoundRental,
        product: ListedProduct,
        day_types: Sequence[str],
        *,
        provisional: bool,
    ) -> Offer | None:
        """The offer, for the types of its days; None if an extra is not for it, or too often."""
        chosen = self._chosen(found, product)
        if chosen is None:
            return None
        fleet, key = found.fleet, found.key
        zone = ZoneInfo(found.pick_up.time_zone)
        fares = fleet.fares or product.fares
        rental = OfferRental(
            fleet_id=fleet.fleet_id,
            car=found.car._asdict(),
            pick_up_location=found.pick_up,
            drop_off_location=found.drop_off,
            pick_up_time=found.pick_up_time,
            return_time=found.return_time,
            day_types=tuple(day_types),
            stock_ids=tuple([rental_stock_id(fleet.fleet_id, day, DIRECT) for day in found.days]),
            driver_age=key.driver_age,
            extras=chosen,
            charges=tuple(self._charges(found, chosen)),
        )
        day = key.pick_up.date()
        made = Made(
            kind=product.kind,
            journey=None,
            stock_id=rental.stock_ids[0],
            seat_map=None,
            static_fault=_fault(found, product, fares),
            reference_time=found.pick_up_time,
            valid_from_time=found.pick_up_time - timedelta(minutes=product.boarding_minutes),
            valid_until_time=found.return_time + RETURNED_LATE,
            sale_from_time=midnight(day - timedelta(days=fleet.sale_days), zone),
            sale_until_time=found.pick_up_time - timedelta(minutes=fleet.closing_minutes),
            time_zone=zone.key,
            travel_date=day,
            rental=rental,
        )
        return make_offer(
            key.offer_id,
            product,
            fares,
            made,
            day_type=day_types[0],
            provisional=provisional,
            hold_seconds=None,
        )

    def choices(self, product: ListedProduct, days: int) -> list[RentedExtra]:
        """The extras that a product's cars can be rented with for so many days, none chosen."""
        extras = [each for each in self.extras.values() if each.is_for(product)]
        return [_rented(each, 0, days) for each in extras]

    def _chosen(self, found: FoundRental, product: ListedProduct) -> tuple[RentedExtra, ...] | None:
        chosen = []
        for extra_id, quantity in found.key.extras:
            extra = self.extras.get(extra_id)
            if not extra or not extra.is_for(product) or quantity > extra.max_quantity:
                return None
            chosen.append(_rented(extra, quantity, len(found.days)))
        return tuple(chosen)

    def _charges(self, found: FoundRental, chosen: Sequence[RentedExtra]) -> list[Charge]:
        car, key, days = found.car, found.key, len(found.days)
        charges = []
        if key.driver_age < car.young_driver_age:
            names = "Young driver", "年轻驾驶员附加费"
            charges.append(Charge(YOUNG_DRIVER, days, car.young_driver_minor, "", *names))
        fee = _one_way_minor(found)
        if fee:
            charges.append(Charge(ONE_WAY, 1, fee, "", "One-way rental", "异地还车费"))
        charges += [
            Charge(
                EXTRA,
                each.quantity,
                each.rental_minor,
                each.extra_code,
                each.display_name_en,
                each.display_name_zh,
            )
            for each in chosen
        ]
        return charges


def _rented(extra: ListedExtra, quantity: int, days: int) -> RentedExtra:
    return RentedExtra(
        extra.extra_code,
        extra.display_name_en,
        extra.display_name_zh,
        quantity,
        extra.max_quantity,
        extra_minor(extra.charge_basis, extra.amount_minor, extra.max_amount_minor, days),
    )


def _one_way_minor(found: FoundRental) -> int | None:
    """What it costs to return the car there; None if it is not returned there."""
    if found.drop_off.location_id == found.pick_up.location_id:
        return 0
    wanted = found.drop_off.location_id
    fees = [each["fee_minor"] for each in found.fleet.one_way if each["location_id"] == wanted]
    return fees[0] if fees else None


def _fault(
    found: FoundRental,
    product: ListedProduct,
    fares: Sequence[Mapping[str, Any]],
) -> str:
    """Why nobody can rent so at any time; empty if nothing is against it."""
    car, fleet, days = found.car, found.fleet, found.days
    if not fleet.first_date <= days[0] <= days[-1] <= fleet.last_date:
        return "NO_SERVICE"
    if not set(product.blackout_dates).isdisjoint(days):
        return "BLACKOUT"
    if not car.min_days <= len(days) <= car.max_days:
        return "RENTAL_LENGTH"
    if _one_way_minor(found) is None:
        return "ONE_WAY_NOT_OFFERED"
    if not (found.pick_up.pick_up and found.drop_off.drop_off):
        return "LOCATION_CLOSED"
    for place, moment in ((found.pick_up, found.pick_up_time), (found.drop_off, found.return_time)):
        clock = moment.astimezone(ZoneInfo(place.time_zone)).replace(tzinfo=None)
        hours = [OpeningHours.parse(each) for each in place.opening_hours]
        if not is_open(hours, map(date.fromisoformat, place.closed_dates), clock):
            return "LOCATION_CLOSED"
    if found.key.driver_age < car.min_driver_age:
        return "DRIVER_TOO_YOUNG"
    return "" if fares else "NO_FARE"
