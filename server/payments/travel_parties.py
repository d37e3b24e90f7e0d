"""The parties of an order: who of each item stays so far, and what was kept of those who left."""

from collections import Counter
from collections.abc import Callable, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.catalog import pricing
from server.orders.content import Content
from server.orders.models import orders as order_rows
from server.orders.party import Party, PartyMember
from server.orders.travel_tickets import TravelTicket
from server.payments.refund_models import refunds

LEFT = frozenset({"REFUNDING", "REFUNDED", "CHANGING", "CHANGED", "VOIDED"})
"""States of a ticket that has left its party, or has if all goes well; if it comes back, so does
its value.
"""


async def read(tx: AsyncConnection, found: Sequence[TravelTicket]) -> dict[int, Party]:
    """The parties by item, of all tickets of one order."""
    kept = await _kept(tx, found)
    members: dict[int, list[PartyMember]] = {}
    by_item: dict[int, TravelTicket] = {}
    for ticket in found:
        if ticket.is_shared:
            continue
        by_item[ticket.item_index] = ticket
        of_item = members.setdefault(ticket.item_index, [])
        if ticket.state not in LEFT:
            of_item.append(PartyMember(ticket.ticket_id, ticket.customer_type, ticket.amount_minor))
    return {
        item: Party(members[item], kept[item], _price_of(ticket))
        for item, ticket in by_item.items()
    }


async def _kept(tx: AsyncConnection, found: Sequence[TravelTicket]) -> Counter[int]:
    """By item: the discounts that refunds kept of those who left, less what was added to the
    credit of changes.
    """
    by_id = {ticket.ticket_id: ticket for ticket in found}
    kept: Counter[int] = Counter()
    if not found or not any(ticket.state in LEFT for ticket in found):
        return kept
    order = found[0].order
    given = select(refunds.c.tickets).where(
        refunds.c.order_id == order.order_id, refunds.c.state != "CLOSED"
    )
    for refunded in (await tx.execute(given)).scalars():
        for ticket in refunded:
            known = by_id.get(ticket["ticket_id"])
            if known:
                kept[known.item_index] += ticket.get("party_discount_minor", 0)
    changes = select(order_rows.c.changes_ticket_id, order_rows.c.content).where(
        order_rows.c.traveller_id == order.traveller_id,
        order_rows.c.changes_order_id == order.order_id,
        (order_rows.c.state == "PENDING") | order_rows.c.pay_time.is_not(None),
    )
    for ticket_id, content in await tx.execute(changes):
        terms, changed = Content.parse(content).change, by_id.get(ticket_id)
        if terms and changed:
            kept[changed.item_index] -= terms.old_minor - changed.amount_minor
    return kept


def _price_of(ticket: TravelTicket) -> Callable[[Sequence[str]], int]:
    """What a party costs on the terms the ticket was sold under."""
    offer, sold = ticket.offer, ticket.item.price

    def price(party: Sequence[str]) -> int:
        return pricing.price_again(sold, offer.terms, party).total_minor

    return price
