"""Who gets what of a ticket that is sold through distributors (DOMAIN, OTA partners). Pure.

A line of sale goes from the partner down: the first level buys from the partner, each further one
from the one before it, and the last sells to the customer. A level's commission is a share of the
gross, of what the customer pays, in basis points. Its net price is what it owes the one above it.
Amounts are integers in minor units of one currency.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

WHOLE = 10_000
"""Basis points of the gross."""
MAX_LEVELS = 8
"""Of a line of sale."""


class LevelShare(NamedTuple):
    """What a level of a line keeps, and what it owes the one above it, in minor units."""

    commission_minor: int
    net_price_minor: int


class SaleLevel(NamedTuple):
    """A level of a line of sale: a distributor, and its commission in basis points."""

    distributor_id: str
    commission_basis_points: int


def split(gross_minor: int, commissions: Sequence[int]) -> list[LevelShare]:
    """The share of each level, from the first below the partner down; `commissions` are theirs, in
    basis points, at most WHOLE together.

    Each net price is the gross less the level's own commission and all below it, rounded half-up;
    a commission is the difference of two of them. What is left is the partner's: the net price of
    the first level. So the parts add up to the gross, whatever the rounding; none is negative.
    Raises ValueError for commissions that are more than there is.
    """
    if sum(commissions) > WHOLE or min(commissions, default=0) < 0:
        raise ValueError(f"commissions of {list(commissions)} basis points")
    from_below = accumulate(reversed(commissions), initial=0)
    prices = [_half_up(gross_minor * (WHOLE - kept)) for kept in from_below]
    shares = [LevelShare(sold - bought, bought) for sold, bought in pairwise(prices)]
    return shares[::-1]


def line_of_sale(
    levels: Sequence[SaleLevel], fares: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """A line as it stands in a price snapshot: of each level the commission, and what that is of
    each fare (JSON).
    """
    commissions = [level.commission_basis_points for level in levels]
    of_fares = [split(fare["amount_minor"], commissions) for fare in fares]
    return [
        {
            **level._asdict(),
            "amounts": [
                {
                    "customer_type": fare["customer_type"],
                    "day_type": fare["day_type"],
                    **shares[index]._asdict(),
                }
                for fare, shares in zip(fares, of_fares, strict=True)
            ],
        }
        for index, level in enumerate(levels)
    ]


def _half_up(ten_thousandths: int) -> int:
    return (2 * ten_thousandths + WHOLE) // (2 * WHOLE)
