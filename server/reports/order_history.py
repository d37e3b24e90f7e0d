"""What happened to an order and to a ticket: read from the records of all rooms, for those who look
into a case.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from server.platform.statements import Command, Statement, run, run_together

MOST_ENTRIES = 500
"""The latest so many are shown."""


class HistoryRow(NamedTuple):
    """One thing that happened; texts are empty where there is nothing to say."""

    occurred_time: datetime
    kind: str
    action: str
    state: str
    actor: str
    ticket_code: str
    reason: str
    amount_minor: int
    reference: str


class Changed(NamedTuple):
    """What a ticket was changed into, and from; empty if it was not."""

    into_code: str
    from_code: str


_OF_ORDER = Statement(
    """
SELECT create_time, 'ORDER', 'made', CASE WHEN partner_id > 0 THEN 'PAID' ELSE 'PENDING' END,
  CASE WHEN partner_id > 0
    THEN 'partner:' || coalesce((SELECT partner_code FROM partners p
                                 WHERE p.partner_id = o.partner_id), '')
    ELSE 'traveller:' || traveller_id END, '', '', amount_minor, payment_reference
FROM orders o WHERE order_id = $1::bigint
UNION ALL
SELECT e.occurred_time, 'ORDER', e.event, e.state, e.actor,
  coalesce((SELECT ticket_code FROM tickets t WHERE t.ticket_id = e.ticket_id), ''),
  coalesce(e.cancel_reason, ''), 0, ''
FROM order_events e WHERE e.order_id = $1::bigint
UNION ALL
SELECT create_time, 'PAYMENT', 'asked', 'PENDING', '', '', '', amount_minor, out_trade_no
FROM payments WHERE order_id = $1::bigint
UNION ALL
SELECT coalesce(success_time, update_time), 'PAYMENT', 'ended', state, '', '', '', amount_minor,
  CASE WHEN transaction_id = '' THEN out_trade_no ELSE transaction_id END
FROM payments WHERE order_id = $1::bigint AND state <> 'PENDING'
UNION ALL
SELECT create_time, 'REFUND', 'asked', 'PROCESSING', '', '', cause, amount_minor,
  (SELECT order_code FROM orders o WHERE o.order_id = r.order_id) || '-R' || refund_no
FROM refunds r WHERE order_id = $1::bigint
UNION ALL
SELECT coalesce(settle_time, create_time), 'REFUND', 'ended', state, '', '', cause, amount_minor,
  (SELECT order_code FROM orders o WHERE o.order_id = r.order_id) || '-R' || refund_no
FROM refunds r WHERE order_id = $1::bigint AND state <> 'PROCESSING'
UNION ALL
SELECT v.occurred_time, 'NOTIFICATION', n.kind, v.state, 'system',
  coalesce(n.facts ->> 'ticket_code', ''), v.reason, 0, v.channel || ' ' || n.language
FROM orders o
JOIN notifications n ON n.traveller_id = o.traveller_id AND n.order_id = o.order_id
CROSS JOIN LATERAL (
  SELECT n.create_time AS occurred_time, 'SENT' AS state, '' AS reason, 'INBOX' AS channel
  UNION ALL
  SELECT d.update_time, d.state, d.reason, d.channel FROM notification_deliveries d
  WHERE d.traveller_id = n.traveller_id AND d.number = n.number) v
WHERE o.order_id = $1::bigint
ORDER BY 1 DESC LIMIT $2::int
""",
    HistoryRow,
)
_OF_TICKETS = Statement(
    """
SELECT e.occurred_time, 'TICKET', e.action, e.state, e.actor, t.ticket_code, '', 0, ''
FROM ticket_events e JOIN tickets t ON t.ticket_id = e.ticket_id
WHERE e.ticket_id = ANY($1::bigint[])
UNION ALL
SELECT occurred_time, 'REDEMPTION', result, '', operator, ticket_code, coalesce(reason, ''), 0,
  function_code || ' x' || quantity || ' at ' || venue_code
FROM redemption_events WHERE ticket_id = ANY($1::bigint[])
ORDER BY 1 DESC LIMIT $2::int
""",
    HistoryRow,
)
_TICKET_MADE = Statement(
    """
SELECT create_time, 'TICKET', 'made',
  CASE WHEN partner_id = 0 THEN 'ACTIVE' ELSE 'PRE_GENERATED' END, '', ticket_code, '', 0, ''
FROM tickets WHERE ticket_id = $1::bigint
""",
    HistoryRow,
)
_TICKETS_REFUNDS = Statement(
    """
SELECT r.create_time, 'REFUND', 'asked', r.state, '', t.ticket_code, r.cause,
  (x.ticket ->> 'amount_minor')::bigint, o.order_code || '-R' || r.refund_no
FROM tickets t JOIN refunds r ON r.order_id = t.order_id JOIN orders o ON o.order_id = r.order_id
CROSS JOIN LATERAL jsonb_array_elements(r.tickets) AS x (ticket)
WHERE t.ticket_id = $1::bigint AND (x.ticket ->> 'ticket_id')::bigint = t.ticket_id
""",
    HistoryRow,
)
_CHANGED = Statement(
    """
SELECT
  coalesce((SELECT n.ticket_code FROM orders sold
    JOIN orders c ON c.first_order_id = coalesce(sold.first_order_id, sold.order_id)
      AND c.changes_ticket_id = t.ticket_id AND c.pay_time IS NOT NULL
    JOIN tickets n ON n.order_id = c.order_id
    WHERE sold.order_id = t.order_id ORDER BY c.order_id DESC LIMIT 1), ''),
  coalesce((SELECT f.ticket_code FROM orders c JOIN tickets f ON f.ticket_id = c.changes_ticket_id
    WHERE c.order_id = t.order_id), '')
FROM tickets t WHERE t.ticket_id = $1::bigint
""",
    Changed,
)
_USES = Statement(
    """
SELECT function_code, remaining_uses, total_uses FROM entitlements WHERE ticket_id = $1::bigint
ORDER BY function_code
""",
    lambda *columns: columns,
)


async def of_order(
    tx: AsyncConnection, order_id: int, ticket_ids: Sequence[int]
) -> list[HistoryRow]:
    """What happened to an order and to these tickets of it, the latest first."""
    ours, theirs = await run_together(
        tx, _OF_ORDER(order_id, MOST_ENTRIES), _OF_TICKETS(ticket_ids, MOST_ENTRIES)
    )
    return _latest(ours, theirs)


async def of_ticket(tx: AsyncConnection, ticket_id: int) -> list[HistoryRow]:
    """What happened to a ticket, the latest first."""
    made, moved, refunded = await run_together(
        tx,
        _TICKET_MADE(ticket_id),
        _OF_TICKETS([ticket_id], MOST_ENTRIES),
        _TICKETS_REFUNDS(ticket_id),
    )
    return _latest(made, moved, refunded)


async def changed(tx: AsyncConnection, ticket_id: int) -> Changed:
    """What a ticket was changed into, and from."""
    (found,) = await run(tx, _CHANGED(ticket_id))
    return found


def uses(ticket_id: int) -> Command[tuple[str, int, int]]:
    """What is left of a ticket: function_code, remaining_uses, total_uses."""
    return _USES(ticket_id)


def _latest(*rows: Sequence[HistoryRow]) -> list[HistoryRow]:
    every = [row for each in rows for row in each]
    return sorted(every, key=lambda row: row.occurred_time, reverse=True)[:MOST_ENTRIES]
