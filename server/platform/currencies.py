"""How many decimals amounts of a currency have (ISO 4217), and amounts written with them. Pure."""

_EXPONENTS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
}
_DIGITS = {code: digits for digits, codes in _EXPONENTS.items() for code in codes.split()}
"""Of those that do not have two."""
_KNOWN = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL
GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF
KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN
MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH
UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
_CODES = frozenset(_KNOWN.split())
"""Currencies that people pay in (ISO 4217, list one of 2025): no funds, metals or test codes."""


def currency_fault(currency_code: str) -> str | None:
    """What is wrong with a code that a price is to be in; None if nothing is."""
    if currency_code in _CODES:
        return None
    return f"{currency_code!r} is no currency of ISO 4217; send its code, e.g. CNY"


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
