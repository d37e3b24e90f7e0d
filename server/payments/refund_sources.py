"""Payments that refunds draw on: what is left of each, and how much is given back of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from server.payments import refund_rules
from server.payments.refund_rules import Source
from server.platform.statements import Statement, Transaction, run

ON_ACCOUNT = 0
"""The attempt of what was paid on account: there is no payment of it."""


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment that was made, and what is left of it to give back."""

    order_id: int
    attempt: int
    left_minor: int
    refund_count: int = 0

    @property
    def is_on_account(self) -> bool:
        """Whether whoever sold the order gives it back, and not WeChat."""
        return self.attempt == ON_ACCOUNT

    @property
    def source(self) -> Source:
        """As rules see it."""
        return Source(self.left_minor, self.refund_count)


# An order that changes a ticket is followed by the orders of that ticket: their money is in it.
_PAYMENTS = """
WITH RECURSIVE chain AS (
  SELECT order_id AS root_id, order_id, changes_order_id, 0 AS depth
  FROM orders WHERE order_id = ANY(:order_ids)
  UNION ALL
  SELECT c.root_id, o.order_id, o.changes_order_id, c.depth + 1
  FROM orders o JOIN chain c ON o.order_id = c.changes_order_id)
SELECT p.order_id, p.attempt, p.amount_minor - p.refunded_minor AS left_minor, p.refund_count,
  chain.depth, chain.root_id
FROM payments p JOIN chain USING (order_id)
WHERE p.state = 'SUCCEEDED'
ORDER BY p.order_id, p.attempt
"""
# what was paid on account, of an order and those it changes, and is not given back
_READ_ON_ACCOUNT = text(f"""
WITH RECURSIVE chain AS (
  SELECT order_id AS root_id, order_id, changes_order_id
  FROM orders WHERE order_id = ANY(:order_ids) AND payment_reference <> ''
    AND traveller_id IS NOT NULL
  UNION ALL
  SELECT c.root_id, o.order_id, o.changes_order_id
  FROM orders o JOIN chain c ON o.order_id = c.changes_order_id)
SELECT c.root_id, {ON_ACCOUNT} AS attempt, (sum(o.amount_minor - o.credit_minor)
  - COALESCE(sum((SELECT sum(r.amount_minor) FROM refunds r
    WHERE r.order_id = o.order_id AND r.state <> 'CLOSED')), 0))::bigint AS left_minor
FROM chain c JOIN orders o USING (order_id)
WHERE o.pay_time IS NOT NULL
GROUP BY c.root_id
""")  # noqa: S608 - a number
_READ_PAYMENTS = text(_PAYMENTS)
_LOCK_PAYMENTS = text(f"{_PAYMENTS} FOR NO KEY UPDATE OF p")
# the conditions, and the table's constraints, state once more that no more is given back than was
# paid, and not more often than WeChat does
_DRAW = Statement(
    f"""
UPDATE payments p SET refunded_minor = p.refunded_minor + v.amount_minor,
  refund_count = p.refund_count + v.refunds, update_time = $1::timestamptz
FROM unnest($2::bigint[], $3::int[], $4::bigint[], $5::int[])
  AS v (order_id, attempt, amount_minor, refunds)
WHERE p.order_id = v.order_id AND p.attempt = v.attempt AND p.state = 'SUCCEEDED'
  AND p.refunded_minor + v.amount_minor BETWEEN 0 AND p.amount_minor
  AND p.refund_count + v.refunds <= {refund_rules.MOST_REFUNDS}
RETURNING p.order_id
""",  # noqa: S608 - a number
    int,
)


async def payments_of(tx: AsyncConnection, order_id: int, *, lock: bool = True) -> list[Paid]:
    """The payments that paid for an order's tickets: its own, the newest first, then those of the
    order it changes; or what was paid on account, as one.

    They are locked, but for a quote.
    """
    return (await payments_of_all(tx, [order_id], lock=lock))[order_id]


async def payments_of_all(
    tx: AsyncConnection, order_ids: Sequence[int], *, lock: bool = True
) -> dict[int, list[Paid]]:
    """`payments_of` several orders, by number; one that paid for two of them is of both."""
    statement = _LOCK_PAYMENTS if lock else _READ_PAYMENTS
    rows = (await tx.execute(statement, {"order_ids": list(order_ids)})).all()
    paid: dict[int, list[Paid]] = {order_id: [] for order_id in order_ids}
    for row in sorted(rows, key=lambda row: (row.depth, -row.attempt)):
        each = Paid(row.order_id, row.attempt, row.left_minor, row.refund_count)
        paid[row.root_id].append(each)
    if unpaid := [order_id for order_id in order_ids if not paid[order_id]]:
        for row in await tx.execute(_READ_ON_ACCOUNT, {"order_ids": unpaid}):
            paid[row.root_id].append(Paid(row.root_id, row.attempt, row.left_minor))
    return paid


async def draw(
    tx: Transaction, draws: Iterable[tuple[int, int, int, int]], *, now: datetime
) -> None:
    """Counts what is given back of payments, as (order_id, attempt, amount, how many refunds WeChat
    is asked for).

    The amount is less than 0 if it is not given back after all.
    """
    rows = list(draws)
    drawn = await run(tx, _DRAW.of_rows(rows, now))
    assert len(drawn) == len(rows), "not more, nor more often, than a payment gives back"
