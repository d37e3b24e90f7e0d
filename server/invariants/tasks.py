"""What is to be done has somebody who does it. (DOMAIN: Operations)."""

from server.invariants.invariant import Invariant

TASKS = (
    Invariant(
        "work-under-way",
        "what waits for WeChat has a task that sees to it: each refund part that is PROCESSING, and each payment that"
        " is to be closed since its order is over",
        """
WITH seen_to AS (SELECT kind, key FROM outbox_tasks WHERE state <> 'DONE')
SELECT p.out_refund_no, 'PROCESSING, and no task asks for it or about it' FROM refund_parts p
LEFT JOIN seen_to t ON t.key = p.out_refund_no AND t.kind IN ('refund.send', 'refund.query')
WHERE p.state = 'PROCESSING' AND t.key IS NULL
UNION ALL
SELECT p.out_trade_no, format('PENDING, of an order that is %s, and no task closes it', o.state)
FROM payments p JOIN orders o USING (order_id)
LEFT JOIN seen_to t ON t.key = p.out_trade_no AND t.kind = 'payment.close'
WHERE p.state = 'PENDING' AND o.state <> 'PENDING' AND t.key IS NULL
""",
    ),
)
