"""The tickets of paid orders, born ACTIVE, and what they entitle to: one statement a table,
however many there are.

Those of partners' batches, tens of thousands at once, are made in generation.py.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from server.platform.statements import Command, Statement

_CREATE = Statement("""
INSERT INTO tickets
  (ticket_id, ticket_code, jti, state, blocked, product_id, partner_id, distributor_id,
   snapshot_id, order_id, customer_type, customer_name, valid_from_time, valid_until_time,
   create_time, update_time)
SELECT v.ticket_id, v.ticket_code, v.jti, 'ACTIVE', v.blocked, v.product_id, 0, '',
  v.snapshot_id, v.order_id, v.customer_type, v.customer_name, v.valid_from, v.valid_until,
  $1::timestamptz, $1::timestamptz
FROM unnest($2::bigint[], $3::text[], $4::uuid[], $5::int[], $6::uuid[], $7::bigint[],
            $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[], $12::boolean[])
  AS v (ticket_id, ticket_code, jti, product_id, snapshot_id, order_id, customer_type,
        customer_name, valid_from, valid_until, blocked)
""")
_ENTITLE = Statement("""
INSERT INTO entitlements (ticket_id, function_code, total_uses, remaining_uses)
SELECT v.ticket_id, v.function_code, v.uses, v.uses
FROM unnest($1::bigint[], $2::text[], $3::int[]) AS v (ticket_id, function_code, uses)
""")


class NewTicket(NamedTuple):
    """A traveller's ticket to be; a blocked one is refused at every gate."""

    ticket_id: int
    ticket_code: str
    jti: UUID
    product_id: int
    snapshot_id: UUID
    order_id: int
    customer_type: str
    customer_name: str
    valid_from_time: datetime
    valid_until_time: datetime
    blocked: bool


class NewEntitlement(NamedTuple):
    """What a new ticket entitles to, so many times."""

    ticket_id: int
    function_code: str
    total_uses: int


def create(tickets: Sequence[NewTicket], *, now: datetime) -> Command[None] | None:
    """Makes tickets, in the transaction that makes their orders PAID."""
    return _CREATE.of_rows(tickets, now)


def entitle(entitlements: Sequence[NewEntitlement]) -> Command[None] | None:
    """Makes what new tickets entitle to, after them in their transaction."""
    return _ENTITLE.of_rows(entitlements)
