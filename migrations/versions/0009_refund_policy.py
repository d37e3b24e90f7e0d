"""refund policy: what was sold before knows the zone of its city, whose clock its moments are
shown by
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        UPDATE snapshots s SET content = jsonb_set(s.content, '{offer,time_zone}', to_jsonb(c.time_zone))
        FROM products p, cities c
        WHERE s.content ? 'offer' AND NOT s.content -> 'offer' ? 'time_zone' AND p.product_id = s.product_id
          AND c.city_code = coalesce(s.content #>> '{offer,journey,origin,city_code}', p.city_code)
    """)


def downgrade() -> None:
    pass  # the server before does not look at it
