"""What was paid, and for what. (DOMAIN: Payment)."""

from server.operations.consistency.invariant import Invariant
from server.operations.consistency.rows import DRAWN, IN_TIME, PAID

PAYMENTS = (
    Invariant(
        "paid-in-full",
        "what was paid for an order, less payments that came too late, is its amount less the"
        " credit of a changed ticket; for an order that was not paid, or on account, nothing",
        f"""
WITH paid AS (SELECT order_id, sum(amount_minor) AS amount_minor FROM ({IN_TIME}) i GROUP BY 1)
SELECT o.order_code, format('%s, to be paid %s, paid %s', o.state,
  CASE WHEN {PAID} THEN o.amount_minor - o.credit_minor ELSE 0 END, coalesce(p.amount_minor, 0))
FROM orders o LEFT JOIN paid p USING (order_id)
WHERE o.traveller_id IS NOT NULL
  AND coalesce(p.amount_minor, 0) <> CASE WHEN {PAID} AND o.payment_reference = ''
  THEN o.amount_minor - o.credit_minor ELSE 0 END
UNION ALL
SELECT p.out_trade_no, 'is of no order' FROM payments p WHERE NOT EXISTS (
  SELECT FROM orders o WHERE o.order_id = p.order_id AND o.traveller_id IS NOT NULL)
""",
    ),
    Invariant(
        "late-payments",
        "a payment that came too late goes back as a whole, by one refund; an administrator may"
        " close that",
        f"""
WITH late AS (
  SELECT payment_order_id AS order_id, payment_attempt AS attempt,
    sum(amount_minor) AS amount_minor, count(*) FILTER (WHERE refund_state <> 'CLOSED') AS refunds
  FROM ({DRAWN}) d WHERE cause = 'LATE_PAYMENT' GROUP BY 1, 2
)
SELECT p.out_trade_no, format('of %s came too late, %s go back in %s refunds', p.amount_minor,
  l.amount_minor, l.refunds)
FROM payments p JOIN late l USING (order_id, attempt)
WHERE l.refunds > 1 OR l.amount_minor <> p.amount_minor
""",
    ),
    Invariant(
        "transactions",
        "a payment that succeeded has WeChat's number of it, which no other payment has, and one"
        " that did not has none",
        """
SELECT out_trade_no,
  format('%s, its transaction %s', state, coalesce(nullif(transaction_id, ''), 'has no number'))
FROM payments WHERE (state = 'SUCCEEDED') <> (transaction_id <> '')
UNION ALL
SELECT 'transaction ' || transaction_id,
  format('%s payments: %s', count(*), string_agg(out_trade_no, ', '))
FROM payments WHERE transaction_id <> '' GROUP BY transaction_id HAVING count(*) > 1
""",
    ),
    Invariant(
        "currencies",
        "an order, what it was sold under, what it changes, and its payments and refunds are in"
        " one currency",
        """
WITH sold_under AS MATERIALIZED (SELECT snapshot_id, content ->> 'currency_code' AS currency_code
  FROM snapshots)
SELECT o.order_code, format('in %s, sold under %s in %s', o.currency_code, n.snapshot_id,
  n.currency_code)
FROM orders o, jsonb_array_elements(o.content -> 'items') AS i (item)
JOIN sold_under n ON n.snapshot_id = (i.item ->> 'snapshot_id')::uuid
WHERE n.currency_code IS DISTINCT FROM o.currency_code
UNION ALL
SELECT o.order_code, format('in %s, changes %s in %s', o.currency_code, c.order_code,
  c.currency_code)
FROM orders o JOIN orders c ON c.order_id = o.changes_order_id
WHERE c.currency_code <> o.currency_code
UNION ALL
SELECT p.out_trade_no, format('in %s, of order %s in %s', p.currency_code, o.order_code,
  o.currency_code)
FROM payments p JOIN orders o USING (order_id) WHERE p.currency_code <> o.currency_code
UNION ALL
SELECT format('refund %s of order %s', r.refund_no, o.order_code),
  format('in %s, of an order in %s', r.currency_code, o.currency_code)
FROM refunds r JOIN orders o USING (order_id) WHERE r.currency_code <> o.currency_code
""",
    ),
)
