"""Refusals of refund and change in words: each reason says what can be done, or which moment or
numbers decided.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from server.aftersales import refusals
from server.catalog import policy
from server.catalog.policy import Policy, PolicyTicket, RefundTier, Refused

LEAVES = datetime(2026, 12, 24, 12, tzinfo=UTC)
SOLD = PolicyTicket(
    state="ACTIVE",
    paid_minor=10_000,
    remaining_uses=1,
    total_uses=2,
    reference_time=LEAVES,
    valid_until_time=LEAVES + timedelta(hours=7),
    zone=ZoneInfo("Asia/Hong_Kong"),
)
TERMS = Policy(refund_tiers=(RefundTier(120, 80),), pro_rata=True, changes_allowed=1)


@pytest.mark.parametrize("reason", sorted(policy.REASONS))
def test_every_reason_has_words(reason: str) -> None:
    """Seen red: the message was the reason and the names of fields."""
    moment = LEAVES.isoformat()
    facts: dict[str, str | int] = {"deadline_time": moment, "changes_made": 1, "changes_allowed": 1}
    words = refusals.in_words(Refused(reason, facts))
    assert words[0].islower()
    assert reason not in words
    assert "_" not in words


def test_the_words_name_what_decided() -> None:
    late = policy.refund(SOLD, TERMS, LEAVES)
    assert isinstance(late, Refused)
    moment = "it is too late: that was possible until 2026-12-24 18:00 UTC+08:00"
    assert refusals.in_words(late) == moment
    over = policy.refund(SOLD, TERMS, SOLD.valid_until_time)
    assert isinstance(over, Refused)
    assert refusals.in_words(over) == "its validity is over since 2026-12-25 03:00 UTC+08:00"
    used = policy.change(SOLD, TERMS, changes_made=0, new_price_minor=1, now=LEAVES)
    assert isinstance(used, Refused)
    assert refusals.in_words(used) == "it was used: 1 of 2 uses are left"
    assert refusals.order_in_words("PENDING") == "it is not paid yet; cancel it instead"
