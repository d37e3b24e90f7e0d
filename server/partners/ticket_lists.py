"""A partner's lists of tickets: by what it knows of their orders, and with their lines of sale."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Partner
from server.orders import partner_orders
from server.platform.errors import invalid
from server.platform.statements import run
from server.tickets import listing, snapshots
from server.tickets.listing import TicketFilter, TicketPage
from server.tickets.tickets import ticket_number

MAX_ORDERS = 100
"""Under one payment reference."""


class WantedList(NamedTuple):
    """Which tickets; also those of an order, or under a payment reference, unless these are
    empty.
    """

    wanted: TicketFilter
    order_code: str
    payment_reference: str


async def list_tickets(
    tx: AsyncConnection,
    partner: Partner,
    wanted: WantedList,
    *,
    zone: ZoneInfo,
    after: int | None,
    limit: int,
    with_lines: bool,
) -> tuple[TicketPage, Mapping[UUID, Mapping[str, Any]] | None]:
    """A page as `listing.list_tickets` gives it, and the snapshots of its tickets with their lines
    of sale, where asked for.
    """
    filtered = wanted.wanted
    if wanted.order_code or wanted.payment_reference:
        order_ids = await partner_orders.order_ids(
            tx,
            partner,
            order_code=wanted.order_code,
            payment_reference=wanted.payment_reference,
            limit=MAX_ORDERS,
        )
        filtered = replace(filtered, order_ids=order_ids)
    page = await listing.list_tickets(
        tx, partner.partner_id, filtered, zone=zone, after=after, limit=limit
    )
    if not with_lines:
        return page, None
    sold = await run(tx, snapshots.read({ticket.snapshot_id for ticket in page.tickets}))
    return page, {each.snapshot_id: each.content for each in sold}


def number_after(ticket_code: str, partner: Partner) -> int | None:
    """The number of the ticket that an export goes on after; None to begin with the first. Raises
    INVALID_FIELD.
    """
    if not ticket_code:
        return None
    number = ticket_number(ticket_code, partner)
    if number is None:
        raise invalid("after_ticket_code", "is not the code of a ticket of yours")
    return number
