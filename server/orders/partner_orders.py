"""The orders of partners: made as PAID when their tickets are activated. Those of travellers are
in orders.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Partner
from server.platform.database import Database
from server.tickets.generation import reserve_numbers
from server.tickets.rules import ORDER_PREFIX, Number

# each row is [NewOrder, Sale, jti]
CREATE_PAID = text("""
INSERT INTO orders (order_id, order_code, partner_id, state, jti, customer_type, customer_name,
  ticket_count,
                    payment_reference, amount_minor, currency_code, create_time)
SELECT o.order_id, o.order_code, :partner_id, 'PAID', CAST(row ->> 2 AS uuid), s.customer_type,
  s.customer_name,
       s.ticket_count, s.payment_reference, s.amount_minor, s.currency_code, :now
FROM jsonb_array_elements(CAST(:rows AS jsonb)) AS row,
  jsonb_to_record(row -> 0) AS o (order_id bigint, order_code text),
  jsonb_to_record(row -> 1) AS s (customer_type text, customer_name text, ticket_count int,
    payment_reference text, amount_minor bigint, currency_code text)
""")


@dataclass(frozen=True, slots=True)
class Sale:
    """What a partner sold under one payment reference: to whom, for how much, how many tickets."""

    customer_type: str
    customer_name: str
    payment_reference: str
    amount_minor: int
    currency_code: str
    ticket_count: int


@dataclass(frozen=True, slots=True)
class NewPartnerOrder:
    """An order that was created: its number, and the readable form of that."""

    order_id: int
    order_code: str


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
) -> list[NewPartnerOrder]:
    """An order in the state PAID for each sale, in their order. The tickets are the caller's
    part.
    """
    if not sales:
        return []
    day = now.astimezone(zone).date()
    first = await reserve_numbers(db, partner.partner_id, day, "O", len(sales))
    created = [
        NewPartnerOrder(order_id, order_code(order_id, partner))
        for order_id in range(first, first + len(sales))
    ]
    rows = [(order, sale, uuid4()) for order, sale in zip(created, sales, strict=True)]
    await tx.execute(
        CREATE_PAID,
        {"rows": orjson.dumps(rows).decode(), "partner_id": partner.partner_id, "now": now},
    )
    return created
