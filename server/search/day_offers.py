"""What is offered between two cities on a day, as it is cached: nothing in it depends on the
moment, or on the party.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, Self

import orjson

from server.catalog import pricing
from server.catalog.catalogue import Catalogue
from server.catalog.offers import Offer
from server.search.cache import CacheKind

SEARCH_SECONDS = 24 * 3600
CALENDAR_SECONDS = 365 * 24 * 3600
"""Source: seed US-010, Scope: 24 h, and a year for calendars."""

EncodeOffer = Callable[[Offer], bytes]


class Card(NamedTuple):
    """An offer as search looks at it.

    `tariff` is the position of its prices. `departs` is in seconds since 1970 and `clock` the same
    by the clock of the stop, HH:MM; `minutes` are on the way; all three are empty for a package.
    Sale begins and ends at seconds since 1970.
    """

    offer_id: str
    kind: str
    fare_class: str
    stock_id: int
    tariff: int
    departs: int
    clock: str
    minutes: int
    sale_from: int
    sale_until: int
    fault: str

    def unavailable(self, now: float) -> str:
        """As Offer.unavailable."""
        if self.fault:
            return self.fault
        if now < self.sale_from:
            return "NOT_YET_ON_SALE"
        return "SALE_CLOSED" if now >= self.sale_until else ""


class Tariff(NamedTuple):
    """What the prices of some offers are made from; fares are (customer type, day type, amount),
    tiers (party, percent).
    """

    product_id: int
    currency_code: str
    day_type: str
    fares: tuple[tuple[str, str, int], ...]
    tiers: tuple[tuple[int, int], ...]

    def price(
        self, party: Sequence[str], promotions: Sequence[pricing.Promotion], now: datetime
    ) -> pricing.Price | None:
        """What a party pays; None if somebody of it has no fare."""
        terms = pricing.PriceTerms(
            self.product_id,
            self.currency_code,
            self.day_type,
            {(customer, day): amount for customer, day, amount in self.fares},
            [pricing.Tier(*tier) for tier in self.tiers],
        )
        try:
            return pricing.price(terms, party, promotions, now)
        except pricing.NoFare:
            return None


@dataclass(frozen=True, slots=True)
class Day:
    """What is offered, and each offer as it is sent, but for price and what is left.

    `sale_from` is when what goes that day begins to be sold, also if there is no departure yet, in
    seconds since 1970; 0 if nothing goes. `listings` remembers how queries list it.
    """

    cards: list[Card]
    messages: list[bytes]
    tariffs: list[Tariff]
    sale_from: int = 0
    listings: dict[Any, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def of(
        cls, catalogue: Catalogue, cities: tuple[str, str], day: date, encode: EncodeOffer
    ) -> Self:
        """What a catalogue offers from one city to another."""
        tariffs: dict[Tariff, int] = {}
        cards, messages = [], []
        for offer_id in catalogue.offer_ids(*cities, day):
            offer = catalogue.offer(offer_id)
            assert offer is not None
            tariff = tariffs.setdefault(_tariff(offer), len(tariffs))
            cards.append(_card(catalogue, offer, tariff))
            messages.append(encode(offer))
        sale_from = catalogue.sale_from(*cities, day)
        return cls(cards, messages, list(tariffs), int(sale_from.timestamp()) if sale_from else 0)

    def dump(self) -> bytes:
        """As it is cached; offers of a day have most of their bytes in common."""
        sizes = [len(message) for message in self.messages]
        cards, tariffs = [tuple(card) for card in self.cards], [tuple(t) for t in self.tariffs]
        head = orjson.dumps([sizes, cards, tariffs, self.sale_from])
        return zlib.compress(b"%d\n%b%b" % (len(head), head, b"".join(self.messages)), 1)

    @classmethod
    def parse(cls, stored: bytes) -> Self:
        """From what `dump` returned."""
        size, _, rest = zlib.decompress(stored).partition(b"\n")
        sizes, cards, tariffs, sale_from = orjson.loads(rest[: int(size)])
        bounds = accumulate(sizes, initial=int(size))
        return cls(
            [Card(*card) for card in cards],
            [rest[start:end] for start, end in pairwise(bounds)],
            [
                Tariff(product_id, currency, day, _tuples(fares), _tuples(tiers))
                for product_id, currency, day, fares, tiers in tariffs
            ],
            sale_from,
        )


Calendar = dict[str, list[str]]
"""The days of a year (YYYY-MM-DD) that are not what their weekday says: day type, name in
English, name in Chinese.
"""


def calendar_of(catalogue: Catalogue, calendar_code: str, year: int) -> Calendar:
    """A year of a calendar."""
    return {
        day.isoformat(): list(holiday)
        for day, holiday in catalogue.holidays(calendar_code).items()
        if day.year == year
    }


DAYS: CacheKind[Day] = CacheKind("search", SEARCH_SECONDS, Day.dump, Day.parse)
CALENDARS: CacheKind[Calendar] = CacheKind("calendar", CALENDAR_SECONDS, orjson.dumps, orjson.loads)


def _tuples(lists: list[list[Any]]) -> tuple[Any, ...]:
    return tuple([tuple(each) for each in lists])


def _card(catalogue: Catalogue, offer: Offer, tariff: int) -> Card:
    departs, clock, minutes, fare_class = 0, "", 0, ""
    if offer.journey:
        journey = offer.journey
        zone = catalogue.cities[journey.origin.city_code].zone
        departs = int(journey.departure_time.timestamp())
        clock = f"{journey.departure_time.astimezone(zone):%H:%M}"
        minutes = int((journey.arrival_time - journey.departure_time).total_seconds()) // 60
        fare_class = journey.fare_class
    return Card(
        offer.offer_id,
        offer.kind,
        fare_class,
        offer.stock_id,
        tariff,
        departs,
        clock,
        minutes,
        int(offer.sale_from_time.timestamp()),
        int(offer.sale_until_time.timestamp()),
        offer.static_fault,
    )


def _tariff(offer: Offer) -> Tariff:
    return Tariff(
        offer.product_id,
        offer.currency_code,
        offer.day_type,
        tuple(sorted((*key, amount) for key, amount in offer.fares.items())),
        tuple((tier.min_party, tier.percent_off) for tier in offer.tiers),
    )
