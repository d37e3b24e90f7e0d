"""Who has which seat, and who is on which departure. (DOMAIN: Stock)."""

from server.operations.consistency.invariant import Invariant
from server.operations.consistency.rows import PARTNERS_SEATS, TAKEN

SEATS = (
    Invariant(
        "seats",
        "the seats taken on a departure are those of waiting orders and kept tickets, partners'"
        " included, each of one order, or one partner's ticket",
        f"""
WITH taken AS ({TAKEN})
SELECT format('seat %s of stock %s', coalesce(a.seat_index, t.seat_index),
  coalesce(a.stock_id, t.stock_id)),
  format('taken for order %s, wanted by %s', coalesce(a.order_id::text, 'none'),
  coalesce(t.order_id::text, 'none'))
FROM taken_seats a
FULL JOIN (
  SELECT stock_id, seat_index, order_id FROM taken WHERE seat_index IS NOT NULL AND has_own_place
  UNION ALL {PARTNERS_SEATS}) t
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
FROM (
  SELECT stock_id, seat_index, order_id FROM taken WHERE seat_index IS NOT NULL AND has_own_place
  UNION ALL {PARTNERS_SEATS}) t
GROUP BY stock_id, seat_index HAVING count(*) > 1
""",
    ),
    Invariant(
        "seats-of-tickets",
        "a ticket is of the stock and departure that it was sold under, and has a seat exactly if"
        " those are numbered: the one that its label says",
        """
WITH offers AS MATERIALIZED (
  SELECT snapshot_id, (content -> 'offer' ->> 'stock_id')::bigint AS stock_id,
    (content -> 'offer' -> 'journey' ->> 'departure_id')::bigint AS departure_id,
    nullif(content -> 'offer' -> 'seat_map', 'null') AS seat_map
  FROM snapshots
), sold AS (
  SELECT s.*, t.ticket_code, o.stock_id AS sold_stock_id, o.departure_id AS sold_departure_id,
    o.seat_map
  FROM ticket_sales s JOIN tickets t USING (ticket_id) JOIN offers o USING (snapshot_id)
), maps AS (
  SELECT DISTINCT seat_map FROM offers WHERE seat_map IS NOT NULL
), labels AS (
  SELECT m.seat_map,
    (row_number() OVER (PARTITION BY m.seat_map ORDER BY r.position, c.position) - 1)::int
      AS seat_index, r.number || c.letter AS seat
  FROM maps m, LATERAL (
    SELECT number, position
    FROM jsonb_array_elements_text(CASE WHEN jsonb_typeof(m.seat_map -> 'rows') = 'array'
      THEN m.seat_map -> 'rows' ELSE (SELECT jsonb_agg(n)
        FROM generate_series(1, (m.seat_map ->> 'rows')::int) n) END)
      WITH ORDINALITY AS each (number, position)
  ) r, string_to_table(m.seat_map ->> 'columns', NULL) WITH ORDINALITY AS c (letter, position)
  WHERE c.letter <> ' ' AND NOT coalesce(m.seat_map -> 'missing', '[]') ? (r.number || c.letter)
)
SELECT s.ticket_code,
  format('seat %s (%s) of stock %s on departure %s, sold as stock %s on departure %s, where that'
  ' seat is %s', coalesce(s.seat, 'none'), coalesce(s.seat_index::text, 'none'), s.stock_id,
  coalesce(s.departure_id::text, 'none'), s.sold_stock_id,
  coalesce(s.sold_departure_id::text, 'none'), coalesce(l.seat, 'none'))
FROM sold s LEFT JOIN labels l USING (seat_map, seat_index)
WHERE (s.stock_id, s.departure_id) IS DISTINCT FROM (s.sold_stock_id, s.sold_departure_id)
  OR s.seat IS DISTINCT FROM l.seat
  OR (s.seat_index IS NOT NULL) <> (s.seat_map IS NOT NULL AND s.passenger_index >= 0)
UNION ALL
SELECT t.ticket_code,
  format('a partner''s, seat %s (%s) of stock %s on departure %s, made as stock %s on departure %s',
  coalesce(d.seat, 'none'), coalesce(d.seat_index::text, 'none'),
  coalesce(d.stock_id::text, 'none'), coalesce(d.departure_id::text, 'none'),
  coalesce(o.stock_id::text, 'none'), coalesce(o.departure_id::text, 'none'))
FROM (SELECT * FROM tickets WHERE partner_id > 0) t JOIN offers o USING (snapshot_id)
FULL JOIN departure_tickets d USING (ticket_id)
LEFT JOIN labels l ON l.seat_map = o.seat_map AND l.seat_index = d.seat_index
WHERE (d.stock_id, d.departure_id) IS DISTINCT FROM (
    CASE WHEN o.departure_id IS NOT NULL THEN
      o.stock_id + CASE WHEN t.partner_id >= 524288 THEN t.partner_id ELSE 0 END END,
    o.departure_id)
  OR d.seat IS DISTINCT FROM l.seat OR (d.seat_index IS NOT NULL) <> (o.seat_map IS NOT NULL)
""",
    ),
    Invariant(
        "document-journeys",
        "a document travels exactly where it is to: by the waiting orders and kept tickets that"
        " are to come, each at its time after the departure leaves",
        f"""
WITH wanted AS (
  SELECT t.document, t.departure_id || ':' || t.order_id AS key,
    extract(epoch FROM (t.span ->> 0)::timestamptz - s.sold_for)::int AS begins,
    extract(epoch FROM (t.span ->> 1)::timestamptz - s.sold_for)::int AS ends, d.departure_time
  FROM ({TAKEN}) t JOIN departures d USING (departure_id) JOIN snapshots n USING (snapshot_id)
  CROSS JOIN LATERAL (SELECT coalesce(
    (n.content -> 'offer' -> 'journey' ->> 'service_time')::timestamptz, d.planned_time,
    d.departure_time)) AS s (sold_for)
  WHERE t.document IS NOT NULL AND jsonb_typeof(t.span) = 'array'
), known AS (
  SELECT encode(document_hash, 'hex') AS document, j.key, (j.ride ->> 0)::int AS begins,
    (j.ride ->> 1)::int AS ends, d.departure_time
  FROM document_journeys CROSS JOIN LATERAL jsonb_each(journeys) AS j (key, ride)
  LEFT JOIN departures d ON d.departure_id = split_part(j.key, ':', 1)::bigint
)
SELECT format('document %s on departure and by order %s', left(document, 8), key),
  format('from %s until %s seconds after it leaves, wanted from %s until %s',
    coalesce(k.begins::text, 'nowhere'), coalesce(k.ends::text, 'nowhere'),
    coalesce(w.begins::text, 'nowhere'), coalesce(w.ends::text, 'nowhere'))
FROM known k FULL JOIN wanted w USING (document, key)
WHERE (k.begins, k.ends) IS DISTINCT FROM (w.begins, w.ends)
  AND coalesce(w.departure_time, k.departure_time, 'infinity')
  + make_interval(secs => coalesce(w.ends, k.ends)) > now()
""",
    ),
)
