"""What a traveller asks for: checked against the catalogue and priced, before anything is held. No
I/O in here.

Order and quote are priced by the same functions. What an offer costs a party is worked out once and
remembered with the catalogue it was worked out from.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from server.catalog import pricing
from server.catalog.catalogue import Catalogue
from server.catalog.offers import Offer
from server.orders.passengers import Passenger
from server.platform.errors import DomainError, Reason, invalid, not_found
from server.stock.ids import promotion_quota_id, promotion_stock_id

MAX_PRICES = 20_000
"""Prices remembered of one catalogue."""
FOREVER = datetime.max.replace(tzinfo=UTC)


class Wish(NamedTuple):
    """An offer, and the positions of the passengers it is for; none given: all of them."""

    offer_id: str
    passengers: tuple[int, ...] = ()


class NewOrder(NamedTuple):
    """All that an order is asked with; `quoted_minor` None is not compared, `contact_phone` is
    E.164 or empty. An outside seller names nobody's documents (`documents_known` false): then none
    are needed.
    """

    wishes: tuple[Wish, ...]
    passengers: tuple[Passenger, ...]
    promotion_codes: tuple[str, ...] = ()
    quoted_minor: int | None = None
    contact_phone: str = ""
    documents_known: bool = True

    @property
    def party(self) -> list[str]:
        """The customer types of the passengers."""
        return [passenger.customer_type for passenger in self.passengers]


class PricedItem(NamedTuple):
    """One offer for the passengers at these positions, with its price for them."""

    offer: Offer
    passengers: tuple[int, ...]
    price: pricing.Price


class Priced(NamedTuple):
    """What is asked for, with what it costs.

    `capped` are the promotions in it whose uses are counted, `limits` those (id, limit) of which
    one traveller may use so many.
    """

    items: tuple[PricedItem, ...]
    total_minor: int
    currency_code: str
    capped: tuple[int, ...]
    limits: tuple[tuple[int, int], ...] = ()


class Prices:
    """The prices of one catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._known: dict[
            tuple[str, tuple[str, ...], tuple[str, ...]], tuple[datetime, pricing.Price]
        ] = {}

    def price(
        self,
        wishes: Sequence[Wish],
        party: Sequence[str],
        codes: tuple[str, ...],
        *,
        now: datetime,
        used_up: frozenset[int] = frozenset(),
    ) -> Priced:
        """Prices an order for a party, given as customer types, without the promotions that are
        `used_up`.

        Raises INVALID_FIELD, NOT_FOUND (offer), OFFER_NOT_AVAILABLE, PROMOTION_NOT_APPLICABLE.
        """
        _check_wishes(wishes, len(party))
        everybody = tuple(range(len(party)))
        items: list[PricedItem] = []
        for index, wish in enumerate(wishes):
            offer = self.catalogue.offer(wish.offer_id)
            if offer is None:
                raise not_found("offer", wish.offer_id)
            why = offer.unavailable(now)
            if why:
                raise not_available(offer, why)
            if items and offer.currency_code != items[0].offer.currency_code:
                raise invalid(
                    f"items[{index}].offer_id",
                    f"is sold in {offer.currency_code}, others in {items[0].offer.currency_code};"
                    " make an order for each currency",
                )
            passengers = wish.passengers or everybody
            types = tuple([party[position] for position in passengers])
            items.append(
                PricedItem(offer, passengers, self._price(offer, types, codes, now, used_up))
            )
        if codes:
            self._check_codes(items, codes, used_up, now)
        counted: set[int] = set()
        for item in items:
            counted.update(item.price.promotion_ids)
        return Priced(
            tuple(items),
            sum([item.price.total_minor for item in items]),
            items[0].offer.currency_code,
            tuple(sorted(counted & self.catalogue.capped)) if counted else (),
            tuple([pair for pair in sorted(self.catalogue.limits.items()) if pair[0] in counted])
            if counted
            else (),
        )

    def counted(self, codes: tuple[str, ...]) -> set[int]:
        """The promotions with these codes, or automatic, whose uses are counted."""
        return {p.promotion_id for p in self.catalogue.promotions(codes)} & self.catalogue.capped

    def limited(self, codes: tuple[str, ...]) -> set[int]:
        """The promotions with these codes, or automatic, of which one traveller may use so many."""
        limits = self.catalogue.limits
        return {
            p.promotion_id for p in self.catalogue.promotions(codes) if p.promotion_id in limits
        }

    def without_used_up(
        self,
        priced: Priced,
        wishes: Sequence[Wish],
        party: Sequence[str],
        codes: tuple[str, ...],
        *,
        left: Callable[[int], int],
        used: Callable[[int], int] = lambda _: 0,
        now: datetime,
    ) -> Priced:
        """The same order without the promotions that are used up; of `left`, by stock id, nothing
        is left.

        Or the traveller has `used`, by quota id, as many as one may. Raises as `price` does.
        """
        if not priced.capped and not priced.limits:
            return priced
        used_up: frozenset[int] = frozenset()
        while gone := {p for p in priced.capped if left(promotion_stock_id(p)) < 1} | {
            p for p, limit in priced.limits if used(promotion_quota_id(p)) >= limit
        }:
            used_up |= gone
            priced = self.price(wishes, party, codes, now=now, used_up=used_up)
        return priced

    def _price(
        self,
        offer: Offer,
        party: tuple[str, ...],
        codes: tuple[str, ...],
        now: datetime,
        used_up: frozenset[int],
    ) -> pricing.Price:
        key = (offer.offer_id, party, codes)
        known = self._known.get(key)
        if known and now < known[0] and not used_up:
            return known[1]
        promotions = [p for p in self.catalogue.promotions(codes) if p.promotion_id not in used_up]
        try:
            price = pricing.price(offer.terms, party, promotions, now)
        except pricing.NoFare as fault:
            raise not_available(offer, "NO_FARE") from fault
        if price.considered:
            price = self._kept(price)
        if not used_up and offer.rental is None:  # those are of many, each for few
            if len(self._known) >= MAX_PRICES:
                self._known.clear()
            moments = [moment for p in promotions for moment in (p.begin, p.end) if moment > now]
            self._known[key] = min(moments, default=FOREVER), price
        return price

    def _kept(self, price: pricing.Price) -> pricing.Price:
        """The price with the promotions it may be worked out under again: none whose use was not
        counted for it.
        """
        counted = (self.catalogue.capped | self.catalogue.limits.keys()) - set(price.promotion_ids)
        considered = [each for each in price.considered if each.promotion_id not in counted]
        return replace(price, considered=tuple(considered))

    def _check_codes(
        self,
        items: Sequence[PricedItem],
        codes: Iterable[str],
        used_up: frozenset[int],
        now: datetime,
    ) -> None:
        """Each code must be good for something in the order. Raises PROMOTION_NOT_APPLICABLE."""
        for code in codes:
            promotion = self.catalogue.promotion(code)
            if promotion and promotion.promotion_id in used_up:
                raise not_applicable(code, "has been used as often as it may be, or as you may")
            faults = [
                pricing.promotion_fault(
                    promotion,
                    code,
                    party_size=len(item.passengers),
                    product_id=item.offer.product_id,
                    currency_code=item.offer.currency_code,
                    now=now,
                )
                for item in items
            ]
            if None not in faults:
                raise not_applicable(code, str(faults[0]))


def check_total(new: NewOrder, priced: Priced) -> None:
    """Raises PRICE_CHANGED if the traveller has seen another total."""
    if new.quoted_minor is not None and new.quoted_minor != priced.total_minor:
        raise DomainError(
            Reason.PRICE_CHANGED,
            f"quoted_minor: the total is {priced.total_minor} {priced.currency_code} now, not"
            f" {new.quoted_minor}; ask the traveller again",
            quoted_minor=new.quoted_minor,
            total_minor=priced.total_minor,
            currency_code=priced.currency_code,
        )


def not_available(offer: Offer, why: str) -> DomainError:
    """OFFER_NOT_AVAILABLE, for one of UnavailableReason."""
    return DomainError(
        Reason.OFFER_NOT_AVAILABLE,
        f"{offer.offer_id} cannot be bought: {why}; search again",
        offer_id=offer.offer_id,
        why=why,
    )


def not_applicable(code: str, why: str) -> DomainError:
    """PROMOTION_NOT_APPLICABLE, with why in words."""
    return DomainError(
        Reason.PROMOTION_NOT_APPLICABLE,
        f"promotion_codes: {code!r} does not apply: {why}; leave it out",
        promotion_code=code,
        why=why,
    )


def _check_wishes(wishes: Sequence[Wish], party_size: int) -> None:
    named = set()
    for index, wish in enumerate(wishes):
        if wish.offer_id in named:
            raise invalid(f"items[{index}].offer_id", "was named before; order each offer once")
        named.add(wish.offer_id)
        seen: set[int] = set()
        for at, position in enumerate(wish.passengers):
            if not 0 <= position < party_size or position in seen:
                raise invalid(
                    f"items[{index}].passenger_indexes[{at}]",
                    f"is not a position from 0 to {party_size - 1}, or was named before",
                )
            seen.add(position)
