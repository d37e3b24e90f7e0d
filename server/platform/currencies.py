"""How many decimals amounts of a currency have (ISO 4217), and amounts written with them. Pure."""

_EXPONENTS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
}
_DIGITS = {code: digits for digits, codes in _EXPONENTS.items() for code in codes.split()}
"""Of those that do not have two."""


def decimals(currency_code: str) -> int:
    """How many decimals amounts of a currency have."""
    return _DIGITS.get(currency_code, 2)


def decimal_text(amount_minor: int, currency_code: str) -> str:
    """An amount with exactly the currency's decimals, as `-1234.50`."""
    digits = decimals(currency_code)
    sign, whole = ("-" if amount_minor < 0 else ""), abs(amount_minor)
    if not digits:
        return f"{sign}{whole}"
    return f"{sign}{whole // 10**digits}.{whole % 10**digits:0{digits}d}"


def money_text(amount_minor: int, currency_code: str) -> str:
    """An amount for people, as `HKD 1234.50`."""
    return f"{currency_code} {decimal_text(amount_minor, currency_code)}"
