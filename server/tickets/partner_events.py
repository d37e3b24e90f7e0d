"""What partners hear of their tickets: an event for each move, recorded with it. Of our own tickets
nothing is recorded.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from server.platform.statements import Command
from server.tickets.rules import is_direct
from server.webhooks import events, sequencing
from server.webhooks.events import TicketEvent
from server.webhooks.rules import TICKET_EXPIRED, TICKET_QR_REISSUED, TICKET_REFUNDED, TICKET_VOIDED
from server.webhooks.sequencing import Sequenced

TYPES = {"EXPIRED": TICKET_EXPIRED, "REFUNDED": TICKET_REFUNDED, "VOIDED": TICKET_VOIDED}
"""The type of event by the state that a ticket is moved to; other moves are recorded by whoever
knows more of them.
"""


def record(*happened: TicketEvent, now: datetime) -> Command[None] | None:
    """Records what happened to tickets, after what moves them; None if none of them is a
    partner's.
    """
    of_partners = [event for event in happened if not is_direct(event.ticket_id)]
    return events.record_of_tickets(*of_partners, now=now)


def record_move(
    ticket_ids: Iterable[int],
    to_state: str,
    *,
    now: datetime,
    reason: str = "",
    amount_minor: int | None = None,
) -> Command[None] | None:
    """As `record`, of tickets moved to a state; None if partners need not know of it."""
    kind = TYPES.get(to_state)
    if kind is None:
        return None
    data: dict[str, Any] = {"reason": reason} if reason else {}
    if amount_minor is not None:
        data["amount_minor"] = amount_minor
    return events.record_of_all(_of_partners(ticket_ids), kind, data, now=now)


def record_reissue(ticket_ids: Iterable[int], *, now: datetime) -> Command[None] | None:
    """As `record`, of tickets whose QR codes are issued anew, since others have the key of those
    before.
    """
    return events.record_of_all(_of_partners(ticket_ids), TICKET_QR_REISSUED, {}, now=now)


def take_turn(
    ticket_ids: Iterable[int],
) -> tuple[Command[bool] | None, Command[Sequenced] | None]:
    """To be run before tickets are moved, for `record_expired`; None if none is a partner's."""
    return sequencing.take_turn() if _of_partners(ticket_ids) else (None, None)


def record_expired(
    ticket_ids: Iterable[int],
    locked: Sequence[bool],
    sequenced: Sequence[Sequenced],
    *,
    now: datetime,
) -> Command[Any] | None:
    """As `record_move` to EXPIRED, of many in a transaction that ends soon: cheaper where the rows
    of `take_turn` say that they may have their numbers at once.
    """
    mine = _of_partners(ticket_ids)
    if mine and sequencing.has_turn(locked, sequenced):
        return sequencing.record_numbered(mine, TICKET_EXPIRED, {}, now=now)
    return record_move(mine, "EXPIRED", now=now)


def _of_partners(ticket_ids: Iterable[int]) -> list[int]:
    return [ticket_id for ticket_id in ticket_ids if not is_direct(ticket_id)]
