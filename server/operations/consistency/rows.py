"""Rows that several invariants count, as parts of their queries."""

# A ticket that was given back no longer counts against stock, seats, guards and quotas.
KEPT = "t.state NOT IN ('REFUNDED', 'CHANGED', 'VOIDED')"


# Every place of an order that waits for its payment, or whose ticket is kept: what holds and takes
# stock. What was ordered is in the order's content; where its places are in the end (a late payment
# may get other seats) is in ticket_sales. A change within a stock has no place of its own until the
# ticket it changes has left it. A quota counts departures, or products on a day of use (see
# ids.quota_id). Old and new of a change count once.
def _counted_as(offer: str) -> str:
    number = f"split_part({offer}, '-', 2)::bigint"
    day = f"to_date(split_part({offer}, '-', 3), 'YYYYMMDD') - DATE '2020-01-01'"
    return (
        f"CASE WHEN {offer} LIKE 'TR-%' THEN (1::bigint << 62) + {number}"
        f" ELSE ({number} << 14) + ({day}) END"
    )


_OFFER, _CHANGED = "i.item ->> 'offer_id'", "f.content -> 'items' -> c.item_index ->> 'offer_id'"
TAKEN = f"""
SELECT 'held' AS how, o.order_id, o.traveller_id, (i.item ->> 'stock_id')::bigint AS stock_id,
  (i.item ->> 'departure_id')::bigint AS departure_id,
  (p.place ->> 'seat_index')::int AS seat_index, p.place ->> 'document' AS document,
  nullif({_counted_as(_OFFER)}, {_counted_as(_CHANGED)}) AS quota_id,
  i.item -> 'span' AS span, (i.item ->> 'snapshot_id')::uuid AS snapshot_id,
  o.content #>> '{{replaces,stock_id}}' IS DISTINCT FROM i.item ->> 'stock_id'
  AND NOT coalesce(o.content #> '{{replaces,day_stock_ids}}', '[]') @> (i.item -> 'stock_id')
  AS has_own_place
FROM orders o LEFT JOIN ticket_sales c ON c.ticket_id = o.changes_ticket_id
LEFT JOIN orders f ON f.order_id = c.order_id,
  jsonb_array_elements(o.content -> 'items') AS i (item),
  jsonb_array_elements(i.item -> 'places') AS p (place)
WHERE o.state = 'PENDING'
UNION ALL
SELECT 'sold', s.order_id, o.traveller_id, s.stock_id, s.departure_id, s.seat_index, d.document,
  {_counted_as(_OFFER)}, i.item -> 'span', (i.item ->> 'snapshot_id')::uuid, true
FROM ticket_sales s JOIN tickets t USING (ticket_id) JOIN orders o ON o.order_id = s.order_id
CROSS JOIN LATERAL (SELECT o.content -> 'items' -> s.item_index) AS i (item)
CROSS JOIN LATERAL (
  SELECT min(p.place ->> 'document') FROM jsonb_array_elements(i.item -> 'places') AS p (place)
  WHERE (p.place ->> 'passenger')::int = s.passenger_index) AS d (document)
WHERE s.passenger_index >= 0 AND {KEPT}
"""

# What rentals take of the stocks of their days after the first, which is in TAKEN: those that an
# order holds of its own, and those of kept tickets.
OTHER_DAYS = f"""
SELECT 'held' AS how, d.stock_id::bigint AS stock_id
FROM orders o, jsonb_array_elements(o.content -> 'items') AS i (item),
  jsonb_array_elements(i.item -> 'places') AS p (place),
  jsonb_array_elements(i.item -> 'other_stock_ids') AS d (stock_id)
WHERE o.state = 'PENDING'
  AND NOT coalesce(o.content #> '{{replaces,day_stock_ids}}', '[]') @> d.stock_id
UNION ALL
SELECT 'sold', d.stock_id::bigint
FROM ticket_sales s JOIN tickets t USING (ticket_id) JOIN orders o ON o.order_id = s.order_id,
  jsonb_array_elements(o.content -> 'items' -> s.item_index -> 'other_stock_ids') AS d (stock_id)
WHERE s.passenger_index >= 0 AND {KEPT}
"""

# Every numbered seat of partners' tickets of departures: theirs until they are given back, or, not
# sold, until their reservation has ended. Where orders have their number in `taken_seats`, these
# have the ticket's.
PARTNERS_SEATS = f"""
SELECT d.stock_id, d.seat_index, d.ticket_id AS order_id
FROM departure_tickets d JOIN tickets t USING (ticket_id)
LEFT JOIN reservations r USING (reservation_id)
WHERE d.seat_index IS NOT NULL AND {KEPT} AND (t.state <> 'PRE_GENERATED' OR r.state = 'OPEN')
"""

# Orders of travellers that were paid, also those all of whose tickets came back since.
PAID = "(o.state IN ('PAID', 'COMPLETED') OR o.state = 'CANCELLED' AND o.pay_time IS NOT NULL)"

# Places and shared entitlements that an order was made for: each is a ticket once it is paid. A
# change is of one place; what an order shares stays with it.
WANTED = """
SELECT o.order_id, (i.position - 1)::int AS item_index,
  (p.place ->> 'passenger')::int AS passenger_index, 1::bigint AS wanted
FROM orders o, jsonb_array_elements(o.content -> 'items') WITH ORDINALITY AS i (item, position),
  jsonb_array_elements(i.item -> 'places') AS p (place)
UNION ALL
SELECT o.order_id, (i.position - 1)::int, -1, n.shared
FROM orders o, jsonb_array_elements(o.content -> 'items') WITH ORDINALITY AS i (item, position)
JOIN (
  SELECT n.snapshot_id, count(*) AS shared
  FROM snapshots n, jsonb_array_elements(n.content -> 'entitlements') AS e (entitlement)
  WHERE (e.entitlement ->> 'shared')::boolean GROUP BY 1
) n ON n.snapshot_id = (i.item ->> 'snapshot_id')::uuid
WHERE o.changes_ticket_id IS NULL
"""

# Every place that was ordered, and what it costs.
PLACES = """
SELECT o.order_id, (i.position - 1)::int AS item_index,
  (p.place ->> 'passenger')::int AS passenger_index,
  (p.place ->> 'amount_minor')::bigint AS amount_minor
FROM orders o, jsonb_array_elements(o.content -> 'items') WITH ORDINALITY AS i (item, position),
  jsonb_array_elements(i.item -> 'places') AS p (place)
"""

# What a refund gives back for each ticket that it names.
GIVEN_BACK = """
SELECT r.order_id, r.refund_no, r.state, r.cause, (x.ticket ->> 'ticket_id')::bigint AS ticket_id,
  (x.ticket ->> 'amount_minor')::bigint AS amount_minor,
  (x.ticket ->> 'fee_minor')::bigint AS fee_minor,
  coalesce((x.ticket ->> 'party_discount_minor')::bigint, 0) AS party_discount_minor
FROM refunds r, jsonb_array_elements(r.tickets) AS x (ticket)
"""

# What refunds draw on payments: a part for each.
DRAWN = """
SELECT p.*, r.state AS refund_state, r.cause FROM refund_parts p
LEFT JOIN refunds r USING (order_id, refund_no)
"""

# Payments that bought something: all that succeeded but those that came too late and go back.
IN_TIME = f"""
SELECT p.* FROM payments p WHERE p.state = 'SUCCEEDED' AND NOT EXISTS (
  SELECT FROM ({DRAWN}) d WHERE d.cause = 'LATE_PAYMENT'
    AND (d.payment_order_id, d.payment_attempt) = (p.order_id, p.attempt))
"""

# Every traveller's order with the first of its family: the orders that change tickets of it, and of
# those, and so on. One that does not come from a first is in no family.
FAMILIES = """
SELECT o.order_id, o.order_id AS first_order_id FROM orders o
WHERE o.changes_order_id IS NULL AND o.traveller_id IS NOT NULL
UNION ALL
SELECT o.order_id, f.first_order_id FROM families f JOIN orders o ON o.changes_order_id = f.order_id
"""

# Orders that change a ticket: what that was sold for, and worth then (with what refunds have kept
# of its party's discount), what the new one costs, what is kept of the difference, and what is to
# come back of it. The terms are kept with the order, but for orders made before that was so.
LINKS = f"""
SELECT o.order_id, o.order_code, {PAID} AS made, o.changes_order_id, o.changes_ticket_id,
  o.amount_minor, o.credit_minor, s.order_id AS old_order_id, s.amount_minor AS sold_minor,
  coalesce((o.content -> 'change' ->> 'old_minor')::bigint, s.amount_minor) AS old_minor,
  s.changes_made AS old_changes_made,
  CASE WHEN coalesce(o.content -> 'change' ->> 'operator_cause', '') = '' THEN 1
    ELSE 0 END AS counts,
  coalesce((o.content -> 'change' ->> 'fee_minor')::bigint
  + (o.content -> 'change' ->> 'forfeited_minor')::bigint,
    (n.content -> 'policy' ->> 'change_fee_minor')::bigint) AS fee_minor,
  greatest(0, coalesce((o.content -> 'change' ->> 'old_minor')::bigint, s.amount_minor)
  - o.amount_minor) AS due_minor, o.content -> 'change' AS terms,
  (n.content -> 'policy' ->> 'change_fee_minor')::bigint AS policy_fee_minor, s.item_index
FROM orders o LEFT JOIN ticket_sales s ON s.ticket_id = o.changes_ticket_id
LEFT JOIN tickets t ON t.ticket_id = o.changes_ticket_id LEFT JOIN snapshots n USING (snapshot_id)
WHERE o.changes_ticket_id IS NOT NULL OR o.changes_order_id IS NOT NULL
"""

# Scans that were admitted and not reversed.
REDEEMED = """
SELECT s.* FROM redemption_events s WHERE s.result = 'SUCCESS' AND NOT EXISTS (
  SELECT FROM redemption_events r
  WHERE (r.ticket_id, r.reversed_event_id) = (s.ticket_id, s.event_id))
"""
