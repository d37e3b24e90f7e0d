"""The decisions about bookings of partners: what state one is in for its reader, and who travels.
Pure.

Source: the public OCTO specification, Booking; DOMAIN, States.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

HELD, CONFIRMED, CANCELLED = "HELD", "CONFIRMED", "CANCELLED"
"""States of a booking as it is kept."""
BookingStatus = Literal["ON_HOLD", "CONFIRMED", "EXPIRED", "CANCELLED", "REDEEMED"]
"""What a booking is for its reader, who hears of its reservation and tickets too."""
SOLD: Collection[BookingStatus] = ("CONFIRMED", "REDEEMED")
"""Of what is sold, and not given back."""
_USED = frozenset({"USED", "PARTIALLY_REDEEMED"})
_GONE = frozenset({"REFUNDED", "VOIDED"})
_OF_HOLDS: dict[str, BookingStatus] = {"EXPIRED": "EXPIRED", "RELEASED": "CANCELLED"}


def booking_status(
    state: str, reservation_state: str, ticket_states: Collection[str]
) -> BookingStatus:
    """The status of a booking, by the states of what it is made of: a hold ends with its
    reservation, and what was sold is over when all its tickets were given back.
    """
    if state == CANCELLED:
        return "CANCELLED"
    if state == HELD:
        return _OF_HOLDS.get(reservation_state, "ON_HOLD")
    if _GONE.issuperset(ticket_states):
        return "CANCELLED"
    return "REDEEMED" if _USED.intersection(ticket_states) else "CONFIRMED"


def unit_status(of_booking: BookingStatus, ticket_state: str) -> BookingStatus:
    """The same of one ticket of a booking."""
    if of_booking in ("ON_HOLD", "EXPIRED", "CANCELLED"):
        return of_booking
    if ticket_state in _GONE:
        return "CANCELLED"
    return "REDEEMED" if ticket_state in _USED else "CONFIRMED"


def full_name(full: str, first: str, last: str) -> str:
    """Somebody's name, of what was sent of it; empty if that is nothing."""
    return full or " ".join(part for part in (first, last) if part)


def same_units(was: Sequence[str], wanted: Iterable[str]) -> bool:
    """Whether the customer types of a booking stay as many of each as they were, so that the stock
    that it holds fits; in this order, since each has its ticket.
    """
    return list(was) == list(wanted)
