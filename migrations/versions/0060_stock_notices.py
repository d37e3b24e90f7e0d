"""A stock notes in the transaction that changes it that few are left of what channels list"""

import sqlalchemy as sa
from alembic import op

revision = "0060"
down_revision = "0059"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column("stocks", sa.Column("version", sa.BigInteger, nullable=False, server_default="1"))
    op.add_column(
        "stocks", sa.Column("left_before", sa.Integer, nullable=False, server_default="0")
    )
    op.add_column("stocks", sa.Column("notice_level", sa.Integer))
    op.create_table(
        "stock_notices",
        sa.Column("stock_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    )
    op.add_column(
        "channel_values",
        sa.Column("stock_version", sa.BigInteger, nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("channel_values", "stock_version")
    op.drop_table("stock_notices")
    op.drop_column("stocks", "notice_level")
    op.drop_column("stocks", "left_before")
    op.drop_column("stocks", "version")
