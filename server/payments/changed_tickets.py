"""The ticket that an order changes (改签): CHANGED when that order is paid, and all it took is free
then.

A block that was set on it while it was CHANGING is the new ticket's, and what it shares is valid as
long as the new one, if that is the latest (DOMAIN, Refund and change).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import completion, orders, shared_tickets, travel_tickets
from server.orders.models import ticket_sales
from server.orders.orders import Order
from server.orders.shared_tickets import Shared
from server.payments import travel_parties
from server.stock import holds
from server.tickets import blocks, tickets
from server.tickets.models import tickets as ticket_rows


@dataclass(frozen=True, slots=True)
class ChangedTicket:
    """The ticket that an order changes: its order, how often it was changed before, and whether it
    is blocked.

    `shared` are the locked tickets of what it shares with others.
    """

    order: Order
    ticket_id: int
    changes_made: int
    blocked: bool
    shared: Sequence[Shared]


async def end(
    tx: AsyncConnection, order: Order, *, actor: str, now: datetime
) -> ChangedTicket | None:
    """Makes the ticket that a paid order changes CHANGED; None if it changes none.

    It and its order are locked then, and the stocks of both orders.
    """
    if order.changes_ticket_id is None or order.changes_order_id is None:
        return None
    ticket_id = order.changes_ticket_id
    shared = await shared_tickets.lock(tx, [ticket_id])
    moved = await tickets.move(
        tx, [ticket_id], ("CHANGING",), "CHANGED", action="changed", actor=actor, now=now
    )
    assert moved, "a ticket is CHANGING as long as the order that changes it holds"
    old = await orders.lock_order(tx, order.changes_order_id)
    assert old is not None, "a ticket has an order"
    query = select(ticket_sales.c.changes_made, ticket_rows.c.blocked).join(
        ticket_rows, ticket_rows.c.ticket_id == ticket_sales.c.ticket_id
    )
    sold = await tx.execute(query.where(ticket_sales.c.ticket_id == ticket_id))
    changes_made, blocked = sold.one()
    await holds.lock(tx, holds.all_stocks([*order.takes, *old.takes]))
    return ChangedTicket(old, ticket_id, changes_made, blocked, shared)


async def hand_over(
    tx: AsyncConnection,
    changed: ChangedTicket,
    order: Order,
    ticket_ids: Collection[int],
    *,
    actor: str,
    now: datetime,
) -> None:
    """What follows for a changed ticket when its successors, `ticket_ids` of `order`, are there:
    all it took is free, but for what is theirs.
    """
    if changed.blocked:
        await blocks.record_block(tx, ticket_ids, "ACTIVE", blocked=True, actor=actor, now=now)
    await shared_tickets.follow(tx, changed.shared, actor=actor, now=now)
    (item,) = order.content.items
    replaced = order.content.replaces
    shared_stock_id = replaced.stock_id if replaced else None
    for place in item.places:
        if shared_stock_id is not None and place.seat_index is not None:
            # a place that both tickets of a change are keeps its seat
            await holds.pass_seat(
                tx,
                shared_stock_id,
                place.seat_index,
                from_order=changed.order.order_id,
                to_order=order.order_id,
            )
    await completion.withdraw(
        tx,
        [changed.order],
        [changed.ticket_id],
        actor=actor,
        now=now,
        successor=replace(
            item.counterpart,
            stock_id=shared_stock_id,
            day_stock_ids=replaced.day_stock_ids if replaced else (),
        ),
    )


async def begin_again(
    tx: AsyncConnection, order: Order, *, actor: str, now: datetime
) -> tuple[Order | None, str]:
    """Puts the ticket that an order was to change, before its hold was over, back to CHANGING.

    Gives the ticket's order, locked, None if it changes none; and why it cannot be: the ticket is
    not ACTIVE any more, or was blocked, or is not worth any more what it was to count for, since
    what had been kept for it was given back with another of its party.
    """
    if order.changes_ticket_id is None or order.changes_order_id is None:
        return None, ""
    await shared_tickets.lock(tx, [order.changes_ticket_id])
    old = await orders.lock_order(tx, order.changes_order_id)
    if not await _is_worth_it(tx, order, order.changes_order_id, order.changes_ticket_id):
        return old, "the ticket to be changed is worth less by now"
    moved = await tickets.move(
        tx,
        [order.changes_ticket_id],
        ("ACTIVE",),
        "CHANGING",
        action="changing",
        actor=actor,
        now=now,
    )
    if not moved:
        return old, "the ticket to be changed is not ACTIVE any more"
    query = select(ticket_rows.c.blocked).where(ticket_rows.c.ticket_id == order.changes_ticket_id)
    if await tx.scalar(query):
        return old, "the ticket to be changed is blocked"
    return old, ""


async def _is_worth_it(
    tx: AsyncConnection, order: Order, changes_order_id: int, ticket_id: int
) -> bool:
    """Whether a ticket still is worth what the change of it counted on; its order is locked."""
    terms = order.content.change
    found = await travel_tickets.of_order(tx, changes_order_id)
    (ticket,) = [each for each in found if each.ticket_id == ticket_id]
    if terms is None or ticket.state in travel_parties.LEFT:
        return True  # it is not ACTIVE, which is said next
    party = (await travel_parties.read(tx, found))[ticket.item_index]
    return party.credit_minor(ticket_id) >= terms.old_minor
