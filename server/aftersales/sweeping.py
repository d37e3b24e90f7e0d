"""The sweeper: looks through travellers' orders for what does not go on by itself, finishes what
the rules say how to finish, and notes the rest for an administrator.

What it finishes: an order that is PAID though all its tickets are final is completed; a ticket that
is CHANGING though no order waits to change it, and none did, is ACTIVE again; a payment whose time
is long over is asked about, or closed, once more. What it notes: orders that are PENDING long after
their hold, paid orders without tickets, tickets that are REFUNDING without a refund under way,
tasks that nobody runs, stock that is held by nothing that waits. Money and stock it never moves by
itself.

A chunk of orders at a time, in the order of their numbers, each a short transaction. Whoever has an
order locked is passed over. A run that was cut off begins anew. (DOMAIN: States, Operations.)
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.orders import completion, events
from server.payments.payment_requests import QUERY_PAYMENT
from server.payments.payments import CLOSE_PAYMENT
from server.platform import outbox, stuck
from server.platform.schedule import Progress
from server.platform.statements import Statement, run, run_together
from server.tickets import tickets
from server.tickets.rules import Number

CHUNK_ORDERS = 1_000
SWEPT = timedelta(days=60)
"""Orders that were made longer ago are not looked at."""
GRACE = timedelta(minutes=5)
"""What is stuck for less may be under way."""
LONG_OVER = timedelta(hours=1)
"""Changes, payments and tasks last longer, with all that may come in between."""
ACTOR = "system"
KINDS = (
    *("overdue-order", "paid-order-without-tickets", "refunding-ticket", "idle-task"),
    "stock-without-order",
)

log = structlog.get_logger()


class _Chunk(NamedTuple):
    last: int | None
    orders: int


class _Found(NamedTuple):
    kind: str
    subject: str
    found: str


class _Changing(NamedTuple):
    ticket_id: int
    order_id: int


class _Payment(NamedTuple):
    out_trade_no: str
    is_wanted: bool


_CHUNK = Statement(
    """
SELECT max(order_id), count(*)::int FROM (SELECT order_id FROM orders
  WHERE order_id > $1::bigint AND order_id < $2::bigint ORDER BY order_id LIMIT $3::int) c
""",
    _Chunk,
)
_FIND = Statement(
    """
SELECT 'overdue-order', o.order_code, format('PENDING, its hold was over at %s', hold_expire_time)
FROM orders o WHERE o.order_id > $1::bigint AND o.order_id <= $2::bigint
  AND o.state = 'PENDING' AND o.hold_expire_time < $3::timestamptz
UNION ALL
SELECT 'paid-order-without-tickets', o.order_code, format('PAID at %s', o.pay_time)
FROM orders o WHERE o.order_id > $1::bigint AND o.order_id <= $2::bigint
  AND o.state = 'PAID' AND o.traveller_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM ticket_sales s WHERE s.order_id = o.order_id)
UNION ALL
SELECT 'refunding-ticket', t.ticket_code, format('REFUNDING since %s', t.update_time)
FROM orders o JOIN tickets t ON t.order_id = o.order_id
WHERE o.order_id > $1::bigint AND o.order_id <= $2::bigint AND t.state = 'REFUNDING'
  AND t.update_time < $3::timestamptz AND NOT EXISTS (
    SELECT FROM refunds r, jsonb_array_elements(r.tickets) AS x (ticket)
    WHERE r.order_id = o.order_id AND r.state NOT IN ('SUCCEEDED', 'CLOSED')
      AND (x.ticket ->> 'ticket_id')::bigint = t.ticket_id)
""",
    _Found,
)
_FINISHED = Statement(
    """
SELECT o.order_id FROM orders o
WHERE o.order_id > $1::bigint AND o.order_id <= $2::bigint AND o.state = 'PAID'
  AND EXISTS (SELECT FROM tickets t WHERE t.order_id = o.order_id)
  AND NOT EXISTS (SELECT FROM tickets t WHERE t.order_id = o.order_id
    AND (t.state NOT IN ('USED', 'EXPIRED', 'REFUNDED', 'CHANGED', 'VOIDED')
      OR t.update_time > $3::timestamptz))
ORDER BY o.order_id FOR NO KEY UPDATE OF o SKIP LOCKED
""",
    int,
)
_CHANGING = Statement(
    """
SELECT t.ticket_id, o.order_id FROM orders o JOIN tickets t ON t.order_id = o.order_id
WHERE o.order_id > $1::bigint AND o.order_id <= $2::bigint AND t.state = 'CHANGING'
  AND t.update_time < $3::timestamptz AND NOT EXISTS (
    SELECT FROM orders c WHERE c.changes_ticket_id = t.ticket_id
      AND (c.state = 'PENDING' OR c.pay_time IS NOT NULL))
ORDER BY o.order_id FOR NO KEY UPDATE OF o SKIP LOCKED
""",
    _Changing,
)
_UNASKED = Statement(
    """
SELECT p.out_trade_no, o.state = 'PENDING' FROM payments p JOIN orders o USING (order_id)
WHERE p.order_id > $1::bigint AND p.order_id <= $2::bigint AND p.state = 'PENDING'
  AND p.expire_time < $3::timestamptz AND NOT EXISTS (
    SELECT FROM outbox_tasks k WHERE k.kind IN ('payment.query', 'payment.close')
      AND k.key = p.out_trade_no AND k.state = 'OPEN')
""",
    _Payment,
)
_IDLE = Statement(
    """
SELECT 'idle-task', task_id::text, format('%s %s, due since %s', kind, key, due_time)
FROM outbox_tasks WHERE state = 'OPEN' AND due_time < $1::timestamptz
  AND (lease_until IS NULL OR lease_until < $1::timestamptz)
ORDER BY due_time LIMIT 200
""",
    _Found,
)


# What is held and what holds it change in one transaction: one statement sees them agree. What of
# it is sold, the doctor counts, which looks at every ticket.
_UNHELD = Statement(
    """
WITH held AS (
  SELECT (i.item ->> 'stock_id')::bigint AS stock_id,
    jsonb_array_length(i.item -> 'places') AS places
  FROM orders o, jsonb_array_elements(o.content -> 'items') AS i (item)
  WHERE o.state = 'PENDING'
    AND o.content #>> '{replaces,stock_id}' IS DISTINCT FROM i.item ->> 'stock_id'
  UNION ALL
  SELECT c.stock_id::bigint, 1 FROM orders o,
    jsonb_array_elements_text(o.content -> 'capped_stock_ids') AS c (stock_id)
  WHERE o.state = 'PENDING'
  UNION ALL
  SELECT stock_id, quantity - activated FROM reservations WHERE state = 'OPEN'
), counted AS (
  SELECT stock_id, sum(places) AS places FROM held GROUP BY 1
)
SELECT 'stock-without-order', s.stock_id::text,
  format('%s held, of which waiting orders and open reservations hold %s', s.held,
    coalesce(c.places, 0))
FROM stocks s LEFT JOIN counted c USING (stock_id)
WHERE s.held > coalesce(c.places, 0) ORDER BY s.stock_id LIMIT 200
""",
    _Found,
)


class Sweeper:
    """The work of the job `sweep-stuck`: each call looks at a chunk of orders."""

    def __init__(self, *, chunk_orders: int = CHUNK_ORDERS) -> None:
        self._chunk_orders = chunk_orders
        self._began: datetime | None = None
        self._after = 0

    async def work(self, tx: AsyncConnection, now: datetime) -> Progress:
        """Looks at the next chunk; how many it has finished. Raises as transactions do."""
        if self._began is None:
            self._began, self._after = now, _number((now - SWEPT).date())
        began, after, self._began = (
            self._began,
            self._after,
            None,
        )  # again from the start if it fails
        end = _number(now.date() + timedelta(days=2))
        ((last, orders),) = await run(tx, _CHUNK(after, end, self._chunk_orders))
        finished = 0
        if last is not None:
            finished = await _sweep(tx, after, last, now)
        if last is not None and orders == self._chunk_orders:
            self._began, self._after = began, last
            return Progress(more=True, items=finished)
        idle, unheld = await run_together(tx, _IDLE(now - LONG_OVER), _UNHELD())
        await stuck.note(tx, [*idle, *unheld], now=now)
        await stuck.forget(tx, KINDS, before=began)
        return Progress(more=False, items=finished)


async def _sweep(tx: AsyncConnection, after: int, last: int, now: datetime) -> int:
    early = now - GRACE
    found, finished, changing, unasked = await run_together(
        tx,
        _FIND(after, last, early),
        _FINISHED(after, last, early),
        _CHANGING(after, last, now - LONG_OVER),
        _UNASKED(after, last, now - LONG_OVER),
    )
    await stuck.note(tx, found, now=now)
    if found:
        log.error("stuck.found", subjects=[f"{each.kind} {each.subject}" for each in found[:20]])
    await _complete(tx, finished, now)
    await _restore(tx, changing, now)
    asks = [
        outbox.NewTask(QUERY_PAYMENT if each.is_wanted else CLOSE_PAYMENT, number, {}, now)
        for each in unasked
        for number in (each.out_trade_no,)
    ]
    await run(tx, outbox.enqueue(*asks, now=now))
    done = len(finished) + len(changing) + len(asks)
    if done:
        facts = {"orders": finished, "tickets": [each.ticket_id for each in changing]}
        log.warning("stuck.finished", **facts, payments=[each.out_trade_no for each in unasked])
    return done


async def _complete(tx: AsyncConnection, order_ids: Sequence[int], now: datetime) -> None:
    if order_ids:
        await run_together(tx, *completion.complete(dict.fromkeys(order_ids, ACTOR), now=now))


async def _restore(tx: AsyncConnection, changing: Sequence[_Changing], now: datetime) -> None:
    ids = [each.ticket_id for each in changing]
    moved = await tickets.move(
        tx, ids, ("CHANGING",), "ACTIVE", action="restore", actor=ACTOR, now=now
    )
    moves = [
        events.Move(each.order_id, events.TICKET_RESTORED, ACTOR, ticket_id=each.ticket_id)
        for each in changing
        if each.ticket_id in moved
    ]
    await events.record(tx, moves, now=now)


def _number(day: date) -> int:
    return int(Number(0, day, 0))
