"""What was sold follows its departure. (DOMAIN: Refund and change; Stock)."""

from server.aftersales.tasks import LOOKED_FOR
from server.operations.consistency.invariant import Invariant

DEPARTURES = (
    Invariant(
        "closed-stocks",
        "the stocks of a departure are closed when an administrator cancels it, and of none that"
        " runs",
        """
SELECT 'stock ' || s.stock_id, format('%s, of a departure that is %s',
  CASE WHEN s.closed THEN 'closed' ELSE 'open' END, coalesce(d.state, 'none'))
FROM stocks s LEFT JOIN departures d USING (departure_id)
WHERE CASE WHEN s.closed THEN d.state IS DISTINCT FROM 'CANCELLED' AND NOT s.archived
  ELSE d.cancel_time IS NOT NULL END
""",
    ),
    Invariant(
        "cancelled-departures",
        "what waits for a cancelled departure, or is not given back yet, has a task that sees to"
        " it, not a dead one, until some weeks after it would have left",
        f"""
WITH unseen AS (
  SELECT d.departure_id FROM departures d
  WHERE d.cancel_refunds IS NOT NULL
    AND d.departure_time > now() - interval '{LOOKED_FOR.days} days' AND NOT EXISTS (
    SELECT FROM outbox_tasks t WHERE t.kind = 'departure.cancelled' AND t.key = d.departure_id::text
      AND t.state = 'OPEN')
)
SELECT o.order_code, format('PENDING, for departure %s, which is cancelled', u.departure_id)
FROM orders o, jsonb_array_elements(o.content -> 'items') AS i (item)
JOIN unseen u ON u.departure_id = (i.item ->> 'departure_id')::bigint
WHERE o.state = 'PENDING'
UNION ALL
SELECT t.ticket_code, format('%s, for departure %s, which is cancelled', t.state, u.departure_id)
FROM ticket_sales s JOIN tickets t USING (ticket_id) JOIN unseen u USING (departure_id)
WHERE s.passenger_index >= 0 AND t.state IN ('ACTIVE', 'PARTIALLY_REDEEMED')
UNION ALL
SELECT x.subject, format('%s, of departure %s, which is cancelled', x.state, x.departure_id)
FROM (
  SELECT 'reservation ' || reservation_id AS subject, state, departure_id FROM reservations
  WHERE state = 'OPEN'
  UNION ALL
  SELECT t.ticket_code, t.state, s.departure_id
  FROM departure_tickets s JOIN tickets t USING (ticket_id)
  WHERE t.state = 'ACTIVE' AND NOT t.blocked) x
JOIN departures d ON d.departure_id = x.departure_id AND d.state = 'CANCELLED'
WHERE NOT EXISTS (
  SELECT FROM outbox_tasks k WHERE k.kind = 'departure.partners'
    AND k.key = d.departure_id::text AND k.state = 'OPEN')
""",
    ),
    Invariant(
        "moved-departures",
        "a ticket counts from when its departure leaves now, or a task brings it there",
        """
SELECT t.ticket_code, format('counts from %s, its departure %s is at %s and was sold for %s',
  s.reference_time, s.departure_id, d.departure_time,
  coalesce(n.content -> 'offer' -> 'journey' ->> 'service_time', d.planned_time::text))
FROM ticket_sales s JOIN tickets t USING (ticket_id) JOIN snapshots n USING (snapshot_id)
JOIN departures d ON d.departure_id = s.departure_id
WHERE d.planned_time IS NOT NULL
  AND t.state IN ('ACTIVE', 'PARTIALLY_REDEEMED', 'USED', 'CHANGING', 'REFUNDING')
  AND s.reference_time - (n.content -> 'offer' ->> 'reference_time')::timestamptz
  <> d.departure_time - coalesce(
    (n.content -> 'offer' -> 'journey' ->> 'service_time')::timestamptz, d.planned_time,
    d.departure_time)
  AND NOT EXISTS (
    SELECT FROM outbox_tasks k WHERE k.kind = 'departure.moved' AND k.key = s.departure_id::text
      AND k.state = 'OPEN')
UNION ALL
SELECT t.ticket_code, format('counts from %s, its departure %s is at %s', s.reference_time,
  s.departure_id, d.departure_time)
FROM departure_tickets s JOIN tickets t USING (ticket_id) JOIN snapshots n USING (snapshot_id)
JOIN departures d ON d.departure_id = s.departure_id
WHERE d.planned_time IS NOT NULL AND t.state IN ('ACTIVE', 'PARTIALLY_REDEEMED')
  AND s.reference_time - (n.content -> 'offer' ->> 'reference_time')::timestamptz
  <> d.departure_time - (n.content -> 'offer' -> 'journey' ->> 'service_time')::timestamptz
  AND NOT EXISTS (
    SELECT FROM outbox_tasks k WHERE k.kind = 'departure.partners'
      AND k.key = s.departure_id::text AND k.state = 'OPEN')
""",
    ),
)
