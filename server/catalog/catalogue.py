"""The catalogue: offers, made from products, routes, timetables and departures as they are
configured now.

A transport offer is one departure from a stop to a later one, in one fare class; its tickets are
valid from the first moment of the travel date (the day of boarding by the clock of the origin's
city) until VALID_AFTER_ARRIVAL; gates admit them from `boarding_minutes` before the departure on,
also on the evening before. A departure sells one seat for its whole run, however short the part of
it that is travelled. A package offer is a product on its first day of use, and its tickets are
valid as `rules.valid_until` says. Offers of rentals are made in `rental_offers.py`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson

from server.catalog import pricing
from server.catalog.catalogue_queries import read_facts
from server.catalog.listed import CatalogueCity, CatalogueHoliday, ListedProduct
from server.catalog.offer_making import Made, fault_of_day, make_offer, midnight
from server.catalog.offers import Offer, OfferJourney, OfferStop
from server.catalog.rental_offers import Rentals
from server.catalog.rental_rules import RentalKey
from server.catalog.rules import VALID_AFTER_ARRIVAL, is_provisional, valid_until
from server.platform.change_feed import ChangeFeed, ChangeKind, Remembered
from server.platform.crypto import fingerprint
from server.platform.database import Database
from server.platform.texts import read_code
from server.stock.ids import (
    DAY_BITS,
    DIRECT,
    EPOCH,
    LAST_DAY,
    RENTAL_OFFER,
    departure_stock_id,
    stock_id,
)
from server.stock.ids import departure_id as departure_number

PACKAGE_SALE_DAYS = 180
"""A package is sold from so many days before its first day of use."""
OVERNIGHT_DAYS = 1
"""A stop is called at on the day of the departure, or so many days later."""
MOVED_DAYS = 1
"""The operator moves a departure by so many days at the most, earlier or later."""
MAX_OFFERS = 50_000
"""Offers remembered of one catalogue."""
MAX_ID_LENGTH = 64
MINUTES_OF_DAY = 24 * 60
TRANSPORT, PACKAGE = "TRANSPORT", "PACKAGE"


class _Call(NamedTuple):
    """A stop of a route, minutes after the departure at the first."""

    stop: OfferStop
    arrive_minutes: int
    depart_minutes: int


@dataclass(frozen=True, slots=True)
class _Route:
    route_id: int
    product: ListedProduct
    vehicle: str
    calls: tuple[_Call, ...]
    classes: Mapping[int, dict[str, Any]]
    fares: Mapping[tuple[str, str, str], list[dict[str, Any]]]

    def fares_of(self, class_code: str, origin: int, destination: int) -> list[dict[str, Any]]:
        """The fares in one class from a stop to another, by position."""
        calls = self.calls
        key = class_code, calls[origin].stop.stop_code, calls[destination].stop.stop_code
        return self.fares.get(key, [])


class _Timetable(NamedTuple):
    timetable_id: int
    route_id: int
    service_number: str
    departure_clock: time
    weekdays: int
    first_date: date
    last_date: date
    classes: list[str]
    sale_days: int
    closing_minutes: int
    added_dates: list[date]
    removed_dates: list[date]
    headway_seconds: int | None

    def runs(self, day: date) -> bool:
        """Whether it says that there is a departure."""
        of_week = self.first_date <= day <= self.last_date and self.weekdays >> day.weekday() & 1
        return (bool(of_week) or day in self.added_dates) and day not in self.removed_dates


class RouteLeg(NamedTuple):
    """From a stop of a route to a later one in one class; stops by their position. `clocks` are
    when it leaves there by the timetables, as minutes of the day; `fares` as they are stored.
    """

    route_id: int
    class_index: int
    boards: int
    leaves: int
    fare_class: str
    fare_class_name_en: str
    origin: OfferStop
    destination: OfferStop
    fares: list[dict[str, Any]]
    clocks: tuple[int, ...]


class Catalogue:
    """Everything on sale under one configuration. Nothing of it changes, but that offers are made
    when they are asked for.

    Attributes:
        edition: a hash of all it was made from: the same offers have the same edition, in every
            process.
        cities: all cities by code.
        products: all products on sale by number.
        capped: the promotions whose uses are counted.
        limits: how often one traveller may use a promotion, of those that have a limit.
    """

    def __init__(self, facts: Mapping[str, list[tuple[Any, ...]]]) -> None:
        content = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
        self.edition = fingerprint(content, size_bytes=12).hex()
        self.cities = {row[0]: CatalogueCity(*row) for row in facts["cities"]}
        self.products = {row[0]: ListedProduct(*row) for row in facts["products"]}
        stops = {row[0]: OfferStop(*row) for row in facts["stops"]}
        self._zones = {code: city.zone for code, city in self.cities.items()}
        routes = [_route(row, self.products, stops) for row in facts["routes"]]
        self._routes = {route.route_id: route for route in routes}
        self._timetables = {row[0]: _Timetable(*row) for row in facts["timetables"]}
        self._services: defaultdict[int, list[_Timetable]] = defaultdict(list)
        for timetable in self._timetables.values():
            self._services[timetable.route_id].append(timetable)
        self._legs = _legs(routes)
        # by timetable and day: when it departs (seconds since 1970), and whether it is cancelled
        self._departures = {
            row[0]: dict(zip(row[1], zip(row[2], row[3], strict=True), strict=True))
            for row in facts["departures"]
        }
        self._hold_seconds: dict[int, int | None] = {row[0]: row[1] for row in facts["stocks"]}
        self._holidays = {(row[0], row[1]): CatalogueHoliday(*row[2:]) for row in facts["holidays"]}
        self._day_types: defaultdict[str, dict[date, str]] = defaultdict(dict)
        for calendar_code, day, day_type, *_ in facts["holidays"]:
            self._day_types[calendar_code][day] = day_type
        self._known_until: dict[str, date | None] = dict(facts["calendars"])
        self.capped = frozenset(row[0] for row in facts["promotions"] if row[_CAPPED])
        self.limits = {row[0]: row[-1] for row in facts["promotions"] if row[-1] is not None}
        promotions = [_promotion(row) for row in facts["promotions"]]
        self._by_code = {p.code: p for p in promotions if p.code}
        self._automatic = [p for p in promotions if not p.code]
        self._offers: dict[str, Offer] = {}
        self.rentals = Rentals(facts)

    def offer(self, offer_id: str) -> Offer | None:
        """The offer of that id; None if there is none. The same object, as a rule, each time."""
        known = self._offers.get(offer_id)
        if known is not None:
            return known
        if offer_id.startswith(RENTAL_OFFER):  # of many, each for few: not worth remembering
            return self.rental(RentalKey.parse(offer_id))
        offer = self.make(offer_id)
        if offer is not None:
            if len(self._offers) >= MAX_OFFERS:
                self._offers.clear()
            self._offers[offer_id] = offer
        return offer

    def rental(self, key: RentalKey | None) -> Offer | None:
        """The offer of a rental; None if nothing of the kind is on sale."""
        product = self.products.get(key.product_id) if key else None
        if key is None or product is None:
            return None
        rental = self.rentals.find(key, self._zones)
        if rental is None:
            return None
        calendar = product.calendar_code
        day_types = [self.day_type(calendar, day) for day in rental.days]
        provisional = any(self.provisional(calendar, day) for day in rental.days)
        return self.rentals.offer(rental, product, day_types, provisional=provisional)

    def leg(
        self, departure_id: int, class_index: int, origin: str, destination: str
    ) -> Offer | None:
        """The offer of a departure in a class from one of its stops to a later one, by their codes;
        where they are empty from its first, to its last. None if it does not go there, or is not on
        sale.
        """
        timetable = self._timetables.get(departure_id >> DAY_BITS)
        if timetable is None:
            return None
        codes = [call.stop.stop_code for call in self._routes[timetable.route_id].calls]
        if {origin, destination} - {"", *codes}:
            return None
        boards = codes.index(origin) if origin else 0
        leaves = codes.index(destination) if destination else len(codes) - 1
        return self.offer(f"TR-{departure_id}-{class_index}-{boards}-{leaves}")

    def legs_of(self, product_id: int) -> list[RouteLeg]:
        """What a product may be travelled on where there is a fare: from each stop of its routes to
        each later one, in each class.
        """
        return [
            _leg_of(route, boards, leaves, fare_class, self._services[route.route_id])
            for route in self._routes.values()
            if route.product.product_id == product_id
            for fare_class in route.classes.values()
            for boards in range(len(route.calls))
            for leaves in range(boards + 1, len(route.calls))
            if route.fares_of(fare_class["class_code"], boards, leaves)
        ]

    def offer_of_leg(self, departure_id: int, leg: RouteLeg) -> Offer | None:
        """The offer of a departure on a leg; None if it is of another route, or not on sale."""
        timetable = self._timetables.get(departure_id >> DAY_BITS)
        if timetable is None or timetable.route_id != leg.route_id:
            return None
        return self.offer(f"TR-{departure_id}-{leg.class_index}-{leg.boards}-{leg.leaves}")

    def route_of(self, timetable_id: int) -> int | None:
        """The route of a timetable; None if it is not on sale."""
        timetable = self._timetables.get(timetable_id)
        return None if timetable is None else timetable.route_id

    def offers_of(self, departure_id: int) -> list[str]:
        """The offers of a departure: from each of its stops to each later one, in each class."""
        timetable = self._timetables.get(departure_id >> DAY_BITS)
        if timetable is None:
            return []
        route = self._routes[timetable.route_id]
        stops = range(len(route.calls))
        return [
            f"TR-{departure_id}-{index}-{origin}-{destination}"
            for index in route.classes
            for origin in stops
            for destination in stops[origin + 1 :]
        ]

    def promotion(self, code: str) -> pricing.Promotion | None:
        """The promotion with that code."""
        return self._by_code.get(code)

    def promotions(self, codes: Iterable[str]) -> list[pricing.Promotion]:
        """The automatic promotions and those with these codes, each once."""
        named = [self._by_code[code] for code in dict.fromkeys(codes) if code in self._by_code]
        return [*self._automatic, *named]

    def price(
        self, offer: Offer, party: Sequence[str], codes: Sequence[str], now: datetime
    ) -> pricing.Price:
        """What an offer costs a party at `now`. Raises pricing.NoFare."""
        return pricing.price(offer.terms, party, self.promotions(codes), now)

    def hot_cities(self) -> list[CatalogueCity]:
        """The cities of the hot list, the first first."""
        pipeline = [city for city in self.cities.values() if city.hot_rank is not None]
        return sorted(pipeline, key=lambda city: (city.hot_rank or 0, city.city_code))

    def day_type(self, calendar_code: str, day: date) -> str:
        """`weekday`, `weekend` or `holiday`."""
        return pricing.day_type(day, self._day_types.get(calendar_code, {}))

    def provisional(self, calendar_code: str, day: date) -> bool:
        """Whether the day's type is not known yet, so that its fares may become others."""
        return is_provisional(day, self._known_until.get(calendar_code))

    def holidays(self, calendar_code: str) -> dict[date, CatalogueHoliday]:
        """The days of a calendar that are not what their weekday says."""
        return {key[1]: day for key, day in self._holidays.items() if key[0] == calendar_code}

    def calendar_between(self, origin_city: str, destination_city: str) -> str:
        """The calendar whose days count for what is sold there; the platform's own if nothing
        is.
        """
        for route, *_ in self._legs.get((origin_city, destination_city), ()):
            return route.product.calendar_code
        return next((p.calendar_code for p in self._packages(destination_city)), "HK")

    def vehicle(self, product_id: int) -> str:
        """What a product travels by: TRAIN, FERRY, BUS; PACKAGE and RENTAL for these, empty if no
        route has it.
        """
        if self.products[product_id].kind != TRANSPORT:
            return self.products[product_id].kind
        return next((r.vehicle for r in self._routes.values() if r.product[0] == product_id), "")

    def offer_ids(self, origin_city: str, destination_city: str, day: date) -> list[str]:
        """The offers for a day: departures from city to city in each class that has a fare, and
        packages there.
        """
        found = []
        for route, origin, destination in self._legs.get((origin_city, destination_city), ()):
            zone = self._zones[origin_city]
            classes = {
                index: each["class_code"]
                for index, each in route.classes.items()
                if route.fares_of(each["class_code"], origin, destination)
            }
            for timetable in self._services[route.route_id]:
                found += [
                    f"TR-{departure}-{index}-{origin}-{destination}"
                    for departure in self._boarding(timetable, route.calls[origin], day, zone)
                    for index, class_code in classes.items()
                    if class_code in timetable.classes
                ]
        found += [f"PK-{p.product_id}-{day:%Y%m%d}" for p in self._packages(destination_city)]
        return found

    def connections(self, product_ids: Collection[int]) -> set[tuple[str, str]]:
        """From where to where, by cities, these products go; a package from "" to where it is
        used.
        """
        found = {
            cities
            for cities, legs in self._legs.items()
            if any(route.product.product_id in product_ids for route, *_ in legs)
        }
        packages = (self.products[each] for each in product_ids if each in self.products)
        return found | {("", p.city_code) for p in packages if p.kind == PACKAGE and p.city_code}

    def sale_from(self, origin_city: str, destination_city: str, day: date) -> datetime | None:
        """From when on something that goes on that day will be sold, though there may be no
        departure yet.

        None if no timetable says that anything goes.
        """
        moments = []
        for route, origin, _ in self._legs.get((origin_city, destination_city), ()):
            for timetable in self._services[route.route_id]:
                late = timetable.departure_clock.hour * 60 + timetable.departure_clock.minute
                days_before = (late + route.calls[origin].depart_minutes) // (24 * 60)
                if timetable.runs(day - timedelta(days=days_before)):
                    begin = day - timedelta(days=timetable.sale_days)
                    moments.append(datetime.combine(begin, time(), self._zones[origin_city]))
        return min(moments, default=None)

    def _packages(self, city_code: str) -> list[ListedProduct]:
        """The packages that are used in a city and that we sell ourselves."""
        return [
            product
            for product in self.products.values()
            if product.kind == PACKAGE
            and product.city_code == city_code
            and stock_id(product.product_id, DIRECT) in self._hold_seconds
        ]

    def _boarding(self, timetable: _Timetable, call: _Call, day: date, zone: ZoneInfo) -> list[int]:
        """The departures of a timetable that call at a stop on that day, by the stop's clock;
        one, unless some were moved.
        """
        departures = self._departures.get(timetable.timetable_id, {})
        found = []
        for days_before in range(-MOVED_DAYS, OVERNIGHT_DAYS + MOVED_DAYS + 1):
            known = departures.get((day - EPOCH).days - days_before)
            if known:
                moment = datetime.fromtimestamp(known[0] + call.depart_minutes * 60, zone)
                if moment.date() == day:
                    travel_date = day - timedelta(days=days_before)
                    found.append(departure_number(timetable.timetable_id, travel_date))
        return found

    def make(self, offer_id: str) -> Offer | None:
        """As `offer`, made anew and not remembered."""
        kind, *numbers = offer_id.split("-")
        written = all(number.isascii() and number.isdigit() for number in numbers)
        if not written or len(offer_id) > MAX_ID_LENGTH:
            return None
        if kind == "TR" and len(numbers) == 4:
            offer = self._transport(*map(int, numbers))
        elif kind == "PK" and len(numbers) == 2:
            offer = self._package(int(numbers[0]), numbers[1])
        else:
            return None
        # one offer has one id: no leading zeros
        return offer if offer and offer.offer_id == offer_id else None

    def _transport(
        self, departure_id: int, class_index: int, origin: int, destination: int
    ) -> Offer | None:
        timetable = self._timetables.get(departure_id >> DAY_BITS)
        known = timetable and self._departures.get(timetable.timetable_id, {}).get(
            departure_id & (1 << DAY_BITS) - 1
        )
        if not timetable or not known:
            return None
        route = self._routes[timetable.route_id]
        fare_class = route.classes.get(class_index)
        if (
            not fare_class
            or fare_class["class_code"] not in timetable.classes
            or not origin < destination < len(route.calls)
        ):
            return None
        boards, leaves = route.calls[origin], route.calls[destination]
        zone = self._zones[boards.stop.city_code]
        departs = datetime.fromtimestamp(known[0] + boards.depart_minutes * 60, zone)
        arrival = datetime.fromtimestamp(known[0] + leaves.arrive_minutes * 60, UTC)
        day = departs.date()
        product = route.product
        fares = route.fares_of(fare_class["class_code"], origin, destination)
        made = Made(
            kind=route.vehicle,
            journey=OfferJourney(
                departure_id=departure_id,
                service_number=timetable.service_number,
                fare_class=fare_class["class_code"],
                class_index=class_index,
                fare_class_name_en=fare_class["display_name_en"],
                fare_class_name_zh=fare_class["display_name_zh"],
                origin=boards.stop,
                destination=leaves.stop,
                departure_time=departs.astimezone(UTC),
                arrival_time=arrival,
                service_time=datetime.fromtimestamp(known[0], UTC),
                headway_seconds=timetable.headway_seconds,
            ),
            stock_id=departure_stock_id(departure_id, class_index, DIRECT),
            seat_map=fare_class["seat_map"],
            static_fault="CANCELLED" if known[1] else fault_of_day(product, day, fares),
            reference_time=departs.astimezone(UTC),
            valid_from_time=midnight(day, zone),
            valid_until_time=arrival + VALID_AFTER_ARRIVAL,
            sale_from_time=midnight(day - timedelta(days=timetable.sale_days), zone),
            sale_until_time=departs.astimezone(UTC) - timedelta(minutes=timetable.closing_minutes),
            time_zone=zone.key,
            travel_date=day,
        )
        offer_id = f"TR-{departure_id}-{class_index}-{origin}-{destination}"
        return self._offer(offer_id, product, day, fares, made)

    def _package(self, product_id: int, digits: str) -> Offer | None:
        product, day = self.products.get(product_id), _day(digits)
        if not product or not day or product.kind != PACKAGE:
            return None
        return (
            self.package(product, day)
            if stock_id(product_id, DIRECT) in self._hold_seconds
            else None
        )

    def package(self, product: ListedProduct, day: date) -> Offer | None:
        """The offer of a package from its first day of use on, whether or not we sell it ourselves:
        partners may. None for one that is used in no city, and for a day that there is no stock of.
        """
        stock = stock_id(product.product_id, DIRECT)
        city = self.cities.get(product.city_code or "")
        if not city or not EPOCH <= day <= LAST_DAY:
            return None
        start = midnight(day, city.zone)
        made = Made(
            kind=PACKAGE,
            journey=None,
            stock_id=stock,
            seat_map=None,
            static_fault=fault_of_day(product, day, product.fares),
            reference_time=start,
            valid_from_time=start,
            valid_until_time=valid_until(start, product.validity_days, city.zone).astimezone(UTC),
            sale_from_time=midnight(day - timedelta(days=PACKAGE_SALE_DAYS), city.zone),
            sale_until_time=midnight(day + timedelta(days=1), city.zone),
            time_zone=city.zone.key,
            travel_date=day,
        )
        offer_id = f"PK-{product.product_id}-{day:%Y%m%d}"
        return self._offer(offer_id, product, day, product.fares, made)

    def _offer(
        self,
        offer_id: str,
        product: ListedProduct,
        day: date,
        fares: list[dict[str, Any]],
        made: Made,
    ) -> Offer:
        return make_offer(
            offer_id,
            product,
            fares,
            made,
            day_type=self.day_type(product.calendar_code, day),
            provisional=self.provisional(product.calendar_code, day),
            hold_seconds=self._hold_seconds.get(made.stock_id),
        )


class Catalogues:
    """The catalogue as it is configured now, in this process."""

    def __init__(self, feed: ChangeFeed, db: Database) -> None:
        self._db = db
        self._last: Catalogue | None = None
        self._remembered = Remembered(feed, self._load, kinds=[ChangeKind.CATALOGUE])

    def peek(self) -> Catalogue | None:
        """The catalogue if it is loaded and may be trusted now."""
        return self._remembered.peek("")

    async def get(self) -> Catalogue:
        """The catalogue; the same object as long as nothing of it changes. Raises
        DATABASE_UNAVAILABLE.
        """
        return await self._remembered.get("")

    async def _load(self, _: str) -> Catalogue:
        async with self._db.transaction() as tx:
            facts = await read_facts(tx, datetime.now(UTC))
        made = Catalogue(facts)
        if self._last is None or self._last.edition != made.edition:
            self._last = made
        return self._last


_CAPPED = 11
"""Where a promotion's row says whether its uses are counted."""


def _route(
    row: tuple[Any, ...], products: Mapping[int, ListedProduct], stops: Mapping[str, OfferStop]
) -> _Route:
    route_id, product_id, vehicle, calls, classes, fares = row
    by_leg: defaultdict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for fare in fares:
        by_leg[fare["class_code"], fare["origin"], fare["destination"]].append(
            {key: fare[key] for key in ("customer_type", "day_type", "amount_minor")}
        )
    return _Route(
        route_id,
        products[product_id],
        vehicle,
        tuple(
            [_Call(stops[c["stop_code"]], c["arrive_minutes"], c["depart_minutes"]) for c in calls]
        ),
        {each["class_index"]: each for each in classes},
        dict(by_leg),
    )


def _leg_of(
    route: _Route,
    boards: int,
    leaves: int,
    fare_class: Mapping[str, Any],
    timetables: Iterable[_Timetable],
) -> RouteLeg:
    later = route.calls[boards].depart_minutes
    starts = {each.departure_clock.hour * 60 + each.departure_clock.minute for each in timetables}
    return RouteLeg(
        route.route_id,
        fare_class["class_index"],
        boards,
        leaves,
        fare_class["class_code"],
        fare_class["display_name_en"],
        route.calls[boards].stop,
        route.calls[leaves].stop,
        route.fares_of(fare_class["class_code"], boards, leaves),
        tuple(sorted({(start + later) % MINUTES_OF_DAY for start in starts})),
    )


def _legs(routes: Iterable[_Route]) -> dict[tuple[str, str], list[tuple[_Route, int, int]]]:
    """The routes that go from city to city, with the positions where one boards and leaves."""
    legs: defaultdict[tuple[str, str], list[tuple[_Route, int, int]]] = defaultdict(list)
    for route in routes:
        for origin, boards in enumerate(route.calls):
            for destination in range(origin + 1, len(route.calls)):
                cities = boards.stop.city_code, route.calls[destination].stop.city_code
                legs[cities].append((route, origin, destination))
    return dict(legs)


def _promotion(row: tuple[Any, ...]) -> pricing.Promotion:
    start: list[Any] = [*row[:9], frozenset(row[9]), row[10], row[12]]
    promotion = pricing.Promotion(*start)
    # as those who type it are read; one that was made before codes were may be written otherwise
    code = read_code(promotion.code) or promotion.code
    return promotion if code == promotion.code else replace(promotion, code=code)


def _day(digits: str) -> date | None:
    """The day of a package's offer, as far as days are sold at all."""
    try:
        day = datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC).date()
        departure_number(1, day)
    except ValueError:
        return None
    return day
