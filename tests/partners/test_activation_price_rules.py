"""What a partner's customer paid against the price snapshot."""

from typing import Any

import pytest

from server.partners.rules import Amount, price_instead

SNAPSHOT: dict[str, Any] = {
    "currency_code": "CNY",
    "fares": [
        {"customer_type": "ADULT", "day_type": "weekday", "amount_minor": 19_800},
        {"customer_type": "ADULT", "day_type": "weekend", "amount_minor": 23_800},
        {"customer_type": "CHILD", "day_type": "weekday", "amount_minor": 9_900},
    ],
}


@pytest.mark.parametrize(
    ("paid", "customer_type", "quantity", "tolerance", "expected"),
    [
        (19_800, "ADULT", 1, 0, None),
        (23_800, "ADULT", 1, 0, None),
        (19_799, "ADULT", 1, 0, 19_800),
        (19_801, "ADULT", 1, 0, 19_800),
        (23_000, "ADULT", 1, 0, 23_800),
        (1, "ADULT", 1, 0, 19_800),
        (0, "ADULT", 1, 0, 19_800),
        (9_900, "CHILD", 1, 0, None),
        (19_800, "CHILD", 1, 0, 9_900),
        # a type without a fare, or none, pays an adult's
        (19_800, "SENIOR", 1, 0, None),
        (19_800, "", 1, 0, None),
        (9_900, "", 1, 0, 19_800),
        # a batch
        (59_400, "ADULT", 3, 0, None),
        (19_800, "ADULT", 3, 0, 59_400),
        # a tolerance, either way, both ends of it
        (18_810, "ADULT", 1, 500, None),
        (18_809, "ADULT", 1, 500, 19_800),
        (20_790, "ADULT", 1, 500, None),
        (20_791, "ADULT", 1, 500, 19_800),
        (0, "ADULT", 1, 10_000, None),
    ],
)
def test_amounts(
    paid: int, customer_type: str, quantity: int, tolerance: int, expected: int | None
) -> None:
    found = price_instead(
        SNAPSHOT,
        Amount(paid, "CNY"),
        customer_type=customer_type,
        quantity=quantity,
        tolerance_basis_points=tolerance,
    )
    assert found == (None if expected is None else Amount(expected, "CNY"))


@pytest.mark.parametrize("tolerance", [0, 10_000])
def test_the_currency_has_no_tolerance(tolerance: int) -> None:
    found = price_instead(
        SNAPSHOT,
        Amount(19_800, "USD"),
        customer_type="ADULT",
        tolerance_basis_points=tolerance,
    )
    assert found == Amount(19_800, "CNY")


def test_without_fares_the_currency_is_all_there_is() -> None:
    snapshot = SNAPSHOT | {"fares": []}
    assert price_instead(snapshot, Amount(1, "CNY"), customer_type="ADULT") is None
    other = price_instead(snapshot, Amount(1, "USD"), customer_type="ADULT")
    assert other == Amount(1, "CNY")
