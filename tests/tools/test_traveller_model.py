"""The model that travellers' orders are measured against notices what cannot be."""

import pytest

from tests.support import traveller_model as model
from tests.support import traveller_steps as steps
from tests.support.traveller_model import Family, Now, Order
from tests.support.traveller_steps import Step

TERMS = model.Terms(
    refund_fee=500, change_fee=1000, changes_allowed=1, refund_percent=80, tiers=((2, 10),)
)
START = frozenset({Family((Order((9_000, 9_000), 18_000, 10_000),), TERMS)})
BEFORE, AFTER = Now(frozenset(), refunds_close=False), Now(frozenset({0}), refunds_close=False)
CLOSES = Now(frozenset(), refunds_close=True)


def explained(*seen: tuple[Step, object], now: Now = BEFORE) -> frozenset[Family]:
    """What is left of the models after these answers."""
    families = START
    for step, answer in seen:
        families = steps.explain(families, step, answer, now)
    return families


PAYING: tuple[tuple[Step, object], ...] = (
    (steps.ask_payment(0, BEFORE), "OK"),
    (steps.pay(0), "OK"),
)
PAID: tuple[tuple[Step, object], ...] = (*PAYING, (steps.read_order(0), ("PAID", "", 2)))
# one of two at 10 per cent off leaves: 18,000 less 10,000 for who stays, 80 per cent of that, less
# the fee
ONE = 8_000 * 8 // 10 - 500
BOTH = 2 * (9_000 * 8 // 10 - 500)


def refund(*tickets: int, number: int, quoted: int, shared: bool = False) -> Step:
    return steps.refund(0, tickets, number, (quoted, shared))


DEARER = steps.change(0, 0, 20_000, (12_000, 0, 9_000), scarce=False)


@pytest.mark.parametrize(
    "wrong",
    [
        ((steps.read_order(0), ("PAID", "", 2)),),
        (*PAYING, (steps.read_order(0), ("PENDING", "", 2))),
        (*PAYING, (steps.read_order(0), ("PAID", "", 0))),
        (*PAYING, (steps.read_order(0), ("CANCELLED", "HOLD_EXPIRED", 0))),
        (*PAID, (steps.cancel(0), "OK")),
        (*PAID, (steps.redeem(0, 0), "SUCCESS"), (steps.redeem(0, 0), "SUCCESS")),
        (*PAID, (steps.redeem(0, 0), "SUCCESS"), (refund(0, number=1, quoted=ONE), "OK")),
        (
            *PAID,
            (refund(0, number=1, quoted=ONE), "OK"),
            (refund(0, number=2, quoted=ONE), "OK"),
        ),
        (*PAID, (steps.quote_refund(0, [0, 1]), (BOTH + 1, True))),
        # the discount of those who stay is not given back with who leaves
        (*PAID, (steps.quote_refund(0, [0]), (9_000 * 8 // 10 - 500, False))),
        (*PAID, (steps.quote_change(0, 0, 20_000), (11_000, 0, 9_000))),
        # of a difference no more than of a refund
        (*PAID, (steps.quote_change(0, 0, 4_000), (0, 4_000, 9_000))),
        (*PAID, (DEARER, ("OK", "PENDING")), (steps.redeem(0, 0), "SUCCESS")),
        (*PAID, (steps.change(0, 0, 1_000, (0, 5_400, 9_000), scarce=False), ("OK", "PENDING"))),
        # a block holds, and is no state: it goes along with a change
        (*PAID, (steps.block(0, 0, blocked=True), "OK"), (steps.redeem(0, 0), "SUCCESS")),
        (*PAID, (steps.block(0, 0, blocked=True), "OK"), (DEARER, ("OK", "PENDING"))),
        (
            *PAID,
            (DEARER, ("OK", "PENDING")),
            (steps.block(0, 0, blocked=True), "OK"),
            (steps.pay(1), "OK"),
            (steps.read_order(1), ("PAID", "", 1)),
            (steps.redeem(1, 0), "SUCCESS"),
        ),
        # what is shared stays while one ticket is there, and holds the last if it was used
        (*PAID, (steps.quote_refund(0, [0]), (ONE, True))),
        (*PAID, (steps.redeem_shared(), "SUCCESS"), (steps.redeem_shared(), "SUCCESS")),
        (*PAID, (steps.redeem_shared(), "SUCCESS"), (steps.quote_refund(0, [0, 1]), (BOTH, True))),
    ],
)
def test_what_cannot_be_is_noticed(wrong: tuple[tuple[Step, object], ...]) -> None:
    assert explained(*wrong[:-1])
    assert not explained(*wrong)


def test_a_late_payment_is_honoured_or_returned() -> None:
    late = explained(*PAYING, (steps.read_order(0), ("CANCELLED", "HOLD_EXPIRED", 0)), now=AFTER)
    assert {family.net_minor() for family in model.at_rest(late, AFTER)} == {18_000}
    cancelled = explained(*PAYING, (steps.cancel(0), "OK"))
    assert {family.net_minor() for family in model.at_rest(cancelled, BEFORE)} == {0}


def test_what_is_changed_and_given_back_is_counted() -> None:
    """18,000 are paid; one ticket becomes one of 1,000, of the 8,000 less 80 per cent come back
    less 1,000.
    """
    changed = (steps.change(0, 0, 1_000, (0, 5_400, 9_000), scarce=False), ("OK", "PAID"))
    # who stays travels alone by now: of 9,000 nothing is kept for anybody
    rest = 9_000 * 8 // 10 - 500
    families = explained(
        *PAID,
        changed,
        (refund(1, number=1, quoted=rest), "OK"),
        (steps.read_tickets(0), (("CHANGED", "REFUNDED"), "ACTIVE")),
    )
    assert {family.net_minor() for family in families} == {18_000 - 5_400 - rest}


def test_what_is_shared_ends_with_the_last() -> None:
    """Be it given back along with it or behind two refunds; one that is closed brings it back."""
    both = explained(*PAID, (refund(0, 1, number=1, quoted=BOTH, shared=True), "OK"))
    assert {family.shared for family in model.at_rest(both, BEFORE)} == {"REFUNDED"}
    assert {family.shown(0) for family in model.at_rest(both, BEFORE)} == {
        ("CANCELLED", "REFUNDED")
    }
    # the discount that the first left behind goes with the second
    rest = 10_000 * 8 // 10 - 500
    apart = (
        *PAID,
        (refund(0, number=1, quoted=ONE), "OK"),
        (steps.quote_refund(0, [1]), (rest, False)),
        (refund(1, number=2, quoted=rest), "OK"),
    )
    given = model.at_rest(explained(*apart), BEFORE)
    assert {(family.shared, family.net_minor()) for family in given} == {
        ("REFUNDED", 18_000 - ONE - rest)
    }
    closed = explained(*apart, now=CLOSES)
    assert {"ACTIVE", "REFUNDED"} == {family.shared for family in model.at_rest(closed, CLOSES)}
