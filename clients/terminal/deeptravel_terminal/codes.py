"""What a scanned text is: a ticket of ours, or which other kind of code. Pure.

What is no code of ours is named on the screen as what it is, and goes nowhere: it is somebody's
payment, journey or identity (DOMAIN, QR token and Redemption).
"""

import enum
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date

MAX_SCANNED_CHARS = 4096
"""Of a longer text nothing is looked at; a code of ours has 203, or 212 with a rotating code."""


class Kind(enum.Enum):
    """What a scanned text is."""

    TICKET_QR = "ticket or order of ours"
    CODE = "printed number of a ticket or order of ours"
    DAMAGED = "part of a QR of ours"
    PAYMENT = "payment code"
    BOARDING_PASS = "boarding pass"  # noqa: S105
    RAIL_TICKET = "rail ticket"
    ID_CARD = "identity card"
    URL = "link"
    PRODUCT = "product's barcode"
    OTHER_TICKET = "another system's ticket"
    OTHER = "another code"

    @property
    def is_ours(self) -> bool:
        """Whether it may be sent to the server."""
        return self in {Kind.TICKET_QR, Kind.CODE}


@dataclass(frozen=True)
class Scanned:
    """A scan: its kind, and its text where it is ours. Of all others nothing is kept."""

    kind: Kind
    text: str = field(default="", repr=False)

    @property
    def is_order(self) -> bool:
        """Whether it is the printed number of an order."""
        return self.kind is Kind.CODE and self.text.startswith("ORD-")


_FOLDED = {form: form - 0xFEE0 for form in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_AIM_IDENTIFIER = re.compile(r"\][A-Za-z][0-9A-Za-z]")
_UPPER = str.maketrans({chr(code): chr(code - 32) for code in range(97, 123)})  # ASCII alone

_OURS = re.compile(r"[A-Z2-7]{23}:[A-Z2-7]{48}:[A-Z2-7]{26}:[A-Z2-7]{103}(?:-[A-Z2-7]{8})?")
_PART_OF_OURS = re.compile(r"(?=.{20})[A-Z2-7]*:[A-Z2-7:-]*")
_CODE = re.compile(r"(OTA|DIR|ORD)[- ]?([A-Z0-9]{1,12}?)[- ]?(\d{8})[- ]?(\d{6,9})", re.ASCII)

_FOREIGN: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    # IATA resolution 792: format M, legs, name of 20, E or blank, booking of 7, from, to, carrier
    (
        Kind.BOARDING_PASS,
        re.compile(r"[MS][1-9].{20}[E ].{7}[A-Z]{3}[A-Z]{3}[A-Z0-9 ]{3}.{5}\d{3}"),
    ),
    # what wallets show to a shop's scanner: WeChat 10 to 15, Alipay 25 to 30, UnionPay 62
    (Kind.PAYMENT, re.compile(r"1[0-5]\d{16}|(?:2[5-9]|30)\d{14,22}|62\d{17}", re.ASCII)),
    # EMV: merchant-presented, then consumer-presented (0x85 05 CPV01 in Base64)
    (Kind.PAYMENT, re.compile(r"000201\d{2}.*|HQVDUFYWM.*", re.IGNORECASE)),
    (
        Kind.PAYMENT,
        re.compile(
            r"(?:wxp|alipays?|weixin)://.*|https?://(?:[\w-]+\.)*"
            r"(?:alipay|tenpay|95516)\.com(?:/.*)?",
            re.IGNORECASE,
        ),
    ),
    (Kind.URL, re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://|www\.).+", re.IGNORECASE)),
    # UIC 918.3 and the European FCB, RSP6 of Britain, VDV-KA, and the figures of China Railway
    (Kind.RAIL_TICKET, re.compile(r"(?:#UT|OTI|U[12]\d{4}).*|06[A-Z0-9]{13,}|\d{144}", re.ASCII)),
    (Kind.PRODUCT, re.compile(r"\d{8}|\d{12,14}", re.ASCII)),
    # a JWT, JSON, a UUID, or one long word of letters and digits, as ticket systems print them
    (
        Kind.OTHER_TICKET,
        re.compile(
            r"ey[\w-]+\.[\w-]+\.[\w-]*|[{\[].*[}\]]|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
            r"|[\w+/=.:-]{10,}",
            re.IGNORECASE,
        ),
    ),
)


def read(text: str) -> Scanned:
    """What a scanner's text is. Never raises."""
    if len(text) > MAX_SCANNED_CHARS:
        return Scanned(Kind.OTHER)
    plain = without_additions(text)
    folded = plain.translate(_UPPER)
    if _OURS.fullmatch(folded):
        return Scanned(Kind.TICKET_QR, folded)
    if match := _CODE.fullmatch(folded):
        return Scanned(Kind.CODE, "-".join(match.groups()))
    if _PART_OF_OURS.fullmatch(folded):
        return Scanned(Kind.DAMAGED)
    if _is_identity_number(folded):
        return Scanned(Kind.ID_CARD)
    for kind, pattern in _FOREIGN:
        match = pattern.match(plain) if kind is Kind.BOARDING_PASS else pattern.fullmatch(plain)
        if match:
            return Scanned(kind)
    return Scanned(Kind.OTHER)


def chosen(texts: list[str]) -> Scanned | None:
    """Of several codes in view the one of ours, also beside a payment code; None of none.

    The texts come with the one first that is nearest to the middle.
    """
    found = [read(text) for text in texts]
    for wanted in (Kind.TICKET_QR, Kind.CODE):
        for each in found:
            if each.kind is wanted:
                return each
    return found[0] if found else None


def without_additions(text: str) -> str:
    """The text without what a scanner adds or a keyboard turns into other forms: white space and
    control characters at both ends, an AIM symbology identifier, full-width forms (DOMAIN, QR
    token). Letters stay as they are, since a link's matter.
    """
    folded = _without_ends(text.translate(_FOLDED))
    identifier = _AIM_IDENTIFIER.match(folded)
    return _without_ends(folded[identifier.end() :]) if identifier else folded


def _without_ends(text: str) -> str:
    first, end = 0, len(text)
    while first < end and _is_added(text[first]):
        first += 1
    while end > first and _is_added(text[end - 1]):
        end -= 1
    return text[first:end]


def _is_added(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")


def _is_identity_number(text: str) -> bool:
    """GB 11643: region, date of birth, sequence, check character. A payment code of WeChat has 18
    digits too, and begins as numbers of Beijing do; of those one in eleven has the right check, few
    of which have a date.
    """
    if not re.fullmatch(r"[1-9]\d{16}[0-9X]", text, re.ASCII):
        return False
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(text, weights, strict=False))
    return born.year >= 1900 and "10X98765432"[total % 11] == text[17]
