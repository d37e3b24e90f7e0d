"""Amounts have the decimals of their currency, whoever writes them."""

import pytest

from server.cli.admin.values import MINOR_DIGITS
from server.notifications.texts import amount as in_messages
from server.platform.currencies import decimal_text, decimals, money_text

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (0, "HKD", "0.00"),
        (-5, "HKD", "-0.05"),
        (123_456, "CNY", "1234.56"),
        (-123, "JPY", "-123"),
        (5_000, "ISK", "5000"),
        (1_234, "KWD", "1.234"),
    ],
)
def test_amounts(minor: int, currency: str, text: str) -> None:
    assert decimal_text(minor, currency) == text
    assert money_text(minor, currency) == f"{currency} {text}"
    in_a_message = f"¥{text}" if currency == "CNY" else f"{currency} {text}"
    assert in_messages(minor, currency) == in_a_message


def test_the_command_line_knows_the_same_currencies() -> None:
    """It is made of the contract alone, so it has a list of its own."""
    assert {code: decimals(code) for code in MINOR_DIGITS} == MINOR_DIGITS
