"""Redemptions taken back: the uses are free again, and so is (jti, function_code) (DOMAIN,
Redemption 9).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.trail import AuditedChange, audit
from server.identity.callers import Operator
from server.orders import completion, shared_tickets
from server.platform.errors import DomainError, Reason, not_found
from server.platform.statements import Statement, run, run_together
from server.redemption import rules
from server.redemption.event_ids import event_id_after, event_key, redemption_id
from server.redemption.models import redemption_events
from server.redemption.statements import READ_USES
from server.tickets import partner_events, uses
from server.tickets.models import tickets
from server.tickets.rules import FINAL_STATES, partner_of, state_after_redemption
from server.tickets.uses import TicketState, UsesLeft
from server.webhooks.events import TicketEvent
from server.webhooks.rules import TICKET_REDEMPTION_REVERSED

# if the redemption still holds it
_FREE_GUARD = Statement("""
DELETE FROM redemption_guards
WHERE ticket_id = $1 AND jti = $2 AND function_code = $3 AND event_id = $4
""")


@dataclass(frozen=True, slots=True)
class Reversal:
    """A redemption taken back, and the ticket after it."""

    redemption_id: str
    ticket_code: str
    ticket_state: str
    remaining: tuple[tuple[str, int], ...]


async def reverse(
    tx: AsyncConnection, *, redemption: str, comment: str, caller: Operator, now: datetime
) -> Reversal:
    """Takes a redemption back.

    Raises NOT_FOUND for a redemption that is not of the caller's merchant, REVERSAL_REFUSED.
    """
    ticket, event = await _lock(tx, redemption, caller)
    why_not = await _why_not(tx, ticket.state, event, caller, now)
    if why_not:
        raise DomainError(
            Reason.REVERSAL_REFUSED,
            f"redemption {redemption} cannot be reversed: {why_not}",
            redemption_id=redemption,
        )
    entitled = await run(tx, READ_USES([event.ticket_id]))
    remaining = {row.function_code: row.remaining_uses for row in entitled}
    remaining[event.function_code] += event.quantity
    total = sum(row.total_uses for row in entitled)
    state = state_after_redemption(sum(remaining.values()), total)
    taken_back = TicketEvent(
        event.ticket_id,
        TICKET_REDEMPTION_REVERSED,
        {
            "redemption_id": redemption,
            "function_code": event.function_code,
            "quantity": event.quantity,
            "remaining_uses": remaining[event.function_code],
            "merchant_code": event.merchant_code,
            "venue_code": caller.venue_code,
        },
    )
    change = _reversed(redemption, ticket, event, caller=caller, state=state, comment=comment)
    await run_together(
        tx,
        _FREE_GUARD(event.ticket_id, event.jti, event.function_code, event.event_id),
        uses.leave(
            [UsesLeft(event.ticket_id, event.function_code, remaining[event.function_code])]
        ),
        uses.move([TicketState(event.ticket_id, state)], now=now),
        partner_events.record(taken_back, now=now),
        audit(change, now=now),
    )
    recorded = select(redemption_events.c.event_id).where(
        redemption_events.c.ticket_id == event.ticket_id
    )
    reversal_id = event_id_after((await tx.execute(recorded)).scalars(), now)
    reversal = event._asdict() | {
        "event_id": reversal_id,
        "result": "REVERSED",
        "operator": caller.username,
        "terminal_device_id": caller.terminal_device_id,
        "venue_code": caller.venue_code,
        "session_code": None,
        "request_id": None,
        "occurred_time": now,
        "reversed_event_id": event.event_id,
        "comment": comment,
    }
    del reversal["transaction_id"]  # it is of its own
    await tx.execute(insert(redemption_events).values(reversal))
    if ticket.state in FINAL_STATES:
        await completion.reopen(tx, ticket.order_id, actor=caller.key, now=now)
    left = tuple(remaining.items())
    public_id = redemption_id(event.ticket_id, reversal_id)
    return Reversal(public_id, ticket.ticket_code, state, left)


def _reversed(
    redemption: str,
    ticket: Row[Any],
    event: Row[Any],
    *,
    caller: Operator,
    state: str,
    comment: str,
) -> AuditedChange:
    """For the audit trail: who took which redemption back, and why."""
    after = {
        "state": state,
        "redemption_id": redemption,
        "function_code": event.function_code,
        "quantity": event.quantity,
        "venue_code": caller.venue_code,
    }
    actor, before = f"supervisor:{caller.username}", {"state": ticket.state}
    return AuditedChange(
        actor, "reverse_redemption", "ticket", ticket.ticket_code, before, after, comment
    )


async def _lock(
    tx: AsyncConnection, redemption: str, caller: Operator
) -> tuple[Row[Any], Row[Any]]:
    """The ticket, locked, and the event of a redemption of the caller's merchant."""
    ticket_id, event_id = event_key(redemption)
    if caller.sandbox_id and partner_of(ticket_id) != caller.sandbox_id:
        raise not_found("redemption", redemption)
    # the ticket's row first, as every redemption does
    query = select(tickets).where(tickets.c.ticket_id == ticket_id)
    ticket = (await tx.execute(query.with_for_update(key_share=True))).one_or_none()
    events = redemption_events.c
    of_event = events.ticket_id == ticket_id, events.event_id == event_id
    event = (await tx.execute(select(redemption_events).where(*of_event))).one_or_none()
    if ticket is None or event is None or event.merchant_code != caller.merchant_code:
        raise not_found("redemption", redemption)
    return ticket, event


async def _why_not(
    tx: AsyncConnection, ticket_state: str, event: Row[Any], caller: Operator, now: datetime
) -> str | None:
    """Why a redemption cannot be reversed, in words; None if it can."""
    events = redemption_events.c
    reversal = select(events.event_id).where(
        events.ticket_id == event.ticket_id, events.reversed_event_id == event.event_id
    )
    why_not = rules.why_not_reversible(
        event.result,
        event.occurred_time,
        ticket_state,
        is_reversed=await tx.scalar(reversal) is not None,
        window_seconds=caller.reversal_window_seconds,
        now=now,
    )
    if why_not is None and await shared_tickets.is_over(tx, event.ticket_id):
        return "all who shared the ticket have given theirs back"
    return why_not
