"""The partners' ledgers against the events and tickets they are made of, and sealed statements
against the entries. That debits equal credits needs no look: an entry is both.
"""

from server.operations.consistency.invariant import Invariant

LEDGER = (
    Invariant(
        "ledger-cursors",
        "a ledger has entries of events up to its cursor, and that is in its partner's feed",
        """
SELECT format('ledger of partner %s', l.partner_id),
  format('is posted up to %s, the feed goes from %s to %s', l.posted_sequence, f.purged_sequence,
    f.last_sequence)
FROM ledgers l LEFT JOIN partner_feeds f USING (partner_id)
WHERE f.partner_id IS NULL
  OR l.posted_sequence NOT BETWEEN f.purged_sequence AND f.last_sequence
UNION ALL
SELECT format('ledger of partner %s', e.partner_id),
  format('is posted up to %s, with entries up to %s', l.posted_sequence, max(e.sequence))
FROM ledger_entries e LEFT JOIN ledgers l USING (partner_id)
GROUP BY e.partner_id, l.posted_sequence
HAVING l.posted_sequence IS NULL OR max(e.sequence) > l.posted_sequence
""",
    ),
    Invariant(
        "ledger-tickets",
        "of a ticket's price no more is deferred than there is, all of it before its first use, and"
        " nothing after its end",
        """
WITH moved AS (
  SELECT partner_id, ticket_id,
    sum(amount_minor) FILTER (WHERE debit_account = 'PARTNER_RECEIVABLE') AS price,
    sum(CASE 'DEFERRED_REVENUE' WHEN credit_account THEN amount_minor
      WHEN debit_account THEN -amount_minor ELSE 0 END) AS deferred
  FROM ledger_entries WHERE ticket_id IS NOT NULL GROUP BY partner_id, ticket_id
), of_batches AS (
  SELECT e.partner_id, e.batch_id, e.amount_minor, e.quantity, b.first_ticket_id
  FROM ledger_entries e JOIN batches b USING (batch_id)
  WHERE e.ticket_id IS NULL AND e.line = 0 AND e.kind = 'ACTIVATION'
), unposted AS (
  SELECT DISTINCT p.partner_id, p.subject
  FROM partner_events p LEFT JOIN ledgers l USING (partner_id)
  WHERE p.sequence IS NULL OR p.sequence > coalesce(l.posted_sequence, 0)
), books AS (
  SELECT t.ticket_code, t.state, coalesce(m.price, s.share) AS price,
    coalesce(m.deferred, 0) + CASE WHEN m.price IS NULL THEN s.share ELSE 0 END AS deferred
  FROM tickets t LEFT JOIN moved m USING (partner_id, ticket_id)
  LEFT JOIN LATERAL (SELECT b.amount_minor * (t.ticket_id - b.first_ticket_id + 1) / b.quantity
      - b.amount_minor * (t.ticket_id - b.first_ticket_id) / b.quantity AS share
    FROM of_batches b WHERE (b.partner_id, b.batch_id) = (t.partner_id, t.batch_id)) s ON true
  LEFT JOIN unposted u ON (u.partner_id, u.subject) = (t.partner_id, t.ticket_code)
  WHERE t.partner_id > 0 AND u.subject IS NULL
)
SELECT ticket_code, format('%s with %s of %s deferred', state, deferred, price) FROM books
WHERE price IS NOT NULL AND (deferred NOT BETWEEN 0 AND price
  OR (state IN ('USED', 'EXPIRED', 'REFUNDED') AND deferred <> 0)
  OR (state = 'ACTIVE' AND deferred <> price))
""",
    ),
    Invariant(
        "ledger-batches",
        "what a batch has in TICKETS_COMMITTED is the value of its tickets that are not sold",
        """
WITH committed AS (
  SELECT partner_id, batch_id,
    sum(CASE 'TICKETS_COMMITTED' WHEN debit_account THEN amount_minor
      WHEN credit_account THEN -amount_minor ELSE 0 END) AS value,
    max(amount_minor / quantity) FILTER (WHERE kind = 'BATCH') AS face_value
  FROM ledger_entries GROUP BY partner_id, batch_id
), unsold AS (
  SELECT partner_id, batch_id, count(*) FILTER (WHERE state = 'PRE_GENERATED') AS tickets
  FROM tickets WHERE partner_id > 0 GROUP BY partner_id, batch_id
)
SELECT 'batch ' || batch_id,
  format('%s committed for %s tickets of %s', c.value, u.tickets, c.face_value)
FROM committed c JOIN unsold u USING (partner_id, batch_id)
WHERE c.value <> u.tickets * coalesce(c.face_value, 0) AND NOT EXISTS (
  SELECT FROM partner_events p LEFT JOIN ledgers l USING (partner_id)
  WHERE p.partner_id = c.partner_id
    AND (p.sequence IS NULL OR p.sequence > coalesce(l.posted_sequence, 0)))
""",
    ),
    Invariant(
        "statements",
        "each month before the open one has a statement, with the hash of its content, and of the"
        " entries that it was sealed with, whose balances go on from month to month",
        """
SELECT format('statement %s of partner %s', to_char(m, 'YYYY-MM'), l.partner_id), 'is missing'
FROM ledgers l CROSS JOIN LATERAL generate_series(l.first_month, l.open_month - 1,
  interval '1 month') AS m
LEFT JOIN statements s ON (s.partner_id, s.month) = (l.partner_id, m::date)
WHERE s.partner_id IS NULL
UNION ALL
SELECT format('statement %s of partner %s', month, partner_id), 'has the hash of another content'
FROM statements WHERE encode(sha256(content), 'hex') <> content_sha256
UNION ALL
SELECT format('statement %s of partner %s', s.month, s.partner_id),
  format('entry %s was booked after it was sealed', e.sequence)
FROM statements s JOIN ledger_entries e USING (partner_id, month)
WHERE e.sequence > s.through_sequence
UNION ALL
SELECT format('statement %s of partner %s', s.month, s.partner_id),
  format('says %s were debited in %s, the entries %s', c.debit, c.currency, coalesce(e.moved, 0))
FROM statements s CROSS JOIN LATERAL (
  SELECT a ->> 'currency_code' AS currency, sum((a ->> 'debit_minor')::bigint) AS debit
  FROM jsonb_array_elements(convert_from(s.content, 'UTF8')::jsonb -> 'accounts') AS a
  GROUP BY a ->> 'currency_code') c
LEFT JOIN (SELECT partner_id, month, currency_code, sum(amount_minor) AS moved
  FROM ledger_entries GROUP BY partner_id, month, currency_code) e
  ON (e.partner_id, e.month, e.currency_code) = (s.partner_id, s.month, c.currency)
WHERE c.debit <> coalesce(e.moved, 0)
""",
    ),
)
