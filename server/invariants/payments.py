"""What was paid, and for what. (DOMAIN: Payment)."""

from server.invariants.invariant import Invariant
from server.invariants.rows import DRAWN, PAID

PAYMENTS = (
    Invariant(
        "paid-in-full",
        "what was paid for an order, less payments that came too late and go back, is its amount less the credit of a"
        " changed ticket; for an order that was not paid, nothing",
        f"""
WITH late AS (
  SELECT payment_order_id AS order_id, sum(amount_minor) AS amount_minor FROM ({DRAWN}) d
  WHERE cause = 'LATE_PAYMENT' AND refund_state <> 'CLOSED' GROUP BY 1
), paid AS (
  SELECT order_id, sum(amount_minor) AS amount_minor FROM payments WHERE state = 'SUCCEEDED' GROUP BY 1
)
SELECT o.order_code, format('%s, to be paid %s, paid %s', o.state,
  CASE WHEN {PAID} THEN o.amount_minor - o.credit_minor ELSE 0 END,
  coalesce(p.amount_minor, 0) - coalesce(l.amount_minor, 0))
FROM orders o LEFT JOIN paid p USING (order_id) LEFT JOIN late l USING (order_id)
WHERE o.traveller_id IS NOT NULL AND coalesce(p.amount_minor, 0) - coalesce(l.amount_minor, 0)
  <> CASE WHEN {PAID} THEN o.amount_minor - o.credit_minor ELSE 0 END
UNION ALL
SELECT p.out_trade_no, 'is of no order' FROM payments p WHERE NOT EXISTS (
  SELECT FROM orders o WHERE o.order_id = p.order_id AND o.traveller_id IS NOT NULL)
""",
    ),
    Invariant(
        "one-transaction-one-payment",
        "a transaction of WeChat pays once",
        """
SELECT 'transaction ' || transaction_id, format('%s payments: %s', count(*), string_agg(out_trade_no, ', '))
FROM payments WHERE transaction_id <> '' GROUP BY transaction_id HAVING count(*) > 1
""",
    ),
)
