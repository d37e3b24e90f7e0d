"""Orders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.db import Database
from server.errors import not_found
from server.identity.callers import Partner
from server.ticketing.models import orders
from server.tickets import qr
from server.tickets.generation import reserve_numbers
from server.tickets.models import tickets
from server.tickets.rules import ORDER_PREFIX, Code, Number


@dataclass(frozen=True, slots=True)
class Sale:
    """What a partner sold under one payment reference: to whom, for how much, how many tickets."""

    customer_type: str
    customer_name: str
    payment_reference: str
    amount_minor: int
    currency_code: str
    ticket_count: int


def order_code(order_id: int, partner: Partner) -> str:
    """The readable form of a partner's order number."""
    return Number.unpack(order_id).code(ORDER_PREFIX, partner.partner_code)


async def create_paid(
    tx: AsyncConnection,
    db: Database,
    partner: Partner,
    sales: Sequence[Sale],
    *,
    zone: ZoneInfo,
    now: datetime,
) -> list[int]:
    """An order in the state PAID for each sale; returns their numbers, in order. The tickets are the caller's part."""
    if not sales:
        return []
    day = now.astimezone(zone).date()
    first = await reserve_numbers(db, partner.partner_id, day, "O", len(sales))
    rows = [
        {
            "order_id": order_id,
            "order_code": order_code(order_id, partner),
            "partner_id": partner.partner_id,
            "state": "PAID",
            "jti": uuid4(),
            "customer_type": sale.customer_type,
            "customer_name": sale.customer_name,
            "ticket_count": sale.ticket_count,
            "payment_reference": sale.payment_reference,
            "amount_minor": sale.amount_minor,
            "currency_code": sale.currency_code,
            "create_time": now,
        }
        for order_id, sale in enumerate(sales, first)
    ]
    await tx.execute(insert(orders), rows)
    return list(range(first, first + len(sales)))


async def qr_claims(tx: AsyncConnection, partner: Partner, code: str) -> qr.Claims:
    """What the QR of a partner's order says; it expires with the last of its tickets. Raises NOT_FOUND."""
    parsed = Code.parse(code)
    if parsed is None or (parsed.prefix, parsed.partner_code) != (
        ORDER_PREFIX,
        partner.partner_code,
    ):
        raise not_found("order", code)
    query = (
        select(orders.c.jti, orders.c.order_id, func.max(tickets.c.valid_until_time))
        .join(tickets, tickets.c.order_id == orders.c.order_id)
        .where(
            orders.c.order_id == parsed.number(partner.partner_id),
            orders.c.partner_id == partner.partner_id,
        )
        .group_by(orders.c.jti, orders.c.order_id)
    )
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        raise not_found("order", code)
    return qr.Claims(*row, kind=qr.Kind.ORDER)
