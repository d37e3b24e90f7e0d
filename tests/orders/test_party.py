"""What leaves with tickets of a party: its discount is worked out again for those who stay."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.catalog.pricing import Fare as OneFare
from server.catalog.pricing import (
    Price,
    PriceTerms,
    Tier,
    fare_table,
    percent_off,
    price,
    price_again,
)
from server.orders.party import Party, PartyMember
from tests.support.promotions import NOW, a_promotion

FARES = fare_table([OneFare("ADULT", "weekday", 10_000), OneFare("CHILD", "weekday", 5_001)])
FIVE = (Tier(5, 20),)


def sold(party: Sequence[str], tiers: Sequence[Tier], *promotions: object) -> tuple[Price, Party]:
    """A party as it was sold, and its price."""
    terms = PriceTerms(1, "CNY", "weekday", FARES, tiers)
    found = price(terms, party, promotions, NOW)  # type: ignore[arg-type]
    kept = Price.parse(found.content())
    members = [
        PartyMember(number, who, paid)
        for number, (who, paid) in enumerate(zip(party, found.ticket_minor, strict=True), 1)
    ]

    def again(rest: Sequence[str]) -> int:
        return price_again(kept, terms, rest).total_minor

    return found, Party(members, 0, again)


def leave(party: Party, ticket_ids: set[int]) -> tuple[int, Party]:
    """What leaves with tickets, and the party after it."""
    values = party.values(ticket_ids)
    lost = sum(m.paid_minor - values[m.ticket_id] for m in party.members if m.ticket_id in values)
    rest = [member for member in party.members if member.ticket_id not in ticket_ids]
    return sum(values.values()), Party(rest, party.kept_minor + lost, party.price)


def test_four_of_five_give_back() -> None:
    """Five pay 40,000; whoever travels alone pays 10,000 in the end, not 8,000."""
    _, party = sold(["ADULT"] * 5, FIVE)
    gone, rest = leave(party, {1, 2, 3, 4})
    assert gone == 30_000
    assert (rest.kept_minor, rest.paid_minor) == (2_000, 10_000)
    # and gets all of that back
    assert leave(rest, {5})[0] == 10_000
    assert rest.credit_minor(5) == 10_000


@pytest.mark.parametrize(
    ("rounds", "gone"),
    [
        ([{1, 2, 3, 4}], [30_000]),
        ([{1}, {2}, {3}, {4}], [0, 10_000, 10_000, 10_000]),
        ([{1, 2}, {3, 4}], [10_000, 20_000]),
        ([{1}, {2, 3, 4, 5}], [0, 40_000]),
        ([{1, 2, 3, 4, 5}], [40_000]),
    ],
)
def test_rounds_are_as_much_as_once(rounds: list[set[int]], gone: list[int]) -> None:
    _, party = sold(["ADULT"] * 5, FIVE)
    found = []
    for ticket_ids in rounds:
        amount, party = leave(party, ticket_ids)
        found.append(amount)
    assert found == gone


def test_never_below_zero_and_nothing_is_taken_back() -> None:
    """Six with 30 per cent off pay 42,000, five 35,000, four 40,000."""
    tiers = (Tier(5, 30),)
    _, party = sold(["ADULT"] * 6, tiers)
    assert leave(party, {1, 2})[0] == 2_000
    first, rest = leave(party, {1})
    second, rest = leave(rest, {2})
    assert (first, second) == (7_000, 0)
    assert leave(rest, {3, 4, 5, 6})[0] == 35_000


def test_a_promotion_for_parties_ends_with_the_party() -> None:
    large = a_promotion(1, basis_points_off=5_000, min_party=3, stackable=False)
    small = a_promotion(2, amount_off_minor=1_000)
    found, party = sold(["ADULT"] * 3, (), large, small)
    assert (found.total_minor, found.promotion_ids) == (15_000, (1,))
    # the other one applied too, and is had by the two who stay
    assert leave(party, {1})[0] == 0
    assert leave(party, {1, 2})[0] == 15_000 - 9_000


def test_a_change_takes_no_discount_along_that_nobody_has_left() -> None:
    """Together one promotion is the best, of which the child alone has another: 8,851 and 5,900
    + 2,001.
    """
    share = a_promotion(1, basis_points_off=4_100, stackable=False)
    amount = a_promotion(2, amount_off_minor=3_000, stackable=False)
    found, party = sold(["ADULT", "CHILD"], (), share, amount)
    assert (found.ticket_minor, party.price(["CHILD"])) == ((5_900, 2_951), 2_001)
    assert (party.credit_minor(1), party.credit_minor(2)) == (5_900, 2_951)


def test_a_price_stored_before_promotions_were_kept() -> None:
    """Its tier is worked out again, and what its promotion took off is taken off again."""
    found, _ = sold(["ADULT"] * 5, FIVE, a_promotion(1, amount_off_minor=500, min_party=5))
    content = found.content()
    del content["considered"]
    again = price_again(
        Price.parse(content), PriceTerms(1, "CNY", "weekday", FARES, FIVE), ["ADULT"]
    )
    assert (found.total_minor, again.total_minor) == (37_500, 9_500)


def test_the_lost_discount_is_shared_out_in_proportion() -> None:
    _, party = sold(["ADULT", "ADULT", "ADULT", "CHILD", "CHILD"], FIVE)
    values = party.values({1, 4})
    # 40,000 less 16,000 and 8,002 are what those who stay pay more
    assert sum(values.values()) == 32_002 - 25_001
    assert values == {1: 4_667, 4: 2_334}


def test_whom_the_operator_makes_leave_takes_nothing_from_those_who_stay() -> None:
    _, party = sold(["ADULT"] * 5, FIVE)
    assert party.values({1, 2}, keep_discount=True) == {1: 8_000, 2: 8_000}
    assert party.credit_minor(1) == 8_000
    _, rest = leave(party, {1, 2, 3, 4})
    assert rest.values({5}, keep_discount=True) == {5: 10_000}
    # never more than is left of what was paid
    assert Party(party.members[:2], -6_000, party.price).values({1, 2}, keep_discount=True) == {
        1: 5_000,
        2: 5_000,
    }


def test_free_tickets_take_along_what_is_left() -> None:
    members = [PartyMember(1, "ADULT", 0), PartyMember(2, "ADULT", 0)]
    assert Party(members, 0, lambda _: 0).values({1, 2}) == {1: 0, 2: 0}
    assert Party(members, 700, lambda _: 0).values({1, 2}) == {1: 700, 2: 0}
    assert Party(members, 0, lambda _: 0).values(set()) == {}


parties = st.lists(st.sampled_from(["ADULT", "CHILD"]), min_size=1, max_size=9)
tiers = st.lists(
    st.builds(Tier, st.integers(1, 9), st.integers(0, 100)),
    max_size=3,
    unique_by=lambda tier: tier.min_party,
)
offers = st.lists(
    st.builds(
        lambda number, points, amount, least, stackable: a_promotion(
            number,
            basis_points_off=points,
            amount_off_minor=0 if points else amount,
            min_party=least,
            stackable=stackable,
        ),
        st.integers(1, 9),
        st.sampled_from([0, 0, 500, 3_333]),
        st.integers(1, 3_000),
        st.integers(1, 6),
        st.booleans(),
    ),
    max_size=3,
    unique_by=lambda promotion: promotion.promotion_id,
)


@given(parties, tiers, offers, st.randoms(use_true_random=False))
def test_money_is_neither_made_nor_lost(
    who: list[str], steps: list[Tier], promotions: list[object], random: object
) -> None:
    """In any order and rounds: what left and what stays are what was paid, and who stays never
    pays above the price.
    """
    found, party = sold(who, steps, *promotions)
    assert party.price(who) == found.total_minor
    left, gone = [m.ticket_id for m in party.members], 0
    random.shuffle(left)  # type: ignore[attr-defined]
    prices = [party.price(who)]
    while left:
        size = random.randint(1, len(left))  # type: ignore[attr-defined]
        ticket_ids, left = set(left[:size]), left[size:]
        values = party.values(ticket_ids)
        assert all(value >= 0 for value in values.values())
        before = party
        amount, party = leave(party, ticket_ids)
        assert before.paid_minor - amount == party.paid_minor
        gone += amount
        assert gone + party.paid_minor == found.total_minor
        prices.append(party.price([m.customer_type for m in party.members]) if left else 0)
        # the least that any party on the way cost
        assert party.paid_minor == min(prices)
    assert gone == found.total_minor


@given(parties, st.integers(0, 100))
def test_a_price_worked_out_again_is_the_price(who: list[str], percent: int) -> None:
    """What a tier gives a smaller party is what it would have given it at once."""
    steps = (Tier(3, percent),)
    whole, _ = sold(["ADULT"] * 9, steps)
    again = price_again(whole, PriceTerms(1, "CNY", "weekday", FARES, steps), who)
    assert again.total_minor == sold(who, steps)[0].total_minor
    assert percent_off(steps, len(who)) == (percent if len(who) >= 3 else 0)
