"""Tickets that are changed into others. (DOMAIN: States; Refund and change)."""

from server.operations.consistency.invariant import Invariant
from server.operations.consistency.rows import FAMILIES, GIVEN_BACK, IN_TIME, LINKS, PAID, PLACES

CHANGES = (
    Invariant(
        "changing",
        "a ticket is CHANGING exactly while one order waits to change it, and CHANGED when one"
        " did: each place has one ticket that is not CHANGED",
        f"""
WITH changes AS (
  SELECT o.changes_ticket_id AS ticket_id, count(*) FILTER (WHERE o.state = 'PENDING') AS waiting,
    count(*) FILTER (WHERE {PAID}) AS made, sum(s.tickets) AS successors
  FROM orders o LEFT JOIN (SELECT order_id, count(*) AS tickets FROM ticket_sales
    GROUP BY 1) s USING (order_id)
  WHERE o.changes_ticket_id IS NOT NULL GROUP BY 1
)
SELECT coalesce(t.ticket_code, 'ticket ' || c.ticket_id),
  format('%s, %s changes waiting, %s made, %s successors', t.state, coalesce(c.waiting, 0),
    coalesce(c.made, 0), coalesce(c.successors, 0))
FROM changes c FULL JOIN tickets t USING (ticket_id)
WHERE t.ticket_id IS NULL
  OR (t.state IN ('CHANGING', 'CHANGED') OR c.ticket_id IS NOT NULL)
  AND format('%s %s %s', coalesce(c.waiting, 0), coalesce(c.made, 0), coalesce(c.successors, 0)) <>
    CASE t.state WHEN 'CHANGING' THEN '1 0 0' WHEN 'CHANGED' THEN '0 1 1' ELSE '0 0 0' END
""",
    ),
    Invariant(
        "change-chains",
        "what an order changes is a ticket of the order it names, the ticket that took its place"
        " was changed once more than it, or as often if the operator was the cause, and every"
        " chain of changes begins with an order that changes nothing",
        f"""
WITH RECURSIVE families AS ({FAMILIES}), links AS ({LINKS})
SELECT l.order_code, format('changes ticket %s of order %s, named is order %s',
  coalesce(l.changes_ticket_id::text, 'none'), coalesce(l.old_order_id::text, 'none'),
  coalesce(l.changes_order_id::text, 'none'))
FROM links l WHERE l.old_order_id IS NULL OR l.old_order_id IS DISTINCT FROM l.changes_order_id
UNION ALL
SELECT l.order_code, format('its ticket was changed %s times, the one before %s times',
  s.changes_made, l.old_changes_made)
FROM links l JOIN ticket_sales s USING (order_id)
WHERE s.changes_made <> l.old_changes_made + l.counts
UNION ALL
SELECT o.order_code, format('its tickets were changed %s times, though it changes none',
  s.changes_made)
FROM ticket_sales s JOIN orders o USING (order_id) WHERE o.changes_ticket_id IS NULL
  AND s.changes_made <> 0
UNION ALL
SELECT l.order_code, 'is of a chain of changes without a beginning'
FROM links l LEFT JOIN families f USING (order_id)
WHERE f.order_id IS NULL AND l.old_order_id = l.changes_order_id
""",
    ),
    Invariant(
        "change-credits",
        "the credit of a change is what the ticket was worth, as far as the new amount needs it,"
        " which is what was paid for it and no more of a party's discount than refunds have kept;"
        " nothing else has a credit",
        f"""
WITH links AS ({LINKS}), taken AS (
  SELECT l.old_order_id AS order_id, l.item_index, sum(l.old_minor - l.sold_minor) AS amount_minor
  FROM links l JOIN orders o USING (order_id) WHERE l.made OR o.state = 'PENDING' GROUP BY 1, 2
), kept AS (
  -- also by one that was closed later, when the change was made
  SELECT g.order_id, s.item_index, sum(greatest(0, g.party_discount_minor)) AS amount_minor
  FROM ({GIVEN_BACK}) g JOIN ticket_sales s USING (ticket_id) GROUP BY 1, 2
)
SELECT order_code, format('credit %s of %s, the ticket was worth %s', credit_minor, amount_minor,
  old_minor)
FROM links WHERE credit_minor IS DISTINCT FROM least(old_minor, amount_minor)
UNION ALL
SELECT o.order_code,
  format('changes of item %s take %s along besides what was paid, refunds kept %s of its discount',
  t.item_index, t.amount_minor, coalesce(k.amount_minor, 0))
FROM taken t JOIN orders o USING (order_id) LEFT JOIN kept k USING (order_id, item_index)
WHERE t.amount_minor > coalesce(k.amount_minor, 0)
UNION ALL
SELECT order_code, format('credit %s, and it changes nothing', credit_minor)
FROM orders WHERE changes_ticket_id IS NULL AND credit_minor <> 0
""",
    ),
    Invariant(
        "change-fees",
        "the amount of a change is the price of its place, the fee that the ticket was sold"
        " under, none if the operator is the cause, and what is not given back of the difference:"
        " all but the share that a refund would give",
        f"""
WITH placed AS (SELECT order_id, sum(amount_minor) AS amount_minor FROM ({PLACES}) p GROUP BY 1),
  links AS (
  SELECT l.*, p.amount_minor AS new_minor, l.old_minor - p.amount_minor AS cheaper_by,
    coalesce((l.terms ->> 'fee_minor')::bigint, l.fee_minor) AS own_fee_minor,
    coalesce(l.terms ->> 'operator_cause', '') AS cause,
    (l.terms ->> 'refund_percent')::bigint AS percent
  FROM ({LINKS}) l LEFT JOIN placed p USING (order_id)
), wanted AS (
  SELECT l.*, CASE WHEN cause = '' THEN coalesce(policy_fee_minor, 0)
    ELSE 0 END AS wanted_fee_minor,
    -- half-up, as all shares
    CASE WHEN cause = '' AND terms IS NOT NULL
      THEN greatest(cheaper_by - own_fee_minor, 0) - CASE WHEN cheaper_by > 0
        THEN greatest(0, div(cheaper_by * percent + 50, 100) - own_fee_minor) ELSE 0 END
      ELSE 0 END AS forfeited_minor
  FROM links l
)
SELECT order_code, format('%s, its place %s, the fee %s and the rest %s, as sold %s and %s',
  amount_minor, new_minor, own_fee_minor, fee_minor - own_fee_minor, wanted_fee_minor,
  forfeited_minor)
FROM wanted WHERE amount_minor IS DISTINCT FROM new_minor + fee_minor
  OR (own_fee_minor, fee_minor - own_fee_minor) IS DISTINCT FROM (wanted_fee_minor, forfeited_minor)
""",
    ),
    Invariant(
        "change-refunds",
        "a change to something cheaper gives back what is due of the difference, once; nothing"
        " else has such a refund",
        f"""
WITH back AS (
  SELECT order_id, sum(amount_minor) AS amount_minor, count(*) AS refunds FROM refunds
  WHERE cause = 'CHANGE' GROUP BY 1
)
SELECT coalesce(l.order_code, 'order ' || b.order_id), format('due %s, %s go back in %s refunds',
  CASE WHEN l.made THEN l.due_minor ELSE 0 END, coalesce(b.amount_minor, 0), coalesce(b.refunds, 0))
FROM ({LINKS}) l FULL JOIN back b USING (order_id)
WHERE coalesce(b.amount_minor, 0) IS DISTINCT FROM CASE WHEN l.made THEN l.due_minor ELSE 0 END
  OR b.refunds > 1
""",
    ),
    Invariant(
        "money-of-changes",
        "of an order and all that changes its tickets: payments less refunds are the prices of"
        " the tickets kept and the fees",
        f"""
WITH RECURSIVE families AS ({FAMILIES}), links AS ({LINKS}), paid AS (
  SELECT order_id, sum(amount_minor) AS amount_minor FROM ({IN_TIME}) i GROUP BY 1
), back AS (
  SELECT order_id, sum(amount_minor) FILTER (WHERE state <> 'CLOSED') AS amount_minor,
    sum(amount_minor) FILTER (WHERE cause = 'CHANGE') AS change_minor,
    sum(amount_minor) FILTER (WHERE cause = 'CHANGE' AND state = 'CLOSED') AS withheld_minor
  FROM refunds WHERE cause <> 'LATE_PAYMENT' GROUP BY 1
), given AS (
  SELECT ticket_id, sum(fee_minor + party_discount_minor) AS fee_minor FROM ({GIVEN_BACK}) g
  WHERE state <> 'CLOSED' GROUP BY 1
), sold AS (
  SELECT s.order_id, sum(s.amount_minor) AS amount_minor, sum(g.fee_minor) AS fee_minor,
    sum(s.amount_minor) FILTER (WHERE g.ticket_id IS NULL AND l.order_id IS NULL) AS kept_minor
  FROM ticket_sales s LEFT JOIN given g USING (ticket_id)
  LEFT JOIN links l ON l.changes_ticket_id = s.ticket_id AND l.made GROUP BY 1
), each AS (
  SELECT f.first_order_id, coalesce(p.amount_minor, 0) - coalesce(b.amount_minor, 0) AS had_minor,
    coalesce(s.kept_minor, 0) AS kept_minor,
    coalesce(s.fee_minor, 0) + coalesce(b.withheld_minor, 0)
    + CASE WHEN l.made
      THEN l.amount_minor - s.amount_minor + l.sold_minor - l.credit_minor - l.due_minor
      ELSE 0 END
      AS fee_minor,
    -- what is wrong with one order by itself is reported of that order
    coalesce(p.amount_minor, 0) <> CASE WHEN {PAID} THEN o.amount_minor - o.credit_minor ELSE 0 END
      OR CASE WHEN l.order_id IS NULL THEN o.amount_minor <> s.amount_minor
        ELSE l.credit_minor IS DISTINCT FROM least(l.old_minor, l.amount_minor)
          OR l.made AND coalesce(b.change_minor, 0) <> l.due_minor END AS wrong_alone
  FROM families f JOIN orders o USING (order_id) LEFT JOIN paid p USING (order_id)
  LEFT JOIN back b USING (order_id)
  LEFT JOIN sold s USING (order_id) LEFT JOIN links l USING (order_id)
), together AS (
  SELECT first_order_id, sum(had_minor) AS had_minor, sum(kept_minor) AS kept_minor,
    sum(fee_minor) AS fee_minor
  FROM each GROUP BY 1 HAVING bool_or(wrong_alone) IS NOT TRUE
)
SELECT o.order_code, format('payments less refunds %s, tickets kept %s and fees %s', t.had_minor,
  t.kept_minor, t.fee_minor)
FROM together t JOIN orders o ON o.order_id = t.first_order_id
WHERE t.had_minor <> t.kept_minor + t.fee_minor
""",
    ),
)
