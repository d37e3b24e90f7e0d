"""Fares of a feed: GTFS-Fares v2 where it has products, else fare_attributes with fare_rules. Pure.

What either leaves undefined is refused with its line: two prices for the same journey, prices by
hour, by where one changes, or by the means of payment.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from server.gtfs.days import service_days
from server.gtfs.money import minor_of
from server.gtfs.planning import Feed, PlannedRoute
from server.gtfs.tables import FeedLine, LineFault

CLASS_COLUMN = "deeptravel_class_code"
ADULT = "ADULT"
CUSTOMER_TYPES = (ADULT, "CHILD", "SENIOR", "STUDENT", "PET")
DAY_TYPES = ("weekday", "weekend", "holiday")
ALL_DAYS = "weekday"
"""A fare of weekdays is that of all days for which there is no other."""
_WHOLE_DAY = {("", ""), ("00:00:00", "24:00:00"), ("0:00:00", "24:00:00")}


class FareTerms(NamedTuple):
    """How fares are read: the currency of the product, its classes (a fare without one is of the
    first), and what type a day is of, or None where that is not known yet.
    """

    currency_code: str
    class_codes: Sequence[str]
    day_type: Callable[[date], str | None]


class PlannedFare(NamedTuple):
    """A fare from stop to stop, by their feed ids."""

    class_code: str
    origin: str
    destination: str
    customer_type: str
    day_type: str
    amount_minor: int


class _Priced(NamedTuple):
    line: FeedLine
    class_code: str
    customer_type: str
    day_type: str
    amount_minor: int


class FeedFares:
    """The fares of a feed; `faults` are the lines refused, once each."""

    def __init__(self, feed: Feed, terms: FareTerms) -> None:
        self._feed, self._terms = feed, terms
        self._faults: dict[LineFault, None] = {}
        self._products = feed.lines("fare_products")
        self.has_fares = bool(self._products or feed.lines("fare_attributes"))
        self._rules: _Version1 | _Version2
        if self._products:
            self._rules = _Version2(feed, terms, self._faults)
        else:
            self._rules = _Version1(feed, terms, self._faults)

    @property
    def faults(self) -> list[LineFault]:
        """The lines that are refused, as far as fares were asked for."""
        return list(self._faults)

    def of_route(self, route: PlannedRoute) -> list[PlannedFare]:
        """All fares of a pattern, between the stops where one may board and leave."""
        made: list[PlannedFare] = []
        for index, origin in enumerate(route.calls):
            for destination in route.calls[index + 1 :]:
                if origin.boards and destination.leaves:
                    leg = origin.stop_id, destination.stop_id
                    found = self._one_each(self._rules.of_leg(route.feed_route_id, *leg))
                    made += [
                        PlannedFare(
                            each.class_code,
                            *leg,
                            each.customer_type,
                            each.day_type,
                            each.amount_minor,
                        )
                        for each in found
                    ]
        return made

    def _one_each(self, priced: Iterable[_Priced]) -> list[_Priced]:
        """One price for each class, customer and day; another than the first is refused."""
        kept: dict[tuple[str, str, str], _Priced] = {}
        for each in priced:
            first = kept.setdefault(each[1:4], each)
            if first.amount_minor != each.amount_minor:
                what = (
                    f"is another price than line {first.line.number} of {first.line.file} for the"
                    " same journey, class and traveller; leave one of them"
                )
                self._faults[each.line.fault("", what)] = None
        return list(kept.values())


def _amount(line: FeedLine, amount: str, currency: str, terms: FareTerms) -> int | LineFault:
    if line[currency] != terms.currency_code:
        what = (
            f"is {line[currency]!r}, and the product is sold in {terms.currency_code}; import its"
            " routes under a product of that currency"
        )
        return line.fault(currency, what)
    try:
        return minor_of(line[amount], terms.currency_code)
    except ValueError as error:
        return line.fault(amount, f"{error}; mend it")


class _Version1:
    """fare_attributes and fare_rules: a fare for all customers, here the adults', on all days."""

    def __init__(self, feed: Feed, terms: FareTerms, faults: dict[LineFault, None]) -> None:
        self._prices: dict[str, _Priced] = {}
        for line in feed.lines("fare_attributes"):
            amount = _amount(line, "price", "currency_type", terms)
            if isinstance(amount, LineFault):
                faults[amount] = None
            else:
                of_class = line[CLASS_COLUMN] or terms.class_codes[0]
                self._prices[line["fare_id"]] = _Priced(line, of_class, ADULT, ALL_DAYS, amount)
        self._rules: defaultdict[str, list[FeedLine]] = defaultdict(list)
        self._of_all = set(self._prices)
        for line in feed.lines("fare_rules"):
            self._of_all.discard(line["fare_id"])
            if line["contains_id"]:
                what = "prices by the zones passed are not sold; give origin_id and destination_id"
                faults[line.fault("contains_id", what)] = None
            elif line["fare_id"] in self._prices:
                self._rules[line["fare_id"]].append(line)
        self._zones = _zones(feed)

    def of_leg(self, route_id: str, origin: str, destination: str) -> Iterator[_Priced]:
        leg = {
            "route_id": {route_id},
            "origin_id": self._zones.get(origin, set()),
            "destination_id": self._zones.get(destination, set()),
        }
        for fare_id, priced in self._prices.items():
            rules = self._rules.get(fare_id, ())
            applies = any(
                all(not rule[column] or rule[column] in has for column, has in leg.items())
                for rule in rules
            )
            if applies or fare_id in self._of_all:
                yield priced


def _zones(feed: Feed) -> dict[str, set[str]]:
    """The zones of each stop, and of each station those of its platforms."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in feed.lines("stops"):
        if line["zone_id"]:
            found[line["stop_id"]].add(line["zone_id"])
            found[line["parent_station"]].add(line["zone_id"])
    return found


class _Version2:
    """fare_products, by fare_leg_rules."""

    def __init__(self, feed: Feed, terms: FareTerms, faults: dict[LineFault, None]) -> None:
        self._feed, self._terms, self._faults = feed, terms, faults
        self._riders = self._customers()
        self._products = self._priced()
        self._areas = self._areas_of_stops()
        self._networks = {line["route_id"]: line["network_id"] for line in feed.lines("routes")}
        of_routes = {line["route_id"]: line["network_id"] for line in feed.lines("route_networks")}
        self._networks |= of_routes
        self._rules = feed.lines("fare_leg_rules")
        columns = feed.tables["fare_leg_rules"].columns if self._rules else []
        self._by_priority = "rule_priority" in columns
        # without priorities, an empty cell means whatever no other rule names
        self._named = {
            column: {line[column] for line in self._rules} - {""}
            for column in ("network_id", "from_area_id", "to_area_id")
        }
        self._day_types = self._timeframes()

    def of_leg(self, route_id: str, origin: str, destination: str) -> Iterator[_Priced]:
        leg = {
            "network_id": {self._networks.get(route_id, "")} - {""},
            "from_area_id": self._areas.get(origin, set()),
            "to_area_id": self._areas.get(destination, set()),
        }
        rules = [
            rule
            for rule in self._rules
            if all(self._matches(rule, column, has) for column, has in leg.items())
        ]
        if self._by_priority and rules:
            first = max(_priority(rule) for rule in rules)
            rules = [rule for rule in rules if _priority(rule) == first]
        for rule in rules:
            if rule["to_timeframe_group_id"]:
                what = "prices by the time of arrival are not sold; leave the rule out"
                self._faults[rule.fault("to_timeframe_group_id", what)] = None
                continue
            group = rule["from_timeframe_group_id"]
            if group and group not in self._day_types:
                what = f"there is no timeframe group {group!r}, or it is refused; mend it"
                self._faults[rule.fault("from_timeframe_group_id", what)] = None
                continue
            for day_type in self._day_types.get(group, [ALL_DAYS]):
                for each in self._products.get(rule["fare_product_id"], ()):
                    yield each._replace(day_type=day_type)

    def _matches(self, rule: FeedLine, column: str, has: Collection[str]) -> bool:
        if rule[column]:
            return rule[column] in has
        return self._by_priority or not set(has) & self._named[column]

    def _areas_of_stops(self) -> dict[str, set[str]]:
        found: defaultdict[str, set[str]] = defaultdict(set)
        parents = {line["stop_id"]: line["parent_station"] for line in self._feed.lines("stops")}
        for line in self._feed.lines("stop_areas"):
            found[line["stop_id"]].add(line["area_id"])
            if parent := parents.get(line["stop_id"]):
                found[parent].add(line["area_id"])
        for stop_id, parent in parents.items():  # what is of a station is of its platforms
            found[stop_id] |= found.get(parent, set()) if parent else set()
        return found

    def _customers(self) -> dict[str, str]:
        """Customer types of ours by rider category: by its id, or the default one is adults."""
        found = {"": ADULT}
        for line in self._feed.lines("rider_categories"):
            category = line["rider_category_id"]
            if category.upper() in CUSTOMER_TYPES:
                found[category] = category.upper()
            elif line["is_default_fare_category"] == "1":
                found[category] = ADULT
        return found

    def _priced(self) -> dict[str, list[_Priced]]:
        by_product: defaultdict[str, list[FeedLine]] = defaultdict(list)
        for line in self._feed.lines("fare_products"):
            by_product[line["fare_product_id"]].append(line)
        found: defaultdict[str, list[_Priced]] = defaultdict(list)
        for product, lines in by_product.items():
            media = {line["fare_media_id"] for line in lines}
            wanted = "" if "" in media else min(media)
            for line in lines:
                priced = self._price(line)
                if line["fare_media_id"] != wanted:
                    what = "prices by the means of payment are not sold; leave one price"
                    priced = line.fault("fare_media_id", what)
                if isinstance(priced, LineFault):
                    self._faults[priced] = None
                else:
                    found[product].append(priced)
        return found

    def _price(self, line: FeedLine) -> _Priced | LineFault:
        amount = _amount(line, "amount", "currency", self._terms)
        if isinstance(amount, LineFault):
            return amount
        customer = self._riders.get(line["rider_category_id"])
        if customer is None:
            what = f"name the category {', '.join(CUSTOMER_TYPES)}, or leave the price out"
            return line.fault("rider_category_id", what)
        of_class = line[CLASS_COLUMN] or self._terms.class_codes[0]
        if of_class not in self._terms.class_codes:
            what = f"{of_class!r} is not in {sorted(self._terms.class_codes)}; give it seats"
            return line.fault(CLASS_COLUMN, what)
        return _Priced(line, of_class, customer, ALL_DAYS, amount)

    def _timeframes(self) -> dict[str, list[str]]:
        """The types of day that each group of timeframes comes to."""
        feed = self._feed
        days, _ = service_days(feed.lines("calendar"), feed.lines("calendar_dates"))
        found: dict[str, list[str]] = {}
        for group, lines in feed.by("timeframes", "timeframe_group_id").items():
            if any((line["start_time"], line["end_time"]) not in _WHOLE_DAY for line in lines):
                what = "prices by the hour are not sold; leave start_time and end_time empty"
                self._faults[lines[0].fault("start_time", what)] = None
                continue
            running = set().union(*(days.get(line["service_id"], set()) for line in lines))
            types = _types_of(running, self._terms.day_type)
            if types is None:
                what = (
                    "its days are not all weekdays, all days of weekends or all holidays of the"
                    " product's calendar; prices are by these"
                )
                self._faults[lines[0].fault("service_id", what)] = None
            else:
                found[group] = types
        return found


def _priority(rule: FeedLine) -> int:
    written = rule["rule_priority"]
    return int(written) if written.isascii() and written.isdigit() else 0


def _types_of(
    running: Collection[date], day_type: Callable[[date], str | None]
) -> list[str] | None:
    """The types whose days, from the first to the last of these, are just these."""
    if not running:
        return None
    first, length = min(running), (max(running) - min(running)).days + 1
    every = [first + timedelta(days=number) for number in range(length)]
    types = {day_type(day) for day in running}
    if any((day_type(day) in types) != (day in running) for day in every):
        return None
    return [each for each in DAY_TYPES if each in types]
