"""The model that travellers' orders are measured against notices what cannot be."""

import pytest

from tests.support import traveller_model as model
from tests.support.traveller_model import Family, Now, Order, Step

TERMS = model.Terms(refund_fee=500, change_fee=1000, changes_allowed=1)
START = frozenset({Family((Order((10_000, 10_000), 20_000),), TERMS)})
BEFORE, AFTER = Now(frozenset(), refunds_close=False), Now(frozenset({0}), refunds_close=False)


def told(*seen: tuple[Step, object], now: Now = BEFORE) -> frozenset[Family]:
    """What is left of the models after these answers."""
    families = START
    for step, answer in seen:
        families = model.explain(families, step, answer, now)
    return families


PAYING: tuple[tuple[Step, object], ...] = (
    (model.ask_payment(0, BEFORE), "OK"),
    (model.pay(0), "OK"),
)
PAID: tuple[tuple[Step, object], ...] = (*PAYING, (model.read_order(0), ("PAID", "", 2)))


@pytest.mark.parametrize(
    "wrong",
    [
        ((model.read_order(0), ("PAID", "", 2)),),
        (*PAYING, (model.read_order(0), ("PENDING", "", 2))),
        (*PAYING, (model.read_order(0), ("PAID", "", 0))),
        (*PAYING, (model.read_order(0), ("CANCELLED", "HOLD_EXPIRED", 0))),
        (*PAID, (model.cancel(0), "OK")),
        (*PAID, (model.redeem(0, 0), "SUCCESS"), (model.redeem(0, 0), "SUCCESS")),
        (*PAID, (model.redeem(0, 0), "SUCCESS"), (model.refund(0, [0], 1), "OK")),
        (*PAID, (model.refund(0, [0], 1), "OK"), (model.refund(0, [0], 2), "OK")),
        (*PAID, (model.quote_refund(0, [0, 1]), 20_000)),
        (*PAID, (model.quote_change(0, 0, 20_000), (10_000, 0))),
        (
            *PAID,
            (model.change(0, 0, 20_000, scarce=False), ("OK", "PENDING")),
            (model.redeem(0, 0), "SUCCESS"),
        ),
        (*PAID, (model.change(0, 0, 1_000, scarce=False), ("OK", "PENDING"))),
    ],
)
def test_what_cannot_be_is_noticed(wrong: tuple[tuple[Step, object], ...]) -> None:
    assert told(*wrong[:-1])
    assert not told(*wrong)


def test_a_late_payment_is_honoured_or_returned() -> None:
    late = told(*PAYING, (model.read_order(0), ("CANCELLED", "HOLD_EXPIRED", 0)), now=AFTER)
    assert {family.net_minor() for family in model.at_rest(late, AFTER)} == {20_000}
    cancelled = told(*PAYING, (model.cancel(0), "OK"))
    assert {family.net_minor() for family in model.at_rest(cancelled, BEFORE)} == {0}


def test_what_is_changed_and_given_back_is_counted() -> None:
    """20,000 are paid; one ticket becomes one of 1,000 for a fee of 1,000, the other goes back less 500."""
    steps: list[tuple[Step, object]] = [
        *PAID,
        (model.change(0, 0, 1_000, scarce=False), ("OK", "PAID")),
        (model.refund(0, [1], 1), "OK"),
        (model.read_tickets(0), ("CHANGED", "REFUNDED")),
    ]
    assert {family.net_minor() for family in told(*steps)} == {20_000 - 8_000 - 9_500}
