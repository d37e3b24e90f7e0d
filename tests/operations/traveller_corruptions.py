"""Rows of travellers' orders, tickets, payments and work under way that contradict others, each
with what the fault would have changed too, for test_invariants.py.
"""

from tests.operations.reservation_corruptions import PARTNERS
from tests.support.every_state import CAPPED

CAP = f"promotion_id = {CAPPED}"
A_TICKET_OF = "ticket_id = (SELECT min(ticket_id) FROM ticket_sales WHERE order_id = <{}>)"
THE_LAST_OF = "ticket_id = (SELECT max(ticket_id) FROM ticket_sales WHERE order_id = <{}>)"


def less_back(name: str) -> str:
    """A refund gives back one less, and so do its part and the payment; a ticket's fee is what
    it was.
    """
    return f"""
UPDATE payments p SET refunded_minor = refunded_minor - 1 FROM refund_parts r
  WHERE r.order_id = <{name}> AND (p.order_id, p.attempt) = (r.payment_order_id, r.payment_attempt);
UPDATE refund_parts SET amount_minor = amount_minor - 1 WHERE order_id = <{name}>;
UPDATE refunds SET amount_minor = amount_minor - 1 WHERE order_id = <{name}>
"""


def long_ago(name: str) -> str:
    """What an order sold was sold for, and is valid in, days that are over, under terms of its
    own.
    """
    return f"""
INSERT INTO snapshots SELECT gen_random_uuid(), n.product_id,
  n.content || jsonb_build_object('own_of', o.order_id, 'was', n.snapshot_id, 'offer',
  n.content -> 'offer' || jsonb_build_object(
    'valid_from_time', (n.content -> 'offer' ->> 'valid_from_time')::timestamptz
    - interval '400 days', 'valid_until_time',
    (n.content -> 'offer' ->> 'valid_until_time')::timestamptz - interval '400 days')),
    n.create_time
FROM orders o, jsonb_array_elements(o.content -> 'items') AS i (item)
JOIN snapshots n ON n.snapshot_id = (i.item ->> 'snapshot_id')::uuid WHERE o.order_id = <{name}>;
UPDATE orders o
SET content = replace(o.content::text, n.content ->> 'was', n.snapshot_id::text)::jsonb
FROM snapshots n WHERE n.content ->> 'own_of' = o.order_id::text;
UPDATE tickets t
SET snapshot_id = n.snapshot_id, valid_from_time = valid_from_time - interval '400 days',
  valid_until_time = valid_until_time - interval '400 days'
FROM snapshots n WHERE n.content ->> 'own_of' = t.order_id::text
"""


SHARED_OF = (
    "ticket_id IN (SELECT ticket_id FROM ticket_sales WHERE passenger_index < 0"
    " AND order_id = <{}>)"
)
OF_TRAVELLERS = [
    # as if it were summed what has just happened
    ("redemption-sums", "UPDATE redemption_sums_mark SET until_time = now() + interval '2 hours'"),
    (
        "redemption-sums",
        """
INSERT INTO redemption_sums
SELECT merchant_code, 'VENUE', 'DAY', '2020-02-02Z', 'PIER', 'ferry', 'SUCCESS', '', 1, 1
FROM merchants LIMIT 1
""",
    ),
    ("stock", f"UPDATE stocks SET sold = sold - 1 WHERE {PARTNERS}"),
    (
        "stock",
        "UPDATE stocks SET held = held + 1 WHERE departure_id IS NOT NULL AND held + sold < total",
    ),
    ("promotion-caps", f"UPDATE stocks SET sold = sold + 1 WHERE {CAP}"),
    (
        "promotion-caps",
        f"""
UPDATE stocks SET sold = sold - 1 WHERE {CAP};
UPDATE orders SET content = jsonb_set(content, '{{capped_stock_ids}}', '[]')
WHERE order_id = <capped>
""",
    ),
    (
        "oversell",
        """
ALTER TABLE stocks DROP CONSTRAINT ck_stocks_no_oversell;
UPDATE stocks SET total = sold - 1 WHERE sold > 0
""",
    ),
    ("traveller-quotas", "UPDATE traveller_quotas SET quantity = quantity + 1"),
    ("traveller-quotas", "DELETE FROM traveller_quotas"),
    ("document-journeys", "DELETE FROM document_journeys"),
    (
        "document-journeys",
        "UPDATE document_journeys SET journeys = journeys || '{\"0:1\": [0, 60]}'",
    ),
    (
        "document-journeys",
        (
            "UPDATE document_journeys SET journeys = (SELECT jsonb_object_agg(key, '[0, 1]'::jsonb)"
            " FROM jsonb_each(journeys))"
        ),
    ),
    ("batches", "UPDATE batches SET quantity = quantity + 1"),
    ("seats", "DELETE FROM taken_seats WHERE order_id = <paid>"),
    ("seats", "INSERT INTO taken_seats SELECT stock_id, 39, order_id FROM taken_seats LIMIT 1"),
    (
        "one-seat-one-ticket",
        f"""
DELETE FROM taken_seats t USING ticket_sales s WHERE s.{THE_LAST_OF.format("paid")}
  AND (t.stock_id, t.seat_index) = (s.stock_id, s.seat_index);
UPDATE ticket_sales l SET seat_index = s.seat_index, seat = s.seat FROM ticket_sales s
  WHERE l.{THE_LAST_OF.format("paid")} AND s.{A_TICKET_OF.format("paid")}
""",
    ),
    (
        "document-journeys",
        """
UPDATE document_journeys d SET journeys = d.journeys - ARRAY(
  SELECT key FROM jsonb_object_keys(d.journeys) AS key WHERE key LIKE '%:' || <paid>)
""",
    ),
    ("seats-of-tickets", f"UPDATE ticket_sales SET seat = '9Z' WHERE {A_TICKET_OF.format('paid')}"),
    ("seats-of-tickets", "UPDATE ticket_sales SET seat = '1A' WHERE order_id = <parts-1>"),
    ("paid-in-full", "UPDATE payments SET amount_minor = amount_minor + 1 WHERE order_id = <paid>"),
    ("paid-in-full", "DELETE FROM payments WHERE order_id = <chain-2>"),
    ("paid-in-full", "UPDATE refunds SET cause = 'ADMINISTRATOR' WHERE order_id = <paid-twice>"),
    ("late-payments", less_back("late")),
    (
        "transactions",
        "UPDATE payments SET transaction_id = '' WHERE order_id = <paid>",
    ),
    (
        "transactions",
        "UPDATE payments SET transaction_id = 'same' WHERE order_id IN (<paid>, <mixed>)",
    ),
    ("currencies", "UPDATE payments SET currency_code = 'USD' WHERE order_id = <paid>"),
    ("currencies", "UPDATE refunds SET currency_code = 'USD' WHERE order_id = <refunded>"),
    ("currencies", "UPDATE orders SET currency_code = 'USD' WHERE order_id = <waits>"),
    (
        "currencies",
        """
UPDATE snapshots SET content = content || '{"currency_code": "USD"}' WHERE snapshot_id = (
  SELECT (content -> 'items' -> 0 ->> 'snapshot_id')::uuid FROM orders WHERE order_id = <paid>)
""",
    ),
    (
        "refunded-of-payments",
        "UPDATE payments SET refunded_minor = refunded_minor + 1 WHERE order_id = <paid>",
    ),
    ("refund-counts", "UPDATE payments SET refund_count = 7 WHERE order_id = <refunded>"),
    ("refund-counts", "UPDATE refund_parts SET asked_count = 7 WHERE order_id = <refunded>"),
    ("refund-parts", "UPDATE refund_parts SET state = 'SUCCEEDED' WHERE order_id = <refunding>"),
    ("refund-parts", "UPDATE refunds SET settle_time = NULL WHERE order_id = <refunded>"),
    (
        "refund-of-tickets",
        (
            "UPDATE refunds SET tickets = jsonb_set(tickets, '{0,amount_minor}', '1')"
            " WHERE order_id"
            " = <refunded>"
        ),
    ),
    ("ticket-rotations", f"UPDATE tickets SET rotation = 1 WHERE {A_TICKET_OF.format('paid')}"),
    ("refunding", "UPDATE tickets SET state = 'ACTIVE' WHERE state = 'REFUNDING'"),
    (
        "prices",
        """
UPDATE orders SET amount_minor = amount_minor + 1 WHERE order_id = <paid>;
UPDATE payments SET amount_minor = amount_minor + 1 WHERE order_id = <paid>
""",
    ),
    (
        "ticket-amounts",
        f"""
UPDATE ticket_sales SET amount_minor = amount_minor - 1 WHERE {A_TICKET_OF.format("paid")};
UPDATE ticket_sales SET amount_minor = amount_minor + 1 WHERE {THE_LAST_OF.format("paid")}
""",
    ),
    (
        "price-lines",
        (
            "UPDATE orders SET content = jsonb_set(content, '{items,0,price,lines,0,amount_minor}',"
            " '1') WHERE order_id = <paid>"
        ),
    ),
    (
        "price-lines",
        (
            "UPDATE orders SET content = jsonb_set(content, '{items,0,price,lines,1}', content #>"
            " '{items,0,price,lines,0}') WHERE order_id = <capped>"
        ),
    ),
    (
        "price-lines",
        (
            "UPDATE orders SET content = jsonb_set(content, '{items,0,price,ticket_minor,0}', '1')"
            " WHERE order_id = <paid>"
        ),
    ),
    (
        "tickets-of-orders",
        f"""
DELETE FROM entitlements WHERE {THE_LAST_OF.format("package-part")};
DELETE FROM tickets WHERE {THE_LAST_OF.format("package-part")};
DELETE FROM ticket_sales WHERE {THE_LAST_OF.format("package-part")}
""",
    ),
    (
        "sales-of-tickets",
        "UPDATE orders SET ticket_count = ticket_count + 1 WHERE partner_id > 0",
    ),
    (
        "order-states",
        """
UPDATE orders SET state = 'COMPLETED' WHERE order_id = <paid>;
UPDATE order_events SET state = 'COMPLETED' WHERE order_id = <paid>
""",
    ),
    ("order-states", "UPDATE orders SET pay_time = NULL WHERE order_id = <paid>"),
    (
        "order-states",
        """
ALTER TABLE orders DROP CONSTRAINT ck_orders_hold_of_pending;
UPDATE orders SET pay_time = now() WHERE order_id = <waits>
""",
    ),
    ("order-events", "UPDATE orders SET sequence = 7 WHERE order_id = <waits>"),
    ("order-events", "DELETE FROM order_events WHERE order_id = <cancelled>"),
    (
        "overdue-holds",
        "UPDATE orders SET hold_expire_time = now() - interval '1 minute' WHERE order_id = <waits>",
    ),
    ("changing", "UPDATE tickets SET state = 'ACTIVE' WHERE state = 'CHANGING'"),
    (
        "change-chains",
        "UPDATE orders SET changes_order_id = <paid> WHERE order_id = <waits-change>",
    ),
    ("change-chains", "UPDATE ticket_sales SET changes_made = 1 WHERE order_id = <chain-3>"),
    ("change-chains", "UPDATE ticket_sales SET changes_made = 1 WHERE order_id = <paid>"),
    # a free upgrade: what the old ticket was worth is said to be all that the new one costs
    (
        "change-credits",
        """
UPDATE orders SET credit_minor = amount_minor WHERE order_id = <chain-2>;
DELETE FROM payments WHERE order_id = <chain-2>
""",
    ),
    (
        "change-credits",
        """
UPDATE orders SET credit_minor = credit_minor + 1,
  content = jsonb_set(content, '{change,old_minor}',
  to_jsonb((content -> 'change' ->> 'old_minor')::int + 1)) WHERE order_id = <chain-2>;
UPDATE payments SET amount_minor = amount_minor - 1 WHERE order_id = <chain-2>
""",
    ),
    ("change-credits", "UPDATE orders SET credit_minor = 1 WHERE order_id = <waits>"),
    (
        "change-fees",
        (
            "UPDATE orders SET content = jsonb_set(content, '{change,refund_percent}', '50') WHERE"
            " order_id = <cheaper>"
        ),
    ),
    (
        "change-fees",
        """
UPDATE orders SET amount_minor = amount_minor - 1000,
  content = jsonb_set(content, '{change,fee_minor}', '0')
WHERE order_id = <chain-2>;
UPDATE payments SET amount_minor = amount_minor - 1000 WHERE order_id = <chain-2>
""",
    ),
    (
        "change-fees",
        """
UPDATE orders SET amount_minor = amount_minor + 1 WHERE order_id = <chain-2>;
UPDATE payments SET amount_minor = amount_minor + 1 WHERE order_id = <chain-2>
""",
    ),
    (
        "change-refunds",
        """
DELETE FROM refunds WHERE order_id = <cheaper>;
DELETE FROM refund_parts WHERE order_id = <cheaper>;
UPDATE payments SET refunded_minor = 0, refund_count = 0 WHERE order_id = <cheaper-of>
""",
    ),
    ("change-refunds", less_back("cheaper")),
    (
        "money-of-changes",
        less_back("refunded")
        + "; UPDATE refunds SET tickets = jsonb_set(tickets, '{0,amount_minor}',"
        " to_jsonb(amount_minor))"
        " WHERE order_id = <refunded>",
    ),
    (
        "money-of-changes",
        (
            "UPDATE refunds SET tickets = jsonb_set(tickets, '{0,fee_minor}', '1') WHERE order_id ="
            " <parts-2>"
        ),
    ),
    (
        "entitlements",
        (
            "UPDATE entitlements SET total_uses = total_uses + 1, remaining_uses = remaining_uses"
            " + 1 WHERE function_code = 'boarding'"
        ),
    ),
    # a partner's ticket has what is shared as its own
    (
        "entitlements",
        (
            "DELETE FROM entitlements e USING tickets t WHERE t.ticket_id = e.ticket_id AND"
            " t.partner_id > 0 AND e.function_code = 'lounge'"
        ),
    ),
    ("uses", f"UPDATE entitlements SET remaining_uses = 0 WHERE {A_TICKET_OF.format('paid')}"),
    ("uses", f"UPDATE tickets SET state = 'USED' WHERE {A_TICKET_OF.format('paid')}"),
    ("redemption-guards", "DELETE FROM redemption_guards"),
    ("ticket-events", "DELETE FROM ticket_events WHERE state = 'REFUNDED'"),
    (
        "validity",
        (
            "UPDATE tickets SET valid_until_time = valid_until_time + interval '1 s' WHERE"
            f" {A_TICKET_OF.format('paid')}"
        ),
    ),
    (
        "validity",
        (
            "UPDATE tickets SET valid_from_time = valid_from_time + interval '1 s' WHERE"
            f" {A_TICKET_OF.format('paid')}"
        ),
    ),
    (
        "validity",
        (
            "UPDATE ticket_sales SET reference_time = reference_time - interval '1 s' WHERE"
            f" {A_TICKET_OF.format('paid')}"
        ),
    ),
    (
        "validity",
        (
            "UPDATE tickets SET valid_until_time = valid_until_time + interval '2 days' WHERE"
            " partner_id > 0"
        ),
    ),
    ("closed-stocks", "UPDATE stocks SET closed = true WHERE departure_id IS NOT NULL"),
    (
        "cancelled-departures",
        """
UPDATE departures SET state = 'CANCELLED', cancel_time = now(), cancel_refunds = 'AT_ONCE';
UPDATE stocks SET closed = true WHERE departure_id IS NOT NULL
""",
    ),
    (
        # also once it would have left, when those who had the choice are refunded
        "cancelled-departures",
        """
UPDATE departures SET state = 'CANCELLED', cancel_time = now() - interval '1 day',
  cancel_refunds = 'AFTER_CHOICE', departure_time = now() - interval '2 hours';
UPDATE stocks SET closed = true WHERE departure_id IS NOT NULL
""",
    ),
    (
        "moved-departures",
        """
UPDATE departures
SET planned_time = departure_time, departure_time = departure_time + interval '1 h'
""",
    ),
    (
        "expired",
        f"""
UPDATE tickets SET state = 'EXPIRED' WHERE {A_TICKET_OF.format("paid")};
INSERT INTO ticket_events SELECT ticket_id, 1, 'expired', state, 'system', now() FROM tickets
WHERE state = 'EXPIRED'
""",
    ),
    (
        # of a partner, whether or not it is blocked; what is PRE_GENERATED stays so
        "overdue-tickets",
        """
UPDATE tickets SET valid_from_time = valid_from_time - interval '400 days',
  valid_until_time = valid_until_time - interval '400 days', blocked = ticket_id % 2 = 0
  WHERE partner_id > 0
""",
    ),
    ("overdue-tickets", long_ago("paid")),
    ("overdue-tickets", long_ago("package-part")),
    (
        # what is shared, when all that share it are final
        "overdue-tickets",
        f"""
{long_ago("package-part")};
INSERT INTO ticket_events SELECT ticket_id, 1, 'expired', 'EXPIRED', 'system', now()
FROM ticket_sales
  WHERE order_id = <package-part> AND passenger_index >= 0;
UPDATE tickets SET state = 'EXPIRED' WHERE ticket_id IN (
  SELECT ticket_id FROM ticket_sales WHERE order_id = <package-part> AND passenger_index >= 0)
""",
    ),
    (
        "shared-tickets",
        (
            "UPDATE tickets SET valid_until_time = valid_until_time + interval '1 day' WHERE"
            f" {SHARED_OF.format('package-part')}"
        ),
    ),
    (
        "first-of-changes",
        "UPDATE orders SET first_order_id = <paid> WHERE order_id = <chain-3>",
    ),
    ("first-of-changes", "UPDATE orders SET first_item_index = 1 WHERE order_id = <waits-change>"),
    ("work-under-way", "DELETE FROM outbox_tasks WHERE kind = 'refund.query'"),
    (
        "work-under-way",
        "UPDATE outbox_tasks SET state = 'DEAD', last_error = 'x' WHERE kind = 'refund.query'",
    ),
    (
        "work-under-way",
        "UPDATE outbox_tasks SET state = 'DEAD', last_error = 'x' WHERE kind = 'payment.close'",
    ),
    ("notices", "DELETE FROM outbox_tasks WHERE kind = 'notice'"),
    ("notices", "UPDATE outbox_tasks SET state = 'DEAD', last_error = 'x' WHERE key = 'EV-OPEN'"),
]
