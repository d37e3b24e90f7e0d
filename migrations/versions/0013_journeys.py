"""Journeys of documents follow their departures: kept by departure and order, in seconds after
it leaves
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
KEPT = "t.state NOT IN ('REFUNDED', 'CHANGED', 'VOIDED')"
# places that are held or sold on a departure: on which document, and when they were to travel, and
# the departure to leave
TAKEN = f"""
SELECT p.place ->> 'document' AS document, o.order_id, d.departure_id, d.departure_time,
  (i.item -> 'span' ->> 0)::timestamptz AS begin_time, (i.item -> 'span' ->> 1)::timestamptz AS end_time,
  coalesce((n.content #>> '{{offer,journey,service_time}}')::timestamptz, d.planned_time, d.departure_time) AS sold_for
FROM orders o CROSS JOIN LATERAL jsonb_array_elements(o.content -> 'items') WITH ORDINALITY AS i (item, position)
CROSS JOIN LATERAL jsonb_array_elements(i.item -> 'places') AS p (place)
JOIN departures d ON d.departure_id = (i.item ->> 'departure_id')::bigint
JOIN snapshots n ON n.snapshot_id = (i.item ->> 'snapshot_id')::uuid
WHERE jsonb_typeof(i.item -> 'span') = 'array' AND (o.state = 'PENDING' OR EXISTS (
  SELECT FROM ticket_sales s JOIN tickets t USING (ticket_id)
  WHERE s.order_id = o.order_id AND s.item_index = i.position - 1
    AND s.passenger_index = (p.place ->> 'passenger')::int AND {KEPT}))
"""  # noqa: S608 - a constant
JOURNEYS = f"""
INSERT INTO document_journeys (document_hash, journeys, version, seen_version)
SELECT decode(t.document, 'hex'), jsonb_object_agg(t.departure_id || ':' || t.order_id, jsonb_build_array(
  extract(epoch FROM t.begin_time - t.sold_for)::int, extract(epoch FROM t.end_time - t.sold_for)::int)), 1, 0
FROM ({TAKEN}) t
WHERE t.document IS NOT NULL AND t.departure_time + (t.end_time - t.sold_for) > now()
GROUP BY 1
"""  # noqa: S608 - constants
BUSY = f"""
INSERT INTO document_journeys (document_hash, busy)
SELECT decode(t.document, 'hex'), range_agg(tstzrange(t.begin_time, t.end_time))
FROM ({TAKEN}) t WHERE t.document IS NOT NULL AND t.end_time > now() GROUP BY 1
"""  # noqa: S608 - constants
# of two of a change on one departure the older one has the guard
GUARDS = f"""
INSERT INTO travel_guards (departure_id, document_hash, order_id)
SELECT t.departure_id, decode(t.document, 'hex'), min(t.order_id)
FROM ({TAKEN}) t WHERE t.document IS NOT NULL GROUP BY 1, 2
"""  # noqa: S608 - constants

# the server of before reads it of every change
SPANS_OF_REPLACED = """
UPDATE orders o SET content = jsonb_set(o.content, '{replaces,span}', coalesce((
  SELECT old.content #> ARRAY['items', s.item_index::text, 'span']
  FROM ticket_sales s JOIN orders old ON old.order_id = s.order_id WHERE s.ticket_id = o.changes_ticket_id), 'null'))
WHERE jsonb_typeof(o.content -> 'replaces') = 'object' AND NOT o.content -> 'replaces' ? 'span'
"""


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_table("travel_guards")
    op.drop_table("document_journeys")
    op.create_table(
        "document_journeys",
        sa.Column("document_hash", sa.LargeBinary(), nullable=False),
        sa.Column("journeys", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("seen_version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("seen_version >= 0", name=op.f("ck_document_journeys_seen")),
        sa.PrimaryKeyConstraint("document_hash", name=op.f("pk_document_journeys")),
    )
    op.execute(JOURNEYS)


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_table("document_journeys")
    op.create_table(
        "document_journeys",
        sa.Column("document_hash", sa.LargeBinary(), nullable=False),
        sa.Column("busy", postgresql.TSTZMULTIRANGE(), nullable=False),
        sa.CheckConstraint("NOT lower_inf(busy)", name=op.f("ck_document_journeys_no_overlap")),
        sa.PrimaryKeyConstraint("document_hash", name=op.f("pk_document_journeys")),
    )
    op.create_table(
        "travel_guards",
        sa.Column("departure_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document_hash", sa.LargeBinary(), nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("departure_id", "document_hash", name=op.f("pk_travel_guards")),
    )
    op.execute(BUSY)
    op.execute(GUARDS)
    op.execute(SPANS_OF_REPLACED)
