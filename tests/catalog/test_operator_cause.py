"""What a departure that the operator cancels or moves gives back, and what a change away from it
costs.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.catalog import policy
from server.catalog.operator_cause import (
    CHANGE_TEXTS,
    DEPARTURE_CANCELLED,
    DEPARTURE_MOVED,
    OPERATOR_CAUSES,
    REFUND_TEXTS,
    operator_cause,
)
from server.catalog.policy import (
    ChangeOffer,
    Policy,
    PolicyTicket,
    RefundOffer,
    Refused,
    TicketStart,
)
from server.catalog.policy_words import summary

LEAVES = datetime(2026, 12, 24, 12, tzinfo=UTC)
NOTHING = Policy(refund_fee_minor=500, change_fee_minor=700)
"""Gives nothing back, and changes nothing."""
SOLD = PolicyTicket(
    state="ACTIVE",
    paid_minor=10_001,
    remaining_uses=3,
    total_uses=3,
    reference_time=LEAVES,
    valid_until_time=LEAVES + timedelta(hours=7),
    operator_cause=DEPARTURE_CANCELLED,
)
MOVED = replace(SOLD, operator_cause=DEPARTURE_MOVED)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("state", "minutes", "tolerance", "cause"),
    [
        ("SCHEDULED", 0, 0, ""),
        ("SCHEDULED", 30, 30, ""),
        ("SCHEDULED", 31, 30, DEPARTURE_MOVED),
        ("SCHEDULED", -31, 30, DEPARTURE_MOVED),
        ("SCHEDULED", 1, 0, DEPARTURE_MOVED),
        ("CANCELLED", 0, 30, DEPARTURE_CANCELLED),
        ("CANCELLED", 90, 30, DEPARTURE_CANCELLED),
        (None, 0, 0, ""),
    ],
)
def test_the_cause(state: str | None, minutes: int, tolerance: int, cause: str) -> None:
    assert operator_cause(state, timedelta(minutes=minutes), tolerance) == cause


@pytest.mark.parametrize("ticket", [SOLD, MOVED])
def test_all_comes_back_without_a_fee_whatever_the_policy_says(ticket: PolicyTicket) -> None:
    offer = policy.refund(ticket, NOTHING, LEAVES - MINUTE)
    assert isinstance(offer, RefundOffer)
    money = offer.amount_minor, offer.fee_minor, offer.percent, offer.rule
    assert money == (10_001, 0, 100, ticket.operator_cause)
    assert offer.rule in policy.RULES


def test_until_it_leaves_or_for_good() -> None:
    late = LEAVES + MINUTE
    assert policy.refund(MOVED, NOTHING, late) == Refused("NOT_REFUNDABLE")
    for now in (late, SOLD.valid_until_time + timedelta(days=3)):
        offer = policy.refund(SOLD, NOTHING, now)
        assert isinstance(offer, RefundOffer)
        assert offer.amount_minor == 10_001
        assert offer.until_time > now


@pytest.mark.parametrize(
    ("values", "amount"),
    [
        ({"state": "PARTIALLY_REDEEMED", "remaining_uses": 2}, 6_667),
        ({"state": "PARTIALLY_REDEEMED", "remaining_uses": 2, "boarded": True}, "REDEEMED"),
        ({"state": "USED", "remaining_uses": 0}, "REDEEMED"),
        ({"blocked": True}, "BLOCKED"),
        ({"state": "REFUNDING"}, "REFUNDING"),
        ({"remaining_uses": 0, "total_uses": 0}, 10_001),
    ],
)
def test_what_is_unused_comes_back(values: dict[str, object], amount: int | str) -> None:
    offer = policy.refund(replace(SOLD, **values), NOTHING, LEAVES - MINUTE)  # type: ignore[arg-type]
    found = offer.reason if isinstance(offer, Refused) else offer.amount_minor
    assert found == amount


@pytest.mark.parametrize("ticket", [SOLD, MOVED])
def test_a_change_is_free_until_it_leaves_and_does_not_count(ticket: PolicyTicket) -> None:
    offer = policy.change(ticket, NOTHING, changes_made=9, new_price_minor=12_001, now=LEAVES)
    assert offer == ChangeOffer(2_000, 0, 0, 10_001, 12_001, LEAVES, ticket.operator_cause)
    late = policy.change(
        ticket, NOTHING, changes_made=9, new_price_minor=12_001, now=LEAVES + MINUTE
    )
    assert late == Refused("NOT_CHANGEABLE")


@given(paid=st.integers(0, 10**9), total=st.integers(1, 50), data=st.data())
def test_amount_and_fee_are_what_was_paid(paid: int, total: int, data: st.DataObject) -> None:
    left = data.draw(st.integers(1, total))
    ticket = replace(SOLD, paid_minor=paid, remaining_uses=left, total_uses=total)
    offer = policy.refund(ticket, NOTHING, LEAVES)
    assert isinstance(offer, RefundOffer)
    assert offer.amount_minor + offer.fee_minor == paid
    assert 0 <= offer.amount_minor <= paid
    assert (offer.amount_minor == paid) or left < total


def test_both_languages_say_why() -> None:
    assert REFUND_TEXTS.keys() == OPERATOR_CAUSES
    assert CHANGE_TEXTS.keys() == OPERATOR_CAUSES | {""}
    words = summary(Policy(move_tolerance_minutes=45), "CNY", start=TicketStart.DEPARTURE)
    assert "45 minutes" in words.operator_en
    assert "45分钟" in words.operator_zh
    assert summary(Policy(), "CNY", start=TicketStart.FIRST_DAY).operator_en == ""
