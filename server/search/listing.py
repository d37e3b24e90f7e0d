"""The offers of a day as a query lists them, in its order and with its party's prices, remembered
with the day.

All that can be said of them but what is left, which is looked at for every search.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from server.catalog import pricing
from server.catalog.catalogue import PACKAGE, Catalogue
from server.search.day_offers import Card, Day, Tariff

MAX_LISTINGS = 16
"""Listings remembered with a day, of some 15 KB each; the oldest goes first."""
NO_PRICE = 1 << 62
"""Sorts after every price."""
DEPARTURE_TIME, PRICE, DURATION = "DEPARTURE_TIME", "PRICE", "DURATION"

EncodePrice = Callable[[pricing.Price, str], bytes]
SortKey = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for; `party` are customer types, times of the day HH:MM, and what is empty is
    no filter.

    Filters by fare class or time of the day leave departures only.
    """

    origin_city_code: str
    destination_city_code: str
    travel_date: str
    party: tuple[str, ...]
    nearby_days: int = 0
    kinds: frozenset[str] = frozenset()
    fare_classes: frozenset[str] = frozenset()
    departs_from: str = ""
    departs_until: str = ""
    available_only: bool = False
    promotion_codes: tuple[str, ...] = ()
    order_by: str = DEPARTURE_TIME


class Listing(NamedTuple):
    """Offers in the order asked for, each at the same place of every list; true until the moment
    `until`.

    `messages` are the offers as they are sent,
    and what is appended to them for their prices. `whys`
    say why an offer cannot be bought whatever is left, and are empty if it can; `cheapest` are the
    places of these, the least price first.
    """

    until: float
    keys: list[SortKey]
    messages: list[bytes]
    prices: list["_Priced"]
    stock_ids: list[int]
    whys: list[str]
    cheapest: list[int]

    def judged(self, left: Mapping[int, int], party_size: int) -> "Judged":
        """What can be said of the offers with so much left."""
        lefts = [left.get(stock_id, 0) for stock_id in self.stock_ids]
        whys = [
            why or ("SOLD_OUT" if seats < party_size else "")
            for why, seats in zip(self.whys, lefts, strict=True)
        ]
        return Judged(self, lefts, whys)


class Listed(NamedTuple):
    """An offer as it is sent, and its price, what is left of it now, and why it cannot be
    bought; empty if it can.
    """

    message: bytes
    price: bytes
    seats_left: int
    unavailable: str


class Judged(NamedTuple):
    """A listing at a moment: what is left of each offer, and why it cannot be bought."""

    listing: Listing
    lefts: list[int]
    whys: list[str]

    def page(
        self, after: Sequence[int | str] | None, limit: int, *, available_only: bool
    ) -> tuple[list[Listed], SortKey | None]:
        """The `limit` offers after `after`, and what the next page comes after."""
        keys, messages, prices = self.listing.keys, self.listing.messages, self.listing.prices
        places: Sequence[int] = range(bisect_right(keys, tuple(after or ())), len(keys))
        if available_only:
            places = [place for place in places if not self.whys[place]]
        found = [
            Listed(messages[place], prices[place].message, self.lefts[place], self.whys[place])
            for place in places[:limit]
        ]
        return found, keys[places[limit - 1]] if len(places) > limit else None

    def lowest(self) -> tuple[str, int]:
        """Currency and amount of what can be bought for least; nothing if nothing can."""
        for place in self.listing.cheapest:
            if not self.whys[place]:
                currency_code, total_minor, _ = self.listing.prices[place]
                return currency_code, total_minor
        return "", 0


class Lister(NamedTuple):
    """Lists days for a query at a moment; `used_up` are promotions whose cap is reached."""

    catalogue: Catalogue
    query: Query
    now: datetime
    used_up: frozenset[int]
    encode_price: EncodePrice

    def listing(self, day: Day) -> Listing:
        """The offers of a day that pass the filters: as remembered, or made."""
        query = self.query
        key = (
            query.party,
            query.promotion_codes,
            self.used_up,
            query.kinds,
            query.fare_classes,
            query.departs_from,
            query.departs_until,
            query.order_by,
        )
        known: Listing | None = day.listings.get(key)
        if known is None or self.now.timestamp() >= known.until:
            known = self._list(day)
            day.listings.pop(key, None)
            if len(day.listings) >= MAX_LISTINGS:
                del day.listings[next(iter(day.listings))]
            day.listings[key] = known
        return known

    def _list(self, day: Day) -> Listing:
        now = self.now.timestamp()
        promotions = [
            promotion
            for promotion in self.catalogue.promotions(self.query.promotion_codes)
            if promotion.promotion_id not in self.used_up
        ]
        prices = [self._price(tariff, promotions) for tariff in day.tariffs]
        key_of = _SORT_KEYS[self.query.order_by]
        keyed = sorted(
            (key_of(card, prices[card.tariff]), position)
            for position, card in enumerate(day.cards)
            if self._wants(card)
        )
        cards = [day.cards[position] for _, position in keyed]
        listed = [prices[card.tariff] for card in cards]
        whys = [
            card.unavailable(now) or ("NO_FARE" if price.total_minor == NO_PRICE else "")
            for card, price in zip(cards, listed, strict=True)
        ]
        moments = {each.timestamp() for p in promotions for each in (p.begin, p.end)}
        for card in cards:
            moments.update((card.sale_from, card.sale_until))
        return Listing(
            min([moment for moment in moments if moment > now], default=math.inf),
            [key for key, _ in keyed],
            [day.messages[position] for _, position in keyed],
            listed,
            [card.stock_id for card in cards],
            whys,
            sorted([p for p, why in enumerate(whys) if not why], key=lambda p: listed[p][:2]),
        )

    def _price(self, tariff: Tariff, promotions: Sequence[pricing.Promotion]) -> "_Priced":
        price = tariff.price(self.query.party, promotions, self.now)
        currency_code = tariff.currency_code
        if price is None:
            return _Priced(currency_code, NO_PRICE, b"")
        message = self.encode_price(price, currency_code)
        return _Priced(currency_code, price.total_minor, message)

    def _wants(self, card: Card) -> bool:
        query = self.query
        return (
            (not query.kinds or card.kind in query.kinds)
            and (not query.fare_classes or card.fare_class in query.fare_classes)
            and card.clock >= query.departs_from
            and (not query.departs_until or "" < card.clock < query.departs_until)
        )


class _Priced(NamedTuple):
    """What the party pays under a tariff, also as it is sent; NO_PRICE and nothing if somebody
    has no fare.
    """

    currency_code: str
    total_minor: int
    message: bytes


def _by_departure(card: Card, price: _Priced) -> SortKey:
    return (card.kind == PACKAGE) + 0, card.departs, price.total_minor, card.offer_id


def _by_price(card: Card, price: _Priced) -> SortKey:
    """What nobody can name a price of comes last; currencies cannot be compared, so each has its
    own part.
    """
    currency_code, total, _ = price
    return (total == NO_PRICE) + 0, currency_code, total, card.departs, card.offer_id


def _by_duration(card: Card, price: _Priced) -> SortKey:
    is_package = (card.kind == PACKAGE) + 0
    return is_package, card.minutes, card.departs, price.total_minor, card.offer_id


_SORT_KEYS: dict[str, Callable[[Card, _Priced], SortKey]] = {
    DEPARTURE_TIME: _by_departure,
    PRICE: _by_price,
    DURATION: _by_duration,
}
