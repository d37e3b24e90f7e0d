"""What is held and sold of every stock, and the batches made of it. (DOMAIN: Stock)."""

from server.invariants.invariant import Invariant
from server.invariants.rows import KEPT, TAKEN

STOCK = (
    Invariant(
        "stock",
        "held and sold of every stock are what waiting orders hold and what kept tickets took, partners' included; the"
        " cap of a promotion is what waiting and paid orders used of it",
        f"""
WITH taken AS ({TAKEN}), counted AS (
  SELECT stock_id, count(*) FILTER (WHERE how = 'held') AS held, count(*) FILTER (WHERE how = 'sold') AS sold
  FROM taken GROUP BY stock_id
  UNION ALL
  SELECT (t.product_id::bigint << 20) + t.partner_id, 0, count(*) FROM tickets t WHERE t.partner_id > 0 AND {KEPT}
  GROUP BY t.product_id, t.partner_id
  UNION ALL
  SELECT cap.stock_id::bigint, count(*) FILTER (WHERE o.state = 'PENDING'),
    count(*) FILTER (WHERE o.state IN ('PAID', 'COMPLETED'))
  FROM orders o, jsonb_array_elements_text(o.content -> 'capped_stock_ids') AS cap (stock_id)
  WHERE o.state <> 'CANCELLED' GROUP BY 1
)
SELECT 'stock ' || coalesce(s.stock_id, c.stock_id), format('held %s and sold %s, counted %s and %s',
  coalesce(s.held, 0), coalesce(s.sold, 0), coalesce(c.held, 0), coalesce(c.sold, 0))
FROM stocks s FULL JOIN counted c USING (stock_id)
WHERE (coalesce(s.held, 0), coalesce(s.sold, 0)) <> (coalesce(c.held, 0), coalesce(c.sold, 0))
""",
    ),
    Invariant(
        "oversell",
        "held and sold are not below zero and together not above total",
        """
SELECT 'stock ' || stock_id, format('held %s and sold %s of %s', held, sold, total) FROM stocks
WHERE held < 0 OR sold < 0 OR held + sold > total
""",
    ),
    Invariant(
        "traveller-quotas",
        "what a traveller holds and has of a stock is counted as such",
        f"""
WITH counted AS (SELECT stock_id, traveller_id, count(*) AS places FROM ({TAKEN}) t GROUP BY 1, 2)
SELECT format('traveller %s, stock %s', coalesce(q.traveller_id, c.traveller_id), coalesce(q.stock_id, c.stock_id)),
  format('quantity %s, counted %s', coalesce(q.quantity, 0), coalesce(c.places, 0))
FROM traveller_quotas q FULL JOIN counted c USING (stock_id, traveller_id)
WHERE coalesce(q.quantity, 0) <> coalesce(c.places, 0)
""",
    ),
    Invariant(
        "batches",
        "every batch has as many tickets as it says, of its partner and product, and every such ticket has its batch",
        """
WITH counted AS (
  SELECT batch_id, product_id, partner_id, count(*) AS tickets FROM tickets WHERE batch_id IS NOT NULL GROUP BY 1, 2, 3
)
SELECT 'batch ' || coalesce(b.batch_id, c.batch_id),
  format('of %s tickets, there are %s', coalesce(b.quantity, 0), coalesce(c.tickets, 0))
FROM batches b FULL JOIN counted c USING (batch_id, product_id, partner_id)
WHERE coalesce(b.quantity, 0) <> coalesce(c.tickets, 0)
""",
    ),
)
