"""The numbers of refunds at WeChat, and the states of refunds by their parts; quotes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.aftersales.quotes import Quotes
from server.payments.refund_rules import (
    RefundPart,
    out_refund_no,
    part_state,
    refund_part,
    refund_state,
)
from server.platform.errors import DomainError, Reason

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


@given(st.integers(1, (1 << 63) - 1), st.integers(1, 9999), st.integers(1, 99), st.integers(1, 99))
def test_numbers_say_what_they_are_of(order_id: int, refund: int, part: int, attempt: int) -> None:
    number = out_refund_no(order_id, refund, part, attempt)
    assert refund_part(number) == RefundPart(order_id, refund, part, attempt)
    assert number.isalnum()
    assert len(number) <= 64


@pytest.mark.parametrize(
    "number", ["", "DT1", "DT1R1", "DT1R1S", "XX1R1S1", "DT1R1S1 ", "DT٣R1S1", f"DT{1 << 63}R1S1"]
)
def test_other_numbers_are_not_ours(number: str) -> None:
    assert refund_part(number) is None


@pytest.mark.parametrize(
    ("reported", "is_alone", "has_tickets", "state"),
    [
        ("SUCCEEDED", True, True, "SUCCEEDED"),
        ("SUCCEEDED", False, False, "SUCCEEDED"),
        ("CLOSED", True, True, "CLOSED"),
        ("CLOSED", False, True, "ABNORMAL"),
        ("CLOSED", True, False, "ABNORMAL"),
        ("ABNORMAL", True, True, "ABNORMAL"),
    ],
)
def test_closed_for_good(reported: str, is_alone: bool, has_tickets: bool, state: str) -> None:
    assert part_state(reported, is_alone=is_alone, has_tickets=has_tickets) == state


@pytest.mark.parametrize(
    ("parts", "state"),
    [
        ([], "SUCCEEDED"),
        (["SUCCEEDED", "SUCCEEDED"], "SUCCEEDED"),
        (["SUCCEEDED", "PROCESSING"], "PROCESSING"),
        (["ABNORMAL", "PROCESSING"], "ABNORMAL"),
        (["CLOSED", "CLOSED"], "CLOSED"),
    ],
)
def test_a_refund_is_what_its_parts_are(parts: list[str], state: str) -> None:
    assert refund_state(parts) == state


@given(st.binary(max_size=60))
def test_quotes_are_known_again_and_nothing_else_is(noise: bytes) -> None:
    quotes = Quotes(b"k" * 32)
    text = quotes.sign("refund", "traveller:1", [1, 2], expire_time=NOW + timedelta(minutes=5))
    assert quotes.open("refund", "traveller:1", text, now=NOW) == [1, 2]
    others: tuple[Callable[[], Any], ...] = (
        lambda: quotes.open("change", "traveller:1", text, now=NOW),
        lambda: quotes.open("refund", "traveller:2", text, now=NOW),
        lambda: quotes.open("refund", "traveller:1", text, now=NOW + timedelta(minutes=6)),
        lambda: Quotes(b"l" * 32).open("refund", "traveller:1", text, now=NOW),
        lambda: quotes.open("refund", "traveller:1", noise.decode("latin1"), now=NOW),
        lambda: quotes.open("refund", "traveller:1", text[:-1], now=NOW),
    )
    for other in others:
        with pytest.raises(DomainError) as refused:
            other()
        assert refused.value.reason == Reason.QUOTE_INVALID
