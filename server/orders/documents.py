"""Travel documents: how a number is read, what is wrong with it, and whose birthday it tells. Pure.

Source: DOMAIN, Price (Documents). Looked at is what a number says of itself (form, check character,
date of birth), never whether such a document was issued: districts are founded, merged and renamed,
and a number outlives its district.
"""

import re
import unicodedata
from datetime import date, timedelta, timezone

RESIDENT_ID = "RESIDENT_ID"
"""居民身份证 of the mainland (GB 11643)."""
PASSPORT = "PASSPORT"
MAINLAND_TRAVEL_PERMIT = "MAINLAND_TRAVEL_PERMIT"
"""港澳居民来往内地通行证 (回乡证, Home Return Permit), of residents of Hong Kong and Macau."""
HK_MACAO_PERMIT = "HK_MACAO_PERMIT"
"""往来港澳通行证, the exit-entry permit of mainland residents for Hong Kong and Macau."""
RESIDENCE_PERMIT = "RESIDENCE_PERMIT"
"""港澳台居民居住证: numbered as a resident id, in 81 (Hong Kong), 82 (Macau) or 83 (Taiwan)."""
TAIWAN_COMPATRIOT_PERMIT = "TAIWAN_COMPATRIOT_PERMIT"
"""台湾居民来往大陆通行证 (台胞证), of residents of Taiwan."""
TAIWAN_TRAVEL_PERMIT = "TAIWAN_TRAVEL_PERMIT"
"""往来台湾通行证, the exit-entry permit of mainland residents for Taiwan."""
HKID = "HKID"
"""香港身份證."""
MACAO_BIR = "MACAO_BIR"
"""澳門居民身份證 (Bilhete de Identidade de Residente)."""
FOREIGN_PERMANENT_RESIDENT_CARD = "FOREIGN_PERMANENT_RESIDENT_CARD"
"""外国人永久居留身份证 of the mainland."""

CLOCK = timezone(timedelta(hours=8))
"""By whose calendar those who issue these documents count days."""


def document_number(number: str) -> str:
    """A number as it is compared and stored: NFKC, capitals, without spaces, hyphens, brackets
    and what is invisible.
    """
    if number.isascii() and number.isalnum():
        return number.upper()
    kept = (c for c in unicodedata.normalize("NFKC", number) if not _is_dropped(c))
    return "".join(kept).upper()


def document_fault(document_type: str, number: str, *, today: date) -> str | None:
    """What is wrong with a document, to stand after its field's name; None if nothing is. The
    number is not in it.

    `today` is the day by CLOCK: nobody travels who is not born yet.
    """
    form = _FORMS.get(document_type)
    if form is None:
        return f"has a document type other than {', '.join(sorted(_FORMS))}"
    pattern, description = form
    number = document_number(number)
    if not pattern.fullmatch(number):
        return f"is no {document_type} number: {description}"
    if len(number) == _RESIDENT_LENGTH:
        return _resident_fault(number, today)
    if document_type == FOREIGN_PERMANENT_RESIDENT_CARD:
        return _first_resident_card_fault(number)
    if document_type == HKID and _hkid_check(number[:-1]) != number[-1]:
        return _MISTYPED
    return None


def birth_date(document_type: str, number: str) -> date | None:
    """The holder's date of birth if the number tells it, of a document without fault; None if it
    does not.

    The foreign resident card before 2023 has two digits for the year: which century it does not
    say.
    """
    if document_type not in _TELL_BIRTH:
        return None
    number = document_number(number)
    return _birth(number) if len(number) == _RESIDENT_LENGTH else None


def age_on(day: date, born: date) -> int:
    """Full years of age on a day; below 0 before the birth. Who is born on February 29 grows
    older on March 1.
    """
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def identity(document_type: str, number: str) -> tuple[str, str]:
    """What all spellings of one document have in common, as (type, number).

    Numbers made as a resident id are of one series, whichever type they are given under. Permits
    that also print how often the holder got one name the holder without it.
    """
    number = document_number(number)
    if document_type in _TELL_BIRTH and len(number) == _RESIDENT_LENGTH:
        return RESIDENT_ID, number
    return document_type, number[: _HOLDER_LENGTHS.get(document_type)]


def mask(number: str) -> str:
    """A document number for people who know it: its ends, and an asterisk for each character
    between.

    Two first and three last characters of 10 and more, one and two of 6 and more, none of a shorter
    one.
    """
    first, last = (2, 3) if len(number) >= 10 else (1, 2) if len(number) >= 6 else (0, 0)
    return number[:first] + "*" * (len(number) - first - last) + number[len(number) - last :]


_RESIDENT_LENGTH = 18
_TELL_BIRTH = frozenset({RESIDENT_ID, RESIDENCE_PERMIT, FOREIGN_PERMANENT_RESIDENT_CARD})
_HOLDER_LENGTHS = {MAINLAND_TRAVEL_PERMIT: 9, TAIWAN_COMPATRIOT_PERMIT: 8}
_MISTYPED = "has a wrong last character: a character was mistyped"
_NO_BIRTH = "has no date of birth in its digits {} to {}"

_FORMS = {
    # the first six digits are a district: every one that ever was, and will be, is good
    RESIDENT_ID: (
        re.compile(r"\d{17}[\dX]", re.ASCII),
        "18 characters, as 11010519491231002X",
    ),
    RESIDENCE_PERMIT: (
        re.compile(r"8[123]\d{15}[\dX]", re.ASCII),
        "18 characters, from 81, 82 or 83 on, as 810000199408230021",
    ),
    # ICAO 9303 has room for nine characters; no state numbers with letters alone
    PASSPORT: (
        re.compile(r"(?=.*\d)[A-Z0-9]{5,9}", re.ASCII),
        "5 to 9 letters and digits, as E12345678",
    ),
    # booklets before 2013 also print how often the holder got one, in two digits
    MAINLAND_TRAVEL_PERMIT: (
        re.compile(r"[HM]\d{8}(\d{2})?", re.ASCII),
        "H (Hong Kong) or M (Macau) and 8 or 10 digits, as H12345678",
    ),
    # cards: C, then a digit or, since those ran out, a letter other than I and O; booklets: W
    HK_MACAO_PERMIT: (
        re.compile(r"[CW]\d{8}|C[A-HJ-NP-Z]\d{7}", re.ASCII),
        "C or W and 8 digits, or C, a letter and 7 digits, as C12345678",
    ),
    # booklets before 2015 also print how often the holder got one, and a letter
    TAIWAN_COMPATRIOT_PERMIT: (
        re.compile(r"\d{8}(\d{2}[A-Z]?)?", re.ASCII),
        "8 or 10 digits, as 12345678",
    ),
    # cards: L; booklets: T
    TAIWAN_TRAVEL_PERMIT: (
        re.compile(r"[LT]\d{8}", re.ASCII),
        "L or T and 8 digits, as L12345678",
    ),
    HKID: (
        re.compile(r"[A-Z]{1,2}\d{6}[\dA]", re.ASCII),
        "one or two letters, 6 digits and a check character, as A123456(3)",
    ),
    # Macau has not published how the last digit follows from the others
    MACAO_BIR: (
        re.compile(r"[157]\d{7}", re.ASCII),
        "8 digits, the first of them 1, 5 or 7, as 1234567(8)",
    ),
    # of 2023: as a resident id, 9 before province and state; before: state, district, birth, number
    # and check digit
    FOREIGN_PERMANENT_RESIDENT_CARD: (
        re.compile(r"9\d{16}[\dX]|[A-Z]{3}\d{12}", re.ASCII),
        "18 characters, from 9 on, or 3 letters and 12 digits, as USA110090123105",
    ),
}
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_CHARACTERS = "10X98765432"


def _is_dropped(character: str) -> bool:
    # Pd: all that looks like a hyphen, but for the minus sign; Cf: shows nothing
    return (
        character.isspace()
        or character in "()\u2212"
        or unicodedata.category(character) in ("Pd", "Cf")
    )


def _birth(number: str) -> date | None:
    try:
        return date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return None


def _resident_fault(number: str, today: date) -> str | None:
    """GB 11643: six digits of region, eight of birth, three of sequence, and a check character
    (ISO 7064, MOD 11-2).
    """
    born = _birth(number)
    if born is None:
        return _NO_BIRTH.format(7, 14)
    weighted = sum(int(digit) * weight for digit, weight in zip(number[:17], _WEIGHTS, strict=True))
    if _CHECK_CHARACTERS[weighted % 11] != number[17]:
        return _MISTYPED
    return "has a date of birth in the future" if born > today else None


def _first_resident_card_fault(number: str) -> str | None:
    """The card before 2023: three letters of state, four digits of district, six of birth, one
    more, and a check digit.

    The check is that of machine-readable passports (ICAO 9303): weights 7, 3, 1, modulo 10, with A
    for 10.
    """
    try:
        date(2000 + int(number[7:9]), int(number[9:11]), int(number[11:13]))
    except ValueError:
        return _NO_BIRTH.format(8, 13)
    weighted = sum(int(c, 36) * (7, 3, 1)[at % 3] for at, c in enumerate(number[:-1]))
    return None if weighted % 10 == int(number[-1]) else _MISTYPED


def _hkid_check(body: str) -> str:
    """Letters are 10 to 35, a missing first one 36, weights 9 to 2: with the check character the
    sum is 0 modulo 11.
    """
    values = [36 if character == " " else int(character, 36) for character in f"{body:>8}"]
    rest = -sum(value * (9 - at) for at, value in enumerate(values)) % 11
    return "A" if rest == 10 else str(rest)
