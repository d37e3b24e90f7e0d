"""What goes back, and of which payment and ticket. (DOMAIN: Refund and change)."""

from server.operations.consistency.invariant import Invariant
from server.operations.consistency.rows import DRAWN, GIVEN_BACK

REFUNDS = (
    Invariant(
        "refunded-of-payments",
        "what is noted as refunded of a payment is what refunds that were not closed draw on it,"
        " and not above its amount",
        f"""
WITH drawn AS (
  SELECT payment_order_id AS order_id, payment_attempt AS attempt,
    coalesce(sum(amount_minor) FILTER (WHERE refund_state <> 'CLOSED'), 0) AS amount_minor
  FROM ({DRAWN}) d GROUP BY 1, 2
)
SELECT coalesce(p.out_trade_no, format('payment %s of order %s', d.attempt, d.order_id)),
  format('refunded %s of %s, by refunds %s', p.refunded_minor, p.amount_minor,
    coalesce(d.amount_minor, 0))
FROM payments p FULL JOIN drawn d USING (order_id, attempt)
WHERE p.order_id IS NULL OR p.refunded_minor <> coalesce(d.amount_minor, 0)
  OR p.refunded_minor > p.amount_minor
""",
    ),
    Invariant(
        "refund-counts",
        "as many refunds of a payment are noted as numbers were used to ask WeChat for them, of"
        " which it takes on 50",
        """
WITH asked AS (
  SELECT payment_order_id AS order_id, payment_attempt AS attempt, sum(asked_count) AS refunds
  FROM refund_parts GROUP BY 1, 2
)
SELECT p.out_trade_no, format('%s refunds, %s numbers used', p.refund_count, coalesce(a.refunds, 0))
FROM payments p LEFT JOIN asked a USING (order_id, attempt)
WHERE p.refund_count <> least(50, coalesce(a.refunds, 0))
""",
    ),
    Invariant(
        "refund-parts",
        "the parts of a refund add up to it, or there are none of what was paid on account, and its"
        " state follows from theirs: abnormal while one is, processing while one is, closed if one"
        " is, succeeded when all are",
        f"""
WITH parts AS (
  SELECT order_id, refund_no, sum(amount_minor) AS amount_minor,
    string_agg(DISTINCT state, ', ') AS states,
    CASE WHEN bool_or(state = 'ABNORMAL') THEN 'ABNORMAL'
    WHEN bool_or(state = 'PROCESSING') THEN 'PROCESSING'
      WHEN bool_or(state = 'CLOSED') THEN 'CLOSED' ELSE 'SUCCEEDED' END AS state
  FROM ({DRAWN}) d GROUP BY 1, 2
)
SELECT format('refund %s of order %s', coalesce(r.refund_no, p.refund_no),
  coalesce(r.order_id, p.order_id)), format('%s of %s, parts of %s %s', coalesce(r.state, 'none'),
  coalesce(r.amount_minor, 0),
    coalesce(p.amount_minor, 0), p.states)
FROM refunds r FULL JOIN parts p USING (order_id, refund_no)
LEFT JOIN orders o ON o.order_id = r.order_id
WHERE r.order_id IS NULL OR coalesce(p.amount_minor, 0)
    <> CASE WHEN o.payment_reference = '' THEN r.amount_minor ELSE 0 END
  OR r.state <> coalesce(p.state, 'SUCCEEDED')
  OR (r.settle_time IS NULL) <> (r.state IN ('PROCESSING', 'ABNORMAL'))
""",
    ),
    Invariant(
        "refund-of-tickets",
        "the tickets of a refund add up to it, and none gives back more than was paid for it,"
        " with what earlier refunds kept of its party's discount, or twice",
        f"""
WITH given AS ({GIVEN_BACK})
SELECT format('refund %s of order %s', r.refund_no, r.order_id),
  format('%s, its tickets %s', r.amount_minor, g.amount)
FROM refunds r JOIN (SELECT order_id, refund_no, sum(amount_minor) AS amount FROM given
  GROUP BY 1, 2) g
  USING (order_id, refund_no)
WHERE r.amount_minor <> g.amount
UNION ALL
SELECT 'ticket ' || coalesce(t.ticket_code, g.ticket_id::text),
  format('gives back %s of %s in %s refunds', g.amount, s.amount_minor, g.refunds)
FROM (SELECT ticket_id, sum(amount_minor) AS amount, sum(party_discount_minor) AS discount,
  count(*) AS refunds
  FROM given WHERE state <> 'CLOSED' GROUP BY 1) g
LEFT JOIN ticket_sales s USING (ticket_id) LEFT JOIN tickets t USING (ticket_id)
WHERE s.ticket_id IS NULL OR g.amount > s.amount_minor - g.discount OR g.refunds > 1
""",
    ),
    Invariant(
        "refunding",
        "a ticket is REFUNDING exactly while a refund of it is open, and REFUNDED when one"
        " succeeded; a partner's, whose money is not ours, where its departure or booking was"
        " cancelled, or its booking at a channel is over or has another order",
        f"""
WITH given AS (
  SELECT ticket_id, CASE WHEN bool_or(state = 'SUCCEEDED') THEN 'REFUNDED'
    ELSE 'REFUNDING' END AS state
  FROM ({GIVEN_BACK}) g
  WHERE state <> 'CLOSED' AND cause IN ('TRAVELLER', 'ADMINISTRATOR', 'DEPARTURE_CANCELLED')
  GROUP BY 1
)
SELECT coalesce(t.ticket_code, 'ticket ' || g.ticket_id),
  format('%s, though its refunds say %s', t.state, coalesce(g.state, 'none'))
FROM (SELECT * FROM tickets WHERE state IN ('REFUNDING', 'REFUNDED')) t
FULL JOIN given g USING (ticket_id)
WHERE t.state IS DISTINCT FROM g.state AND NOT (t.state = 'REFUNDED' AND EXISTS (
  SELECT FROM departure_tickets s JOIN departures d ON d.departure_id = s.departure_id
  WHERE s.ticket_id = t.ticket_id AND d.state = 'CANCELLED')) AND NOT (t.state = 'REFUNDED'
  AND t.reservation_id IS NOT NULL AND t.reservation_id IN (
    SELECT reservation_id FROM partner_bookings WHERE state = 'CANCELLED'))
  AND NOT (t.state = 'REFUNDED' AND t.reservation_id IS NULL AND EXISTS (
    SELECT FROM orders o JOIN channel_bookings b
      ON o.payment_reference = b.channel_code || ':' || b.booking_id
    WHERE o.order_id = t.order_id AND o.partner_id = t.partner_id
      AND (b.state IN ('REJECTED', 'CANCELLED') OR b.order_id <> o.order_id)))
""",
    ),
)
