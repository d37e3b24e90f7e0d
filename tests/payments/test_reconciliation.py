"""The comparison with WeChat's bill, and the other pure decisions of payments."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.payments import rules
from server.payments.reconciliation import Ours, compare
from server.wechat.bill import Bill, BillLine

DAY = date(2026, 11, 20)
PAID = BillLine(
    trade_time=datetime(2026, 11, 20, 4, tzinfo=UTC),
    app_id="wx1",
    merchant_id="19",
    transaction_id="42001",
    out_trade_no="DT1P1",
    openid="o",
    state="SUCCESS",
    currency_code="CNY",
    total_minor=500,
    settlement_minor=500,
    out_refund_no="",
    refund_id="",
    refund_minor=0,
    asked_refund_minor=0,
    refund_state="",
    fee_yuan=Decimal("0.03"),
)
GIVEN = replace(
    PAID,
    state="REFUND",
    total_minor=0,
    settlement_minor=0,
    out_refund_no="DT1R1S1",
    refund_id="50001",
    refund_minor=200,
    asked_refund_minor=200,
    refund_state="SUCCESS",
)
PAYMENT = Ours("DT1P1", "", 500, "CNY", "SUCCEEDED", "42001", counts=True)
REFUND = Ours("DT1P1", "DT1R1S1", 200, "CNY", "SUCCEEDED", "50001", counts=True)


def kinds(lines: list[BillLine], payments: list[Ours], refunds: list[Ours]) -> list[str]:
    return [each.kind for each in compare(Bill(DAY, tuple(lines)), payments, refunds)]


def test_nothing_differs() -> None:
    assert kinds([], [], []) == []
    assert kinds([PAID, GIVEN], [PAYMENT], [REFUND]) == []


@pytest.mark.parametrize(
    ("line", "ours", "kind"),
    [
        (PAID, None, "MISSING_HERE"),
        (None, PAYMENT, "MISSING_THERE"),
        (replace(PAID, total_minor=499), PAYMENT, "AMOUNT_DIFFERS"),
        (replace(PAID, currency_code="HKD"), PAYMENT, "AMOUNT_DIFFERS"),
        (PAID, replace(PAYMENT, state="PENDING", provider_id=""), "STATE_DIFFERS"),
        (PAID, replace(PAYMENT, state="CLOSED", provider_id=""), "STATE_DIFFERS"),
        (PAID, replace(PAYMENT, provider_id="42002"), "STATE_DIFFERS"),
        (GIVEN, None, "MISSING_HERE"),
        (None, REFUND, "MISSING_THERE"),
        (replace(GIVEN, asked_refund_minor=199), REFUND, "AMOUNT_DIFFERS"),
        (GIVEN, replace(REFUND, state="PROCESSING"), "STATE_DIFFERS"),
        (replace(GIVEN, refund_state="FAIL"), REFUND, "STATE_DIFFERS"),
        (replace(GIVEN, refund_state="PROCESSING"), REFUND, None),
        (replace(GIVEN, refund_state="FAIL"), replace(REFUND, state="ABNORMAL"), None),
        (None, replace(PAYMENT, counts=False), None),
        (None, replace(REFUND, counts=False), None),
        (PAID, replace(PAYMENT, counts=False), None),
        (replace(PAID, state="REVOKED"), None, "STATE_DIFFERS"),
    ],
)
def test_what_differs(line: BillLine | None, ours: Ours | None, kind: str | None) -> None:
    known = [ours] if ours else []
    is_refund = bool((line and line.out_refund_no) or (ours and ours.out_refund_no))
    side = "REFUND" if is_refund else "PAYMENT"
    found = kinds([line] if line else [], [] if is_refund else known, known if is_refund else [])
    assert found == ([f"{side}_{kind}"] if kind else [])


def test_a_line_that_is_there_twice() -> None:
    assert kinds([PAID, PAID], [PAYMENT], []) == ["PAYMENT_TWICE_THERE"] * 2


def test_a_difference_tells_both_amounts() -> None:
    (found,) = compare(Bill(DAY, (replace(PAID, total_minor=7),)), [PAYMENT], [])
    assert (found.out_trade_no, found.ours_minor, found.theirs_minor) == ("DT1P1", 500, 7)
    (found,) = compare(Bill(DAY, (GIVEN,)), [], [])
    assert (found.out_refund_no, found.ours_minor, found.theirs_minor) == ("DT1R1S1", None, 200)


# What a payment decides


@given(st.integers(0, 2**63 - 1), st.integers(1, 9999))
def test_a_number_is_read_back(order_id: int, attempt: int) -> None:
    number = rules.out_trade_no(order_id, attempt)
    assert rules.payment_of(number) == (order_id, attempt)
    assert len(number) <= 32


@given(st.text(alphabet="DTP0123456789R ", max_size=26))
def test_what_is_read_is_what_is_written(text: str) -> None:
    named = rules.payment_of(text)
    assert named is None or rules.out_trade_no(*named) == text


def test_what_does_not_fit() -> None:
    asked = ("wx1", "19", "CNY", 500)
    assert rules.misfit(asked, asked) is None
    assert rules.misfit(asked, ("wx2", "19", "CNY", 500)) == rules.MERCHANT_MISMATCH
    assert rules.misfit(asked, ("wx1", "18", "CNY", 500)) == rules.MERCHANT_MISMATCH
    assert rules.misfit(asked, ("wx1", "19", "HKD", 500)) == rules.CURRENCY_MISMATCH
    assert rules.misfit(asked, ("wx1", "19", "CNY", 501)) == rules.AMOUNT_MISMATCH


@given(st.integers(1, 86_400), st.lists(st.integers(0, 100_000), max_size=5))
def test_wechat_is_asked_until_the_end(hold_seconds: int, looks: list[int]) -> None:
    made = datetime(2026, 11, 20, tzinfo=UTC)
    expires = made + timedelta(seconds=hold_seconds)
    for seconds in looks:
        now = made + timedelta(seconds=seconds)
        due = rules.next_query(made, expires, now)
        if now >= expires + rules.LAST_QUERY:
            assert due is None
        else:
            assert due is not None
            assert now < due <= expires + rules.LAST_QUERY
