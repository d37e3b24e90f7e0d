"""The uses of tickets: what a redemption consumes, and what a reversal gives back.

Whoever changes them has the ticket's row locked (`FOR NO KEY UPDATE`); a check keeps what is left
between 0 and the total.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from server.platform.statements import Command, Statement


class LeasedRow(NamedTuple):
    """A function of a ticket that is leased, and until when."""

    ticket_id: int
    function_code: str
    until: datetime


_MOVE = Statement("""
UPDATE tickets t SET state = v.state, update_time = $1::timestamptz, expiry_pending = true
FROM unnest($2::bigint[], $3::text[]) AS v (ticket_id, state) WHERE t.ticket_id = v.ticket_id
""")
_LEAVE = Statement("""
UPDATE entitlements e SET remaining_uses = v.remaining
FROM unnest($1::bigint[], $2::text[], $3::int[]) AS v (ticket_id, function_code, remaining)
WHERE e.ticket_id = v.ticket_id AND e.function_code = v.function_code
""")
# by the database's clock alone, which all processes have in common
_LEASE = Statement(
    """
UPDATE entitlements SET leased_by = $1, leased_until = now() + $2::int * interval '1 second'
WHERE function_code = $3 AND ticket_id = ANY($4::bigint[])
RETURNING ticket_id, function_code, leased_until
""",
    LeasedRow,
)
_END_LEASES = Statement(
    """
UPDATE entitlements SET leased_by = NULL, leased_until = NULL
WHERE leased_by = $1 AND leased_until > now() AND ticket_id = ANY($2::bigint[])
RETURNING ticket_id
""",
    int,
)
LEASED_TO = Statement(
    """
SELECT ticket_id, function_code, leased_until FROM entitlements
WHERE leased_by = $1 AND leased_until > now() ORDER BY ticket_id
""",
    LeasedRow,
)
"""What a terminal has leased now."""


class TicketState(NamedTuple):
    """Where a ticket stands by its uses: ACTIVE, PARTIALLY_REDEEMED or USED."""

    ticket_id: int
    state: str


class UsesLeft(NamedTuple):
    """How often a function of a ticket may still be redeemed."""

    ticket_id: int
    function_code: str
    remaining_uses: int


def lease(
    terminal_device_id: str, function_code: str, ticket_ids: Sequence[int], *, seconds: int
) -> Command[LeasedRow]:
    """Leases a function of locked tickets to a terminal."""
    return _LEASE(terminal_device_id, seconds, function_code, ticket_ids)


def end_leases(terminal_device_id: str, ticket_ids: Sequence[int]) -> Command[int]:
    """Ends what of locked tickets the terminal has leased; a number for each function."""
    return _END_LEASES(terminal_device_id, ticket_ids)


def move(states: Sequence[TicketState], *, now: datetime) -> Command[None] | None:
    """Moves locked tickets to where their uses put them."""
    return _MOVE.of_rows(states, now)


def leave(left: Sequence[UsesLeft]) -> Command[None] | None:
    """Leaves that many uses of entitlements of locked tickets."""
    return _LEAVE.of_rows(left)
