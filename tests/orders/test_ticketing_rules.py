"""Orders' states, refunds over payments, and what a policy gives back or asks for a change."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.catalog.policy import (
    REASONS,
    RULES,
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
from server.catalog.policy_words import summary
from server.orders.rules import ORDER_MOVES, WITHDRAWN
from server.payments.refund_rules import allot_refund
from server.tickets.rules import FINAL_STATES, MOVES
from tests.support.order_states import USED_UP, order_state_after

DEPARTURE = datetime(2026, 12, 24, 12, tzinfo=UTC)
RAILWAY = Policy(
    refund_tiers=(RefundTier(1_440, 100), RefundTier(120, 80), RefundTier(30, 0)),
    changes_allowed=1,
    change_minutes_before=30,
    change_fee_minor=500,
)
TICKET = PolicyTicket(
    state="ACTIVE",
    paid_minor=9_999,
    remaining_uses=4,
    total_uses=4,
    reference_time=DEPARTURE,
    valid_until_time=DEPARTURE + timedelta(hours=12),
)
EARLY = DEPARTURE - timedelta(days=30)


def before(minutes: float) -> datetime:
    return DEPARTURE - timedelta(minutes=minutes)


# The order


@pytest.mark.parametrize(
    ("tickets", "state"),
    [
        ("ACTIVE", "PAID"),
        ("USED REFUNDING", "PAID"),
        ("REFUNDED CHANGING", "PAID"),
        ("EXPIRED PARTIALLY_REDEEMED", "PAID"),
        ("USED", "COMPLETED"),
        ("EXPIRED", "COMPLETED"),
        ("USED EXPIRED REFUNDED CHANGED", "COMPLETED"),
        ("REFUNDED REFUNDED", "CANCELLED"),
        ("REFUNDED CHANGED VOIDED", "CANCELLED"),
        ("CHANGED", "CANCELLED"),
        ("CHANGED ACTIVE", "PAID"),  # changed into another ticket of the same order
    ],
)
def test_the_state_of_an_order_follows_from_its_tickets(tickets: str, state: str) -> None:
    assert order_state_after(tickets.split()) == state
    assert order_state_after(reversed(tickets.split())) == state
    assert state == "PAID" or ("PAID", state) in ORDER_MOVES


def test_final_states_are_the_tickets_own() -> None:
    assert USED_UP | WITHDRAWN == FINAL_STATES
    assert not USED_UP & WITHDRAWN
    for state in {state for move in MOVES for state in move}:
        assert (order_state_after([state]) == "PAID") == (state not in FINAL_STATES)


def test_there_is_no_order_without_tickets() -> None:
    with pytest.raises(ValueError, match="without"):
        order_state_after([])


def test_a_pending_order_is_not_completed_before_it_is_paid() -> None:
    assert {to for state, to in ORDER_MOVES if state == "PENDING"} == {"PAID", "CANCELLED"}
    assert not [move for move in ORDER_MOVES if move[1] == "PENDING" or move[0] == move[1]]


def test_a_refund_that_fails_gives_a_partly_redeemed_ticket_back() -> None:
    assert {
        ("PARTIALLY_REDEEMED", "REFUNDING"),
        ("REFUNDING", "PARTIALLY_REDEEMED"),
        ("REFUNDING", "ACTIVE"),
    } <= MOVES


# Payments


@pytest.mark.parametrize(
    ("amount", "remaining", "shares"),
    [
        (0, [], []),
        (0, [5], [0]),
        (5, [5, 7], [5, 0]),
        (6, [5, 7], [5, 1]),
        (12, [5, 0, 7], [5, 0, 7]),
    ],
)
def test_the_newest_payment_gives_back_first(
    amount: int, remaining: list[int], shares: list[int]
) -> None:
    assert allot_refund(amount, remaining) == shares


@given(st.lists(st.integers(0, 10_000), max_size=6), st.integers(0, 30_000))
def test_no_payment_gives_back_more_than_it_has(remaining: list[int], amount: int) -> None:
    if amount > sum(remaining):
        with pytest.raises(ValueError, match="left"):
            allot_refund(amount, remaining)
        return
    shares = allot_refund(amount, remaining)
    assert sum(shares) == amount
    assert all(0 <= share <= left for share, left in zip(shares, remaining, strict=True))
    used = [position for position, share in enumerate(shares) if share]
    assert all(shares[position] == remaining[position] for position in range(max(used, default=0)))


# The policy


def test_a_policy_comes_back_from_its_json() -> None:
    assert Policy.parse(json.loads(json.dumps(RAILWAY.content()))) == RAILWAY
    assert Policy.parse({}) == Policy()
    shuffled = RAILWAY.content() | {"refund_tiers": RAILWAY.content()["refund_tiers"][::-1]}
    assert Policy.parse(shuffled) == RAILWAY


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"refund_tiers": {}}, "refund_tiers"),
        ({"refund_tiers": [5]}, "refund_tiers"),
        ({"refund_tiers": [{"percent": 5}]}, "refund_tiers"),
        ({"refund_tiers": [{"minutes_before": 0, "percent": 101}]}, "percent"),
        ({"refund_tiers": [{"minutes_before": 0, "percent": -1}]}, "percent"),
        ({"refund_tiers": [{"minutes_before": 0.5, "percent": 1}]}, "minutes_before"),
        ({"refund_tiers": [{"minutes_before": 10**9, "percent": 1}]}, "minutes_before"),
        ({"refund_tiers": [{"minutes_before": 1, "percent": 1}] * 2}, "refund_tiers"),
        (
            {
                "refund_tiers": [
                    {"minutes_before": 9, "percent": 1},
                    {"minutes_before": 1, "percent": 2},
                ]
            },
            "refund_tiers",
        ),
        (
            {"refund_tiers": [{"minutes_before": at, "percent": 1} for at in range(21)]},
            "refund_tiers",
        ),
        ({"refund_fee_minor": -1}, "refund_fee_minor"),
        ({"changes_allowed": True}, "changes_allowed"),
        ({"change_fee_minor": "5"}, "change_fee_minor"),
        ({"change_minutes_before": None}, "change_minutes_before"),
        ({"pro_rata": 1}, "pro_rata"),
        ({"move_tolerance_minutes": -1}, "move_tolerance_minutes"),
        ({"refund_after_choice": "yes"}, "refund_after_choice"),
        ({"refunds": 1}, "refunds"),
    ],
)
def test_a_faulty_policy_names_its_field(content: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Policy.parse(content)


def test_a_policy_in_words() -> None:
    words = summary(RAILWAY, "HKD", start=TicketStart.DEPARTURE)
    assert words.policy is RAILWAY
    assert words.refund_en == (
        "Free refund until 24 hours before departure; 80% until 2 hours before departure; "
        "nothing after that."
    )
    assert words.refund_zh == "免费退票至出发前24小时；至出发前2小时退80%；此后不退。"
    assert words.change_en == (
        "May be changed once until 30 minutes before departure, for HKD 5.00 each time; a dearer"
        " ticket costs the difference, of a cheaper one as much of it comes back as of a refund."
    )
    assert words.change_zh == (
        "截至出发前30分钟，可改签1次，每次手续费HKD 5.00；改至较贵的票补差价，改至较便宜的票按当时退票比例退差价。"
    )


def test_another_policy_in_words() -> None:
    package = Policy(
        refund_tiers=(RefundTier(7 * 1_440, 100), RefundTier(0, 50), RefundTier(-60, 5)),
        refund_fee_minor=1_205,
        changes_allowed=3,
        pro_rata=True,
    )
    words = summary(package, "HKD", start=TicketStart.FIRST_DAY)
    assert words.refund_en == (
        "100% until 7 days before the first day of use begins; 50% until its validity ends; "
        "nothing after that. A fee of HKD 12.05 per ticket is kept."
        " Partly used tickets are refunded in proportion to the uses left."
    )
    assert words.refund_zh == (
        "至使用首日零点前7天退100%；至有效期结束时退50%；此后不退。"
        "每张收取手续费HKD 12.05。部分使用的票按剩余次数比例退款。"
    )
    assert words.change_zh.startswith("截至有效期结束时，可免费改签3次；")
    later = replace(package, refund_tiers=(RefundTier(-60, 5),))
    assert "5% until 1 hour after the first day of use begins" in (
        summary(later, "HKD", start=TicketStart.FIRST_DAY).refund_en
    )
    assert (
        "5% until 1 hour after departure"
        in summary(package, "HKD", start=TicketStart.DEPARTURE).refund_en
    )
    assert "JPY 1205" in summary(package, "JPY", start=TicketStart.FIRST_DAY).refund_en


def test_a_policy_without_anything_in_words() -> None:
    words = summary(Policy(refund_tiers=(RefundTier(0, 0),)), "CNY", start=TicketStart.DEPARTURE)
    assert (words.refund_zh, words.change_zh) == ("不可退票。", "不可改签。")
    assert (words.refund_en, words.change_en) == ("No refund.", "No change.")


# Refunds


@pytest.mark.parametrize(
    ("minutes", "amount", "percent", "rule"),
    [
        (30 * 1_440, 9_999, 100, "FREE"),
        (1_440, 9_999, 100, "FREE"),
        (1_439.99, 7_999, 80, "TIER"),  # 7,999.2
        (120, 7_999, 80, "TIER"),
    ],
)
def test_the_tier_of_the_time_left_decides(
    minutes: float, amount: int, percent: int, rule: str
) -> None:
    offer = refund(TICKET, RAILWAY, before(minutes))
    assert isinstance(offer, RefundOffer)
    assert (offer.amount_minor, offer.percent, offer.rule) == (amount, percent, rule)
    assert offer.until_time == before(1_440 if percent == 100 else 120)


def refused(
    reason: str, *, ticket: PolicyTicket = TICKET, policy: Policy = RAILWAY
) -> Refused | None:
    found = refund(ticket, policy, EARLY)
    return found if isinstance(found, Refused) and found.reason == reason else None


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"state": "PRE_GENERATED"}, "NOT_ACTIVE"),
        ({"state": "USED", "remaining_uses": 0}, "REDEEMED"),
        ({"state": "PARTIALLY_REDEEMED", "remaining_uses": 3}, "REDEEMED"),
        ({"state": "EXPIRED"}, "EXPIRED"),
        ({"state": "VOIDED"}, "VOIDED"),
        ({"state": "REFUNDING"}, "REFUNDING"),
        ({"state": "REFUNDED"}, "REFUNDED"),
        ({"state": "CHANGING"}, "CHANGING"),
        ({"state": "CHANGED"}, "CHANGED"),
        ({"blocked": True}, "BLOCKED"),
        ({"valid_until_time": EARLY}, "EXPIRED"),
    ],
)
def test_a_ticket_by_itself_may_refuse(values: dict[str, Any], reason: str) -> None:
    ticket = replace(TICKET, **values)
    assert refused(reason, ticket=ticket)
    changed = change(ticket, RAILWAY, changes_made=0, new_price_minor=1, now=EARLY)
    assert isinstance(changed, Refused)
    assert changed.reason == reason


def test_every_state_has_an_answer() -> None:
    for state in {state for move in MOVES for state in move}:
        answer = refund(replace(TICKET, state=state), RAILWAY, EARLY)
        leaves = (state, "REFUNDING") in MOVES
        assert leaves == (isinstance(answer, RefundOffer) or state == "PARTIALLY_REDEEMED")


@pytest.mark.parametrize("minutes", [119.99, 30, 0, -60])
def test_too_late_names_the_deadline(minutes: float) -> None:
    assert refund(TICKET, RAILWAY, before(minutes)) == Refused(
        "TOO_LATE", {"deadline_time": "2026-12-24T10:00:00+00:00", "minutes_before": 120}
    )


@pytest.mark.parametrize("tiers", [(), (RefundTier(60, 0),)])
def test_what_is_never_refunded_says_so(tiers: tuple[RefundTier, ...]) -> None:
    assert refused("NOT_REFUNDABLE", policy=replace(RAILWAY, refund_tiers=tiers))


def test_an_offer_ends_with_the_validity_at_the_latest() -> None:
    after = replace(RAILWAY, refund_tiers=(RefundTier(-1_440, 10),))
    offer = refund(TICKET, after, DEPARTURE + timedelta(hours=1))
    assert isinstance(offer, RefundOffer)
    assert offer.until_time == TICKET.valid_until_time


@pytest.mark.parametrize(
    ("remaining", "percent", "fee", "amount"),
    [
        (4, 100, 500, 9_499),
        (3, 100, 0, 7_499),  # 7,499.25
        (2, 100, 0, 5_000),  # 4,999.5
        (1, 50, 0, 1_250),  # 1,249.875, rounded once
        (1, 50, 1_249, 1),
        (1, 50, 1_250, 0),
        (1, 50, 9_999, 0),
    ],
)
def test_pro_rata_and_fee(remaining: int, percent: int, fee: int, amount: int) -> None:
    state = "ACTIVE" if remaining == 4 else "PARTIALLY_REDEEMED"
    policy = Policy((RefundTier(0, percent),), refund_fee_minor=fee, pro_rata=True)
    offer = refund(replace(TICKET, state=state, remaining_uses=remaining), policy, EARLY)
    assert isinstance(offer, RefundOffer)
    assert (offer.amount_minor, offer.fee_minor) == (amount, 9_999 - amount)
    assert offer.rule == ("TIER" if remaining == 4 else "PRO_RATA")


def test_nothing_is_left_of_a_used_ticket_pro_rata() -> None:
    used = replace(TICKET, state="PARTIALLY_REDEEMED", remaining_uses=0)
    assert refused("REDEEMED", ticket=used, policy=replace(RAILWAY, pro_rata=True))


def test_a_ticket_without_uses_is_refunded_as_a_whole() -> None:
    offer = refund(replace(TICKET, remaining_uses=0, total_uses=0), RAILWAY, EARLY)
    assert isinstance(offer, RefundOffer)
    assert (offer.amount_minor, offer.rule) == (9_999, "FREE")


def _falling(tiers: list[tuple[int, int]]) -> tuple[RefundTier, ...]:
    minutes = sorted({minute for minute, _ in tiers}, reverse=True)
    percents = sorted((percent for _, percent in tiers), reverse=True)
    return tuple(map(RefundTier, minutes, percents))


policies = st.builds(
    Policy,
    refund_tiers=st.lists(st.tuples(st.integers(-200, 5_000), st.integers(0, 100)), max_size=5).map(
        _falling
    ),
    refund_fee_minor=st.integers(0, 3_000),
    changes_allowed=st.integers(0, 3),
    change_minutes_before=st.integers(-200, 5_000),
    change_fee_minor=st.integers(0, 3_000),
    pro_rata=st.booleans(),
)
states = st.sampled_from(sorted({state for move in MOVES for state in move}))
sold = st.builds(
    lambda state, paid, total, share, blocked: replace(
        TICKET,
        state=state,
        paid_minor=paid,
        total_uses=total,
        remaining_uses=min(total, share),
        blocked=blocked,
    ),
    st.one_of(st.just("ACTIVE"), st.just("PARTIALLY_REDEEMED"), states),
    st.integers(0, 100_000),
    st.integers(0, 5),
    st.integers(0, 10),
    st.sampled_from([False, False, False, True]),
)
moments = st.integers(-1_000, 6_000).map(before)


def given_back(ticket: PolicyTicket, policy: Policy, now: datetime) -> int:
    offer = refund(ticket, policy, now)
    return offer.amount_minor if isinstance(offer, RefundOffer) else 0


@given(sold, policies, moments, st.integers(0, 3_000))
def test_refunds_are_exact_and_never_grow(
    ticket: PolicyTicket, policy: Policy, now: datetime, later: int
) -> None:
    assert Policy.parse(policy.content()) == policy
    offer = refund(ticket, policy, now)
    if isinstance(offer, Refused):
        assert offer.reason in REASONS
    else:
        assert offer.amount_minor + offer.fee_minor == ticket.paid_minor
        assert offer.party_discount_minor == 0
        assert min(offer.amount_minor, offer.fee_minor) >= 0
        assert 0 < offer.percent <= 100
        assert offer.rule in RULES
        assert now <= offer.until_time
        if offer.until_time < ticket.valid_until_time:
            at_end = refund(ticket, policy, offer.until_time)
            assert isinstance(at_end, RefundOffer)
            assert at_end.amount_minor == offer.amount_minor
    amount = given_back(ticket, policy, now)
    assert given_back(ticket, policy, now + timedelta(minutes=later)) <= amount
    if ticket.remaining_uses:
        one_less = replace(ticket, remaining_uses=ticket.remaining_uses - 1)
        assert given_back(one_less, policy, now) <= amount
    assert given_back(ticket, replace(policy, refund_fee_minor=3_000), now) <= amount


# Changes


@pytest.mark.parametrize(
    ("new", "pay", "back"),
    [(9_999, 500, 0), (12_000, 2_501, 0), (9_499, 0, 0), (9_000, 0, 499), (0, 0, 9_499)],
)
def test_a_change_settles_the_difference_and_its_fee(new: int, pay: int, back: int) -> None:
    offer = change(TICKET, RAILWAY, changes_made=0, new_price_minor=new, now=EARLY)
    assert offer == ChangeOffer(
        pay_minor=pay,
        refund_minor=back,
        fee_minor=500,
        old_minor=9_999,
        new_minor=new,
        forfeited_minor=0,
        refund_percent=100,
        until_time=before(1_440),
    )


@pytest.mark.parametrize(
    ("policy", "made", "now", "reason"),
    [
        (replace(RAILWAY, changes_allowed=0), 0, EARLY, "NOT_CHANGEABLE"),
        (RAILWAY, 1, EARLY, "CHANGES_USED_UP"),
        (RAILWAY, 0, before(29.99), "TOO_LATE"),
        (RAILWAY, 0, before(30), None),
        (replace(RAILWAY, changes_allowed=2), 1, EARLY, None),
    ],
)
def test_a_policy_may_refuse_a_change(
    policy: Policy, made: int, now: datetime, reason: str | None
) -> None:
    answer = change(TICKET, policy, changes_made=made, new_price_minor=1, now=now)
    assert (answer.reason if isinstance(answer, Refused) else None) == reason


def test_a_partly_redeemed_ticket_is_never_changed() -> None:
    ticket = replace(TICKET, state="PARTIALLY_REDEEMED", remaining_uses=1)
    policy = replace(RAILWAY, pro_rata=True)
    answer = change(ticket, policy, changes_made=0, new_price_minor=1, now=EARLY)
    assert isinstance(answer, Refused)
    assert answer.reason == "REDEEMED"


@given(sold, policies, moments, st.integers(0, 4), st.integers(0, 100_000))
def test_a_change_neither_makes_nor_loses_money(
    ticket: PolicyTicket, policy: Policy, now: datetime, made: int, new: int
) -> None:
    offer = change(ticket, policy, changes_made=made, new_price_minor=new, now=now)
    if isinstance(offer, Refused):
        assert offer.reason in REASONS
        return
    assert (ticket.state, ticket.remaining_uses) == ("ACTIVE", ticket.total_uses)
    assert made < policy.changes_allowed
    assert min(offer.pay_minor, offer.refund_minor) == 0
    kept = offer.fee_minor + offer.forfeited_minor
    assert ticket.paid_minor + offer.pay_minor == new + kept + offer.refund_minor
    assert offer.forfeited_minor >= 0
    assert offer.refund_minor <= given_back(ticket, replace(policy, refund_fee_minor=0), now)
    assert offer.refund_minor <= ticket.paid_minor
    assert now <= offer.until_time
