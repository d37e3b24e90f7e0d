"""A promotion for tests of prices."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from server.catalog.pricing import Promotion

NOW = datetime(2026, 12, 24, 12, tzinfo=UTC)


def a_promotion(promotion_id: int, **values: Any) -> Promotion:
    """One of nothing, for all, on the day from NOW; `values` say what it is."""
    plain = Promotion(
        promotion_id=promotion_id,
        code="",
        display_name_en=f"promotion {promotion_id}",
        display_name_zh=f"优惠{promotion_id}",
        basis_points_off=0,
        amount_off_minor=0,
        begin=NOW,
        end=NOW + timedelta(days=1),
        min_party=1,
        product_ids=frozenset(),
        stackable=True,
        currency_code="CNY",
    )
    return replace(plain, **values)
