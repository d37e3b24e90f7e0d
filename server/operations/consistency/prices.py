"""What orders and their tickets cost. (DOMAIN: Price)."""

from server.operations.consistency.invariant import Invariant
from server.operations.consistency.rows import PLACES

PRICES = (
    Invariant(
        "prices",
        "the places of an order add up to its amount; that of a change contains its fee too",
        f"""
WITH placed AS (SELECT order_id, sum(amount_minor) AS amount_minor FROM ({PLACES}) p GROUP BY 1)
SELECT o.order_code, format('%s, its places %s', o.amount_minor, p.amount_minor)
FROM orders o LEFT JOIN placed p USING (order_id)
WHERE o.traveller_id IS NOT NULL AND o.changes_ticket_id IS NULL
  AND o.amount_minor IS DISTINCT FROM p.amount_minor
""",
    ),
    Invariant(
        "ticket-amounts",
        "every ticket was sold for what its place costs, and what is shared for nothing",
        f"""
SELECT t.ticket_code, format('sold for %s, its place costs %s', s.amount_minor,
  coalesce(p.amount_minor, 0))
FROM ticket_sales s JOIN tickets t USING (ticket_id)
LEFT JOIN ({PLACES}) p ON (p.order_id, p.item_index, p.passenger_index) = (s.order_id, s.item_index,
  s.passenger_index)
WHERE s.amount_minor <> coalesce(p.amount_minor, 0)
""",
    ),
    Invariant(
        "price-lines",
        "the lines of a price add up to it, each being its quantity times its unit, and so do its"
        " tickets, which its places cost",
        """
SELECT o.order_code, format('item %s of %s, its lines %s, its tickets %s, its places %s',
  i.position, i.item -> 'price'
  ->> 'total_minor', l.amount_minor, i.item -> 'price' ->> 'ticket_minor', c.amounts)
FROM orders o, jsonb_array_elements(o.content -> 'items') WITH ORDINALITY AS i (item, position),
  LATERAL (
  SELECT coalesce(sum((line ->> 'amount_minor')::bigint), 0) AS amount_minor,
    coalesce(bool_and((line ->> 'amount_minor')::bigint
      = (line ->> 'quantity')::bigint * (line ->> 'unit_minor')::bigint), true) AS each_adds_up
  FROM jsonb_array_elements(i.item -> 'price' -> 'lines') AS each (line)
) l, LATERAL (
  SELECT jsonb_agg(place -> 'amount_minor' ORDER BY position) AS amounts,
    sum((place ->> 'amount_minor')::bigint) AS total
  FROM jsonb_array_elements(i.item -> 'places') WITH ORDINALITY AS each (place, position)
) c
WHERE NOT l.each_adds_up OR c.amounts IS DISTINCT FROM i.item -> 'price' -> 'ticket_minor'
  OR (l.amount_minor, c.total) IS DISTINCT FROM
    ((i.item -> 'price' ->> 'total_minor')::bigint, (i.item -> 'price' ->> 'total_minor')::bigint)
""",
    ),
)
