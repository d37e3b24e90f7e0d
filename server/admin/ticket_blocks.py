"""Blocks of single tickets: a blocked one is refused at every gate, whatever its state."""

from dataclasses import dataclass
from typing import Unpack

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.admin.records import By
from server.errors import not_found
from server.identity.audit import audit
from server.identity.models import partners
from server.tickets.models import ticket_events, tickets
from server.tickets.rules import DIRECT, Code
from server.tickets.service import new_event_id


@dataclass(frozen=True, slots=True)
class TicketBlock:
    """A ticket, and whether it is blocked."""

    ticket_code: str
    state: str
    blocked: bool


async def block_ticket(
    tx: AsyncConnection, *, ticket_code: str, blocked: bool, comment: str, **by: Unpack[By]
) -> TicketBlock:
    """Blocks or unblocks a ticket of whatever channel; a repeat changes nothing. Raises NOT_FOUND."""
    ticket_id = await _ticket_id(tx, ticket_code)
    row = (
        await tx.execute(
            select(tickets.c.state, tickets.c.blocked)
            .where(tickets.c.ticket_id == ticket_id, tickets.c.ticket_code == ticket_code)
            .with_for_update()
        )
    ).one_or_none()
    if row is None:
        raise not_found("ticket", ticket_code)
    if row.blocked == blocked:
        return TicketBlock(ticket_code, row.state, blocked)
    await tx.execute(
        update(tickets)
        .where(tickets.c.ticket_id == ticket_id)
        .values(blocked=blocked, update_time=by["now"])
    )
    action = "block" if blocked else "unblock"
    await tx.execute(
        insert(ticket_events).values(
            ticket_id=ticket_id,
            event_id=new_event_id(by["now"]),
            action=action,
            state=row.state,
            actor=by["actor"],
            occurred_time=by["now"],
        )
    )
    await audit(
        tx,
        action=action,
        resource="ticket",
        name=ticket_code,
        before={"state": row.state, "blocked": row.blocked},
        after={"state": row.state, "blocked": blocked, "comment": comment},
        **by,
    )
    return TicketBlock(ticket_code, row.state, blocked)


async def _ticket_id(tx: AsyncConnection, ticket_code: str) -> int:
    code = Code.parse(ticket_code)
    if code is None or code.prefix == "ORD":
        raise not_found("ticket", ticket_code)
    if code.prefix == "DIR":
        return code.number(DIRECT)
    partner_id = await tx.scalar(
        select(partners.c.partner_id).where(partners.c.partner_code == code.partner_code)
    )
    if partner_id is None:
        raise not_found("ticket", ticket_code)
    return code.number(partner_id)
