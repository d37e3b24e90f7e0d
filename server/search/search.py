"""Search: what a party can buy for a day, and how the days around it look.

What is offered comes from the cache; prices under the promotions of the moment, beginning and end
of sale, and what is left are looked at for every search.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from server.catalog import pricing
from server.catalog.catalogue import Catalogue, Catalogues
from server.catalog.listed import CatalogueCity, ListedProduct
from server.catalog.rules import MAX_ADVANCE
from server.orders.prices import not_applicable
from server.platform.errors import invalid, not_found
from server.search.cache import Cache
from server.search.day_offers import CALENDARS, DAYS, Calendar, Day, EncodeOffer, calendar_of
from server.search.listing import EncodePrice, Judged, Listed, Lister, Query, SortKey
from server.search.seats_left import SeatsLeft
from server.stock.ids import promotion_stock_id

WHY_EMPTY = ("SOLD_OUT", "NOT_YET_ON_SALE", "BLACKOUT", "SALE_CLOSED", "CANCELLED", "NO_FARE")
"""Of several reasons for an empty day the first is given: what one can still do something about,
or was late for.
"""
OVER = Day([], [], [])


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
    provisional: bool = False


class Found(NamedTuple):
    """A page of offers, the days (with the first page only), and what the next page comes after;
    None on the last.
    """

    offers: list[Listed]
    days: list[OfferDay]
    next_after: SortKey | None


class Search:
    """Searches the catalogue. What answers are put together from comes encoded: offers, and
    prices by themselves.
    """

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
    ) -> tuple[list[CatalogueCity], SortKey | None]:
        """The `limit` hot cities after `after`, and what the next page comes after. Raises
        DATABASE_UNAVAILABLE.
        """
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
        """The `limit` offers after `after`, and without it the days.

        Raises INVALID_FIELD, PROMOTION_NOT_APPLICABLE, DATABASE_UNAVAILABLE.
        """
        catalogue = await self.catalogue()
        today, asked = _days_asked(catalogue, query, now)
        nearby = query.nearby_days if after is None else 0
        dates = [asked + timedelta(days=offset) for offset in range(-nearby, nearby + 1)]
        days = await self._days(catalogue, query, dates, today)
        capped = [
            promotion.promotion_id
            for promotion in catalogue.promotions(query.promotion_codes)
            if promotion.promotion_id in catalogue.capped
        ]
        stock_ids = [card.stock_id for day in days for card in day.cards]
        left = await self._seats.of([*stock_ids, *map(promotion_stock_id, capped)])
        used_up = frozenset(p for p in capped if left.get(promotion_stock_id(p), 0) < 1)
        lister = Lister(catalogue, query, now, used_up, self._encode_price)
        _check_codes(lister, days[nearby])
        judged = [lister.listing(day).judged(left, len(query.party)) for day in days]
        offers, next_after = judged[nearby].page(after, limit, available_only=query.available_only)
        if after is not None:
            return Found(offers, [], next_after)
        calendar_code = catalogue.calendar_between(
            query.origin_city_code, query.destination_city_code
        )
        calendar = await self._calendar(catalogue, calendar_code, {each.year for each in dates})
        strip = [
            _sum_up(
                each, calendar, "SALE_CLOSED" if each < today else _why(day, found.whys, now), found
            )._replace(provisional=catalogue.provisional(calendar_code, each))
            for each, day, found in zip(dates, days, judged, strict=True)
        ]
        return Found(offers, strip, next_after)

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


def _days_asked(catalogue: Catalogue, query: Query, now: datetime) -> tuple[date, date]:
    """Today where the party starts, and the day it asks for. Raises INVALID_FIELD."""
    for name in ("origin_city_code", "destination_city_code"):
        code = getattr(query, name)
        if code not in catalogue.cities:
            raise invalid(name, f"there is no city {code!r}; ListHotCities names cities there are")
    if query.departs_until and query.departs_from >= query.departs_until:
        raise invalid(
            "departs_until", f"is not after departs_from, {query.departs_from}; send a later time"
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


def _check_codes(lister: Lister, day: Day) -> None:
    """Each code must be good for something that is offered on the day. Raises
    PROMOTION_NOT_APPLICABLE.
    """
    for code in lister.query.promotion_codes:
        promotion = lister.catalogue.promotion(code)
        if promotion and promotion.promotion_id in lister.used_up:
            raise not_applicable(code, "has been used as often as it may be")
        offered = {(tariff.product_id, tariff.currency_code) for tariff in day.tariffs}
        if not offered:  # what it is for cannot be said against it
            products = (promotion.product_ids if promotion else ()) or (0,)
            offered = {(each, promotion.currency_code if promotion else "") for each in products}
        faults = [
            pricing.promotion_fault(
                promotion,
                code,
                party_size=len(lister.query.party),
                product_id=product_id,
                currency_code=currency_code,
                now=lister.now,
            )
            for product_id, currency_code in sorted(offered)
        ]
        if None not in faults:
            raise not_applicable(code, str(faults[0]))


def _why(day: Day, reasons: Sequence[str], now: datetime) -> str:
    """Why the party can buy nothing on a day, given why it cannot buy each offer; empty if it
    can.
    """
    if "" in reasons:
        return ""
    for reason in WHY_EMPTY:
        if reason in reasons:
            return reason
    # departures are made when their sale comes near
    return "NOT_YET_ON_SALE" if now.timestamp() < day.sale_from else "NO_SERVICE"


def _sum_up(each: date, calendar: Calendar, why: str, judged: Judged) -> OfferDay:
    day_type, name_en, name_zh = calendar.get(each.isoformat()) or (
        pricing.day_type(each, {}),
        "",
        "",
    )
    currency, lowest = judged.lowest()
    return OfferDay(each, day_type, name_en, name_zh, judged.whys.count(""), lowest, currency, why)
