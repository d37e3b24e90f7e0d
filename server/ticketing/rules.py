"""The decisions of an order: its states, who travels with which document, and how a refund
is shared out over the payments. Pure.

What a ticket's refund or change costs is in policy.py.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

ORDER_MOVES = frozenset(
    {
        ("PENDING", "PAID"),
        ("PENDING", "CANCELLED"),
        ("PAID", "COMPLETED"),
        ("PAID", "CANCELLED"),
        # a payment that arrives after its hold expired, if stock could be taken again (DOMAIN, Payment)
        ("CANCELLED", "PAID"),
        # a supervisor reverses a redemption, and a ticket is no longer used up (DOMAIN, States)
        ("COMPLETED", "PAID"),
    }
)
"""Every move an order may make (DOMAIN, States); every other is refused."""

USED_UP = frozenset({"USED", "EXPIRED"})
WITHDRAWN = frozenset({"REFUNDED", "CHANGED", "VOIDED"})
"""The final states of a ticket: the traveller had it, or gave it back."""

RESIDENT_ID = "RESIDENT_ID"
"""居民身份证 of the mainland."""
PASSPORT = "PASSPORT"
MAINLAND_TRAVEL_PERMIT = "MAINLAND_TRAVEL_PERMIT"
"""港澳居民来往内地通行证 (回乡证), of residents of Hong Kong and Macau."""
HK_MACAO_PERMIT = "HK_MACAO_PERMIT"
"""往来港澳通行证, of residents of the mainland."""


def order_state_after(ticket_states: Iterable[str]) -> str:
    """The state of a paid order by those of its tickets: PAID, COMPLETED or CANCELLED.

    PAID while one is not final; then COMPLETED if one was used or expired, else CANCELLED. A changed ticket is final:
    the ticket that took its place counts in the order it is in, so an order whose tickets were all changed into others'
    or refunded is CANCELLED. Raises ValueError for an order without tickets, which there is not.
    """
    states = set(ticket_states)
    if not states:
        raise ValueError("an order without tickets")
    if states - USED_UP - WITHDRAWN:
        return "PAID"
    return "COMPLETED" if states & USED_UP else "CANCELLED"


def allot_refund(amount_minor: int, remaining: Sequence[int]) -> list[int]:
    """What each payment gives back of a refund, in the order of `remaining`: what each has left, newest first.

    The newest gives all it can before the next does. Raises ValueError if all together have too little left.
    """
    shares = []
    for left in remaining:
        share = min(amount_minor, left)
        shares.append(share)
        amount_minor -= share
    if amount_minor:
        raise ValueError(f"{amount_minor} more than is left of the payments")
    return shares


def out_refund_no(order_id: int, refund_no: int, part_no: int, attempt: int = 1) -> str:
    """Our number, at WeChat, of what one refund gives back of one payment; stable until it settles.

    There is a further attempt only behind one that WeChat has closed.
    """
    return f"DT{order_id}R{refund_no}S{part_no}" + (f"A{attempt}" if attempt > 1 else "")


class RefundPart(NamedTuple):
    """What an out_refund_no says."""

    order_id: int
    refund_no: int
    part_no: int
    attempt: int


def refund_part(out_refund_no: str) -> RefundPart | None:
    """What the number says; None for one that is not ours."""
    match = _OUT_REFUND_NO.fullmatch(out_refund_no)
    if match is None or int(match[1]) >= 1 << 63:
        return None
    return RefundPart(int(match[1]), int(match[2]), int(match[3]), int(match[4] or 1))


def part_state(told: str, *, is_alone: bool, has_tickets: bool) -> str:
    """The state of a part that WeChat settles as SUCCEEDED, CLOSED or ABNORMAL.

    Closed for good is only what undoes the whole refund, tickets and all; else the traveller would be left without
    ticket or money, and it is an administrator's.
    """
    return "ABNORMAL" if told == "CLOSED" and not (is_alone and has_tickets) else told


def refund_state(part_states: Iterable[str]) -> str:
    """The state of a refund by those of its parts; one of nothing has none, and has succeeded."""
    states = set(part_states)
    for state in ("ABNORMAL", "PROCESSING", "CLOSED"):
        if state in states:
            return state
    return "SUCCEEDED"


def document_number(number: str) -> str:
    """A document number as it is compared and stored: capitals, without spaces and hyphens."""
    return number.upper() if number.isalnum() else re.sub(r"[\s-]", "", number).upper()


def document_fault(document_type: str, number: str) -> str | None:
    """What is wrong with a document, to stand behind its field's name; None if nothing is. The number is not in it.

    Looked at is the form, as by `document_number`, not whether such a document was issued.
    """
    form = _FORMS.get(document_type)
    if form is None:
        return f"has a document type other than {', '.join(sorted(_FORMS))}"
    pattern, description = form
    number = document_number(number)
    if not pattern.fullmatch(number):
        return f"is no {document_type} number: {description}"
    if document_type == RESIDENT_ID:
        return _resident_id_fault(number)
    return None


def duplicate_passengers(documents: Iterable[tuple[str, str]]) -> list[int]:
    """The positions of the documents, as (type, number), that were named before; numbers as by `document_number`."""
    seen: set[tuple[str, str]] = set()
    positions = []
    for position, (document_type, number) in enumerate(documents):
        document = document_type, document_number(number)
        if document in seen:
            positions.append(position)
        seen.add(document)
    return positions


def mask(number: str) -> str:
    """A document number for people who know it: its ends, and an asterisk for each character between.

    Two first and three last characters of 10 and more, one and two of 6 and more, none of a shorter one.
    """
    first, last = (2, 3) if len(number) >= 10 else (1, 2) if len(number) >= 6 else (0, 0)
    return number[:first] + "*" * (len(number) - first - last) + number[len(number) - last :]


_OUT_REFUND_NO = re.compile(r"DT(\d{1,19})R(\d{1,5})S(\d{1,4})(?:A(\d{1,4}))?", re.ASCII)

_FORMS = {
    RESIDENT_ID: (
        re.compile(r"[1-9]\d{16}[\dX]", re.ASCII),
        "18 characters, as 11010519491231002X",
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
}
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_CHARACTERS = "10X98765432"


def _resident_id_fault(number: str) -> str | None:
    """GB 11643: six digits of region, eight of birth, three of sequence, and a check character (ISO 7064, MOD 11-2)."""
    try:
        date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return "has no date of birth in its digits 7 to 14"
    weighted = sum(int(digit) * weight for digit, weight in zip(number[:17], _WEIGHTS, strict=True))
    if _CHECK_CHARACTERS[weighted % 11] != number[17]:
        return "has a wrong last character: a digit was mistyped"
    return None
