"""Partners' distributors, and what each gets of the tickets that are sold through it. (DOMAIN: OTA
partners).
"""

from server.operations.consistency.invariant import Invariant

DISTRIBUTORS = (
    Invariant(
        "distributor-lines",
        "a distributor's line is its parent's and itself, and keeps no more than there is, as"
        " long as it sells",
        """
SELECT format('distributor %s of partner %s', d.distributor_id, d.partner_id),
  format('line %s, its parent''s %s', d.line, p.line)
FROM distributors d LEFT JOIN distributors p
  ON (p.partner_id, p.distributor_id) = (d.partner_id, d.parent_distributor_id)
WHERE coalesce(p.line, '{}') || d.distributor_id <> d.line
UNION ALL
SELECT format('distributor %s of partner %s', d.distributor_id, d.partner_id),
  format('its line keeps %s basis points', sum(a.commission_basis_points))
FROM distributors d CROSS JOIN LATERAL unnest(d.line) AS l (distributor_id)
JOIN distributors a ON (a.partner_id, a.distributor_id) = (d.partner_id, l.distributor_id)
WHERE d.state = 'ACTIVE' GROUP BY d.partner_id, d.distributor_id
HAVING sum(a.commission_basis_points) > 10000
""",
    ),
    Invariant(
        "lines-of-sale",
        "what the levels of a line of sale keep and what is left for the partner is the fare: each"
        " level sells for what the one below it owes it, the last for the fare",
        """
WITH parts AS (
  SELECT n.snapshot_id, l.level ->> 'distributor_id' AS distributor_id, a.fare, l.position,
    (a.amount ->> 'commission_minor')::bigint AS commission,
    (a.amount ->> 'net_price_minor')::bigint AS net_price,
    (n.content -> 'fares' -> (a.fare - 1)::int ->> 'amount_minor')::bigint AS gross
  FROM snapshots n,
    jsonb_array_elements(n.content -> 'line_of_sale') WITH ORDINALITY AS l (level, position),
    jsonb_array_elements(l.level -> 'amounts') WITH ORDINALITY AS a (amount, fare)
), chained AS (
  SELECT *, coalesce(lead(net_price) OVER (PARTITION BY snapshot_id, fare ORDER BY position),
    gross) AS sold_for
  FROM parts
)
SELECT format('%s of snapshot %s', distributor_id, snapshot_id),
  format('keeps %s and owes %s of %s', commission, net_price, sold_for)
FROM chained WHERE commission < 0 OR net_price < 0 OR commission + net_price <> sold_for
""",
    ),
    Invariant(
        "sellers",
        "a partner's ticket is sold by the last distributor of its line of sale, and its batch is"
        " found by each of them",
        """
WITH sold AS (
  SELECT DISTINCT partner_id, batch_id, snapshot_id, distributor_id FROM tickets
  WHERE partner_id > 0 AND batch_id IS NOT NULL
), lines AS (
  SELECT s.*, n.content -> 'line_of_sale' -> -1 ->> 'distributor_id' AS last,
    CASE WHEN jsonb_array_length(n.content -> 'line_of_sale') > 0 THEN n.content -> 'line_of_sale'
      ELSE jsonb_build_array(jsonb_build_object('distributor_id', s.distributor_id)) END AS levels
  FROM sold s JOIN snapshots n USING (snapshot_id)
)
SELECT 'batch ' || batch_id, format('tickets of %s, whose line of sale ends with %s',
  distributor_id, last)
FROM lines WHERE last <> distributor_id
UNION ALL
SELECT 'batch ' || l.batch_id, format('is not found by %s, through whom %s sells it',
  v.level ->> 'distributor_id', l.distributor_id)
FROM lines l JOIN batches b USING (batch_id, partner_id)
CROSS JOIN LATERAL jsonb_array_elements(l.levels) AS v (level)
LEFT JOIN distributor_batches d
  ON (d.partner_id, d.distributor_id, d.first_ticket_id, d.snapshot_id)
    = (l.partner_id, v.level ->> 'distributor_id', b.first_ticket_id, l.snapshot_id)
WHERE l.distributor_id <> '' AND d.partner_id IS NULL
""",
    ),
)
