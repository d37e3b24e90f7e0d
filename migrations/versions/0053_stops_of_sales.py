"""The sale of the last of a stock finds what is listed of it at channels"""

import sqlalchemy as sa
from alembic import op

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.create_index(
        "ix_channel_values_stock_id",
        "channel_values",
        ["stock_id"],
        postgresql_where=sa.text("what = 'AVAILABILITY' AND stock_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_index("ix_channel_values_stock_id", "channel_values")
