"""Blocks of single tickets: a blocked one is refused at every gate, whatever its state.

A block goes along with a change: it is set on and lifted from what the ticket was changed into as
well.
"""

from dataclasses import dataclass
from typing import Unpack

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.audit.records import By
from server.audit.trail import AuditedChange, audit
from server.orders.travel_tickets import changed_into
from server.parties.models import partners
from server.platform.driver_errors import LostRaceError
from server.platform.errors import not_found
from server.platform.statements import run
from server.tickets import blocks
from server.tickets.models import tickets
from server.tickets.rules import DIRECT, Code
from server.tickets.tickets import lock


@dataclass(frozen=True, slots=True)
class TicketBlock:
    """A ticket, whether it is blocked, and what it was changed into at last; empty if it was
    not.
    """

    ticket_code: str
    state: str
    blocked: bool
    successor_ticket_code: str


async def block_ticket(
    tx: AsyncConnection, *, ticket_code: str, blocked: bool, comment: str, **by: Unpack[By]
) -> TicketBlock:
    """Blocks or unblocks a ticket of whatever channel, and what took its place if it was changed.

    A repeat changes nothing. Raises NOT_FOUND, and LostRaceError if it is being changed at this
    moment.
    """
    ticket_id = await _ticket_id(tx, ticket_code)
    chain = await changed_into(tx, ticket_id)
    await run(tx, lock(chain))
    if await changed_into(tx, ticket_id) != chain:
        raise LostRaceError
    columns = tickets.c.ticket_id, tickets.c.ticket_code, tickets.c.state, tickets.c.blocked
    found = await tx.execute(select(*columns).where(tickets.c.ticket_id.in_(chain)))
    rows = sorted(found.all(), key=lambda row: chain.index(row.ticket_id))
    if not rows or rows[0].ticket_code != ticket_code:
        raise not_found("ticket", ticket_code)
    named = rows[0]
    block = TicketBlock(
        ticket_code, named.state, blocked, rows[-1].ticket_code if len(rows) > 1 else ""
    )
    moved = [row for row in rows if row.blocked != blocked]
    if not moved:
        return block
    states = {row.ticket_id: row.state for row in moved}
    await blocks.set_blocked(tx, states, blocked=blocked, actor=by["actor"], now=by["now"])
    after = {"state": named.state, "blocked": blocked, "comment": comment}
    if block.successor_ticket_code:
        after["successor_ticket_code"] = block.successor_ticket_code
    change = AuditedChange(
        actor=by["actor"],
        action="block" if blocked else "unblock",
        resource="ticket",
        name=ticket_code,
        before={"state": named.state, "blocked": named.blocked},
        after=after,
    )
    await run(tx, audit(change, now=by["now"]))
    return block


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
