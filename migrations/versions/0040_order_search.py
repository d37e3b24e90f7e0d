"""Orders are found by parts of names, by documents and telephone numbers"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
MOMENT = sa.DateTime(timezone=True)
# the orders there are get their terms by a job, which has the key
MARK = """
INSERT INTO order_search_backfill
SELECT 'orders', '1970-01-01Z', 0 WHERE EXISTS (SELECT FROM orders)
"""


def upgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.create_table(
        "order_search_terms",
        sa.Column("order_id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("create_time", MOMENT, nullable=False),
        sa.Column("terms", ARRAY(sa.Integer()), nullable=False),
    )
    op.create_index(
        "ix_order_search_terms_terms",
        "order_search_terms",
        ["terms"],
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": 512},
    )
    op.create_table(
        "order_search_backfill",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("create_time", MOMENT, nullable=False),
        sa.Column("order_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("name = 'orders'", name="one"),
    )
    op.execute(MARK)


def downgrade() -> None:
    op.execute(LOCK_TIMEOUT)
    op.drop_table("order_search_backfill")
    op.drop_table("order_search_terms")
