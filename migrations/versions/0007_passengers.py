"""Passengers: limits per traveller by departure and day, journeys of documents, who may travel,
promotions per traveller
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
KEPT = "t.state NOT IN ('REFUNDED', 'CHANGED', 'VOIDED')"

# when each item of an order travels, as its snapshot says; of what is over it matters no more
SPANS = """
UPDATE orders o SET content = jsonb_set(o.content, '{items}', n.items)
FROM (
  SELECT w.order_id, jsonb_agg(CASE WHEN s.content #>> '{offer,journey,departure_time}' IS NULL THEN i.item
    ELSE i.item || jsonb_build_object('span', jsonb_build_array(
      s.content #> '{offer,journey,departure_time}', s.content #> '{offer,journey,arrival_time}')) END
    ORDER BY i.position) AS items
  FROM orders w CROSS JOIN LATERAL jsonb_array_elements(w.content -> 'items') WITH ORDINALITY AS i (item, position)
  LEFT JOIN snapshots s ON s.snapshot_id = (i.item ->> 'snapshot_id')::uuid
  WHERE w.traveller_id IS NOT NULL
  GROUP BY 1 HAVING max((s.content #>> '{offer,journey,arrival_time}')::timestamptz) > now()
) n WHERE n.order_id = o.order_id
"""
# the ticket that an order changes
REPLACES = """
UPDATE orders o SET content = o.content || jsonb_build_object('replaces', jsonb_build_object(
  'offer_id', i.item -> 'offer_id', 'departure_id', i.item -> 'departure_id', 'span', i.item -> 'span'))
FROM ticket_sales c JOIN orders f ON f.order_id = c.order_id
  CROSS JOIN LATERAL (SELECT f.content -> 'items' -> c.item_index AS item) i
WHERE c.ticket_id = o.changes_ticket_id AND o.traveller_id IS NOT NULL
"""
# places that are held or sold: whose, of which offer, when, on which document
TAKEN = f"""
SELECT o.traveller_id, o.content -> 'replaces' ->> 'offer_id' AS replaced, i.item ->> 'stock_id' AS stock_id,
  i.item ->> 'offer_id' AS offer_id, i.item -> 'span' AS span, p.place ->> 'document' AS document
FROM orders o, jsonb_array_elements(o.content -> 'items') AS i (item),
  jsonb_array_elements(i.item -> 'places') AS p (place)
WHERE o.state = 'PENDING'
UNION ALL
SELECT o.traveller_id, NULL, s.stock_id::text, i.item ->> 'offer_id', i.item -> 'span', (
  SELECT p.place ->> 'document' FROM jsonb_array_elements(i.item -> 'places') AS p (place)
  WHERE (p.place ->> 'passenger')::int = s.passenger_index)
FROM ticket_sales s JOIN tickets t USING (ticket_id) JOIN orders o ON o.order_id = s.order_id
  CROSS JOIN LATERAL (SELECT o.content -> 'items' -> s.item_index AS item) i
WHERE s.passenger_index >= 0 AND {KEPT}
"""  # noqa: S608 - constants
JOURNEYS = f"""
INSERT INTO document_journeys (document_hash, busy)
SELECT decode(t.document, 'hex'), range_agg(tstzrange((t.span ->> 0)::timestamptz, (t.span ->> 1)::timestamptz))
FROM ({TAKEN}) t
WHERE t.document IS NOT NULL AND jsonb_typeof(t.span) = 'array' AND (t.span ->> 1)::timestamptz > now()
GROUP BY 1
"""  # noqa: S608 - constants


def _counted_as(offer: str) -> str:
    """The departure, or product and day, that an offer counts as: see catalog.rules.quota_id."""
    number = f"split_part({offer}, '-', 2)::bigint"
    day = f"to_date(split_part({offer}, '-', 3), 'YYYYMMDD') - DATE '2020-01-01'"
    return (
        f"CASE WHEN {offer} LIKE 'TR-%' THEN (1::bigint << 62) + {number}"
        f" ELSE ({number} << 14) + ({day}) END"
    )


QUOTAS = f"""
INSERT INTO traveller_quotas (quota_id, traveller_id, quantity, max_quantity)
SELECT {_counted_as("t.offer_id")}, t.traveller_id, count(*), count(*)
FROM ({TAKEN}) t
WHERE t.replaced IS NULL OR {_counted_as("t.replaced")} <> {_counted_as("t.offer_id")}
GROUP BY 1, 2
"""  # noqa: S608 - constants
QUOTAS_OF_STOCKS = f"""
INSERT INTO traveller_quotas (stock_id, traveller_id, quantity)
SELECT t.stock_id::bigint, t.traveller_id, count(*) FROM ({TAKEN}) t GROUP BY 1, 2
"""  # noqa: S608 - constants
# an amount is of its products' currency; of several, or of all, of the only one that travellers can
# pay in
CURRENCIES = """
UPDATE promotions p SET currency_code = coalesce((
  SELECT min(f.currency_code) FROM products f WHERE f.product_id = ANY(p.product_ids)
  HAVING count(DISTINCT f.currency_code) = 1), 'CNY')
WHERE p.amount_off_minor > 0
"""


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.add_column("promotions", sa.Column("currency_code", sa.Text(), nullable=True))
    op.add_column("promotions", sa.Column("max_per_traveller", sa.Integer(), nullable=True))
    op.execute(CURRENCIES)
    op.create_check_constraint(
        op.f("ck_promotions_currency_of_amount"),
        "promotions",
        "(amount_off_minor > 0) = (currency_code IS NOT NULL)",
    )
    op.create_check_constraint(
        op.f("ck_promotions_max_per_traveller"), "promotions", "max_per_traveller > 0"
    )
    op.add_column(
        "products",
        sa.Column(
            "unaccompanied_types", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False
        ),
    )
    op.add_column(
        "products",
        sa.Column(
            "age_limits",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
    )
    op.create_table(
        "document_journeys",
        sa.Column("document_hash", sa.LargeBinary(), nullable=False),
        sa.Column("busy", postgresql.TSTZMULTIRANGE(), nullable=False),
        sa.CheckConstraint("NOT lower_inf(busy)", name=op.f("ck_document_journeys_no_overlap")),
        sa.PrimaryKeyConstraint("document_hash", name=op.f("pk_document_journeys")),
    )
    # counted anew, from what is held and sold
    op.drop_table("traveller_quotas")
    op.create_table(
        "traveller_quotas",
        sa.Column("quota_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("traveller_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("max_quantity", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "quantity BETWEEN 0 AND max_quantity", name=op.f("ck_traveller_quotas_limit")
        ),
        sa.PrimaryKeyConstraint("quota_id", "traveller_id", name=op.f("pk_traveller_quotas")),
    )
    for statement in (SPANS, REPLACES, JOURNEYS, QUOTAS):
        op.execute(statement)


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_table("traveller_quotas")
    op.create_table(
        "traveller_quotas",
        sa.Column("stock_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("traveller_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_traveller_quotas_quantity")),
        sa.PrimaryKeyConstraint("stock_id", "traveller_id", name=op.f("pk_traveller_quotas")),
    )
    op.execute(QUOTAS_OF_STOCKS)
    op.drop_table("document_journeys")
    op.drop_column("products", "age_limits")
    op.drop_column("products", "unaccompanied_types")
    op.drop_column("promotions", "max_per_traveller")
    op.drop_column("promotions", "currency_code")
