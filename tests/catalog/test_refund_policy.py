"""Until when a policy gives back, after a change, of the difference to something cheaper, and of
a party's ticket.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.catalog.policy import (
    ChangeOffer,
    Policy,
    PolicyTicket,
    RefundOffer,
    RefundTier,
    Refused,
    TicketStart,
    change,
    refund,
)

TOKYO = ZoneInfo("Asia/Tokyo")
MIDNIGHT = datetime(2026, 12, 24, tzinfo=TOKYO).astimezone(UTC)
PACKAGE = PolicyTicket(
    state="ACTIVE",
    paid_minor=10_000,
    remaining_uses=2,
    total_uses=2,
    reference_time=MIDNIGHT,
    valid_until_time=MIDNIGHT + timedelta(days=3),
    start=TicketStart.FIRST_DAY,
    zone=TOKYO,
)
TRAIN = replace(
    PACKAGE, start=TicketStart.DEPARTURE, valid_until_time=MIDNIGHT + timedelta(hours=12)
)
UNTIL_USE = Policy((RefundTier(0, 80),), changes_allowed=9)
RAILWAY = Policy(
    (RefundTier(1_440, 100), RefundTier(120, 80), RefundTier(0, 50)),
    changes_allowed=9,
    change_minutes_before=-60,
    change_fee_minor=1_000,
)


def percent(ticket: PolicyTicket, policy: Policy, **behind: float) -> int | str:
    """The percentage, or why there is none, so long behind the first moment of use."""
    offer = refund(ticket, policy, MIDNIGHT + timedelta(**behind))
    return offer.percent if isinstance(offer, RefundOffer) else offer.reason


@pytest.mark.parametrize(
    ("ticket", "hours", "found"),
    [
        (PACKAGE, -1, 80),
        (PACKAGE, 1, 80),
        (PACKAGE, 71.99, 80),
        (PACKAGE, 72, "EXPIRED"),
        (TRAIN, -0.01, 80),
        (TRAIN, 0, 80),
        (TRAIN, 0.01, "TOO_LATE"),
        (TRAIN, 12, "EXPIRED"),
    ],
)
def test_until_use_is_until_the_validity_ends_or_the_train_leaves(
    ticket: PolicyTicket, hours: float, found: int | str
) -> None:
    assert percent(ticket, UNTIL_USE, hours=hours) == found
    offer = change(
        ticket,
        UNTIL_USE,
        changes_made=0,
        new_price_minor=1,
        now=MIDNIGHT + timedelta(hours=hours),
    )
    assert (offer.reason if isinstance(offer, Refused) else 80) == found


def test_the_moment_is_named_by_the_citys_clock() -> None:
    offer = refund(PACKAGE, UNTIL_USE, MIDNIGHT)
    assert isinstance(offer, RefundOffer)
    assert offer.until_time == PACKAGE.valid_until_time
    assert offer.facts["until_time"] == "2026-12-27T00:00:00+09:00"
    assert refund(TRAIN, UNTIL_USE, MIDNIGHT + timedelta(hours=1)) == Refused(
        "TOO_LATE", {"deadline_time": "2026-12-24T00:00:00+09:00", "minutes_before": 0}
    )


def test_tiers_before_and_after_the_first_day_of_use() -> None:
    policy = Policy((RefundTier(60, 100), RefundTier(-60, 20)))
    assert percent(PACKAGE, policy, hours=-1) == 100
    assert percent(PACKAGE, policy, hours=1) == 20
    assert percent(PACKAGE, policy, hours=1.01) == "TOO_LATE"
    # nothing lies behind the end of the validity
    policy = Policy((RefundTier(0, 50), RefundTier(-60, 20)))
    assert percent(PACKAGE, policy, hours=0.5) == 50
    assert percent(TRAIN, policy, hours=0.5) == 20


# After a change


@pytest.mark.parametrize(
    ("cap", "hours", "found"),
    [
        (100, -48, 100),
        (80, -48, 80),
        (80, -3, 80),
        (80, -1, 50),
        (50, -48, 50),
        (20, -1, 20),
        (0, -48, "CHANGED_TOO_LATE"),
    ],
)
def test_a_changed_ticket_gets_no_better_percentage(
    cap: int, hours: float, found: int | str
) -> None:
    assert percent(replace(TRAIN, refund_percent_cap=cap), RAILWAY, hours=hours) == found


def test_a_capped_offer_holds_as_long_as_its_percentage() -> None:
    offer = refund(replace(TRAIN, refund_percent_cap=80), RAILWAY, MIDNIGHT - timedelta(days=9))
    assert isinstance(offer, RefundOffer)
    assert offer.until_time == MIDNIGHT - timedelta(minutes=120)
    assert offer.facts["refund_percent_cap"] == 80


@given(st.lists(st.integers(-3_000, 100), min_size=1, max_size=5), st.integers(0, 60 * 24 * 9))
def test_through_chains_of_changes_the_least_holds(moments: list[int], far: int) -> None:
    """Each change at a moment of its own, to a ticket whose departure is again as far away as
    one likes.
    """
    cap, least = 100, 100
    for minutes in moments:
        offer = change(
            replace(TRAIN, refund_percent_cap=cap, valid_until_time=MIDNIGHT + timedelta(days=9)),
            RAILWAY,
            changes_made=0,
            new_price_minor=TRAIN.paid_minor,
            now=MIDNIGHT + timedelta(minutes=minutes),
        )
        if isinstance(offer, Refused):
            continue
        least = min(least, _tier(minutes))
        cap = offer.refund_percent
        assert cap == least
    found = percent(replace(TRAIN, refund_percent_cap=cap), RAILWAY, minutes=-far)
    assert found == (min(least, _tier(-far)) or "CHANGED_TOO_LATE")


def _tier(minutes: int) -> int:
    return next((p for at, p in ((1_440, 100), (120, 80), (0, 50)) if minutes <= -at), 0)


# To something cheaper


@pytest.mark.parametrize(
    ("hours", "new", "pay", "back", "forfeited"),
    [
        # the whole difference, less the fee of the change
        (-48, 4_000, 0, 5_000, 0),
        # 80 per cent of 6,000, less 1,000
        (-3, 4_000, 0, 3_800, 1_200),
        (-3, 1, 0, 6_999, 2_000),
        (-1, 4_000, 0, 2_000, 3_000),
        # 80 per cent of 1,200 are less than the fee, which the difference pays
        (-3, 8_800, 0, 0, 200),
        (-3, 9_000, 0, 0, 0),
        (-3, 9_500, 500, 0, 0),
        (-3, 10_000, 1_000, 0, 0),
        (-3, 12_000, 3_000, 0, 0),
        # a refund would give nothing, and so does the change
        (0.5, 100, 0, 0, 8_900),
        (0.5, 12_000, 3_000, 0, 0),
    ],
)
def test_of_the_difference_comes_back_what_a_refund_would_give(
    hours: float, new: int, pay: int, back: int, forfeited: int
) -> None:
    offer = change(
        TRAIN,
        RAILWAY,
        changes_made=0,
        new_price_minor=new,
        now=MIDNIGHT + timedelta(hours=hours),
    )
    assert isinstance(offer, ChangeOffer)
    found = offer.pay_minor, offer.refund_minor, offer.forfeited_minor
    assert found == (pay, back, forfeited)


def test_what_is_not_refundable_gives_nothing_back_in_a_change() -> None:
    """99,000 of 100,000 came back before."""
    policy = Policy(changes_allowed=1, change_fee_minor=1_000)
    ticket = replace(PACKAGE, paid_minor=200_000)
    offer = change(ticket, policy, changes_made=0, new_price_minor=100_000, now=MIDNIGHT)
    assert isinstance(offer, ChangeOffer)
    assert (offer.refund_minor, offer.forfeited_minor, offer.refund_percent) == (0, 99_000, 0)


def test_the_cap_counts_for_the_difference_too() -> None:
    ticket = replace(TRAIN, refund_percent_cap=50)
    offer = change(
        ticket, RAILWAY, changes_made=0, new_price_minor=4_000, now=MIDNIGHT - timedelta(days=9)
    )
    assert isinstance(offer, ChangeOffer)
    assert (offer.refund_minor, offer.refund_percent) == (2_000, 50)


# A party's ticket


@pytest.mark.parametrize(
    ("value", "share", "fee", "amount", "kept", "discount"),
    [
        (10_000, 100, 0, 10_000, 0, 0),
        (7_500, 100, 0, 7_500, 0, 2_500),
        (7_500, 80, 500, 5_500, 2_000, 2_500),
        (0, 100, 500, 0, 0, 10_000),
        (300, 100, 500, 0, 300, 9_700),
        # a discount that was kept before comes back
        (12_000, 100, 500, 11_500, 500, -2_000),
    ],
)
def test_the_party_discount_is_taken_off_before_tier_and_fee(
    value: int, share: int, fee: int, amount: int, kept: int, discount: int
) -> None:
    policy = Policy((RefundTier(0, share),), refund_fee_minor=fee)
    offer = refund(replace(PACKAGE, value_minor=value), policy, MIDNIGHT)
    assert isinstance(offer, RefundOffer)
    found = offer.amount_minor, offer.fee_minor, offer.party_discount_minor
    assert found == (amount, kept, discount)
    assert sum(found) == PACKAGE.paid_minor
