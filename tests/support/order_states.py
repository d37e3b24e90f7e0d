"""What the statement that completes orders is held to, said once more in Python."""

from collections.abc import Iterable

from server.orders.rules import WITHDRAWN

USED_UP = frozenset({"USED", "EXPIRED"})
"""Final states of a ticket that the traveller had."""


def order_state_after(ticket_states: Iterable[str]) -> str:
    """The state of a paid order by those of its tickets: PAID, COMPLETED or CANCELLED.

    PAID while one is not final; then COMPLETED if one was used or expired, else CANCELLED. A
    changed ticket is final: the ticket that took its place counts in the order it is in, so an
    order whose tickets were all changed into others' or refunded is CANCELLED. Raises ValueError
    for an order without tickets, which there is not.
    """
    states = set(ticket_states)
    if not states:
        raise ValueError("an order without tickets")
    if states - USED_UP - WITHDRAWN:
        return "PAID"
    return "COMPLETED" if states & USED_UP else "CANCELLED"
