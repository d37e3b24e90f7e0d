"""Telephone numbers as people write them, kept in the form E.164 and shown with their country.

The library is loaded with the first number: a process that serves need not wait for it.
"""

import re
import unicodedata

DEFAULT_REGION = "HK"
"""Where a number without a country's code is from."""

_INTERNATIONAL = re.compile(r"[^\d+]*00")
"""What is dialled before a country's code in most of the world; in Hong Kong itself it is 001, and
0086 would be read as 0011-6…, a number of another country. Before it there may be brackets, `Tel:`,
or the marks of direction that telephones copy with a number.
"""
_MAX_CHARS = 64
_REMEDY = (
    "is no telephone number there can be;"
    " send it with + and the country's code, e.g. +852 9123 4567"
)


def read_phone_number(text: str) -> str:
    """A number in the form E.164, e.g. `+85291234567`.

    Raises ValueError, with what to send instead, for what is none that can exist.
    """
    import phonenumbers

    if len(text) > _MAX_CHARS:
        raise ValueError(_REMEDY)
    plain = unicodedata.normalize("NFKC", text)
    if _INTERNATIONAL.match(plain):
        plain = _INTERNATIONAL.sub("+", plain, count=1)
    try:
        number = phonenumbers.parse(plain, DEFAULT_REGION)
    except phonenumbers.NumberParseException:
        raise ValueError(_REMEDY) from None
    if not phonenumbers.is_valid_number(number):
        raise ValueError(_REMEDY)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def country_of(phone_number: str) -> str:
    """The country of a number in the form E.164, as ISO 3166-1 alpha-2, e.g. `HK`; empty for
    none, e.g. satellites.
    """
    import phonenumbers

    region = phonenumbers.region_code_for_number(phonenumbers.parse(phone_number))
    return region if region and region.isalpha() else ""
