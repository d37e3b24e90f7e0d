"""The uses of tickets: what a redemption consumes, and what a reversal gives back.

Whoever changes them has the ticket's row locked (`FOR NO KEY UPDATE`); a check keeps what is left
between 0 and the total.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from server.platform.statements import Command, Statement

_MOVE = Statement("""
UPDATE tickets t SET state = v.state, update_time = $1::timestamptz, expiry_pending = true
FROM unnest($2::bigint[], $3::text[]) AS v (ticket_id, state) WHERE t.ticket_id = v.ticket_id
""")
_LEAVE = Statement("""
UPDATE entitlements e SET remaining_uses = v.remaining
FROM unnest($1::bigint[], $2::text[], $3::int[]) AS v (ticket_id, function_code, remaining)
WHERE e.ticket_id = v.ticket_id AND e.function_code = v.function_code
""")


class TicketState(NamedTuple):
    """Where a ticket stands by its uses: ACTIVE, PARTIALLY_REDEEMED or USED."""

    ticket_id: int
    state: str


class UsesLeft(NamedTuple):
    """How often a function of a ticket may still be redeemed."""

    ticket_id: int
    function_code: str
    remaining_uses: int


def move(states: Sequence[TicketState], *, now: datetime) -> Command[None] | None:
    """Moves locked tickets to where their uses put them."""
    return _MOVE.of_rows(states, now)


def leave(left: Sequence[UsesLeft]) -> Command[None] | None:
    """Leaves that many uses of entitlements of locked tickets."""
    return _LEAVE.of_rows(left)
