"""The ids of redemption events: of a ticket in the order in which they were recorded."""

from collections.abc import Iterable
from datetime import datetime

from server.platform.errors import not_found
from server.tickets.tickets import new_event_id


def redemption_id(ticket_id: int, event_id: int) -> str:
    """The public id of an event, 32 hexadecimal digits: it names the ticket's rows and the event
    in them.
    """
    return f"{ticket_id:016x}{event_id:016x}"


def event_key(redemption: str) -> tuple[int, int]:
    """The ticket and event that a public id names. Raises NOT_FOUND for one that can be none."""
    ticket_id, event_id = int(redemption[:16], 16), int(redemption[16:], 16)
    if max(ticket_id, event_id) >= 1 << 63:
        raise not_found("redemption", redemption)
    return ticket_id, event_id


def event_id_after(known: Iterable[int], now: datetime) -> int:
    """A new id, above those of a ticket's events that are `known`: so the order of the ids is that
    in which they were recorded, also where two servers' clocks are off by some milliseconds.
    """
    return max(new_event_id(now), 1 + max(known, default=0))
