"""The price of one order item for a party, line by line; one function for search, quote, order and
batch. Pure.

Source: DOMAIN, Price. Amounts are integers in minor units of one currency, the product's. Every
step is done per ticket: the fare of the customer type and day type, less the tier of the party's
size, less the promotions. What a step leaves of a ticket's price is rounded half-up to the minor
unit and never below zero.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, Self

from server.platform.texts import clock_time

WEEKDAY, WEEKEND, HOLIDAY = "weekday", "weekend", "holiday"
FALLBACKS = {HOLIDAY: WEEKEND, WEEKEND: WEEKDAY}
"""Whose fare a day type has that has none of its own."""

FARE, TIER, PROMOTION, WAIVER = "FARE", "TIER", "PROMOTION", "WAIVER"
YOUNG_DRIVER, ONE_WAY, EXTRA = "YOUNG_DRIVER", "ONE_WAY", "EXTRA"
"""Kinds of line; the second row are those of a rental's charges."""

DAY_NAMES = {
    WEEKDAY: ("Weekday", "平日"),
    WEEKEND: ("Weekend day", "周末"),
    HOLIDAY: ("Holiday", "节假日"),
}
"""What the days of a rental are called, by type."""

BASIS_POINTS = 10_000
MAX_TIERS = 20


class NoFare(Exception):  # noqa: N818 - says what does not exist
    """The product has no fare for this customer type, on this day type or one it falls back to."""

    def __init__(self, customer_type: str, day_type: str) -> None:
        super().__init__(f"no fare for {customer_type} on a {day_type}")
        self.customer_type = customer_type
        self.day_type = day_type


@dataclass(frozen=True, slots=True)
class Fare:
    """What a ticket of a customer type costs on a day type before any discount."""

    customer_type: str
    day_type: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Tier:
    """`percent_off` (0 to 100) for parties of `min_party` tickets and more; the greatest that is
    reached applies (阶梯).
    """

    min_party: int
    percent_off: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What each ticket costs besides its fare: `quantity` times `unit_minor`. Nothing is ever taken
    off it. `code` and names are an extra's.
    """

    kind: str
    quantity: int
    unit_minor: int
    code: str
    name_en: str
    name_zh: str


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """What a product is sold at on a day, whoever buys it: `fares` by customer type and day type,
    amounts in minor units of `currency_code`.

    What is rented for several days costs the fare of each, by `day_types`; its tiers then go by
    their number, not by the party's. `charges` come on top, after all discounts.
    """

    product_id: int
    currency_code: str
    day_type: str
    fares: Mapping[tuple[str, str], int]
    tiers: Sequence[Tier] = ()
    day_types: Sequence[str] = ()
    charges: Sequence[Charge] = ()


@dataclass(frozen=True, slots=True)
class Promotion:
    """A discount in a window of time, from `begin` on and before `end`, for parties of `min_party`
    tickets and more.

    Either `basis_points_off` (of 10,000) or `amount_off_minor` (per ticket, of prices in
    `currency_code`) is set, not both. An empty `code` is automatic; empty `product_ids` are all
    products.
    """

    promotion_id: int
    code: str
    display_name_en: str
    display_name_zh: str
    basis_points_off: int
    amount_off_minor: int
    begin: datetime
    end: datetime
    min_party: int
    product_ids: frozenset[int]
    stackable: bool
    currency_code: str = ""

    def takes_off(self, currency_code: str) -> bool:
        """Whether it is for prices in that currency; a share is for all."""
        return not self.amount_off_minor or self.currency_code == currency_code


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One line of a breakdown: `amount_minor` is `quantity` times `unit_minor`, both negative for a
    discount.

    `percent` is the tier's; `promotion_id`, `code` (empty if automatic) and names are the
    promotion's, or the charge's; names also of a rental's days. Of a rental `quantity` counts days,
    extras or cars.
    """

    kind: str
    customer_type: str
    quantity: int
    unit_minor: int
    amount_minor: int
    percent: int = 0
    promotion_id: int = 0
    code: str = ""
    name_en: str = ""
    name_zh: str = ""


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a party; lines and tickets each add up to `total_minor`.

    `lines` stand by customer type in the party's order, each fare before its discounts in the order
    they were taken; a discount of nothing has no line. `ticket_minor` is what each ticket costs, in
    the party's order. `promotion_ids` are those that took something off, ascending: the ones that
    count against a cap. `considered` are all that applied, for `price_again`; they are no part of
    what it is equal to.
    """

    total_minor: int
    lines: tuple[PriceLine, ...]
    ticket_minor: tuple[int, ...]
    promotion_ids: tuple[int, ...]
    considered: tuple[Promotion, ...] = field(default=(), compare=False)
    _content: list[dict[str, Any]] = field(
        default_factory=list, init=False, compare=False, repr=False
    )

    def waived_to(self, total_minor: int) -> "Price":
        """The price of one ticket, of which the operator bears what is above a total."""
        off_minor = total_minor - self.total_minor
        if off_minor >= 0:
            return self
        line = PriceLine(WAIVER, self.lines[0].customer_type, 1, off_minor, off_minor)
        return replace(
            self, total_minor=total_minor, lines=(*self.lines, line), ticket_minor=(total_minor,)
        )

    def content(self) -> dict[str, Any]:
        """The price as it is stored in JSON, as a snapshot; not to be changed: many orders have
        one price.
        """
        if not self._content:
            self._content.append(self._work_out())
        return self._content[0]

    def _work_out(self) -> dict[str, Any]:
        content = {
            "total_minor": self.total_minor,
            "lines": [_line_content(line) for line in self.lines],
            "ticket_minor": list(self.ticket_minor),
            "promotion_ids": list(self.promotion_ids),
        }
        if self.considered:
            content["considered"] = [_promotion_content(each) for each in self.considered]
        return content

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """From what `content` returned."""
        return cls(
            content["total_minor"],
            tuple(PriceLine(**line) for line in content["lines"]),
            tuple(content["ticket_minor"]),
            tuple(content["promotion_ids"]),
            tuple([_considered(each) for each in content.get("considered", ())]),
        )


def price(
    terms: PriceTerms, party: Sequence[str], promotions: Iterable[Promotion], now: datetime
) -> Price:
    """Prices one item for a party, given as the customer type of each ticket; each counts in the
    party's size.

    `promotions` are the automatic ones and those whose code was typed in; the ones out of their
    window, for larger parties, other products or currencies are passed over here. One that is not
    stackable excludes all others: the traveller gets the best of these alone, or all stackable ones
    together, whichever costs less; if equal, the ones with the lowest ids. Stackable ones are taken
    off in this order: shares before amounts (which is the cheaper way round), each by id.

    Raises NoFare if a customer type has no fare.
    """
    applying = [p for p in promotions if _applies(p, len(party), terms, now)]
    best = partial(_best, promotions=applying)
    return _price(terms, party, promote=best, considered=applying)


def price_again(sold: Price, terms: PriceTerms, party: Sequence[str]) -> Price:
    """What an item that was sold for the price `sold` costs a part of its party, on the terms of
    then, those of its snapshot.

    Of the promotions that applied then, those that do not ask for a larger party are chosen from
    anew. A price stored before promotions were kept with it has only what they took off: that is
    taken off again, whatever the party's size.
    """
    if sold.promotion_ids and not sold.considered:
        as_sold = partial(_as_sold, sold)
        return _price(terms, party, promote=as_sold, considered=())
    applying = [promotion for promotion in sold.considered if promotion.min_party <= len(party)]
    best = partial(_best, promotions=applying)
    return _price(terms, party, promote=best, considered=sold.considered)


def _price(
    terms: PriceTerms,
    party: Sequence[str],
    *,
    promote: "Callable[[_Units, _Units], tuple[_Units, _Taken]]",
    considered: Sequence[Promotion],
) -> Price:
    """Fares, less the tier, less what `promote` takes off prices per ticket, given these and the
    quantities.
    """
    fares, day_types = terms.fares, terms.day_types or (terms.day_type,)
    units = {
        customer: sum([fare_of(fares, customer, day_type) for day_type in day_types])
        for customer in dict.fromkeys(party)
    }
    quantities = {customer: party.count(customer) for customer in units}
    percent = percent_off(terms.tiers, len(terms.day_types) or len(party))
    reduced = {customer: _less(unit, percent * 100) for customer, unit in units.items()}
    paid, taken = promote(reduced, quantities)
    lines: list[PriceLine] = []
    for customer, unit in units.items():
        quantity = quantities[customer]
        if terms.day_types:
            lines += _lines_of_days(terms, customer, quantity)
        else:
            lines.append(PriceLine(FARE, customer, quantity, unit, quantity * unit))
        off = reduced[customer] - unit
        if off:
            lines.append(PriceLine(TIER, customer, quantity, off, quantity * off, percent))
        for promotion, discounts in taken:
            off = discounts[customer]
            if off:
                lines.append(_promotion_line(promotion, customer, quantity, off))
        lines += [_charge_line(charge, customer, quantity) for charge in terms.charges]
    besides = sum([charge.quantity * charge.unit_minor for charge in terms.charges])
    return Price(
        sum([quantity * (paid[customer] + besides) for customer, quantity in quantities.items()]),
        tuple(lines),
        tuple([paid[customer] + besides for customer in party]),
        tuple(sorted(promotion.promotion_id for promotion, _ in taken)),
        tuple(considered),
    )


def _lines_of_days(terms: PriceTerms, customer: str, quantity: int) -> list[PriceLine]:
    """The fares of a rental, a line for each type of day."""
    lines = []
    for day_type in dict.fromkeys(terms.day_types):
        unit = fare_of(terms.fares, customer, day_type)
        days = quantity * list(terms.day_types).count(day_type)
        name_en, name_zh = DAY_NAMES[day_type]
        line = PriceLine(FARE, customer, days, unit, days * unit, name_en=name_en, name_zh=name_zh)
        lines.append(line)
    return lines


def _charge_line(charge: Charge, customer: str, quantity: int) -> PriceLine:
    count, unit = quantity * charge.quantity, charge.unit_minor
    return PriceLine(
        charge.kind,
        customer,
        count,
        unit,
        count * unit,
        code=charge.code,
        name_en=charge.name_en,
        name_zh=charge.name_zh,
    )


def _as_sold(sold: Price, units: "_Units", _: "_Units") -> "tuple[_Units, _Taken]":
    """The prices per ticket less what the promotions of a sale took off."""
    offs: dict[str, int] = {}
    for line in sold.lines:
        if line.kind == PROMOTION:
            offs[line.customer_type] = offs.get(line.customer_type, 0) + line.unit_minor
    return {who: max(0, unit + offs.get(who, 0)) for who, unit in units.items()}, []


def fare_of(fares: Mapping[tuple[str, str], int], customer_type: str, day_type: str) -> int:
    """The fare in minor units; a holiday without one has the weekend's, a weekend without one the
    weekday's.

    Raises NoFare if there is none at all.
    """
    day: str | None = day_type
    while day:
        amount = fares.get((customer_type, day))
        if amount is not None:
            return amount
        day = FALLBACKS.get(day)
    raise NoFare(customer_type, day_type)


def fare_table(fares: Iterable[Fare]) -> dict[tuple[str, str], int]:
    """Fares as PriceTerms has them."""
    return {(fare.customer_type, fare.day_type): fare.amount_minor for fare in fares}


def percent_off(tiers: Iterable[Tier], party_size: int) -> int:
    """The percentage of the tier with the greatest `min_party` that the party reaches; 0 if it
    reaches none.
    """
    reached = percent = 0
    for tier in tiers:
        if reached <= tier.min_party <= party_size:
            reached, percent = tier.min_party, tier.percent_off
    return percent


def day_type(day: date, calendar: Mapping[date, str]) -> str:
    """`weekday`, `weekend` or `holiday`. The calendar overrides the week: a Saturday may be a
    working day (调休).
    """
    return calendar.get(day) or (WEEKEND if day.weekday() >= 5 else WEEKDAY)


def promotion_fault(
    promotion: Promotion | None,
    code: str,
    *,
    party_size: int,
    product_id: int,
    currency_code: str,
    now: datetime,
) -> str | None:
    """Why a code somebody typed in takes nothing off this item, to stand after its field's name;
    None if it may.

    `promotion` is the one found by the code, None if there is none. That a better promotion can win
    over this one is no fault.
    """
    if promotion is None or promotion.code != code:
        return f"{code!r} is no promotion code"
    if now < promotion.begin:
        return f"{code!r} begins at {clock_time(promotion.begin)}"
    if now >= promotion.end:
        return f"{code!r} was over at {clock_time(promotion.end)}"
    if promotion.product_ids and product_id not in promotion.product_ids:
        return f"{code!r} is for other products"
    if not promotion.takes_off(currency_code):
        return f"{code!r} is for prices in {promotion.currency_code}"
    if party_size < promotion.min_party:
        return f"{code!r} is for parties of {promotion.min_party} and more"
    return None


def parse_tiers(content: Any) -> tuple[Tier, ...]:
    """Tiers from a list of {"min_party", "percent_off"}, by ascending party.

    Raises ValueError, with what is wrong and what to send instead, if they are not such a list.
    """
    if not isinstance(content, list) or len(content) > MAX_TIERS:
        raise ValueError(f"is no list of at most {MAX_TIERS} tiers")
    tiers = []
    for entry in content:
        if not isinstance(entry, dict) or entry.keys() != {"min_party", "percent_off"}:
            raise ValueError(f"{entry!r} needs min_party and percent_off, and nothing else")
        tier = Tier(entry["min_party"], entry["percent_off"])
        if type(tier.min_party) is not int or tier.min_party < 1:
            raise ValueError(f"min_party {tier.min_party!r} is no number from 1 on")
        if type(tier.percent_off) is not int or not 0 <= tier.percent_off <= 100:
            raise ValueError(f"percent_off {tier.percent_off!r} is no number from 0 to 100")
        tiers.append(tier)
    if len({tier.min_party for tier in tiers}) < len(tiers):
        raise ValueError("has two tiers with the same min_party; keep one of them")
    return tuple(sorted(tiers, key=lambda tier: tier.min_party))


def tiers_content(tiers: Iterable[Tier]) -> list[dict[str, int]]:
    """Tiers as they are stored in JSON."""
    return [{"min_party": tier.min_party, "percent_off": tier.percent_off} for tier in tiers]


_Units = Mapping[str, int]
"""Minor units per ticket, by customer type."""
_Taken = list[tuple[Promotion, _Units]]
"""What each promotion adds to the price of a ticket: nothing, or less."""


def _less(amount_minor: int, basis_points: int) -> int:
    """What is left of an amount after a share is taken off, half-up."""
    left = BASIS_POINTS - basis_points
    return max(0, (amount_minor * left * 2 + BASIS_POINTS) // (2 * BASIS_POINTS))


def _applies(promotion: Promotion, party_size: int, terms: PriceTerms, now: datetime) -> bool:
    return (
        promotion.begin <= now < promotion.end
        and promotion.takes_off(terms.currency_code)
        and promotion.min_party <= party_size
        and (not promotion.product_ids or terms.product_id in promotion.product_ids)
    )


def _best(
    units: _Units, quantities: _Units, promotions: Sequence[Promotion]
) -> tuple[_Units, _Taken]:
    """The unit prices under the choice that costs least, and what its promotions took off."""
    if not promotions:
        return units, []
    stacked = [promotion for promotion in promotions if promotion.stackable]
    choices = [[promotion] for promotion in promotions if not promotion.stackable]
    outcomes = [_take(units, choice) for choice in (stacked, *choices)]
    return min(
        outcomes,
        key=lambda outcome: (
            sum(quantity * outcome[0][customer] for customer, quantity in quantities.items()),
            sorted(promotion.promotion_id for promotion, _ in outcome[1]),
        ),
    )


def _take(units: _Units, promotions: Sequence[Promotion]) -> tuple[_Units, _Taken]:
    """Takes every one of the promotions off."""
    taken: _Taken = []
    for promotion in sorted(promotions, key=lambda p: (not p.basis_points_off, p.promotion_id)):
        after = {
            customer: _less(unit, promotion.basis_points_off)
            if promotion.basis_points_off
            else max(0, unit - promotion.amount_off_minor)
            for customer, unit in units.items()
        }
        if after != units:
            taken.append(
                (promotion, {customer: after[customer] - units[customer] for customer in units})
            )
            units = after
    return units, taken


def _promotion_line(promotion: Promotion, customer: str, quantity: int, off: int) -> PriceLine:
    return PriceLine(
        PROMOTION,
        customer,
        quantity,
        off,
        quantity * off,
        promotion_id=promotion.promotion_id,
        code=promotion.code,
        name_en=promotion.display_name_en,
        name_zh=promotion.display_name_zh,
    )


_ALWAYS = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
"""The window of a promotion that is known to have applied."""


def _promotion_content(promotion: Promotion) -> dict[str, Any]:
    return {
        "promotion_id": promotion.promotion_id,
        "code": promotion.code,
        "name_en": promotion.display_name_en,
        "name_zh": promotion.display_name_zh,
        "basis_points_off": promotion.basis_points_off,
        "amount_off_minor": promotion.amount_off_minor,
        "min_party": promotion.min_party,
        "stackable": promotion.stackable,
        "currency_code": promotion.currency_code,
    }


def _considered(content: Mapping[str, Any]) -> Promotion:
    """From what `_promotion_content` returned: that it was in its window and for this product is
    known.
    """
    begin, end = _ALWAYS
    return Promotion(
        promotion_id=content["promotion_id"],
        code=content["code"],
        display_name_en=content["name_en"],
        display_name_zh=content["name_zh"],
        basis_points_off=content["basis_points_off"],
        amount_off_minor=content["amount_off_minor"],
        begin=begin,
        end=end,
        min_party=content["min_party"],
        product_ids=frozenset(),
        stackable=content["stackable"],
        # prices stored before amounts had a currency do not name one, and do not compare it either
        currency_code=content.get("currency_code", ""),
    )


def _line_content(line: PriceLine) -> dict[str, Any]:
    content: dict[str, Any] = {
        "kind": line.kind,
        "customer_type": line.customer_type,
        "quantity": line.quantity,
        "unit_minor": line.unit_minor,
        "amount_minor": line.amount_minor,
    }
    if line.kind == TIER:
        content["percent"] = line.percent
    elif line.kind == PROMOTION or line.name_en:
        content["promotion_id"] = line.promotion_id
        content["code"] = line.code
        content["name_en"] = line.name_en
        content["name_zh"] = line.name_zh
    return content
