"""What partners hear of their tickets: an event for each move, recorded with it. Of our own tickets
nothing is recorded.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from server.platform.statements import Command
from server.tickets.rules import is_direct
from server.webhooks import events
from server.webhooks.events import TicketEvent
from server.webhooks.rules import TICKET_EXPIRED, TICKET_REFUNDED, TICKET_VOIDED

TYPES = {"EXPIRED": TICKET_EXPIRED, "REFUNDED": TICKET_REFUNDED, "VOIDED": TICKET_VOIDED}
"""The type of event by the state that a ticket is moved to; other moves are recorded by whoever
knows more of them.
"""


def recording(moved: Iterable[TicketEvent], *, now: datetime) -> Command[None] | None:
    """Records what happened to tickets, as a command that comes after what moves them; None if none
    of them is a partner's.
    """
    return events.recording_of_tickets(
        [each for each in moved if not is_direct(each.ticket_id)], now=now
    )


def recording_move(
    ticket_ids: Iterable[int], to_state: str, data: Mapping[str, Any], *, now: datetime
) -> Command[None] | None:
    """As `recording`, of tickets moved to a state; None if partners need not know of it."""
    kind = TYPES.get(to_state)
    if kind is None:
        return None
    return recording((TicketEvent(number, kind, data) for number in ticket_ids), now=now)
