"""Blocks: a blocked ticket is refused at every gate, whatever its state."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.statements import run
from server.tickets import partner_events
from server.tickets.models import tickets
from server.tickets.tickets import record
from server.webhooks.events import TicketEvent
from server.webhooks.rules import TICKET_BLOCKED, TICKET_UNBLOCKED


async def set_blocked(
    tx: AsyncConnection,
    states: dict[int, str],
    *,
    blocked: bool,
    actor: str,
    now: datetime,
) -> None:
    """Blocks or unblocks locked tickets, and records it; `states` are theirs now, by number."""
    await tx.execute(
        update(tickets)
        .where(tickets.c.ticket_id.in_(states))
        .values(blocked=blocked, update_time=now)
    )
    for ticket_id, state in states.items():
        await record_block(tx, [ticket_id], state, blocked=blocked, actor=actor, now=now)
    kind = TICKET_BLOCKED if blocked else TICKET_UNBLOCKED
    changed = [TicketEvent(ticket_id, kind, {}) for ticket_id in states]
    await run(tx, partner_events.record(*changed, now=now))


async def record_block(
    tx: AsyncConnection,
    ticket_ids: Collection[int],
    state: str,
    *,
    blocked: bool,
    actor: str,
    now: datetime,
) -> None:
    """Records that tickets in a state are blocked now, or not any more."""
    event = {"action": "block" if blocked else "unblock", "state": state, "actor": actor}
    await record(tx, list(ticket_ids), now=now, **event)
