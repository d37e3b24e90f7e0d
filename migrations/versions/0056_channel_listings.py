"""Listings of channels are changed, and count their changes"""

import sqlalchemy as sa
from alembic import op

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.add_column(
        "channel_listings", sa.Column("version", sa.Integer(), nullable=False, server_default="1")
    )
    op.add_column("channel_listings", sa.Column("update_time", sa.DateTime(timezone=True)))
    op.execute("UPDATE channel_listings SET update_time = create_time")
    op.alter_column("channel_listings", "update_time", nullable=False)


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("channel_listings", "update_time")
    op.drop_column("channel_listings", "version")
