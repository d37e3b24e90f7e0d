"""What is held and sold of every stock, the reservations that hold it, and the batches made of it.
(DOMAIN: Stock; OTA partners).
"""

from server.operations.consistency.invariant import Invariant
from server.operations.consistency.rows import KEPT, OTHER_DAYS, TAKEN

STOCK = (
    Invariant(
        "stock",
        "held and sold of every stock are what waiting orders and open reservations hold and what"
        " kept tickets took, partners' included: those of a reservation when they are activated",
        f"""
WITH taken AS ({TAKEN}), parts AS (
  SELECT stock_id, count(*) FILTER (WHERE how = 'held' AND has_own_place) AS held,
    count(*) FILTER (WHERE how = 'sold') AS sold
  FROM taken GROUP BY stock_id
  UNION ALL
  SELECT stock_id, count(*) FILTER (WHERE how = 'held'), count(*) FILTER (WHERE how = 'sold')
  FROM ({OTHER_DAYS}) d GROUP BY stock_id
  UNION ALL
  SELECT coalesce(d.stock_id::bigint, (k.product_id::bigint << 20) + k.partner_id), 0,
    sum(k.tickets)
  FROM (SELECT t.snapshot_id, t.product_id, t.partner_id, count(*) AS tickets FROM tickets t
    WHERE t.partner_id > 0 AND t.reservation_id IS NULL AND {KEPT} GROUP BY 1, 2, 3) k
  JOIN snapshots n USING (snapshot_id)
  -- of a car each of its days
  LEFT JOIN LATERAL jsonb_array_elements_text(n.content #> '{{offer,rental,stock_ids}}')
    AS d (stock_id) ON true
  GROUP BY 1
  UNION ALL
  SELECT r.stock_id, 0, count(*) FROM tickets t JOIN reservations r USING (reservation_id)
  WHERE t.state <> 'PRE_GENERATED' AND {KEPT} GROUP BY r.stock_id
  UNION ALL
  SELECT stock_id, sum(quantity - activated), 0 FROM reservations WHERE state = 'OPEN'
  GROUP BY stock_id
), counted AS (
  SELECT stock_id, sum(held) AS held, sum(sold) AS sold FROM parts GROUP BY stock_id
)
SELECT 'stock ' || coalesce(s.stock_id, c.stock_id),
  format('held %s and sold %s, counted %s and %s', coalesce(s.held, 0), coalesce(s.sold, 0),
    coalesce(c.held, 0), coalesce(c.sold, 0))
FROM (SELECT * FROM stocks WHERE promotion_id IS NULL) s FULL JOIN counted c USING (stock_id)
WHERE (coalesce(s.held, 0), coalesce(s.sold, 0)) <> (coalesce(c.held, 0), coalesce(c.sold, 0))
""",
    ),
    Invariant(
        "promotion-caps",
        "an order counts against the cap of each capped promotion that its price took, and of no"
        " other; held and sold of a cap are what waiting and paid orders used of it",
        """
WITH used AS (
  SELECT DISTINCT o.order_id, (1::bigint << 61) + (u.promotion_id::bigint << 20) AS stock_id
  FROM orders o, jsonb_array_elements(o.content -> 'items') AS i (item),
    jsonb_array_elements_text(i.item -> 'price' -> 'promotion_ids') AS u (promotion_id)
  JOIN promotions p ON p.promotion_id = u.promotion_id::int AND p.capped
), noted AS (
  SELECT o.order_id, o.state, cap.stock_id::bigint AS stock_id
  FROM orders o, jsonb_array_elements_text(o.content -> 'capped_stock_ids') AS cap (stock_id)
), counted AS (
  SELECT stock_id, count(*) FILTER (WHERE state = 'PENDING') AS held,
    count(*) FILTER (WHERE state IN ('PAID', 'COMPLETED')) AS sold
  FROM noted GROUP BY 1
)
SELECT o.order_code,
  format('promotion %s: its price took it %s times, it counts against the cap %s times',
  coalesce(u.stock_id, n.stock_id) >> 20 & 2147483647, count(u.order_id), count(n.order_id))
FROM used u FULL JOIN noted n USING (order_id, stock_id) JOIN orders o USING (order_id)
WHERE u.order_id IS NULL OR n.order_id IS NULL GROUP BY o.order_code, u.stock_id, n.stock_id
UNION ALL
SELECT 'promotion ' || (coalesce(s.stock_id, c.stock_id) >> 20 & 2147483647),
  format('held %s and sold %s, counted %s and %s', coalesce(s.held, 0), coalesce(s.sold, 0),
    coalesce(c.held, 0), coalesce(c.sold, 0))
FROM (SELECT * FROM stocks WHERE promotion_id IS NOT NULL) s FULL JOIN counted c USING (stock_id)
WHERE (coalesce(s.held, 0), coalesce(s.sold, 0)) <> (coalesce(c.held, 0), coalesce(c.sold, 0))
""",
    ),
    Invariant(
        "reservations",
        "a reservation has counted its tickets and those that were activated of them; when it has"
        " ended, the others are VOIDED or about to be",
        """
WITH counted AS (
  SELECT reservation_id, count(*) FILTER (WHERE state <> 'VOIDED') AS generated,
    count(*) FILTER (WHERE state NOT IN ('PRE_GENERATED', 'VOIDED')) AS activated,
    count(*) FILTER (WHERE state = 'PRE_GENERATED') AS unsold
  FROM tickets WHERE reservation_id IS NOT NULL GROUP BY 1
)
SELECT 'reservation ' || coalesce(r.reservation_id, c.reservation_id),
  format('%s: generated %s and activated %s, counted %s and %s, %s not activated',
    coalesce(r.state, 'none'), r.generated, r.activated, coalesce(c.generated, 0),
    coalesce(c.activated, 0), coalesce(c.unsold, 0))
FROM reservations r FULL JOIN counted c USING (reservation_id)
WHERE r.reservation_id IS NULL OR r.activated <> coalesce(c.activated, 0)
  OR r.state IN ('OPEN', 'COMPLETED') AND r.generated <> coalesce(c.generated, 0)
  OR r.state <> 'OPEN' AND NOT r.voids_pending AND coalesce(c.unsold, 0) > 0
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
        "what a traveller holds and has of a departure, or of a product on a day of use, is"
        " counted as such, and so are the orders, waiting and paid, that use a promotion of which"
        " one traveller may use so many",
        f"""
WITH counted AS (
  SELECT quota_id, traveller_id, count(*) AS uses FROM ({TAKEN}) t WHERE quota_id IS NOT NULL
  GROUP BY 1, 2
  UNION ALL
  SELECT (1::bigint << 61) + (p.promotion ->> 0)::bigint, o.traveller_id, count(*)
  FROM orders o, jsonb_array_elements(o.content -> 'promotion_limits') AS p (promotion)
  WHERE o.state <> 'CANCELLED' GROUP BY 1, 2
)
SELECT format('traveller %s, quota %s', coalesce(q.traveller_id, c.traveller_id),
  coalesce(q.quota_id, c.quota_id)), format('quantity %s, counted %s', coalesce(q.quantity, 0),
  coalesce(c.uses, 0))
FROM traveller_quotas q FULL JOIN counted c USING (quota_id, traveller_id)
WHERE coalesce(q.quantity, 0) <> coalesce(c.uses, 0)
""",
    ),
    Invariant(
        "batches",
        "every batch has as many tickets as it says, of its partner and product, and every such"
        " ticket has its batch",
        """
WITH counted AS (
  SELECT batch_id, product_id, partner_id, count(*) AS tickets FROM tickets
  WHERE batch_id IS NOT NULL GROUP BY 1, 2, 3
)
SELECT 'batch ' || coalesce(b.batch_id, c.batch_id),
  format('of %s tickets, there are %s', coalesce(b.quantity, 0), coalesce(c.tickets, 0))
FROM batches b FULL JOIN counted c USING (batch_id, product_id, partner_id)
WHERE coalesce(b.quantity, 0) <> coalesce(c.tickets, 0)
""",
    ),
)
