"""What the tickets of an order's item share, however often these are changed. (DOMAIN: Words;
Refund and change).
"""

from server.operations.consistency.invariant import Invariant
from server.operations.consistency.rows import KEPT

# Each order of a traveller with the order and item that its chain of changes began with, by the
# tickets that were changed; of an order that changes none itself, whose items are all its own.
_CHAINS = """
SELECT order_id, order_id AS first_order_id, NULL::int AS item_index
FROM orders WHERE traveller_id IS NOT NULL AND changes_ticket_id IS NULL
UNION ALL
SELECT o.order_id, c.first_order_id, coalesce(c.item_index, s.item_index)
FROM chains c JOIN ticket_sales s ON s.order_id = c.order_id
JOIN orders o ON o.changes_ticket_id = s.ticket_id
"""

SHARED = (
    Invariant(
        "shared-tickets",
        "what an item shares is valid as long as the latest of its tickets, changed ones"
        " included, while one of them is or may come back, and given back or over when none is;"
        " it is given back with the last alone",
        f"""
WITH RECURSIVE chains AS ({_CHAINS}), members AS (
  SELECT c.first_order_id AS order_id, coalesce(c.item_index, s.item_index) AS item_index,
    bool_or({KEPT}) AS kept, bool_or({KEPT} AND t.state <> 'REFUNDING') AS staying,
    min(t.valid_from_time) FILTER (WHERE {KEPT}) AS valid_from_time,
    max(t.valid_until_time) FILTER (WHERE {KEPT}) AS valid_until_time
  FROM chains c JOIN ticket_sales s ON s.order_id = c.order_id JOIN tickets t USING (ticket_id)
  WHERE s.passenger_index >= 0 GROUP BY 1, 2
)
SELECT t.ticket_code, format('%s, valid from %s until %s; its item: %s, from %s until %s', t.state,
  t.valid_from_time, t.valid_until_time, CASE WHEN m.staying THEN 'one stays'
  WHEN m.kept THEN 'one may come back' ELSE 'none' END, m.valid_from_time, m.valid_until_time)
FROM tickets t JOIN ticket_sales s USING (ticket_id)
LEFT JOIN members m ON (m.order_id, m.item_index) = (s.order_id, s.item_index)
WHERE s.passenger_index < 0 AND CASE
  WHEN m.kept THEN t.state IN ('REFUNDED', 'CHANGED', 'CHANGING', 'VOIDED')
    OR m.staying AND t.state = 'REFUNDING'
    OR t.valid_until_time <> m.valid_until_time OR t.valid_from_time > m.valid_from_time
  ELSE t.state NOT IN ('REFUNDED', 'USED', 'EXPIRED') END
""",
    ),
    Invariant(
        "first-of-changes",
        "the order of a change names the order and item that its chain of changes began with",
        f"""
WITH RECURSIVE chains AS ({_CHAINS})
SELECT o.order_code, format('order %s, item %s; by its tickets order %s, item %s', o.first_order_id,
  o.first_item_index, c.first_order_id, c.item_index)
FROM orders o LEFT JOIN chains c USING (order_id)
WHERE o.changes_ticket_id IS NOT NULL
  AND (o.first_order_id, o.first_item_index::int) IS DISTINCT FROM (c.first_order_id, c.item_index)
""",
    ),
)
