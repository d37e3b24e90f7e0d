"""The decisions of an activation: whether what was paid is what the ticket's price snapshot asks
for. Pure.

Source: DOMAIN, OTA partners; Price. Amounts are integers in minor units.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

BASIS_POINTS = 10_000
ADULT = "ADULT"


class Amount(NamedTuple):
    """Money: minor units and the ISO 4217 code of their currency."""

    minor: int
    currency_code: str


def price_instead(
    snapshot: Mapping[str, Any],
    paid: Amount,
    *,
    customer_type: str,
    quantity: int = 1,
    tolerance_basis_points: int = 0,
) -> Amount | None:
    """The price that the snapshot asks for where another amount or currency was paid; None if it
    fits.

    A ticket is bound to no day, so the fare of any day type will do; the one nearest to what was
    paid is the one that is named. A customer type without a fare of its own, or none, pays an
    adult's. The currency is the snapshot's whatever the tolerance, which is a share of the price
    either way. A snapshot without fares names no price: only the currency is compared.
    """
    currency_code = str(snapshot["currency_code"])
    prices = [quantity * amount for amount in _fares(snapshot["fares"], customer_type)]
    if not prices:
        return None if paid.currency_code == currency_code else Amount(paid.minor, currency_code)
    nearest = min(prices, key=lambda price: (abs(price - paid.minor), price))
    fits = any(
        abs(price - paid.minor) * BASIS_POINTS <= price * tolerance_basis_points for price in prices
    )
    return None if fits and paid.currency_code == currency_code else Amount(nearest, currency_code)


def _fares(fares: Sequence[Mapping[str, Any]], customer_type: str) -> set[int]:
    for wanted in (customer_type, ADULT):
        found = {fare["amount_minor"] for fare in fares if fare["customer_type"] == wanted}
        if found:
            return found
    return {fare["amount_minor"] for fare in fares}
