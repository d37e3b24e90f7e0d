"""What tickets entitle to, and what was redeemed of it. (DOMAIN: States, Redemption)."""

from server.operations.consistency.invariant import Invariant
from server.operations.consistency.rows import REDEEMED
from server.orders.ticket_expiry import KEPT_BY_DEPARTURE

OVERDUE_MINUTES = 5
"""A ticket whose validity is over is EXPIRED within a minute (DOMAIN, Operations); a backlog
takes longer.
"""

# what time it is for a ticket, if `c` is its sandbox's clock
SHOWN = """coalesce(c.standing_time,
  now() + coalesce(c.ahead_microseconds, 0) * interval '1 microsecond')"""

TICKETS = (
    Invariant(
        "ticket-rotations",
        "no ticket's QR was rotated more often than the order counts that its chain of changes"
        " began with: else no code of the order would ever open it",
        """
SELECT t.ticket_code,
  format('rotation %s, counted are %s', t.rotation, coalesce(f.ticket_rotations, 0))
FROM tickets t LEFT JOIN orders o USING (order_id)
LEFT JOIN orders f ON f.order_id = coalesce(o.first_order_id, o.order_id)
WHERE t.rotation NOT BETWEEN 0 AND coalesce(f.ticket_rotations, 0)
""",
    ),
    Invariant(
        "entitlements",
        "a ticket entitles to what it was sold under: a traveller's to all that is not shared, or"
        " one thing that is, a partner's to everything",
        """
WITH terms AS (
  SELECT n.snapshot_id, e.entitlement ->> 'function_code' AS function_code,
    (e.entitlement ->> 'total_uses')::int AS total_uses,
    coalesce((e.entitlement ->> 'shared')::boolean, false) AS shared
  FROM snapshots n, jsonb_array_elements(n.content -> 'entitlements') AS e (entitlement)
), kinds AS (
  -- of a partner's ticket, which has no order's others beside it, none is shared with anybody
  SELECT t.ticket_id, t.ticket_code, t.snapshot_id, CASE WHEN t.partner_id > 0 THEN 'ALL'
    WHEN s.passenger_index < 0 THEN 'SHARED' ELSE 'OWN' END AS kind
  FROM tickets t LEFT JOIN ticket_sales s USING (ticket_id)
), counts AS (
  SELECT snapshot_id, count(*) AS all_terms, count(*) FILTER (WHERE NOT shared) AS own FROM terms
  GROUP BY 1
), there AS (
  SELECT k.ticket_id, k.ticket_code, k.kind, k.snapshot_id, count(e.ticket_id) AS entitlements,
    count(r.snapshot_id) AS agreeing
  FROM kinds k LEFT JOIN entitlements e USING (ticket_id) LEFT JOIN terms r
    ON (r.snapshot_id, r.function_code, r.total_uses) = (k.snapshot_id, e.function_code,
      e.total_uses)
    AND (k.kind = 'ALL' OR r.shared = (k.kind = 'SHARED'))
  GROUP BY 1, 2, 3, 4
), wanted AS (
  SELECT t.*, CASE t.kind WHEN 'SHARED' THEN 1 WHEN 'OWN' THEN coalesce(c.own, 0)
    ELSE coalesce(c.all_terms, 0) END AS wanted
  FROM there t LEFT JOIN counts c USING (snapshot_id)
)
SELECT ticket_code, format('%s entitlements, %s of them as sold, %s were sold', entitlements,
  agreeing, wanted)
FROM wanted WHERE (entitlements, agreeing) IS DISTINCT FROM (wanted, wanted)
""",
    ),
    Invariant(
        "uses",
        "the uses left of an entitlement are all of them less those redeemed and not reversed,"
        " and the ticket's state says whether there are any",
        f"""
WITH redeemed AS (SELECT ticket_id, function_code, sum(quantity) AS uses FROM ({REDEEMED}) r
  GROUP BY 1, 2), uses AS (
  SELECT ticket_id, function_code, e.total_uses, e.remaining_uses, coalesce(r.uses, 0) AS used,
    e.ticket_id AS there
  FROM entitlements e FULL JOIN redeemed r USING (ticket_id, function_code)
), states AS (
  SELECT ticket_id, CASE WHEN sum(remaining_uses) = 0 THEN 'USED'
    WHEN sum(used) > 0 THEN 'PARTIALLY_REDEEMED'
    ELSE 'ACTIVE' END AS state
  FROM uses GROUP BY 1
)
SELECT format('%s of ticket %s', function_code, ticket_id),
  format('%s of %s left, %s redeemed', remaining_uses, total_uses, used)
FROM uses WHERE there IS NULL OR total_uses - remaining_uses <> used
UNION ALL
SELECT t.ticket_code, format('%s, though its uses say %s', t.state, s.state)
FROM tickets t JOIN states s USING (ticket_id)
WHERE t.state <> s.state AND (t.state IN ('ACTIVE', 'PARTIALLY_REDEEMED', 'USED')
  OR s.state = 'USED' AND t.state IN ('REFUNDING', 'REFUNDED')
  OR s.state <> 'ACTIVE' AND t.state IN ('CHANGING', 'CHANGED'))
""",
    ),
    Invariant(
        "redemption-guards",
        "every redemption of a function that a QR redeems once has its guard, and every guard its"
        " redemption",
        f"""
WITH redeemed AS ({REDEEMED}), terms AS (
  SELECT n.snapshot_id, e.entitlement ->> 'function_code' AS function_code
  FROM snapshots n, jsonb_array_elements(n.content -> 'entitlements') AS e (entitlement)
  WHERE e.entitlement ->> 'use_mode' = 'ONCE_PER_QR'
)
SELECT format('%s of %s', r.function_code, r.ticket_code),
  format('redemption %s has no guard', r.event_id)
FROM redeemed r JOIN tickets t USING (ticket_id) JOIN terms USING (snapshot_id, function_code)
LEFT JOIN redemption_guards g ON (g.ticket_id, g.jti, g.function_code) = (r.ticket_id, r.jti,
  r.function_code)
WHERE g.ticket_id IS NULL
UNION ALL
SELECT format('%s of ticket %s', g.function_code, g.ticket_id),
  format('guards redemption %s, which is not', g.event_id)
FROM redemption_guards g LEFT JOIN redeemed r USING (ticket_id, event_id) WHERE r.event_id IS NULL
""",
    ),
    Invariant(
        "ticket-events",
        "every state of a ticket that redemption does not give was recorded as a move of it",
        """
SELECT t.ticket_code, format('%s, which no event tells', t.state)
FROM (SELECT * FROM tickets
      WHERE state IN ('REFUNDING', 'REFUNDED', 'CHANGING', 'CHANGED', 'EXPIRED', 'VOIDED')) t
LEFT JOIN (SELECT DISTINCT ticket_id, state FROM ticket_events) e USING (ticket_id, state)
WHERE e.ticket_id IS NULL
""",
    ),
    Invariant(
        "validity",
        "a ticket is valid when what it was sold under says, at the latest from then on, and"
        " exactly as long, or as much later or earlier as its departure was moved; a partner's of"
        " no departure to the end of the day so many days later",
        """
WITH offers AS MATERIALIZED (
  SELECT snapshot_id, (content -> 'offer' ->> 'valid_from_time')::timestamptz AS valid_from_time,
    (content -> 'offer' ->> 'valid_until_time')::timestamptz AS valid_until_time,
    (content -> 'offer' ->> 'reference_time')::timestamptz AS reference_time
  FROM snapshots
)
SELECT t.ticket_code,
  format('valid from %s to %s and counted from %s, sold as from %s to %s and %s', t.valid_from_time,
  t.valid_until_time, s.reference_time, o.valid_from_time, o.valid_until_time, o.reference_time)
FROM ticket_sales s JOIN tickets t USING (ticket_id) JOIN offers o USING (snapshot_id)
LEFT JOIN departures d ON d.departure_id = s.departure_id
CROSS JOIN LATERAL (SELECT s.reference_time - o.reference_time AS by) AS moved
-- how long something shared is valid, see shared-tickets
WHERE s.passenger_index >= 0 AND (t.valid_from_time > o.valid_from_time + moved.by
    OR t.valid_until_time IS DISTINCT FROM o.valid_until_time + moved.by)
  -- how much a departure was moved, see moved-departures
  OR (moved.by IS DISTINCT FROM interval '0' AND d.planned_time IS NULL)
UNION ALL
SELECT t.ticket_code, format('valid from %s to %s, sold for %s days', t.valid_from_time,
  t.valid_until_time, n.content ->> 'validity_days')
FROM tickets t JOIN snapshots n USING (snapshot_id)
-- a day may begin or end an hour earlier or later than the last; those of sandboxes end when asked
WHERE t.partner_id BETWEEN 1 AND 524287 AND (n.content -> 'offer') IS NULL
  AND t.valid_until_time - t.valid_from_time NOT BETWEEN
  make_interval(hours => 24 * (n.content ->> 'validity_days')::int - 1)
  AND make_interval(hours => 24 * (n.content ->> 'validity_days')::int + 25)
UNION ALL
SELECT t.ticket_code, format(
  'valid from %s to %s and counted from %s, made as from %s to %s and %s',
  t.valid_from_time, t.valid_until_time, s.reference_time, o.valid_from_time, o.valid_until_time,
  o.reference_time)
FROM departure_tickets s JOIN tickets t USING (ticket_id) JOIN offers o USING (snapshot_id)
WHERE o.reference_time IS NOT NULL AND t.partner_id < 524288
  AND (t.valid_from_time, t.valid_until_time) IS DISTINCT FROM (
  o.valid_from_time + (s.reference_time - o.reference_time),
  o.valid_until_time + (s.reference_time - o.reference_time))
""",
    ),
    Invariant(
        "expired",
        "a ticket is EXPIRED only when its validity is over",
        f"""
SELECT ticket_code, format('EXPIRED, and valid until %s', valid_until_time)
FROM tickets LEFT JOIN sandbox_clocks c USING (partner_id)
WHERE state = 'EXPIRED' AND valid_until_time > {SHOWN}
""",
    ),
    Invariant(
        "overdue-tickets",
        "a ticket whose validity is over is not open any more, unless its departure was cancelled"
        " or moved, or what it shares may come back with another",
        f"""
WITH overdue AS (
  SELECT * FROM tickets LEFT JOIN sandbox_clocks c USING (partner_id)
  WHERE expiry_pending AND state IN ('ACTIVE', 'PARTIALLY_REDEEMED')
    AND valid_until_time < {SHOWN} - interval '{OVERDUE_MINUTES} minutes'
), members AS (
  SELECT coalesce(o.first_order_id, o.order_id) AS order_id,
    coalesce(o.first_item_index, m.item_index) AS item_index,
    bool_or(k.state NOT IN ('USED', 'EXPIRED', 'REFUNDED', 'CHANGED', 'VOIDED')) AS one_open
  FROM ticket_sales m JOIN tickets k USING (ticket_id) JOIN orders o ON o.order_id = m.order_id
  WHERE m.passenger_index >= 0 GROUP BY 1, 2
)
SELECT t.ticket_code, format('%s, though its validity was over at %s', t.state, t.valid_until_time)
FROM overdue t LEFT JOIN ticket_sales s USING (ticket_id)
LEFT JOIN departures d ON d.departure_id = s.departure_id
LEFT JOIN members m ON s.passenger_index < 0
  AND (m.order_id, m.item_index) = (s.order_id, s.item_index)
WHERE NOT coalesce(CASE WHEN s.passenger_index < 0 THEN m.one_open
  ELSE d.departure_id IS NOT NULL AND {KEPT_BY_DEPARTURE} END, false)
""",
    ),
)
