"""Telephone numbers as people write them."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.platform.phones import country_of, read_phone_number


@pytest.mark.parametrize(
    ("typed", "kept", "country"),
    [
        # 0086… dialled in Hong Kong would be 001 1 6…: the library alone reads it as Australian
        ("008613800138000", "+8613800138000", "CN"),
        ("0086 138 0013 8000", "+8613800138000", "CN"),
        ("+86 138-0013-8000", "+8613800138000", "CN"),
        ("００８６１３８００１３８０００", "+8613800138000", "CN"),
        ("＋86（0）138 0013 8000", "+8613800138000", "CN"),
        (" 00852 9123 4567 ", "+85291234567", "HK"),
        ("(00852) 91234567", "+85291234567", "HK"),
        # as an iPhone copies it, and off a card; seen red: refused, since the 00 was looked for at
        # the beginning alone
        ("\u202d0086 138 0013 8000\u202c", "+8613800138000", "CN"),
        ("Tel: 0086-138 0013 8000", "+8613800138000", "CN"),
        ("9123 4567", "+85291234567", "HK"),
        ("91234567", "+85291234567", "HK"),
        ("+853 6612 3456", "+85366123456", "MO"),
        ("0044 20 7946 0958", "+442079460958", "GB"),
        ("001 650 253 0000", "+16502530000", "US"),
        ("+61 412 345 678", "+61412345678", "AU"),
    ],
)
def test_numbers(typed: str, kept: str, country: str) -> None:
    assert (read_phone_number(typed), country_of(kept)) == (kept, country)
    assert read_phone_number(kept) == kept


WRONG = ["", " ", "+", "00", "000", "123", "+8613800", "13800138000", "+99912345678", "call me"]


@pytest.mark.parametrize("typed", [*WRONG, "+852" * 30, "9" * 65])
def test_what_is_no_number(typed: str) -> None:
    """A mainland number without its country's code is none of Hong Kong."""
    with pytest.raises(ValueError, match="send it with \\+ and the country's code"):
        read_phone_number(typed)


@given(st.text(alphabet="0123456789+()- ;#*xpt,.０９＋", max_size=40) | st.text())
def test_nothing_but_our_refusal_is_raised(typed: str) -> None:
    with contextlib.suppress(ValueError):
        kept = read_phone_number(typed)
        assert re.fullmatch(r"\+[0-9]{5,15}", kept)
        assert len(country_of(kept)) in (0, 2)
