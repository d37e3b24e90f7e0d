"""What is done next with a booking of an outside channel, and what of it is kept. Pure.

A booking is RECEIVED, then RESERVED with the order that holds its stock, then CONFIRM_PENDING with
the order paid on account, then CONFIRMED. What cannot be sold is rejected before anybody can have
confirmed it. A confirmation or cancellation is never repeated blindly: one whose answer was lost is
read back first (DOMAIN, Channels).
"""

from enum import StrEnum
from typing import NamedTuple

UNREADABLE, RECEIVED, RESERVED = "UNREADABLE", "RECEIVED", "RESERVED"
CONFIRM_PENDING, CONFIRMED = "CONFIRM_PENDING", "CONFIRMED"
REJECT_PENDING, REJECTED = "REJECT_PENDING", "REJECTED"
CANCEL_PENDING, CANCELLED = "CANCEL_PENDING", "CANCELLED"

STATES = (
    *(UNREADABLE, RECEIVED, RESERVED, CONFIRM_PENDING, CONFIRMED),
    *(REJECT_PENDING, REJECTED, CANCEL_PENDING, CANCELLED),
)
FINAL = frozenset({REJECTED, CANCELLED})
"""States that are not left."""


class BookingStep(StrEnum):
    """What is done next with a booking."""

    NOTHING = "NOTHING"
    RESERVE = "RESERVE"
    """Check price and stock, and make the order, which holds it; or reject the booking."""
    PAY = "PAY"
    """Have the order paid on account, before the vendor hears of it: a hold would expire."""
    CONFIRM = "CONFIRM"
    NOTE_CONFIRMED = "NOTE_CONFIRMED"
    """The vendor has it as confirmed."""
    READ_BACK = "READ_BACK"
    """Look what became of a call whose answer was lost."""
    CHANGE = "CHANGE"
    """The customer has changed it: change the order, and confirm that."""
    CANCEL_THERE = "CANCEL_THERE"
    """Have the vendor cancel it."""
    END = "END"
    """It is cancelled at the vendor: cancel or refund the order, if there is one."""
    RECONSIDER = "RECONSIDER"
    """It was to be rejected, and is confirmed at the vendor: sell it all the same."""


class BookingFacts(NamedTuple):
    """Where a booking stands: with us, and as the vendor had it when we looked last (a
    BookingState). `is_asked`: a call is out whose outcome is not known.
    """

    state: str
    vendor_state: str
    is_asked: bool


_STEPS = {
    (RECEIVED, ""): BookingStep.RESERVE,
    (RESERVED, ""): BookingStep.PAY,
    (CONFIRM_PENDING, ""): BookingStep.CONFIRM,
    (CONFIRM_PENDING, "CONFIRMED"): BookingStep.NOTE_CONFIRMED,
    (CONFIRMED, "MODIFIED"): BookingStep.CHANGE,
    (REJECT_PENDING, ""): BookingStep.CANCEL_THERE,
    (REJECT_PENDING, "CONFIRMED"): BookingStep.RECONSIDER,
    (REJECT_PENDING, "MODIFIED"): BookingStep.RECONSIDER,
    (CANCEL_PENDING, ""): BookingStep.CANCEL_THERE,
}
"""By our state and the vendor's; with an empty one for every other of the vendor's."""
_CALLS = frozenset({BookingStep.CONFIRM, BookingStep.CANCEL_THERE})


def next_step(booking: BookingFacts) -> BookingStep:
    """What is done next."""
    state, theirs, is_asked = booking
    if state in FINAL or state == UNREADABLE:
        return BookingStep.NOTHING
    if theirs == "CANCELLED":
        return BookingStep.END
    step = _STEPS.get((state, theirs)) or _STEPS.get((state, ""), BookingStep.NOTHING)
    return BookingStep.READ_BACK if is_asked and step in _CALLS else step


def may_reject(booking: BookingFacts) -> bool:
    """Whether it can be rejected: nobody can have confirmed it."""
    return booking.vendor_state == "NEW" and booking.state in (RECEIVED, RESERVED)


def kept_of(total_minor: int, *, paid_minor: int, back_minor: int) -> int:
    """What is kept of a booking's total when `back_minor` of the `paid_minor` that its order cost
    is given back: the same share, rounded half-up.
    """
    if not paid_minor:
        return 0
    kept = total_minor * (paid_minor - back_minor)
    return (2 * kept + paid_minor) // (2 * paid_minor)
