"""Travellers' orders as they are made: PENDING, with all they hold."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from server.orders.orders import Order
from server.platform.statements import Command, Statement

_CREATE = Statement("""
INSERT INTO orders
  (order_id, order_code, partner_id, state, jti, customer_type, customer_name, ticket_count,
   payment_reference, amount_minor, currency_code, traveller_id, content, passengers_sealed,
   hold_expire_time, credit_minor, changes_ticket_id, changes_order_id, first_order_id,
   first_item_index, create_time)
SELECT v.order_id, v.order_code, 0, 'PENDING', v.jti, '', '', v.ticket_count,
  '', v.amount_minor, v.currency_code, v.traveller_id, v.content, v.passengers_sealed,
  v.hold_expire_time, v.credit_minor, v.changes_ticket_id, v.changes_order_id, v.first_order_id,
  v.first_item_index, $1::timestamptz
FROM unnest($2::bigint[], $3::text[], $4::uuid[], $5::int[], $6::bigint[], $7::text[],
            $8::bigint[], $9::jsonb[], $10::bytea[], $11::timestamptz[], $12::bigint[],
            $13::bigint[], $14::bigint[], $15::bigint[], $16::smallint[])
  AS v (order_id, order_code, jti, ticket_count, amount_minor, currency_code, traveller_id,
        content, passengers_sealed, hold_expire_time, credit_minor, changes_ticket_id,
        changes_order_id, first_order_id, first_item_index)
""")


class MadeOrder(NamedTuple):
    """An order that is to be written, and how many tickets it gets when it is paid."""

    order: Order
    ticket_count: int


class _Row(NamedTuple):
    order_id: int
    order_code: str
    jti: UUID
    ticket_count: int
    amount_minor: int
    currency_code: str
    traveller_id: int
    content: dict[str, object]
    passengers_sealed: bytes
    hold_expire_time: datetime
    credit_minor: int
    changes_ticket_id: int | None
    changes_order_id: int | None
    first_order_id: int | None
    first_item_index: int | None


def create(made: Iterable[MadeOrder], *, now: datetime) -> Command[None] | None:
    """Writes orders that hold what their content says, in the same transaction."""
    return _CREATE.of_rows([_row(*each) for each in made], now)


def _row(order: Order, ticket_count: int) -> _Row:
    return _Row(
        order.order_id,
        order.order_code,
        uuid4(),
        ticket_count,
        order.amount_minor,
        order.currency_code,
        order.traveller_id,
        order.content.dump(),
        order.passengers_sealed,
        order.hold_expire_time,
        order.credit_minor,
        order.changes_ticket_id,
        order.changes_order_id,
        order.first_order_id,
        order.first_item_index,
    )
