"""The orders of partners: made as PAID when their tickets are activated. Those of travellers are
in orders.py.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from server.identity.callers import Partner
from server.orders import order_search
from server.platform.database import Database
from server.platform.statements import Statement, run, run_together
from server.tickets.generation import reserve_numbers
from server.tickets.rules import ORDER_PREFIX, Code, Number

_CREATE_PAID = Statement("""
INSERT INTO orders
  (order_id, order_code, partner_id, state, jti, customer_type, customer_name, ticket_count,
   payment_reference, amount_minor, currency_code, create_time)
SELECT v.order_id, v.order_code, $2::int, 'PAID', v.jti, v.customer_type, v.customer_name,
  v.ticket_count, v.payment_reference, v.amount_minor, v.currency_code, $1::timestamptz
FROM unnest($3::bigint[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[],
            $9::bigint[], $10::text[], $11::int[])
  AS v (order_id, order_code, jti, customer_type, customer_name, payment_reference,
        amount_minor, currency_code, ticket_count)
""")

_FIND = Statement(
    """
SELECT order_id FROM orders WHERE partner_id = $1::int AND partner_id > 0 AND payment_reference = $2
ORDER BY order_id LIMIT $3::int
""",
    int,
)


class Sale(NamedTuple):
    """What a partner sold under one payment reference: to whom, for how much, how many tickets."""

    customer_type: str
    customer_name: str
    payment_reference: str
    amount_minor: int
    currency_code: str
    ticket_count: int


class NewPartnerOrder(NamedTuple):
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
    names: Sequence[Iterable[str]] = (),
) -> list[NewPartnerOrder]:
    """An order in the state PAID for each sale, in their order. The tickets are the caller's
    part; `names` are those of each sale's customers, where they are others than the sale's.
    """
    if not sales:
        return []
    day = now.astimezone(zone).date()
    first = await reserve_numbers(db, partner.partner_id, day, "O", len(sales))
    created = [
        NewPartnerOrder(order_id, order_code(order_id, partner))
        for order_id in range(first, first + len(sales))
    ]
    rows = [(*order, uuid4(), *sale) for order, sale in zip(created, sales, strict=True)]
    found_by = [
        order_search.of_names(order.order_id, now, each)
        for order, each in zip(
            created, names or [[sale.customer_name] for sale in sales], strict=True
        )
    ]
    await run_together(
        tx,
        _CREATE_PAID.of_rows(rows, now, partner.partner_id),
        order_search.store(found_by),
    )
    return created


async def order_ids(
    tx: AsyncConnection,
    partner: Partner,
    *,
    order_code: str,
    payment_reference: str,
    limit: int,
) -> list[int]:
    """The numbers of a partner's order by its code, of the first `limit` under a payment reference,
    or of what is both; empty texts do not count.
    """
    found: list[int] = []
    if order_code:
        code = Code.parse(order_code)
        if code and (code.prefix, code.partner_code) == (ORDER_PREFIX, partner.partner_code):
            found = [code.number(partner.partner_id)]
        if not payment_reference:
            return found
    under = await run(tx, _FIND(partner.partner_id, payment_reference, limit))
    return [number for number in under if not order_code or number in found]
