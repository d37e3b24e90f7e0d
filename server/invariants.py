"""What must hold between the tables whatever happens, each as one query for the rows where it does not.

Computed from the rows themselves, not by the code that writes them, so that the two can disagree. All queries of one
examination see the same snapshot of the database, so they may run under load. (DOMAIN: States, Stock, Payment, Refund
and change, Redemption.)
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg

EXAMPLES = 5
"""So many rows of a broken invariant are shown."""


class Invariant(NamedTuple):
    """A statement about the data; `query` gives (which row, what is wrong with it) where it does not hold."""

    name: str
    meaning: str
    query: str


class Result(NamedTuple):
    """An invariant and the first rows that break it; none if it holds. `more`: there are others."""

    invariant: Invariant
    examples: list[tuple[str, str]]
    more: bool

    @property
    def holds(self) -> bool:
        """Whether no row breaks it."""
        return not self.examples

    @property
    def text(self) -> str:
        """What is wrong, a line for each example."""
        lines = [f"{subject}: {found}" for subject, found in self.examples]
        return "\n".join(
            [f"it does not hold that {self.invariant.meaning}", *lines, *["…"] * self.more]
        )


def examine(connection: psycopg.Connection[Any]) -> Iterator[Result]:
    """Looks at every invariant, all in one snapshot; the connection is in no transaction."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        # they read whole tables: by hashes, in memory if there is some, and as long as it takes
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SET LOCAL work_mem = '128MB'")
        connection.execute("SET LOCAL enable_nestloop = off")
        for invariant in INVARIANTS:
            yield look(connection, invariant)


def look(connection: psycopg.Connection[Any], invariant: Invariant) -> Result:
    """Looks at one invariant, in the transaction that the connection is in."""
    bounded = f"SELECT subject, found FROM ({invariant.query}) AS q (subject, found)"
    rows = connection.execute(f"{bounded} LIMIT {EXAMPLES + 1}".encode()).fetchall()
    return Result(invariant, rows[:EXAMPLES], len(rows) > EXAMPLES)


# A ticket that was given back no longer counts against stock, seats, guards and quotas.
_KEPT = "t.state NOT IN ('REFUNDED', 'CHANGED', 'VOIDED')"

# Every place of an order that waits for its payment, or whose ticket is kept: what holds and takes stock. What was ordered
# is in the order's content; where its places are in the end (a late payment may get other seats) is in ticket_sales.
_TAKEN = f"""
SELECT 'held' AS how, o.order_id, o.traveller_id, (i.item ->> 'stock_id')::bigint AS stock_id,
  (i.item ->> 'departure_id')::bigint AS departure_id, (p.place ->> 'seat_index')::int AS seat_index,
  CASE WHEN (i.item ->> 'departure_id')::bigint IS DISTINCT FROM c.departure_id THEN p.place ->> 'document' END AS document
FROM orders o LEFT JOIN ticket_sales c ON c.ticket_id = o.changes_ticket_id,
  jsonb_array_elements(o.content -> 'items') AS i (item), jsonb_array_elements(i.item -> 'places') AS p (place)
WHERE o.state = 'PENDING'
UNION ALL
SELECT 'sold', s.order_id, o.traveller_id, s.stock_id, s.departure_id, s.seat_index, (
  SELECT p.place ->> 'document' FROM jsonb_array_elements(o.content -> 'items' -> s.item_index -> 'places') AS p (place)
  WHERE (p.place ->> 'passenger')::int = s.passenger_index)
FROM ticket_sales s JOIN tickets t USING (ticket_id) JOIN orders o ON o.order_id = s.order_id
WHERE s.passenger_index >= 0 AND {_KEPT}
"""

# Orders of travellers that were paid, also those all of whose tickets came back since.
_PAID = "(o.state IN ('PAID', 'COMPLETED') OR o.state = 'CANCELLED' AND o.pay_time IS NOT NULL)"

# Places and shared entitlements that an order was made for: each is a ticket once it is paid. A change is of one place;
# what an order shares stays with it.
_WANTED = """
SELECT o.order_id, (i.position - 1)::int AS item_index, (p.place ->> 'passenger')::int AS passenger_index,
  1::bigint AS wanted
FROM orders o, jsonb_array_elements(o.content -> 'items') WITH ORDINALITY AS i (item, position),
  jsonb_array_elements(i.item -> 'places') AS p (place)
UNION ALL
SELECT o.order_id, (i.position - 1)::int, -1, count(*)
FROM orders o, jsonb_array_elements(o.content -> 'items') WITH ORDINALITY AS i (item, position)
JOIN snapshots n ON n.snapshot_id = (i.item ->> 'snapshot_id')::uuid,
  jsonb_array_elements(n.content -> 'entitlements') AS e (entitlement)
WHERE (e.entitlement ->> 'shared')::boolean AND o.changes_ticket_id IS NULL
GROUP BY 1, 2
"""

# What a refund gives back for each ticket that it names.
_GIVEN_BACK = """
SELECT r.order_id, r.refund_no, r.state, r.cause, (x.ticket ->> 'ticket_id')::bigint AS ticket_id,
  (x.ticket ->> 'amount_minor')::bigint AS amount_minor
FROM refunds r, jsonb_array_elements(r.tickets) AS x (ticket)
"""

# What refunds draw on payments: a part for each.
_DRAWN = """
SELECT p.*, r.state AS refund_state, r.cause FROM refund_parts p LEFT JOIN refunds r USING (order_id, refund_no)
"""

# Scans that were admitted and not reversed.
_REDEEMED = """
SELECT s.* FROM redemption_events s WHERE s.result = 'SUCCESS' AND NOT EXISTS (
  SELECT FROM redemption_events r WHERE (r.ticket_id, r.reversed_event_id) = (s.ticket_id, s.event_id))
"""

STOCK = (
    Invariant(
        "stock",
        "held and sold of every stock are what waiting orders hold and what kept tickets took, partners' included; the"
        " cap of a promotion is what waiting and paid orders used of it",
        f"""
WITH taken AS ({_TAKEN}), counted AS (
  SELECT stock_id, count(*) FILTER (WHERE how = 'held') AS held, count(*) FILTER (WHERE how = 'sold') AS sold
  FROM taken GROUP BY stock_id
  UNION ALL
  SELECT (t.product_id::bigint << 20) + t.partner_id, 0, count(*) FROM tickets t WHERE t.partner_id > 0 AND {_KEPT}
  GROUP BY t.product_id, t.partner_id
  UNION ALL
  SELECT cap.stock_id::bigint, count(*) FILTER (WHERE o.state = 'PENDING'),
    count(*) FILTER (WHERE o.state IN ('PAID', 'COMPLETED'))
  FROM orders o, jsonb_array_elements_text(o.content -> 'capped_stock_ids') AS cap (stock_id)
  WHERE o.state <> 'CANCELLED' GROUP BY 1
)
SELECT 'stock ' || coalesce(s.stock_id, c.stock_id), format('held %s and sold %s, counted %s and %s',
  coalesce(s.held, 0), coalesce(s.sold, 0), coalesce(c.held, 0), coalesce(c.sold, 0))
FROM stocks s FULL JOIN counted c USING (stock_id)
WHERE (coalesce(s.held, 0), coalesce(s.sold, 0)) <> (coalesce(c.held, 0), coalesce(c.sold, 0))
""",
    ),
    Invariant(
        "oversell",
        "held and sold are not below zero and together not above total",
        """
SELECT 'stock ' || stock_id, format('held %s and sold %s of %s', held, sold, total) FROM stocks
WHERE held < 0 OR sold < 0 OR held + sold > total
""",
    ),
    Invariant(
        "seats",
        "the seats taken on a departure are those of waiting orders and kept tickets, each of one order",
        f"""
WITH taken AS ({_TAKEN})
SELECT format('seat %s of stock %s', coalesce(a.seat_index, t.seat_index), coalesce(a.stock_id, t.stock_id)),
  format('taken for order %s, wanted by %s', coalesce(a.order_id::text, 'none'), coalesce(t.order_id::text, 'none'))
FROM taken_seats a
FULL JOIN (SELECT * FROM taken WHERE seat_index IS NOT NULL) t
  ON (t.stock_id, t.seat_index, t.order_id) = (a.stock_id, a.seat_index, a.order_id)
WHERE a.order_id IS NULL OR t.order_id IS NULL
""",
    ),
    Invariant(
        "one-seat-one-ticket",
        "no numbered seat is sold to two, or held for one and sold to another",
        f"""
WITH taken AS ({_TAKEN})
SELECT format('seat %s of stock %s', seat_index, stock_id),
  format('taken %s times, by orders %s', count(*), string_agg(order_id::text, ', '))
FROM taken WHERE seat_index IS NOT NULL GROUP BY stock_id, seat_index HAVING count(*) > 1
""",
    ),
    Invariant(
        "travel-guards",
        "a document is guarded on a departure exactly while an order or kept ticket of its holder is on it",
        f"""
WITH taken AS ({_TAKEN})
SELECT format('departure %s', coalesce(g.departure_id, t.departure_id)),
  format('guarded for order %s, wanted by %s', coalesce(g.order_id::text, 'none'), coalesce(t.order_id::text, 'none'))
FROM travel_guards g
FULL JOIN (SELECT * FROM taken WHERE document IS NOT NULL AND departure_id IS NOT NULL) t
  ON (t.departure_id, t.document, t.order_id) = (g.departure_id, encode(g.document_hash, 'hex'), g.order_id)
WHERE g.order_id IS NULL OR t.order_id IS NULL
""",
    ),
    Invariant(
        "traveller-quotas",
        "what a traveller holds and has of a stock is counted as such",
        f"""
WITH counted AS (SELECT stock_id, traveller_id, count(*) AS places FROM ({_TAKEN}) t GROUP BY 1, 2)
SELECT format('traveller %s, stock %s', coalesce(q.traveller_id, c.traveller_id), coalesce(q.stock_id, c.stock_id)),
  format('quantity %s, counted %s', coalesce(q.quantity, 0), coalesce(c.places, 0))
FROM traveller_quotas q FULL JOIN counted c USING (stock_id, traveller_id)
WHERE coalesce(q.quantity, 0) <> coalesce(c.places, 0)
""",
    ),
    Invariant(
        "batches",
        "every batch has as many tickets as it says, of its partner and product, and every such ticket has its batch",
        """
WITH counted AS (
  SELECT batch_id, product_id, partner_id, count(*) AS tickets FROM tickets WHERE batch_id IS NOT NULL GROUP BY 1, 2, 3
)
SELECT 'batch ' || coalesce(b.batch_id, c.batch_id),
  format('of %s tickets, there are %s', coalesce(b.quantity, 0), coalesce(c.tickets, 0))
FROM batches b FULL JOIN counted c USING (batch_id, product_id, partner_id)
WHERE coalesce(b.quantity, 0) <> coalesce(c.tickets, 0)
""",
    ),
)

MONEY = (
    Invariant(
        "refunded-of-payments",
        "what is noted as refunded of a payment is what refunds that were not closed draw on it, and not above its amount",
        f"""
WITH drawn AS (
  SELECT payment_order_id AS order_id, payment_attempt AS attempt,
    coalesce(sum(amount_minor) FILTER (WHERE refund_state <> 'CLOSED'), 0) AS amount_minor
  FROM ({_DRAWN}) d GROUP BY 1, 2
)
SELECT coalesce(p.out_trade_no, format('payment %s of order %s', d.attempt, d.order_id)),
  format('refunded %s of %s, by refunds %s', p.refunded_minor, p.amount_minor, coalesce(d.amount_minor, 0))
FROM payments p FULL JOIN drawn d USING (order_id, attempt)
WHERE p.order_id IS NULL OR p.refunded_minor <> coalesce(d.amount_minor, 0) OR p.refunded_minor > p.amount_minor
""",
    ),
    Invariant(
        "refund-parts",
        "the parts of a refund add up to it, and its state follows from theirs: abnormal while one is, processing while"
        " one is, closed if one is, succeeded when all are",
        f"""
WITH parts AS (
  SELECT order_id, refund_no, sum(amount_minor) AS amount_minor, string_agg(DISTINCT state, ', ') AS states,
    CASE WHEN bool_or(state = 'ABNORMAL') THEN 'ABNORMAL' WHEN bool_or(state = 'PROCESSING') THEN 'PROCESSING'
      WHEN bool_or(state = 'CLOSED') THEN 'CLOSED' ELSE 'SUCCEEDED' END AS state
  FROM ({_DRAWN}) d GROUP BY 1, 2
)
SELECT format('refund %s of order %s', coalesce(r.refund_no, p.refund_no), coalesce(r.order_id, p.order_id)),
  format('%s of %s, parts of %s %s', coalesce(r.state, 'none'), coalesce(r.amount_minor, 0),
    coalesce(p.amount_minor, 0), p.states)
FROM refunds r FULL JOIN parts p USING (order_id, refund_no)
WHERE r.order_id IS NULL OR r.amount_minor <> coalesce(p.amount_minor, 0)
  OR r.state <> coalesce(p.state, 'SUCCEEDED')
  OR (r.settle_time IS NULL) <> (r.state IN ('PROCESSING', 'ABNORMAL'))
""",
    ),
    Invariant(
        "refund-of-tickets",
        "the tickets of a refund add up to it, and none gives back more than was paid for it, or twice",
        f"""
WITH given AS ({_GIVEN_BACK})
SELECT format('refund %s of order %s', r.refund_no, r.order_id), format('%s, its tickets %s', r.amount_minor, g.amount)
FROM refunds r JOIN (SELECT order_id, refund_no, sum(amount_minor) AS amount FROM given GROUP BY 1, 2) g
  USING (order_id, refund_no)
WHERE r.amount_minor <> g.amount
UNION ALL
SELECT 'ticket ' || coalesce(t.ticket_code, g.ticket_id::text),
  format('gives back %s of %s in %s refunds', g.amount, s.amount_minor, g.refunds)
FROM (SELECT ticket_id, sum(amount_minor) AS amount, count(*) AS refunds FROM given WHERE state <> 'CLOSED' GROUP BY 1) g
LEFT JOIN ticket_sales s USING (ticket_id) LEFT JOIN tickets t USING (ticket_id)
WHERE s.ticket_id IS NULL OR g.amount > s.amount_minor OR g.refunds > 1
""",
    ),
    Invariant(
        "paid-in-full",
        "what was paid for an order, less payments that came too late and go back, is its amount less the credit of a"
        " changed ticket; for an order that was not paid, nothing",
        f"""
WITH late AS (
  SELECT payment_order_id AS order_id, sum(amount_minor) AS amount_minor FROM ({_DRAWN}) d
  WHERE cause = 'LATE_PAYMENT' AND refund_state <> 'CLOSED' GROUP BY 1
), paid AS (
  SELECT order_id, sum(amount_minor) AS amount_minor FROM payments WHERE state = 'SUCCEEDED' GROUP BY 1
)
SELECT o.order_code, format('%s, to be paid %s, paid %s', o.state,
  CASE WHEN {_PAID} THEN o.amount_minor - o.credit_minor ELSE 0 END,
  coalesce(p.amount_minor, 0) - coalesce(l.amount_minor, 0))
FROM orders o LEFT JOIN paid p USING (order_id) LEFT JOIN late l USING (order_id)
WHERE o.traveller_id IS NOT NULL AND coalesce(p.amount_minor, 0) - coalesce(l.amount_minor, 0)
  <> CASE WHEN {_PAID} THEN o.amount_minor - o.credit_minor ELSE 0 END
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
    Invariant(
        "prices",
        "the places of an order add up to its amount, less the fee if it is a change, and so do its tickets when it is"
        " paid",
        f"""
WITH placed AS (
  SELECT o.order_id, sum((p.place ->> 'amount_minor')::bigint) AS amount_minor
  FROM orders o, jsonb_array_elements(o.content -> 'items') AS i (item),
    jsonb_array_elements(i.item -> 'places') AS p (place) GROUP BY 1
), sold AS (SELECT order_id, sum(amount_minor) AS amount_minor FROM ticket_sales GROUP BY 1)
SELECT o.order_code, format('%s, its places %s, its tickets %s', o.amount_minor, p.amount_minor,
  coalesce(s.amount_minor::text, 'none'))
FROM orders o LEFT JOIN placed p USING (order_id) LEFT JOIN sold s USING (order_id)
WHERE o.traveller_id IS NOT NULL AND (o.amount_minor < coalesce(p.amount_minor, 0)
  OR o.changes_ticket_id IS NULL AND o.amount_minor <> coalesce(p.amount_minor, 0)
  OR {_PAID} AND p.amount_minor IS DISTINCT FROM s.amount_minor)
""",
    ),
)

ORDERS = (
    Invariant(
        "tickets-of-orders",
        "a paid order has one ticket for each place and one for each shared entitlement; one that is not paid has none",
        f"""
WITH wanted AS (
  SELECT w.order_id, w.item_index, w.passenger_index, w.wanted FROM ({_WANTED}) w
  JOIN orders o ON o.order_id = w.order_id AND {_PAID}
), sold AS (SELECT order_id, item_index, passenger_index, count(*) AS there FROM ticket_sales GROUP BY 1, 2, 3)
SELECT coalesce(o.order_code, 'order ' || coalesce(w.order_id, s.order_id)),
  format('%s, item %s, passenger %s: %s tickets wanted, %s there', o.state, coalesce(w.item_index, s.item_index),
    coalesce(w.passenger_index, s.passenger_index), coalesce(w.wanted, 0), coalesce(s.there, 0))
FROM wanted w FULL JOIN sold s USING (order_id, item_index, passenger_index)
LEFT JOIN orders o ON o.order_id = coalesce(w.order_id, s.order_id)
WHERE coalesce(w.wanted, 0) <> coalesce(s.there, 0)
""",
    ),
    Invariant(
        "sales-of-tickets",
        "every ticket of a traveller was sold in the order that it belongs to, and every partner's order has the tickets"
        " that it says",
        """
SELECT coalesce(t.ticket_code, 'ticket ' || s.ticket_id),
  format('belongs to order %s, sold in %s', coalesce(t.order_id::text, 'none'), coalesce(s.order_id::text, 'none'))
FROM (SELECT * FROM tickets WHERE partner_id = 0) t FULL JOIN ticket_sales s USING (ticket_id)
WHERE t.order_id IS DISTINCT FROM s.order_id
UNION ALL
SELECT coalesce(o.order_code, 'order ' || c.order_id),
  format('of %s tickets, there are %s', coalesce(o.ticket_count, 0), coalesce(c.tickets, 0))
FROM (SELECT * FROM orders WHERE traveller_id IS NULL) o
FULL JOIN (SELECT order_id, count(*) AS tickets FROM tickets WHERE partner_id > 0 AND order_id IS NOT NULL GROUP BY 1) c
  USING (order_id)
WHERE coalesce(o.ticket_count, 0) <> coalesce(c.tickets, 0)
""",
    ),
    Invariant(
        "order-states",
        "an order is PAID while one of its tickets is not final, then COMPLETED if one was used or expired, else"
        " CANCELLED, as refunded",
        f"""
WITH states AS (
  SELECT order_id, bool_or(state NOT IN ('USED', 'EXPIRED', 'REFUNDED', 'CHANGED', 'VOIDED')) AS one_open,
    bool_or(state IN ('USED', 'EXPIRED')) AS one_used
  FROM tickets WHERE order_id IS NOT NULL GROUP BY order_id
)
SELECT o.order_code, format('%s%s, though its tickets say %s', o.state, ' ' || o.cancel_reason,
  CASE WHEN s.one_open THEN 'PAID' WHEN s.one_used THEN 'COMPLETED' ELSE 'CANCELLED REFUNDED' END)
FROM orders o JOIN states s USING (order_id)
WHERE o.state <> CASE WHEN s.one_open THEN 'PAID' WHEN s.one_used THEN 'COMPLETED' ELSE 'CANCELLED' END
  OR (o.state = 'CANCELLED') <> (o.cancel_reason IS NOT NULL)
  OR o.state = 'CANCELLED' AND o.cancel_reason <> 'REFUNDED'
UNION ALL
SELECT o.order_code, format('%s%s, pay time %s', o.state, ' ' || o.cancel_reason, coalesce(o.pay_time::text, 'none'))
FROM orders o WHERE o.traveller_id IS NOT NULL AND (
  (o.pay_time IS NOT NULL) <> (o.state IN ('PAID', 'COMPLETED') OR o.cancel_reason IS NOT DISTINCT FROM 'REFUNDED')
  OR (o.state = 'CANCELLED') <> (o.cancel_reason IS NOT NULL) OR {_PAID} <> (o.pay_time IS NOT NULL))
""",
    ),
    Invariant(
        "order-events",
        "the moves of an order are numbered without a gap up to its sequence, and the last one tells its state",
        """
WITH moves AS (
  SELECT order_id, count(*) AS moves, min(sequence) AS first, max(sequence) AS last,
    (array_agg(state || coalesce(' ' || cancel_reason, '') ORDER BY sequence DESC))[1] AS state
  FROM order_events GROUP BY 1
)
SELECT coalesce(o.order_code, 'order ' || m.order_id), format('sequence %s and %s, %s moves from %s to %s, the last %s',
  o.sequence, o.state, coalesce(m.moves, 0), m.first, m.last, m.state)
FROM orders o FULL JOIN moves m USING (order_id)
WHERE o.order_id IS NULL OR o.sequence <> coalesce(m.moves, 0) + 1
  OR m.moves > 0 AND (m.first, m.last) <> (2, o.sequence)
  OR m.state <> o.state || coalesce(' ' || o.cancel_reason, '')
  OR m.moves IS NULL AND o.traveller_id IS NOT NULL AND o.state <> 'PENDING'
""",
    ),
)

TICKETS = (
    Invariant(
        "refunding",
        "a ticket is REFUNDING exactly while a refund of it is open, and REFUNDED when one succeeded",
        f"""
WITH given AS (
  SELECT ticket_id, CASE WHEN bool_or(state = 'SUCCEEDED') THEN 'REFUNDED' ELSE 'REFUNDING' END AS state
  FROM ({_GIVEN_BACK}) g WHERE state <> 'CLOSED' AND cause IN ('TRAVELLER', 'ADMINISTRATOR') GROUP BY 1
)
SELECT coalesce(t.ticket_code, 'ticket ' || g.ticket_id),
  format('%s, though its refunds say %s', t.state, coalesce(g.state, 'none'))
FROM (SELECT * FROM tickets WHERE state IN ('REFUNDING', 'REFUNDED')) t FULL JOIN given g USING (ticket_id)
WHERE t.state IS DISTINCT FROM g.state
""",
    ),
    Invariant(
        "changing",
        "a ticket is CHANGING exactly while one order waits to change it, and CHANGED when one did: each place has one"
        " ticket that is not CHANGED",
        f"""
WITH changes AS (
  SELECT o.changes_ticket_id AS ticket_id, count(*) FILTER (WHERE o.state = 'PENDING') AS waiting,
    count(*) FILTER (WHERE {_PAID}) AS made, sum(s.tickets) AS successors
  FROM orders o LEFT JOIN (SELECT order_id, count(*) AS tickets FROM ticket_sales GROUP BY 1) s USING (order_id)
  WHERE o.changes_ticket_id IS NOT NULL GROUP BY 1
)
SELECT coalesce(t.ticket_code, 'ticket ' || c.ticket_id), format('%s, %s changes waiting, %s made, %s successors',
  t.state, coalesce(c.waiting, 0), coalesce(c.made, 0), coalesce(c.successors, 0))
FROM changes c FULL JOIN tickets t USING (ticket_id)
WHERE t.ticket_id IS NULL
  OR (t.state IN ('CHANGING', 'CHANGED') OR c.ticket_id IS NOT NULL)
  AND format('%s %s %s', coalesce(c.waiting, 0), coalesce(c.made, 0), coalesce(c.successors, 0)) <>
    CASE t.state WHEN 'CHANGING' THEN '1 0 0' WHEN 'CHANGED' THEN '0 1 1' ELSE '0 0 0' END
""",
    ),
    Invariant(
        "entitlements",
        "a ticket entitles to what it was sold under: all that is not shared, or one thing that is",
        """
WITH terms AS (
  SELECT n.snapshot_id, e.entitlement ->> 'function_code' AS function_code,
    (e.entitlement ->> 'total_uses')::int AS total_uses, coalesce((e.entitlement ->> 'shared')::boolean, false) AS shared
  FROM snapshots n, jsonb_array_elements(n.content -> 'entitlements') AS e (entitlement)
), kinds AS (
  SELECT t.ticket_id, t.ticket_code, t.snapshot_id, coalesce(s.passenger_index < 0, false) AS shared
  FROM tickets t LEFT JOIN ticket_sales s USING (ticket_id)
), counts AS (SELECT snapshot_id, count(*) FILTER (WHERE NOT shared) AS own FROM terms GROUP BY 1), there AS (
  SELECT k.ticket_id, k.ticket_code, k.shared, k.snapshot_id, count(e.ticket_id) AS entitlements,
    count(r.snapshot_id) AS agreeing
  FROM kinds k LEFT JOIN entitlements e USING (ticket_id) LEFT JOIN terms r
    ON (r.snapshot_id, r.function_code, r.total_uses, r.shared) = (k.snapshot_id, e.function_code, e.total_uses, k.shared)
  GROUP BY 1, 2, 3, 4
)
SELECT t.ticket_code, format('%s entitlements, %s of them as sold, %s were sold', t.entitlements, t.agreeing,
  CASE WHEN t.shared THEN 1 ELSE coalesce(c.own, 0) END)
FROM there t LEFT JOIN counts c USING (snapshot_id)
WHERE (t.entitlements, t.agreeing) IS DISTINCT FROM
  (CASE WHEN t.shared THEN 1 ELSE coalesce(c.own, 0) END, CASE WHEN t.shared THEN 1 ELSE coalesce(c.own, 0) END)
""",
    ),
    Invariant(
        "uses",
        "the uses left of an entitlement are all of them less those redeemed and not reversed, and the ticket's state"
        " says whether there are any",
        f"""
WITH redeemed AS (SELECT ticket_id, function_code, sum(quantity) AS uses FROM ({_REDEEMED}) r GROUP BY 1, 2), uses AS (
  SELECT ticket_id, function_code, e.total_uses, e.remaining_uses, coalesce(r.uses, 0) AS used, e.ticket_id AS there
  FROM entitlements e FULL JOIN redeemed r USING (ticket_id, function_code)
), states AS (
  SELECT ticket_id, CASE WHEN sum(remaining_uses) = 0 THEN 'USED' WHEN sum(used) > 0 THEN 'PARTIALLY_REDEEMED'
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
  OR s.state = 'USED' AND t.state IN ('REFUNDING', 'REFUNDED') OR s.state <> 'ACTIVE' AND t.state IN ('CHANGING', 'CHANGED'))
""",
    ),
    Invariant(
        "redemption-guards",
        "every redemption of a function that a QR redeems once has its guard, and every guard its redemption",
        f"""
WITH redeemed AS ({_REDEEMED}), terms AS (
  SELECT n.snapshot_id, e.entitlement ->> 'function_code' AS function_code
  FROM snapshots n, jsonb_array_elements(n.content -> 'entitlements') AS e (entitlement)
  WHERE e.entitlement ->> 'use_mode' = 'ONCE_PER_QR'
)
SELECT format('%s of %s', r.function_code, r.ticket_code), format('redemption %s has no guard', r.event_id)
FROM redeemed r JOIN tickets t USING (ticket_id) JOIN terms USING (snapshot_id, function_code)
LEFT JOIN redemption_guards g ON (g.ticket_id, g.jti, g.function_code) = (r.ticket_id, r.jti, r.function_code)
WHERE g.ticket_id IS NULL
UNION ALL
SELECT format('%s of ticket %s', g.function_code, g.ticket_id), format('guards redemption %s, which is not', g.event_id)
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
)

INVARIANTS = STOCK + MONEY + ORDERS + TICKETS
"""Every invariant, in the order they are examined."""
