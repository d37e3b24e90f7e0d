"""What the levels of a line of sale get: it adds up to the price, whatever the rounding."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.partners.commission import MAX_LEVELS, WHOLE, SaleLevel, line_of_sale, split


@st.composite
def lines(draw: st.DrawFn) -> list[int]:
    """Commissions of up to MAX_LEVELS that are at most the whole together."""
    cuts = draw(st.lists(st.integers(0, WHOLE), max_size=MAX_LEVELS + 1))
    return [below - above for above, below in pairwise(sorted(cuts))]


@given(st.integers(0, 10**15), lines())
@example(1, [5_000, 5_000])
@example(5, [3_333, 3_333, 3_334])
@example(0, [WHOLE])
def test_the_parts_are_the_price(gross_minor: int, commissions: list[int]) -> None:
    """None is negative, nor a whole minor unit off its exact share; each level sells for what the
    one below it owes it.

    Seen red with each commission rounded half-up by itself: of 1 two halves of 1 each.
    """
    shares = split(gross_minor, commissions)
    left = shares[0].net_price_minor if shares else gross_minor
    assert sum(share.commission_minor for share in shares) + left == gross_minor
    sold_for = [*(share.net_price_minor for share in shares[1:]), gross_minor]
    for share, price in zip(shares, sold_for[: len(shares)], strict=True):
        assert share.commission_minor + share.net_price_minor == price
    assert min([left, *(share.commission_minor for share in shares)]) >= 0
    for share, commission in zip(shares, commissions, strict=True):
        exact = Fraction(gross_minor * commission, WHOLE)
        assert abs(share.commission_minor - exact) <= 1
    assert abs(left - Fraction(gross_minor * (WHOLE - sum(commissions)), WHOLE)) <= Fraction(1, 2)


@given(st.integers(0, 10**9), lines(), st.integers(0, MAX_LEVELS))
def test_what_is_above_a_level_does_not_change_what_it_keeps(
    gross_minor: int, commissions: list[int], above: int
) -> None:
    """A share of the gross: of a line that begins further down each level keeps the same."""
    assert split(gross_minor, commissions[above:]) == split(gross_minor, commissions)[above:]


@pytest.mark.parametrize(
    ("gross_minor", "commissions", "expected"),
    [
        (12_000, [], []),
        (12_000, [1_000], [(1_200, 10_800)]),
        # the wholesaler keeps 5 % of 120.00, the shop 10 % of it
        (12_000, [500, 1_000], [(600, 10_200), (1_200, 10_800)]),
        # half a minor unit stays above: what is owed is rounded half-up
        (1, [5_000], [(0, 1)]),
        (3, [5_000], [(1, 2)]),
        # a level that keeps nothing passes all of it on
        (12_000, [0, 2_500], [(0, 9_000), (3_000, 9_000)]),
        (12_000, [10_000], [(12_000, 0)]),
    ],
)
def test_shares(gross_minor: int, commissions: list[int], expected: list[tuple[int, int]]) -> None:
    assert [tuple(share) for share in split(gross_minor, commissions)] == expected


@pytest.mark.parametrize("commissions", [[5_000, 5_001], [-1, 5]])
def test_no_line_keeps_more_than_there_is(commissions: list[int]) -> None:
    with pytest.raises(ValueError, match="basis points"):
        split(100, commissions)


def test_the_line_of_a_snapshot_says_it_of_each_fare() -> None:
    fares = [
        {"customer_type": "ADULT", "day_type": "weekday", "amount_minor": 1_001},
        {"customer_type": "CHILD", "day_type": "holiday", "amount_minor": 500},
    ]
    top, seller = line_of_sale([SaleLevel("A", 1_000), SaleLevel("B", 333)], fares)
    assert (top["distributor_id"], seller["distributor_id"]) == ("A", "B")
    assert seller["commission_basis_points"] == 333
    assert top["amounts"] == [
        {
            "customer_type": "ADULT",
            "day_type": "weekday",
            "commission_minor": 100,
            "net_price_minor": 868,
        },
        {
            "customer_type": "CHILD",
            "day_type": "holiday",
            "commission_minor": 50,
            "net_price_minor": 433,
        },
    ]
    assert [each["net_price_minor"] for each in seller["amounts"]] == [968, 483]
    assert line_of_sale([], fares) == []
