"""Orders have the tickets, states and events that they say. (DOMAIN: States)."""

from server.operations.consistency.invariant import Invariant
from server.operations.consistency.rows import PAID, WANTED

GRACE_SECONDS = 30
"""An expired hold returns its stock within 5 s (DOMAIN, Stock); a server that is just starting
gets longer.
"""

ORDERS = (
    Invariant(
        "tickets-of-orders",
        "a paid order has one ticket for each place and one for each shared entitlement; one that"
        " is not paid has none",
        f"""
WITH wanted AS (
  SELECT w.order_id, w.item_index, w.passenger_index, w.wanted FROM ({WANTED}) w
  JOIN orders o ON o.order_id = w.order_id AND {PAID}
), sold AS (
  SELECT order_id, item_index, passenger_index, count(*) AS there FROM ticket_sales
  GROUP BY 1, 2, 3
)
SELECT coalesce(o.order_code, 'order ' || coalesce(w.order_id, s.order_id)),
  format('%s, item %s, passenger %s: %s tickets wanted, %s there', o.state,
    coalesce(w.item_index, s.item_index), coalesce(w.passenger_index, s.passenger_index),
    coalesce(w.wanted, 0), coalesce(s.there, 0))
FROM wanted w FULL JOIN sold s USING (order_id, item_index, passenger_index)
LEFT JOIN orders o ON o.order_id = coalesce(w.order_id, s.order_id)
WHERE coalesce(w.wanted, 0) <> coalesce(s.there, 0)
""",
    ),
    Invariant(
        "sales-of-tickets",
        "every ticket of a traveller was sold in the order that it belongs to, and every"
        " partner's order has the tickets that it says",
        """
SELECT coalesce(t.ticket_code, 'ticket ' || s.ticket_id),
  format('belongs to order %s, sold in %s', coalesce(t.order_id::text, 'none'),
    coalesce(s.order_id::text, 'none'))
FROM (SELECT * FROM tickets WHERE partner_id = 0) t FULL JOIN ticket_sales s USING (ticket_id)
WHERE t.order_id IS DISTINCT FROM s.order_id
UNION ALL
SELECT coalesce(o.order_code, 'order ' || c.order_id),
  format('of %s tickets, there are %s', coalesce(o.ticket_count, 0), coalesce(c.tickets, 0))
FROM (SELECT * FROM orders WHERE traveller_id IS NULL) o
FULL JOIN (SELECT order_id, count(*) AS tickets FROM tickets
  WHERE partner_id > 0 AND order_id IS NOT NULL GROUP BY 1) c
  USING (order_id)
WHERE coalesce(o.ticket_count, 0) <> coalesce(c.tickets, 0)
""",
    ),
    Invariant(
        "order-states",
        "an order is PAID while one of its tickets is not final, then COMPLETED if one was used"
        " or expired, else CANCELLED, as refunded, at once or by an open task",
        f"""
WITH states AS (
  SELECT order_id,
    bool_or(state NOT IN ('USED', 'EXPIRED', 'REFUNDED', 'CHANGED', 'VOIDED')) AS one_open,
    bool_or(state IN ('USED', 'EXPIRED')) AS one_used
  FROM tickets WHERE order_id IS NOT NULL GROUP BY order_id
)
SELECT o.order_code, format('%s%s, though its tickets say %s', o.state, ' ' || o.cancel_reason,
  CASE WHEN s.one_open THEN 'PAID' WHEN s.one_used THEN 'COMPLETED' ELSE 'CANCELLED REFUNDED' END)
FROM orders o JOIN states s USING (order_id)
WHERE o.state <> CASE WHEN s.one_open THEN 'PAID' WHEN s.one_used THEN 'COMPLETED'
  ELSE 'CANCELLED' END
    AND NOT (o.state = 'PAID' AND EXISTS (
      SELECT FROM outbox_tasks k WHERE k.kind = 'order.complete' AND k.state = 'OPEN'
        AND k.payload ->> 'order_id' = o.order_id::text))
  OR (o.state = 'CANCELLED') <> (o.cancel_reason IS NOT NULL)
  OR o.state = 'CANCELLED' AND o.cancel_reason <> 'REFUNDED'
UNION ALL
SELECT o.order_code, format('%s%s, pay time %s', o.state, ' ' || o.cancel_reason,
  coalesce(o.pay_time::text, 'none'))
FROM orders o WHERE o.traveller_id IS NOT NULL AND (
  (o.pay_time IS NOT NULL) <> (o.state IN ('PAID', 'COMPLETED')
  OR o.cancel_reason IS NOT DISTINCT FROM 'REFUNDED')
  OR (o.state = 'CANCELLED') <> (o.cancel_reason IS NOT NULL) OR {PAID} <> (o.pay_time IS NOT NULL))
""",
    ),
    Invariant(
        "order-events",
        "the moves of an order are numbered without a gap up to its sequence, and the last one"
        " tells its state",
        """
WITH moves AS (
  SELECT order_id, count(*) AS moves, min(sequence) AS first, max(sequence) AS last,
    (array_agg(state || coalesce(' ' || cancel_reason, '') ORDER BY sequence DESC))[1] AS state
  FROM order_events GROUP BY 1
)
SELECT coalesce(o.order_code, 'order ' || m.order_id),
  format('sequence %s and %s, %s moves from %s to %s, the last %s',
  o.sequence, o.state, coalesce(m.moves, 0), m.first, m.last, m.state)
FROM orders o FULL JOIN moves m USING (order_id)
WHERE o.order_id IS NULL OR o.sequence <> coalesce(m.moves, 0) + 1
  OR m.moves > 0 AND (m.first, m.last) <> (2, o.sequence)
  OR m.state <> o.state || coalesce(' ' || o.cancel_reason, '')
  OR m.moves IS NULL AND o.traveller_id IS NOT NULL AND o.state <> 'PENDING'
""",
    ),
    Invariant(
        "overdue-holds",
        "an order that was not paid in time does not hold its stock any more",
        f"""
SELECT order_code, format('PENDING, though its hold was over at %s', hold_expire_time)
FROM orders WHERE state = 'PENDING' AND pay_time IS NULL AND cancel_reason IS NULL
  AND hold_expire_time < now() - interval '{GRACE_SECONDS} seconds'
""",
    ),
)
