"""Who has which seat, and who is on which departure. (DOMAIN: Stock)."""

from server.invariants.invariant import Invariant
from server.invariants.rows import TAKEN

SEATS = (
    Invariant(
        "seats",
        "the seats taken on a departure are those of waiting orders and kept tickets, each of one order",
        f"""
WITH taken AS ({TAKEN})
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
WITH taken AS ({TAKEN})
SELECT format('seat %s of stock %s', seat_index, stock_id),
  format('taken %s times, by orders %s', count(*), string_agg(order_id::text, ', '))
FROM taken WHERE seat_index IS NOT NULL GROUP BY stock_id, seat_index HAVING count(*) > 1
""",
    ),
    Invariant(
        "travel-guards",
        "a document is guarded on a departure exactly while an order or kept ticket of its holder is on it",
        f"""
WITH taken AS ({TAKEN})
SELECT format('departure %s', coalesce(g.departure_id, t.departure_id)),
  format('guarded for order %s, wanted by %s', coalesce(g.order_id::text, 'none'), coalesce(t.order_id::text, 'none'))
FROM travel_guards g
FULL JOIN (SELECT * FROM taken WHERE document IS NOT NULL AND departure_id IS NOT NULL) t
  ON (t.departure_id, t.document, t.order_id) = (g.departure_id, encode(g.document_hash, 'hex'), g.order_id)
WHERE g.order_id IS NULL OR t.order_id IS NULL
""",
    ),
)
