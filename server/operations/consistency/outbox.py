"""What is to be done has somebody who does it. (DOMAIN: Operations)."""

from server.operations.consistency.invariant import Invariant
from server.platform.outbox import DONE_TASKS_KEPT

TASKS = (
    Invariant(
        "work-under-way",
        "what waits for WeChat has a task that sees to it, not a dead one: each refund part that"
        " is PROCESSING, and each payment that is to be closed since its order is over",
        """
WITH seen_to AS (SELECT kind, key FROM outbox_tasks WHERE state = 'OPEN')
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
    Invariant(
        "notices",
        "every stored notice of WeChat's is handled, or will be: it has a task that is done or"
        " open",
        f"""
SELECT 'notice ' || n.notice_id, format('%s of %s: %s', n.event_type, n.receive_time,
  CASE WHEN t.key IS NULL THEN 'no task works it off' ELSE 'its task is dead' END)
FROM notices n LEFT JOIN (
  SELECT key, bool_or(state <> 'DEAD') AS seen_to FROM outbox_tasks WHERE kind = 'notice' GROUP BY 1
) t ON t.key = n.notice_id
-- what was done longer ago may be forgotten: of such a notice nobody can tell
WHERE t.key IS NULL AND n.receive_time > now() - interval '{DONE_TASKS_KEPT.days} days'
  OR NOT t.seen_to
""",
    ),
)
