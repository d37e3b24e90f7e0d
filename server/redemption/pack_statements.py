"""What terminals' packs are read by: tickets by column, made by the database, and which of them
have changed.

PostgreSQL makes the columns, so that 200,000 tickets cost the event loop nothing. What has changed
is found without any writer's doing: a ticket, an event of it and a redemption each carry the number
of their transaction, by default (`pg_current_xact_id`). These become visible in the order of
commits, not of their numbers. So a pack's cursor is the oldest transaction that was under way when
the pack was begun: whatever was committed later has that number or a later one, and is in the next
pack; some of what is in this one is in the next again, which does no harm, since a pack has
tickets as they are. That a ticket's validity is over is no change: terminals know when it is.
"""

from datetime import datetime
from typing import NamedTuple

from server.parties.rules import SANDBOX_BIT
from server.platform.statements import Command, Statement
from server.redemption.statements import LocationVenue

UNSOLD = "'PRE_GENERATED', 'VOIDED'"
STATES = (
    "ARRAY['PRE_GENERATED', 'ACTIVE', 'PARTIALLY_REDEEMED', 'USED', 'REFUNDING', 'REFUNDED',"
    " 'CHANGING', 'CHANGED', 'EXPIRED', 'VOIDED']"
)
"""In the order of the contract's TicketState, which begins at 1."""


class Visible(NamedTuple):
    """When the database server was started, and which of its transactions are visible: a
    `pg_snapshot`.
    """

    server: datetime
    snapshot: str


class Columns(NamedTuple):
    """Tickets by column, as in PackTickets of the contract.

    `found` counts those that were looked at, others than the venue's too; the last of these ends at
    `last_time` and is `last_id`. `terms` are JSON texts, each with product, beginning of the codes,
    functions with their uses, and what of the snapshot counts; `departures` have number, time and
    whether shared; `leases` are JSON texts of number, function, terminal and time.
    """

    found: int
    last_time: datetime | None
    last_id: int
    tickets: int
    ticket_ids: bytes
    jtis: bytes
    states: bytes
    valid_from: bytes
    valid_until: bytes
    order_ids: bytes
    order_jtis: bytes
    rotations: bytes
    terms_indexes: bytes
    departure_indexes: bytes
    seats: str
    remaining_uses: bytes
    redeemed_times: bytes
    terms: list[str]
    departures: list[str]
    leases: list[str]


CHANGED = Statement(
    """
SELECT DISTINCT c.ticket_id FROM (
  SELECT ticket_id FROM redemption_events
    WHERE transaction_id >= $1::bigint AND transaction_id IS NOT NULL AND result <> 'REJECT'
  UNION ALL SELECT ticket_id FROM ticket_events
    WHERE transaction_id >= $1::bigint AND transaction_id IS NOT NULL AND action <> 'expired'
  UNION ALL SELECT ticket_id FROM tickets
    WHERE create_transaction_id >= $1::bigint AND create_transaction_id IS NOT NULL
  UNION ALL SELECT t.ticket_id FROM orders o JOIN tickets t ON t.order_id = o.order_id
    WHERE o.qr_transaction_id >= $1::bigint AND o.qr_transaction_id IS NOT NULL) c
WHERE c.ticket_id > $2::bigint ORDER BY c.ticket_id LIMIT $3::int
""",
    int,
)
VISIBLE = Statement("SELECT pg_postmaster_start_time(), pg_current_snapshot()::text", Visible)
# what is sold is in no push: whoever bought it comes later than the next pack
_CHANGED_SINCE = Statement(
    """
SELECT DISTINCT c.ticket_id FROM (
  SELECT ticket_id, transaction_id FROM redemption_events
    WHERE transaction_id >= $2::bigint AND transaction_id IS NOT NULL AND result <> 'REJECT'
  UNION ALL SELECT ticket_id, transaction_id FROM ticket_events
    WHERE transaction_id >= $2::bigint AND transaction_id IS NOT NULL AND action <> 'expired'
  UNION ALL SELECT t.ticket_id, o.qr_transaction_id
    FROM orders o JOIN tickets t ON t.order_id = o.order_id
    WHERE o.qr_transaction_id >= $2::bigint AND o.qr_transaction_id IS NOT NULL) c
WHERE NOT pg_visible_in_snapshot(c.transaction_id::text::xid8, $1::pg_snapshot)
ORDER BY c.ticket_id LIMIT $3::int
""",
    int,
)
# what is over leaves the index soon after; who has been admitted by it does not come again
_TICKETS = """
SELECT t.ticket_id, t.ticket_code, t.jti, t.state, t.blocked, t.product_id, t.snapshot_id,
  t.valid_from_time, t.valid_until_time, t.order_id, t.rotation
FROM tickets t"""
_LIVE = f"""
{_TICKETS} WHERE t.expiry_pending AND t.partner_id < {SANDBOX_BIT}
  AND t.state NOT IN ({UNSOLD})
  AND (t.valid_until_time, t.ticket_id) > ($2::timestamptz, $3::bigint)
ORDER BY t.valid_until_time, t.ticket_id LIMIT $4::int
"""
_NAMED = f"""
{_TICKETS} WHERE t.ticket_id = ANY($2::bigint[]) AND t.partner_id < {SANDBOX_BIT}
  AND t.state NOT IN ({UNSOLD})
"""


def changed_since(before: Visible, limit: int) -> Command[int]:
    """Tickets, by number, up to so many, whose changes were not visible then and are now."""
    oldest = int(before.snapshot.split(":")[0])
    return _CHANGED_SINCE(before.snapshot, oldest, limit)


def _milliseconds(moment: str) -> str:
    """Whole milliseconds since 1970, the rest cut off as protobuf's `ToMilliseconds` does."""
    return f"floor(extract(epoch FROM {moment}) * 1000)::bigint"


# The second part is empty, which the planner does not know: it takes it for 1,000 rows. Of a page
# it may think that it has one row (all end at one time, and this one goes on there), and would join
# what is read of it below row by row, each with each: 5,000 with 5,000 take longer than a statement
# may.
_COLUMNS = f"""
WITH page AS MATERIALIZED (({{page}}) UNION ALL
  SELECT NULL::bigint, NULL, NULL::uuid, NULL, NULL::boolean, NULL::int, NULL::uuid,
    NULL::timestamptz, NULL::timestamptz, NULL::bigint, NULL::int
  FROM generate_series(1, (SELECT 0))),
read AS MATERIALIZED (
  SELECT n.snapshot_id, coalesce(n.content #> '{{{{offer,journey}}}}', 'null') <> 'null' AS travels,
    jsonb_build_object(
      'entitlements', n.content -> 'entitlements', 'blackout_dates', n.content -> 'blackout_dates',
      'display_name_en', n.content -> 'display_name_en',
      'display_name_zh', n.content -> 'display_name_zh',
      'boarding_minutes', n.content -> 'boarding_minutes',
      'journey', n.content #> '{{{{offer,journey}}}}', 'rental', n.content #> '{{{{offer,rental}}}}'
    )::text COLLATE "C" AS content
  FROM snapshots n WHERE n.snapshot_id IN (SELECT snapshot_id FROM page)),
sold AS MATERIALIZED (
  SELECT snapshot_id, travels, content, dense_rank() OVER (ORDER BY content) AS content_place
  FROM read),
entitled AS MATERIALIZED (
  SELECT p.ticket_id, count(*)::int AS functions,
    string_agg(e.function_code || ' ' || e.total_uses, ' ' ORDER BY e.function_code)
      COLLATE "C" AS uses,
    string_agg(int4send(e.remaining_uses), '' ORDER BY e.function_code) AS remaining,
    string_agg(int8send(coalesce({_milliseconds("g.redeemed_time")}, 0)), ''
      ORDER BY e.function_code) AS redeemed,
    array_agg(json_build_array(e.ticket_id::text, e.function_code, e.leased_by,
      {_milliseconds("e.leased_until")})::text)
      FILTER (WHERE e.leased_until > now()) AS leases
  FROM page p JOIN entitlements e
    ON e.ticket_id = p.ticket_id AND e.function_code = ANY($1::text[])
  LEFT JOIN redemption_guards g ON g.ticket_id = p.ticket_id AND g.jti = p.jti
    AND g.function_code = e.function_code
  GROUP BY p.ticket_id),
known AS MATERIALIZED (
  SELECT p.*, e.uses, e.remaining, e.redeemed, e.leases, s.content_place, b.jti AS order_jti,
    split_part(p.ticket_code, '-', 1) || '-' || split_part(p.ticket_code, '-', 2) AS code_prefix,
    CASE WHEN s.travels THEN coalesce(
      o.departure_id || ' ' || {_milliseconds("o.reference_time")}
        || CASE WHEN o.passenger_index < 0 THEN ' 1' ELSE ' 0' END,
      d.departure_id || ' ' || {_milliseconds("d.reference_time")} || ' 0') END
      COLLATE "C" AS departure,
    CASE WHEN s.travels THEN coalesce(o.seat, d.seat, '') ELSE '' END AS seat
  FROM page p JOIN entitled e ON e.ticket_id = p.ticket_id
  JOIN sold s ON s.snapshot_id = p.snapshot_id
  LEFT JOIN ticket_sales o ON o.ticket_id = p.ticket_id AND o.departure_id IS NOT NULL
  LEFT JOIN departure_tickets d ON d.ticket_id = p.ticket_id
  LEFT JOIN orders b ON b.order_id = p.order_id),
placed AS MATERIALIZED (
  SELECT k.*,
    dense_rank() OVER (ORDER BY product_id, content_place, uses, code_prefix)::int - 1
      AS terms_index,
    CASE WHEN departure IS NULL THEN 0
      ELSE dense_rank() OVER (ORDER BY departure NULLS LAST)::int END AS departure_index
  FROM known k),
terms AS (
  SELECT DISTINCT p.terms_index, jsonb_build_array(p.product_id, p.code_prefix, p.uses, (
    SELECT content::jsonb FROM sold s WHERE s.content_place = p.content_place LIMIT 1
  ))::text AS written
  FROM (SELECT DISTINCT terms_index, product_id, code_prefix, uses, content_place FROM placed) p)
SELECT (SELECT count(*) FROM page)::int,
  (SELECT valid_until_time FROM page ORDER BY valid_until_time DESC LIMIT 1),
  coalesce((SELECT ticket_id FROM page ORDER BY valid_until_time DESC, ticket_id DESC LIMIT 1), 0),
  count(*)::int,
  coalesce(string_agg(int8send(p.ticket_id), ''), ''),
  coalesce(string_agg(substring(uuid_send(p.jti) FOR 8), ''), ''),
  coalesce(string_agg(set_byte('\\x00', 0, array_position({STATES}, p.state)
    + CASE WHEN p.blocked THEN 128 ELSE 0 END), ''), ''),
  coalesce(string_agg(int8send({_milliseconds("p.valid_from_time")}), ''), ''),
  coalesce(string_agg(int8send({_milliseconds("p.valid_until_time")}), ''), ''),
  coalesce(string_agg(int8send(CASE WHEN p.order_jti IS NULL THEN 0 ELSE p.order_id END), ''), ''),
  coalesce(string_agg(substring(uuid_send(p.order_jti) FOR 8)
    || substring(uuid_send(p.order_jti) FROM 13), ''), ''),
  coalesce(string_agg(CASE WHEN p.order_jti IS NOT NULL THEN int4send(p.rotation) END, ''), ''),
  coalesce(string_agg(int4send(p.terms_index), ''), ''),
  coalesce(string_agg(int4send(p.departure_index), ''), ''),
  coalesce(string_agg(p.seat, E'\\n'), ''),
  coalesce(string_agg(p.remaining, ''), ''),
  coalesce(string_agg(p.redeemed, ''), ''),
  ARRAY(SELECT written FROM terms ORDER BY terms_index),
  ARRAY(SELECT DISTINCT departure FROM placed WHERE departure IS NOT NULL ORDER BY departure),
  (SELECT coalesce(array_agg(l ORDER BY l), '{{{{}}}}') FROM placed p2, unnest(p2.leases) l)
FROM (SELECT * FROM placed ORDER BY ticket_id) p
"""  # noqa: S608
LIVE = Statement(_COLUMNS.format(page=_LIVE), Columns)
"""Of functions, after a time and number: up to so many tickets whose validity is not over, in the
order in which it ends.
"""
NAMED = Statement(_COLUMNS.format(page=_NAMED), Columns)
"""Of functions: tickets by their numbers."""
CANCELLED_DEPARTURES = Statement(
    """
SELECT departure_id FROM departures
WHERE travel_date BETWEEN $1::date - 2 AND $1::date + 7 AND state = 'CANCELLED'
ORDER BY departure_id
""",
    int,
)
RENTAL_VENUES = Statement(
    """
SELECT location_id, venue_code FROM rental_locations WHERE venue_code IS NOT NULL
ORDER BY location_id
""",
    LocationVenue,
)
