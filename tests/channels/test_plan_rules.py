"""Price plans: rounded once, half-up, in any currency."""

import pytest

from server.channels.plan_rules import plan_price


@pytest.mark.parametrize(
    ("amount", "digits", "plan_digits", "rate", "markup", "price"),
    [
        (20_000, 2, 2, 1_000_000, 0, 20_000),
        (20_000, 2, 0, 19_500_000, 1_000, 4_290),
        (1, 2, 2, 500_000, 0, 1),
        (1, 2, 2, 499_999, 0, 0),
        (100, 0, 2, 51_300, 0, 513),
        (20_000, 2, 2, 1_000_000, -10_000, 0),
        (10_005, 2, 2, 1_000_000, 1_000, 11_006),
        (1, 2, 3, 1_000_000, 0, 10),
    ],
)
def test_a_price_by_plan(
    amount: int, digits: int, plan_digits: int, rate: int, markup: int, price: int
) -> None:
    assert (
        plan_price(
            amount,
            digits=digits,
            plan_digits=plan_digits,
            rate_millionths=rate,
            markup_basis_points=markup,
        )
        == price
    )
