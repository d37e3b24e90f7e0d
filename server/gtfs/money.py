"""Amounts as GTFS writes them: with exactly the decimals of the currency (ISO 4217). Pure."""

from decimal import Decimal, InvalidOperation

from server.platform.currencies import decimals


def minor_of(written: str, currency_code: str) -> int:
    """The minor units of an amount. Raises ValueError for one that is none, is below 0, or has more
    decimals than the currency.
    """
    try:
        minor = Decimal(written).scaleb(decimals(currency_code))
    except InvalidOperation:
        raise ValueError(f"{written!r} is no amount") from None
    if not minor.is_finite() or minor < 0 or minor != minor.to_integral_value():
        raise ValueError(f"{written} is no amount of {currency_code}")
    return int(minor)
