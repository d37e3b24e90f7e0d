"""Sales are summed by hour, and tickets and orders counted by state"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
MOMENT = sa.DateTime(timezone=True)
# what there was before is summed by the job, which begins with the first order
MARK = """
INSERT INTO sales_sums_mark
SELECT 'sales', date_trunc('hour', coalesce(
  least((SELECT min(create_time) FROM orders), now()), now()) - interval '1 day', 'UTC')
"""


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_table(
        "sales_sums",
        sa.Column("begin_time", MOMENT, primary_key=True),
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("partner_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("product_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("currency_code", sa.Text(), primary_key=True),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('MADE', 'PAID', 'CANCELLED', 'COMPLETED', 'SOLD', 'CHANGED', 'REFUNDED')",
            name="kind",
        ),
    )
    op.create_table(
        "sales_sums_mark",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("until_time", MOMENT, nullable=False),
        sa.CheckConstraint("name = 'sales'", name="one"),
    )
    op.create_table(
        "state_counts",
        sa.Column("noun", sa.Text(), primary_key=True),
        sa.Column("state", sa.Text(), primary_key=True),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.Column("count_time", MOMENT, nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.CheckConstraint("noun IN ('TICKET', 'ORDER')", name="noun"),
    )
    op.create_index("ix_orders_create_time", "orders", ["create_time"])
    op.create_index("ix_order_events_occurred_time", "order_events", ["occurred_time"])
    op.create_index(
        "ix_refunds_settle_time",
        "refunds",
        ["settle_time"],
        postgresql_where=sa.text("settle_time IS NOT NULL"),
    )
    op.execute(MARK)


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_index("ix_refunds_settle_time", "refunds")
    op.drop_index("ix_order_events_occurred_time", "order_events")
    op.drop_index("ix_orders_create_time", "orders")
    for table in ("state_counts", "sales_sums_mark", "sales_sums"):
        op.drop_table(table)
