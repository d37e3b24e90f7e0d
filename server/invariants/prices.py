"""What orders and their tickets cost. (DOMAIN: Price)."""

from server.invariants.invariant import Invariant
from server.invariants.rows import PAID

PRICES = (
    Invariant(
        "prices",
        "the places of an order add up to its amount, less the fee if it is a change, and so do its tickets when it is"
        " paid",
        f"""
WITH placed AS (
  SELECT o.order_id, sum((p.place ->> 'amount_minor')::bigint) AS amount_minor
  FROM orders o, jsonb_array_elements(o.content -> 'items') AS i (item),
    jsonb_array_elements(i.item -> 'places') AS p (place) GROUP BY 1
), sold AS (SELECT order_id, sum(amount_minor) AS amount_minor FROM ticket_sales GROUP BY 1)
SELECT o.order_code, format('%s, its places %s, its tickets %s', o.amount_minor, p.amount_minor,
  coalesce(s.amount_minor::text, 'none'))
FROM orders o LEFT JOIN placed p USING (order_id) LEFT JOIN sold s USING (order_id)
WHERE o.traveller_id IS NOT NULL AND (o.amount_minor < coalesce(p.amount_minor, 0)
  OR o.changes_ticket_id IS NULL AND o.amount_minor <> coalesce(p.amount_minor, 0)
  OR {PAID} AND p.amount_minor IS DISTINCT FROM s.amount_minor)
""",
    ),
)
