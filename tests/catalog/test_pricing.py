"""The price of a party: fares and days, tiers, which promotions win, rounding, and a model in
fractions.
"""

import json
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.catalog.pricing import (
    Fare,
    NoFare,
    Price,
    PriceLine,
    PriceTerms,
    Promotion,
    Tier,
    day_type,
    fare_of,
    fare_table,
    parse_tiers,
    price,
    promotion_fault,
    tiers_content,
)
from tests.support.promotions import NOW, a_promotion

FARES = fare_table(
    [
        Fare("ADULT", "weekday", 10_000),
        Fare("ADULT", "weekend", 11_000),
        Fare("ADULT", "holiday", 12_500),
        Fare("CHILD", "weekday", 5_005),
    ]
)


def priced(
    *party: str,
    day: str = "weekday",
    tiers: Iterable[Tier] = (),
    promotions: Iterable[Promotion] = (),
    now: datetime = NOW,
) -> Price:
    return price(PriceTerms(106, "CNY", day, FARES, tuple(tiers)), party, promotions, now)


@pytest.mark.parametrize(
    ("customer", "day", "amount"),
    [
        ("ADULT", "weekday", 10_000),
        ("ADULT", "weekend", 11_000),
        ("ADULT", "holiday", 12_500),
        ("CHILD", "weekend", 5_005),
        ("CHILD", "holiday", 5_005),
    ],
)
def test_a_day_without_a_fare_has_that_of_a_plainer_day(
    customer: str, day: str, amount: int
) -> None:
    assert fare_of(FARES, customer, day) == amount


def test_a_holiday_falls_back_to_the_weekend_first() -> None:
    fares = {("PET", "weekday"): 100, ("PET", "weekend"): 0}
    assert fare_of(fares, "PET", "holiday") == 0


@pytest.mark.parametrize(
    ("customer", "day"), [("PET", "weekday"), ("PET", "holiday"), ("", "weekday")]
)
def test_a_customer_type_without_a_fare_is_an_error(customer: str, day: str) -> None:
    with pytest.raises(NoFare) as caught:
        priced("ADULT", customer, day=day)
    assert (caught.value.customer_type, caught.value.day_type) == (customer, day)


def test_a_weekday_has_no_dearer_fare() -> None:
    with pytest.raises(NoFare):
        fare_of({("ADULT", "weekend"): 1}, "ADULT", "weekday")


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        (date(2026, 12, 24), "weekday"),
        (date(2026, 12, 25), "holiday"),
        (date(2026, 12, 26), "weekend"),
        (date(2026, 12, 27), "weekday"),  # a Sunday worked for the day off
    ],
)
def test_the_calendar_overrides_the_week(day: date, kind: str) -> None:
    assert day_type(day, {date(2026, 12, 25): "holiday", date(2026, 12, 27): "weekday"}) == kind


@pytest.mark.parametrize(("size", "percent"), [(1, 0), (2, 5), (4, 5), (5, 20), (9, 20)])
def test_the_greatest_tier_that_is_reached_applies(size: int, percent: int) -> None:
    for tiers in ([Tier(2, 5), Tier(5, 20)], [Tier(5, 20), Tier(2, 5)]):
        assert priced(*["ADULT"] * size, tiers=tiers).total_minor == size * (100 - percent) * 100


def test_every_ticket_counts_in_the_size_of_the_party() -> None:
    assert priced("ADULT", "CHILD", tiers=[Tier(2, 10)]).ticket_minor == (9_000, 4_505)


def test_lines_stand_by_customer_type_with_each_step() -> None:
    promotion = a_promotion(3, code="SUMMER", amount_off_minor=200)
    found = priced("CHILD", "ADULT", "CHILD", tiers=[Tier(3, 10)], promotions=[promotion])
    names: dict[str, Any] = {"code": "SUMMER", "name_en": "promotion 3", "name_zh": "优惠3"}
    assert found.lines == (
        PriceLine("FARE", "CHILD", 2, 5_005, 10_010),
        PriceLine("TIER", "CHILD", 2, -500, -1_000, percent=10),  # 4,504.5 is left, and rounded up
        PriceLine("PROMOTION", "CHILD", 2, -200, -400, promotion_id=3, **names),
        PriceLine("FARE", "ADULT", 1, 10_000, 10_000),
        PriceLine("TIER", "ADULT", 1, -1_000, -1_000, percent=10),
        PriceLine("PROMOTION", "ADULT", 1, -200, -200, promotion_id=3, **names),
    )
    assert found.ticket_minor == (4_305, 8_800, 4_305)
    assert (found.total_minor, found.promotion_ids) == (17_410, (3,))


@pytest.mark.parametrize(
    ("amount", "basis_points", "left"),
    [(1, 5_000, 1), (3, 5_000, 2), (10, 500, 10), (10, 501, 9), (5, 9_999, 0), (5_000, 9_999, 1)],
)
def test_half_a_minor_unit_is_rounded_up(amount: int, basis_points: int, left: int) -> None:
    terms = PriceTerms(1, "CNY", "weekday", {("ADULT", "weekday"): amount})
    found = price(terms, ["ADULT"], [a_promotion(1, basis_points_off=basis_points)], NOW)
    assert found.total_minor == left


def test_a_price_is_never_below_zero() -> None:
    found = priced("ADULT", "CHILD", promotions=[a_promotion(1, amount_off_minor=7_000)])
    assert found.ticket_minor == (3_000, 0)
    assert [line.unit_minor for line in found.lines] == [10_000, -7_000, 5_005, -5_005]


def test_shares_come_off_before_amounts_whatever_their_ids() -> None:
    promotions = [
        a_promotion(1, amount_off_minor=1_000),
        a_promotion(3, basis_points_off=1_000),
        a_promotion(2, basis_points_off=5_000),
    ]
    found = priced("ADULT", promotions=promotions)
    assert [line.promotion_id for line in found.lines] == [0, 2, 3, 1]
    assert (found.total_minor, found.promotion_ids) == (3_500, (1, 2, 3))


HALF = a_promotion(5, basis_points_off=5_000, stackable=False)
SECOND_HALF = a_promotion(6, amount_off_minor=5_000, stackable=False)


@pytest.mark.parametrize(
    ("promotions", "ids", "total"),
    [
        ([HALF, a_promotion(1, amount_off_minor=4_999)], (5,), 5_000),
        ([HALF, a_promotion(1, amount_off_minor=5_001)], (1,), 4_999),
        (
            [HALF, a_promotion(1, amount_off_minor=2_600), a_promotion(9, amount_off_minor=2_600)],
            (1, 9),
            4_800,
        ),
        ([HALF, SECOND_HALF], (5,), 5_000),
        ([HALF, a_promotion(4, amount_off_minor=5_000)], (4,), 5_000),
        ([HALF, a_promotion(7, amount_off_minor=5_000)], (5,), 5_000),
    ],
)
def test_what_excludes_others_wins_only_if_it_costs_less_or_has_the_lower_id(
    promotions: list[Promotion], ids: tuple[int, ...], total: int
) -> None:
    for order in (promotions, promotions[::-1]):
        found = priced("ADULT", promotions=order)
        assert (found.promotion_ids, found.total_minor) == (ids, total)


def test_the_whole_party_decides_which_promotion_costs_less() -> None:
    promotions = [HALF, a_promotion(1, amount_off_minor=4_000)]
    assert priced("ADULT", promotions=promotions).promotion_ids == (5,)
    assert priced("CHILD", promotions=promotions).promotion_ids == (1,)
    assert priced("ADULT", "CHILD", promotions=promotions).promotion_ids == (1,)


def test_a_promotion_that_takes_nothing_off_does_not_count() -> None:
    free = a_promotion(1, amount_off_minor=20_000)
    found = priced("ADULT", promotions=[free, a_promotion(2, amount_off_minor=5)])
    assert (found.total_minor, found.promotion_ids, len(found.lines)) == (0, (1,), 2)


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"begin": NOW + timedelta(seconds=1)}, "begins"),
    ({"begin": NOW - timedelta(days=1), "end": NOW}, "over"),
    ({"min_party": 2}, "parties of 2"),
    ({"product_ids": frozenset({107, 108})}, "other products"),
    ({"currency_code": "HKD"}, "prices in HKD"),
]


@pytest.mark.parametrize(("values", "fault"), FAULTS)
def test_what_does_not_apply_takes_nothing_off_and_says_why(
    values: dict[str, Any], fault: str
) -> None:
    promotion = a_promotion(1, code="SUMMER", amount_off_minor=100, **values)
    assert priced("ADULT", promotions=[promotion]) == priced("ADULT")
    found = promotion_fault(
        promotion, "SUMMER", party_size=1, product_id=106, currency_code="CNY", now=NOW
    )
    assert found is not None
    assert fault in found


def test_an_amount_is_of_a_currency_and_a_share_of_all() -> None:
    """2,000 fen off is not 2,000 cents off."""
    amount, share = a_promotion(1, amount_off_minor=2_000), a_promotion(2, basis_points_off=1_000)
    for promotion, currency_code, total in (
        (amount, "CNY", 8_000),
        (amount, "HKD", 10_000),
        (amount, "", 10_000),
        (share, "CNY", 9_000),
        (share, "HKD", 9_000),
    ):
        terms = PriceTerms(106, currency_code, "weekday", FARES)
        found = price(terms, ["ADULT"], [promotion], NOW)
        assert found.total_minor == total


def test_a_code_is_its_own_promotions() -> None:
    facts: dict[str, Any] = {
        "party_size": 1,
        "product_id": 106,
        "currency_code": "CNY",
        "now": NOW,
    }
    promotion = a_promotion(1, code="SUMMER", product_ids=frozenset({106}))
    assert promotion_fault(promotion, "SUMMER", **facts) is None
    assert promotion_fault(promotion, "WINTER", **facts)
    assert promotion_fault(None, "SUMMER", **facts)


def test_nobody_pays_nothing() -> None:
    assert priced() == Price(0, (), (), ())


@pytest.mark.parametrize(
    "content",
    [
        None,
        {"min_party": 1, "percent_off": 1},
        [1],
        [{"min_party": 2}],
        [{"min_party": 2, "percent_off": 5, "name": "x"}],
        [{"min_party": 0, "percent_off": 5}],
        [{"min_party": True, "percent_off": 5}],
        [{"min_party": 2, "percent_off": 101}],
        [{"min_party": 2, "percent_off": 5.0}],
        [{"min_party": 2, "percent_off": 5}, {"min_party": 2, "percent_off": 6}],
        [{"min_party": size, "percent_off": 5} for size in range(1, 22)],
    ],
)
def test_tiers_that_are_none_are_refused(content: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_tiers(content)


def test_tiers_come_back_in_order() -> None:
    tiers = (Tier(2, 5), Tier(5, 100))
    assert parse_tiers(tiers_content(tiers[::-1])) == tiers


amounts = st.integers(0, 100_000)
customers = st.sampled_from(["ADULT", "CHILD", "SENIOR", "PET"])
parties = st.lists(customers, max_size=9)
all_fares = st.fixed_dictionaries(
    {(customer, "weekday"): amounts for customer in ("ADULT", "CHILD", "SENIOR", "PET")}
)
all_tiers = st.lists(
    st.builds(Tier, st.integers(1, 9), st.integers(0, 100)),
    max_size=3,
    unique_by=lambda tier: tier.min_party,
)
kinds = st.one_of(
    st.integers(1, 10_000).map(lambda points: {"basis_points_off": points}),
    st.integers(1, 60_000).map(lambda amount: {"amount_off_minor": amount}),
)
all_promotions = st.lists(
    st.builds(
        lambda number, kind, rest: a_promotion(number, **kind, **rest),
        st.integers(1, 30),
        kinds,
        st.fixed_dictionaries(
            {
                "stackable": st.booleans(),
                "min_party": st.integers(1, 4),
                "product_ids": st.sampled_from([frozenset(), frozenset({1, 2}), frozenset({2})]),
                "end": st.sampled_from([NOW, NOW + timedelta(hours=1)]),
            }
        ),
    ),
    max_size=6,
    unique_by=lambda promotion: promotion.promotion_id,
)


def half_up(amount: Fraction) -> int:
    return floor(amount + Fraction(1, 2))


def model(
    fares: dict[tuple[str, str], int], party: list[str], tiers: list[Tier], all_: list[Promotion]
) -> int:
    """The least that any allowed choice costs, in fractions and ticket by ticket."""
    percent = max(
        ((tier.min_party, tier.percent_off) for tier in tiers if tier.min_party <= len(party)),
        default=(0, 0),
    )[1]
    usable = [
        promotion
        for promotion in all_
        if promotion.end > NOW
        and promotion.min_party <= len(party)
        and (not promotion.product_ids or 1 in promotion.product_ids)
    ]
    shares_first = sorted(usable, key=lambda p: (p.amount_off_minor > 0, p.promotion_id))
    choices = [[p for p in shares_first if p.stackable]]
    choices += [[p] for p in usable if not p.stackable]
    totals = []
    for choice in choices:
        total = 0
        for customer in party:
            left = half_up(fares[customer, "weekday"] * (1 - Fraction(percent, 100)))
            for promotion in choice:
                left = half_up(left * (1 - Fraction(promotion.basis_points_off, 10_000)))
                left = max(0, left - promotion.amount_off_minor)
            total += left
        totals.append(total)
    return min(totals)


@given(all_fares, parties, all_tiers, all_promotions)
def test_sums_are_exact_and_equal_to_the_model(
    fares: dict[tuple[str, str], int],
    party: list[str],
    tiers: list[Tier],
    promotions: list[Promotion],
) -> None:
    found = price(PriceTerms(1, "CNY", "weekday", fares, tiers), party, promotions, NOW)
    assert found.total_minor == model(fares, party, tiers, promotions)
    assert sum(line.amount_minor for line in found.lines) == found.total_minor
    assert sum(found.ticket_minor) == found.total_minor
    assert all(line.amount_minor == line.quantity * line.unit_minor for line in found.lines)
    assert all((line.amount_minor < 0) == (line.kind != "FARE") for line in found.lines)
    assert len(found.ticket_minor) == len(party)
    for customer, paid in zip(party, found.ticket_minor, strict=True):
        units = [line.unit_minor for line in found.lines if line.customer_type == customer]
        assert 0 <= paid == sum(units)
    assert set(found.promotion_ids) == {line.promotion_id for line in found.lines} - {0}
    exclusive = {p.promotion_id for p in promotions if not p.stackable}
    assert len(found.promotion_ids) == 1 or not exclusive & set(found.promotion_ids)
    assert Price.parse(json.loads(json.dumps(found.content()))) == found


@given(all_fares, parties, all_tiers, all_promotions, st.randoms())
def test_neither_order_nor_more_promotions_make_it_dearer(
    fares: dict[tuple[str, str], int],
    party: list[str],
    tiers: list[Tier],
    promotions: list[Promotion],
    random: Any,
) -> None:
    def found(chosen: list[Promotion], table: dict[tuple[str, str], int] = fares) -> Price:
        return price(PriceTerms(1, "CNY", "weekday", table, tiers), party, chosen, NOW)

    whole = found(promotions)
    assert found(random.sample(promotions, len(promotions))) == whole
    assert whole.total_minor <= found(promotions[1:]).total_minor
    dearer = {key: amount + random.randrange(100) for key, amount in fares.items()}
    assert found(promotions, dearer).total_minor >= whole.total_minor
