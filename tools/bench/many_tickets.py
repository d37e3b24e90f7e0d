"""A partner with a million tickets, made in half a minute: some batches are made by calls, and
copied by the database, a batch a copy, over the days before.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import psycopg

from server.tickets.rules import DAY_BITS, EPOCH, SEQUENCE_BITS

BATCHES_A_DAY = 25
VOIDED_EVERY = 10
"""One of so many tickets of each batch is VOIDED."""

_COPIES = """
CREATE TEMP TABLE copies AS
SELECT number, gen_random_uuid() AS batch_id, b.batch_id AS of_batch, b.quantity,
  b.first_ticket_id AS of_first, day, sequence + 1 AS sequence,
  (b.partner_id::bigint << %(partner_shift)s) + ((day - %(epoch)s::date)::bigint << %(shift)s)
    + sequence + 1 AS first_ticket_id
FROM generate_series(0, %(copies)s - 1) AS number
CROSS JOIN LATERAL (
  SELECT %(last_day)s::date - (%(copies)s - 1 - number) / %(a_day)s AS day,
    number %% %(a_day)s * %(quantity)s AS sequence,
    (%(batches)s::uuid[])[number %% %(kinds)s + 1] AS of_batch) chosen
JOIN batches b ON b.batch_id = chosen.of_batch
"""
_BATCHES = """
INSERT INTO batches (batch_id, partner_id, product_id, distributor_id, snapshot_id,
  first_ticket_id, quantity, order_id, create_time)
SELECT c.batch_id, b.partner_id, b.product_id, b.distributor_id, b.snapshot_id, c.first_ticket_id,
  b.quantity, b.order_id, c.day + time '12:00'
FROM copies c JOIN batches b ON b.batch_id = c.of_batch
"""
_DISTRIBUTORS = """
INSERT INTO distributor_batches (partner_id, distributor_id, first_ticket_id, snapshot_id,
  last_ticket_id)
SELECT d.partner_id, d.distributor_id, c.first_ticket_id, d.snapshot_id,
  c.first_ticket_id + (d.last_ticket_id - d.first_ticket_id)
FROM copies c JOIN distributor_batches d ON d.first_ticket_id = c.of_first
"""
_TICKETS = """
INSERT INTO tickets (ticket_id, ticket_code, jti, state, product_id, partner_id, batch_id,
  distributor_id, snapshot_id, order_id, customer_type, customer_name, valid_from_time,
  valid_until_time, create_time, update_time)
SELECT c.first_ticket_id + t.ticket_id - c.of_first,
  'OTA-CP-' || to_char(c.day, 'YYYYMMDD') || '-'
    || lpad((c.sequence + t.ticket_id - c.of_first)::text, 6, '0'),
  gen_random_uuid(),
  CASE WHEN t.order_id IS NULL AND (t.ticket_id - c.of_first) %% %(voided)s = 0 THEN 'VOIDED'
    ELSE t.state END,
  t.product_id, t.partner_id, c.batch_id, t.distributor_id, t.snapshot_id, t.order_id,
  t.customer_type, t.customer_name, t.valid_from_time, t.valid_until_time,
  c.day + time '12:00', c.day + time '12:00'
FROM copies c JOIN tickets t
  ON t.ticket_id BETWEEN c.of_first AND c.of_first + c.quantity - 1
ORDER BY 1
"""
_ENTITLEMENTS = """
INSERT INTO entitlements (ticket_id, function_code, total_uses, remaining_uses)
SELECT c.first_ticket_id + e.ticket_id - c.of_first, e.function_code, e.total_uses,
  e.remaining_uses
FROM copies c JOIN entitlements e
  ON e.ticket_id BETWEEN c.of_first AND c.of_first + c.quantity - 1
ORDER BY 1, 2
"""


def copy(url: str, batches: Sequence[str], tickets: int, *, until: date) -> list[Any]:
    """Copies these batches, all of one size, in turn, until there are so many tickets more, the
    last of them made on the day `until`; the (number, id, batch) of each copy's first ticket.
    """
    with psycopg.connect(url) as pg:
        (quantity,) = pg.execute(
            "SELECT min(quantity) FROM batches WHERE batch_id = ANY(%s::uuid[])", [list(batches)]
        ).fetchone() or (0,)
        values = {
            "epoch": EPOCH,
            "shift": SEQUENCE_BITS,
            "partner_shift": SEQUENCE_BITS + DAY_BITS,
            "copies": tickets // quantity,
            "last_day": until,
            "a_day": BATCHES_A_DAY,
            "quantity": quantity,
            "kinds": len(batches),
            "batches": list(batches),
            "voided": VOIDED_EVERY,
        }
        for statement in (_COPIES, _BATCHES, _DISTRIBUTORS, _TICKETS, _ENTITLEMENTS):
            pg.execute(statement.encode(), values)
        first = "SELECT number, first_ticket_id, batch_id::text FROM copies ORDER BY number"
        made = pg.execute(first).fetchall()
    with psycopg.connect(url, autocommit=True) as pg:
        pg.execute("VACUUM (ANALYZE) tickets, entitlements, batches, distributor_batches")
        pg.execute("CHECKPOINT")
    return made


def yesterday(today: date) -> date:
    """The day before."""
    return today - timedelta(days=1)
