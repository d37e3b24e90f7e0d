"""Tickets that are changed into others. (DOMAIN: States; Refund and change)."""

from server.invariants.invariant import Invariant
from server.invariants.rows import PAID

CHANGES = (
    Invariant(
        "changing",
        "a ticket is CHANGING exactly while one order waits to change it, and CHANGED when one did: each place has one"
        " ticket that is not CHANGED",
        f"""
WITH changes AS (
  SELECT o.changes_ticket_id AS ticket_id, count(*) FILTER (WHERE o.state = 'PENDING') AS waiting,
    count(*) FILTER (WHERE {PAID}) AS made, sum(s.tickets) AS successors
  FROM orders o LEFT JOIN (SELECT order_id, count(*) AS tickets FROM ticket_sales GROUP BY 1) s USING (order_id)
  WHERE o.changes_ticket_id IS NOT NULL GROUP BY 1
)
SELECT coalesce(t.ticket_code, 'ticket ' || c.ticket_id), format('%s, %s changes waiting, %s made, %s successors',
  t.state, coalesce(c.waiting, 0), coalesce(c.made, 0), coalesce(c.successors, 0))
FROM changes c FULL JOIN tickets t USING (ticket_id)
WHERE t.ticket_id IS NULL
  OR (t.state IN ('CHANGING', 'CHANGED') OR c.ticket_id IS NOT NULL)
  AND format('%s %s %s', coalesce(c.waiting, 0), coalesce(c.made, 0), coalesce(c.successors, 0)) <>
    CASE t.state WHEN 'CHANGING' THEN '1 0 0' WHEN 'CHANGED' THEN '0 1 1' ELSE '0 0 0' END
""",
    ),
)
