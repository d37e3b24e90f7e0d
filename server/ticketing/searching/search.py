"""Search: what a party can buy for a day, and how the days around it look.

What is offered comes from the cache; prices under the promotions of the moment, beginning and end of sale, and what is
left are looked at for every search.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from server.catalog import pricing
from server.catalog.catalogue import PACKAGE, Catalogue, Catalogues, City, ListedProduct
from server.catalog.rules import MAX_ADVANCE, promotion_stock_id
from server.errors import invalid, not_found
from server.ticketing.ordering.asked import not_applicable
from server.ticketing.searching.cache import Cache
from server.ticketing.searching.offered import (
    CALENDARS,
    DAYS,
    Calendar,
    Card,
    Day,
    EncodeOffer,
    Priced,
    calendar_of,
)
from server.ticketing.searching.seats_left import SeatsLeft

MAX_PARTIES = 100
"""Parties whose prices are remembered for what is offered between two cities on a day."""
NO_PRICE = 1 << 62
"""Sorts behind every price."""
DEPARTURE_TIME, PRICE, DURATION = "DEPARTURE_TIME", "PRICE", "DURATION"
WHY_EMPTY = ("SOLD_OUT", "NOT_YET_ON_SALE", "BLACKOUT", "SALE_CLOSED", "CANCELLED", "NO_FARE")
"""Of several reasons for an empty day the first is told: what one can still do something about, or was late for."""
OVER = Day([], [], [])
FOREVER = datetime.max.replace(tzinfo=UTC)

EncodePrice = Callable[[pricing.Price, str], bytes]
SortKey = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for; `party` are customer types, times of the day HH:MM, and what is empty is no filter.

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


class Listed(NamedTuple):
    """An offer as it is sent, what is left of it now, and why it cannot be bought; empty if it can."""

    message: bytes
    seats_left: int
    unavailable: str


class OfferDay(NamedTuple):
    """A day summed up; `unavailable_reason` is empty if the party can buy something."""

    travel_date: date
    day_type: str
    holiday_name_en: str
    holiday_name_zh: str
    offer_count: int
    lowest_price_minor: int
    currency_code: str
    unavailable_reason: str


class Found(NamedTuple):
    """A page of offers, the days (with the first page only), and what the next page is behind; None on the last."""

    offers: list[Listed]
    days: list[OfferDay]
    next_after: SortKey | None


class Search:
    """Searches the catalogue. What answers are put together from comes encoded: offers, and prices by themselves."""

    def __init__(
        self,
        catalogues: Catalogues,
        seats: SeatsLeft,
        cache: Cache,
        *,
        encode_offer: EncodeOffer,
        encode_price: EncodePrice,
    ) -> None:
        self._catalogues = catalogues
        self._seats = seats
        self._cache = cache
        self._encode_offer = encode_offer
        self._encode_price = encode_price

    async def catalogue(self) -> Catalogue:
        """The catalogue as it is now. Raises DATABASE_UNAVAILABLE."""
        return self._catalogues.peek() or await self._catalogues.get()

    async def hot_cities(
        self, after: Sequence[int | str] | None, limit: int
    ) -> tuple[list[City], SortKey | None]:
        """The `limit` hot cities behind `after`, and what the next page is behind. Raises DATABASE_UNAVAILABLE."""
        catalogue = await self.catalogue()
        keyed = [((city.hot_rank or 0, city.city_code), city) for city in catalogue.hot_cities()]
        if after is not None:
            keyed = [pair for pair in keyed if pair[0] > tuple(after)]
        page = keyed[:limit]
        return [city for _, city in page], page[-1][0] if len(keyed) > limit else None

    async def product(self, product_id: int) -> tuple[Catalogue, ListedProduct]:
        """A product on sale, and the catalogue it is in. Raises NOT_FOUND, DATABASE_UNAVAILABLE."""
        catalogue = await self.catalogue()
        found = catalogue.products.get(product_id)
        if found is None:
            raise not_found("product", product_id)
        return catalogue, found

    async def search(
        self, query: Query, *, after: Sequence[int | str] | None, limit: int, now: datetime
    ) -> Found:
        """The `limit` offers behind `after`, and without it the days.

        Raises INVALID_FIELD, PROMOTION_NOT_APPLICABLE, DATABASE_UNAVAILABLE.
        """
        catalogue = await self.catalogue()
        today, asked = _days_asked(catalogue, query, now)
        nearby = query.nearby_days if after is None else 0
        dates = [asked + timedelta(days=offset) for offset in range(-nearby, nearby + 1)]
        days = await self._days(catalogue, query, dates, today)
        look = await self._look(catalogue, query, days, now)
        _check_codes(look, days[nearby])
        judged = [list(look.judge(day)) for day in days]
        page = _page(query, days[nearby], judged[nearby], after, limit)
        if after is not None:
            return page
        calendar_code = catalogue.calendar_between(
            query.origin_city_code, query.destination_city_code
        )
        calendar = await self._calendar(catalogue, calendar_code, {each.year for each in dates})
        strip = [
            _sum_up(
                each, calendar, "SALE_CLOSED" if each < today else _why(day, offers, now), offers
            )
            for each, day, offers in zip(dates, days, judged, strict=True)
        ]
        return page._replace(days=strip)

    async def _days(
        self, catalogue: Catalogue, query: Query, dates: Sequence[date], today: date
    ) -> list[Day]:
        """What is offered on each of the days; nothing on those that are over."""
        cities = query.origin_city_code, query.destination_city_code
        names = {each: f"{':'.join(cities)}:{each}" for each in dates if each >= today}
        found = {
            each: self._cache.peek(DAYS, name, catalogue.edition) for each, name in names.items()
        }
        missing = [each for each, day in found.items() if day is None]
        if missing:

            def make(each: date) -> Callable[[], Day]:
                return lambda: Day.of(catalogue, cities, each, self._encode_offer)

            loading = [
                self._cache.get(DAYS, names[each], catalogue.edition, make(each))
                for each in missing
            ]
            found.update(zip(missing, await asyncio.gather(*loading), strict=True))
        return [found.get(each) or OVER for each in dates]

    async def _calendar(
        self, catalogue: Catalogue, calendar_code: str, years: Iterable[int]
    ) -> Calendar:
        """The holidays of these years."""
        calendar: Calendar = {}
        for year in years:

            def make(year: int = year) -> Calendar:
                return calendar_of(catalogue, calendar_code, year)

            name = f"{calendar_code}:{year}"
            found = await self._cache.get(CALENDARS, name, catalogue.edition, make)
            calendar.update(found)
        return calendar

    async def _look(
        self, catalogue: Catalogue, query: Query, days: Iterable[Day], now: datetime
    ) -> "_Look":
        capped = [
            promotion.promotion_id
            for promotion in catalogue.promotions(query.promotion_codes)
            if promotion.promotion_id in catalogue.capped
        ]
        stock_ids = {promotion_stock_id(each) for each in capped}
        for day in days:
            stock_ids.update([card.stock_id for _, card in _chosen(day, query)])
        left = await self._seats.of(stock_ids)
        used_up = frozenset(p for p in capped if left.get(promotion_stock_id(p), 0) < 1)
        return _Look(catalogue, query, now, left, used_up, self._encode_price)


class _Judged(NamedTuple):
    """An offer, by its position in its day, with what can be said of it at the moment."""

    position: int
    card: Card
    currency_code: str
    priced: Priced
    seats_left: int
    unavailable: str

    @property
    def total_minor(self) -> int:
        return self.priced.price.total_minor if self.priced.price else NO_PRICE


class _Look(NamedTuple):
    """What a search sees at its moment; `used_up` are promotions whose cap is reached."""

    catalogue: Catalogue
    query: Query
    now: datetime
    left: dict[int, int]
    used_up: frozenset[int]
    encode_price: EncodePrice

    def judge(self, day: Day) -> Iterable[_Judged]:
        """The offers of a day that pass the filters."""
        prices, now, party = self.prices(day), self.now.timestamp(), len(self.query.party)
        for position, card in _chosen(day, self.query):
            priced, left = prices[card.tariff], self.left.get(card.stock_id, 0)
            why = card.unavailable(now)
            if not why and priced.price is None:
                why = "NO_FARE"
            elif not why and left < party:
                why = "SOLD_OUT"
            currency = day.tariffs[card.tariff].currency_code
            yield _Judged(position, card, currency, priced, left, why)

    def prices(self, day: Day) -> list[Priced]:
        """What the party pays under each tariff of a day."""
        key = self.query.party, self.query.promotion_codes, self.used_up
        known = day.prices.get(key)
        if known and self.now < known[0]:
            return known[1]
        promotions = [
            promotion
            for promotion in self.catalogue.promotions(self.query.promotion_codes)
            if promotion.promotion_id not in self.used_up
        ]
        prices = []
        for tariff in day.tariffs:
            price = tariff.price(self.query.party, promotions, self.now)
            message = self.encode_price(price, tariff.currency_code) if price else b""
            prices.append(Priced(price, message))
        moments = [each for p in promotions for each in (p.begin, p.end) if each > self.now]
        if len(day.prices) >= MAX_PARTIES:
            day.prices.clear()
        day.prices[key] = min(moments, default=FOREVER), prices
        return prices


def _days_asked(catalogue: Catalogue, query: Query, now: datetime) -> tuple[date, date]:
    """Today where the party starts, and the day it asks for. Raises INVALID_FIELD."""
    for name in ("origin_city_code", "destination_city_code"):
        code = getattr(query, name)
        if code not in catalogue.cities:
            raise invalid(name, f"there is no city {code!r}; ListHotCities names cities there are")
    if query.departs_until and query.departs_from >= query.departs_until:
        raise invalid(
            "departs_until", f"is not behind departs_from, {query.departs_from}; send a later time"
        )
    zone: ZoneInfo = catalogue.cities[query.origin_city_code].zone
    today = now.astimezone(zone).date()
    try:
        asked = date.fromisoformat(query.travel_date)
    except ValueError:
        raise invalid("travel_date", "is not a day of the calendar; send YYYY-MM-DD") from None
    if asked < today:
        raise invalid(
            "travel_date", f"{asked} is over in {zone}; send {today}, which is today, or later"
        )
    if asked - today > MAX_ADVANCE:
        raise invalid(
            "travel_date",
            f"{asked} is more than {MAX_ADVANCE.days} days ahead; send {today + MAX_ADVANCE} or"
            " earlier",
        )
    return today, asked


def _check_codes(look: _Look, day: Day) -> None:
    """Each code must be good for something that is offered on the day. Raises PROMOTION_NOT_APPLICABLE."""
    for code in look.query.promotion_codes:
        promotion = look.catalogue.promotion(code)
        if promotion and promotion.promotion_id in look.used_up:
            raise not_applicable(code, "has been used as often as it may be")
        offered = {tariff.product_id for tariff in day.tariffs}
        if not offered:  # what it is for cannot be said against it
            offered = set(promotion.product_ids if promotion else ()) or {0}
        faults = [
            pricing.promotion_fault(
                promotion,
                code,
                party_size=len(look.query.party),
                product_id=product_id,
                now=look.now,
            )
            for product_id in sorted(offered)
        ]
        if None not in faults:
            raise not_applicable(code, str(faults[0]))


def _chosen(day: Day, query: Query) -> list[tuple[int, Card]]:
    """The offers that pass the filters that are not about the moment, with their positions."""
    cards = list(enumerate(day.cards))
    if query.kinds:
        cards = [each for each in cards if each[1].kind in query.kinds]
    if query.fare_classes:
        cards = [each for each in cards if each[1].fare_class in query.fare_classes]
    if query.departs_from:
        cards = [each for each in cards if each[1].clock >= query.departs_from]
    if query.departs_until:
        cards = [each for each in cards if "" < each[1].clock < query.departs_until]
    return cards


def _page(
    query: Query,
    day: Day,
    judged: Iterable[_Judged],
    after: Sequence[int | str] | None,
    limit: int,
) -> Found:
    """The offers behind `after` in the order asked for."""
    if query.available_only:
        judged = [each for each in judged if not each.unavailable]
    key_of = _SORT_KEYS[query.order_by]
    keyed = sorted([(key_of(each), each) for each in judged], key=lambda pair: pair[0])
    if after is not None:
        keyed = [pair for pair in keyed if pair[0] > tuple(after)]
    page = keyed[:limit]
    return Found(
        [
            Listed(
                day.messages[each.position] + each.priced.message,
                each.seats_left,
                each.unavailable,
            )
            for _, each in page
        ],
        [],
        page[-1][0] if len(keyed) > limit else None,
    )


def _by_departure(each: _Judged) -> SortKey:
    card = each.card
    return (card.kind == PACKAGE) + 0, card.departs, each.total_minor, card.offer_id


def _by_price(each: _Judged) -> SortKey:
    """What nobody can name a price of comes last; currencies cannot be compared, so each has its own part."""
    unpriced = (each.priced.price is None) + 0
    return unpriced, each.currency_code, each.total_minor, each.card.departs, each.card.offer_id


def _by_duration(each: _Judged) -> SortKey:
    card = each.card
    is_package = (card.kind == PACKAGE) + 0
    return is_package, card.minutes, card.departs, each.total_minor, card.offer_id


_SORT_KEYS: dict[str, Callable[[_Judged], SortKey]] = {
    DEPARTURE_TIME: _by_departure,
    PRICE: _by_price,
    DURATION: _by_duration,
}


def _why(day: Day, judged: Sequence[_Judged], now: datetime) -> str:
    """Why the party can buy nothing on a day; empty if it can."""
    reasons = {each.unavailable for each in judged}
    if "" in reasons:
        return ""
    for reason in WHY_EMPTY:
        if reason in reasons:
            return reason
    # departures are made when their sale comes near
    return "NOT_YET_ON_SALE" if now.timestamp() < day.sale_from else "NO_SERVICE"


def _sum_up(each: date, calendar: Calendar, why: str, judged: Iterable[_Judged]) -> OfferDay:
    day_type, name_en, name_zh = calendar.get(each.isoformat()) or (
        pricing.day_type(each, {}),
        "",
        "",
    )
    prices = [(offer.currency_code, offer.total_minor) for offer in judged if not offer.unavailable]
    currency, lowest = min(prices, default=("", 0))
    return OfferDay(each, day_type, name_en, name_zh, len(prices), lowest, currency, why)
